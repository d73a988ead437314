"""Flows and steps where no Prefect server is named: they run plainly, and no server is started for them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from landshift.flows.runtime import server, tasks, temporary
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
    monkeypatch.setattr(temporary, "_start", refuse)
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


def alone(folder: Path, script: str, **environment: str) -> str:
    """Run Python where nothing names a server, in a process of its own."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    given = {**plain, "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "PREFECT_HOME": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=given, check=True, capture_output=True, text=True
    ).stdout


LATE = """
import sys
from landshift.flows import detect
from landshift.flows.runtime.tasks import as_flow, as_task
step = as_task(lambda name: name.upper(), "step")
flow = as_flow("flow")(lambda name: step(name))
print(flow("done"), "prefect" in sys.modules, step.retries, type(flow.made).__mro__[1].__name__, flow("again"))
"""


def test_what_runs_plainly_does_without_prefect_and_can_still_be_prefects(tmp_path: Path) -> None:
    assert alone(tmp_path, LATE).split() == ["DONE", "False", "2", "Flow", "AGAIN"]
    assert (
        alone(tmp_path, "import prefect; from landshift.flows.monitor import monitor as m; print(isinstance(m, prefect.Flow))")
        == "True\n"
    )


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("profiles.toml", 'active = "ours"\n[profiles.ours]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'),
        ("prefect.toml", '[api]\nurl = "http://127.0.0.1:9/api"\n'),
        (".env", "PREFECT_API_URL=http://127.0.0.1:9/api\n"),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://127.0.0.1:9/api"\n'),
    ],
    ids=["profile", "toml", "dotenv", "pyproject"],
)
def test_prefect_is_asked_where_a_file_may_name_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*server._TEMPORARY, *server._NAMES_SERVER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('dependencies = ["prefect"]')
    assert not server._is_configured()
    (tmp_path / file).write_text(content)
    assert server._is_configured()


def test_a_profile_that_names_a_server_is_followed(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('active = "ours"\n[profiles.ours]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n')
    asked = "from landshift.flows.runtime.server import is_watched; print(is_watched())"
    assert alone(tmp_path, asked) == "True\n"
