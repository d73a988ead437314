"""Many processes: a Dask scheduler and two workers of their own map one region, and many regions, as one process would."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

import landshift.flows.detect as detecting
from landshift.flows.cli.main import app
from landshift.flows.detect import detect, detect_one
from landshift.flows.runtime import workers as asking
from landshift.flows.runtime.compute import Cluster, cluster_of, on_cluster
from landshift.flows.runtime.versions import versions
from landshift.flows.runtime.workers import Worker, look, require_alike
from landshift.flows.steps.detection.shards import SHARDS
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.manifest import Manifest
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.run_files import list_files
from tests.test_shards import published
from tests.untrained import Untrained

ROOT, FILE = Path(__file__).parents[1], "scheduler.json"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Untrained:
    return Untrained(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="module")
def whole(place: Untrained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that this process makes alone."""
    return detect(place.project(), place.data, tmp_path_factory.mktemp("whole"), model=place.model).run


@dataclass
class Started:
    """A scheduler and its workers, each a process of its own."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    folder: Path

    @property
    def cluster(self) -> Cluster:
        return Cluster("dask", self.address)

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker, and wait until the scheduler knows it."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            known = len(client.scheduler_info()["workers"])
            words = ("--scheduler-file", str(self.folder / FILE), "--nthreads", "1", "--no-nanny", "--no-dashboard")
            worker = process(self.folder, "distributed.cli.dask_worker", *words)
            client.wait_for_workers(known + 1, timeout=120)
        return worker


def process(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    # Another working directory, as on another machine.
    surroundings = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
        "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error",
    }
    with (folder / f"{words[0]}-{time.monotonic_ns()}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=surroundings, stdout=log, stderr=subprocess.STDOUT
        )  # fmt: skip


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    pytest.importorskip("prefect_dask", reason="prefect-dask is not installed (pip install 'landshift[dask]')")
    folder = tmp_path_factory.mktemp("cluster")
    words = ("--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(folder / FILE))
    started = Started("", process(folder, "distributed.cli.dask_scheduler", *words), [], folder)
    try:
        while not (folder / FILE).exists():
            assert started.scheduler.poll() is None, "\n".join(p.read_text() for p in folder.glob("*.log"))
            time.sleep(0.1)
        started.address = json.loads((folder / FILE).read_text())["address"]
        for _ in range(2):
            started.workers.append(started.add_worker())
        yield started
    finally:
        for one in (*started.workers, started.scheduler):
            one.terminate()
            one.wait(timeout=30)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_two_worker_processes_map_one_region_as_one_process_would(
    place: Untrained, whole: Path, dask: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[dict[str, Any]] = []
    join = detecting.join_shards_task

    def watch(ws: Workspace, grid: Grid, key: str, *rest: Any) -> Any:
        done.extend(Manifest(folder).facts("shard") for folder in (ws.work / key / SHARDS).iterdir())
        return join(ws, grid, key, *rest)

    monkeypatch.setattr(detecting, "join_shards_task", watch)
    monkeypatch.chdir(tmp_path)
    detected = detect_one(place.project(shards=4), place.data, Path("runs"), model=place.model, cluster=dask.cluster)
    assert len(done) == 4
    assert {facts["process"] for facts in done} == {worker.pid for worker in dask.workers}
    assert published(detected.run) == published(whole)
    assert dask.address not in "".join(p.read_text(errors="replace") for p in list_files(detected.run))


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_a_shard_whose_worker_dies_is_mapped_by_another(place: Untrained, whole: Path, dask: Started, tmp_path: Path) -> None:
    third = dask.add_worker()
    killed = threading.Event()

    def kill_at_work() -> None:
        """Kill the third worker as soon as it has begun to write a strip, whose temporary name carries its process."""
        while third.poll() is None:
            if list((tmp_path / "demo" / "work").glob(f"*/{SHARDS}/*/.partial-*-{third.pid}-*.tif")):
                third.kill()
                killed.set()
            time.sleep(0.005)

    watcher = threading.Thread(target=kill_at_work, daemon=True)
    watcher.start()
    run = detect_one(place.project(shards=5), place.data, tmp_path, model=place.model, cluster=dask.cluster).run
    third.kill()
    watcher.join()
    third.wait()
    assert killed.is_set(), "the third worker had work"
    assert published(run) == published(whole)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_many_regions_at_once_each_in_its_folder_and_one_that_fails_stops_no_other(
    place: Untrained, whole: Path, dask: Started, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, [*command(place, tmp_path), "--dask", dask.address, "--json"])
    assert result.exit_code == 1, result.output
    rows = {row["region"]: row for row in json.loads(result.stdout)["regions"]}
    check_regions(rows, whole, tmp_path)


def command(place: Untrained, folder: Path) -> list[str]:
    """Detect two regions, and between them one whose scenes are not there."""
    configs = []
    for name in ("west", "nowhere", "east"):
        content = place.project(name).model_dump(mode="json")
        if name == "nowhere":
            content["epochs"]["before"] = {"start": "1999-01-01", "end": "1999-12-31"}
        configs.append(folder / f"{name}.yaml")
        configs[-1].write_text(json.dumps(content), encoding="utf-8")
    return [str(v) for v in ("detect", *configs, "--data", place.data, "--output", folder / "runs", "--model", place.model)]


def check_regions(rows: dict[str, dict[str, Any]], whole: Path, folder: Path) -> None:
    assert {name: row["outcome"] for name, row in rows.items()} == {"west": "done", "nowhere": "failed", "east": "done"}
    assert "1999" in rows["nowhere"]["message"]
    for name in ("west", "east"):
        assert Path(rows[name]["run"]) == folder / "runs" / name / "run"
        change_probability = folder / "runs" / name / "run" / "layers/change_probability.tif"
        np.testing.assert_array_equal(
            read_raster(change_probability)[0], read_raster(whole / "layers/change_probability.tif")[0]
        )


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_many_regions_one_after_the_other(place: Untrained, whole: Path, tmp_path: Path) -> None:
    words = command(place, tmp_path)
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 1, result.output
    check_regions({row["region"]: row for row in json.loads(result.stdout)["regions"]}, whole, tmp_path)
    again = CliRunner().invoke(app, [w for w in words if "nowhere" not in w])
    assert again.exit_code == 0, again.output
    assert "0 done, 2 known from before, 0 failed." in again.output
    same = CliRunner().invoke(app, ["detect", words[1], words[1], "--data", str(place.data)])
    assert same.exit_code == 2
    assert "are both called west" in same.output


ALIKE = Worker("a, process 1", (), versions(), ("cpu",))


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ({}, "no worker"),
        (
            {"a": ALIKE, "b": ModuleNotFoundError("No module named 'landshift'")},
            "b cannot do the work.*named 'landshift'",
        ),
        ({"a": replace(ALIKE, missing=("/data/runs",))}, "does not see /data/runs.*storage that all share"),
        ({"a": replace(ALIKE, versions={**versions(), "torch": "1.0"})}, r"has torch 1\.0 instead of"),
        ({"a": ALIKE, "b": replace(ALIKE, devices=("cuda",))}, "would compute on cuda, the worker a, process 1 on cpu"),
    ],
)
def test_workers_that_would_make_other_pixels_are_refused(workers: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_alike(workers)
    require_alike({"a": ALIKE, "c": ALIKE})


def test_a_worker_returns_what_it_sees(tmp_path: Path) -> None:
    seen = look([str(tmp_path), str(tmp_path / "not-here")], ["cpu", "auto"])
    assert seen.missing == (str(tmp_path / "not-here"),)
    assert (seen.versions, seen.devices[0]) == (versions(), "cpu")
    assert str(os.getpid()) in seen.name


def test_a_cluster_needs_a_server_that_the_workers_reach(tmp_path: Path) -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(InputError, match="every worker would start one"),
    ):
        on_cluster(detect, Cluster("dask", "tcp://127.0.0.1:9"), [tmp_path])


@pytest.fixture
def server_named() -> Iterator[None]:
    """The address of a server that is not asked."""
    with temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield


@pytest.mark.usefixtures("server_named")
def test_a_scheduler_that_is_not_there_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prefect_dask", reason="prefect-dask is not installed (pip install 'landshift[dask]')")
    monkeypatch.setattr(asking, "_PATIENCE", 1)
    with pytest.raises(InputError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        on_cluster(detect, Cluster("dask", "tcp://127.0.0.1:9"), [tmp_path])
    assert not list(tmp_path.iterdir()), "the probe is gone"


@pytest.mark.usefixtures("server_named")
@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    for name in ("prefect_dask", "prefect_dask.task_runners", "ray"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"landshift\[{kind}\]"):
        on_cluster(detect, Cluster(kind, "tcp://127.0.0.1:9"), [tmp_path])


def test_one_cluster_is_named_by_option_or_environment() -> None:
    assert cluster_of(None, "") is None
    assert cluster_of(None, "ray://head:10001") == Cluster("ray", "ray://head:10001")
    environment = {"LANDSHIFT_DASK": "tcp://a:1", "LANDSHIFT_RAY": "ray://b:2"}
    result = CliRunner().invoke(app, ["detect", "west.yaml"], env=environment)
    assert result.exit_code == 2
    assert "name one" in result.output
