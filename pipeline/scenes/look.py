"""Windows of a scene, and checks of its files against its sensor and its catalog."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, overlap_share, overlap_window
from landshift.pipeline.raster.blocks import list_parts, most_promising
from landshift.pipeline.raster.open import keeping_open
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.scenes.declared import require_declared_place, require_factors, require_nodata
from landshift.pipeline.scenes.image import read_scene
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import REFLECTANCE
from landshift.pipeline.tiles import Window

_LOOK = 128
"""Side in pixels of the windows that are looked at: small, since each costs the blocks of the file that it touches."""
_LOOKS = 3
"""Windows along each axis."""
_MEDIAN_OF = 20_000
"""Pixels, about, that a median is taken of: more would not move it by what matters here."""
_SEARCH_PIXELS = 2**25
"""Of each band, where the windows show nothing: as many are searched for a value."""

LOWEST, HIGHEST = -0.2, 2.0
"""Surface reflectance outside this range, at the median, is a scaling mistake and no surface."""


AT_ONCE = 8
"""Files of one scene that are opened at the same time: opening is waiting for a server."""
_DARKEST = 1.0
"""Percentile of the observed pixels: low, but not the one defect pixel."""
_TOO_DARK = -0.05
"""Reflectance. Atmospheric correction overshoots by a few hundredths over water and shadow, an offset taken twice by 0.1."""
_ADDED = 1000
"""What Sentinel-2 adds to every number since processing baseline 04.00."""


def require_overlap(scene: Scene, grid: Grid) -> None:
    """Refuse a scene that lies elsewhere.

    Raises:
        InputError: No pixel of the grid lies on the scene.
    """
    if overlap_share(grid, scene.grid) == 0:
        west, south, east, north = (round(v) for v in grid.extent.boundingbox.bbox)
        raise InputError(
            f"{scene.paths[0]} does not overlap the region's grid (x {west} to {east}, y {south} to {north} in "
            f"{crs_name(grid.crs)}). Check `grid:`, or leave the scene out with {scene.way_out}."
        )


def look(scene: Scene, bands: Sequence[str], grid: Grid) -> np.ndarray:
    """Read up to nine small windows of a scene, spread over what it covers of the grid, or all of a small one.

    Returns:
        float32 (band, pixel) in the sensor's units, observed pixels only.

    Raises:
        InputError: A file cannot be read.
    """
    part = overlap_window(grid, scene.grid)
    rows, columns = min(_LOOK, part.height), min(_LOOK, part.width)
    if rows == 0 or columns == 0:
        return np.empty((len(bands), 0), dtype=np.float32)
    steps = range(_LOOKS)
    corners = [
        (part.y + (part.height - rows) * i // (_LOOKS - 1), part.x + (part.width - columns) * j // (_LOOKS - 1))
        for i in steps for j in steps
    ]  # fmt: skip
    windows = [Window(y, x, rows, columns) for y, x in dict.fromkeys(corners)]
    if part.height * part.width <= sum(w.height * w.width for w in windows):
        windows = [part]
    with keeping_open(here=True):
        looks = [read_scene(scene, bands, grid, window) for window in windows]
    values = np.concatenate([v.reshape(len(bands), -1) for v in looks], axis=1)
    seen = np.isfinite(values[0])
    return values if seen.all() else values[:, seen]


def require_plausible(scene: Scene, bands: Sequence[str], grid: Grid) -> np.ndarray:
    """Look at a few windows of a scene, and refuse values that its sensor cannot have measured.

    Returns:
        What was seen, as `look` returns it.

    Raises:
        InputError: No pixel holds a value, or units are reflectance and a band's median lies outside -0.2..2: the scale or
            offset is wrong.
    """
    values = look(scene, bands, grid)
    if values.shape[1] == 0:
        _require_values(scene, bands, grid)
        return values
    if scene.sensor.units != REFLECTANCE:
        return values
    few = values[:, :: max(values.shape[1] // _MEDIAN_OF, 1)]
    for name, median in zip(bands, np.median(few, axis=1), strict=True):
        if not LOWEST <= median <= HIGHEST:
            raise InputError(
                f"{scene.bands[name].path}, band {name}: the median is {median:.3g} after (number + "
                f"{scene.number_offset:g}) x {scene.sensor.scale:g} + {scene.sensor.offset:g}, which is no reflectance (0..1). "
                f"{_mend_units(scene)}"
            )
    return values


def _mend_units(scene: Scene) -> str:
    """Return what to do about numbers that are no reflectance: only the fields of sensor custom can be set."""
    if scene.sensor.name == "custom":
        return "Correct `sensor: scale:` or `sensor: offset:`, or set `sensor: units:` to what the numbers are."
    added = f"Correct `sensor: number_offset: {{{scene.id}: 0}}`" if scene.sensor.baseline_offset else "Correct the file"
    return (
        f"{added}, or describe what it holds with `sensor: name: custom`, its bands, scale and offset; or leave the scene out "
        f"with {scene.way_out}."
    )


def _require_values(scene: Scene, bands: Sequence[str], grid: Grid) -> None:
    """Search a scene for a value, where its file has most bytes first; a very large one is not searched whole.

    Clouds count as values here: a date that is clouded all over adds nothing to an epoch of several, but is no mistake.
    """
    bare, source = replace(scene, quality=None, mask=None), scene.bands[bands[0]]
    file = inspect(source.path).grid
    parts = list_parts(source.path, source.band, overlap_window(file, grid))
    chosen = most_promising(parts, _SEARCH_PIXELS)
    with keeping_open(here=True):
        for y, x in (part.window.slices for part in chosen):
            window = overlap_window(grid, file[y, x])
            # Where the first band holds nothing, the others need not be read.
            if (
                window.height
                and window.width
                and all(np.isfinite(read_scene(bare, some, grid, window)).any() for some in (bands[:1], bands))
            ):
                return
    nodata = "none" if scene.sensor.nodata is None else f"{scene.sensor.nodata:g}"
    written = [part for part in parts if part.stored != 0]
    if parts and not written:
        found = "the file holds no pixels of the region's grid: none of its blocks there was ever written. Download it again"
    else:
        every = "no pixel of the region's grid was observed; every one"
        if len(chosen) < len(written):
            some = f"{len(chosen)} of {len(written)} parts of the file that were searched"
            every = f"no pixel of the region's grid was observed in the {some}; every one"
        found = (
            f"{every} is nodata ({nodata}), not finite or outside. Check the file with `gdalinfo -stats`, `sensor: nodata:` "
            f"and `grid:`"
        )
    raise InputError(f"{source.path} ({scene.date}): {found}, or leave the scene out with {scene.way_out}.")


def require_as_declared(scene: Scene, bands: Sequence[str]) -> None:
    """Open the files of a scene, and refuse what its catalog declares otherwise.

    Raises:
        InputError: A file cannot be opened, lies on another grid, has fewer bands, or another nodata number or other
            factors than the sensor.
    """
    sources = [*(scene.bands[b] for b in bands), *([scene.quality] if scene.quality else [])]
    with ThreadPoolExecutor(min(AT_ONCE, len(sources))) as pool:
        for _ in pool.map(lambda source: _require_source(scene, source), sources):
            pass


def _require_source(scene: Scene, source: Source) -> None:
    name = f"Item {scene.id}, asset {source.asset}"
    try:
        info = inspect(source.path)
        if not 1 <= source.band <= info.count:
            raise InputError(
                f"{source.path} has {info.count} bands, the catalog names band {source.band}. "
                f"Leave the item out with {scene.way_out}, and report it to the catalog's keeper."
            )
        if source.declared is not None:
            require_declared_place(info, source.declared)
        if source is not scene.quality:
            require_nodata(info, scene.sensor)
            require_factors(replace(scene, bands={b: s for b, s in scene.bands.items() if s == source}), [info])
    except InputError as error:
        raise type(error)(f"{name}: {error}") from None


def require_offset_fits(scene: Scene, bands: Sequence[str], grid: Grid) -> None:
    """Refuse a Sentinel-2 scene whose pixels show that 1000 was taken off twice, or not at all.

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
                f"{dark:.3f} after adding {scene.number_offset:g}. The 1000 of baseline 04.00 was taken off before, it seems. "
                f"If so, set `sensor: number_offset: {{{scene.id}: 0}}`; if the numbers are right, "
                f"`{{{scene.id}: {scene.number_offset:g}}}`."
            )
    lowest = float(values.min()) / scene.sensor.scale
    if scene.number_offset == 0 and lowest >= _ADDED - 0.5:
        raise InputError(
            f"Item {scene.id}: by the catalog nothing has to be taken off, but no number is below {_ADDED} (the lowest "
            f"is {lowest:.0f}), as if the 1000 of baseline 04.00 were still in. If so, set "
            f"`sensor: number_offset: {{{scene.id}: -1000}}`; if the ground is that bright everywhere, `{{{scene.id}: 0}}`."
        )
