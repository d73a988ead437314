"""The estimators give the figures of the papers, and their intervals cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.area_estimation import (
    UNKNOWN,
    Z_95,
    ClassEstimate,
    Design,
    Interval,
    areas,
    class_estimates,
    error_matrix,
    overall_accuracy,
    ratio_estimates,
    shares,
)  # fmt: skip

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
    assert areas(whole, member, 0.5)[0] == Interval(1.0, 0.0, 1.0, 1.0)
    part = Design(np.array([5, 1000]), whole.stratum)
    found = areas(part, member, 0.5)[0]
    assert found.standard_error is not None
    assert found.standard_error > 0


def test_of_a_lone_pixel_no_uncertainty_is_told() -> None:
    design = Design(np.array([100, 50]), np.array([0, 0, 0, 1]))
    right = np.array([True, True, False, True])[:, None]
    assert shares(design, right, np.ones_like(right))[0] == Interval(pytest.approx((100 * 2 / 3 + 50) / 150), None, None, None)
    all_of_it = Design(np.array([100, 1]), design.stratum)
    assert shares(all_of_it, right, np.ones_like(right))[0].low is not None


def test_what_the_sample_did_not_meet_is_not_known() -> None:
    design, mapped, reference = judged([[10, 0], [0, 20]], [100, 900])
    first, _, third = class_estimates(design, mapped, reference, [0, 1, 2], 1.0)
    assert third == ClassEstimate(2, UNKNOWN, UNKNOWN, UNKNOWN, 0, 0)
    assert first.users_accuracy == Interval(1.0, 0.0, 1.0, 1.0)  # no error was met; the notes say that this is no proof
    assert (first.mapped_samples, first.reference_samples) == (10, 10)


def test_intervals_are_cut_at_what_is_possible_and_the_error_is_not() -> None:
    design, mapped, reference = judged([[9, 1], [1, 9]], [1000, 1000])
    found = class_estimates(design, mapped, reference, [0, 1], 1.0)[0]
    assert found.users_accuracy.high == 1.0
    assert found.users_accuracy.estimate == pytest.approx(0.9)
    assert half(found.users_accuracy) > 0.1
    rare, *_ = judged([[1, 49]], [10**6])
    low = areas(rare, np.arange(50)[:, None] == 0, 1.0)[0]
    assert low.low == 0
    assert low.estimate == pytest.approx(20_000)


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
