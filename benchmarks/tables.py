"""Numbers, tables and machines as the page on performance shows them."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("before", "now")
Content = Mapping[str, Any]


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with so many significant digits, without an exponent."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    text = f"{float(f'{value:.{digits}g}'):,.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is text, and the others numbers."""
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *rows))


def name_machine(column: str, content: Content) -> str:
    """Describe where and when a column was measured."""
    machine = content["machine"]
    vectors = ", ".join(machine["vectors"]) or "no vectors known"
    memory, load = number(machine["memory_gb"], 3), number(machine["load"], 2)
    note = f"; {machine['note']}" if "note" in machine else ""
    return (
        f"{column.capitalize()}: {machine['processor']} ({vectors}), {machine['cores']} cores, {memory} GB, "
        f"load {load} at the beginning, {machine['day']}{note}."
    )


def any_column(content: Content) -> Content:
    """Return the first column that there is, for what all columns have alike."""
    return next(content[column] for column in COLUMNS if column in content)


def machines_of(content: Content, columns: Sequence[str] = COLUMNS) -> str:
    """Describe the machine of every column."""
    return " ".join(name_machine(column, content[column]) for column in columns if column in content)


def keep_page(page: Path, text: str, about: str | None) -> int:
    """Write a page, or with `--check` compare it; return the exit code, 1 where it is not what the measurements make."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return int(page.read_text(encoding="utf-8") != text)
    page.write_text(text, encoding="utf-8")
    return 0
