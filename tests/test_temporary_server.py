"""Prefect's temporary server: it ends with the process that began it, and what goes wrong with it is one sentence."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

from landshift.flows.runtime import temporary
from landshift.flows.runtime.tasks import as_flow
from landshift.flows.runtime.temporary import temporary_server
from landshift.pipeline.errors import InputError, UnavailableError

STARTER = """
import os, subprocess, sys, time
started = subprocess.Popen([sys.executable, "-m", "landshift.flows.runtime.temporary", str(os.getpid())],
                           stdout=subprocess.PIPE, start_new_session=True)
print(started.pid, started.stdout.readline().decode(), flush=True)
time.sleep(100)
"""


def is_there(pid: int) -> bool:
    """Whether a process lives; one that ended and that no one asked about is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
def test_it_ends_with_a_process_that_was_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True, env=environment) as starter:
        assert starter.stdout is not None
        pid, port = map(int, starter.stdout.readline().split())
        assert port > 0
        assert is_there(pid)
        starter.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while is_there(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def stand_in(code: str) -> object:
    """A process in the place of the server."""

    def start(complaints: IO[bytes]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True
        )

    return start


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('the database is locked')", r"ended as it started \(the database is locked\)\. Mend that, name one"),
        ("import time; print(9, flush=True); time.sleep(60)", r"did not answer within 1 seconds.*TIMEOUT_SECONDS=2, name one"),
    ],
)
def test_one_that_does_not_start_is_a_sentence_with_a_remedy(code: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_start", stand_in(code))
    settings = {PREFECT_API_URL: None, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 1}
    with temporary_settings(settings), pytest.raises(UnavailableError, match=message), temporary_server():
        raise AssertionError("worked without a server")


@as_flow("adds")
def add(a: int, b: int) -> int:
    return a + b


def test_a_server_that_is_named_and_away_is_a_sentence_before_any_work() -> None:
    away = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"})
    with away, pytest.raises(InputError, match=r"http://127.0.0.1:9/api does not answer .*or unset it: maps need no server"):
        add(1, 2)


@pytest.mark.slow
def test_flows_run_on_it_and_what_they_logged_arrives(tmp_path: Path) -> None:
    code = (
        "from landshift.flows.runtime.tasks import as_flow\n"
        "from landshift.flows.runtime.server import is_watched\n"
        "add = as_flow('adds')(lambda a, b: a + b)\n"
        "print(is_watched(), add(1, 2))"
    )
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_ENABLED": "true"}
    environment |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240", "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "3"]), done.stderr
    assert "Traceback" not in done.stderr
