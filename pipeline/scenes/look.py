"""Look into the files of a scene: read windows of it, and refuse values that its sensor cannot have measured."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, overlap_share, overlap_window
from landshift.pipeline.raster.open import keeping_open
from landshift.pipeline.raster.read import read_coverage, read_onto
from landshift.pipeline.scenes.scene import CLEAR_OF_CLOUD, Scene
from landshift.pipeline.scenes.sensors import REFLECTANCE, observed, to_values
from landshift.pipeline.tiles import STRIP_ROWS, Window

_LOOK = 256

_LOOK_PIXELS = 2**27
"""Rasters up to this size, a Sentinel-2 tile for example, are looked at whole where a few windows show nothing."""

_LOOK_ROWS = 4096
"""Of larger ones at most so many rows, evenly spaced."""

LOWEST, HIGHEST = -0.2, 2.0
"""Surface reflectance outside this range, at the median, is a scaling mistake and no surface."""


def read_scene(
    scene: Scene,
    bands: Sequence[str],
    grid: Grid,
    window: Window,
    resampling: Literal["bilinear", "average"] = "bilinear",
) -> np.ndarray:
    """Read a window of a scene in its sensor's units, clouds and nodata masked; `average` suits a grid that is coarser.

    Returns:
        float32 (band, y, x), NaN where not observed; a pixel is observed in all bands or in none.

    Raises:
        InputError: A file cannot be read.
    """
    layers = []
    for name in bands:
        source = scene.bands[name]
        numbers = read_onto(source.path, grid, source.band, resampling, scene.sensor.nodata, window)
        layers.append(to_values(numbers, scene.sensor, scene.number_offset))
    values = np.stack(layers)
    seen = np.isfinite(values).all(axis=0)
    if scene.sensor.nodata is None or np.isnan(scene.sensor.nodata):
        # Past the edge of such a file a read gives 0, which could be a measurement.
        for path in {scene.bands[name].path for name in bands}:
            seen &= read_coverage(path, grid, window)
    if scene.quality is not None:
        seen &= observed(scene.sensor, read_onto(scene.quality.path, grid, scene.quality.band, "nearest", None, window))
    if scene.mask is not None:
        seen &= read_onto(scene.mask.path, grid, scene.mask.band, "nearest", None, window) == CLEAR_OF_CLOUD
    values[:, ~seen] = np.nan
    return values


def require_overlap(scene: Scene, grid: Grid) -> None:
    """Refuse a scene that lies elsewhere.

    Raises:
        InputError: No pixel of the grid lies on the scene.
    """
    if overlap_share(grid, scene.grid) == 0:
        west, south, east, north = (round(v) for v in grid.extent.boundingbox.bbox)
        raise InputError(
            f"{scene.paths[0]} does not overlap the region's grid (x {west} to {east}, y {south} to {north} in "
            f"{crs_name(grid.crs)}). Check `grid:`, or leave the scene out with `scenes: pattern:` or `stac: leave_out:`."
        )


def look(scene: Scene, bands: Sequence[str], grid: Grid) -> np.ndarray:
    """Read up to nine windows of a scene, spread over what it covers of the grid.

    Returns:
        float32 (band, pixel) in the sensor's units, observed pixels only.

    Raises:
        InputError: A file cannot be read.
    """
    part = overlap_window(grid, scene.grid)
    rows, columns = min(_LOOK, part.height), min(_LOOK, part.width)
    corners = [
        (part.y + (part.height - rows) * i // 2, part.x + (part.width - columns) * j // 2) for i in range(3) for j in range(3)
    ]
    if rows == 0 or columns == 0:
        return np.empty((len(bands), 0), dtype=np.float32)
    with keeping_open():
        looks = [read_scene(scene, bands, grid, Window(y, x, rows, columns)) for y, x in dict.fromkeys(corners)]
    values = np.concatenate([v.reshape(len(bands), -1) for v in looks], axis=1)
    return values[:, np.isfinite(values[0])]


def require_plausible(scene: Scene, bands: Sequence[str], grid: Grid) -> None:
    """Look at a few windows of a scene, and refuse values that cannot be what its sensor says.

    Raises:
        InputError: No pixel holds a value, or units are reflectance and a band's median lies outside -0.2..2: the scale or
            offset is wrong.
    """
    values = look(scene, bands, grid)
    if values.shape[1] == 0:
        _require_values(scene, bands, grid)
        return
    if scene.sensor.units != REFLECTANCE:
        return
    for name, median in zip(bands, np.median(values, axis=1), strict=True):
        if not LOWEST <= median <= HIGHEST:
            raise InputError(
                f"{scene.bands[name].path}, band {name}: the median is {median:.3g} after (number + "
                f"{scene.number_offset:g}) x {scene.sensor.scale:g} + {scene.sensor.offset:g}, which is no reflectance (0..1). "
                f"Correct `sensor: scale:`, `offset:` or `number_offset:`, or set `units:` to what the numbers are."
            )


def _require_values(scene: Scene, bands: Sequence[str], grid: Grid) -> None:
    """Look for a value anywhere in a scene, in every k-th row where it is very large.

    Clouds count as values here: a date that is clouded all over adds nothing to an epoch of several, but is no mistake.
    """
    bare = replace(scene, quality=None, mask=None)
    part = overlap_window(grid, scene.grid)
    whole = part.height * part.width <= _LOOK_PIXELS
    rows = STRIP_ROWS if whole else 1
    step = rows if whole else -(-part.height // min(_LOOK_ROWS, max(_LOOK_PIXELS // part.width, 1)))
    for y in range(part.y, part.y + part.height, step):
        window = Window(y, part.x, min(rows, part.y + part.height - y), part.width)
        if np.isfinite(read_scene(bare, bands, grid, window)).any():
            return
    nodata = "none" if scene.sensor.nodata is None else f"{scene.sensor.nodata:g}"
    raise InputError(
        f"{scene.bands[bands[0]].path} ({scene.date}): no pixel of the region's grid was observed; every one is nodata "
        f"({nodata}), not finite or outside. Check the file with `gdalinfo -stats`, `sensor: nodata:` and `grid:`, or leave "
        f"the scene out with `scenes: pattern:` or `stac: leave_out:`."
    )
