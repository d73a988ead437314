"""Sample chips: a sampled pixel with its surroundings on both dates, as a picture for whoever judges it."""

import io

import numpy as np
from PIL import Image, ImageDraw

from pipeline.pictures import on_grey
from pipeline.tiles import Window

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
