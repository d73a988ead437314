"""From labels to a map with trees and a line: trained beside each other, the better one kept, mapped like a network."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from landshift.flows.config.project import Project
from landshift.flows.detect import detect
from landshift.flows.train import train
from landshift.models.estimators.model import PixelModel
from landshift.models.use.bundle import load
from landshift.pipeline.demo.files import make_territory
from landshift.pipeline.demo.territories import NORTH
from landshift.pipeline.raster.read import read_raster
from tests.demo_territory import demo_project


@dataclass(frozen=True)
class Auto:
    """What `strategy: auto` left behind."""

    project: Project
    data: Path
    output: Path
    model: Path
    run: Path


@pytest.fixture(scope="module")
def auto(tmp_path_factory: pytest.TempPathFactory) -> Auto:
    folder = tmp_path_factory.mktemp("few")
    make_territory(folder / "demo" / "north", NORTH, seed=11, size=128)
    project = demo_project(training={"strategy": "auto", "candidates": ["boosted", "probe"]})
    data, output = folder / "demo" / "north", folder / "runs"
    trained = train(project, data, output)
    return Auto(project, data, output, trained.model, detect(project, data, output).run)


def test_the_candidates_are_compared_and_the_choice_is_written_down(auto: Auto) -> None:
    report = json.loads((auto.output / "demo" / "training.json").read_text(encoding="utf-8"))
    assert [(s["strategy"], s["seed"]) for s in report["seeds"]] == [("boosted", 0), ("probe", 0)]
    kept, left = ("boosted", "probe") if report["strategy"] == "boosted" else ("probe", "boosted")
    assert report["choice"][0].startswith(f"{kept} was kept before {left}: on the validation blocks")
    assert "95 % interval" in report["choice"][0]
    card = (auto.model / "card.md").read_text(encoding="utf-8")
    assert report["choice"][0] in card
    assert f"| {kept.capitalize()}, seed 0 (kept) |" in card
    assert f"| {left.capitalize()}, seed 0 |" in card


def test_the_bundle_holds_arrays_alone(auto: Auto) -> None:
    bundle, model = load(auto.model)
    assert isinstance(model, PixelModel)
    assert bundle.spec.heads == "both"
    with safe_open(auto.model / "weights.safetensors", "numpy") as file:
        names = {n for n in file.keys() if n.startswith(("change.", "landuse."))}  # noqa: SIM118 (not a dict)
    assert {n.partition(".")[0] for n in names} == {"change", "landuse"}
    assert bundle.facts.domain_shift is not None


def test_its_map_is_a_run_like_any_other(auto: Auto) -> None:
    run = json.loads((auto.run / "record/run.json").read_text(encoding="utf-8"))
    change = read_raster(auto.run / "layers/change.tif")[0]
    truth = read_raster(auto.data / "truth" / "change.tif")[0] if (auto.data / "truth" / "change.tif").is_file() else None
    assert {"domain_shift", "calibration_error", "second_opinion"} <= {g["setting"] for g in run["gates"]}
    assert np.isin(change, range(32)).all()
    assert 0 < (change >= 2).mean() < 0.5
    if truth is not None:
        assert ((change >= 2) == (truth >= 2))[change > 0].mean() > 0.9


def test_nothing_is_trained_twice(auto: Auto) -> None:
    before = {p: p.stat().st_mtime_ns for p in (auto.output / "demo" / "training").rglob("*.safetensors")}
    assert len(before) == 2
    train(auto.project, auto.data, auto.output)
    assert {p: p.stat().st_mtime_ns for p in before} == before
