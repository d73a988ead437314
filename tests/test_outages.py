"""What a monitor depends on goes away and comes back: the Prefect server, PostgreSQL, and the config that it began with."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import yaml

from landshift.flows import monitor as monitoring
from landshift.flows.monitor import monitor
from landshift.flows.steps.monitoring.outcome import Monitored
from landshift.pipeline.register.address import location_of
from landshift.pipeline.register.layers import REGISTER_COLUMNS
from landshift.pipeline.register.store import open_register
from tests.conftest import Territory
from tests.postgis_server import Server, server
from tests.test_unattended import site

# PostgreSQL is stopped behind the back of what started it.
pytestmark = pytest.mark.slow

STEADY = [c.name for c in REGISTER_COLUMNS if c.name != "change_id"]


class Place:
    """A small territory, watched without a model, whose register may be on a server."""

    def __init__(self, territory: Territory, **settings: Any) -> None:
        self.data, self.output = territory.data, territory.output
        self.config = territory.data / "place.yaml"
        self.content = territory.config | {"detect": {"method": "ir-mad"}}
        territory.write("place_20230620.tif", seed=2)
        territory.write("place_20240620.tif", seed=1)
        self.configure(**settings)

    def configure(self, **sections: Any) -> None:
        self.content |= sections
        self.config.write_text(yaml.safe_dump(self.content), encoding="utf-8")

    def run(self) -> Monitored:
        return monitor(self.config, self.data, self.output)

    def changes(self, where: str | None = None) -> pd.DataFrame:
        frame = open_register(location_of(where or self.output / "place/register.gpkg")).changes()
        plain = pd.DataFrame(frame[STEADY]).assign(shape=frame.geometry.normalize().to_wkb())
        return plain.sort_values(["first_seen", "shape", "change_code"]).reset_index(drop=True)


def calm(new_territory: Callable[[], Territory], **settings: Any) -> pd.DataFrame:
    """The register of a run that nothing disturbed."""
    place = Place(new_territory(), **settings)
    assert not place.run().failed
    return place.changes()


class Restarted:
    """A PostgreSQL server that can be stopped and started."""

    def __init__(self) -> None:
        self.server: Server = server.__wrapped__()
        self.data = self.server.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self.command = shlex.split((self.data / "postmaster.opts").read_text(encoding="utf-8"))

    def stop(self) -> None:
        pid = self.data / "postmaster.pid"
        os.kill(int(pid.read_text(encoding="utf-8").split()[0]), signal.SIGQUIT)  # at once, as a power cut would
        while (self.server.folder / f".s.PGSQL.{self.server.port}").exists() and pid.exists():
            time.sleep(0.05)

    def start(self) -> None:
        as_whom = ["setpriv", "--pdeathsig", "INT"]
        if os.geteuid() == 0:
            as_whom += ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*as_whom, *self.command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        for _ in range(400):
            try:
                self.server.query("SELECT 1")
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("PostgreSQL did not come back")


@pytest.fixture
def restarted() -> Iterator[Restarted]:
    made = Restarted()
    yield made
    if made.process is not None:
        made.process.send_signal(signal.SIGQUIT)
        made.process.wait(30)


@pytest.mark.parametrize("away", ["for a moment", "until the next run"])
def test_postgresql_that_is_restarted_in_the_middle(
    away: str, restarted: Restarted, new_territory: Callable[[], Territory], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = restarted
    address = database.server.address(database.server.new_schema())
    monkeypatch.setenv("OUR_REGISTER", address)
    place = Place(new_territory(), monitor={"register_env": "OUR_REGISTER"})
    detect, made = monitoring.detect_planned, []

    def disturbed(*given: Any) -> Any:
        made.append(detect(*given))
        if len(made) == 2:
            database.stop()
            if away == "for a moment":
                database.start()
        return made[-1]

    monkeypatch.setattr(monitoring, "detect_planned", disturbed)
    result = place.run()
    if away == "for a moment":
        assert [pair.outcome for pair in result.pairs] == ["done", "done", "done"]
    else:
        assert [pair.outcome for pair in result.pairs] == ["done", "failed", "failed"]
        assert "cannot be reached" in result.failed[0].message
        database.start()
        assert [pair.outcome for pair in place.run().pairs] == ["known", "done", "done"]
    pd.testing.assert_frame_equal(place.changes(address), calm(new_territory))


def test_a_config_that_is_changed_between_runs_gives_the_register_of_the_new_one(
    new_territory: Callable[[], Territory],
) -> None:
    place = Place(new_territory())
    assert not place.run().failed
    finer = {"method": "ir-mad", "min_area_ha": 0.03}
    place.configure(detect=finer)
    again = place.run()
    assert [pair.outcome for pair in again.pairs] == ["done", "done", "done"], "other patches, so other runs"
    columns = [name for name in STEADY if name not in ("runs", "observations")]
    found, wanted = (
        frame.loc[frame["state"] != "withdrawn", columns].reset_index(drop=True)
        for frame in (place.changes(), calm(new_territory, detect=finer))
    )
    pd.testing.assert_frame_equal(found, wanted)
    assert [pair.outcome for pair in place.run().pairs] == ["known", "known", "known"]


SLOW = """
import sys, time
import landshift.flows.monitor as monitoring
detect = monitoring.detect_planned
def slow(*given):
    print("working", flush=True)
    time.sleep(6)
    return detect(*given)
monitoring.detect_planned = slow
from landshift.flows.cli.main import main
main()
"""


def test_a_prefect_server_that_is_killed_and_started_again_in_the_middle(
    new_territory: Callable[[], Territory], tmp_path: Path
) -> None:
    place = Place(new_territory())
    words = ["monitor", place.config, "--data", place.data, "--output", place.output]
    with site(tmp_path) as operator:
        command = [sys.executable, "-c", SLOW, *map(str, words)]
        with subprocess.Popen(
            command, env=operator.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "working\n"
            operator.kill("server")
            time.sleep(2)
            operator.start("server")
            out, err = run.communicate(timeout=280)
        assert run.returncode == 0, err
        assert "Traceback" not in err + out
    pd.testing.assert_frame_equal(place.changes(), calm(new_territory))
