"""Evaluation and calibration by region, from the pixels that trials held out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from landshift.flows.steps.assessment.guard import arms, splits_of
from landshift.flows.steps.assessment.trials import BLOCKS, RANDOM, Trial, TrialResult, pixels_of, worst_and_mean
from landshift.flows.steps.learning.judging import MISS_RATE, by_block
from landshift.flows.steps.project.plan import legend_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions, block_index
from landshift.pipeline.labels.search import TEST
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.scores.assessment import CalibrationComparison, CheckedRisk, Evaluation, NoEvaluation
from landshift.pipeline.scores.calibration import cool, fit_temperature, logit
from landshift.pipeline.scores.conformal import risk_controlled_threshold
from landshift.pipeline.scores.evidence import interval_of_pairs
from landshift.pipeline.scores.regional import ClassRegion, OptimismGap, class_region_table, optimism_gap, regional_scores
from landshift.pipeline.scores.reliability import CalibrationRow, brier_score, calibration_error_interval, reliability

_FEWEST = 20
"""Changed, and unchanged, pixels that a temperature of its own needs."""


def evaluation_trials(ws: Workspace, regions: Regions) -> list[Trial]:
    """List the trials of the project's own model: every fold, the blocks, and the random split that flatters."""
    encoder, strategy = arms(ws)["candidate"]
    seeds = ws.project.assess.seeds
    splits = dict.fromkeys((*splits_of(regions), BLOCKS, RANDOM))
    return [Trial(encoder, strategy, seed, split) for split in splits for seed in seeds]


def evaluate(
    ws: Workspace, outcomes: Mapping[Trial, TrialResult], regions: Regions
) -> Evaluation | NoEvaluation:  # fmt: skip
    """Score the project's model in each region that it never saw, and see how far its probabilities can be trusted."""
    arm = arms(ws)["candidate"]
    tried = [o for o in outcomes.values() if (o.trial.encoder, o.trial.strategy) == arm and o.trial.share >= 1]
    own = [o for o in tried if o.state == "done"]
    folds = [o for o in own if o.trial.split in splits_of(regions)]
    if not folds:
        return NoEvaluation(("No trial of the project's model could be finished, so regions cannot be compared.",))
    seed = min(o.trial.seed for o in folds)
    first = [o for o in folds if o.trial.seed == seed]
    pixels = _pool(ws, first, regions)
    test = {name: values[pixels["role"] == TEST] for name, values in pixels.items()}
    # A fold holds whole regions out, so each region has one model and one threshold.
    thresholds = {n: o.facts.threshold for o in first if o.facts is not None for n in o.regions}
    regional = regional_scores(
        test["truth"],
        test["probability"],
        [thresholds.get(n, 0.5) for n in regions.names],
        test["region"],
        names=regions.names,
        blocks=test["block"],
    )
    return Evaluation(
        seed=seed, worst=worst_and_mean([o for o in tried if o.trial.split in splits_of(regions)], regions),
        regional=regional, calibration=_compare_calibrations(test, regions),
        risk=_check_risk(test, ws.project.calibration.max_miss_rate or MISS_RATE),
        optimism=_optimism(own), regions_by_seed=_by_seed(folds),
        classes=_classes(ws, test, regions) if "truth_after" in test else None,
    )  # fmt: skip


def _by_seed(outcomes: Sequence[TrialResult]) -> dict[str, dict[str, float | None]]:
    rows: dict[str, dict[str, float | None]] = {}
    for outcome in outcomes:
        rows.setdefault(str(outcome.trial.seed), {}).update(outcome.regions)
    return rows


def _optimism(outcomes: Sequence[TrialResult]) -> OptimismGap:
    """Compare the two splits, with the interval of the gap over seeds."""
    by_seed = {split: {o.trial.seed: o.f1 for o in outcomes if o.trial.split == split and o.f1 is not None}
               for split in (RANDOM, BLOCKS)}  # fmt: skip
    random, blocked = ([f1 for f1 in by_seed[split].values() if f1 is not None] for split in (RANDOM, BLOCKS))
    gap = optimism_gap(float(np.mean(random)) if random else None, float(np.mean(blocked)) if blocked else None)
    paired = [(f1 or 0.0) - (by_seed[BLOCKS][seed] or 0.0) for seed, f1 in by_seed[RANDOM].items() if seed in by_seed[BLOCKS]]
    interval = interval_of_pairs(paired)
    return replace(gap, low=interval.low, high=interval.high)


def _pool(ws: Workspace, outcomes: Sequence[TrialResult], regions: Regions) -> dict[str, np.ndarray]:
    """Put the pixels of several folds together, each with its region, its block, and which half of the blocks that is in."""
    side, width = ws.project.split.block_px, regions.index.shape[1]
    parts: list[dict[str, np.ndarray]] = []
    for outcome in outcomes:
        part = pixels_of(ws, outcome.trial)
        y, x = np.divmod(part["position"], width)
        part["region"] = regions.index.reshape(-1)[part["position"]].astype(np.int64)
        part["block"], part["half"] = block_index(y, x, width, side), (y // side + x // side) % 2
        parts.append(part)
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _compare_calibrations(test: Mapping[str, np.ndarray], regions: Regions) -> CalibrationComparison:
    """Compare raw probabilities, the temperature from elsewhere, and one of the region itself, on the same pixels.

    Every second block of a region gives its own temperature; the others judge all three.
    """
    known = (test["truth"] != NOT_LABELLED) & np.isfinite(test["raw"])
    fitting = test["half"] == 0
    local = test["probability"].copy()
    temperatures: dict[str, float | None] = {}
    for index, name in enumerate(regions.names):
        here = known & (test["region"] == index)
        truth = test["truth"][here & fitting]
        temperatures[name] = None
        if min(int((truth == 0).sum()), int((truth == 1).sum())) >= _FEWEST:
            temperatures[name] = fit_temperature(logit(test["raw"][here & fitting]), truth)
            local[here] = cool(test["raw"][here], temperatures[name] or 1.0)
    judged = known & ~fitting
    truth, block = test["truth"][judged], test["block"][judged]
    kinds = {"raw": test["raw"], "temperature from other regions": test["probability"], "temperature of the region": local}
    rows = []
    for name, probability in kinds.items():
        error = calibration_error_interval(probability[judged], truth, block)
        rows.append(CalibrationRow(probabilities=name, **vars(error), brier=brier_score(probability[judged], truth)))
    table = {name: reliability(probability[judged], truth, 10) for name, probability in kinds.items()}
    fallback = [name for name, t in temperatures.items() if t is None]
    notes = tuple(
        f"{name}: too few labels for a temperature of its own; the one from the other regions is used." for name in fallback
    )
    return CalibrationComparison(tuple(rows), temperatures, table, int(judged.sum()), notes=notes)


def _check_risk(test: Mapping[str, np.ndarray], alpha: float) -> CheckedRisk:
    """Choose the threshold on every second block, and see on the others what share of the change it misses."""

    def tiles(half: int) -> list[tuple[np.ndarray, np.ndarray]]:
        chosen = test["half"] == half
        return by_block(test["block"][chosen], test["probability"][chosen], test["truth"][chosen])

    control = risk_controlled_threshold(tiles(0), alpha)
    missed = []
    for probability, truth in tiles(1):
        changed = (truth == 1) & np.isfinite(probability)
        if control.threshold is not None and changed.any():
            missed.append(float((probability[changed] < control.threshold).mean()))
    return CheckedRisk(**vars(control), checked_tiles=len(missed), checked_miss_rate=float(np.mean(missed)) if missed else None)


def _classes(ws: Workspace, test: Mapping[str, np.ndarray], regions: Regions) -> dict[str, tuple[ClassRegion, ...]]:
    legend = legend_of(ws.project)
    found = {}
    for date in ("before", "after"):
        kept = (test[f"truth_{date}"] != NOT_LABELLED) & (test[f"found_{date}"] != 0)
        found[date] = class_region_table(
            test[f"truth_{date}"][kept], test[f"found_{date}"][kept], test["region"][kept], regions.names, legend=legend
        )
    return found
