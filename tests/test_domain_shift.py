"""The distance from the training regions: 1 at their edge, without units, and the same after it was written down."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.models.transfer.shift import DIMENSIONS, FEWEST_BLOCKS, Shift, fit_shift
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of, record_of

laws = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**16)


def blocks(seed: int, n: int = 60, channels: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 4)) @ rng.normal(size=(4, channels)) + 0.1 * rng.normal(size=(n, channels))).astype(np.float32)


def test_two_channels_have_a_known_distance() -> None:
    """A cross of twelve blocks: by symmetry the distance grows in proportion, and only its arms are as far out as its edge."""
    cross = np.repeat(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), 3, axis=0)
    shift = fit_shift(cross)
    np.testing.assert_allclose(shift.views[0].center, 0, atol=1e-12)
    np.testing.assert_allclose(shift.views[0].spread, np.sqrt(0.5))
    ratio = shift.ratio(np.array([[0.0, 0], [1, 0], [0, -1], [3, 0], [0, -5]]))
    np.testing.assert_allclose(ratio / ratio[1], [0, 1, 1, 3, 5], atol=1e-6)
    assert 0.5 < ratio[1] < 1, "a block that was left out lies further from the others than from a domain that it is part of"


@laws
@given(seeds)
def test_most_of_the_training_lies_within_its_edge(seed: int) -> None:
    training = blocks(seed)
    ratio = fit_shift(training).ratio(training)
    assert (ratio <= 1).mean() >= 0.93, "the edge is that of blocks that were left out, so it is not nearer"
    assert (ratio >= 0).all()


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize(("directions", "channels"), [(4, 12), (12, 200)])
def test_new_blocks_of_the_same_ground_lie_beyond_the_edge_one_time_in_twenty(n: int, directions: int, channels: int) -> None:
    """Against an edge measured on the very blocks that the domain was fitted on it would be far more of them."""
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ground = rng.normal(size=(directions, channels))

        def drawn(count: int, rng: np.random.Generator = rng, ground: np.ndarray = ground) -> np.ndarray:
            return rng.normal(size=(count, len(ground))) @ ground + 0.1 * rng.normal(size=(count, ground.shape[1]))

        shares.append((fit_shift(drawn(n)).ratio(drawn(200)) > 1).mean())
    assert 0.02 <= np.mean(shares) <= 0.09


@laws
@given(seeds, st.integers(10, 40), st.integers(2, 200))
def test_training_blocks_lie_within_their_own_edge_however_many_channels_there_are(seed: int, n: int, channels: int) -> None:
    """Chance alone: the components follow these few blocks, and a block that was left out hardly shows in them."""
    training = np.random.default_rng(seed).normal(size=(n, channels))
    assert (fit_shift(training).ratio(training) > 1 + 1e-6).sum() <= np.ceil(0.05 * (n - 1))


def test_other_ground_lies_beyond_the_edge() -> None:
    training = blocks(0, n=64)
    assert (fit_shift(training).ratio(blocks(0, n=64) + 10 * training.std(axis=0)) > 1).all()


@laws
@given(seeds, st.floats(0.01, 100), st.floats(-50, 50))
def test_units_of_the_features_do_not_matter(seed: int, factor: float, offset: float) -> None:
    training, other = blocks(seed).astype(np.float64), blocks(seed + 1).astype(np.float64)
    once = fit_shift(training).ratio(other)
    again = fit_shift(factor * training + offset).ratio(factor * other + offset)
    np.testing.assert_allclose(again, once, rtol=1e-3, atol=1e-4)


def test_further_out_is_further_away() -> None:
    training = blocks(0)
    shift, centre = fit_shift(training), training.mean(axis=0)
    ratio = shift.ratio(np.stack([centre + k * (training[0] - centre) for k in (0, 1, 2, 4)]))
    assert ratio[0] == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(ratio[2:] / ratio[1], [2, 4], rtol=1e-4)


def test_a_block_that_is_not_observed_has_no_distance() -> None:
    training = blocks(0)
    grid = np.stack([training[:6], training[6:12]])
    grid[1, 2, 5] = np.nan
    ratio = fit_shift(training).ratio(grid)
    assert ratio.shape == (2, 6)
    assert ratio.dtype == np.float32
    assert np.isnan(ratio[1, 2])
    assert np.isfinite(np.delete(ratio.ravel(), 8)).all()
    spoilt = np.concatenate([training, np.full((5, 12), np.nan)])
    np.testing.assert_allclose(fit_shift(spoilt).ratio(training), fit_shift(training).ratio(training))


@pytest.mark.parametrize("n", [0, 2, 9])
def test_too_few_blocks_are_refused(n: int) -> None:
    with pytest.raises(InputError, match=f"{n} observed blocks hold training labels; at least 10"):
        fit_shift(np.concatenate([blocks(0)[:n], np.full((3, 12), np.nan)]))


def test_the_fewest_blocks_are_enough() -> None:
    assert FEWEST_BLOCKS == 10
    shift = fit_shift(blocks(0)[:FEWEST_BLOCKS])
    assert np.isfinite(shift.ratio(blocks(0))).all()


def test_a_channel_that_never_varies_puts_nothing_infinitely_far() -> None:
    training = np.column_stack([blocks(0), np.full(60, 0.25)])
    other = training.copy()
    other[:, -1] = 0.26
    ratio = fit_shift(training).ratio(other)
    assert np.isfinite(ratio).all()
    assert ratio.max() < 5


def test_few_components_for_few_blocks() -> None:
    assert len(fit_shift(blocks(0)[:12]).views[0].components) == 4, "a third of the blocks"
    assert len(fit_shift(blocks(0)).views[0].components) == DIMENSIONS


@laws
@given(seeds, st.sampled_from([1.0, 1e-5, 1e-7]))
def test_what_was_written_down_is_read_again(seed: int, magnitude: float) -> None:
    """Some channels of a network hardly vary; their spread is far below 1."""
    training, other = blocks(seed), blocks(seed + 1)
    training[:, 3] *= magnitude
    other[:, 3] *= magnitude
    shift = fit_shift(training)
    again = record_of(Shift, json.loads(json.dumps(content_of(shift))), "shift")
    np.testing.assert_allclose(again.ratio(other), shift.ratio(other), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "damage",
    [{"spread": [0.0] * 12}, {"center": [1.0]}, {"components": [[1.0, 2.0]]}, {"center": None}, {"domain": None}],
)
def test_a_damaged_view_is_refused(damage: dict) -> None:
    content = content_of(fit_shift(blocks(0)))
    content["views"][0] |= damage
    with pytest.raises(InputError, match="damaged"):
        record_of(Shift, content, "shift")


@pytest.mark.parametrize("damage", [{"edges": [[0.0, 1.0]]}, {"edges": "far"}, {"edges": [[1.0, 1.0]] * 2}, {"views": []}])
def test_a_damaged_record_is_refused(damage: dict) -> None:
    with pytest.raises(InputError, match="damaged"):
        record_of(Shift, content_of(fit_shift(blocks(0))) | damage, "shift")
    with pytest.raises(InputError, match="damaged"):
        record_of(Shift, {}, "shift")


def test_ground_off_the_directions_of_the_training_lies_beyond_though_its_place_among_them_is_the_middle() -> None:
    """The training varies along eight axes, each of three equal channels; in the other ground two of these differ."""
    rng = np.random.default_rng(0)
    training = np.repeat(rng.normal(size=(60, 8)), 3, axis=1) + 0.05 * rng.normal(size=(60, 24))
    shift = fit_shift(training)
    beside = training.mean(axis=0) + np.concatenate([[0.8, -0.8], np.zeros(22)])
    within, left_over = shift.views[0].measure(beside[np.newaxis])[0] / shift.edges[0]
    assert within < 1
    assert left_over > 1
    assert shift.ratio(beside) == pytest.approx(left_over, rel=1e-4)


def test_each_view_has_edges_and_a_block_beyond_any_of_them_is_beyond() -> None:
    state, difference = blocks(0, n=80), np.abs(blocks(1, n=80, channels=5))
    shift = fit_shift(np.column_stack([state, difference]), [12, 5])
    assert [len(view.center) for view in shift.views] == [12, 5]
    assert (shift.ratio(np.column_stack([state, difference])) <= 1).mean() >= 0.93, "all distances together leave 5 %"
    assert (shift.ratio(np.column_stack([state, difference + 12])) > 1).all(), "the same ground, with another difference"
    assert (shift.ratio(np.column_stack([state + 12, difference])) > 1).all()
    with pytest.raises(ValueError, match="12 channels; the training regions have 17"):
        shift.ratio(state)


@pytest.mark.parametrize("n", [32, 64])
def test_four_distances_leave_one_new_block_in_twenty_beyond(n: int) -> None:
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ground = rng.normal(size=(12, 100))
        drawn = [rng.normal(size=(count, 12)) @ ground + 0.1 * rng.normal(size=(count, 100)) for count in (n, 200)]
        shares.append((fit_shift(drawn[0], [60, 40]).ratio(drawn[1]) > 1).mean())
    assert 0.02 <= np.mean(shares) <= 0.09
