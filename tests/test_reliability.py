"""Calibration error, its interval and the Brier score have their known values; bins hold every pixel."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from landshift.pipeline.scores.reliability import (
    CalibrationError,
    brier_score,
    calibration_error_interval,
    calibration_error_of,
    reliability,
)

P = np.array([0.25, 0.25, 0.55, 0.75, 0.75])
Y = np.array([0, 0, 1, 1, 1])


def test_calibration_error_of_a_worked_example() -> None:
    # Same width: 2/5 of |0.25 - 0| and 3/5 of |0.68333 - 1|. Same mass: 3/5 of |0.35 - 1/3| and 2/5 of |0.75 - 1|.
    assert calibration_error_of(P, Y, 2, equal_mass=False) == pytest.approx(0.29)
    assert calibration_error_of(P, Y, 2) == pytest.approx(0.11)


def test_reliability_bins_of_equal_mass_hold_about_the_same_number() -> None:
    p = np.array([0.01, 0.02, 0.03, 0.04, 0.5, 0.9, np.nan, 0.7])
    y = np.array([0, 0, 0, 1, 1, 1, 1, 255])
    table = reliability(p, y, 3)
    assert [b.count for b in table] == [2, 2, 2]
    assert table[1].mean_probability == pytest.approx(0.035)
    assert table[1].observed_share == 0.5


def test_reliability_of_equal_probabilities_is_one_bin() -> None:
    table = reliability(np.full(8, 0.25), np.array([0, 0, 0, 0, 0, 0, 1, 1]), 4)
    assert [(b.count, b.mean_probability, b.observed_share) for b in table] == [(8, 0.25, 0.25)]


def test_reliability_of_nothing_is_empty() -> None:
    assert reliability(np.array([np.nan]), np.array([1])) == ()
    assert calibration_error_of(np.array([np.nan]), np.array([1])) is None
    with pytest.raises(ValueError, match="at least 1 bin"):
        reliability(np.array([0.5]), np.array([1]), 0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=50), st.integers(1, 20), st.booleans())
def test_reliability_bins_hold_every_pixel(rows: list[tuple[float, int]], bins: int, equal_mass: bool) -> None:
    p, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    table = reliability(p, y, bins, equal_mass=equal_mass)
    assert sum(b.count for b in table) == len(rows)
    assert len(table) <= bins
    assert all(b.low - 1e-9 <= b.mean_probability <= b.high + 1e-9 for b in table)
    error = calibration_error_of(p, y, bins, equal_mass=equal_mass)
    assert error is not None
    assert -1e-9 <= error <= 1 + 1e-9


def test_brier_score_of_a_worked_example() -> None:
    assert brier_score(P, Y) == pytest.approx((2 * 0.0625 + 0.2025 + 2 * 0.0625) / 5)
    assert brier_score(np.append(P, [np.nan, 0.5]), np.append(Y, [1, 255])) == pytest.approx(brier_score(P, Y))
    assert brier_score(np.zeros(2), np.full(2, 255)) is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_brier_score_is_that_of_scikit_learn(rows: list[tuple[float, int]]) -> None:
    p, y = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assert brier_score(p, y) == pytest.approx(brier_score_loss(y, p, labels=[0, 1]))


def _sample(seed: int, groups: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are too sure by an amount that differs from group to group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    p = rng.random(groups * each)
    shift = rng.normal(0.1, 0.15, groups)[group]
    return p, (rng.random(p.size) < np.clip(p - shift, 0, 1)).astype(np.uint8), group


def test_interval_of_two_groups_holds_the_errors_of_each() -> None:
    """One bin: group 0 says 0.6 and sees 0.5, group 1 says 0.6 and sees 0. Draws give 0.1, 0.35 or 0.6."""
    p, y, group = np.full(4, 0.6), np.array([0, 1, 0, 0]), np.array([3, 3, 8, 8])
    found = calibration_error_interval(p, y, group, bins=1)
    assert found == CalibrationError(pytest.approx(0.35), pytest.approx(0.1), pytest.approx(0.6), 2, 0.95)


def test_interval_estimate_is_the_expected_calibration_error() -> None:
    p, y, group = _sample(0, 12, 40)
    for bins in (1, 4, 15):
        found = calibration_error_interval(p, y, group, bins=bins, replicates=10)
        assert found.estimate == pytest.approx(calibration_error_of(p, y, bins))


def test_interval_counts_groups_and_not_pixels() -> None:
    """Each pixel ten times over says nothing new: intervals from drawn pixels would shrink."""
    p, y, group = _sample(1, 20, 300)
    once = calibration_error_interval(p, y, group, bins=5)
    often = calibration_error_interval(*(np.repeat(a, 10) for a in (p, y, group)), bins=5)
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))
    each_its_own = calibration_error_interval(p, y, np.arange(p.size), bins=5)
    assert None not in (once.low, once.high, each_its_own.low, each_its_own.high)
    assert once.high - once.low > 2 * (each_its_own.high - each_its_own.low)  # type: ignore[operator]


def test_interval_grows_with_its_level_and_repeats_with_its_seed() -> None:
    p, y, group = _sample(2, 10, 30)
    narrow, wide = (calibration_error_interval(p, y, group, level=level, seed=4) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high  # type: ignore[operator]
    assert calibration_error_interval(p, y, group, level=0.5, seed=4) == narrow


def test_interval_needs_two_groups_with_known_pixels() -> None:
    one = calibration_error_interval(P, Y, np.zeros(5, int), bins=2)
    assert one == CalibrationError(pytest.approx(0.11), None, None, 1, 0.95)
    unlabelled = calibration_error_interval(np.append(P, 0.1), np.append(Y, 255), np.array([0] * 5 + [1]), bins=2)
    assert unlabelled == one
    none = calibration_error_interval(np.zeros(2), np.full(2, 255), np.zeros(2, int))
    assert none == CalibrationError(None, None, None, 0, 0.95)
    assert json.loads(json.dumps(asdict(one)))["groups"] == 1


def test_interval_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="expected the same shape"):
        calibration_error_interval(P, Y, np.zeros(4, int))
    with pytest.raises(ValueError, match="level between 0 and 1"):
        calibration_error_interval(P, Y, np.zeros(5, int), level=95)
    with pytest.raises(ValueError, match="at least 1 bin"):
        calibration_error_interval(P, Y, np.zeros(5, int), bins=0)
    with pytest.raises(ValueError, match="same shape"):
        brier_score(P, Y[:2])
