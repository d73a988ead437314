"""Commands in README and docs: all of them can be typed, and those of README and the tutorials are run, page after page.

In a page, comments that no reader sees stand for what is not a command: `<!-- person: samples -->` for what a person does
there, `<!-- add: FILE -->` before lines of YAML to add to a config, and `<!-- parsed: WHY -->` before commands that are looked
at and not run. After each `landshift init` the test lowers the budget of the training.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import typer
import yaml

from landshift.flows.cli.main import app
from landshift.pipeline.legend import Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.run.record import read_run
from landshift.pipeline.run_files import LAND_USE
from landshift.pipeline.sample.judging.form import sample_form_qml
from landshift.pipeline.sample.judging.points import read_samples
from landshift.pipeline.vector.write import write_sample_file
from tests.archives import deliver, safe, write_labels

ROOT = Path(__file__).parents[1]
TUTORIALS = [ROOT / f"docs/tutorials/{name}.md" for name in ("from_safe_to_table", "monitoring", "transfer_a_model")]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PART = re.compile(r"<!-- (person|add|parsed): (.+?) -->|```(sh|yaml)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """Something that a reader does."""

    kind: str
    """`person`, `add`, `parsed`, `sh` or `yaml`."""
    text: str
    """What follows, or what stands in the block."""


def parts(page: Path) -> Iterator[Part]:
    """Give the parts of a page in their order; a block that a comment stands before belongs to it."""
    marked = None
    for found in PART.finditer(page.read_text(encoding="utf-8")):
        if found[1] in ("add", "parsed"):
            marked = Part(found[1], found[2])
        elif found[1]:
            yield Part(found[1], found[2])
        elif marked is not None:
            yield Part(marked.kind, f"{marked.text}\n{found[4]}")
            marked = None
        else:
            yield Part(found[3], found[4])


def commands(text: str) -> Iterator[list[str]]:
    """Give the words of each command of Landshift in a block; a comment ends it."""
    for line in text.replace("\\\n", " ").splitlines():
        if found := re.search(r"(?:^|[\s/])landshift +([^\s|&;][^|&;]*)", line.partition(" #")[0]):
            yield shlex.split(found[1], comments=True)


def verbs(command: object, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    yield name, {option for p in command.params for option in (*p.opts, *p.secondary_opts)}  # type: ignore[attr-defined]
    for verb, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*name, verb))


VERBS = dict(verbs(typer.main.get_command(app)))


def fault_of(words: list[str]) -> str:
    """Return what is wrong with a command; empty where it can be typed."""
    verb = next(tuple(words[:n]) for n in (3, 2, 1, 0) if tuple(words[:n]) in VERBS)
    options = [w.partition("=")[0] for w in words if w.startswith("--")]
    unknown = [o for o in options if o not in VERBS[verb]]
    if unknown:
        return f"{' '.join(words)}: {' '.join(verb)} has no {unknown[0]}"
    return "" if verb or options else f"{' '.join(words)}: there is no such verb"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert not [fault for block in blocks for words in commands(block) if (fault := fault_of(words))]


def test_what_cannot_be_typed_is_found() -> None:
    assert "no --modell" in fault_of(shlex.split("train a.yaml --modell x"))
    assert "no such verb" in fault_of(["retrain", "a.yaml"])
    assert fault_of(["--version"]) == fault_of(["register", "review", "import", "r.gpkg", "to-review"]) == ""
    assert list(commands("A=b landshift check x.yaml # or\n.venv/bin/landshift demo\necho landshifting")) == [
        ["check", "x.yaml"], ["demo"],
    ]  # fmt: skip


def test_every_verb_has_its_line() -> None:
    page = (ROOT / "docs/verbs.md").read_text(encoding="utf-8")
    assert not [name for name in VERBS if name and not all(f"`{word}`" in page or f" {word}" in page for word in name)]


# What persons do, in a folder.


def draw_labels(folder: Path) -> None:
    write_labels(folder / "my-scenes/labels.gpkg")


def have_no_labels(folder: Path) -> None:
    for name in ("labels.gpkg", "landshift.yaml"):
        (folder / "my-scenes" / name).unlink()


def judge_samples(folder: Path) -> None:
    run, path = folder / "runs/my-scenes/run", folder / "runs/my-scenes/sample/samples.gpkg"
    frame = read_samples(path)
    at = frame["row"].to_numpy(dtype=int), frame["column"].to_numpy(dtype=int)
    for epoch, name in LAND_USE.items():
        frame[f"reference_{epoch}"] = pd.array(read_raster(run / name)[0][at].astype(int), dtype="Int32")
    write_sample_file(path, frame, sample_form_qml(Legend(read_run(run).legend)))


def bring_a_scene(folder: Path) -> None:
    safe(folder / "my-scenes", "20240618", "N0510", after=True)


def review_changes(folder: Path) -> None:
    path = folder / "to-review/review.gpkg"
    frame = gpd.read_file(path, layer="review")
    for column, value in {"verdict": "change", "reviewer": "Ana", "reviewed_on": str(datetime.now(UTC).date())}.items():
        frame[column] = value
    path.unlink()
    frame.to_file(path, layer="review", driver="GPKG", engine="pyogrio")


def bring_another_place(folder: Path) -> None:
    deliver(folder / "elsewhere", "safe")
    write_labels(folder / "elsewhere/labels.gpkg")


PERSONS: dict[str, Callable[[Path], None]] = {
    "labels": draw_labels, "samples": judge_samples, "new scene": bring_a_scene, "reviews": review_changes,
    "no labels": have_no_labels,
    "elsewhere": bring_another_place,
}  # fmt: skip


def train_less(config: Path) -> None:
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content["training"] |= {"epochs": 2, "chips_per_epoch": 16, "chip": 32}
    config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def add_lines(config: Path, text: str) -> None:
    assert not set(yaml.safe_load(text)) & set(yaml.safe_load(config.read_text(encoding="utf-8")))
    config.write_text(config.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_what_persons_do_is_known() -> None:
    asked = {part.text for page in [ROOT / "README.md", *TUTORIALS] for part in parts(page) if part.kind == "person"}
    assert asked == set(PERSONS)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pages", [[ROOT / "README.md"], TUTORIALS], ids=["README", "tutorials"])
def test_the_pages_can_be_followed(tmp_path: Path, pages: list[Path]) -> None:
    deliver(tmp_path / "my-scenes", "safe")
    program = tmp_path / "bin/landshift"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m landshift.flows.cli.main "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    for page in pages:
        for part in parts(page):
            if part.kind == "person":
                PERSONS[part.text](tmp_path)
            elif part.kind == "add":
                name, _, text = part.text.partition("\n")
                add_lines(tmp_path / name, text)
            for line in part.text.splitlines() if part.kind == "sh" else ():
                done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
                assert done.returncode == 0, f"{page.name}: {line}\n{done.stdout}\n{done.stderr}"
                if found := re.match(r"landshift init (\S+)", line):
                    train_less(tmp_path / found[1] / "landshift.yaml")
    assert (tmp_path / "runs/my-scenes/run/report.html").is_file()
    if pages is TUTORIALS:
        assert (tmp_path / "runs/my-scenes/run/record/estimates.csv").is_file()
        assert (tmp_path / "reviewed.gpkg").is_file()
        assert (tmp_path / "runs/elsewhere/run/report.html").is_file()
