"""Adaptations of a model from elsewhere are tried and measured; only what helps on labels is accepted."""

import models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows import adapting
from flows.adapting import METHODS, adaptation_in_use, adapted, check_adaptations, current_adaptation
from flows.fitting import build_network
from flows.judging import HeldOut
from flows.prepare import plan
from flows.workspace import Workspace
from models.bundle import Bundle, load, save
from models.encoders import encoder_named
from models.inference import Temperatures
from pipeline.errors import InputError
from pipeline.legend import Legend
from pipeline.splits import NO_ROLE
from pipeline.statistics import band_statistics, sampled_pixels
from tests.binary_territory import RANDOM, BinaryTerritory, Ready


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("adapting"))


@pytest.fixture(scope="module")
def ready(place: BinaryTerritory) -> Ready:
    ready = Ready(place.workspace())
    ready.ws = replace(ready.ws, chosen_model=elsewhere(ready, place.output / "model", training_regions=True))
    return ready


def elsewhere(ready: Ready, folder: Path, *, training_regions: bool) -> Path:
    """Keep a model with random weights, and say that it was trained in a darker place."""
    built = build_network(ready.ws, ready.prepared, plan(ready.ws), encoder_named(RANDOM), "scratch", 0)
    regions = asdict(band_statistics(ready.prepared.images))
    regions["mean"] = [m / 2 for m in regions["mean"]]
    bundle = Bundle(
        "elsewhere", built.network.spec, asdict(built.encoder), "reflectance", built.normalisation, Legend(), Temperatures(),
        0.5, (), {"training_regions": regions} if training_regions else {},
    )  # fmt: skip
    return save(folder, bundle, built.network, "card")


def test_nothing_is_done_where_nothing_is_asked_for(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    done = adapted(ready.ws, ready.prepared, bundle, network, "none")
    assert (done.network, done.mappings, done.notes) == (network, (None, None), ())


def test_moments_are_those_of_the_training_regions_and_keep_the_change(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    before, after = adapted(ready.ws, ready.prepared, bundle, network, "moments").mappings
    assert before is after, "each date apart would lose its change"
    pixels = np.concatenate([sampled_pixels(image) for image in ready.prepared.images])
    mapped = before.apply(pixels.T[:, :, None])[..., 0]
    known = bundle.facts["training_regions"]
    np.testing.assert_allclose(mapped.mean(axis=1), known["mean"], rtol=1e-4)
    np.testing.assert_allclose(mapped.std(axis=1), known["std"], rtol=1e-4)


def test_a_histogram_brings_the_date_after_to_the_date_before(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    first, second = adapted(ready.ws, ready.prepared, bundle, network, "histogram").mappings
    assert first is None
    before, after = (sampled_pixels(image) for image in ready.prepared.images)
    mapped = second.apply(after.T[:, :, None])[..., 0]
    np.testing.assert_allclose(np.median(mapped, axis=1), np.median(before, axis=0), rtol=0.02)


def test_radiometric_normalisation_leaves_what_did_not_change(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The light is the same on both dates. A territory as small as this has few pixels that surely did not change."""
    monkeypatch.setattr(adapting, "fit_radiometric", partial(adapting.fit_radiometric, min_pixels=30))
    bundle, network = load(ready.ws.model_in_use)
    first, second = adapted(ready.ws, ready.prepared, bundle, network, "radiometric").mappings
    assert first is None
    still = np.array([0.08, 0.11, 0.15, 0.26]).reshape(4, 1, 1)
    np.testing.assert_allclose(second.apply(still), still, atol=0.02)


def test_batch_norm_takes_in_the_territory(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    done = adapted(ready.ws, ready.prepared, bundle, network, "batch-norm")
    assert done.mappings == (None, None)
    assert done.notes
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(k.endswith(("running_mean", "running_var", "num_batches_tracked")) for k in moved), "nothing is trained"


def test_a_model_that_does_not_know_its_regions(ready: Ready, tmp_path: Path) -> None:
    ws = replace(ready.ws, chosen_model=elsewhere(ready, tmp_path / "model", training_regions=False))
    bundle, network = load(ws.model_in_use)
    with pytest.raises(InputError, match="does not say what its training regions look like"):
        adapted(ws, ready.prepared, bundle, network, "moments")
    found = check_adaptations(replace(ws, output=tmp_path / "out"), ready.prepared, None)
    rows = {row["method"]: row for row in found["rows"]}
    assert "does not say what its training regions look like" in rows["moments"]["reason"]
    assert rows["moments"]["mapped_share"] is None
    assert "100 are needed to match the dates" in rows["radiometric"]["reason"]
    assert rows["radiometric"]["mapped_share"] is None
    for method in ("none", "histogram", "batch-norm"):
        assert rows[method]["reason"] == ""
        assert 0 <= rows[method]["mapped_share"] <= 1


def test_without_labels_nothing_is_accepted(ready: Ready, tmp_path: Path) -> None:
    ws = replace(ready.ws, output=tmp_path / "place")
    found = check_adaptations(ws, ready.prepared, None)
    assert [row["method"] for row in found["rows"]] == ["none", *METHODS]
    assert (found["accepted"], found["verified"], found["calibration"]) == ("none", False, None)
    assert found["sentence"].startswith("Without labels no adaptation can be checked")
    assert not any("f1" in row for row in found["rows"])
    for row in found["rows"]:
        assert (row["mapped_share"] is None) == bool(row["reason"])
        assert (f"{row['method']} {row['mapped_share'] or 0:.1%}" in found["sentence"]) == (not row["reason"])
    auto = adaptation_in_use(asking(ws, "auto"), ready.prepared)
    assert (auto.method, auto.verified, auto.threshold, auto.temperatures) == ("none", False, None, None)


def asking(ws: Workspace, method: str) -> Workspace:
    detect = ws.project.detect.model_copy(update={"adaptation": method})
    return replace(ws, project=ws.project.model_copy(update={"detect": detect}))


@pytest.fixture(scope="module")
def checked(ready: Ready) -> dict[str, Any]:
    return check_adaptations(ready.ws, ready.prepared, ready.labels_hash)


def test_with_labels_every_method_is_measured_against_doing_nothing(checked: dict[str, Any]) -> None:
    assert checked["verified"]
    assert checked["accepted"] in ("none", *METHODS)
    none = checked["rows"][0]
    assert (none["gain"]["estimate"], none["gain"]["low"], none["gain"]["high"]) == (0, 0, 0)
    assert [row["method"] for row in checked["rows"] if row["reason"]] == ["radiometric"], (
        "too few pixels, and the rest goes on"
    )
    for row in [row for row in checked["rows"] if not row["reason"]]:
        assert row["gain"]["estimate"] == pytest.approx(row["f1"] - none["f1"])
        assert 0 <= row["calibration_error"] <= 1
    assert none["calibration_gain"]["estimate"] == pytest.approx(none["f1"] - none["own_calibration_f1"])
    assert 0 < checked["calibration"]["threshold"] < 1
    assert json.loads(json.dumps(checked, allow_nan=False)) == checked


def test_what_was_checked_is_not_checked_again(
    ready: Ready, checked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = ready.ws.assessment / "adaptation.json"
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(adapting, "_checked", lambda *_: pytest.fail("checked again"))
    assert check_adaptations(ready.ws, ready.prepared, ready.labels_hash) == checked
    assert path.stat().st_mtime_ns == before


def test_it_holds_for_these_images_labels_and_this_model_alone(
    ready: Ready, place: BinaryTerritory, checked: dict[str, Any], tmp_path: Path
) -> None:
    ws, prepared = ready.ws, ready.prepared
    assert current_adaptation(ws, prepared) == checked
    assert current_adaptation(ws, replace(prepared, hashes=("sha256:other", prepared.hashes[1]))) is None
    other = replace(ws, chosen_model=elsewhere(ready, tmp_path / "model", training_regions=False))
    assert current_adaptation(other, prepared) is None
    stricter = place.workspace(detect={"threshold": 0.9}).project
    assert current_adaptation(replace(ws, project=stricter), prepared) is None
    assert current_adaptation(replace(ws, output=tmp_path / "nothing"), prepared) is None


def test_auto_needs_an_assessment(ready: Ready, tmp_path: Path) -> None:
    ws = replace(asking(ready.ws, "auto"), output=tmp_path / "place")
    with pytest.raises(InputError, match=r"takes what `landshift assess` accepted, and it has not assessed this model"):
        adaptation_in_use(ws, ready.prepared)


def test_auto_takes_what_was_accepted_with_the_territorys_own_calibration(ready: Ready, checked: dict[str, Any]) -> None:
    found = adaptation_in_use(asking(ready.ws, "auto"), ready.prepared)
    assert (found.method, found.verified) == (checked["accepted"], True)
    assert found.threshold == checked["calibration"]["threshold"]
    assert found.temperatures == checked["calibration"]["temperatures"]


def test_a_named_method_is_unverified_unless_it_was_accepted(ready: Ready, checked: dict[str, Any], tmp_path: Path) -> None:
    assert adaptation_in_use(asking(ready.ws, "none"), ready.prepared).verified
    for method in METHODS:
        found = adaptation_in_use(asking(ready.ws, method), ready.prepared)
        assert (found.method, found.threshold) == (method, None)
        assert found.verified == (checked["accepted"] == method)
        nowhere = adaptation_in_use(asking(replace(ready.ws, output=tmp_path / "place"), method), ready.prepared)
        assert (nowhere.method, nowhere.verified) == (method, False)


def said(ready: Ready, wrong: float, seed: int = 0) -> HeldOut:
    """Return a map that is wrong in a share of the labelled pixels."""
    labels, role = adapting.read_masks(ready.ws)
    used = (role != NO_ROLE) & (role != 0)
    flipped = np.random.default_rng(seed).random(role.shape) < wrong
    probability = np.where((labels.change == 1) ^ flipped, 0.9, 0.1).astype(np.float32)
    rows = replace(labels, **{n: getattr(labels, n)[used][None] for n in ("before", "after", "change")})
    return HeldOut(probability[used][None], None, None, rows, role[used][None], np.flatnonzero(used)[None])


@pytest.mark.parametrize(
    ("wrong", "accepted"),
    [
        ({"none": 0.2, "moments": 0.05, "histogram": 0.1}, "moments"),
        ({"none": 0.05, "moments": 0.2}, "none"),
        ({"none": 0.1}, "none"),
    ],
)
def test_the_one_that_gains_most_is_accepted_and_none_that_loses(ready: Ready, wrong: dict[str, float], accepted: str) -> None:
    rows = [{"method": method} for method in ("none", *METHODS)]
    found = adapting._judged(ready.ws, rows, {method: said(ready, share) for method, share in wrong.items()})
    assert (found["accepted"], found["verified"]) == (accepted, True)
    assert ("it is accepted" in found["sentence"]) == (accepted != "none")
    measured = {row["method"]: row for row in rows if "f1" in row}
    assert set(measured) == set(wrong)
    if accepted != "none":
        assert measured[accepted]["gain"]["low"] > 0
        assert f"{measured[accepted]['gain']['estimate']:+.3f}" in found["sentence"]
    assert measured["none"]["f1"] == pytest.approx(measured["none"]["own_calibration_f1"])


def test_a_gain_that_may_be_chance_is_not_accepted(ready: Ready) -> None:
    rows = [{"method": "none"}, {"method": "histogram"}]
    found = adapting._judged(ready.ws, rows, {"none": said(ready, 0.101, 1), "histogram": said(ready, 0.1, 2)})
    assert rows[1]["gain"]["low"] < 0 < rows[1]["gain"]["high"]
    assert found["accepted"] == "none"
    assert "by more than chance" in found["sentence"]
