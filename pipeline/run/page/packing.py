"""Numbers and outlines in few bytes: what the page's map draws, unpacked by the page's script."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

_COARSEST = 32.0
"""Units to which outlines are simplified at most."""
_SEVEN, _MORE = 0x7F, 0x80


@dataclass(frozen=True)
class Packed:
    """Named columns of whole numbers in one piece of text."""

    columns: tuple[tuple[str, int], ...]
    """Name and length of each, in order."""
    text: str
    """Base64 of zlib's DEFLATE of the numbers: zigzag (0, -1, 1, -2 become 0, 1, 2, 3), seven bits a byte, the lowest first,
    the high bit set on all but a number's last byte."""


def pack_columns(columns: Mapping[str, np.ndarray]) -> Packed:
    """Pack columns of whole numbers.

    Args:
        columns: Each int (n,), within 32 bits.
    """
    raw = b"".join(map(to_bytes, columns.values()))
    text = base64.b64encode(zlib.compress(raw, 9)).decode()
    return Packed(tuple((name, len(values)) for name, values in columns.items()), text)


def to_bytes(values: np.ndarray) -> bytes:
    """Write whole numbers as `Packed` describes them; small ones, of either sign, take one byte."""
    wide = np.asarray(values, dtype=np.int64)
    coded = (wide << 1) ^ (wide >> 63)
    shifted = coded[:, None] >> np.arange(0, 35, 7)
    used = shifted > 0
    used[:, 0] = True
    follows = np.zeros_like(used)
    follows[:, :-1] = used[:, 1:]
    return bytes(((shifted & _SEVEN) | np.where(follows, _MORE, 0)).astype(np.uint8)[used])


def outline_columns(name: str, geometry: np.ndarray, unit: int) -> dict[str, np.ndarray]:
    """Write the outlines of polygons and multipolygons as columns.

    Args:
        name: Begins the names of the columns.
        geometry: In pixels.
        unit: Steps of a pixel that coordinates are rounded to.

    Returns:
        `{name}.rings`: rings of each geometry; `{name}.points`: vertices of each ring, of which the last, equal to the first,
        is left out; `{name}.x` and `{name}.y`: of each vertex the step from the one before, from 0 at the first.
    """
    parts, whole_of = shapely.get_parts(geometry, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    corners, ring_of = shapely.get_coordinates(rings, return_index=True)
    places = np.rint(corners * unit).astype(np.int64)
    is_last = np.r_[ring_of[1:] != ring_of[:-1], True][: len(ring_of)]
    # Rounding made some vertices equal to the one before.
    is_new = np.r_[True, (np.diff(places, axis=0) != 0).any(axis=1) | (np.diff(ring_of) != 0)][: len(ring_of)]
    keep = ~is_last & is_new
    points = np.bincount(ring_of[keep], minlength=len(rings))
    x, y = np.diff(np.concatenate([np.zeros((1, 2), dtype=np.int64), places[keep]]), axis=0).T
    of_geometry = np.bincount(whole_of[part_of[points > 0]], minlength=len(geometry))
    return {f"{name}.rings": of_geometry, f"{name}.points": points[points > 0], f"{name}.x": x, f"{name}.y": y}


def outlines_within(name: str, geometry: np.ndarray, most_bytes: int) -> tuple[dict[str, np.ndarray], int]:
    """Write outlines down so that they fit, simplified only as far as they must be, for the eye alone.

    Args:
        name: As `outline_columns`.
        geometry: In pixels.
        most_bytes: That they may take packed; the simplest outlines may take more.

    Returns:
        The columns, and the steps of a pixel that they are in: tenths, or whole pixels where all vertices lie on corners of
        pixels or tenths would not fit.
    """
    corners = shapely.get_coordinates(geometry)
    unit = 1 if not len(corners) or np.abs(corners - np.rint(corners)).max() < 1e-6 else 10
    tolerance, simple = 0.0, geometry
    while True:
        columns = outline_columns(name, simple, unit)
        if sum(len(zlib.compress(to_bytes(c), 6)) for c in columns.values()) <= most_bytes or tolerance > _COARSEST:
            return columns, unit
        # Whole pixels first: they are what was mapped.
        unit, tolerance = 1, 2 * tolerance or 0.5
        simple = shapely.simplify(geometry, tolerance)


def in_order_of_place(geometry: np.ndarray) -> np.ndarray:
    """Return the order in which polygons that lie near each other follow each other (Hilbert's curve); int (n,)."""
    if not len(geometry):
        return np.zeros(0, dtype=np.int64)
    import geopandas as gpd

    return np.argsort(gpd.GeoSeries(list(geometry)).hilbert_distance().to_numpy(), kind="stable")


def dictionary_code(values: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return int (n,) places in a list of the different texts, and that list, in order of their first occurrence."""
    words = list(dict.fromkeys(values))
    place = {word: i for i, word in enumerate(words)}
    return np.array([place[v] for v in values], dtype=np.int64), words
