"""Pictures of the largest patches before and after, which map tips of QGIS show."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from landshift.pipeline.drawing.chips import ChipSource, chip_pair
from landshift.pipeline.drawing.qml import PATCH_PICTURES
from landshift.pipeline.grid import Grid
from landshift.pipeline.run_files import IMAGES

MOST_PICTURES = 100
"""Patches with a picture, the largest: some 3 MB."""
_SIDE = 240
"""Of each date, pixels."""


def write_patch_pictures(folder: Path, changes: gpd.GeoDataFrame, grid: Grid) -> list[Path]:
    """Write a JPEG of each of the largest patches, both dates beside each other, called after the patch's id.

    Args:
        folder: Of the run, with the images.
        changes: The polygons, with `change_id` and `area_ha`, in the CRS of the grid.
        grid: Of the images.

    Returns:
        The files.

    Raises:
        InputError: An image is damaged.
    """
    largest = changes.iloc[np.argsort(-changes["area_ha"].to_numpy(dtype=float), kind="stable")[:MOST_PICTURES]]
    place = folder / PATCH_PICTURES
    if largest.empty:
        return []
    place.mkdir(parents=True, exist_ok=True)
    a, _, c, _, e, f = grid.transform[:6]
    files = []
    with ChipSource(folder / IMAGES["before"]) as before, ChipSource(folder / IMAGES["after"]) as after:
        for change_id, patch in zip(largest["change_id"], largest.geometry, strict=True):
            pixels = shapely.transform(patch, lambda xy: (xy - [c, f]) / [a, e])
            path = place / f"{change_id}.jpg"
            path.write_bytes(chip_pair(before, after, pixels, _SIDE))
            files.append(path)
    return files
