"""A model of chips in a territory: as the start of its own model, and as the model that maps it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio

from landshift.flows.config.project import Project
from landshift.flows.detect import detect
from landshift.flows.steps.images.epochs import Pair, prepare_epoch
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.learning.fitting import build_network, encoder_of
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.flows.train import train
from landshift.models.encoders.backbones import first_convolution
from landshift.models.use.bundle import load
from landshift.models.use.source import encoder_of_model
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.write import write_raster
from tests.chip_collection import CONFIG, ChipCollection, chip_of
from tests.conftest import small_grid

SIZE = 128


class Place(NamedTuple):
    """A model of chips, and a territory with the same bands in another order and a fourth one."""

    data: Path
    model: Path
    changed: np.ndarray


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("source")
    squares = ChipCollection(folder, {"train": 36, "val": 10, "test": 6})
    model = train(squares.workspace().project, squares.data, squares.output).model
    data = folder / "place"
    data.mkdir()
    before, after, changed = chip_of(100, SIZE)
    for name, image in (("place_20200615.tif", before), ("place_20220620.tif", after)):
        write_raster(data / name, image, small_grid(SIZE, SIZE), descriptions=("red", "green", "blue"))
        more = np.concatenate([image[::-1], image[:1] // 2])
        # Bytes in four bands would be red, green, blue and alpha.
        write_raster(
            data / f"four_{name}", more.astype(np.uint16), small_grid(SIZE, SIZE), descriptions=("blue", "green", "red", "nir")
        )
    return Place(data, model, changed)


def project(pattern: str = "place_*.tif", **changes: Any) -> Project:
    content = {
        "name": "place", "sensor": CONFIG["sensor"], "scenes": {"pattern": pattern},
        "epochs": {
            "before": {"start": "2020-06-01", "end": "2020-06-30"}, "after": {"start": "2022-06-01", "end": "2022-06-30"},
        },
        "model": {"encoder": "random:tu-test_efficientnet", "decoder_channels": [32, 16, 16, 8, 8]},
        "detect": {"core": 64, "margin": 32, "device": "cpu"}, "gates": {"mapped_share": {"otherwise": "mark"}},
    }  # fmt: skip
    return Project.model_validate(content | changes)


def prepare(ws: Workspace) -> Pair:
    ws.require_writable()
    made = plan(ws)
    images = [prepare_epoch(ws, made, name) for name in ("before", "after")]
    return Pair(made, *images, radiometry=match_dates(ws, made.sensor.units, *images))


def test_a_territory_starts_from_a_model_of_chips(place: Place, tmp_path: Path) -> None:
    bands = ["blue", "green", "red", "nir"]
    wanted = project(
        "four_*.tif", sensor=CONFIG["sensor"] | {"bands": bands},
        model={"encoder": "file", "file": {"path": str(place.model)}, "decoder_channels": [32, 16, 16, 8, 8]},
    )  # fmt: skip
    ws = workspace(wanted, place.data, tmp_path, allow_outside=True)
    built = build_network(ws, prepare(ws), encoder_of(ws), "full", 0)
    _, source = load(place.model)
    theirs, ours = source.encoder.state_dict(), built.network.encoder.state_dict()
    first = first_convolution(source.encoder)
    for name, channel in (("red", 0), ("green", 1), ("blue", 2)):
        np.testing.assert_allclose(ours[first][:, bands.index(name)], theirs[first][:, channel] * 3 / 4, rtol=1e-6)
    others = [k for k in theirs if k != first and theirs[k].is_floating_point()]
    assert others
    assert all((ours[k] == theirs[k]).all() for k in others)
    assert any("does not know nir" in note for note in built.notes)


def test_decoders_come_along_where_the_bands_are_the_same(place: Place, tmp_path: Path) -> None:
    wanted = project(
        model={"encoder": "file", "file": {"path": str(place.model)}, "decoder_channels": [32, 16, 16, 8, 8], "priors": []}
    )
    ws = workspace(wanted, place.data, tmp_path, allow_outside=True)
    built = build_network(ws, prepare(ws), encoder_of(ws), "full", 0)
    assert "The pretrained decoder starts these decoders: change." in built.notes


def test_the_row_of_a_model_has_its_units(place: Place) -> None:
    row = encoder_of_model(place.model)
    assert row.bands == ("red", "green", "blue")
    assert (row.mean, row.units) == ((), "any")
    assert row.task == "land-use change in squares"


def test_what_was_treated_otherwise_is_refused_with_the_keys_to_set(place: Place, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Set `radiometry: \{match: none, standardise: auto\}`"):
        detect(project(), place.data, tmp_path, True, model=place.model)


def test_a_territory_is_mapped_by_a_model_of_chips(place: Place, tmp_path: Path) -> None:
    found = detect(project(radiometry={"match": "none"}), place.data, tmp_path, True, model=place.model)
    with rasterio.open(next(found.run.glob("layers/change*.tif"))) as source:
        mapped = source.read(1) == 2
    both, either = (mapped & place.changed).sum(), (mapped | place.changed).sum()
    assert both / either > 0.8


def test_a_checkpoint_needs_its_bands(place: Place, tmp_path: Path) -> None:
    wanted = project(model={"encoder": "file", "file": {"path": str(place.model / "weights.safetensors")}})
    with pytest.raises(InputError, match="give its `architecture` and `bands`"):
        encoder_of(workspace(wanted, place.data, tmp_path, allow_outside=True))
