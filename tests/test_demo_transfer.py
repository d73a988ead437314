"""The guard on the demo's territories, over other seeds than the demo's own: minutes of training, so run with -m slow."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.assess import assess
from flows.config import Project, load_project, shipped_config
from flows.demo_transfer import write_source
from pipeline.demo import make_demo


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "landscape"
    make_demo(folder, seed=7)
    return folder


def project_of(name: str, seeds: list[int]) -> Project:
    content = load_project(shipped_config(name)).model_dump(mode="json")
    content["assess"] |= {"seeds": seeds, "encoders": ["file"]}
    return Project.model_validate(content)


def guard_of(project: Project, data: Path, output: Path) -> dict[str, object]:
    report = assess(project, data, output).report
    return dict(json.loads(report.read_text(encoding="utf-8"))["guard"])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [[2, 3], [4, 5]])
def test_a_source_in_other_units_hurts_whatever_the_seeds(landscape: Path, tmp_path: Path, seeds: list[int]) -> None:
    data = tmp_path / "south"
    shutil.copytree(landscape / "south", data)
    write_source(data / "source_in_digital_numbers.safetensors")
    guard = guard_of(project_of("demo_hurts.yaml", seeds), data, tmp_path / "runs")
    assert guard["verdict"] == "hurts", guard["sentence"]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [[2, 3], [4, 5]])
def test_the_neighbours_model_helps_whatever_the_seeds(landscape: Path, tmp_path: Path, seeds: list[int]) -> None:
    from flows.train import train

    output = tmp_path / "runs"
    trained = train(load_project(shipped_config("demo.yaml")), landscape / "north", output)
    data = tmp_path / "east"
    shutil.copytree(landscape / "east", data)
    shutil.copyfile(trained.model / "weights.safetensors", data / "northern_model.safetensors")
    guard = guard_of(project_of("demo_helps.yaml", seeds), data, output)
    assert guard["verdict"] == "helps", guard["sentence"]
