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
from landshift.pipeline.manifest import link_or_copy, replace_when_done
from landshift.pipeline.raster.open import environment, open_source
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.raster.read import block_ends, inspect, rasterio_window, read_or_explain
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
    is_smooth: bool = False
    """Whether neighbouring pixels are mostly alike, as in pictures: differences take less room than values."""
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
            nodata=layout.nodata, interleave="band", predictor=2 if layout.is_smooth else 1, **_CREATION,
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
    # DEFLATE, which every GIS reads. Level 9 took nearly three times as long as 1 for images that were 5 % smaller.
    options = {
        "COMPRESS": "DEFLATE", "LEVEL": "6" if categorical else "1", "PREDICTOR": "NO" if categorical else "YES",
        "BLOCKSIZE": str(BLOCK),
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


def join_rows(path: Path, grid: Grid, rasters: Sequence[Path]) -> Path:
    """Write one raster from strips of its rows, in one atomic step and a few rows at a time; one strip is taken as it is.

    No pixel is scaled, resampled or changed in type.

    Args:
        path: The file to make.
        grid: Of the whole.
        rasters: Of one width, type and description, from north to south, which together have the rows of the whole. They
            must not be written into afterwards.

    Raises:
        ValueError: The strips are not the whole, or differ in more than their rows.
        InputError: A strip is missing or damaged.
        OSError: The file could not be written whole.
    """
    infos = [inspect(raster) for raster in rasters]
    height, width = grid.shape.yx
    found = sum(info.shape[0] for info in infos), {info.shape[1] for info in infos}
    # As text, since NaN is not equal to NaN.
    kinds = {(info.dtype, info.count, str(info.nodata)) for info in infos}
    if found != (height, {width}) or len(kinds) > 1:
        raise ValueError(
            f"{path}: strips of {found[0]} rows, {found[1]} columns and {kinds}; expected {height} rows, {width} columns and "
            f"one kind."
        )
    if len(rasters) == 1:
        with replace_when_done(path) as temporary:
            link_or_copy(rasters[0], temporary)
        return path
    first = infos[0]
    layout = Layout(
        grid, first.count, first.dtype, first.nodata, descriptions=first.descriptions, units=first.units, tags=first.tags
    )
    starts = np.cumsum([0, *(info.shape[0] for info in infos)])
    with open_writer(path, layout) as write:
        for block in strips((height, width), BLOCK):
            parts = []
            for start, info in zip(starts, infos, strict=False):
                inside = Window(block.y - int(start), 0, block.height, width).clip(info.shape)
                if inside.height:
                    parts.append(_read_all(info.path, inside))
            write(block, np.concatenate(parts, axis=1))
    return path


def _read_all(path: RasterPlace, window: Window) -> np.ndarray:
    """Return all bands of a window, (band, y, x)."""
    with environment(), open_source(path) as source:
        return read_or_explain(path, 1, lambda: source.read(window=rasterio_window(window)))
