"""Codes on the grid, from rasters of classes: whole numbers, palettes and colours."""

import math
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, differences
from landshift.pipeline.labels.values import codes_of, extent_text
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.codes import CodeFacts, colour_number, count_codes, inspect_codes, read_codes, tally
from landshift.pipeline.raster.read import inspect

Values = Mapping[int | str, str | int]
"""Number in a raster, or colour `#rrggbb`, to its class."""

_TOLERANCE_PX = 1e-3
_SHOWN, _SHOWN_COLOURS, _PLACED = 8, 16, 2
_MOST_UNKNOWN = 1024
"""Values without a code after which reading stops: the raster does not hold classes."""


def codes_from_raster(
    path: Path, grid: Grid, values: Values, read: Callable[[str | int], int], *, key: str = "values"
) -> np.ndarray:
    """Read a raster of classes onto a grid whose pixels are those of the raster; nothing is resampled.

    Args:
        path: One band of whole numbers, with a palette or without, or three bands of colours, with alpha or without.
        grid: May be a part of the raster's, or reach past it.
        values: What its numbers mean, or its colours: all keys are of one kind.
        read: From a class to its code.
        key: What `values` is called in the config.

    Returns:
        uint8 (y, x): codes, 255 where the raster does not reach, where it has nodata, NaN, a mask or alpha 0, and where
        `values` has `not labelled`.

    Raises:
        InputError: Its bands hold no such values, its pixels lie between those of the grid or elsewhere, `values` does not
            name one that it holds or gives a class to the one that the file declares as nodata, or a class is unknown.
    """
    facts = inspect_codes(path)
    given = dict(zip(values, codes_of(list(values.values()), read, f"values of {path}"), strict=True))
    colours = any(isinstance(v, str) for v in given)
    _require_such_bands(path, facts, key, colours=colours)
    _require_free_nodata(path, facts, given, key)
    top, left = _offset(path, _own_grid(path, grid), grid)
    numbers = {colour_number(v) if isinstance(v, str) else v: code for v, code in given.items()}
    out, unknown = np.full(tuple(grid.shape), NOT_LABELLED, dtype=np.uint8), _Unknown(numbers)
    for first, part in read_codes(path, colours=colours):
        found = _translate(part, numbers, unknown, first)
        (rows, of_rows), (columns, of_columns) = (
            _overlap(start, size, length)
            for start, size, length in zip((top + first, left), found.shape, grid.shape, strict=True)
        )  # fmt: skip
        out[rows, columns] = found[of_rows, of_columns]
        if len(unknown.pixels) >= _MOST_UNKNOWN:
            break
    if unknown.pixels:
        raise InputError(unknown.describe(path, key, colours=colours))
    return out


def _overlap(first: int, size: int, length: int) -> tuple[slice, slice]:
    """Return the parts of the grid and of the raster that are the same, along one axis."""
    start, stop = max(first, 0), max(min(first + size, length), 0)
    return slice(start, stop), slice(start - first, stop - first)


def _require_such_bands(path: Path, facts: CodeFacts, key: str, *, colours: bool) -> None:
    """Refuse a raster whose bands hold other things than `values` names: one of three bands is no class."""
    if colours and (facts.colour_bands or (facts.single and facts.palette)):
        return
    if not colours and facts.single:
        return
    if facts.colour_bands:
        raise InputError(
            f"{path} has {facts}: its classes are colours, and no band of it is the class. Name the colours, with quotes:\n"
            + _block(path, key, colours=True)
        )
    if facts.single:
        raise InputError(
            f"{path} has {facts} and no palette, so it holds numbers, and `{key}` names colours. Name the numbers:\n"
            + _block(path, key, colours=False)
        )
    raise InputError(
        f"{path} has {facts}; expected one band of classes, or red, green and blue as uint8. Which band holds the classes is "
        f"not known: take it out with `gdal_translate -b 1 {_from_to(path, 'classes')}`, 1 being its number, and name the new "
        f"file in the config."
    )


def _block(path: Path, key: str, *, colours: bool) -> str:
    """Write the section of the config that names what a raster holds, with the pixels of each."""
    counted = count_codes(path, colours=colours)
    lines = [f"    {key}:"]
    for value, pixels in counted.counts[:_SHOWN_COLOURS]:
        key = f'"{value}"' if isinstance(value, str) else f"{value:g}"
        lines.append(f"      {key}: not labelled # or the class; {pixels:,} pixels")
    more = len(counted.counts) - _SHOWN_COLOURS
    if more > 0:
        kind = "colours" if colours else "numbers"
        lines.append(
            f"{'' if counted.is_complete else 'At least '}{more:,} further {kind} occur. Classes have few: was the picture "
            f"saved with a lossy compression such as JPEG, or with smoothed edges? Export it again without."
        )
    return "\n".join(lines)


def _require_free_nodata(path: Path, facts: CodeFacts, codes: Mapping[int | str, int], key: str) -> None:
    """Refuse `values` that make a class of what the file declares as nodata."""
    nodata = facts.nodata
    if nodata is None or math.isnan(nodata):
        return
    grey = int(nodata) if nodata.is_integer() else -1
    colour = f"#{grey:02x}{grey:02x}{grey:02x}"
    named: int | str = colour if facts.colour_bands else grey
    if codes.get(named, NOT_LABELLED) != NOT_LABELLED:
        raise InputError(
            f"{path} declares {nodata:g} as nodata, so it is not labelled, and `{key}` makes a class of {named!r}. Write `not "
            f"labelled` there; or, if the class is right, take the declaration out with "
            f"`gdal_translate -a_nodata none {_from_to(path, 'all')}`, and name the new file in the config."
        )


def _from_to(path: Path, suffix: str) -> str:
    """Write a file and a new one beside it, as a shell takes them."""
    return f"{shlex.quote(str(path))} {shlex.quote(str(path.with_name(f'{path.stem}_{suffix}.tif')))}"


def _offset(path: Path, own: Grid, grid: Grid) -> tuple[int, int]:
    """Return row and column of the grid that a raster's upper left pixel lies on.

    Raises:
        InputError: The raster lies outside the grid, or its pixels are not those of the grid.
    """
    if own.extent.to_crs(str(grid.crs)).disjoint(grid.extent):
        raise InputError(
            f"{path} lies outside the grid: it covers {extent_text(own)} in {crs_name(own.crs)}, the grid {extent_text(grid)}."
        )
    a, b = own.transform, grid.transform
    x, y = ~b @ (a.c, a.f)
    same = own.crs == grid.crs and abs(a.a - b.a) <= 1e-9 * b.a and abs(a.e - b.e) <= 1e-9 * -b.e
    if same and max(abs(x - round(x)), abs(y - round(y))) <= _TOLERANCE_PX:
        return round(y), round(x)
    raise InputError(_describe_offset(path, own, grid, (x, y) if same else None))


def _describe_offset(path: Path, own: Grid, grid: Grid, corner: tuple[float, float] | None) -> str:
    """Write how a raster lies beside the pixels of a grid, and the commands that put it there."""
    text = f"{path} and the grid of the labels are not on one grid: {'; '.join(differences(own, grid))}. "
    moved = ""
    if corner is not None:
        x, y = corner
        dx, dy = x - round(x), y - round(y)
        text += f"Its pixels lie {_way(dx, 'east', 'west')} and {_way(dy, 'south', 'north')} of the grid's. "
        left, top = (grid.transform.c + grid.transform.a * round(x), grid.transform.f + grid.transform.e * round(y))
        right, bottom = (left + own.transform.a * own.shape[1], top + own.transform.e * own.shape[0])
        moved = (
            f" If the classes were drawn on the grid's pixels, and only the file's corner is wrong, correct that instead: "
            f"`gdal_translate -a_ullr {left:.10g} {top:.10g} {right:.10g} {bottom:.10g} {_from_to(path, 'on_grid')}`."
        )
    return (
        f"{text}Labels are never resampled, since each outline would move by up to half a pixel. If the file is right where it "
        f"lies, do it once: {_warp(path, grid)}.{moved}"
    )


def _warp(path: Path, grid: Grid) -> str:
    """Write the command that puts a raster onto a grid."""
    west, south, east, north = grid.boundingbox.bbox
    return (
        f"`gdalwarp -t_srs {_srs(grid)} -te {west:.10g} {south:.10g} {east:.10g} {north:.10g} -tr {grid.transform.a:.10g} "
        f"{-grid.transform.e:.10g} -r near -dstalpha {_from_to(path, 'on_grid')}` (nearest neighbour; alpha is 0 where the "
        f"file does not reach), and name the new file in the config"
    )


def _srs(grid: Grid) -> str:
    return shlex.quote(crs_name(grid.crs) if grid.crs is None or grid.crs.epsg else grid.crs.to_wkt())


def _own_grid(path: Path, grid: Grid) -> Grid:
    """Return the grid of a raster of labels.

    Raises:
        InputError: It has no CRS, or its pixels do not lie along the axes of one.
    """
    info = inspect(path)
    if info.crs is None and not info.unplaced:
        raise InputError(
            f"{path} has no CRS, so it is not known where it lies: its upper left corner is x {info.transform.c:.10g}, y "
            f"{info.transform.f:.10g}. If it is in that of the scenes, write it into a new file: `gdal_translate -a_srs "
            f"{_srs(grid)} {_from_to(path, 'placed')}`, and name that one in the config."
        )
    try:
        return info.grid
    except InputError as error:
        raise InputError(
            f"{path}: its rows do not go south along the axes of a CRS (it has control points, is rotated or mirrored, or its "
            f"CRS is not known). Put it onto the grid once: {_warp(path, grid)}."
        ) from error


def _way(pixels: float, onward: str, back: str) -> str:
    return f"{abs(pixels):.2g} pixels {onward if pixels >= 0 else back}"


class _Unknown:
    """Values of a raster that have no code: how often each occurs, and where first."""

    def __init__(self, codes: Mapping[int, int]) -> None:
        self._codes, self._first = codes, dict[float, tuple[int, int]]()
        self.pixels: Counter[float] = Counter()

    def note(self, value: float, count: int, place: tuple[int, int] | None) -> None:
        """Add pixels of a value, the first of them at a row and column; None where that is not known."""
        self.pixels[value] += count
        if place is not None:
            self._first.setdefault(value, place)

    def describe(self, path: Path, key: str, *, colours: bool) -> str:
        """Write which values those are, with their pixels and the first place."""
        transform, listed = inspect(path).grid.transform, list[str]()

        def name(value: float) -> str:
            return f"#{int(value):06x}" if colours else f"{value:g}"

        for value, count in sorted(self.pixels.items(), key=lambda entry: (-entry[1], entry[0]))[:_SHOWN]:
            where = ""
            if value in self._first and len(listed) < _PLACED:
                row, column = self._first[value]
                x, y = transform @ (column + 0.5, row + 0.5)
                where = f" (the first in row {row}, column {column}, at x {x:.10g}, y {y:.10g})"
            listed.append(f"{name(value)} on {count:,} pixels{where}")
        more = f" and {len(self.pixels) - _SHOWN:,} more" if len(self.pixels) > _SHOWN else ""
        remedy = "name the class of every value, or `not labelled`"
        if any(not float(value).is_integer() for value in self.pixels):
            remedy = "classes are whole numbers: round the raster, or name the right file"
        known, which = ", ".join(name(v) for v in self._codes) or "nothing", "it" if len(self.pixels) == 1 else "them"
        return f"{path} holds {', '.join(listed)}{more}, and `{key}` does not name {which} (only {known}): {remedy}."


def _translate(data: np.ma.MaskedArray, codes: Mapping[int, int], unknown: _Unknown, first: int) -> np.ndarray:
    """Replace numbers by codes, uint8 (y, x); masked pixels become 255, and numbers without a code are noted.

    Args:
        data: Pixels of whole rows.
        codes: Number to code.
        unknown: Takes what has no code.
        first: The raster's row that `data` begins with.
    """
    out = np.full(data.shape, NOT_LABELLED, dtype=np.uint8)
    masked = np.ma.getmaskarray(data)
    values, counts = tally(data)
    named = np.isin(values, list(codes))
    for value in values[named].tolist():
        out[(data.data == value) & ~masked] = codes[int(value)]
    others = sorted(zip(counts[~named].tolist(), values[~named].tolist(), strict=True), key=lambda entry: (-entry[0], entry[1]))
    for number, (count, value) in enumerate(others[:_MOST_UNKNOWN]):
        place = np.argwhere((data.data == value) & ~masked)[0].tolist() if number < _SHOWN else None
        unknown.note(value, count, place if place is None else (first + place[0], place[1]))
    return out
