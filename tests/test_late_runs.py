"""Late runs of a schedule: one does the work of all, and the others give up with a word."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Scheduled

from landshift.flows import monitor as monitoring
from landshift.flows.config.paths import ProjectPaths
from landshift.flows.deploy import deployments
from landshift.flows.runtime.states.endings import SKIPPED
from tests.conftest import Territory

pytestmark = pytest.mark.usefixtures("prefect_server")


class Planned:
    """A deployment of the monitor for a small territory, with a run due every minute of the last quarter of an hour."""

    def __init__(self, territory: Territory) -> None:
        config = territory.data / "place.yaml"
        settings = {"detect": {"method": "ir-mad"}, "monitor": {"cron": "* * * * *"}}
        config.write_text(json.dumps(territory.config | settings), encoding="utf-8")
        (made,) = deployments([ProjectPaths(config, territory.data, territory.output, None)])
        self.id = UUID(str(made.apply()))
        self.now = datetime.now(UTC)
        self.plan(self.now - timedelta(minutes=15), self.now)

    def plan(self, start: datetime, end: datetime) -> None:
        with get_client(sync_client=True) as client:
            content = {"start_time": start.isoformat(), "end_time": end.isoformat(), "min_runs": 0, "max_runs": 100}
            client.request("POST", f"/deployments/{self.id}/schedule", json=content).raise_for_status()

    def runs(self) -> list[FlowRun]:
        """Those that are due, the first one first."""
        wanted = DeploymentFilter(id=DeploymentFilterId(any_=[self.id]))
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(deployment_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)
        return [run for run in found if run.expected_start_time and run.expected_start_time <= datetime.now(UTC)]

    def states(self) -> list[str]:
        return [str(run.state_name) for run in self.runs()]

    def run(self, which: FlowRun) -> str:
        """As a worker does it, and return the name of the state that it ends in."""
        flow = load_flow_from_entrypoint("landshift.flows.monitor.monitor")
        state: Any = run_flow(flow, flow_run=which, return_type="state")
        return str(state.name)


@pytest.fixture
def planned(territory: Territory) -> Iterator[Planned]:
    made = Planned(territory)
    yield made
    with get_client(sync_client=True) as client:
        client.delete_deployment(made.id)


def test_the_first_late_run_does_the_work_and_the_others_give_up(planned: Planned) -> None:
    late = planned.runs()
    assert 14 <= len(late) <= 17
    assert planned.run(late[0]) == "Completed"
    assert planned.states() == ["Completed", *[SKIPPED] * (len(late) - 1)]
    state = planned.runs()[-1].state
    assert state is not None
    assert state.type.value == "CANCELLED"
    assert f"the run {late[0].name}, which is at work, looks at everything" in (state.message or "")


def test_more_late_runs_give_up_than_the_server_lists_at_once(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule of every minute, and a worker that was away for a week, leave ten thousand."""
    monkeypatch.setattr("landshift.flows.runtime.states.late._PAGE", 4)
    late = planned.runs()
    assert planned.run(late[0]) == "Completed"
    assert planned.states() == ["Completed", *[SKIPPED] * (len(late) - 1)]


def test_a_run_that_a_person_asked_for_is_no_late_one(planned: Planned) -> None:
    with get_client(sync_client=True) as client:
        past = Scheduled(scheduled_time=planned.now - timedelta(minutes=5))
        asked = client.create_flow_run_from_deployment(planned.id, state=past)
        other = client.create_flow_run_from_deployment(planned.id, parameters={"again": True})
    late = [run for run in planned.runs() if run.id not in (asked.id, other.id)]
    assert planned.run(other) == "Completed"
    assert SKIPPED not in planned.states(), "its parameters are not those of the schedule"
    assert planned.run(late[0]) == "Completed"
    after = {run.id: run.state_name for run in planned.runs()}
    assert after[asked.id] in ("Scheduled", "Late")
    assert [after[run.id] for run in late] == ["Completed", *[SKIPPED] * (len(late) - 1)]


def test_a_run_that_begins_late_gives_up_where_a_later_one_did_its_work(planned: Planned) -> None:
    """Two workers take a run each; the one that is due first begins last."""
    first, second, *_ = planned.runs()
    with pending(first):
        assert planned.run(second) == "Completed"
    assert planned.run(first) == SKIPPED
    state = next(run.state for run in planned.runs() if run.id == first.id)
    assert state is not None
    assert f"The run {second.name}, which began at" in (state.message or "")


@contextmanager
def pending(run: FlowRun) -> Iterator[None]:
    from prefect.states import Pending

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Pending(), force=True)
    yield


def test_while_a_run_works_only_the_last_one_that_is_due_waits(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in meanwhile is looked at by one run more."""
    late = planned.runs()
    detect = monitoring.detect_planned

    def slow(*given: Any) -> Any:
        # An hour goes by: runs come due while the map is made.
        planned.plan(planned.now - timedelta(minutes=30), planned.now - timedelta(minutes=20))
        return detect(*given)

    monkeypatch.setattr(monitoring, "detect_planned", slow)
    assert planned.run(late[0]) == "Completed"
    meanwhile = [run for run in planned.runs() if run.id not in {other.id for other in late}]
    assert len(meanwhile) >= 10
    waiting = [run for run in meanwhile if run.state_name != SKIPPED]
    assert [run.id for run in waiting] == [meanwhile[-1].id]


def test_a_server_that_is_away_for_a_moment_ends_no_run(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    from landshift.flows.runtime.states import late as looking

    def away(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr("prefect.client.orchestration.SyncPrefectClient.read_flow_runs", away)
    monkeypatch.setattr(looking, "_run", lambda: late)
    late = FlowRun.model_construct(id=UUID(int=1), deployment_id=planned.id, auto_scheduled=True, name="x", parameters={})
    late.expected_start_time = planned.now
    looking.give_up_if_late()
    assert looking.skip_late_runs() == 0
