"""Outlines on the map: where they lie, and how large they are."""

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertAzimuthalEqualAreaConversion

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid


def to_map(geometries: np.ndarray, grid: Grid) -> np.ndarray:
    """Move polygons from pixel coordinates to the grid's CRS."""
    t = grid.transform
    return np.asarray(shapely.transform(geometries, lambda xy: xy * (t.a, t.e) + (t.c, t.f)))


def ellipsoidal_area_ha(geometries: np.ndarray, crs: CRS) -> np.ndarray:
    """Return areas in hectares on the CRS's ellipsoid.

    Measured in an equal-area projection of that ellipsoid around the polygons, which is exact but for the bend of the
    edges, and done for all vertices at once, unlike `pyproj.Geod`.

    Args:
        geometries: Polygons (n) in `crs`.
        crs: Projected CRS.

    Raises:
        InputError: The CRS has no ellipsoid.
    """
    if not len(geometries):
        return np.zeros(0)
    if crs.geodetic_crs is None:
        raise InputError(f"The CRS {crs.name} has no ellipsoid, so hectares cannot be measured; use a projected CRS.")
    west, south, east, north = shapely.total_bounds(geometries)
    to_geodetic = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    longitude, latitude = to_geodetic.transform((west + east) / 2, (south + north) / 2)
    equal_area = ProjectedCRS(LambertAzimuthalEqualAreaConversion(latitude, longitude), geodetic_crs=crs.geodetic_crs)
    project = Transformer.from_crs(crs, equal_area, always_xy=True)
    flat = shapely.transform(geometries, lambda xy: np.column_stack(project.transform(xy[:, 0], xy[:, 1])))
    return np.asarray(shapely.area(flat) / 10_000)
