"""Temperature, threshold and calibration error have their known values; a model with one answer is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.accuracy import binary_scores
from pipeline.calibration import (
    always_unchanged,
    best_threshold,
    cooled,
    cooled_classes,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from pipeline.errors import InputError


def test_temperature_of_a_model_that_is_too_sure() -> None:
    """A gap of 4 should mean an accuracy of 0.982; it is 0.8, which is a gap of ln 4."""
    truth = np.array([1] * 8 + [0] * 2)
    expected = 4 / np.log(4)  # 2.8853901
    assert fit_temperature(np.full(10, 4.0), truth) == pytest.approx(expected, abs=1e-6)
    two = np.stack([np.full(10, 1.0), np.full(10, 5.0)], axis=1)
    assert fit_temperature(two, truth) == pytest.approx(expected, abs=1e-6)


def test_temperature_leaves_out_what_is_not_labelled_or_not_observed() -> None:
    logits = np.array([4.0] * 10 + [np.nan, -9.0])
    truth = np.array([1] * 8 + [0] * 2 + [0, 255])
    assert fit_temperature(logits, truth) == pytest.approx(2.8853901, abs=1e-6)


def test_temperature_stays_finite_without_errors() -> None:
    assert 0.05 <= fit_temperature(np.array([-3.0, 3.0]), np.array([0, 1])) < 0.051


def test_temperature_needs_labels_that_fit() -> None:
    with pytest.raises(InputError, match="No validation pixel"):
        fit_temperature(np.zeros(2), np.array([255, 255]))
    with pytest.raises(ValueError, match="classes 0 to 1"):
        fit_temperature(np.zeros((2, 2)), np.array([0, 2]))
    with pytest.raises(ValueError, match="expected"):
        fit_temperature(np.zeros((2, 2)), np.array([0]))


@settings(deadline=None, max_examples=25)
@given(st.floats(0.2, 5.0), st.integers(0, 2**16))
def test_temperature_scales_with_the_logits(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, 200)
    truth = (rng.random(200) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    once = fit_temperature(logits, truth)
    if 0.3 < once < 3:
        assert fit_temperature(factor * logits, truth) == pytest.approx(factor * once, rel=1e-3)


def test_threshold_is_the_middle_of_the_gap() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.4)


def test_threshold_takes_the_widest_of_equal_stretches() -> None:
    # F1 is 2/3 above 0.1 (2 of 2 changed, 2 false) and above 0.8 (1 of 2, none false).
    probability = np.array([0.05, 0.1, 0.2, 0.8, 0.3, 0.9])
    truth = np.array([0, 0, 1, 0, 0, 1])
    f1 = [binary_scores(truth, probability, t).f1 for t in (0.15, 0.25, 0.85)]
    assert f1 == [pytest.approx(2 / 3), pytest.approx(0.4), pytest.approx(2 / 3)]
    assert best_threshold(probability, truth) == pytest.approx(0.15)


def test_threshold_between_neighbouring_numbers_keeps_them_apart() -> None:
    low = np.float32(0.5)
    probability = np.array([low, np.nextafter(low, np.float32(1))], dtype=np.float32)
    assert (probability >= best_threshold(probability, np.array([0, 1]))).tolist() == [False, True]


def test_threshold_needs_both_labels() -> None:
    with pytest.raises(InputError, match="0 changed and 2 unchanged"):
        best_threshold(np.array([0.1, 0.2]), np.array([0, 0]))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=30).filter(
        lambda rows: 0 < sum(r[1] for r in rows) < len(rows)
    ),
    st.sampled_from([np.float32, np.float64]),
)
def test_no_other_threshold_has_a_higher_f1(rows: list[tuple[float, bool]], dtype: type[np.floating]) -> None:
    probability = np.array([r[0] for r in rows], dtype=dtype)
    truth = np.array([r[1] for r in rows], dtype=np.uint8)
    chosen = binary_scores(truth, probability, best_threshold(probability, truth)).f1
    others = [binary_scores(truth, probability, float(p)).f1 for p in probability]
    assert chosen == pytest.approx(max(f for f in others if f is not None))


def test_calibration_error_of_a_worked_example() -> None:
    p, y = np.array([0.25, 0.25, 0.55, 0.75, 0.75]), np.array([0, 0, 1, 1, 1])
    assert expected_calibration_error(p, y, 2, equal_mass=False) == pytest.approx(0.29)


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
    assert expected_calibration_error(np.array([np.nan]), np.array([1])) is None
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
    error = expected_calibration_error(p, y, bins, equal_mass=equal_mass)
    assert error is not None
    assert -1e-9 <= error <= 1 + 1e-9


def test_a_model_with_one_answer_is_named() -> None:
    truth = np.array([0, 0, 0, 1, 255])
    sentence = always_unchanged(np.full(5, 0.1), truth, 0.5)
    assert sentence is not None
    assert "'unchanged' (nearly) everywhere" in sentence
    other = always_unchanged(np.full(5, 0.9), truth, 0.5)
    assert other is not None
    assert "'changed' (nearly) everywhere" in other


def test_a_model_with_both_answers_is_not() -> None:
    assert always_unchanged(np.array([0.1, 0.9]), np.array([0, 1]), 0.5) is None
    assert always_unchanged(np.array([0.1, 0.1]), np.array([0, 0]), 0.5) is None


def test_cooling_keeps_the_order_and_softens() -> None:
    probability = np.array([0.01, 0.5, 0.9, np.nan], np.float32)
    soft = cooled(probability, 2.0)
    np.testing.assert_allclose(soft[:3], [1 / (1 + np.sqrt(99)), 0.5, 0.75], rtol=1e-6)
    assert np.isnan(soft[3])
    np.testing.assert_allclose(cooled(probability, 1.0), probability, rtol=1e-6)


def test_cooled_classes_still_add_up() -> None:
    share = np.array([[0.64, 1.0], [0.32, 0.0], [0.04, 0.0]], np.float32)[:, None]
    soft = cooled_classes(share, 2.0)
    np.testing.assert_allclose(soft.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(soft[0, 0, 0] / soft[2, 0, 0], 4, rtol=1e-5)
