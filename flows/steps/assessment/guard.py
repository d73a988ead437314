"""The guard against negative transfer: the project's model against controls with the same budget, region by region."""

from collections.abc import Mapping, Sequence

from landshift.flows.steps.assessment.trials import BLOCKS, Trial, TrialResult
from landshift.flows.steps.learning.fitting import encoder_label
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions
from landshift.pipeline.scores.assessment import Guard, NotPossible, RegionF1
from landshift.pipeline.scores.evidence import NO_EVIDENCE, judge_transfer

IMAGENET = "imagenet-efficientnet-lite0"
"""The control with ImageNet weights: it needs no download."""


def arms(ws: Workspace) -> dict[str, tuple[str, str]]:
    """Return what is compared: `candidate` and the controls, each an encoder and a strategy."""
    encoder, strategy = ws.project.model.encoder, ws.project.training.assessed_strategy
    if encoder.startswith("random"):
        strategy = "scratch"  # whatever the config calls it
    wanted: dict[str, tuple[str, str]] = {
        "candidate": (encoder, strategy),
        "random": (encoder, "scratch"),
        "imagenet": (IMAGENET, "full" if strategy == "scratch" else strategy),
        "frozen": (encoder, "frozen"),
    }
    kept = {"candidate": wanted["candidate"]}
    for name in ws.project.assess.controls:
        if wanted[name] not in kept.values():
            kept[name] = wanted[name]
    return kept


def splits_of(regions: Regions) -> tuple[str, ...]:
    """Return the splits that trials are run on: one for each fold, or the blocks of the project where there is one region."""
    return tuple(f"fold {fold}" for fold in range(regions.folds)) if regions.folds > 1 else (BLOCKS,)


def trials_for(ws: Workspace, pairs: Sequence[tuple[str, str]], regions: Regions) -> list[Trial]:
    """List the trials of encoders and strategies, over every fold and seed."""
    seeds = ws.project.assess.seeds
    return [Trial(e, s, seed, split) for split in splits_of(regions) for seed in seeds for e, s in pairs]


def scores_by_region(outcomes: Sequence[TrialResult], regions: Regions) -> dict[tuple[str, int], float | None]:
    """Return the F1 of each held-out region and seed; None where the training diverged."""
    found: dict[tuple[str, int], float | None] = {}
    for outcome in outcomes:
        seed = outcome.trial.seed
        for name in outcome.trial.hold_out(regions):
            if outcome.state == "diverged":
                found[name, seed] = None
            elif outcome.regions.get(name) is not None:
                found[name, seed] = outcome.regions[name]
    return found


def judge_controls(ws: Workspace, outcomes: Mapping[Trial, TrialResult], regions: Regions) -> Guard:
    """Judge the project's model against each control; the verdict is that against random weights."""
    compared = arms(ws)
    values = {
        name: scores_by_region([o for t, o in outcomes.items() if (t.encoder, t.strategy) == pair], regions)
        for name, pair in compared.items()
    }
    strategy = compared["candidate"][1]
    names = {
        "candidate": f"{encoder_label(ws)} ({strategy})", "random": "random weights",
        "imagenet": f"ImageNet weights ({IMAGENET})", "frozen": "the same weights unmoved",
    }  # fmt: skip
    folds = dict(zip(regions.names, regions.fold, strict=True))
    controls = {
        name: judge_transfer(values["candidate"], values[name], names=(names["candidate"], names[name]), folds=folds)
        for name in compared if name != "candidate"
    }  # fmt: skip
    first = controls.get("random")
    impossible = dict.fromkeys((o.trial.arm, o.reason) for o in outcomes.values() if o.state == "not possible")
    if first is not None:
        sentence = first.sentence
    elif strategy == "scratch":
        sentence = "The configured model starts from random weights itself, so there is no transfer to judge."
    else:
        sentence = "Random weights are not among the controls, so there is no verdict: add `random` to `assess: controls:`."
    return Guard(
        verdict=first.verdict if first else NO_EVIDENCE, sentence=sentence,
        folds=len({folds[region.name] for region in first.regions}) if first else 0,
        controls=controls, notes=regions.notes,
        f1={arm: tuple(RegionF1(*key, f1) for key, f1 in scores.items()) for arm, scores in values.items()}, compared=compared,
        diverged=tuple(o.trial.slug for o in outcomes.values() if o.state == "diverged"),
        not_possible=tuple(NotPossible(*row) for row in impossible),
    )  # fmt: skip
