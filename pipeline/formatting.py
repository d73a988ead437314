"""Numbers as people read them: figures, shares, times, energy and intervals; and texts as spreadsheets may read them."""

import math

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What spreadsheets take for the beginning of a formula. https://owasp.org/www-community/attacks/CSV_Injection"""


def make_harmless(text: str) -> str:
    """Return a text on one line that no spreadsheet runs as a formula: where one would, an apostrophe comes first."""
    # Many readers end a row at a line break, quoted or not.
    line = text.replace("\r", " ").replace("\n", " ")
    # Some spreadsheets skip what cannot be seen before a formula.
    first = next((character for character in line if character.isprintable() and not character.isspace()), "")
    return f"'{line}" if first in _FORMULA else line


def figure(value: object) -> str:
    """Show a number with three decimals, and a missing one as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def short(value: float) -> str:
    """Show a quantity with one decimal, two where it is small, none where it is a whole number."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def percent(share: float | None) -> str:
    """Show a share, 0..1, in percent: whole from 10 on, with a decimal below, and a missing one as a dash."""
    if share is None or math.isnan(share):
        return "–"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def count(value: float | None) -> str:
    """Show a mean of whole numbers, such as epochs, and a missing one as a dash."""
    return "–" if value is None else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Show a time in seconds, minutes or hours, and a missing one as a dash."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def energy(kwh: float | None) -> str:
    """Show electricity in Wh where there is little, else in kWh, and a missing one as a dash."""
    return _thousandths(kwh, "Wh")


def gas(kilograms: float | None) -> str:
    """Show greenhouse gas in g where there is little, else in kg, and a missing one as a dash."""
    return _thousandths(kilograms, "g")


def _thousandths(value: float | None, unit: str) -> str:
    """Show a number of thousands of a unit, in the unit itself where it is below one."""
    if value is None:
        return "–"
    return f"{1000 * value:.3g} {unit}" if value < 0.9995 else f"{max(value, 1):,.2f} k{unit}"


def interval(found: object, middle: str = "estimate", *, signed: bool = False) -> str:
    """Show an estimate with its interval, three decimals; a dash where it is not known.

    Args:
        found: A record with `low`, `high` and the field named by `middle`, or None.
        middle: The field of the estimate.
        signed: Whether positive numbers have a sign.
    """
    estimate: float | None = getattr(found, middle, None)
    low, high = getattr(found, "low", None), getattr(found, "high", None)
    if estimate is None:
        return "–"
    form = "+z.3f" if signed else "z.3f"
    span = "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"
    return f"{estimate:{form}}{span}"
