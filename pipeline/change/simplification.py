"""Outlines simplified as a coverage: for all patches at once, and shared borders stay shared."""

from dataclasses import dataclass, replace

import numpy as np

from landshift.pipeline.change.patches import Patches
from landshift.pipeline.change.tracing import Outlines

_LARGEST_TRIANGLE_PX = 1
"""Corners whose triangle is no larger are dropped: the staircases of slanted borders. Larger ones could hold other corners."""
_PROTECTED_PIXELS = 8
"""Patches with fewer pixels keep their outline: simplified, a single pixel would become a triangle of half its area."""
_LARGEST_DEVIATION = 1 / 3
"""No drawn area differs from its pixels' by more than this share."""


def simplify_outlines(exact: Outlines, patches: Patches) -> Outlines:
    """Simplify outlines together, so that shared borders stay shared.

    Visvalingam-Whyatt (https://doi.org/10.1179/000870493786962263) on the lines between the corners where three or more
    borders meet: the smallest triangles of a corner and its two neighbours go first, many at once where they are apart.
    Patches that would lose their shape keep their outline.

    Lines neither cross nor touch afterwards. All corners lie on the lattice of pixel corners; a triangle on it of at most one
    pixel holds no other corner (Pick's theorem), except in the middle of its new edge, where it is looked for.

    Args:
        exact: From `trace_outlines`.
        patches: Their pixels.

    Returns:
        The outlines with fewer corners, valid as polygons and as a coverage; the area of each patch differs from its
        pixels' by at most a third.
    """
    if not len(patches):
        return exact
    owner = np.repeat(np.repeat(np.arange(len(patches)), np.diff(exact.patches)), np.diff(exact.rings))
    places = _places(exact, patches.shape[1] + 1)
    corner, fixed = places.number, _find_fixed(exact, places.number)
    rigid = np.zeros_like(fixed)
    rigid[corner[(patches.pixel_count < _PROTECTED_PIXELS)[owner]]] = True
    alive = _thin(_lines(exact, places, fixed, rigid), places)
    while True:
        simple = exact.keep(alive[corner])
        deviation = np.abs(simple.areas() / patches.pixel_count - 1)
        if deviation.max() <= _LARGEST_DEVIATION:
            return simple
        # Lines do not depend on each other: any of them can have all its corners back.
        alive[corner[(deviation > _LARGEST_DEVIATION)[owner]]] = True


@dataclass(frozen=True)
class _Places:
    """Where corners lie: neighbours have corners at one place."""

    number: np.ndarray
    """int64 (corner): number of the place that each corner lies at."""
    at: np.ndarray
    """int64 (place): flat index of each place on the lattice of pixel corners; ascending."""
    width: int
    """Corners in a row of the lattice."""


def _places(exact: Outlines, width: int) -> _Places:
    place, number = np.unique(exact.corners @ np.array([1, width]), return_inverse=True)
    return _Places(number, place, width)


def _find_fixed(exact: Outlines, corner: np.ndarray) -> np.ndarray:
    """Which places, bool, keep their corner: meetings of borders, and the first one of each ring."""
    step = np.append(np.diff(exact.corners, axis=0) @ np.array([1, 2]), 0)
    step[exact.rings[1:] - 1] = 0
    borders = np.zeros(int(corner.max()) + 1, dtype=np.uint8)
    for way in (1, 2, -1, -2):
        there = np.zeros(len(borders), dtype=bool)
        there[corner[step == way]] = True
        there[corner[np.flatnonzero(step == -way) + 1]] = True
        borders += there
    fixed = borders > 2
    fixed[corner[exact.rings[:-1]]] = True
    return fixed


@dataclass(frozen=True)
class _Lines:
    """Borders between fixed corners, each once, one behind the other: its corners with both ends."""

    x: np.ndarray
    """int64 (corner)."""
    y: np.ndarray
    """int64 (corner)."""
    place: np.ndarray
    """int64 (corner): number of the place that it lies at."""
    line: np.ndarray
    """int64 (corner): the line that it belongs to; ascending."""
    least: np.ndarray
    """int64 (line): corners between its ends that it must keep."""
    rigid: np.ndarray
    """bool (line): whether only corners within straight parts may go."""

    def choose(self, kept: np.ndarray) -> "_Lines":
        """Return the lines with some of their corners; bool (corner)."""
        return replace(self, x=self.x[kept], y=self.y[kept], place=self.place[kept], line=self.line[kept])


def _lines(exact: Outlines, places: _Places, fixed: np.ndarray, rigid: np.ndarray) -> _Lines:
    """Return the lines; bool (place): which corners are fixed, and which lie on the outline of a protected patch."""
    corner, free = places.number, ~fixed[places.number]
    # Borders between two patches are taken from the outline of the first of them.
    first = np.empty(len(fixed), dtype=np.int64)
    first[corner[::-1]] = np.arange(len(corner))[::-1]
    free &= first[corner] == np.arange(len(corner))
    begin = np.flatnonzero(free & ~np.append(False, free[:-1])) - 1
    end = np.flatnonzero(free & ~np.append(free[1:], False)) + 1
    count = end - begin + 1
    line = np.repeat(np.arange(len(begin)), count)
    index = np.arange(len(line)) + (begin - np.cumsum(count) + count)[line]
    x, y = exact.corners[index].T
    ends = np.sort(corner[np.stack([begin, end])], axis=0)
    _, pair, times = np.unique(ends[0] * len(fixed) + ends[1], return_inverse=True, return_counts=True)
    # A ring keeps an area. Of two lines between the same corners at most one may be straight, and none beside an edge there.
    beside = np.isin(places.at[ends[1]] - places.at[ends[0]], (1, places.width))
    least = np.where(ends[0] == ends[1], 2, ((times[pair] > 1) | beside).astype(np.int64))
    return _Lines(x, y, corner[index], line, least=least, rigid=rigid[corner[begin + 1]])


def _thin(lines: _Lines, places: _Places) -> np.ndarray:
    """Which places, bool, keep their corner."""
    alive = np.ones(len(places.at), dtype=bool)
    line_at = np.full(len(places.at), -1, dtype=np.int64)
    inner = ~_are_ends(lines.line)
    line_at[lines.place[inner]] = lines.line[inner]
    while len(lines.line):
        dropped = _allow(lines, _smallest(_triangles(lines, places, alive, line_at)))
        alive[lines.place[dropped]] = False
        # A line without a corner to drop is done: no other one changes what it can drop.
        active = np.zeros(len(lines.least), dtype=bool)
        active[lines.line[dropped]] = True
        lines = lines.choose(active[lines.line] & ~dropped)
    return alive


def _are_ends(line: np.ndarray) -> np.ndarray:
    new = np.flatnonzero(np.diff(line))
    ends = np.zeros(len(line), dtype=bool)
    ends[new] = ends[new + 1] = True
    ends[:1] = ends[-1:] = True
    return ends


_NEVER = np.iinfo(np.int64).max


def _triangles(lines: _Lines, places: _Places, alive: np.ndarray, line_at: np.ndarray) -> np.ndarray:
    """Twice the area, px, of the triangle of each corner and its neighbours; `_NEVER` where the corner must stay.

    Args:
        lines: The lines as they are by now.
        places: Where corners lie.
        alive: bool (place): which corners are left.
        line_at: int64 (place): the line whose inner corner lies there, -1 for the end of lines.
    """
    x, y = lines.x, lines.y
    dx, dy = x[2:] - x[:-2], y[2:] - y[:-2]
    twice = np.full(len(x), _NEVER)
    twice[1:-1] = np.abs((x[1:-1] - x[:-2]) * dy - (y[1:-1] - y[:-2]) * dx)
    most = np.where(lines.rigid, 0, 2 * _LARGEST_TRIANGLE_PX)[lines.line]
    twice[(twice > most) | _are_ends(lines.line)] = _NEVER
    doubt = np.flatnonzero((twice[1:-1] == 2 * _LARGEST_TRIANGLE_PX) & (dx % 2 == 0) & (dy % 2 == 0))
    middle = (y[doubt] + dy[doubt] // 2) * places.width + x[doubt] + dx[doubt] // 2
    found = np.minimum(np.searchsorted(places.at, middle), len(places.at) - 1)
    taken = (places.at[found] == middle) & (alive[found] | (line_at[found] != lines.line[doubt + 1]))
    twice[doubt[taken] + 1] = _NEVER
    return twice


def _smallest(twice: np.ndarray) -> np.ndarray:
    """Choose corners, bool, whose triangle is no larger than those of their neighbours; of equal ones every other."""
    new = np.append(True, twice[1:] != twice[:-1])
    index = np.arange(len(twice))
    position = index - np.maximum.accumulate(np.where(new, index, 0))
    before, after = np.append(_NEVER, twice[:-1]), np.append(twice[1:], _NEVER)
    chosen = (position % 2 == 0) & (twice <= before) & (twice <= after)
    # All corners within a straight line may go at once.
    return np.asarray((twice != _NEVER) & (chosen | (twice == 0)))


def _allow(lines: _Lines, chosen: np.ndarray) -> np.ndarray:
    """Choose of the corners as many as the lines can do without, bool."""
    line = lines.line
    begin = np.flatnonzero(np.append(True, line[1:] != line[:-1]))
    size = np.diff(np.append(begin, len(line)))
    so_far = np.cumsum(chosen)
    rank = so_far - np.repeat((so_far - chosen)[begin], size)
    return np.asarray(chosen & (rank <= np.repeat(size - 2 - lines.least[line[begin]], size)))
