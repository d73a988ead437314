"""Plots for pages: inline SVG that needs no network, and reads without colour vision."""

import io
import itertools
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#1d2730", "#5a6773", "#d5dce2"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), which people with any colour vision can distinguish; yellow is left out, as it vanishes on white."""

WIDTH = 5.8
"""Inches of 72 units: on a page of 700 px the text is about as large as that around it."""
LETTER = 0.078
"""Inches that a letter takes in labels."""
LONGEST = 34


@contextmanager
def drawing(height: float, alt: str) -> "Iterator[tuple[Figure, list[str]]]":
    """Yield a figure to draw on, and the list that its SVG is put into."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": alt, "font.family": "sans-serif", "font.size": 10, "text.color": INK,
        "axes.edgecolor": SOFT, "axes.labelcolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT, "axes.axisbelow": True,
    }  # fmt: skip
    svg: list[str] = []
    with mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's browser draws the letters; that the font that measures them lacks some does not matter.
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from|Matplotlib currently does not support")
        figure = Figure(figsize=(WIDTH, height))
        yield figure, svg
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg.append(_inline(buffer.getvalue(), alt))


def _inline(svg: str, alt: str) -> str:
    """Take off what only a file needs, give it a description, and no names that another plot of the page has too."""
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", body)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="plot" role="img" '
        f'viewBox="0 0 {width} {height}" stroke-linejoin="round" aria-label="{escape(alt)}">'
    )
    return head + body[body.index(">") + 1 :].strip()


def label(axes: "Axes", text: str, y: float, left: float, *, weight: str = "normal", longest: int = LONGEST) -> None:
    """Write a label at the left edge of the figure, `left` inches before the axes, at the height y of the data."""
    from matplotlib.transforms import ScaledTranslation

    # From the left edge of the figure, in inches, so that labels of any length start below each other.
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    start = axes.get_yaxis_transform() + ScaledTranslation(-left + 0.1, 0, figure.dpi_scale_trans)
    axes.text(0, y, shorten(text, longest), transform=start, va="center", weight=weight, parse_math=False, clip_on=False)


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a name that is too long for its place."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def spread_out(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart until each is at least `gap` from the next, in their order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    moved = list(values)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    excess = max(moved[order[-1]] - max(values), 0.0) / 2
    return [value - excess for value in moved]


def frame_rows(axes: "Axes", rows: int, title: str) -> None:
    """Set up axes whose rows lie one below another, the first at height 0, with the axis of their values below."""
    axes.set_ylim(-rows + 0.4, 0.6)
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(title)
    plain(axes, "bottom")
    axes.grid(axis="x", color=LINE, linewidth=0.7)


def plain(axes: "Axes", *kept: str) -> None:
    """Leave out the frame but for the sides that are kept."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in kept)


_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLES = ("-", "--", "-.", ":")

_VERDICTS = {"helps": (COLOURS[2], "^"), "no evidence": (INK, "o"), "hurts": (COLOURS[1], "v")}


@dataclass(frozen=True)
class Dot:
    """An estimate with its interval: one line of an interval plot."""

    label: str
    """What it is of."""
    estimate: float | None
    """None = nothing is known."""
    low: float | None
    """None = no interval."""
    high: float | None
    """None = no interval."""
    group: str = ""
    """Heading under which it stands."""
    verdict: str = "no evidence"
    """`helps`, `no evidence` or `hurts`: sets colour and marker."""


@dataclass(frozen=True)
class CurveDot:
    """A point of a learning curve, with its interval."""

    arm: str
    """Line that it belongs to."""
    share: float
    """Of the labels, above 0, at most 1."""
    f1: float | None
    """None = not known."""
    low: float | None
    """None = no interval."""
    high: float | None
    """None = no interval."""


@dataclass(frozen=True)
class ReliabilityDot:
    """Pixels whose probability is about the same."""

    count: int
    """Pixels; the more, the larger the dot."""
    mean_probability: float
    """Predicted, 0..1."""
    observed_share: float
    """In the labels, 0..1."""


def interval_plot(rows: Sequence[Dot], *, axis: str, alt: str, zero: bool = False) -> str:
    """Draw estimates with their intervals, one below another; without an interval the dot is hollow.

    Args:
        rows: From top to bottom.
        axis: Title of the axis.
        alt: What the plot shows, for people who do not see it.
        zero: Whether to mark 0, where the two compared are the same.

    Returns:
        SVG; empty where there is no estimate.
    """
    if all(row.estimate is None for row in rows):
        return ""
    lines: list[Dot | str] = []
    for group, own in itertools.groupby(rows, lambda row: row.group):
        lines += [*([group] if group else []), *own]
    height = 0.27 * len(lines) + 0.65
    left = LETTER * min(max(len(row.label) for row in rows), LONGEST) + 0.25
    with drawing(height, alt) as (figure, svg):
        axes = figure.add_axes((left / WIDTH, 0.5 / height, (WIDTH - left - 0.15) / WIDTH, 1 - 0.6 / height))
        if zero:
            axes.axvline(0, color=SOFT, linewidth=1)
        for y, line in enumerate(lines):
            if isinstance(line, Dot):
                _dot(axes, -y, line)
                label(axes, line.label, -y, left)
            else:
                label(axes, line, -y, left, weight="bold", longest=60)
        frame_rows(axes, len(lines), axis)
    return svg[0]


def curve_plot(rows: Sequence[CurveDot], *, alt: str) -> str:
    """Draw F1 over the share of the labels, one line an arm, with its interval.

    Args:
        rows: In any order; arms are listed as they first occur.
        alt: What the plot shows, for people who do not see it.

    Returns:
        SVG; empty where no F1 is known.
    """
    known = [row for row in rows if row.f1 is not None]
    if not known:
        return ""
    arms = list(dict.fromkeys(row.arm for row in known))
    right = LETTER * min(max(len(arm) for arm in arms), LONGEST) + 0.3
    height = 3.3
    with drawing(height, alt) as (figure, svg):
        axes = figure.add_axes((0.7 / WIDTH, 0.5 / height, (WIDTH - 0.7 - right) / WIDTH, 1 - 0.65 / height))
        axes.set_xscale("log")
        shares = sorted({row.share for row in known})
        # Beside each other, so that no interval hides another.
        step = (1.5 * shares[-1] / shares[0]) ** 0.014
        ends = []
        for number, arm in enumerate(arms):
            points = sorted((row for row in known if row.arm == arm), key=lambda row: row.share)
            x = [row.share * step ** (number - (len(arms) - 1) / 2) for row in points]
            y = [row.f1 for row in points if row.f1 is not None]
            colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)]
            axes.plot(x, y, _STYLES[number % len(_STYLES)], color=colour, marker=marker, markersize=5.5, linewidth=1.6)
            for place, row in zip(x, points, strict=True):
                if row.low is not None and row.high is not None:
                    axes.plot([place, place], [row.low, row.high], color=colour, linewidth=1.1, alpha=0.75)
            ends.append((y[-1], arm, colour, marker))
        axes.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
        axes.minorticks_off()
        axes.set_xlim(shares[0] / step**3, shares[-1] * step**3)
        low, high = axes.get_ylim()
        low, high = max(low, -0.02), min(high, 1.02)
        axes.set_ylim(low, high)
        for at, (_, arm, colour, marker) in zip(spread_out([e[0] for e in ends], 0.065 * (high - low)), ends, strict=True):
            axes.plot(
                1.03, (at - low) / (high - low), marker, color=colour, markersize=5.5, transform=axes.transAxes, clip_on=False
            )
            axes.text(1.07, (at - low) / (high - low), shorten(arm), color=colour, transform=axes.transAxes, va="center",
                      parse_math=False)  # fmt: skip
        axes.set_xlabel("share of the labels")
        axes.set_ylabel("F1 of changed")
        axes.grid(axis="y", color=LINE, linewidth=0.7)
        plain(axes, "bottom", "left")
    return svg[0]


def reliability_plot(tables: Mapping[str, Sequence[ReliabilityDot]], *, alt: str) -> str:
    """Draw predicted probabilities against shares in the labels, one diagram for each kind of probability.

    Args:
        tables: Title to the dots.
        alt: What the plot shows, for people who do not see it.

    Returns:
        SVG; empty where there is no bin.
    """
    if not any(tables.values()):
        return ""
    side = (WIDTH - 0.65) / len(tables) - 0.15 if len(tables) > 1 else 2.6
    height = side + 0.95
    most = max(row.count for table in tables.values() for row in table)
    with drawing(height, alt) as (figure, svg):
        for number, (title, table) in enumerate(tables.items()):
            left = 0.6 + number * (side + 0.15)
            axes = figure.add_axes((left / WIDTH, 0.5 / height, side / WIDTH, side / height))
            axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
            x, y = [row.mean_probability for row in table], [row.observed_share for row in table]
            axes.plot(x, y, color=COLOURS[0], linewidth=1.2)
            axes.scatter(x, y, [12 + 30 * row.count / most for row in table], color=COLOURS[0], zorder=3)
            axes.set_title("\n".join(textwrap.wrap(title, 22)[:2]), parse_math=False, fontsize=9.5)
            axes.set_xlim(-0.05, 1.05)
            axes.set_ylim(-0.05, 1.05)
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"] if number == 0 else [])
            axes.set_xlabel("stated probability")
            if number == 0:
                axes.set_ylabel("share that changed")
            plain(axes, "bottom", "left")
    return svg[0]


def _dot(axes: "Axes", y: float, row: Dot) -> None:
    colour, marker = _VERDICTS[row.verdict]
    if row.estimate is None:
        return
    hollow = row.low is None or row.high is None
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(row.estimate, y, marker, color=colour, markersize=6.5, markerfacecolor="white" if hollow else colour)
