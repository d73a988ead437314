"""Pictures of images and change maps, for pages and for people without a GIS."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.legend import NOT_OBSERVED, UNCHANGED, Change
from pipeline.raster import inspect, read_preview

_NOT_SEEN = (204, 204, 212)
"""A bluish mid grey: near white would look like cloud or roofs."""
_HATCH = (110, 110, 130)
_STRETCH = (1, 99)


def colour_pair(before: Path, after: Path, side: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Show two images in true colour with one stretch, so that a difference in the pictures is one in the images.

    Args:
        before: Analysis-ready GeoTIFF with band descriptions; without red, green and blue its first bands are shown.
        after: The same after.
        side: Longest side in pixels.

    Returns:
        Two uint8 arrays (y, x, 3).
    """
    names = [d for d in inspect(before).descriptions]
    wanted = [names.index(n) + 1 for n in ("red", "green", "blue") if n in names]
    bands = wanted if len(wanted) == 3 else [min(i, len(names)) for i in (1, 2, 3)]
    images = [read_preview(p, bands, side).astype(np.float32) for p in (before, after)]
    seen = np.concatenate([i[:, np.isfinite(i).all(axis=0)] for i in images], axis=1)
    if not seen.shape[1]:
        seen = np.zeros((3, 1), dtype=np.float32)
    low, high = np.percentile(seen, _STRETCH, axis=1)
    return _stretched(images[0], low, high), _stretched(images[1], low, high)


def _stretched(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    span = np.maximum(high - low, 1e-6)[:, None, None]
    share = np.clip((image - low[:, None, None]) / span, 0, 1)
    # A gamma below 1 lifts forests and shadows out of the black.
    out = (255 * np.nan_to_num(share) ** 0.8).astype(np.uint8).transpose(1, 2, 0)
    out[~np.isfinite(image).all(axis=0)] = _NOT_SEEN
    return np.asarray(out)


def change_picture(change: Path, changes: Sequence[Change], under: np.ndarray, side: int = 900) -> np.ndarray:
    """Lay the changes in their colours over a faded picture.

    Args:
        change: `change.tif`.
        changes: The legend's changes.
        under: uint8 (y, x, 3), as from `colour_pair` with the same `side`.
        side: Longest side in pixels.

    Returns:
        uint8 (y, x, 3).
    """
    codes = read_preview(change, [1], side)[0]
    grey = under.mean(axis=2, keepdims=True)
    out = np.repeat(165 + 0.35 * grey, 3, axis=2).astype(np.uint8)
    for entry in changes:
        if entry.code not in (NOT_OBSERVED, UNCHANGED):
            out[codes == entry.code] = [int(entry.colour[i : i + 2], 16) for i in (1, 3, 5)]
    unseen = codes == NOT_OBSERVED
    out[unseen] = _NOT_SEEN
    rows, columns = np.indices(codes.shape)
    # Hatched: a flat grey would read as ground that was seen.
    out[unseen & ((rows + columns) % 6 < 2)] = _HATCH
    return out


def png(picture: np.ndarray, colours: int | None = None) -> bytes:
    """Encode a uint8 (y, x, 3) array as PNG.

    Args:
        picture: What to encode.
        colours: At most this many, 2..256, for a file of about half the size; None keeps every colour.
    """
    stream = io.BytesIO()
    image = Image.fromarray(picture)
    (image if colours is None else image.quantize(colours)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_uri(picture: np.ndarray) -> str:
    """Encode a picture so that a page can hold it."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def side_by_side(pictures: Sequence[np.ndarray], gap: int = 8) -> np.ndarray:
    """Put pictures of one height beside each other, with a white gap in pixels."""
    white = np.full((pictures[0].shape[0], gap, 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (picture, white)]
    return np.concatenate(parts[:-1], axis=1)
