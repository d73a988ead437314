"""The estimators give the figures of the papers, and their intervals cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.sample.area_estimation import (
    OLOFSSON,
    STEHMAN,
    UNKNOWN,
    ClassEstimate,
    Interval,
    areas,
    class_estimates,
    error_matrix,
    interval,
    overall_accuracy,
    producers_accuracies,
    ratio_estimates,
    shares,
    users_accuracies,
)
from landshift.pipeline.sample.design import WILSON, Z_95, Design, wilson_limits

OLOFSSON_2014 = ([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], [200_000, 150_000, 3_200_000, 6_450_000])
OLOFSSON_2013 = ([[97, 0, 3], [3, 279, 18], [2, 1, 97]], [22_353, 1_122_543, 610_228])


def judged(counts: list[list[int]], pixels: list[int]) -> tuple[Design, np.ndarray, np.ndarray]:
    """Turn a table of samples, map in rows, into samples; the strata are the map's classes."""
    table = np.array(counts)
    row, column = np.indices(table.shape)
    mapped, reference = np.repeat(row.ravel(), table.ravel()), np.repeat(column.ravel(), table.ravel())
    return Design(np.array(pixels), mapped), mapped, reference


def half(interval: Interval) -> float:
    assert interval.standard_error is not None
    return Z_95 * interval.standard_error


def test_olofsson_2014_table_8() -> None:
    design, mapped, reference = judged(*OLOFSSON_2014)
    found = class_estimates(design, mapped, reference, range(4), 0.09)
    assert [c.area.estimate for c in found] == pytest.approx([21157.762, 11686.154, 285769.930, 581386.154], abs=5e-4)
    assert [half(c.area) for c in found] == pytest.approx([6157.521, 3755.757, 15509.551, 16281.357], abs=5e-4)
    assert found[0].users_accuracy.estimate == pytest.approx(0.88, abs=1e-9)
    assert half(found[0].users_accuracy) == pytest.approx(0.0740396, abs=5e-8)
    assert found[0].producers_accuracy.estimate == pytest.approx(0.7486614, abs=5e-8)
    assert half(found[0].producers_accuracy) == pytest.approx(0.2133059, abs=5e-8)
    overall = overall_accuracy(design, mapped, reference)
    assert overall.estimate == pytest.approx(0.9465119, abs=5e-8)
    assert half(overall) == pytest.approx(0.0184833, abs=5e-8)


def test_olofsson_2013_example_1() -> None:
    design, mapped, reference = judged(*OLOFSSON_2013)
    first = class_estimates(design, mapped, reference, range(3), 1.0)[0]
    assert first.area.estimate == pytest.approx(45112.4, abs=0.05)
    assert first.area.standard_error == pytest.approx(10751.40, abs=0.005)
    overall = overall_accuracy(design, mapped, reference)
    assert overall.estimate == pytest.approx(0.9444168, abs=5e-8)
    assert half(overall) == pytest.approx(0.0218818, abs=5e-8)


STEHMAN_STRATA = "AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDDDDDDDD"
STEHMAN_MAP = "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"
STEHMAN_REFERENCE = "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"


def stehman() -> tuple[Design, np.ndarray, np.ndarray]:
    stratum, mapped, reference = (
        np.array(["ABCD".index(c) for c in text]) for text in (STEHMAN_STRATA, STEHMAN_MAP, STEHMAN_REFERENCE)
    )
    return Design(np.array([40_000, 30_000, 20_000, 10_000]), stratum), mapped, reference


def test_the_worked_example_of_stehman_2014_whose_strata_are_not_the_classes() -> None:
    design, mapped, reference = stehman()
    a, b, c, _ = class_estimates(design, mapped, reference, range(4), 1e-5)
    overall = overall_accuracy(design, mapped, reference)
    matrix = error_matrix(design, mapped, reference, range(4))[1] / 1e5
    found = [a.area, c.area, overall, b.users_accuracy, b.producers_accuracy]
    assert [i.estimate for i in found] == pytest.approx([0.35, 0.20, 0.63, 0.574, 0.794], abs=5e-4)
    assert [i.standard_error for i in found[:4]] == pytest.approx([0.082, 0.064, 0.085, 0.125], abs=5e-4)
    assert matrix[1, 2] == pytest.approx(0.08)
    assert matrix.sum() == pytest.approx(1)


def test_the_ratio_variance_is_equation_28_term_by_term() -> None:
    design, mapped, reference = stehman()
    y, x = ((mapped == 1) & (reference == 1)).astype(float), (reference == 1).astype(float)
    ratio, error = ratio_estimates(design, y[:, None], x[:, None])
    total = variance = 0.0
    for h, pixels in enumerate(design.pixels.tolist()):
        yh, xh = y[design.stratum == h], x[design.stratum == h]
        total += pixels * xh.mean()
        covariance = np.cov(yh, xh)
        spread = covariance[0, 0] + ratio[0] ** 2 * covariance[1, 1] - 2 * ratio[0] * covariance[0, 1]
        variance += pixels**2 * spread / len(yh)
    assert error[0] == pytest.approx(np.sqrt(variance) / total, rel=1e-12)


def test_a_stratum_sampled_whole_adds_no_uncertainty() -> None:
    whole = Design(np.array([4, 1000]), np.array([0, 0, 0, 0, 1, 1, 1]))
    member = np.array([1, 0, 1, 0, 0, 0, 0], dtype=bool)[:, None]
    known = areas(whole, member, 0.5)[0]
    assert (known.estimate, known.standard_error, known.low) == (1.0, 0.0, 1.0)
    assert known.high == pytest.approx(0.5 * (2 + 1000 * Z_95**2 / (3 + Z_95**2)))  # the second stratum was not
    both = Design(np.array([4, 3]), whole.stratum)
    assert areas(both, member, 0.5)[0] == Interval(1.0, 0.0, 1.0, 1.0, STEHMAN)
    assert shares(both, member, np.ones_like(member))[0].high == pytest.approx(2 / 7)
    part = Design(np.array([5, 1000]), whole.stratum)
    found = areas(part, member, 0.5)[0]
    assert found.standard_error is not None
    assert found.standard_error > 0


def test_a_lone_pixel_has_no_error_and_limits_that_allow_for_nearly_anything() -> None:
    design = Design(np.array([100, 50]), np.array([0, 0, 0, 1]))
    right = np.array([True, True, False, True])[:, None]
    found = areas(design, right, 1.0)[0]
    lows, highs = wilson_limits(np.array([2, 1]), np.array([3, 1]))
    below = np.hypot(100 * (2 / 3 - lows[0]), 50 * (1 - lows[1]))
    above = np.hypot(100 * (highs[0] - 2 / 3), 0)
    estimate = 100 * 2 / 3 + 50
    low, high = pytest.approx(estimate - below), pytest.approx(estimate + above)
    assert found == Interval(pytest.approx(estimate), None, low, high, WILSON)
    all_of_it = Design(np.array([100, 1]), design.stratum)
    assert shares(all_of_it, right, np.ones_like(right))[0].standard_error is not None


def test_only_what_a_lone_pixel_enters_loses_its_error() -> None:
    stratum = np.repeat([0, 1, 2], [40, 40, 1])
    mapped = reference = stratum.copy()
    reference = np.where(np.arange(81) % 4 == 0, (stratum + 1) % 2, stratum)
    design, with_more = Design(np.array([900, 500, 80]), stratum), Design(np.array([900, 500, 1]), stratum)
    first, second, third = class_estimates(design, mapped, reference, [0, 1, 2], 1.0)
    known = class_estimates(with_more, mapped, reference, [0, 1, 2], 1.0)
    assert (first.users_accuracy, second.users_accuracy) == (known[0].users_accuracy, known[1].users_accuracy)
    assert third.users_accuracy.standard_error is None
    assert third.users_accuracy.low is not None
    for one in (first, second):
        assert one.area.standard_error is None
        assert one.area.low is not None
        assert one.area.high is not None


def test_limits_with_a_lone_pixel_hold_the_truth() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(600):
        shares_in = rng.random(2)
        counts = rng.binomial([60, 1], shares_in)
        member = np.concatenate([np.arange(60) < counts[0], [bool(counts[1])]])[:, None]
        found = areas(Design(np.array([6000, 900]), np.repeat([0, 1], [60, 1])), member, 1.0)[0]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 6000 * shares_in[0] + 900 * shares_in[1] <= found.high
    assert held / 600 > 0.92


def test_what_the_sample_did_not_meet_has_an_upper_limit() -> None:
    design, mapped, reference = judged([[10, 0], [0, 20]], [100, 900])
    first, _, third = class_estimates(design, mapped, reference, [0, 1, 2], 1.0)
    part = [1 - 10 / 100, 1.0]  # more than 5 % of the first stratum was sampled
    high = np.sqrt(sum((n * Z_95**2 / (m + Z_95**2)) ** 2 * f for n, m, f in zip((100, 900), (10, 20), part, strict=True)))
    assert third == ClassEstimate(2, Interval(0.0, 0.0, 0.0, pytest.approx(high), WILSON), UNKNOWN, UNKNOWN, 0, 0)
    low = 1 - np.sqrt(0.9) * (1 - wilson_limits(np.array(10), np.array(10))[0])
    assert first.users_accuracy == Interval(1.0, 0.0, pytest.approx(low), 1.0, WILSON)
    assert first.producers_accuracy.low == pytest.approx(100 * low / (100 * low + 900 * Z_95**2 / (20 + Z_95**2)))
    assert first.producers_accuracy.high == 1.0
    assert (first.mapped_samples, first.reference_samples) == (10, 10)


def test_intervals_are_cut_at_what_is_possible_and_the_error_is_not() -> None:
    design, mapped, reference = judged([[5, 5], [5, 5]], [1000, 1000])
    found = class_estimates(design, mapped, reference, [0, 1], 1.0)[0]
    assert found.area.method == found.users_accuracy.method == OLOFSSON
    assert found.users_accuracy.high == pytest.approx(0.5 + half(found.users_accuracy))
    wide = interval(0.9, 0.1, 1.0)
    assert (wide.low, wide.high) == (pytest.approx(0.9 - 0.1 * Z_95), 1.0)
    assert interval(0.1, 0.1, 1.0).low == 0


def test_wilson_limits_are_those_of_newcombe_1998() -> None:
    # Table I of doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, method 3.
    low, high = wilson_limits(np.array([81, 15, 0, 1]), np.array([263, 148, 20, 29]))
    assert low.tolist() == pytest.approx([0.2553, 0.0624, 0, 0.0061], abs=5e-5)
    assert high.tolist() == pytest.approx([0.3662, 0.1605, 0.1611, 0.1718], abs=5e-5)


def test_limits_of_a_total_by_hand() -> None:
    """Two of 100 in the large stratum, so few that its Wilson limits are combined with those of the other one."""
    design = Design(np.array([100_000, 2_000]), np.repeat([0, 1], [100, 50]))
    member = np.concatenate([np.arange(100) < 2, np.arange(50) < 30])[:, None]
    found = areas(design, member, 1.0)[0]
    (low, other_low), (high, other_high) = wilson_limits(np.array([2, 30]), np.array([100, 50]))
    estimate = 100_000 * 0.02 + 2_000 * 0.6
    assert found.estimate == pytest.approx(estimate)
    assert found.low == pytest.approx(estimate - np.hypot(100_000 * (0.02 - low), 2_000 * (0.6 - other_low)))
    assert found.high == pytest.approx(estimate + np.hypot(100_000 * (high - 0.02), 2_000 * (other_high - 0.6)))
    assert found.method == WILSON
    often = np.concatenate([np.arange(100) < 5, np.arange(50) < 30])[:, None]
    assert areas(design, often, 1.0)[0].method == STEHMAN
    unimportant = Design(np.array([100, 200_000]), design.stratum)
    assert areas(unimportant, member, 1.0)[0].method == STEHMAN


def test_many_strata_without_a_case_are_few_cases_together() -> None:
    design = Design(np.full(20, 1000), np.repeat(np.arange(20), 30))
    found = areas(design, (design.stratum == 0)[:, None], 1.0)[0]
    assert found.method == WILSON
    assert found.standard_error == 0
    assert found.low is not None
    assert found.low < 1000 < (found.high or 0)


def test_the_finite_population_correction_is_cochrans() -> None:
    member = (np.arange(50) < 20)[:, None]
    part = areas(Design(np.array([80]), np.zeros(50, dtype=int)), member, 1.0)[0]
    tiny = areas(Design(np.array([80_000]), np.zeros(50, dtype=int)), member, 1.0)[0]
    variance = 0.4 * 0.6 * 50 / 49 / 50
    assert part.standard_error == pytest.approx(80 * np.sqrt(variance * (1 - 50 / 80)))
    assert tiny.standard_error == pytest.approx(80_000 * np.sqrt(variance))


def test_samples_that_no_map_can_give_are_refused() -> None:
    with pytest.raises(ValueError, match="sampled"):
        Design(np.array([10, 10]), np.array([0, 0]))
    with pytest.raises(ValueError, match="sampled"):
        Design(np.array([1]), np.array([0, 0]))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=4, max_size=60), st.integers(1, 50)
)
def test_laws(samples: list[tuple[int, int, int]], scale: int) -> None:
    strata, mapped, reference = np.array(samples).T
    present, stratum = np.unique(strata, return_inverse=True)
    design = Design(np.bincount(stratum) * (present + 1) * scale, stratum)
    found = class_estimates(design, mapped, reference, range(3), 2.0)
    total = 2.0 * design.total
    assert sum(c.area.estimate or 0 for c in found) == pytest.approx(total)
    assert error_matrix(design, mapped, reference, range(3))[1].sum() * 2 == pytest.approx(total)
    for estimate in found:
        for share in (estimate.users_accuracy, estimate.producers_accuracy, estimate.area):
            most = total if share is estimate.area else 1
            if share.low is not None and share.high is not None and share.estimate is not None:
                assert 0 <= share.low <= share.estimate + 1e-9
                assert share.estimate <= share.high + 1e-9 <= most + 1e-6
    order = np.random.default_rng(0).permutation(len(mapped))
    shuffled = class_estimates(Design(design.pixels, stratum[order]), mapped[order], reference[order], range(3), 2.0)
    for one, other in zip(found, shuffled, strict=True):
        assert one.area.estimate == (None if other.area.estimate is None else pytest.approx(other.area.estimate))


def simulated(seed: int, maps: int = 500) -> dict[str, float]:
    """Share of simulated maps whose truth lies in the interval, by quantity."""
    rng = np.random.default_rng(seed)
    hits: dict[str, list[bool]] = {}
    rates = np.array([[0.96, 0.025, 0.015], [0.2, 0.75, 0.05], [0.15, 0.1, 0.75]])
    for _ in range(maps):
        pixels = rng.multinomial(1_000_000, rng.dirichlet([80, 12, 8]))
        table = np.stack([rng.multinomial(n, rng.dirichlet(60 * r)) for n, r in zip(pixels, rates, strict=True)])
        sizes = (400, 150, 150)
        counts = [
            rng.multivariate_hypergeometric(row, n, method="marginals").tolist() for row, n in zip(table, sizes, strict=True)
        ]
        design, mapped, reference = judged(counts, pixels.tolist())
        right = table.diagonal()
        for k, found in enumerate(class_estimates(design, mapped, reference, range(3), 1.0)):
            truths = {"area": table[:, k].sum(), "users": right[k] / pixels[k], "producers": right[k] / table[:, k].sum()}
            intervals = {"area": found.area, "users": found.users_accuracy, "producers": found.producers_accuracy}
            for name, truth in truths.items():
                low, high = intervals[name].low, intervals[name].high
                assert low is not None
                assert high is not None
                hits.setdefault(f"{name} {k}", []).append(low <= truth <= high)
        overall = overall_accuracy(design, mapped, reference)
        assert overall.low is not None
        assert overall.high is not None
        hits.setdefault("overall", []).append(overall.low <= right.sum() / 1e6 <= overall.high)
    return {name: float(np.mean(found)) for name, found in hits.items()}


def test_intervals_cover_the_truth_of_simulated_maps() -> None:
    covered = simulated(0, maps=3000)
    for name, share in covered.items():
        low, high = (0.93, 0.97) if name.startswith(("area", "overall")) else (0.91, 0.98)
        assert low <= share <= high, covered


KINDS = 15
UNCHANGED_SAMPLES, SAMPLES_OF_A_KIND = 470, 50
PIXELS, PIXELS_OF_A_KIND = 222_000, 730


def judged_maps(omission: float, maps: int, seed: int) -> tuple[Design, np.ndarray, np.ndarray, np.ndarray]:
    """Judge samples of one map, each kind of whose changes is right in 9 of 10 pixels and omitted alike often.

    Returns:
        The design, whether a sampled pixel is of a kind, bool (sample, map, kind), and the true pixels of each kind, those
        mapped right and the omitted ones.
    """
    rng = np.random.default_rng(seed)
    omitted, right = round(PIXELS * omission / KINDS), round(PIXELS_OF_A_KIND * 0.9)
    population = [omitted] * KINDS + [PIXELS - omitted * KINDS]
    missed = rng.multivariate_hypergeometric(population, UNCHANGED_SAMPLES, size=maps)[:, :KINDS]
    found = rng.hypergeometric(right, PIXELS_OF_A_KIND - right, SAMPLES_OF_A_KIND, size=(maps, KINDS))
    design = Design(
        np.array([PIXELS, *[PIXELS_OF_A_KIND] * KINDS]),
        np.repeat(np.arange(KINDS + 1), [UNCHANGED_SAMPLES, *[SAMPLES_OF_A_KIND] * KINDS]),
    )
    member = np.zeros((len(design.stratum), maps, KINDS), dtype=bool)
    place = np.arange(UNCHANGED_SAMPLES)[:, None, None]
    ends = np.cumsum(missed, axis=1)
    member[:UNCHANGED_SAMPLES] = (place >= ends - missed) & (place < ends)
    for kind in range(KINDS):
        own = np.arange(SAMPLES_OF_A_KIND)[:, None] < found[:, kind]
        member[design.stratum == kind + 1, :, kind] = own
    return design, member, np.full(KINDS, right), np.full(KINDS, omitted)


def coverage(found: list[Interval], truth: float) -> float:
    return float(np.mean([i.low is not None and i.high is not None and i.low <= truth <= i.high for i in found]))


def test_rare_omissions_do_not_make_intervals_too_narrow() -> None:
    """Wald's intervals cover kinds in 24 to 95 % and the total in 63 to 93 % of such samples."""
    covered: dict[str, list[float]] = {}
    for seed, omission in enumerate((0.001, 0.002, 0.004, 0.0085, 0.012, 0.02)):
        design, member, right, omitted = judged_maps(omission, 400, seed)
        total, kinds = member.any(axis=2), member.reshape(len(member), -1)
        mapped = np.broadcast_to((design.stratum > 0)[:, None], total.shape)
        of_kind = np.broadcast_to((design.stratum[:, None] == np.arange(1, KINDS + 1))[:, None], member.shape)
        of_kind = of_kind.reshape(kinds.shape)
        changed, missed = float(right.sum()), float(omitted.sum())
        shown = {
            "total": (areas(design, total, 1.0), changed + missed),
            "kinds": (areas(design, kinds, 1.0), (changed + missed) / KINDS),
            "users": (users_accuracies(design, of_kind, kinds), right[0] / PIXELS_OF_A_KIND),
            "producers": (producers_accuracies(design, mapped, total), changed / (changed + missed)),
        }
        for name, (found, truth) in shown.items():
            covered.setdefault(name, []).append(coverage(found, truth))
            assert all(i.high is not None and i.low is not None and i.high > i.low for i in found)
    for name, shares_covered in covered.items():
        assert min(shares_covered) >= 0.90, covered
        assert 0.93 <= np.mean(shares_covered) <= (0.99 if name == "users" else 0.98), covered
