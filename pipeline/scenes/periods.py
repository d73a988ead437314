"""Periods of a monitor, and which of them are compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Policy = Literal["baseline", "previous", "same-season"]
"""A period is compared with the baseline, the period before it, or the one about a year before it."""

_YEAR = 365.25


@dataclass(frozen=True, order=True)
class Period:
    """A date range whose scenes make one image."""

    start: date
    """First day."""
    end: date
    """Last day, included."""

    def __str__(self) -> str:
        """Return the day, or both ends."""
        return f"{self.start}" if self.start == self.end else f"{self.start} to {self.end}"

    @property
    def middle(self) -> date:
        """The day in its middle."""
        return self.start + (self.end - self.start) / 2


@dataclass(frozen=True, order=True)
class PeriodPair:
    """Two periods that are compared."""

    after: Period
    """Later."""
    before: Period
    """Earlier."""

    @property
    def name(self) -> str:
        """Folder of its run: both ends of the earlier period, then of the later one, a single day once."""
        days = [d for p in (self.before, self.after) for d in ((p.start,) if p.start == p.end else (p.start, p.end))]
        return "_".join(str(day) for day in days)


@dataclass(frozen=True)
class PeriodPairs:
    """Periods that are compared now or later."""

    pairs: tuple[PeriodPair, ...]
    """By date."""
    waiting: tuple[str, ...]
    """Periods that have scenes and are not compared yet, each with the reason; sentences."""


def pair_periods(
    dates: Iterable[date], baseline: Period, first: date, today: date, *, policy: Policy, days: int, tolerance_days: int
) -> PeriodPairs:
    """Pair each period that has scenes with the one it is compared with.

    Periods of `days` days follow each other from `first` on; one that is not over yet waits, because its image would be made
    again with each scene that comes in.

    Args:
        dates: Of the scenes, in any order.
        baseline: Earlier period of the first pair, and of all with the policy `baseline`.
        first: First day of the first period, after the baseline.
        today: The present day (UTC).
        policy: Earlier period of the others.
        days: Length of a period, 1 or more; 1 makes each day with scenes a period.
        tolerance_days: With `same-season`, how far from exactly a year before the other period may lie.

    Raises:
        ValueError: `first` does not come after the baseline, or `days` is below 1.
    """
    if first <= baseline.end or days < 1:
        raise ValueError(f"periods of {days} days from {first} on, after a baseline until {baseline.end}")
    starts = sorted({first + timedelta((day - first).days // days * days) for day in dates if day >= first})
    found = [Period(start, start + timedelta(days - 1)) for start in starts]
    over = [period for period in found if days == 1 or period.end < today]
    waiting = [f"{period}: still open until {period.end}." for period in found if period not in over]
    pairs = []
    for number, period in enumerate(over):
        before = _before(period, over[:number], baseline, policy, tolerance_days=tolerance_days)
        if before is None:
            waiting.append(f"{period}: no period lies within {tolerance_days} days of a year before {period.middle}.")
        else:
            pairs.append(PeriodPair(period, before))
    return PeriodPairs(tuple(pairs), tuple(waiting))


def _before(period: Period, earlier: Sequence[Period], baseline: Period, policy: Policy, tolerance_days: int) -> Period | None:
    """Return the period that another is compared with; None without one."""
    if policy == "baseline":
        return baseline
    if policy == "previous":
        return earlier[-1] if earlier else baseline
    off = {candidate: _off_a_year(candidate, period) for candidate in (baseline, *earlier)}
    near = [candidate for candidate, days in off.items() if days <= tolerance_days]
    return min(near, key=lambda candidate: (off[candidate], candidate), default=None)


def _off_a_year(candidate: Period, period: Period) -> float:
    return abs((period.middle - candidate.middle).days - _YEAR)
