"""Images for the eye: display rasters of both dates, and pictures of them and of change maps for pages."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from landshift.pipeline.drawing.symbols import rgb, screen_lines
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Change
from landshift.pipeline.raster.images import ImageSource, open_readers, preview
from landshift.pipeline.raster.read import read_preview
from landshift.pipeline.raster.write import Layout, open_writer, write_cog
from landshift.pipeline.tiles import strips

NOT_SEEN = 0
"""Number of pixels that were not observed; the others have 1..255."""

_LOOK = 900
_PERCENTILES = (1, 99)
_GAMMA = 0.8
"""Below 1, to lift forests and shadows out of the black."""
_LEAST = 1e-30
"""Share of the range that counts as none."""


@dataclass(frozen=True)
class Stretch:
    """How values become colours."""

    bands: tuple[int, int, int]
    """Bands of the image, from 1, that are shown as red, green and blue."""
    low: tuple[float, float, float]
    """Value that is shown darkest, one a colour."""
    high: tuple[float, float, float]
    """Value that is shown brightest, one a colour."""


def stretches_of(before: ImageSource, after: ImageSource, *, comparable: bool) -> tuple[Stretch, Stretch]:
    """Choose the bands and the range of values that show both images best.

    Args:
        before: Of an epoch, with band names; without red, green and blue its first bands are shown.
        after: The same after.
        comparable: Whether the same number means the same on both dates, as in reflectance. Then both get one range, so that a
            difference in the pictures is one on the ground. Digital numbers depend on sun and haze: each date gets its own
            range, or one of the pictures would be too dark to judge.
    """
    with open_readers(before) as (reader,):
        names = list(reader.info.descriptions)
    named = [names.index(n) + 1 for n in ("red", "green", "blue") if n in names]
    red, green, blue = named if len(named) == 3 else [min(i, len(names)) for i in (1, 2, 3)]
    looks = [preview(image, (red, green, blue), _LOOK) for image in (before, after)]
    seen = [look[:, np.isfinite(look).all(axis=0)] for look in looks]
    if comparable:
        seen = [np.concatenate(seen, axis=1)] * 2
    first, second = (Stretch((red, green, blue), *_range(values)) for values in seen)
    return first, second


def _range(seen: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the darkest and the brightest value of each colour of the pixels seen (3, n)."""
    low, high = np.percentile(seen if seen.shape[1] else np.zeros((3, 1)), _PERCENTILES, axis=1).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def to_colours(values: np.ndarray, stretch: Stretch) -> np.ndarray:
    """Turn values into colours.

    Args:
        values: float32 (3, y, x), NaN = not observed.
        stretch: The range of each.

    Returns:
        uint8 (3, y, x), 1..255, and 0 in all three where one of them was not observed.
    """
    low, high = (np.asarray(limit, dtype=np.float32)[:, None, None] for limit in (stretch.low, stretch.high))
    share = np.subtract(values, low, dtype=np.float32)
    share /= np.maximum(high - low, 1e-6)
    seen = np.isfinite(share.sum(axis=0))
    is_whole = bool(seen.all())
    if not is_whole:
        share[:, ~seen] = 1
    # Powers of 0, of what is negative and of NaN are slow; the least is 1 in any case.
    np.clip(share, _LEAST, 1, out=share)
    share **= _GAMMA
    share *= 254
    share += 1
    colours = np.rint(share, out=share).astype(np.uint8)
    if not is_whole:
        colours[:, ~seen] = NOT_SEEN
    return np.asarray(colours)


def image_layout(grid: Grid, names: Sequence[str], tags: Mapping[str, str]) -> Layout:
    """Describe the file of a display image, whose three bands have `names`."""
    return Layout(
        grid, 3, "uint8", NOT_SEEN, descriptions=tuple(names), units=("display value",) * 3, tags=tags, overviews="mean"
    )


def write_image(
    path: Path, image: ImageSource, stretch: Stretch, grid: Grid, tags: Mapping[str, str], names: Sequence[str]
) -> Path:
    """Write an image as a cloud-optimised GeoTIFF of three colours, strip by strip.

    Args:
        path: The file to make.
        image: Of an epoch.
        stretch: From `stretches_of`.
        grid: Where the pixels are.
        tags: Dataset tags.
        names: Descriptions of the three bands.
    """
    plain = path.with_name(f"plain_{path.name}")
    chosen = [band - 1 for band in stretch.bands]
    try:
        with open_readers(image) as (reader,), open_writer(plain, image_layout(grid, names, tags)) as write:
            for strip in strips(grid.shape.yx):
                write(strip, to_colours(reader.read(strip)[chosen], stretch))
        return write_cog(path, plain, categorical=False)
    finally:
        plain.unlink(missing_ok=True)


_GREY = (204, 204, 212)
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
    out[(colours == NOT_SEEN).all(axis=0)] = _GREY
    return np.asarray(out)


def change_picture(change: Path, changes: Sequence[Change], under: np.ndarray, side: int = 900) -> np.ndarray:
    """Lay the changes over a faded picture, in their colours and with the lines for the land use before.

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
    rows, columns = np.indices(codes.shape)
    for entry in changes:
        if entry.code not in (NOT_OBSERVED, UNCHANGED) and (here := codes == entry.code).any():
            out[here] = rgb(entry.colour)
            lines = screen_lines(entry.colour, entry.pattern)
            for angle in map(np.radians, lines.angles):
                across = (columns[here] * np.sin(angle) + rows[here] * np.cos(angle)) % lines.spacing
                out[tuple(axis[across < lines.width] for axis in np.nonzero(here))] = rgb(lines.ink)
    unseen = codes == NOT_OBSERVED
    out[unseen] = _GREY
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
    # Not `optimize`, which is DEFLATE level 9: ten times as slow on a map for a seventh of its bytes.
    (image if colours is None else image.quantize(colours)).save(stream, "PNG", compress_level=6)
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
