"""Adaptations of a model from elsewhere are tried and measured; only what helps on labels is accepted."""

import landshift.models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landshift.flows.config.learning import CalibrationConfig
from landshift.flows.steps.assessment import adapting
from landshift.flows.steps.assessment.adapting import (
    METHODS,
    ChosenAdaptation,
    adapt_model,
    adaptation_in_use,
    adaptation_key,
    check_adaptations,
    current_adaptation,
)
from landshift.flows.steps.learning.fitting import build_network
from landshift.flows.steps.learning.judging import HeldOut
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication import known as known_module
from landshift.flows.steps.publication.known import calibration_of
from landshift.models.encoders.table import encoder_named
from landshift.models.use.bundle import Bundle, TrainingImages, load, save
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import NO_ROLE
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import write_json
from landshift.pipeline.records import content_of
from landshift.pipeline.scores.accuracy import BinaryScores
from landshift.pipeline.scores.adaptation import AdaptationRow
from landshift.pipeline.scores.calibration import cool_classes
from landshift.pipeline.scores.reliability import KnownCalibration
from landshift.pipeline.scores.training import CandidateScores, Temperatures
from tests.binary_territory import RANDOM, BinaryTerritory, Ready
from tests.small_network import provenance


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("adapting"))


@pytest.fixture(scope="module")
def ready(place: BinaryTerritory) -> Ready:
    """Blocks of 8 pixels, of which about thirty are tested on."""
    ready = Ready(place.workspace(split={"block_px": 8}))
    ready.ws = replace(ready.ws, chosen_model=elsewhere(ready, place.output / "model"))
    return ready


@pytest.fixture(scope="module")
def coarse(ready: Ready, place: BinaryTerritory) -> Ready:
    """The same territory in blocks of 16 pixels: seven of them are tested on."""
    ws = place.workspace(place.output.parent / "coarse", split={"block_px": 16})
    return Ready(replace(ws, chosen_model=ready.ws.chosen_model))


def elsewhere(ready: Ready, folder: Path, name: str = "elsewhere") -> Path:
    """Keep a model with random weights that was trained in a darker place."""
    built = build_network(ready.ws, ready.prepared, encoder_named(RANDOM), "scratch", 0)
    regions = ready.prepared.source.statistics()
    darker = replace(regions, mean=tuple(m / 2 for m in regions.mean))
    bundle = Bundle(
        name=name, spec=built.network.spec, encoder=built.encoder, units="reflectance",
        treatment=ready.prepared.radiometry.treatment,
        normalisation=built.normalisation, legend=Legend(), temperatures=Temperatures(), threshold=0.5,
        facts=provenance(training_regions=darker),
    )  # fmt: skip
    return save(folder, bundle, built.network, "card")


def test_nothing_is_done_where_nothing_is_asked_for(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    done = adapt_model(ready.ws, ready.prepared, bundle, network, "none")
    assert (done.network, done.mappings, done.notes) == (network, (None, None), ())


def test_moments_are_those_of_the_training_regions_and_keep_the_change(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    before, after = adapt_model(ready.ws, ready.prepared, bundle, network, "moments").mappings
    assert before is after, "each date apart would lose its change"
    pixels = np.concatenate(ready.prepared.source.sample())
    mapped = before.apply(pixels.T[:, :, None])[..., 0]
    regions = bundle.facts.training_regions
    np.testing.assert_allclose(mapped.mean(axis=1), regions.mean, rtol=1e-4)
    np.testing.assert_allclose(mapped.std(axis=1), regions.std, rtol=1e-4)


def test_a_histogram_brings_the_date_after_to_the_date_before(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    first, second = adapt_model(ready.ws, ready.prepared, bundle, network, "histogram").mappings
    assert first is None
    before, after = ready.prepared.source.sample()
    mapped = second.apply(after.T[:, :, None])[..., 0]
    np.testing.assert_allclose(np.median(mapped, axis=1), np.median(before, axis=0), rtol=0.02)


def test_batch_norm_takes_in_the_territory(ready: Ready) -> None:
    bundle, network = load(ready.ws.model_in_use)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    done = adapt_model(ready.ws, ready.prepared, bundle, network, "batch-norm")
    assert done.mappings == (None, None)
    assert done.notes
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(k.endswith(("running_mean", "running_var", "num_batches_tracked")) for k in moved), "nothing is trained"


def test_every_method_can_be_tried(ready: Ready, tmp_path: Path) -> None:
    found = content_of(check_adaptations(replace(ready.ws, output=tmp_path / "out"), ready.prepared, None))
    for row in found["rows"]:
        assert row["reason"] == ""
        assert 0 <= row["mapped_share"] <= 1


def test_without_labels_nothing_is_accepted(ready: Ready, tmp_path: Path) -> None:
    ws = replace(ready.ws, output=tmp_path / "place")
    found = content_of(check_adaptations(ws, ready.prepared, None))
    assert [row["method"] for row in found["rows"]] == ["none", *METHODS]
    assert (found["accepted"], found["verified"], found["calibration"]) == ("none", False, None)
    assert found["sentence"].startswith("Without labels no adaptation can be checked")
    assert not any("f1" in row for row in found["rows"])
    for row in found["rows"]:
        assert (row["mapped_share"] is None) == bool(row["reason"])
        assert (f"{row['method']} {row['mapped_share'] or 0:.1%}" in found["sentence"]) == (not row["reason"])
    auto = adaptation_in_use(asking(ws, "auto"), ready.prepared)
    assert (auto.method, auto.verified, auto.threshold, auto.temperatures) == ("none", True, None, None), "as it is"


def asking(ws: Workspace, method: str) -> Workspace:
    detect = ws.project.detect.model_copy(update={"adaptation": method})
    return replace(ws, project=ws.project.model_copy(update={"detect": detect}))


@pytest.fixture(scope="module")
def checked(ready: Ready) -> dict[str, Any]:
    return dict(content_of(check_adaptations(ready.ws, ready.prepared, ready.labels_hash)))


def test_with_labels_every_method_is_measured_against_doing_nothing(checked: dict[str, Any]) -> None:
    assert checked["verified"]
    assert checked["accepted"] in ("none", *METHODS)
    none = checked["rows"][0]
    assert (none["gain"]["estimate"], none["gain"]["low"], none["gain"]["high"]) == (0, 0, 0)
    assert not [row["method"] for row in checked["rows"] if row["reason"]]
    for row in [row for row in checked["rows"] if not row["reason"]]:
        assert row["gain"]["estimate"] == pytest.approx(row["f1"] - none["f1"])
        assert 0 <= row["calibration_error"] <= 1
    assert none["calibration_gain"]["estimate"] == pytest.approx(none["f1"] - none["own_calibration_f1"])
    blocks = none["gain"]["n"]
    assert 20 < blocks <= 36, "the test blocks"
    for row in [row for row in checked["rows"] if not row["reason"]]:
        assert (row["gain"]["n"], row["gain"]["level"]) == (blocks, 1 - 0.05 / len(METHODS))
    assert (none["calibration_gain"]["n"], none["calibration_gain"]["level"]) == (blocks, 0.95)
    assert json.loads(json.dumps(checked, allow_nan=False)) == checked


def test_what_was_checked_is_not_checked_again(
    ready: Ready, checked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = ready.ws.assessment / "adaptation.json"
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(adapting, "_check", lambda *_, **__: pytest.fail("checked again"))
    assert content_of(check_adaptations(ready.ws, ready.prepared, ready.labels_hash)) == checked
    assert path.stat().st_mtime_ns == before


def test_it_holds_for_these_images_labels_and_this_model_alone(
    ready: Ready, place: BinaryTerritory, checked: dict[str, Any], tmp_path: Path
) -> None:
    ws, prepared = ready.ws, ready.prepared
    assert content_of(current_adaptation(ws, prepared)) == checked
    assert current_adaptation(ws, replace(prepared, before=replace(prepared.before, hash="sha256:other"))) is None
    other = replace(ws, chosen_model=elsewhere(ready, tmp_path / "model", "other"))
    assert current_adaptation(other, prepared) is None
    stricter = place.workspace(detect={"threshold": 0.9}).project
    assert current_adaptation(replace(ws, project=stricter), prepared) is None
    assert current_adaptation(replace(ws, output=tmp_path / "nothing"), prepared) is None


def test_auto_needs_an_assessment(ready: Ready, tmp_path: Path) -> None:
    ws = replace(asking(ready.ws, "auto"), output=tmp_path / "place")
    with pytest.raises(InputError, match=r"takes what `landshift assess` accepted, and it has not assessed this model"):
        adaptation_in_use(ws, ready.prepared)


CALIBRATION = {"threshold": 0.25, "temperatures": {"change": 2.0, "landuse": 1.0}}


def found_before(ready: Ready, folder: Path, **changes: Any) -> Workspace:
    """Write down what `assess` would have found; return a workspace that asks for it."""
    ws = asking(replace(ready.ws, output=folder / "place"), "auto")
    (ws.training).mkdir(parents=True)
    for path in ready.ws.training.glob("*.*"):
        (ws.training / path.name).write_bytes(path.read_bytes())
    content = {"rows": [], "accepted": "moments", "verified": True, "sentence": "", "calibration": CALIBRATION} | changes
    path = ws.assessment / "adaptation.json"
    write_json(path, content)
    ws.manifest(ws.assessment).record("adaptation", adaptation_key(ws, ready.prepared, ready.labels_hash), [path])
    return ws


@pytest.mark.parametrize("accepted", ["moments", "none"])
@pytest.mark.parametrize("calibration", [CALIBRATION, None])
def test_auto_takes_what_was_accepted_with_the_calibration_that_goes_with_it(
    ready: Ready, tmp_path: Path, accepted: str, calibration: dict[str, Any] | None
) -> None:
    ws = found_before(ready, tmp_path, accepted=accepted, calibration=calibration)
    found = adaptation_in_use(ws, ready.prepared)
    assert (found.method, found.verified) == (accepted, True)
    assert found.threshold == (None if calibration is None else 0.25)
    assert found.temperatures == (None if calibration is None else Temperatures(2.0, 1.0))


def test_naming_what_was_accepted_is_the_same_as_auto(ready: Ready, tmp_path: Path) -> None:
    ws = found_before(ready, tmp_path)
    assert adaptation_in_use(asking(ws, "moments"), ready.prepared) == adaptation_in_use(ws, ready.prepared)
    other = adaptation_in_use(asking(ws, "histogram"), ready.prepared)
    assert (other.verified, other.threshold, other.temperatures) == (False, None, None), "its calibration is of another map"
    assert adaptation_in_use(asking(ws, "none"), ready.prepared) == ChosenAdaptation("none", True)


def test_what_was_found_is_not_taken_from_a_file_that_somebody_changed(ready: Ready, tmp_path: Path) -> None:
    ws = found_before(ready, tmp_path, accepted="none")
    path = ws.assessment / "adaptation.json"
    path.write_text(path.read_text().replace('"none"', '"moments"'))
    assert current_adaptation(ws, ready.prepared) is None
    with pytest.raises(InputError, match="has not assessed this model"):
        adaptation_in_use(ws, ready.prepared)


def test_a_limit_to_the_miss_rate_goes_before_the_territorys_own_threshold(ready: Ready, tmp_path: Path) -> None:
    """The promise was made for the model's own threshold; the territory's has the best F1 and promises nothing."""
    ws = found_before(ready, tmp_path)
    project = ws.project.model_copy(update={"calibration": CalibrationConfig(max_miss_rate=0.1)})
    found = adaptation_in_use(replace(ws, project=project), ready.prepared)
    assert found == ChosenAdaptation("moments", True)


def test_what_was_not_verified_is_not_taken_for_it(ready: Ready, tmp_path: Path) -> None:
    ws = found_before(ready, tmp_path, accepted="none", verified=False)
    assert adaptation_in_use(ws, ready.prepared) == ChosenAdaptation("none", True), "without the calibration"
    assert adaptation_in_use(asking(ws, "moments"), ready.prepared) == ChosenAdaptation("moments", False)


def test_a_projects_own_model_needs_no_adaptation(ready: Ready, tmp_path: Path) -> None:
    """It was trained here; `auto` asks for no assessment of it."""
    own = asking(replace(ready.ws, chosen_model=None, output=tmp_path / "place"), "auto")
    assert adaptation_in_use(own, ready.prepared) == ChosenAdaptation("none", True)


def test_a_named_method_is_unverified_unless_it_was_accepted(ready: Ready, checked: dict[str, Any], tmp_path: Path) -> None:
    assert adaptation_in_use(asking(ready.ws, "none"), ready.prepared).verified
    for method in METHODS:
        found = adaptation_in_use(asking(ready.ws, method), ready.prepared)
        assert (found.method, found.verified) == (method, checked["accepted"] == method)
        assert found.verified or (found.threshold, found.temperatures) == (None, None)
        nowhere = adaptation_in_use(asking(replace(ready.ws, output=tmp_path / "place"), method), ready.prepared)
        assert (nowhere.method, nowhere.verified) == (method, False)


def judged(ready: Ready, seen: dict[str, HeldOut], methods: tuple[str, ...] = ("none", *METHODS)) -> dict[str, Any]:
    rows = [AdaptationRow(method, (), "", None) for method in methods]
    return dict(content_of(adapting._judge(ready.ws, rows, seen)))


def said(ready: Ready, wrong: float, seed: int = 0) -> HeldOut:
    """Return a map that is wrong in a share of the labelled pixels."""
    masks = adapting.read_masks(ready.ws)
    labels, role = masks.labels, masks.role
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
    found = judged(ready, {method: said(ready, share) for method, share in wrong.items()})
    assert (found["accepted"], found["verified"]) == (accepted, True)
    assert ("it is accepted" in found["sentence"]) == (accepted != "none")
    measured = {row["method"]: row for row in found["rows"] if "f1" in row}
    assert set(measured) == set(wrong)
    if accepted != "none":
        assert measured[accepted]["gain"]["low"] > 0
        assert f"{measured[accepted]['gain']['estimate']:+.3f}" in found["sentence"]
    assert measured["none"]["f1"] == pytest.approx(measured["none"]["own_calibration_f1"])
    # The model's own threshold is as good here, so that only what was measured with another one brings it along.
    assert (found["calibration"] is None) == (accepted == "none")
    if accepted != "none":
        assert f"{1 - 0.05 / len(METHODS):.2%} interval" in found["sentence"]


def test_a_gain_that_may_be_chance_is_not_accepted(ready: Ready) -> None:
    found = judged(ready, {"none": said(ready, 0.101, 1), "histogram": said(ready, 0.1, 2)}, ("none", "histogram"))
    rows = found["rows"]
    assert rows[1]["gain"]["low"] < 0 < rows[1]["gain"]["high"]
    assert found["accepted"] == "none"
    assert "by more than chance" in found["sentence"]


def test_fewer_than_ten_test_blocks_accept_nothing(coarse: Ready) -> None:
    """However much better it is: with so few blocks a useless method would pass too often."""
    found = judged(coarse, {"none": said(coarse, 0.3), "moments": said(coarse, 0.01)})
    measured = {row["method"]: row for row in found["rows"] if "f1" in row}
    assert measured["moments"]["gain"]["low"] > 0.1
    assert measured["none"]["gain"]["n"] == 7
    assert (found["accepted"], found["verified"], found["calibration"]) == ("none", False, None)
    assert found["sentence"].startswith("The labels lie in 7 test blocks; at least 10 are needed")
    assert "None is accepted" in found["sentence"]


def shy(ready: Ready) -> HeldOut:
    """Return a map that is right, from a model that says `changed` with a probability below its own threshold."""
    pixels = said(ready, 0.02)
    return replace(pixels, change=np.where(pixels.change > 0.5, 0.4, 0.05).astype(np.float32))


def test_the_territorys_own_calibration_has_to_prove_itself(ready: Ready, coarse: Ready) -> None:
    found = judged(ready, {"none": shy(ready)}, ("none",))
    rows = found["rows"]
    assert rows[0]["own_calibration_f1"] == 0
    assert rows[0]["calibration_gain"]["low"] > 0
    assert (found["accepted"], found["verified"]) == ("none", True)
    assert 0.05 < found["calibration"]["threshold"] <= 0.5
    few = judged(coarse, {"none": shy(coarse)}, ("none",))
    assert (few["verified"], few["calibration"]) == (False, None)


def test_the_models_own_calibration_is_that_of_the_model(ready: Ready, tmp_path: Path) -> None:
    """With its temperature the probabilities of a model from elsewhere are others; its threshold is meant for those."""
    bundle, network = load(ready.ws.model_in_use)
    hot = replace(bundle, temperatures=Temperatures(change=4.0), threshold=0.6)
    ws = replace(ready.ws, chosen_model=save(tmp_path / "hot", hot, network, "card"))
    (row,) = adapting._judge(ws, [AdaptationRow("none", (), "", None)], {"none": said(ready, 0.02)}).rows
    # 0.9 at a temperature of 4 is 0.634, above 0.6; uncooled or not the map is the same, but the error is not.
    assert row.own_calibration_f1 == pytest.approx(row.f1)
    assert row.own_calibration_error > 0.3 > row.calibration_error


def test_land_use_is_cooled_by_its_own_temperature(ready: Ready) -> None:
    shares = np.array([[[0.8, 0.3]], [[0.2, 0.7]]], dtype=np.float32)
    pixels = replace(said(ready, 0.1), change=None, before=shares, after=shares[::-1])
    calm = pixels.at(Temperatures(change=9.0, landuse=2.0))
    np.testing.assert_allclose(calm.before, cool_classes(shares, 2.0))
    np.testing.assert_allclose(calm.after, cool_classes(shares[::-1], 2.0))
    assert calm.probability[0, 0] < pixels.probability[0, 0], "less sure that it changed"


def test_a_method_that_cannot_be_calibrated_has_its_reason_and_the_rest_goes_on(ready: Ready) -> None:
    spoilt = said(ready, 0.05)
    spoilt = replace(spoilt, change=np.full_like(spoilt.change, np.nan))
    found = judged(ready, {"none": said(ready, 0.3), "moments": spoilt, "histogram": said(ready, 0.02)})
    rows = {row["method"]: row for row in found["rows"]}
    assert rows["moments"]["reason"]
    assert "gain" not in rows["moments"]
    assert found["accepted"] == "histogram"
    with pytest.raises(InputError, match=r"cannot be calibrated on the labelled pixels as they are: .+"):
        judged(ready, {"none": spoilt}, ("none",))


def known(ready: Ready, ws: Workspace, folder: Path, *, home: bool) -> KnownCalibration:
    """What is known of a model with an error of 0.02 where it was trained: on these images, or on others."""
    bundle, network = load(ready.ws.model_in_use)
    scores = CandidateScores(
        seed=0, validation_score=0.5, threshold=0.5, temperatures=Temperatures(), calibration_error=0.02, warnings=(),
        test=BinaryScores(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 100),
    )  # fmt: skip
    inputs = TrainingImages(*ready.prepared.hashes) if home else TrainingImages("other", "images")
    save(folder / "model", replace(bundle, facts=replace(bundle.facts, scores=scores, inputs=inputs)), network, "card")
    return calibration_of(replace(ws, chosen_model=folder / "model"), ready.prepared)


def test_calibration_is_known_on_the_images_of_the_training_and_on_no_others(ready: Ready, tmp_path: Path) -> None:
    nowhere = replace(ready.ws, output=tmp_path / "place")
    assert known(ready, asking(nowhere, "none"), tmp_path, home=True) == KnownCalibration(0.02, 0.02)
    assert known(ready, asking(nowhere, "none"), tmp_path, home=False) == KnownCalibration(None, 0.02)
    assert known(ready, asking(nowhere, "moments"), tmp_path, home=True) == KnownCalibration(None, 0.02), "other pixels"


ROW: dict[str, Any] = {
    "method": "none", "notes": [], "reason": "", "mapped_share": 0.5, "f1": 0.5, "calibration_error": 0.11,
    "gain": {"estimate": 0.1, "low": 0.0, "high": 0.2, "n": 9, "level": 0.95},
}  # fmt: skip
BASELINE = ROW | {"own_calibration_f1": 0.4, "own_calibration_error": 0.57, "calibration_gain": ROW["gain"]}


@pytest.mark.parametrize(
    ("found", "here"),
    [
        ({"accepted": "none", "calibration": None, "rows": [BASELINE]}, 0.57),
        ({"accepted": "none", "rows": [BASELINE]}, 0.11),
        ({"accepted": "moments", "rows": [BASELINE, ROW | {"method": "moments", "calibration_error": 0.07}]}, 0.07),
        ({"accepted": "moments", "calibration": None, "rows": [BASELINE, ROW | {"method": "moments"}]}, None),
        ({"accepted": "none", "verified": False, "rows": [BASELINE]}, None),
    ],
    ids=["its own on these labels", "those of this territory", "with an adaptation", "its own, never tried so", "too few"],
)
def test_labels_of_these_images_measure_the_calibration(
    ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], here: float | None
) -> None:
    ws = found_before(ready, tmp_path, **found)
    check = current_adaptation(ws, ready.prepared)
    for module in (adapting, known_module):
        monkeypatch.setattr(module, "current_adaptation", lambda *_: check)
    assert known(ready, ws, tmp_path, home=False) == KnownCalibration(here, 0.02)
