"""Rasters of classes as people have them: colours, palettes, masks; and those that would be read wrongly are refused."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from pydantic import ValidationError

from landshift.flows.config.labels import RasterLabels
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.labels.rasters import Values, codes_from_raster
from landshift.pipeline.labels.values import class_reader
from landshift.pipeline.legend import LandUse, Legend

PLACE = Affine(10, 0, 300_000, 0, -10, 3_600_000)
GRID = grid_of(PLACE, (3, 4), "EPSG:32651")
LEGEND = Legend((LandUse(1, "Forest", "#3ca03c"), LandUse(2, "Field", "#f0dc78"), LandUse(3, "Built", "#3c3cc8")))
N = 255
CODES = [[0, 1, 1, 2], [0, 2, 2, 3], [1, 1, 3, 3]]
LABELS = [[N, 1, 1, 2], [N, 2, 2, 3], [1, 1, 3, 3]]
NUMBERS: Values = {0: "not labelled", 1: "Forest", 2: "Field", 3: "Built"}
COLOURS: Values = {"#000000": "not labelled", "#3ca03c": "Forest", "#f0dc78": "Field", "#3c3cc8": "Built"}
needs_gdal = pytest.mark.skipif(shutil.which("gdalwarp") is None, reason="needs GDAL's gdalwarp: apt-get install gdal-bin")


def write(path: Path, bands: object, place: Affine = PLACE, mask: object = None, **options: object) -> Path:
    data = np.array(bands, dtype=options.pop("dtype", "uint8"))
    data = data[None] if data.ndim == 2 else data
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", driver="GTiff", height=data.shape[1], width=data.shape[2], count=len(data), dtype=data.dtype,
        transform=place, **{"crs": "EPSG:32651", **options},
    ) as file:  # fmt: skip
        file.write(data)
        if mask is not None:
            file.write_mask(np.array(mask, dtype=bool))
    return path


def in_colours(codes: list[list[int]] = CODES) -> np.ndarray:
    numbers = np.array([int(c.removeprefix("#"), 16) for c in COLOURS])[np.array(codes)]
    return np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255])


def write_palette(path: Path, codes: object = CODES) -> Path:
    write(path, codes, photometric="palette")
    with rasterio.open(path, "r+") as file:
        entries = [int(c.removeprefix("#"), 16) for c in COLOURS]
        file.write_colormap(1, {i: (n >> 16, n >> 8 & 255, n & 255, 255) for i, n in enumerate(entries)})
    return path


def read(path: Path, values: Values, grid: object = GRID) -> list[list[int]]:
    return codes_from_raster(path, grid, values, class_reader(LEGEND)).tolist()  # type: ignore[arg-type]


def refusal(path: Path, values: Values, grid: object = GRID) -> str:
    with pytest.raises(InputError) as error:
        read(path, values, grid)
    return str(error.value)


def commands_in(text: str) -> list[list[str]]:
    return [shlex.split(found) for found in re.findall(r"`(gdal\w+ [^`]+)`", text)]


def test_three_bands_are_read_by_their_colours(tmp_path: Path) -> None:
    """Forest and built share the red value, so no single band is the class."""
    assert read(write(tmp_path / "rgb.tif", in_colours(), photometric="RGB"), COLOURS) == LABELS
    assert read(write(tmp_path / "plain.tif", in_colours()), COLOURS) == LABELS


def test_three_bands_are_never_read_as_one(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "rgb.tif", in_colours(), photometric="RGB"), NUMBERS)
    assert "3 bands of uint8 (red, green, blue): its classes are colours" in text
    block = yaml.safe_load(text[text.index("    values:") :])["values"]
    assert block == dict.fromkeys(COLOURS, "not labelled")
    assert '"#3ca03c": not labelled # or the class; 4 pixels' in text


def test_transparent_pixels_are_not_labelled(tmp_path: Path) -> None:
    alpha = np.array([[255, 255, 255, 0], [255] * 4, [0, 255, 255, 255]])
    path = write(tmp_path / "rgba.tif", [*in_colours(), alpha], photometric="RGB", alpha="yes")
    assert read(path, COLOURS) == [[N, 1, 1, N], [N, 2, 2, 3], [N, 1, 3, 3]]


def test_a_palette_is_read_by_its_numbers_or_by_its_colours(tmp_path: Path) -> None:
    path = write_palette(tmp_path / "palette.tif")
    assert read(path, NUMBERS) == LABELS
    assert read(path, COLOURS) == LABELS


def test_colours_of_a_raster_without_any_are_refused(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "grey.tif", CODES), COLOURS)
    assert "no palette" in text
    assert yaml.safe_load(text[text.index("    values:") :])["values"] == dict.fromkeys((0, 1, 2, 3), "not labelled")


def test_nan_and_infinity_are_not_labelled(tmp_path: Path) -> None:
    holes = np.array(CODES, dtype=float)
    holes[0], holes[1, 0] = np.nan, -np.inf
    path = write(tmp_path / "float.tif", holes, dtype="float32")
    assert read(path, NUMBERS) == [[N] * 4, [N, 2, 2, 3], [1, 1, 3, 3]]


def test_ignore_values_nodata_and_masks_are_not_labelled(tmp_path: Path) -> None:
    without_zero = {k: v for k, v in NUMBERS.items() if k}
    ignored = np.where(np.array(CODES) == 0, 255, CODES)
    assert read(write(tmp_path / "a.tif", ignored), without_zero | {255: "not labelled"}) == LABELS
    assert read(write(tmp_path / "b.tif", CODES, nodata=0), without_zero) == LABELS
    mask = [[1, 0, 1, 1], [1] * 4, [1] * 4]
    assert read(write(tmp_path / "c.tif", CODES, mask=mask), NUMBERS) == [[N, N, 1, 2], *LABELS[1:]]


@needs_gdal
def test_a_class_that_the_file_declares_as_nodata_is_refused(tmp_path: Path) -> None:
    values = NUMBERS | {0: "Forest"}
    text = refusal(write(tmp_path / "a.tif", CODES, nodata=0), values)
    assert "declares 0 as nodata" in text
    assert read_after(text, tmp_path / "a_all.tif", values) == [[1, 1, 1, 2], [1, 2, 2, 3], [1, 1, 3, 3]]


def read_after(text: str, made: Path, values: Values) -> list[list[int]]:
    """Read what the first command of a message made."""
    subprocess.run(commands_in(text)[0], check=True, capture_output=True)
    return read(made, values)


def test_a_value_without_a_name_is_refused_with_its_place(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "a.tif", CODES), {0: "not labelled", 1: "Forest"})
    assert "2 on 3 pixels (the first in row 0, column 3, at x 300035, y 3599995)" in text
    assert "3 on 3 pixels (the first in row 1, column 3" in text
    text = refusal(write(tmp_path / "rgb.tif", in_colours()), {"#000000": "not labelled", "#3ca03c": "Forest", "#3c3cc8": 3})
    assert "#f0dc78 on 3 pixels" in text
    assert "classes are whole numbers" in refusal(write(tmp_path / "f.tif", [[0.5] * 4] * 3, dtype="float32"), NUMBERS)


def test_an_image_that_is_taken_for_labels_is_refused_at_once(tmp_path: Path) -> None:
    """Each of its 480,000 numbers is another one: to look for each of them would take an hour."""
    index = np.random.default_rng(0).random((600, 800), dtype=np.float32)
    text = refusal(write(tmp_path / "index.tif", index, dtype="float32"), NUMBERS, grid_of(PLACE, (600, 800), "EPSG:32651"))
    assert "more, and `values` does not name them (only 0, 1, 2, 3): classes are whole numbers" in text


def test_classes_are_read_over_many_strips(tmp_path: Path) -> None:
    codes = (np.arange(1200)[:, None] // 7 + np.arange(5)) % 4
    path = write(tmp_path / "tall.tif", codes)
    grid = grid_of(PLACE, (1200, 5), "EPSG:32651")
    np.testing.assert_array_equal(read(path, NUMBERS, grid), np.where(codes == 0, N, codes))
    codes[1100, 3] = 9
    text = refusal(write(tmp_path / "tall.tif", codes), NUMBERS, grid)
    assert "9 on 1 pixels (the first in row 1100, column 3, at x 300035, y 3588995)" in text


@needs_gdal
def test_other_bands_are_refused(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "two bands.tif", [CODES, CODES]), NUMBERS)
    assert "Which band holds the classes is not known" in text
    assert read_after(text, tmp_path / "two bands_classes.tif", NUMBERS) == LABELS


def test_an_image_in_lossy_colours_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 3, 4))
    path = write(tmp_path / "photo.tif", np.tile(noise, (1, 1, 8)), place=PLACE, photometric="RGB")
    assert "lossy compression" not in refusal(path, NUMBERS)
    path = write(tmp_path / "noise.tif", np.random.default_rng(0).integers(0, 255, (3, 9, 9)), photometric="RGB")
    assert "65 further colours occur. Classes have few: was the picture saved with a lossy" in refusal(path, NUMBERS)


def test_a_part_or_more_of_the_grid_is_read_where_it_lies(tmp_path: Path) -> None:
    """The same pixels: nothing is resampled."""
    part = write(tmp_path / "part.tif", [[1, 2], [3, 1]], place=PLACE @ Affine.translation(1, 1))
    assert read(part, NUMBERS) == [[N] * 4, [N, 1, 2, N], [N, 3, 1, N]]
    more = write(tmp_path / "more.tif", np.pad(CODES, 2, constant_values=3), place=PLACE @ Affine.translation(-2, -2))
    assert read(more, NUMBERS) == LABELS
    corner = write(tmp_path / "corner.tif", CODES, place=PLACE @ Affine.translation(-3, -2))
    assert read(corner, NUMBERS) == [[3, N, N, N], [N] * 4, [N] * 4]


@needs_gdal
def test_half_a_pixel_aside_is_refused_with_both_remedies(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "shift.tif", CODES, place=PLACE @ Affine.translation(0.5, 0)), NUMBERS)
    assert "0.5 pixels east and 0 pixels south of the grid's. Labels are never resampled" in text
    warp, move = commands_in(text)
    made = tmp_path / "shift_on_grid.tif"
    subprocess.run(move, check=True, capture_output=True)
    assert read(made, NUMBERS) == LABELS
    made.unlink()
    subprocess.run(warp, check=True, capture_output=True)
    # By nearest neighbour each column moves as a whole.
    assert [row[1:] for row in read(made, NUMBERS)] in ([r[1:] for r in LABELS], [r[:-1] for r in LABELS])


@needs_gdal
@pytest.mark.parametrize("kind", ["numbers", "palette", "colours"])
def test_another_crs_is_refused_with_a_command_that_works(tmp_path: Path, kind: str) -> None:
    """What the file does not reach stays not labelled, although 0 is a class."""
    source, path = tmp_path / "source.tif", tmp_path / "other.tif"
    big = np.array(CODES).repeat(8, axis=0).repeat(8, axis=1)
    make = {"numbers": lambda: write(source, big), "palette": lambda: write_palette(source, big),
            "colours": lambda: write(source, in_colours(big.tolist()), photometric="RGB")}  # fmt: skip
    make[kind]()
    subprocess.run(["gdalwarp", "-q", "-t_srs", "EPSG:32650", "-dstalpha", source, path], check=True)
    values = COLOURS if kind == "colours" else NUMBERS
    grid = grid_of(PLACE, (24, 40), "EPSG:32651")
    text = refusal(path, values, grid)
    assert "CRS EPSG:32650 and EPSG:32651" in text
    subprocess.run(commands_in(text)[0], check=True, capture_output=True)
    found = np.array(read(tmp_path / "other_on_grid.tif", values, grid))
    expected = np.array([[N, 1, 2, 3][c] for c in big.ravel()]).reshape(big.shape)
    assert (found[:, :32] == expected).mean() > 0.8
    assert (found[:, 33:] == N).all()


@needs_gdal
def test_a_mask_file_is_read_and_a_raster_without_place_is_refused(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.tif", np.where(np.array(CODES) == 3, 0, CODES))
    subprocess.run(["gdal_translate", "-q", "-mask", "1", plain, tmp_path / "masked.tif"], check=True)
    assert (tmp_path / "masked.tif.msk").is_file()
    assert read(tmp_path / "masked.tif", {1: "Forest", 2: "Field"}) == [[N, 1, 1, 2], [N, 2, 2, N], [1, 1, N, N]]
    nowhere = write(tmp_path / "nowhere.tif", CODES, crs=None)
    text = refusal(nowhere, NUMBERS)
    assert "no CRS, so it is not known where it lies: its upper left corner is x 300000, y 3600000" in text
    assert read_after(text, tmp_path / "nowhere_placed.tif", NUMBERS) == LABELS
    north = write(tmp_path / "north.tif", CODES[::-1], place=Affine(10, 0, 300_000, 0, 10, 3_599_970))
    text = refusal(north, NUMBERS)
    assert "do not go south along the axes" in text
    assert read_after(text, tmp_path / "north_on_grid.tif", NUMBERS) == LABELS


def test_values_in_a_config_are_numbers_or_colours() -> None:
    assert RasterLabels(values={"#3CA03C": "Forest", "#000000": "not labelled"}).values == {
        "#3ca03c": "Forest", "#000000": "not labelled",
    }  # fmt: skip
    assert RasterLabels(values={"1": "Forest", 255: "not labelled"}).values == {1: "Forest", 255: "not labelled"}
    for wrong, why in (
        ({"Forest": 1}, "neither a whole number nor a colour"), ({"#3ca03c": "Forest", 0: 1}, "not both"),
        ({"1": "Forest", 1: "Field"}, "there twice"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=why):
            RasterLabels(values=wrong)
