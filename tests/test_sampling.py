"""Samples have the sizes of the published example, and hold each pixel of a stratum with the same chance."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.sample.draw import allocate, draw

PIXELS = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}
ACCURACY = {1: 0.7, 2: 0.6, 3: 0.9, 4: 0.95}
COUNTS = st.dictionaries(st.integers(1, 30), st.integers(1, 5000), min_size=1, max_size=12)


def test_the_size_is_that_of_olofsson_2014_and_rare_strata_get_the_minimum_on_top() -> None:
    sizes = allocate(PIXELS, ACCURACY, size=None, target_standard_error=0.01, minimum=2)
    assert sizes == {1: 13, 2: 10, 3: 205, 4: 413}
    assert sum(sizes.values()) == 641
    lifted = allocate(PIXELS, ACCURACY, size=None, target_standard_error=0.01, minimum=50)
    assert lifted == {1: 50, 2: 50, 3: 205, 4: 413}


def test_a_given_size_is_the_whole_size() -> None:
    assert allocate({1: 600, 2: 300, 3: 100}, {}, size=100, minimum=2) == {1: 59, 2: 30, 3: 11}
    counts = {1: 970_000, **dict.fromkeys(range(2, 17), 2000)}
    sizes = allocate(counts, {}, size=320, minimum=50)
    assert sum(sizes.values()) == 320
    assert min(sizes.values()) >= 10, "half of it is for rare kinds"
    assert sizes[1] > 150
    with pytest.raises(InputError, match="32"):
        allocate(counts, {}, size=31)


def test_many_rare_changes_take_nothing_from_what_is_common() -> None:
    counts = {1: 970_000, **dict.fromkeys(range(2, 17), 2000)}
    accuracy = dict.fromkeys(counts, 0.95)
    alone = sum(allocate(counts, accuracy, size=None, minimum=2).values())
    sizes = allocate(counts, accuracy, size=None, minimum=50)
    assert sizes[1] == alone - 15 * 2
    assert set(sizes.values()) == {50, sizes[1]}


def test_a_tiny_stratum_is_sampled_whole_and_what_was_not_observed_never() -> None:
    assert allocate({0: 10**6, 1: 10**6, 7: 3, 9: 0}, {1: 0.95, 7: 0.7}, size=None, target_standard_error=0.02) == {
        1: 119,
        7: 3,
    }
    assert allocate({1: 40}, {1: 0.9}, size=1000) == {1: 40}


def test_a_certain_map_still_gets_the_minimum() -> None:
    assert allocate({1: 1000, 2: 1000}, {1: 1.0, 2: 1.0}, size=None) == {1: 50, 2: 50}


@settings(deadline=None)
@given(COUNTS, st.integers(24, 20_000), st.integers(2, 100))
def test_sizes_keep_their_promises(counts: dict[int, int], size: int, minimum: int) -> None:
    sizes = allocate(counts, {}, size=size, minimum=minimum)
    assert list(sizes) == sorted(counts)
    assert all(min(2, counts[c]) <= n <= counts[c] for c, n in sizes.items())
    assert sum(sizes.values()) == min(size, sum(counts.values()))
    larger = sorted(counts, key=lambda c: counts[c])
    assert all(sizes[a] <= sizes[b] + 1 for a, b in pairwise(larger))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_counts": {0: 5}}, "no observed pixel"),
        ({"minimum": 1}, "raise the minimum"),
        ({"size": 0}, "give at least"),
        ({"target_standard_error": 0.0}, "above 0"),
        ({"expected_accuracy": {1: 1.5}}, "expected 0 to 1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    given_all = {"pixel_counts": {1: 100}, "expected_accuracy": {1: 0.9}, "size": None, **change}
    with pytest.raises(InputError, match=message):
        allocate(**given_all)  # type: ignore[arg-type]


def test_a_code_without_expectation_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match=r"codes \[2\]"):
        allocate({1: 10, 2: 10}, {1: 0.9}, size=None)


MAP = np.array([[0, 1, 1, 2], [1, 1, 0, 2], [3, 1, 1, 1]], dtype=np.uint8)


def test_pixels_are_of_their_code_and_drawn_once() -> None:
    sample = draw(MAP, {1: 4, 2: 2, 3: 1}, seed=3)
    assert sample.rows.dtype == sample.columns.dtype == np.int64
    assert sorted(MAP[sample.rows, sample.columns].tolist()) == [1, 1, 1, 1, 2, 2, 3]
    assert len(set(zip(sample.rows.tolist(), sample.columns.tolist(), strict=True))) == 7


def test_the_same_seed_draws_the_same_pixels() -> None:
    one, same, other = (draw(MAP, {1: 4, 2: 1}, seed=s) for s in (5, 5, 6))
    assert one.rows.tolist() == same.rows.tolist()
    assert one.columns.tolist() == same.columns.tolist()
    assert (one.rows.tolist(), one.columns.tolist()) != (other.rows.tolist(), other.columns.tolist())
    assert one.rows is not same.rows


def test_every_pixel_of_a_stratum_is_equally_likely_and_order_tells_nothing() -> None:
    times, first = np.zeros(MAP.shape), 0
    for seed in range(2000):
        sample = draw(MAP, {1: 2, 2: 2}, seed=seed)
        times[sample.rows, sample.columns] += 1
        first += int(MAP[sample.rows[0], sample.columns[0]] == 1)
    of_one = times[MAP == 1] / 2000
    assert of_one == pytest.approx(np.full(7, 2 / 7), abs=0.04)
    assert times[MAP == 2].tolist() == [2000, 2000]
    assert times[(MAP == 0) | (MAP == 3)].sum() == 0
    assert first / 2000 == pytest.approx(0.5, abs=0.04)


def test_a_scene_is_sampled_in_the_memory_of_its_sample() -> None:
    codes = np.ones((3000, 4000), dtype=np.uint8)
    codes[100:140, 200:300] = 2
    codes[::3] = 0
    tracemalloc.start()
    sample = draw(codes, {1: 700, 2: 60}, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.bincount(codes[sample.rows, sample.columns]).tolist() == [0, 700, 60]
    assert peak < 20e6  # a table of 256 counts a row; a list of the positions of code 1 alone would take 64 MB


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="8 pixels of code 1 are wanted and the map has 7"):
        draw(MAP, {1: 8}, seed=0)
    with pytest.raises(InputError, match="leave code 0 out"):
        draw(MAP, {0: 1}, seed=0)
    with pytest.raises(InputError, match="seed is -1"):
        draw(MAP, {1: 1}, seed=-1)
    with pytest.raises(ValueError, match="expected uint8"):
        draw(MAP.astype(np.int64), {1: 1}, seed=0)
    assert draw(MAP, {}, seed=0).rows.tolist() == []
