"""Masks of clouds and their shadows, made of a scene by a cloud model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from landshift.pipeline.grid import Grid, overlap_window, pixel_metres
from landshift.pipeline.raster.open import keeping_open
from landshift.pipeline.raster.write import Layout, open_writer
from landshift.pipeline.scenes.image import read_scene
from landshift.pipeline.scenes.scene import CLEAR_OF_CLOUD, Scene
from landshift.pipeline.tiles import Window, mirror, tiles

CLEAR, CLOUD, SHADOW, NEAR, UNKNOWN = CLEAR_OF_CLOUD, 1, 2, 3, 255
"""Codes of a cloud mask; `NEAR` lies within the buffer around clouds and shadows, `UNKNOWN` was not observed."""
MODEL_PIXEL_M = 30
"""What cloud models of Sentinel-2 and Landsat were trained on; they look at finer scenes in pixels of about this size."""

_CORE, _MARGIN, _STRIDE = 512, 96, 32
_TOUCHING = np.ones((3, 3), dtype=bool)
_COLOURS = {
    CLEAR: (0, 0, 0, 0), CLOUD: (255, 255, 255, 255), SHADOW: (70, 70, 90, 255), NEAR: (190, 190, 200, 255),
    UNKNOWN: (0, 0, 0, 0),
}  # fmt: skip


def mask_grid(grid: Grid) -> Grid:
    """Return the grid that the mask of a region lies on: whole pixels of the region together, about 30 m wide."""
    return grid.zoom_out(max(round(MODEL_PIXEL_M / pixel_metres(grid)), 1))


def write_cloud_mask(
    path: Path,
    scene: Scene,
    bands: Sequence[str],
    grid: Grid,
    classify: Callable[[np.ndarray], np.ndarray],
    *,
    buffer_px: int,
    tags: Mapping[str, str],
    advance: Callable[[float], None] = lambda share: None,
) -> dict[str, float]:
    """Classify a scene tile by tile, with a margin around each tile: of the scene, else mirrored, so that nothing ends there.

    Args:
        path: uint8 GeoTIFF to write on `mask_grid(grid)`, with the codes above.
        scene: Whose quality band, if it has one, is not used.
        bands: That the model takes, in its order.
        grid: Of the region.
        classify: float32 (band, y, x) in the scene's units, sides multiples of 32, 0 where not observed, to integer (y, x):
            0 clear, 1 cloud, 2 cloud shadow.
        buffer_px: Pixels of the mask around clouds and shadows that count as not observed too, 0..32.
        tags: Of the file.
        advance: Called with the share done, 0..1.

    Returns:
        `cloud` and `shadow`: shares of what the scene observed of the region, 0..1, without the buffer.

    Raises:
        InputError: A file cannot be read.
    """
    target = mask_grid(grid)
    shape = (target.shape[0], target.shape[1])
    edge = _MARGIN + _STRIDE
    # Clouds beyond the region's edge cast shadows into it, and help to recognise clouds inside.
    around = target.pad(edge)
    reach, bare = overlap_window(around, scene.grid, 0), replace(scene, quality=None, mask=None)
    # Pixels at the scene's edge may lie half beyond it, and would be mirrored as a dark frame.
    inner = overlap_window(around, scene.grid, -1)
    inner = inner if min(inner.height, inner.width) > 0 else reach
    layout = Layout(target, 1, "uint8", UNKNOWN, descriptions=("cloud_mask",), tags=tags, colormap=_COLOURS)
    work = tiles(shape, _CORE, _MARGIN)
    counts = np.zeros(256, dtype=np.int64)
    with keeping_open(), open_writer(path, layout) as write:
        for number, tile in enumerate(work, start=1):
            window = Window(tile.read.y + edge, tile.read.x + edge, tile.read.height, tile.read.width)
            codes = _codes(_read(bare, bands, around, reach, window=window), inner, window, classify, buffer_px=buffer_px)
            core = codes[tile.core.within(tile.read).slices]
            counts += np.bincount(core.ravel(), minlength=256)
            write(tile.core, core[np.newaxis])
            advance(number / len(work))
    observed = max(int(counts[:UNKNOWN].sum()), 1)
    return {"cloud": float(counts[CLOUD] / observed), "shadow": float(counts[SHADOW] / observed)}


def _read(scene: Scene, bands: Sequence[str], grid: Grid, reach: Window, window: Window) -> np.ndarray:
    """Return float32 (band, y, x), NaN where not observed."""
    if not reach.meets(window):
        return np.full((len(bands), window.height, window.width), np.nan, dtype=np.float32)
    # Other kinds of resampling depend on how much of the window the scene covers: tiles would differ where they meet.
    values = read_scene(scene, bands, grid, window, resampling="average")
    beyond = np.ones(values.shape[1:], dtype=bool)
    beyond[reach.within(window).clip((window.height, window.width)).slices] = False
    # By rounding, a hair of the scene may lie on the next pixel.
    values[:, beyond] = np.nan
    return values


def _codes(
    values: np.ndarray, inner: Window, window: Window, classify: Callable[[np.ndarray], np.ndarray], buffer_px: int
) -> np.ndarray:
    seen = np.isfinite(values[0])
    if not seen.any():
        return np.full(seen.shape, UNKNOWN, dtype=np.uint8)
    shown = mirror(values, window.within(inner), (inner.height, inner.width)) if inner.meets(window) else values
    classes = np.asarray(classify(np.nan_to_num(shown, nan=0)))
    found = (classes > 0) & seen
    near = ndimage.binary_dilation(found, iterations=buffer_px) if buffer_px and found.any() else found
    codes = np.where(found, classes, np.where(near, NEAR, CLEAR)).astype(np.uint8)
    codes[~seen] = UNKNOWN
    # A pixel of the mask at the scene's edge may lie half beyond it: its neighbours speak for the half that was seen.
    rim = ~seen & ndimage.binary_dilation(seen, _TOUCHING)
    codes[rim] = ndimage.maximum_filter(np.where(seen, codes, CLEAR), footprint=_TOUCHING)[rim]
    return codes
