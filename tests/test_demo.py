"""The demo: exact truth, enough change, distractors that are harder than change, and the files' rules."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from landshift.pipeline.demo.files import demo_grid, demo_landscape, demo_legend, label_blocks, make_demo, make_territory
from landshift.pipeline.demo.landscape import BUILT_UP, CROPLAND, FOREST, GRASSLAND, MIN_PATCH, PLANTATION, WATER, Landscape
from landshift.pipeline.demo.observation import digital_numbers, observe
from landshift.pipeline.demo.surfaces import BANDS
from landshift.pipeline.demo.terrain import generator, noise
from landshift.pipeline.demo.territories import NORTH, SOUTH, TERRITORIES, Territory
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.read import inspect, read_raster

SIZE = 128
SEED = 11
Seen = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=TERRITORIES, ids=lambda t: t.name)
def demo(request: pytest.FixtureRequest) -> tuple[Territory, Landscape, Seen, Seen]:
    territory = request.param
    land = demo_landscape(territory, SIZE, SEED)
    return territory, land, observe(territory, land, "before", SEED), observe(territory, land, "after", SEED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo")
    make_demo(path, seed=3, size=96)
    return path


def ndvi(scene: np.ndarray) -> np.ndarray:
    red, nir = scene[list(BANDS).index("red")], scene[list(BANDS).index("nir")]
    return (nir - red) / (nir + red)


def best_f1(score: np.ndarray, truth: np.ndarray) -> float:
    hits = np.cumsum(truth[np.argsort(-score, kind="stable")])
    return float((2 * hits / (np.arange(1, hits.size + 1) + truth.sum())).max())


def clear(before: Seen, after: Seen) -> np.ndarray:
    return np.all([~np.isin(classes, (0, 3, 8, 9)) for _, classes in (before, after)], axis=0)


def test_the_truth_has_every_class_and_no_gap(demo) -> None:
    _, land, _, _ = demo
    codes = [c.code for c in demo_legend().classes]
    for use in (land.before, land.after):
        assert use.shape == (SIZE, SIZE)
        assert use.dtype == np.uint8
        assert np.unique(use).tolist() == codes


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("territory", TERRITORIES, ids=lambda t: t.name)
def test_four_to_eight_percent_change(territory: Territory, seed: int) -> None:
    land = demo_landscape(territory, SIZE, seed)
    assert 0.04 <= (land.before != land.after).mean() <= 0.08


def test_all_kinds_of_change_occur(demo) -> None:
    _, land, _, _ = demo
    farm = (CROPLAND, GRASSLAND)
    kinds = [((FOREST,), farm), (farm, (BUILT_UP,)), (farm, (PLANTATION,)), ((FOREST, *farm), (WATER,))]
    for sources, targets in kinds:
        assert (np.isin(land.before, sources) & np.isin(land.after, targets)).sum() >= MIN_PATCH


def test_no_patch_of_change_is_under_the_minimum(demo) -> None:
    _, land, _, _ = demo
    pair = np.where(land.before != land.after, land.before * 16 + land.after, 0)
    for code in np.unique(pair[pair > 0]):
        labels, _ = ndimage.label(pair == code)
        assert np.bincount(labels.ravel())[1:].min() >= MIN_PATCH


def test_a_vegetation_index_difference_does_not_find_the_change(demo) -> None:
    _, land, before, after = demo
    seen = clear(before, after)
    difference = (ndvi(after[0]) - ndvi(before[0]))[seen]
    changed = (land.before != land.after)[seen]
    for score in (np.abs(difference), difference, -difference):
        assert best_f1(score, changed) < 0.55


def test_fields_change_their_look_but_not_their_use(demo) -> None:
    _, land, before, after = demo
    cropland = (land.before == CROPLAND) & (land.after == CROPLAND) & clear(before, after)
    assert (np.abs(ndvi(after[0]) - ndvi(before[0]))[cropland] > 0.25).mean() > 0.1


def test_forest_keeps_its_look(demo) -> None:
    _, land, before, after = demo
    forest = (land.before == FOREST) & (land.after == FOREST) & clear(before, after)
    assert (np.abs(ndvi(after[0]) - ndvi(before[0]))[forest] > 0.25).mean() < 0.1


def test_the_territories_differ() -> None:
    lands = [demo_landscape(t, SIZE, SEED) for t in TERRITORIES]
    scenes = [observe(t, land, "before", SEED)[0] for t, land in zip(TERRITORIES, lands, strict=True)]
    fields = [np.bincount(land.parcel.ravel()).mean() for land in lands]
    assert fields[1] > 1.5 * fields[0]
    red_over_blue = [np.nanmedian(s[2] / s[0]) for s in scenes]
    assert red_over_blue[1] > 1.2 * red_over_blue[0]
    assert demo_grid(NORTH, SIZE) != demo_grid(SOUTH, SIZE)


def test_reflectance_is_physical_and_missing_outside_the_swath(demo) -> None:
    territory, _, before, after = demo
    for scene, classes in (before, after):
        assert scene.dtype == np.float32
        assert np.array_equal(np.isnan(scene).any(axis=0), classes == 0)
        assert 0 < np.nanmin(scene) <= np.nanmax(scene) < 1.2
        assert set(np.unique(classes)) <= {0, 3, 4, 5, 6, 8, 9}
    assert (before[1] == 0).any() == (territory is not SOUTH)
    assert not (after[1] == 0).any()


def test_another_seed_is_another_land() -> None:
    assert not np.array_equal(demo_landscape(NORTH, 96, 1).before, demo_landscape(NORTH, 96, 2).before)


def test_noise_has_mean_0_and_deviation_1() -> None:
    field = noise(generator(1, "a"), 64, 10)
    assert abs(float(field.mean())) < 1e-5
    assert float(field.std()) == pytest.approx(1, abs=1e-4)


def test_digital_numbers_carry_the_offset_of_their_baseline() -> None:
    scene = np.array([[[0.0, 0.25, np.nan]]], dtype=np.float32)
    classes = np.array([[6, 4, 0]], dtype=np.uint8)
    assert digital_numbers(scene, classes, "02.12").tolist() == [[[1, 2500, 0]], [[6, 4, 0]]]  # 0 would be no data
    assert digital_numbers(scene, classes, "05.09").tolist() == [[[1000, 3500, 0]], [[6, 4, 0]]]


def test_blocks_are_chosen_where_rare_change_is() -> None:
    before = np.ones((64, 64), np.uint8)
    after = before.copy()
    after[40:46, 16:22] = 4
    labelled = label_blocks(before, after, 0.1, generator(1, "labels"))
    assert labelled[40:46, 16:22].all()
    assert labelled.mean() == pytest.approx(6 / 64)


def test_labels_cover_their_share_and_every_class(demo) -> None:
    territory, land, _, _ = demo
    labelled = label_blocks(land.before, land.after, territory.labelled, generator(SEED, territory.name, "labels"))
    assert labelled.mean() == pytest.approx(territory.labelled, abs=0.01)
    assert np.unique(land.before[labelled]).size == 6
    changed = labelled & (land.before != land.after)
    assert np.unique(land.before[changed].astype(int) * 16 + land.after[changed]).size >= 3


@pytest.mark.parametrize("territory", TERRITORIES, ids=lambda t: t.name)
def test_files_say_what_they_are(folder: Path, territory: Territory) -> None:
    home = folder / territory.name
    scenes = sorted((home / "scenes").iterdir())
    assert [p.name for p in scenes] == [f"S2_L2A_{v.time:%Y%m%d}.tif" for v in (territory.before, territory.after)]
    for path, baseline, year in zip(scenes, ("02.12", "05.09"), ("2019", "2023"), strict=True):
        info = inspect(path)
        assert info.count == 11
        assert info.dtype == "uint16"
        assert info.nodata == 0
        assert tuple(info.descriptions) == (*BANDS.values(), "SCL")
        assert info.tags["PROCESSING_BASELINE"] == baseline
        assert info.tags["TIFFTAG_DATETIME"].startswith(year)
        assert read_raster(path)[1] == demo_grid(territory, 96)


@pytest.mark.parametrize("territory", TERRITORIES, ids=lambda t: t.name)
def test_labels_are_the_truth_where_there_are_labels(folder: Path, territory: Territory) -> None:
    for which in ("before", "after"):
        labels, _ = read_raster(folder / territory.name / f"labels_{which}.tif")
        truth, _ = read_raster(folder / territory.name / f"truth_{which}.tif")
        assert truth.min() == 1
        assert 0 < (labels > 0).mean() < 0.45
        assert np.array_equal(labels[labels > 0], truth[labels > 0])


def test_a_picture_too_small_for_a_landscape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 96"):
        make_demo(tmp_path, size=64)


def test_the_same_seed_gives_the_same_bytes_whichever_territories_are_made(folder: Path, tmp_path: Path) -> None:
    for territory in reversed(TERRITORIES):
        make_territory(tmp_path / territory.name, territory, seed=3, size=96)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*.tif"))
    assert len(files) == 18
    for name in files:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
