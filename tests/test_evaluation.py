"""Evaluation by region counts held-out pixels alone, each with the threshold of the model that did not see it."""

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import expit

from landshift.flows.steps.assessment.evaluation import evaluate, evaluation_trials
from landshift.flows.steps.assessment.trials import BLOCKS, RANDOM, Trial, TrialResult
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions
from landshift.pipeline.labels.search import TEST, VALIDATION
from landshift.pipeline.records import content_of
from tests.binary_territory import LITE, SIZE, BinaryTerritory, Ready, done
from tests.binary_territory import RANDOM as ENCODER

THRESHOLDS = (0.5, 0.3, 0.5, 0.5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="module")
def ready(place: BinaryTerritory) -> Ready:
    return Ready(place.workspace())


@pytest.fixture(autouse=True)
def _no_pixels_of_another_test(ready: Ready) -> None:
    shutil.rmtree(ready.ws.assessment, ignore_errors=True)


def keep_pixels(ready: Ready, trial: Trial, role: np.ndarray, raw: np.ndarray, **more: np.ndarray) -> None:
    """Write what a trial said of the pixels that have a role."""
    used = np.flatnonzero(role != 255)
    truth = more.pop("truth", ready.labels.change).ravel()
    probability = more.pop("probability", raw)
    arrays = {
        "position": used.astype(np.int64), "role": role.ravel()[used], "truth": truth[used],
        "raw": raw.ravel()[used].astype(np.float32), "probability": probability.ravel()[used].astype(np.float32),
        **{name: np.ascontiguousarray(array.ravel()[used]) for name, array in more.items()},
    }  # fmt: skip
    folder = ready.ws.assessment / "trials" / trial.slug
    folder.mkdir(parents=True)
    save_file(arrays, folder / "pixels.safetensors")


def folds_of(ready: Ready, raw: np.ndarray, seed: int = 0, **more: np.ndarray) -> dict[Trial, TrialResult]:
    """Let every fold say the same of its region, and nonsense of the next one, which only validated it."""
    outcomes = {}
    for fold, name in enumerate(ready.regions.names):
        trial = Trial(ENCODER, "scratch", seed, f"fold {fold}")
        role = np.full((SIZE, SIZE), 255, dtype=np.uint8)
        role[ready.regions.index == fold] = TEST
        following = ready.regions.index == (fold + 1) % 4
        role[following] = VALIDATION
        said = np.where(following, 1 - ready.labels.change, raw)
        probability = np.where(following, said, more.get("probability", raw))
        keep_pixels(ready, trial, role, said, **(more | {"probability": probability}))
        outcomes[trial] = done(trial, 0.5, {name: 0.1 * fold + 0.3 + 0.1 * seed}, threshold=THRESHOLDS[fold])
    return outcomes


def evaluated(ws: Workspace, outcomes: dict[Trial, TrialResult], regions: Regions) -> dict[str, Any]:
    return dict(content_of(evaluate(ws, outcomes, regions)))


def perfect(ready: Ready) -> np.ndarray:
    return np.where(ready.labels.change == 1, 0.9, 0.1)


def test_the_trials_are_every_fold_the_blocks_and_the_random_split(ready: Ready, place: BinaryTerritory) -> None:
    ws = place.workspace(assess={"seeds": [0, 3]})
    trials = evaluation_trials(ws, ready.regions)
    assert [t.split for t in trials if t.seed == 3] == ["fold 0", "fold 1", "fold 2", "fold 3", BLOCKS, RANDOM]
    assert {(t.encoder, t.strategy, t.share) for t in trials} == {(ENCODER, "scratch", 1.0)}
    pretrained = place.workspace(model={"encoder": LITE}, training={"strategy": "frozen"})
    assert {(t.encoder, t.strategy) for t in evaluation_trials(pretrained, ready.regions)} == {(LITE, "frozen")}
    one = Regions(ready.regions.index, ("all",), (0,))
    assert [t.split for t in evaluation_trials(ws, one) if t.seed == 0] == [BLOCKS, RANDOM]


def test_each_region_is_scored_on_its_own_pixels_at_its_own_threshold(ready: Ready) -> None:
    raw = perfect(ready)
    changed = ready.labels.change == 1
    # In the second region change is said with 0.4, above the threshold of its model only; in the third a half is missed.
    raw[changed & (ready.regions.index == 1)] = 0.4
    third = np.flatnonzero(changed & (ready.regions.index == 2))
    raw.ravel()[third[: len(third) // 2]] = 0.2
    found = evaluated(ready.ws, folds_of(ready, raw), ready.regions)
    rows = {row["name"]: row for row in found["regional"]["rows"]}
    assert list(rows) == list(ready.regions.names)
    recall = 1 - (len(third) // 2) / len(third)
    f1 = [rows[name]["scores"]["f1"] for name in ready.regions.names]
    assert f1 == pytest.approx([1, 1, 2 * recall / (1 + recall), 1])
    for k, name in enumerate(ready.regions.names):
        assert rows[name]["scores"]["n"] == (ready.regions.index == k).sum(), "validation pixels do not count"
        assert rows[name]["changed_labelled"] == pytest.approx(changed[ready.regions.index == k].mean())
    assert found["regional"]["worst"]["name"] == ready.regions.names[2]
    assert found["seed"] == 0


def test_the_table_holds_every_seed_and_the_first_that_is_done_is_drawn(ready: Ready) -> None:
    later = folds_of(ready, perfect(ready), seed=2)
    diverged = {t: TrialResult(t, "diverged", "nan") for t in (replace(trial, seed=1) for trial in later)}
    found = evaluated(ready.ws, diverged | later, ready.regions)
    assert found["seed"] == 2
    assert found["regions_by_seed"] == {"2": pytest.approx(dict(zip(ready.regions.names, (0.5, 0.6, 0.7, 0.8), strict=True)))}
    both = evaluated(ready.ws, later | folds_of(ready, perfect(ready), seed=0), ready.regions)
    assert both["seed"] == 0
    assert set(both["regions_by_seed"]) == {"0", "2"}
    assert both["worst"]["worst_region"] == ready.regions.names[0]
    assert both["worst"]["worst"] == pytest.approx(0.4), "mean over seeds"


def test_a_region_of_a_diverged_training_counts_as_0_in_the_worst_one(ready: Ready) -> None:
    outcomes = folds_of(ready, perfect(ready)) | folds_of(ready, perfect(ready), seed=1)
    broken = Trial(ENCODER, "scratch", 1, "fold 2")
    outcomes[broken] = TrialResult(broken, "diverged", "the loss is nan")
    found = evaluated(ready.ws, outcomes, ready.regions)
    assert found["worst"]["regions"] == pytest.approx(dict(zip(ready.regions.names, (0.35, 0.45, 0.25, 0.65), strict=True)))
    assert (found["worst"]["worst_region"], found["worst"]["worst"]) == (ready.regions.names[2], pytest.approx(0.25))
    # What else did not come to an end, or was trained on fewer labels, says nothing of a region.
    own = Trial(ENCODER, "scratch", 1, "fold 0")
    others = [replace(own, split=RANDOM), replace(own, share=0.1), replace(own, encoder="x"), replace(own, strategy="frozen")]
    more = outcomes | {t: TrialResult(t, "diverged", "the loss is nan") for t in others}
    assert evaluated(ready.ws, more, ready.regions)["worst"] == found["worst"]


def test_optimism_is_the_random_split_against_the_blocks(ready: Ready) -> None:
    outcomes = folds_of(ready, perfect(ready))
    for split, values in ((BLOCKS, (0.5, 0.6)), (RANDOM, (0.8, 0.7))):
        for seed, f1 in enumerate(values):
            trial = Trial(ENCODER, "scratch", seed, split)
            outcomes[trial] = done(trial, f1)
    # A part of the labels, another strategy or encoder have no say.
    own = Trial(ENCODER, "scratch", 0, BLOCKS)
    for trial in (replace(own, share=0.1), replace(own, strategy="frozen"), replace(own, encoder="x")):
        outcomes[trial] = done(trial, 0.01)
    found = evaluated(ready.ws, outcomes, ready.regions)["optimism"]
    assert (found["random_f1"], found["blocked_f1"]) == (pytest.approx(0.75), pytest.approx(0.55))
    assert found["gap"] == pytest.approx(0.2)
    assert "0.200 higher" in found["sentence"]
    # The gaps of the two seeds are 0.3 and 0.1; Student's t with one degree of freedom, standard error 0.1.
    assert [found["low"], found["high"]] == pytest.approx([0.2 - 1.2706205, 0.2 + 1.2706205], abs=1e-6)
    lone = Trial(ENCODER, "scratch", 2, RANDOM)
    unpaired = evaluated(ready.ws, outcomes | {lone: done(lone, 0.9)}, ready.regions)["optimism"]
    assert (unpaired["low"], unpaired["high"]) == (found["low"], found["high"]), "only seeds that have both"


def test_the_optimism_of_one_seed_has_no_interval(ready: Ready) -> None:
    outcomes = folds_of(ready, perfect(ready))
    for split, f1 in ((BLOCKS, 0.5), (RANDOM, 0.75)):
        trial = Trial(ENCODER, "scratch", 0, split)
        outcomes[trial] = done(trial, f1)
    found = evaluated(ready.ws, outcomes, ready.regions)["optimism"]
    assert (found["gap"], found["low"], found["high"]) == (pytest.approx(0.25), None, None)


def test_without_a_finished_training_nothing_is_claimed(ready: Ready) -> None:
    trials = evaluation_trials(ready.ws, ready.regions)
    outcomes = {t: TrialResult(t, "not possible", "no labels") for t in trials}
    found = evaluated(ready.ws, outcomes, ready.regions)
    assert list(found) == ["notes"]
    assert "regions cannot be compared" in found["notes"][0]


def test_one_region_is_judged_on_the_test_blocks(ready: Ready) -> None:
    one = Regions(np.zeros((SIZE, SIZE), dtype=np.int16), ("the whole territory",), (0,), ("no regional claim",))
    trial = Trial(ENCODER, "scratch", 0, BLOCKS)
    role = np.full((SIZE, SIZE), 255, dtype=np.uint8)
    role[:48], role[48:64] = TEST, VALIDATION
    keep_pixels(ready, trial, role, perfect(ready))
    found = evaluated(ready.ws, {trial: done(trial, 1.0, {"the whole territory": 1.0})}, one)
    (row,) = found["regional"]["rows"]
    assert (row["scores"]["n"], row["scores"]["f1"]) == (48 * SIZE, 1)
    assert "no claim about differences between regions" in found["regional"]["notes"][0]


def overconfident(ready: Ready) -> dict[str, np.ndarray]:
    """Draw a truth that agrees with a third of what the network claims, and cool it too little for other regions."""
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, (SIZE, SIZE))
    truth = (rng.random((SIZE, SIZE)) < expit(logit)).astype(np.uint8)
    return {"raw": expit(3 * logit), "probability": expit(3 * logit / 2), "truth": truth}


def test_temperatures_of_the_region_mend_what_those_from_elsewhere_leave(ready: Ready) -> None:
    drawn = overconfident(ready)
    found = evaluated(ready.ws, folds_of(ready, **drawn), ready.regions)["calibration"]
    assert found["notes"] == []
    assert list(found["temperatures"].values()) == pytest.approx([3] * 4, rel=0.15)
    raw, elsewhere, local = found["rows"]
    assert [row["probabilities"] for row in found["rows"]] == [
        "raw", "temperature from other regions", "temperature of the region"
    ]  # fmt: skip
    assert raw["estimate"] > elsewhere["estimate"] > local["estimate"]
    assert local["estimate"] < 0.04
    assert raw["brier"] > elsewhere["brier"] > local["brier"]
    assert all(row["low"] <= row["estimate"] <= row["high"] for row in found["rows"])
    assert found["pixels"] == SIZE * SIZE // 2, "every second block judges"
    for bins in found["reliability"].values():
        assert sum(b["count"] for b in bins) == found["pixels"]


def test_the_halves_are_those_of_a_checkerboard(ready: Ready) -> None:
    """Six blocks a row: were every second one taken in reading order, a half would be whole columns."""
    drawn = overconfident(ready)
    row, column = np.indices((SIZE, SIZE)) // 16
    judging = (row + column) % 2 == 1
    drawn["raw"][judging] = drawn["probability"][judging] = 0.5
    found = evaluated(ready.ws, folds_of(ready, **drawn), ready.regions)["calibration"]
    assert list(found["temperatures"].values()) == pytest.approx([3] * 4, rel=0.15), "the other half has no part in it"
    # In the half that judges all pixels are said to be changed with 0.5, whatever the temperature.
    share = drawn["truth"][judging].mean()
    assert [r["estimate"] for r in found["rows"]] == pytest.approx([abs(share - 0.5)] * 3, abs=1e-3)


def test_a_region_with_few_labels_has_no_temperature_of_its_own(ready: Ready) -> None:
    drawn = overconfident(ready)
    last = ready.regions.index == 3
    drawn["truth"][last] = 0
    drawn["truth"][last & (np.cumsum(last).reshape(last.shape) <= 10)] = 1
    found = evaluated(ready.ws, folds_of(ready, **drawn), ready.regions)["calibration"]
    assert found["temperatures"][ready.regions.names[3]] is None
    assert found["notes"] == [
        f"{ready.regions.names[3]}: too few labels for a temperature of its own; the one from the other regions is used."
    ]


def test_the_promised_miss_rate_is_checked_on_other_blocks(ready: Ready) -> None:
    found = evaluated(ready.ws, folds_of(ready, perfect(ready)), ready.regions)["risk"]
    assert found["checked_miss_rate"] == 0
    # The blocks are drawn across: 36 of them, of which every second one checks.
    assert 0 < found["checked_tiles"] <= 18
    assert 0.1 < found["threshold"] <= 0.9


def test_land_use_is_tabulated_by_class_and_region(ready: Ready, place: BinaryTerritory) -> None:
    legend = [{"code": 1, "name": "Forest", "colour": "#006400"}, {"code": 2, "name": "Cropland", "colour": "#ffcc00"}]
    ws = replace(ready.ws, project=place.workspace(legend=legend).project)
    before = np.where(np.arange(SIZE) % 2 == 0, 1, 2)[None].repeat(SIZE, axis=0).astype(np.uint8)
    found_before = before.copy()
    found_before[ready.regions.index == 0] = 1  # all Forest: Cropland is never found there
    after, found_after = np.full_like(before, 255), np.ones_like(before)
    outcomes = folds_of(
        ready, perfect(ready), truth_before=before, found_before=found_before, truth_after=after, found_after=found_after
    )  # fmt: skip
    rows = evaluated(ws, outcomes, ready.regions)["classes"]["before"]
    cells: dict[tuple[str, str], dict[str, Any]] = {(r["region"], r["name"]): r for r in rows}
    assert len(cells) == 8
    first, second = ready.regions.names[:2]
    assert cells[first, "Cropland"]["recall"] == 0
    assert cells[first, "Forest"]["recall"] == 1
    assert cells[second, "Cropland"]["recall"] == cells[second, "Cropland"]["precision"] == 1
