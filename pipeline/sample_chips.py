"""Sample chips: a sampled pixel with its surroundings on both dates, as a picture for whoever judges it."""

import numpy as np
from PIL import Image, ImageDraw

from pipeline.pictures import on_grey
from pipeline.tiles import Window

CONTEXT = 24
"""Pixels shown on each side of the sampled one."""

_ZOOM = 6
_GAP = 6
_MARK = (255, 0, 255)
"""Magenta, which hardly any surface has."""


def sample_window(row: int, column: int) -> Window:
    """Return the pixels that a chip shows; they can reach past the edge of the map."""
    side = 2 * CONTEXT + 1
    return Window(row - CONTEXT, column - CONTEXT, side, side)


def sample_chip(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Put both dates beside each other, enlarged without smoothing, with a frame around the sampled pixel.

    Args:
        before: uint8 (3, y, x) of `sample_window`, 0 in all three = not observed.
        after: The same after.

    Returns:
        uint8 (y, x, 3).
    """
    sides = [_framed(image) for image in (before, after)]
    gap = np.full((sides[0].shape[0], _GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([sides[0], gap, sides[1]], axis=1)


def _framed(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[1:]
    picture = Image.fromarray(on_grey(image)).resize((width * _ZOOM, height * _ZOOM), Image.Resampling.NEAREST)
    start = CONTEXT * _ZOOM
    # Outside the pixel, so that its own colour is seen whole.
    ImageDraw.Draw(picture).rectangle((start - 2, start - 2, start + _ZOOM + 1, start + _ZOOM + 1), outline=_MARK, width=2)
    return np.asarray(picture)
