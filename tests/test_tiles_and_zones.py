"""Tiles of two UTM zones come together on one grid: no gap, no seam, and what overlaps is one observation."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from affine import Affine
from pyproj import Transformer

from landshift.flows.config.project import Project
from landshift.flows.steps.images.epochs import make_image
from landshift.flows.steps.images.gating import gates_of_plan
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, bounds_of, grid_of, overlap_window
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.tiles import Window
from tests.stac_server import Site, add_item, serving

BORDER, LATITUDE = 12.0, 48.0
"""Zones 32 and 33 meet at 12 degrees east; there their grids are turned by 4.4 degrees against each other."""
SIZE, PIXEL = 160, 10
BANDS = ("red", "nir")


def truth(grid: Grid) -> np.ndarray:
    """Return the ground: (band, y, x), waves of about 60 pixels over longitude and latitude."""
    rows, columns = np.indices(grid.shape) + 0.5
    x, y = grid.transform.c + columns * PIXEL, grid.transform.f - rows * PIXEL
    longitude, latitude = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    east, north = (longitude - BORDER) * 780, (latitude - LATITUDE) * 1165
    return np.stack([0.3 + 0.1 * np.sin(east) * np.cos(0.7 * north), 0.4 + 0.1 * np.cos(0.9 * east + north)])


def tile(zone: int, *, columns: int = SIZE, rows: int = SIZE, offset: float = 0) -> Grid:
    """A tile around the border, `offset` metres east of being centred on it."""
    x, y = Transformer.from_crs("EPSG:4326", f"EPSG:326{zone}", always_xy=True).transform(BORDER, LATITUDE)
    left, top = round(x + offset - columns / 2 * PIXEL, -1), round(y + rows / 2 * PIXEL, -1)
    return grid_of(Affine(PIXEL, 0, left, 0, -PIXEL, top), (rows, columns), f"EPSG:326{zone}")


WEST, EAST = tile(32, offset=-500), tile(33, offset=500)
REGION = tile(32, columns=140, rows=140)
"""Of it each tile covers a part, and both a strip of about 60 pixels along the border."""
GRID = {"crs": "EPSG:32632", "pixel_size": PIXEL, "bounds": list(REGION.extent.boundingbox.bbox)}


def numbers(grid: Grid) -> np.ndarray:
    return np.rint(truth(grid) * 10_000).astype(np.uint16)


class Zones:
    """Two epochs of two tiles each, and what becomes of them."""

    def __init__(self, folder: Path) -> None:
        self.data, self.output = folder / "data", folder / "out"
        self.data.mkdir()
        self.config: dict[str, Any] = {
            "name": "border", "sensor": {"name": "custom", "bands": list(BANDS), "scale": 1e-4, "nodata": 0},
            "scenes": {"pattern": "border_*.tif"}, "grid": GRID,
            "epochs": {
                "before": {"start": "2020-06-01", "end": "2020-06-30"}, "after": {"start": "2022-06-01", "end": "2022-06-30"},
            },
        }  # fmt: skip
        for day in ("20200615", "20220615"):
            self.write(f"border_{day}_west.tif", WEST)
            self.write(f"border_{day}_east.tif", EAST)

    def write(self, name: str, grid: Grid, pixels: np.ndarray | None = None) -> Path:
        return write_raster(self.data / name, numbers(grid) if pixels is None else pixels, grid, nodata=0)

    def workspace(self) -> Workspace:
        return workspace(Project.model_validate(self.config), self.data, self.output)

    def prepare(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the image before, how often each pixel was observed, and when."""
        ws = self.workspace()
        ws.require_writable()
        image = make_image(ws, plan(ws), "before").image
        layer = image.with_name(f"{image.stem}_observation.tif")
        return np.stack([read_raster(image, b)[0] for b in (1, 2)]), read_raster(layer)[0], read_raster(layer, 2)[0]


@pytest.fixture
def zones(tmp_path: Path) -> Zones:
    return Zones(tmp_path)


RULES = ("most-observed", "least-cloudy", "median", "medoid")


def on_tile(grid: Grid, region: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels of a region lie on a tile, and which lie within half a pixel of its edge."""
    rows, columns = np.indices(region.shape) + 0.5
    x, y = region.transform @ (columns, rows)
    there = Transformer.from_crs(str(region.crs), str(grid.crs), always_xy=True).transform(x, y)
    column, row = ~grid.transform @ (np.array(there[0]), np.array(there[1]))
    depth = np.min([column, grid.shape[1] - column, row, grid.shape[0] - row], axis=0)
    return depth >= 0, np.abs(depth) < 0.6


def require_ground(image: np.ndarray, region: Grid = REGION) -> None:
    """A tenth of a pixel of shift would be 0.001 off, save where a tile ends: there its last half pixel stands for itself."""
    assert not np.isnan(image).any(), "no gap"
    off = np.abs(image - truth(region)).max(axis=0)
    edge = on_tile(WEST, region)[1] | on_tile(EAST, region)[1]
    assert off[~edge].max() < 0.0015, "no seam"
    assert off[edge].max() < 0.006
    assert edge.mean() < 0.03


@pytest.mark.parametrize("rule", RULES)
def test_two_zones_make_one_ground(zones: Zones, rule: str) -> None:
    zones.config["epochs"]["composite"] = rule
    image, count, days = zones.prepare()
    require_ground(image)
    assert set(np.unique(count)) == {1}, "tiles of one day are one acquisition"
    assert set(np.unique(days)) == {(date(2020, 6, 15) - date(1970, 1, 1)).days}


@pytest.mark.parametrize("rule", RULES)
def test_another_day_is_another_observation(zones: Zones, rule: str) -> None:
    """The day with one tile is seen on that tile alone; each tile alone is far from covering the region."""
    zones.config["epochs"]["composite"] = rule
    zones.write("border_20200620_east.tif", EAST)
    image, count, _ = zones.prepare()
    require_ground(image)
    assert set(np.unique(count)) == {1, 2}
    east = RasterReader(zones.data / "border_20200620_east.tif").info.grid
    covered = overlap_window(REGION, east, 0)
    assert (count[covered.slices] == 2).mean() > 0.9
    assert (count == 2).mean() < 0.85


def test_the_two_zones_swap_roles(zones: Zones) -> None:
    """The grid may be of the other zone."""
    region = tile(33, columns=140, rows=140)
    zones.config["grid"] = {"crs": "EPSG:32633", "pixel_size": PIXEL, "bounds": list(region.extent.boundingbox.bbox)}
    image, _, _ = zones.prepare()
    require_ground(image, region)


def test_plan_check_and_list_know_the_tiles(zones: Zones) -> None:
    made = plan(zones.workspace())
    assert [len(e.scenes) for e in made.epochs] == [2, 2]
    cover, season = gates_of_plan(zones.workspace(), made)
    assert (cover.value, season.value) == (pytest.approx(1), 0), "together the tiles cover the region"
    shares = [s["region_share"] for s in list_scenes(zones.workspace())[0]["scenes"]]
    assert all(0.5 < share < 0.95 for share in shares)


def test_without_a_grid_the_error_names_one_that_works(zones: Zones) -> None:
    del zones.config["grid"]
    with pytest.raises(InputError, match=r"not on one grid: CRS EPSG:32633 and EPSG:32632.*Set `grid:`") as error:
        plan(zones.workspace())
    named = re.search(r"`grid: (\{.*\})`", str(error.value))
    assert named is not None
    zones.config["grid"] = yaml.safe_load(named[1])
    made = plan(zones.workspace())
    assert gates_of_plan(zones.workspace(), made)[0].value > 0.7
    for grid in (WEST, EAST):
        window = overlap_window(made.grid, grid, 0)
        assert window.clip(made.grid.shape) == window
        assert window.height * window.width >= 0.98 * SIZE * SIZE


def test_a_tile_beside_the_region_is_refused(zones: Zones) -> None:
    zones.write("border_20200616_far.tif", tile(33, offset=9_000))
    with pytest.raises(InputError, match=r"border_20200616_far.tif does not overlap the region's grid"):
        plan(zones.workspace())
    zones.config["scenes"]["faulty"] = "skip"
    assert [s.id for s in plan(zones.workspace()).before.scenes] == ["border_20200615_east", "border_20200615_west"]


def test_a_tile_with_values_in_one_corner_of_the_region_is_looked_at(zones: Zones) -> None:
    """Nine windows over a large region would miss it; they lie on what the tile covers."""
    zones.write("border_20200617_corner.tif", tile(33, columns=30, offset=700))
    zones.config["sensor"]["scale"] = 1.0
    for name in zones.data.glob("*_west.tif"):
        name.unlink()
    with pytest.raises(InputError, match="no reflectance"):
        plan(zones.workspace())


def test_what_a_grid_reaches_of_another() -> None:
    whole = Window(0, 0, *REGION.shape)
    assert overlap_window(REGION, REGION) == whole
    assert overlap_window(REGION, tile(32, columns=500)) == whole
    assert overlap_window(REGION, tile(32, offset=5_000)) == Window(0, 0, 0, 0)
    west, *_, north = bounds_of(REGION.crs, [WEST, EAST])
    assert (west, north) == (WEST.transform.c, pytest.approx(WEST.transform.f, abs=120))
    inside = on_tile(EAST, REGION)[0]
    reach = overlap_window(REGION, EAST, 0)
    outside = inside.copy()
    outside[reach.slices] = False
    assert not outside.any(), "no pixel of the tile is left out"
    assert (reach.height * reach.width) < 1.3 * inside.sum()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
    with serving() as made:
        yield made


def item(zones: Zones, site: Site, name: str, when: str, grid: Grid) -> None:
    """An item of a catalog with the files of a tile."""
    files = {
        band: (f"{name}_{band}.tif", zones.write(f"{name}_{band}.tif", grid, pixels[None]).read_bytes())
        for band, pixels in zip(BANDS, numbers(grid), strict=True)
    }
    add_item(site, name, when, grid, files, platform="sentinel-2a", **{"grid:code": f"MGRS-{name[:5]}"})


@pytest.mark.parametrize("rule", ["most-observed", "median"])
def test_two_items_of_one_pass(zones: Zones, site: Site, rule: str) -> None:
    """Seconds apart, of two zones; the third item is another pass of the same day."""
    for year in (2020, 2022):
        item(zones, site, f"32UQU_{year}", f"{year}-06-15T10:10:31Z", WEST)
        item(zones, site, f"33UUP_{year}", f"{year}-06-15T10:10:43Z", EAST)
    zones.config["scenes"] = {"stac": {"url": site.url, "collection": "s2"}}
    zones.config["epochs"]["composite"] = rule
    image, count, _ = zones.prepare()
    require_ground(image)
    assert set(np.unique(count)) == {1}
    item(zones, site, "33UUP_2020_next", "2020-06-15T11:50:00Z", EAST)
    image, count, _ = zones.prepare()
    require_ground(image)
    assert set(np.unique(count)) == {1, 2}
    scenes = {s["id"]: s for s in list_scenes(zones.workspace())[0]["scenes"]}
    assert all(s["epochs"]["before"]["used"] for name, s in scenes.items() if "2020" in name)
