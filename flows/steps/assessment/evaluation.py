"""Evaluation and calibration by region, from the pixels that trials held out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landshift.flows.steps.assessment.guard import arms, splits_of
from landshift.flows.steps.assessment.trials import BLOCKS, RANDOM, Outcome, Trial, pixels_of, worst_and_mean
from landshift.flows.steps.learning.judging import MISS_RATE, by_block
from landshift.flows.steps.project.plan import legend_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions, block_index
from landshift.pipeline.labels.search import TEST
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.scores.calibration import cooled, fit_temperature, logit
from landshift.pipeline.scores.conformal import risk_controlled_threshold
from landshift.pipeline.scores.evidence import paired_interval
from landshift.pipeline.scores.regional import class_region_table, optimism_gap, regional_scores
from landshift.pipeline.scores.reliability import brier_score, calibration_error_interval, reliability

_FEWEST = 20
"""Changed, and unchanged, pixels that a temperature of its own needs."""


def evaluation_trials(ws: Workspace, regions: Regions) -> list[Trial]:
    """List the trials of the project's own model: every fold, the blocks, and the random split that flatters."""
    encoder, strategy = arms(ws)["candidate"]
    seeds = ws.project.assess.seeds
    splits = dict.fromkeys((*splits_of(regions), BLOCKS, RANDOM))
    return [Trial(encoder, strategy, seed, split) for split in splits for seed in seeds]


def evaluated(ws: Workspace, outcomes: Mapping[Trial, Outcome], regions: Regions) -> dict[str, Any]:
    """Say how the project's model does in each region that it never saw, and how far its probabilities can be trusted.

    Returns:
        `regional`, `classes` (class by region, where there are classes), `calibration`, `risk`, `optimism`.
    """
    arm = arms(ws)["candidate"]
    tried = [o for o in outcomes.values() if (o.trial.encoder, o.trial.strategy) == arm and o.trial.share >= 1]
    own = [o for o in tried if o.state == "done"]
    folds = [o for o in own if o.trial.split in splits_of(regions)]
    if not folds:
        return {"notes": ["No trial of the project's model could be finished, so nothing can be said about regions."]}
    seed = min(o.trial.seed for o in folds)
    first = [o for o in folds if o.trial.seed == seed]
    pixels = _pooled(ws, first, regions)
    test = {name: values[pixels["role"] == TEST] for name, values in pixels.items()}
    # A fold holds whole regions out, so each region has one model and one threshold.
    thresholds = {n: o.facts["threshold"] for o in first for n in o.regions}
    said = regional_scores(
        test["truth"], test["probability"], [thresholds.get(n, 0.5) for n in regions.names], test["region"], regions.names
    )
    found: dict[str, Any] = {
        "seed": seed, "worst": worst_and_mean([o for o in tried if o.trial.split in splits_of(regions)], regions),
        "regional": said.as_dict(), "calibration": _calibration(test, regions),
        "risk": _risk(test, ws.project.calibration.max_miss_rate or MISS_RATE),
        "optimism": _optimism(own),
        "regions_by_seed": _by_seed(folds),
    }  # fmt: skip
    if "truth_after" in test:
        found["classes"] = _classes(ws, test, regions)
    return found


def _by_seed(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    rows: dict[str, dict[str, float | None]] = {}
    for outcome in outcomes:
        rows.setdefault(str(outcome.trial.seed), {}).update(outcome.regions)
    return rows


def _optimism(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Compare the two splits, with the interval of the gap over seeds."""
    by_seed = {split: {o.trial.seed: o.f1 for o in outcomes if o.trial.split == split and o.f1 is not None}
               for split in (RANDOM, BLOCKS)}  # fmt: skip
    random, blocked = ([f1 for f1 in by_seed[split].values() if f1 is not None] for split in (RANDOM, BLOCKS))
    gap = optimism_gap(float(np.mean(random)) if random else None, float(np.mean(blocked)) if blocked else None)
    paired = [(f1 or 0.0) - (by_seed[BLOCKS][seed] or 0.0) for seed, f1 in by_seed[RANDOM].items() if seed in by_seed[BLOCKS]]
    interval = paired_interval(paired)
    return {**gap.as_dict(), "low": interval.low, "high": interval.high}


def _pooled(ws: Workspace, outcomes: Sequence[Outcome], regions: Regions) -> dict[str, np.ndarray]:
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


def _calibration(test: Mapping[str, np.ndarray], regions: Regions) -> dict[str, Any]:
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
            local[here] = cooled(test["raw"][here], temperatures[name] or 1.0)
    judged = known & ~fitting
    truth, block = test["truth"][judged], test["block"][judged]
    kinds = {"raw": test["raw"], "temperature from other regions": test["probability"], "temperature of the region": local}
    rows = []
    for name, probability in kinds.items():
        error = calibration_error_interval(probability[judged], truth, block)
        rows.append({"probabilities": name, **error.as_dict(), "brier": brier_score(probability[judged], truth)})
    table = {
        name: [vars_of(b) for b in reliability(probability[judged], truth, 10)] for name, probability in kinds.items()
    }  # fmt: skip
    fallback = [name for name, t in temperatures.items() if t is None]
    notes = [
        f"{name}: too few labels for a temperature of its own; the one from the other regions is used." for name in fallback
    ]
    return {"rows": rows, "temperatures": temperatures, "reliability": table, "pixels": int(judged.sum()), "notes": notes}


def vars_of(row: Any) -> dict[str, Any]:  # noqa: ANN401 (a frozen dataclass)
    """Return the fields of a small record."""
    return dict(vars(row))


def _risk(test: Mapping[str, np.ndarray], alpha: float) -> dict[str, Any]:
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
    return {**control.as_dict(), "checked_tiles": len(missed), "checked_miss_rate": float(np.mean(missed)) if missed else None}


def _classes(ws: Workspace, test: Mapping[str, np.ndarray], regions: Regions) -> dict[str, Any]:
    legend = legend_of(ws.project)
    found = {}
    for date in ("before", "after"):
        kept = (test[f"truth_{date}"] != NOT_LABELLED) & (test[f"found_{date}"] != 0)
        rows = class_region_table(
            test[f"truth_{date}"][kept], test[f"found_{date}"][kept], test["region"][kept], regions.names, legend
        )
        found[date] = [row.as_dict() for row in rows]
    return found
