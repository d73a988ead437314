"""Chips: small cut-outs of the images around each patch, so that a reader sees what the map claims."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import shapely
from PIL import Image, ImageDraw

from landshift.pipeline.drawing.pictures import display_picture, jpeg, on_grey, side_by_side
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.tiles import Window

CELL = 96
"""Side of a chip, in pixels of the page."""
ACROSS = 16
"""Chips in a row of the sheet."""
_SMALLEST = 24
"""Pixels of the image that a chip shows at least, so that one sees where it is."""
_MARGIN = 1.8
"""A chip is as wide as its patch, times this."""
_THIN = 200
"""Side of a chip from which on its outline gets thicker, in its own pixels."""
_WHOLE = 768
"""Side in pixels of the image from which a chip is cut out of the preview: it is sharp enough there."""


def chip_window(bounds: Sequence[float]) -> Window:
    """Return the square around a patch; it may reach past the edge of the image.

    Args:
        bounds: Left, top, right and bottom of the patch, in pixels.
    """
    left, top, right, bottom = bounds
    side = max(round(_MARGIN * max(right - left, bottom - top)), _SMALLEST)
    return Window(round((top + bottom - side) / 2), round((left + right - side) / 2), side, side)


def chip_sheet(image: Path, patches: np.ndarray, preview: int = 1400) -> np.ndarray:
    """Cut out a chip around each patch, with its outline, and put them beside each other.

    Args:
        image: Display image: three uint8 bands, 0 where not observed.
        patches: Polygons in pixels of the image.
        preview: Longest side of what the largest chips are cut from.

    Returns:
        uint8 (y, x, 3): rows of `ACROSS` chips of `CELL` pixels, in the order of the patches; what they do not fill, and what
        lies past the edge of the image, is grey.
    """
    rows = max(-(-len(patches) // ACROSS), 1)
    sheet = np.full((rows * CELL, ACROSS * CELL, 3), 204, dtype=np.uint8)
    with ChipSource(image, preview) as source:
        for number, patch in enumerate(patches):
            y, x = divmod(number, ACROSS)
            sheet[y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL] = source.chip(patch, CELL)
    return sheet


def chip_pair(before: "ChipSource", after: "ChipSource", patch: shapely.Geometry, side: int = 420) -> bytes:
    """Put a patch before and after beside each other.

    Args:
        before: Image of the date before.
        after: Image of the date after, on the same grid.
        patch: Polygon in pixels of the images.
        side: Of each of the two, in pixels of the picture.

    Returns:
        A JPEG.
    """
    return jpeg(side_by_side([before.chip(patch, side), after.chip(patch, side)], gap=6))


class ChipSource:
    """An image that chips are cut from."""

    def __init__(self, image: Path, preview: int = 1400) -> None:
        """Open a display image: three uint8 bands, 0 where not observed.

        Args:
            image: Of the run.
            preview: Longest side of what the largest chips are cut from.

        Raises:
            InputError: It cannot be read.
        """
        self._image, self._preview = image, preview
        self._reader = RasterReader(image)
        self._whole: np.ndarray | None = None

    def __enter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the image."""
        self._reader.close()

    def chip(self, patch: shapely.Geometry, side: int) -> np.ndarray:
        """Cut out the square around a patch, with its outline.

        Args:
            patch: Polygon in pixels of the image.
            side: Of the chip, in its own pixels.

        Returns:
            uint8 (side, side, 3); what lies past the edge of the image is grey.
        """
        window = chip_window(shapely.bounds(patch))
        if window.height <= _WHOLE:
            cut = on_grey(np.nan_to_num(self._reader.read(window)).astype(np.uint8))
        else:
            if self._whole is None:
                self._whole = display_picture(self._image, self._preview)
            cut = _from_preview(self._whole, window, self._reader.info.shape, side)
        return _draw(cut, patch, window, side)


def _from_preview(whole: np.ndarray, window: Window, shape: tuple[int, int], side: int) -> np.ndarray:
    """Cut a window of the image out of its preview, at the scale of the chip."""
    steps = (np.arange(side) + 0.5) * window.height / side
    rows, columns = window.y + steps, window.x + steps
    inside = ((rows >= 0) & (rows < shape[0]))[:, None] & ((columns >= 0) & (columns < shape[1]))[None]
    y = np.clip(rows * whole.shape[0] / shape[0], 0, whole.shape[0] - 1).astype(int)
    x = np.clip(columns * whole.shape[1] / shape[1], 0, whole.shape[1] - 1).astype(int)
    return np.where(inside[..., None], whole[y[:, None], x[None]], np.uint8(204))


def _draw(cut: np.ndarray, patch: shapely.Geometry, window: Window, side: int) -> np.ndarray:
    # Enlarged pixels stay squares: a smooth picture would show detail that was not measured.
    how = Image.Resampling.NEAREST if cut.shape[0] <= side else Image.Resampling.BOX
    chip = Image.fromarray(cut).resize((side, side), how)
    pen = ImageDraw.Draw(chip)
    lines = [
        [tuple(point) for point in (shapely.get_coordinates(ring) - [window.x, window.y]) * side / window.height]
        for part in shapely.get_parts(patch)
        for ring in (part.exterior, *part.interiors)
    ]
    # Light on dark, to be seen on any ground; of large chips less remains on the screen.
    times = max(side // _THIN, 1)
    for colour, width in (("#000000", 3), ("#ffffff", 1)):
        for line in lines:
            pen.line(line, fill=colour, width=width * times, joint="curve")
    return np.asarray(chip)


CONTEXT = 24
"""Pixels shown on each side of the sampled one."""

_ZOOM = 6
_COLOURS, _MARK_INDEX = 240, 255
_MARK = (255, 0, 255)
"""Magenta, which hardly any surface has."""


def sample_window(row: int, column: int) -> Window:
    """Return the pixels that a chip shows; they can reach past the edge of the map."""
    side = 2 * CONTEXT + 1
    return Window(row - CONTEXT, column - CONTEXT, side, side)


def sample_chip(before: np.ndarray, after: np.ndarray) -> bytes:
    """Put both dates beside each other, enlarged without smoothing, with a frame around the sampled pixel.

    Args:
        before: uint8 (3, y, x) of `sample_window`, 0 in all three = not observed.
        after: The same after.

    Returns:
        A PNG of few colours, of which the frame's is one.
    """
    height, width = before.shape[1:]
    gap = np.full((height, 1, 3), 255, dtype=np.uint8)
    pair = np.concatenate([on_grey(before), gap, on_grey(after)], axis=1)
    # The frame comes after the choice of colours, which would not spare any for so few pixels.
    picture = Image.fromarray(pair).quantize(_COLOURS)
    palette = (picture.getpalette() or [])[: 3 * _COLOURS]
    picture.putpalette([*palette, *[0] * (3 * _MARK_INDEX - len(palette)), *_MARK])
    drawn = picture.resize((pair.shape[1] * _ZOOM, height * _ZOOM), Image.Resampling.NEAREST)
    for left in (0, width + 1):
        x, y = (left + CONTEXT) * _ZOOM, CONTEXT * _ZOOM
        # Outside the pixel, so that its own colour is seen whole.
        ImageDraw.Draw(drawn).rectangle((x - 2, y - 2, x + _ZOOM + 1, y + _ZOOM + 1), outline=_MARK_INDEX, width=2)
    stream = io.BytesIO()
    drawn.save(stream, "PNG", optimize=True)
    return stream.getvalue()
