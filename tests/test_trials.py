"""A trial is one short training that is done once, goes on where it stopped, and says so whatever goes wrong with it."""

import landshift.models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import re
import shutil
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from landshift.flows.steps.assessment import trials
from landshift.flows.steps.assessment.trials import (
    BLOCKS,
    RANDOM,
    Trial,
    TrialResult,
    budget,
    pixels_of,
    roles_of,
    run_trial,
    trial_key,
    worst_and_mean,
)
from landshift.flows.steps.learning.fitting import Recipe, build_network, encoder_called
from landshift.flows.steps.learning.judging import by_block, judge
from landshift.models.network.callbacks import Diverged
from landshift.models.use.bundle import Bundle
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.regions import Regions, fold_roles, regions_of
from landshift.pipeline.labels.search import TEST, TRAIN, VALIDATION
from landshift.pipeline.legend import Legend
from landshift.pipeline.records import write_record
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.scores.assessment import MeanF1
from landshift.pipeline.scores.training import Temperatures
from tests.binary_territory import LITE, SIZE, BinaryTerritory, Ready, done
from tests.binary_territory import RANDOM as RANDOM_ENCODER
from tests.small_network import after_epochs, provenance

FIRST = Trial(LITE, "full", 0, "fold 0")


def tried(ready: Ready, trial: Trial, **changes: Any) -> TrialResult:
    ws = changes.get("ws", ready.ws)
    return run_trial(ws, ready.prepared, ready.labels_hash, trial, ready.regions)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return Ready(BinaryTerritory(tmp_path_factory.mktemp("trials")).workspace())


@pytest.fixture(scope="module")
def first(ready: Ready) -> TrialResult:
    """One whole trial: the first of four regions is held out."""
    return tried(ready, FIRST)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Let every training diverge at once, and count them."""
    seen = SimpleNamespace(count=0)

    def diverging(*_: Any, **__: Any) -> None:
        seen.count += 1
        raise Diverged("Training diverged: the loss is nan in epoch 0.")

    monkeypatch.setattr(trials, "fit_network", diverging)
    return seen


def folder_of(ready: Ready, trial: Trial) -> Path:
    return ready.ws.assessment / "trials" / trial.slug


def mtimes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_a_trial_is_judged_on_the_regions_that_it_held_out_alone(ready: Ready, first: TrialResult) -> None:
    assert (first.state, first.reason) == ("done", "")
    assert ready.regions.folds == 4
    assert tuple(first.regions) == ready.regions.names_of(0)
    pixels = pixels_of(ready.ws, FIRST)
    assert set(pixels["role"]) == {VALIDATION, TEST}
    tested = np.zeros(SIZE * SIZE, dtype=bool)
    tested[pixels["position"][pixels["role"] == TEST]] = True
    np.testing.assert_array_equal(tested.reshape(SIZE, SIZE), ready.regions.index == 0)
    np.testing.assert_array_equal(pixels["truth"], ready.labels.change.ravel()[pixels["position"]])
    test = pixels["role"] == TEST
    scored = binary_scores(pixels["truth"][test], pixels["probability"][test], first.facts.threshold)
    assert first.f1 == first.regions[ready.regions.names[0]] == pytest.approx(scored.f1)
    assert first.f1 == first.facts.test.f1


def test_a_trial_says_what_it_took(ready: Ready, first: TrialResult) -> None:
    assert first.facts.fit.epochs == 1
    assert first.facts.fit.parameters > 1e5
    assert first.facts.cost.seconds > 0
    assert first.facts.cost.step == FIRST.slug
    assert all(0 <= value <= 1 + 1e-6 for value in first.facts.alignment.values())
    assert {p.name for p in folder_of(ready, FIRST).iterdir()} == {"outcome.json", "pixels.safetensors", "manifest.json"}


def test_a_second_run_does_nothing(ready: Ready, first: TrialResult, no_training: SimpleNamespace) -> None:
    before = mtimes(folder_of(ready, FIRST))
    assert tried(ready, FIRST) == first
    assert no_training.count == 0
    assert mtimes(folder_of(ready, FIRST)) == before


def test_a_trial_is_run_again_where_its_files_or_inputs_changed(
    ready: Ready, first: TrialResult, no_training: SimpleNamespace, tmp_path: Path
) -> None:
    copy = replace(ready.ws, output=tmp_path / "place")
    shutil.copytree(ready.ws.output, copy.output)
    place = BinaryTerritory(tmp_path / "place2")

    def trained_again(labels_hash: str = ready.labels_hash, **changes: Any) -> bool:
        before = no_training.count
        ws = replace(copy, project=place.workspace(**changes).project)
        run_trial(ws, ready.prepared, labels_hash, FIRST, ready.regions)
        return bool(no_training.count > before)

    assert tried(ready, FIRST, ws=copy) == first
    # Other seeds, and the number of processes that read, change no trial.
    assert not trained_again(training={"workers": 2, "seeds": [5]}, assess={"seeds": [0, 1], "controls": ["frozen"]})
    assert trained_again("other labels")
    assert trained_again(training={"learning_rate": 0.1})
    assert trained_again(assess={"epochs": 2})
    assert trained_again(sensor={"scale": 2e-4})
    assert trained_again()
    assert not trained_again()
    damaged = copy.assessment / "trials" / FIRST.slug / "outcome.json"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert trained_again()


def test_a_training_that_diverges_is_an_outcome(ready: Ready, no_training: SimpleNamespace) -> None:
    trial = replace(FIRST, seed=7)
    outcome = tried(ready, trial)
    assert (outcome.state, outcome.f1, outcome.regions) == ("diverged", None, {})
    assert "the loss is nan" in outcome.reason
    assert not list(folder_of(ready, trial).glob("checkpoints-*"))
    assert tried(ready, trial) == outcome
    assert no_training.count == 1, "it would diverge again"


@pytest.mark.parametrize("split", ["fold 1", "blocks", RANDOM])
def test_fewer_labels_than_the_share_asks_for(ready: Ready, no_training: SimpleNamespace, split: str) -> None:
    outcome = tried(ready, replace(FIRST, split=split, share=0.001))
    assert outcome.state == "not possible"
    counts = r"\d+ changed and \d+ unchanged pixels for (training|validation); at least 8 of each"
    assert re.search(counts, outcome.reason)
    assert f"({split})" in outcome.reason
    assert "0.1 %" in outcome.reason, "and not 0 %"
    assert "Label more" in outcome.reason
    assert no_training.count == 0


def test_an_encoder_that_does_not_exist(ready: Ready) -> None:
    outcome = tried(ready, replace(FIRST, encoder="imagenet-efficientnet-lite9"))
    assert outcome.state == "not possible"
    assert "There is no encoder 'imagenet-efficientnet-lite9'" in outcome.reason
    assert not folder_of(ready, replace(FIRST, encoder="imagenet-efficientnet-lite9")).exists()


def test_no_network_is_not_for_ever(ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = []

    def unreachable(url: str, **_: Any) -> None:
        asked.append(url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("landshift.models.encoders.weight_files.urllib.request.urlopen", unreachable)
    trial = replace(FIRST, encoder="timm:resnet18.a1_in1k")
    for attempt in (1, 2):
        outcome = tried(ready, trial)
        assert outcome.state == "not possible"
        assert "could not be fetched" in outcome.reason
        assert "https://huggingface.co/timm/resnet18.a1_in1k" in outcome.reason
        assert len(asked) == attempt, "it is tried again each time"


def interrupted_at(share: float, told: list[float]) -> Callable[..., Any]:
    """Return a `fit_network` that is interrupted once a share of the training is done."""
    from landshift.flows.steps.learning.fitting import fit_network

    def fit(*given: Any, **more: Any) -> Any:
        def advance(done: float) -> None:
            told.append(done)
            if done >= share:
                raise KeyboardInterrupt

        return fit_network(*given, **more | {"advance": after_epochs(advance)})

    return fit


def test_an_interrupted_trial_goes_on_where_it_stopped(ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project = BinaryTerritory(tmp_path / "three").workspace(assess={"epochs": 3}).project
    ws, whole = replace(ready.ws, project=project), replace(ready.ws, project=project, output=tmp_path / "whole")
    (whole.output / "training").mkdir(parents=True)
    for path in ready.ws.training.glob("*.*"):
        (whole.training / path.name).write_bytes(path.read_bytes())
    trial = Trial(RANDOM_ENCODER, "scratch", 0, "fold 2")
    told: list[float] = []
    monkeypatch.setattr(trials, "fit_network", interrupted_at(2 / 3, told))
    with pytest.raises(KeyboardInterrupt):
        tried(ready, trial, ws=ws)
    assert told == pytest.approx([1 / 3, 2 / 3])
    folder = folder_of(ready, trial)
    (checkpoints,) = folder.glob("checkpoints-*")
    assert (checkpoints / "last.ckpt").is_file()
    assert not (folder / "outcome.json").exists()
    told.clear()
    monkeypatch.setattr(trials, "fit_network", interrupted_at(9, told))
    resumed = tried(ready, trial, ws=ws)
    assert told == pytest.approx([2 / 3, 1]), "the first epoch is not trained again"
    assert resumed.state == "done"
    assert not checkpoints.exists()
    plain = tried(ready, trial, ws=whole)
    assert plain.facts.fit.history == resumed.facts.fit.history
    assert (plain.f1, plain.regions) == (resumed.f1, resumed.regions)


def test_roles_are_those_of_the_split(ready: Ready) -> None:
    divided = roles_of(ready.ws, replace(FIRST, split="blocks"), ready.regions)
    np.testing.assert_array_equal(divided.labels.change, ready.labels.change)
    blocks = divided.role
    side = blocks.reshape(6, 16, 6, 16).swapaxes(1, 2).reshape(36, -1)
    assert all(len(set(block)) == 1 for block in side), "whole blocks of 16 pixels"
    fold = roles_of(ready.ws, replace(FIRST, split="fold 3"), ready.regions).role
    np.testing.assert_array_equal(fold, fold_roles(ready.regions, ready.labels, 3, 0))
    random = roles_of(ready.ws, replace(FIRST, split=RANDOM), ready.regions).role
    assert [(random == r).mean() for r in (TRAIN, VALIDATION, TEST)] == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    fewer = roles_of(ready.ws, replace(FIRST, split="fold 3", share=0.5), ready.regions).role
    np.testing.assert_array_equal(fewer == TEST, fold == TEST)
    assert (fewer == TRAIN).sum() == pytest.approx((fold == TRAIN).sum() / 2, rel=0.05)


def test_a_fold_without_change_is_refused_with_its_counts(ready: Ready) -> None:
    none = replace(ready.regions, index=np.where(ready.labels.change == 1, -1, ready.regions.index).astype(np.int16))
    with pytest.raises(InputError, match=r"^100 % of the labels") as error:
        roles_of(ready.ws, FIRST, none)
    assert "0 changed and" in str(error.value)


def test_the_budget_is_that_of_training_unless_the_assessment_has_its_own(tmp_path: Path) -> None:
    place = BinaryTerritory(tmp_path)
    assert budget(place.workspace()) == (1, 8)
    assert budget(place.workspace(assess={"epochs": 3, "chips_per_epoch": 16})) == (3, 16)


def test_names_of_trials_differ_and_can_be_folders() -> None:
    every = [
        Trial(encoder, strategy, seed, split, share)
        for encoder in (LITE, "torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO", "timm:a/b")
        for strategy in ("full", "scratch") for seed in (0, 1) for split in ("blocks", RANDOM, "fold 1") for share in (0.5, 1)
    ]  # fmt: skip
    slugs = {t.slug for t in every}
    assert len(slugs) == len(every)
    assert all(set(slug) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") for slug in slugs)
    assert len({t.arm for t in every}) == 6, "starting from scratch is not the encoder"


def test_worst_and_mean_over_trials() -> None:
    regions = Regions(np.zeros((2, 2), dtype=np.int16), ("a", "b", "c", "d"), (0, 0, 1, 2))
    outcomes = [
        done(FIRST, regions={"a": 0.4}), done(FIRST, regions={"a": 0.6, "b": 0.3}), done(FIRST, regions={"b": None, "c": 0.9}),
        TrialResult(FIRST, "not possible", "no labels"),
    ]  # fmt: skip
    found = worst_and_mean(outcomes, regions)
    assert found.regions == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.9})
    assert (found.worst_region, found.worst) == ("b", pytest.approx(0.3))
    assert found.mean == pytest.approx(1.7 / 3)
    assert worst_and_mean([], regions) == MeanF1(None, None, None, {})
    # A map that there is none of counts as 0 in each region that it was trained for, and in no other.
    broken = TrialResult(replace(FIRST, split="fold 0"), "diverged", "nan")
    found = worst_and_mean([*outcomes, broken], regions)
    assert found.regions == pytest.approx({"a": 1 / 3, "b": 0.15, "c": 0.9})
    assert (found.worst_region, found.worst) == ("b", pytest.approx(0.15))
    alone = worst_and_mean([TrialResult(replace(FIRST, split="fold 2"), "diverged", "nan")], regions)
    assert (alone.worst_region, alone.worst, alone.mean) == ("d", 0, 0)


def test_a_trial_holds_out_the_regions_of_its_fold_or_all() -> None:
    regions = Regions(np.zeros((2, 2), dtype=np.int16), ("a", "b", "c"), (0, 1, 0))
    assert replace(FIRST, split="fold 0").hold_out(regions) == ("a", "c")
    assert replace(FIRST, split="fold 1").hold_out(regions) == ("b",)
    for split in (BLOCKS, RANDOM):
        assert replace(FIRST, split=split).hold_out(regions) == ("a", "b", "c")


def test_a_trial_on_the_blocks_is_judged_in_whatever_regions_are_asked_for(
    ready: Ready, first: TrialResult, no_training: SimpleNamespace
) -> None:
    """Blocks do not depend on the regions: what was trained for others is judged anew, and not trained again."""
    trial = replace(FIRST, split=BLOCKS)
    folder = folder_of(ready, trial)
    recipe = Recipe(encoder_called(ready.ws, LITE), "full", 0, *budget(ready.ws))
    key = partial(trial_key, ready.ws, ready.prepared, ready.labels_hash, recipe=recipe)
    halves = regions_of(ready.labels, 2, 20)
    assert key(trial=trial, regions=ready.regions) == key(trial=trial, regions=halves)
    assert key(trial=FIRST, regions=ready.regions) != key(trial=FIRST, regions=halves)
    shutil.copytree(folder_of(ready, FIRST), folder)
    outcome = replace(first, trial=trial, regions={"a region of another division": 0.9})
    write_record(folder / "outcome.json", outcome)
    ready.ws.manifest(folder).record(
        "trial", key(trial=trial, regions=ready.regions), [folder / "outcome.json", folder / "pixels.safetensors"]
    )  # fmt: skip
    in_quarters, in_halves = (run_trial(ready.ws, ready.prepared, ready.labels_hash, trial, r) for r in (ready.regions, halves))
    assert no_training.count == 0
    assert in_quarters.regions == first.regions
    # The pixels are those of the first quarter, which is a part of the first half.
    assert in_halves.regions == {halves.names[0]: first.f1}
    assert (in_halves.f1, in_halves.facts) == (first.f1, first.facts)


def test_a_limit_to_the_miss_rate_that_few_blocks_cannot_keep_stops_no_comparison(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The threshold is the one with the best F1, whatever the limit, so that all trials are compared by the same rule."""
    project = BinaryTerritory(tmp_path).workspace(calibration={"max_miss_rate": 0.001}).project
    strict = replace(ready.ws, project=project)
    recipe = Recipe(encoder_called(ready.ws, LITE), "full", 0, *budget(ready.ws))
    keys = {trial_key(ws, ready.prepared, ready.labels_hash, FIRST, ready.regions, recipe) for ws in (ready.ws, strict)}
    assert len(keys) == 1
    masks = roles_of(ready.ws, FIRST, ready.regions)
    built = build_network(ready.ws, ready.prepared, recipe.encoder, "full", 0)
    bundle = Bundle(
        name="place", spec=built.network.spec, encoder=built.encoder, units="reflectance",
        treatment=ready.prepared.radiometry.treatment, normalisation=built.normalisation, legend=Legend(),
        temperatures=Temperatures(), threshold=0.5, facts=provenance(seed=9),
    )  # fmt: skip
    loose, _, _ = judge(ready.ws, ready.prepared, bundle, built.network, masks)
    monkeypatch.setattr(trials, "fit_network", lambda *_, **__: (bundle, built.network))
    outcome = tried(ready, replace(FIRST, seed=9), ws=strict)
    assert (outcome.state, outcome.reason) == ("done", "")
    assert outcome.facts.threshold == loose.threshold
    with pytest.raises(InputError, match=r"max_miss_rate: 0\.001` cannot be met"):
        judge(strict, ready.prepared, bundle, built.network, masks)


def test_by_block_keeps_the_pixels_of_each_block_together() -> None:
    block = np.array([7, 2, 7, 5, 2, 7])
    probability, truth = np.arange(6) / 10, np.array([0, 1, 1, 0, 0, 1], dtype=np.uint8)
    parts = by_block(block, probability, truth)
    assert [p.tolist() for p, _ in parts] == [[0.1, 0.4], [0.3], [0.0, 0.2, 0.5]]
    assert [t.tolist() for _, t in parts] == [[1, 0], [0], [0, 1, 1]]
    assert by_block(block[:0], probability[:0], truth[:0]) == []
    assert [p.tolist() for p, _ in by_block(block[:1], probability[:1], truth[:1])] == [[0.0]]
