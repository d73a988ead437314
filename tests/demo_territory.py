"""The demo's northern territory in small: its config, and a folder in which its model was trained and its changes mapped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.detect import detect
from landshift.flows.steps.publication.run import Detected
from landshift.flows.steps.release.candidates import Trained
from landshift.flows.train import train
from landshift.pipeline.demo.files import make_territory
from landshift.pipeline.demo.territories import NORTH

SIZE = 128
"""Pixels on each side."""
SMALL: dict[str, Any] = {
    "split": {"block_px": 16, "buffer_px": 0, "min_pixels": 1, "seed": 0},
    "model": {
        "encoder": "imagenet-efficientnet-lite0",
        "decoder_channels": (32, 16, 16, 8, 8),
        "landuse_channels": (32, 16, 16, 8, 8),
    },
    "training": {"strategy": "full", "epochs": 2, "chips_per_epoch": 16, "chip": 64, "batch": 4, "learning_rate": 0.003},
    "detect": {"core": 64, "margin": 32, "min_area_ha": 0.05, "device": "cpu"},
}


def demo_project(**changes: Any) -> Project:
    content = load_project(find_config("demo.yaml")).model_dump(mode="json")
    for section, values in (SMALL | changes).items():
        content[section] = {**content[section], **values} if isinstance(values, dict) else values
    return Project.model_validate(content)


@dataclass(frozen=True)
class DemoTerritory:
    """Scenes, config, model and run, for tests to read; those that write take a copy."""

    project: Project
    data: Path
    output: Path
    trained: Trained
    detected: Detected

    @property
    def model(self) -> Path:
        return self.trained.model

    @property
    def run(self) -> Path:
        return self.detected.run


def make_demo_territory(folder: Path) -> DemoTerritory:
    make_territory(folder / "demo" / "north", NORTH, seed=11, size=SIZE)
    project, data, output = demo_project(), folder / "demo" / "north", folder / "runs"
    return DemoTerritory(project, data, output, train(project, data, output), detect(project, data, output))
