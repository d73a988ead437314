"""An assessment for people: its page, what the terminal says, and its part of a model's card."""

from collections.abc import Mapping
from typing import Any

from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.formatting import duration, energy, figure, gas, interval
from landshift.pipeline.pages.assessment_view import ARMS, assessment_view

_MOST_SHARES = 5
"""Points of the curve that the terminal names."""


def assessment_page(content: Mapping[str, Any]) -> str:
    """Write the page of an assessment: one file that needs no network and no scripts.

    Args:
        content: Of `assessment.json`; sections that were not measured are absent.
    """
    return template_environment(html=True).get_template("assessment.html.j2").render(assessment_view(content))


def card_section(content: Mapping[str, Any]) -> str:
    """Write the assessment's part of a model's card, Markdown with headings from the second level on.

    Args:
        content: Of `assessment.json`; sections that were not measured are absent.
    """
    return template_environment(html=False).get_template("assessment_card.md.j2").render(assessment_view(content, plots=False))


def summary_lines(content: Mapping[str, Any]) -> list[str]:
    """Say what matters in about 25 lines, the verdict first.

    Args:
        content: Of `assessment.json`; sections that were not measured are absent.
    """
    view = assessment_view(content, plots=False)
    word, guard = view["headline"], view["guard"]
    lines = [f"{word['badge']}: " + (guard["sentence"] if guard else f"{word['title']}. {word['advice']}".strip())]
    if guard:
        others = [(n, v) for n, v in guard["controls"].items() if v["sentence"] != guard["sentence"]]
        lines += [f"Against {ARMS.get(n, n)}: F1 {interval(v['interval'], signed=True)}, {v['verdict']}." for n, v in others]
    if view["ranking"]:
        lines += _ranking_lines(view)
        lines.append(f"Overlap: {view['overlap']['sentence']}")
    lines += _evaluation_lines(view["evaluation"] or {})
    if view["adaptation"]:
        lines += _adaptation_lines(view["adaptation"])
    if view["strategies"]:
        lines.append(f"Strategy: {view['strategies']['sentence']}")
    lines += _curve_lines(view["curve"] or {"rows": []})
    if view["verification"]:
        taus = [f"{n} {'–' if a['tau'] is None else format(a['tau'], '+z.2f')}"
                for n, a in view["verification"]["scores"].items()]  # fmt: skip
        lines.append(f"Kendall's tau with F1 after training: {', '.join(taus)}.")
    if view["cost"]:
        cost = view["cost"]
        lines.append(f"Cost: {duration(cost['seconds'])}, {energy(cost['kwh'])}, {gas(cost['co2e_kg'])} CO2e ({cost['how']}).")
    return lines + _warning_lines(view)


def _ranking_lines(view: Mapping[str, Any]) -> list[str]:
    ranking = view["ranking"]
    rows, first = ranking["rows"], ranking["rows"][0]
    if len(rows) == 1:
        said = ranking["sentence"]
    elif ranking["choice"] is None:
        said = f"The first of {len(rows)} encoders cannot be told apart from {len(first['tied_with'])} of the others."
    else:
        said = f"{ranking['choice']} is told apart from all other {len(rows) - 1} encoders."
    return [
        f"Ranking: {said}",
        *(
            f"  {row['rank']}. {row['name']}: LogME {interval(row, 'score')}, linear probe F1 {figure(row['probe_f1'])}"
            for row in view["first_ranked"]
        ),
    ]


def _evaluation_lines(evaluation: Mapping[str, Any]) -> list[str]:
    if "regional" not in evaluation:
        return list(evaluation.get("notes", []))
    lines, worst = [], evaluation["worst"]
    if worst["worst"] is not None:
        lines.append(
            f"Worst region: {worst['worst_region']}, F1 {worst['worst']:.3f} (mean over all regions {worst['mean']:.3f})."
        )
    lines += [f"Calibration error, {row['probabilities']}: {interval(row)}." for row in evaluation["calibration"]["rows"][:2]]
    gap = evaluation["optimism"]
    if gap["gap"] is not None:
        splits = f"{figure(gap['random_f1'])} with a random split, {figure(gap['blocked_f1'])} with blocks"
        lines.append(f"Optimism gap: {gap['gap']:+z.3f} (F1 {splits}).")
    return lines


def _adaptation_lines(adaptation: Mapping[str, Any]) -> list[str]:
    lines = [f"Adaptation: {adaptation['sentence']}"]
    own = next((row for row in adaptation["rows"] if "calibration_gain" in row), None)
    if own:
        lines.append(
            f"Temperature and threshold of this territory instead of the model's own: F1 {figure(own['own_calibration_f1'])} "
            f"to {figure(own['f1'])}, gain {interval(own['calibration_gain'], signed=True)}."
        )
    return lines


def _curve_lines(curve: Mapping[str, Any]) -> list[str]:
    shares = sorted({row["share"] for row in curve["rows"]})
    # The ends of a long curve say most.
    shown = shares if len(shares) <= _MOST_SHARES else [*shares[: _MOST_SHARES - 1], shares[-1]]
    return [
        f"{100 * share:g} % of the labels: "
        + ", ".join(f"{row['arm']} F1 {figure(row['f1']['mean'])}" for row in curve["rows"] if row["share"] == share)
        for share in shown
    ]


def _warning_lines(view: Mapping[str, Any]) -> list[str]:
    guard = view["guard"] or {"diverged": [], "not_possible": []}
    left_out = (view["ranking"] or {"left_out": []})["left_out"]
    tried = (view["adaptation"] or {"rows": []})["rows"]
    faults = [band["fault"] for band in (view["own"] or {"bands": []})["bands"] if band["fault"]]
    groups = (
        [f"Bands: {fault}" for fault in faults],
        [f"Left out: {row['encoder']}: {row['reason']}" for row in left_out],
        [f"Adaptation {row['method']} cannot be used: {row['reason']}" for row in tried if row["reason"]],
        [f"Diverged: {name}." for name in guard["diverged"]],
        [f"Not possible: {row['arm']}: {row['reason']}" for row in guard["not_possible"]],
        list((view["curve"] or {"notes": []})["notes"]),
    )
    lines: list[str] = []
    for group in groups:
        lines += group[:2] if len(group) <= 2 else [group[0], f"… and {len(group) - 1} more like it, see the page."]
    return [f"Warning: {line}" for line in lines]
