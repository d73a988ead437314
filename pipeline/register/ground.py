"""Ground of known changes as one run saw it: what it mapped there, what clouds hid, and which patch belongs to which change."""

from dataclasses import dataclass

import numpy as np
import shapely

from landshift.pipeline.change.identity import SAME_OVERLAP, largest_of_group
from landshift.pipeline.register.states import View

HALF = 0.5
"""Share of what was observed of a change, 0..1, from which patches of its kind cover it."""
_LEAST_SHARE = 0.25
"""Share of the smaller one that the greatest mutual overlap must reach: neighbours that only blur into each other do not."""
_LEAST_COVERED = 0.1
"""The same where a patch covers all that is seen of a change: a corner between clouds proves little."""
OPEN, OVER, UNCOUNTED = 0, 1, 2
"""Whether a change may be united with others, may only be seen again, or comes after all others."""
_FEW_PIXELS = 9
"""A change or patch of at most so many pixels that lies beside the other one overlaps it whole."""
_BESIDE = 0.75
"""Pixels from one to the other, where no whole pixel lies between them."""
_NOTHING = 1e-6
"""Share of a polygon that is no more than rounding."""


@dataclass(frozen=True, eq=False)
class GroundOfChanges:
    """What one run saw of the ground of changes (n) with its patches (m)."""

    area: np.ndarray
    """float64 (n): of each change, in units of the CRS squared; 0 of one that was not asked about."""
    bounds: np.ndarray
    """float64 (n, 4): left, bottom, right and top of each change."""
    hidden: np.ndarray
    """float64 (n): what was not observed of it; 0 or more."""
    clouds: tuple[np.ndarray, np.ndarray]
    """Row of the change and number of the polygon in `View.not_observed`, of all that overlap, sorted by row."""
    row: np.ndarray
    """int64 (k): row of the change, of each overlap with a patch."""
    patch: np.ndarray
    """int64 (k): number of the patch."""
    shared: np.ndarray
    """float64 (k): area of the overlap, above 0."""
    same: np.ndarray
    """bool (k): whether both have one change code."""

    @property
    def observed(self) -> np.ndarray:
        """float64 (n): what was observed of each change."""
        return np.asarray(self.area - self.hidden)

    @property
    def is_covered(self) -> np.ndarray:
        """Bool (n): where patches of its kind cover at least half of what was observed of a change."""
        covered = np.bincount(self.row[self.same], self.shared[self.same], minlength=len(self.area))
        return np.asarray((covered > 0) & (covered >= HALF * self.observed))


def look(changes: np.ndarray, codes: np.ndarray, view: View) -> GroundOfChanges:
    """Compare a run with the ground of known changes.

    Args:
        changes: Polygons (n); None for one that is not asked about.
        codes: int64 (n): change codes.
        view: The run.
    """
    tree = shapely.STRtree(changes)
    area = np.nan_to_num(shapely.area(changes))
    patches = view.patches.geometry.to_numpy()
    pixel = view.observation.pixel_size
    patch, row = tree.query(patches, predicate="dwithin", distance=_BESIDE * pixel)
    same = codes[row] == view.patches["change_code"].to_numpy()[patch]
    shared = shapely.area(shapely.intersection(changes[row], patches[patch]))
    # Where outlines were simplified, a corner of one pixel may lie beside the rest of its change.
    smaller = np.minimum(area[row], shapely.area(patches)[patch])
    shared = np.where(same & (smaller <= _FEW_PIXELS * pixel**2), smaller, shared)
    kept = shared > 0
    row, patch, shared, same = row[kept], patch[kept], shared[kept], same[kept]
    hidden, clouds = _hidden(changes, area, tree, view)
    return GroundOfChanges(area, shapely.bounds(changes), hidden, clouds, row=row, patch=patch, shared=shared, same=same)


def _hidden(
    changes: np.ndarray, area: np.ndarray, tree: shapely.STRtree, view: View
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    hidden = np.zeros(len(changes))
    beyond = _beyond(changes, view)
    hidden[beyond] = area[beyond] - shapely.area(shapely.intersection(changes[beyond], view.extent))
    cloud, row = tree.query(view.not_observed, predicate="intersects")
    whole = tree.query(view.not_observed, predicate="covers")
    inside = np.isin(cloud * len(changes) + row, whole[0] * len(changes) + whole[1])
    lost = np.where(inside, area[row], 0.0)
    lost[~inside] = shapely.area(shapely.intersection(changes[row[~inside]], view.not_observed[cloud[~inside]]))
    np.add.at(hidden, row, lost)
    by_row = np.argsort(row, kind="stable")
    hidden = np.minimum(np.where(hidden <= _NOTHING * area, 0.0, hidden), area)
    return np.where(hidden >= (1 - _NOTHING) * area, area, hidden), (row[by_row], cloud[by_row])


def _beyond(changes: np.ndarray, view: View) -> np.ndarray:
    """Return the rows of the changes that may reach beyond the map."""
    left, bottom, right, top = shapely.bounds(view.extent)
    box = shapely.bounds(changes)
    # Of a change that is not asked about they are NaN, and no comparison holds.
    return np.flatnonzero((box[:, 0] < left) | (box[:, 1] < bottom) | (box[:, 2] > right) | (box[:, 3] > top))


def hidden_part(ground: GroundOfChanges, change: shapely.Geometry, row: int, view: View) -> shapely.Geometry:
    """Return what was not observed of a change."""
    rows, clouds = ground.clouds
    touching = clouds[slice(*np.searchsorted(rows, [row, row + 1]))]
    parts = [*shapely.intersection(change, view.not_observed[touching]), shapely.difference(change, view.extent)]
    return shapely.union_all(parts)


def largest_part_seen(ground: GroundOfChanges, change: shapely.Geometry, row: int, view: View) -> float:
    """Return the area of the largest part of a change that was observed."""
    parts = shapely.get_parts(shapely.difference(change, hidden_part(ground, change, row, view)))
    return float(shapely.area(parts).max(initial=0.0))


def join_parts(parts: list[shapely.Geometry]) -> shapely.Geometry:
    """Return the union of polygons, as a polygon or multipolygon, without the slivers and lines of rounding."""
    pieces = shapely.get_parts(shapely.union_all(parts))
    sizes = shapely.area(pieces)
    kept = pieces[sizes > _NOTHING * sizes.sum()]
    return kept[0] if len(kept) == 1 else shapely.multipolygons(kept)


def match(ground: GroundOfChanges, tiers: np.ndarray, patch_area: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return the change that each patch belongs to, and which changes turn out to be one.

    A patch belongs to a change of its code where one of these holds; of several changes it is the one that it shares most with:
    intersection over union of the patch with what was observed of the change reaches `SAME_OVERLAP`; half of the patch lies in
    the change (a part of it, between clouds); the patch covers half of what was observed of the change, and at least a tenth of
    the smaller of both; or each has its greatest overlap with the other, of at least a quarter of the smaller (it grew).

    Changes that one patch covers, in the sense of the third, are one.

    Args:
        ground: From `look`.
        tiers: int64 (n): `OPEN`, `OVER`, or `UNCOUNTED` for a change that no counting run saw.
        patch_area: float64 (m): area of each patch, in units of the CRS squared.

    Returns:
        int64 (m): row of the change, -1 without one. And pairs of rows that are one change.
    """
    row, patch, shared = (values[ground.same] for values in (ground.row, ground.patch, ground.shared))
    size, observed = patch_area[patch], ground.observed[row]
    covers = (shared >= HALF * observed) & (shared >= _LEAST_COVERED * np.minimum(ground.area[row], size))
    # What no counting run saw takes no part in what the largest overlap of a patch is.
    largest = largest_of_group(shared, 2 * patch + (tiers[row] == UNCOUNTED))
    mutual = (shared == largest_of_group(shared, row)) & (shared == largest)
    mutual &= shared >= _LEAST_SHARE * np.minimum(observed, size)
    belongs = covers | mutual | (shared >= HALF * size) | (shared >= SAME_OVERLAP * (observed + size - shared))
    row, patch, shared, covers = row[belongs], patch[belongs], shared[belongs], covers[belongs]
    result = np.full(len(patch_area), -1)
    # Those that no counting run saw come last; the one written last stays. Of equal ones the place decides: the order of rows
    # depends on runs that do not count.
    order = np.lexsort((*-ground.bounds[row].T, shared, tiers[row] < UNCOUNTED))
    result[patch[order]] = row[order]
    # What no counting run saw lends its id, to one patch, and has no other part in what is seen.
    most = np.zeros(len(result))
    most[patch[order]] = shared[order]
    lent = np.flatnonzero((result >= 0) & (tiers[result] == UNCOUNTED) if len(tiers) else result >= 0)
    lent = lent[np.argsort(most[lent], kind="stable")]
    owner = np.full(len(tiers), -1)
    owner[result[lent]] = lent
    result[lent[owner[result[lent]] != lent]] = -1
    united = covers & (tiers[row] == OPEN) & (tiers[result[patch]] < UNCOUNTED) & (row != result[patch])
    return result, list(zip(row[united].tolist(), result[patch[united]].tolist(), strict=True))
