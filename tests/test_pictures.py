"""Pictures show bands in their colours, one stretch for both dates, and changes in the colours of the legend."""

import base64
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from landshift.pipeline.colours.palette import PALETTE
from landshift.pipeline.drawing.pictures import (
    Stretch,
    change_picture,
    data_uri,
    display_picture,
    jpeg,
    png,
    side_by_side,
    stretches_of,
    to_colours,
    write_image,
)
from landshift.pipeline.drawing.symbols import rgb, screen_lines
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster

NOT_SEEN = [204, 204, 212]
HATCH = [110, 110, 130]
CHANGED = [0xD7, 0x30, 0x1F]


def image(folder: Path, name: str, data: np.ndarray, bands: tuple[str, ...] = ()) -> Path:
    on = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), data.shape[-2:], "EPSG:32651")
    real = data.dtype.kind == "f"
    return write_raster(
        folder / name, data.astype(np.float32) if real else data, on, descriptions=bands, nodata=np.nan if real else 0
    )


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


GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_600_000), (3, 4), "EPSG:32633")
NAN = np.nan
COLOURS = ("red", "green", "blue")


def test_values_become_1_to_255_and_what_was_not_seen_0() -> None:
    stretch = Stretch((1, 2, 3), (0.0, 0.0, 0.0), (1.0, 1.0, 2.0))
    values = np.array([[[-1.0, 0.0, 1.0, NAN]], [[0.0, 1.0, 9.0, 0.5]], [[0.0, 2.0, 1.0, 0.5]]], dtype=np.float32)
    expected = [[1, 1, 255, 0], [1, 255, 255, 0], [1, 255, 147, 0]]  # 1 + 254 * 0.5 ** 0.8 is 146.9
    assert to_colours(values, stretch)[:, 0].tolist() == expected


def test_a_band_without_range_is_shown_dark_and_without_fault() -> None:
    flat = np.full((3, 2, 2), 0.2, dtype=np.float32)
    assert (to_colours(flat, Stretch((1, 2, 3), (0.2,) * 3, (0.2,) * 3)) == 1).all()


def test_red_green_and_blue_are_found_by_name_and_both_dates_share_a_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dark, bright = rng.uniform(0, 0.1, (4, 3, 4)), rng.uniform(0.3, 0.4, (4, 3, 4))
    bands = ("blue", "green", "red", "nir")
    images = image(tmp_path, "before.tif", dark, bands), image(tmp_path, "after.tif", bright, bands)
    stretch, same = stretches_of(*images, comparable=True)
    assert stretch == same
    assert stretch.bands == (3, 2, 1)
    assert all(low < 0.1 and high > 0.3 for low, high in zip(stretch.low, stretch.high, strict=True))


def test_numbers_that_cannot_be_compared_are_stretched_apart(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 50, (3, 3, 4))
    images = image(tmp_path, "before.tif", values, COLOURS), image(tmp_path, "after.tif", 100 + 2 * values, COLOURS)
    before, after = (to_colours(v.astype(np.float32), s) for v, s in zip(
        (values, 100 + 2 * values), stretches_of(*images, comparable=False), strict=True))  # fmt: skip
    assert np.abs(before.astype(int) - after).max() <= 1


@pytest.mark.parametrize(("names", "expected"), [(("vv",), (1, 1, 1)), (("vv", "vh"), (1, 2, 2)), (("a", "b", "c"), (1, 2, 3))])
def test_without_colours_the_first_bands_are_shown(tmp_path: Path, names: tuple[str, ...], expected: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).uniform(size=(len(names), 3, 4))
    path = image(tmp_path, "one.tif", values, names)
    assert stretches_of(path, path, comparable=True)[0].bands == expected


def test_a_date_that_saw_nothing_is_still_written(tmp_path: Path) -> None:
    path = image(tmp_path, "none.tif", np.full((3, 3, 4), NAN), COLOURS)
    written = write_image(tmp_path / "image.tif", path, stretches_of(path, path, comparable=True)[0], GRID, {}, COLOURS)
    assert not read_raster(written)[0].any()
    assert {p.name for p in tmp_path.iterdir()} == {"none.tif", "image.tif"}


def test_the_raster_says_what_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(size=(3, 3, 4))
    values[:, 0, 0] = NAN
    path = image(tmp_path, "before.tif", values, COLOURS)
    stretch = stretches_of(path, path, comparable=True)[0]
    written = write_image(tmp_path / "image.tif", path, stretch, GRID, {"RUN": "abc"}, COLOURS)
    found = subprocess.run(["gdalinfo", "-json", str(written)], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("gdalinfo is not installed")
    said = json.loads(found.stdout)
    assert said["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert said["metadata"][""]["RUN"] == "abc"
    assert [(b["description"], b["noDataValue"], b["type"]) for b in said["bands"]] == [
        ("red", 0, "Byte"), ("green", 0, "Byte"), ("blue", 0, "Byte"),
    ]  # fmt: skip


def test_the_still_has_the_lines_of_the_legend(tmp_path: Path) -> None:
    """Half of the ground turned from the first class into the third, the rest from the second: plain beside lines."""
    legend = Legend(tuple(LandUse(k, f"C{k}", colour) for k, colour in enumerate(PALETTE[:3], 1)))
    plain, lined = (next(c for c in legend.changes if (c.from_code, c.to_code) == pair) for pair in ((1, 3), (2, 3)))
    codes = np.full((30, 60), plain.code, np.uint8)
    codes[:, 30:] = lined.code
    shown = change_picture(image(tmp_path, "c.tif", codes), legend.changes, np.zeros((30, 60, 3), np.uint8))
    assert {tuple(pixel) for pixel in shown[:, :30].reshape(-1, 3).tolist()} == {rgb(plain.colour)}
    lines = screen_lines(lined.colour, lined.pattern)
    ink = (shown[:, 30:] == rgb(lines.ink)).all(axis=2)
    assert ink.mean() == pytest.approx(lines.width / lines.spacing, abs=0.05)
    # Lines that rise to the east: one row up, one column to the right.
    assert lines.angles == (45,)
    assert (ink[1:, :-1] == ink[:-1, 1:]).all()
