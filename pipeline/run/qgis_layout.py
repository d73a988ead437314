"""The page that a planner prints: A4 landscape, with a map, its legend and the notes that belong beside hectares."""

import base64
import textwrap
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer

from landshift.pipeline.drawing.qgis_file import Extent, Layer, inert
from landshift.pipeline.drawing.rendering import template_environment
from landshift.pipeline.records import read_record
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run_files import ESTIMATES
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.scores.accuracy import FEWEST_CHANGED

BIASED = "Mapped hectares are pixel counts, which are biased: the errors of the map do not cancel out."
UNESTIMATED = "Before you publish hectares, estimate them from a judged sample."

_MAP = {"x": 10.0, "y": 25.0, "width": 200.0, "height": 172.0}
_SIDE = {
    "x": 215.0, "y": 25.0, "width": 72.0, "legend_height": 110.0, "locator_y": 138.0, "notes_y": 160.0, "notes_height": 42.0,
}  # fmt: skip
_AROUND = 0.02
"""Share of the map's size that stays free around it."""
_ITEMS = ("page", "map", "north arrow", "scale bar", "legend", "crs", "locator", "title", "dates", "hectares", "source")
_NAMESPACE = uuid.UUID("6f1f9f8e-6f0b-5c0e-9b3a-1f6f0d9a7c11")


@dataclass(frozen=True)
class _Setting:
    """How large a legend is set."""

    size: int
    """Of its text, points."""
    columns: int
    """Beside each other."""
    symbol: float
    """Width of a symbol, millimetres."""
    gap: float
    """Between two rows, millimetres."""

    @property
    def letters(self) -> int:
        """How many fit on a line."""
        return int((_SIDE["width"] / self.columns - self.symbol - 5) / (_LETTERS_MM * self.size))

    def height(self, lines: int) -> float:
        """Of a row with so many lines, millimetres."""
        return max(lines * _LINE_MM * self.size, 0.6 * self.symbol) + self.gap

    @property
    def room(self) -> float:
        """For all rows, millimetres; a column can end a few lines early."""
        return _SIDE["legend_height"] * self.columns - 8 * self.columns


_SETTINGS = (_Setting(9, 1, 7.5, 1.2), _Setting(7, 1, 6.5, 0.8), _Setting(6, 2, 5.0, 0.8))
"""From comfortable to dense."""
_LETTERS_MM = 0.205
"""Mean width of a letter, millimetres for each point of its size."""
_LINE_MM = 0.38
"""Height of a line, millimetres for each point of its size."""
_WRAP = "⏎"


@dataclass(frozen=True)
class PrintLegend:
    """The legend on the page."""

    setting: _Setting
    """Its size."""
    properties: dict[str, dict[str, str]]
    """Custom properties of each layer in it, by the layer's key."""
    notes: list[str]
    """What a reader must know of it, in sentences."""
    wrap: str = _WRAP
    """Stands where a name goes on in the next line."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar of two parts."""

    unit: str
    """As QGIS calls it."""
    label: str
    """Its symbol."""
    segment: float
    """Length of a part, in the unit."""


@dataclass(frozen=True)
class PrintLayout:
    """What the template of the print layout needs; lengths in millimetres."""

    uuid: dict[str, str]
    """Of each item, the same in each project of the run."""
    map: dict[str, float]
    """Place of the map on the page."""
    side: dict[str, float]
    """Places of legend and notes beside it."""
    extent: Extent
    """What the map shows, in its CRS."""
    drawn: list[Layer]
    """Layers on the map, from top to bottom."""
    listed: list[Layer]
    """Layers in the legend."""
    scale: ScaleBar
    """Under the map."""
    legend: PrintLegend
    """Beside the map."""
    title: str
    """At the top."""
    dates: str
    """Below the title."""
    hectares: str
    """Below the legend: how much changed, how good the map is, and notes."""
    crs: str
    """Name and code of the coordinate reference system, under the map."""
    locator: str
    """Where on Earth the map lies, as an SVG in base64; empty where its CRS has no way to longitudes."""
    source: str
    """Below the map: model, images and run."""


def layout(
    run: RunRecord, layers: Mapping[str, Layer], extent: Extent, estimates: Estimates | None, *, crs: str
) -> PrintLayout:
    """Return what the template of the print layout needs.

    Args:
        run: What describes it.
        layers: Layers of the project by key.
        extent: Of the map, in its CRS.
        estimates: Of the run, None before there are any.
        crs: Of the map, as WKT.
    """
    listed = [layers[key] for key in ("changes", "not_observed", "areas_of_interest") if key in layers]
    drawn = [layers[key] for key in ("areas_of_interest", "changes", "not_observed", "image_after") if key in layers]
    shown, legend = _fit(extent), _legend(run, listed, estimates)
    return PrintLayout(
        uuid={name: f"{{{uuid.uuid5(_NAMESPACE, run.key + name)}}}" for name in _ITEMS},
        map=_MAP, side=_SIDE, extent=shown, drawn=drawn, listed=listed, scale=scale_bar(shown[2] - shown[0]), legend=legend,
        crs=inert(f"CRS: {run.grid.crs}. Pixels of {run.grid.pixel_size_m:g} m."), locator=_locator(crs, extent),
        title=inert(f"{run.name}: change of land use"), dates=f"{run.before_date} to {run.after_date}",
        hectares=inert("\n".join([hectares_text(run, estimates), *legend.notes])),
        source=inert(
            f"Mapped by Landshift with {'model ' if run.model else ''}{run.mapper} from images of {run.before_date} and "
            f"{run.after_date}. Run {run.key}, {run.created[:10]}."
        ),
    )  # fmt: skip


def _locator(crs: str, extent: Extent) -> str:
    """Draw where on Earth the map lies."""
    left, bottom, right, top = extent
    transformer = Transformer.from_crs(CRS.from_user_input(crs), 4326, always_xy=True)
    longitude, latitude = transformer.transform((left + right) / 2, (bottom + top) / 2)
    if not (isfinite(longitude) and isfinite(latitude)):
        return ""
    svg = template_environment(html=True).get_template("qgis/world.svg.j2").render(x=round(longitude, 2), y=round(-latitude, 2))
    return base64.b64encode(svg.encode()).decode()


def hectares_text(run: RunRecord, estimates: Estimates | None) -> str:
    """Describe how much changed: as it was mapped, which is biased, and as it was estimated where that was done."""
    lines = [f"Mapped as changed: {run.areas.changed_ha:,.1f} ha (pixel count, biased)"]
    if estimates and (found := estimates.changed.area_ha).estimate is not None:
        line = f"Estimated from {estimates.samples.used:,} judged samples: {found.estimate:,.1f} ha"
        if found.low is not None and found.high is not None:
            line += f" (95 % interval {found.low:,.1f} to {found.high:,.1f} ha)"
        lines.append(line)
        if (other := estimates.other_changes) is not None and other.area_ha.estimate is not None:
            lines.append(f"Kinds with few judged samples, together: {_estimate_text(other.area_ha)}")
    lines += [f"Not observed: {run.areas.not_observed_ha:,.1f} ha (change unknown)", BIASED]
    return "\n".join(lines if estimates else [*lines, UNESTIMATED])


def estimates_of(folder: Path, run: RunRecord) -> Estimates | None:
    """Read the estimates that lie beside a run; None without any, or with those of another run."""
    path = folder / ESTIMATES
    if not path.is_file():
        return None
    found = read_record(path, Estimates)
    return found if found.run == run.key else None


def scale_bar(width_m: float) -> ScaleBar:
    """Choose a round length for a bar of two parts, about a fifth of the map's width.

    Examples:
        >>> scale_bar(5000.0)
        ScaleBar(unit='meters', label='m', segment=500)
        >>> scale_bar(110_000.0)
        ScaleBar(unit='km', label='km', segment=10)
    """
    wanted = width_m / 10
    power = 10.0 ** floor(log10(wanted))
    segment = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    if segment >= 1000:
        return ScaleBar("km", "km", round(segment / 1000))
    return ScaleBar("meters", "m", round(segment) if segment >= 1 else segment)


def _fit(extent: Extent) -> Extent:
    """The extent that shows the whole map in its frame, which has another shape."""
    left, bottom, right, top = extent
    width, height = (right - left) * (1 + 2 * _AROUND), (top - bottom) * (1 + 2 * _AROUND)
    scale = max(width / _MAP["width"], height / _MAP["height"])
    x, y = (left + right) / 2, (bottom + top) / 2
    half_width, half_height = scale * _MAP["width"] / 2, scale * _MAP["height"] / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def _legend(run: RunRecord, listed: Sequence[Layer], estimates: Estimates | None) -> PrintLegend:
    """How the legend is set: smaller where it is long, without figures and with the largest changes only beyond the page."""
    named = next((_categories(layer) for layer in listed if layer.key == "changes"), [])
    figures = _figures(run, estimates)
    figured = [_LegendRow(code, name, figures.get(code, "")) for code, name in named]
    plain = [_LegendRow(code, name) for code, name in named]
    fitting = ((rows, s) for rows in (figured, plain) for s in _SETTINGS if sum(_heights(rows, s)) <= s.room)
    changes, setting = next(fitting, (plain, _SETTINGS[-1]))
    properties = {layer.key: {"legend/title-style": "hidden"} for layer in listed}
    if changes:
        properties["changes"] = {"legend/title-label": "Changes, with 95 % intervals" if estimates else "Changes"}
    for index, row in enumerate(changes):
        text = inert(_WRAP.join(row.lines(setting)))
        if text != row.name:
            properties["changes"][f"legend/label-{index}"] = text
    notes = []
    kept = _largest(run, changes, setting)
    if len(kept) < len(changes):
        properties["changes"]["legend/node-order"] = ",".join(map(str, kept))
        notes.append(f"The legend lists the {len(kept)} largest of {len(changes)} changes.")
    return PrintLegend(setting, properties, notes)


@dataclass(frozen=True)
class _LegendRow:
    """A change in the legend."""

    code: str
    """Its value."""
    name: str
    """Of the change."""
    figures: str = ""
    """Its hectares and how often it is right, under the name; empty where there is no room."""

    def lines(self, setting: _Setting) -> list[str]:
        return [*_wrap(self.name, setting), *(_wrap(self.figures, setting) if self.figures else [])]


def _estimate_text(area: Interval) -> str:
    ends = "" if area.low is None or area.high is None else f" ({area.low:,.1f} to {area.high:,.1f})"
    return f"{area.estimate:,.1f} ha{ends}"


def _figures(run: RunRecord, estimates: Estimates | None) -> dict[str, str]:
    """Return hectares and accuracy of each change by its code: estimated where they were, else as mapped and tested."""
    found = {row.code: row for row in (estimates.changes if estimates else ())}
    few = estimates.other_changes.codes if estimates and estimates.other_changes else ()
    texts = {}
    for row in run.areas.changes:
        text = f"{row.area_ha:,.1f} ha mapped"
        estimated = found.get(row.code)
        if estimated is not None and row.code not in few and estimated.area_ha.estimate is not None:
            text = f"{_estimate_text(estimated.area_ha)} estimated"
        elif estimates is None and row.test.right is not None and (row.test.mapped or 0) >= FEWEST_CHANGED:
            text += f"; {row.test.right:.0%} right where tested".replace("%", " %")
        texts[str(row.code)] = text
    return texts


def _largest(run: RunRecord, changes: Sequence[_LegendRow], setting: _Setting) -> list[int]:
    """Which changes fit on the page, in the order of the legend: the largest come first."""
    order = {str(row.code): rank for rank, row in enumerate(run.areas.changes)}
    heights = _heights(changes, setting)
    ranked = sorted(range(len(changes)), key=lambda index: (order.get(changes[index].code, len(order)), index))
    fits = int(np.searchsorted(np.cumsum([heights[index] for index in ranked]), setting.room, side="right"))
    return sorted(ranked[:fits])


def _heights(changes: Sequence[_LegendRow], setting: _Setting) -> list[float]:
    return [setting.height(len(row.lines(setting))) for row in changes]


def _wrap(name: str, setting: _Setting) -> list[str]:
    return textwrap.wrap(name, setting.letters) or [name]


def _categories(layer: Layer) -> list[tuple[str, str]]:
    """Values and names that a layer's style lists."""
    root = ET.fromstring(layer.qml)  # noqa: S314 (as in landshift.pipeline.drawing.qgis_file)
    return [(category.get("value", ""), category.get("label", "")) for category in root.iter("category")]
