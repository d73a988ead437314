"""The plugin for QGIS: its zip, its calls of the program, and its algorithms in real QGIS."""

import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from landshift.pipeline.run_files import CHANGES, PAGE, PROJECT
from tests.test_qgis_project import QGIS_PYTHON, make_run, needs_qgis

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "qgis"


def plugin_module(name: str) -> ModuleType:
    sys.path.insert(0, str(PLUGIN))
    try:
        return importlib.import_module(f"landshift_processing.{name}")
    finally:
        sys.path.remove(str(PLUGIN))


program = plugin_module("program")

ANSWERS = """
import json, os, sys
lines = "Looking: 0 %", "Looking: 50 %", "Looking: 100 %", "Warning: clouds", "Mapping: 40 %", "A line"
print(*lines, sep="\\n", file=sys.stderr)
print(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}))
"""
REFUSES = """
import json, sys
print("Bad input: in red", file=sys.stderr)
print(json.dumps({"error": "bad input", "message": "a.yaml: found nothing, expected a config."}))
sys.exit(2)
"""
CRASHES = "raise MemoryError('no more')"
WAITS = """
import os, signal, subprocess, sys, time
from pathlib import Path
here = Path(sys.argv[0]).parent

def tidy(*_):
    (here / "tidied").write_text("")
    sys.exit(130)

signal.signal(signal.SIGTERM, tidy)
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
(here / "child").write_text(str(child.pid))
print("Mapping: 10 %", "Warning: started", sep="\\n", file=sys.stderr, flush=True)
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


class Feedback:
    """What a dialog of QGIS would show."""

    def __init__(self, cancel_on: str = "") -> None:
        self.percents: list[float] = []
        self.steps: list[str] = []
        self.infos: list[str] = []
        self.warnings: list[str] = []
        self.cancel_on = cancel_on

    def isCanceled(self) -> bool:
        return bool(self.cancel_on) and self.cancel_on in self.warnings

    def setProgress(self, progress: float) -> None:
        self.percents.append(progress)

    def setProgressText(self, text: str) -> None:
        self.steps.append(text)

    def pushInfo(self, info: str) -> None:
        self.infos.append(info)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)


def executable(folder: Path, source: str, name: str = "landshift") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}", encoding="utf-8")
    path.chmod(0o755)
    return path


def is_alive(pid: int) -> bool:
    """Whether a process works: what has ended may wait for a parent that takes note of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_lines_go_to_the_feedback_and_percents_to_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    monkeypatch.setenv("GDAL_DATA", "/of/qgis")
    feedback = Feedback()
    answer = program.call_program(executable(tmp_path, ANSWERS), ["detect", "a b; c.yaml"], feedback, tmp_path)
    assert answer["arguments"] == ["detect", "a b; c.yaml", "--json"], "no shell took it apart"
    assert Path(answer["folder"]) == tmp_path.resolve()
    assert not {"PYTHONHOME", "GDAL_DATA"} & set(answer["environment"]), "QGIS's own libraries"
    assert answer["environment"]["LANDSHIFT_PROGRESS"] == "lines"
    assert feedback.percents == [0, 0, 50, 100, 40]
    assert feedback.steps == ["Looking", "Mapping"]
    assert feedback.warnings == ["Warning: clouds"]
    assert feedback.infos[1:] == ["A line"]


@pytest.mark.parametrize(
    ("source", "text"), [(REFUSES, "exit code 2: a.yaml: found nothing, expected a config."), (CRASHES, "MemoryError: no more")]
)
def test_what_the_program_refuses_is_shown_in_its_words(tmp_path: Path, source: str, text: str) -> None:
    feedback = Feedback()
    with pytest.raises(program.ProgramError, match="landshift detect ended") as caught:
        program.call_program(executable(tmp_path, source), ["detect"], feedback)
    assert text in str(caught.value)
    assert "Bad input: in red" not in feedback.infos, "once is enough"


def test_each_percent_of_a_step_is_a_line_for_a_program_that_follows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from landshift.flows.runtime.progress import bars, step

    monkeypatch.setenv("LANDSHIFT_PROGRESS", "lines")
    with bars(quiet=True), step("Mapping 2 %") as advance:
        for share in (0.001, 0.25, 0.254, 0.5):
            advance(share)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"Mapping 2 %: {percent} %" for percent in (0, 25, 50, 100)]
    assert all(program.PROGRESS.match(line)["step"] == "Mapping 2 %" for line in lines)


def test_cancel_ends_the_program_tidily_and_all_that_it_started(tmp_path: Path) -> None:
    path = executable(tmp_path, WAITS)
    with pytest.raises(program.CancelledError):
        program.call_program(path, ["detect"], Feedback(cancel_on="Warning: started"))
    assert (tmp_path / "tidied").exists(), "it had time to tidy up"
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(child)


def test_a_program_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    deaf = executable(
        tmp_path,
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)",
    )
    with subprocess.Popen([str(deaf)], start_new_session=True, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        program.stop(process, grace_s=0.1)
        assert process.returncode == -9


@pytest.mark.parametrize("kind", ["nothing", "no file", "no executable", "empty folder"])
def test_a_program_that_is_not_there_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LANDSHIFT_EXECUTABLE", raising=False)
    (tmp_path / "plain").write_text("")
    (tmp_path / "empty").mkdir()
    given = {
        "nothing": "",
        "no file": "/no/landshift",
        "no executable": str(tmp_path / "plain"),
        "empty folder": str(tmp_path / "empty"),
    }
    with pytest.raises(program.ProgramError) as caught:
        program.find_program(given[kind])
    assert given[kind] in str(caught.value)
    assert all(part in str(caught.value) for part in ("was not found:", "Expected:", "To do:", "Settings > Options"))


def test_the_program_is_found_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = executable(tmp_path / "env" / "bin", ANSWERS)
    monkeypatch.setenv("PATH", str(path.parent))
    assert program.find_program(str(tmp_path / "env")) == path
    assert program.find_program(f" {path} ") == path
    assert program.find_program("") == path
    monkeypatch.setenv("LANDSHIFT_EXECUTABLE", str(tmp_path / "env"))
    assert program.find_program("") == path


def built(folder: Path) -> Path:
    done = subprocess.run([sys.executable, str(PLUGIN / "build.py"), str(folder)], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_the_zip_has_one_folder_with_what_qgis_asks_for(tmp_path: Path) -> None:
    path = built(tmp_path / "a")
    with zipfile.ZipFile(path) as content:
        names = content.namelist()
        metadata = content.read("landshift_processing/metadata.txt").decode()
        assert content.read("landshift_processing/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert {name.partition("/")[0] for name in names} == {"landshift_processing"}
    assert {f"landshift_processing/{n}" for n in ("__init__.py", "icon.svg", "provider.py")} <= set(names)
    version = path.stem.rpartition("-")[2]
    assert {"qgisMinimumVersion=3.22", f"version={version}", "hasProcessingProvider=yes"} <= set(metadata.splitlines())
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert built(tmp_path / "b").read_bytes() == path.read_bytes()


def test_the_plugin_knows_the_files_of_the_program() -> None:
    """It cannot import them: it runs in QGIS's Python."""
    from landshift.flows.runtime.progress import PROGRESS
    from landshift.flows.steps.publication import sample
    from landshift.flows.steps.register import review

    sources = {
        name: (PLUGIN / "landshift_processing" / f"{name}.py").read_text() for name in ("algorithm", "sampling", "review")
    }
    assert f'RUN_PROJECT, RUN_CHANGES, RUN_PAGE = "{PROJECT}", "{CHANGES}", "{PAGE}"' in sources["algorithm"]
    assert f'SAMPLE_PROJECT, SAMPLE_LAYER = "{sample.PROJECT}", "{sample.SAMPLES}"' in sources["sampling"]
    assert f'REVIEW_PROJECT = "{review.PROJECT}"' in sources["review"]
    assert program.child_environment({})[PROGRESS] == "lines"


def test_the_plugin_imports_nothing_of_ours_and_nothing_heavy() -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in (PLUGIN / "landshift_processing").glob("*.py"))
    assert not [word for word in ("import torch", "import landshift", "from landshift.", "import numpy") if word in text]


def test_every_option_that_the_plugin_gives_is_one_of_its_verb() -> None:
    """Verbs get other options, and the plugin lies in other environments than they."""
    from typer.main import get_command

    from landshift.flows.cli.main import app

    register = get_command(app).commands["register"].commands["review"].commands  # type: ignore[attr-defined]
    verbs = {**get_command(app).commands, "review export": register["export"], "review import": register["import"]}  # type: ignore[attr-defined]
    files = {
        "mapping": ("detect", "init"), "sampling": ("sample", "estimate"), "review": ("review export", "review import"),
        "plots": ("plots",), "program": ("detect",),
    }  # fmt: skip
    for name, used in files.items():
        text = (PLUGIN / "landshift_processing" / f"{name}.py").read_text(encoding="utf-8")
        known = {option for verb in used for parameter in verbs[verb].params for option in parameter.opts}
        assert set(re.findall(r'"(--[a-z-]+)"', text)) <= known, name


def in_qgis(home: Path, calls: list[dict[str, Any]], picture: Path | None = None) -> dict[str, Any]:
    """What real QGIS with the plugin answers; its profile is empty."""
    command = [
        str(QGIS_PYTHON),
        str(Path(__file__).with_name("plugin_in_qgis.py")),
        str(built(home / "zip")),
        json.dumps(calls),
    ]
    environment = {k: v for k, v in os.environ.items() if k not in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "PYTHONPATH")}
    environment |= {"HOME": str(home), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*command, *([str(picture)] if picture else [])], capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


DETECTED = """
import json, sys
from pathlib import Path
print("Mapping: 0 %", "Mapping: 50 %", "Warning: clouds", sep="\\n", file=sys.stderr)
print(json.dumps({{"run": {run!r}, "areas": {{"changed_ha": 12.5, "polygons": 3}}, "warnings": ["Few pixels."]}}))
(Path(sys.argv[0]).parent / "arguments").write_text(json.dumps(sys.argv[1:]))
"""


@needs_qgis
def test_real_qgis_runs_the_plugin(tmp_path: Path) -> None:
    from tests.test_qgis_project import described, write_project

    run = make_run(tmp_path / "run")
    write_project(run, described())
    config = tmp_path / "place.yaml"
    config.write_text("")
    detects = executable(tmp_path / "detects", DETECTED.format(run=str(run)))
    waits = executable(tmp_path / "waits", WAITS)
    mapping = {"CONFIG": str(config), "METHOD": 1, "OPEN": True}
    said = in_qgis(
        tmp_path / "home",
        [
            {"id": "firstmap", "executable": str(detects), "parameters": mapping},
            {"id": "detect", "executable": str(waits), "parameters": {"CONFIG": str(config)}, "cancel": True},
            {"id": "detect", "executable": str(config), "parameters": {"CONFIG": str(config)}},
            {"id": "openrun", "parameters": {"RUN": str(run)}},
            {"id": "openrun", "parameters": {"RUN": str(tmp_path)}},
        ],
        tmp_path / "picture.png",
    )
    assert set(said["algorithms"]) == {
        "detect",
        "firstmap",
        "sample",
        "estimate",
        "reviewexport",
        "reviewimport",
        "plots",
        "openrun",
    }
    assert all(said["help"].values())
    assert said["icon"]
    assert said["setting"] == [program.WHERE]
    assert said["torch"] == [], "QGIS never loads them"
    assert not said["left"], "unloaded"
    first, cancelled, lost, opened, wrong = said["outcomes"]
    assert (first["succeeded"], first["results"]["CHANGED_HA"], first["results"]["POLYGONS"]) == (True, 12.5, 3)
    assert first["results"]["PROJECT"] == str(run / PROJECT)
    assert json.loads((detects.parent / "arguments").read_text()) == [
        "detect", str(config), "--output", str(tmp_path / "runs"), "--method", "cva", "--json",
    ]  # fmt: skip
    assert (first["steps"], 50.0 in first["percents"]) == (["Mapping"], True)
    assert ["warning", "Few pixels."] in first["told"]
    assert (waits.parent / "tidied").exists()
    assert ["info", "Stopped. The same call goes on where it stopped."] in cancelled["told"]
    assert not lost["succeeded"]
    assert any("a file that cannot be executed" in text and "To do:" in text for _, text in lost["told"])
    assert opened["succeeded"]
    assert any("map.qgz" in text for _, text in wrong["told"])
    # By the first map, and by hand: twice the same group, whose layers are found and styled.
    assert len(said["tree"]) >= 2
    groups = [group for group in said["tree"] if group[0] == said["tree"][0][0]]
    assert len(groups) == 2
    assert groups[0] == groups[1]
    assert all(groups[0][2])
    assert {"paletted", "RuleRenderer"} & set(groups[0][3])


@needs_qgis
@pytest.mark.slow
def test_real_qgis_makes_a_first_map_with_the_real_program(tmp_path: Path) -> None:
    from tests.binary_territory import BinaryTerritory

    images = BinaryTerritory(tmp_path / "territory").data
    (images / "change.tif").unlink()
    config = tmp_path / "place.yaml"
    config.write_text(
        "name: place\nsensor: {name: custom, bands: [blue, green, red, nir], scale: 0.0001, nodata: 0}\n"
        "scenes: {pattern: 'place_*.tif'}\n"
        "epochs: {before: {start: 2020-06-01, end: 2020-06-30}, after: {start: 2022-06-01, end: 2022-06-30}}\n",
        encoding="utf-8",
    )
    source = f"""
        import os, sys
        os.environ |= {{"PYTHONPATH": {str(ROOT / "src")!r}, "OMP_NUM_THREADS": "1"}}
        os.execv(sys.executable, [sys.executable, "-m", "landshift.flows.cli.main", *sys.argv[1:]])
    """
    program_file, run = executable(tmp_path / "bin", source), tmp_path / "runs" / "place" / "run"
    first, sample, opened = in_qgis(
        tmp_path / "home",
        [
            {"id": "firstmap", "executable": str(program_file), "parameters": {"CONFIG": str(config), "DATA": str(images)}},
            {"id": "sample", "executable": str(program_file), "parameters": {"RUN": str(run), "SIZE": 60}},
            {"id": "openrun", "parameters": {"RUN": str(run)}},
        ],
    )["outcomes"]
    assert first["succeeded"], first["told"]
    assert Path(first["results"]["RUN"]) == run
    assert "IR-MAD" in first["steps"]
    assert first["results"]["CHANGED_HA"] == pytest.approx(11.5, rel=0.1), "32 squares of 36 pixels"
    assert (sample["succeeded"], sample["results"]["TOTAL"]) == (True, 60)
    assert opened["succeeded"]
