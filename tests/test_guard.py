"""The guard says helps, hurts or no evidence from paired trainings, and names what diverged or could not be trained."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from landshift.flows.steps.assessment.guard import IMAGENET, arms, judge_controls, scores_by_region, splits_of, trials_for
from landshift.flows.steps.assessment.trials import BLOCKS, Trial, TrialResult
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.evidence import HELPS, HURTS, NO_EVIDENCE, judge_transfer
from tests.binary_territory import RANDOM, BinaryTerritory, done

OWN = "ukis-csmask-4b-l2a"
NAMES = ("north", "east", "south", "west")
FOUR = Regions(np.zeros((2, 2), dtype=np.int16), NAMES, (0, 1, 2, 3), ("Cut into four.",))
ONE_NOTE = "There is one region only, and no regional claim can be made."
ONE = Regions(np.zeros((2, 2), dtype=np.int16), ("the whole territory",), (0,), (ONE_NOTE,))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("guard"), size=48)


def workspace(place: BinaryTerritory, **changes: Any) -> Workspace:
    assess = {"controls": ["random"], "seeds": [0, 1, 2], **changes.pop("assess", {})}
    return place.workspace(model={"encoder": OWN}, assess=assess, **changes)


def verdicts(ws: Workspace, outcomes: dict[Trial, TrialResult], regions: Regions) -> dict[str, Any]:
    return dict(content_of(judge_controls(ws, outcomes, regions)))


def is_harmful(guard: dict[str, Any]) -> bool:
    return record_of(Assessment, {"guard": guard}, "a test").is_harmful


def outcomes_of(
    ws: Workspace, regions: Regions, f1: Callable[[Trial, int], float | None], diverged: tuple[Trial, ...] = ()
) -> dict[Trial, TrialResult]:
    """Return what every trial of the guard would have come to; the F1 depends on the trial and its fold."""
    found = {}
    for trial in trials_for(ws, list(arms(ws).values()), regions):
        fold = 0 if trial.split == BLOCKS else int(trial.split[-1])
        value = f1(trial, fold)
        found[trial] = (
            TrialResult(trial, "diverged", "the loss is nan") if trial in diverged
            else done(trial, value, dict.fromkeys(regions.names_of(fold), value))
        )  # fmt: skip
    return found


def shifted(gains: tuple[float, ...]) -> Callable[[Trial, int], float]:
    """The candidate is better than random weights by a gain of its own in each region; seeds differ a little."""
    return lambda trial, fold: 0.5 + 0.01 * trial.seed * fold + (gains[fold] if trial.strategy == "full" else 0)


def test_the_controls_of_a_pretrained_model(place: BinaryTerritory) -> None:
    ws = workspace(place, assess={"controls": ["random", "imagenet", "frozen"]}, training={"strategy": "l2-sp"})
    assert arms(ws) == {
        "candidate": (OWN, "l2-sp"), "random": (OWN, "scratch"), "imagenet": (IMAGENET, "l2-sp"), "frozen": (OWN, "frozen")
    }  # fmt: skip
    assert list(arms(workspace(place))) == ["candidate", "random"]


def test_a_model_is_not_its_own_control(place: BinaryTerritory) -> None:
    every = {"controls": ["random", "imagenet", "frozen"], "seeds": [0]}
    imagenet = place.workspace(model={"encoder": IMAGENET}, assess=every)
    assert list(arms(imagenet)) == ["candidate", "random", "frozen"]
    assert list(arms(workspace(place, assess=every, training={"strategy": "frozen"}))) == ["candidate", "random", "imagenet"]
    scratch = workspace(place, assess={"controls": ["random"]}, training={"strategy": "scratch"})
    said = verdicts(scratch, outcomes_of(scratch, FOUR, lambda *_: 0.5), FOUR)
    assert said["verdict"] == NO_EVIDENCE
    assert said["sentence"] == "The configured model starts from random weights itself, so there is no transfer to judge."
    assert said["controls"] == {}


def test_from_scratch_imagenet_weights_are_still_a_control(place: BinaryTerritory) -> None:
    """Random weights against ImageNet's is a comparison; ImageNet's architecture from scratch would be none."""
    every = {"controls": ["random", "imagenet", "frozen"]}
    ws = workspace(place, assess=every, training={"strategy": "scratch"})
    assert arms(ws) == {"candidate": (OWN, "scratch"), "imagenet": (IMAGENET, "full"), "frozen": (OWN, "frozen")}


@pytest.mark.parametrize("strategy", ["full", "frozen", "scratch"])
def test_random_weights_start_from_scratch_whatever_the_strategy_is_called(place: BinaryTerritory, strategy: str) -> None:
    ws = place.workspace(training={"strategy": strategy}, assess={"controls": ["random"]})
    assert arms(ws) == {"candidate": (RANDOM, "scratch")}
    said = verdicts(ws, outcomes_of(ws, FOUR, lambda *_: 0.5), FOUR)
    assert (said["verdict"], said["folds"]) == (NO_EVIDENCE, 0)
    assert "there is no transfer to judge" in said["sentence"]


def test_without_random_weights_there_is_no_verdict(place: BinaryTerritory) -> None:
    """However much better or worse another control is."""
    for better in (-0.2, 0.2):
        ws = workspace(place, assess={"controls": ["imagenet", "frozen"]})
        gains = {f"{OWN}, full": better}
        said = verdicts(ws, outcomes_of(ws, FOUR, lambda trial, _, gains=gains: 0.5 + gains.get(trial.arm, 0)), FOUR)
        assert set(said["controls"]) == {"imagenet", "frozen"}
        assert {said["controls"][name]["verdict"] for name in said["controls"]} == {HELPS if better > 0 else HURTS}
        assert said["verdict"] == NO_EVIDENCE
        assert "add `random` to `assess: controls:`" in said["sentence"]
        assert not is_harmful(said)


def test_every_pair_is_trained_on_every_fold_with_every_seed(place: BinaryTerritory) -> None:
    ws = workspace(place)
    trials = trials_for(ws, list(arms(ws).values()), FOUR)
    assert len(trials) == len(set(trials)) == 2 * 4 * 3
    assert {t.split for t in trials} == {f"fold {k}" for k in range(4)}
    assert {t.seed for t in trials} == {0, 1, 2}
    assert splits_of(ONE) == (BLOCKS,)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.10, 0.12, 0.08, 0.11), HELPS), ((-0.10, -0.12, -0.08, -0.11), HURTS), ((0.2, -0.1, 0.1, -0.15), NO_EVIDENCE)],
)
def test_the_verdict_follows_from_the_regions(place: BinaryTerritory, gains: tuple[float, ...], verdict: str) -> None:
    ws = workspace(place)
    said = verdicts(ws, outcomes_of(ws, FOUR, shifted(gains)), FOUR)
    assert said["verdict"] == verdict
    assert said["controls"]["random"]["interval"]["estimate"] == pytest.approx(np.mean(gains))
    assert [r["name"] for r in said["controls"]["random"]["regions"]] == list(NAMES)
    assert "Over 4 held-out regions and 3 seeds" in said["sentence"]
    assert f"starting from {OWN} (full) instead of random weights" in said["sentence"]
    assert is_harmful(said) == (verdict == HURTS)
    assert said["folds"] == 4
    assert (said["diverged"], said["not_possible"], said["notes"]) == ([], [], ["Cut into four."])
    assert len(said["f1"]["candidate"]) == len(said["f1"]["random"]) == 12
    assert said["f1"]["candidate"][0] == {"region": "north", "seed": 0, "f1": pytest.approx(0.5 + gains[0])}


def test_random_weights_decide_and_other_controls_are_told(place: BinaryTerritory) -> None:
    """Better than random weights, and worse than ImageNet's."""
    ws = workspace(place, assess={"controls": ["imagenet", "random"]})

    def f1(trial: Trial, fold: int) -> float:
        better = 0.2 if trial.encoder == IMAGENET else 0.1 if trial.strategy == "full" else 0
        return 0.5 + 0.01 * fold * trial.seed + better

    said = verdicts(ws, outcomes_of(ws, FOUR, f1), FOUR)
    assert said["verdict"] == HELPS
    assert said["controls"]["imagenet"]["verdict"] == HURTS
    assert IMAGENET in said["controls"]["imagenet"]["sentence"]


def test_one_region_is_judged_over_its_seeds_and_says_so(place: BinaryTerritory) -> None:
    ws = workspace(place)
    assert len(trials_for(ws, list(arms(ws).values()), ONE)) == 6
    gains = {0: 0.10, 1: 0.12, 2: 0.11}
    said = verdicts(
        ws, outcomes_of(ws, ONE, lambda trial, _: 0.5 + (gains[trial.seed] if trial.strategy == "full" else 0)), ONE
    )  # fmt: skip
    assert said["verdict"] == HELPS
    assert said["controls"]["random"]["interval"]["n"] == 3
    assert said["notes"] == [ONE_NOTE]
    assert said["controls"]["random"]["notes"] == [
        "Only the whole territory was held out: this does not hold for other regions."
    ]


def test_one_region_that_hurts_stops_nothing(place: BinaryTerritory) -> None:
    ws = workspace(place)
    loss = {0: 0.10, 1: 0.12, 2: 0.11}
    said = verdicts(
        ws, outcomes_of(ws, ONE, lambda trial, _: 0.5 - (loss[trial.seed] if trial.strategy == "full" else 0)), ONE
    )  # fmt: skip
    assert (said["verdict"], said["folds"]) == (HURTS, 1)
    assert not is_harmful(said)
    assert is_harmful(said | {"folds": 2})


def test_folds_that_could_not_be_compared_do_not_stop_a_training(place: BinaryTerritory) -> None:
    """Of four folds one could be trained: what is left is the luck of its seeds."""
    ws = workspace(place)
    outcomes = outcomes_of(ws, FOUR, lambda trial, _: 0.5 + 0.001 * trial.seed * (trial.strategy == "full")
                           - 0.1 * (trial.strategy == "full"))  # fmt: skip
    for trial in [t for t in outcomes if t.split != "fold 1"]:
        outcomes[trial] = TrialResult(trial, "not possible", "3 changed pixels")
    said = verdicts(ws, outcomes, FOUR)
    assert (said["verdict"], said["folds"]) == (HURTS, 1)
    assert not is_harmful(said)


def test_regions_of_one_fold_count_once_in_the_verdict(place: BinaryTerritory) -> None:
    """Three small regions agree because the same trainings judge them all; the fourth does not."""
    shared = Regions(np.zeros((2, 2), dtype=np.int16), NAMES, (0, 0, 0, 1))
    ws = workspace(place)
    outcomes = outcomes_of(ws, shared, shifted((0.1, 0.02)))
    said = verdicts(ws, outcomes, shared)
    judged = said["controls"]["random"]
    assert (judged["interval"]["estimate"], judged["interval"]["n"]) == (pytest.approx(0.06), 2)
    assert [r["name"] for r in judged["regions"]] == list(NAMES)
    assert (said["verdict"], said["folds"]) == (NO_EVIDENCE, 2)
    apart = {(name, seed): 0.5 + gain for name, gain in zip(NAMES, (0.1, 0.1, 0.1, 0.02), strict=True) for seed in (0, 1, 2)}
    as_four = judge_transfer(apart, dict.fromkeys(apart, 0.5), names=("a", "b"))
    assert as_four.verdict == HELPS, "what four regions that are trained apart would prove"


def test_a_seed_that_diverges_counts_as_nothing_for_the_candidate_and_is_named(place: BinaryTerritory) -> None:
    ws = workspace(place)
    broken = Trial(OWN, "full", 1, "fold 2")
    outcomes = outcomes_of(ws, FOUR, shifted((0.1, 0.1, 0.1, 0.1)), diverged=(broken,))
    said = verdicts(ws, outcomes, FOUR)
    south = next(r for r in said["controls"]["random"]["regions"] if r["name"] == "south")
    assert south["differences"] == pytest.approx((0.1, -(0.5 + 0.01 * 2), 0.1))
    assert said["diverged"] == [broken.slug]
    assert said["controls"]["random"]["notes"] == [f"{OWN} (full) diverged and counts as F1 0: south with seed 1."]
    assert {"region": "south", "seed": 1, "f1": None} in said["f1"]["candidate"]
    assert said["verdict"] == NO_EVIDENCE


def test_a_candidate_that_always_diverges_hurts(place: BinaryTerritory) -> None:
    ws = workspace(place)
    every = tuple(Trial(OWN, "full", seed, f"fold {fold}") for seed in (0, 1, 2) for fold in range(4))
    said = verdicts(ws, outcomes_of(ws, FOUR, shifted((0.1,) * 4), diverged=every), FOUR)
    assert said["verdict"] == HURTS
    assert len(said["diverged"]) == 12


def test_a_control_that_diverges_does_not_help_the_candidate(place: BinaryTerritory) -> None:
    ws = workspace(place)
    broken = Trial(OWN, "scratch", 0, "fold 0")
    said = verdicts(ws, outcomes_of(ws, FOUR, shifted((0.0, 0.0, 0.0, 0.0)), diverged=(broken,)), FOUR)
    assert said["controls"]["random"]["interval"]["estimate"] == pytest.approx(0)
    assert "random weights diverged, so the pair is left out: north with seed 0." in said["controls"]["random"]["notes"]
    assert said["diverged"] == [broken.slug]


def test_trials_that_were_not_possible_are_listed_with_each_reason(place: BinaryTerritory) -> None:
    ws = workspace(place, assess={"controls": ["random", "imagenet"]})
    outcomes = outcomes_of(ws, FOUR, shifted((0.1, 0.1, 0.1, 0.1)))
    for trial in [t for t in outcomes if t.encoder == IMAGENET]:
        reason = "3 changed pixels" if trial.split == "fold 1" else "no package"
        outcomes[trial] = TrialResult(trial, "not possible", reason)
    said = verdicts(ws, outcomes, FOUR)
    assert said["verdict"] == HELPS
    assert said["controls"]["imagenet"]["verdict"] == NO_EVIDENCE
    assert "there is no control" in " ".join(said["controls"]["imagenet"]["notes"])
    assert said["not_possible"] == [
        {"arm": f"{IMAGENET}, full", "reason": "no package"}, {"arm": f"{IMAGENET}, full", "reason": "3 changed pixels"}
    ]  # fmt: skip


def test_the_scores_of_a_diverged_training_are_unknown_in_all_regions_that_it_held_out() -> None:
    shared = Regions(np.zeros((2, 2), dtype=np.int16), ("a", "b", "c"), (0, 1, 0))
    outcomes = [
        TrialResult(Trial(OWN, "full", 0, "fold 0"), "diverged"), done(Trial(OWN, "full", 0, "fold 1"), 0.5, {"b": 0.5}),
        done(Trial(OWN, "full", 1, "fold 0"), 0.5, {"a": 0.4, "c": None}),
        TrialResult(Trial(OWN, "full", 1, "fold 1"), "not possible", "no labels"),
    ]  # fmt: skip
    assert scores_by_region(outcomes, shared) == {("a", 0): None, ("c", 0): None, ("b", 0): 0.5, ("a", 1): 0.4}


def test_without_a_verdict_nothing_is_harmful() -> None:
    assert not Assessment().is_harmful
