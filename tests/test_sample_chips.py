"""Sample chips: the sampled pixel is framed, and nothing is smoothed."""

import io

import numpy as np
import pytest
from PIL import Image

from landshift.pipeline.drawing.chips import CONTEXT, sample_chip, sample_window

SIDE = 2 * CONTEXT + 1
MARK = [255, 0, 255]


def shown(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The picture as a viewer decodes it."""
    with Image.open(io.BytesIO(sample_chip(before, after))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_window_has_the_pixel_in_its_middle() -> None:
    window = sample_window(5, 100)
    assert (window.y, window.x, window.height, window.width) == (5 - CONTEXT, 100 - CONTEXT, SIDE, SIDE)


def test_both_dates_lie_beside_each_other_with_the_pixel_s_own_colour_inside_the_frame() -> None:
    before, after = np.full((3, SIDE, SIDE), 10, dtype=np.uint8), np.full((3, SIDE, SIDE), 200, dtype=np.uint8)
    before[:, CONTEXT, CONTEXT] = (1, 2, 3)
    after[:, 0, 0] = 0
    picture = shown(before, after)
    zoom = picture.shape[0] // SIDE
    middle = CONTEXT * zoom + zoom // 2
    inside = picture[CONTEXT * zoom : (CONTEXT + 1) * zoom, CONTEXT * zoom : (CONTEXT + 1) * zoom]
    assert (inside == (1, 2, 3)).all(), "the frame lies around the pixel, not on it"
    assert picture[CONTEXT * zoom - 1, middle].tolist() == MARK
    assert picture[CONTEXT * zoom - 1, middle + (SIDE + 1) * zoom].tolist() == MARK, "on both dates"
    assert picture[0, 0].tolist() == [10, 10, 10]
    assert picture[-1, -1].tolist() == [200, 200, 200]
    assert picture[0, -SIDE * zoom].tolist() == [204, 204, 212], "what was not observed is not black"


@pytest.mark.parametrize("seed", range(3))
def test_the_frame_survives_however_colourful_the_picture_is(seed: int) -> None:
    before, after = np.random.default_rng(seed).integers(1, 255, (2, 3, SIDE, SIDE)).astype(np.uint8)
    picture = shown(before, after)
    zoom = picture.shape[0] // SIDE
    edge = picture[CONTEXT * zoom - 2 : (CONTEXT + 1) * zoom + 2, CONTEXT * zoom - 1]
    assert (edge == MARK).all()
