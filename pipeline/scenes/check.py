"""Checks of a catalog's scene against its files: what catalogs say is often not what the pixels are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, differences
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.scenes.folder import require_nodata
from landshift.pipeline.scenes.look import look
from landshift.pipeline.scenes.scene import Scene, Source

_AT_ONCE = 8
"""Files of one scene that are opened at the same time: opening is waiting for a server."""

_DARKEST = 1.0
"""Percentile of the observed pixels: low, but not the one defect pixel."""

_TOO_DARK = -0.05
"""Reflectance. Atmospheric correction overshoots by a few hundredths over water and shadow, an offset taken twice by 0.1."""

_ADDED = 1000
"""What Sentinel-2 adds to every number since processing baseline 04.00."""


def require_as_declared(scene: Scene, bands: Sequence[str]) -> None:
    """Open the files of a scene, and compare them with what the catalog says.

    Args:
        scene: From a catalog.
        bands: That are used.

    Raises:
        InputError: A file cannot be opened, lies on another grid, has fewer bands, or another nodata number than the sensor.
    """
    sources = [*(scene.bands[b] for b in bands), *([scene.quality] if scene.quality else [])]
    with ThreadPoolExecutor(min(_AT_ONCE, len(sources))) as pool:
        for _ in pool.map(lambda source: _require_source(scene, source), sources):
            pass


def _require_source(scene: Scene, source: Source) -> None:
    name = f"Item {scene.id}, asset {source.asset}"
    try:
        info = inspect(source.path)
        if not 1 <= source.band <= info.count:
            raise InputError(f"{source.path} has {info.count} bands, the catalog says that band {source.band} is wanted.")
        found = [] if source.declared is None else differences(source.declared, info.grid)
        if found:
            raise InputError(
                f"the catalog and the file {source.path} do not agree: {'; '.join(found)} (first what the catalog says). "
                f"Leave the item out with `scenes: stac: leave_out:`, and tell the catalog's keeper."
            )
        if source is not scene.quality:
            require_nodata(info, scene.sensor)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def require_offset_fits(scene: Scene, bands: Sequence[str], grid: Grid) -> None:
    """Refuse a Sentinel-2 scene whose pixels show that 1000 was taken off twice, or not at all.

    Args:
        scene: With the offset that the catalog says.
        bands: That are used.
        grid: Of the region.

    Raises:
        InputError: The darkest pixels are far below zero, or no pixel is below 1000 where nothing is taken off.
    """
    if not scene.sensor.baseline_offset:
        return
    values = look(scene, bands, grid)
    if not values.size:
        return
    for name, dark in zip(bands, np.percentile(values, _DARKEST, axis=1), strict=True):
        if dark < _TOO_DARK:
            raise InputError(
                f"Item {scene.id}, asset {scene.bands[name].asset}: the darkest pixels of {name} have a reflectance of "
                f"{dark:.3f} after adding {scene.number_offset:g}. Somebody took the 1000 of baseline 04.00 off before. If so, "
                f"set `sensor: number_offset: 0`; if the numbers are right, set it to {scene.number_offset:g}."
            )
    lowest = float(values.min()) / scene.sensor.scale
    if scene.number_offset == 0 and lowest >= _ADDED - 0.5:
        raise InputError(
            f"Item {scene.id}: the catalog says that nothing has to be taken off, but no number is below {_ADDED} (the lowest "
            f"is {lowest:.0f}), as if the 1000 of baseline 04.00 were still in. If so, set `sensor: number_offset: -1000`; if "
            f"the ground is that bright everywhere, set it to 0."
        )
