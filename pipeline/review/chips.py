"""Pictures of the changes to review, cut from the images of their runs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import geopandas as gpd
import shapely.affinity

from landshift.pipeline.drawing.chips import ChipSource, chip_pair
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.register.drawings import Drawing
from landshift.pipeline.run_files import IMAGES

CHIPS = "chips"
"""Folder of the pictures, within that of the review."""


def write_chips(
    folder: Path, chosen: gpd.GeoDataFrame, drawing: Drawing, folders: Mapping[str, Path], advance: Callable[[float], None],
) -> dict[str, str]:  # fmt: skip
    """Write a picture of each change whose run is there.

    Args:
        folder: Of the review.
        chosen: The changes, in the order of the drawing.
        drawing: What is given out.
        folders: Key of a run to its folder.
        advance: Takes the share that is done, 0..1.

    Returns:
        Id of the change to the picture's path, relative to the folder.

    Raises:
        InputError: An image is damaged.
    """
    (folder / CHIPS).mkdir()
    written: dict[str, str] = {}
    for run, place in folders.items():
        rows = [n for n, item in enumerate(drawing.items) if item.run == run]
        images = [place / file for file in IMAGES.values()]
        if not rows or not all(image.is_file() for image in images):
            continue
        inverse = ~inspect(images[0]).transform
        with ChipSource(images[0]) as before, ChipSource(images[1]) as after:
            for n in rows:
                patch = shapely.affinity.affine_transform(chosen.geometry.iloc[n], inverse.to_shapely())
                path = f"{CHIPS}/{n + 1:05d}.jpg"
                (folder / path).write_bytes(chip_pair(before, after, patch))
                written[drawing.items[n].change_id] = path
                advance(len(written) / len(drawing.items))
    return written
