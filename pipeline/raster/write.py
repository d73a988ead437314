"""The door for rasters, outward: GeoTIFFs that appear whole, window by window, and cloud-optimised ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.raster.open import environment, open_source
from landshift.pipeline.raster.read import block_ends, inspect, rasterio_window, read_onto
from landshift.pipeline.tiles import Window, strips

BLOCK = 512
"""Pixels: side of the blocks that files are written in."""
_CREATION = {
    "driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
    "compress": "zstd", "zstd_level": 1, "num_threads": "ALL_CPUS", "bigtiff": "IF_SAFER",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """What a raster to be written looks like."""

    grid: Grid
    """Where its pixels are."""
    count: int
    """Number of bands."""
    dtype: str
    """Pixel type, for example `uint8`."""
    nodata: float | None = None
    """Value that means not observed."""
    descriptions: Sequence[str] = ()
    """One a band."""
    units: Sequence[str] = ()
    """One a band."""
    scale: float | None = None
    """Real value = number x scale + offset, for every band."""
    offset: float | None = None
    """See `scale`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Dataset tags."""
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour table of band 1: value to red, green, blue, alpha."""


@contextmanager
def open_writer(path: Path, layout: Layout) -> Iterator[Callable[[Window, np.ndarray], None]]:
    """Write a tiled GeoTIFF window by window; it appears under its name when the block ends well.

    Yields:
        A function of a window inside the grid and its pixels (band, y, x).

    Raises:
        OSError: The file could not be written whole.
    """
    with replace_when_done(path) as temporary, environment():
        with rasterio.open(
            temporary, "w", height=layout.grid.height, width=layout.grid.width, count=layout.count, dtype=layout.dtype,
            crs=layout.grid.crs.to_wkt() if layout.grid.crs is not None else None, transform=layout.grid.transform,
            nodata=layout.nodata, interleave="band", **_CREATION,
        ) as target:  # fmt: skip
            _describe(target, layout)
            yield lambda window, data: target.write(data, window=rasterio_window(window))
        _require_written(temporary, path)


def _require_written(temporary: Path, path: Path) -> None:
    """Refuse a TIFF that GDAL could not write whole: on a full disk it only logs what went wrong.

    Raises:
        OSError: A block or the directory is missing.
    """
    size, fault = temporary.stat().st_size, ""
    try:
        with open_source(temporary) as written:
            for band in written.indexes:
                for y, x, end in block_ends(written, band):
                    if not 0 < end <= size:
                        fault = f"block {y}, {x} of band {band} is missing"
    except InputError as error:
        fault = f"GDAL cannot read it: {error.__cause__ or error}"
    if fault:
        raise OSError(f"{path} could not be written whole ({fault}). Is the disk full?")


def _describe(target: Any, layout: Layout) -> None:  # noqa: ANN401
    if layout.descriptions:
        target.descriptions = layout.descriptions
    if layout.units:
        target.units = layout.units
    if layout.scale is not None or layout.offset is not None:
        target.scales = [1.0 if layout.scale is None else layout.scale] * layout.count
        target.offsets = [layout.offset or 0.0] * layout.count
    if layout.tags:
        target.update_tags(**layout.tags)
    if layout.colormap:
        target.write_colormap(1, dict(layout.colormap))


def write_raster(path: Path, data: np.ndarray, grid: Grid, **about: Any) -> Path:  # noqa: ANN401 (fields of Layout)
    """Write an array as a tiled GeoTIFF (zstd level 1) in one atomic step.

    Args:
        path: The file to make.
        data: (band, y, x) or (y, x).
        grid: Where the pixels are; its shape is the array's.
        about: Further fields of `Layout`, such as `nodata` and `descriptions`.

    Raises:
        ValueError: The array does not have the grid's shape.
    """
    bands = data[np.newaxis] if data.ndim == 2 else data
    if bands.shape[1:] != tuple(grid.shape):
        raise ValueError(f"{path}: array of {bands.shape[1:]} pixels, grid of {tuple(grid.shape)}")
    with open_writer(path, Layout(grid, len(bands), str(bands.dtype), **about)) as write:
        write(Window(0, 0, grid.shape[0], grid.shape[1]), bands)
    return path


def write_cog(path: Path, source: Path, *, categorical: bool) -> Path:
    """Rewrite a GeoTIFF as a cloud-optimised one with GDAL's COG driver, in one atomic step.

    Args:
        path: The file to make.
        source: Tiled GeoTIFF with descriptions, nodata and colour table, which are carried over.
        categorical: Codes get MODE overviews and no predictor; numbers get AVERAGE overviews and a predictor. Both get
            statistics of the observed pixels.

    Raises:
        OSError: The file could not be written whole.
    """
    options = {
        "COMPRESS": "DEFLATE", "LEVEL": "9", "PREDICTOR": "NO" if categorical else "YES", "BLOCKSIZE": str(BLOCK),
        "OVERVIEW_RESAMPLING": "MODE" if categorical else "AVERAGE", "BIGTIFF": "IF_SAFER", "NUM_THREADS": "ALL_CPUS",
        "STATISTICS": "YES",
    }  # fmt: skip
    with replace_when_done(path) as temporary, environment():
        try:
            rasterio.shutil.copy(source, temporary, driver="COG", **options)
        except (CPLE_BaseError, RasterioError) as error:
            raise OSError(f"{path} could not be written whole ({error}). Is the disk full?") from error
        _require_written(temporary, path)
    return path


def join_rows(path: Path, layout: Layout, rasters: Sequence[Path]) -> Path:
    """Write one raster of one band from strips of its rows, in one atomic step and a few rows at a time.

    No pixel is scaled, resampled or changed in type. Blocks are written whole and in order, so that the bytes of the file
    depend on its pixels, and not on how the rows were divided.

    Args:
        path: The file to make.
        layout: Of the whole.
        rasters: Of the same width and type, from north to south, which together have the rows of the whole.

    Raises:
        ValueError: The strips are not the whole, or of another type.
        InputError: A strip is missing or damaged.
        OSError: The file could not be written whole.
    """
    infos = [inspect(raster) for raster in rasters]
    height, width = layout.grid.shape.yx
    found = sum(info.shape[0] for info in infos), {info.shape[1] for info in infos}, {info.dtype for info in infos}
    if layout.count != 1 or found != (height, {width}, {layout.dtype}):
        raise ValueError(
            f"{path}: strips of {found[0]} rows, {found[1]} columns and {found[2]}; expected one band of {height} rows, "
            f"{width} columns and {layout.dtype}."
        )
    starts = np.cumsum([0, *(info.shape[0] for info in infos)])
    with open_writer(path, layout) as write:
        for block in strips((height, width), BLOCK):
            parts = []
            for start, info in zip(starts, infos, strict=False):
                inside = Window(block.y - int(start), 0, block.height, width).clip(info.shape)
                if inside.height:
                    parts.append(read_onto(info.path, info.grid, window=inside))
            write(block, np.concatenate(parts)[np.newaxis])
    return path
