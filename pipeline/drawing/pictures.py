"""Pictures of images and change maps, for pages and for people without a GIS."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from landshift.pipeline.drawing.display import NOT_SEEN
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Change
from landshift.pipeline.raster.read import read_preview

_NOT_SEEN = (204, 204, 212)
"""A bluish mid grey: near white would look like cloud or roofs."""

_HATCH = (110, 110, 130)

_COLOURS = (1, 2, 3)
"""Bands of a display image: red, green, blue."""

_QUALITY, _QUALITY_LARGE = 88, 77
"""Of JPEG; the larger, below which single pixels of Sentinel-2 run into each other, where a page can afford it."""

_LARGE = 600_000
"""Pixels from which a picture is large."""


def display_picture(path: Path, side: int = 900) -> np.ndarray:
    """Show a display image (`image_before.tif`, `image_after.tif`) as it is.

    Args:
        path: GeoTIFF of three uint8 bands, 0 in all of them where not observed.
        side: Longest side in pixels.

    Returns:
        uint8 (y, x, 3).
    """
    return on_grey(read_preview(path, _COLOURS, side))


def on_grey(colours: np.ndarray) -> np.ndarray:
    """Paint what was not observed grey.

    Args:
        colours: uint8 (3, y, x), 0 in all three where not observed.

    Returns:
        uint8 (y, x, 3).
    """
    out = np.ascontiguousarray(colours.transpose(1, 2, 0))
    out[(colours == NOT_SEEN).all(axis=0)] = _NOT_SEEN
    return np.asarray(out)


def change_picture(change: Path, changes: Sequence[Change], under: np.ndarray, side: int = 900) -> np.ndarray:
    """Lay the changes in their colours over a faded picture.

    Args:
        change: `change.tif`.
        changes: The legend's changes.
        under: uint8 (y, x, 3), as from `display_picture` with the same `side`.
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


def jpeg(picture: np.ndarray) -> bytes:
    """Encode a uint8 (y, x, 3) array as JPEG with every pixel's own colour; of large pictures less is kept."""
    quality = _QUALITY if picture.shape[0] * picture.shape[1] < _LARGE else _QUALITY_LARGE
    stream = io.BytesIO()
    # Without `optimize`, for which Pillow's buffer is too small where a picture is all noise.
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def data_uri(picture: np.ndarray, *, photo: bool = False, colours: int | None = None) -> str:
    """Encode a picture so that a page can hold it.

    Args:
        picture: uint8 (y, x, 3).
        photo: As JPEG, which is smaller for images, and not exact.
        colours: Of a PNG, see `png`.
    """
    kind, content = ("jpeg", jpeg(picture)) if photo else ("png", png(picture, colours))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def side_by_side(pictures: Sequence[np.ndarray], gap: int = 8) -> np.ndarray:
    """Put pictures of one height beside each other, with a white gap in pixels."""
    white = np.full((pictures[0].shape[0], gap, 3), 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (picture, white)]
    return np.concatenate(parts[:-1], axis=1)
