"""Patches of pixels that look alike: what a person judges in one go within a block."""

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from rasterio.features import shapes
from skimage.segmentation import slic

from landshift.pipeline.labels.suggesting import scale_to_one

_COMPACT = 2.0
"""How much nearness counts for the patches beside values of deviation 1."""
_FEWEST = 4
"""Pixels that a patch has at least: of fewer, a person cannot see what they are."""
_LEAST = 0.05
"""Weight of a patch without any doubt."""
_SMALLEST = 1e-9


@dataclass(frozen=True, eq=False)
class BlockPatches:
    """Patches of pixels of one block that look alike, and those to judge."""

    index: np.ndarray
    """int32 (y, x): number of the patch, 0 = none (not observed)."""
    chosen: tuple[int, ...]
    """Numbers of those to judge, the one to judge first first."""


def cut_patches(
    values: np.ndarray, doubt: np.ndarray, disagreement: np.ndarray, count: int, *, pixels: int = 25
) -> BlockPatches:
    """Cut a block into patches of pixels that look alike, and choose those to judge.

    The patches are superpixels (SLIC, Achanta 2012, doi:10.1109/TPAMI.2012.120) of the values of both dates, so that one answer
    is likely to hold for the whole of a patch. They are chosen as blocks are: by doubt and disagreement, and unlike each other.

    Args:
        values: float (value, y, x), standardised, NaN = not observed.
        doubt: (y, x), 0..1.
        disagreement: (y, x), 0..1.
        count: Patches to choose at most.
        pixels: Of a patch, about.
    """
    seen = np.isfinite(values).all(axis=0) & np.isfinite(doubt) & np.isfinite(disagreement)
    if not seen.any():
        return BlockPatches(np.zeros(seen.shape, dtype=np.int32), ())
    image = np.moveaxis(np.nan_to_num(values), 0, -1).astype(np.float64)
    wanted = max(round(int(seen.sum()) / pixels), 1)
    found = slic(image, n_segments=wanted, compactness=_COMPACT, mask=seen, channel_axis=-1, start_label=1)  # type: ignore[no-untyped-call]
    index = np.asarray(found, dtype=np.int32)
    sizes = np.bincount(index.ravel())
    numbers = np.flatnonzero(sizes >= _FEWEST)
    numbers = numbers[numbers > 0]
    if not len(numbers):
        return BlockPatches(index, ())

    def mean(part: np.ndarray) -> np.ndarray:
        return np.bincount(index.ravel(), weights=np.nan_to_num(part).ravel(), minlength=len(sizes))[numbers] / sizes[numbers]

    weight = _LEAST + scale_to_one(mean(doubt)) + scale_to_one(mean(disagreement))
    place = np.stack([mean(part) for part in values], axis=-1)
    order, distance = [int(np.argmax(weight))], np.full(len(numbers), np.inf)
    for _ in range(min(count, len(numbers)) - 1):
        distance = np.minimum(distance, np.linalg.norm(place - place[order[-1]], axis=1))
        left = np.where(np.isin(np.arange(len(numbers)), order), -1.0, weight * (distance + _SMALLEST))
        order.append(int(np.argmax(left)))
    return BlockPatches(index, tuple(int(numbers[k]) for k in order))


def outline_patches(patches: BlockPatches, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Return the outlines of the chosen patches along pixel edges; of one in several parts, the largest part.

    Args:
        patches: Of a block.
        transform: Pixel (column, row) of the block to coordinates of the map.

    Returns:
        Polygons (n), object, and the pixels of each, int64 (n,), in the order of choice.
    """
    wanted = np.isin(patches.index, patches.chosen)
    parts: dict[int, list[shapely.Polygon]] = {}
    for outline, value in shapes(patches.index, mask=wanted, connectivity=4, transform=transform):
        rings = outline["coordinates"]
        parts.setdefault(int(value), []).append(shapely.Polygon(rings[0], rings[1:]))
    largest = np.array([max(parts[k], key=lambda p: p.area) for k in patches.chosen], dtype=object)
    areas = shapely.area(largest) if len(largest) else np.zeros(0)
    return largest, np.rint(areas / abs(transform.a * transform.e)).astype(np.int64)
