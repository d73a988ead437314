"""Regions divide the labels into parts of equal weight; a fold tests exactly what it holds out, and stays apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import Regions, fold_roles, random_roles, regions_of, with_fewer_labels
from landshift.pipeline.labels.search import TEST, TRAIN, VALIDATION

NONE = 255
laws = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**16)
ROLES = (TRAIN, VALIDATION, TEST)


def labelled(change: np.ndarray, region: np.ndarray | None = None, names: tuple[str, ...] = ()) -> Labels:
    empty = np.full(change.shape, NONE, dtype=np.uint8)
    return Labels(empty, empty, change.astype(np.uint8), None if region is None else region.astype(np.int16), names)


def scattered(seed: int, shape: tuple[int, int] = (48, 36), known: float = 0.6, changed: float = 0.3) -> Labels:
    """Every pixel is labelled, or not, by chance."""
    rng = np.random.default_rng(seed)
    change = (rng.random(shape) < changed).astype(np.uint8)
    change[rng.random(shape) >= known] = NONE
    return labelled(change)


def weights(labels: Labels) -> np.ndarray:
    """Return the share that each pixel has of the changed, or of the unchanged, labels."""
    out = np.zeros(labels.change.shape)
    for value in (0, 1):
        known = labels.change == value
        out[known] = 1 / known.sum()
    return out


def test_a_checkerboard_is_cut_in_the_middle_of_its_longer_side() -> None:
    change = np.indices((8, 4)).sum(axis=0) % 2
    halves = regions_of(labelled(change), count=2, min_pixels=1)
    assert halves.names == ("region 1", "region 2")
    np.testing.assert_array_equal(halves.index, np.repeat([0, 1], 4)[:, None] * np.ones((1, 4)))
    quarters = regions_of(labelled(change), count=4, min_pixels=1)
    np.testing.assert_array_equal(quarters.index[:, 0], np.repeat([0, 1, 2, 3], 2))
    assert quarters.fold == (0, 1, 2, 3)
    assert quarters.folds == 4
    assert "cut into 4 parts" in quarters.notes[0]


def test_the_extent_of_the_labels_decides_the_side_not_that_of_the_scene() -> None:
    """Labels in one corner, wider than high, in a scene that is higher than wide."""
    change = np.full((60, 40), NONE, dtype=np.uint8)
    change[:4, :12] = np.indices((4, 12)).sum(axis=0) % 2
    index = regions_of(labelled(change), count=2, min_pixels=1).index
    assert (index[:4, :12] == index[0, :12]).all(), "cut across the columns"
    assert (index[0, :12] == 0).sum() in (5, 6, 7)
    assert (index[:, 12:] == -1).all()
    assert (index[4:] == -1).all()


@laws
@given(seeds, st.integers(2, 6))
def test_the_parts_are_rectangles_that_hold_every_labelled_pixel_once_at_equal_weight(seed: int, count: int) -> None:
    labels = scattered(seed)
    regions = regions_of(labels, count=count, min_pixels=1)
    np.testing.assert_array_equal(regions.index >= 0, labels.change != NONE)
    assert sorted(set(regions.index[regions.index >= 0])) == list(range(len(regions.names))) == list(range(count))
    weight = weights(labels)
    # A cut falls between two lines, so that it is off by one line's weight at most.
    line = max(weight.sum(axis=0).max(), weight.sum(axis=1).max())
    for part in range(count):
        assert abs(weight[regions.index == part].sum() - 2 / count) <= 2 * line
        y, x = np.nonzero(regions.index == part)
        inside = regions.index[y.min() : y.max() + 1, x.min() : x.max() + 1]
        assert set(np.unique(inside)) <= {-1, part}


def test_fewer_parts_where_one_could_not_be_judged() -> None:
    """Change lies in two corners only: a third part would have none."""
    change = np.zeros((40, 10), dtype=np.uint8)
    change[:5], change[-5:] = 1, 1
    assert len(regions_of(labelled(change), count=2, min_pixels=20).names) == 2
    many = regions_of(labelled(change), count=8, min_pixels=30)
    assert 1 < many.folds < 8
    for part in range(many.folds):
        for value in (0, 1):
            assert (change[many.index == part] == value).sum() >= 30


@pytest.mark.parametrize("change", [np.zeros((20, 20)), np.eye(20)])
def test_one_region_makes_no_regional_claim(change: np.ndarray) -> None:
    regions = regions_of(labelled(change), min_pixels=50)
    assert regions.names == ("the whole territory",)
    assert regions.folds == 1
    assert "50 changed and 50 unchanged" in regions.notes[0]
    assert regions.notes[0].endswith("no regional claim can be made.")
    with pytest.raises(ValueError, match="One fold only"):
        fold_roles(regions, labelled(change), 0, 0)


def named(sizes: dict[str, int], spoilt: tuple[str, ...] = ()) -> Labels:
    """Rows of regions, each with as many changed as unchanged pixels; a spoilt one has no change."""
    width = max(sizes.values())
    change = np.full((2 * len(sizes), width), NONE, dtype=np.uint8)
    region = np.full(change.shape, -1)
    for k, (name, size) in enumerate(sizes.items()):
        change[2 * k, :size], change[2 * k + 1, :size] = 0, 0 if name in spoilt else 1
        region[2 * k : 2 * k + 2, :size] = k
    return labelled(change, region, tuple(sizes))


def test_regions_that_the_labels_name_go_first_and_share_folds_evenly() -> None:
    labels = named({"a": 50, "b": 30, "c": 20, "d": 10})
    regions = regions_of(labels, count=2, min_pixels=10)
    assert regions.names == ("a", "b", "c", "d")
    # The largest first, each to the lightest fold: 50 + 10 against 30 + 20.
    assert regions.fold == (0, 1, 1, 0)
    assert regions.names_of(0) == ("a", "d")
    assert regions.names_of(1) == ("b", "c")
    np.testing.assert_array_equal(regions.index, labels.region)
    assert "a, b, c, d" in regions.notes[0]
    assert regions_of(labels, count=9, min_pixels=10).folds == 4


def test_named_regions_that_cannot_be_judged_are_left_out_by_name() -> None:
    regions = regions_of(named({"a": 50, "b": 9, "c": 50, "d": 40}, spoilt=("d",)), count=4, min_pixels=10)
    assert regions.names == ("a", "c")
    assert "b, d" in regions.notes[1]
    assert "Label more" in regions.notes[1]
    assert set(np.unique(regions.index)) == {-1, 0, 1}
    single = regions_of(named({"a": 50, "b": 2}), count=2, min_pixels=10)
    assert single.names == ("region 1", "region 2"), "with one that can be judged the territory is cut"


@laws
@given(seeds, st.integers(2, 5), st.integers(0, 4))
def test_every_fold_tests_exactly_its_regions_and_keeps_its_distance(seed: int, count: int, buffer: int) -> None:
    labels = scattered(seed)
    regions = regions_of(labels, count=count, min_pixels=1)
    tested = np.zeros(labels.change.shape, dtype=int)
    for fold in range(regions.folds):
        role = fold_roles(regions, labels, fold, buffer)
        held_out = [regions.names.index(name) for name in regions.names_of(fold)]
        np.testing.assert_array_equal(role == TEST, np.isin(regions.index, held_out))
        assert set(np.unique(role)) <= {*ROLES, NONE}
        assert (role[labels.change == NONE] == NONE).all()
        for strong in (TEST, VALIDATION):
            near = maximum_filter(role == strong, size=2 * buffer + 1)
            assert not (near & (role < strong)).any()
        without = fold_roles(regions, labels, fold, 0)
        assert (without[labels.change != NONE] != NONE).all(), "without a buffer nothing is lost"
        assert set(np.unique(without[labels.change != NONE])) == set(ROLES)
        tested += role == TEST
    np.testing.assert_array_equal(tested, labels.change != NONE)


def test_the_next_fold_validates_and_of_two_folds_a_third_of_the_other() -> None:
    labels = labelled(np.indices((24, 4)).sum(axis=0) % 2)
    thirds, halves = (regions_of(labels, count=count, min_pixels=1) for count in (3, 2))
    for fold in range(3):
        role = fold_roles(thirds, labels, fold, 0)
        np.testing.assert_array_equal(role == VALIDATION, thirds.index == (fold + 1) % 3)
    role = fold_roles(halves, labels, 0, 0)
    assert [int((role == r).sum()) for r in ROLES] == [32, 16, 48]
    assert set(labels.change[role == VALIDATION]) == {0, 1}


@laws
@given(seeds)
def test_random_roles_have_their_shares(seed: int) -> None:
    known = np.random.default_rng(seed + 1).random((60, 60)) < 0.7
    role = random_roles(known, (0.6, 0.2, 0.2), seed)
    np.testing.assert_array_equal(role == NONE, ~known)
    shares = [(role == r).sum() / known.sum() for r in ROLES]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.05)
    np.testing.assert_array_equal(role, random_roles(known, (0.6, 0.2, 0.2), seed))


def rolled(seed: int) -> tuple[Labels, np.ndarray]:
    labels = scattered(seed, known=0.9, changed=0.05)
    return labels, random_roles(labels.labelled, (0.5, 0.2, 0.3), seed)


@laws
@given(seeds, st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)))
def test_a_smaller_share_is_part_of_a_larger_one_and_the_test_stays_whole(seed: int, pair: tuple[float, float]) -> None:
    labels, role = rolled(seed)
    less, more = (with_fewer_labels(role, labels, share, seed) for share in sorted(pair))
    np.testing.assert_array_equal(less == TEST, role == TEST)
    for one, other in ((less, more), (more, role)):
        kept = one != NONE
        np.testing.assert_array_equal(one[kept], other[kept])


@laws
@given(seeds, st.sampled_from([0.1, 0.25, 0.5]))
def test_the_share_is_that_of_the_squares_with_and_without_change(seed: int, share: float) -> None:
    labels, role = rolled(seed)
    out = with_fewer_labels(role, labels, share, seed)

    def cells(chosen: np.ndarray) -> set[tuple[int, int]]:
        return {(int(y) // 4, int(x) // 4) for y, x in np.argwhere(chosen)}

    for part in (TRAIN, VALIDATION):
        changed = cells((role == part) & (labels.change == 1))
        plain = cells(role == part) - changed
        kept = cells(out == part)
        for stratum in (changed, plain):
            expected = max(round(share * len(stratum)), 1) if stratum else 0
            assert len(kept & stratum) == expected
        # A square is kept whole or not at all.
        assert not kept & cells((role == part) & (out == NONE))


def test_all_the_labels_are_all_the_labels() -> None:
    labels, role = rolled(0)
    assert with_fewer_labels(role, labels, 1.0) is role
    assert not np.array_equal(with_fewer_labels(role, labels, 0.2, 0), with_fewer_labels(role, labels, 0.2, 1))


def test_the_hash_is_that_of_the_division() -> None:
    index = np.array([[0, 1], [1, -1]], dtype=np.int16)
    hashed = Regions(index, ("a", "b"), (0, 1)).hash
    assert hashed == Regions(index.copy(), ("a", "b"), (0, 1), ("a note changes nothing",)).hash
    others = [
        Regions(index[::-1].copy(), ("a", "b"), (0, 1)), Regions(index, ("a", "c"), (0, 1)), Regions(index, ("a", "b"), (0, 0)),
        regions_of(scattered(0), count=2, min_pixels=1), regions_of(scattered(1), count=2, min_pixels=1),
    ]  # fmt: skip
    assert len({hashed, *(r.hash for r in others)}) == 1 + len(others)
