"""Chips: small cut-outs of the images around each patch, so that a reader sees what the map claims."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw

from pipeline.pictures import display_picture, on_grey
from pipeline.raster import RasterReader
from pipeline.tiles import Window

CELL = 96
"""Side of a chip, in pixels of the page."""
ACROSS = 16
"""Chips in a row of the sheet."""
_SMALLEST = 24
"""Pixels of the image that a chip shows at least, so that one sees where it is."""
_MARGIN = 1.8
"""A chip is as wide as its patch, times this."""
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
    reader = RasterReader(image)
    whole: np.ndarray | None = None
    try:
        for number, patch in enumerate(patches):
            window = chip_window(shapely.bounds(patch))
            if window.height <= _WHOLE:
                cut = on_grey(np.nan_to_num(reader.read(window)).astype(np.uint8))
            else:
                whole = display_picture(image, preview) if whole is None else whole
                cut = _from_preview(whole, window, reader.info.shape)
            y, x = divmod(number, ACROSS)
            sheet[y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL] = _drawn(cut, patch, window)
    finally:
        reader.close()
    return sheet


def _from_preview(whole: np.ndarray, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """Cut a window of the image out of its preview, at the scale of the chip."""
    steps = (np.arange(CELL) + 0.5) * window.height / CELL
    rows, columns = window.y + steps, window.x + steps
    inside = ((rows >= 0) & (rows < shape[0]))[:, None] & ((columns >= 0) & (columns < shape[1]))[None]
    y = np.clip(rows * whole.shape[0] / shape[0], 0, whole.shape[0] - 1).astype(int)
    x = np.clip(columns * whole.shape[1] / shape[1], 0, whole.shape[1] - 1).astype(int)
    return np.where(inside[..., None], whole[y[:, None], x[None]], np.uint8(204))


def _drawn(cut: np.ndarray, patch: shapely.Geometry, window: Window) -> np.ndarray:
    # Enlarged pixels stay squares: a smooth picture would show detail that nobody measured.
    how = Image.Resampling.NEAREST if cut.shape[0] <= CELL else Image.Resampling.BOX
    chip = Image.fromarray(cut).resize((CELL, CELL), how)
    pen = ImageDraw.Draw(chip)
    lines = [
        [tuple(point) for point in (shapely.get_coordinates(ring) - [window.x, window.y]) * CELL / window.height]
        for part in shapely.get_parts(patch)
        for ring in (part.exterior, *part.interiors)
    ]
    # Light on dark, to be seen on any ground.
    for colour, width in (("#000000", 3), ("#ffffff", 1)):
        for line in lines:
            pen.line(line, fill=colour, width=width)
    return np.asarray(chip)
