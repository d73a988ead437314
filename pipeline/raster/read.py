"""The door for rasters, inward: every raster file that is read is opened here, by `raster.open`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from landshift.pipeline.errors import InputError, UnreadableError
from landshift.pipeline.grid import Grid, differences, grid_of
from landshift.pipeline.raster.masks import alpha_bands, has_mask, require_mask_fits
from landshift.pipeline.raster.open import environment, explaining, open_source
from landshift.pipeline.raster.place import ArchivedFile, RasterPlace, RemoteFile, ask
from landshift.pipeline.raster.placing import explain_place
from landshift.pipeline.tiles import Window, strips


@dataclass(frozen=True)
class RasterInfo:
    """Metadata of a raster file."""

    path: RasterPlace
    """The file."""
    shape: tuple[int, int]
    """Rows and columns."""
    transform: Affine
    """Pixel (column, row) to CRS coordinates."""
    crs: str | None
    """Well-known text, None where the file names no CRS."""
    count: int
    """Number of bands."""
    dtype: str
    """Pixel type of band 1, for example `uint16`."""
    nodata: float | None
    """Declared nodata value of band 1, None where the file declares none."""
    descriptions: tuple[str, ...]
    """Band descriptions, empty strings where a band has none."""
    tags: dict[str, str] = field(default_factory=dict)
    """Dataset tags."""
    dtypes: tuple[str, ...] = ()
    """Pixel type of each band."""
    units: tuple[str, ...] = ()
    """Unit of each band, empty strings where a band has none."""
    scales: tuple[float, ...] = ()
    """Of each band: real value = number x scale + offset."""
    offsets: tuple[float, ...] = ()
    """See `scales`."""
    statistics: tuple[dict[str, float], ...] = ()
    """Of each band, in its numbers: `minimum`, `maximum`, `mean`, `stddev` of the observed pixels; empty where the file
    has none."""
    nodatas: tuple[float | None, ...] = ()
    """Declared nodata value of each band, None where it has none."""
    alpha: tuple[int, ...] = ()
    """Numbers, from 1, of the bands that are 0 where the others were not observed: alpha, `dataMask`."""
    masked: bool = False
    """Whether the file has an internal mask, or a mask file (`.msk`) beside it."""
    unplaced: str = ""
    """Why its pixels have no grid, and the command that mends it; empty where nothing keeps them from one."""

    @property
    def spectral(self) -> tuple[int, ...]:
        """Numbers, from 1, of the bands that hold values."""
        return tuple(band for band in range(1, self.count + 1) if band not in self.alpha)

    @property
    def grid(self) -> Grid:
        """The file's own grid.

        Raises:
            InputError: No CRS, control points, or a transform that is not north-up.
        """
        if self.unplaced:
            raise InputError(self.unplaced)
        return grid_of(self.transform, self.shape, self.crs, str(self.path))


def inspect(path: RasterPlace) -> RasterInfo:
    """Read a raster's metadata, and check that its file is complete.

    Raises:
        InputError: The file is missing, unreadable, truncated, of complex numbers or of a format that is not accepted.
    """
    size = path.size if isinstance(path, ArchivedFile) else None
    if isinstance(path, RemoteFile) and not path.url.startswith("s3:"):
        size = ask(path).size
    with environment(path), open_source(path) as source:
        for band, dtype in enumerate(source.dtypes, start=1):
            if "complex" in dtype:
                raise InputError(
                    f"{path}, band {band} holds {dtype} numbers, as radar's single look complex products do. Expected real "
                    f"ones; convert it to amplitude or backscatter first."
                )
        require_mask_fits(source, path)
        _require_complete(source, path, path.stat().st_size if isinstance(path, Path) else size)
        return RasterInfo(
            path=path,
            shape=(source.height, source.width),
            transform=source.transform,
            crs=source.crs.to_wkt() if source.crs else None,
            count=source.count,
            dtype=source.dtypes[0],
            nodata=source.nodata,
            descriptions=tuple(d or "" for d in source.descriptions),
            tags=dict(source.tags()),
            dtypes=tuple(source.dtypes),
            units=tuple(u or "" for u in source.units),
            scales=tuple(source.scales),
            offsets=tuple(source.offsets),
            statistics=tuple(_statistics(source.tags(band)) for band in source.indexes),
            nodatas=tuple(source.nodatavals),
            alpha=alpha_bands(source),
            masked=has_mask(source, path),
            unplaced=explain_place(source, path),
        )


def _statistics(tags: Mapping[str, str]) -> dict[str, float]:
    """Return what GDAL wrote down about a band's numbers, all of it or nothing."""
    names = ("minimum", "maximum", "mean", "stddev")
    found = {name: tags.get(f"STATISTICS_{name.upper()}") for name in names}
    try:
        return {name: float(value) for name, value in found.items() if value is not None}
    except ValueError:
        return {}


def _require_complete(source: Any, path: RasterPlace, size: int | None) -> None:  # noqa: ANN401
    """Refuse a TIFF whose directory points past its end, without reading pixels."""
    if source.driver != "GTiff" or size is None:
        return
    for band in {1, source.count}:
        # The last row of blocks lies last in nearly every file; the first one catches files written bottom-up.
        last = max((end for _, _, end in block_ends(source, band, only_edges=True)), default=0)
        if last > size:
            raise UnreadableError(
                f"{path} is truncated: band {band} has a block that ends at byte {last}, the file has {size}. "
                f"Download or copy it again."
            )


def block_ends(source: Any, band: int, *, only_edges: bool = False) -> Iterator[tuple[int, int, int]]:  # noqa: ANN401
    """Yield row, column and last byte of the blocks of a TIFF; 0 of a block that was not written.

    Args:
        source: An open dataset.
        band: From 1.
        only_edges: Only the first and the last row of blocks.
    """
    height, width = source.block_shapes[band - 1]
    rows, columns = -(-source.height // height), -(-source.width // width)
    for y in sorted({0, rows - 1}) if only_edges else range(rows):
        for x in range(columns):
            offset, length = (source.get_tag_item(f"BLOCK_{n}_{x}_{y}", "TIFF", bidx=band) for n in ("OFFSET", "SIZE"))
            yield y, x, int(offset) + int(length) if offset and length else 0


def read_raster(path: RasterPlace, band: int = 1) -> tuple[np.ndarray, Grid]:
    """Read one band whole.

    Returns:
        (y, x) in the file's own type and numbers, and its grid.

    Raises:
        InputError: The file cannot be read, or has no usable grid.
    """
    grid = inspect(path).grid
    with environment(path), open_source(path) as source:
        return read_or_explain(path, band, lambda: source.read(band)), grid


def read_rows(path: Path) -> Iterator[np.ndarray]:
    """Read band 1 whole, block of rows by block of rows from north to south, in the file's own type and numbers.

    Yields:
        (y, x), as wide as the raster.

    Raises:
        InputError: The file cannot be read.
    """
    return (rows for (rows,) in read_rows_together(path))


def read_rows_together(*paths: Path) -> Iterator[tuple[np.ndarray, ...]]:
    """Read band 1 of rasters of one size whole, block of rows by block of rows from north to south.

    Yields:
        One (y, x) for each, as wide as the rasters, in the files' own types and numbers.

    Raises:
        InputError: A file cannot be read.
    """
    with environment(), ExitStack() as stack:
        sources = [stack.enter_context(open_source(path)) for path in paths]
        for strip in strips((sources[0].height, sources[0].width)):
            window = rasterio_window(strip)
            yield tuple(
                read_or_explain(path, 1, partial(source.read, 1, window=window))
                for path, source in zip(paths, sources, strict=True)
            )


def read_onto(
    path: RasterPlace,
    grid: Grid,
    band: int = 1,
    resampling: Literal["nearest", "bilinear", "average", "cubic"] = "nearest",
    nodata: float | None = None,
    window: Window | None = None,
) -> np.ndarray:
    """Read one band on a grid; a file that has this grid already is read exactly, without resampling.

    Args:
        path: The raster.
        grid: Where to.
        band: From 1.
        resampling: Ignored on the file's own grid. `bilinear` and `cubic` leave nodata out of the mean.
        nodata: Value that means nodata in this file; the file's own declaration where None.
        window: Part of `grid` to read; the whole where None. Must lie inside it.

    Returns:
        (y, x) in the file's own type; pixels that the file does not cover hold its nodata value, or 0 where it has none.

    Raises:
        InputError: The file cannot be read, or has no usable grid.
    """
    part = window or Window(0, 0, grid.shape[0], grid.shape[1])
    with environment(path), open_source(path) as source:
        if not differences(grid_in(source, path), grid):
            return read_or_explain(path, band, lambda: source.read(band, window=rasterio_window(part)))
        declared = source.nodata if nodata is None else nodata
        nodata = 0 if declared is None else declared
        with warp_onto(source, grid, resampling=Resampling[resampling], src_nodata=declared, nodata=nodata) as warped:
            return read_or_explain(path, band, lambda: warped.read(band, window=rasterio_window(part)))


def read_moved(path: Path, shift: tuple[float, float], window: Window, resampling: Literal["nearest", "cubic"]) -> np.ndarray:
    """Read all bands of a window as if everything in the file lay elsewhere by a part of a pixel.

    Args:
        path: The raster, with its nodata declared.
        shift: Pixels that things lie too far down and too far right in the file.
        window: Of the file's own grid, inside it.
        resampling: `cubic` leaves nodata out of the mean.

    Returns:
        (band, y, x) in the file's own type, with its nodata where it does not reach.

    Raises:
        InputError: The file cannot be read, or has no usable grid.
    """
    dy, dx = shift
    with environment(), open_source(path) as source:
        grid_in(source, path)
        # What lies on a pixel moved by (dy, dx) belongs on the pixel itself.
        with WarpedVRT(
            source, crs=source.crs, transform=source.transform @ Affine.translation(dx, dy), height=source.height,
            width=source.width, resampling=Resampling[resampling], nodata=source.nodata, src_nodata=source.nodata,
        ) as moved:  # fmt: skip
            return read_or_explain(path, 1, lambda: moved.read(window=rasterio_window(window)))


def grid_in(source: Any, path: RasterPlace) -> Grid:  # noqa: ANN401
    """Return the grid of an open dataset.

    Raises:
        InputError: It has no usable one.
    """
    return grid_of(source.transform, (source.height, source.width), source.crs, str(path))


def warp_onto(source: Any, grid: Grid, **options: Any) -> WarpedVRT:  # noqa: ANN401
    """Open a view of a dataset on a grid; `options` are those of rasterio's WarpedVRT."""
    height, width = grid.shape.yx
    return WarpedVRT(source, crs=str(grid.crs), transform=grid.transform, height=height, width=width, **options)


def read_or_explain(path: RasterPlace, band: int, read: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the pixels that `read` reads of a band.

    Raises:
        InputError: They cannot be read.
    """
    with explaining(path, band):
        return read()


def read_all(path: RasterPlace, bands: Sequence[int], read: Callable[[list[int]], np.ndarray]) -> np.ndarray:
    """Return the pixels (band, y, x) that `read` reads of bands together; the faulty one is named.

    Raises:
        InputError: They cannot be read.
    """
    try:
        return read(list(bands))
    except (RasterioError, IndexError):
        # One by one, to find it.
        return np.concatenate([read_or_explain(path, band, partial(read, [band])) for band in bands])


def rasterio_window(window: Window) -> RasterioWindow:
    """Return a window as rasterio takes it."""
    return RasterioWindow(window.x, window.y, window.width, window.height)


def read_preview(path: RasterPlace, bands: Sequence[int], side: int = 900) -> np.ndarray:
    """Read bands at most `side` pixels wide and high, from overviews where there are some.

    Returns:
        (band, y, x) in the file's own type; nodata as it is in the file.

    Raises:
        InputError: The file cannot be read.
    """
    with environment(path), open_source(path) as source:
        step = max(source.height, source.width) / side
        shape = tuple(max(round(n / max(step, 1)), 1) for n in (source.height, source.width))

        def read(some: list[int]) -> np.ndarray:
            return np.asarray(source.read(some, out_shape=(len(some), *shape), resampling=Resampling.nearest))

        return read_all(path, bands, read)
