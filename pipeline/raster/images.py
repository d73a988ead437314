"""Images of epochs: windows of them, whatever they lie in, and statistics of their bands from a sample."""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from landshift.pipeline.raster.open import environment, open_alone
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.raster.read import RasterInfo, inspect, rasterio_window, read_all, read_preview
from landshift.pipeline.tiles import Window, strips

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

Mapped = Callable[[np.ndarray], np.ndarray]
"""What turns a window (band, y, x) into another of the same shape."""


@dataclass(frozen=True, eq=False)
class StoredWindow:
    """A window of an image as its files hold it, and how its numbers become values."""

    numbers: tuple[np.ndarray, ...]
    """One a band: (y, x) in the type of its file; not to be used where not seen."""
    seen: np.ndarray
    """bool (y, x): observed in all bands."""
    factors: tuple[tuple[float, float, float], ...]
    """One a band: what is added to its numbers, then their scale, then their offset."""

    def values(self) -> np.ndarray:
        """Return float32 (band, y, x) in the image's units, NaN where not observed."""
        out = np.empty((len(self.numbers), *self.seen.shape), dtype=np.float32)
        seen = self.seen
        for numbers, factors, values in zip(self.numbers, self.factors, out, strict=True):
            scale_values(numbers, *factors, out=values)
            if numbers.dtype.kind == "f":
                # Large numbers may be finite in the file alone.
                seen = seen & np.isfinite(values)
        if not seen.all():
            np.copyto(out, np.nan, where=~seen)
        return out

    def take(self, rows: Any, columns: Any) -> "StoredWindow":  # noqa: ANN401 (whatever picks of an array)
        """Return some rows and columns of it."""
        return StoredWindow(tuple(n[rows, columns] for n in self.numbers), self.seen[rows, columns], self.factors)

    def crop(self, part: Window) -> "StoredWindow":
        """Return a part of it, which lies inside; its place is counted from the first pixel."""
        return self.take(*part.slices)

    def mirror(self, window: Window, shape: tuple[int, int]) -> "StoredWindow":
        """Continue it beyond the edges of its image as a mirror image.

        Args:
            window: What is wanted, of which this is what lies inside; it may reach past the edges, but has a pixel inside.
            shape: Rows and columns of the image.
        """
        inside = window.clip(shape)
        if inside == window:
            return self
        at = inside.within(window)
        margins = (at.y, window.height - at.y - at.height), (at.x, window.width - at.x - at.width)
        *numbers, seen = (np.pad(part, margins, mode="symmetric") for part in (*self.numbers, self.seen))
        return StoredWindow(tuple(numbers), seen, self.factors)


def scale_values(numbers: np.ndarray, added: float, scale: float, offset: float, *, out: np.ndarray) -> None:
    """Write (numbers + added) x scale + offset into float32 of the same shape, each step rounded to that type."""
    if added:
        np.add(numbers, np.float32(added), out=out, dtype=np.float32, casting="unsafe")
        out *= np.float32(scale)
    else:
        np.multiply(numbers, np.float32(scale), out=out, dtype=np.float32, casting="unsafe")
    if offset:
        out += np.float32(offset)


class ImageReader(Protocol):
    """Reads windows of an image; safe in threads, and travels to other processes."""

    @property
    def info(self) -> RasterInfo:
        """What the image is like: its shape, grid and bands."""

    def read(self, window: Window) -> np.ndarray:
        """Read all bands of a window as float32 (band, y, x), NaN where not observed and past the edge.

        Raises:
            InputError: A file cannot be read.
        """

    def read_stored(self, window: Window) -> StoredWindow:
        """Read the numbers of a window inside the image.

        Raises:
            InputError: A file cannot be read.
        """

    def close(self) -> None:
        """Close what this process opened."""


class Readable(Protocol):
    """An image that is made while it is read."""

    def reader(self) -> ImageReader:
        """Return what reads it.

        Raises:
            InputError: A file cannot be read.
        """

    @property
    def paths(self) -> tuple[RasterPlace, ...]:
        """Every file of its bands, once."""

    def preview(self, bands: Sequence[int], side: int) -> np.ndarray:
        """Read bands, from 1, at most `side` pixels wide and high: float32 (band, y, x), NaN where not observed."""


ImageSource = Path | Readable
"""Pixels of an epoch: a GeoTIFF of them, or what makes them while they are read."""


def reader_of(image: ImageSource) -> ImageReader:
    """Return what reads an image.

    Raises:
        InputError: A file cannot be read.
    """
    return RasterReader(image) if isinstance(image, Path) else image.reader()


def preview(image: ImageSource, bands: Sequence[int], side: int) -> np.ndarray:
    """Read bands at most `side` pixels wide and high, as `read_preview` does: float32 (band, y, x), NaN where not observed.

    Args:
        image: Of an epoch.
        bands: From 1.
        side: Pixels.
    """
    if isinstance(image, Path):
        return read_preview(image, bands, side).astype(np.float32, copy=False)
    return image.preview(bands, side)


class RasterReader:
    """Reads windows of a raster that may reach past its edge; safe in threads and in forked workers.

    GDAL handles must not be shared between threads, nor between a process and its forks, so each gets its own on first
    use.
    """

    def __init__(self, path: Path) -> None:
        """Remember the file; it is opened at the first read.

        Raises:
            InputError: The file cannot be read.
        """
        self.path = path
        self.info = inspect(path)
        self._handles: dict[tuple[int, int], Any] = {}

    def read(self, window: Window) -> np.ndarray:
        """Read all bands of a window as float32.

        Returns:
            (band, y, x), NaN where not observed and past the edge.

        Raises:
            InputError: The file cannot be read.
        """
        out = np.full((self.info.count, window.height, window.width), np.nan, dtype=np.float32)
        inside = window.clip(self.info.shape)
        if inside.height and inside.width:
            out[(slice(None), *inside.within(window).slices)] = self._read_inside(inside)
        return out

    def read_stored(self, window: Window) -> StoredWindow:
        """Read a window inside the raster, whose numbers are values already."""
        data = self._read_inside(window)
        return StoredWindow(tuple(data), np.isfinite(data).all(axis=0), ((0.0, 1.0, 0.0),) * len(data))

    def _read_inside(self, window: Window) -> np.ndarray:
        key = (os.getpid(), threading.get_ident())
        with environment():
            if key not in self._handles:
                self._handles[key] = open_alone(self.path)
            source, place = self._handles[key], rasterio_window(window)
            bands = range(1, self.info.count + 1)
            data = read_all(self.path, bands, lambda some: source.read(some, window=place, out_dtype="float32"))
        if self.info.nodata is not None and not np.isnan(self.info.nodata):
            data[data == self.info.nodata] = np.nan
        return np.asarray(data)

    def close(self) -> None:
        """Close the handles that this process opened."""
        for key in [k for k in self._handles if k[0] == os.getpid()]:
            self._handles.pop(key).close()

    def __getstate__(self) -> object:
        """Travel to another process without handles."""
        return {"path": self.path, "info": self.info, "_handles": {}}


@contextmanager
def open_readers(*images: ImageSource) -> Iterator[tuple[ImageReader, ...]]:
    """Open images to read windows of them, such as both dates; all are closed whatever happens.

    Raises:
        InputError: A file cannot be read.
    """
    with ExitStack() as stack:
        yield tuple(stack.enter_context(closing(reader_of(image))) for image in images)


@dataclass(frozen=True)
class BandStatistics:
    """What a band looks like, in the units of the image."""

    mean: tuple[float, ...]
    """One a band."""
    std: tuple[float, ...]
    """Standard deviation, one a band."""
    percentiles: dict[str, tuple[float, ...]]
    """`p1` to `p99`, one value a band."""
    pixels: int
    """Pixels looked at."""


def sample_image(
    image: ImageSource, limit: int = 200_000, mask: np.ndarray | None = None, seed: int = 0, mapped: Mapped | None = None
) -> np.ndarray:
    """Draw observed pixels evenly over an image.

    Args:
        image: Of an epoch.
        limit: How many at most.
        mask: bool (y, x): only these; all where None.
        seed: Which.
        mapped: What is done to each window (band, y, x) first; nothing where None.

    Returns:
        float32 (pixel, band).
    """
    rng = np.random.default_rng(seed)
    parts = []
    with open_readers(image) as (reader,):
        wanted = float(mask.sum() if mask is not None else math.prod(reader.info.shape))
        keep = min(1.0, limit / max(wanted, 1.0))
        for window in strips(reader.info.shape):
            values = reader.read(window) if mapped is None else mapped(reader.read(window))
            chosen = np.isfinite(values[0]) & (rng.random(values.shape[1:]) < keep)
            if mask is not None:
                chosen &= mask[window.slices]
            parts.append(values[:, chosen].T)
    pixels = np.concatenate(parts)
    # Chance may draw a few too many.
    return pixels if len(pixels) <= limit else pixels[np.sort(rng.choice(len(pixels), limit, replace=False))]


def band_statistics(
    images: Sequence[ImageSource], mask: np.ndarray | None = None, mapped: Sequence[Mapped | None] | None = None
) -> BandStatistics:
    """Describe the bands of several images together.

    Both dates go in together: statistics of each date apart would normalise its change away.

    Args:
        images: Of epochs, with the same bands.
        mask: bool (y, x): only these pixels.
        mapped: What is done to the windows of each image first; nothing where None.
    """
    changes = mapped or [None] * len(images)
    parts = [sample_image(image, mask=mask, mapped=change) for image, change in zip(images, changes, strict=True)]
    return describe_pixels(np.concatenate(parts))


def describe_pixels(sample: np.ndarray) -> BandStatistics:
    """Describe the bands of pixels (n, band)."""
    pixels = sample.astype(np.float64)
    if not len(pixels):
        nothing: tuple[float, ...] = ()
        return BandStatistics(nothing, nothing, {}, 0)
    # A constant band would divide by zero.
    std = np.maximum(pixels.std(axis=0), 1e-6)
    ranks = np.percentile(pixels, _PERCENTILES, axis=0)
    named = {f"p{p}": _round(row) for p, row in zip(_PERCENTILES, ranks, strict=True)}
    return BandStatistics(_round(pixels.mean(axis=0)), _round(std), named, len(pixels))


def _round(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{v:.7g}") for v in values)
