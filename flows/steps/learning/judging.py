"""Judge: calibrate on the validation blocks, and score the test blocks once."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import Decision, decide
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.labels.search import TEST, VALIDATION
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.legend import NOT_LABELLED, NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.scores.accuracy import (
    ClassScores,
    KindScore,
    binary_scores,
    class_scores,
    kind_scores,
    score_evidence,
    transition_scores,
)
from landshift.pipeline.scores.calibration import (
    TemperatureCheck,
    always_unchanged,
    best_threshold,
    check_temperature,
    cool,
    cool_classes,
    logit,
)
from landshift.pipeline.scores.conformal import RiskControl, risk_controlled_threshold
from landshift.pipeline.scores.reliability import calibration_error_of
from landshift.pipeline.scores.training import CandidateScores, TemperatureChecks, Temperatures
from landshift.pipeline.tiles import tiles

if TYPE_CHECKING:
    from landshift.models.network.siamese import Siamese
    from landshift.models.use.bundle import Bundle
    from landshift.pipeline.epochs.matching import Mappings

MISS_RATE = 0.1
"""Share of the change that may be missed, for which a threshold is reported where the config names none."""


@dataclass(frozen=True)
class HeldOut:
    """The labelled pixels of the held-out splits; the arrays are (1, pixel), those of classes (class, 1, pixel)."""

    change: np.ndarray | None
    """Probability of change, 0..1, NaN = not observed; None without a change head."""
    before: np.ndarray | None
    """Probability of each class before; None without land-use heads."""
    after: np.ndarray | None
    """Probability of each class after; None without land-use heads."""
    labels: Labels
    """What is known of them."""
    role: np.ndarray
    """Which split."""
    position: np.ndarray
    """int64: row x width + column in the territory."""

    @property
    def probability(self) -> np.ndarray:
        """Probability of change, from the land use of both dates where there is no change head."""
        if self.change is not None:
            return self.change
        if self.before is None or self.after is None:
            raise ValueError("the network has no head")
        return np.asarray(1.0 - np.einsum("kyx,kyx->yx", self.before, self.after), dtype=np.float32)

    def at(self, temperatures: Temperatures) -> "HeldOut":
        """Return the pixels with their probabilities at other temperatures."""
        change = None if self.change is None else cool(self.change, temperatures.change)
        before, after = (None if p is None else cool_classes(p, temperatures.landuse) for p in (self.before, self.after))
        return replace(self, change=change, before=before, after=after)


@dataclass(frozen=True)
class Calibrated:
    """Held-out pixels after calibration on the validation split."""

    raw: HeldOut
    """As the network gave them."""
    cooled: HeldOut
    """At the temperatures."""
    temperatures: Temperatures
    """Fitted on the validation split; 1 where a fitted one does not help."""
    checks: TemperatureChecks
    """Why these."""
    threshold: float
    """Probability from which a pixel counts as changed."""
    decided: Decision
    """The map of these pixels."""
    risk: RiskControl
    """The threshold that controls the share of missed change, with its guarantee."""


def keep_labelled(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labelled, observed pixels of two arrays, of which one is a uint8 label and the other a score."""
    label, score = (first, second) if first.dtype == np.uint8 else (second, first)
    kept = where & (label != NOT_LABELLED) & np.isfinite(score)
    return first[kept], second[kept]


def calibrate(seen: HeldOut, legend: Legend, blocks: np.ndarray, max_miss_rate: float | None = None) -> Calibrated:
    """Fit temperatures and a threshold on the validation pixels, and decide with them.

    A temperature is kept only where it lowers the calibration error of validation blocks that it was not fitted on.

    Args:
        seen: What the network predicted.
        legend: Of the project.
        blocks: int (1, pixel): the block of each pixel.
        max_miss_rate: Share of the change of a block that may be missed on average, above 0, below 1; None takes the
            threshold with the best F1.

    Raises:
        InputError: The validation pixels are all changed or all unchanged, or lie in too few blocks for the control.
    """
    held_out = seen.role == VALIDATION
    checks = TemperatureChecks()
    if seen.change is not None:
        checks = replace(checks, change=_check_change(seen.change, seen.labels.change, held_out, blocks))
    if seen.before is not None and seen.after is not None:
        landuse = _check_landuse((seen.before, seen.after), seen.labels, legend, where=held_out, blocks=blocks)
        checks = replace(checks, landuse=landuse)
    temperatures = Temperatures(*(1.0 if c is None else c.temperature for c in (checks.change, checks.landuse)))
    calm = seen.at(temperatures)
    threshold = best_threshold(*keep_labelled(calm.probability, seen.labels.change, held_out), near=0.5)
    risk = _control_risk(calm.probability, seen.labels.change, held_out, blocks, max_miss_rate=max_miss_rate)
    if max_miss_rate is not None:
        if risk.threshold is None:
            raise InputError(f"`calibration: max_miss_rate: {max_miss_rate:g}` cannot be met. {risk.guarantee}")
        threshold = risk.threshold
    decided = decide(calm.change, calm.before, calm.after, legend, threshold=threshold)
    return Calibrated(seen, calm, temperatures, checks, threshold=threshold, decided=decided, risk=risk)


def _control_risk(
    probability: np.ndarray, change: np.ndarray, where: np.ndarray, blocks: np.ndarray, max_miss_rate: float | None
) -> RiskControl:
    found, truth = keep_labelled(probability, change, where)
    block = blocks[where & (change != NOT_LABELLED) & np.isfinite(probability)]
    return risk_controlled_threshold(by_block(block, found, truth), max_miss_rate or MISS_RATE)


def by_block(block: np.ndarray, probability: np.ndarray, truth: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide the probability and the truth of pixels (pixel,) into one pair of arrays for each block."""
    order = np.argsort(block, kind="stable")
    cuts = np.flatnonzero(np.diff(block[order])) + 1
    parts = (np.split(values[order], cuts) for values in (probability, truth))
    return list(zip(*parts, strict=True)) if block.size else []


def judge(
    ws: Workspace,
    prepared: Pair,
    bundle: "Bundle",
    network: "Siamese",
    masks: DividedLabels,
    *,
    controlled: bool = True,
) -> "tuple[Bundle, CandidateScores, Calibrated]":
    """Calibrate on the validation pixels, then score the test pixels once.

    Args:
        ws: The project.
        prepared: Its images.
        bundle: What is known of the network.
        network: After training.
        masks: The labels, divided.
        controlled: Take the threshold that the config's limit to the miss rate asks for, where it has one.

    Returns:
        The calibrated bundle, its scores, and the pixels behind them.
    """
    seen = predict_held_out(ws, prepared, network, masks)
    side, width = ws.project.split.block_px, masks.role.shape[1]
    blocks = block_index(*np.divmod(seen.position, width), width, side)
    calibrated = calibrate(seen, bundle.legend, blocks, ws.project.calibration.max_miss_rate if controlled else None)
    labels, temperatures, threshold, decided = seen.labels, calibrated.temperatures, calibrated.threshold, calibrated.decided
    held_out, test, probability = seen.role == VALIDATION, seen.role == TEST, calibrated.cooled.probability
    known = test & (labels.change != NOT_LABELLED) & np.isfinite(probability)
    scored, truth = probability[known], labels.change[known]
    evidence = score_evidence(truth, scored >= threshold, blocks[known])
    warning = always_unchanged(*keep_labelled(probability, labels.change, held_out), threshold)
    scores = CandidateScores(
        seed=bundle.facts.seed, strategy=bundle.facts.strategy, validation_score=bundle.facts.fit.best_score,
        threshold=threshold, phases=ws.project.detect.phases,
        temperatures=temperatures, test=binary_scores(truth, scored, threshold),
        calibration_error=calibration_error_of(scored, truth), evidence=evidence,
        kinds=score_kinds(labels, decided.change, test, blocks, legend=bundle.legend),
        warnings=tuple(sentence for sentence in (warning, evidence.caution) if sentence),
        risk_control=calibrated.risk, temperature_checks=calibrated.checks,
    )  # fmt: skip
    scores = score_landuse(scores, labels, decided, test, legend=bundle.legend)
    return replace(bundle, temperatures=temperatures, threshold=threshold), scores, calibrated


def score_landuse(
    scores: CandidateScores, labels: Labels, decided: Decision, test: np.ndarray, *, legend: Legend
) -> CandidateScores:  # fmt: skip
    """Add the scores of land use and of kinds of change, where the decision has land use, on the pixels of a mask."""
    if decided.before is None or decided.after is None:
        return scores
    return replace(
        scores, landuse_before=_score_classes(labels.before, decided.before, test, legend),
        landuse_after=_score_classes(labels.after, decided.after, test, legend),
        transitions=_score_transitions(labels, decided.change, test, legend),
    )  # fmt: skip


def predict_held_out(
    ws: Workspace,
    prepared: Pair,
    network: "Siamese",
    masks: DividedLabels,
    adaptation: "Mappings" = (None, None),
) -> HeldOut:
    """Predict the tiles that hold a labelled pixel of the held-out splits, and keep just those pixels."""
    from landshift.models.use.inference import device_of
    from landshift.models.use.streaming import stream

    labels, role = masks.labels, masks.role
    used = np.isin(role, (VALIDATION, TEST)) & labels.labelled
    config = ws.project.detect
    wanted = [t for t in tiles((role.shape[0], role.shape[1]), config.core, config.margin_px) if used[t.core.slices].any()]
    network = network.to(device_of(config.device)).eval()
    truth = {
        "label_before": labels.before, "label_after": labels.after, "label_change": labels.change, "role": role,
    }  # fmt: skip
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    source = replace(prepared.source, adaptation=adaptation)
    predicted = stream(network, source, wanted, Temperatures(), phases=config.phases)
    with step("Judging") as advance:
        for number, mapped in enumerate(predicted, start=1):
            tile, found = mapped.tile, mapped.probabilities
            inside = used[tile.core.slices]
            for name, array in (("change", found.change), ("before", found.before), ("after", found.after)):
                if array is not None:
                    parts[name].append(array[..., inside])
            for name, array in truth.items():
                parts[name].append(array[tile.core.slices][inside])
            y, x = np.nonzero(inside)
            parts["position"].append((y + tile.core.y) * role.shape[1] + x + tile.core.x)
            advance(number / len(wanted))
    network.to("cpu")
    # One row of pixels, so that the rules for maps apply as they are.
    rows = {name: np.concatenate(part, axis=-1)[..., np.newaxis, :] for name, part in parts.items()}
    known = Labels(rows["label_before"], rows["label_after"], rows["label_change"])
    return HeldOut(
        rows.get("change"), rows.get("before"), rows.get("after"), known, role=rows["role"], position=rows["position"]
    )


def _score_classes(truth: np.ndarray, found: np.ndarray, test: np.ndarray, legend: Legend) -> ClassScores:
    known = test & (truth != NOT_LABELLED) & (found != NOT_OBSERVED)
    return class_scores(truth[known], found[known], legend)


def _score_transitions(labels: Labels, found: np.ndarray, test: np.ndarray, legend: Legend) -> ClassScores:
    known = test & (labels.before != NOT_LABELLED) & (labels.after != NOT_LABELLED) & (found != NOT_OBSERVED)
    truth = legend.change_lookup()[labels.before[known], labels.after[known]]
    return transition_scores(truth, found[known], legend)


def score_kinds(
    labels: Labels, found: np.ndarray, test: np.ndarray, blocks: np.ndarray, *, legend: Legend
) -> tuple[KindScore, ...]:  # fmt: skip
    """Return how often each kind of change was right, and found, on the pixels of a mask."""
    if legend.binary:
        known = test & (labels.change != NOT_LABELLED) & (found != NOT_OBSERVED)
        truth = labels.change[known] + np.uint8(UNCHANGED)
    else:
        known = test & (labels.before != NOT_LABELLED) & (labels.after != NOT_LABELLED) & (found != NOT_OBSERVED)
        truth = legend.change_lookup()[labels.before[known], labels.after[known]]
    return kind_scores(truth, found[known], blocks[known], legend)


def _check_change(probability: np.ndarray, label: np.ndarray, where: np.ndarray, blocks: np.ndarray) -> TemperatureCheck:
    known = where & (label != NOT_LABELLED) & np.isfinite(probability)
    return check_temperature(logit(probability[known]), label[known], blocks[known])


def _check_landuse(
    shares: tuple[np.ndarray, np.ndarray], labels: Labels, legend: Legend, where: np.ndarray, blocks: np.ndarray
) -> TemperatureCheck:
    index = np.full(256, NOT_LABELLED, dtype=np.uint8)
    index[[c.code for c in legend.classes]] = np.arange(len(legend.classes))
    parts = []
    for share, label in zip(shares, (labels.before, labels.after), strict=True):
        known = where & (label != NOT_LABELLED) & np.isfinite(share[0])
        parts.append((np.log(np.clip(share[:, known].T, 1e-12, 1)), index[label[known]], blocks[known]))
    logits, truth, block = (np.concatenate(part) for part in zip(*parts, strict=True))
    return check_temperature(logits, truth, block)
