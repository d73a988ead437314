"""Patches are the 4-connected areas of equal code, numbered from the upper left."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from landshift.pipeline.change.patches import Patches, find_patches


def pixels_of(patches: Patches, chosen: np.ndarray | None = None) -> list[int]:
    some = patches if chosen is None else patches.choose(chosen)
    return some.rows(0, some.shape[0]).pixels().tolist()


def test_corners_do_not_connect_and_codes_do_not_mix() -> None:
    codes = np.array([
        [2, 2, 0, 3],
        [2, 3, 3, 3],
        [0, 2, 0, 3],
        [2, 0, 0, 0],
    ], dtype=np.uint8)  # fmt: skip
    patches = find_patches(codes)
    assert patches.code.tolist() == [2, 3, 2, 2]
    assert patches.pixel_count.tolist() == [3, 5, 1, 1]
    assert patches.first_pixel.tolist() == [0, 3, 9, 12]
    assert pixels_of(patches, patches.code == 3) == [3, 5, 6, 7, 11]
    assert patches.rows(1, 2).pixels().tolist() == [0, 1, 2, 3, 5, 7]


def test_the_end_of_a_row_does_not_touch_the_start_of_the_next() -> None:
    assert len(find_patches(np.array([[0, 0, 5], [5, 0, 0]], dtype=np.uint8))) == 2


def test_background_has_no_patches() -> None:
    patches = find_patches(np.zeros((3, 4), dtype=np.uint8))
    assert len(patches) == 0
    assert pixels_of(patches) == []


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)))
@settings(deadline=None)
def test_patches_are_those_that_labelling_each_code_finds(codes: np.ndarray) -> None:
    patches = find_patches(codes)
    expected = set()
    for code in range(1, 4):
        labels, count = ndimage.label(codes == code)
        expected |= {(code, tuple(np.flatnonzero(labels == k).tolist())) for k in range(1, count + 1)}
    numbers = np.arange(len(patches))
    found = [(int(patches.code[k]), tuple(pixels_of(patches, numbers == k))) for k in numbers]
    assert set(found) == expected
    assert [p[1][0] for p in found] == sorted(p[1][0] for p in found) == patches.first_pixel.tolist()
    np.testing.assert_array_equal(pixels_of(patches), np.flatnonzero(codes))


MAPS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))


@given(MAPS, st.lists(st.integers(0, 9)), st.integers(0, 1))
@settings(deadline=None)
def test_the_rows_of_a_map_may_come_in_any_blocks(codes: np.ndarray, cuts: list[int], background: int) -> None:
    whole = find_patches(codes, background)
    blocks = find_patches(iter(np.split(codes, sorted(c for c in cuts if c < len(codes)))), background)
    for field in fields(Patches):
        np.testing.assert_array_equal(getattr(blocks, field.name), getattr(whole, field.name))
        assert getattr(blocks, field.name).dtype == getattr(whole, field.name).dtype if field.name != "shape" else True


@given(MAPS, st.integers(0, 8))
@settings(deadline=None)
def test_chosen_patches_are_those_of_a_map_without_the_others(codes: np.ndarray, least: int) -> None:
    patches = find_patches(codes)
    chosen = patches.choose(patches.pixel_count >= least)
    left = np.zeros_like(codes)
    left.flat[pixels_of(chosen)] = codes.flat[pixels_of(chosen)]
    again = find_patches(left)
    for field in fields(Patches):
        np.testing.assert_array_equal(getattr(chosen, field.name), getattr(again, field.name))


def test_a_spiral_that_a_block_of_rows_shows_in_parts_is_one_patch() -> None:
    codes = np.array([
        [2, 0, 2, 2, 2],
        [2, 0, 2, 0, 2],
        [2, 0, 0, 0, 2],
        [2, 2, 2, 2, 2],
    ], dtype=np.uint8)  # fmt: skip
    assert find_patches(row[np.newaxis] for row in codes).pixel_count.tolist() == [14]


def test_rows_of_another_width_are_refused_and_so_are_none() -> None:
    with pytest.raises(ValueError, match="rows of 3 pixels below rows of 2; expected one width"):
        find_patches([np.ones((1, 2), np.uint8), np.ones((1, 3), np.uint8)])
    with pytest.raises(ValueError, match="without rows"):
        find_patches([])
