"""What label files offer: columns that can be classes, pairs of them that can be two dates, values and colours of rasters."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.values import NOT_LABELLED_WORDS, ROLE_WORDS, change_code, plain
from landshift.pipeline.legend import Legend
from landshift.pipeline.raster.codes import CodeFacts, count_codes, inspect_codes
from landshift.pipeline.vector.attributes import LayerAttributes, read_attributes
from landshift.pipeline.vector.text import FittingEncoding

MOST_CLASSES = 16
"""Distinct values that a column of classes can have: a legend has no more."""

MOST_VALUES = 256
"""Distinct values that a raster of classes can have."""

_DATES = (
    ("before", "after"), ("pre", "post"), ("old", "new"), ("from", "to"), ("earlier", "later"), ("early", "late"),
    ("past", "present"), ("then", "now"), ("start", "end"), ("first", "second"), ("avant", "apres"), ("vorher", "nachher"),
    ("antes", "despues"), ("antes", "depois"), ("前", "后"), ("0", "1"), ("1", "2"), ("a", "b"),
)  # fmt: skip
"""Words that column names mark the earlier and the later date by, surest first; digits are words of their own."""
_SHOWN = 6
_CUT = 10
"""Length that Shapefiles cut column names to: then the last word may be a part of one."""
_YEAR = re.compile(r"(?<!\d)(19[5-9]\d|20[0-4]\d)(?!\d)")
_SHORT_YEAR = re.compile(r"(?<!\d)(\d\d)(?!\d)")
_CENTURY = 50
"""Years of two digits from here on are of the last century."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_CHANGE = re.compile(r"chang|differ|veraend|veränd|cambi|mudan|变化|變化", re.IGNORECASE)


@dataclass(frozen=True)
class ValueCount:
    """A value and how often it occurs."""

    value: str | int
    """As `values:` and `legend:` take it: a name, a whole number, or a colour `#rrggbb`."""
    count: int
    """Features or pixels."""


@dataclass(frozen=True)
class ClassColumn:
    """A column with few different names or whole numbers."""

    name: str
    """In the file."""
    counts: tuple[ValueCount, ...]
    """1 to 16, the most frequent first."""
    missing: int
    """Features without a value."""
    alike: tuple[tuple[str, str], ...] = ()
    """Values that differ only in capitals or spaces."""


@dataclass(frozen=True)
class DateColumns:
    """Two columns that can be the classes before and after."""

    before: str
    """Name of the column."""
    after: str
    """Name of the column."""
    years: tuple[int, int] | None
    """Of both, where the names hold them."""
    shared: int
    """Different values that occur in both columns."""


@dataclass(frozen=True)
class LayerOffer:
    """What a layer of polygons can give as labels."""

    path: Path
    """The file."""
    layer: str
    """In the file."""
    layers: int
    """Number of layers in the file: with several, `layer:` must be set."""
    features: int
    """In the layer."""
    geometry: str
    """Type that the layer declares, such as `Polygon`, `MultiPolygon`, `Point` or `Unknown`."""
    crs: str | None
    """As the file names it, None where it names none and `crs:` must be set."""
    in_degrees: bool
    """Whether all coordinates can be degrees."""
    encodings: tuple[FittingEncoding, ...]
    """Where `encoding:` must be set: those that fit, the likeliest first, which names and values here are read in."""
    columns: tuple[ClassColumn, ...]
    """That can be classes, in the order of the file."""
    dates: tuple[DateColumns, ...]
    """That can be before and after, the likeliest first."""
    changes: tuple[ClassColumn, ...]
    """That can be the change: `changed` and `unchanged`, or 1 and 0."""
    splits: tuple[ClassColumn, ...] = ()
    """That hold words for train, validation and test, all three: `split: by: column`."""

    @property
    def of_polygons(self) -> bool:
        """Whether the layer can hold polygons at all."""
        return not any(kind in self.geometry for kind in ("Point", "Line"))


@dataclass(frozen=True)
class RasterOffer:
    """What a raster can give as labels."""

    path: Path
    """The file."""
    facts: CodeFacts
    """Bands, type, nodata and palette."""
    counts: tuple[ValueCount, ...]
    """The values that `values:` must name, the most frequent first: whole numbers of one band, or colours of three bands.
    Empty where there are more than 256, fractions among them, or other bands than one of numbers or three of colours."""
    masked: int
    """Pixels that are not labelled anyway: nodata, NaN, a mask, alpha 0."""
    share: float
    """Of the pixels that was counted, 0..1; below 1 for very large rasters, whose rare values may be missing."""


def offer_of_raster(path: Path) -> RasterOffer:
    """Return what the values or colours of a raster can give as labels; nothing is decided.

    Raises:
        InputError: The file is missing, damaged or of a format that is not accepted.
    """
    facts = inspect_codes(path)
    if not (facts.single or facts.colour_bands):
        return RasterOffer(path, facts, counts=(), masked=0, share=0.0)
    found = count_codes(path, colours=not facts.single)
    counts = tuple(ValueCount(value, n) for value, n in found.counts if not isinstance(value, float))
    usable = len(counts) == len(found.counts) <= MOST_VALUES
    return RasterOffer(path, facts, counts if usable else (), masked=found.masked, share=found.share)


def offer_of_layers(path: Path, years: tuple[int, int] | None = None) -> tuple[LayerOffer, ...]:
    """Return what each layer of a vector file can give as labels; nothing is decided.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON; without CRS or encoding too.
        years: Of both epochs where they are known: columns of these years come first.

    Raises:
        InputError: The file is missing, damaged or of a format that is not accepted.
    """
    found = read_attributes(path)
    return tuple(_offer(path, layer, len(found), years) for layer in found)


def _offer(path: Path, layer: LayerAttributes, layers: int, years: tuple[int, int] | None) -> LayerOffer:
    columns = class_columns(layer.frame)
    return LayerOffer(
        path=path, layer=layer.name, layers=layers, features=len(layer.frame), geometry=layer.geometry, crs=layer.crs,
        in_degrees=layer.in_degrees,
        encodings=layer.encodings, columns=columns, dates=date_columns(columns, years),
        changes=tuple(c for c in columns if _is_change(c)), splits=tuple(c for c in columns if _is_split(c)),
    )  # fmt: skip


def class_columns(frame: pd.DataFrame) -> tuple[ClassColumn, ...]:
    """List the columns of a table that hold at most 16 different names or whole numbers."""
    found = (_class_column(str(name), frame[name]) for name in frame.columns if name != "geometry")
    return tuple(c for c in found if c is not None)


def _class_column(name: str, series: pd.Series) -> ClassColumn | None:
    if pd.api.types.is_datetime64_any_dtype(series):
        return None
    try:
        given = [plain(v) for v in series.tolist()]
    except InputError:
        return None
    values = pd.Series([v for v in given if v is not None and v not in NOT_LABELLED_WORDS], dtype=object).value_counts()
    fractions = pd.api.types.is_float_dtype(series) and any(isinstance(v, str) for v in values.index)
    if not 1 <= len(values) <= MOST_CLASSES or fractions:
        return None
    names = tuple(ValueCount(value, int(count)) for value, count in values.items())
    return ClassColumn(name, names, missing=len(given) - int(values.sum()), alike=alike([v.value for v in names]))


def alike(values: Iterable[str | int | None]) -> tuple[tuple[str, str], ...]:
    """Return pairs of names that differ only in capitals or spaces, which one class is often written in by mistake."""
    first: dict[str, str] = {}
    pairs = []
    for value in dict.fromkeys(v for v in values if isinstance(v, str)):
        key = " ".join(value.casefold().split())
        if key in first:
            pairs.append((first[key], value))
        first.setdefault(key, value)
    return tuple(pairs)


def date_columns(columns: Sequence[ClassColumn], years: tuple[int, int] | None = None) -> tuple[DateColumns, ...]:
    """Return pairs of columns whose names and values are those of one thing at two dates, the likeliest first.

    Names are alike but for a word of time (`class_t1`, `class_t2`) or a year (`lc_2015`, `lc_2020`; `CODE_00`, `CODE_06`).
    """
    ranked = []
    for i, first in enumerate(columns):
        for second in (*columns[:i], *columns[i + 1 :]):
            found = _pair(first.name, second.name)
            shared = len({v.value for v in first.counts} & {v.value for v in second.counts})
            if found is None or not shared or _is_change(first) or _is_change(second):
                continue
            rank, of_years = found
            far = 0 if years is None or of_years is None else sum(abs(a - b) for a, b in zip(years, of_years, strict=True))
            longest = 0 if of_years is None else of_years[0] - of_years[1]
            pair = DateColumns(first.name, second.name, of_years, shared=shared)
            ranked.append((rank, far, longest, pair))
    return tuple(entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:3]))


def choose_columns(path: Path, frame: pd.DataFrame, given: Mapping[str, str | None], legend: Legend) -> dict[str, str]:
    """Return the columns that hold labels, by what they hold.

    Args:
        path: Of the file, for messages.
        frame: Its attributes.
        given: `before`, `after`, `change` and `region` to the column that is to hold it, None where none is; `before` and
            `after` are those of the config or its defaults, of which one may be missing.
        legend: A binary one has no use for `before` and `after`.

    Raises:
        InputError: A column is missing; those that the file has are listed with their values.
    """
    found = [str(c) for c in frame.columns if c != "geometry"]
    dates = {} if legend.binary else {role: c for role, c in given.items() if c and role in ("before", "after")}
    wanted = {role: c for role, c in given.items() if c and role not in ("before", "after")} | dates
    folded = {c.casefold() for c in found}
    # A default may be missing, but neither what a person wrote nor what differs in capitals only.
    missing = [
        (role, c) for role, c in wanted.items()
        if c not in found and (c != role or role not in dates or c.casefold() in folded)
    ]  # fmt: skip
    if missing:
        role, column = missing[0]
        raise InputError(f"{path} has no column {column!r}{_hint(path, column, role, found)} {_describe(path, frame)}")
    columns = {role: c for role, c in wanted.items() if c in found}
    if not columns.keys() - {"region"}:
        raise InputError(f"{path} {_why_useless(given, found, legend)}. {_describe(path, frame)}")
    return columns


def _why_useless(given: Mapping[str, str | None], found: Sequence[str], legend: Legend) -> str:
    """Return why none of the columns can be used, and what to do."""
    classes = [c for role, c in given.items() if role in ("before", "after") and c in found]
    if legend.binary and classes:
        return (
            f"has the classes in {' and '.join(map(repr, classes))}, and the config has no `legend:` for them: add their names "
            f"with codes 1 to {MOST_CLASSES} (`labels: polygons: values:` states which value is which class), or set "
            f"`change_column` to one with `changed` and `unchanged`"
        )
    needed = "set `change_column`" if legend.binary else f"expected {given['before']!r}, {given['after']!r} or a change column"
    return f"has no column that the legend can use: {needed}"


def _hint(path: Path, column: str, role: str, found: Sequence[str]) -> str:
    """Return what the column is probably called, and the end of the sentence."""
    cut = [c for c in found if len(c) == _CUT and column.startswith(c)]
    if len(column) > _CUT and path.suffix.lower() == ".shp":
        rest = f": set `{role}_column: {cut[0]}`." if cut else "."
        return f": Shapefiles cut names to {_CUT} characters{rest}"
    near = difflib.get_close_matches(column.casefold(), [c.casefold() for c in found], n=1)
    names = [c for c in found if near and c.casefold() == near[0]]
    return f". Did you mean {names[0]!r}?" if names else "."


def _describe(path: Path, frame: pd.DataFrame) -> str:
    """List the columns, those that can be classes with their values, and name a pair that looks like two dates."""
    offered = {c.name: c for c in class_columns(frame)}
    parts = []
    for name in (str(c) for c in frame.columns if c != "geometry"):
        values = ", ".join(f"{v.value}: {v.count}" for v in offered[name].counts[:_SHOWN]) if name in offered else ""
        more = ", ..." if values and len(offered[name].counts) > _SHOWN else ""
        parts.append(f"{name} ({values}{more})" if values else name)
    if not parts:
        return "It has no columns at all; add some, in QGIS with the field calculator."
    pairs = date_columns(tuple(offered.values()))
    proposal = (
        f" Two dates by their names: `before_column: {pairs[0].before}`, `after_column: {pairs[0].after}`." if pairs else ""
    )
    return f"Its columns, with the numbers of features of what can be classes: {'; '.join(parts)}.{proposal}"


def note_alike(series: pd.Series, where: str, kind: str = "one class") -> list[str]:
    """Return a sentence where a column writes one name in several ways; `kind` is what they count as."""
    pairs = alike(v for v in series.tolist() if isinstance(v, str))
    listed = "; ".join(f"{a!r} and {b!r}" for a, b in pairs[:_SHOWN])
    return [f"{where}: {listed} differ only in capitals or spaces, and count as {kind}."] if pairs else []


def _pair(before: str, after: str) -> tuple[int, tuple[int, int] | None] | None:
    """Return how sure the names of two columns are about their dates, 0 = surest, and their years; None where they are not."""
    one, other = ([w.casefold() for w in _WORDS.findall(name)] for name in (before, after))
    if len(one) != len(other):
        return None
    differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    if len(differing) != 1:
        return None
    years = _years(*differing[0])
    if years is not None and years[0] < years[1]:
        return 0, years
    cut = len(before) == len(after) == _CUT and differing[0] == (one[-1], other[-1])
    for rank, words in enumerate(_DATES, start=1):
        fits = all(len(w) > 1 and w.startswith(d) for w, d in zip(words, differing[0], strict=True)) if cut else False
        if fits or (differing[0] == words and (not cut or len(words[0]) > 1)):
            return rank, None
    return None


def _years(one: str, other: str) -> tuple[int, int] | None:
    if _YEAR.fullmatch(one) and _YEAR.fullmatch(other):
        return int(one), int(other)
    if _SHORT_YEAR.fullmatch(one) and _SHORT_YEAR.fullmatch(other):
        first, second = (1900 + int(y) if int(y) >= _CENTURY else 2000 + int(y) for y in (one, other))
        return first, second
    return None


def _is_change(column: ClassColumn) -> bool:
    """Return whether a column is called after change and holds it, or holds nothing else in words."""
    try:
        codes = {change_code(v.value) for v in column.counts}
    except InputError:
        return False
    return bool(_CHANGE.search(column.name)) or (len(codes) > 1 and all(isinstance(v.value, str) for v in column.counts))


def _is_split(column: ClassColumn) -> bool:
    """Return whether a column holds words for all three roles, and nothing else."""
    roles = [ROLE_WORDS.get(str(v.value).casefold()) for v in column.counts]
    return None not in roles and len(set(roles)) == len(set(ROLE_WORDS.values()))
