"""The estimates of a run as one tidy table for spreadsheets and scripts."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = ("table", "class", "quantity", "unit", "estimate", "low", "high", "mapped")

_FORMULA = ("=", "+", "-", "@")
"""What spreadsheets take for the beginning of a formula. https://owasp.org/www-community/attacks/CSV_Injection"""

_Row = tuple[str, str, str, str, float | None, float | None, float | None, float | None]


def csv_tables(content: Mapping[str, Any]) -> str:
    """Write estimates as CSV with one row an estimate.

    Args:
        content: Content of `estimates.json`.

    Returns:
        The columns `COLUMNS`: `mapped` is the pixel count in hectares, biased; what is not known is empty. A text that a
        spreadsheet would run as a formula begins with an apostrophe, and line breaks in names are spaces.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(content):
        writer.writerow([_harmless(value) if isinstance(value, str) else value for value in row])
    return stream.getvalue()


def _rows(content: Mapping[str, Any]) -> Iterator[_Row]:
    yield _row("overall", "all", "overall accuracy", "share", content["overall_accuracy"])
    yield from _class_rows("overall", "changed", content["changed"])
    for table in ("changes", "landuse_before", "landuse_after"):
        for entry in content[table]:
            yield from _class_rows(table, entry["name"], entry)
    transitions = content["transitions"] or {"names": [], "area_ha": []}
    for before, cells in zip(transitions["names"], transitions["area_ha"], strict=True):
        for after, cell in zip(transitions["names"], cells, strict=True):
            yield _row("transitions", f"{before} to {after}", "area", "ha", cell)
    for quantity, value in (content["disagreement"] or {}).items():
        yield ("disagreement", "all", quantity, "share", value, None, None, None)
    for place in content["areas_of_interest"]:
        name = place["name"]
        yield _row("areas_of_interest", name, "changed", "ha", place["changed_ha"], place["mapped_changed_ha"])
        for entry in place["changes"]:
            yield _row("areas_of_interest", name, entry["name"], "ha", entry["area_ha"], entry["mapped_ha"])
        yield ("areas_of_interest", name, "not observed", "ha", None, None, None, place["not_observed_ha"])
    yield ("overall", "all", "not observed", "ha", None, None, None, content["not_observed_ha"])


def _class_rows(table: str, name: str, entry: Mapping[str, Any]) -> Iterator[_Row]:
    yield _row(table, name, "area", "ha", entry["area_ha"], entry["mapped_ha"])
    yield _row(table, name, "user's accuracy", "share", entry["users_accuracy"])
    yield _row(table, name, "producer's accuracy", "share", entry["producers_accuracy"])


def _row(
    table: str, name: str, quantity: str, unit: str, interval: Mapping[str, float | None], mapped: float | None = None
) -> _Row:
    return (table, name, quantity, unit, interval["estimate"], interval["low"], interval["high"], mapped)


def _harmless(text: str) -> str:
    # Many readers end a row at a line break, quoted or not.
    line = text.replace("\r", " ").replace("\n", " ")
    # Some spreadsheets skip the spaces before a formula.
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line
