"""An assessment for people: its page, its lines in the terminal, and its part of a model's card."""

from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.formatting import duration, energy, figure, gas, interval, percent
from landshift.pipeline.gates import warnings_of
from landshift.pipeline.pages.assessment_view import ARMS, assessment_view
from landshift.pipeline.scores.adaptation import AdaptationCheck, ScoredBaseline
from landshift.pipeline.scores.assessment import Assessment, Evaluation, LabelCurve, NoEvaluation
from landshift.pipeline.scores.training import CandidateScores

_MOST_SHARES = 5
"""Points of the curve that the terminal names."""


def assessment_page(assessment: Assessment) -> str:
    """Write the page of an assessment: one file that needs no network and no scripts."""
    return template_environment(html=True).get_template("assessment.html.j2").render(assessment_view(assessment))


def card_section(assessment: Assessment) -> str:
    """Write the assessment's part of a model's card, Markdown with headings from the second level on."""
    return (
        template_environment(html=False).get_template("assessment_card.md.j2").render(assessment_view(assessment, plots=False))
    )


def summary_lines(assessment: Assessment) -> list[str]:
    """Summarise an assessment in about 25 lines, the verdict first."""
    view = assessment_view(assessment, plots=False)
    word, guard, cost = view["headline"], assessment.guard, assessment.cost
    lines = [f"{word['badge']}: " + (guard.sentence if guard else f"{word['title']}. {word['advice']}".strip())]
    if guard:
        others = [(n, v) for n, v in guard.controls.items() if v.sentence != guard.sentence]
        lines += [f"Against {ARMS.get(n, n)}: F1 {interval(v.interval, signed=True)}, {v.verdict}." for n, v in others]
    lines += image_lines(assessment.chips) if assessment.chips else []
    lines += _ranking_lines(assessment)
    if assessment.overlap:
        lines.append(f"Overlap: {assessment.overlap.sentence}")
    lines += _evaluation_lines(assessment.evaluation)
    if assessment.adaptation:
        lines += _adaptation_lines(assessment.adaptation)
    if assessment.strategies:
        lines.append(f"Strategy: {assessment.strategies.sentence}")
    if assessment.curve:
        lines += _curve_lines(assessment.curve)
    if assessment.verification:
        scores = assessment.verification.scores
        taus = [f"{name} {format(score.tau, '+z.2f') if score.tau is not None else '–'}" for name, score in scores.items()]
        lines.append(f"Kendall's tau with F1 after training: {', '.join(taus)}.")
    if cost:
        lines.append(f"Cost: {duration(cost.seconds)}, {energy(cost.kwh)}, {gas(cost.co2e_kg)} CO2e ({cost.how}).")
    return lines + _warning_lines(assessment)


def image_lines(scores: CandidateScores) -> list[str]:
    """Summarise how the test images of a collection do."""
    found = scores.images
    if found is None:
        return []
    f1, alarms = found.f1, found.false_alarms
    lines = [
        f"Test images: {found.images:,}, {found.with_change:,} of them with change. F1 of an image: "
        f"median {figure(f1.median)}, quartiles {figure(f1.low)} and {figure(f1.high)}."
    ]
    if found.worst:
        worst = ", ".join(f"{image.name} ({figure(image.f1)})" for image in found.worst[:5])
        lines.append(f"Lowest F1: {worst}.")
    if alarms.images:
        lines.append(
            f"Of {alarms.images:,} images without change, the median has {percent(alarms.median)} of its pixels mapped as "
            f"changed."
        )
    return [*lines, "Every test image is in test_images.csv."]


def _ranking_lines(assessment: Assessment) -> list[str]:
    if assessment.ranking is None:
        return []
    rows, choice = assessment.ranking.rows, assessment.ranking.choice
    if len(rows) == 1:
        summary = assessment.ranking.sentence
    elif choice is None:
        summary = f"The first of {len(rows)} encoders cannot be separated from {len(rows[0].tied_with)} of the others."
    else:
        summary = f"{choice} is separated from all other {len(rows) - 1} encoders."
    shown = assessment_view(assessment, plots=False)["first_ranked"]
    return [
        f"Ranking: {summary}",
        *(f"  {r.rank}. {r.name}: LogME {interval(r, 'score')}, linear probe F1 {figure(r.probe_f1)}" for r in shown),
    ]


def _evaluation_lines(evaluation: Evaluation | NoEvaluation | None) -> list[str]:
    if not isinstance(evaluation, Evaluation):
        return [] if evaluation is None else list(evaluation.notes)
    lines, worst = [], evaluation.worst
    if worst.worst is not None:
        lines.append(f"Worst region: {worst.worst_region}, F1 {worst.worst:.3f} (mean over all regions {worst.mean:.3f}).")
    lines += [f"Calibration error, {row.probabilities}: {interval(row)}." for row in evaluation.calibration.rows[:2]]
    gap = evaluation.optimism
    if gap.gap is not None:
        splits = f"{figure(gap.random_f1)} with a random split, {figure(gap.blocked_f1)} with blocks"
        lines.append(f"Optimism gap: {gap.gap:+z.3f} (F1 {splits}).")
    return lines


def _adaptation_lines(adaptation: AdaptationCheck) -> list[str]:
    lines = [f"Adaptation: {adaptation.sentence}"]
    own = next((row for row in adaptation.rows if isinstance(row, ScoredBaseline)), None)
    if own:
        lines.append(
            f"Temperature and threshold of this territory instead of the model's own: F1 {figure(own.own_calibration_f1)} "
            f"to {figure(own.f1)}, gain {interval(own.calibration_gain, signed=True)}."
        )
    return lines


def _curve_lines(curve: LabelCurve) -> list[str]:
    shares = sorted({row.share for row in curve.rows})
    # Of a long curve the ends matter most.
    shown = shares if len(shares) <= _MOST_SHARES else [*shares[: _MOST_SHARES - 1], shares[-1]]
    return [
        f"{100 * share:g} % of the labels: "
        + ", ".join(f"{row.arm} F1 {figure(row.f1.mean)}" for row in curve.rows if row.share == share)
        for share in shown
    ]


def _warning_lines(assessment: Assessment) -> list[str]:
    guard, ranking, adaptation, curve = assessment.guard, assessment.ranking, assessment.adaptation, assessment.curve
    groups = (
        warnings_of(assessment.gates),
        [f"Bands: {band.fault}" for band in assessment.bands if band.fault],
        [f"Left out: {row.encoder}: {row.reason}" for row in ranking.left_out] if ranking else [],
        [f"Adaptation {r.method} cannot be used: {r.reason}" for r in adaptation.rows if r.reason] if adaptation else [],
        [f"Diverged: {name}." for name in guard.diverged] if guard else [],
        [f"Not possible: {row.arm}: {row.reason}" for row in guard.not_possible] if guard else [],
        list(curve.notes) if curve else [],
    )
    lines: list[str] = []
    for group in groups:
        lines += group[:2] if len(group) <= 2 else [group[0], f"… and {len(group) - 1} more like it, see the page."]
    return [f"Warning: {line}" for line in lines]
