"""Which change is which: ids that do not depend on the run, and that a patch keeps from one run to the next."""

import math
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj.exceptions import ProjError

if TYPE_CHECKING:
    from landshift.pipeline.grid import Grid

SAME_OVERLAP = 0.3
"""Intersection over union, 0..1, from which two patches of one change are the same."""
_LEAST_SHARE = 0.25
"""Share of the smaller patch that the greatest mutual overlap must reach: neighbours that only blur into each other do not."""
_CORNER_TOLERANCE_PX = 1e-3
"""Corners on the lattice stay on it although 300000.0000001 / 10 is not whole."""


def first_pixel_ids(first_pixel: np.ndarray, grid: "Grid", prefix: str) -> list[str]:
    """Name patches by where their first pixel lies: `{prefix}-{column}-{row}`.

    Columns are counted to the east and rows to the north, in pixels from the origin of the CRS (`m` stands for minus), not
    from the corner of the map: a map of other dates or of another extent gives the same patch the same id. No two patches of
    a map have one.

    Args:
        first_pixel: int (patch): flat index of the first pixel in row-major order.
        grid: Where the pixels are.
        prefix: Of all ids.
    """
    t = grid.transform
    left = math.floor(t.c / t.a + _CORNER_TOLERANCE_PX)
    top = math.floor(t.f / -t.e + _CORNER_TOLERANCE_PX)
    y, x = np.divmod(first_pixel, grid.shape[1])
    pairs = zip((left + x).tolist(), (top - 1 - y).tolist(), strict=True)
    return [f"{prefix}-{_number(column)}-{_number(row)}" for column, row in pairs]


def _number(value: int) -> str:
    return f"m{-value}" if value < 0 else str(value)


def keep_ids(new: gpd.GeoDataFrame, known: gpd.GeoDataFrame | None) -> list[str]:
    """Give patches of a new map the ids of the known patches that they are.

    A new patch is a known one of the same change code where their intersection over union reaches `SAME_OVERLAP`, or where
    each has its greatest overlap with the other, of at least a quarter of the smaller (a patch that grew). The best pairs
    are taken first, one to one. The other patches keep their own id, with `-b`, `-c`... behind it where it is in use.

    Args:
        new: With `change_id`, `change_code` and polygons.
        known: The same of an earlier map, in any CRS. Rows that cannot be used (no id, no code, a broken geometry) are
            passed over, and so is a frame without these columns or without a CRS. None where there is no earlier map.

    Returns:
        One id for each row of `new`, all different.
    """
    known_ids, usable = (set(), new.iloc[:0]) if known is None else _usable(known, new)
    ids: list[str | None] = [None] * len(new)
    taken: set[str] = set()
    usable_ids = [] if usable.empty else [str(identity) for identity in usable["change_id"]]
    for row, known_row in _matches(new, usable):
        identity = usable_ids[known_row]
        if ids[row] is None and identity not in taken:
            ids[row] = identity
            taken.add(identity)
    in_use = known_ids | taken
    result = []
    for kept, own in zip(ids, new["change_id"], strict=True):
        chosen = kept if kept is not None else free_id(str(own), in_use)
        in_use.add(chosen)
        result.append(chosen)
    return result


def _usable(known: pd.DataFrame, new: gpd.GeoDataFrame) -> tuple[set[str], gpd.GeoDataFrame]:
    """All ids that are in use, and the known patches that can be compared, in the CRS of the new ones."""
    nothing = new.iloc[:0]
    if "change_id" not in known:
        return set(), nothing
    named = known[known["change_id"].notna()]
    in_use = {str(identity) for identity in named["change_id"]}
    if "change_code" not in named or not isinstance(named, gpd.GeoDataFrame) or named.active_geometry_name is None:
        return in_use, nothing
    if named.crs is None or new.crs is None:
        return in_use, nothing
    code = pd.to_numeric(named["change_code"], errors="coerce")
    named = named.assign(change_code=code)[_sound(named.geometry) & code.notna().to_numpy()]
    named = named.drop_duplicates("change_id")
    try:
        named = named.to_crs(new.crs)
    except ProjError:
        return in_use, nothing
    return in_use, named[_sound(named.geometry)]


def _sound(geometry: gpd.GeoSeries) -> np.ndarray:
    polygons = geometry.to_numpy()
    # Coordinates that are not finite make a geometry invalid, which is what reprojection gives far from its CRS.
    return np.asarray(shapely.is_valid(polygons) & (shapely.area(polygons) > 0))


def _matches(new: gpd.GeoDataFrame, known: gpd.GeoDataFrame) -> Iterator[tuple[int, int]]:
    """Pairs of rows that may be the same patch, the best first."""
    ours, theirs = new.geometry.to_numpy(), known.geometry.to_numpy()
    known_row, row = shapely.STRtree(ours).query(theirs, predicate="intersects")
    same = new["change_code"].to_numpy()[row] == known["change_code"].to_numpy()[known_row]
    row, known_row = row[same], known_row[same]
    shared = shapely.area(shapely.intersection(ours[row], theirs[known_row]))
    our_area, their_area = shapely.area(ours)[row], shapely.area(theirs)[known_row]
    similarity = shared / (our_area + their_area - shared)
    mutual = (shared == largest_of_group(shared, row)) & (shared == largest_of_group(shared, known_row))
    mutual &= shared >= _LEAST_SHARE * np.minimum(our_area, their_area)
    kept = np.flatnonzero(mutual | (similarity >= SAME_OVERLAP))
    best_first = kept[np.lexsort((known_row[kept], row[kept], -shared[kept], -similarity[kept]))]
    return zip(row[best_first].tolist(), known_row[best_first].tolist(), strict=True)


def largest_of_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return for each value (n) the largest of its group (n; numbers from 0)."""
    largest = np.zeros(int(group.max(initial=-1)) + 1)
    np.maximum.at(largest, group, values)
    return np.asarray(largest[group])


def free_id(own: str, in_use: set[str]) -> str:
    """Return an id that is not in use: the own one, else with letters behind it."""
    if own not in in_use:
        return own
    return next(candidate for candidate in (f"{own}-{_letters(n)}" for n in count(1)) if candidate not in in_use)


def _letters(number: int) -> str:
    """0 is a, 25 is z, 26 is aa, and so on."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text
