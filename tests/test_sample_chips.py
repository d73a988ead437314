"""Chips: the sampled pixel is framed, and nothing is smoothed."""

import numpy as np

from pipeline.sample_chips import CONTEXT, sample_chip, sample_window

SIDE = 2 * CONTEXT + 1


def test_the_window_has_the_pixel_in_its_middle() -> None:
    window = sample_window(5, 100)
    assert (window.y, window.x, window.height, window.width) == (5 - CONTEXT, 100 - CONTEXT, SIDE, SIDE)


def test_both_dates_lie_beside_each_other_with_the_pixel_s_own_colour_inside_the_frame() -> None:
    before, after = np.full((3, SIDE, SIDE), 10, dtype=np.uint8), np.full((3, SIDE, SIDE), 200, dtype=np.uint8)
    before[:, CONTEXT, CONTEXT] = (1, 2, 3)
    after[:, 0, 0] = 0
    picture = sample_chip(before, after)
    zoom = (picture.shape[1] - picture.shape[1] % SIDE) // (2 * SIDE)
    assert picture.shape[0] == SIDE * zoom
    middle = CONTEXT * zoom + zoom // 2
    assert picture[middle, middle].tolist() == [1, 2, 3]
    inside = picture[CONTEXT * zoom : (CONTEXT + 1) * zoom, CONTEXT * zoom : (CONTEXT + 1) * zoom]
    assert (inside == (1, 2, 3)).all(), "the frame lies around the pixel, not on it"
    assert picture[CONTEXT * zoom - 1, middle].tolist() == [255, 0, 255]
    assert picture[0, 0].tolist() == [10, 10, 10]
    assert picture[-1, -1].tolist() == [200, 200, 200]
    unseen = picture[0, -SIDE * zoom]
    assert unseen.tolist() == [204, 204, 212], "what was not observed is not black"
