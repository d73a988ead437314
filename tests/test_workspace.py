"""Inputs stay inside the data folder, outputs are probed before any work."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from landshift.flows.runtime.versions import versions
from landshift.flows.steps.project.workspace import workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.files.makers import this_process
from tests.conftest import Territory


def test_folders(territory: Territory) -> None:
    ws = territory.workspace()
    assert ws.output == territory.output / "place"
    assert len({ws.epochs, ws.training, ws.model, ws.work, ws.run}) == 5
    assert all(p.parent == ws.output for p in (ws.epochs, ws.training, ws.model, ws.work, ws.run))
    assert workspace(ws.project, territory.data).output == Path("runs/place")


@pytest.mark.parametrize("path", ["../secret.tif", "/etc/passwd", "a/../../secret.tif", "link/secret.tif"])
def test_a_path_that_leaves_the_data_folder(territory: Territory, path: str) -> None:
    (territory.data / "link").symlink_to(territory.data.parent)
    with pytest.raises(InputError, match=r"labels: path: .* points outside the data folder .*--allow-outside"):
        territory.workspace().input(Path(path), "labels: path")
    assert territory.workspace(allow_outside=True).input(Path(path), "labels: path").is_absolute()


@pytest.mark.parametrize(("path", "message"), [("a\0b", "null"), ("a" * 300, "too long"), ("circle/a", r"loop|symbolic")])
def test_a_path_that_is_none(territory: Territory, path: str, message: str) -> None:
    (territory.data / "circle").symlink_to("circle")
    with pytest.raises(InputError, match=f"(?i)^labels: path: .*{message}") as error:
        territory.workspace().input(Path(path), "labels: path")
    assert len(str(error.value)) < 1200


def test_a_path_that_stays(territory: Territory) -> None:
    for path in (Path("deep/../a.tif"), territory.data / "a.tif"):
        assert territory.workspace().input(path, "key") == (territory.data / "a.tif").resolve()


def test_what_is_published_names_no_folder_of_this_machine(territory: Territory) -> None:
    ws = territory.workspace()
    assert ws.relative(territory.data / "deep" / "a.tif") == "deep/a.tif"
    assert ws.relative(Path("/home/me/a.tif")) == "a.tif"


def test_the_model_in_use(territory: Territory) -> None:
    assert territory.workspace().model_in_use == territory.output / "place" / "model"
    territory.config["trained_model"] = "models/forest"
    assert territory.workspace().model_in_use == (territory.data / "models" / "forest").resolve()
    territory.config["trained_model"] = "../forest"
    with pytest.raises(InputError, match="trained_model"):
        _ = territory.workspace().model_in_use
    chosen = workspace(territory.workspace().project, territory.data, model=Path("/elsewhere"))
    assert chosen.model_in_use == Path("/elsewhere")


def test_a_record_is_opened_without_leftovers(territory: Territory) -> None:
    ws = territory.workspace()
    assert not ws.manifest(ws.epochs).entries()
    ws.epochs.mkdir(parents=True)
    ended = replace(this_process(), start="00000000")
    (ws.epochs / f"{ended.prefix}0-before.tif").write_text("half")
    ws.manifest(ws.epochs)
    assert not list(ws.epochs.iterdir())


def test_an_output_that_cannot_be_written_to(territory: Territory) -> None:
    ws = territory.workspace()
    ws.require_writable()
    assert not list(ws.output.iterdir())
    shutil.rmtree(territory.output)
    territory.output.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot be written to \(Not a directory\).*--output"):
        territory.workspace().require_writable()


def test_versions_of_what_can_change_a_pixel() -> None:
    found = versions()
    assert found["rasterio"][0].isdigit()
    assert set(found) >= {"landshift", "torch", "rasterio", "numpy"}
