"""Chips show the patch in their middle, enlarged without inventing detail, and survive the edge of the image."""

import io
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from landshift.pipeline.drawing.chips import ACROSS, CELL, CONTEXT, chip_sheet, chip_window, sample_chip, sample_window
from landshift.pipeline.raster.write import write_raster
from tests.conftest import small_grid

GREY = [204, 204, 212]


def image(folder: Path, data: np.ndarray) -> Path:
    return write_raster(folder / "image.tif", data.astype(np.uint8), small_grid(*data.shape[1:]), nodata=0)


def test_a_small_patch_has_some_ground_around_it() -> None:
    window = chip_window((50, 30, 54, 34))
    assert (window.height, window.width) == (24, 24)
    assert (window.y + 12, window.x + 12) == (32, 52)
    assert chip_window((0, 0, 100, 50)).height == 180


def test_chips_stand_in_their_cells_in_order(tmp_path: Path) -> None:
    data = np.full((3, 200, 200), 10)
    data[0, :, 100:] = 250
    left, right = shapely.box(50, 50, 60, 60), shapely.box(150, 50, 160, 60)
    sheet = chip_sheet(image(tmp_path, data), np.array([left] * ACROSS + [right]))
    assert sheet.shape == (2 * CELL, ACROSS * CELL, 3)
    assert sheet[CELL // 2, CELL // 2].tolist() == [10, 10, 10]
    assert sheet[CELL + CELL // 2, CELL // 2].tolist() == [250, 10, 10]
    # The outline: light on dark.
    assert {tuple(p) for p in sheet[CELL // 2, :CELL].tolist()} >= {(255, 255, 255), (0, 0, 0)}


def test_past_the_edge_and_where_nothing_was_seen_it_is_grey(tmp_path: Path) -> None:
    data = np.full((3, 50, 50), 99)
    data[:, 20:30, 20:30] = 0
    sheet = chip_sheet(image(tmp_path, data), np.array([shapely.box(0, 0, 2, 2), shapely.box(20, 20, 30, 30)]))
    assert sheet[2, 2].tolist() == GREY
    assert sheet[CELL // 2, CELL + CELL // 2].tolist() == GREY


def test_a_patch_as_large_as_the_map_is_cut_from_the_preview(tmp_path: Path) -> None:
    data = np.full((3, 900, 900), 30)
    data[1, :, 450:] = 220
    sheet = chip_sheet(image(tmp_path, data), np.array([shapely.box(100, 100, 800, 800)]), preview=300)
    row = sheet[CELL // 2]
    assert row[CELL // 2 - 5].tolist() == [30, 30, 30]
    assert row[CELL // 2 + 5].tolist() == [30, 220, 30]
    assert row[0].tolist() == [204, 204, 204]


def test_no_patches_make_an_empty_sheet(tmp_path: Path) -> None:
    assert chip_sheet(image(tmp_path, np.ones((3, 5, 5))), np.array([])).shape == (CELL, ACROSS * CELL, 3)


SIDE = 2 * CONTEXT + 1
MARK = [255, 0, 255]


def shown(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The picture as a viewer decodes it."""
    with Image.open(io.BytesIO(sample_chip(before, after))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_window_has_the_pixel_in_its_middle() -> None:
    window = sample_window(5, 100)
    assert (window.y, window.x, window.height, window.width) == (5 - CONTEXT, 100 - CONTEXT, SIDE, SIDE)


def test_both_dates_lie_beside_each_other_with_the_pixel_s_own_colour_inside_the_frame() -> None:
    before, after = np.full((3, SIDE, SIDE), 10, dtype=np.uint8), np.full((3, SIDE, SIDE), 200, dtype=np.uint8)
    before[:, CONTEXT, CONTEXT] = (1, 2, 3)
    after[:, 0, 0] = 0
    picture = shown(before, after)
    zoom = picture.shape[0] // SIDE
    middle = CONTEXT * zoom + zoom // 2
    inside = picture[CONTEXT * zoom : (CONTEXT + 1) * zoom, CONTEXT * zoom : (CONTEXT + 1) * zoom]
    assert (inside == (1, 2, 3)).all(), "the frame lies around the pixel, not on it"
    assert picture[CONTEXT * zoom - 1, middle].tolist() == MARK
    assert picture[CONTEXT * zoom - 1, middle + (SIDE + 1) * zoom].tolist() == MARK, "on both dates"
    assert picture[0, 0].tolist() == [10, 10, 10]
    assert picture[-1, -1].tolist() == [200, 200, 200]
    assert picture[0, -SIDE * zoom].tolist() == [204, 204, 212], "what was not observed is not black"


@pytest.mark.parametrize("seed", range(3))
def test_the_frame_survives_however_colourful_the_picture_is(seed: int) -> None:
    before, after = np.random.default_rng(seed).integers(1, 255, (2, 3, SIDE, SIDE)).astype(np.uint8)
    picture = shown(before, after)
    zoom = picture.shape[0] // SIDE
    edge = picture[CONTEXT * zoom - 2 : (CONTEXT + 1) * zoom + 2, CONTEXT * zoom - 1]
    assert (edge == MARK).all()
