"""A look reads a few blocks of a file, whatever its size, and finds values where they are."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window as RasterioWindow

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.blocks import Part, list_parts, most_promising
from landshift.pipeline.raster.open import keeping_open, open_source
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.scenes import look as looking
from landshift.pipeline.scenes.look import look, require_plausible
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import custom_sensor
from landshift.pipeline.tiles import Window

BANDS = "red", "nir"
SENSOR = custom_sensor(list(BANDS), scale=1, offset=0, nodata=0, units="numbers")


def write(path: Path, side: int, values: Sequence[tuple[int, int]] = (), **profile: Any) -> Scene:
    """Write a raster of nodata, with a value in the pixels (row, column) named."""
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"} | profile
    transform = Affine(10, 0, 300_000, 0, -10, 3_600_000)
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", height=side, width=side, count=2, crs="EPSG:32651", transform=transform,
        nodata=0, **profile,
    ) as out:  # fmt: skip
        for y, x in values:
            out.write(np.full((2, 1, 1), 7, np.uint16), window=RasterioWindow(x, y, 1, 1))
    grid = grid_of(transform, (side, side), "EPSG:32651")
    bands = {name: Source(path, number) for number, name in enumerate(BANDS, start=1)}
    return Scene(path.stem, date(2020, 6, 1), SENSOR, bands, None, grid, 0)


def test_a_huge_raster_with_one_pixel_is_not_empty(tmp_path: Path) -> None:
    """Of a million rows of blocks one was written: the file's own index names it."""
    scene = write(
        tmp_path / "huge.tif", 180_000, [(123_456, 7_890)], blockxsize=512, blockysize=512, BIGTIFF="YES", SPARSE_OK=True
    )
    require_plausible(scene, BANDS, scene.grid)


def test_a_huge_raster_without_a_block_says_so(tmp_path: Path) -> None:
    scene = write(tmp_path / "huge.tif", 180_000, blockxsize=512, blockysize=512, BIGTIFF="YES", SPARSE_OK=True)
    with pytest.raises(InputError, match=r"huge.tif \(2020-06-01\): .*none of its blocks there was ever written. Download it"):
        require_plausible(scene, BANDS, scene.grid)


@pytest.mark.parametrize("searched", [64 * 64 * 10, 2**25])
@pytest.mark.parametrize("profile", [{}, {"tiled": False, "blockysize": 1, "blockxsize": None}, {"interleave": "band"}])
def test_the_block_with_most_bytes_is_searched_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched: int, profile: dict[str, Any]
) -> None:
    """A pixel beside all nine windows; without it, what was searched is told."""
    monkeypatch.setattr(looking, "_SEARCH_PIXELS", searched)
    profile = {key: value for key, value in profile.items() if value is not None}
    monkeypatch.setattr("landshift.pipeline.raster.blocks._PART_PIXELS", 900 * 10 if "tiled" in profile else 64 * 64)
    scene = write(tmp_path / "one.tif", 900, [(300, 200)], **profile)
    assert look(scene, BANDS, scene.grid).shape == (2, 0)
    require_plausible(scene, BANDS, scene.grid)
    empty = write(tmp_path / "none.tif", 900, **profile)
    told = (
        "no pixel of the region's grid was observed"
        if searched > 900**2
        else r"in the \d+ of \d+ parts of the file that were searched"
    )
    with pytest.raises(InputError, match=rf"none.tif \(2020-06-01\): .*{told}; every one is nodata \(0\)"):
        require_plausible(empty, BANDS, empty.grid)


def test_blocks_that_do_not_compress_are_searched_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip of an orbit along one edge, without compression: every block has the same bytes."""
    monkeypatch.setattr(looking, "_SEARCH_PIXELS", 64 * 64 * 40)
    monkeypatch.setattr("landshift.pipeline.raster.blocks._PART_PIXELS", 64 * 64)
    rows = range(500, 899)
    scene = write(tmp_path / "edge.tif", 900, [(y, x) for y in rows for x in (200, 260, 610)], compress="none")
    require_plausible(scene, BANDS, scene.grid)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 120), st.integers(0, 120), st.booleans(), st.integers(10, 12))
def test_parts_cover_the_window_once(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, y: int, x: int, tiled: bool, bits: int
) -> None:
    path = tmp_path_factory.mktemp("parts") / "a.tif"
    write(path, 320, **({} if tiled else {"tiled": False, "blockysize": 3}))
    within, seen = Window(y, x, height, width), np.zeros((320, 320), int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landshift.pipeline.raster.blocks._PART_PIXELS", 2**bits)
        for part in list_parts(path, 2, within):
            seen[part.window.slices] += 1
    expected = np.zeros_like(seen)
    expected[within.slices] = 1
    np.testing.assert_array_equal(seen, expected)


@settings(deadline=None)
@given(st.lists(st.integers(-1, 9), max_size=60), st.integers(1, 60))
def test_what_is_chosen_holds_the_largest_and_is_no_more_than_allowed(sizes: list[int], most: int) -> None:
    parts = [Part(Window(0, i, 1, 1), size) for i, size in enumerate(sizes)]
    written = [part for part in parts if part.stored]
    chosen = most_promising(parts, most)
    assert len(set(chosen)) == len(chosen) <= most
    assert set(chosen) <= set(written)
    assert bool(chosen) == bool(written)
    if len(written) <= most:
        assert set(chosen) == set(written)
    elif written:
        assert chosen[0].stored == max(part.stored for part in written) or len({part.stored for part in written}) == 1


def test_a_file_is_opened_once_for_all_bands_and_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, opened = write(tmp_path / "one.tif", 900, [(0, 0)]), Counter[str]()
    original = rasterio.open

    def counting(path: Path, *arguments: Any, **options: Any) -> Any:
        opened[path.name] += 1
        return original(path, *arguments, **options)

    monkeypatch.setattr(rasterio, "open", counting)
    assert look(scene, BANDS, scene.grid).tolist() == [[7], [7]]
    assert opened == {"one.tif": 1}


def test_what_stays_open_is_closed_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    write(path, 80)
    with keeping_open(here=True):
        with open_source(path) as source, keeping_open(), open_source(path) as again:
            assert source is again
        assert not source.closed
        assert inspect(path).count == 2
    assert source.closed
    with keeping_open(), open_source(path) as source:
        pass
    assert source.closed
