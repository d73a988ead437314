"""Areas of interest: exact where everything is known, unbiased, and honest where few samples lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.area_estimation import UNKNOWN, Design, areas
from pipeline.domain_estimation import domain_estimates


def test_the_estimate_of_a_small_picture_by_hand() -> None:
    # Two strata of 100 and 20 pixels; half of the first and all of the second were drawn alike. Quantity: changed.
    design = Design(np.array([100, 20]), np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]))
    changed = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0], dtype=bool)[:, None]
    inside = np.array([1, 1, 0, 0, 0, 1, 0, 0, 1], dtype=bool)[:, None]
    (found,) = domain_estimates(design, changed, inside, np.array([[40, 12]]), 0.5)
    # 40 * 0.2 + 12 * 0.75, and 20 * (0 - 0.2) twice, 5 * (1 - 0.75) and 5 * (0 - 0.75) for the samples inside.
    assert found.areas[0].estimate == pytest.approx(0.5 * (8 + 9 - 8 + 1.25 - 3.75))
    # Their own variance is 100² * 0.012 / 5 + 20² * 0.2031 / 4; that of the whole map's errors is larger.
    expected = 40 * 100 / 5 * 0.2 + 12 * 20 / 4 * 0.25
    assert found.areas[0].standard_error == pytest.approx(0.5 * np.sqrt(expected))
    assert found.samples == 4
    assert found.note == "4 sampled pixels lie here: the intervals are rough."


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=6, max_size=80), st.integers(2, 40))
def test_the_whole_map_gets_the_stratified_estimate_and_its_parts_add_up(samples: list[tuple[int, int]], scale: int) -> None:
    strata, reference = np.array(samples).T
    present, stratum = np.unique(strata, return_inverse=True)
    design = Design(np.bincount(stratum) * (present + 2) * scale, stratum)
    member = reference[:, None] == np.arange(4)
    left = np.random.default_rng(1).random(len(stratum)) < 0.4
    part = np.bincount(stratum[left], minlength=len(present)) * scale
    inside = np.stack([np.ones_like(left), left, ~left], axis=1)
    pixels = np.stack([design.pixels, part, design.pixels - part])
    whole, one, other = domain_estimates(design, member, inside, pixels, 0.1)
    for k, direct in enumerate(areas(design, member, 0.1)):
        assert whole.areas[k].estimate == (None if direct.estimate is None else pytest.approx(direct.estimate))
        if whole.areas[k].standard_error is not None:
            assert whole.areas[k].standard_error == pytest.approx(direct.standard_error)
            assert whole.areas[k].low == pytest.approx(direct.low, abs=1e-9)
    for found, total in ((one, part.sum()), (other, (design.pixels - part).sum())):
        for area in found.areas:
            if area.low is not None and area.high is not None and area.estimate is not None:
                assert 0 <= area.low <= area.estimate <= area.high <= total * 0.1 + 1e-6


def test_without_samples_inside_the_estimate_has_no_interval() -> None:
    design = Design(np.array([1000, 100]), np.array([0] * 10 + [1] * 10))
    member = np.array([0] * 9 + [1] + [1] * 8 + [0] * 2, dtype=bool)[:, None]
    nobody = np.zeros((20, 1), dtype=bool)
    (found,) = domain_estimates(design, member, nobody, np.array([[200, 50]]), 1.0)
    assert found.areas[0].estimate == pytest.approx(200 * 0.1 + 50 * 0.8)
    assert (found.areas[0].low, found.areas[0].high, found.samples) == (None, None, 0)
    assert found.note is not None
    assert "No sampled pixel lies here" in found.note
    one = nobody.copy()
    one[3] = True
    (single,) = domain_estimates(design, member, one, np.array([[200, 50]]), 1.0)
    assert single.areas[0].low is None
    assert single.note is not None
    assert "too few" in single.note


def test_no_error_met_is_no_certainty() -> None:
    design = Design(np.array([1000, 100]), np.array([0] * 40 + [1] * 40))
    member = np.array([0] * 40 + [1] * 39 + [0], dtype=bool)[:, None]
    inside = np.arange(80)[:, None] < 40
    (found,) = domain_estimates(design, member, inside, np.array([[500, 0]]), 1.0)
    assert found.areas[0].estimate == 0
    assert found.areas[0].high is None
    assert found.note is not None
    assert "no proof" in found.note


def test_the_errors_of_the_whole_map_widen_an_interval_in_which_no_error_was_met() -> None:
    design = Design(np.array([10_000]), np.zeros(100, dtype=int))
    member = (np.arange(100) < 10)[:, None]
    inside = (np.arange(100) >= 60)[:, None]  # forty samples inside, none of them among the ten changed ones
    (found,) = domain_estimates(design, member, inside, np.array([[1000]]), 1.0)
    expected = np.sqrt(1000 * 10_000 / 100 * (0.09 * 100 / 99))
    assert found.areas[0].standard_error == pytest.approx(expected)
    assert found.note == "An estimate beyond what is possible here was moved to the limit."  # 100 - 40 * 100 * 0.1 < 0
    assert found.areas[0].estimate == 0
    assert found.areas[0].high == pytest.approx(1.959964 * expected, rel=1e-5)


def test_an_area_sampled_whole_is_known_exactly() -> None:
    design = Design(np.array([5, 500]), np.array([0] * 5 + [1] * 20))
    member = np.array([1, 0, 1, 1, 0] + [0] * 19 + [1], dtype=bool)[:, None]
    inside = np.array([1, 1, 1, 0, 0] + [0] * 20, dtype=bool)[:, None]
    (found,) = domain_estimates(design, member, inside, np.array([[3, 0]]), 2.0)
    assert [found.areas[0].low, found.areas[0].high] == pytest.approx([4, 4])


def test_a_lone_pixel_matters_only_where_its_stratum_occurs() -> None:
    design = Design(np.array([100, 50]), np.array([0] * 40 + [1]))
    member = np.array([1] * 10 + [0] * 30 + [1], dtype=bool)[:, None]
    inside = np.ones((41, 2), dtype=bool)
    inside[40, 1] = False
    with_it, without = domain_estimates(design, member, inside, np.array([[60, 20], [60, 0]]), 1.0)
    assert with_it.areas[0].low is None
    assert with_it.note is not None
    assert "single judged pixel" in with_it.note
    assert without.areas[0].low is not None


def test_nothing_observed_and_nothing_met_are_not_zero() -> None:
    design = Design(np.array([100]), np.zeros(40, dtype=int))
    member = np.stack([np.arange(40) < 9, np.zeros(40, dtype=bool)], axis=1)
    inside = np.ones((40, 2), dtype=bool)
    empty, full = domain_estimates(design, member, inside, np.array([[0], [100]]), 1.0)
    assert empty.areas == (UNKNOWN, UNKNOWN)
    assert empty.note == "Nothing was observed here on both dates."
    assert full.areas[1] == UNKNOWN
    assert full.note is None


def test_shapes_that_do_not_fit_are_a_fault_of_the_program() -> None:
    design = Design(np.array([100]), np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="expected"):
        domain_estimates(design, np.ones((4, 1), dtype=bool), np.ones((3, 1), dtype=bool), np.array([[1]]), 1.0)


DOMAIN_SHARES = np.array([0.5, 0.25, 0.15, 0.07, 0.03])


def simulated(seed: int, maps: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judge samples of maps whose areas of interest err differently.

    Returns:
        Of each domain: share of the maps whose truth lies in the interval, mean error and root mean square error as shares
        of the domain's true changed pixels.
    """
    rng = np.random.default_rng(seed)
    rates = np.array([0.03, 0.78, 0.7])
    hits, errors = [], []
    for _ in range(maps):
        pixels = (np.array([850_000, 90_000, 60_000])[:, None] * rng.dirichlet(40 * DOMAIN_SHARES, 3)).astype(np.int64)
        local = rng.beta(25 * rates[:, None], 25 * (1 - rates[:, None]), pixels.shape)
        changed = rng.binomial(pixels, local)
        cells = np.stack([changed, pixels - changed], axis=2)  # stratum, domain, changed or not
        drawn = [rng.multivariate_hypergeometric(c.ravel(), n, method="marginals") for c, n in zip(cells, sizes, strict=True)]
        counts = np.stack(drawn).reshape(cells.shape)
        stratum, domain, unchanged = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices(cells.shape))
        found = domain_estimates(
            Design(pixels.sum(axis=1), stratum), unchanged[:, None] == 0, domain[:, None] == np.arange(5), pixels.T, 1.0
        )
        truth = changed.sum(axis=0)
        ends = [(np.nan if f.areas[0].low is None else f.areas[0].low, f.areas[0].high or np.nan) for f in found]
        hits.append([low <= t <= high for (low, high), t in zip(ends, truth, strict=True)])
        errors.append([(f.areas[0].estimate or 0) / t - 1 for f, t in zip(found, truth, strict=True)])
    error = np.array(errors)
    return np.mean(hits, axis=0), error.mean(axis=0), np.sqrt((error**2).mean(axis=0))


def test_intervals_cover_the_truth_of_simulated_areas() -> None:
    covered, bias, spread = simulated(0, 500, (400, 100, 100))
    assert (covered >= 0.92).all(), covered
    assert covered[0] <= 0.99, covered
    assert (np.abs(bias) < np.maximum(0.25 * spread, 0.02)).all(), (bias, spread)


def test_the_variance_inside_is_that_of_the_deviations() -> None:
    # Inside, the map errs far more often than in the whole, so that the area's own variance is the larger one.
    rng = np.random.default_rng(4)
    design = Design(np.array([9000, 1000]), np.repeat([0, 1], [300, 100]))
    inside = rng.random(400) < 0.3
    member = rng.random(400) < np.where(inside, 0.6, 0.02)
    (found,) = domain_estimates(design, member[:, None], inside[:, None], np.array([[2700, 300]]), 1.0)
    deviation = (member - design.means(member[:, None])[design.stratum, 0]) * inside
    variance = sum(n**2 * deviation[design.stratum == h].var(ddof=1) / m for h, (n, m) in enumerate(((9000, 300), (1000, 100))))
    assert found.areas[0].standard_error == pytest.approx(np.sqrt(variance))
