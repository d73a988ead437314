"""The linear probe: what it fits, how it is judged, and that features are made once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from landshift.models.transfer.features import PixelFeatures
from landshift.models.transfer.probe import features_cache, fit_probe, probe_score


class Maker:
    """Makes features of its own number, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> PixelFeatures:
        self.calls += 1
        # Views that are not contiguous must come back as they were.
        wide = np.arange(12, dtype=np.float32).reshape(3, 4) + 100 * self.calls
        parts = (np.asfortranarray(wide), wide[:, ::2])
        return PixelFeatures(parts, tuple(-p for p in parts), ("stride 2", "stride 4"), np.array([True, False, True]))


def assert_same(first: PixelFeatures, second: PixelFeatures) -> None:
    assert first.depths == second.depths
    for a, b in zip(
        (*first.before, *first.after, first.observed), (*second.before, *second.after, second.observed), strict=True
    ):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


def test_features_are_made_once_for_a_key(tmp_path: Path) -> None:
    make, path = Maker(), tmp_path / "cache" / "features.safetensors"
    first = features_cache(path, "one", make)
    assert_same(features_cache(path, "one", make), first)
    assert make.calls == 1
    other = features_cache(path, "two", make)
    assert make.calls == 2
    assert_same(features_cache(path, "two", make), other)
    assert [p.name for p in path.parent.iterdir()] == ["features.safetensors"]


@pytest.mark.parametrize("size", [0, 5, 60, 200])
def test_a_damaged_cache_is_made_again(tmp_path: Path, size: int) -> None:
    make, path = Maker(), tmp_path / "features.safetensors"
    features_cache(path, "one", make)
    path.write_bytes(path.read_bytes()[:size])
    again = features_cache(path, "one", make)
    assert make.calls == 2
    assert_same(features_cache(path, "one", make), again)


def test_nothing_is_kept_where_making_fails(tmp_path: Path) -> None:
    def fail() -> PixelFeatures:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        features_cache(tmp_path / "features.safetensors", "one", fail)
    assert not list(tmp_path.iterdir())


def test_a_probe_minimises_its_loss() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    features = rng.normal(size=(200, 2)) * [3, 50] + [1, 7] + labels[:, None] * [[2, 20]]
    probe = fit_probe(features, labels, epochs=1000, l2=0.1)
    z = (features - features.mean(axis=0)) / features.std(axis=0)

    def loss(flat: np.ndarray) -> float:
        weights, bias = flat[:6].reshape(3, 2), flat[6:]
        logits = z @ weights.T + bias
        own = logits[np.arange(200), labels] - np.log(np.exp(logits).sum(axis=1))
        return float(-own.mean() + 0.1 / 2 * (weights**2).sum())

    best = minimize(loss, np.zeros(9), options={"gtol": 1e-9}).fun
    assert loss(np.concatenate([probe.weights.ravel(), probe.bias])) == pytest.approx(best, abs=1e-6)


def test_two_classes_have_probabilities_in_the_order_of_their_labels() -> None:
    features = np.linspace(-1, 1, 40)[:, None]
    labels = np.where(features[:, 0] > 0, 3, 7)
    probe = fit_probe(features, labels)
    assert probe.classes == (3, 7)
    said = probe.predict(np.array([[-1.0], [0.0], [1.0]]))
    assert said.sum(axis=1) == pytest.approx(1)
    assert said[0, 1] > 0.9
    assert said[1] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert said[2, 0] > 0.9


@settings(deadline=None, max_examples=20)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100), seed=st.integers(0, 9))
def test_units_of_the_features_do_not_matter(scale: float, shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    labels[:2] = 0, 1
    features = rng.normal(size=(60, 3)) + labels[:, None]
    plain = fit_probe(features, labels, l2=0.1).predict(features)
    other = features * scale + shift
    assert fit_probe(other, labels, l2=0.1).predict(other) == pytest.approx(plain, abs=1e-3)


def test_a_constant_channel_says_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 2
    features = np.stack([rng.normal(size=50) + labels, np.full(50, 0.1)], axis=1).astype(np.float32)
    probe = fit_probe(features, labels)
    moved = features + np.array([0, 1e-6], dtype=np.float32)
    assert probe.predict(moved) == pytest.approx(probe.predict(features), abs=1e-6)


def test_a_probe_gives_the_same_for_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(50, 4)), np.arange(50) % 3
    first, second = (fit_probe(features, labels, epochs=5, seed=1).predict(features) for _ in range(2))
    assert np.array_equal(first, second)


def test_what_no_probe_can_be_fitted_to_is_refused() -> None:
    features, labels = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="expected"):
        fit_probe(features, labels[:3])
    with pytest.raises(ValueError, match="needs two classes"):
        fit_probe(features, np.ones(4, int))
    with pytest.raises(ValueError, match="not labelled"):
        fit_probe(features, np.array([0, 1, 255, 1]))
    with pytest.raises(ValueError, match="not finite"):
        fit_probe(features * np.nan, labels)
    with pytest.raises(ValueError, match="same shape"):
        probe_score(features, labels, np.zeros(3, int))


def test_a_score_tells_features_that_carry_over_to_other_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 20)
    labels = np.tile([0, 1], 100)
    signal = labels + rng.normal(size=200) * 0.05
    assert probe_score(signal[:, None], labels, groups) == pytest.approx(1)
    # Where each group has its own sign, what is learnt of the others is worth nothing.
    lies = np.where(groups % 2, signal, -signal)
    assert (probe_score(lies[:, None], labels, groups) or 0) < 0.8


def test_a_score_is_f1_of_changed_or_of_all_classes() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 1))
    groups = np.arange(300) % 6
    rare = (np.arange(300) % 10 == 0).astype(int)
    # Nothing is known, so the rare class is never said: F1 of it is 0, and the mean F1 of both is not.
    assert probe_score(noise, rare, groups) == 0
    macro = probe_score(noise, rare + 4, groups)
    assert macro == pytest.approx((2 * 0.9 / (2 * 0.9 + 0.1)) / 2)


def test_there_is_no_score_of_one_group_or_one_class() -> None:
    features, labels = np.arange(8.0)[:, None], np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert probe_score(features, labels, np.zeros(8, int)) is None
    assert probe_score(features, np.zeros(8, int), np.arange(8)) is None
    assert probe_score(features[:0], labels[:0], np.zeros(0, int)) is None


def test_groups_of_a_single_class_are_no_fault() -> None:
    features, labels = np.arange(8.0)[:, None], np.array([0, 0, 0, 0, 1, 1, 1, 1])
    score = probe_score(features, labels, np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    assert score == 0  # each fold knows only the other class
    assert probe_score(features, np.array([0, 0, 0, 0, 0, 0, 0, 1]), np.arange(8)) == 0
