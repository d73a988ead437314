"""Verdicts have their known values, abstain where they must, and are right as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.evidence import (
    HELPS,
    HURTS,
    NO_EVIDENCE,
    Difference,
    TransferVerdict,
    f1_gain,
    interval_of_pairs,
    judge_transfer,
)
from landshift.pipeline.scores.ranking import kendall_tau, rank_with_abstention, resample_groups

NAMES = ("ImageNet", "random weights")
OPPOSITE = {HELPS: HURTS, HURTS: HELPS, NO_EVIDENCE: NO_EVIDENCE}
T_2, T_3 = 4.302652729911275, 3.182446305284263  # 97.5 % of Student's t with 2 and 3 degrees of freedom, from tables


def judged(candidate: dict, control: dict, **more: float) -> TransferVerdict:
    return judge_transfer(candidate, control, names=NAMES, **more)


def trained(regions: dict[str, list[float | None]]) -> dict[tuple[str, int], float | None]:
    return {(region, seed): f1 for region, values in regions.items() for seed, f1 in enumerate(values)}


def test_interval_of_a_mean() -> None:
    found = interval_of_pairs([1.0, 2.0, 3.0])
    assert found.estimate == 2
    assert found.low == pytest.approx(2 - T_2 / np.sqrt(3), abs=1e-6)  # the standard deviation is 1
    assert found.high == pytest.approx(2 + T_2 / np.sqrt(3), abs=1e-6)
    assert (found.n, found.level) == (3, 0.95)
    # With one degree of freedom t is Cauchy: half of it lies within 1.
    half = interval_of_pairs([0.0, 2.0], level=0.5)
    assert (half.low, half.high) == (pytest.approx(0), pytest.approx(2))


def test_interval_without_enough_to_go_by() -> None:
    assert interval_of_pairs([]) == Difference(None, None, None, 0, 0.95)
    assert interval_of_pairs([0.3]) == Difference(0.3, None, None, 1, 0.95)
    assert interval_of_pairs([0.3, 0.3, 0.3]) == Difference(0.3, 0.3, 0.3, 3, 0.95)
    with pytest.raises(ValueError, match="finite"):
        interval_of_pairs([0.1, np.nan])
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval_of_pairs([0.1], level=95)


def test_a_candidate_that_helps_in_every_region() -> None:
    control = trained({r: [0.5, 0.5, 0.5] for r in "abcd"})
    candidate = trained({"a": [0.55, 0.56, 0.57], "b": [0.57, 0.58, 0.59], "c": [0.59, 0.60, 0.61], "d": [0.57, 0.58, 0.59]})
    found = judged(candidate, control)
    reach = T_3 * np.std([0.06, 0.08, 0.10, 0.08], ddof=1) / 2
    assert found.verdict == HELPS
    assert found.interval.estimate == pytest.approx(0.08)
    assert found.interval.low == pytest.approx(0.08 - reach, abs=1e-6)
    assert found.interval.high == pytest.approx(0.08 + reach, abs=1e-6)
    assert found.interval.n == 4
    assert [(r.name, r.verdict, r.interval.n) for r in found.regions] == [(r, HELPS, 3) for r in "abcd"]
    assert found.regions[0].differences == pytest.approx((0.05, 0.06, 0.07))
    assert found.notes == ()
    assert found.sentence == (
        "Over 4 held-out regions and 3 seeds, starting from ImageNet instead of random weights changed F1 by +0.080 "
        "(95 % interval +0.054 to +0.106): it helps here."
    )
    assert judged(control, candidate).verdict == HURTS
    assert "it hurts here" in judged(control, candidate).sentence


def test_seeds_are_no_evidence_about_a_territory() -> None:
    """Twenty seeds agree in each of two regions, and the regions do not agree with each other."""
    rng = np.random.default_rng(0)
    control = trained({"a": [0.5] * 20, "b": [0.5] * 20})
    found = judged(trained({"a": list(0.6 + rng.normal(0, 0.001, 20)), "b": list(0.51 + rng.normal(0, 0.001, 20))}), control)
    assert [r.verdict for r in found.regions] == [HELPS, HELPS]
    assert found.verdict == NO_EVIDENCE
    assert found.interval.n == 2
    assert found.sentence.endswith("this does not show that it helps or hurts.")


def test_a_region_counts_once_however_many_seeds_it_has() -> None:
    control = trained({"a": [0.5], "b": [0.5] * 3, "c": [0.5] * 2})
    found = judged(trained({"a": [0.6], "b": [0.5] * 3, "c": [0.5] * 2}), control)
    assert found.interval.estimate == pytest.approx(0.1 / 3)
    assert "1 to 3 seeds" in found.sentence
    assert found.regions[0].interval.low is None
    assert found.regions[0].verdict == NO_EVIDENCE


def test_regions_of_one_fold_count_once() -> None:
    """The same trainings judge a and b, so that they are no two witnesses."""
    control = trained({r: [0.5, 0.5] for r in "abcd"})
    candidate = trained({"a": [0.6, 0.6], "b": [0.64, 0.64], "c": [0.55, 0.55], "d": [0.58, 0.58]})
    found = judged(candidate, control, folds={"a": 0, "b": 0, "c": 1, "d": 2})
    means = [0.12, 0.05, 0.08]
    assert found.interval.n == 3
    assert found.interval.estimate == pytest.approx(np.mean(means))
    assert found.interval.high == pytest.approx(np.mean(means) + T_2 * np.std(means, ddof=1) / np.sqrt(3), abs=1e-6)
    assert [r.name for r in found.regions] == list("abcd")
    assert "Over 4 held-out regions" in found.sentence
    apart = judged(candidate, control, folds={r: k for k, r in enumerate("dbca")})
    assert apart == judged(candidate, control)
    assert (apart.interval.n, apart.verdict) == (4, HELPS)


def test_a_single_fold_gives_no_interval_however_many_regions_it_holds() -> None:
    found = judged(
        trained({r: [0.6, 0.61] for r in "abc"}), trained({r: [0.5, 0.5] for r in "abc"}), folds=dict.fromkeys("abc", 0)
    )  # fmt: skip
    assert (found.verdict, found.interval.n, found.interval.low) == (NO_EVIDENCE, 1, None)
    assert found.sentence.endswith("one fold gives no interval, so this is no evidence.")


def test_one_region_speaks_for_itself_alone() -> None:
    found = judged(trained({"a": [0.60, 0.61, 0.62]}), trained({"a": [0.5] * 3}))
    assert found.verdict == HELPS
    assert found.interval == found.regions[0].interval
    assert found.notes == ("Only a was held out: this does not hold for other regions.",)
    assert "Over 1 held-out region and 3 seeds" in found.sentence


def test_one_training_proves_nothing() -> None:
    found = judged({("a", 0): 0.9}, {("a", 0): 0.1})
    assert found.verdict == NO_EVIDENCE
    assert found.interval.low is None
    assert found.sentence.endswith("one training of each gives no interval, so this is no evidence.")


def test_a_diverged_candidate_gives_no_map() -> None:
    found = judged(trained({"a": [0.6, None], "b": [0.6, 0.6]}), trained({"a": [0.5, 0.4], "b": [0.5, 0.5]}))
    assert found.regions[0].differences == pytest.approx((0.1, -0.4))
    assert found.notes == ("ImageNet diverged and counts as F1 0: a with seed 1.",)


def test_a_diverged_control_does_not_speak_for_the_candidate() -> None:
    control = trained({"a": [0.5, None], "b": [None, None]})
    found = judged(trained({"a": [0.6, 0.6], "b": [0.6, None]}), control)
    assert [(r.name, r.differences) for r in found.regions] == [("a", (pytest.approx(0.1),))]
    assert found.notes == (
        "random weights diverged, so the pair is left out: a with seed 1, b with seed 0, b with seed 1.",
        "Only a was held out: this does not hold for other regions.",
    )


def test_trainings_without_a_partner_are_named() -> None:
    found = judged(trained({"a": [0.6, 0.6, 0.6]}), {("a", 0): 0.5, ("a", 1): 0.5, ("b", 0): 0.1})
    assert found.regions[0].interval.n == 2
    assert found.notes[0] == "Only one of the two was trained, so left out: a with seed 2, b with seed 0."


@pytest.mark.parametrize("control", [{}, {("a", 0): None}])
def test_without_a_control_there_is_no_evidence(control: dict) -> None:
    found = judged({("a", 0): 0.9}, control)
    assert found.verdict == NO_EVIDENCE
    assert found.interval == Difference(None, None, None, 0, 0.95)
    assert any("there is no control" in note for note in found.notes)
    assert "It is not known what" in found.sentence


def test_a_difference_too_small_to_matter() -> None:
    candidate, control = trained({"a": [0.52, 0.521], "b": [0.52, 0.521]}), trained({"a": [0.5, 0.5], "b": [0.5, 0.5]})
    assert judged(candidate, control).verdict == HELPS
    small = judged(candidate, control, smallest=0.05)
    assert small.verdict == NO_EVIDENCE
    assert small.sentence.endswith("does not show that it helps or hurts by more than 0.05.")
    with pytest.raises(ValueError, match="at least 0"):
        judged(candidate, control, smallest=-0.1)


def test_the_last_digit_of_a_float_is_no_effect() -> None:
    noise = 0.1 + 0.2 - 0.3
    assert noise > 0
    assert judged(trained({r: [noise] for r in "abc"}), trained({r: [0.0] for r in "abc"})).verdict == NO_EVIDENCE


scores = st.integers(0, 1000).map(lambda n: n / 1000)
keys = st.tuples(st.sampled_from("abcd"), st.integers(0, 2))
pairs = st.dictionaries(keys, st.tuples(scores, scores), min_size=1)


@settings(deadline=None)
@given(pairs, st.sampled_from([0.0, 0.02]))
def test_swapping_negates_the_verdict(drawn: dict, smallest: float) -> None:
    one, other = ({key: pair[i] for key, pair in drawn.items()} for i in (0, 1))
    there, back = judged(one, other, smallest=smallest), judged(other, one, smallest=smallest)
    assert back.verdict == OPPOSITE[there.verdict]
    assert [r.verdict for r in back.regions] == [OPPOSITE[r.verdict] for r in there.regions]
    assert back.interval.estimate == pytest.approx(-there.interval.estimate, abs=1e-12)
    if there.interval.low is not None:
        assert back.interval.low == pytest.approx(-there.interval.high, abs=1e-12)


@settings(deadline=None)
@given(pairs, st.sampled_from([-0.5, -0.25, 0.25, 0.5]))
def test_what_both_gain_changes_nothing(drawn: dict, gain: float) -> None:
    one, other = ({key: pair[i] for key, pair in drawn.items()} for i in (0, 1))
    before = judged(one, other)
    after = judged({k: v + gain for k, v in one.items()}, {k: v + gain for k, v in other.items()})
    assert after.verdict == before.verdict
    assert after.interval.estimate == pytest.approx(before.interval.estimate, abs=1e-12)


@settings(deadline=None)
@given(pairs, keys)
def test_a_candidate_that_diverges_never_gains(drawn: dict, key: tuple[str, int]) -> None:
    one, other = ({k: pair[i] for k, pair in drawn.items()} for i in (0, 1))
    spoilt = one | ({key: None} if key in one else {})
    assert judged(spoilt, other).interval.estimate <= judged(one, other).interval.estimate + 1e-12


def test_without_an_effect_about_one_verdict_in_twenty_is_wrong() -> None:
    """Regions differ in how the ground suits each of the two, seeds differ in luck; on average neither is better."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(1000):
        ground = rng.normal(0, 0.05, (4, 1))
        values = 0.5 + rng.normal(0, 0.03, (2, 4, 3)) + np.stack([ground, -ground]) / 2
        one, other = ({(f"r{r}", s): float(side[r, s]) for r in range(4) for s in range(3)} for side in values)
        wrong += judged(one, other).verdict != NO_EVIDENCE
    assert 30 <= wrong <= 70  # 50 expected, three standard errors are 21


def test_regions_that_share_a_training_make_no_more_verdicts_wrong() -> None:
    """Eight regions in four folds: those of a fold share the luck of its trainings."""
    rng = np.random.default_rng(3)
    folds = {f"r{r}": r // 2 for r in range(8)}
    wrong = {True: 0, False: 0}
    for _ in range(500):
        luck, own = rng.normal(0, 0.05, 4), rng.normal(0, 0.01, 8)
        control = {(f"r{r}", 0): 0.5 for r in range(8)}
        candidate = {(f"r{r}", 0): 0.5 + float(luck[r // 2] + own[r]) for r in range(8)}
        for by_fold in wrong:
            wrong[by_fold] += judged(candidate, control, folds=folds if by_fold else None).verdict != NO_EVIDENCE
    assert 10 <= wrong[True] <= 40  # 25 expected, three standard errors are 15
    assert wrong[False] > 2 * wrong[True]


def test_resamples_hold_whole_groups() -> None:
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    drawn = resample_groups(groups, 200, seed=1)
    assert len(drawn) == 200
    size = {"a": 3, "b": 2, "c": 1}
    for index in drawn:
        names, count = np.unique(groups[index], return_counts=True)
        assert sum(n / size[name] for name, n in zip(names, count, strict=True)) == 3
        whole = np.unique(index, return_counts=True)
        for name in names:
            assert len(set(whole[1][groups[whole[0]] == name])) == 1
    assert any(len(np.unique(groups[index])) == 1 for index in drawn)
    again = resample_groups(groups, 200, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(drawn, resample_groups(groups, 200, seed=2), strict=True))


def test_resamples_need_groups() -> None:
    with pytest.raises(InputError, match="at least 2"):
        resample_groups(np.zeros(5), 10, 0)
    with pytest.raises(InputError, match="0 region"):
        resample_groups(np.zeros(0), 10, 0)
    with pytest.raises(ValueError, match="expected"):
        resample_groups(np.zeros((2, 2)), 10, 0)


def replicates(centre: float, seed: int = 0, spread: float = 0.01) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, spread, 400)


def test_the_first_is_chosen_where_it_is_told_apart() -> None:
    found = rank_with_abstention(
        {"b": replicates(0.6, 1), "a": replicates(0.8, 2), "c": replicates(0.6, 3)}, {"a": 0.8, "b": 0.61, "c": 0.6}
    )
    assert found.choice == "a"
    assert [(r.name, r.rank, r.tied_with) for r in found.rows] == [("a", 1, ()), ("b", 2, ("c",)), ("c", 3, ("b",))]
    assert found.rows[0].low == pytest.approx(np.quantile(replicates(0.8, 2), 0.025))
    assert found.rows[0].high == pytest.approx(np.quantile(replicates(0.8, 2), 0.975))
    assert found.sentence.startswith("a is told apart")


def test_it_abstains_where_the_first_is_not_told_apart() -> None:
    found = rank_with_abstention(
        {"a": replicates(0.8, 1), "b": replicates(0.8, 2), "c": replicates(0.5, 3)}, {"a": 0.801, "b": 0.8, "c": 0.5}
    )
    assert found.choice is None
    assert "abstains" in found.sentence
    assert "do not distinguish a and b" in found.sentence
    assert found.rows[2].tied_with == ()


def test_pairs_of_the_same_resamples_tell_more_apart() -> None:
    """What makes a resample hard for all moves both scores; their difference is sure."""
    common = replicates(0.7, 1, spread=0.1)
    found = rank_with_abstention({"a": common + 0.01, "b": common}, {"a": 0.71, "b": 0.7})
    assert found.rows[0].low < found.rows[1].high
    assert found.choice == "a"


def test_a_resample_without_a_score_is_dropped_for_its_pairs() -> None:
    b = replicates(0.6, 2)
    b[::4] = np.nan
    assert rank_with_abstention({"a": replicates(0.8, 1), "b": b}, {"a": 0.8, "b": 0.6}).choice == "a"
    b[39:] = np.nan  # too few for a tail of 2.5 %
    few = rank_with_abstention({"a": replicates(0.8, 1), "b": b}, {"a": 0.8, "b": 0.6})
    assert few.choice is None
    assert (few.rows[1].low, few.rows[1].high) == (None, None)


def test_one_encoder_has_no_rival() -> None:
    found = rank_with_abstention({"a": replicates(0.5)}, {"a": 0.5})
    assert found.choice == "a"
    assert "nothing to compare" in found.sentence


def test_rankings_need_the_same_encoders_and_resamples() -> None:
    with pytest.raises(ValueError, match="same encoders"):
        rank_with_abstention({"a": replicates(0.5)}, {"b": 0.5})
    with pytest.raises(ValueError, match="same encoders"):
        rank_with_abstention({}, {})
    with pytest.raises(ValueError, match="paired"):
        rank_with_abstention({"a": np.zeros(5), "b": np.zeros(6)}, {"a": 0.5, "b": 0.5})
    with pytest.raises(ValueError, match="finite"):
        rank_with_abstention({"a": np.zeros(5)}, {"a": np.nan})


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.integers(2, 5))
def test_ties_are_mutual_and_the_choice_has_none(seed: int, encoders: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"e{i}": rng.normal(rng.uniform(0, 0.05), 0.01, 100) for i in range(encoders)}
    found = rank_with_abstention(values, {name: float(v.mean()) for name, v in values.items()})
    ties = {row.name: row.tied_with for row in found.rows}
    assert all(name in ties[other] for name, others in ties.items() for other in others)
    assert [row.score for row in found.rows] == sorted((row.score for row in found.rows), reverse=True)
    assert (found.choice is None) == bool(found.rows[0].tied_with)


def test_agreement_of_rankings() -> None:
    score = {name: float(i) for i, name in enumerate("abcdef")}
    same = kendall_tau(score, {name: 10 * value for name, value in score.items()})
    assert (same.tau, same.n) == (pytest.approx(1), 6)
    assert same.p_value == pytest.approx(2 / 720)  # both of the 6! orders that are as extreme
    assert "in the order of the results" in same.sentence
    assert "opposite" in kendall_tau(score, {name: -value for name, value in score.items()}).sentence
    # One of the three pairs is swapped.
    one = kendall_tau({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3, "c": 2, "d": 9})
    assert (one.tau, one.n) == (pytest.approx(1 / 3), 3)
    assert "chance" in one.sentence


def test_agreement_that_is_not_defined() -> None:
    assert kendall_tau({"a": 1, "b": 2, "c": np.nan}, {"a": 1, "b": 2, "c": 3}).tau is None
    assert "at least 3" in kendall_tau({"a": 1}, {"b": 2}).sentence
    level = kendall_tau({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 3})
    assert (level.tau, level.p_value, level.n) == (None, None, 3)
    assert "same score" in level.sentence


def maps(seed: int, n: int = 400, groups: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the truth, two maps that are wrong in 30 % and 10 % of the pixels, and blocks."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.4).astype(np.uint8)
    first, second = ((truth == 1) ^ (rng.random(n) < share) for share in (0.3, 0.1))
    return truth, first, second, rng.integers(0, groups, n)


def test_gain_in_f1_has_its_known_value() -> None:
    truth = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    first = np.array([True, False, True, False, True, False, False, False])  # 2 hits, 1 false, 2 missed: 4/7
    found = f1_gain(truth, first, truth == 1, np.repeat([3, 8], 4))
    assert found.estimate == pytest.approx(1 - 4 / 7)
    # Block 3 alone has F1 2/4, block 8 alone 2/3: these are the ends of what resampling can give.
    assert found.low == pytest.approx(1 - 2 / 3)
    assert found.high == pytest.approx(1 - 1 / 2)
    assert (found.n, found.level) == (2, 0.95)


def test_gain_of_a_map_over_itself_is_nothing() -> None:
    truth, first, _, groups = maps(0)
    found = f1_gain(truth, first, first, groups)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_gain_without_two_blocks_has_no_interval() -> None:
    truth, first, second, _ = maps(0)
    found = f1_gain(truth, first, second, np.zeros(400, dtype=int))
    assert found.estimate > 0
    assert (found.low, found.high, found.n) == (None, None, 1)


@pytest.mark.parametrize("mapped", [(False, False), (True, False), (True, True)])
def test_gain_where_nothing_is_changed_is_not_defined(mapped: tuple[bool, bool]) -> None:
    nothing = np.zeros(20, dtype=np.uint8)
    found = f1_gain(nothing, np.full(20, mapped[0]), np.full(20, mapped[1]), np.arange(20) % 4)
    assert (found.estimate, found.low, found.high) == (None, None, None)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**16))
def test_gain_is_told_and_turns_round(seed: int) -> None:
    truth, first, second, groups = maps(seed)
    there, back = f1_gain(truth, first, second, groups), f1_gain(truth, second, first, groups)
    assert there.low <= there.estimate <= there.high
    assert there.low > 0, "20 % more of 400 pixels are no chance"
    assert (back.estimate, back.low, back.high) == (
        pytest.approx(-there.estimate), pytest.approx(-there.high), pytest.approx(-there.low),
    )  # fmt: skip
    wide = f1_gain(truth, first, second, groups, level=0.99)
    assert wide.low <= there.low
    assert wide.high >= there.high


def test_gain_does_not_depend_on_the_names_of_blocks_nor_on_the_order_of_pixels() -> None:
    truth, first, second, groups = maps(3)
    shuffled = np.random.default_rng(0).permutation(400)
    named = f1_gain(*(part[shuffled] for part in (truth, first, second)), 10 * groups[shuffled] + 7)
    assert named == f1_gain(truth, first, second, groups)


def test_pixels_of_one_block_are_not_independent() -> None:
    """Each pixel four times in its block proves no more than once."""
    truth, first, second, groups = maps(1)
    again = f1_gain(*(np.tile(part, 4) for part in (truth, first, second, groups)))
    assert again == f1_gain(truth, first, second, groups)
