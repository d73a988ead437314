"""Transferability scores have the values of their papers' formulas, and obey the laws that these imply."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge

from landshift.models.transfer.scores import SCORES, gbc, h_score, leep, log_me, nce, reduce, standardise, trans_rate
from landshift.pipeline.errors import InputError

ROW, COLUMN = np.arange(60)[:, None], np.arange(5)[None]
LABELS = np.arange(60) % 3
FEATURES = (
    np.sin(0.7 * (ROW + 1) * (COLUMN + 1)) + 0.5 * np.cos(1.3 * (ROW + 1) + COLUMN) + 0.8 * (LABELS[:, None] == COLUMN % 3)
)
ON_FEATURES = [s.function for s in SCORES if not s.needs_source_head]
ON_PROBABILITIES = [s.function for s in SCORES if s.needs_source_head]

Function = Callable[[np.ndarray, np.ndarray], float]
laws = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**16)


def task(seed: int, classes: int = 3, each: int = 20, d: int = 6, gap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Classes of the same size around different places."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    return rng.normal(size=(len(y), d)) + gap * np.eye(classes, d)[y], y


def as_input(function: Function, features: np.ndarray) -> np.ndarray:
    return softmax(features, axis=1) if function in ON_PROBABILITIES else features


def test_toy_features_are_the_ones_the_values_belong_to() -> None:
    assert FEATURES.sum() == pytest.approx(81.97582069613968, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LogME", -0.5732730187),
        ("H-score", 1.2904637510),
        ("TransRate", 1.3697179232),
        ("GBC", -1.5242947326),
        ("LEEP", -0.9485838639),
        ("NCE", -0.7668443985),
    ],
)
def test_known_values(name: str, expected: float) -> None:
    score = next(s for s in SCORES if s.name == name)
    given = softmax(FEATURES, axis=1) if score.needs_source_head else FEATURES
    assert score.function(given, LABELS) == pytest.approx(expected, abs=1e-6)


def test_the_table() -> None:
    assert [s.name for s in SCORES] == ["LogME", "H-score", "TransRate", "GBC", "LEEP", "NCE"]
    assert [s.name for s in SCORES if s.needs_source_head] == ["LEEP", "NCE"]


@pytest.mark.parametrize("score", SCORES, ids=lambda s: s.name)
def test_a_score_needs_two_classes(score) -> None:
    with pytest.raises(InputError, match="two classes"):
        score.function(softmax(FEATURES, axis=1), np.full(60, 7))
    with pytest.raises(InputError, match="two classes"):
        score.function(np.empty((0, 5)), np.empty(0, int))


@pytest.mark.parametrize("function", [*ON_FEATURES, leep])
def test_shapes_and_gaps_are_refused(function: Function) -> None:
    with pytest.raises(ValueError, match="expected"):
        function(FEATURES, LABELS[:-1])
    with pytest.raises(ValueError, match="expected"):
        function(FEATURES[:, 0], LABELS)
    with pytest.raises(ValueError, match="finite"):
        function(np.where(FEATURES > 1, np.nan, FEATURES), LABELS)


@pytest.mark.parametrize("score", SCORES, ids=lambda s: s.name)
@laws
@given(seed=seeds)
def test_neither_order_nor_codes_matter(score, seed: int) -> None:
    f, y = task(seed)
    f = as_input(score.function, f)
    order = np.random.default_rng(seed).permutation(len(y))
    codes = np.array([200, -3, 17])
    assert score.function(f[order], codes[y[order]]) == pytest.approx(score.function(f, y), abs=1e-9)


@pytest.mark.parametrize("score", SCORES, ids=lambda s: s.name)
@laws
@given(seed=seeds)
def test_better_separated_classes_score_higher(score, seed: int) -> None:
    far, near = (as_input(score.function, task(seed, each=60, d=5, gap=gap)[0]) for gap in (4.0, 0.5))
    y = task(seed, each=60)[1]
    assert score.function(far, y) > score.function(near, y)


@pytest.mark.parametrize("function", ON_FEATURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degenerate_features_have_finite_scores(function: Function, dtype: type) -> None:
    y = np.array([0, 0, 1, 1, 2])
    rng = np.random.default_rng(0)
    for f in (
        np.zeros((5, 3)),
        np.full((5, 3), 0.1),  # its mean is not exactly 0.1
        np.eye(3)[y],  # nothing varies inside a class
        rng.normal(size=(5, 40)),  # more dimensions than samples
        np.repeat(rng.normal(size=(5, 1)), 4, axis=1),
        1e8 * rng.normal(size=(5, 2)),
        1e-8 * rng.normal(size=(5, 2)),
    ):
        assert np.isfinite(function(f.astype(dtype), y))


def test_features_that_say_nothing_have_the_lowest_scores() -> None:
    flat = np.full((60, 4), 0.1)
    assert h_score(flat, LABELS) == 0
    assert trans_rate(flat, LABELS) == 0
    assert gbc(flat, LABELS) == -6  # three pairs, in both orders


@laws
@given(seeds, st.floats(1e-3, 1e3), st.integers(0, 5))
def test_log_me_ignores_rotation_unit_and_empty_dimensions(seed: int, factor: float, empty: int) -> None:
    f, y = task(seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    wide = np.concatenate([factor * f @ rotation, np.zeros((len(f), empty))], axis=1)
    assert log_me(wide, y) == pytest.approx(log_me(f, y), abs=1e-9)


def test_log_me_is_the_greatest_evidence() -> None:
    """An independent optimum: the hyperparameters of scikit-learn's Bayesian ridge regression, without their priors."""
    evidences = []
    n = len(FEATURES)
    for c in range(3):
        y = np.where(c == LABELS, 1.0, 0.0)
        model = BayesianRidge(max_iter=2000, tol=1e-10, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, fit_intercept=False)
        model.fit(FEATURES, y)
        cov = np.eye(n) / model.alpha_ + FEATURES @ FEATURES.T / model.lambda_
        sign, log_det = np.linalg.slogdet(2 * np.pi * cov)
        assert sign == 1
        evidences.append(-(log_det + y @ np.linalg.solve(cov, y)) / (2 * n))
    assert log_me(FEATURES, LABELS) == pytest.approx(np.mean(evidences), abs=1e-6)


@laws
@given(seeds, st.integers(2, 5))
def test_h_score_ignores_invertible_maps_and_has_bounds(seed: int, classes: int) -> None:
    f, y = task(seed, classes)
    rng = np.random.default_rng(seed)
    mapped = f @ (rng.normal(size=(6, 6)) + 4 * np.eye(6)) + rng.normal(size=6)
    once = h_score(f, y)
    assert h_score(mapped, y) == pytest.approx(once, abs=1e-7)
    assert h_score(np.concatenate([f, f[:, :2], np.ones((len(f), 1))], axis=1), y) == pytest.approx(once, abs=1e-7)
    assert 0 <= once <= classes - 1 + 1e-9


def test_h_score_of_perfect_features_is_the_number_of_classes_less_one() -> None:
    assert h_score(np.eye(3)[LABELS], LABELS) == pytest.approx(2, abs=1e-6)


@laws
@given(seeds, st.integers(2, 4), st.floats(0, 3))
def test_trans_rate_of_classes_of_the_same_size_is_not_negative(seed: int, classes: int, gap: float) -> None:
    f, y = task(seed, classes, gap=gap)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    once = trans_rate(f, y)
    assert once >= -1e-9
    assert trans_rate(f @ rotation + 3, y) == pytest.approx(once, abs=1e-7)


def test_trans_rate_cannot_see_two_classes_apart() -> None:
    """By hand: about the common mean, both classes have the second moment of the whole."""
    f = np.array([-6.0, -4.0, 4.0, 6.0])[:, None]
    assert trans_rate(f, np.array([0, 0, 1, 1])) == pytest.approx(0, abs=1e-6)


def test_gbc_by_hand() -> None:
    """Two classes of variance 1 whose means are 4 apart: the Bhattacharyya distance is 16 / 8, and both orders count."""
    f = np.array([-3.0, -1.0, 1.0, 3.0])[:, None]
    assert gbc(f, np.array([0, 0, 1, 1])) == pytest.approx(-2 * np.exp(-2), abs=1e-6)


@laws
@given(seeds, st.integers(2, 4))
def test_gbc_ignores_unit_and_offset_and_has_bounds(seed: int, classes: int) -> None:
    f, y = task(seed, classes)
    rng = np.random.default_rng(seed)
    once = gbc(f, y)
    assert gbc(f * rng.uniform(0.1, 10, 6) + rng.normal(size=6), y) == pytest.approx(once, abs=1e-9)
    assert -classes * (classes - 1) <= once <= 0


def test_leep_of_classes_that_say_nothing_and_everything() -> None:
    y = np.array([0, 0, 0, 1])
    entropy = 0.75 * np.log(4 / 3) + 0.25 * np.log(4)
    assert leep(np.full((4, 3), 1 / 3), y) == pytest.approx(-entropy, abs=1e-6)
    assert leep(np.eye(4)[[2, 2, 3, 0]], y) == pytest.approx(0, abs=1e-6)
    assert nce(np.array([9, 9, 9, 9]), y) == pytest.approx(-entropy, abs=1e-6)
    assert nce(np.array([-1, 5, 5, 4]), y) == pytest.approx(0, abs=1e-6)


def test_leep_wants_probabilities() -> None:
    for wrong in (FEATURES, np.full((60, 5), 0.5), np.tile([1.5, -0.5], (60, 1))):
        with pytest.raises(ValueError, match="softmax"):
            leep(wrong, LABELS)


def test_nce_wants_one_source_label_a_sample() -> None:
    with pytest.raises(ValueError, match="expected"):
        nce(FEATURES, LABELS)


@laws
@given(seeds, st.integers(1, 8))
def test_leep_and_nce_lie_between_the_entropy_and_zero(seed: int, source_classes: int) -> None:
    rng = np.random.default_rng(seed)
    p = softmax(rng.normal(0, 3, (50, source_classes)), axis=1)
    y = rng.permutation(np.arange(50) % 3)
    share = np.bincount(y) / 50
    entropy = -(share * np.log(share)).sum()
    assert leep(p, y) <= 1e-12
    assert -entropy - 1e-9 <= nce(p.argmax(axis=1), y) <= 1e-12
    # Joining source classes can only lose what they say.
    assert nce(p.argmax(axis=1) // 2, y) <= nce(p.argmax(axis=1), y) + 1e-12


def test_standardised_columns() -> None:
    f = np.array([[1.0, 0.1, 5.0], [3.0, 0.1, 5.0], [5.0, 0.1, 5.0]])
    expected = np.array([[-1.2247449, 0, 0], [0, 0, 0], [1.2247449, 0, 0]])
    np.testing.assert_allclose(standardise(f), expected, atol=1e-6)
    np.testing.assert_allclose(standardise(f.astype(np.float32)), expected, atol=1e-6)


@laws
@given(seeds, st.integers(1, 12), st.integers(1, 9), st.integers(1, 20))
def test_reduced_keeps_the_most_variance_there_is(seed: int, n: int, d: int, dimensions: int) -> None:
    f = np.random.default_rng(seed).normal(size=(n, d))
    out = reduce(f, dimensions)
    assert out.shape == (n, min(n, d, dimensions))
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-9)
    assert (np.diff(out.var(axis=0)) <= 1e-9).all()
    if n > dimensions:
        expected = PCA(out.shape[1], svd_solver="full").fit_transform(f)
        np.testing.assert_allclose(np.abs(out), np.abs(expected), atol=1e-7)
        order = np.random.default_rng(seed).permutation(n)
        np.testing.assert_allclose(reduce(f[order], dimensions), out[order], atol=1e-7)


def test_reduced_without_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        reduce(FEATURES, 0)
