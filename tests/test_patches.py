"""Patches are the 4-connected areas of equal code, numbered from the upper left."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from landshift.pipeline.change.patches import find_patches


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
    assert patches.pixels(patches.code == 3).tolist() == [3, 5, 6, 7, 11]


def test_the_end_of_a_row_does_not_touch_the_start_of_the_next() -> None:
    assert len(find_patches(np.array([[0, 0, 5], [5, 0, 0]], dtype=np.uint8))) == 2


def test_background_has_no_patches() -> None:
    patches = find_patches(np.zeros((3, 4), dtype=np.uint8))
    assert len(patches) == 0
    assert patches.pixels().tolist() == []


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)))
@settings(deadline=None)
def test_patches_are_those_that_labelling_each_code_finds(codes: np.ndarray) -> None:
    patches = find_patches(codes)
    expected = set()
    for code in range(1, 4):
        labels, count = ndimage.label(codes == code)
        expected |= {(code, tuple(np.flatnonzero(labels == k).tolist())) for k in range(1, count + 1)}
    numbers = np.arange(len(patches))
    found = [(int(patches.code[k]), tuple(patches.pixels(numbers == k).tolist())) for k in numbers]
    assert set(found) == expected
    assert [p[1][0] for p in found] == sorted(p[1][0] for p in found) == patches.first_pixel.tolist()
    np.testing.assert_array_equal(patches.pixels(), np.flatnonzero(codes))
