"""Patches: the connected areas of equal code in a map."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Patches:
    """The 4-connected patches of equal code in a map, as horizontal runs of pixels.

    Runs take room with the changed pixels, not with the map; they are sorted in row-major order. Flat indices count
    pixels row by row from 0.
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
    """int64 (run): pixels."""
    run_patch: np.ndarray
    """int64 (run): number of the patch that the run belongs to."""
    width: int
    """Columns of the map."""

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(self.code)

    def pixels(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the flat indices of the pixels of the chosen patches, ascending.

        Args:
            chosen: bool (patch); all patches where None.
        """
        runs = slice(None) if chosen is None else chosen[self.run_patch]
        start, length = self.run_start[runs], self.run_length[runs]
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        return np.asarray(np.repeat(start, length) + within)


def find_patches(codes: np.ndarray) -> Patches:
    """Find the 4-connected patches of equal code.

    Args:
        codes: uint8 (y, x); 0 is background.
    """
    width = codes.shape[1]
    flat = np.ascontiguousarray(codes).ravel()
    edge = np.empty(flat.size + 1, dtype=bool)
    edge[0] = edge[-1] = True
    np.not_equal(flat[1:], flat[:-1], out=edge[1:-1])
    edge[::width] = True
    bounds = np.flatnonzero(edge)
    start, end = bounds[:-1], bounds[1:]
    kept = flat[start] != 0
    start, end = start[kept], end[kept]
    code = flat[start]

    # A run touches those runs of the next row that overlap it when it is shifted down by one row.
    low = np.searchsorted(end, start + width, side="right")
    touching = np.searchsorted(start, end + width, side="left") - low
    upper = np.repeat(np.arange(len(start)), touching)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(low, touching)
    same = code[upper] == code[lower]
    upper, lower = upper[same], lower[same]
    links = coo_array((np.ones(len(upper), dtype=bool), (upper, lower)), shape=(len(start), len(start)))
    _, label = connected_components(links, directed=False)

    _, first_run, component = np.unique(label, return_index=True, return_inverse=True)
    order = np.argsort(first_run)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    first_run = first_run[order]
    run_patch = number[component]
    pixel_count = np.bincount(run_patch, weights=end - start, minlength=len(order)).astype(np.int64)
    return Patches(
        code[first_run], pixel_count, start[first_run], start, run_length=end - start, run_patch=run_patch, width=width
    )
