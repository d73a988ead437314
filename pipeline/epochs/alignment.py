"""An epoch's image and observation layer, moved by a part of a pixel."""

from pathlib import Path

import numpy as np

from landshift.pipeline.raster.read import inspect, read_moved
from landshift.pipeline.raster.write import Layout, open_writer
from landshift.pipeline.tiles import strips


def write_aligned(image: Path, observation: Path, shift: tuple[float, float], target: Path, target_observation: Path) -> float:
    """Write an image and its observation layer again, everything moved back by a shift, strip by strip.

    `shift` is in pixels that things lie too far down and too far right.

    The image is resampled with cubic convolution, the observation layer takes the nearest pixel; a pixel is observed in both
    or in none.

    Returns:
        Share of pixels observed, 0..1.

    Raises:
        InputError: A file cannot be read.
        OSError: A file could not be written whole.
    """
    infos = [inspect(path) for path in (image, observation)]
    layouts = [
        Layout(
            i.grid, i.count, i.dtype, i.nodata, descriptions=i.descriptions, units=i.units,
            tags={**i.tags, "MOVED": f"{-shift[0]:.3f} {-shift[1]:.3f} pixels (y, x)"},
        )
        for i in infos
    ]  # fmt: skip
    height, width = infos[0].shape
    seen_pixels = 0
    with open_writer(target, layouts[0]) as write, open_writer(target_observation, layouts[1]) as write_seen:
        for strip in strips((height, width)):
            values = read_moved(image, shift, strip, "cubic")
            seen = read_moved(observation, shift, strip, "nearest")
            unseen = ~np.isfinite(values).all(axis=0) | (seen < 0).any(axis=0)
            values[:, unseen] = np.nan
            seen[:, unseen] = -1
            seen_pixels += int((~unseen).sum())
            write(strip, values)
            write_seen(strip, seen)
    return seen_pixels / (height * width)
