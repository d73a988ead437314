"""Pairs of dates: each period once, always ascending, and never before it is over."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.scenes.periods import Period, PeriodPair, Policy, pair_periods

BASELINE = Period(date(2019, 6, 1), date(2019, 6, 30))
FIRST = date(2020, 1, 1)
TODAY = date(2024, 1, 1)


def found(dates: list[date], policy: Policy, days: int = 1, today: date = TODAY) -> tuple[list[str], tuple[str, ...]]:
    made = pair_periods(dates, BASELINE, FIRST, today, policy=policy, days=days, tolerance_days=45)
    return [pair.name for pair in made.pairs], made.waiting


def test_each_policy_by_hand() -> None:
    dates = [date(2021, 6, 10), date(2020, 6, 15), date(2019, 6, 12), date(2021, 11, 1), date(2020, 6, 15)]
    names = {"baseline": "2019-06-01_2019-06-30_", "first": "2020-06-15", "second": "2021-06-10", "third": "2021-11-01"}
    assert found(dates, "baseline") == ([names["baseline"] + names[n] for n in ("first", "second", "third")], ())
    assert found(dates, "previous")[0] == [
        "2019-06-01_2019-06-30_2020-06-15", "2020-06-15_2021-06-10", "2021-06-10_2021-11-01",
    ]  # fmt: skip
    pairs, waiting = found(dates, "same-season")
    assert pairs == ["2019-06-01_2019-06-30_2020-06-15", "2020-06-15_2021-06-10"]
    assert waiting == ("2021-11-01: no period lies within 45 days of a year before 2021-11-01.",)


def test_a_period_waits_until_it_is_over() -> None:
    dates = [date(2020, 1, 3), date(2020, 1, 30), date(2020, 2, 5)]
    pairs, waiting = found(dates, "previous", days=30, today=date(2020, 2, 10))
    assert pairs == ["2019-06-01_2019-06-30_2020-01-01_2020-01-30"]
    assert waiting == ("2020-01-31 to 2020-02-29: still open until 2020-02-29.",)
    assert found(dates, "previous", days=30, today=date(2020, 3, 1))[0][1] == "2020-01-01_2020-01-30_2020-01-31_2020-02-29"


@settings(deadline=None)
@given(
    st.lists(st.dates(date(2019, 1, 1), date(2023, 12, 31)), max_size=30),
    st.sampled_from(["baseline", "previous", "same-season"]),
    st.integers(1, 90),
)
def test_laws(dates: list[date], policy: Policy, days: int) -> None:
    made = pair_periods(dates, BASELINE, FIRST, TODAY, policy=policy, days=days, tolerance_days=45)
    assert list(made.pairs) == sorted(made.pairs)
    assert len({pair.after for pair in made.pairs}) == len({pair.name for pair in made.pairs}) == len(made.pairs)
    for pair in made.pairs:
        assert pair.before.end < pair.after.start
        assert any(pair.after.start <= day <= pair.after.end for day in dates)
    covered = {day for pair in made.pairs for day in dates if pair.after.start <= day <= pair.after.end}
    later = {day for day in dates if day >= FIRST}
    if policy != "same-season" and days == 1:
        assert covered == later
    # More scenes never take a pair away, apart from one whose earlier period is another one now.
    more = pair_periods(
        [*dates, TODAY - timedelta(100)], BASELINE, FIRST, TODAY, policy="baseline", days=days, tolerance_days=45
    )
    less = pair_periods(dates, BASELINE, FIRST, TODAY, policy="baseline", days=days, tolerance_days=45)
    assert set(less.pairs) <= set(more.pairs)


def test_periods_begin_after_the_baseline() -> None:
    with pytest.raises(ValueError, match="after a baseline"):
        pair_periods([], BASELINE, BASELINE.end, TODAY, policy="baseline", days=1, tolerance_days=45)
    assert PeriodPair(Period(FIRST, FIRST), BASELINE).name == "2019-06-01_2019-06-30_2020-01-01"
