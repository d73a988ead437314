"""Open rasters, here and on servers: the settings of GDAL, the formats that are accepted, and what stays open."""

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving
from rasterio.env import get_gdal_config
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from landshift.pipeline.errors import UnreadableError
from landshift.pipeline.files.jp2 import fault_in_boxes
from landshift.pipeline.files.opening import MISSING, fault_of, require_file
from landshift.pipeline.files.tiff import block_sizes
from landshift.pipeline.limits import RASTER_BANDS, require_block, require_raster, require_size
from landshift.pipeline.raster.place import SUFFIXES, ArchivedFile, RasterPlace, RemoteFile, ask, keeping_secrets
from landshift.pipeline.raster.servers.asking import RETRIES

_DRIVERS = {
    b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff", b"\0\0\0\x0c": "JP2OpenJPEG",
}  # fmt: skip
"""First bytes of the formats accepted as input, and GDAL's driver. VRT and other indirect formats can point anywhere, so
they are refused before GDAL sees them."""

_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG"}
"""First bytes of the formats that chips may have too. They hold pixels alone, and are never scenes: they place nothing."""

_BEGINNING = 2**16
"""Bytes of a file in an archive whose structures are looked at: to go on in it would mean to unpack what lies before."""
_POINTER = b"version https://git-lfs"
"""First bytes of what Git LFS leaves in the place of a file that was not fetched."""

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache: tiles are read in stripes that are narrow enough for it, so that blocks are not read again."""

_REMOTE = {
    # Names beside the raster are not asked for: each would be a request that ends in 404.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ",".join(SUFFIXES),
    "GDAL_HTTP_MAX_RETRY": str(RETRIES),
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_RETRY_CODES": "429,500,502,503,504",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "VSI_CACHE": "TRUE",
    # Blocks at a window's edge are read by its neighbour too, and the look at a scene by the composite after it.
    "CPL_VSIL_CURL_CACHE_SIZE": str(256 * 2**20),
}
"""GDAL's settings for files on servers: https://gdal.org/en/stable/user/configoptions.html#networking-options"""


@dataclass(frozen=True)
class _Kept:
    """Rasters that stay open."""

    here: bool
    """Whether files of this machine stay open too."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of GDAL's GeoTIFF driver, for all of them."""
    handles: dict[tuple[RasterPlace, str, bool], Any] = field(default_factory=dict)
    """Open datasets, by place, address with its signature, and whether pictures were accepted."""


_KEPT: ContextVar[_Kept | None] = ContextVar("rasters that stay open", default=None)
"""Of this thread; handles must not be shared between threads."""


def _silence() -> None:
    """Silence a warning for good: that the CRS is missing is an error with a remedy later.

    Python's filters belong to the whole process. To restore them, threads would have to wait for each other, and one
    that is stopped while others wait would leave them waiting for ever.
    """
    warnings.simplefilter("ignore", NotGeoreferencedWarning)


@contextmanager
def environment(place: RasterPlace | None = None) -> Iterator[None]:
    """Set GDAL up for a read or a write.

    Args:
        place: What is read; a file on a server needs more settings. Those that the operator has in the environment stay.
    """
    kept = _KEPT.get()
    if kept is not None and kept.here and not isinstance(place, RemoteFile):
        # Set already: a look into hundreds of small files would spend more on this than on their pixels.
        yield
        return
    options = {
        "GDAL_CACHEMAX": CACHE_BYTES, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "ALL_CPUS",
    }  # fmt: skip
    if not isinstance(place, RemoteFile):
        with rasterio.Env(**options):
            yield
        return
    options |= {key: value for key, value in _REMOTE.items() if key not in os.environ}
    options |= place.access.gdal_options(lambda name: get_gdal_config(name) is not None)
    with keeping_secrets(place), rasterio.Env(**options):
        yield


class OpenRasters:
    """Rasters that stay open from one read to the next, in one thread of one process."""

    def __init__(self) -> None:
        """Begin with none."""
        # GDAL's pool of decoding threads does not survive a fork: a worker that asked it for blocks would wait for ever.
        self._kept = _Kept(here=True, options={"NUM_THREADS": "1"})

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Take what is open already inside the block, and keep what it opens."""
        with environment():
            token = _KEPT.set(self._kept)
            try:
                yield
            finally:
                _KEPT.reset(token)

    def close(self) -> None:
        """Close them all."""
        while self._kept.handles:
            self._kept.handles.popitem()[1].close()


@contextmanager
def keeping_open(*, here: bool = False) -> Iterator[None]:
    """Keep files on servers open inside the block, so that GDAL's block cache keeps what was downloaded of them.

    Without it, each read would download its blocks again. Blocks within blocks share; other threads do not.

    Args:
        here: Keep files of this machine open too. For the few of one scene: a process may not have many files open.
    """
    outer = _KEPT.get()
    if outer is not None and (outer.here or not here):
        yield
        return
    kept = _Kept(here)
    with environment() if here else nullcontext():
        token = _KEPT.set(kept)
        try:
            yield
        finally:
            _KEPT.reset(token)
            for source in kept.handles.values():
                source.close()


@contextmanager
def open_source(path: RasterPlace, *, pictures: bool = False) -> Iterator[Any]:  # rasterio is not typed
    """Open a raster for the functions of this door; what GDAL finds wrong with it inside the block is an InputError.

    Args:
        path: The raster.
        pictures: Whether it may be a PNG or a JPEG.

    Raises:
        InputError: The file is missing, unreadable, damaged or of a format that is not accepted.
    """
    kept = _KEPT.get()
    with explaining(path):
        if kept is None or not (kept.here or isinstance(path, RemoteFile)):
            with _open(path, {}, pictures=pictures) as source:
                yield source
            return
        # A file whose signature was renewed is opened anew.
        key = (path, path.gdal_name if isinstance(path, RemoteFile) else "", pictures)
        if key not in kept.handles:
            kept.handles[key] = _open(path, kept.options, pictures=pictures)
        # Closed when the block that keeps it open ends.
        yield kept.handles[key]


def open_alone(path: Path) -> Any:  # noqa: ANN401
    """Open a raster for a reader that closes it itself, in one thread of one process.

    Raises:
        InputError: As `open_source`.
    """
    # GDAL's pool of decoding threads does not survive a fork: a worker that asked it for blocks would wait for ever.
    return _open(path, {"NUM_THREADS": "1"}, pictures=False)


@contextmanager
def explaining(path: RasterPlace, band: int | None = None) -> Iterator[None]:
    """Turn what GDAL finds wrong with a raster inside the block into an InputError that names the file.

    Args:
        path: The raster.
        band: From 1, that is read; None where it is not one alone.

    Raises:
        InputError: For every error of GDAL's.
    """
    what = str(path) if band is None else f"{path}, band {band}"
    # Asking for a band that is not there is an error of Python's.
    faults = (
        (RasterioError, CPLE_BaseError, CRSError) if band is None else (RasterioError, CPLE_BaseError, CRSError, IndexError)
    )
    try:
        yield
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"{path}: its metadata hold the byte 0x{error.object[error.start]:02x}, which is not UTF-8. Expected texts in "
            f"UTF-8; take them out: `gdal_edit.py -unsetmd FILE`, or leave the file out."
        ) from error
    except faults as error:
        if isinstance(path, RemoteFile):
            raise UnreadableError(
                f"{what}: the pixels cannot be read ({path.without_secrets(str(error))}). The server failed or "
                f"stopped midway, or the file is damaged or has fewer bands; try again, or leave the item out."
            ) from None
        raise UnreadableError(
            f"{what}: the pixels cannot be read ({error}). The file is damaged or has fewer bands; run `gdalinfo -checksum` on "
            f"it and copy it again."
        ) from error


def _open(path: RasterPlace, options: Mapping[str, str], *, pictures: bool) -> Any:  # noqa: ANN401
    if isinstance(path, RemoteFile):
        source = _open_remote(path, options)
    elif isinstance(path, ArchivedFile):
        source = _open_archived(path, options)
    else:
        source = _open_here(path, options, pictures=pictures)
    try:
        _require_limits(source, path)
    except BaseException:
        source.close()
        raise
    return source


def _require_limits(source: Any, path: RasterPlace) -> None:  # noqa: ANN401
    if source.count > RASTER_BANDS:
        # Asking each band would take a while.
        require_raster(path, (source.height, source.width), source.count, (1, 1, 1))
    if isinstance(path, Path):
        pixel = sum(np.dtype(dtype).itemsize for dtype in source.dtypes)
        require_size(path, path.stat().st_size, source.height * source.width * pixel)
    together = source.count if source.interleaving == Interleaving.pixel else 1
    for (rows, columns), dtype in set(zip(source.block_shapes, source.dtypes, strict=True)):
        size = np.dtype(dtype).itemsize * together
        require_raster(path, (source.height, source.width), source.count, (rows, columns, size))


def _open_here(path: Path, options: Mapping[str, str], *, pictures: bool) -> Any:  # noqa: ANN401
    if fault_of(path) == MISSING:
        near = sorted(p.name for p in path.parent.glob("*.tif"))[:5] if path.parent.is_dir() else []
        raise UnreadableError(
            f"{path} is not there. "
            + (f"{path.parent} holds {', '.join(near)}." if near else f"{path.parent} holds no .tif files.")
        )
    require_file(path)
    _silence()
    try:
        with path.open("rb") as stream:
            first = stream.read(len(_POINTER))
            _require_content(path, first)
            _require_sound(path, stream, path.stat().st_size)
        driver = _DRIVERS.get(first[:4])
        if driver is None and pictures:
            driver = next((name for start, name in _PICTURES.items() if first.startswith(start)), None)
        if driver is None and pictures:
            raise UnreadableError(f"{path} is neither a PNG, a JPEG nor a GeoTIFF, whatever its name is. Convert or remove it.")
        if driver is None:
            raise UnreadableError(
                f"{path} is neither a GeoTIFF nor JPEG 2000. VRT and other formats that point to further files are "
                f"not accepted; convert it once with `gdal_translate`."
            )
        return rasterio.open(path, driver=driver, **(options if driver == "GTiff" else {}))
    except (RasterioError, OSError) as error:
        raise UnreadableError(
            f"{path} cannot be read as a raster ({error}). Expected a GeoTIFF or JPEG 2000 that `gdalinfo` opens; "
            f"copy or download it again."
        ) from error


def _require_content(path: RasterPlace, first: bytes) -> None:
    """Refuse a file whose first bytes show that its content was never fetched."""
    if not first:
        raise UnreadableError(f"{path} has 0 bytes: its download or copy failed. Download it again.")
    if first.startswith(_POINTER):
        raise UnreadableError(
            f"{path} is a Git LFS pointer, which stands for a raster that is elsewhere. Download that one (`git lfs pull` in "
            f"its repository)."
        )


def _require_sound(path: RasterPlace, stream: BinaryIO, size: int) -> None:
    """Refuse a file whose first structures would take GDAL too much memory, or for ever."""
    stream.seek(0)
    driver = _DRIVERS.get(stream.read(4))
    stream.seek(0)
    if driver == "GTiff":
        for found in block_sizes(stream):
            require_block(path, found.rows, found.columns, found.size)
    fault = fault_in_boxes(stream, size) if driver == "JP2OpenJPEG" else ""
    if fault:
        raise UnreadableError(f"{path} cannot be read as a raster ({fault}). The file is damaged; copy or download it again.")


def _open_archived(file: ArchivedFile, options: Mapping[str, str]) -> Any:  # noqa: ANN401
    first = file.read(_BEGINNING)
    _require_content(file, first)
    _require_sound(file, io.BytesIO(first), file.size)
    driver = _DRIVERS.get(first[:4])
    if driver is None:
        raise UnreadableError(f"{file} is neither a GeoTIFF nor JPEG 2000. Expected the raster that its name promises.")
    _silence()
    try:
        return rasterio.open(file.gdal_name, driver=driver, **(options if driver == "GTiff" else {}))
    except (RasterioError, OSError) as error:
        raise UnreadableError(
            f"{file} cannot be read as a raster ({error}). The archive is damaged; download it again, or unpack it."
        ) from error


def _open_remote(file: RemoteFile, options: Mapping[str, str]) -> Any:  # noqa: ANN401
    if file.access.hosts and urlsplit(file.url).scheme != "s3":
        # GDAL follows redirects to any host: where they lead to is asked first.
        ask(file)
    driver = "JP2OpenJPEG" if file.suffix.lower() == ".jp2" else "GTiff"
    _silence()
    try:
        # Only this driver: what the server sends may be a VRT under any name.
        return rasterio.open(file.gdal_name, driver=driver, **(options if driver == "GTiff" else {}))
    except (RasterioError, OSError) as error:
        # The cause holds the whole address, tokens too.
        raise UnreadableError(
            f"{file} cannot be read as a raster ({file.without_secrets(str(error)).replace(file.gdal_name, str(file))}). "
            f"Expected a GeoTIFF or JPEG 2000; the server failed, or the file is another. {file.advice}".rstrip()
        ) from None
