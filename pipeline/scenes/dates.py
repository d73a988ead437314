"""Day on which a scene was acquired, from the config, the names of its files and their tags, which have to agree."""

import re
from calendar import isleap
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import PurePosixPath

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.read import RasterInfo

DATE = re.compile(
    r"(?<!\d)((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])"
    r"(?:(?!\d)|(?=[01]\d[0-5]\d(?:[0-5]\d\d{0,4})?(?!\d)|2[0-3][0-5]\d(?:[0-5]\d\d{0,4})?(?!\d)))"
)
"""Year, month and day in the name of a file or in a tag, with the time behind it or without."""

_DAY_OF_YEAR = re.compile(r"(?<!\d)((?:19|20)\d{2})(00[1-9]|0[1-9]\d|[12]\d\d|3[0-6]\d)(?=T\d{4,6}(?!\d))")
"""Year and day of the year, with the time after it, as NASA writes them."""

_ACQUIRED = ("DATATAKE_DATETIME", "SENSING_TIME", "DATE_ACQUIRED", "datetime")
"""Tags with the time of the acquisition."""
WRITTEN = "TIFFTAG_DATETIME"
"""When the file was written: of some archives the time of the acquisition, of image editors and exports any later day."""
_ONE_DAY = timedelta(days=1)
"""Names and tags of one acquisition may be in another time zone each."""


def find_day(relative: str) -> date | None:
    """Return the day in the name of a file, else in the innermost folder whose name has one; None where none has.

    Args:
        relative: POSIX path below the folder of the scenes.

    Raises:
        InputError: What looks like a day is not in the calendar.
    """
    parts = PurePosixPath(relative).parts
    return next((day for part in reversed(parts) if (day := read_day(relative, part)) is not None), None)


def acquisition_date(group: Sequence[RasterInfo], dates: Mapping[str, date], named: date | None = None) -> date:
    """Return the day of a scene's files: of the config, which wins; else of a name, else of a tag of the acquisition.

    Args:
        group: The files of a scene.
        dates: File name to date, as the config has it.
        named: Day that the names have; None: it is looked for in the names of the files.

    Raises:
        InputError: No day is known, what looks like one is not in the calendar, or name and tags contradict each other.
    """
    for info in group:
        if info.path.name in dates:
            return dates[info.path.name]
    found = [day for info in group if (day := _day_of(info, named)) is not None]
    if found:
        return found[0]
    first = group[0]
    written = read_day(str(first.path), first.tags.get(WRITTEN, ""))
    only = "" if written is None else f" but {WRITTEN} ({written}), which may be when the file was written"
    raise InputError(
        f"{first.path}: no date in its name (YYYYMMDD or YYYY-MM-DD), and none in its tags{only}. Set the day on which the "
        f"ground was seen in the config: `scenes: dates: {{{first.path.name}: {written or '2020-06-15'}}}`."
    )


def _day_of(info: RasterInfo, named: date | None) -> date | None:
    """Return the day in the name of a file, or in a tag of its acquisition."""
    named = named or read_day(str(info.path), info.path.name)
    tagged = {tag: day for tag in _ACQUIRED if (day := read_day(str(info.path), info.tags.get(tag, ""))) is not None}
    if named is None:
        return next(iter(tagged.values()), None)
    for tag, day in tagged.items():
        if abs(day - named) > _ONE_DAY:
            raise _contradiction(info, named, f"its tag {tag} has {day}")
    written = read_day(str(info.path), info.tags.get(WRITTEN, ""))
    if written is not None and named - written > _ONE_DAY:
        raise _contradiction(info, named, f"its tag {WRITTEN} has an earlier day, {written}")
    return named


def _contradiction(info: RasterInfo, named: date, other: str) -> InputError:
    return InputError(
        f"{info.path}: its name has {named}, and {other}. Were the names of two dates exchanged? Which is right is not "
        f"guessed: rename the file, or set its day in the config, which wins: `scenes: dates: {{{info.path.name}: {named}}}`."
    )


def read_day(path: str, text: str) -> date | None:
    """Return the day in a text, None without one; `path` is for errors.

    Raises:
        InputError: What looks like a day is not in the calendar.
    """
    of_year = _DAY_OF_YEAR.search(text)
    if of_year is not None and (day := int(of_year[2])) <= 365 + isleap(int(of_year[1])):
        return date(int(of_year[1]), 1, 1) + timedelta(day - 1)
    # TIFF writes 2020:06:15.
    found = DATE.search(text.replace(":", "-", 2))
    if found is None:
        return None
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError as error:
        raise InputError(f"{path}: {found.group()} is no date ({error}). Set it in `scenes: dates:`.") from error
