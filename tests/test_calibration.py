"""Temperatures and threshold have their known values; a model with one answer is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.scores.calibration import (
    always_unchanged,
    best_threshold,
    check_temperature,
    cool,
    cool_classes,
    domain_temperatures,
    fit_temperature,
)


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


def _gap_of_four(right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of 4 and -4 in turn, of which so many are right and so many wrong; changed and unchanged as often."""
    sign = np.tile([1, -1], (right + wrong) // 2)
    truth = np.where(np.arange(right + wrong) < right, sign, -sign)
    return 4.0 * sign, (truth > 0).astype(np.uint8)


def test_each_domain_with_enough_labels_has_its_own_temperature() -> None:
    """A gap of 4 at an accuracy of 0.8 gives 4 / ln 4, at 0.9 gives 4 / ln 9; the few of domain 7 take the general one."""
    parts = [(0, *_gap_of_four(160, 40)), (2, *_gap_of_four(180, 20)), (7, *_gap_of_four(80, 20))]
    domain = np.concatenate([np.full(len(z), d) for d, z, _ in parts])
    logits, truth = np.concatenate([z for _, z, _ in parts]), np.concatenate([y for _, _, y in parts])
    general, own = domain_temperatures(logits, truth, domain)
    assert own == {0: pytest.approx(4 / np.log(4), abs=1e-6), 2: pytest.approx(4 / np.log(9), abs=1e-6)}
    assert general == pytest.approx(4 / np.log(420 / 80), abs=1e-6)


def test_a_domain_needs_both_labels_and_counts_only_what_is_labelled_and_observed() -> None:
    logits, truth = _gap_of_four(160, 40)
    domain = np.zeros(200, int)
    assert set(domain_temperatures(logits, truth, domain)[1]) == {0}
    assert domain_temperatures(np.where(np.arange(200) == 5, np.nan, logits), truth, domain)[1] == {}
    assert domain_temperatures(logits, np.where(np.arange(200) == 5, 255, truth), domain)[1] == {}
    few_changed = np.array([1] * 19 + [0] * 281)
    assert domain_temperatures(np.linspace(-1, 1, 300), few_changed, np.zeros(300, int))[1] == {}
    few_changed[19] = 1
    assert set(domain_temperatures(np.linspace(-1, 1, 300), few_changed, np.zeros(300, int))[1]) == {0}


def test_pixels_in_no_domain_count_for_the_general_temperature_alone() -> None:
    logits, truth = _gap_of_four(160, 40)
    general, own = domain_temperatures(logits, truth, np.full(200, -1))
    assert (general, own) == (pytest.approx(2.8853901, abs=1e-6), {})


def test_domains_must_fit_the_logits() -> None:
    with pytest.raises(ValueError, match=r"expected \(n,\) and \(n,\)"):
        domain_temperatures(np.zeros(3), np.zeros(3), np.zeros(2, int))
    with pytest.raises(InputError, match="No validation pixel"):
        domain_temperatures(np.zeros(2), np.full(2, 255), np.zeros(2, int))


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


def test_of_thresholds_that_do_as_well_the_one_nearest_to_a_half_is_taken() -> None:
    """Any of them separates 0.02 from 0.9; without a preference it is their middle."""
    assert best_threshold(np.array([0.01, 0.02, 0.9, 0.95]), np.array([0, 0, 1, 1]), near=0.5) == 0.5
    assert best_threshold(np.array([0.1, 0.2, 0.3]), np.array([0, 1, 1]), near=0.5) == pytest.approx(0.2)
    assert best_threshold(np.array([0.7, 0.8, 0.9]), np.array([0, 1, 1]), near=0.5) == pytest.approx(0.75)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), near=st.floats(0.01, 0.99))
def test_a_preferred_threshold_is_nearly_as_good_as_the_best_and_no_further_off(seed: int, near: float) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random(40).astype(np.float32)
    truth = (rng.random(40) < probability).astype(int)
    truth[:2] = 0, 1
    best, preferred = best_threshold(probability, truth), best_threshold(probability, truth, near=near)
    highest, found = (binary_scores(truth, probability, t).f1 for t in (best, preferred))
    assert found >= highest - 0.01 - 1e-9
    assert abs(preferred - near) <= abs(best - near) + 1e-6


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
    soft = cool(probability, 2.0)
    np.testing.assert_allclose(soft[:3], [1 / (1 + np.sqrt(99)), 0.5, 0.75], rtol=1e-6)
    assert np.isnan(soft[3])
    np.testing.assert_allclose(cool(probability, 1.0), probability, rtol=1e-6)


def test_cooled_classes_still_add_up() -> None:
    share = np.array([[0.64, 1.0], [0.32, 0.0], [0.04, 0.0]], np.float32)[:, None]
    soft = cool_classes(share, 2.0)
    np.testing.assert_allclose(soft.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(soft[0, 0, 0] / soft[2, 0, 0], 4, rtol=1e-5)


def blocks_of_gaps(rights: list[int], logit: float = 4.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks of 20 pixels with the same logit, of which so many are right."""
    truth = np.concatenate([np.repeat([1, 0], [right, 20 - right]) for right in rights])
    return np.full(truth.size, logit), truth.astype(np.uint8), np.repeat(np.arange(len(rights)), 20)


def test_a_temperature_is_kept_where_blocks_that_it_was_not_fitted_on_gain() -> None:
    """The model gives 0.982 and is right 16 times of 20 in every block: off by 0.182, and by nothing at 2.885."""
    found = check_temperature(*blocks_of_gaps([16] * 4))
    assert (found.kept, found.blocks) == (True, 4)
    assert found.temperature == found.fitted == pytest.approx(4 / np.log(4), abs=1e-6)
    assert found.error_without == pytest.approx(1 / (1 + np.exp(-4)) - 0.8, abs=1e-9)
    assert found.error_with == pytest.approx(0, abs=1e-6)


def test_a_temperature_that_holds_only_where_it_was_fitted_is_not_kept() -> None:
    """Logit ln 4 is right as it is over both blocks; each block alone would shift the other one away from it."""
    logits, truth, block = blocks_of_gaps([12, 20], np.log(4))
    found = check_temperature(logits, truth, block)
    assert found.error_without == pytest.approx(0, abs=1e-9)
    assert found.error_with is not None
    assert found.error_with > 0.1
    assert (found.kept, found.temperature) == (False, 1.0)


def test_one_block_leaves_the_temperature_at_one() -> None:
    found = check_temperature(*blocks_of_gaps([16]))
    assert (found.kept, found.temperature, found.error_without, found.error_with, found.blocks) == (False, 1.0, None, None, 1)
    assert found.fitted == pytest.approx(4 / np.log(4), abs=1e-6), "what it would have been is in the record"


def test_temperatures_of_classes_are_judged_by_the_most_probable_one() -> None:
    logits, truth, block = blocks_of_gaps([16] * 3)
    two = np.stack([np.zeros_like(logits), logits], axis=1)
    found = check_temperature(two, truth, block)
    assert (found.kept, found.fitted) == (True, pytest.approx(4 / np.log(4), abs=1e-6))
    assert found.error_without == pytest.approx(1 / (1 + np.exp(-4)) - 0.8, abs=1e-9)


def test_what_is_not_labelled_or_not_observed_has_no_block() -> None:
    logits, truth, block = blocks_of_gaps([16, 16])
    more = (np.append(logits, [np.nan, 9.0]), np.append(truth, [1, 255]), np.append(block, [7, 8]))
    assert check_temperature(*more) == check_temperature(logits, truth, block)
    with pytest.raises(ValueError, match="expected"):
        check_temperature(logits, truth, block[1:])
