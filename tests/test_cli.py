"""The command line: help, exit codes, words for people and JSON for machines."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from landshift.flows.cli.detection import detect_answer
from landshift.flows.cli.main import app
from landshift.flows.config.project import load_project
from landshift.flows.config.sections import SplitConfig
from landshift.flows.steps.inspection.check import _tiling, check_project
from landshift.flows.steps.inspection.init import write_config
from landshift.flows.steps.project.disk import require_disk
from landshift.flows.steps.project.plan import plan as ws_plan
from landshift.flows.steps.publication.run import Detected
from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.records import write_record
from landshift.pipeline.run_files import RUN
from landshift.pipeline.tiles import tiles
from tests.conftest import Territory, small_grid
from tests.small_run import write_run

VERBS = (
    "demo",
    "first-map",
    "init",
    "scenes",
    "check",
    "assess",
    "train",
    "detect",
    "monitor",
    "suggest",
    "encoders",
    "deploy",
    "sample",
    "estimate",
)
CHECK = "landshift.flows.steps.inspection.check.check_project"


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return result.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", result.stdout), re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)


@pytest.fixture
def config(territory: Territory) -> Path:
    path = territory.data / "place.yaml"
    path.write_text(yaml.safe_dump(territory.config))
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"landshift {verb}" in out
    assert "--json" in out


def test_help_imports_nothing_heavy_and_answers_in_a_second() -> None:
    script = (
        "import sys, time; from landshift.flows.cli.main import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "heavy = [m for m in ('torch', 'prefect', 'rasterio', 'geopandas', 'numpy', 'pydantic') if m in sys.modules]; "
        "print(heavy, time.process_time() < 1)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] True"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nowhere.yaml"), "nowhere.yaml is not there"),
        (("check", "{}/place.yaml", "--data", "nowhere"), "nowhere is not a folder.*--data"),
        (("init", "{}/empty"), "two or more"),
        (("init", "{}", "--config", "{}/place.yaml"), "not overwritten"),
    ],
)
def test_bad_input_is_2(config: Path, words: tuple[str, ...], message: str) -> None:
    (config.parent / "empty").mkdir()
    before = config.read_bytes()
    code, _, err = run(*(word.format(config.parent) for word in words))
    assert code == 2
    assert re.search(message, err)
    assert config.read_bytes() == before


def test_bad_input_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("nmae: x\n")
    code, out, _ = run("train", tmp_path / "a.yaml", "--json")
    assert code == 2
    answer = json.loads(out)
    assert answer["error"] == "bad input"
    assert "Did you mean `name`" in answer["message"]


def make_interrupt() -> RuntimeError:
    error = RuntimeError("a library's own")
    error.__cause__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RuntimeError("the roof fell in"), 1, "Failed: RuntimeError: the roof fell in\nRun again with --verbose"),
        (UnavailableError("the server is away"), 1, "Failed: the server is away\n"),
        (make_interrupt(), 130, "Interrupted: run the same command again"),
        (
            InputError("tag \x1b]0;owned\x07 \x9b2J \udcff\nnext line"),
            2,
            "Bad input: tag \\x1b]0;owned\\x07 \\x9b2J \\udcff\nnext line",
        ),
    ],
    ids=["failed", "unavailable", "interrupted", "control characters"],
)
def test_what_a_verb_raises_is_a_message_and_an_exit_code(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, message: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(CHECK, broken)
    found, _, err = run("check", config)
    assert (found, message in err) == (code, True), err


def test_an_answer_does_not_command_the_terminal(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHECK, lambda *_: ({"a": "\x7f\x9b!"}, ["\x1b[2Jwhole\r line"]))
    assert "[2Jwhole line" in run("check", config)[1]
    assert json.loads(run("check", config, "--json")[1]) == {"a": "!"}


def test_check_counts_tiles_as_the_tiling_does(territory: Territory) -> None:
    for core, margin, shape in [(32, 64, (40, 48)), (64, 0, (128, 5)), (64, 32, (1, 65))]:
        territory.config["detect"] = {"core": core, "margin": margin}
        made = SimpleNamespace(grid=small_grid(*shape))
        expected = tiles(shape, core, margin)
        read = sum(t.read.height * t.read.width for t in expected)
        assert _tiling(territory.workspace(), made) == (len(expected), read)  # type: ignore[arg-type]


def test_check_of_a_raster_larger_than_the_disk(territory: Territory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this project's earlier runs wrote counts as free: a rerun needs it no second time."""
    ws = territory.workspace()
    ws.require_writable()
    made = ws_plan(ws)
    require_disk(ws, made)
    monkeypatch.setattr("landshift.flows.steps.project.disk.free_bytes", lambda _: 1000)
    with pytest.raises(InputError, match=r"GB free; the images and maps of 40 x 48 pixels need up to .*--output"):
        check_project(ws)
    ws.epochs.mkdir()
    (ws.epochs / "before.tif").write_bytes(bytes(120_000))
    require_disk(ws, made)


def test_check_opens_the_model_of_the_config(territory: Territory) -> None:
    territory.config["trained_model"] = "nowhere"
    with pytest.raises(InputError, match="nowhere"):
        check_project(territory.workspace())


def test_check_without_labels_prints_the_plan(territory: Territory, config: Path) -> None:
    code, out, err = run("check", config, "--output", territory.output, "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["bands"] == ["red", "nir"]
    assert plan["expected_minutes"]["train"] is None


def test_init_writes_a_config_that_loads_and_lists_what_to_decide(territory: Territory) -> None:
    territory.write("label.tif", np.ones((1, *territory.grid.shape), np.uint8), nodata=None, descriptions=["label"])
    code, out, err = run("init", territory.data)
    assert code == 0, err
    assert "To decide: sensor: scale" in out
    project = load_project(territory.data / "landshift.yaml")
    assert project.sensor.bands == ("red", "nir")
    assert str(project.dates.before.start) == "2020-06-15"
    assert project.scenes.pattern == "place_*.tif"
    assert project.labels is not None


def test_init_knows_sentinel_2_by_its_band_names(territory: Territory) -> None:
    for name in territory.names:
        (territory.data / name).unlink()
    for day in ("20200615", "20220620"):
        data = np.ones((4, *territory.grid.shape), np.uint16)
        territory.write(f"S2_{day}.tif", data, descriptions=("B02", "B03", "B04", "SCL"))
    assert run("init", territory.data)[0] == 0
    assert load_project(territory.data / "landshift.yaml").sensor.name == "sentinel-2-l2a"


def test_init_in_a_folder_named_like_a_number(territory: Territory) -> None:
    folder = territory.data.rename(territory.data.parent / "2020")
    path = write_config(folder, folder / "landshift.yaml").config
    assert load_project(path).name == "2020"


@pytest.mark.parametrize("name", ["a\nname: evil #.gpkg", "a\x1b[2J.tif", "b\u2028c.gpkg"])
def test_init_passes_names_by_that_would_write_the_config(territory: Territory, name: str) -> None:
    (territory.data / name).touch()
    made = write_config(territory.data, territory.data / "landshift.yaml")
    assert any("control characters" in note and note.isprintable() for note in made.notes)
    assert load_project(made.config).labels is None
    assert all(line.isprintable() for line in made.config.read_text(encoding="utf-8").split("\n"))


def test_encoders_lists_the_table_as_json() -> None:
    code, out, _ = run("encoders", "--json")
    assert code == 0
    assert "imagenet-efficientnet-lite0" in {e["name"] for e in json.loads(out)["encoders"]}


def test_kinds_of_change_that_are_not_named_on_the_screen_are_added_up(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    kinds = tuple(replace(run.areas.changes[0], name=f"kind {n}", area_ha=20.0 - n) for n in range(14))
    write_record(tmp_path / RUN, replace(run, areas=replace(run.areas, changes=kinds)))
    lines = detect_answer(Detected(tmp_path, sum(k.area_ha for k in kinds), 99, True))[1]
    assert sum("kind " in line for line in lines) == 12
    assert any(line.split() == ["15.0", "ha", "in", "2", "more", "kinds", "of", "change"] for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "CONFIG", "--data", "s3://bucket/x"], ["detect", "CONFIG", "--output", "s3://key:s3cret@bucket/runs"],
        ["train", "CONFIG", "--output", "gs://bucket"], ["detect", "CONFIG", "--model", "https://host/model"],
        ["monitor", "CONFIG", "--output", "s3://bucket"], ["demo", "s3://bucket/demo"], ["init", "s3://bucket/scenes"],
        ["first-map", "s3://bucket/x"],
        ["sample", "run", "--output", "az://bucket/sample"], ["register", "merge", "r.gpkg", "s3://bucket/run"],
        ["register", "diff", "r.gpkg", "--since", "0", "--output", "s3://bucket/x.gpkg"],
        ["register", "merge", "s3://bucket/r.gpkg", "run"],
        ["suggest", "CONFIG", "--to", "s3://bucket/to-label"], ["deploy", "s3://bucket/a.yaml", "--pool", "p"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_address_is_not_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """No folder called `s3:` comes of it, and no part that may be a key is shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("name: place\n")
    found = CliRunner().invoke(app, ["c.yaml" if a == "CONFIG" else a for a in arguments])
    assert found.exit_code == 2, found.output
    assert "://..." in found.output or "No register can be at an address" in found.output
    assert "bucket" not in found.output
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize("text", ["a\nb", "a\x07", "a\udcff"], ids=ascii)
@pytest.mark.parametrize("option", ["--output", "--data", None], ids=str)
def test_a_path_that_no_layer_or_record_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, option: str | None
) -> None:
    """A detection into `a<line break>b` once ended without a layer, and one into bytes that are not UTF-8 without a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("name: place\n")
    found = CliRunner().invoke(app, ["check", text] if option is None else ["detect", "c.yaml", option, text])
    assert found.exit_code == 2, found.output
    assert f"{(option or '--config')[2:]} {text!a}: expected a path in UTF-8 without line breaks" in found.output
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize("text", ["s3://bucket/a.gpkg", "https://host/a.gpkg", "file:///a.gpkg"])
def test_an_address_is_not_a_path_of_a_config(text: str) -> None:
    with pytest.raises(ValueError, match="expected a path on this machine, and this is an address"):
        SplitConfig(by="file", file=Path(text))
    assert SplitConfig(by="file", file=Path("/data/s3:/a.gpkg")).file == Path("/data/s3:/a.gpkg")
