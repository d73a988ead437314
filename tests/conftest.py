"""Small projects on disk for the tests: a folder, two scenes and a config, each part of which a test can spoil."""

import fcntl
import os
import pickle
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from affine import Affine

from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.write import write_raster

if TYPE_CHECKING:
    from tests.demo_territory import DemoTerritory

pytest_plugins = ["tests.limits"]

# Read when the libraries load: the suite shares its cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")


def pytest_runtest_setup() -> None:
    """Keep torch to one thread, without importing it for tests that do not need it."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads") and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def prefect_address() -> Iterator[str]:
    """One Prefect server with a database of its own, for the tests of this process that ask for it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        address = PREFECT_API_URL.value()
        with temporary_settings(restore_defaults={PREFECT_API_URL}):
            yield address


@pytest.fixture
def prefect_server(prefect_address: str) -> Iterator[None]:
    """Have Prefect run the flows of a test; those of other tests run plainly, as they do where no server is named."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # With heartbeats, each flow waits up to a second at its end for their thread.
    with temporary_settings({PREFECT_API_URL: prefect_address, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> "DemoTerritory":
    """The demo's territory, made by the first process of the session that asks for it."""
    from tests.demo_territory import make_demo_territory

    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "demo-territory"
    folder.mkdir(exist_ok=True)
    made = folder / "made.pickle"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            made.write_bytes(pickle.dumps(make_demo_territory(folder)))
    return pickle.loads(made.read_bytes())


def small_grid(height: int = 40, width: int = 48, *, crs: str = "EPSG:32651", x: float = 300_000, y: float = 3_600_000) -> Grid:
    return grid_of(Affine(10, 0, x, 0, -10, y), (height, width), crs)


class Territory:
    """A folder with two scenes of two bands (red, nir; numbers 1..9999; 0 = nodata) and the config that fits them."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.output = folder / "out"
        self.grid = small_grid()
        self.names = ("place_20200615.tif", "place_20220620.tif")
        self.config: dict[str, Any] = {
            "name": "place",
            "sensor": {"name": "custom", "bands": ["red", "nir"], "scale": 1e-4, "nodata": 0},
            "scenes": {"pattern": "place_*.tif"},
            "epochs": {
                "before": {"start": "2020-06-01", "end": "2020-06-30"},
                "after": {"start": "2022-06-01", "end": "2022-06-30"},
            },
        }
        for seed, name in enumerate(self.names):
            self.write(name, seed=seed)

    def numbers(self, *, seed: int = 0, grid: Grid | None = None, bands: int = 2) -> np.ndarray:
        shape = (grid or self.grid).shape
        return np.random.default_rng(seed).integers(1, 10_000, (bands, *shape)).astype(np.uint16)

    def write(self, name: str, data: np.ndarray | None = None, *, seed: int = 0, grid: Grid | None = None, **more: Any) -> Path:
        data = self.numbers(seed=seed, grid=grid) if data is None else data
        more = {"nodata": 0, "descriptions": ("red", "nir")} | more
        return write_raster(self.data / name, data, grid or self.grid, **more)

    def workspace(self, *, allow_outside: bool = False) -> Any:
        from landshift.flows.config.project import Project
        from landshift.flows.steps.project.workspace import workspace

        return workspace(Project.model_validate(self.config), self.data, self.output, allow_outside=allow_outside)

    def plan(self) -> Any:
        from landshift.flows.steps.project.plan import plan

        return plan(self.workspace())

    def prepare(self) -> tuple[Any, Any]:
        """Run both steps as the flow does, without Prefect."""
        from landshift.flows.steps.images.epochs import prepare_epoch
        from landshift.flows.steps.project.plan import plan

        ws = self.workspace()
        ws.require_writable()
        made = plan(ws)
        return prepare_epoch(ws, made, "before"), prepare_epoch(ws, made, "after")

    def make(self) -> tuple[Any, Any]:
        """Write both images as files, as those of several scenes are."""
        from landshift.flows.steps.images.epochs import make_image
        from landshift.flows.steps.project.plan import plan

        ws = self.workspace()
        ws.require_writable()
        made = plan(ws)
        return make_image(ws, made, "before"), make_image(ws, made, "after")

    def outputs(self) -> dict[str, bytes]:
        return {p.relative_to(self.output).as_posix(): p.read_bytes() for p in sorted(self.output.rglob("*")) if p.is_file()}


def pixels_of(image: Any) -> np.ndarray:
    """All pixels of an image of an epoch, (band, y, x)."""
    from landshift.pipeline.raster.images import open_readers
    from landshift.pipeline.tiles import Window

    with open_readers(image.image) as (reader,):
        return np.asarray(reader.read(Window(0, 0, *reader.info.shape)))


def observed_share(image: Any) -> float:
    """Share of the pixels of an image of an epoch that are observed."""
    return float(np.isfinite(pixels_of(image)[0]).mean())


@pytest.fixture
def territory(tmp_path: Path) -> Territory:
    return Territory(tmp_path)


@pytest.fixture
def new_territory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Territory]:
    """Make a territory for each example of a Hypothesis test."""
    return lambda: Territory(tmp_path_factory.mktemp("territory"))


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: a write past it fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full_disk() -> Callable[[int], Any]:
    return disk_of
