"""A month of daily schedules on a real Prefect server with a real worker, each of which is killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pandas as pd
import pytest
import yaml

from landshift.flows.monitor import monitor
from tests.demo_territory import DemoTerritory
from tests.test_monitor import Watched

pytestmark = pytest.mark.slow

MONTH = [date(2024, 3, 1) + timedelta(days=i) for i in range(31)]
"""With the night in which Berlin's clocks skip the hour of the schedule."""
COME_IN = {0: "20240229", 5: "20240305", 12: "20240312", 19: "20240319", 26: "20240327"}
"""How many runs are over when a scene comes in, and its day."""
KILLS = {5: "run", 12: "worker", 19: "server"}
"""What is killed while the scene that came in then is worked on."""
BERLIN, ENDED = ZoneInfo("Europe/Berlin"), ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
LONGEST = timedelta(minutes=25)


class Site:
    """A server and a worker, as an operator would have them, each in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/api"
        self.port = str(port)
        self.environment = {
            **os.environ, "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": self.address, "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1", "OMP_NUM_THREADS": "1",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }  # fmt: skip
        self.environment.pop("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", None)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        prefect = [sys.executable, "-m", "prefect"]
        arguments = {
            "server": [*prefect, "server", "start", "--no-ui", "--host", "127.0.0.1", "--port", self.port],
            "worker": [*prefect, "worker", "start", "--pool", "territories", "--type", "process"],
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                arguments[name], stdout=log, stderr=log, env=self.environment, cwd=self.folder, start_new_session=True
            )
        if name == "server":
            self._wait_for_server()

    def _wait_for_server(self) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.address}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError((self.folder / "server.log").read_text(encoding="utf-8")[-2000:])

    def kill(self, name: str) -> None:
        """As a power cut would: the process and all that it started, at one moment."""
        process = self.processes.pop(name)
        _kill(process.pid, *(pid for pid, _ in _descendants(process.pid)))
        process.wait()

    def kill_run(self) -> None:
        """Kill the process of the run that goes on, and nothing else."""
        below = _descendants(self.processes["worker"].pid)
        found = [pid for pid, said in below if "prefect.engine" in said and "supervisor" not in said]
        assert found, "no process of a run was found"
        _kill(*found)

    def landshift(self, *arguments: object) -> str:
        command = [sys.executable, "-m", "landshift.flows.cli.main", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def ask(self, path: str, **body: Any) -> Any:
        for pause in (1, 2, 4, 8, 0):
            answer = httpx.post(f"{self.address}/{path}", json=body, timeout=30)
            if not answer.is_server_error:
                break
            time.sleep(pause)  # SQLite is locked: the machine is busy
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.address}/{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def runs(self) -> list[dict[str, Any]]:
        """The planned runs, and not the flows within them."""
        found: list[dict[str, Any]] = []
        wanted = {"flow_runs": {"parent_task_run_id": {"is_null_": True}, "tags": {"all_": ["landshift"]}}}
        while True:
            more = self.ask("flow_runs/filter", **wanted, offset=len(found), limit=100, sort="EXPECTED_START_TIME_ASC")
            found += more
            if len(more) < 100:
                return [run for run in found if run["deployment_id"]]


def _descendants(root: int) -> list[tuple[int, str]]:
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], check=True, capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    found, parents = [], {root}
    while parents:
        children = [(int(pid), args) for pid, parent, args in rows if int(parent) in parents]
        found += children
        parents = {pid for pid, _ in children}
    return found


def _kill(*pids: int) -> None:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    try:
        made.start("server")
        yield made
    finally:
        for name in list(made.processes):
            made.kill(name)


def test_a_month_of_daily_schedules_survives_every_kill(demo: DemoTerritory, tmp_path: Path) -> None:
    calm, watched = Watched(demo, tmp_path / "calm"), Watched(demo, tmp_path / "watched")
    for day in COME_IN.values():
        calm.comes_in(day)
    # The scenes are those of June under other names.
    calm.configure(monitor={"season": "mark"})
    assert not calm.run().failed

    monitor_section = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "season": "mark"}
    content = watched.project.model_dump(mode="json") | {"monitor": monitor_section}
    config = watched.folder / "demo.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    with site(tmp_path) as operator:
        deploy = ("deploy", config, "--pool", "territories", "--limit", "gpu=1", "--data", watched.data)
        where = ("--output", watched.output, "--model", demo.model)
        assert "Work pool territories was made" in operator.landshift(*deploy, *where)
        assert "Work pool territories is used" in operator.landshift(*deploy, *where), "again changes nothing"
        deployment = operator.get(f"deployments/name/{monitor.name}/demo")
        _plan_month(operator, deployment["id"])

        # The server plans each day once, in the zone of the schedule.
        planned = [datetime.fromisoformat(run["expected_start_time"]).astimezone(BERLIN) for run in _of_the_month(operator)]
        assert [moment.date() for moment in planned] == MONTH
        assert {(m.hour, m.minute) for m in planned[:-1]} == {(2, 30)}
        assert (planned[-1].hour, planned[-1].minute) == (1, 30), "that night has no half past two"

        operator.start("worker")
        killed = _live_through(operator, watched, deployment["id"])
        runs = operator.runs()

        # All of the month was late: one run did the work of all, unless it is that one that was killed.
        assert Counter(run["state_name"] for run in _of_the_month(operator)) == {"Completed": 1, "Skipped": len(MONTH) - 1}
        days = [run for run in runs if not run["auto_scheduled"]]
        states = Counter(run["state_type"] for run in days)
        assert killed == list(KILLS.values())
        assert states["COMPLETED"] + states["CRASHED"] == len(days) == len(MONTH)
        assert 2 <= states["CRASHED"] <= 3, "the run and the worker's; one whose server was away may have gone on"
        assert days[-1]["state_type"] == "COMPLETED"
        # The schedule goes on: the server has planned what is to come.
        assert any(
            run["state_type"] == "SCHEDULED" and run["expected_start_time"] > datetime.now(UTC).isoformat() for run in runs
        )

    pd.testing.assert_frame_equal(watched.changes(), calm.changes())
    assert not list(watched.output.rglob(".partial*"))


def _plan_month(operator: Site, deployment: str) -> None:
    """Have the server plan the runs of the month, all of which are late."""
    start, end = (datetime(2024, month, 1, tzinfo=BERLIN).isoformat() for month in (3, 4))
    operator.ask(f"deployments/{deployment}/schedule", start_time=start, end_time=end, min_runs=31, max_runs=31)


def _of_the_month(operator: Site) -> list[dict[str, Any]]:
    return [run for run in operator.runs() if run["expected_start_time"] < "2025"]


def _live_through(operator: Site, watched: Watched, deployment: str) -> list[str]:
    """Begin a run for each day, let scenes come in and kill one thing after the other, until the month is over."""
    killed: list[str] = []
    begun = datetime.now(UTC)
    over = -1
    while over < len(MONTH):
        assert datetime.now(UTC) - begun < LONGEST, (over, killed, (operator.folder / "worker.log").read_text()[-3000:])
        waiting = [run for run in _of_the_month(operator) if run["state_type"] not in ENDED]
        runs = [run for run in operator.runs() if not run["auto_scheduled"]]
        over = sum(run["state_type"] in ENDED for run in runs)
        assert not any(run["state_type"] == "FAILED" for run in runs), runs
        if over == len(runs) < len(MONTH) and not waiting:
            operator.ask(f"deployments/{deployment}/create_flow_run", state={"type": "SCHEDULED"})
        for count in [c for c in COME_IN if c <= over]:
            if not (watched.scenes / f"S2_L2A_{COME_IN[count]}.tif").exists():
                watched.comes_in(COME_IN[count])
                if count in KILLS:
                    _wait_for_work(watched)
                    killed.append(KILLS[count])
                    _kill_and_restart(operator, KILLS[count])
        time.sleep(1)
    return killed


def _wait_for_work(watched: Watched) -> None:
    """Wait until the maps of a new pair are being made."""
    until = time.monotonic() + 120
    while not any(list((home / "work").glob("*")) for home in watched.home.glob("pairs/*/demo")):
        assert time.monotonic() < until, "no run took up the scene that came in"
        time.sleep(0.02)


def _kill_and_restart(operator: Site, name: str) -> None:
    if name == "run":
        operator.kill_run()
        return
    operator.kill(name)
    time.sleep(5)
    operator.start(name)
