"""Scenes in degrees, as Earth Engine exports them, become maps in metres; what is resampled is stated."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine

from landshift.flows.steps.images.gating import gates_of_plan
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.flows.steps.project.plan import Plan, plan
from landshift.pipeline.epochs.compose import compose
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.look import look
from landshift.pipeline.scenes.scene import acquisitions
from tests.conftest import Territory, pixels_of

PIXEL = 10 / 111_320
"""Degrees that Earth Engine takes for 10 m."""
SIDE, HALF = 128, 64


def tile(*, columns: int = HALF, offset: int = 0, west: float = 15.0, north: float = 46.9) -> Grid:
    return grid_of(Affine(PIXEL, 0, west + offset * PIXEL, 0, -PIXEL, north), (SIDE, columns), "EPSG:4326")


def ramp(grid: Grid) -> np.ndarray:
    """0.1 in the west to 0.3 in the east and the same in the other band from south to north, linear in degrees."""
    x = np.arange(grid.shape[1]) * PIXEL + grid.transform.c
    y = grid.transform.f - np.arange(SIDE) * PIXEL
    east, north = (x - 15) / (SIDE * PIXEL), 1 - (46.9 - y) / (SIDE * PIXEL)
    shape = (SIDE, grid.shape[1])
    return (0.1 + 0.2 * np.stack([np.broadcast_to(east, shape), np.broadcast_to(north[:, np.newaxis], shape)])).astype(
        np.float64
    )


@pytest.fixture
def exported(territory: Territory) -> Territory:
    """Two tiles a date, float64 without declared nodata, NaN where the export was masked."""
    for name in territory.names:
        (territory.data / name).unlink()
        for offset in (0, HALF):
            grid = tile(offset=offset)
            data = ramp(grid)
            data[:, 30:40, 30:40] = np.nan
            write_raster(territory.data / f"{name[:-4]}-0000000000-{offset:010}.tif", data, grid, descriptions=("red", "nir"))
    territory.config["sensor"] = {"name": "custom", "bands": ["red", "nir"], "scale": 1, "nodata": "none"}
    return territory


def line_of(territory: Territory) -> str:
    with pytest.raises(InputError) as error:
        plan(territory.workspace())
    found = re.search(r"`grid: (\{.*?\})`", str(error.value))
    assert found is not None, error.value
    return found[1]


def check_composite(territory: Territory, made: Plan) -> None:
    image, observation = territory.output / "image.tif", territory.output / "seen.tif"
    territory.output.mkdir(exist_ok=True)
    observed = compose(made.before, made.bands, made.grid, image, observation=observation)
    assert 0.95 < observed < 1
    values = np.stack([read_raster(image, band)[0] for band in (1, 2)])
    rows, columns = made.grid.shape
    xs, ys = made.grid.transform @ (np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5))
    turn = made.grid.crs.transformer_to_crs("EPSG:4326") if made.grid.crs is not None else None
    assert turn is not None
    longitude, latitude = turn(xs, ys)
    seen = np.isfinite(values[0])
    # The ramp begins at pixel centres; the joint between the tiles stands for itself, up to half a pixel.
    slope = 0.2 / SIDE
    expected = 0.1 + slope * ((longitude - 15) / PIXEL - 0.5)
    np.testing.assert_allclose(values[0][seen], expected[seen], atol=0.6 * slope)
    expected = 0.3 - slope * ((46.9 - latitude) / PIXEL - 0.5)
    np.testing.assert_allclose(values[1][seen], expected[seen], atol=0.6 * slope)
    holes = ((longitude - 15) / PIXEL % HALF > 31) & ((longitude - 15) / PIXEL % HALF < 39)
    holes &= ((46.9 - latitude) / PIXEL > 31) & ((46.9 - latitude) / PIXEL < 39)
    assert holes.sum() > 60
    assert not seen[holes].any()


def test_the_error_has_a_grid_that_works_when_pasted(exported: Territory) -> None:
    listed = list_scenes(exported.workspace())[0]
    exported.config["grid"] = yaml.safe_load(line_of(exported))
    assert exported.config["grid"]["crs"] == "EPSG:32633"
    assert exported.config["grid"]["pixel_size"] == 10
    made = plan(exported.workspace())
    assert gates_of_plan(exported.workspace(), made)[0].value > 0.99
    assert made.resampled == (
        "place_20200615-0000000000-0000000000 and 3 more: resampled from EPSG:4326 (bilinear).",
    )  # fmt: skip
    assert [len(group) for group in acquisitions(made.before.scenes)] == [2]
    assert look(made.before.scenes[0], made.bands, made.grid).shape[1] > 1000
    check_composite(exported, made)
    assert listed["problems"]


def test_one_file_a_date_in_degrees(exported: Territory) -> None:
    for path in exported.data.glob("*.tif"):
        path.unlink()
    for name in exported.names:
        grid = tile(columns=SIDE)
        write_raster(exported.data / name, ramp(grid), grid, descriptions=("red", "nir"))
    with pytest.raises(
        InputError, match=r"place_20200615.tif is in EPSG:4326, whose unit is degrees; hectares need a projected"
    ):
        plan(exported.workspace())
    problems = list_scenes(exported.workspace())[0]["problems"]
    assert any("`grid: {crs: EPSG:32633, pixel_size: 10, bounds: [" in str(problem) for problem in problems)  # type: ignore[union-attr]
    exported.config["grid"] = yaml.safe_load(line_of(exported))
    made = plan(exported.workspace())
    assert list_scenes(exported.workspace())[0]["problems"] == []
    assert gates_of_plan(exported.workspace(), made)[0].value > 0.99


def test_dates_of_different_extent(exported: Territory) -> None:
    """The grid lies where both dates lie, unless a scene would lie beside it, which is refused."""
    for name in exported.names:
        for path in exported.data.glob(f"{name[:-4]}*"):
            path.unlink()
        grid = tile(columns=100, offset=0 if name == exported.names[0] else 50)
        write_raster(exported.data / name, ramp(grid), grid, descriptions=("red", "nir"))
    exported.config["grid"] = yaml.safe_load(line_of(exported))
    made = plan(exported.workspace())
    assert gates_of_plan(exported.workspace(), made)[0].value > 0.99
    assert made.grid.shape[1] < 50
    grid = tile(columns=20)
    write_raster(exported.data / "place_20200616.tif", ramp(grid), grid, descriptions=("red", "nir"))
    del exported.config["grid"]
    exported.config["grid"] = yaml.safe_load(line_of(exported))
    made = plan(exported.workspace())
    assert len(made.before.scenes) == 2


def test_bounds_of_a_scene_keep_its_pixels(territory: Territory) -> None:
    """As USGS delivers Landsat: corners at odd multiples of 15 m."""
    scene = grid_of(Affine(30, 0, 300_015, 0, -30, 3_600_015), (40, 40), "EPSG:32651")
    for seed, name in enumerate(territory.names):
        territory.write(name, grid=scene, seed=seed)
    territory.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 30, "bounds": list(scene.extent.boundingbox.bbox)}
    made = plan(territory.workspace())
    assert made.grid == scene
    assert made.resampled == ()
    territory.config["grid"]["snap"] = False
    made = plan(territory.workspace())
    assert tuple(made.grid.shape) == (41, 41)
    assert made.resampled == (
        "place_20200615 and 1 more: resampled from pixels that lie 0.5 of a pixel aside in x and 0.5 in y (bilinear).",
    )


def test_a_part_of_a_scene_is_read_exactly(territory: Territory) -> None:
    territory.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [300_100, 3_599_700, 300_300, 3_599_900]}
    before, _ = territory.prepare()
    numbers = territory.numbers()[:, 10:30, 10:30]
    np.testing.assert_array_equal(pixels_of(before), numbers.astype(np.float32) * np.float32(1e-4))


def test_metres_under_a_geographic_crs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"whose unit is degrees, but reaches from x 300000 to 300060 .*gdal_edit.py -a_srs"):
        grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (4, 6), "EPSG:4326", "a.tif")
