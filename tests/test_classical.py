"""Classical change detection finds a change that was put there, whatever the gain and offset of the second date."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from landshift.pipeline.epochs import classical
from landshift.pipeline.epochs.classical import (
    fit_change_vector,
    fit_ir_mad,
    otsu_threshold,
    sample_pixels,
)
from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.accuracy import binary_scores


def change_vector(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return fit_change_vector(*sample_pixels(before, after)).apply(before, after)


def ir_mad(before: np.ndarray, after: np.ndarray, iterations: int = 50) -> np.ndarray:
    return fit_ir_mad(*sample_pixels(before, after), iterations=iterations).apply(before, after)


METHODS = {"change vector": change_vector, "IR-MAD": lambda before, after: np.sqrt(ir_mad(before, after))}


def pair(seed: int = 0, *, change: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two dates (3, 60, 50) of one scene under different light, with a changed rectangle near the upper left corner."""
    rng = np.random.default_rng(seed)
    mixing = np.array([[1.0, 0.3, 0.1], [0.2, 1.0, 0.4], [0.0, 0.5, 1.0]])
    scene = np.tensordot(mixing, rng.normal(0, 1, (3, 60, 50)), axes=(1, 0))
    noise = rng.normal(0, 0.1, (3, 60, 50))
    truth = np.zeros((60, 50), dtype=np.uint8)
    after = 1.7 * scene + 5 + noise
    if change:
        truth[5:17, 3:23] = 1
        after[:, 5:17, 3:23] += np.array([9.0, -9.0, 9.0])[:, None, None]
    return scene.astype(np.float32), after.astype(np.float32), truth


@pytest.mark.parametrize("method", METHODS)
def test_the_change_that_was_put_there_is_found(method: str) -> None:
    before, after, truth = pair()
    score = METHODS[method](before, after)
    assert score.shape == truth.shape
    assert score.dtype == np.float32
    scores = binary_scores(truth, score, otsu_threshold(score))
    assert scores.kappa is not None
    assert scores.kappa > 0.95


def test_unchanged_pixels_follow_the_chi_square_distribution() -> None:
    before, after, _ = pair(change=False)
    statistic = ir_mad(before, after, iterations=1)
    assert statistic.mean() == pytest.approx(3, rel=0.05)
    assert (statistic > chi2.ppf(0.9, 3)).mean() == pytest.approx(0.1, abs=0.02)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.1, 10), st.floats(-100, 100))
def test_gain_and_offset_of_a_date_do_not_matter(gain: float, offset: float) -> None:
    before, after, _ = pair()
    other = gain * after.astype(np.float64) + offset
    np.testing.assert_allclose(change_vector(before, other), change_vector(before, after), rtol=1e-2)
    np.testing.assert_allclose(ir_mad(before, other), ir_mad(before, after), rtol=2e-2, atol=1e-3)


@settings(deadline=None, max_examples=5)
@given(st.permutations([0, 1, 2]))
def test_the_order_of_bands_does_not_matter(order: list[int]) -> None:
    before, after, _ = pair()
    np.testing.assert_allclose(ir_mad(before[order], after[order]), ir_mad(before, after), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_pixels_that_are_not_observed_stay_nan_and_spoil_nothing(method: str) -> None:
    before, after, _ = pair()
    before[1, 40:, :] = np.nan
    after[0, :, 45:] = np.nan
    hidden = np.zeros((60, 50), dtype=bool)
    hidden[40:] = True
    hidden[:, 45:] = True
    score = METHODS[method](before, after)
    np.testing.assert_array_equal(np.isnan(score), hidden)
    np.testing.assert_allclose(score[:40, :45], METHODS[method](before[:, :40, :45], after[:, :40, :45]), rtol=1e-4)


def test_a_tile_gets_the_values_of_the_whole() -> None:
    before, after, _ = pair()
    samples = sample_pixels(before, after)
    assert fit_ir_mad(*samples).converged
    tile = (slice(None), slice(10, 30), slice(20, 50))
    for fitted in (fit_change_vector(*samples), fit_ir_mad(*samples)):
        np.testing.assert_allclose(fitted.apply(before[tile], after[tile]), fitted.apply(before, after)[tile[1:]], rtol=1e-5)


def test_one_image_twice_has_no_change() -> None:
    before = pair()[0]
    np.testing.assert_allclose(ir_mad(before, before), 0, atol=1e-3)
    with pytest.raises(InputError, match="are the two dates the same image"):
        otsu_threshold(change_vector(before, before))


def test_a_band_that_repeats_another_is_bearable() -> None:
    before, after, truth = pair()
    score = METHODS["IR-MAD"](np.concatenate([before, before[:1]]), np.concatenate([after, after[:1]]))
    scores = binary_scores(truth, score, otsu_threshold(score))
    assert scores.kappa is not None
    assert scores.kappa > 0.95


def test_samples_are_observed_pairs_and_repeat() -> None:
    before, after, _ = pair()
    before[0, 0, 0] = np.nan
    b, a = sample_pixels(before, after, limit=100, seed=1)
    assert b.shape == a.shape == (100, 3)
    assert np.isfinite(b).all()
    np.testing.assert_array_equal(b, sample_pixels(before, after, limit=100, seed=1)[0])
    everything = sample_pixels(before, after)[1]
    assert everything.shape == (2999, 3)
    np.testing.assert_allclose(everything[0], after[:, 0, 1])


def test_what_cannot_be_used_is_refused() -> None:
    before, after, _ = pair()
    with pytest.raises(InputError, match="same bands and grid"):
        change_vector(before, after[:2])
    with pytest.raises(InputError, match="0 pixels are observed"):
        ir_mad(before, np.full_like(after, np.nan))
    after[1] = 7
    with pytest.raises(InputError, match="Band 2 is the same in every pixel after"):
        ir_mad(before, after)


@given(st.integers(1, 300), st.lists(st.floats(0, 1e12), min_size=1, max_size=20))
def test_the_share_above_is_that_of_the_chi_square_distribution(freedom: int, statistic: list[float]) -> None:
    found = classical._share_above(np.array(statistic), freedom)
    np.testing.assert_allclose(found, chi2.sf(statistic, freedom), rtol=1e-9, atol=1e-200)
