"""Items that a catalog withdrew after the register took a run made from them, and faulty scenes of other dates."""

from datetime import date
from pathlib import Path

import pytest

from landshift.flows.config.project import Project
from landshift.flows.steps.monitoring.outcome import Monitored, lines_of
from landshift.flows.steps.monitoring.state import MonitorState, UsedScene, read_state, write_state
from landshift.flows.steps.monitoring.withdrawn import name_withdrawn
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.register.runs import read_mergeable
from landshift.pipeline.register.store import Register, open_register
from landshift.pipeline.scenes.survey import Finding, finding_of_fault
from tests.register_runs import run
from tests.small_run import write_run

GRID = {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [500_000, 3_400_000, 501_000, 3_401_000]}
PICTURE = ["22..", "..33"]
A, B, C = UsedScene("a", date(2020, 6, 15)), UsedScene("it's b", date(2022, 6, 20)), UsedScene("c", date(2022, 6, 22))


def place(tmp_path: Path, scenes: dict[str, object]) -> tuple[Workspace, Register]:
    epochs = {"before": {"start": "2020-06-01", "end": "2020-06-30"}, "after": {"start": "2022-06-01", "end": "2022-06-30"}}
    content = {"name": "place", "sensor": {"name": "sentinel-2-l2a"}, "epochs": epochs, "scenes": scenes, "grid": GRID}
    ws = workspace(Project.model_validate(content), tmp_path, tmp_path / "out")
    ws.require_writable()
    register = open_register(ws.register_file)
    register.merge([run(PICTURE, "2022-06-20", key="k1"), run(PICTURE, "2022-06-22", key="k2")])
    return ws, register


STATE = MonitorState({}, {}, {"k1": (A, B), "k2": (A, C), "elsewhere": (UsedScene("gone", date(2022, 6, 1)),)})
CATALOG: dict[str, object] = {"stac": {"catalog": "c.json"}}


def found(*names: str) -> list[Finding]:
    return [Finding(name, left_out="too cloudy") for name in names]


def test_an_item_that_its_catalog_withdrew(tmp_path: Path) -> None:
    ws, register = place(tmp_path, CATALOG)
    assert name_withdrawn(ws, register, STATE, found("a", "it's b", "c")) == (), "left out is not withdrawn"
    (sentence,) = name_withdrawn(ws, register, STATE, found("a", "c"))
    assert sentence.startswith(
        "The catalog no longer has it's b of 2022-06-20, and the register counts 1 run made from it (k1)."
    )
    command = f"`landshift register withdraw {ws.register_file} --scene 'it'\"'\"'s b' --reason 'withdrawn by its catalog'`"
    assert command in sentence
    both, _ = name_withdrawn(ws, register, STATE, found("c"))
    assert "a of 2020-06-15, and the register counts 2 runs made from it (k1, k2)" in both
    result = Monitored((), (), (), register=ws.register_file, diff=None, what={}, withdrawn=(sentence,))
    assert f"Withdrawn: {sentence}" in lines_of(result)


def test_what_is_taken_back_is_named_no_more(tmp_path: Path) -> None:
    ws, register = place(tmp_path, CATALOG)
    register.withdraw("run", "k1", "withdrawn by its catalog")
    assert name_withdrawn(ws, register, STATE, found("a", "c")) == ()
    folder, register = place(tmp_path / "folder", {})
    assert name_withdrawn(folder, register, STATE, []) == (), "a folder is no catalog"
    later = ws.project.model_copy(update={"epochs": ws.project.dates.model_copy(update={"before": ws.project.dates.after})})
    (sentence,) = name_withdrawn(workspace(later, tmp_path, tmp_path / "out"), register, STATE, found("it's b"))
    assert "no longer has c " in sentence, "days that are not searched any more are not missed"


def test_the_scenes_of_runs_outlive_the_monitor(tmp_path: Path) -> None:
    ws, _ = place(tmp_path, CATALOG)
    write_state(ws, STATE)
    assert read_state(ws) == STATE


def test_a_run_is_withdrawn_by_the_id_of_its_item(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    register = open_register(tmp_path / "r.gpkg")
    register.merge([read_mergeable(tmp_path / "run")])
    assert set(register.changes()["state"]) == {"new"}
    register.withdraw("scene", "a", "withdrawn by its catalog")
    assert set(register.changes()["state"]) == {"withdrawn"}


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("tiles/S2A_MSIL2A_20200615T103021.SAFE/x.jp2", date(2020, 6, 15)), ("2020-06-15/red.tif", date(2020, 6, 15)),
        ("red.tif", None), ("20201345.tif", None), ("S2B_51RUQ_20220620_0_L2A", date(2022, 6, 20)),
    ],
)  # fmt: skip
def test_a_faulty_scene_belongs_to_the_day_of_its_name(name: str, day: date | None) -> None:
    """So that only runs that would have used it have a warning of it."""
    assert finding_of_fault(name, InputError("damaged")).day == day
    assert finding_of_fault(name, InputError("damaged"), day=date(2000, 1, 1)).day == date(2000, 1, 1)
