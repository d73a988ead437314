"""Old runs of a monitor: what goes, and what a kill leaves of them."""

from datetime import date
from pathlib import Path

import pytest

import landshift.flows.steps.monitoring.pruning as pruning
from landshift.flows.config.project import Project
from landshift.flows.steps.monitoring.pruning import remove_old_runs
from landshift.flows.steps.monitoring.state import DONE, MonitorState, PairState
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.register.store import Register, open_register
from landshift.pipeline.run_files import RUN_MANIFEST, manifest_of_run
from landshift.pipeline.scenes.periods import Period, PeriodPair
from tests.register_runs import run

BEFORE = Period(date(2020, 6, 15), date(2020, 6, 15))
PICTURES = ("22..", "....", "....", "22..", "22..")
"""Seen in the first, the fourth and the fifth."""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    epochs = {"before": {"start": "2020-06-01", "end": "2020-06-30"}, "after": {"start": "2021-01-01", "end": "2021-12-31"}}
    content = {"name": "place", "sensor": {"name": "sentinel-2-l2a"}, "epochs": epochs, "monitor": {"keep": 1}}
    return workspace(Project.model_validate(content), tmp_path, tmp_path / "out")


def monitored(ws: Workspace) -> tuple[list[PeriodPair], MonitorState, Register, list[Path]]:
    pairs, state, folders = [], MonitorState({}, {}), []
    store = open_register(ws.register)
    ws.output.mkdir(parents=True)
    for month, picture in enumerate(PICTURES, start=1):
        day = date(2021, month, 15)
        pairs.append(PeriodPair(Period(day, day), BEFORE))
        one = run((picture,), str(day))
        store.merge([one])
        name = pairs[-1].name
        state.pairs[name] = PairState(DONE, "", "", one.view.observation.key, message="", attempts=1, at="", model="")
        folder = ws.output / "pairs" / name / "place" / "run"
        (folder / "layers").mkdir(parents=True)
        (folder / "layers/change.tif").write_bytes(b"map")
        manifest_of_run(folder).record("run", "k", [folder / "layers/change.tif"])
        folders.append(folder)
    return pairs, state, store, folders


def test_runs_that_no_open_change_points_to_go(ws: Workspace) -> None:
    pairs, state, store, folders = monitored(ws)
    (sentence,) = remove_old_runs(ws, pairs, state, store)
    assert sentence.startswith("the runs of 3 old pairs, ")
    assert [folder.is_dir() for folder in folders] == [True, False, False, False, True]
    assert remove_old_runs(ws, pairs, state, store) == ()


def test_what_a_kill_leaves_of_an_old_run_is_no_run_and_goes_the_next_time(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, state, store, folders = monitored(ws)

    def killed(folder: Path, **_: object) -> None:
        (folder / "layers/change.tif").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pruning.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_old_runs(ws, pairs, state, store)
    left = [folder for folder in folders if not (folder / "layers/change.tif").exists()]
    assert len(left) == 1
    assert not (left[0] / RUN_MANIFEST).exists(), "it does not look like a run that was altered"
    remove_old_runs(ws, pairs, state, store)
    assert [folder.is_dir() for folder in folders] == [True, False, False, False, True]


def test_a_register_is_read_only_where_a_run_may_go(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, state, store, _ = monitored(ws)
    remove_old_runs(ws, pairs, state, store)
    monkeypatch.setattr(Register, "changes", lambda _: pytest.fail("a register of years takes seconds to read"))
    assert remove_old_runs(ws, pairs[1:], state, store) == ()
