"""Small collections of chips on disk: noise before; after, squares of it are brighter, which the masks mark."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from rasterio.errors import NotGeoreferencedWarning

from landshift.flows.config.project import Project
from landshift.flows.steps.project.workspace import Workspace, workspace

SIZE = 64
DRIVERS = {".png": "PNG", ".jpg": "JPEG", ".tif": "GTiff"}
CONFIG: dict[str, Any] = {
    "name": "squares",
    "sensor": {
        "name": "custom", "bands": ["red", "green", "blue"], "scale": 1, "nodata": "none", "units": "digital numbers",
    },
    "labels": {
        "chips": {
            "folder": "squares", "before": "A", "after": "B", "label": "label", "values": {0: "unchanged", 255: "changed"},
            "split": {"train": "train", "validation": "val", "test": "test"},
        }
    },
    "model": {"encoder": "random:tu-test_efficientnet", "decoder_channels": [32, 16, 16, 8, 8]},
    "training": {"epochs": 4, "chips_per_epoch": 48, "chip": 64, "batch": 8, "learning_rate": 0.01},
    "detect": {"device": "cpu"},
}  # fmt: skip


def write_picture(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Write (y, x) or (band, y, x)."""
    bands = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver=DRIVERS[path.suffix], count=len(bands), height=bands.shape[1], width=bands.shape[2],
            dtype=bands.dtype, **options,
        ) as target:  # fmt: skip
            target.write(bands)
    return path


def chip_of(number: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bytes (band, y, x) before and after, and bool (y, x), where it changed; every fifth chip has no change."""
    rng = np.random.default_rng(number)
    ground = rng.uniform(60, 120, (3, 1, 1)) + rng.normal(0, 8, (3, size, size))
    changed = np.zeros((size, size), dtype=bool)
    for _ in range(0 if number % 5 == 4 else 2):
        y, x = rng.integers(0, size - 20, 2)
        changed[y : y + 20, x : x + 20] = True
    after = ground + rng.normal(0, 4, ground.shape) + 90 * changed
    before, after = (np.clip(image, 1, 255).astype(np.uint8) for image in (ground, after))
    return before, after, changed


class ChipCollection:
    """A folder of chips; `workspace` gives the project with any part changed."""

    def __init__(self, folder: Path, counts: dict[str, int] | None = None, suffix: str = ".png") -> None:
        self.data, self.output, self.folder = folder / "data", folder / "out", folder / "data" / "squares"
        number = 0
        for split, count in (counts or {"train": 6, "val": 3, "test": 4}).items():
            for _ in range(count):
                before, after, changed = chip_of(number)
                for part, pixels in (("A", before), ("B", after), ("label", np.where(changed, 255, 0).astype(np.uint8))):
                    ending = ".png" if part == "label" else suffix
                    write_picture(self.folder / split / part / f"{number:04d}{ending}", pixels)
                number += 1

    def config(self, **changes: Any) -> dict[str, Any]:
        """Return the config; `chips` changes keys of `labels: chips`, others whole sections or keys of them."""
        content = {**CONFIG, "labels": {"chips": {**CONFIG["labels"]["chips"], **changes.pop("chips", {})}}}
        for section, values in changes.items():
            content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
        return content

    def workspace(self, **changes: Any) -> Workspace:
        return workspace(Project.model_validate(self.config(**changes)), self.data, self.output)

    def write_config(self, **changes: Any) -> Path:
        path = self.data / "squares.yaml"
        path.write_text(yaml.safe_dump(self.config(**changes)), encoding="utf-8")
        return path
