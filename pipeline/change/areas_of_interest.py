"""Areas of interest: named polygons of the user, such as protected areas, and what the map shows in each."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from landshift.pipeline.change.outlines import ellipsoidal_area_ha
from landshift.pipeline.change.patches import Patches
from landshift.pipeline.grid import Grid, crs_of, differences
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.vector.columns import AREA_COLUMNS, frame_of

_SLIVER_PX = 0.25
"""An area reaches into a patch from a quarter of a pixel on, which a square corner holds of a pixel whose centre it holds."""
_STRIP_ROWS = 256
"""Rows of the map in which areas are counted at once."""
EXTENT_STEPS = 256
"""Long edges are cut into parts of this share of the extent before they are bent: under a metre remains in a country."""


@dataclass(frozen=True)
class AreasOfInterest:
    """Named polygons on a map. A pixel belongs to each area that its centre lies in."""

    frame: gpd.GeoDataFrame
    """Columns `name` (unique, one line) and valid polygons or multipolygons in the grid's CRS, as the user drew them."""
    grid: Grid
    """The map on which pixels are counted."""
    notes: tuple[str, ...] = ()
    """What a reader of their figures must know, in sentences."""

    def __len__(self) -> int:
        """Return the number of areas."""
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        """Names in the order of the file."""
        return [str(name) for name in self.frame["name"]]


def area_summary(
    areas: AreasOfInterest,
    patches: Patches,
    changes: gpd.GeoDataFrame,
    grid: Grid,
    legend: Legend,
    dates: tuple[date, date],
) -> gpd.GeoDataFrame:
    """Sum up the map in each area, counted from its pixels: biased, as every pixel count is.

    Where areas overlap, each counts all of its pixels. Pixels become hectares by the mean ellipsoidal size of those of the
    area, so the hectares of an area add up to its `total_ha`, which is the part of it that lies on the map.

    Args:
        areas: On this grid.
        patches: Of the whole map, from `find_map_patches`.
        changes: Their polygons, from `map_layers`.
        grid: Where the pixels are.
        legend: The project's legend.
        dates: Of the images before and after.

    Returns:
        Columns `AREA_COLUMNS` and the user's whole polygons.
    """
    counts = counts_by_code(areas, patches, grid)
    pixel_ha, outside_ha = _measures(areas)
    changed, unchanged, unseen = counts[:, CHANGED:].sum(axis=1), counts[:, UNCHANGED], counts[:, NOT_OBSERVED]
    observed = changed + unchanged
    by_code = {entry.code: entry.name for entry in legend.changes}
    largest = counts[:, CHANGED:].argmax(axis=1) + CHANGED
    touching = np.bincount(_touching(areas, changes)[0], minlength=len(areas))
    values = {
        "name": areas.names,
        "total_ha": (counts.sum(axis=1) * pixel_ha).round(4),
        "changed_ha": (changed * pixel_ha).round(4),
        "unchanged_ha": (unchanged * pixel_ha).round(4),
        "not_observed_ha": (unseen * pixel_ha).round(4),
        "outside_ha": outside_ha.round(4),
        "changed_share": [round(c / n, 6) if n else None for c, n in zip(changed.tolist(), observed.tolist(), strict=True)],
        "polygons": touching,
        "largest_change": [by_code[k] if c else None for k, c in zip(largest.tolist(), changed.tolist(), strict=True)],
        "before_date": dates[0],
        "after_date": dates[1],
    }
    return frame_of(values, AREA_COLUMNS, areas.frame.geometry.to_numpy(), crs_of(grid))


def counts_by_code(areas: AreasOfInterest, patches: Patches, grid: Grid) -> np.ndarray:
    """Count the pixels of each area by change code.

    Args:
        areas: On this grid.
        patches: Of the whole map, from `find_map_patches`.
        grid: Where the pixels are.

    Returns:
        int64 (area, 256); pixels in several areas are counted in each.

    Raises:
        ValueError: The map does not fit the grid, or the areas are on another one.
    """
    if patches.shape != tuple(grid.shape) or differences(areas.grid, grid):
        raise ValueError(f"change {patches.shape} on {tuple(grid.shape)} pixels: {differences(areas.grid, grid) or 'no grid'}")
    counts = np.zeros((len(areas), 256), dtype=np.int64)
    for number, (rows, columns), mask in masks(areas):
        runs = patches.rows(rows.start, len(mask))
        y, left = np.divmod(runs.start, patches.shape[1])
        inside = np.zeros((len(mask), mask.shape[1] + 1), dtype=np.int32)
        np.cumsum(mask, axis=1, out=inside[:, 1:])
        first, last = (np.clip(x - columns.start, 0, mask.shape[1]) for x in (left, left + runs.length))
        found = inside[y, last] - inside[y, first]
        counts[number] += np.bincount(patches.code[runs.patch], weights=found, minlength=256).astype(np.int64)
        counts[number, UNCHANGED] += int(inside[:, -1].sum() - found.sum())
    return counts


def membership(areas: AreasOfInterest, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return which areas pixels belong to, by the rule by which they are counted.

    Args:
        areas: On the grid whose pixels are meant.
        rows: int (point), from 0 at the top.
        columns: int (point), from 0 at the left.

    Returns:
        bool (area, point); pixels beyond the map belong to none.
    """
    result = np.zeros((len(areas), len(rows)), dtype=bool)
    y, x = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
    for number, window, mask in masks(areas):
        top, left = window[0].start, window[1].start
        here = np.flatnonzero((y >= top) & (y < top + mask.shape[0]) & (x >= left) & (x < left + mask.shape[1]))
        result[number, here] = mask[y[here] - top, x[here] - left]
    return result


def names_of(areas: AreasOfInterest, changes: gpd.GeoDataFrame) -> list[str | None]:
    """Name the areas that each change polygon reaches into, by more than a quarter of a pixel.

    Args:
        areas: In the CRS of the changes.
        changes: From `map_layers`.

    Returns:
        Names as `join_names` puts them together, in the order of the areas; None without an area.
    """
    found: list[list[str]] = [[] for _ in range(len(changes))]
    names = areas.names
    for number, row in zip(*(index.tolist() for index in _touching(areas, changes)), strict=True):
        found[row].append(names[number])
    return [join_names(here) or None for here in found]


def join_names(names: Sequence[str]) -> str:
    """Put names into one text: `A; B`. A name that holds `;` or begins with `"` is quoted as in CSV.

    Examples:
        >>> join_names(["North", 'Park; "old" core'])
        'North; "Park; ""old"" core"'
    """
    return "; ".join('"' + n.replace('"', '""') + '"' if ";" in n or n.startswith('"') else n for n in names)


def split_names(text: str) -> list[str]:
    """Take apart what `join_names` put together.

    Examples:
        >>> split_names(join_names(["North", 'Park; "old" core']))
        ['North', 'Park; "old" core']
    """
    return next(csv.reader([text], delimiter=";", skipinitialspace=True), [])


def _measures(areas: AreasOfInterest) -> tuple[np.ndarray, np.ndarray]:
    """Mean hectares of a pixel, and hectares beyond the map, both on the ellipsoid, (area)."""
    grid, geometry = areas.grid, areas.frame.geometry.to_numpy()
    t = grid.transform
    box = map_box(grid)
    inside, outside = shapely.intersection(geometry, box), shapely.difference(geometry, box)
    # What holds no ground of the map holds no pixel either; the whole map stands in, to have a number.
    inside = np.where(shapely.area(inside) > 0, inside, box)
    west, south, east, north = shapely.total_bounds(np.append(geometry, box))
    step = max(east - west, north - south) / EXTENT_STEPS
    on_ground = ellipsoidal_area_ha(shapely.segmentize(np.concatenate([inside, outside]), step), crs_of(grid))
    pixel_ha = on_ground[: len(areas)] / (shapely.area(inside) / abs(t.a * t.e))
    return pixel_ha, on_ground[len(areas) :]


def _touching(areas: AreasOfInterest, changes: gpd.GeoDataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of area and row of `changes` that share more than a sliver, sorted by area."""
    ours, theirs = areas.frame.geometry.to_numpy(), changes.geometry.to_numpy()
    area, row = shapely.STRtree(theirs).query(ours, predicate="intersects")
    shared = shapely.area(shapely.intersection(ours[area], theirs[row]))
    t = areas.grid.transform
    kept = np.flatnonzero(shared >= _SLIVER_PX * abs(t.a * t.e))
    kept = kept[np.lexsort((row[kept], area[kept]))]
    return area[kept], row[kept]


def masks(areas: AreasOfInterest) -> Iterator[tuple[int, tuple[slice, slice], np.ndarray]]:
    """Yield which pixels' centres lie in each area, strip by strip, so that memory does not grow with the areas.

    Yields:
        Number of the area, a window of the map, and bool (y, x) of the window; none for an area that spans no pixel.
    """
    height, width = areas.grid.shape
    t = areas.grid.transform
    for number, geometry in enumerate(areas.frame.geometry):
        west, south, east, north = geometry.bounds
        left, right = (int(np.clip(v, 0, width)) for v in (np.floor((west - t.c) / t.a), np.ceil((east - t.c) / t.a)))
        top, bottom = (int(np.clip(v, 0, height)) for v in (np.floor((north - t.f) / t.e), np.ceil((south - t.f) / t.e)))
        for begin in range(top - top % _STRIP_ROWS, bottom if right > left and bottom > top else 0, _STRIP_ROWS):
            rows, columns = slice(max(begin, top), min(begin + _STRIP_ROWS, bottom)), slice(left, right)
            here = Affine(t.a, 0, t.c + left * t.a, 0, t.e, t.f + rows.start * t.e)
            shape = (rows.stop - rows.start, right - left)
            mask = rasterize([(geometry, 1)], out_shape=shape, transform=here, dtype=np.uint8).view(bool)
            yield number, (rows, columns), mask


def map_box(grid: Grid) -> shapely.Polygon:
    """Return the rectangle of the map in its CRS."""
    return shapely.box(*grid.extent.boundingbox.bbox)
