"""The door for rasters, outward: GeoTIFFs that appear whole, window by window, and cloud-optimised ones."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.manifest import link_or_copy, replace_when_done, scratch_folder
from landshift.pipeline.raster.cog.arrange import arrange, read_levels
from landshift.pipeline.raster.cog.blocks import BLOCK, PixelKind
from landshift.pipeline.raster.cog.directory import Directory, read_directories
from landshift.pipeline.raster.cog.levels import Level, LevelWriter
from landshift.pipeline.raster.cog.tally import Tally
from landshift.pipeline.raster.open import environment, open_source
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.raster.read import RasterInfo, block_ends, inspect, rasterio_window, read_all
from landshift.pipeline.tiles import Window, strips

_TILED = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
_CREATION = {"compress": "zstd", "zstd_level": 1, "num_threads": "ALL_CPUS", "bigtiff": "IF_SAFER", "interleave": "band"}


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
    overviews: Literal["", "mean", "mode"] = ""
    """Of a raster that is to be published: what its overviews hold of several pixels, the mean of amounts or the most frequent
    of codes. Its blocks are compressed as they are published, and carried over by `write_cog`. Empty for all others."""
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour table of band 1: value to red, green, blue, alpha."""

    @property
    def profile(self) -> dict[str, Any]:
        """GDAL's options of a new file, but for those of its compression."""
        crs, (height, width) = self.grid.crs, self.grid.shape.yx
        return {
            **_TILED, "height": height, "width": width, "count": self.count, "dtype": self.dtype, "nodata": self.nodata,
            "crs": None if crs is None else crs.to_wkt(), "transform": self.grid.transform,
        }  # fmt: skip


@contextmanager
def open_writer(path: Path, layout: Layout) -> Iterator[Callable[[Window, np.ndarray], None]]:
    """Write a tiled GeoTIFF window by window; it appears under its name when the block ends well.

    Yields:
        A function of a window inside the grid and its pixels (band, y, x). Where the layout names overviews, each pixel must
        be written once.

    Raises:
        OSError: The file could not be written whole.
    """
    with replace_when_done(path) as temporary:
        if layout.overviews:
            with _writing_levels(temporary, path, layout) as levels:

                def write(window: Window, data: np.ndarray) -> None:
                    with _explaining(path):
                        levels.add(window, data)

                yield write
            return
        with environment():
            with rasterio.open(temporary, "w", **layout.profile, **_CREATION) as target:
                _describe(target, layout)
                yield lambda window, data: target.write(data, window=rasterio_window(window))
            _require_written(temporary, path)


@contextmanager
def _writing_levels(temporary: Path, path: Path, layout: Layout) -> Iterator[LevelWriter]:
    """Write a raster with its overviews, and describe it by what its pixels hold, for `path`."""
    kind = PixelKind(layout.count, layout.dtype, layout.nodata, is_smooth=layout.overviews == "mean")
    # Generators of rows may end in any order while GDAL is set up here.
    with environment(), temporary.open("wb") as stream, closing(LevelWriter(stream, layout.grid.shape.yx, kind)) as levels:
        yield levels
        with _explaining(path):
            levels.finish(partial(_tags_of, layout, kind))
            stream.flush()


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Name the file that could not be written, and the likely reason."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} could not be written whole ({error}). Is the disk full?") from error


def _tags_of(layout: Layout, kind: PixelKind, tally: Tally) -> Directory:
    """Return the tags of a raster, as GDAL writes them in a file without blocks."""
    with environment(), rasterio.MemoryFile() as memory:
        with memory.open(
            **layout.profile, compress="deflate", predictor=2 if kind.has_differences else 1, interleave="pixel",
            sparse_ok=True, endianness="little", bigtiff="no",
        ) as target:  # fmt: skip
            _describe(target, layout)
            for band, items in enumerate(tally.items(), start=1):
                target.update_tags(band, **items)
        return read_directories(io.BytesIO(memory.read()))[0]


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
    """Rewrite a GeoTIFF as a cloud-optimised one, in one atomic step.

    What `open_writer` wrote with overviews is carried over block by block as it is; anything else is compressed anew.

    Args:
        path: The file to make.
        source: GeoTIFF with descriptions, nodata and colour table, which are carried over.
        categorical: Codes get overviews of the most frequent code; numbers get overviews of the mean, and a predictor. Both get
            statistics of the observed pixels.

    Raises:
        OSError: The file could not be written whole.
    """
    info = inspect(source)
    kind = PixelKind(info.count, info.dtype, info.nodata, is_smooth=not categorical)
    with replace_when_done(path) as temporary:
        loose, found = source, _levels_in(source, kind)
        if found is None:
            loose = temporary.with_name(f"{temporary.name}.loose")
            with _writing_levels(loose, path, _layout_of(info, "mode" if categorical else "mean")) as levels:
                for strip in strips(info.shape, BLOCK):
                    pixels = _read_all(source, strip)
                    with _explaining(path):
                        levels.add(strip, pixels)
            found = _levels_in(loose, kind)
        with _explaining(path), loose.open("rb") as stream, temporary.open("wb") as target:
            if found is None:
                raise OSError("its blocks cannot be found")
            arrange(stream, target, *found)
        _require_written(temporary, path)
    return path


def write_rows(path: Path, rows: Iterable[np.ndarray], layout: Layout) -> dict[int, int]:
    """Write the rows of one band as a cloud-optimised GeoTIFF, in one atomic step.

    Args:
        path: The file to make.
        rows: Blocks (y, x) from north to south, as wide as the grid.
        layout: With overviews.

    Returns:
        Of uint8, how many pixels hold each value that occurs; else nothing.

    Raises:
        OSError: The file could not be written whole.
    """
    top = 0
    with scratch_folder(path.parent) as scratch:
        loose = scratch / path.name
        with _writing_levels(loose, path, layout) as levels:
            for values in rows:
                with _explaining(path):
                    levels.add(Window(top, 0, *values.shape), values[np.newaxis])
                top += len(values)
        write_cog(path, loose, categorical=layout.overviews == "mode")
    return {value: int(n) for value, n in enumerate(levels.tally.counts[0]) if n}


def _levels_in(path: Path, kind: PixelKind) -> tuple[Directory, list[Level]] | None:
    with path.open("rb") as stream:
        return read_levels(stream, kind)


def _overviews_in(info: RasterInfo) -> Literal["", "mean", "mode"]:
    """Return the overviews that `open_writer` made in a file; empty where it made none."""
    kinds: tuple[Literal["mean", "mode"], ...] = ("mean", "mode")
    for name in kinds:
        if (
            _levels_in(Path(str(info.path)), PixelKind(info.count, info.dtype, info.nodata, is_smooth=name == "mean"))
            is not None
        ):
            return name
    return ""


def _layout_of(info: RasterInfo, overviews: Literal["mean", "mode"]) -> Layout:
    """Describe a raster like another one."""
    colormap = None
    with environment(), open_source(info.path) as source:
        if source.colorinterp[0] == ColorInterp.palette:
            colormap = source.colormap(1)
    scale, offset = (
        values[0] if any(value != plain for value in values) else None
        for values, plain in ((info.scales, 1.0), (info.offsets, 0.0))
    )
    return Layout(
        info.grid, info.count, info.dtype, info.nodata, descriptions=info.descriptions, units=info.units, scale=scale,
        offset=offset, tags=info.tags, overviews=overviews, colormap=colormap,
    )  # fmt: skip


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
        grid, first.count, first.dtype, first.nodata, descriptions=first.descriptions, units=first.units, tags=first.tags,
        overviews=_overviews_in(first),
    )  # fmt: skip
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
        return read_all(path, source.indexes, lambda some: source.read(some, window=rasterio_window(window)))
