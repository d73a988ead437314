"""How flows end in Prefect: a named state with our sentences, which automations can act on, and our lines in its log."""

import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from prefect import tags
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    FlowFilter,
    FlowFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging.handlers import APILogHandler

from landshift.flows import monitor as monitoring
from landshift.flows.monitor import monitor
from landshift.flows.runtime.states.endings import END_STATES, INCOMPLETE, SKIPPED, Ending
from landshift.flows.runtime.tasks import as_flow
from landshift.flows.steps.monitoring.outcome import Compared, Monitored, ending_of
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import BusyError, InputError, UnavailableError
from tests.conftest import Territory

_log = logging.getLogger("landshift.flows.tests")


def outcome(*pairs: str, untold: tuple[str, ...] = ()) -> Monitored:
    made = tuple(Compared(f"pair-{n}", "2019", str(2020 + n), kind, f"sentence {n}") for n, kind in enumerate(pairs))
    return Monitored(made, (), (), Path("register.gpkg"), None, {}, untold=untold)


@pytest.mark.parametrize(
    ("result", "name", "sentence"),
    [
        (outcome(), None, ""),
        (outcome("done", "known"), None, ""),
        (outcome("failed"), "Failed", "1 of 1 new pair failed."),
        (outcome("known", "failed", "failed"), "Failed", "2 of 2 new pairs failed.\n2021 against 2019: failed. sentence 1"),
        (outcome("done", "failed"), INCOMPLETE, "1 of 2 new pairs failed."),
        (outcome("known", untold=("hook: 3 alerts wait: refused",)), INCOMPLETE, "Not sent: hook: 3 alerts wait: refused"),
    ],
)
def test_the_end_depends_on_what_went_wrong(result: Monitored, name: str | None, sentence: str) -> None:
    ending = ending_of(result)
    assert (ending and ending.name) == name
    assert ending is None or sentence in ending.message


@as_flow("ends", lambda result: None if result == "well" else Ending(result, f"It ended {result}."))
def ends(what: str) -> str:
    _log.info("%s is what was asked for", what)
    errors = {"input": InputError("no such file"), "away": UnavailableError("no server"), "busy": BusyError("another run")}
    if what in errors:
        raise errors[what]
    if what == "broken":
        raise RuntimeError("a bug")
    return what


def runs_of(name: str) -> list[FlowRun]:
    """The last one first."""
    wanted = FlowFilter(name=FlowFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_filter=wanted, sort=FlowRunSort.START_TIME_DESC, limit=20)


def last_run(name: str = "ends") -> FlowRun:
    return runs_of(name)[0]


def log_of(run: FlowRun) -> list[str]:
    APILogHandler().flush()
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    until = time.monotonic() + 20
    with get_client(sync_client=True) as client:
        while time.monotonic() < until:
            # The server writes lines in bundles.
            found = [line.message for line in client.read_logs(wanted)]
            if any("in state" in line for line in found):
                return found
            time.sleep(0.1)
    raise AssertionError(found)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("what", "kind", "name", "sentence"),
    [
        ("well", "COMPLETED", "Completed", ""),
        ("Incomplete", "COMPLETED", "Incomplete", "It ended Incomplete."),
        ("Failed", "FAILED", "Failed", "It ended Failed."),
    ],
)
def test_what_a_flow_returns_comes_back_whatever_its_state(what: str, kind: str, name: str, sentence: str) -> None:
    assert ends(what) == what
    state = last_run().state
    assert state is not None
    assert (state.type.value, state.name, state.message or "") == (kind, name, sentence)
    assert name in END_STATES, "the automation for dead runs must know that it ended"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("what", "error", "kind", "name"),
    [
        ("input", InputError("no such file"), "FAILED", "Failed"),
        ("away", UnavailableError("no server"), "FAILED", "Failed"),
        ("busy", BusyError("another run"), "CANCELLED", SKIPPED),
    ],
)
def test_an_error_for_people_is_the_sentence_of_the_state(what: str, error: Exception, kind: str, name: str) -> None:
    with pytest.raises(type(error), match=f"^{error}$"):
        ends(what)
    state = last_run().state
    assert state is not None
    assert (state.type.value, state.name, state.message) == (kind, name, str(error))


@pytest.mark.usefixtures("prefect_server")
def test_a_log_holds_our_lines_and_no_traceback_of_what_is_meant_for_people() -> None:
    with pytest.raises(InputError):
        ends("input")
    lines = log_of(last_run())
    assert "input is what was asked for" in lines
    assert not any("Traceback" in line for line in lines)
    with pytest.raises(RuntimeError, match="a bug"):
        ends("broken")
    assert any("Traceback" in line for line in log_of(last_run())), "a bug keeps its own"


@pytest.fixture
def config(territory: Territory) -> Path:
    """A project that is watched and maps without a model, with one scene that cannot be read."""
    territory.write("place_20230620.tif", seed=2)
    (territory.data / "place_20240620.tif").write_bytes(b"II*\0 and no more")
    path = territory.data / "place.yaml"
    path.write_text(json.dumps(territory.config | {"detect": {"method": "ir-mad"}}), encoding="utf-8")
    return path


def artifact(key: str) -> list[dict[str, Any]]:
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        (found,) = client.read_latest_artifacts(artifact_filter=wanted)
    return list(json.loads(found.data))


@pytest.mark.usefixtures("prefect_server")
def test_a_monitor_whose_pairs_fail_ends_red_and_shows_all_that_it_left_undone(
    config: Path, territory: Territory, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect = monitoring.detect_planned

    def broken(ws: Workspace, planned: Plan) -> Any:
        if planned.after.date.year == 2023:
            raise RuntimeError("the share is gone")
        return detect(ws, planned)

    monkeypatch.setattr(monitoring, "detect_planned", broken)
    result = monitor(config, territory.data, territory.output)
    assert [pair.outcome for pair in result.pairs] == ["done", "failed"]
    run = last_run("monitor")
    assert run.state is not None
    assert (run.state.type.value, run.state.name) == ("COMPLETED", INCOMPLETE)
    sentence = "2023-06-20 against 2020-06-01 to 2020-06-30: failed. RuntimeError: the share is gone"
    assert sentence in (run.state.message or "")
    found = {(row["matter"], row["found"]) for row in artifact("place-monitor")}
    assert ("Pairs", sentence) in found
    skipped = next(text for matter, text in found if matter == "Skipped")
    assert skipped.startswith("place_20240620.tif: ")
    assert {"Changed in the register", "Register"} <= {matter for matter, _ in found}
    lines = log_of(run)
    assert sentence in lines
    assert f"Skipped: {skipped}" in lines

    monitor(config, territory.data, territory.output)
    state = last_run("monitor").state
    assert state is not None
    assert (state.type.value, state.name) == ("FAILED", "Failed"), "all that was new failed"


@pytest.mark.usefixtures("prefect_server")
def test_a_second_run_of_a_project_is_skipped_with_a_word(config: Path, territory: Territory) -> None:
    home = territory.output / "place"
    home.mkdir(parents=True)
    with FileLock(home / ".lock"), pytest.raises(BusyError, match="Another run is writing to"):
        monitor(config, territory.data, territory.output)
    state = last_run("monitor").state
    assert state is not None
    assert (state.type.value, state.name) == ("CANCELLED", SKIPPED)
    assert "Another run is writing to" in (state.message or "")


def automation_of_the_docs() -> dict[str, Any]:
    text = (Path(__file__).parents[1] / "docs/deployments.md").read_text(encoding="utf-8")
    (block,) = (part for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "expect:" in part)
    return dict(yaml.safe_load(block))


@pytest.mark.usefixtures("prefect_server")
def test_the_automation_of_the_docs_fires_on_an_incomplete_run_and_on_no_other() -> None:
    with get_client(sync_client=True) as client:
        wanted = Automation.model_validate(automation_of_the_docs() | {"actions": [{"type": "do-nothing"}]}).create()
        try:
            with tags("landshift"):
                ends("well")
                ends(INCOMPLETE)
            ends("Failed")
            incomplete = next(run for run in runs_of("ends") if run.state_name == INCOMPLETE)
            found: list[dict[str, Any]] = []
            until = time.monotonic() + 30
            while not found and time.monotonic() < until:
                time.sleep(0.2)
                found = [
                    e for e in events_of(client) if e["resource"]["prefect.resource.id"] == f"prefect.automation.{wanted.id}"
                ]
            time.sleep(1)
            assert len(found) == 1, "the run without the tag is that of others"
            assert str(incomplete.id) in json.dumps(found)
        finally:
            wanted.delete()


def events_of(client: SyncPrefectClient) -> list[dict[str, Any]]:
    """All events that automations were triggered by."""
    answer = client.request("POST", "/events/filter", json={"filter": {"event": {"name": ["prefect.automation.triggered"]}}})
    answer.raise_for_status()
    return list(answer.json()["events"])


def test_without_prefect_a_flow_is_its_function() -> None:
    assert ends("Failed") == "Failed"
    with pytest.raises(BusyError):
        ends("busy")
