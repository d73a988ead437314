"""Make one analysis-ready image from the scenes of an epoch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.grid import Grid, crs_name, overlap_share
from pipeline.raster import covered, read_onto
from pipeline.raster_open import keeping_open
from pipeline.raster_write import Layout, open_writer
from pipeline.scene import Epoch, Scene
from pipeline.sensors import REFLECTANCE, observed, to_values
from pipeline.tiles import Window

_ROWS = 512
_LOOK = 256
_LOOK_PIXELS = 2**27
"""Rasters up to this size, a Sentinel-2 tile for example, are looked at whole where a few windows show nothing."""
_LOOK_ROWS = 4096
"""Of larger ones at most so many rows, evenly spaced."""
_EPOCH_DAY = "1970-01-01"
LOWEST, HIGHEST = -0.2, 2.0
"""Surface reflectance outside this range, at the median, is a scaling mistake and no surface."""


def read_scene(scene: Scene, bands: Sequence[str], grid: Grid, window: Window) -> np.ndarray:
    """Read a window of a scene in its sensor's units, clouds and nodata masked.

    Returns:
        float32 (band, y, x), NaN where not observed; a pixel is observed in all bands or in none.

    Raises:
        InputError: A file cannot be read.
    """
    layers = []
    for name in bands:
        source = scene.bands[name]
        numbers = read_onto(source.path, grid, source.band, "bilinear", scene.sensor.nodata, window)
        layers.append(to_values(numbers, scene.sensor, scene.number_offset))
    values = np.stack(layers)
    seen = np.isfinite(values).all(axis=0)
    if scene.sensor.nodata is None or np.isnan(scene.sensor.nodata):
        # Past the edge of such a file a read gives 0, which could be a measurement.
        for path in {scene.bands[name].path for name in bands}:
            seen &= covered(path, grid, window)
    if scene.quality is not None:
        seen &= observed(scene.sensor, read_onto(scene.quality.path, grid, scene.quality.band, "nearest", None, window))
    values[:, ~seen] = np.nan
    return values


def compose(
    epoch: Epoch,
    bands: Sequence[str],
    grid: Grid,
    image: Path,
    observation: Path,
    advance: Callable[[float], None] = lambda share: None,
) -> float:
    """Write an epoch's image and its observation layer, strip by strip.

    Each pixel comes from the first scene that observed it; scenes with more observed pixels come first, earlier dates
    where they tie. A single scene is the smallest epoch.

    Args:
        epoch: The scenes.
        bands: Which, in which order.
        grid: Where to.
        image: float32 GeoTIFF to write: one band each, NaN = not observed.
        observation: int32 GeoTIFF to write: band 1 how many scenes observed the pixel, band 2 the day of the scene used
            (days since 1970-01-01), -1 where not observed.
        advance: Called with the share done, 0..1.

    Returns:
        Share of pixels observed, above 0..1.

    Raises:
        InputError: No scene overlaps the grid, nothing was observed, or the values cannot be reflectance.
    """
    with keeping_open():
        return _compose(epoch, bands, grid, image, observation, advance)


def _compose(
    epoch: Epoch, bands: Sequence[str], grid: Grid, image: Path, observation: Path, advance: Callable[[float], None]
) -> float:
    for scene in epoch.scenes:
        require_overlap(scene, grid)
    height, width = grid.shape
    strips = [Window(y, 0, min(_ROWS, height - y), width) for y in range(0, height, _ROWS)]
    scenes = _most_observed_first(epoch.scenes, bands, grid, strips)
    units = scenes[0].sensor.units
    tags = {"DATES": " ".join(str(s.date) for s in epoch.scenes), "UNITS": units}
    layout = Layout(grid, len(bands), "float32", float("nan"), tuple(bands), (units,) * len(bands), tags=tags)
    seen_layout = Layout(grid, 2, "int32", -1, ("observation_count", "observation_day"), ("scenes", f"days since {_EPOCH_DAY}"))
    seen_pixels = 0
    with open_writer(image, layout) as write, open_writer(observation, seen_layout) as write_seen:
        for number, strip in enumerate(strips, start=1):
            values = np.full((len(bands), strip.height, strip.width), np.nan, dtype=np.float32)
            count = np.zeros((strip.height, strip.width), dtype=np.int32)
            day = np.full_like(count, -1)
            for scene in scenes:
                pixels = read_scene(scene, bands, grid, strip)
                seen = np.isfinite(pixels[0])
                new = seen & (count == 0)
                values[:, new] = pixels[:, new]
                day[new] = (np.datetime64(scene.date) - np.datetime64(_EPOCH_DAY)).astype(int)
                count += seen
            seen_pixels += int((count > 0).sum())
            write(strip, values)
            write_seen(strip, np.stack([np.where(count > 0, count, -1), day]))
            advance(number / len(strips))
        if seen_pixels == 0:
            raise InputError(
                f"Epoch {epoch.name} ({tags['DATES']}): no pixel was observed; every one is nodata, cloud or outside. "
                f"Check `sensor: nodata:` and the quality band of {epoch.scenes[0].paths[0]}."
            )
    return seen_pixels / (height * width)


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
    """Read up to nine windows of a scene, spread over the grid.

    Returns:
        float32 (band, pixel) in the sensor's units, observed pixels only.

    Raises:
        InputError: A file cannot be read.
    """
    height, width = grid.shape
    rows, columns = min(_LOOK, height), min(_LOOK, width)
    corners = [((height - rows) * i // 2, (width - columns) * j // 2) for i in range(3) for j in range(3)]
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
    bare = replace(scene, quality=None)
    height, width = grid.shape
    whole = height * width <= _LOOK_PIXELS
    rows = _ROWS if whole else 1
    for y in range(0, height, rows if whole else -(-height // min(_LOOK_ROWS, max(_LOOK_PIXELS // width, 1)))):
        if np.isfinite(read_scene(bare, bands, grid, Window(y, 0, min(rows, height - y), width))).any():
            return
    nodata = "none" if scene.sensor.nodata is None else f"{scene.sensor.nodata:g}"
    raise InputError(
        f"{scene.bands[bands[0]].path} ({scene.date}): no pixel of the region's grid was observed; every one is nodata "
        f"({nodata}), not finite or outside. Check the file with `gdalinfo -stats`, `sensor: nodata:` and `grid:`, or leave "
        f"the scene out with `scenes: pattern:` or `stac: leave_out:`."
    )


def _most_observed_first(scenes: Sequence[Scene], bands: Sequence[str], grid: Grid, strips: Sequence[Window]) -> list[Scene]:
    if len(scenes) == 1:
        return list(scenes)
    seen = [sum(int(np.isfinite(read_scene(s, bands[:1], grid, strip)).sum()) for strip in strips) for s in scenes]
    return [s for _, s in sorted(zip(seen, scenes, strict=True), key=lambda pair: (-pair[0], pair[1].date))]
