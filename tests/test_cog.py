"""Published rasters: blocks compressed once, overviews beside them, arranged as cloud-optimised GeoTIFFs."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate

from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.cog import arrange as arranging
from landshift.pipeline.raster.cog.blocks import PixelKind, halve
from landshift.pipeline.raster.cog.directory import integers, pack_directories, read_directories
from landshift.pipeline.raster.cog.levels import LevelWriter, shapes_of_levels
from landshift.pipeline.raster.cog.tally import Tally
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import Layout, join_rows, open_writer, write_cog, write_raster, write_rows
from landshift.pipeline.tiles import Window

CODES = PixelKind(1, "uint8", 0, is_smooth=False)
AMOUNTS = PixelKind(1, "uint8", 255, is_smooth=True)
WORN = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def grid(height: int, width: int) -> Grid:
    return grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (height, width), "EPSG:32651")


def picture(*rows: str) -> np.ndarray:
    """One band, a digit a pixel."""
    return np.array([[[int(c) for c in row] for row in rows]], dtype=np.uint8)


def overview(path: Path, level: int) -> np.ndarray:
    with rasterio.open(path, overview_level=level) as source:
        return np.asarray(source.read())


def test_an_overview_of_codes_holds_the_most_frequent_one() -> None:
    codes = picture(
        "1122 1122".replace(" ", ""),
        "1212 2211".replace(" ", ""),
        "0030 1234".replace(" ", ""),
        "0700 4321".replace(" ", ""),
    )
    # Of two pairs, the first that is complete; of four kinds, the first; what was not observed does not count.
    np.testing.assert_array_equal(halve(codes, CODES), picture("1212", "7313"))


def test_an_overview_of_amounts_holds_the_mean_of_what_was_observed() -> None:
    amounts = np.array([[[1, 2, 255, 255], [3, 4, 255, 9], [10, 255, 255, 255], [255, 13, 255, 255]]], dtype=np.uint8)
    # Halves are rounded up: 2.5 is 3, 11.5 is 12.
    np.testing.assert_array_equal(halve(amounts, AMOUNTS), [[[3, 9], [12, 255]]])


def test_an_odd_edge_counts_twice() -> None:
    np.testing.assert_array_equal(halve(picture("112", "122", "334"), CODES), picture("12", "34"))
    amounts = np.array([[[1, 3, 7]]], dtype=np.uint8)
    np.testing.assert_array_equal(halve(amounts, AMOUNTS), [[[2, 7]]])


def test_numbers_with_nan_have_means_too() -> None:
    kind = PixelKind(1, "float32", float("nan"), is_smooth=True)
    ratio = np.array([[[0.5, 1.5, np.nan, np.nan], [np.nan, 1.0, np.nan, np.nan]]], dtype=np.float32)
    np.testing.assert_array_equal(halve(ratio, kind), [[[1.0, np.nan]]])


@pytest.mark.parametrize(("categorical", "nodata", "bands"), [(True, 0, 1), (False, 0, 3), (False, 255, 1), (False, None, 2)])
def test_overviews_are_those_that_gdal_makes(tmp_path: Path, categorical: bool, nodata: int | None, bands: int) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 4 if categorical else 256, (bands, 1024, 2048)).astype(np.uint8)
    pixels[:, 100:700, 300:900] = nodata or 0
    plain = write_raster(tmp_path / "plain.tif", pixels, grid(1024, 2048), nodata=nodata)
    ours = write_cog(tmp_path / "ours.tif", plain, categorical=categorical)
    rasterio.shutil.copy(
        plain, tmp_path / "gdal.tif", driver="COG", OVERVIEW_RESAMPLING="MODE" if categorical else "AVERAGE", STATISTICS="YES"
    )
    with rasterio.open(ours) as one, rasterio.open(tmp_path / "gdal.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.overviews(1) == other.overviews(1) == [2, 4]
        for band in one.indexes:
            found, expected = one.tags(band), other.tags(band)
            assert {k: float(v) for k, v in found.items()} == pytest.approx(
                {k: float(v) for k, v in expected.items()}, rel=1e-6
            )
    for level in range(2):
        np.testing.assert_array_equal(overview(ours, level), overview(tmp_path / "gdal.tif", level))


@WORN
@given(
    st.sampled_from(["uint8", "uint16", "int16", "int32", "float32"]), st.integers(1, 3), st.sampled_from(["mean", "mode"]),
    st.integers(1, 1100), st.integers(1, 1100), st.integers(0, 99),
)  # fmt: skip
def test_windows_in_any_order_are_the_raster(
    tmp_path: Path, dtype: str, bands: int, overviews: str, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 90, (bands, height, width)).astype(dtype)
    ys, xs = ([0, *sorted(set(rng.integers(1, n + 1, 3).tolist())), n] for n in (height, width))
    windows = [Window(y, x, b - y, r - x) for y, b in pairwise(ys) for x, r in pairwise(xs)]
    layout = Layout(grid(height, width), bands, dtype, 0, overviews=overviews)  # type: ignore[arg-type]
    with open_writer(tmp_path / "loose.tif", layout) as write:
        for place in rng.permutation(len(windows)):
            window = windows[place]
            if window.height and window.width:
                write(window, pixels[(slice(None), *window.slices)])
    path = write_cog(tmp_path / "cog.tif", tmp_path / "loose.tif", categorical=overviews == "mode")
    for made in (tmp_path / "loose.tif", path):
        with rasterio.open(made) as source:
            np.testing.assert_array_equal(source.read(), pixels)
    # Of a single column GDAL says that it is not smaller in an overview, and to rasterio one block across looks like strips:
    # the judge takes both for faults.
    if min(height, width) > 1 and width != 512:
        assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
    for level, shape in enumerate(shapes_of_levels((height, width))[1:]):
        found = overview(path, level)
        assert found.shape == (bands, *shape)
        assert pixels.min() <= found.min() <= found.max() <= pixels.max()


def test_blocks_are_moved_and_not_made_again(tmp_path: Path) -> None:
    layout = Layout(grid(700, 1200), 1, "uint8", 0, overviews="mode", descriptions=("change",), tags={"RUN": "abc"})
    codes = np.random.default_rng(1).integers(0, 9, (1, 700, 1200)).astype(np.uint8)
    with open_writer(tmp_path / "loose.tif", layout) as write:
        write(Window(0, 0, 700, 1200), codes)
    path = write_cog(tmp_path / "cog.tif", tmp_path / "loose.tif", categorical=True)
    blocks = []
    for file in (tmp_path / "loose.tif", path):
        with file.open("rb") as stream:
            _, levels = arranging.read_levels(stream, CODES) or ({}, [])
            found = []
            for level in levels:
                for offset, size in zip(level.offsets, level.sizes, strict=True):
                    stream.seek(int(offset))
                    found.append(stream.read(int(size)))
        assert len(found) == 6 + 2 + 1
        blocks.append(found)
    assert blocks[0] == blocks[1]
    info = inspect(path)
    assert (info.descriptions, info.nodata, info.tags["RUN"], info.grid) == (("change",), 0, "abc", grid(700, 1200))


@pytest.mark.parametrize("overviews", ["mean", "mode"])
def test_strips_that_are_joined_stay_ready_to_be_moved(tmp_path: Path, overviews: Literal["mean", "mode"]) -> None:
    pixels, whole = np.random.default_rng(3).integers(1, 9, (3, 900, 700)).astype(np.uint8), grid(900, 700)
    strips = []
    for top, bottom in ((0, 600), (600, 900)):
        strips.append(tmp_path / f"{top}.tif")
        with open_writer(strips[-1], Layout(whole[top:bottom], 3, "uint8", 0, overviews=overviews)) as write:
            write(Window(0, 0, bottom - top, 700), pixels[:, top:bottom])
    with join_rows(tmp_path / "joined.tif", whole, strips).open("rb") as stream:
        assert arranging.read_levels(stream, PixelKind(3, "uint8", 0, is_smooth=overviews == "mean")) is not None
    with rasterio.open(tmp_path / "joined.tif") as source:
        np.testing.assert_array_equal(source.read(), pixels)


def test_large_files_are_bigtiffs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(2).integers(0, 9, (1100, 600)).astype(np.uint8)
    monkeypatch.setattr(arranging, "_LARGEST", 1000)
    counts = write_rows(
        tmp_path / "a.tif", [codes[:500], codes[500:]], Layout(grid(1100, 600), 1, "uint8", 0, overviews="mode")
    )
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif")[0], codes)
    assert cog_validate(tmp_path / "a.tif", strict=True, quiet=True) == (True, [], [])
    assert counts == dict(enumerate(np.bincount(codes.ravel()).tolist()))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_blocks_that_a_sparse_file_lacks_are_made(tmp_path: Path) -> None:
    about = {"height": 500, "width": 400, "count": 1, "dtype": "uint8", "nodata": 0, "crs": "EPSG:32651"}
    place = Affine(10, 0, 300_000, 0, -10, 3_600_000)
    with rasterio.open(
        tmp_path / "sparse.tif", "w", driver="GTiff", transform=place, compress="deflate", sparse_ok=True, tiled=True,
        blockxsize=512, blockysize=512, **about,
    ):  # fmt: skip
        pass
    path = write_cog(tmp_path / "cog.tif", tmp_path / "sparse.tif", categorical=True)
    assert not read_raster(path)[0].any()
    assert cog_validate(path, strict=True, quiet=True) == (True, [], [])


def test_missing_pixels_are_an_error(tmp_path: Path) -> None:
    layout = Layout(grid(600, 600), 1, "uint8", 0, overviews="mode")
    with pytest.raises(OSError, match=r"could not be written whole \(blocks are missing\)"):  # noqa: SIM117
        with open_writer(tmp_path / "a.tif", layout) as write:
            write(Window(0, 0, 599, 600), np.ones((1, 599, 600), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_block_that_comes_twice_is_an_error() -> None:
    writer = LevelWriter(io.BytesIO(), (600, 600), CODES)
    writer.add(Window(0, 0, 512, 512), np.ones((1, 512, 512), np.uint8))
    with pytest.raises(ValueError, match="block 0 of level 0"):
        writer.add(Window(0, 0, 512, 512), np.ones((1, 512, 512), np.uint8))
    writer.close()


def test_pixels_that_come_twice_are_an_error() -> None:
    writer = LevelWriter(io.BytesIO(), (10, 10), CODES)
    writer.add(Window(0, 0, 5, 10), np.ones((1, 5, 10), np.uint8))
    with pytest.raises(ValueError, match="pixels of block 0 of level 0 came twice"):
        writer.add(Window(4, 0, 6, 10), np.ones((1, 6, 10), np.uint8))
    writer.close()


def test_errors_of_the_caller_are_its_own(tmp_path: Path) -> None:
    layout = Layout(grid(9, 9), 1, "uint8", overviews="mode")
    with pytest.raises(OSError, match=r"^of the caller$"), open_writer(tmp_path / "a.tif", layout):
        raise OSError("of the caller")
    assert not list(tmp_path.iterdir())


@WORN
@given(st.sampled_from(["uint8", "int32", "float32"]), st.integers(1, 5), st.integers(0, 99))
def test_statistics_are_those_of_the_observed_pixels(dtype: str, blocks: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 9, (2, blocks, 40, 30)).astype(dtype)
    pixels[1] = 0
    tally = Tally(PixelKind(2, dtype, 0, is_smooth=True))
    for block in range(blocks):
        tally.add(np.ascontiguousarray(pixels[:, block]))
    first, second = tally.items()
    seen = pixels[0][pixels[0] > 0].astype(float)
    expected = {"MINIMUM": seen.min(), "MAXIMUM": seen.max(), "MEAN": seen.mean(), "STDDEV": seen.std()}
    assert {k.removeprefix("STATISTICS_"): float(v) for k, v in first.items() if "PERCENT" not in k} == pytest.approx(expected)
    assert float(first["STATISTICS_VALID_PERCENT"]) == pytest.approx(100 * seen.size / pixels[0].size, rel=1e-3)
    assert second == {}, "a band that was not observed has none"


@given(st.booleans(), st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9), min_size=1, max_size=4))
def test_directories_are_read_as_they_were_written(big: bool, values: list[list[int]]) -> None:
    from landshift.pipeline.raster.cog.directory import LONG, LONG8, header

    written = [{256 + 7 * i: integers(LONG8 if big else LONG, row[i:] or [i]) for i in range(3)} for row in values]
    content = header(16, big=big).ljust(16, b"\0") + pack_directories(written, 16, big=big)
    assert read_directories(io.BytesIO(content)) == written


def test_what_is_no_tiff_is_refused() -> None:
    for content in (b"", b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0", b"II*\0\x08\0\0\0\x05\0"):
        with pytest.raises(ValueError, match="TIFF"):
            read_directories(io.BytesIO(content))
