"""Label efficiency: what a share of the labels is worth, from pretrained and from random weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from landshift.flows.steps.assessment.trials import Outcome, Trial
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.scores.evidence import paired_interval

RANDOM = "random weights"

# The mean of equal numbers can lie above each of them in the last digit of a float.
_ROUNDING = 1e-9


def curve_arms(ws: Workspace) -> dict[str, tuple[str, str]]:
    """Return the arms of the curve: the encoders that the config lists, else its own, and random weights."""
    model, strategy = ws.project.model.encoder, ws.project.training.strategy
    strategy = "full" if strategy == "scratch" else strategy
    encoders = ws.project.assess.curve_encoders or (model,)
    return {name: (name, strategy) for name in encoders} | {RANDOM: (model, "scratch")}


def curve_trials(ws: Workspace) -> list[Trial]:
    """List the trials: every share of the labels, arm and seed, on the blocks of the project's split."""
    assess = ws.project.assess
    return [
        Trial(encoder, strategy, seed, share=share)
        for share in reversed(assess.fractions) for seed in assess.seeds for encoder, strategy in curve_arms(ws).values()
    ]  # fmt: skip


def label_efficiency(ws: Workspace, outcomes: Mapping[Trial, Outcome]) -> dict[str, Any]:
    """Tabulate F1 by share of the labels, and what it took each arm to reach a target.

    The target is the F1 on the validation blocks that random weights reach in the end with the same labels, mean over
    seeds.

    Returns:
        `rows`: arm, share, seeds, `f1` (mean, low, high), differences from random weights (paired by seed), `epochs`,
        `seconds` and `kwh` of a training, and the same until the target; `notes` on points that could not be trained.
    """
    rows, notes = [], []
    for share in ws.project.assess.fractions:
        of_arm = {name: _of(ws, outcomes, pair, share) for name, pair in curve_arms(ws).items()}
        ends = [_history(o)[-1] for o in of_arm[RANDOM].values() if o.state == "done" and _history(o)]
        target = float(np.mean(ends)) if ends else None
        for name, by_seed in of_arm.items():
            done = {seed: o for seed, o in by_seed.items() if o.state == "done" and o.f1 is not None}
            notes += [f"{name}, {100 * share:g} % of the labels, seed {s}: {o.state}. {o.reason}" for s, o in by_seed.items()
                      if o.state != "done"]  # fmt: skip
            pairs = [
                (o.f1 or 0.0) - (of_arm[RANDOM][seed].f1 or 0.0)
                for seed, o in done.items() if name != RANDOM and of_arm[RANDOM][seed].state == "done"
            ]  # fmt: skip
            reached = [_until(o, target) for o in done.values()]
            rows.append({
                "arm": name, "share": share, "seeds": len(done),
                "f1": _within(_summary([o.f1 for o in done.values() if o.f1 is not None])),
                "f1_by_seed": {str(seed): o.f1 for seed, o in done.items()},
                "gain": _summary(pairs), "epochs": _mean([o.facts["fit"]["epochs"] for o in done.values()]),
                "seconds": _mean([o.facts["fit"]["seconds"] for o in done.values()]),
                "kwh": _mean([_kwh(o) for o in done.values()]),
                "target_f1": target, "reached": sum(r is not None for r in reached),
                "epochs_to_target": _mean([r[0] for r in reached if r]), "kwh_to_target": _mean([r[1] for r in reached if r]),
            })  # fmt: skip
    return {"rows": rows, "notes": notes}


def _of(ws: Workspace, outcomes: Mapping[Trial, Outcome], pair: tuple[str, str], share: float) -> dict[int, Outcome]:
    trials = {seed: Trial(*pair, seed, share=share) for seed in ws.project.assess.seeds}
    return {seed: outcomes[trial] for seed, trial in trials.items() if trial in outcomes}


def _history(outcome: Outcome) -> list[float]:
    """Return the F1 on the validation blocks after each epoch."""
    return [row["f1"] for row in outcome.facts["fit"]["history"] if "f1" in row]


def _until(outcome: Outcome, target: float | None) -> tuple[int, float | None] | None:
    """Return the epochs and the energy until the target; None where it was not reached."""
    history = _history(outcome)
    if target is None:
        return None
    first = next((number for number, f1 in enumerate(history, start=1) if f1 >= target - _ROUNDING), None)
    if first is None:
        return None
    whole = _kwh(outcome)
    return first, None if whole is None else whole * first / len(history)


def _kwh(outcome: Outcome) -> float | None:
    cost = outcome.facts.get("cost") or {}
    return cost.get("kwh")


def _mean(values: list[Any]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _within(interval: dict[str, float | None]) -> dict[str, float | None]:
    """Cut an interval of F1 to 0..1: Student's t does not know that nothing lies beyond."""
    return {name: None if value is None else min(max(value, 0.0), 1.0) for name, value in interval.items()}


def _summary(values: list[float]) -> dict[str, float | None]:
    found = paired_interval(values)
    return {"mean": found.estimate, "low": found.low, "high": found.high}
