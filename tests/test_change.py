"""A pixel is changed if and only if its codes differ; patches below the minimum mapping unit become unchanged."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landshift.pipeline.change.decision import (
    decide,
)
from landshift.pipeline.change.mapping_unit import divide_by_size, drop_small, min_patch_pixels
from landshift.pipeline.change.patches import Patches
from landshift.pipeline.change.polygons import find_map_patches
from landshift.pipeline.legend import LandUse, Legend

FOREST, CROP, TOWN = 1, 4, 7
LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(4, "Cropland", "#ffcc00"), LandUse(7, "Town", "#cc0000")))
BINARY = Legend()
NAN = np.nan


def pixels(*probabilities: tuple[float, float, float]) -> np.ndarray:
    """One row of pixels, each with its probabilities of forest, cropland and town."""
    return np.array(probabilities, dtype=np.float32).T[:, np.newaxis, :]


def row(*values: float) -> np.ndarray:
    return np.array([values], dtype=np.float32)


def picture(*rows: str) -> np.ndarray:
    """Digits are codes, a dot is 1 (unchanged), a blank is 0 (not observed)."""
    return np.array([[{".": 1, " ": 0}.get(c) if c in ". " else int(c) for c in r] for r in rows], dtype=np.uint8)


def test_the_change_head_says_whether_and_the_land_use_heads_say_what() -> None:
    # Changed and clear; unchanged; changed though both dates look like forest; unchanged though they look different.
    before = pixels((0.9, 0.1, 0.0), (0.8, 0.1, 0.1), (0.7, 0.2, 0.1), (0.5, 0.4, 0.1))
    after = pixels((0.1, 0.8, 0.1), (0.8, 0.1, 0.1), (0.6, 0.1, 0.3), (0.1, 0.7, 0.2))
    found = decide(row(0.9, 0.1, 0.5, 0.4), before, after, LEGEND, 0.5)
    assert found.before is not None
    assert found.after is not None
    np.testing.assert_array_equal(found.before, [[FOREST, FOREST, FOREST, CROP]])
    np.testing.assert_array_equal(found.after, [[CROP, FOREST, TOWN, CROP]])
    names = [LEGEND.changes[code].name for code in found.change[0]]
    assert names == ["Forest to Cropland", "Unchanged", "Forest to Town", "Unchanged"]
    np.testing.assert_allclose(found.change_probability, [[0.9, 0.1, 0.5, 0.4]], rtol=1e-6)


def test_without_a_change_head_change_is_what_the_land_use_does_not_share() -> None:
    before, after = pixels((0.9, 0.1, 0.0), (0.9, 0.1, 0.0)), pixels((0.2, 0.8, 0.0), (0.9, 0.0, 0.1))
    found = decide(None, before, after, LEGEND, 0.5)
    np.testing.assert_array_equal(found.change, [[2, 1]])
    np.testing.assert_allclose(found.change_probability, [[1 - 0.26, 1 - 0.81]], rtol=1e-6)


def test_what_one_input_did_not_observe_is_not_observed() -> None:
    certain = (1.0, 0.0, 0.0)
    before = pixels(certain, (NAN, 0.0, 1.0), certain, certain)
    after = pixels(certain, certain, (NAN, NAN, NAN), certain)
    found = decide(row(0.1, 0.1, 0.9, NAN), before, after, LEGEND, 0.5)
    for codes in (found.change, found.before, found.after):
        np.testing.assert_array_equal(codes, [[1, 0, 0, 0]])
    np.testing.assert_array_equal(np.isnan(found.change_probability), [[False, True, True, True]])


def test_binary_projects_have_codes_and_no_land_use() -> None:
    found = decide(row(0.2, 0.5, 0.9, NAN), None, None, BINARY, 0.5)
    np.testing.assert_array_equal(found.change, [[1, 2, 2, 0]])
    np.testing.assert_allclose(found.change_probability, [[0.2, 0.5, 0.9, NAN]], rtol=1e-6)
    assert found.before is None
    assert found.after is None


def test_where_no_direction_can_be_named_the_pixel_is_unchanged_whatever_its_probability() -> None:
    same = pixels((0.2, 0.7, 0.1), (0.0, 0.0, 1.0))
    found = decide(row(0.9, 0.9), same, same, LEGEND, 0.5)
    np.testing.assert_array_equal(found.change, [[1, 1]])
    np.testing.assert_array_equal(found.after, [[CROP, TOWN]])
    np.testing.assert_allclose(found.change_probability, [[0.9, 0.9]], atol=1e-6)


def test_certain_heads_that_disagree_below_the_threshold_do_not_give_an_impossible_class() -> None:
    found = decide(row(0.1), pixels((0.0, 1.0, 0.0)), pixels((0.0, 0.0, 1.0)), LEGEND, 0.5)
    np.testing.assert_array_equal(found.before, [[CROP]])


@pytest.mark.parametrize(
    ("change", "before", "after", "legend"),
    [
        (None, None, None, BINARY),
        (row(0.5), pixels((1, 0, 0)), pixels((1, 0, 0)), BINARY),
        (row(0.5), None, None, LEGEND),
        (None, pixels((1, 0, 0))[:2], pixels((1, 0, 0))[:2], LEGEND),
        (row(0.5, 0.5), pixels((1, 0, 0)), pixels((1, 0, 0)), LEGEND),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    change: np.ndarray | None, before: np.ndarray | None, after: np.ndarray | None, legend: Legend
) -> None:
    with pytest.raises(ValueError, match="probabilit"):
        decide(change, before, after, legend, 0.5)


# Few values make ties common; zeros and ones are what a saturated softmax gives.
PROBABILITIES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, NAN])
STACKS = arrays(np.float32, (3, 4, 5), elements=PROBABILITIES)
HEADS = st.none() | arrays(np.float32, (4, 5), elements=PROBABILITIES)


@given(HEADS, STACKS, STACKS)
@settings(deadline=None)
def test_swapping_the_dates_swaps_from_and_to_exactly(head: np.ndarray | None, before: np.ndarray, after: np.ndarray) -> None:
    forth, back = decide(head, before, after, LEGEND, 0.5), decide(head, after, before, LEGEND, 0.5)
    np.testing.assert_array_equal(forth.before, back.after)
    np.testing.assert_array_equal(forth.after, back.before)
    np.testing.assert_array_equal(forth.change_probability, back.change_probability)


@given(HEADS, STACKS, STACKS)
@settings(deadline=None)
def test_a_pixel_is_changed_if_and_only_if_its_codes_differ(
    head: np.ndarray | None, before: np.ndarray, after: np.ndarray
) -> None:
    found = decide(head, before, after, LEGEND, 0.5)
    assert found.before is not None
    assert found.after is not None
    np.testing.assert_array_equal(found.change >= 2, found.before != found.after)
    np.testing.assert_array_equal(found.change, LEGEND.change_lookup()[found.before, found.after])
    np.testing.assert_array_equal(found.change == 0, np.isnan(found.change_probability))
    np.testing.assert_array_equal(found.change == 0, found.before == 0)


@given(STACKS, STACKS)
@settings(deadline=None)
def test_the_pair_is_the_most_probable_one(before: np.ndarray, after: np.ndarray) -> None:
    before, after = np.nan_to_num(before), np.nan_to_num(after)
    found = decide(np.ones((4, 5), np.float32), before, after, LEGEND, 0.5)
    joint = before[:, np.newaxis] * after[np.newaxis]
    joint[np.arange(3), np.arange(3)] = -1
    index = {c.code: k for k, c in enumerate(LEGEND.classes)}
    for y, x in np.argwhere(found.change >= 2):
        i, j = index[int(found.before[y, x])], index[int(found.after[y, x])]  # type: ignore[index]
        assert joint[i, j, y, x] == joint[:, :, y, x].max()


def dropped(change: np.ndarray, least: int, strip: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, land use before and after once small patches are dropped, some rows at a time.

    Forest everywhere before; after, cropland for code 2 and town for code 3.
    """
    before = np.where(change == 0, 0, FOREST).astype(np.uint8)
    layers = change.copy(), before, np.choose(change, [0, FOREST, CROP, TOWN]).astype(np.uint8)
    small = divide_by_size(find_map_patches(change), least)[1]
    for top in range(0, len(change), strip):
        drop_small(small, top, *(layer[top : top + strip] for layer in layers))
    np.testing.assert_array_equal(before, np.where(change == 0, 0, FOREST))
    return layers


def test_patches_below_the_unit_become_unchanged_and_nothing_else() -> None:
    change, before, after = dropped(picture(
        "22.3 ",
        "2..33",
        ".2..3",
        "3222.",
    ), 4)  # fmt: skip
    np.testing.assert_array_equal(change, picture(
        "...3 ",
        "...33",
        ".2..3",
        ".222.",
    ))  # fmt: skip
    np.testing.assert_array_equal(change >= 2, before != after)


def test_dropping_works_without_land_use() -> None:
    change = picture("2..", "...")
    drop_small(divide_by_size(find_map_patches(change), 2)[1], 0, change, None, after=None)
    assert change.max() == 1


@given(arrays(np.uint8, (7, 6), elements=st.integers(0, 3)), st.integers(1, 9), st.integers(1, 7))
@settings(deadline=None)
def test_the_unit_holds_after_dropping_and_dropping_again_does_nothing(change: np.ndarray, least: int, strip: int) -> None:
    once, _, _ = dropped(change, least, strip)
    stays, small = divide_by_size(find_map_patches(once), least)
    assert (stays.pixel_count[stays.code >= 2] >= least).all()
    assert len(small) == 0
    np.testing.assert_array_equal(once == 0, change == 0)
    np.testing.assert_array_equal(once[once >= 2], change[once >= 2])
    # What stays is found without going through the map again.
    kept = divide_by_size(find_map_patches(change), least)[0]
    for field in fields(Patches):
        np.testing.assert_array_equal(getattr(kept, field.name), getattr(stays, field.name))


@pytest.mark.parametrize(
    ("area", "pixel", "expected"), [(0.5, 0.01, 50), (0.07, 0.01, 7), (0.5, 0.09, 6), (0.0, 0.01, 1), (0.001, 0.01, 1)]
)
def test_the_unit_in_pixels_is_the_fewest_that_reach_the_area(area: float, pixel: float, expected: int) -> None:
    assert min_patch_pixels(area, pixel) == expected
