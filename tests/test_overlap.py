"""Measures of overlap have their known values; a domain tells near samples from far ones."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from landshift.models.transfer.overlap import Domain, coral, fit_domain, frechet_distance, linear_cka, mmd, mmd_p_value
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of, record_of

ROW, COLUMN = np.arange(60)[:, None], np.arange(5)[None]
FEATURES = np.sin(0.7 * (ROW + 1) * (COLUMN + 1)) + 0.5 * np.cos(1.3 * (ROW + 1) + COLUMN) + 0.8 * (ROW % 3 == COLUMN % 3)

laws = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**16)


def rotation(seed: int, d: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def test_cka_known_values() -> None:
    assert linear_cka(FEATURES, FEATURES) == pytest.approx(1, abs=1e-6)
    assert linear_cka(FEATURES, FEATURES * np.arange(1, 6)) == pytest.approx(0.8433421108, abs=1e-6)
    # One column each: the squared correlation, 0.8².
    assert linear_cka(np.array([[1], [2], [3], [4]]), np.array([[1], [3], [2], [4]])) == pytest.approx(0.64, abs=1e-6)
    assert linear_cka(np.array([[1.0, 0], [-1, 0], [0, 0], [0, 0]]), np.array([[0.0], [0], [1], [-1]])) == 0


def test_cka_is_not_defined_for_representations_that_do_not_vary() -> None:
    flat = np.full((60, 3), 0.1, dtype=np.float32)
    assert linear_cka(flat, FEATURES) is None
    assert linear_cka(FEATURES, flat) is None


@laws
@given(seeds, st.floats(1e-3, 1e3))
def test_cka_ignores_rotation_unit_and_offset(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 3))
    once = linear_cka(x, y)
    assert once is not None
    assert 0 <= once <= 1
    assert linear_cka(y, x) == pytest.approx(once, abs=1e-9)
    assert linear_cka(factor * x @ rotation(seed, 5) + 7, y) == pytest.approx(once, abs=1e-9)


def test_cka_wants_the_same_samples() -> None:
    with pytest.raises(ValueError, match="expected"):
        linear_cka(FEATURES, FEATURES[:-1])


def test_frechet_known_values() -> None:
    assert frechet_distance(FEATURES, FEATURES + 1) == pytest.approx(5, abs=1e-6)
    assert frechet_distance(FEATURES, FEATURES) == pytest.approx(0, abs=1e-9)
    # One dimension: (2 - 0)² + (3√2 - √2)² for standard deviations √2 and 3√2.
    assert frechet_distance(np.array([[-1.0], [1]]), np.array([[-1.0], [5]])) == pytest.approx(4 + 8, abs=1e-6)


@laws
@given(seeds)
def test_frechet_is_the_formula_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 4)), 2 * rng.normal(size=(30, 4)) + 1
    a, b = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_distance(x, y) == pytest.approx(expected, abs=1e-6)
    assert frechet_distance(y, x) == pytest.approx(expected, abs=1e-6)
    turn = rotation(seed, 4)
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(expected, abs=1e-6)


@laws
@given(seeds, st.integers(2, 4), st.integers(2, 30))
def test_frechet_stands_singular_covariances(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 8)), rng.normal(size=(m, 8))
    x[:, 3:] = 0
    found = frechet_distance(x, y)
    assert np.isfinite(found)
    assert found >= 0
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(np.ones((n, 8)), np.zeros((m, 8))) == pytest.approx(8, abs=1e-6)


def test_coral_known_values() -> None:
    assert coral(FEATURES, 2 * FEATURES) == pytest.approx(0.3825255472, abs=1e-6)
    assert coral(FEATURES, FEATURES + 3) == pytest.approx(0, abs=1e-9)
    # Variances 2 and 18: 16² / 4.
    assert coral(np.array([[-1.0], [1]]), np.array([[-3.0], [3]])) == pytest.approx(64, abs=1e-6)


def test_mmd_by_hand() -> None:
    """The six distances 1, 2, 3, 1, 2, 1 have the median 1.5."""
    x, y = np.array([[0.0], [1]]), np.array([[2.0], [3]])
    k1, k2, k3 = np.exp(-np.array([1, 4, 9]) / (2 * 1.5**2))
    assert mmd(x, y) == pytest.approx(k1 + k1 - (k2 + k3 + k1 + k2) / 2, abs=1e-6)
    assert mmd(x + 1e6, y + 1e6) == pytest.approx(mmd(x, y), abs=1e-6)


def test_mmd_of_samples_at_one_place_and_at_two() -> None:
    assert mmd(np.ones((4, 2)), np.ones((3, 2))) == pytest.approx(0, abs=1e-9)
    # Most distances are 0; the bandwidth is the one distance between the places.
    assert mmd(np.zeros((4, 2)), np.ones((3, 2))) == pytest.approx(2 - 2 * np.exp(-0.5), abs=1e-6)


@laws
@given(seeds, st.floats(1e-2, 1e2))
def test_mmd_ignores_rotation_unit_and_offset(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(15, 3)) + 1
    once = mmd(x, y)
    assert once <= 2
    assert mmd(y, x) == pytest.approx(once, abs=1e-9)
    turn = factor * rotation(seed, 3)
    assert mmd(x @ turn + 5, y @ turn + 5) == pytest.approx(once, abs=1e-7)


def test_mmd_draws_the_same_samples_again() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 3)), rng.normal(size=(400, 3)) + 2
    assert mmd(x, y, limit=50) == mmd(x, y, limit=50)
    assert mmd(x, y, limit=50) != mmd(x, y, limit=50, seed=1)
    assert mmd(x, y, limit=50) == pytest.approx(mmd(x, y), abs=0.15)


def test_p_value_tells_one_distribution_from_two() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    assert mmd_p_value(x, rng.normal(size=(50, 3)) + 1) == pytest.approx(1 / 201)
    assert mmd_p_value(x, x) == 1
    values = [mmd_p_value(rng.normal(size=(20, 2)), rng.normal(size=(20, 2)), permutations=49) for _ in range(100)]
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.08)
    with pytest.raises(ValueError, match="at least 1 permutation"):
        mmd_p_value(x, x, permutations=0)


@pytest.mark.parametrize("measure", [frechet_distance, coral, mmd, mmd_p_value])
def test_samples_that_cannot_be_compared(measure) -> None:
    with pytest.raises(InputError, match="at least 2"):
        measure(FEATURES, FEATURES[:1])
    with pytest.raises(ValueError, match="expected"):
        measure(FEATURES, FEATURES[:, :2])


def test_domain_distance_is_the_formula() -> None:
    """Many samples of a round cloud of variance 4: the shrunk covariance is 4 I, distances are halved."""
    cloud = 2 * np.random.default_rng(0).normal(size=(200_000, 2))
    domain = fit_domain(cloud)
    assert domain.distance(np.array([[0.0, 0], [6, 8]])) == pytest.approx([0, 5], abs=0.03)
    # A quarter of a round cloud in two dimensions lies within √(2 ln(4/3)) standard deviations.
    assert np.quantile(domain.reference, 0.25) == pytest.approx(np.sqrt(2 * np.log(4 / 3)), abs=0.01)
    assert len(domain.reference) == 1000


def test_domain_of_one_feature_measures_its_size() -> None:
    domain = Domain(np.zeros(1), np.eye(1), np.array([1.0, 2, 3, 4]))
    x = np.array([[0.0], [1], [-2.5], [4], [-9], [np.nan]])
    np.testing.assert_array_equal(domain.distance(x), [0, 1, 2.5, 4, 9, np.nan])


@laws
@given(seeds, st.integers(2, 40), st.integers(1, 12))
def test_domain_of_any_shape(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n, d)).astype(np.float32)
    own[:, d // 2 + 1 :] = 0.25  # an encoder has dead features
    domain = fit_domain(own)
    assert (np.diff(domain.reference) >= 0).all()
    assert (domain.distance(own + 1000) > domain.reference[-1]).all()
    np.testing.assert_allclose(np.sort(domain.distance(own)), domain.reference, atol=1e-6)


@laws
@given(seeds)
def test_domain_ignores_rotation_and_offset(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own, other = rng.normal(size=(30, 4)), rng.normal(size=(10, 4))
    turn = rotation(seed, 4)
    turned = fit_domain(own @ turn + 3).distance(other @ turn + 3)
    np.testing.assert_allclose(turned, fit_domain(own).distance(other), atol=1e-6)


def test_domain_survives_json() -> None:
    domain = fit_domain(FEATURES)
    again = record_of(Domain, json.loads(json.dumps(content_of(domain), allow_nan=False)), "domain")
    for part in ("mean", "precision", "reference"):
        np.testing.assert_array_equal(getattr(again, part), getattr(domain, part))


def test_domain_that_was_tampered_with() -> None:
    good = content_of(fit_domain(FEATURES))
    for wrong in (
        {k: v for k, v in good.items() if k != "mean"},
        good | {"mean": "north"},
        good | {"mean": None},
        good | {"mean": [0.0, 1.0]},
        good | {"precision": good["precision"][:2]},
        good | {"reference": []},
        good | {"reference": [2.0, 1.0]},
        good | {"reference": [float("nan")]},
    ):
        with pytest.raises(InputError, match="is damaged"):
            record_of(Domain, wrong, "domain")


def test_domain_needs_samples_that_differ() -> None:
    with pytest.raises(InputError, match="1 were observed"):
        fit_domain(np.array([[1.0, 2], [np.nan, 3]]))
    with pytest.raises(InputError, match="all of them the same"):
        fit_domain(np.full((5, 2), 0.1))
    with pytest.raises(ValueError, match="expected"):
        fit_domain(np.ones(3))
    with pytest.raises(ValueError, match="expects"):
        fit_domain(FEATURES).distance(FEATURES[:, :2])
