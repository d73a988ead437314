"""Areas of interest: exact where everything is known, unbiased, and honest where few samples lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.sample.area_estimation import UNKNOWN, Interval, areas
from landshift.pipeline.sample.design import WILSON, Z_95, Design
from landshift.pipeline.sample.domain_estimation import SARNDAL, domain_estimates


def test_the_estimate_of_a_small_picture_by_hand() -> None:
    # Two strata of 100 and 20 pixels; half of the first and all of the second were drawn alike. Quantity: changed.
    design = Design(np.array([100, 20]), np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]))
    changed = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0], dtype=bool)[:, None]
    inside = np.array([1, 1, 0, 0, 0, 1, 0, 0, 1], dtype=bool)[:, None]
    (found,) = domain_estimates(design, changed, inside, np.array([[40, 12]]), 0.5)
    # 40 * 0.2 + 12 * 0.75, and 20 * (0 - 0.2) twice, 5 * (1 - 0.75) and 5 * (0 - 0.75) for the samples inside.
    assert found.areas[0].estimate == pytest.approx(0.5 * (8 + 9 - 8 + 1.25 - 3.75))
    # Their own variance is 100² * 0.012 / 5 + 20² * 0.2031 / 4; that of the whole map's errors is larger. One of five and
    # three of four are reckoned as 1.5 / 6 and 3.5 / 5 where that gives more; 0.2 and 0.25 are more. 5 of 100 need no
    # finite population correction.
    expected = 40 * 100 / 5 * 0.2 + 12 * 20 / 4 * 0.25 * (1 - 4 / 20)
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
        here = whole.areas[k]
        if here.standard_error is not None and here.low is not None and here.high is not None:
            assert direct.standard_error is not None
            assert direct.low is not None
            assert direct.high is not None
            # The area of interest reckons with half an error more, so that it is never the surer one.
            assert here.standard_error >= direct.standard_error * (1 - 1e-9)
            assert here.low <= direct.low + 1e-6
            assert here.high >= direct.high - 1e-6
            assert (here.method == WILSON) == (direct.method == WILSON)
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
    # Half of the stratum lies inside: the squared distance of the whole stratum's Wilson limit is halved.
    assert found.areas[0].high == pytest.approx(np.sqrt(0.5) * 1000 * Z_95**2 / (40 + Z_95**2))
    assert found.areas[0].method == WILSON
    assert found.note is None


def test_the_errors_of_the_whole_map_widen_an_interval_in_which_no_error_was_met() -> None:
    design = Design(np.array([10_000]), np.zeros(100, dtype=int))
    member = (np.arange(100) < 10)[:, None]
    inside = (np.arange(100) >= 60)[:, None]  # forty samples inside, none of them among the ten changed ones
    (found,) = domain_estimates(design, member, inside, np.array([[1000]]), 1.0)
    half = 10.5 / 101  # ten of a hundred and half an error more
    expected = np.sqrt(1000 * 10_000 / 100 * half * (1 - half))
    assert found.areas[0].standard_error == pytest.approx(expected)
    assert (found.note, found.moved) == (None, (True,)), "100 - 40 * 100 * 0.1 < 0"
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


def test_nothing_observed_is_unknown_and_nothing_met_has_an_upper_limit() -> None:
    design = Design(np.array([100]), np.zeros(40, dtype=int))
    member = np.stack([np.arange(40) < 9, np.zeros(40, dtype=bool)], axis=1)
    inside = np.ones((40, 2), dtype=bool)
    empty, full = domain_estimates(design, member, inside, np.array([[0], [100]]), 1.0)
    high = 100 * Z_95**2 / (40 + Z_95**2) * np.sqrt(0.6)  # 40 of 100 were sampled
    assert empty.areas == (UNKNOWN, UNKNOWN)
    assert empty.note == "Nothing was observed here on both dates."
    assert full.areas[1] == Interval(0.0, pytest.approx(full.areas[1].standard_error), 0.0, pytest.approx(high), WILSON)
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
    pixels, sizes = (9000, 2500), (300, 100)
    design = Design(np.array(pixels), np.repeat([0, 1], sizes))
    inside = rng.random(400) < 0.3
    member = rng.random(400) < np.where(inside, 0.6, 0.02)
    (found,) = domain_estimates(design, member[:, None], inside[:, None], np.array([[2700, 300]]), 1.0)
    deviation = (member - design.means(member[:, None])[design.stratum, 0]) * inside
    variance = sum(
        n**2 * deviation[design.stratum == h].var(ddof=1) / m for h, (n, m) in enumerate(zip(pixels, sizes, strict=True))
    )
    assert found.areas[0].standard_error == pytest.approx(np.sqrt(variance))
    assert found.areas[0].method == SARNDAL


def rare(omission: float, seed: int, maps: int) -> tuple[np.ndarray, np.ndarray]:
    """Judge 470 unchanged pixels and 50 of each of 15 kinds; return the coverage of totals (domain) and kinds (domain)."""
    rng = np.random.default_rng(seed)
    shares, kinds = np.array([0.5, 0.3, 0.15, 0.05]), 15
    sizes = [470, *[50] * kinds]
    totals, each = [], []
    for _ in range(maps):
        pixels = np.stack(
            [rng.multinomial(222_000, shares), *(rng.multinomial(730, rng.dirichlet(4 * shares)) for _ in range(kinds))]
        )
        cells = np.zeros((kinds + 1, 4, kinds + 1), dtype=np.int64)  # stratum, domain, reference, 0 = unchanged
        cells[0] = rng.multinomial(pixels[0], [1 - omission, *[omission / kinds] * kinds])
        for kind in range(1, kinds + 1):
            cells[kind, :, kind] = rng.binomial(pixels[kind], 0.9)
            cells[kind, :, 0] = pixels[kind] - cells[kind, :, kind]
        drawn = [rng.multivariate_hypergeometric(c.ravel(), n, method="marginals") for c, n in zip(cells, sizes, strict=True)]
        counts = np.stack(drawn).reshape(cells.shape)
        stratum, domain, reference = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices(cells.shape))
        member = np.concatenate([reference[:, None] > 0, reference[:, None] == np.arange(1, kinds + 1)], axis=1)
        found = domain_estimates(Design(pixels.sum(axis=1), stratum), member, domain[:, None] == np.arange(4), pixels.T, 1.0)
        true = cells.sum(axis=0)[:, 1:]
        truths = np.concatenate([true.sum(axis=1, keepdims=True), true], axis=1)
        ends = np.array([[(a.low, a.high) for a in f.areas] for f in found], dtype=float)
        hit = (ends[..., 0] <= truths) & (truths <= ends[..., 1])
        totals.append(hit[:, 0])
        each.append(hit[:, 1:].mean(axis=1))
    return np.mean(totals, axis=0), np.mean(each, axis=0)


def test_rare_omissions_do_not_make_intervals_of_areas_too_narrow() -> None:
    for seed, omission in enumerate((0.001, 0.004, 0.0085, 0.02)):
        totals, kinds = rare(omission, seed, 120)
        assert (totals >= 0.93).all(), (omission, totals)
        assert (kinds >= 0.95).all(), (omission, kinds)
