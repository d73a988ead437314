"""The demo: three procedural territories seen by Sentinel-2 on two dates, with exact truth, written as files.

Each has municipalities, to sum the changes up for.

Each pixel mixes surfaces with known spectra; the view then gets season, terrain light, haze, clouds with shadows, the
optics' blur, a shift between the dates and noise.
"""

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine

from landshift.pipeline.demo.landscape import (
    BUILT_UP,
    CROPLAND,
    FOREST,
    GRASSLAND,
    PIXEL,
    PLANTATION,
    WATER,
    Landscape,
    landscape,
)
from landshift.pipeline.demo.observation import digital_numbers, observe
from landshift.pipeline.demo.surfaces import BANDS
from landshift.pipeline.demo.terrain import Array, generator
from landshift.pipeline.demo.territories import TERRITORIES, Territory
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.manifest import write_text
from landshift.pipeline.raster.write import write_raster

MUNICIPALITIES = "municipalities.geojson"
"""In each territory's folder; geographic coordinates, as GeoJSON has them."""

_TOWNS = ("Åsby", "Brook & Vale", "Sankt Florian", "Três Rios")
_SMALLEST = 96  # pixels; smaller pictures often lack a reservoir or a kind of change


def make_demo(folder: Path, *, seed: int = 7, size: int = 512) -> None:
    """Write every territory: scenes, labels of some blocks, and the full truth for evaluation (never for training).

    Args:
        folder: Where `north/`, `south/` and `east/` are made.
        seed: The same seed gives the same bytes.
        size: Pixels on each side of a territory, at least 96.

    Raises:
        InputError: The territory would be too small for a valley, a town and their changes.
    """
    for territory in TERRITORIES:
        make_territory(folder / territory.name, territory, seed=seed, size=size)


def make_territory(home: Path, territory: Territory, *, seed: int = 7, size: int = 512) -> None:
    """Write one territory, as `make_demo`; the same bytes, whatever else is made."""
    if size < _SMALLEST:
        raise InputError(f"The demo has {size} x {size} pixels; it needs at least {_SMALLEST}: give a larger size.")
    colours = {c.code: (*bytes.fromhex(c.colour[1:]), 255) for c in demo_legend().classes}
    grid = demo_grid(territory, size)
    (home / "scenes").mkdir(parents=True, exist_ok=True)
    land = demo_landscape(territory, size, seed)
    labelled = label_blocks(land.before, land.after, territory.labelled, generator(seed, territory.name, "labels"))
    for which, visit, truth in (("before", territory.before, land.before), ("after", territory.after, land.after)):
        scene, classes = observe(territory, land, which, seed)
        write_raster(
            home / "scenes" / f"S2_L2A_{visit.time:%Y%m%d}.tif",
            digital_numbers(scene, classes, visit.baseline),
            grid,
            nodata=0,
            descriptions=(*BANDS.values(), "SCL"),
            tags={"PROCESSING_BASELINE": visit.baseline, "TIFFTAG_DATETIME": f"{visit.time:%Y:%m:%d %H:%M:%S}"},
        )
        labels = np.where(labelled, truth, 0).astype(np.uint8)
        write_raster(home / f"labels_{which}.tif", labels, grid, nodata=0, colormap=colours)
        write_raster(home / f"truth_{which}.tif", truth, grid, nodata=0, colormap=colours)
    towns = municipalities(grid, generator(seed, territory.name, "municipalities"))
    write_text(home / MUNICIPALITIES, towns.to_crs(4326).to_json(ensure_ascii=False, drop_id=True) + "\n")


def demo_legend() -> Legend:
    """Return the six land-use classes of the demo."""
    classes = (
        (FOREST, "Forest", "#2f6b3c"), (CROPLAND, "Cropland", "#ead27a"), (GRASSLAND, "Grassland", "#a9cc7a"),
        (BUILT_UP, "Built-up", "#b5434a"), (WATER, "Water", "#4a86b8"), (PLANTATION, "Plantation", "#7b6ba8"),
    )  # fmt: skip
    return Legend(tuple(LandUse(*entry) for entry in classes))


def demo_grid(territory: Territory, size: int) -> Grid:
    """Return the grid of a territory, `size` pixels of 10 m on each side."""
    east, north = territory.origin
    return grid_of(Affine(PIXEL, 0, east, 0, -PIXEL, north), (size, size), f"EPSG:{territory.epsg}")


def demo_landscape(territory: Territory, size: int, seed: int) -> Landscape:
    """Make the ground of a territory with its land use on both dates."""
    return landscape(territory.country, size, generator(seed, territory.name, "ground"))


def label_blocks(before: Array, after: Array, share: float, rng: np.random.Generator) -> Array:
    """Choose square blocks to label: the first ones so that all classes and kinds of change occur, the rest by chance.

    Args:
        before: uint8 land-use codes (y, x).
        after: uint8 land-use codes (y, x).
        share: Part of the area to label, 0..1.
        rng: Source of chance.

    Returns:
        bool (y, x), True where labelled.
    """
    side = max(len(before) // 8, 1)
    rows = math.ceil(len(before) / side)
    pair = before.astype(int) * 16 + after
    kinds = np.unique(pair, return_inverse=True)[1].reshape(pair.shape)
    block = (np.arange(len(before)) // side)[:, None] * rows + (np.arange(len(before)) // side)[None, :]
    counts = np.zeros((rows * rows, int(kinds.max()) + 1))
    np.add.at(counts, (block, kinds), 1)
    wanted = max(round(share * rows * rows), 1)
    chosen: list[int] = []
    have = np.ones(counts.shape[1]) * side
    chance = rng.permutation(rows * rows).tolist()
    while len(chosen) < wanted:
        gain = np.log1p(counts / have).sum(axis=1)
        gain[chosen] = -1
        best = int(gain.argmax()) if len(chosen) < 5 else next(b for b in chance if b not in chosen)
        chosen.append(best)
        have += counts[best]
    return np.asarray(np.isin(block, chosen))


def municipalities(grid: Grid, rng: np.random.Generator) -> gpd.GeoDataFrame:
    """Divide a territory into municipalities: what lies nearest to each of four town halls.

    Args:
        grid: Of the territory.
        rng: Source of chance.

    Returns:
        Column `name` and the polygons, in the grid's CRS.
    """
    west, south, east, north = grid.extent.boundingbox.bbox
    quarters = np.array([(x, y) for y in (0.75, 0.25) for x in (0.25, 0.75)])
    halls = quarters + rng.uniform(-0.12, 0.12, quarters.shape)
    points = shapely.points(west + halls[:, 0] * (east - west), south + halls[:, 1] * (north - south))
    box = shapely.box(west, south, east, north)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=box))
    around = np.array([cells[shapely.contains(cells, point)][0] for point in points])
    # Vertices at every hectometre, so that the borders stay where they are in geographic coordinates.
    borders = shapely.segmentize(shapely.intersection(around, box), 100)
    return gpd.GeoDataFrame({"name": list(_TOWNS)}, geometry=borders, crs=grid.crs.to_wkt() if grid.crs else None)
