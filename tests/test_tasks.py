"""Flows and steps where no Prefect server is named: they run plainly, and no server is started for them."""

from collections.abc import Iterator

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from landshift.flows.runtime import tasks
from landshift.flows.runtime.artifacts import show_link, show_table, show_text
from landshift.flows.runtime.compute import each, results
from landshift.flows.runtime.server import is_watched
from landshift.flows.runtime.tasks import as_flow, as_task, run_as_subflow
from landshift.pipeline.errors import InputError


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a server was started")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Take the server away, and collect how long a step waits before it is tried again."""
    waited: list[float] = []
    monkeypatch.setattr(SubprocessASGIServer, "start", refuse)
    monkeypatch.setattr(tasks.time, "sleep", waited.append)
    for name in ("PREFECT_SERVER_EPHEMERAL_ENABLED", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"):
        monkeypatch.delenv(name, raising=False)
    with temporary_settings({PREFECT_API_URL: None}):
        yield waited


class Share:
    """A step on a network share that is away for so many calls."""

    def __init__(self, away: int, error: type[Exception] = OSError) -> None:
        self.away, self.error, self.calls = away, error, 0

    def read(self, name: str) -> str:
        self.calls += 1
        if self.calls <= self.away:
            raise self.error("the share is away")
        return f"content of {name}"


def test_a_flow_runs_plainly_with_its_steps_its_subflow_and_what_it_shows(pauses: list[float]) -> None:
    read = as_task(Share(0).read, "read")

    @as_flow("all")
    def read_all(names: tuple[str, ...]) -> list[str]:
        show_table([{"name": name} for name in names], key="names", description="Names")
        show_text("# Names", key="text", description="Names")
        show_link("file:///names", key="link", text="Names")
        found = list(results(each(read, [(name,) for name in names], "Reading")))
        return run_as_subflow("end", lambda: [*found, read(name="c")])

    assert read_all(("a", "b")) == ["content of a", "content of b", "content of c"]
    assert pauses == []


def test_a_step_that_fails_for_a_passing_reason_is_tried_twice_more(pauses: list[float]) -> None:
    share = Share(2)
    assert as_task(share.read, "read")("a") == "content of a"
    assert pauses == [2, 10]
    with pytest.raises(OSError, match="away"):
        as_task(Share(3).read, "read")("a")


@pytest.mark.parametrize(("error", "retries"), [(InputError, 2), (OSError, 0)])
def test_bad_input_and_steps_without_retries_are_not_tried_again(
    pauses: list[float], error: type[Exception], retries: int
) -> None:
    share = Share(1, error)
    with pytest.raises(error, match="away"):
        as_task(share.read, "read", retries=retries)("a")
    assert (share.calls, pauses) == (1, [])


def test_prefect_runs_what_a_server_or_its_temporary_one_is_asked_for(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_watched()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        assert is_watched()
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_ENABLED", "true")
    assert is_watched()
    with pytest.raises(AssertionError, match="a server was started"):
        as_task(Share(0).read, "read")("a")
