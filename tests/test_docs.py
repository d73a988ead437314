"""The docs: files, names and pages that they mention exist."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

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


def pages_in(nav: object) -> Iterator[str]:
    """Give every page of a part of the navigation."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_in(part)


def test_the_site_leads_to_every_page() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert set(pages_in(config["nav"])) == there, "add the page to `nav:` of mkdocs.yml"


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("chips.md", "../configs/chips.yaml", "https://example.org/r/blob/main/configs/chips.yaml"),
        ("tutorials/a.md", "../suggest.md", "../suggest.md"),
        ("tutorials/a.md", "../../README.md", "https://example.org/r/blob/main/README.md"),
    ],
)
def test_links_out_of_the_docs_lead_to_the_repository(page: str, link: str, expected: str) -> None:
    spec = importlib.util.spec_from_file_location("site_links", ROOT / "docs/site_links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    config = SimpleNamespace(repo_url="https://example.org/r")
    assert module.on_page_markdown(f"see [it]({link}).", place, config) == f"see [it]({expected})."


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fit_ir_mad" in (tmp_path / "api/methods.html").read_text(encoding="utf-8")
