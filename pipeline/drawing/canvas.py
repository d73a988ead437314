"""What plots are drawn on: SVG that stands in a page, its colours, labels and sizes."""

import io
import itertools
import re
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#1d2730", "#5a6773", "#d5dce2"

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), which people with any colour vision tell apart; yellow is left out, as it vanishes on white."""

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
    axes.text(0, y, shortened(text, longest), transform=start, va="center", weight=weight, parse_math=False, clip_on=False)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Cut a name that is too long for its place."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart until each is at least `gap` from the next, in their order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    moved = list(values)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    excess = max(moved[order[-1]] - max(values), 0.0) / 2
    return [value - excess for value in moved]


def plain(axes: "Axes", *kept: str) -> None:
    """Leave out the frame but for the sides that are kept."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in kept)
