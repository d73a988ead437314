"""Pictures show bands in their colours, one stretch for both dates, and changes in the colours of the legend."""

import base64
import io
from pathlib import Path

import numpy as np
from affine import Affine
from PIL import Image

from landshift.pipeline.drawing.pictures import change_picture, data_uri, display_picture, jpeg, png, side_by_side
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import Legend
from landshift.pipeline.raster.write import write_raster

NOT_SEEN = [204, 204, 212]
HATCH = [110, 110, 130]
CHANGED = [0xD7, 0x30, 0x1F]


def image(folder: Path, name: str, data: np.ndarray, bands: tuple[str, ...] = ()) -> Path:
    on = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), data.shape[-2:], "EPSG:32651")
    return write_raster(folder / name, data, on, descriptions=bands, nodata=float("nan") if data.dtype.kind == "f" else 0)


def test_what_was_not_seen_is_grey(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(1, 255, (3, 3, 3)).astype(np.uint8)
    data[:, 1, 2] = 0
    data[:2, 0, 0] = 0
    shown = display_picture(image(tmp_path, "a.tif", data))
    assert shown[1, 2].tolist() == NOT_SEEN
    assert shown[0, 0].tolist() == data[:, 0, 0].tolist(), "one colour is 0, and the pixel was seen"


def test_changes_lie_over_a_faded_picture(tmp_path: Path) -> None:
    codes = np.array([[0, 1, 2]], np.uint8)
    under = np.array([[[0, 0, 0], [10, 200, 30], [9, 9, 9]]], np.uint8)
    shown = change_picture(image(tmp_path, "c.tif", codes), Legend().changes, under)
    assert shown[0, 0].tolist() == HATCH
    assert shown[0, 1].tolist() == [193, 193, 193]
    assert shown[0, 2].tolist() == CHANGED


def test_long_rasters_are_made_smaller_together(tmp_path: Path) -> None:
    before = display_picture(image(tmp_path, "a.tif", np.ones((3, 30, 70), np.uint8)), side=20)
    shown = change_picture(image(tmp_path, "c.tif", np.ones((30, 70), np.uint8)), Legend().changes, before, side=20)
    assert before.shape == shown.shape == (9, 20, 3)


def test_a_png_holds_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)
    head, _, body = data_uri(picture).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == png(picture)


def test_a_display_image_is_shown_as_it_is_and_grey_where_not_observed(tmp_path: Path) -> None:
    data = np.zeros((3, 1, 3), np.uint8)
    data[:, 0, 0] = (10, 200, 30)
    data[:, 0, 1] = (0, 0, 1)
    shown = display_picture(image(tmp_path, "d.tif", data))
    assert shown[0].tolist() == [[10, 200, 30], [0, 0, 1], NOT_SEEN]


def test_a_photo_is_small_and_nearly_exact() -> None:
    slope = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (64, 64, 3))
    back = np.asarray(Image.open(io.BytesIO(jpeg(slope))))
    assert np.abs(back.astype(int) - slope).max() < 8
    assert data_uri(slope, photo=True).startswith("data:image/jpeg;base64,")
    noise = np.random.default_rng(0).integers(0, 255, (800, 800, 3)).astype(np.uint8)
    assert len(jpeg(noise)) / noise.size < 0.9 * len(jpeg(noise[:400])) / noise[:400].size


def test_side_by_side_with_a_white_gap() -> None:
    black, grey = np.zeros((2, 3, 3), np.uint8), np.full((2, 1, 3), 128, np.uint8)
    row = side_by_side([black, grey], gap=2)[0, :, 0]
    assert row.tolist() == [0, 0, 0, 255, 255, 128]
