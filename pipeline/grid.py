"""Grids: that of a region, which is projected, and those of files; how two differ and how far they overlap."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from operator import and_, or_
from typing import Any

import pyproj
from affine import Affine
from odc.geo import CRSError
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from landshift.pipeline.errors import InputError
from landshift.pipeline.limits import require_pixels
from landshift.pipeline.outlines import meet, outline, utm_zone
from landshift.pipeline.tiles import Window

Grid = GeoBox
"""Shape (y, x) in pixels, affine transform and CRS in one frozen value."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north in the units of a CRS."""

_POLE, _TURNS = 91.0, 541.0
"""Degrees that a grid may reach: half a pixel beyond a pole, and past the antimeridian."""
_OPEN_DATUM = re.compile(r"(not[ _]specified|unknown)[ _(]+based[ _]on[ _]wgs[ _]?84", re.IGNORECASE)
_TOLERANCE_PX = 1e-3
"""Origins closer than this are the same grid: well under what any resampling could show."""


def grid_of(transform: Affine, shape: tuple[int, int], crs: Any, name: str = "raster") -> Grid:  # noqa: ANN401 (any CRS type)
    """Build a grid of pixels that lie along the axes of a CRS, projected or geographic.

    Args:
        transform: Pixel (column, row) to CRS coordinates.
        shape: Rows and columns.
        crs: Anything that odc-geo reads as a CRS, None where the file has none.
        name: What to call it in errors.

    Raises:
        InputError: No CRS, one that is unknown or neither projected nor geographic, or a transform that is rotated, mirrored
            or south-up.
    """
    if not crs:
        raise InputError(
            f"{name} has no CRS, so it is not known where it lies. Write it into the file (for example "
            f"`gdal_edit.py -a_srs EPSG:32651 FILE`, with its own code)."
        )
    try:
        system = CRS(crs)
    except CRSError as error:
        raise InputError(
            f"{name} has the CRS {crs!r}, which is not known ({error}). Expected one such as EPSG:32651."
        ) from error
    if not (system.projected or system.geographic):
        raise InputError(
            f"{name} is in {crs_name(system)}, which is neither projected nor geographic. Reproject it first (for example "
            f"`gdalwarp -t_srs EPSG:326ZZ`, ZZ the UTM zone)."
        )
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise InputError(
            f"{name} has the transform {tuple(transform)[:6]}: rotated, mirrored or not north-up. "
            f"Expected pixels along the axes with rows going south; run `gdalwarp` on it once."
        )
    grid = GeoBox(shape, transform, _name_zone(system))
    _require_degrees(grid, name)
    return grid


@lru_cache(maxsize=256)
def _name_zone(system: CRS) -> CRS:
    """Return the UTM zone of WGS 84 for one of that ellipsoid and an open datum (HLS): a name alone resamples nothing."""
    datum, zone = system.proj.datum, system.proj.utm_zone
    metres = system.proj.axis_info[0].unit_conversion_factor == 1
    if datum is None or zone is None or not metres or not _OPEN_DATUM.match(datum.name):
        return system
    return CRS(f"EPSG:{(32700 if zone.endswith('S') else 32600) + int(zone[:-1])}")


def _require_degrees(grid: Grid, name: str, remedy: str = "Write the right one: `gdal_edit.py -a_srs EPSG:... FILE`.") -> None:
    west, south, east, north = grid.extent.boundingbox.bbox
    if grid.crs and grid.crs.geographic and (south < -_POLE or north > _POLE or west < -_TURNS or east > _TURNS):
        raise InputError(
            f"{name} is in {crs_name(grid.crs)}, whose unit is degrees, but reaches from x {west:g} to {east:g} and y "
            f"{south:g} to {north:g}: its CRS or transform is wrong. {remedy}"
        )


def require_projected(grid: Grid, name: str) -> None:
    """Refuse a grid in degrees: a map in hectares cannot be made on it.

    Raises:
        InputError: The message has a grid that covers the same.
    """
    if grid.crs is not None and not grid.crs.projected:
        raise InputError(
            f"{name} is in {crs_name(grid.crs)}, whose unit is degrees; hectares need a projected CRS. Put into the config: "
            f"`{grid_line(grid_in_metres(grid))}`. A smaller part will do."
        )


def differences(first: Grid, second: Grid) -> list[str]:
    """Return in words how two grids differ, an empty list where they do not."""
    found = []
    if first.crs != second.crs:
        found.append(f"CRS {crs_name(first.crs)} and {crs_name(second.crs)}")
    a, b = first.transform, second.transform
    if abs(a.a - b.a) > 1e-9 * a.a or abs(a.e - b.e) > 1e-9 * -a.e:
        found.append(f"pixel size {a.a:g} x {-a.e:g} and {b.a:g} x {-b.e:g}")
    if abs(a.c - b.c) > _TOLERANCE_PX * a.a or abs(a.f - b.f) > _TOLERANCE_PX * a.a:
        found.append(f"upper left corner ({a.c:.3f}, {a.f:.3f}) and ({b.c:.3f}, {b.f:.3f})")
    if tuple(first.shape) != tuple(second.shape):
        found.append(f"{first.shape[0]} x {first.shape[1]} and {second.shape[0]} x {second.shape[1]} pixels (rows x columns)")
    return found


def require_same_grid(first: Grid, second: Grid, names: tuple[str, str]) -> None:
    """Refuse two grids that differ.

    Raises:
        InputError: Names every difference, and the remedy.
    """
    found = differences(first, second)
    if found:
        raise InputError(
            f"{names[0]} and {names[1]} are not on one grid: {'; '.join(found)}. Expected the same grid. "
            f"Set `grid:` in the config to choose the one to resample onto, or warp one file onto the other."
        )


def common_grid(grids: Iterable[tuple[str, Grid]]) -> Grid:
    """Return the grid that all named grids share.

    Raises:
        InputError: The list is empty, or two of them differ.
    """
    named = list(grids)
    if not named:
        raise InputError("No raster to take the grid from; give at least one scene.")
    for name, grid in named[1:]:
        require_same_grid(named[0][1], grid, (named[0][0], name))
    return named[0][1]


def grid_from_bounds(bounds: Bounds, crs: str, pixel_size: float) -> Grid:
    """Build the grid that covers bounds, its edges on whole pixels.

    Args:
        bounds: West, south, east, north in the units of `crs`.
        crs: Projected CRS, for example `EPSG:32651`.
        pixel_size: Side of a pixel in the units of `crs`, above 0.

    Raises:
        InputError: Bounds that are empty, not finite or too wide, or a CRS that is unknown or not projected.
    """
    west, south, east, north = bounds
    if not (west < east and south < north and pixel_size > 0 and all(map(math.isfinite, (*bounds, pixel_size)))):
        raise InputError(f"Grid bounds {bounds} with pixels of {pixel_size:g}: expected west < east and south < north.")
    require_pixels(f"Grid bounds {bounds} with pixels of {pixel_size:g}", bounds, pixel_size)
    grid = grid_around(bounds, grid_of(Affine(pixel_size, 0, 0, 0, -pixel_size, 0), (1, 1), crs, "grid:"))
    _require_degrees(grid, "grid:", "Correct its CRS or bounds: hectares need metres, such as EPSG:32651.")
    require_projected(grid, "grid:")
    return grid


def grid_around(bounds: Bounds, like: Grid) -> Grid:
    """Return the grid that covers bounds, in the CRS of another, on its pixels: of the other's bounds, the other itself."""
    west, south, east, north = bounds
    t = like.transform
    left, right = math.floor((west - t.c) / t.a + _TOLERANCE_PX), math.ceil((east - t.c) / t.a - _TOLERANCE_PX)
    top, bottom = math.floor((north - t.f) / t.e + _TOLERANCE_PX), math.ceil((south - t.f) / t.e - _TOLERANCE_PX)
    corner = Affine(t.a, 0, t.c + left * t.a, 0, t.e, t.f + top * t.e)
    return GeoBox((max(bottom - top, 1), max(right - left, 1)), corner, like.crs)


def snap(grid: Grid, bounds: Bounds, others: Sequence[Grid]) -> Grid:
    """Put the edges of a grid on the pixels that most others of its CRS and pixel size have; as it is without such others.

    Args:
        grid: That covers `bounds`.
        bounds: West, south, east, north.
        others: Of the scenes.
    """
    alike = [(other, shift) for other in others if (shift := shift_px(grid, other)) is not None]
    if not alike:
        return grid
    phases = [tuple(round(v % 1, 3) % 1 for v in shift) for _, shift in alike]
    most = max(phases, key=phases.count)
    return grid_around(bounds, alike[phases.index(most)][0])


def describe_resampling(own: Grid, grid: Grid) -> str:
    """Return in words from what the pixels of a file are resampled onto a grid; empty where they lie on its pixels."""
    if own.crs != grid.crs:
        return f"from {crs_name(own.crs)}"
    shift = shift_px(grid, own)
    if shift is None:
        return f"from pixels of {own.transform.a:.6g} x {-own.transform.e:.6g}"
    aside = [v - round(v) for v in shift]
    if all(abs(v) <= _TOLERANCE_PX for v in aside):
        return ""
    return f"from pixels that lie {abs(aside[1]):.2g} of a pixel aside in x and {abs(aside[0]):.2g} in y"


def shift_px(grid: Grid, other: Grid) -> tuple[float, float] | None:
    """Return how many pixels down and right of the corner of a grid that of another lies.

    None where their pixels are not of one size, or in another CRS.
    """
    a, b = grid.transform, other.transform
    if grid.crs != other.crs or abs(a.a - b.a) > 1e-9 * a.a or abs(a.e - b.e) > 1e-9 * -a.e:
        return None
    return (b.f - a.f) / a.e, (b.c - a.c) / a.a


def place_in(own: Grid, grid: Grid, window: Window) -> Window | None:
    """Return the pixels of `own` that are those of a window of `grid`; None where they do not lie on each other.

    Args:
        own: Of a file.
        grid: Of the region.
        window: Of `grid`.

    Returns:
        A window of `own`, which may reach past its edges.
    """
    shift = shift_px(own, grid)
    if shift is None or any(abs(v - round(v)) > _TOLERANCE_PX for v in shift):
        return None
    return Window(window.y + round(shift[0]), window.x + round(shift[1]), window.height, window.width)


def cut_out(grid: Grid, window: Window) -> Grid:
    """Return the part of a grid that a window inside it covers."""
    return grid[window.slices]


def pixels_per_pixel(grid: Grid, other: Grid) -> float:
    """Return how many pixels of `other` a step of one pixel of `grid` crosses at its centre; 1 where `other` has no place."""
    y, x = grid.shape[0] / 2, grid.shape[1] / 2
    spots = [grid.transform @ spot for spot in ((x, y), (x + 1, y), (x, y + 1))]
    if grid.crs != other.crs and grid.crs is not None and other.crs is not None:
        turn = grid.crs.transformer_to_crs(other.crs)
        spots = [turn(*spot) for spot in spots]
    here, right, below = (~other.transform @ spot for spot in spots)
    step = max(math.hypot(there[0] - here[0], there[1] - here[1]) for there in (right, below))
    return step if math.isfinite(step) else 1.0


def bounds_of(crs: CRS | None, grids: Iterable[Grid]) -> Bounds:
    """Return west, south, east and north in a CRS around grids of any CRS."""
    west, south, east, north = zip(*(outline(g, crs).boundingbox.bbox for g in grids), strict=True)
    return min(west), min(south), max(east), max(north)


def overlap_share(grid: Grid, other: Grid) -> float:
    """Return the share of `grid`'s rectangle that `other` covers, 0..1, whatever their CRS."""
    return float(meet(grid, other).area / grid.extent.area)


def overlap_window(grid: Grid, other: Grid, around: int = 2) -> Window:
    """Return the part of `grid` that `other` can lie on, whatever their CRS.

    Args:
        grid: Of the region.
        other: Of a scene.
        around: Pixels to add on each side, for what interpolation reaches.

    Returns:
        A window inside `grid`, empty where they lie apart.
    """
    common = meet(grid, other)
    if not common.area:
        return Window(0, 0, 0, 0)
    box = common.boundingbox
    (x0, y1), (x1, y0) = (~grid.transform @ corner for corner in ((box.left, box.bottom), (box.right, box.top)))
    left, top = (math.floor(v + _TOLERANCE_PX) - around for v in (x0, y0))
    right, bottom = (math.ceil(v - _TOLERANCE_PX) + around for v in (x1, y1))
    reach = Window(top, left, bottom - top, right - left)
    return reach.clip(grid.shape.yx)


def common_part(grid: Grid, dates: Iterable[Iterable[Grid]]) -> Geometry:
    """Return the part of `grid`'s rectangle that grids of all dates cover: the union of each date's, intersected.

    Args:
        grid: Of the region.
        dates: Grids of the scenes of each date, any CRS.
    """
    found: Geometry = reduce(and_, (reduce(or_, (meet(grid, other) for other in date)) for date in dates))
    return found


def common_share(grid: Grid, before: Iterable[Grid], after: Iterable[Grid]) -> float:
    """Return the share of `grid`'s rectangle that grids of both dates cover, 0..1; see `common_part`."""
    return float(common_part(grid, (before, after)).area / grid.extent.area)


def grid_in_metres(grid: Grid) -> Grid:
    """Return a grid in the UTM zone of another's centre that covers it, with pixels as long in metres as its longer side."""
    zone = utm_zone(grid.extent)
    centre = grid[grid.shape[0] // 2 : grid.shape[0] // 2 + 1, grid.shape[1] // 2 : grid.shape[1] // 2 + 1]
    west, south, east, north = outline(centre, zone).boundingbox.bbox
    size = float(f"{max(east - west, north - south):.2g}")
    return grid_around(bounds_of(zone, [grid]), GeoBox((1, 1), Affine(size, 0, 0, 0, -size, 0), zone))


def grid_line(grid: Grid) -> str:
    """Return the line that makes a config name a grid."""
    system = f"EPSG:{grid.crs.epsg}" if grid.crs is not None and grid.crs.epsg else json.dumps(str(grid.crs))
    bounds = ", ".join(f"{v:.12g}" for v in grid.extent.boundingbox.bbox)
    return f"grid: {{crs: {system}, pixel_size: {grid.transform.a:.12g}, bounds: [{bounds}]}}"


def pixel_area_ha(grid: Grid) -> float:
    """Return the area of one pixel on the map plane in hectares."""
    return abs(pixel_metres(grid) * grid.transform.e * _metres(grid) / 10_000)


def pixel_metres(grid: Grid) -> float:
    """Return the width of a pixel on the map plane in metres."""
    return float(grid.transform.a) * _metres(grid)


def _metres(grid: Grid) -> float:
    """Return the unit of a grid's CRS in metres."""
    return float(grid.crs.proj.axis_info[0].unit_conversion_factor) if grid.crs is not None else 1.0


def crs_name(crs: CRS | None) -> str:
    """Return what to call a CRS in a message: its EPSG code, else its name."""
    if crs is None:
        return "no CRS"
    return f"EPSG:{crs.epsg}" if crs.epsg else crs.to_wkt().split('"')[1]


def crs_of(grid: Grid) -> pyproj.CRS:
    """Return the grid's CRS as pyproj and geopandas take it.

    Raises:
        ValueError: The grid has none.
    """
    if grid.crs is None:
        raise ValueError("the grid has no CRS; build it with grid_of")
    return pyproj.CRS(grid.crs.to_wkt())
