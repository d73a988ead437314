"""Outlines of patches as polygons: on the map, their areas, and their simplification as a coverage."""

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertAzimuthalEqualAreaConversion

from landshift.pipeline.change.patches import Patches
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid

_TOLERANCE_PX = 1.0
"""Corners whose triangle is no larger than this squared are dropped: the staircases of slanted borders."""
_PROTECTED_PIXELS = 8
"""Patches with fewer pixels keep their outline: simplified, a single pixel would become a triangle of half its area."""
_APART_PX = 2.0
"""Borders hardly ever move so far; where they do, all patches are simplified together."""
_LARGEST_DEVIATION = 1 / 3
"""No drawn area differs from its pixels' by more than this share."""
_DOUBTFUL_DEVIATION = 1 / 4
"""Where some patch exceeds the largest, all beyond this keep their outline, so that one repetition is mostly enough."""


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


def simplify_coverage(exact: np.ndarray, patches: Patches) -> np.ndarray:
    """Simplify outlines together, so that shared borders stay shared.

    Visvalingam-Whyatt on the edges of the coverage (https://doi.org/10.1179/000870493786962263). Patches that would
    lose their shape keep their outline. To hold it, they enter the coverage cut into triangles around the centre of
    each pixel: a corner where three or more edges meet is never moved.

    Args:
        exact: From `outlines`.
        patches: Their pixels.

    Returns:
        Valid polygons (patch) in pixel coordinates, a valid coverage; the area of each differs from its pixels' by at
        most a third.
    """
    # Those that only keep their outline are what takes long: most lie apart from all others, and need not be in the way.
    simple = _simplify(exact, patches, apart=_APART_PX)
    return simple if simple is not exact and shapely.coverage_is_valid(simple) else _simplify(exact, patches, apart=None)


def _simplify(exact: np.ndarray, patches: Patches, apart: float | None) -> np.ndarray:
    """Simplify in a coverage without the small patches that lie `apart` pixels from all others; with all where None."""
    protected = patches.pixel_count < _PROTECTED_PIXELS
    while not protected.all():
        free = np.flatnonzero(~protected)
        held = protected if apart is None else _near(exact, protected, apart)
        coverage = np.concatenate([exact[free], _pixel_fans(patches.choose(held))])
        simplified = shapely.coverage_simplify(coverage, _TOLERANCE_PX)[: len(free)]
        deviation = np.abs(shapely.area(simplified) / patches.pixel_count[free] - 1)
        sound = shapely.is_valid(simplified) & (shapely.get_type_id(simplified) == shapely.GeometryType.POLYGON)
        if sound.all() and deviation.max() <= _LARGEST_DEVIATION:
            result = exact.copy()
            result[free] = simplified
            return result
        protected[free[~sound | (deviation > _DOUBTFUL_DEVIATION)]] = True
    return exact


def _near(exact: np.ndarray, protected: np.ndarray, distance: float) -> np.ndarray:
    """Which of the protected patches, bool (patch), lie within a distance of one that is not."""
    chosen = np.flatnonzero(protected)
    found = shapely.STRtree(exact[~protected]).query(exact[chosen], predicate="dwithin", distance=distance)[0]
    near = np.zeros_like(protected)
    near[chosen[found]] = True
    return near


def _pixel_fans(patches: Patches) -> np.ndarray:
    """Cut each pixel into the four triangles between its edges and its centre."""
    y, x = np.divmod(patches.rows(0, patches.shape[0]).pixels(), patches.shape[1])
    corner = np.stack([x, y], axis=-1).astype(float)
    around = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    triangles = [np.stack([corner + around[k], corner + around[k - 3], corner + 0.5], axis=1) for k in range(4)]
    return np.asarray(shapely.polygons(np.concatenate(triangles)))
