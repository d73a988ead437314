"""Patches: the connected areas of equal code in a map, found while its rows go by."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MapRows = np.ndarray | Iterable[np.ndarray]
"""A map (y, x), whole or as blocks of consecutive rows from top to bottom, each of the map's whole width."""


@dataclass(frozen=True)
class Patches:
    """The 4-connected patches of equal code in a map, as horizontal runs of pixels.

    Runs take room with the outlines of what is not background, not with the map; they are sorted in row-major order.
    Flat indices count pixels row by row from 0.
    """

    code: np.ndarray
    """uint8 (patch): the code of each; patches are numbered in row-major order of their first pixel."""
    pixel_count: np.ndarray
    """int64 (patch)."""
    first_pixel: np.ndarray
    """int64 (patch): flat index of the first pixel; ascending."""
    run_start: np.ndarray
    """int64 (run): flat index of the first pixel of the run."""
    run_length: np.ndarray
    """int32 (run): pixels."""
    run_patch: np.ndarray
    """int32 (run): number of the patch that the run belongs to."""
    shape: tuple[int, int]
    """Rows and columns of the map."""

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(self.code)

    def choose(self, chosen: np.ndarray) -> "Patches":
        """Return some of the patches, numbered anew in the same order.

        Args:
            chosen: bool (patch).
        """
        runs = chosen[self.run_patch]
        number = np.cumsum(chosen, dtype=np.int32) - np.int32(1)
        return Patches(
            self.code[chosen], self.pixel_count[chosen], self.first_pixel[chosen], self.run_start[runs],
            run_length=self.run_length[runs], run_patch=number[self.run_patch[runs]], shape=self.shape,
        )  # fmt: skip

    def rows(self, top: int, height: int) -> "Runs":
        """Return the runs in some rows of the map.

        Args:
            top: The first row.
            height: How many rows.
        """
        width = self.shape[1]
        low, high = np.searchsorted(self.run_start, (top * width, (top + height) * width))
        return Runs(self.run_start[low:high] - top * width, self.run_length[low:high], self.run_patch[low:high])


@dataclass(frozen=True)
class Runs:
    """Horizontal runs of pixels in some rows of a map."""

    start: np.ndarray
    """int64 (run): flat index of the first pixel, counted from the first of the rows; ascending."""
    length: np.ndarray
    """int32 (run): pixels."""
    patch: np.ndarray
    """int32 (run): number of the patch that the run belongs to."""

    def pixels(self) -> np.ndarray:
        """Return the flat indices of all their pixels, ascending; int64."""
        within = np.arange(self.length.sum()) - np.repeat(np.cumsum(self.length) - self.length, self.length)
        return np.asarray(np.repeat(self.start, self.length) + within)


def find_patches(rows: MapRows, background: int = 0) -> Patches:
    """Find the 4-connected patches of equal code.

    Args:
        rows: uint8 codes, a whole map or its rows block by block; memory grows with the patches, not with the map.
        background: The code that is in no patch. With that of unchanged pixels, the patches are those of every change
            and of what was not observed.

    Raises:
        ValueError: Blocks of different widths, or none.
    """
    finder = PatchFinder(background)
    for block in blocks_of(rows):
        finder.add(block)
    return finder.finish()


def blocks_of(rows: MapRows) -> Iterator[np.ndarray]:
    """Yield blocks of rows; a whole map is one block."""
    yield from ([rows] if isinstance(rows, np.ndarray) else rows)


class PatchFinder:
    """Finds patches in rows that are added one block after the other; see `find_patches`."""

    def __init__(self, background: int = 0) -> None:
        """Begin above the first row.

        Args:
            background: The code that is in no patch.
        """
        self._background = background
        self._shape: tuple[int, int] | None = None
        self._codes: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        # Parts of patches, as far as each block shows what belongs together, and pairs of parts that are one patch.
        self._parts: list[np.ndarray] = []
        self._same: list[np.ndarray] = []
        self._number_of_parts = 0
        self._last_row = 0

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows.

        Args:
            rows: uint8 (y, x), as wide as those before.

        Raises:
            ValueError: They are not.
        """
        height, width = rows.shape
        above = 0 if self._shape is None else self._shape[0]
        if self._shape is not None and width != self._shape[1]:
            raise ValueError(f"rows of {width} pixels below rows of {self._shape[1]}; expected one width")
        self._shape = above + height, width
        if not rows.size:
            return
        start, end, code = _runs(rows, self._background)
        known = self._starts[-1][self._last_row :] if self._starts else start[:0]
        ends = known + self._lengths[-1][self._last_row :] if self._starts else known
        codes, parts = (held[-1][self._last_row :] if held else code[:0] for held in (self._codes, self._parts))
        start, end = start + above * width, end + above * width
        component = _connect(np.append(known, start), np.append(ends, end), np.append(codes, code), width)
        part = np.full(int(component.max(initial=-1)) + 1, -1, dtype=np.int64)
        seen = component[: len(known)]
        part[seen] = parts
        differ = part[seen] != parts
        self._same.append(np.stack([part[seen][differ], parts[differ]]))
        new = part < 0
        part[new] = self._number_of_parts + np.arange(int(new.sum()))
        self._number_of_parts += int(new.sum())
        self._starts.append(start)
        self._lengths.append((end - start).astype(np.int32))
        self._codes.append(code)
        self._parts.append(part[component[len(known) :]].astype(np.int32))
        self._last_row = int(np.searchsorted(start, (above + height - 1) * width))

    def finish(self) -> Patches:
        """Return the patches of all rows.

        Raises:
            ValueError: There were none.
        """
        if self._shape is None:
            raise ValueError("a map without rows; expected at least one block")
        start, length, code, part = (
            np.concatenate([np.zeros(0, dtype=kind), *held])
            for held, kind in (
                (self._starts, np.int64), (self._lengths, np.int32), (self._codes, np.uint8), (self._parts, np.int32)
            )
        )  # fmt: skip
        same = np.concatenate([np.zeros((2, 0), dtype=np.int64), *self._same], axis=1)
        label = _components(same[0], same[1], self._number_of_parts)[part]
        first_run = np.empty(int(label.max(initial=-1)) + 1, dtype=np.int64)
        first_run[label[::-1]] = np.arange(len(label))[::-1]
        order = np.argsort(first_run)
        number = np.empty(len(order), dtype=np.int32)
        number[order] = np.arange(len(order))
        run_patch, first_run = number[label], first_run[order]
        pixel_count = np.bincount(run_patch, weights=length, minlength=len(order)).astype(np.int64)
        return Patches(
            code[first_run], pixel_count, start[first_run], start, run_length=length, run_patch=run_patch, shape=self._shape
        )


def touching_runs(start: np.ndarray, end: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs that have a border of at least a pixel between them: the upper and the lower one.

    Args:
        start: int64 (run): flat index of the first pixel; ascending.
        end: int64 (run): flat index behind the last pixel.
        width: Columns of the map.

    Returns:
        Two arrays of int64, sorted by the upper run and then by the lower one.
    """
    # A run touches those runs of the next row that overlap it when it is shifted down by one row.
    low = np.searchsorted(end, start + width, side="right")
    touching = np.searchsorted(start, end + width, side="left") - low
    upper = np.repeat(np.arange(len(start)), touching)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(low, touching)
    return upper, lower


def _runs(rows: np.ndarray, background: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, end and code of each run of equal code in a row, but for those of the background."""
    flat = np.ascontiguousarray(rows).ravel()
    edge = np.empty(flat.size + 1, dtype=bool)
    edge[0] = edge[-1] = True
    np.not_equal(flat[1:], flat[:-1], out=edge[1:-1])
    edge[:: rows.shape[1]] = True
    bounds = np.flatnonzero(edge)
    code = flat[bounds[:-1]]
    kept = code != background
    return bounds[:-1][kept], bounds[1:][kept], code[kept]


def _connect(start: np.ndarray, end: np.ndarray, code: np.ndarray, width: int) -> np.ndarray:
    """Number of the patch (run), from 0, that each run belongs to."""
    upper, lower = touching_runs(start, end, width)
    same = code[upper] == code[lower]
    return _components(upper[same], lower[same], len(start))


def _components(first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """Number things 0..size - 1 by the component that they belong to, where pairs of them are linked."""
    links = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1])
