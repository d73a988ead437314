"""Outlines of patches along the edges of their pixels, traced from runs: for all patches at once, without the map."""

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from landshift.pipeline.change.patches import Patches, touching_runs

_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""(x, y) of a step right, down, left and up: a patch lies to the right of an outline that is followed so."""


@dataclass(frozen=True)
class Outlines:
    """Outlines of patches: rings of pixel corners, the outer one of a patch before its holes."""

    corners: np.ndarray
    """int64 (corner, 2): x to the right and y down, in pixels; each ring ends with the corner that it begins with."""
    rings: np.ndarray
    """int64 (ring + 1): where the corners of each ring begin, and their number."""
    patches: np.ndarray
    """int64 (patch + 1): where the rings of each patch begin, and their number."""

    def polygons(self) -> np.ndarray:
        """Return them as polygons (patch) in pixel coordinates."""
        offsets = self.rings, self.patches
        return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, self.corners.astype(float), offsets))

    def keep(self, kept: np.ndarray) -> "Outlines":
        """Return the outlines without some corners; bool (corner)."""
        return Outlines(self.corners[kept], np.append(0, np.cumsum(kept))[self.rings], self.patches)

    def areas(self) -> np.ndarray:
        """Return how large each patch is, in pixels; float64 (patch)."""
        x, y = self.corners.T
        twice = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0)
        # Between the end of a ring and the begin of the next lies no edge.
        twice[self.rings[1:] - 1] = 0
        return -np.add.reduceat(twice, self.rings[self.patches[:-1]]) / 2 if len(self.patches) > 1 else np.zeros(0)


def trace_outlines(patches: Patches) -> Outlines:
    """Return the exact outlines of patches.

    Returns:
        Rings with a corner at every pixel corner that they pass, so that neighbours have the same ones on their common
        border. Outer rings begin at the upper left corner of the first pixel and go down from there, counter-clockwise on a
        map, holes the other way round. As polygons they are valid: a ring nowhere meets itself.
    """
    if not len(patches):
        return Outlines(np.zeros((0, 2), dtype=np.int64), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    edges = _edges(patches)
    order, ring_start = _rings(_successors(edges, patches.shape[1]), edges.patch)
    length = edges.length[order]
    # A vertex at every pixel corner, and the first of each ring once more at its end.
    edge = np.repeat(np.arange(len(order)), length)
    within = np.arange(len(edge)) - np.repeat(np.cumsum(length) - length, length)
    corners = np.stack([edges.x, edges.y], axis=1)[order][edge] + _STEPS[edges.direction[order][edge]] * within[:, None]
    first = (np.cumsum(length) - length)[ring_start]
    size = np.diff(np.append(first, len(corners)))
    closed = np.insert(corners, np.append(first, len(corners))[1:], corners[first], axis=0)
    ring_ends = np.append(0, np.cumsum(size + 1))
    # Turned round: on a map, where y grows to the north, outer rings are to go counter-clockwise.
    turned = np.repeat(ring_ends[:-1] + ring_ends[1:] - 1, size + 1) - np.arange(len(closed))
    rings = np.append(0, np.cumsum(np.bincount(edges.patch[order][ring_start], minlength=len(patches))))
    return Outlines(closed[turned], ring_ends, rings)


@dataclass(frozen=True)
class _Edges:
    """Straight parts of outlines, sorted by direction, then by y and x; each int64 (edge)."""

    x: np.ndarray
    """Column of the pixel corner where it begins."""
    y: np.ndarray
    """Row of it."""
    length: np.ndarray
    """Pixels."""
    direction: np.ndarray
    """Number in `_STEPS`."""
    patch: np.ndarray
    """Number of the patch that it belongs to."""


def _edges(patches: Patches) -> _Edges:
    """Return the edges of patches; the first one of each is the upper edge of its first pixel."""
    width = patches.shape[1]
    start, length, patch = patches.run_start, patches.run_length.astype(np.int64), patches.run_patch.astype(np.int64)
    end = start + length
    upper, lower = touching_runs(start, end, width)
    same = patch[upper] == patch[lower]
    upper, lower = upper[same], lower[same]
    y, left = np.divmod(start, width)
    right = left + length
    above = _free(lower, np.stack([left[upper], right[upper]]), left, right)
    below = _free(upper, np.stack([left[lower], right[lower]]), left, right)
    one = np.ones_like(left)
    parts = [
        (above.begin, y[above.run], above.end - above.begin, patch[above.run]),
        (right, y, one, patch),
        (below.end, y[below.run] + 1, below.end - below.begin, patch[below.run]),
        (left, y + 1, one, patch),
    ]
    x, y, length, patch = (np.concatenate([part[k] for part in parts]) for k in range(4))
    return _Edges(x, y, length, np.repeat(np.arange(4), [len(part[0]) for part in parts]), patch=patch)


@dataclass(frozen=True)
class _Spans:
    """Parts of runs."""

    run: np.ndarray
    """int64 (span): the run; ascending."""
    begin: np.ndarray
    """int64 (span): its first column; ascending within a run."""
    end: np.ndarray
    """int64 (span): the column behind its last."""


def _free(run: np.ndarray, covers: np.ndarray, left: np.ndarray, right: np.ndarray) -> _Spans:
    """What covers leave free of runs.

    Args:
        run: int64 (cover): the run that it covers some pixels of; ascending.
        covers: int64 (2, cover): first column and the one behind the last, which may lie beyond the run; ascending in a run.
        left: int64 (run): first column.
        right: int64 (run): the column behind the last.
    """
    count = np.bincount(run, minlength=len(left))
    number = np.arange(len(run)) + run
    last = np.cumsum(count) + np.arange(len(left))
    begin, end = np.empty((2, len(run) + len(left)), dtype=np.int64)
    begin[last - count], begin[number + 1] = left, covers[1]
    end[last], end[number] = right, covers[0]
    kept = end > begin
    return _Spans(np.repeat(np.arange(len(left)), count + 1)[kept], begin[kept], end[kept])


def _successors(edges: _Edges, width: int) -> np.ndarray:
    """Number of the edge (edge) that goes on where each one ends; `width` is that of the map."""
    corner, patch = edges.y * (width + 1) + edges.x, edges.patch
    end = corner + edges.length * (_STEPS @ np.array([1, width + 1]))[edges.direction]
    first = np.searchsorted(edges.direction, np.arange(5))
    following = np.full(len(corner), -1, dtype=np.int64)
    for way in range(4):
        here = slice(first[way], first[way + 1])
        # Where a patch touches itself at a corner, the outline turns left, across to the other pixel: rings stay apart.
        for turn in (way + 1, way, way - 1):
            begin = first[turn % 4]
            there = corner[begin : first[turn % 4 + 1]]
            found = np.minimum(np.searchsorted(there, end[here]), len(there) - 1)
            fits = (there[found] == end[here]) & (patch[begin + found] == patch[here])
            following[here][fits] = begin + found[fits]
    return following


def _rings(following: np.ndarray, patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of edges in which rings follow each other, those of a patch with its outer one first, and where each begins."""
    size = len(following)
    ring = connected_components(_graph(following), directed=True, connection="weak")[1]
    first = np.empty(int(ring.max()) + 1, dtype=np.int64)
    first[ring[::-1]] = np.arange(size)[::-1]
    count = np.bincount(ring)
    # The first edge of all is the upper one of the first pixel, which is in the outer ring.
    wanted = np.lexsort((first, patch[first]))
    first, count = first[wanted], count[wanted]
    # All rings opened and joined to one path, which the search walks along.
    before = np.empty(size, dtype=np.int64)
    before[following] = np.arange(size)
    path = following.copy()
    path[before[first]] = np.roll(first, -1)
    order = breadth_first_order(_graph(path), first[0], directed=True, return_predecessors=False)
    return np.asarray(order, dtype=np.int64), np.cumsum(count) - count


def _graph(following: np.ndarray) -> csr_array:
    """Graph of things that each have one follower."""
    size = len(following)
    return csr_array((np.ones(size), following, np.arange(size + 1)), shape=(size, size))
