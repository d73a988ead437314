"""What the published rasters say to somebody who has nothing but the files."""

import json
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from landshift.flows.steps.publication import maps
from landshift.pipeline.change.decision import decide
from landshift.pipeline.drawing.pictures import image_layout
from landshift.pipeline.epochs.observed import open_observations, read_days
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import Manifest
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import open_writer, write_raster
from landshift.pipeline.run.rasters import calendar_dates, last_observed_layout, write_last_observed, write_rasters
from landshift.pipeline.tiles import Window
from tests.small_run import parts_of

GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_600_000), (2, 3), "EPSG:32633")


def day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(int))


def observation(path: Path, days: list[list[int]]) -> Path:
    numbers = np.array(days, dtype=np.int32)
    return write_raster(path, np.stack([np.where(numbers < 0, -1, 1), numbers]).astype(np.int32), GRID, nodata=-1)


def test_last_observed_is_the_later_of_both_dates_and_0_where_nobody_looked(tmp_path: Path) -> None:
    june, july, later = day("2019-06-18"), day("2019-07-03"), day("2023-06-20")
    before = observation(tmp_path / "before_observation.tif", [[june, july, june], [-1, -1, june]])
    after = observation(tmp_path / "after_observation.tif", [[later, -1, -1], [later, -1, later]])
    unseen = np.full((1, 2, 3), np.nan)
    with open_observations((before, after)) as opened:
        days = read_days(opened, (unseen, unseen), Window(0, 0, 2, 3))
    plain = tmp_path / "plain.tif"
    with open_writer(plain, last_observed_layout(GRID, {"RUN": "abc"})) as write:
        write(Window(0, 0, 2, 3), calendar_dates(days)[np.newaxis])
    written = write_last_observed(tmp_path, plain)
    values, grid = read_raster(tmp_path / "layers/last_observed.tif")
    assert values.tolist() == [[20230620, 20190703, 20190618], [20230620, 0, 20230620]]
    assert grid == GRID
    info = inspect(tmp_path / "layers/last_observed.tif")
    assert (info.nodata, info.units, info.descriptions, info.tags["RUN"]) == (0, ("yyyymmdd",), ("last observed",), "abc")
    assert [p.name for p in written] == [f"last_observed.{end}" for end in ("tif", "qml", "sld", "lyrx")]
    style = written[1].read_text(encoding="utf-8")
    assert [label in style for label in ("2019-06-18", "2019-07-03", "2023-06-20", "2019-01-01")] == [True, True, True, False]


def test_the_day_of_a_scene_that_is_read_in_place_is_that_of_its_observed_pixels() -> None:
    before, after = np.ones((2, 2, 3), np.float32), np.ones((2, 2, 3), np.float32)
    before[:, 0], after[:, :, 2] = np.nan, np.nan
    days = read_days((date(2019, 6, 18), date(2023, 6, 20)), (before, after), Window(0, 0, 2, 3))
    assert calendar_dates(days).tolist() == [[20230620, 20230620, 0], [20230620, 20230620, 20190618]]


@settings(deadline=None)
@given(st.dates())
def test_calendar_dates_agree_with_the_calendar(found: date) -> None:
    number = int(np.datetime64(str(found), "D").astype(int))
    expected = int(str(found).replace("-", "")) if number >= 0 else 0
    assert calendar_dates(np.array([number])).tolist() == [expected]


def test_statistics_units_and_names_survive_in_the_eyes_of_gdal(tmp_path: Path) -> None:
    grid = grid_of(Affine(10, 0, 500_000, 0, -10, 5_600_000), (700, 700), "EPSG:32633")
    chance = np.random.default_rng(0).uniform(size=(700, 700)).astype(np.float32)
    chance[:100] = np.nan
    decision = decide(chance, None, None, Legend(), 0.5)
    write_rasters(tmp_path, parts_of(decision), Legend(), grid, {"RUN": "abc"})
    for name, unit, low, high in (("change", "code", 1, 2), ("change_probability", "1", 0, 200)):
        found = subprocess.run(["gdalinfo", "-json", str(tmp_path / f"layers/{name}.tif")], capture_output=True, check=False)
        if found.returncode:
            pytest.skip("gdalinfo is not installed")
        band = json.loads(found.stdout)["bands"][0]
        assert (band["description"], band["unit"], band["minimum"], band["maximum"]) == (name, unit, low, high)
        assert band["overviews"]
        assert band["block"] == [512, 512]
        assert float(band["metadata"][""]["STATISTICS_VALID_PERCENT"]) == pytest.approx(100 * 6 / 7, abs=0.01)
    assert band["scale"] == 0.005
    (seen,) = inspect(tmp_path / "layers/change_probability.tif").statistics
    assert seen["mean"] == pytest.approx(np.rint(200 * decision.change_probability[100:]).mean(), abs=0.01)


def test_the_rasters_are_cloud_optimised_by_the_strict_rules(tmp_path: Path) -> None:
    grid = grid_of(Affine(10, 0, 500_000, 0, -10, 5_600_000), (1100, 1300), "EPSG:32633")
    chance = np.random.default_rng(0).uniform(size=(1100, 1300)).astype(np.float32)
    write_rasters(tmp_path, parts_of(decide(chance, None, None, Legend(), 0.5)), Legend(), grid, {})
    for name in ("layers/change.tif", "layers/change_probability.tif"):
        valid, errors, warnings = cog_validate(tmp_path / name, strict=True, quiet=True)
        assert (valid, errors, warnings) == (True, [], [])


def test_a_map_of_nothing_observed_is_written_too(tmp_path: Path) -> None:
    decision = decide(np.full((2, 3), np.nan, dtype=np.float32), None, None, Legend(), 0.5)
    write_rasters(tmp_path, parts_of(decision), Legend(), GRID, {})
    assert not read_raster(tmp_path / "layers/change.tif")[0].any()
    assert inspect(tmp_path / "layers/change.tif").statistics == ({},)


def test_an_image_for_the_eye_is_on_the_disk_once_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    image = np.full((3, 2, 3), 7, dtype=np.uint8)
    with open_writer(tmp_path / "raw_image_before.tif", image_layout(GRID, ("red", "green", "blue"), {})) as write:
        write(Window(0, 0, 2, 3), image)
    raw = [tmp_path / "raw_image_before.tif", write_raster(tmp_path / "raw_change.tif", image[:1], GRID)]
    manifest.record("raw", "key", raw, {"threshold": 0.5})
    for _ in range(2):
        # The second time, all of it is there already.
        assert maps._publish_image(manifest, "key", "image_before") == tmp_path / "layers/image_before.tif"
        assert sorted(p.name for p in tmp_path.rglob("*.tif")) == ["image_before.tif", "raw_change.tif"]
        assert manifest.is_current("raw", "key")
        assert manifest.is_current("image_before", "key")
        assert manifest.facts("raw") == {"threshold": 0.5}
    assert cog_validate(tmp_path / "layers/image_before.tif", strict=True, quiet=True) == (True, [], [])
