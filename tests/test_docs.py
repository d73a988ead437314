"""The docs: files, names and pages that they mention exist."""

import re
from pathlib import Path

import pytest

from landshift.pipeline import limits

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
CODE = re.compile(r"`((?:pipeline|models|flows|tests|benchmarks|src)/[\w/]*?(?:\w+\.py)?)(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_mentions_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [f"{path}::{name}" for path, name in CODE.findall(text) if not exists(ROOT / path, name)]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = [p.parent for layer in ("pipeline", "models", "flows") for p in (ROOT / layer).rglob("*/__init__.py")]
    names = {folder: (folder.relative_to(ROOT).as_posix().partition("/")[2], folder.name) for folder in folders}
    assert not [str(folder) for folder in folders if not any(f"`{name}/`" in text for name in names[folder])]


def exists(path: Path, name: str) -> bool:
    if not path.exists() or not name:
        return path.exists()
    return re.search(rf"^\s*(?:def|class) {name}\b|^{name}\b.*=", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_the_limits_are_those_of_the_code() -> None:
    text = (ROOT / "docs/limits.md").read_text(encoding="utf-8")
    numbers = {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int)}
    shown = {name: f"{v // 2**20:,} MiB" if name.endswith("BYTES") else f"{v:,}" for name, v in numbers.items()}
    assert not {name: value for name, value in shown.items() if f"| {value}" not in text}


def test_each_threat_names_the_test_that_holds_it() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| threat ", "| --- "))]
    assert len(lines) > 20
    assert not [line for line in lines if not re.search(r"`tests/test_\w+\.py::test_\w+`", line)]
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
