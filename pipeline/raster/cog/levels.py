"""A raster and its overviews, block by block as the pixels come: a loose file, whose blocks lie as they were made."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from landshift.pipeline.raster.cog import directory
from landshift.pipeline.raster.cog.blocks import BLOCK, PixelKind, encode, halve
from landshift.pipeline.raster.cog.directory import Directory, Tag, integers
from landshift.pipeline.raster.cog.tally import Tally
from landshift.pipeline.tiles import Window

_THREADS = 4
"""That compress the blocks of a file, at most."""
_AHEAD = 3
"""Blocks that may wait, by thread."""
_SHARED = (
    directory.BITS, directory.COMPRESSION, directory.PHOTOMETRIC, directory.SAMPLES, directory.PLANAR, directory.PREDICTOR,
    directory.COLORMAP, directory.BLOCK_WIDTH, directory.BLOCK_HEIGHT, directory.EXTRA_SAMPLES, directory.SAMPLE_FORMAT,
    directory.NODATA,
)  # fmt: skip
"""Tags that an overview has from its raster."""


@dataclass(frozen=True)
class Level:
    """Where the blocks of a raster or of an overview lie in a file."""

    shape: tuple[int, int]
    """Rows and columns of pixels."""
    offsets: np.ndarray
    """uint64 (block), row by row: first byte; 0 where the block is not written yet."""
    sizes: np.ndarray
    """uint64 (block): bytes."""


def shapes_of_levels(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return rows and columns of a raster and of its overviews, each half as large, down to the first within a block."""
    shapes = [shape]
    while max(shapes[-1]) > BLOCK:
        height, width = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2)))
    return shapes


class LevelWriter:
    """Writes windows of a raster as blocks, and those of its overviews as soon as their pixels are there.

    Memory holds the blocks that are not whole: few, where windows that lie near each other come soon after each other.
    """

    def __init__(self, stream: BinaryIO, shape: tuple[int, int], kind: PixelKind) -> None:
        """Begin a file.

        Args:
            stream: New, open for writing.
            shape: Rows and columns.
            kind: What the pixels are.
        """
        self.tally = Tally(kind)
        self._stream, self._kind = stream, kind
        blocks = [tuple(-(-n // BLOCK) for n in level) for level in shapes_of_levels(shape)]
        self._levels = [
            Level(level, *(np.zeros(rows * columns, dtype=np.uint64) for _ in range(2)))
            for level, (rows, columns) in zip(shapes_of_levels(shape), blocks, strict=True)
        ]
        self._columns = [columns for _, columns in blocks]
        # Blocks of which some pixels are there, and which ones are still missing.
        self._parts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._waiting: deque[tuple[int, int, Future[bytes]]] = deque()
        threads = min(os.cpu_count() or 1, _THREADS)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        stream.write(directory.header(0, big=True))

    def add(self, window: Window, pixels: np.ndarray) -> None:
        """Take a window (band, y, x) inside the raster; each pixel comes once, in any order.

        Raises:
            OSError: The file could not be written.
            ValueError: A pixel came twice.
        """
        self._add(0, window, pixels)

    def finish(self, describe: Callable[[Tally], Directory]) -> None:
        """Write what is left, and the directories.

        Args:
            describe: Returns the tags of the raster, but for those that place its blocks, from what its pixels hold.

        Raises:
            OSError: Pixels are missing, or the file could not be written.
        """
        while self._waiting:
            self._write_next()
        if self._parts or any(not level.offsets.all() for level in self._levels):
            raise OSError("blocks are missing")
        place = self._stream.tell()
        place += -place % 8
        tags = directories_of(describe(self.tally), self._levels, big=True)
        self._stream.write(bytes(place - self._stream.tell()) + directory.pack_directories(tags, place, big=True))
        self._stream.seek(0)
        self._stream.write(directory.header(place, big=True))

    def close(self) -> None:
        """Let go of the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _add(self, number: int, window: Window, pixels: np.ndarray) -> None:
        level = self._levels[number]
        for y in range(window.y // BLOCK, -(-(window.y + window.height) // BLOCK)):
            for x in range(window.x // BLOCK, -(-(window.x + window.width) // BLOCK)):
                block = Window(y * BLOCK, x * BLOCK, BLOCK, BLOCK).clip(level.shape)
                top, left = max(block.y, window.y), max(block.x, window.x)
                bottom = min(block.y + block.height, window.y + window.height)
                right = min(block.x + block.width, window.x + window.width)
                part = Window(top, left, bottom - top, right - left)
                found = pixels[(slice(None), *part.within(window).slices)]
                place = y * self._columns[number] + x
                if found.shape[1:] == (block.height, block.width):
                    self._put(number, place, found)
                    continue
                if (number, place) not in self._parts:
                    room = np.empty((len(pixels), block.height, block.width), dtype=self._kind.dtype)
                    self._parts[number, place] = room, np.ones(room.shape[1:], dtype=bool)
                (held, missing), at = self._parts[number, place], part.within(block).slices
                if not missing[at].all():
                    raise ValueError(f"pixels of block {place} of level {number} came twice")
                held[(slice(None), *at)], missing[at] = found, False
                if not missing.any():
                    del self._parts[number, place]
                    self._put(number, place, held)

    def _put(self, number: int, place: int, pixels: np.ndarray) -> None:
        """Take a whole block, write it, and pass its pixels on to the next overview."""
        if self._levels[number].sizes[place]:
            raise ValueError(f"block {place} of level {number} has more pixels than there are")
        # Written down at once, so that a second one is noticed; the size follows.
        self._levels[number].sizes[place] = 1
        if number == 0:
            self.tally.add(pixels)
        if self._pool is None:
            self._write(number, place, encode(pixels, self._kind))
        else:
            # The caller may use its array again.
            self._waiting.append((number, place, self._pool.submit(encode, pixels.copy(), self._kind)))
            while len(self._waiting) > _AHEAD * _THREADS:
                self._write_next()
        if number + 1 < len(self._levels):
            smaller = halve(pixels, self._kind)
            y, x = (n * (BLOCK // 2) for n in divmod(place, self._columns[number]))
            self._add(number + 1, Window(y, x, *smaller.shape[1:]), smaller)

    def _write_next(self) -> None:
        number, place, future = self._waiting.popleft()
        self._write(number, place, future.result())

    def _write(self, number: int, place: int, content: bytes) -> None:
        self._levels[number].offsets[place], self._levels[number].sizes[place] = self._stream.tell(), len(content)
        self._stream.write(content)


def directories_of(tags: Directory, levels: list[Level], *, big: bool) -> list[Directory]:
    """Return the directories of a raster and of its overviews.

    Args:
        tags: Of the raster; those that place its blocks are made anew.
        levels: Where the blocks lie.
        big: Whether the file is a BigTIFF.
    """
    kind = directory.LONG8 if big else directory.LONG
    found: list[Directory] = []
    for number, level in enumerate(levels):
        own: dict[int, Tag] = {
            directory.HEIGHT: integers(directory.LONG, level.shape[:1]), directory.OFFSETS: integers(kind, level.offsets),
            directory.WIDTH: integers(directory.LONG, level.shape[1:]), directory.SIZES: integers(directory.LONG, level.sizes),
        }  # fmt: skip
        if number:
            # A reduced version of the image before it.
            own[directory.SUBFILE] = integers(directory.LONG, [1])
        found.append({**(tags if not number else {code: tags[code] for code in _SHARED if code in tags}), **own})
    return found
