"""Environment of the templates of pages and cards, with filters for numbers and names."""

import re
from functools import cache
from html import escape

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from landshift.pipeline.drawing.symbols import fill_css
from landshift.pipeline.formatting import count, duration, energy, figure, gas, interval, percent, short


@cache
def template_environment(*, html: bool) -> Environment:
    """Return where templates are rendered, with filters for numbers and names; a template is compiled once in a process.

    Args:
        html: Escape whatever is put in, since names come from users; Markdown is read as text.
    """
    environment = Environment(
        loader=PackageLoader("landshift.pipeline"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=html,  # noqa: S701 (off for Markdown only)
    )  # fmt: skip
    environment.filters |= {
        "figure": figure, "short": short, "hectares": lambda value: f"{value:,.1f}", "percent": percent, "counted": count,
        "duration": duration, "energy": energy, "gas": gas, "interval": _unbroken if html else interval, "cell": cell,
        "marked": mark_code, "fill_css": fill_css,
    }  # fmt: skip
    return environment


def _unbroken(found: object, middle: str = "estimate", *, signed: bool = False) -> str:
    """Show an interval so that a narrow page breaks its line before the bracket and nowhere else."""
    return interval(found, middle, signed=signed).replace(" to ", "\u00a0to\u00a0")


def mark_code(text: str) -> Markup:
    """Escape a sentence, and show what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(Markup.escape(text))))  # noqa: S704 (escaped before)


def cell(text: object) -> str:
    """Make a name fit for Markdown: no HTML, and nothing that would end a cell or its row."""
    return re.sub(r"\s+", " ", escape(str(text), quote=False)).replace("|", "\\|")
