"""Pixels around labels, kept raw on the disk while a network is trained: a chip is then copied, not decoded."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from landshift.models.network.samples import HoldsPair, Masks
from landshift.pipeline.epochs.matching import PairReader, PairSource, PairWindow
from landshift.pipeline.tiles import STRIDE, Window

_log = logging.getLogger(__name__)
BLOCK = 128
"""Side of the blocks that are kept, in pixels."""
_READ = 4
"""Blocks to a side that are read at once: about the blocks of the files."""
MOST_BYTES = 2 * 2**30
"""Of the kept pixels; where the labels need more, chips are read from the images."""
_MOST_OF_DISK = 0.5
"""Share of what is free on the disk."""


@dataclass(frozen=True)
class _Layout:
    """Where the blocks lie in the file."""

    place: np.ndarray
    """int64 (row of blocks, column of blocks): number of the block in the file, -1 = not kept."""
    bands: int
    """Of a date."""
    priors: tuple[str, ...]
    """Kept beside the dates."""
    channels: int
    """Of both dates and the priors."""

    @property
    def count(self) -> int:
        """Blocks that are kept."""
        return int(self.place.max()) + 1


class CachedPair:
    """Reads windows of a pair as its `PairReader` does, from raw blocks where they are kept; travels to other processes."""

    def __init__(self, path: Path, layout: _Layout, images: PairReader) -> None:
        """Remember where the blocks are; `images` gives what is not kept."""
        self._path, self._layout, self._images = path, layout, images
        self._blocks: np.ndarray | None = None

    def __getstate__(self) -> tuple[Path, _Layout, PairReader]:
        """Return what another process needs: it maps the file itself."""
        return self._path, self._layout, self._images

    def __setstate__(self, state: tuple[Path, _Layout, PairReader]) -> None:
        """Take what `__getstate__` returned."""
        self.__init__(*state)  # type: ignore[misc]

    def reader(self) -> "CachedPair":
        """Return itself, as a `PairSource` returns its reader."""
        return self

    @property
    def blocks(self) -> np.ndarray:
        """float32 (block, channel, y, x), mapped from the file when it is first needed."""
        if self._blocks is None:
            shape = (self._layout.count, self._layout.channels, BLOCK, BLOCK)
            self._blocks = np.memmap(self._path, np.float32, mode="r", shape=shape)
        return self._blocks

    def read(self, window: Window, priors: Sequence[str] = ()) -> PairWindow:
        """Read a window of both dates: the pixels that `PairReader.read` gives."""
        at = self._layout
        rows, columns = (range(start // BLOCK, -(-(start + n) // BLOCK)) for start, n in _spans(window))
        inside = [(r, c) for r in rows for c in columns if 0 <= r < at.place.shape[0] and 0 <= c < at.place.shape[1]]
        if tuple(priors) != at.priors or any(at.place[part] < 0 for part in inside):
            return self._images.read(window, priors)
        shape = (at.channels, window.height, window.width)
        whole = len(inside) == len(rows) * len(columns)
        found = np.empty(shape, np.float32) if whole else np.full(shape, np.nan, np.float32)
        for row, column in inside:
            block = Window(row * BLOCK, column * BLOCK, BLOCK, BLOCK)
            part = Window(
                max(window.y, block.y), max(window.x, block.x),
                min(window.y + window.height, block.y + BLOCK) - max(window.y, block.y),
                min(window.x + window.width, block.x + BLOCK) - max(window.x, block.x),
            )  # fmt: skip
            to, source = part.within(window).slices, part.within(block).slices
            found[(slice(None), *to)] = self.blocks[(int(at.place[row, column]), slice(None), *source)]
        n = at.bands
        return PairWindow(found[:n], found[n : 2 * n], found[2 * n :] if at.priors else None)


def _spans(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.y, window.height), (window.x, window.width)


@contextmanager
def keep_pixels(
    pair: PairSource, masks: Sequence[Masks], folder: Path, *, size: int, priors: Sequence[str] = (), most: int = MOST_BYTES
) -> Iterator[HoldsPair]:
    """Keep the pixels of the chips around labels in a file, which is removed at the end.

    Args:
        pair: Both dates, as the network is given them.
        masks: Labels of the splits that chips are read for.
        folder: Where the file lies meanwhile.
        size: Side of a chip in pixels.
        priors: What the network is given beside the dates.
        most: Bytes that the file may have.

    Yields:
        What reads the same pixels as the pair; the pair itself where the labels need more than `most` bytes, or more than
        half of what is free on the disk.

    Raises:
        InputError: A file of the pair cannot be read.
    """
    images = pair.reader()
    layout = _lay_out(images, masks, size, tuple(priors))
    needed = layout.count * layout.channels * BLOCK * BLOCK * 4
    folder.mkdir(parents=True, exist_ok=True)
    if not 0 < needed <= min(most, _MOST_OF_DISK * shutil.disk_usage(folder).free):
        _log.info("Chips are read from the images: raw blocks around the labels would take %.1f GB.", needed / 1e9)
        yield pair
        return
    path = folder / "pixels.raw"
    if not _take_room(path, needed):
        yield pair
        return
    try:
        with pair.open() as reader:
            _keep(reader, layout, path)
        yield CachedPair(path, layout, images)
    finally:
        path.unlink(missing_ok=True)


def _lay_out(images: PairReader, masks: Sequence[Masks], size: int, priors: tuple[str, ...]) -> _Layout:
    """Number the blocks that a chip of the labels may touch: those less than `size` pixels from one, by cells of 32."""
    labelled = np.logical_or.reduce([m.labelled for m in masks])
    cells = _reduce(_reduce(labelled, STRIDE, 0), STRIDE, 1)
    near = ndimage.maximum_filter(cells, 2 * -(-size // STRIDE) + 1, mode="constant")
    wanted = _reduce(_reduce(near, BLOCK // STRIDE, 0), BLOCK // STRIDE, 1)
    place = np.where(wanted, np.cumsum(wanted).reshape(wanted.shape) - 1, -1)
    first = images.read(Window(0, 0, 1, 1), priors)
    bands = len(first.before)
    return _Layout(place, bands, priors, channels=2 * bands + (0 if first.priors is None else len(first.priors)))


def _reduce(found: np.ndarray, step: int, axis: int) -> np.ndarray:
    return np.asarray(np.logical_or.reduceat(found, np.arange(0, found.shape[axis], step), axis=axis))


def _take_room(path: Path, size: int) -> bool:
    """Reserve the bytes of a file: where a disk fills up under a mapped file, the system kills the process."""
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        path.unlink(missing_ok=True)
        _log.info("Chips are read from the images: no room for raw blocks around the labels (%s).", error.strerror)
        return False
    return True


def _keep(reader: PairReader, layout: _Layout, path: Path) -> None:
    """Write the blocks, reading several at once."""
    rows, columns = layout.place.shape
    kept = np.memmap(path, np.float32, mode="r+", shape=(layout.count, layout.channels, BLOCK, BLOCK))
    for top in range(0, rows, _READ):
        for left in range(0, columns, _READ):
            part = layout.place[top : top + _READ, left : left + _READ]
            if (part < 0).all():
                continue
            window = Window(top * BLOCK, left * BLOCK, part.shape[0] * BLOCK, part.shape[1] * BLOCK)
            found = reader.read(window, layout.priors)
            dates = [found.before, found.after, *([] if found.priors is None else [found.priors])]
            pixels = np.concatenate(dates)
            for y, x in np.argwhere(part >= 0):
                kept[part[y, x]] = pixels[:, y * BLOCK : (y + 1) * BLOCK, x * BLOCK : (x + 1) * BLOCK]
