"""Images for the eye: one stretch for both dates, nothing seen stays nothing."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from landshift.pipeline.drawing.pictures import Stretch, stretches_of, to_colours, write_image
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster

GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_600_000), (3, 4), "EPSG:32633")
NAN = np.nan


def image(folder: Path, name: str, values: np.ndarray, bands: tuple[str, ...]) -> Path:
    return write_raster(folder / name, values.astype(np.float32), GRID, nodata=NAN, descriptions=bands)


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
    names = ("red", "green", "blue")
    images = image(tmp_path, "before.tif", values, names), image(tmp_path, "after.tif", 100 + 2 * values, names)
    before, after = (to_colours(v.astype(np.float32), s) for v, s in zip(
        (values, 100 + 2 * values), stretches_of(*images, comparable=False), strict=True))  # fmt: skip
    assert np.abs(before.astype(int) - after).max() <= 1


@pytest.mark.parametrize(("names", "expected"), [(("vv",), (1, 1, 1)), (("vv", "vh"), (1, 2, 2)), (("a", "b", "c"), (1, 2, 3))])
def test_without_colours_the_first_bands_are_shown(tmp_path: Path, names: tuple[str, ...], expected: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).uniform(size=(len(names), 3, 4))
    path = image(tmp_path, "one.tif", values, names)
    assert stretches_of(path, path, comparable=True)[0].bands == expected


def test_a_date_that_saw_nothing_is_still_written(tmp_path: Path) -> None:
    path = image(tmp_path, "none.tif", np.full((3, 3, 4), NAN), ("red", "green", "blue"))
    written = write_image(
        tmp_path / "image.tif", path, stretches_of(path, path, comparable=True)[0], GRID, {}, ("red", "green", "blue")
    )
    assert not read_raster(written)[0].any()
    assert {p.name for p in tmp_path.iterdir()} == {"none.tif", "image.tif"}


def test_the_raster_says_what_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(size=(3, 3, 4))
    values[:, 0, 0] = NAN
    path = image(tmp_path, "before.tif", values, ("red", "green", "blue"))
    write_image(
        tmp_path / "image.tif",
        path,
        stretches_of(path, path, comparable=True)[0],
        GRID,
        {"RUN": "abc"},
        ("red", "green", "blue"),
    )
    found = subprocess.run(["gdalinfo", "-json", str(tmp_path / "image.tif")], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("gdalinfo is not installed")
    said = json.loads(found.stdout)
    assert said["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert said["metadata"][""]["RUN"] == "abc"
    assert [(b["description"], b["noDataValue"], b["type"]) for b in said["bands"]] == [
        ("red", 0, "Byte"), ("green", 0, "Byte"), ("blue", 0, "Byte"),
    ]  # fmt: skip


def test_a_difference_between_the_dates_is_one_in_the_pictures(tmp_path: Path) -> None:
    dark = np.broadcast_to(np.linspace(0, 0.5, 12).reshape(3, 4), (3, 3, 4))
    names = ("red", "green", "blue")
    images = image(tmp_path, "before.tif", dark, names), image(tmp_path, "after.tif", dark + 0.5, names)
    stretch = stretches_of(*images, comparable=True)[0]
    before, after = (to_colours((dark + shift).astype(np.float32), stretch) for shift in (0, 0.5))
    assert before.max() < int(after.min()) + 2
    assert before.mean() < 120 < after.mean()
