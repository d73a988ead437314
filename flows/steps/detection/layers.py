"""What a pass over both dates writes beside the map: images for the eye, the day last seen, a second opinion."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from landshift.flows.steps.images.epochs import Pair
from landshift.pipeline.change.decision import PROBABILITY_NODATA
from landshift.pipeline.drawing.pictures import Stretch, image_layout, stretches_of, to_colours
from landshift.pipeline.epochs.agreement import spread_pixels
from landshift.pipeline.epochs.classical import IrMad
from landshift.pipeline.epochs.detector import SAMPLED, change_codes, fit_detector
from landshift.pipeline.epochs.observed import count_observed, open_observations, read_days
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_OBSERVED, Legend
from landshift.pipeline.raster.images import ImageReader, StoredWindow, open_readers
from landshift.pipeline.raster.write import Layout, open_writer
from landshift.pipeline.records import Numbers
from landshift.pipeline.run.rasters import calendar_dates, last_observed_layout
from landshift.pipeline.scenes.sensors import REFLECTANCE
from landshift.pipeline.tiles import Window, pieces

IMAGES = ("image_before", "image_after")
"""Layers of the images for the eye."""
SEEN = "last_observed"
"""Layer of the day on which each pixel was last seen."""
SECOND = "second"
"""Layer of the IR-MAD map beside the map of a model."""
AT_ONCE = 1 << 18
"""Pixels that are worked on at once: memory grows neither with tiles nor with the scene."""


@dataclass(frozen=True)
class SecondRule:
    """The IR-MAD map beside the map of a model: how it is made, or why it is not."""

    statistic: IrMad | None
    """Of the pair, without any radiometry; None where it could not be fitted."""
    threshold: float
    """Of the square root of the statistic, from which on a pixel counts as changed."""
    reason: str = ""
    """Why it cannot be made; empty where it can."""


def fit_second(prepared: Pair, rate: float) -> SecondRule:
    """Fit IR-MAD to a pair, with the stricter of its thresholds: where nothing changed, Otsu's lies amid the noise."""
    with open_readers(*prepared.images) as (before, after):
        try:
            detector = fit_detector(*spread_pixels(before, after, limit=SAMPLED), "ir-mad", rate)
        except InputError as error:
            return SecondRule(None, 0.0, str(error).rstrip("."))
    return SecondRule(detector.mad, max(detector.otsu, detector.false_alarm.value))


@dataclass(frozen=True)
class Beside:
    """What becomes of the images of a pair, window by window, whatever maps the changes."""

    prepared: Pair
    """The images."""
    stretches: tuple[Stretch, Stretch]
    """How their values become colours."""
    second: SecondRule | None
    """The second opinion; None where none is wanted."""
    tags: Mapping[str, str]
    """Of each raster that is published."""

    @property
    def names(self) -> tuple[str, ...]:
        """Layers that are written."""
        has_second = self.second is not None and self.second.statistic is not None
        return (*IMAGES, SEEN, *([SECOND] if has_second else []))

    def layout(self, name: str, grid: Grid) -> Layout:
        """Describe the file of a layer."""
        if name == SEEN:
            return last_observed_layout(grid, self.tags)
        if name == SECOND:
            return Layout(grid, 1, "uint8", NOT_OBSERVED)
        stretch, bands = self.stretches[IMAGES.index(name)], self.prepared.plan.bands
        return image_layout(grid, [bands[band - 1] for band in stretch.bands], self.tags)

    def of(
        self, images: tuple[np.ndarray, np.ndarray], days: Sequence[ImageReader | date], window: Window
    ) -> dict[str, np.ndarray]:
        """Return each layer (band, y, x) of a window of both dates, float32 (band, y, x), before any radiometry.

        `days` are those of the dates, as `open_observations` opens them.
        """
        layers = {
            name: to_colours(image[[band - 1 for band in stretch.bands]], stretch)
            for name, image, stretch in zip(IMAGES, images, self.stretches, strict=True)
        }
        layers[SEEN] = calendar_dates(read_days(days, images, window))[np.newaxis]
        if self.second is not None and self.second.statistic is not None:
            statistic = np.sqrt(self.second.statistic.apply(*images))
            layers[SECOND] = change_codes(statistic, self.second.threshold)[np.newaxis]
        return layers


def beside_of(prepared: Pair, second: SecondRule | None, tags: Mapping[str, str]) -> Beside:
    """Choose how a pair is shown."""
    stretches = stretches_of(*prepared.images, comparable=prepared.plan.sensor.units == REFLECTANCE)
    return Beside(prepared, stretches, second, tags)


def nodata_of(layer: str) -> int:
    """Return the code of what was not observed in a layer of the map itself."""
    return PROBABILITY_NODATA if layer == "change_probability" else NOT_OBSERVED


def layers_of(legend: Legend) -> tuple[str, ...]:
    """Name the layers of a raw map; a binary legend has no land use."""
    return ("change", "change_probability") if legend.binary else ("change", "before", "after", "change_probability")


class LayerWriter:
    """Writes all layers of a part of a map, and counts what was observed in it; safe in threads."""

    def __init__(
        self,
        beside: Beside,
        days: Sequence[ImageReader | date],
        rows: Window,
        write: Callable[[str, Window, np.ndarray], None],
    ) -> None:
        """Take what is written beside the map, the days of both dates, the rows of the files, and what writes a layer."""
        self._beside, self._days, self._rows, self._write = beside, days, rows, write
        self._one = threading.Lock()
        self.count: Numbers = np.zeros(4, dtype=np.int64)
        """As `count_observed`."""

    def add_tile(self, window: Window, images: tuple[StoredWindow, StoredWindow], mapped: Mapping[str, np.ndarray]) -> None:
        """Write a window of the region; of its images only a part is there as values at a time.

        Args:
            window: Of the region's grid.
            images: Of both dates, before any radiometry.
            mapped: Layers of the map itself, (y, x).
        """
        self._add(window, mapped)
        for piece in pieces((window.height, window.width), AT_ONCE):
            at = Window(window.y + piece.y, window.x + piece.x, piece.height, piece.width)
            self.add(at, (images[0].crop(piece).values(), images[1].crop(piece).values()), {})

    def add(self, window: Window, images: tuple[np.ndarray, np.ndarray], mapped: Mapping[str, np.ndarray]) -> None:
        """Write a window of the region.

        Args:
            window: Of the region's grid.
            images: float32 (band, y, x) of both dates, before any radiometry, NaN = not observed.
            mapped: Layers of the map itself, (y, x).
        """
        found, layers = count_observed(*images), self._beside.of(images, self._days, window)
        self._add(window, mapped)
        self._add(window, layers, found)

    def _add(self, window: Window, layers: Mapping[str, np.ndarray], counted: np.ndarray | int = 0) -> None:
        # GDAL's files are not written to by two threads at once.
        with self._one:
            self.count += counted
            for name, layer in layers.items():
                self._write(name, window.within(self._rows), layer if layer.ndim == 3 else layer[np.newaxis])


@contextmanager
def writing_layers(beside: Beside, paths: Mapping[str, Path], rows: Window) -> Iterator[LayerWriter]:
    """Open the files of all layers of some rows of a region; they appear when the block ends well.

    Args:
        beside: What is written beside the map.
        paths: Files of all layers, those of the map itself too.
        rows: Of the region's grid.
    """
    grid = beside.prepared.plan.grid[rows.y : rows.y + rows.height]
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                open_writer(
                    path,
                    beside.layout(name, grid) if name in beside.names else Layout(grid, 1, "uint8", nodata_of(name)),
                )
            )
            for name, path in paths.items()
        }
        days = stack.enter_context(open_observations(beside.prepared.observations))
        yield LayerWriter(beside, days, rows, lambda name, window, data: writers[name](window, data))
