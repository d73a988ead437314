"""Chips show the patch in their middle, enlarged without inventing detail, and survive the edge of the image."""

from pathlib import Path

import numpy as np
import shapely

from landshift.pipeline.drawing.chips import ACROSS, CELL, chip_sheet, chip_window
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
