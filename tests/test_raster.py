"""What is written is what is read, by us and by GDAL's own command line; a file on its own grid is read exactly."""

import json
import multiprocessing
import pickle
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.bands import read_bands
from landshift.pipeline.raster.images import RasterReader, open_readers
from landshift.pipeline.raster.read import inspect, read_onto, read_preview, read_raster
from landshift.pipeline.raster.write import Layout, open_writer, write_cog, write_raster
from landshift.pipeline.tiles import Window

CRS = "EPSG:32651"
WORN = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def grid(height: int, width: int, *, size: float = 10, x: float = 300_000, y: float = 3_600_000) -> Grid:
    return grid_of(Affine(size, 0, x, 0, -size, y), (height, width), CRS)


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def gdalinfo(path: Path) -> dict[str, Any]:
    program = shutil.which("gdalinfo")
    if program is None:
        pytest.skip("gdalinfo is not installed (apt install gdal-bin): no independent reader")
    done = subprocess.run([program, "-json", "-checksum", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@WORN
@given(
    st.sampled_from(["uint8", "uint16", "int16", "int32", "float32"]),
    st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9),
)  # fmt: skip
def test_what_is_written_is_read(tmp_path: Path, dtype: str, bands: int, height: int, width: int, seed: int) -> None:
    data = noise(bands, height, width, dtype=dtype, seed=seed)
    path = write_raster(tmp_path / "a.tif", data, grid(height, width))
    for band in range(bands):
        found, its_grid = read_raster(path, band + 1)
        assert found.dtype == data.dtype
        np.testing.assert_array_equal(found, data[band])
        assert its_grid == grid(height, width)


@WORN
@given(st.data())
def test_a_read_onto_the_own_grid_is_exact(tmp_path: Path, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    pixels = noise(height, width, seed=height)
    path = write_raster(tmp_path / "a.tif", pixels, grid(height, width), nodata=7)
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(y, x, data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x)))
    how = data.draw(st.sampled_from(["nearest", "bilinear", "cubic"]))
    np.testing.assert_array_equal(read_onto(path, grid(height, width), 1, how, None, window), pixels[window.slices])
    plain = write_raster(tmp_path / "b.tif", pixels, grid(height, width))
    assert read_bands(plain, [1], grid(height, width), window).seen.all()


@WORN
@given(st.data())
def test_a_window_past_the_edge_is_nan_there(tmp_path: Path, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    pixels = noise(2, height, width, dtype="float32", seed=width)
    path = write_raster(tmp_path / "a.tif", pixels, grid(height, width), nodata=float("nan"))
    window = Window(*(data.draw(st.integers(-40, 40)) for _ in range(2)), *(data.draw(st.integers(1, 60)) for _ in range(2)))
    padded = np.pad(pixels, ((0, 0), (40, 100), (40, 100)), constant_values=np.nan)
    expected = padded[:, window.y + 40 : window.y + 40 + window.height, window.x + 40 : window.x + 40 + window.width]
    np.testing.assert_array_equal(RasterReader(path).read(window), expected)


def test_a_whole_pixel_shift_moves_pixels_and_leaves_nodata(tmp_path: Path) -> None:
    pixels = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    path = write_raster(tmp_path / "a.tif", pixels, grid(2, 3), nodata=99)
    moved = grid(3, 3, x=300_010, y=3_600_010)
    assert read_onto(path, moved).tolist() == [[99, 99, 99], [2, 3, 99], [5, 6, 99]]
    plain = write_raster(tmp_path / "b.tif", pixels, grid(2, 3))
    assert read_bands(plain, [1], moved, Window(0, 0, 3, 3)).seen.tolist() == [
        [False] * 3,
        [True, True, False],
        [True, True, False],
    ]
    assert read_bands(plain, [1], moved, Window(1, 1, 2, 2)).seen.tolist() == [[True, False], [True, False]]


def test_bilinear_leaves_nodata_out_of_the_mean(tmp_path: Path) -> None:
    pixels = np.full((8, 8), 100, dtype=np.uint16)
    pixels[:, 4:] = 0
    path = write_raster(tmp_path / "a.tif", pixels, grid(8, 8))
    half = read_onto(path, grid(16, 16, size=5), 1, "bilinear", 0)
    assert set(np.unique(half)) == {0, 100}
    assert set(np.unique(read_onto(path, grid(16, 16, size=5), 1, "bilinear"))) - {0, 100}  # nothing declared: it mixes


def test_another_zone_is_reprojected(tmp_path: Path) -> None:
    pixels = np.full((60, 60), 5, dtype=np.uint8)
    zone_50 = grid_of(Affine(1000, 0, 750_000, 0, -1000, 3_460_000), (60, 60), "EPSG:32650")
    path = write_raster(tmp_path / "a.tif", pixels, zone_50, nodata=0)
    # 787,000 in zone 50 is close to 213,000 in zone 51.
    there = grid_of(Affine(100, 0, 213_000, 0, -100, 3_440_000), (10, 10), CRS)
    assert (read_onto(path, there) == 5).all()
    plain = write_raster(tmp_path / "b.tif", pixels, zone_50)
    assert read_bands(plain, [1], there, Window(0, 0, 10, 10)).seen.all()


def test_gdal_and_we_read_what_was_described(tmp_path: Path) -> None:
    data = noise(2, 600, 700, dtype="int16")
    path = write_raster(
        tmp_path / "a.tif", data, grid(600, 700), nodata=-1, descriptions=("red", "nir"), units=("1", "1"), scale=0.005,
        offset=2.0, tags={"EPOCH": "before"},
    )  # fmt: skip
    info = inspect(path)
    assert (info.shape, info.count, info.dtype, info.nodata) == ((600, 700), 2, "int16", -1)
    assert (info.descriptions, info.tags["EPOCH"], info.grid) == (("red", "nir"), "before", grid(600, 700))
    said = gdalinfo(path)
    assert said["size"] == [700, 600]
    assert said["geoTransform"] == [300_000, 10, 0, 3_600_000, 0, -10]
    assert 'ID["EPSG",32651]' in said["coordinateSystem"]["wkt"]
    assert said["metadata"][""]["EPOCH"] == "before"
    assert said["metadata"]["IMAGE_STRUCTURE"]["COMPRESSION"] == "ZSTD"
    for number, band in enumerate(said["bands"]):
        assert (band["type"], band["block"], band["noDataValue"]) == ("Int16", [512, 512], -1)
        assert (band["description"], band["unit"], band["scale"], band["offset"]) == (("red", "nir")[number], "1", 0.005, 2.0)


@pytest.mark.parametrize("categorical", [True, False])
def test_a_cog_is_one_for_gdal(tmp_path: Path, categorical: bool) -> None:
    codes = np.where(np.add.outer(np.arange(1200), np.arange(1100)) % 7 == 0, 3, 1).astype(np.uint8)
    table = {0: (255, 255, 255, 0), 1: (200, 200, 200, 255), 3: (215, 48, 31, 255)} if categorical else None
    plain = write_raster(tmp_path / "plain.tif", codes, grid(1200, 1100), nodata=0, descriptions=["change"], colormap=table)
    path = write_cog(tmp_path / "cog.tif", plain, categorical=categorical)
    np.testing.assert_array_equal(read_raster(path)[0], codes)
    said, before = gdalinfo(path), gdalinfo(plain)
    structure = said["metadata"]["IMAGE_STRUCTURE"]
    assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
    band = said["bands"][0]
    assert band["checksum"] == before["bands"][0]["checksum"]
    assert (band["description"], band["noDataValue"], band["block"]) == ("change", 0, [512, 512])
    assert [o["size"] for o in band["overviews"]][-1][0] <= 512
    if categorical:
        assert band["colorInterpretation"] == "Palette"
        assert band["colorTable"]["entries"][3] == [215, 48, 31, 255]
        smaller = read_preview(path, [1], 300)
        assert set(np.unique(smaller)) <= {1, 3}, "overviews of codes hold codes"


def test_a_preview_is_small_and_never_enlarged(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", noise(3, 40, 400), grid(40, 400))
    assert read_preview(path, [3, 1], 100).shape == (2, 10, 100)
    assert read_preview(path, [1], 900).shape == (1, 40, 400)
    long = write_raster(tmp_path / "b.tif", noise(1, 1, 400), grid(1, 400))
    assert read_preview(long, [1], 100).shape == (1, 1, 100)


def test_the_shape_of_the_array_must_be_that_of_the_grid(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"array of \(4, 5\) pixels, grid of \(4, 6\)"):
        write_raster(tmp_path / "a.tif", noise(4, 5), grid(4, 6))
    assert not list(tmp_path.iterdir())


def test_window_by_window_is_the_same_file(tmp_path: Path) -> None:
    data = noise(2, 50, 60)
    whole = write_raster(tmp_path / "whole.tif", data, grid(50, 60))
    with open_writer(tmp_path / "parts.tif", Layout(grid(50, 60), 2, "uint8")) as write:
        for y in range(0, 50, 16):
            for x in range(0, 60, 16):
                part = Window(y, x, 16, 16).clip((50, 60))
                write(part, data[(slice(None), *part.slices)])
    for band in (1, 2):
        np.testing.assert_array_equal(read_raster(tmp_path / "parts.tif", band)[0], read_raster(whole, band)[0])


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    layout = Layout(grid(9, 9), 1, "uint8")
    with pytest.raises(RuntimeError, match="half way"), open_writer(tmp_path / "a.tif", layout) as write:  # noqa: PT012
        write(Window(0, 0, 4, 9), noise(1, 4, 9))
        raise RuntimeError("half way")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [100, 5_000, 60_000, 300_000])
def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path: Path, full_disk: Callable[[int], Any], size: int) -> None:
    """GDAL itself says nothing: it logs, and closes a file that lacks blocks."""
    old = write_raster(tmp_path / "a.tif", noise(4, 4), grid(4, 4)).read_bytes()
    with pytest.raises(OSError, match="could not be written whole"), full_disk(size):
        write_raster(tmp_path / "a.tif", noise(1, 700, 700), grid(700, 700))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == old


@pytest.mark.parametrize("size", [100, 60_000, 300_000])
def test_a_full_disk_leaves_no_cog(tmp_path: Path, full_disk: Callable[[int], Any], size: int) -> None:
    plain = write_raster(tmp_path / "plain.tif", noise(1, 700, 700), grid(700, 700))
    with pytest.raises(OSError, match="could not be written whole"), full_disk(size):
        write_cog(tmp_path / "cog.tif", plain, categorical=True)
    assert [p.name for p in tmp_path.iterdir()] == ["plain.tif"]


def big(folder: Path) -> Path:
    """More blocks than one, so that GDAL would decode them in threads of its own."""
    return write_raster(folder / "big.tif", noise(2, 1100, 1100, dtype="float32"), grid(1100, 1100), nodata=float("nan"))


def test_forked_workers_read_the_same_pixels(tmp_path: Path) -> None:
    reader = RasterReader(big(tmp_path))
    windows = [Window(-20, -20, 1140, 1140), Window(500, 500, 700, 40)]
    expected = [reader.read(w) for w in windows]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = [pool.apply_async(reader.read, (w,)) for w in windows * 2]
        for result, pixels in zip(found, expected * 2, strict=True):
            np.testing.assert_array_equal(result.get(30), pixels)
        # Leaving the block terminates workers that wait for a lock, and those that inherited a signal handler may never end.
        pool.close()
        pool.join()
    np.testing.assert_array_equal(reader.read(windows[0]), expected[0])


def test_threads_share_a_reader(tmp_path: Path) -> None:
    reader = RasterReader(big(tmp_path))
    windows = [Window(y, x, 300, 300) for y in range(0, 1100, 200) for x in range(0, 1100, 400)]
    expected = [reader.read(w) for w in windows]
    with ThreadPoolExecutor(4) as pool:
        for found, pixels in zip(pool.map(reader.read, windows), expected, strict=True):
            np.testing.assert_array_equal(found, pixels)
    reader.close()
    np.testing.assert_array_equal(reader.read(windows[0]), expected[0])


def test_a_reader_travels_without_handles(tmp_path: Path) -> None:
    reader = RasterReader(write_raster(tmp_path / "a.tif", noise(1, 4, 4), grid(4, 4), nodata=0))
    reader.read(Window(0, 0, 4, 4))
    again = pickle.loads(pickle.dumps(reader))  # our own bytes
    np.testing.assert_array_equal(again.read(Window(0, 0, 4, 4)), reader.read(Window(0, 0, 4, 4)))


def test_readers_of_both_dates_are_closed_after_an_error(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", noise(1, 4, 4), grid(4, 4))
    with pytest.raises(KeyError), open_readers(path, path) as readers:  # noqa: PT012
        opened = [reader.read(Window(0, 0, 4, 4)) for reader in readers]
        raise KeyError
    assert len(opened) == 2
    assert not any(reader._handles for reader in readers)


def test_nodata_is_nan_for_a_reader(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.array([[[0, 1], [2, 0]]], dtype=np.uint8), grid(2, 2), nodata=0)
    np.testing.assert_array_equal(RasterReader(path).read(Window(0, 0, 2, 2)), [[[np.nan, 1], [2, np.nan]]])


def test_a_band_that_is_not_there(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", noise(1, 4, 4), grid(4, 4))
    with pytest.raises(InputError, match=r"a.tif, band 2: the pixels cannot be read"):
        read_raster(path, 2)


def test_complex_numbers_are_no_image(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "slc.tif", np.ones((4, 4), np.complex64), grid(4, 4))
    with pytest.raises(InputError, match=r"slc.tif, band 1 holds complex64 numbers.*convert"):
        inspect(path)
