"""Raw blocks around labels: the pixels of the images, wherever a chip lies, in a file that does not stay."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from landshift.models.network.cache import BLOCK, CachedPair, keep_pixels
from landshift.models.network.samples import LabelledTiles, Masks, TrainingChips
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.tiles import Window
from tests.conftest import disk_of

HEIGHT, WIDTH = 5 * BLOCK + 30, 6 * BLOCK - 7
SIZE = 64


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> PairSource:
    """Two bands: each pixel states its row and its column; a hole in the date after."""
    folder = tmp_path_factory.mktemp("epochs")
    grid = grid_of(Affine(10, 0, 600_000, 0, -10, 5_900_000), (HEIGHT, WIDTH), "EPSG:32633")
    before = np.stack(np.mgrid[:HEIGHT, :WIDTH]).astype(np.float32)
    after = before + 1000
    after[:, 50:60, 40:90] = np.nan
    paths = [
        write_raster(folder / f"{name}.tif", image, grid, nodata=float("nan"))
        for name, image in (("before", before), ("after", after))
    ]
    return PairSource(*paths)


def label(*places: tuple[int, int]) -> Masks:
    """Label small squares, half of each changed."""
    before = np.full((HEIGHT, WIDTH), NOT_LABELLED, dtype=np.uint8)
    change = before.copy()
    for y, x in places:
        before[y : y + 8, x : x + 8] = 0
        change[y : y + 8, x : x + 8] = 0
        change[y : y + 4, x : x + 8] = 1
    return Masks(before, np.where(change == 1, 1, before).astype(np.uint8), change)


EVERYWHERE = label(*((y, x) for y in range(0, HEIGHT, 50) for x in range(0, WIDTH, 50)))


@pytest.fixture(scope="module")
def cached(images: PairSource, tmp_path_factory: pytest.TempPathFactory) -> CachedPair:
    with keep_pixels(images, [EVERYWHERE], folder := tmp_path_factory.mktemp("cache"), size=SIZE) as near:
        assert isinstance(near, CachedPair)
        kept = (folder / "pixels.raw").read_bytes()
    # As it was, for all tests of the module.
    (folder / "pixels.raw").write_bytes(kept)
    return near


def chip(pair: object, window: Window) -> list[np.ndarray]:
    found = pair.reader().read(window)  # type: ignore[attr-defined]
    return [found.before, found.after]


@given(st.integers(-80, HEIGHT + 20), st.integers(-80, WIDTH + 20), st.integers(1, 300), st.integers(1, 300))
def test_any_window_is_that_of_the_images(
    images: PairSource, cached: CachedPair, y: int, x: int, height: int, width: int
) -> None:
    window = Window(y, x, height, width)
    for ours, theirs in zip(chip(cached, window), chip(images, window), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_chips_and_tiles_are_those_of_the_images_in_this_process_and_another(images: PairSource, cached: CachedPair) -> None:
    for pair in (cached, pickle.loads(pickle.dumps(cached))):
        for kind in (TrainingChips, LabelledTiles):
            ours, theirs = (kind(source, EVERYWHERE, size=SIZE) for source in (pair, images))
            for index in (0, 3, 11):
                for name, values in theirs[index].items():
                    np.testing.assert_array_equal(ours[index][name].numpy(), values.numpy())


def test_only_blocks_that_a_chip_of_the_labels_may_touch_are_kept(images: PairSource, tmp_path: Path) -> None:
    few = label((2 * BLOCK + 60, 2 * BLOCK + 60))
    with keep_pixels(images, [few], tmp_path, size=32) as near:
        assert isinstance(near, CachedPair)
        # One block, four channels of float32: labels and chips lie in its middle.
        assert (tmp_path / "pixels.raw").stat().st_size == 4 * BLOCK * BLOCK * 4
        for index in range(20):
            chips = [TrainingChips(source, few, size=32)[index]["before"].numpy() for source in (near, images)]
            np.testing.assert_array_equal(*chips)
        # Elsewhere the images are read.
        np.testing.assert_array_equal(chip(near, Window(5, 5, 40, 40))[0], chip(images, Window(5, 5, 40, 40))[0])
    assert not list(tmp_path.iterdir())


def test_the_file_goes_whatever_happens(images: PairSource, tmp_path: Path) -> None:
    def fail() -> None:
        with keep_pixels(images, [EVERYWHERE], tmp_path, size=SIZE):
            assert list(tmp_path.iterdir())
            raise OSError("the GPU is gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_is_too_much_is_read_from_the_images(images: PairSource, tmp_path: Path) -> None:
    with keep_pixels(images, [EVERYWHERE], tmp_path, size=SIZE, most=100_000) as near:
        assert near is images
        assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_before_it_was_thought_to_be(images: PairSource, tmp_path: Path) -> None:
    with disk_of(50_000), keep_pixels(images, [EVERYWHERE], tmp_path, size=SIZE) as near:
        assert near is images
        assert not list(tmp_path.iterdir())
