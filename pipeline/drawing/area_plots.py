"""Plots of areas: hectares with their intervals, and which land use turned into which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from landshift.pipeline.drawing.plots import (
    COLOURS,
    INK,
    LETTER,
    LONGEST,
    SOFT,
    WIDTH,
    drawing,
    frame_rows,
    label,
    shorten,
    spread_out,
)
from landshift.pipeline.legend import LandUse, Legend

_PAGE = 720.0
"""Width of the flows, in pixels of the page."""
_SIDE = 190.0
"""Of it, what the names take on each side."""
_NODE = 14.0
_GAP = 12.0
_LINE_HEIGHT = 17.0
_THINNEST = 0.75


@dataclass(frozen=True)
class AreaRow:
    """One line of an area plot, in hectares."""

    label: str
    """What it is of."""
    mapped: float | None
    """Counted from pixels (biased); None = not mapped."""
    estimate: float | None
    """From the judged sample; None = not known."""
    low: float | None
    """Of the estimate's interval; None = no interval."""
    high: float | None
    """Of the estimate's interval; None = no interval."""


@dataclass(frozen=True)
class Flow:
    """Land that turned from one class into another."""

    name: str
    """Of the change."""
    from_code: int
    """Class before."""
    to_code: int
    """Class after."""
    colour: str
    """`#rrggbb`."""
    area_ha: float
    """Counted from pixels."""


def area_plot(rows: Sequence[AreaRow], *, alt: str) -> str:
    """Draw estimated hectares with their intervals, and beside each what the map counts.

    Args:
        rows: From top to bottom.
        alt: What the plot shows, for people who do not see it.

    Returns:
        SVG; empty where there is no estimate.
    """
    if all(row.estimate is None for row in rows):
        return ""
    height = 0.27 * len(rows) + 1.0
    left = LETTER * min(max(len(row.label) for row in rows), LONGEST) + 0.25
    with drawing(height, alt) as (figure, svg):
        axes = figure.add_axes((left / WIDTH, 0.5 / height, (WIDTH - left - 0.15) / WIDTH, 1 - 0.9 / height))
        hollow: dict[str, Any] = {"color": COLOURS[1], "markerfacecolor": "none", "markeredgewidth": 1.5}
        for y, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [-y, -y], color=INK, linewidth=2, solid_capstyle="butt")
            if row.estimate is not None:
                axes.plot(row.estimate, -y, "o", color=INK, markersize=6.5, clip_on=False)
            if row.mapped is not None:
                axes.plot(row.mapped, -y, "D", markersize=6.5, clip_on=False, **hollow)
            label(axes, row.label, -y, left)
        # In empty axes, so that the key stays where it is whatever is drawn.
        key = [
            axes.plot([], [], "o-", color=INK, linewidth=2, markersize=6.5, label="estimate, 95 % interval")[0],
            axes.plot([], [], "D", label="pixel count, biased", **hollow)[0],
        ]
        figure.legend(handles=key, loc="upper right", ncols=2, frameon=False, fontsize=9.5, borderpad=0, labelcolor=INK)
        axes.set_xlim(left=0)
        frame_rows(axes, len(rows), "hectares")
    return svg[0]


def flow_plot(flows: Sequence[Flow], legend: Legend, *, alt: str) -> str:
    """Draw which land use turned into which: bands from the classes before to those after, as wide as their hectares.

    What did not change is left out: it would leave no room for what did.

    Args:
        flows: Those without area are left out.
        legend: Gives the order, names and colours of the classes.
        alt: What the plot shows, for people who do not see it.

    Returns:
        SVG; empty where nothing changed.
    """
    flows = [flow for flow in flows if flow.area_ha > 0]
    if not flows:
        return ""
    sides = [
        _totals([(flow.from_code, flow.area_ha) for flow in flows], legend),
        _totals([(flow.to_code, flow.area_ha) for flow in flows], legend),
    ]
    total = sum(sides[0].values())
    most = max(len(side) for side in sides)
    scale = (150.0 + 26.0 * most) / total
    height = total * scale + _GAP * (most - 1) + 2 * _LINE_HEIGHT + 8
    by_code = {entry.code: entry for entry in legend.classes}
    starts = [_stack(side, scale, height) for side in sides]
    parts = [_heading("Before", _SIDE - 8, "end"), _heading("After", _PAGE - _SIDE + 8, "start")]
    at = [dict(side) for side in starts]
    for flow in sorted(flows, key=lambda flow: (flow.from_code, flow.to_code)):
        width = flow.area_ha * scale
        parts.append(_band(at[0][flow.from_code], at[1][flow.to_code], max(width, _THINNEST), flow))
        at[0][flow.from_code] += width
        at[1][flow.to_code] += width
    for side, (totals, start) in enumerate(zip(sides, starts, strict=True)):
        parts += _nodes(totals, start, scale, by_code, right=bool(side))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {_PAGE:g} {height:.0f}" '
        f'font-family="sans-serif" font-size="13.5" aria-label="{escape(alt)}">{"".join(parts)}</svg>'
    )


def _totals(areas: Sequence[tuple[int, float]], legend: Legend) -> dict[int, float]:
    """Sum hectares by class, in the legend's order."""
    sums = {entry.code: sum(area for code, area in areas if code == entry.code) for entry in legend.classes}
    return {code: area for code, area in sums.items() if area > 0}


def _stack(totals: Mapping[int, float], scale: float, height: float) -> dict[int, float]:
    """Return where each class starts, one below the other, the whole in the middle of what the heading leaves."""
    used = sum(totals.values()) * scale + _GAP * (len(totals) - 1)
    y = _LINE_HEIGHT + (height - _LINE_HEIGHT - used) / 2
    found = {}
    for code, area in totals.items():
        found[code] = y
        y += area * scale + _GAP
    return found


def _heading(text: str, x: float, anchor: str) -> str:
    return f'<text x="{x:g}" y="12" text-anchor="{anchor}" fill="{SOFT}" font-weight="bold">{text}</text>'


def _band(left: float, right: float, width: float, flow: Flow) -> str:
    start, end = _SIDE + _NODE, _PAGE - _SIDE - _NODE
    middle = (start + end) / 2
    path = (
        f"M{start:g} {left:.1f}C{middle:g} {left:.1f} {middle:g} {right:.1f} {end:g} {right:.1f}V{right + width:.1f}"
        f"C{middle:g} {right + width:.1f} {middle:g} {left + width:.1f} {start:g} {left + width:.1f}Z"
    )
    title = escape(f"{flow.name}: {flow.area_ha:,.1f} ha (pixel count, biased)")
    return f'<path d="{path}" fill="{escape(flow.colour)}" fill-opacity=".78"><title>{title}</title></path>'


def _nodes(
    totals: Mapping[int, float],
    start: Mapping[int, float],
    scale: float,
    by_code: Mapping[int, LandUse],
    *,
    right: bool,
) -> list[str]:
    x, text_x = (_PAGE - _SIDE - _NODE, _PAGE - _SIDE + 8) if right else (_SIDE, _SIDE - 8)
    middles = spread_out([start[code] + area * scale / 2 for code, area in totals.items()], _LINE_HEIGHT)
    parts = []
    for (code, area), middle in zip(totals.items(), middles, strict=True):
        name = escape(shorten(by_code[code].name, 16))
        parts.append(
            f'<rect x="{x:g}" y="{start[code]:.1f}" width="{_NODE:g}" height="{max(area * scale, 1):.1f}" '
            f'fill="{escape(by_code[code].colour)}" stroke="{INK}" stroke-width=".6"/>'
            f'<text x="{text_x:g}" y="{middle + 4.5:.1f}" text-anchor="{"start" if right else "end"}" fill="{INK}" '
            f'unicode-bidi="isolate">{name} <tspan fill="{SOFT}">{area:,.1f} ha</tspan></text>'
        )
    return parts
