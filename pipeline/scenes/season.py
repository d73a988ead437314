"""Seasons: a part of the year, the same in every year."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

_DAY = re.compile(r"(\d{2})-(\d{2})")
_LEAP_YEAR = 2000


@dataclass(frozen=True)
class Season:
    """The days from one day of the year to another, which may lie beyond New Year."""

    first: tuple[int, int]
    """Month and day."""
    last: tuple[int, int]
    """Month and day, included; before `first` where the season goes over New Year."""

    def __str__(self) -> str:
        """Return both days as a config has them."""
        return " to ".join(f"{month:02}-{day:02}" for month, day in (self.first, self.last))

    def holds(self, day: date) -> bool:
        """Return whether a day lies in the season; 29 February does where 28 February and 1 March do."""
        at = day.month, day.day
        if self.first <= self.last:
            return self.first <= at <= self.last
        return at >= self.first or at <= self.last

    def meets(self, start: date, end: date) -> bool:
        """Return whether a day from `start` to `end`, both included, lies in the season."""
        # Eight years and a day hold every day of the year, 29 February too, save over years such as 1900.
        days = min((end - start).days, 8 * 366)
        return any(self.holds(start + timedelta(n)) for n in range(days + 1))


def month_and_day(text: str) -> tuple[int, int]:
    """Read a day of the year such as `06-01`.

    Raises:
        ValueError: It is not one; the message names what is expected.
    """
    found = _DAY.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        month, day = int(found[1]), int(found[2])
        date(_LEAP_YEAR, month, day)
    except ValueError:
        raise ValueError('expected month and day with two digits each, such as "06-01"') from None
    return month, day


def outside(season: Season | None, day: date) -> str:
    """Return why a day is not used; empty where it is."""
    return "" if season is None or season.holds(day) else f"outside the season ({season})"


def in_season(season: Season | None, days: Iterable[date]) -> list[date]:
    """Return the days that lie in the season; all of them without a season."""
    return [day for day in days if not outside(season, day)]
