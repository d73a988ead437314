"""What a verb replies: JSON for machines, and the same as lines for people."""

import re
import shutil
import sys
from collections.abc import Sequence
from io import StringIO
from typing import Any

Reply = tuple[dict[str, Any], list[str]]

_NUMBER = re.compile(r"[-−–+]?[\d.,]*(?: \(.*\))?$")
"""What a cell with a number looks like: one that is not known is a dash, and an interval may follow."""
_UNBOUNDED = 10_000
"""Characters of a line that goes into a file or another program."""


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table for people: numbers right, everything else left, cells wrapped where a terminal is narrow.

    Args:
        header: Title of each column.
        rows: Cells of each row, as many as columns.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, title in enumerate(header):
        numbers = bool(rows) and all(_NUMBER.match(row[number]) for row in rows)
        table.add_column(title, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    stream = StringIO()
    Console(file=stream, width=width, color_system=None, markup=False, highlight=False, emoji=False).print(table)
    return [line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n")]
