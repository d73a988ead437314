"""What templates show of an assessment: its content, the verdict in words, tables and plots."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from landshift.pipeline.drawing.plots import Dot, curve_plot, interval_plot, reliability_plot
from landshift.pipeline.scores.evidence import HELPS, HURTS, NO_EVIDENCE

NOT_MEASURED, UNVERIFIED = "not measured", "unverified"
"""In place of a verdict, where nothing was trained and where there are no labels."""

ARMS = {"random": "random weights", "imagenet": "ImageNet weights", "frozen": "the same weights, unmoved"}
"""What the controls are called."""

ADAPTATIONS = {
    "none": ("The images go into the model as they are.", ""),
    "radiometric": (
        "Looks for pixels that did not change, and with them brings the later date to the light of the earlier one.",
        "Few pixels decide. If some of them did change, their change is taken for light.",
    ),
    "histogram": (
        "Gives each band of the later date the same distribution of values as the earlier date has.",
        "It takes any difference in what the dates show for a difference in light, and so can hide change.",
    ),
    "moments": (
        "Brings both dates together to the mean and the spread of the regions that the model was trained on.",
        "It takes what is truly different here, such as more forest or more water, for a difference in light.",
    ),
    "batch-norm": (
        "Mixes statistics of these images into the network's BatchNorm layers; no weight is trained.",
        "Where the images show mostly one thing, such as water, their statistics mislead the network.",
    ),
}
"""What each adaptation does, and its danger."""

_BADGES = {
    HELPS: ("Helps", "▲", "{encoder} helps in {project}",
            "Keep it: with the same budget, the control came out worse on what was held out."),
    NO_EVIDENCE: ("No evidence", "●", "No evidence that {encoder} helps or hurts in {project}",
                  "The difference may be chance. Choose by cost, or label more regions and ask again."),
    HURTS: ("Hurts", "▼", "{encoder} hurts in {project}",
            "Choose another encoder or another strategy: with the same budget, the control came out better."),
    NOT_MEASURED: ("Not measured", "○", "Not known yet whether {encoder} helps in {project}",
                   "Nothing was trained. `landshift assess CONFIG` without `--quick` compares it with controls."),
    UNVERIFIED: ("Unverified", "○", "No labels here: nothing can be proved",
                 "Label a few hundred pixels, changed and unchanged, and ask again: without labels nobody knows how good this "
                 "map is."),
}  # fmt: skip

_SECTIONS = (
    "key", "encoder", "strategy", "budget", "regions", "ranking", "overlap", "guard", "evaluation", "alignment", "strategies",
    "verification", "curve", "cost", "adaptation",
)  # fmt: skip

_MOST_RANKED = 5
"""Encoders that a short list names, beside the project's own."""


def assessment_view(content: Mapping[str, Any], *, plots: bool = True) -> dict[str, Any]:
    """Return what templates show of an assessment: its content, with None for what was not measured, tables and plots.

    Args:
        content: Of `assessment.json`, or only its `adaptation`.
        plots: Whether plots are drawn, too.
    """
    rows = (content.get("ranking") or {"rows": []})["rows"]
    return {
        **dict.fromkeys(_SECTIONS), **content, "headline": _headline(content), "adaptations": ADAPTATIONS,
        "compared": _compared(content.get("guard")), "own": _own_row(content), "regions_table": _regions_table(content),
        "classes": _classes(content), "depths": _in_order(row["depths"] for row in rows),
        "first_ranked": [row for row in rows if row["rank"] <= _MOST_RANKED or row["name"] == content["encoder"]],
        "alignment_depths": _in_order((content.get("alignment") or {}).values()), "plots": _plots(content) if plots else {},
    }  # fmt: skip


def _headline(content: Mapping[str, Any]) -> dict[str, str]:
    if "encoder" not in content:
        return _headline_of_adaptation(content["adaptation"])
    verdict = content["guard"]["verdict"] if content.get("guard") else NOT_MEASURED
    badge, symbol, title, advice = _BADGES[verdict]
    said = title.format(encoder=content.get("encoder_label") or content["encoder"], project=content["project"])
    controls = content["guard"]["controls"].values() if content.get("guard") else ()
    if verdict == NO_EVIDENCE and all(control["interval"]["estimate"] is None for control in controls):
        advice = ""  # the sentence says why there is nothing to compare
    return {"verdict": verdict, "badge": badge, "symbol": symbol, "title": said, "advice": advice}


def _headline_of_adaptation(adaptation: Mapping[str, Any]) -> dict[str, str]:
    """Say what is known where a model from elsewhere was tried, and no encoder was judged."""
    badge, symbol, title, advice = _BADGES[UNVERIFIED]
    if adaptation["verified"]:
        badge, symbol = _BADGES[NOT_MEASURED][:2]
        title, advice = "Adaptations were judged on labels; whether transfer helps was not", ""
    return {"verdict": NOT_MEASURED, "badge": badge, "symbol": symbol, "title": title, "advice": advice}


def _own_row(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    rows = (content.get("ranking") or {"rows": []})["rows"]
    return next((row for row in rows if row["name"] == content["encoder"]), None)


def _compared(guard: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Tabulate each control: all regions together, then each with the mean F1 of both sides."""
    tables = []
    for name, said in (guard or {"controls": {}})["controls"].items():
        sides = [_mean_by_region((guard or {})["f1"].get(side, [])) for side in ("candidate", name)]
        rows = [
            {"name": "All regions together", "verdict": said["verdict"], "interval": said["interval"], "differences": [],
             "means": [_mean([side.get(r["name"]) for r in said["regions"]]) for side in sides]},
            *({**region, "means": [side.get(region["name"]) for side in sides]} for region in said["regions"]),
        ]  # fmt: skip
        encoder, strategy = (guard or {})["compared"].get(name, ("", ""))
        tables.append({"control": ARMS.get(name, name), "encoder": encoder, "strategy": strategy, "rows": rows,
                       "sentence": said["sentence"], "notes": said["notes"]})  # fmt: skip
    return tables


def _mean_by_region(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    regions = dict.fromkeys(row["region"] for row in rows)
    return {name: _mean([row["f1"] for row in rows if row["region"] == name]) for name in regions}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _regions_table(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    evaluation = content.get("evaluation") or {}
    if "regional" not in evaluation:
        return []
    seeds = dict(sorted(evaluation["regions_by_seed"].items(), key=lambda item: int(item[0])))
    means = evaluation["worst"]["regions"]
    return [
        {**row, "mean": means.get(row["name"]), "by_seed": {seed: found.get(row["name"]) for seed, found in seeds.items()}}
        for row in evaluation["regional"]["rows"]
    ]


def _classes(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn the rows of each date into a table of classes by regions."""
    found = (content.get("evaluation") or {}).get("classes") or {}
    tables = []
    for date, cells in found.items():
        regions = list(dict.fromkeys(cell["region"] for cell in cells))
        names = dict.fromkeys(cell["name"] for cell in cells)
        by_place = {(cell["name"], cell["region"]): cell for cell in cells}
        rows = [{"name": name, "cells": [by_place.get((name, region)) for region in regions]} for name in names]
        tables.append({"date": date, "regions": regions, "rows": rows})
    return [table for table in tables if table["rows"]]


def _in_order(tables: Any) -> list[str]:  # noqa: ANN401 (an iterable of mappings by depth)
    """Return every depth once, shallow ones first: `stride 4` comes before `stride 16`."""
    depths = dict.fromkeys(depth for table in tables for depth in table)
    return sorted(depths, key=lambda depth: [int(part) for part in re.findall(r"\d+", depth)])


def _plots(content: Mapping[str, Any]) -> dict[str, str]:
    """Draw what the page shows; empty where nothing can be drawn."""
    if not content.get("ranking"):
        return {}
    guard = [
        Dot(row["name"], row["interval"]["estimate"], row["interval"]["low"], row["interval"]["high"],
            f"Against {table['control']}", row["verdict"])
        for table in _compared(content.get("guard")) for row in table["rows"]
    ]  # fmt: skip
    ranked = [Dot(f"{row['rank']}. {row['name']}", row["score"], row["low"], row["high"]) for row in content["ranking"]["rows"]]
    curve, calibration = content.get("curve"), (content.get("evaluation") or {}).get("calibration")
    encoder, project = content["encoder"], content["project"]
    return {
        "guard": interval_plot(
            guard, axis="difference in F1 (right of 0: better than the control)", zero=True,
            alt=f"Differences in F1 between {encoder} and each control, by region, with intervals; the table has the numbers.",
        ),
        "ranking": interval_plot(
            ranked, axis="LogME (further right: better)",
            alt=f"LogME of each encoder in {project} with its interval; the table has the numbers.",
        ),
        "curve": curve_plot(
            curve["rows"], alt=f"F1 in {project} over the share of the labels, one line an encoder; the table has the numbers."
        ) if curve else "",
        "reliability": reliability_plot(
            calibration["reliability"], alt="Share of pixels that changed over the probability that the model said; on the "
            "dashed diagonal the two agree."
        ) if calibration else "",
    }  # fmt: skip
