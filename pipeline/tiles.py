"""Tiles: the cores partition a grid, the reads add a margin that may reach past its edge."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from landshift.pipeline.errors import InputError

STRIDE = 32
"""Pixels: the coarsest step of the encoders; cores and margins are multiples of it, so that every tile sees the same phase."""
_SMALLEST = 16
_BLOCK = 512
"""Pixels: side of the blocks that most rasters are stored in."""
LOOK = 128

STRIP_ROWS = 512
"""Rows that are read and written together where a raster is not worked on tile by tile: the side of a block of our files."""

_MOSTLOOKS = 8
"""Windows along each axis that `spread_windows` gives at most."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, which may reach past the edges of its grid."""

    y: int
    """First row."""
    x: int
    """First column."""
    height: int
    """Rows."""
    width: int
    """Columns."""

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns as slices of an array (only for a window that lies inside it)."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def clip(self, shape: tuple[int, int]) -> "Window":
        """Return the part that lies inside a grid of `shape` (rows, columns)."""
        y0, x0 = max(self.y, 0), max(self.x, 0)
        y1, x1 = min(self.y + self.height, shape[0]), min(self.x + self.width, shape[1])
        return Window(y0, x0, max(y1 - y0, 0), max(x1 - x0, 0))

    def meets(self, other: "Window") -> bool:
        """Return whether they share a pixel."""
        rows = max(self.y, other.y) < min(self.y + self.height, other.y + other.height)
        return rows and max(self.x, other.x) < min(self.x + self.width, other.x + other.width)

    def within(self, outer: "Window") -> "Window":
        """Return the same pixels, counted from the corner of `outer`."""
        return Window(self.y - outer.y, self.x - outer.x, self.height, self.width)


@dataclass(frozen=True)
class Tile:
    """A piece of work of the streamed inference."""

    row: int
    """Tile row, from 0."""
    column: int
    """Tile column, from 0."""
    core: Window
    """What the tile writes; inside the grid."""
    read: Window
    """What the tile reads: whole strides around the core, plus the margin; may reach past the edge."""


def tiles(shape: tuple[int, int], core: int = 1024, margin: int = 128) -> list[Tile]:
    """Cut a grid into tiles, row by row.

    Args:
        shape: Rows and columns of the grid, each at least 1.
        core: Side of a core in pixels, a positive multiple of 32.
        margin: Pixels read around a core, a multiple of 32, or 0.

    Raises:
        InputError: `core` or `margin` is not a multiple of 32.
    """
    if core <= 0 or core % STRIDE or margin < 0 or margin % STRIDE:
        raise InputError(f"Tile core {core} and margin {margin}: both must be multiples of {STRIDE}, the core above 0.")
    found = []
    for row, y in enumerate(range(0, shape[0], core)):
        for column, x in enumerate(range(0, shape[1], core)):
            inside = Window(y, x, core, core).clip(shape)
            height, width = (-(-n // STRIDE) * STRIDE + 2 * margin for n in (inside.height, inside.width))
            found.append(Tile(row, column, inside, Window(y - margin, x - margin, height, width)))
    return found


def in_stripes(work: Sequence[Tile], columns: int) -> list[Tile]:
    """Return tiles in an order that keeps close what is read: stripes of so many tile columns, each from north to south.

    What a row of tiles has read of the next one's margin is still there when that is read, whatever the width of the map.

    Args:
        work: The tiles.
        columns: Of tiles, 1 or more.
    """
    return sorted(work, key=lambda tile: (tile.column // columns, tile.row, tile.column))


def columns_at_once(core: int, margin: int, pixel_bytes: int, cache_bytes: int) -> int:
    """Return how many tile columns may be read row by row so that each block of the files is decoded once: 1 or more.

    Args:
        core: Side of a tile's core in pixels.
        margin: Pixels around it.
        pixel_bytes: Of all bands of both dates, as they are stored.
        cache_bytes: What may be kept of decoded blocks.
    """
    reach = core + 2 * margin
    # Blocks begin where they like: a row of tiles touches one more than it fills.
    rows = (reach // _BLOCK + 2) * _BLOCK
    return max((cache_bytes // (rows * pixel_bytes) - 2 * (margin + _BLOCK)) // core, 1)


def row_groups(rows: int, groups: int) -> list[range]:
    """Divide tile rows into contiguous groups, from north to south, whose sizes differ by one at most.

    Args:
        rows: Tile rows, at least 1.
        groups: Wanted groups, at least 1; more than there are rows become one a row.

    Raises:
        ValueError: There is nothing to divide, or nothing to divide it into.
    """
    if rows < 1 or groups < 1:
        raise ValueError(f"{rows} tile rows cannot be divided into {groups} groups.")
    edges = [rows * i // min(groups, rows) for i in range(min(groups, rows) + 1)]
    return [range(first, last) for first, last in pairwise(edges)]


def mirror(image: np.ndarray, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """Continue what was read of a window beyond the edges of its grid as a mirror image.

    A network that is shown nothing there takes the edge of the map for change.

    Args:
        image: (band, y, x), what was read of `window`, whatever it holds beyond the edges.
        window: May reach past the edges, but has a pixel inside.
        shape: Rows and columns of the grid.
    """
    inside = window.clip(shape).within(window)
    if (inside.height, inside.width) == image.shape[1:]:
        return image
    below, right = window.height - inside.y - inside.height, window.width - inside.x - inside.width
    part = image[(slice(None), *inside.slices)]
    return np.pad(part, ((0, 0), (inside.y, below), (inside.x, right)), mode="symmetric")


def strips(shape: tuple[int, int], rows: int = STRIP_ROWS) -> list[Window]:
    """Cut a grid into strips of at most `rows` rows as wide as itself, from north to south."""
    height, width = shape
    return [Window(y, 0, min(rows, height - y), width) for y in range(0, height, rows)]


def pieces(shape: tuple[int, int], pixels: int, side: int = 512) -> list[Window]:
    """Cut a grid into windows of at most about so many pixels, for work that holds much of each pixel at once.

    They are strips of `side` rows where these are small enough, else blocks of `side` rows, which files are written in; only
    where a block is too large are they smaller, 16 x 16 at least.

    Args:
        shape: Rows and columns of the grid.
        pixels: Of a window at most, as long as it has more than 16 x 16.
        side: Rows, a power of two.
    """
    while side > _SMALLEST and side * side > pixels:
        side //= 2
    width = max(pixels // (side * side), 1) * side
    return [
        Window(y, x, min(side, shape[0] - y), min(width, shape[1] - x))
        for y in range(0, shape[0], side)
        for x in range(0, shape[1], width)
    ]


def spread_windows(shape: tuple[int, int]) -> list[Window]:
    """Spread at most 64 windows over a region, from edge to edge, for what need not look at every pixel.

    They are 128 pixels wide and high, half of that in a region under 384 pixels; where there is little room they overlap.

    Args:
        shape: Rows and columns of the region, each at least 1.
    """
    side = LOOK if min(shape) >= 3 * LOOK else LOOK // 2
    height, width = (min(side, n) for n in shape)
    return [Window(y, x, height, width) for y in _starts(shape[0], height) for x in _starts(shape[1], width)]


def _starts(length: int, side: int) -> list[int]:
    count = min(-(-length // side), _MOSTLOOKS)
    return [round(v) for v in np.linspace(0, length - side, count)]
