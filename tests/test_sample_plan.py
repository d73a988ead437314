"""A sample is planned: strata that know where the map hesitated, and pixels where they shorten the interval most."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.sample.area_estimation import areas
from landshift.pipeline.sample.design import Design
from landshift.pipeline.sample.draw import DrawnSample, DrawnStratum, EarlierDraw, draw, draw_again
from landshift.pipeline.sample.planning.allocation import allocate_for_area, expect_interval
from landshift.pipeline.sample.planning.anticipation import MISSED_UNTESTED, RIGHT_UNTESTED, TestedKind, anticipate
from landshift.pipeline.sample.planning.plan import Aim, MapToSample, make_plan, plan_more, plan_strata
from landshift.pipeline.sample.planning.strata import make_strata, split_by_doubt, stratify

TestedKind.__test__ = False  # type: ignore[attr-defined]
NAMES = {1: "Unchanged", 2: "Forest to Cropland", 3: "Forest to Water", 4: "Cropland to Water"}


def doubts(**numbers: int) -> np.ndarray:
    found = np.zeros(201, dtype=np.int64)
    for number, n in numbers.items():
        found[int(number[1:])] = n
    return found


def test_the_cut_lies_where_the_strata_differ_most() -> None:
    # 1 % of 90,000 and 40 % of 10,000: every cut between them is the same, and the last one is told.
    assert split_by_doubt(doubts(n2=90_000, n80=10_000)) in range(3, 81)
    cut = split_by_doubt(doubts(n0=80_000, n10=10_000, n60=9_000, n90=1_000))
    spreads = {}
    pixels, share = doubts(n0=80_000, n10=10_000, n60=9_000, n90=1_000), np.maximum(np.arange(201) / 200, 0.01)
    for c in range(1, 201):
        parts = [(pixels[:c].sum(), (pixels * share)[:c].sum()), (pixels[c:].sum(), (pixels * share)[c:].sum())]
        if min(n for n, _ in parts) >= 200:
            spreads[c] = sum(n * math.sqrt(p / n * (1 - p / n)) for n, p in parts)
    assert spreads[cut] == pytest.approx(min(spreads.values()))
    assert split_by_doubt(doubts(n3=5_000)) is None
    assert split_by_doubt(doubts(n0=5_000, n90=100)) is None, "too few for a stratum of their own"


def test_strata_hold_each_observed_pixel_once() -> None:
    change = np.array([[0, 1, 1, 1], [2, 3, 4, 1]], dtype=np.uint8)
    probability = np.array([[255, 0, 40, 39], [180, 150, 140, 90]], dtype=np.uint8)
    counts = {1: 90_000, 2: 500, 3: 20, 4: 10}
    strata = make_strata(counts, NAMES, own=[2], probabilities=doubts(n0=80_000, n40=10_000))
    assert [(s.name, s.codes, s.pixels) for s in strata] == [
        ("Unchanged", (1,), 80_000), ("Unchanged, doubtful", (1,), 10_000), ("Forest to Cropland", (2,), 500),
        ("Other changes", (3, 4), 30),
    ]  # fmt: skip
    cut = strata[1].probability[0]
    found = stratify(change, probability, strata)
    expected = [[0, 1, 2, 2 if cut <= 39 else 1], [3, 4, 4, 2]]
    assert found.tolist() == expected
    plain = make_strata(counts, NAMES, own=[], probabilities=None)
    assert [(s.name, s.codes) for s in plain] == [("Unchanged", (1,)), ("All changes", (2, 3, 4))]
    assert stratify(change, None, plain).tolist() == [[0, 1, 1, 1], [2, 2, 2, 1]]
    with pytest.raises(ValueError, match="with a probability of None"):
        stratify(change, None, strata)


def test_one_rare_kind_keeps_its_name() -> None:
    strata = make_strata({1: 900, 2: 50}, NAMES, own=[], probabilities=None)
    assert [s.name for s in strata] == ["Unchanged", "Forest to Cropland"]
    assert [s.name for s in make_strata({2: 50}, NAMES, own=[2], probabilities=None)] == ["Forest to Cropland"]


def test_with_many_cases_the_allocation_is_neymans() -> None:
    pixels, shares = [9_000_000, 500_000, 300_000], [0.05, 0.3, 0.8]
    sizes = np.array(allocate_for_area(pixels, shares, minimum=2, size=12_000))
    wanted = np.array([n * math.sqrt(p * (1 - p)) for n, p in zip(pixels, shares, strict=True)])
    assert sizes.sum() == 12_000
    assert sizes / sizes.sum() == pytest.approx(wanted / wanted.sum(), rel=0.02)
    reached = expect_interval(np.array(pixels), np.array(shares), sizes)
    variance = sum(n**2 * p * (1 - p) / (k - 1) for n, p, k in zip(pixels, shares, sizes, strict=True))
    assert reached.relative_error == pytest.approx(math.sqrt(variance) / reached.changed, rel=0.01)


def test_no_other_allocation_is_expected_to_have_a_shorter_interval() -> None:
    pixels, shares = np.array([50_000, 4_000, 800]), np.array([0.004, 0.12, 0.75])
    best = allocate_for_area(pixels.tolist(), shares.tolist(), minimum=10, size=120)

    def squared(sizes: tuple[int, ...]) -> float:
        from landshift.pipeline.sample.design import wilson_limits

        n = np.array(sizes)
        low, high = wilson_limits(shares * n, n)
        return float((pixels**2 * (1 - n / pixels) * ((shares - low) ** 2 + (high - shares) ** 2)).sum())

    others = [(a, b, 120 - a - b) for a, b in itertools.product(range(10, 101), repeat=2) if 120 - a - b >= 10]
    assert squared(tuple(best)) <= min(map(squared, others)) * 1.001


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 1)), min_size=1, max_size=6), st.integers(2, 60),
    st.integers(12, 900),
)  # fmt: skip
def test_allocations_keep_their_promises(strata: list[tuple[int, float]], minimum: int, size: int) -> None:
    pixels, shares = [n for n, _ in strata], [p for _, p in strata]
    sizes = allocate_for_area(pixels, shares, minimum=minimum, size=size)
    least = max(2, min(minimum, size // len(pixels)))
    assert all(min(least, n) <= k <= n for k, n in zip(sizes, pixels, strict=True))
    assert sum(sizes) == min(size, sum(pixels))
    more = allocate_for_area(pixels, shares, minimum=2, size=size + 50, drawn=sizes)
    assert all(a <= b for a, b in zip(sizes, more, strict=True))
    assert sum(more) == min(size + 50, sum(pixels))


def test_a_target_is_reached_with_as_few_pixels_as_it_takes() -> None:
    pixels, shares = np.array([900_000, 60_000, 40_000]), np.array([0.002, 0.15, 0.8])
    sizes = np.array(allocate_for_area(pixels.tolist(), shares.tolist(), minimum=30, target=0.15))
    assert expect_interval(pixels, shares, sizes).relative_error <= 0.15
    fewer = np.array(allocate_for_area(pixels.tolist(), shares.tolist(), minimum=30, size=int(sizes.sum()) - 10))
    assert expect_interval(pixels, shares, fewer).relative_error > 0.15
    capped = allocate_for_area(pixels.tolist(), shares.tolist(), minimum=30, target=0.0001, size=500)
    assert sum(capped) == 500
    for wrong in ({"minimum": 1}, {"size": 3}, {"target": 0.0}):
        with pytest.raises(InputError):
            allocate_for_area(pixels.tolist(), shares.tolist(), **{"minimum": 30, **wrong})  # type: ignore[arg-type]


def test_a_census_expects_the_truth() -> None:
    found = expect_interval(np.array([40, 10]), np.array([0.1, 0.5]), np.array([40, 10]))
    assert (found.low, found.changed, found.high) == (9, 9, 9)
    assert found.relative_error == 0


def test_what_was_not_tested_is_assumed_and_said() -> None:
    found = anticipate([1, 2, 3], {})
    assert (found.right, found.missed) == ({2: RIGHT_UNTESTED, 3: RIGHT_UNTESTED}, MISSED_UNTESTED)
    assert all("not tested" in text and "assumed" in text for text in found.grounds)
    tested = anticipate([1, 2, 3], {2: TestedKind(0.4, 0.9, 100), 3: TestedKind(None, 0.5, 300), 4: TestedKind(1.0, None, 0)})
    assert tested.right == {2: 0.5, 3: RIGHT_UNTESTED}
    assert tested.missed == pytest.approx(min(1.5 * 0.4, 0.6))


def small_map(probabilities: np.ndarray | None = None) -> MapToSample:
    counts = {1: 190_000, 2: 6_000, 3: 300, 4: 150}
    return MapToSample(counts, NAMES, probabilities, anticipate(list(counts), {}), 0.01)


def test_rare_kinds_share_a_stratum_and_frequent_ones_do_not() -> None:
    strata = plan_strata(small_map(), Aim(size=900, minimum=20))
    assert [s.name for s in strata] == ["Unchanged", "Forest to Cropland", "Other changes"]
    assert sum(s.samples for s in strata) == 900
    few = plan_strata(small_map(), Aim(size=100, minimum=30))
    assert [s.name for s in few] == ["Unchanged", "All changes"]


def test_doubt_saves_pixels() -> None:
    vague, sure = plan_strata(small_map(), Aim(area_error=0.15)), doubts(n0=180_000, n60=10_000)
    strata = plan_strata(small_map(sure), Aim(area_error=0.15))
    assert "Unchanged, doubtful" in {s.name for s in strata}
    assert sum(s.samples for s in strata) < 0.9 * sum(s.samples for s in vague)
    plan = make_plan(small_map(sure), strata)
    assert plan.relative_error <= 0.15
    assert plan.hours == pytest.approx(plan.pixels * 30 / 3600, abs=0.01)
    assert plan.mapped_ha == 64.5
    assert plan.expected_low_ha < plan.expected_ha < plan.expected_high_ha


def test_the_default_takes_no_more_than_five_hours() -> None:
    assert sum(s.samples for s in plan_strata(small_map(), Aim())) == 600


def test_the_size_for_the_overall_accuracy_is_cochrans() -> None:
    strata = plan_strata(small_map(), Aim(accuracy_error=0.01))
    assert [s.name for s in strata] == ["Unchanged", "Forest to Cropland", "Forest to Water", "Cropland to Water"]
    assert [s.samples for s in strata[1:]] == [50, 50, 50]
    shares = [n / 196_450 for n in (190_000, 6_000, 450)]
    spread = shares[0] * math.sqrt(0.95 * 0.05) + (shares[1] + shares[2]) * math.sqrt(0.7 * 0.3)
    assert strata[0].samples == pytest.approx(spread**2 / 1e-4 * shares[0], rel=0.02)


def test_more_pixels_of_a_sample_are_drawn_beside_the_first_and_never_twice() -> None:
    codes = np.random.default_rng(0).integers(1, 4, (60, 50)).astype(np.uint8)
    first = draw(codes, {1: 200, 2: 50, 3: 30}, seed=3)
    second = draw(codes, {1: 100, 3: 20}, seed=3, without=first)
    pixels = [set(zip(s.rows.tolist(), s.columns.tolist(), strict=True)) for s in (first, second)]
    assert len(pixels[0] | pixels[1]) == 400
    assert np.bincount(codes[second.rows, second.columns], minlength=4).tolist() == [0, 100, 0, 20]
    everything = draw(codes, {3: int((codes == 3).sum()) - 30}, seed=9, without=first)
    both = np.concatenate([everything.rows, first.rows]), np.concatenate([everything.columns, first.columns])
    left = {(y, x) for y, x in zip(*both, strict=True) if codes[y, x] == 3}
    assert len(left) == (codes == 3).sum(), "what is left is found, each pixel once"
    with pytest.raises(InputError, match="are wanted and the map has"):
        draw(codes, {3: int((codes == 3).sum()) - 29}, seed=9, without=first)


def test_added_pixels_leave_all_equally_likely_and_do_not_follow_the_first() -> None:
    codes = np.ones((4, 5), dtype=np.uint8)
    times, pairs = np.zeros(codes.shape), 0
    for seed in range(2000):
        first = draw(codes, {1: 4}, seed=seed)
        second = draw(codes, {1: 6}, seed=seed, without=first)
        np.add.at(times, (first.rows, first.columns), 1)
        np.add.at(times, (second.rows, second.columns), 1)
        drawn = {*zip(first.rows.tolist(), first.columns.tolist(), strict=True)}
        drawn |= {*zip(second.rows.tolist(), second.columns.tolist(), strict=True)}
        pairs += {(0, 0), (0, 1)} <= drawn
    assert times / 2000 == pytest.approx(np.full(codes.shape, 10 / 20), abs=0.045)
    assert pairs / 2000 == pytest.approx(10 * 9 / (20 * 19), abs=0.04), "pairs are as likely as in one simple random sample"


def test_a_sample_with_additions_is_drawn_again() -> None:
    codes = np.repeat(np.array([1, 2], dtype=np.uint8), 300).reshape(20, 30)
    names = [DrawnStratum(1, "a", (1,), None, 300, samples=5, expected_changed=0.1)]
    names.append(DrawnStratum(2, "b", (2,), None, 300, samples=7, expected_changed=0.1))
    plan = make_plan(small_map(), names)
    record = DrawnSample("r", 8, tuple(names), plan, earlier=(EarlierDraw(4, (20, 10)), EarlierDraw(4, (3, 0))))
    found = draw_again(codes, record)
    parts = [draw(codes, {1: 20, 2: 10}, 4)]
    assert found.rows[:30].tolist() == parts[0].rows.tolist()
    assert len(set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))) == 45
    assert record.first_number == 34


def test_more_is_added_where_it_shortens_the_interval_most() -> None:
    map_ = small_map()
    strata = plan_strata(map_, Aim(size=150))
    first = DrawnSample("r", 0, strata, make_plan(map_, strata))
    more = plan_more(map_, first, size=100, area_error=None)
    together = plan_strata(map_, Aim(size=250))
    assert sum(s.samples for s in more) == 100
    assert [a.samples + b.samples for a, b in zip(strata, more, strict=True)] == [s.samples for s in together]
    enough = plan_more(map_, first, size=None, area_error=2.0)
    assert not sum(s.samples for s in enough)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_whatever_the_strata_a_census_is_the_truth(seed: int) -> None:
    """Strata that are merged or divided bias nothing: with all pixels judged each gives the true area without an interval."""
    rng = np.random.default_rng(seed)
    change, truth = rng.integers(1, 5, 400), rng.integers(0, 2, 400).astype(bool)
    probability = rng.integers(0, 201, 400).astype(np.uint8)
    for own in ([], [2], [2, 3, 4]):
        counts = {int(c): int(n) for c, n in zip(*np.unique(change, return_counts=True), strict=True)}
        numbers = np.bincount(probability[change == 1], minlength=201)
        strata = make_strata(counts, NAMES, own=own, probabilities=numbers)
        found = stratify(change[None].astype(np.uint8), probability[None], strata)[0]
        pixels = np.array([s.pixels for s in strata])
        assert np.bincount(found, minlength=len(strata) + 1)[1:].tolist() == pixels.tolist()
        (area,) = areas(Design(pixels, found.astype(np.int64) - 1), truth[:, None], 1.0)
        assert (area.estimate, area.low, area.high) == pytest.approx((truth.sum(),) * 3)
