"""Clouds and their shadows are not observed, whoever says where they are; that nobody says so is told."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from onnx.reference import ReferenceEvaluator

import landshift.models.use.clouds
from landshift.flows.steps.images.epochs import epoch_key
from landshift.flows.steps.images.masking import FOLDER, borrow_masks, mask_key
from landshift.flows.steps.inspection.check import check_project
from landshift.models.encoders.table import encoder_named
from landshift.models.encoders.weight_files import weights_path
from landshift.models.use.clouds import cloud_classifier, origin
from landshift.pipeline.epochs import clouds as cloud_mask
from landshift.pipeline.epochs.clouds import CLEAR, CLOUD, NEAR, SHADOW, UNKNOWN, mask_grid, write_cloud_mask
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import custom_sensor
from tests.conftest import Territory, pixels_of
from tests.test_weights import in_single_precision

SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
GROUND = (0.04, 0.07, 0.05, 0.35, 0.18, 0.09)
"""Reflectance of a meadow."""
CLOUDY = (0.62, 0.60, 0.60, 0.63, 0.42, 0.32)
ONE = custom_sensor(["red"], scale=1e-4, offset=0, nodata=0, units="reflectance")


def grid(height: int, width: int, *, size: float = 10, x: float = 300_000) -> Grid:
    return grid_of(Affine(size, 0, x, 0, -size, 3_600_000), (height, width), "EPSG:32651")


def scene(folder: Path, numbers: np.ndarray, on: Grid | None = None) -> Scene:
    on = grid(*numbers.shape) if on is None else on
    path = write_raster(folder / "scene.tif", numbers.astype(np.uint16), on)
    return Scene("scene", date(2020, 6, 15), ONE, {"red": Source(path, 1)}, None, on, 0)


def by_light(image: np.ndarray) -> np.ndarray:
    """A model whose answer anybody can tell: very bright is cloud, very dark is shadow."""
    assert image.dtype == np.float32
    assert not np.isnan(image).any()
    assert image.shape[1] % 32 == image.shape[2] % 32 == 0
    return np.where(image[0] > 0.5, 1, np.where(image[0] < 0.05, 2, 0))


def masked(folder: Path, one: Scene, on: Grid, buffer_px: int = 0) -> tuple[np.ndarray, dict[str, float]]:
    path = folder / "mask.tif"
    said = write_cloud_mask(path, one, ["red"], on, by_light, buffer_px=buffer_px, tags={})
    return read_raster(path)[0], said


def test_the_mask_of_a_small_picture(tmp_path: Path) -> None:
    """Three by three pixels of the scene make one of the mask; its last column, not observed, takes from its neighbours."""
    numbers = np.full((18, 24), 2000)
    numbers[0:6, 0:6], numbers[9:12, 12:18], numbers[:, 21:] = 8000, 100, 0
    found, said = masked(tmp_path, scene(tmp_path, numbers), grid(18, 24))
    np.testing.assert_array_equal(found, [
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 2, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ])  # fmt: skip
    assert said == {"cloud": pytest.approx(4 / 48), "shadow": pytest.approx(2 / 48)}
    info = inspect(tmp_path / "mask.tif")
    assert (info.transform.a, info.nodata, info.descriptions) == (30, UNKNOWN, ("cloud_mask",))
    found, _ = masked(tmp_path, scene(tmp_path, numbers), grid(18, 24), buffer_px=1)
    np.testing.assert_array_equal(found, [
        [1, 1, 3, 0, 0, 0, 0, 0],
        [1, 1, 3, 0, 0, 0, 0, 0],
        [3, 3, 0, 0, 3, 3, 0, 3],
        [0, 0, 0, 3, 2, 2, 3, 3],
        [0, 0, 0, 0, 3, 3, 0, 3],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ])  # fmt: skip
    assert (CLEAR, CLOUD, SHADOW, NEAR) == (0, 1, 2, 3)


def test_what_lies_far_outside_is_unknown(tmp_path: Path) -> None:
    numbers = np.full((30, 30), 2000)
    found, said = masked(tmp_path, scene(tmp_path, numbers), grid(30, 60))
    assert (found[:, :10] == CLEAR).all()
    assert (found[:, 11:] == UNKNOWN).all()
    assert said == {"cloud": 0, "shadow": 0}


def test_a_cloud_beyond_the_region_reaches_into_it(tmp_path: Path) -> None:
    numbers = np.full((60, 120), 2000)
    numbers[:, 54:60] = 8000
    one = scene(tmp_path, numbers)
    whole, _ = masked(tmp_path, one, grid(60, 120), buffer_px=2)
    part, _ = masked(tmp_path, one, grid(60, 60, x=300_600), buffer_px=2)
    np.testing.assert_array_equal(part, whole[:, 20:])
    assert part[0].tolist()[:4] == [NEAR, NEAR, CLEAR, CLEAR]


def test_tiles_are_seamless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).choice([100, 2000, 8000], p=[0.05, 0.9, 0.05], size=(100, 90)).repeat(3, 0).repeat(3, 1)
    whole, _ = masked(tmp_path, scene(tmp_path, numbers), grid(300, 270), buffer_px=3)
    assert set(np.unique(whole)) == {CLEAR, CLOUD, SHADOW, NEAR}
    monkeypatch.setattr(cloud_mask, "_CORE", 32)
    monkeypatch.setattr(cloud_mask, "_MARGIN", 32)
    parts, _ = masked(tmp_path, scene(tmp_path, numbers), grid(300, 270), buffer_px=3)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(("size", "factor"), [(10, 3), (20, 2), (30, 1), (60, 1)])
def test_the_mask_has_pixels_of_about_30_m(size: float, factor: int) -> None:
    assert mask_grid(grid(60, 60, size=size)).transform.a == size * factor


def reflectance(clouds: list[tuple[slice, slice]], shape: tuple[int, int] = (192, 192), seed: int = 0) -> np.ndarray:
    """A meadow with clouds, as numbers of (band, y, x); 10,000 is a reflectance of 1."""
    rng = np.random.default_rng(seed)
    image = np.array(GROUND)[:, None, None] * (1 + 0.08 * rng.standard_normal(shape))
    for where in clouds:
        rows, columns = image[(0, *where)].shape
        image[(slice(None), *where)] = np.array(CLOUDY)[:, None, None] + 0.03 * rng.standard_normal((rows, columns))
    return np.rint(image * 10_000).clip(1, 20_000).astype(np.uint16)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["6b-l1c"])
def test_the_model_is_fed_as_its_makers_feed_it(name: str) -> None:
    """The classes are those of the published graph, with bands, means and deviations from the makers' own description."""
    row = encoder_named(f"ukis-csmask-{name}")
    path = weights_path(row, None)
    said = json.loads(path.with_suffix(".json").read_text())["data"]["dataset_statistics"]
    assert said["band_names"] == list(SIX[: len(row.bands)])
    mean, std = (np.array(v, np.float32)[:, None, None] for v in said["img"])
    light = np.random.default_rng(4).uniform(0.2, 3, (1, 4, 6)).repeat(16, 1).repeat(16, 2)
    image = (np.array(GROUND[: len(row.bands)])[:, None, None] * light).astype(np.float32)
    image[:, 20:50, 30:70] = np.array(CLOUDY[: len(row.bands)])[:, None, None] * light[:, 20:50, 30:70] / 2
    evaluator: Any = ReferenceEvaluator(in_single_precision(path))
    logits = evaluator.run(None, {"input": ((image - mean) / std)[None].astype(np.float32)})[0][0]
    found = cloud_classifier(row.name, torch.device("cpu"))(image)
    assert found.shape == (64, 96)
    assert len(np.unique(found)) > 1
    sure = np.ptp(np.sort(logits, axis=0)[-2:], axis=0) > 0.01
    np.testing.assert_array_equal(found[sure], logits.argmax(axis=0)[sure])
    assert sure.mean() > 0.9
    assert origin(row.name)["licence"] == "Apache-2.0"


@pytest.fixture
def place(territory: Territory, monkeypatch: pytest.MonkeyPatch) -> Territory:
    """Surface reflectance of six bands, a cloud on the earlier of two scenes before, and a model that anybody can follow."""
    for name in territory.names:
        (territory.data / name).unlink()
    territory.grid = grid(192, 192)
    territory.config["sensor"] = {"name": "custom", "bands": list(SIX), "scale": 1e-4, "nodata": 0}
    territory.config["bands"] = ["red", "nir"]
    territory.config["scenes"]["clouds"] = {"mask": "model", "model": "ukis-csmask-6b-l2a", "buffer_px": 0}
    cloud = (slice(30, 90), slice(60, 120))
    for name, clouds in (("20200610", [cloud]), ("20200620", []), ("20220615", [])):
        territory.write(f"place_{name}.tif", reflectance(clouds, seed=int(name[-3:])), descriptions=SIX)
    territory.config["loaded"] = loaded = []
    monkeypatch.setattr(landshift.models.use.clouds, "cloud_classifier", lambda name, device: loaded.append(name) or by_blue)
    return territory


def by_blue(image: np.ndarray) -> np.ndarray:
    assert len(image) in (4, 6)
    return (image[0] > 0.3).astype(np.uint8)


@pytest.fixture
def loaded(place: Territory) -> list[str]:
    """The models that were loaded, one for each mask that is made."""
    found: list[str] = place.config.pop("loaded")
    return found


def layers(prepared: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    image, seen = pixels_of(prepared)[0], prepared.observation
    return image, read_raster(seen)[0] if isinstance(seen, Path) else np.where(np.isfinite(image), 1, -1)


def test_what_the_model_calls_cloud_is_not_observed(place: Territory, loaded: list[str]) -> None:
    before, _ = place.prepare()
    image, count = layers(before)
    assert (count[30:90, 60:120] == 1).all()
    count[30:90, 60:120] = 2
    assert (count == 2).all()
    assert image.max() < 0.1, "the ground of the other day is there"
    assert loaded == ["ukis-csmask-6b-l2a"] * 3
    first = place.workspace().manifest(place.workspace().epochs).facts("before")["clouds"]
    assert [(c["scene"], c["by"], c["licence"]) for c in first] == [
        ("place_20200610", "ukis-csmask-6b-l2a", "Apache-2.0"), ("place_20200620", "ukis-csmask-6b-l2a", "Apache-2.0"),
    ]  # fmt: skip
    assert first[0]["cloud"] == pytest.approx(400 / 4096)
    assert place.plan().unmasked == ()
    place.prepare()
    assert len(loaded) == 3, "nothing is masked again"


def test_a_mask_is_made_again_only_where_it_changes(place: Territory, loaded: list[str]) -> None:
    before = place.prepare()[0]
    masks = {p.name for p in (place.workspace().epochs / FOLDER).glob("*.tif")}
    place.config["epochs"]["composite"] = "median"
    again = place.prepare()[0]
    assert again.hash != before.hash
    assert len(loaded) == 3
    place.config["scenes"]["clouds"]["buffer_px"] = 2
    assert (layers(place.prepare()[0])[1] == 1).sum() > 60 * 60
    assert len(loaded) == 6
    assert masks < {p.name for p in (place.workspace().epochs / FOLDER).glob("*.tif")}


def test_the_key_of_an_image_knows_how_it_was_made(place: Territory, loaded: list[str]) -> None:
    def key() -> str:
        return epoch_key(place.workspace(), place.plan(), "before")

    keys = [key()]
    clouds = place.config["scenes"]["clouds"]
    for change in ({"buffer_px": 3}, {"model": "ukis-csmask-4b-l2a"}, {"model": "auto", "mask": "none"}):
        clouds |= change
        keys.append(key())
    for rule in ("median", "medoid", "least-cloudy"):
        place.config["epochs"]["composite"] = rule
        keys.append(key())
    assert len(set(keys)) == len(keys) == 7
    assert not loaded, "nothing of it needs the model"


def test_another_folder_lends_its_masks(place: Territory, loaded: list[str], tmp_path: Path) -> None:
    place.prepare()
    lender = place.workspace().epochs / FOLDER
    place.output = tmp_path / "other"
    ws, made = place.workspace(), place.plan()
    scenes = [s for e in made.epochs for s in e.scenes]
    borrow_masks(ws, scenes, made.cloud_model, made.grid, [lender])
    keys = [mask_key(ws, s, made.cloud_model, made.grid) for s in scenes]
    assert {p.stem for p in (ws.epochs / FOLDER).glob("*.tif")} == {str(k)[7:23] for k in keys}
    place.prepare()
    assert len(loaded) == 3


def quality(place: Territory) -> None:
    """Make the scenes Sentinel-2's, the first with a quality band that calls everything cloud."""
    place.config["sensor"] = {"name": "sentinel-2-l2a", "number_offset": 0}
    names = ("B02", "B03", "B04", "B08", "B11", "B12")
    for path in sorted(place.data.glob("*.tif")):
        numbers = np.stack([read_raster(path, band)[0] for band in range(1, 7)])
        scl = np.full((1, *numbers.shape[1:]), 9, np.uint16)
        first = path.stem.endswith("20200610")
        place.write(path.name, np.concatenate([numbers, scl]) if first else numbers, descriptions=(*names, "SCL")[: 6 + first])


@pytest.mark.parametrize(
    ("mask", "seen", "masks", "warned"),
    [("quality", 1, 0, True), ("auto", 1, 2, False), ("model", 2, 3, False), ("none", 2, 0, False)],
)
def test_who_masks_what(place: Territory, loaded: list[str], mask: str, seen: int, masks: int, warned: bool) -> None:
    quality(place)
    place.config["scenes"]["clouds"] = {"mask": mask, "buffer_px": 0}
    before, _ = place.prepare()
    count = layers(before)[1]
    assert (count[100:] == seen).all()
    assert (count[30:90, 60:120] == (2 if mask == "none" else 1)).all()
    assert len(loaded) == masks
    assert set(loaded) <= {"ukis-csmask-6b-l2a"}
    told = place.plan().unmasked
    assert bool(told) == warned
    if warned:
        assert "Nothing masks clouds in place_20200620, place_20220615: the quality band (SCL) is not there" in told[0]


def test_check_says_that_nothing_masks_clouds(territory: Territory) -> None:
    content, lines = check_project(territory.workspace())
    told = "Nothing masks clouds in place_20200615, place_20220620: sensor custom has no quality band."
    assert any(line.startswith(f"Warning  {told}") for line in lines)
    assert content["clouds"] == {"mask": "quality", "model": None, "unmasked": [line[9:] for line in lines if told in line]}
    json.dumps(content)
    territory.config["scenes"]["clouds"] = {"mask": "none"}
    assert not any("clouds" in line for line in check_project(territory.workspace())[1])


SPOILED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c["scenes"]["clouds"].update(model="auto"), r"Set `model: ukis-csmask-6b-l1c` or `ukis-csmask-6b-l2a`"),
    (lambda c: c["sensor"].update(units="digital numbers"), r"a cloud model takes reflectance, and the scenes hold digital n"),
    (lambda c: c["sensor"].update(bands=["a", *SIX[1:]]), r"place_20200610.tif lacks the band blue, which the cloud model"),
    (lambda c: c["sensor"].update(bands=[*SIX[:5], "a"]), r"lacks the band swir22, which the cloud model takes \(blue, green"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_what_a_model_cannot_take_is_told_first(
    place: Territory, loaded: list[str], spoil: Callable[[dict[str, Any]], object], message: str
) -> None:
    for path in place.data.glob("*.tif"):
        place.write(path.name, np.stack([read_raster(path, b)[0] for b in range(1, 7)]), descriptions=("",) * 6)
    spoil(place.config)
    with pytest.raises(InputError, match=message):
        place.plan()


def test_four_bands_are_enough(place: Territory, loaded: list[str]) -> None:
    for path in place.data.glob("*.tif"):
        place.write(path.name, np.stack([read_raster(path, b)[0] for b in range(1, 5)]), descriptions=SIX[:4])
    place.config["sensor"] = {"name": "sentinel-2-l1c", "number_offset": 0}
    place.config["scenes"]["clouds"]["model"] = "auto"
    for path in place.data.glob("*.tif"):
        numbers = np.stack([read_raster(path, b)[0] for b in range(1, 5)])
        place.write(path.name, numbers, descriptions=("B02", "B03", "B04", "B08"))
    assert place.plan().cloud_model == "ukis-csmask-4b-l1c"


def test_a_catalog_is_asked_for_the_bands_of_the_model_too(place: Territory, loaded: list[str]) -> None:
    """The images have two bands; the model takes six."""
    items = []
    for path in sorted(place.data.glob("place_*.tif")):
        assets = {}
        for number, band in enumerate(SIX, start=1):
            name = f"item_{path.stem[-8:]}_{band}.tif"
            place.write(name, read_raster(path, number)[0][None], descriptions=(band,))
            assets[band] = {"href": name, "type": "image/tiff; application=geotiff", "roles": ["data"]}
        day, box = path.stem[-8:], [float(v) for v in place.grid.geographic_extent.boundingbox.bbox]
        items.append({
            "type": "Feature", "stac_version": "1.0.0", "id": path.stem, "collection": "s2", "links": [], "bbox": box,
            "geometry": json.loads(json.dumps(place.grid.geographic_extent.json)), "assets": assets,
            "properties": {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:00:00Z"},
        })  # fmt: skip
    (place.data / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    folder = layers(place.prepare()[0])
    place.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 10, "bounds": list(place.grid.extent.boundingbox.bbox)}
    place.config["scenes"] = {"clouds": place.config["scenes"]["clouds"], "stac": {"catalog": "items.json"}}
    assert set(place.plan().before.scenes[0].bands) == set(SIX)
    for one, other in zip(folder, layers(place.prepare()[0]), strict=True):
        np.testing.assert_array_equal(one, other)
    place.config["scenes"]["clouds"] = {"mask": "none"}
    assert set(place.plan().before.scenes[0].bands) == {"red", "nir"}
