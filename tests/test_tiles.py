"""Cores partition any grid, and what a tile reads holds its core with the margin."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.tiles import STRIDE, Window, columns_at_once, in_stripes, mirror, strips, tiles

GRIDS = st.tuples(st.integers(1, 300), st.integers(1, 300))
CORES = st.integers(1, 6).map(lambda n: n * STRIDE)
MARGINS = st.integers(0, 4).map(lambda n: n * STRIDE)


@settings(deadline=None)
@given(GRIDS, CORES, MARGINS)
def test_cores_partition_the_grid(shape: tuple[int, int], core: int, margin: int) -> None:
    count = np.zeros(shape, dtype=int)
    for tile in tiles(shape, core, margin):
        assert tile.core.clip(shape) == tile.core
        count[tile.core.slices] += 1
    assert (count == 1).all()


@settings(deadline=None)
@given(GRIDS, CORES, MARGINS)
def test_reads_hold_the_core_and_its_margin_in_whole_strides(shape: tuple[int, int], core: int, margin: int) -> None:
    for tile in tiles(shape, core, margin):
        inner = tile.core.within(tile.read)
        assert inner.y == inner.x == margin
        assert tile.read.height >= tile.core.height + 2 * margin
        assert tile.read.width >= tile.core.width + 2 * margin
        assert tile.read.height % STRIDE == tile.read.width % STRIDE == 0
        assert tile.read.y % STRIDE == tile.read.x % STRIDE == 0


@settings(deadline=None)
@given(*[st.integers(-50, 50)] * 2, *[st.integers(0, 60)] * 2)
def test_a_clipped_window_is_the_part_inside(y: int, x: int, height: int, width: int) -> None:
    shape = (20, 30)
    inside = Window(y, x, height, width).clip(shape)
    rows = set(range(y, y + height)) & set(range(shape[0]))
    columns = set(range(x, x + width)) & set(range(shape[1]))
    assert inside.height == len(rows)
    assert inside.width == len(columns)
    if rows and columns:
        assert (inside.y, inside.x) == (min(rows), min(columns))


def test_strips_go_from_north_to_south() -> None:
    assert strips((5, 7), 2) == [Window(0, 0, 2, 7), Window(2, 0, 2, 7), Window(4, 0, 1, 7)]


def test_tiles_go_row_by_row() -> None:
    assert [(t.row, t.column, t.core) for t in tiles((40, 70), 32, 0)] == [
        (0, 0, Window(0, 0, 32, 32)), (0, 1, Window(0, 32, 32, 32)), (0, 2, Window(0, 64, 32, 6)),
        (1, 0, Window(32, 0, 8, 32)), (1, 1, Window(32, 32, 8, 32)), (1, 2, Window(32, 64, 8, 6)),
    ]  # fmt: skip


@pytest.mark.parametrize(("core", "margin"), [(0, 0), (-32, 0), (33, 0), (32, 16), (32, -32)])
def test_sizes_that_break_the_stride(core: int, margin: int) -> None:
    with pytest.raises(InputError, match=f"core {core} and margin {margin}: both must be multiples of 32"):
        tiles((10, 10), core, margin)


def test_beyond_the_edges_the_map_is_mirrored() -> None:
    window = Window(-2, 1, 6, 4)
    image = np.full((1, 6, 4), np.nan)
    image[0, 2:5, 0:2] = [[1, 2], [3, 4], [5, 6]]
    found = mirror(image, window, (3, 3))
    assert found[0].tolist() == [[3, 4, 4, 3], [1, 2, 2, 1], [1, 2, 2, 1], [3, 4, 4, 3], [5, 6, 6, 5], [5, 6, 6, 5]]
    inside = np.zeros((2, 3, 3))
    assert mirror(inside, Window(0, 0, 3, 3), (5, 5)) is inside


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 4))
def test_stripes_hold_every_tile_once_and_go_from_north_to_south(height: int, width: int, columns: int) -> None:
    work = tiles((height, width), 512, 64)
    ordered = in_stripes(work, columns)
    assert sorted(ordered, key=lambda t: (t.row, t.column)) == work
    stripes = [tile.column // columns for tile in ordered]
    assert stripes == sorted(stripes)
    for one, other in itertools.pairwise(ordered):
        if one.column // columns == other.column // columns:
            assert (one.row, one.column) < (other.row, other.column)


def test_a_stripe_is_as_wide_as_the_cache_allows() -> None:
    # 1024 + 2 x 128 pixels touch four rows of blocks at most; 16 bytes a pixel are 33.5 MB a thousand columns.
    assert columns_at_once(1024, 128, 16, 256 * 2**20) == 6
    assert columns_at_once(1024, 128, 16, 10**6) == 1
