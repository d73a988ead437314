"""Codes on the grid, from the values in label files, which people chose."""

import numbers
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from landshift.pipeline.errors import InputError, has_unprintable
from landshift.pipeline.grid import Grid, crs_name
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.limits import VALUE_CHARACTERS
from landshift.pipeline.raster.read import inspect, read_onto
from landshift.pipeline.vector.read import burn

CHANGE_NAMES = {"unchanged": 0, "changed": 1}
"""Values of `Labels.change`."""

NOT_LABELLED_WORDS = (NOT_LABELLED, "not labelled", "Not labelled")
"""What stands for no label in a column and in `values:`."""

ROLE_WORDS = {
    "train": "train", "training": "train", "validation": "validation", "val": "validation", "valid": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""Words that labels come with for what they are for, whatever their capitals, and the name of the role."""

NO_REGION = -1
"""Value of `Labels.region` outside all regions."""

_SHOWN_TEXT, _SHOWN_VALUES = 60, 8
_DIGITS = 9
"""Longer numbers are names: no code has so many digits."""


def class_reader(legend: Legend) -> Callable[[str | int], int]:
    """Return the function from a class (name or code) to its code; it raises InputError where the legend lacks it."""
    codes = {c.code for c in legend.classes}

    def read(value: str | int) -> int:
        if isinstance(value, int):
            if value not in codes:
                known = ", ".join(f"{c.code} {c.name}" for c in legend.classes)
                raise InputError(f"Code {value} is not in the legend ({known}).")
            return value
        return legend.code_of(value)

    return read


def change_code(value: str | int) -> int:
    """Return 0 for `unchanged` and 1 for `changed`.

    Raises:
        InputError: The value is neither of them.
    """
    code = CHANGE_NAMES.get(value.casefold()) if isinstance(value, str) else int(value)
    if code not in (0, 1):
        raise InputError(f"{value!r} is neither `unchanged` (0) nor `changed` (1).")
    return code


def share_changed(change: np.ndarray) -> float | None:
    """Return the share of changed among labels of change (0, 1, 255 = not labelled), 0..1; None without any."""
    known = change[change != NOT_LABELLED]
    return float((known == CHANGE_NAMES["changed"]).mean()) if known.size else None


def codes_of(values: Sequence[Any], read: Callable[[str | int], int], where: str) -> list[int]:
    """Turn the values of a column into codes; each different value is looked up once.

    A missing value becomes 255; `where` is named in the error.

    Raises:
        InputError: `read` refuses a value.
    """
    codes: dict[Hashable, int] = {}
    keys = plain_all(values, where)
    for key in keys:
        if key not in codes:
            try:
                codes[key] = NOT_LABELLED if key is None or key in NOT_LABELLED_WORDS else read(key)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
    return [codes[key] for key in keys]


def translate(values: Sequence[Any], meanings: Mapping[int | str, str | int], where: str) -> list[str | int | None]:
    """Return what the values of a column mean, a class or a word each; None for a missing one.

    Args:
        values: Of the column.
        meanings: `values:` of the config, which names every value; capitals and spaces do not matter.
        where: Named in the error.

    Raises:
        InputError: A value is not named.
    """
    known = {_fold(plain(key)): meaning for key, meaning in meanings.items()}
    keys = plain_all(values, where)
    used = [key for key in keys if key is not None and (_fold(key) in known or key not in NOT_LABELLED_WORDS)]
    unknown = Counter(key for key in used if _fold(key) not in known)
    if unknown:
        listed = ", ".join(f"{key} in {count:,} features" for key, count in unknown.most_common(_SHOWN_VALUES))
        more = f" and {len(unknown) - _SHOWN_VALUES:,} more" if len(unknown) > _SHOWN_VALUES else ""
        raise InputError(
            f"{where} holds {listed}{more}, and `values` does not name {'it' if len(unknown) == 1 else 'them'} (only "
            f"{', '.join(map(str, meanings))}): name the class of every value, or `not labelled`."
        )
    return [known.get(_fold(key)) for key in keys]


def _fold(key: str | int | None) -> str | int | None:
    return key.casefold() if isinstance(key, str) else key


def plain_all(values: Sequence[Any], where: str) -> list[str | int | None]:
    """Return what `plain` returns of each value; `where` is named in the error.

    Raises:
        InputError: A value is a list.
    """
    try:
        return [plain(v) for v in values]
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def plain(value: Any) -> str | int | None:  # noqa: ANN401 (whatever a vector file holds)
    """Return a name, a number, or None for what is missing; `3`, 3.0 and "3" are one number."""
    if pd.api.types.is_list_like(value):
        raise InputError(f"{str(value)[:_SHOWN_TEXT]} is a list, not one name or number; split it into columns.")
    if pd.isna(value):
        return None
    if isinstance(value, numbers.Real):
        number = float(value)
        return int(number) if number.is_integer() else str(value)
    text = " ".join(str(value).split())
    if len(text) > VALUE_CHARACTERS or has_unprintable(text):
        raise InputError(
            f"{text[:_SHOWN_TEXT]!r} has {len(text):,} characters; expected a name of at most {VALUE_CHARACTERS:,}, without "
            f"control characters and those that turn the direction of text. Write it anew."
        )
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else text or None


def burn_codes(frame: Any, values: Sequence[int], grid: Grid) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 (GeoDataFrame)
    """Return uint8 (y, x), 255 where no polygon has a value, and bool (y, x) where two different values meet.

    One value after the other: burning all at once shows the last polygon only, not what it covers.
    """
    out = np.full(tuple(grid.shape), NOT_LABELLED, dtype=np.uint8)
    clash = np.zeros(tuple(grid.shape), dtype=bool)
    given = np.asarray(values)
    for value in np.unique(given[given != NOT_LABELLED]):
        part = frame[given == value]
        here = burn(part, [1] * len(part), grid, 0) == 1
        clash |= here & (out != NOT_LABELLED)
        out[here] = value
    return out, clash


def burn_regions(frame: Any, column: str | None, grid: Grid) -> tuple[np.ndarray | None, tuple[str, ...]]:  # noqa: ANN401
    """Return int16 (y, x), -1 where there is no region, and the names it counts; None where there is no column."""
    if column is None:
        return None, ()
    keys = plain_all(frame[column].tolist(), f"column {column!r}")
    named = [None if key is None else str(key) for key in keys]
    names = tuple(sorted({n for n in named if n is not None}))
    region = np.full(tuple(grid.shape), NO_REGION, dtype=np.int16)
    for k, name in enumerate(names):
        part = frame[[n == name for n in named]]
        region[burn(part, [1] * len(part), grid, 0) == 1] = k
    return region, names


def read_values(path: Path, grid: Grid) -> np.ma.MaskedArray:
    """Return the first band (y, x) of a raster of any grid by nearest neighbour, masked where the file does not reach.

    Raises:
        InputError: The file lies outside the grid.
    """
    own = inspect(path).grid
    if own.extent.to_crs(str(grid.crs)).disjoint(grid.extent):
        raise InputError(
            f"{path} lies outside the grid: it covers {extent_text(own)} in {crs_name(own.crs)}, the grid {extent_text(grid)}."
        )
    extent = own.extent.to_crs(str(grid.crs), resolution=own.resolution.x * 16)
    reached = burn(gpd.GeoDataFrame(geometry=[extent.geom], crs=str(grid.crs)), [1], grid, 0) == 1
    return np.ma.masked_array(read_onto(path, grid, 1, "nearest"), mask=~reached)


def extent_text(grid: Grid) -> str:
    """Describe the extent of a grid in words, in the units of its CRS."""
    west, south, east, north = (round(float(v)) for v in grid.boundingbox.bbox)
    return f"x {west} to {east} and y {south} to {north}"
