"""The page of a detect run and the card of a model."""

import math
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def run_page(run: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Write the page of a run: one file that needs no network.

    Args:
        run: Content of `run.json`.
        pictures: `before`, `after` and `change` as data URIs.
    """
    return _environment(html=True).get_template("run.html.j2").render(run=run, pictures=pictures)


def model_card(report: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Write the card of a model in Markdown.

    Args:
        report: Content of `training.json`.
        model: Content of `model.json`.
    """
    return _environment(html=False).get_template("card.md.j2").render(report=report, model=model)


def _environment(*, html: bool) -> Environment:
    # Names come from users, so a page escapes every one of them; Markdown is read as text.
    environment = Environment(
        loader=PackageLoader("pipeline"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=html,  # noqa: S701 (off for Markdown only)
    )  # fmt: skip
    environment.filters["figure"] = _figure
    environment.filters["short"] = _short
    environment.filters["hectares"] = lambda value: f"{value:,.1f}"
    environment.filters["percent"] = _percent
    return environment


def _figure(value: object) -> str:
    """Show a number with three decimals, and a missing one as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _short(value: float) -> str:
    """Show a quantity as a person would say it: one decimal, two where it is small, none where it is a whole number."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def _percent(share: float | None) -> str:
    """Show a share, 0..1, in percent: whole from 10 on, with a decimal below, and a missing one as a dash."""
    if share is None or math.isnan(share):
        return "–"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"
