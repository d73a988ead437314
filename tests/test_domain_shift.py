"""The distance from the training regions: 1 at their edge, without units, and the same after it was written down."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain_shift import DIMENSIONS, Shift, fit_shift
from pipeline.errors import InputError

laws = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**16)


def blocks(seed: int, n: int = 60, channels: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 4)) @ rng.normal(size=(4, channels)) + 0.1 * rng.normal(size=(n, channels))).astype(np.float32)


def test_two_channels_have_a_known_distance() -> None:
    """A cross of four blocks: by symmetry the distance grows in proportion, and its arms are the edge."""
    cross = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    shift = fit_shift(cross)
    np.testing.assert_allclose(shift.center, 0, atol=1e-12)
    np.testing.assert_allclose(shift.spread, np.sqrt(0.5))
    np.testing.assert_allclose(shift.ratio(cross), 1, atol=1e-6)
    np.testing.assert_allclose(shift.ratio(np.array([[0.0, 0], [3, 0], [0, -5]])), [0, 3, 5], atol=1e-6)


@laws
@given(seeds)
def test_most_of_the_training_lies_within_its_edge(seed: int) -> None:
    training = blocks(seed)
    ratio = fit_shift(training).ratio(training)
    assert 0.9 <= (ratio <= 1).mean() <= 0.97
    assert (ratio >= 0).all()


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


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_blocks_are_refused(n: int) -> None:
    with pytest.raises(InputError, match=f"{n} observed blocks hold training labels; at least 3"):
        fit_shift(np.concatenate([blocks(0)[:n], np.full((3, 12), np.nan)]))


def test_a_channel_that_never_varies_puts_nothing_infinitely_far() -> None:
    training = np.column_stack([blocks(0), np.full(60, 0.25)])
    other = training.copy()
    other[:, -1] = 0.26
    ratio = fit_shift(training).ratio(other)
    assert np.isfinite(ratio).all()
    assert ratio.max() < 5


def test_few_components_for_few_blocks() -> None:
    assert len(fit_shift(blocks(0)[:4]).components) == 3
    assert len(fit_shift(blocks(0)).components) == DIMENSIONS


@laws
@given(seeds, st.sampled_from([1.0, 1e-5, 1e-7]))
def test_what_was_written_down_is_read_again(seed: int, magnitude: float) -> None:
    """Some channels of a network hardly vary; their spread is far below 1."""
    training, other = blocks(seed), blocks(seed + 1)
    training[:, 3] *= magnitude
    other[:, 3] *= magnitude
    shift = fit_shift(training)
    again = Shift.from_dict(json.loads(json.dumps(shift.as_dict())))
    np.testing.assert_allclose(again.ratio(other), shift.ratio(other), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "damage",
    [{"edge": 0.0}, {"edge": "far"}, {"spread": [0.0] * 12}, {"center": [1.0]}, {"components": [[1.0, 2.0]]}, {"center": None}],
)
def test_a_damaged_record_is_refused(damage: dict) -> None:
    with pytest.raises(InputError, match="damaged"):
        Shift.from_dict(fit_shift(blocks(0)).as_dict() | damage)
    with pytest.raises(InputError, match="damaged"):
        Shift.from_dict({})
