"""Outlines of grids in another CRS: where two grids meet, however large they are."""

import numpy as np
import shapely
import shapely.affinity
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

_STRAIGHT_PX = 16
"""Pixels that are a straight line in any other CRS, to a few hundredths of a pixel."""
_EARTH_M = 6_371_000
"""Its radius: what a radian on the ground is long."""


def meet(grid: GeoBox, other: GeoBox) -> Geometry:
    """Return the part of a grid's rectangle that another covers, in the grid's CRS; without area where they lie apart.

    The smaller one is brought into the CRS of the other: the outline of a raster of the world has no coordinates in a UTM zone,
    or encloses the wrong side of the globe there.
    """
    if grid.crs is None or grid.crs == other.crs:
        return _overlay(grid.extent, other.extent)
    if _metres(other) <= _metres(grid):
        there = _carry(other.extent, grid.crs, _step(other))
        return _empty(grid) if there is None else _overlay(grid.extent, there)
    here = _carry(grid.extent, other.crs, _step(grid))
    part = _empty(other) if here is None else _overlay(other.extent, here)
    back = _carry(part, grid.crs, _step(other)) if part.area else None
    return _empty(grid) if back is None else _overlay(grid.extent, back)


def _empty(grid: GeoBox) -> Geometry:
    return Geometry(shapely.Polygon(), grid.crs)


def _metres(grid: GeoBox) -> float:
    """Return roughly how long the longer side of a grid is."""
    unit = 1.0 if grid.crs is None else grid.crs.proj.axis_info[0].unit_conversion_factor
    box = grid.extent.boundingbox
    return float(max(box.span_x, box.span_y) * unit * (_EARTH_M if grid.crs is not None and grid.crs.geographic else 1))


def _step(grid: GeoBox) -> float:
    """Return how far apart points of a grid's outline may lie: 16 pixels are straight in any other CRS, to a few hundredths."""
    return float(grid.resolution.x) * _STRAIGHT_PX


def _carry(shape: Geometry, crs: CRS | None, step: float) -> Geometry | None:
    """Return a shape in another CRS, with points `step` apart; None where it reaches beyond what that CRS can express."""
    if shape.crs is None or crs is None:
        return None
    dense = shape.segmented(step).geom
    points = shapely.get_coordinates(dense)
    x, y = shape.crs.transformer_to_crs(crs)(points[:, 0], points[:, 1])
    back = np.stack(crs.transformer_to_crs(shape.crs)(x, y), axis=1) - points
    if shape.crs.geographic:
        back[:, 0] = (back[:, 0] + 180) % 360 - 180
    if not (np.isfinite(back).all() and np.isfinite(x).all() and np.abs(back).max() <= step / 100):
        return None
    if crs.geographic and np.ptp(x) > 180:
        # Across the antimeridian.
        x = np.where(x < 0, x + 360, x)
    return Geometry(shapely.set_coordinates(shapely.from_wkb(shapely.to_wkb(dense)), np.stack([x, y], axis=1)), crs)


def _overlay(extent: Geometry, shape: Geometry) -> Geometry:
    """Return what an extent and a shape share; in degrees, wherever a whole turn brings them together."""
    is_round = extent.crs is not None and extent.crs.geographic
    turns = [shapely.affinity.translate(shape.geom, 360.0 * turn) for turn in (-1, 0, 1)] if is_round else [shape.geom]
    return Geometry(shapely.union_all([extent.geom & turned for turned in turns]), extent.crs)


def outline(grid: GeoBox, crs: CRS | None) -> Geometry:
    """Return the outline of a grid in a CRS; in its own where None."""
    if crs is None or grid.crs == crs:
        return grid.extent
    found = _carry(grid.extent, crs, _step(grid))
    rough: Geometry = grid.extent.to_crs(crs, resolution=_step(grid)) if found is None else found
    return rough


def utm_zone(shape: Geometry) -> CRS:
    """Return the UTM zone of a shape's centre; see `utm_at`."""
    ((longitude, latitude),) = shape.centroid.to_crs("EPSG:4326").coords
    return utm_at(longitude, latitude)


def utm_at(longitude: float, latitude: float) -> CRS:
    """Return the UTM zone of a place on WGS 84; beyond 84 degrees north and 80 south a polar stereographic CRS."""
    if not -80 <= latitude <= 84:
        return CRS("EPSG:3413" if latitude > 0 else "EPSG:3031")
    return CRS(f"EPSG:{(32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) % 60 + 1}")
