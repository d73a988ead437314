"""The text for a report as a Word document."""

import re
from html import unescape
from importlib.util import find_spec
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import replace_when_done

_ESCAPED = re.compile(r"\\([\\`*_\[\]|#])")
_CELLS = re.compile(r"(?<!\\)\|")


def require_word(path: Path) -> None:
    """Refuse a Word document that could not be written, before any long work.

    Raises:
        InputError: The package python-docx is missing, or the file is called otherwise.
    """
    if path.suffix.lower() != ".docx":
        raise InputError(f"{path} is to be a Word document: expected a name that ends with .docx.")
    if find_spec("docx") is None:
        raise InputError("A Word document needs the package python-docx: `pip install 'landshift[word]'`.")


def write_word(path: Path, text: str) -> Path:
    """Write headings, paragraphs, lists and tables of `report_text` as a Word document (Office Open XML), in one atomic step.

    Args:
        path: The `.docx`.
        text: Markdown, as `report_text` writes it.

    Raises:
        InputError: As `require_word`.
    """
    require_word(path)
    from docx import Document

    document = Document()
    for block in re.split(r"\n{2,}", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            rows = [[_plain(cell.strip()) for cell in _CELLS.split(line)[1:-1]] for line in lines]
            table = document.add_table(rows=0, cols=len(rows[0]), style="Light Grid Accent 1")
            # The second line only aligns the columns.
            for row in (rows[0], *rows[2:]):
                for cell, content in zip(table.add_row().cells, row, strict=True):
                    cell.text = content
        elif lines[0].startswith("#"):
            document.add_heading(_plain(lines[0].lstrip("#").strip()), level=lines[0].count("#", 0, 3))
        elif lines[0].startswith("- "):
            for line in lines:
                document.add_paragraph(_plain(line.removeprefix("- ")), style="List Bullet")
        else:
            document.add_paragraph(_plain(" ".join(lines)))
    with replace_when_done(path) as temporary:
        document.save(str(temporary))
    return path


def _plain(text: str) -> str:
    """Return text without the signs that keep Markdown from acting on it."""
    return unescape(_ESCAPED.sub(r"\1", text))
