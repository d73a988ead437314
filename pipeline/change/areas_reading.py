"""Areas of interest as users bring them: any format and CRS that is accepted, with notes for their reader."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from landshift.pipeline.change.areas_of_interest import EXTENT_STEPS, AreasOfInterest, map_box, masks
from landshift.pipeline.change.outlines import ellipsoidal_area_ha
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, crs_of
from landshift.pipeline.vector.read import read_polygons

_OUTSIDE_SHARE = 0.001
"""Share of an area, 0..1, from which its part beyond the map is worth a note; reprojection alone moves borders a little."""
MANY_AREAS = 1000
"""More areas of interest than a page can show well."""
_LISTED = 5
"""Names in a message."""


def read_areas_of_interest(path: Path, grid: Grid, layer: str | None = None, name_column: str | None = None) -> AreasOfInterest:
    """Read the user's areas of interest.

    Edges that are straight in the file's CRS stay where they are. White space in names becomes single blanks.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS.
        grid: The map.
        layer: Name of the layer; may be left out where the file has one.
        name_column: Column with the names, whatever its case; else `name`, else the only column of text.

    Raises:
        InputError: The file or its polygons cannot be used (as in `read_polygons`) or hold none, names are
            missing or repeat, their column is not clear, or all areas lie beyond the map.
    """
    frame = read_named_areas(path, crs_of(grid), layer, name_column)
    areas = AreasOfInterest(frame, grid)
    inside = shapely.intersection(frame.geometry.to_numpy(), map_box(grid))
    share = shapely.area(inside) / shapely.area(frame.geometry.to_numpy())
    if not share.any():
        extents = [_extent_text(bounds) for bounds in (frame.total_bounds, map_box(grid).bounds)]
        raise InputError(
            f"{path}: no area of interest lies on the map. They reach {extents[0]}, the map {extents[1]}, in "
            f"{crs_name(grid.crs)}: check the file, or the CRS that it states."
        )
    many = (
        f"There are {len(frame):,} areas of interest, each with a row on the page and in estimates: thousands of parcels or "
        f"concessions are judged by `plots:` and `landshift plots`."
    )
    notes = (*_outside_notes(areas, share), *_overlap_notes(areas))
    return AreasOfInterest(frame, grid, (many, *notes) if len(frame) > MANY_AREAS else notes)


def read_named_areas(path: Path, crs: CRS, layer: str | None = None, name_column: str | None = None) -> gpd.GeoDataFrame:
    """Read areas of interest where there is no map to lay them on, as `read_areas_of_interest` does where there is one.

    Returns:
        Columns `name` and valid polygons or multipolygons in this CRS.

    Raises:
        InputError: As there, but that areas may lie anywhere.
    """
    found = read_polygons(path, None, layer)
    if not len(found):
        raise InputError(f"{path} holds no polygons; expected the areas of interest, one polygon each.")
    names = _names(path, found, name_column)
    return gpd.GeoDataFrame({"name": names}, geometry=place_outlines(path, found, names, crs), crs=crs)


def _names(path: Path, found: gpd.GeoDataFrame, wanted: str | None) -> list[str]:
    columns = [str(c) for c in found.columns if c != found.geometry.name]
    texts = [c for c in columns if pd.api.types.is_string_dtype(found[c]) or found[c].dtype == object]
    same = [c for c in columns if c.casefold() == (wanted or "name").casefold()]
    exact = [c for c in same if c == wanted] or same
    chosen = exact if wanted is not None or len(same) == 1 else texts
    if len(chosen) != 1:
        what = f"no column {wanted!r}" if wanted is not None else "no column `name`, and not just one column of text"
        raise InputError(
            f"{path} has {what}; its columns are {', '.join(columns) or 'none'}. Name the one with the names of the "
            f"areas of interest: `areas_of_interest: name_column:`, or --name-column for `landshift estimate`."
        )
    values = found[chosen[0]]
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    names = ["" if pd.isna(v) else " ".join(str(v).split()) for v in values]
    missing = [number for number, name in enumerate(names, start=1) if not name]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(names)} areas of interest have no name in column {chosen[0]!r} (the first is "
            f"feature number {missing[0]}). Name them, or name another column of {', '.join(columns)}: "
            f"`areas_of_interest: name_column:`, or --name-column for `landshift estimate`."
        )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(
            f"{path}: names in column {chosen[0]!r} repeat: {_list(repeated)}. Merge polygons of one area (QGIS's `Dissolve`), "
            f"or give each its own name."
        )
    return names


def place_outlines(path: Path, found: gpd.GeoDataFrame, names: list[str], target: CRS) -> np.ndarray:
    """Return geometries in the target CRS, their edges bent with it.

    Raises:
        InputError: Some reach too far from where the target holds.
    """
    if CRS(found.crs).equals(target, ignore_axis_order=True):
        return np.asarray(found.geometry.to_numpy())
    west, south, east, north = found.total_bounds
    dense = found.geometry.segmentize(max(east - west, north - south) / EXTENT_STEPS)
    placed = dense.to_crs(target).to_numpy()
    broken = ~shapely.is_valid(placed)
    # Reprojection moves vertices by different amounts: a narrow part can cross itself.
    placed[broken] = [_repair(geometry) for geometry in placed[broken]]
    lost = ~(shapely.area(placed) > 0)
    if lost.any():
        code = target.to_epsg()
        far = [name for name, gone in zip(names, lost.tolist(), strict=True) if gone]
        raise InputError(
            f"{path}: {_list(far)} cannot be placed in the CRS of the map, {f'EPSG:{code}' if code else target.name}, because "
            f"they reach too far from where it holds. Leave out what is far from the map, or cut it to the map's surroundings."
        )
    return np.asarray(placed)


def _repair(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return a valid geometry of the same ground; an empty one where coordinates are not finite."""
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        return shapely.Polygon()
    return shapely.make_valid(geometry, method="structure", keep_collapsed=False)


def _outside_notes(areas: AreasOfInterest, share: np.ndarray) -> list[str]:
    """Name the areas that reach beyond the map, and those that hold no pixel; `share` (area) is the part on the map, 0..1."""
    pixels = np.zeros(len(areas), dtype=np.int64)
    for number, _, mask in masks(areas):
        pixels[number] += int(mask.sum())
    notes = []
    for name, part, count in zip(areas.names, share.tolist(), pixels.tolist(), strict=True):
        if part == 0:
            notes.append(f"Area of interest {name!r} lies wholly outside the map.")
        elif count == 0:
            notes.append(f"Area of interest {name!r} holds the centre of no pixel: it is too small or narrow for this map.")
        elif 1 - part >= _OUTSIDE_SHARE:
            notes.append(
                f"Area of interest {name!r} lies {min(1 - part, 0.999):.1%} outside the map: its hectares are those inside."
            )
    return notes


def _overlap_notes(areas: AreasOfInterest) -> list[str]:
    geometry = areas.frame.geometry.to_numpy()
    first, second = shapely.STRtree(geometry).query(geometry, predicate="intersects")
    first, second = first[first < second], second[first < second]
    shared = shapely.intersection(geometry[first], geometry[second])
    t = areas.grid.transform
    kept = shapely.area(shared) >= abs(t.a * t.e)
    if not kept.any():
        return []
    hectares = ellipsoidal_area_ha(shared[kept], crs_of(areas.grid))
    order = np.argsort(-hectares, kind="stable")
    names = areas.names
    pairs = [f"{names[first[kept][k]]!r} and {names[second[kept][k]]!r} ({hectares[k]:.1f} ha)" for k in order.tolist()]
    return [f"Areas of interest overlap, so their hectares must not be added up: {_list(pairs)}."]


def _extent_text(bounds: Sequence[float]) -> str:
    west, south, east, north = (f"{v:.0f}" for v in bounds)
    return f"from {west} to {east} in x and from {south} to {north} in y"


def _list(texts: Sequence[str]) -> str:
    more = len(texts) - _LISTED
    return ", ".join(texts[:_LISTED]) + (f" and {more} more" if more > 0 else "")
