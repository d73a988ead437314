"""Day on which a scene was acquired, from the config, the names of its files and their tags, which have to agree."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.read import RasterInfo

DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?!\d)")
"""Year, month and day in the name of a file or in a tag."""

_ACQUIRED = ("DATATAKE_DATETIME", "SENSING_TIME", "DATE_ACQUIRED", "datetime")
"""Tags with the time of the acquisition."""
_WRITTEN = "TIFFTAG_DATETIME"
"""When the file was written: of some archives the time of the acquisition, of image editors and exports any later day."""
_ONE_DAY = timedelta(days=1)
"""Names and tags of one acquisition may be in another time zone each."""


def acquisition_date(group: Sequence[RasterInfo], dates: Mapping[str, date]) -> date:
    """Return the day of a scene's files: of the config, which wins; else of a name, else of a tag of the acquisition.

    Args:
        group: The files of a scene.
        dates: File name to date, as the config has it.

    Raises:
        InputError: No day is known, what looks like one is not in the calendar, or name and tags contradict each other.
    """
    for info in group:
        if info.path.name in dates:
            return dates[info.path.name]
    found = [day for info in group if (day := _day_of(info)) is not None]
    if found:
        return found[0]
    first = group[0]
    written = _day_in(first, first.tags.get(_WRITTEN, ""))
    only = "" if written is None else f" but {_WRITTEN} ({written}), which may be when the file was written"
    raise InputError(
        f"{first.path}: no date in its name (YYYYMMDD or YYYY-MM-DD), and none in its tags{only}. Set the day on which the "
        f"ground was seen in the config: `scenes: dates: {{{first.path.name}: {written or '2020-06-15'}}}`."
    )


def _day_of(info: RasterInfo) -> date | None:
    """Return the day in the name of a file, or in a tag of its acquisition."""
    named = _day_in(info, info.path.name)
    tagged = {tag: day for tag in _ACQUIRED if (day := _day_in(info, info.tags.get(tag, ""))) is not None}
    if named is None:
        return next(iter(tagged.values()), None)
    for tag, day in tagged.items():
        if abs(day - named) > _ONE_DAY:
            raise _contradiction(info, named, f"its tag {tag} has {day}")
    written = _day_in(info, info.tags.get(_WRITTEN, ""))
    if written is not None and named - written > _ONE_DAY:
        raise _contradiction(info, named, f"its tag {_WRITTEN} has an earlier day, {written}")
    return named


def _contradiction(info: RasterInfo, named: date, other: str) -> InputError:
    return InputError(
        f"{info.path}: its name has {named}, and {other}. Were the names of two dates exchanged? Which is right is not "
        f"guessed: rename the file, or set its day in the config, which wins: `scenes: dates: {{{info.path.name}: {named}}}`."
    )


def _day_in(info: RasterInfo, text: str) -> date | None:
    # TIFF writes 2020:06:15.
    found = DATE.search(text.replace(":", "-", 2))
    if found is None:
        return None
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError as error:
        raise InputError(f"{info.path}: {found.group()} is no date ({error}). Set it in `scenes: dates:`.") from error
