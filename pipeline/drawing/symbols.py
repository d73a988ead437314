"""Colours, ramps and names of map entries, for any program that draws them."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from landshift.pipeline.colours.palette import PATTERNS, Pattern
from landshift.pipeline.colours.vision import is_dark
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Change, LandUse, Legend

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""

VIRIDIS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
"""Perceptually even and readable by the colour-blind. https://doi.org/10.1371/journal.pone.0199239"""

OUTLINE_COLOUR = "#1f2a44"
"""Of areas of interest: darker than any class, so that it reads on images and on maps."""
HATCH_COLOUR = "#6b6b6b"
"""Of what was not observed, on maps."""
UNSEEN_COLOUR = "#cccccc"
"""Of what was not observed, in images."""

_PIXELS_PER_MM = 4.5
"""Lines need more room on a screen than on paper."""
_SWATCH_SPACING = 0.7
"""A swatch is small: its lines lie closer together than on the map."""
MOST_DATES = 64
"""A legend with more dates than this would not be read; a ramp takes its place."""


@dataclass(frozen=True)
class SampleMark:
    """How a reference sample that agrees with the map, or does not, is drawn."""

    agrees: int
    """Value of the column `agrees`: 1 or 0."""
    label: str
    """In the legend."""
    shape: str
    """Well-known name of the marker, the same in QGIS and in SLD; the shapes differ for readers without colour vision."""
    colour: str
    """`#rrggbb`, of the palette of Okabe and Ito: https://jfly.uni-koeln.de/color/"""


AGREEMENTS = (
    SampleMark(1, "Sample agrees with the map", "circle", "#0072b2"),
    SampleMark(0, "Sample differs from the map", "triangle", "#d55e00"),
)


@dataclass(frozen=True)
class Stop:
    """A number of a raster, its colour and what the legend calls it."""

    value: float
    """As the raster holds it, after scale and offset."""
    colour: str
    """`#rrggbb`."""
    label: str
    """In the legend."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#rrggbb`, each 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def darker(colour: str) -> str:
    """Return the colour of the edge of an area, `#rrggbb`."""
    return "#" + "".join(f"{channel * 6 // 10:02x}" for channel in rgb(colour))


def fill_colour(entry: Change | LandUse) -> str:
    """Return the colour of a category's area; what was not observed is white in the legend, and hatched in grey."""
    return HATCH_COLOUR if entry.code == NOT_OBSERVED else entry.colour


def lines_on(entry: Change | LandUse) -> tuple[Pattern, str]:
    """Return the lines on a category's area, which stand for the class before, and their colour: white on dark areas."""
    pattern = PATTERNS[entry.pattern] if isinstance(entry, Change) else PATTERNS[0]
    return pattern, "#ffffff" if is_dark(entry.colour) else "#1a1a1a"


def fill_css(colour: str, pattern: int = 0) -> str:
    """Return the background of a swatch in a page: lines on a colour, as in the styles for GIS.

    Args:
        colour: `#rrggbb`.
        pattern: Index in `colours.palette.PATTERNS`.
    """
    lines = screen_lines(colour, pattern)
    ink, width, spacing = lines.ink, lines.width, _SWATCH_SPACING * lines.spacing
    # CSS counts from the top clockwise, and along the way across the lines.
    drawn = [
        f"repeating-linear-gradient({(180 - angle) % 180}deg, {ink} 0 {width:g}px, transparent {width:g}px {spacing:g}px)"
        for angle in lines.angles
    ]
    return ", ".join([*drawn, colour])


@dataclass(frozen=True)
class ScreenLines:
    """Lines on an area, on a screen."""

    angles: tuple[int, ...]
    """Degrees counter-clockwise from the east; none where the area is plain."""
    spacing: float
    """Pixels from line to line."""
    width: float
    """Pixels."""
    ink: str
    """`#rrggbb`: white on dark areas."""


def screen_lines(colour: str, pattern: int) -> ScreenLines:
    """Return a pattern's lines on a colour, `#rrggbb`, in pixels of a screen."""
    lines, ink = PATTERNS[pattern], "#ffffff" if is_dark(colour) else "#1a1a1a"
    return ScreenLines(lines.angles, _pixels(lines.spacing_mm), _pixels(lines.width_mm), ink)


def _pixels(millimetres: float) -> float:
    """Return whole pixels of a screen, at least one, of a length on paper."""
    return float(max(round(millimetres * _PIXELS_PER_MM), 1))


def opacity(entry: Change | LandUse) -> int:
    """Return 0 for what was not observed, which rasters leave transparent, else 255."""
    return 0 if entry.code == NOT_OBSERVED else 255


def clean(name: str) -> str:
    """Drop what XML cannot hold; the serialiser escapes the rest."""
    return _NOT_IN_XML.sub("", name)


def document(root: ET.Element, before: str = "") -> str:
    """Return an element as indented text.

    Args:
        root: The element.
        before: Declaration or document type.
    """
    ET.indent(root)
    return before + ET.tostring(root, encoding="unicode") + "\n"


def viridis(share: float) -> str:
    """Return the colour at `share`, 0..1, of the ramp."""
    place = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    below = min(int(place), len(VIRIDIS) - 2)
    pairs = zip(rgb(VIRIDIS[below]), rgb(VIRIDIS[below + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - below)):02x}" for a, b in pairs)


def number_stops(low: float, high: float) -> tuple[Stop, ...]:
    """Return the stops of a ramp over numbers from `low` to `high`."""
    values = (low + (high - low) * index / (len(VIRIDIS) - 1) for index in range(len(VIRIDIS)))
    return tuple(Stop(float(f"{v:g}"), colour, f"{v:g}") for v, colour in zip(values, VIRIDIS, strict=True))


def date_stops(days: Iterable[int]) -> tuple[tuple[Stop, ...], bool]:
    """Return how a raster of dates is painted: dark what was seen long ago, bright what was seen last.

    Args:
        days: The dates that occur, as year x 10000 + month x 100 + day; 0 (never observed) is left out.

    Returns:
        One stop a date, by ascending date, and False; or a few stops of a ramp and True where there are more than 64.

    Raises:
        ValueError: A number is no date.
    """
    known = [(number, _date(number)) for number in sorted({int(day) for day in days} - {0})]
    if len(known) > MOST_DATES:
        last = len(known) - 1
        known = [known[round(index * last / (len(VIRIDIS) - 1))] for index in range(len(VIRIDIS))]
        return tuple(Stop(n, c, d.isoformat()) for (n, d), c in zip(known, VIRIDIS, strict=True)), True
    return tuple(Stop(n, viridis(_share(d, [e for _, e in known])), d.isoformat()) for n, d in known), False


def _share(day: date, days: Sequence[date]) -> float:
    """Return where a date lies between the first and the last, 0..1; 1 where there is one date only."""
    span = (days[-1] - days[0]).days
    return (day - days[0]).days / span if span else 1.0


def _date(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def occurring(changes: Iterable[Change], codes: Iterable[int]) -> tuple[Change, ...]:
    """Return the changes that a reader of one map meets: those whose code occurs, and "Unchanged" always."""
    wanted = {int(code) for code in codes} | {UNCHANGED}
    return tuple(change for change in changes if change.code in wanted)


def land_use_entries(legend: Legend) -> tuple[LandUse, ...]:
    """Return the values of a land-use map: "Not observed" and the classes."""
    not_observed = legend.changes[NOT_OBSERVED]
    return (LandUse(NOT_OBSERVED, not_observed.name, not_observed.colour), *legend.classes)


def raster_colormap(entries: Iterable[Change | LandUse]) -> dict[int, tuple[int, int, int, int]]:
    """Return the colour table: code to red, green, blue, alpha, each 0..255; code 0 is transparent."""
    return {entry.code: (*rgb(entry.colour), opacity(entry)) for entry in entries}
