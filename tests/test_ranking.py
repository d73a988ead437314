"""Encoders are ranked on labelled pixels; what cannot be used is listed with its reason, and the rest goes on."""

import landshift.models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import json
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landshift.flows.steps.assessment import ranking
from landshift.flows.steps.assessment.ranking import candidates, groups_of, rank_encoders
from landshift.models.encoders.backbones import build_encoder
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.records import content_of
from tests.binary_territory import LITE, RANDOM, SIZE, BinaryTerritory, Ready, squares


def ranked(ready: Ready, **changes: Any) -> dict[str, Any]:
    ws = replace(ready.ws, **changes)
    return dict(content_of(rank_encoders(ws, ready.prepared, ready.labels_hash)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("ranking"))


@pytest.fixture(scope="module")
def ready(place: BinaryTerritory) -> Ready:
    return Ready(place.workspace())


@pytest.fixture(scope="module")
def both(ready: Ready) -> dict[str, Any]:
    return ranked(ready)


def test_every_encoder_has_its_row(both: dict[str, Any]) -> None:
    assert {row["name"] for row in both["rows"]} == {RANDOM, LITE}
    assert [row["rank"] for row in both["rows"]] == [1, 2]
    scores = [row["score"] for row in both["rows"]]
    assert scores == sorted(scores, reverse=True)
    for row in both["rows"]:
        assert row["scores"]["LogME"] == row["score"]
        assert row["low"] is None or row["low"] <= row["high"]
        assert 0.5 < row["probe_f1"] <= 1, "squares as bright as these are easily told"
        assert set(row["depths"]) >= {"stride 2", "stride 32"}
        assert [band["fault"] for band in row["bands"]] == [""] * 4
    assert (both["target"], both["pixels"], both["left_out"]) == ("change", 300, [])
    assert both["groups"] == 36, "blocks of 16 pixels in 96 x 96"
    assert both["choice"] in (None, both["rows"][0]["name"])
    assert both["sentence"]


def test_licence_and_source_of_the_weights_are_told(both: dict[str, Any]) -> None:
    lite = next(row for row in both["rows"] if row["name"] == LITE)
    assert lite["source"]["licence"] == "Apache-2.0"
    assert lite["source"]["task"] == "ImageNet classification"
    assert any("nir" in note for note in lite["notes"])


def test_the_same_ranking_is_not_made_again(
    ready: Ready, place: BinaryTerritory, both: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ready.ws.assessment / "ranking.json"
    before = path.stat().st_mtime_ns

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("ranked again")

    monkeypatch.setattr(ranking, "_describe", never)
    assert ranked(ready) == both
    assert path.stat().st_mtime_ns == before
    with pytest.raises(AssertionError, match="ranked again"):
        rank_encoders(ready.ws, ready.prepared, "other labels")
    for section, values in (("sensor", {"scale": 2e-4}), ("split", {"block_px": 8}), ("assess", {"pixels": 200})):
        with pytest.raises(AssertionError, match="ranked again"):
            ranked(ready, project=place.workspace(**{section: values}).project)
    # The masks hold no regions: these are a part of what they were made from.
    monkeypatch.setattr(ranking, "labels_key_of", lambda _: "polygons that name other regions")
    with pytest.raises(AssertionError, match="ranked again"):
        ranked(ready)


def checkpoint(place: BinaryTerritory, channels: int = 4) -> dict[str, Any]:
    """Write a checkpoint of random weights; return what a config says of it."""
    torch.manual_seed(0)
    torch.save(build_encoder("tu-tf_efficientnet_lite0", channels).state_dict(), place.data / f"own-{channels}.pth")
    return {"path": f"own-{channels}.pth", "architecture": "tu-tf_efficientnet_lite0"}


def test_encoders_that_do_not_fit_or_do_not_exist_are_left_out_with_their_reasons(place: BinaryTerritory, ready: Ready) -> None:
    file = {**checkpoint(place, 2), "bands": ["lwir11", "pan"]}
    encoders = [RANDOM, "imagenet-efficientnet-lite9", "file", "random:no-such-architecture"]
    ws = place.workspace(model={"file": file}, assess={"encoders": encoders})
    found = ranked(ready, project=ws.project)
    assert [row["name"] for row in found["rows"]] == [RANDOM]
    reasons = {row["encoder"]: row["reason"] for row in found["left_out"]}
    assert list(reasons) == encoders[1:]
    assert "Did you mean 'imagenet-efficientnet-lite" in reasons["imagenet-efficientnet-lite9"]
    assert "None of the bands blue, green, red, nir matches" in reasons["file"]
    assert "no-such-architecture" in reasons["random:no-such-architecture"]
    assert "only encoder" in found["sentence"]


def test_units_that_do_not_fit_are_a_fault_of_each_band_with_the_factor(place: BinaryTerritory, ready: Ready) -> None:
    """The statistics are of numbers, reflectance x 10000, and stand where reflectance is meant."""
    file = {
        **checkpoint(place), "bands": ["blue", "green", "red", "nir"], "mean": [900.0, 1200.0, 1600.0, 2700.0],
        "std": [500.0] * 4,
    }  # fmt: skip
    ws = place.workspace(model={"encoder": "file", "file": file}, assess={"encoders": ["file", RANDOM]})
    found = ranked(ready, project=ws.project)
    assert found["left_out"] == []
    own = next(row for row in found["rows"] if row["name"] == "file")
    assert [band["band"] for band in own["bands"]] == ["blue", "green", "red", "nir"]
    for band in own["bands"]:
        assert "A factor near 10000 suggests other units" in band["fault"]
        assert band["contrast"] < 0.01
    other = next(row for row in found["rows"] if row["name"] == RANDOM)
    assert all(band["fault"] == "" for band in other["bands"])


@pytest.mark.parametrize("name", ["timm:resnet18.a1_in1k", "torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO"])
def test_without_a_network_an_encoder_is_left_out_and_the_rest_ranked(
    place: BinaryTerritory, ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = []

    def unreachable(url: str, **_: Any) -> None:
        asked.append(url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("landshift.models.encoders.weight_files.urllib.request.urlopen", unreachable)
    ws = place.workspace(assess={"encoders": [name, RANDOM]})
    for attempt in (1, 2):
        found = ranked(ready, project=ws.project)
        assert [row["name"] for row in found["rows"]] == [RANDOM]
        (left,) = found["left_out"]
        assert left["encoder"] == name
        assert "could not be fetched" in left["reason"]
        assert asked[0] in left["reason"]
        assert str(tmp_path) in left["reason"], "where to put them by hand"
        assert len(asked) == attempt, "once the weights are there they are found"


def test_where_no_encoder_can_be_used_every_reason_is_told(place: BinaryTerritory, ready: Ready) -> None:
    ws = place.workspace(assess={"encoders": ["random:nothing", "imagenet-nothing"]})
    with pytest.raises(InputError, match="No encoder can be used here") as error:
        ranked(ready, project=ws.project)
    assert "random:nothing" in str(error.value)
    assert "imagenet-nothing" in str(error.value)


@pytest.mark.parametrize("value", [0, 1])
def test_labels_of_one_class_are_refused_in_words(tmp_path: Path, value: int) -> None:
    place = BinaryTerritory(tmp_path, labels=np.full((SIZE, SIZE), value))
    with pytest.raises(InputError, match=r"9216 labelled pixels have one class.* label at least two classes"):
        Ready(place.workspace())


def test_a_sample_of_one_class_is_refused_in_words(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    still = replace(ready.labels, change=np.zeros((SIZE, SIZE), dtype=np.uint8))
    monkeypatch.setattr(ranking, "read_masks", lambda _: DividedLabels(still, still.change))
    with pytest.raises(InputError, match=r"The labels hold one class only \(300 pixels\).* Label another class"):
        rank_encoders(ready.ws, ready.prepared, "one class")


def test_candidates(place: BinaryTerritory) -> None:
    assert candidates(place.workspace(assess={"encoders": [LITE]})) == (LITE,)
    usual = candidates(place.workspace(assess={"encoders": []}))
    assert usual[0] == RANDOM
    assert LITE in usual
    assert "ukis-csmask-4b-l2a" in usual
    assert len(set(usual)) == len(usual)
    assert not [name for name in usual if name.startswith(("timm:", "torchgeo:"))], "nothing is downloaded unasked"


def test_an_encoder_with_a_head_of_its_own_has_scores_that_need_one(place: BinaryTerritory, ready: Ready) -> None:
    ws = place.workspace(assess={"encoders": ["ukis-csmask-4b-l2a", RANDOM], "pixels": 60})
    rows = {row["name"]: row["scores"] for row in ranked(ready, project=ws.project)["rows"]}
    needs = [name for name, value in rows[RANDOM].items() if value is None]
    assert needs
    assert all(np.isfinite(value) for value in rows["ukis-csmask-4b-l2a"].values())


def test_groups_are_blocks_or_many_named_regions(ready: Ready) -> None:
    change = squares()
    change[:16, :16] = 255
    empty = np.full_like(change, 255)
    region = (np.arange(SIZE) // 8)[:, None] * np.ones((1, SIZE), dtype=np.int16)
    groups = groups_of(ready.ws, Labels(empty, empty, change))
    assert len(np.unique(groups[groups >= 0])) == 35
    assert (groups[:16, :16] == -1).all()
    named = Labels(empty, empty, change, region.astype(np.int16), tuple("abcdefghijkl"))
    few = replace(named, region=(region // 3).astype(np.int16), region_names=tuple("abcd"))
    for labels, expected in ((named, region), (few, groups)):
        np.testing.assert_array_equal(groups_of(ready.ws, labels), expected)


def test_the_ranking_is_plain_json(ready: Ready, both: dict[str, Any]) -> None:
    assert json.loads(json.dumps(both, allow_nan=False)) == both
