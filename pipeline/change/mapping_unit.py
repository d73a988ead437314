"""The minimum mapping unit: changes below it become unchanged."""

import numpy as np

from landshift.pipeline.change.patches import Patches
from landshift.pipeline.legend import CHANGED, UNCHANGED


def min_patch_pixels(min_area_ha: float, pixel_area_ha: float) -> int:
    """Return the fewest pixels that make up the minimum mapping unit, at least 1.

    Args:
        min_area_ha: Hectares, 0 or more; 0 keeps every patch.
        pixel_area_ha: Hectares of one pixel.

    Examples:
        >>> min_patch_pixels(0.5, 0.01), min_patch_pixels(0.3, 0.1), min_patch_pixels(0.5, 0.09)
        (50, 3, 6)
        >>> min_patch_pixels(0.07, 0.01)
        7
    """
    # 0.07 / 0.01 is 7.000000000000001: a millionth of a pixel of tolerance keeps whole numbers of pixels whole.
    return max(1, int(np.ceil(min_area_ha / pixel_area_ha - 1e-6)))


def divide_by_size(patches: Patches, min_pixels: int) -> tuple[Patches, Patches]:
    """Divide the patches of a map into those that stay and those below the minimum mapping unit.

    Args:
        patches: Of the whole map; a tile would cut them. Those of what was not observed stay, whatever their size.
        min_pixels: Changes with fewer pixels are below the unit; 1 or less keeps all.

    Returns:
        Those that stay, which are the patches of the map once the others are dropped; and the others.
    """
    small = (patches.code >= CHANGED) & (patches.pixel_count < min_pixels)
    return patches.choose(~small), patches.choose(small)


def drop_small(small: Patches, top: int, change: np.ndarray, before: np.ndarray | None, after: np.ndarray | None) -> None:
    """Apply the minimum mapping unit to some rows of a map, in place.

    A small patch never becomes another change, as a sieve would make it: it becomes unchanged and keeps the land use of the
    date before on both dates (so a pixel is still changed if and only if its land use differs). Its probability of change
    stays as it is.

    Args:
        small: The patches below the unit, of the whole map.
        top: Number of the first of these rows in the map.
        change: uint8 (y, x) change codes of the rows.
        before: uint8 (y, x) land-use codes before; None in a binary project.
        after: The same for the date after.
    """
    pixels = small.rows(top, len(change)).pixels()
    change.flat[pixels] = UNCHANGED
    if before is not None and after is not None:
        after.flat[pixels] = before.flat[pixels]
