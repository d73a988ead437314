"""Bands of a file on a grid, with what the file itself leaves unobserved; and masks, which grow where values are resampled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from rasterio.enums import Resampling
from rasterio.warp import reproject

from landshift.pipeline.grid import Grid, cut_out, overlap_window, pixels_per_pixel, place_in
from landshift.pipeline.raster.masks import alpha_bands, grow, has_mask, read_unmasked
from landshift.pipeline.raster.open import environment, open_source
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.raster.read import grid_in, rasterio_window, read_all, warp_onto
from landshift.pipeline.tiles import Window

Kernel = Literal["nearest", "bilinear", "average"]
"""How pixels that do not lie on those of the file are made of them."""

_LOOSE = 0.75
"""Pixels: what a pixel's centre and GDAL's approximate transformation may put between a value and the mask over it."""
_ON_EDGE = 1e-6
"""Pixels from the edge of a file or of a pixel within which a centre lies on it, whatever rounding makes of it in a window."""
_COARSE = 2.0
"""From so many pixels of a file to one of the grid, GDAL may read its overviews, whose pixels mix further ones."""


@dataclass(frozen=True)
class _Part:
    """A window of a grid."""

    grid: Grid
    """The whole: GDAL's approximate transformation depends on where it begins."""
    window: Window
    """Inside it."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the window."""
        return self.window.height, self.window.width


@dataclass(frozen=True)
class BandPixels:
    """Bands of a file on a window of a grid."""

    numbers: np.ndarray
    """(band, y, x) in the file's own type; not to be used where not observed."""
    seen: np.ndarray
    """bool (y, x): covered by the file, and observed in all the bands by nodata, masks and alpha; never NaN or infinite."""
    resampled_from: Grid | None
    """The file's own grid where its pixels do not lie on those wanted; None where each is one of the file."""


def read_bands(
    path: RasterPlace,
    bands: Sequence[int],
    grid: Grid,
    window: Window,
    *,
    resampling: Kernel = "nearest",
    nodata: float | None = None,
) -> BandPixels:
    """Read bands of a file on a window of a grid; where its pixels lie on the grid's, they are read without resampling.

    What is nodata, or masked by the file itself, is left out of `bilinear` and `average` means. Other masks are not: see
    `read_clear`.

    Args:
        path: The raster.
        bands: From 1.
        grid: Where to.
        window: Of `grid`, inside it.
        resampling: Of pixels that do not lie on the grid's.
        nodata: Value that means not observed, beside what the file declares.

    Raises:
        InputError: The file cannot be read, or has no usable grid.
    """
    with environment(path), open_source(path) as source:
        return _read(source, path, bands, _Part(grid, window), resampling=resampling, nodata=nodata)


def read_clear(
    path: RasterPlace,
    band: int,
    grid: Grid,
    window: Window,
    *,
    clear: Callable[[np.ndarray], np.ndarray],
    resampled_from: Sequence[Grid] = (),
) -> np.ndarray:
    """Read where a mask leaves the ground visible: a resampled value is made of several pixels, and all must be clear.

    What is not clear grows by one pixel of each file whose values are resampled, or by what its kernel reaches on a coarser
    grid: every pixel that takes part in a value lies within that.

    Args:
        path: The mask.
        band: From 1.
        grid: Where to.
        window: Of `grid`, inside it.
        clear: Numbers of the mask (y, x) to bool, True where the ground was seen.
        resampled_from: Grids of the files whose values are resampled on `grid`; empty where none are.

    Returns:
        bool (y, x), False where the mask has no pixel.

    Raises:
        InputError: The file cannot be read, or has no usable grid.
    """
    part = _Part(grid, window)
    with environment(path), open_source(path) as source:

        def read(grid: Grid, window: Window) -> np.ndarray:
            found = _read(source, path, [band], _Part(grid, window), resampling="nearest", by_number=False)
            return np.asarray(clear(found.numbers[0]) & found.seen)

        if not resampled_from:
            return read(grid, window)
        return np.asarray(np.logical_and.reduce([_place_flags(own, part, partial(read, own)) for own in resampled_from]))


def _read(
    source: Any,  # noqa: ANN401 (rasterio is not typed)
    path: RasterPlace,
    bands: Sequence[int],
    part: _Part,
    *,
    resampling: Kernel,
    nodata: float | None = None,
    by_number: bool = True,
) -> BandPixels:
    """Read bands of an open file; `by_number`: whether nodata of the file means not observed, which for masks it may not."""
    own = grid_in(source, path)
    declared = [source.nodatavals[band - 1] if band <= source.count else None for band in bands]
    absent = declared[0] if nodata is None else nodata
    if absent is None and np.dtype(source.dtypes[0]).kind == "f":
        absent = math.nan
    fill = 0 if absent is None else absent
    there = place_in(own, part.grid, part.window)
    if there is not None:
        numbers, seen = _read_in_place(source, path, bands, there, fill=fill)
    else:
        with warp_onto(source, part.grid, resampling=Resampling[resampling], src_nodata=absent, nodata=fill) as warped:
            numbers = read_all(path, bands, lambda some: warped.read(some, window=rasterio_window(part.window)))
        seen = _see_warped(
            source, path, bands, part, is_grown=resampling == "bilinear", is_marked=by_number and absent is not None
        )
    for layer, number in zip(numbers, declared, strict=True):
        for absent_number in ({number, nodata} - {None}) if by_number else ():
            seen &= layer != absent_number
        if numbers.dtype.kind == "f":
            seen &= np.isfinite(layer)
    return BandPixels(numbers, seen, None if there is not None else own)


def _read_in_place(
    source: Any,  # noqa: ANN401
    path: RasterPlace,
    bands: Sequence[int],
    there: Window,
    fill: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of a window of the file's own pixels, `fill` past its edge, and where no mask lies over them."""
    inside = there.clip((source.height, source.width))
    held, window = inside.within(there).slices, rasterio_window(inside)
    if not (inside.height and inside.width):
        shape = (there.height, there.width)
        return np.full((len(bands), *shape), fill, dtype=source.dtypes[0]), np.zeros(shape, dtype=bool)
    numbers = read_all(path, bands, lambda some: source.read(some, window=window))
    unmasked = read_unmasked(source, path, bands, window)
    seen = np.ones(numbers.shape[1:], dtype=bool) if unmasked is None else unmasked
    if inside != there:
        part, part_seen = numbers, seen
        numbers = np.full((len(bands), there.height, there.width), fill, dtype=part.dtype)
        seen = np.zeros(numbers.shape[1:], dtype=bool)
        numbers[:, *held], seen[held] = part, part_seen
    return numbers, seen


def _see_warped(
    source: Any,  # noqa: ANN401
    path: RasterPlace,
    bands: Sequence[int],
    part: _Part,
    *,
    is_grown: bool,
    is_marked: bool,
) -> np.ndarray:
    """Return where a file has pixels and no mask over them, for a part of a grid that they do not lie on.

    What the file does not cover counts as seen where a number marks it (`is_marked`) and there is no mask.
    """

    def read(window: Window) -> np.ndarray:
        unmasked = read_unmasked(source, path, bands, rasterio_window(window))
        return np.ones((window.height, window.width), dtype=bool) if unmasked is None else unmasked

    if is_marked and not (alpha_bands(source) or has_mask(source, path)):
        return np.ones(part.shape, dtype=bool)
    return _place_flags(grid_in(source, path), part, read, is_grown=is_grown)


def _place_flags(own: Grid, part: _Part, read: Callable[[Window], np.ndarray], *, is_grown: bool = True) -> np.ndarray:
    """Return flags of a file's own pixels on a part of another grid, False past its edge.

    Args:
        own: The file's grid.
        part: Where to.
        read: Returns bool (y, x) of a window of the file, True where observed.
        is_grown: Whether what is not observed grows by what a bilinear kernel reaches.
    """
    target = cut_out(part.grid, part.window)
    # Of the whole, so that a window is the same part of it.
    step = max(pixels_per_pixel(part.grid, own), 1.0)
    pixels = math.ceil(step * (1.5 if step >= _COARSE else 1.0) + _LOOSE) - 1 if is_grown else 0
    around = overlap_window(own, target, pixels + 2)
    if not (around.height and around.width):
        return np.zeros(part.shape, dtype=bool)
    flags = read(around)
    if pixels and not flags.all():
        flags = ~grow(~flags, pixels)
    return _take_nearest(flags, cut_out(own, around), target)


def _take_nearest(flags: np.ndarray, own: Grid, target: Grid) -> np.ndarray:
    """Return bool (y, x) of a grid by the nearest pixel of another, False past its edge."""
    height, width = target.shape.yx
    if own.crs == target.crs:
        inverse = ~own.transform @ target.transform
        down, right = inverse.f + inverse.e * (np.arange(height) + 0.5), inverse.c + inverse.a * (np.arange(width) + 0.5)
        rows, columns = (np.floor(v + _ON_EDGE).astype(int) for v in (down, right))
        # A centre that lies on the edge itself has no value: GDAL and rounding do not agree on its side.
        inside = [(v > _ON_EDGE) & (v < n - _ON_EDGE) for v, n in ((down, own.shape[0]), (right, own.shape[1]))]
        taken = flags[rows.clip(0, own.shape[0] - 1)][:, columns.clip(0, own.shape[1] - 1)]
        return np.asarray(taken & inside[0][:, np.newaxis] & inside[1])
    out = np.zeros((height, width), dtype=np.uint8)
    reproject(
        flags.astype(np.uint8), out, src_transform=own.transform, src_crs=str(own.crs), dst_transform=target.transform,
        dst_crs=str(target.crs), resampling=Resampling.nearest,
    )  # fmt: skip
    return np.asarray(out == 1)
