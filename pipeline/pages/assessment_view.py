"""What templates show of an assessment: its content, the verdict in words, tables and plots."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from landshift.pipeline.drawing.plots import CurveDot, Dot, ReliabilityDot, curve_plot, interval_plot, reliability_plot
from landshift.pipeline.formatting import figure
from landshift.pipeline.gates import warnings_of
from landshift.pipeline.scores.assessment import Assessment, Evaluation, Guard, RegionF1
from landshift.pipeline.scores.evidence import HELPS, HURTS, NO_EVIDENCE

NOT_MEASURED, UNVERIFIED = "not measured", "unverified"
"""In place of a verdict, where nothing was trained and where there are no labels."""

ARMS = {"random": "random weights", "imagenet": "ImageNet weights", "frozen": "the same weights, unmoved"}
"""What the controls are called."""

ADAPTATIONS = {
    "none": ("The images go into the model as they are.", ""),
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
                 "Label a few hundred pixels, changed and unchanged, and ask again: without labels it is not known how good "
                 "this map is."),
}  # fmt: skip

TableRow = dict[str, Any]
"""Cells of a row of a table, for the template."""

_MOST_RANKED = 5
"""Encoders that a short list names, beside the project's own."""


def assessment_view(assessment: Assessment, *, plots: bool = True) -> dict[str, Any]:
    """Return what templates show of an assessment: its sections, the verdict in words, tables and plots.

    Args:
        assessment: What was measured, or only the adaptations that were tried.
        plots: Whether plots are drawn, too.
    """
    rows = () if assessment.ranking is None else assessment.ranking.rows
    evaluation = assessment.evaluation if isinstance(assessment.evaluation, Evaluation) else None
    return {
        **{field.name: getattr(assessment, field.name) for field in fields(assessment)},
        "data_warnings": warnings_of(assessment.gates),
        "headline": _headline(assessment), "adaptations": ADAPTATIONS, "bands": assessment.bands,
        "compared": [] if assessment.guard is None else _compare(assessment.guard),
        "regions_table": [] if evaluation is None else _regions_table(evaluation),
        "classes": [] if evaluation is None else _classes(evaluation), "depths": _sort_depths(row.depths for row in rows),
        "first_ranked": [row for row in rows if row.rank <= _MOST_RANKED or row.name == assessment.encoder],
        "alignment_depths": _sort_depths((assessment.alignment or {}).values()),
        "plots": _plots(assessment, evaluation) if plots else {},
    }  # fmt: skip


def _headline(assessment: Assessment) -> dict[str, str]:
    guard, adaptation = assessment.guard, assessment.adaptation
    if assessment.chips is not None:
        images = 0 if assessment.chips.images is None else assessment.chips.images.images
        title = f"F1 {figure(assessment.chips.test.f1)} on {images:,} test images of {assessment.project}"
        return {"verdict": NOT_MEASURED, "badge": "Test images", "symbol": "○", "title": title, "advice": ""}
    if assessment.encoder is None and adaptation is not None:
        # A model from elsewhere was tried, and no encoder was judged.
        verdict = NOT_MEASURED
        badge, symbol, title, advice = _BADGES[UNVERIFIED]
        if adaptation.verified:
            badge, symbol = _BADGES[NOT_MEASURED][:2]
            title, advice = "Adaptations were judged on labels; whether transfer helps was not", ""
    else:
        verdict = guard.verdict if guard else NOT_MEASURED
        badge, symbol, title, advice = _BADGES[verdict]
        title = title.format(encoder=assessment.encoder_label or assessment.encoder, project=assessment.project)
        controls = guard.controls.values() if guard else ()
        if verdict == NO_EVIDENCE and all(control.interval.estimate is None for control in controls):
            advice = ""  # the sentence has the reason
    return {"verdict": verdict, "badge": badge, "symbol": symbol, "title": title, "advice": advice}


def _compare(guard: Guard) -> list[TableRow]:
    """Tabulate each control: all regions together, then each with the mean F1 of both sides."""
    tables = []
    for name, control in guard.controls.items():
        sides = [_mean_by_region(guard.f1.get(side, ())) for side in ("candidate", name)]
        rows = [
            {"name": "All regions together", "verdict": control.verdict, "interval": control.interval, "differences": (),
             "means": [_mean([side.get(r.name) for r in control.regions]) for side in sides]},
            *({**vars(region), "means": [side.get(region.name) for side in sides]} for region in control.regions),
        ]  # fmt: skip
        encoder, strategy = guard.compared[name]
        tables.append({"control": ARMS.get(name, name), "encoder": encoder, "strategy": strategy, "rows": rows,
                       "sentence": control.sentence, "notes": control.notes})  # fmt: skip
    return tables


def _mean_by_region(rows: Sequence[RegionF1]) -> dict[str, float | None]:
    return {name: _mean([row.f1 for row in rows if row.region == name]) for name in dict.fromkeys(r.region for r in rows)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _regions_table(evaluation: Evaluation) -> list[TableRow]:
    seeds = dict(sorted(evaluation.regions_by_seed.items(), key=lambda item: int(item[0])))
    return [
        {**vars(row), "mean": evaluation.worst.regions.get(row.name),
         "by_seed": {seed: found.get(row.name) for seed, found in seeds.items()}}
        for row in evaluation.regional.rows
    ]  # fmt: skip


def _classes(evaluation: Evaluation) -> list[TableRow]:
    """Turn the rows of each date into a table of classes by regions."""
    tables = []
    for date, cells in (evaluation.classes or {}).items():
        regions = list(dict.fromkeys(cell.region for cell in cells))
        by_place = {(cell.name, cell.region): cell for cell in cells}
        rows = [
            {"name": name, "cells": [by_place.get((name, region)) for region in regions]}
            for name in dict.fromkeys(cell.name for cell in cells)
        ]
        tables.append({"date": date, "regions": regions, "rows": rows})
    return [table for table in tables if table["rows"]]


def _sort_depths(tables: Iterable[Mapping[str, object]]) -> list[str]:
    """Return every depth once, shallow ones first: `stride 4` comes before `stride 16`."""
    depths = dict.fromkeys(depth for table in tables for depth in table)
    return sorted(depths, key=lambda depth: [int(part) for part in re.findall(r"\d+", depth)])


def _plots(assessment: Assessment, evaluation: Evaluation | None) -> dict[str, str]:
    """Draw what the page shows; empty where nothing can be drawn."""
    ranking, curve, guard = assessment.ranking, assessment.curve, assessment.guard
    if ranking is None:
        return {}
    dots = [
        Dot(row["name"], row["interval"].estimate, row["interval"].low, row["interval"].high,
            group=f"Against {table['control']}", verdict=row["verdict"])
        for table in (_compare(guard) if guard else ()) for row in table["rows"]
    ]  # fmt: skip
    ranked = [Dot(f"{row.rank}. {row.name}", row.score, row.low, row.high) for row in ranking.rows]
    encoder, project = assessment.encoder, assessment.project
    return {
        "guard": interval_plot(
            dots, axis="difference in F1 (right of 0: better than the control)", zero=True,
            alt=f"Differences in F1 between {encoder} and each control, by region, with intervals; the table has the numbers.",
        ),
        "ranking": interval_plot(
            ranked, axis="LogME (further right: better)",
            alt=f"LogME of each encoder in {project} with its interval; the table has the numbers.",
        ),
        "curve": curve_plot(
            [CurveDot(row.arm, row.share, row.f1.mean, row.f1.low, high=row.f1.high) for row in curve.rows],
            alt=f"F1 in {project} over the share of the labels, one line an encoder; the table has the numbers.",
        ) if curve else "",
        "reliability": reliability_plot(
            {
                name: [ReliabilityDot(row.count, row.mean_probability, row.observed_share) for row in bins]
                for name, bins in evaluation.calibration.reliability.items()
            },
            alt="Share of pixels that changed over the model's probability; on the dashed diagonal the two agree.",
        ) if evaluation else "",
    }  # fmt: skip
