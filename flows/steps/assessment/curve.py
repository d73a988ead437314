"""Label efficiency: what a share of the labels is worth, from pretrained and from random weights."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple

import numpy as np

from landshift.flows.steps.assessment.trials import Trial, TrialFacts, TrialResult
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.scores.assessment import CurveRow, LabelCurve, MeanInterval
from landshift.pipeline.scores.evidence import interval_of_pairs

RANDOM = "random weights"

# The mean of equal numbers can lie above each of them in the last digit of a float.
_ROUNDING = 1e-9


def curve_arms(ws: Workspace) -> dict[str, tuple[str, str]]:
    """Return the arms of the curve: the encoders that the config lists, else its own, and random weights."""
    model, strategy = ws.project.model.encoder, ws.project.training.assessed_strategy
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


def measure_curve(ws: Workspace, outcomes: Mapping[Trial, TrialResult]) -> LabelCurve:
    """Tabulate F1 by share of the labels, and what each arm took to reach a target.

    The target is the F1 on the validation blocks that random weights reach in the end with the same labels, mean over
    seeds.
    """
    rows, notes = [], []
    for share in ws.project.assess.fractions:
        of_arm = {name: _of(ws, outcomes, pair, share) for name, pair in curve_arms(ws).items()}
        control = {seed: o.f1 for seed, o in of_arm[RANDOM].items() if o.facts is not None}
        ends = [history[-1] for o in of_arm[RANDOM].values() if o.facts is not None and (history := _history(o.facts))]
        target = float(np.mean(ends)) if ends else None
        for name, by_seed in of_arm.items():
            done = {seed: o for seed, o in by_seed.items() if o.f1 is not None}
            facts = [o.facts for o in done.values() if o.facts is not None]
            notes += [f"{name}, {100 * share:g} % of the labels, seed {s}: {o.state}. {o.reason}" for s, o in by_seed.items()
                      if o.state != "done"]  # fmt: skip
            gains = [(o.f1 or 0.0) - (control[seed] or 0.0) for seed, o in done.items() if name != RANDOM and seed in control]
            reached = [found for f in facts if (found := _until(f, target)) is not None]
            f1 = _summarise([o.f1 for o in done.values() if o.f1 is not None])
            rows.append(CurveRow(
                # Student's t does not know that no F1 lies beyond 0..1.
                arm=name, share=share, seeds=len(done), f1=MeanInterval(*(v and min(max(v, 0.0), 1.0) for v in astuple(f1))),
                f1_by_seed={str(seed): o.f1 for seed, o in done.items()}, gain=_summarise(gains),
                epochs=_mean([f.fit.epochs for f in facts]), seconds=_mean([f.fit.seconds for f in facts]),
                kwh=_mean([_kwh(f) for f in facts]), target_f1=target, reached=len(reached),
                epochs_to_target=_mean([epochs for epochs, _ in reached]), kwh_to_target=_mean([kwh for _, kwh in reached]),
            ))  # fmt: skip
    return LabelCurve(tuple(rows), tuple(notes))


def _of(ws: Workspace, outcomes: Mapping[Trial, TrialResult], pair: tuple[str, str], share: float) -> dict[int, TrialResult]:
    trials = {seed: Trial(*pair, seed, share=share) for seed in ws.project.assess.seeds}
    return {seed: outcomes[trial] for seed, trial in trials.items() if trial in outcomes}


def _history(facts: TrialFacts) -> list[float]:
    """Return the F1 on the validation blocks after each epoch."""
    return [row["f1"] for row in facts.fit.history if "f1" in row]


def _until(facts: TrialFacts, target: float | None) -> tuple[int, float | None] | None:
    """Return the epochs and the energy until the target; None where it was not reached."""
    history = _history(facts)
    if target is None:
        return None
    first = next((number for number, f1 in enumerate(history, start=1) if f1 >= target - _ROUNDING), None)
    if first is None:
        return None
    whole = _kwh(facts)
    return first, None if whole is None else whole * first / len(history)


def _kwh(facts: TrialFacts) -> float | None:
    return None if facts.cost is None else facts.cost.kwh


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _summarise(values: Sequence[float]) -> MeanInterval:
    found = interval_of_pairs(values)
    return MeanInterval(found.estimate, found.low, found.high)
