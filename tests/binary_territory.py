"""A small binary project on disk: bright squares appear in all four quarters, and every pixel is labelled."""

from pathlib import Path
from typing import Any

import numpy as np

from landshift.flows.config.project import Project
from landshift.flows.steps.assessment.trials import Trial, TrialFacts, TrialResult
from landshift.flows.steps.images.epochs import Pair, prepare_epoch
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.learning.labelling import divide_labels, read_labels
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.grid import Grid
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import Regions, regions_of
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.accuracy import BinaryScores
from landshift.pipeline.scores.training import Cost, Fit, Temperatures
from tests.conftest import small_grid

BANDS = ("blue", "green", "red", "nir")
RANDOM = "random:tu-tf_efficientnet_lite0"
LITE = "imagenet-efficientnet-lite0"
SIZE = 96
CONFIG: dict[str, Any] = {
    "name": "place",
    "sensor": {"name": "custom", "bands": list(BANDS), "scale": 1e-4, "nodata": 0},
    "scenes": {"pattern": "place_*.tif"},
    "epochs": {
        "before": {"start": "2020-06-01", "end": "2020-06-30"},
        "after": {"start": "2022-06-01", "end": "2022-06-30"},
    },
    "labels": {"rasters": {"change": "change.tif", "values": {0: "unchanged", 1: "changed", 2: "not labelled"}}},
    "split": {"block_px": 16, "buffer_px": 0, "min_pixels": 1},
    "model": {"encoder": RANDOM, "decoder_channels": [8, 8, 8, 8, 8]},
    "training": {"strategy": "full", "epochs": 1, "chips_per_epoch": 8, "chip": 32, "batch": 4, "learning_rate": 0.003},
    "assess": {
        "encoders": [RANDOM, LITE], "controls": ["random"], "regions": 4, "min_pixels": 20, "seeds": [0], "pixels": 300,
        "replicates": 20, "fractions": [1.0],
    },
    "detect": {"core": 64, "margin": 32, "device": "cpu"},
}  # fmt: skip


def squares(size: int = SIZE) -> np.ndarray:
    """Return uint8 (y, x): 1 in squares of 6 pixels, two in each block of 24."""
    changed = np.zeros((size, size), dtype=np.uint8)
    rng = np.random.default_rng(0)
    for top in range(0, size, 12):
        for left in range(12 * (top // 12 % 2), size, 24):
            y, x = top + rng.integers(0, 6), left + rng.integers(0, 6)
            changed[y : y + 6, x : x + 6] = 1
    return changed


def scenes(changed: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers (band, y, x) of both dates: soil of about 0.15 with noise, and 0.25 more where it changed."""
    rng = np.random.default_rng(seed)
    level = np.array([800, 1100, 1500, 2600]).reshape(-1, 1, 1)
    ground = level * rng.uniform(0.8, 1.2, (1, *changed.shape))
    before, after = (ground + rng.normal(0, 60, (4, *changed.shape)) for _ in range(2))
    return tuple(np.clip(d, 1, 9999).astype(np.uint16) for d in (before, after + 2500.0 * changed))  # type: ignore[return-value]


class BinaryTerritory:
    """A folder with both scenes and the labels; `workspace` gives the project with any part changed."""

    def __init__(self, folder: Path, labels: np.ndarray | None = None, size: int = SIZE) -> None:
        self.data, self.output = folder / "data", folder / "out"
        self.data.mkdir(parents=True)
        self.grid: Grid = small_grid(size, size)
        changed = squares(size)
        for name, numbers in zip(("place_20200615.tif", "place_20220620.tif"), scenes(changed), strict=True):
            write_raster(self.data / name, numbers, self.grid, nodata=0, descriptions=BANDS)
        self.label(changed if labels is None else labels)

    def label(self, values: np.ndarray) -> None:
        write_raster(self.data / "change.tif", values.astype(np.uint8), self.grid)

    def config(self, **changes: Any) -> dict[str, Any]:
        content = dict(CONFIG)
        for section, values in changes.items():
            content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
        return content

    def workspace(self, output: Path | None = None, **changes: Any) -> Workspace:
        return workspace(Project.model_validate(self.config(**changes)), self.data, output or self.output)


class Ready:
    """A workspace with its images prepared and its labels divided, as the flows leave it for an assessment."""

    def __init__(self, ws: Workspace) -> None:
        ws.require_writable()
        self.ws = ws
        made = plan(ws)
        self.labels_hash = divide_labels(ws, made.grid)
        images = [prepare_epoch(ws, made, name) for name in ("before", "after")]
        self.prepared = Pair(made, *images, radiometry=match_dates(ws, made.sensor.units, *images))
        self.labels: Labels = read_labels(ws, made.grid)
        assess = ws.project.assess
        self.regions: Regions = regions_of(self.labels, assess.regions, assess.min_pixels)


def done(trial: Trial, f1: float | None = 0.5, regions: dict[str, float | None] | None = None, **facts: Any) -> TrialResult:
    """Return what a training would have come to, without one."""
    known = {
        "validation_score": 0.5, "threshold": 0.5, "temperatures": Temperatures(), "calibration_error": None, "warnings": (),
        "test": BinaryScores(None, f1, None, None, None, None, None, 0), "fit": fit_of([0.2, f1 or 0.0]),
        "cost": cost_of(0.004),
    }  # fmt: skip
    return TrialResult(trial, "done", "", f1, regions or {}, TrialFacts(**(known | facts)))


def fit_of(history: list[float]) -> Fit:
    """Return a training of 1.5 seconds an epoch with this F1 after each."""
    rows = tuple({"epoch": epoch, "f1": f1} for epoch, f1 in enumerate(history))
    return Fit(len(rows), 0, 0.5, rows, parameters=10, seconds=1.5 * len(rows))


def cost_of(kwh: float | None, seconds: float = 1.0) -> Cost:
    return Cost("trial", seconds, kwh, None, 0.0, "no", None)
