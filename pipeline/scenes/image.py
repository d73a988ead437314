"""Pixels of a scene: windows of it on a grid, in its sensor's units, and a scene that is the whole image of an epoch."""

import os
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.bands import read_bands, read_clear
from landshift.pipeline.raster.images import StoredWindow
from landshift.pipeline.raster.open import OpenRasters
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.raster.read import RasterInfo
from landshift.pipeline.scenes.scene import CLEAR_OF_CLOUD, Scene, Source
from landshift.pipeline.scenes.sensors import decode_quality
from landshift.pipeline.tiles import LOOK, Window, spread_windows, strips


def read_scene(
    scene: Scene,
    bands: Sequence[str],
    grid: Grid,
    window: Window,
    resampling: Literal["bilinear", "average"] = "bilinear",
) -> np.ndarray:
    """Read a window of a scene in its sensor's units, as `read_stored` reads its numbers.

    Returns:
        float32 (band, y, x), NaN where not observed; a pixel is observed in all bands or in none.

    Raises:
        InputError: A file cannot be read.
    """
    return read_stored(scene, bands, grid, window, resampling=resampling).values()


def read_stored(
    scene: Scene,
    bands: Sequence[str],
    grid: Grid,
    window: Window,
    resampling: Literal["bilinear", "average"] = "bilinear",
) -> StoredWindow:
    """Read the numbers of a window of a scene; `average` suits a grid that is coarser.

    Not observed is what nodata, masks and alpha of the files mark, and clouds of the quality band or mask. Where values are
    resampled (bilinear), masks grow by a pixel of the file, so that no cloud is mixed into what is left.

    Args:
        scene: With all of the bands.
        bands: Which, in which order.
        grid: Where to.
        window: Of `grid`, inside it.
        resampling: Of files whose pixels do not lie on the grid's.

    Raises:
        InputError: A file cannot be read.
    """
    numbers: list[np.ndarray] = [np.empty(0)] * len(bands)
    seen = np.ones((window.height, window.width), dtype=bool)
    grids: list[Grid] = []
    for path, rows in _by_file(scene, bands).items():
        numbered = [scene.bands[bands[row]].band for row in rows]
        part = read_bands(path, numbered, grid, window, resampling=resampling, nodata=scene.sensor.nodata)
        for row, found in zip(rows, part.numbers, strict=True):
            numbers[row] = found
        seen &= part.seen
        if part.resampled_from is not None and resampling == "bilinear" and part.resampled_from not in grids:
            grids.append(part.resampled_from)
    for mask, clear in (
        (scene.quality, partial(decode_quality, scene.sensor.quality or "")),
        (scene.mask, partial(np.equal, CLEAR_OF_CLOUD)),
    ):
        if mask is not None:
            seen &= read_clear(mask.path, mask.band, grid, window, clear=clear, resampled_from=grids)
    plain = scene.sensor.scale, scene.sensor.offset
    factors = tuple((scene.number_offset, *(scene.bands[name].factors or plain)) for name in bands)
    return StoredWindow(tuple(numbers), seen, factors)


def _by_file(scene: Scene, bands: Sequence[str]) -> dict[RasterPlace, list[int]]:
    """Return which of the bands, from 0, lie in each file, so that each is opened once."""
    rows: dict[RasterPlace, list[int]] = {}
    for row, name in enumerate(bands):
        rows.setdefault(scene.bands[name].path, []).append(row)
    return rows


@dataclass(frozen=True)
class SceneImage:
    """The image of an epoch of one scene, read where the scene lies: nothing of it is written anywhere."""

    scene: Scene
    """With its files on this machine."""
    bands: tuple[str, ...]
    """Which, in order."""
    grid: Grid
    """Of the region; the scene is resampled where its pixels do not lie on it."""
    looks: dict[Window, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    """Windows of `spread_windows` that were read: gates, matching and thresholds all look at the same ones."""

    @property
    def paths(self) -> tuple[RasterPlace, ...]:
        """Every file of its bands, once."""
        return tuple(dict.fromkeys(self.scene.bands[name].path for name in self.bands))

    def reader(self) -> "SceneReader":
        """Return what reads it; files are opened at the first read."""
        return SceneReader(self)

    def only(self, bands: Sequence[int]) -> "SceneImage":
        """Return the image of some of its bands, from 1."""
        return SceneImage(self.scene, tuple(self.bands[band - 1] for band in bands), self.grid)

    def preview(self, bands: Sequence[int], side: int) -> np.ndarray:
        """Read bands, from 1, at most `side` pixels wide and high: float32 (band, y, x), of the nearest pixels.

        NaN where one of these bands was not observed.

        Raises:
            InputError: A file cannot be read.
        """
        height, width = self.grid.shape
        step = max(max(height, width) / side, 1)
        rows, columns = (_nearest(n, max(round(n / step), 1)) for n in (height, width))
        parts = []
        with closing(self.only(bands).reader()) as reader:
            for strip in strips((height, width)):
                inside = rows[(rows >= strip.y) & (rows < strip.y + strip.height)] - strip.y
                at = np.ix_(inside, columns)
                stored = reader.read_stored(strip)
                parts.append(stored.take(*at).values())
        return np.asarray(np.concatenate(parts, axis=1))

    def absolute(self) -> "SceneImage":
        """Return the same image as another process finds it, whatever its working directory."""
        scene = self.scene

        def place(source: Source) -> Source:
            return replace(source, path=source.path.resolve()) if isinstance(source.path, Path) else source

        return SceneImage(
            replace(
                scene, bands={name: place(source) for name, source in scene.bands.items()},
                quality=None if scene.quality is None else place(scene.quality),
                mask=None if scene.mask is None else place(scene.mask),
            ),
            self.bands, self.grid, self.looks,
        )  # fmt: skip

    def __getstate__(self) -> object:
        """Travel to another process without what was read."""
        return {"scene": self.scene, "bands": self.bands, "grid": self.grid, "looks": {}}


def _nearest(length: int, count: int) -> np.ndarray:
    """Return the pixels of a line that GDAL takes where it is read with fewer."""
    return np.asarray(np.minimum((np.arange(count) + 0.5) * (length / count) + 1e-10, length - 1), dtype=np.intp)


def is_read_in_place(scene: Scene) -> bool:
    """Whether windows of a scene can be read again and again: its files lie here, and in no archive."""
    return all(isinstance(path, Path) for path in scene.paths)


@dataclass
class SceneReader:
    """Reads windows of a scene on a grid, which may reach past its edge; safe in threads and in forked workers."""

    image: SceneImage
    """What it reads."""
    _open: dict[tuple[int, int], OpenRasters] = field(default_factory=dict)

    @property
    def info(self) -> RasterInfo:
        """What the image is like on its grid."""
        image, units = self.image, self.image.scene.sensor.units
        count = len(image.bands)
        return RasterInfo(
            image.scene.paths[0], (image.grid.shape[0], image.grid.shape[1]), image.grid.transform,
            image.grid.crs.to_wkt() if image.grid.crs is not None else None, count=count, dtype="float32",
            nodata=float("nan"), descriptions=image.bands, dtypes=("float32",) * count, units=(units,) * count,
        )  # fmt: skip

    def read(self, window: Window) -> np.ndarray:
        """Read all bands of a window as float32 (band, y, x), NaN where not observed and past the edge.

        Raises:
            InputError: A file cannot be read.
        """
        image = self.image
        shape = (image.grid.shape[0], image.grid.shape[1])
        inside = window.clip(shape)
        if inside == window:
            if window in image.looks:
                return image.looks[window].copy()
            values = self.read_stored(window).values()
            if window.height * window.width <= LOOK**2 and window in spread_windows(shape):
                image.looks[window] = values.copy()
            return values
        out = np.full((len(image.bands), window.height, window.width), np.nan, dtype=np.float32)
        if inside.height and inside.width:
            out[(slice(None), *inside.within(window).slices)] = self.read_stored(inside).values()
        return out

    def read_stored(self, window: Window) -> StoredWindow:
        """Read the numbers of a window inside the grid.

        Raises:
            InputError: A file cannot be read.
        """
        # GDAL's handles must not be shared between threads, nor between a process and its forks.
        here = self._open.setdefault((os.getpid(), threading.get_ident()), OpenRasters())
        with here.in_use():
            return read_stored(self.image.scene, self.image.bands, self.image.grid, window)

    def close(self) -> None:
        """Close what this process opened."""
        for key in [k for k in self._open if k[0] == os.getpid()]:
            self._open.pop(key).close()

    def __getstate__(self) -> object:
        """Travel to another process without open files."""
        return {"image": self.image, "_open": {}}
