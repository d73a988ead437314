"""Ranks are exact, and the threshold keeps its promise on tiles that were not seen."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.conformal import conformal_rank, risk_controlled_threshold

Tile = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize(
    ("n", "alpha", "rank"), [(9, 0.1, 9), (99, 0.1, 90), (100, 0.05, 96), (500, 0.1, 451), (19, 0.05, 19), (3, 0.999, 1)]
)
def test_rank_is_exact(n: int, alpha: float, rank: int) -> None:
    assert conformal_rank(n, alpha) == rank


@pytest.mark.parametrize("alpha", [1 - 0.9, np.float32(0.1), np.float64(0.1), 0.1 + 1e-17])
def test_rounding_does_not_lift_the_rank(alpha: float) -> None:
    assert conformal_rank(99, alpha) == 90


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(1, 99))
def test_rank_is_that_of_whole_numbers(n: int, percent: int) -> None:
    expected = -(-(n + 1) * (100 - percent) // 100)
    if expected > n:
        with pytest.raises(InputError, match=f"at least {math.ceil(100 / percent) - 1} are needed"):
            conformal_rank(n, percent / 100)
    else:
        assert conformal_rank(n, percent / 100) == expected


def test_the_number_said_to_be_needed_is_enough_and_one_less_is_not() -> None:
    with pytest.raises(InputError, match=r"8 calibration scores; for alpha = 0\.1 at least 9 are needed"):
        conformal_rank(8, 0.1)
    assert conformal_rank(9, 0.1) == 9
    for wrong in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(InputError, match="between 0 and 1"):
            conformal_rank(100, wrong)
    with pytest.raises(ValueError, match="-1 calibration scores"):
        conformal_rank(-1, 0.1)


def test_threshold_of_a_worked_example() -> None:
    """Nine tiles and alpha 0.2: the losses may add up to 0.2 * 10 - 1 = 1, which is two pixels of tiles with two."""
    tiles = [(np.array([0.1 * k, 0.95, 0.99]), np.array([1, 1, 0])) for k in range(1, 10)]
    found = risk_controlled_threshold(tiles, 0.2)
    assert found.threshold == pytest.approx(0.3)  # 0.1 and 0.2 lie below
    assert found.empirical == pytest.approx(1 / 9)
    assert (found.tiles, found.alpha) == (9, 0.2)


def test_losses_that_just_reach_the_limit_are_allowed() -> None:
    """Three thirds may add up to more than 1 in floats."""
    tiles = [(np.array([0.1, 0.8, 0.9]), np.ones(3, int))] * 3 + [(np.array([0.9]), np.ones(1, int))] * 6
    assert risk_controlled_threshold(tiles, 0.2).threshold == pytest.approx(0.8)


def test_tiles_without_change_and_unknown_pixels_are_left_out() -> None:
    tiles = [(np.array([0.1 * k, 0.95]), np.array([1, 1])) for k in range(1, 10)]
    plain = risk_controlled_threshold(tiles, 0.2)
    noisy = [(np.append(p, [0.0, np.nan])[None], np.append(y, [255, 1])[None]) for p, y in tiles]
    still = [(np.array([0.0, 0.9]), np.array([0, 0])), (np.array([np.nan]), np.array([1]))]
    found = risk_controlled_threshold(noisy + still, 0.2)
    assert (found.threshold, found.empirical, found.tiles) == (plain.threshold, plain.empirical, 9)
    assert "2 of 11 tiles without a labelled changed pixel were left out" in found.guarantee


def test_too_few_tiles_have_no_threshold_and_say_how_many_are_needed() -> None:
    tile = (np.array([0.9]), np.array([1]))
    found = risk_controlled_threshold([tile] * 8, 0.1)
    assert (found.threshold, found.empirical, found.tiles) == (None, None, 8)
    assert "at least 9 calibration tiles" in found.guarantee
    assert risk_controlled_threshold([tile] * 9, 0.1).threshold == 0.9
    assert risk_controlled_threshold([], 0.1).tiles == 0


def test_the_promise_is_said_with_its_limits() -> None:
    found = risk_controlled_threshold([(np.array([0.5], np.float32), np.array([1], np.uint8))] * 30, 1 - 0.9)
    for words in ("at most 0.1,", "exchangeable with the 30 calibration tiles", "other territories", "any single tile"):
        assert words in found.guarantee
    assert json.loads(json.dumps(asdict(found)))["threshold"] == 0.5


def test_a_pixel_at_the_threshold_is_not_missed_in_float32() -> None:
    tiles = [(np.array([0.1 * k], np.float32), np.ones(1, np.uint8)) for k in range(1, 10)]
    found = risk_controlled_threshold(tiles, 0.2)
    assert found.threshold is not None
    assert sum(int((p < found.threshold).sum()) for p, _ in tiles) == 1
    assert np.float32(found.threshold) == found.threshold == np.float32(0.2)


def test_alpha_and_shapes_are_checked() -> None:
    with pytest.raises(InputError, match="alpha is 5"):
        risk_controlled_threshold([], 5)
    with pytest.raises(ValueError, match="same shape"):
        risk_controlled_threshold([(np.zeros(2), np.zeros(3))], 0.1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=5), min_size=1, max_size=12),
    st.sampled_from([0.1, 0.25, 0.5, 0.8]),
    st.sampled_from([np.float32, np.float64]),
)
def test_no_higher_threshold_keeps_the_bound(rows: list[list[int]], alpha: float, dtype: type[np.floating]) -> None:
    tiles = [(np.array(r, dtype=dtype) / dtype(8), np.ones(len(r), int)) for r in rows]
    n = len(tiles)

    def bound(t: float) -> float:
        return (sum(float((p < t).mean()) for p, _ in tiles) + 1) / (n + 1)

    found = risk_controlled_threshold(tiles, alpha)
    kept = [t for t in np.arange(0, 1.0001, 1 / 16).tolist() if bound(t) <= alpha + 1e-9]
    assert (found.threshold is None) == (not kept)
    if found.threshold is not None:
        assert found.threshold == max(kept)
        assert found.empirical == pytest.approx(bound(found.threshold) * (n + 1) / n - 1 / n)


def _draw(rng: np.random.Generator, count: int) -> list[Tile]:
    """Tiles of which some are harder than others, with 2 to 60 changed pixels."""
    tiles = []
    for _ in range(count):
        changed = int(rng.integers(2, 60))
        logit = rng.normal(rng.normal(1.0, 1.5), 1.0, changed)
        p = np.append(1 / (1 + np.exp(-logit)), rng.random(5)).astype(np.float32)
        tiles.append((p, np.append(np.ones(changed, np.uint8), np.zeros(5, np.uint8))))
    return tiles


def test_the_promise_is_kept_on_fresh_tiles() -> None:
    """Theorem 1 bounds the risk by alpha, theorem 2 by alpha - 2/(n + 1) from below: 0.15 to 0.2 with 39 tiles."""
    rng = np.random.default_rng(7)
    rates = []
    for _ in range(300):
        found = risk_controlled_threshold(_draw(rng, 39), 0.2)
        assert found.threshold is not None
        rates.append(np.mean([(p[y == 1] < found.threshold).mean() for p, y in _draw(rng, 40)]))
    slack = 3 * np.std(rates) / np.sqrt(len(rates))
    assert 0.15 - slack <= np.mean(rates) <= 0.2 + slack
    assert slack < 0.02
