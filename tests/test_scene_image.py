"""An epoch of one scene is read where it lies: the same pixels as the file that would be made of it, window by window."""

import pickle
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift.flows.steps.images.epochs import EpochImage, make_image, prepare_epoch
from landshift.flows.steps.project.plan import plan
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.images import open_readers, preview
from landshift.pipeline.scenes.image import SceneImage
from landshift.pipeline.tiles import Window, spread_windows
from tests.conftest import Territory, pixels_of

GRIDS = {
    "its own": {},
    "a part": {"grid": {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [300_100, 3_599_700, 300_300, 3_599_900]}},
    "half a pixel aside": {
        "grid": {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [300_055, 3_599_655, 300_355, 3_599_955], "snap": False}
    },
    "beyond its edge": {"grid": {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [299_900, 3_599_500, 300_300, 3_600_100]}},
}


def both_ways(territory: Territory, **config: Any) -> tuple[EpochImage, EpochImage]:
    """The image before, read where it lies and made as a file."""
    territory.config |= config
    ws = territory.workspace()
    ws.require_writable()
    made = plan(ws)
    return prepare_epoch(ws, made, "before"), make_image(ws, made, "before")


@pytest.mark.parametrize("grid", GRIDS)
def test_a_scene_that_is_read_in_place_has_the_pixels_of_the_file(territory: Territory, grid: str) -> None:
    numbers = territory.numbers()
    numbers[0, 15:19, 7:20] = 0
    numbers[1, 30:, :3] = 0
    territory.write(territory.names[0], numbers)
    here, file = both_ways(territory, **GRIDS[grid])
    assert isinstance(here.image, SceneImage)
    assert here.observation == date(2020, 6, 15)
    wanted = pixels_of(file)
    assert 0 < np.isnan(wanted).mean() < 1
    np.testing.assert_array_equal(pixels_of(here), wanted)
    bands = [2, 1]
    np.testing.assert_array_equal(preview(here.image, bands, 17), preview(file.image, bands, 17))
    with open_readers(here.image, file.image) as (one, other):
        assert one.info.grid == other.info.grid
        assert (one.info.shape, one.info.count, one.info.descriptions) == (
            other.info.shape, other.info.count, other.info.descriptions,
        )  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[EpochImage, EpochImage]:
    return both_ways(Territory(tmp_path_factory.mktemp("windows")))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-20, 45), st.integers(-20, 50), st.integers(1, 60), st.integers(1, 60))
def test_any_window_is_that_part_of_the_image(
    images: tuple[EpochImage, EpochImage], y: int, x: int, height: int, width: int
) -> None:
    with open_readers(images[0].image, images[1].image) as (here, file):
        np.testing.assert_array_equal(here.read(Window(y, x, height, width)), file.read(Window(y, x, height, width)))


def test_windows_that_are_looked_at_again_are_not_altered_by_whoever_took_them(territory: Territory) -> None:
    here, _ = both_ways(territory)
    with open_readers(here.image) as (reader,):
        window = spread_windows(reader.info.shape)[0]
        first = reader.read(window)
        wanted = first.copy()
        first[:] = -1
        np.testing.assert_array_equal(reader.read(window), wanted)
    assert list(here.image.looks) == [window]
    assert here.image.absolute().looks is here.image.looks, "in this process they are not read again"
    travelled = pickle.loads(pickle.dumps(here.image))
    assert travelled == here.image
    assert not travelled.looks
    with open_readers(travelled) as (reader,):
        np.testing.assert_array_equal(reader.read(window), wanted)


def test_an_image_has_one_key_wherever_its_file_lies_and_another_once_it_changes(territory: Territory) -> None:
    first = both_ways(territory)[0]
    old, new = territory.data / territory.names[0], territory.data / f"moved_{territory.names[0]}"
    old.rename(new)
    territory.config["scenes"]["pattern"] = "*.tif"
    assert both_ways(territory)[0].hash == first.hash
    territory.write(new.name, territory.numbers(seed=5))
    assert both_ways(territory)[0].hash != first.hash


def test_nothing_is_written_of_a_scene_that_is_read_in_place(territory: Territory) -> None:
    territory.prepare()
    assert set(territory.outputs()) == {"place/epochs/manifest.json"}


def test_an_epoch_of_which_nothing_was_observed_is_refused(territory: Territory) -> None:
    """The scene has values, and its quality band calls all of them cloud."""
    names = ("B04", "B08", "SCL")
    for name in territory.names:
        territory.write(name, np.concatenate([territory.numbers(), np.full((1, 40, 48), 9, np.uint16)]), descriptions=names)
    territory.config["sensor"] = {"name": "sentinel-2-l2a", "number_offset": 0}
    with pytest.raises(InputError, match=r"Epoch before \(2020-06-15\): no pixel was observed; every one is nodata, cloud"):
        territory.prepare()


def test_the_rule_of_a_composite_makes_no_other_image_of_one_scene(territory: Territory) -> None:
    first = both_ways(territory)[0]
    territory.config["epochs"]["composite"] = "median"
    assert both_ways(territory)[0].hash == first.hash
