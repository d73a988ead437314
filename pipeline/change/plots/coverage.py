"""How much of each pixel plots cover, by code: exact shares of pixels, strip by strip."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from exactextract import exact_extract
from exactextract.feature import Feature, FeatureSource
from exactextract.raster import NumPyRasterSource
from exactextract.writer import Writer

from landshift.pipeline.grid import Grid

STRIP_PIXELS = 4_000_000
"""Pixels of a strip, at least a row: what a plot as large as the map holds in memory at once."""
_CODES = 256


@dataclass(frozen=True, eq=False)
class Coverage:
    """How many pixels of each code plots cover; one entry for each plot and each code that it meets."""

    plot: np.ndarray
    """int64 (entry): number of the plot, from 0."""
    code: np.ndarray
    """int64 (entry): of the map."""
    pixels: np.ndarray
    """float64 (entry): covered shares of pixels, added up."""
    probability: np.ndarray
    """float64 (entry): mean probability of change over them, weighted by the shares, 0..1; NaN where none is known."""

    def pixels_by_plot(self, count: int, where: np.ndarray | None = None) -> np.ndarray:
        """Return the pixels of each plot.

        Args:
            count: Number of plots.
            where: bool (entry): those that count; all where None.

        Returns:
            float64 (count).
        """
        chosen = slice(None) if where is None else where
        return np.bincount(self.plot[chosen], weights=self.pixels[chosen], minlength=count)


def cover(geometry: np.ndarray, grid: Grid, rows: Iterable[tuple[np.ndarray, np.ndarray]]) -> Coverage:
    """Measure which shares of a map's pixels polygons cover.

    Overlapping polygons each count all that they cover; what lies beyond the map counts nothing.

    Args:
        geometry: Polygons (plot) in the grid's CRS.
        grid: Of the map.
        rows: From north to south and complete: codes uint8 (y, x), and probabilities float32 (y, x), NaN where unknown.

    References:
        exactextract, https://isciences.github.io/exactextract/: the shares are exact, not sampled.
    """
    bounds = shapely.bounds(geometry)
    kept = _PlotSums()
    top = 0
    for codes, probability in _join(rows, max(1, STRIP_PIXELS // grid.shape[1])):
        north = grid.transform.f + top * grid.transform.e
        south = north + len(codes) * grid.transform.e
        west, east = grid.transform.c, grid.transform.c + grid.shape[1] * grid.transform.a
        here = (bounds[:, 1] < north) & (bounds[:, 3] > south) & (bounds[:, 0] < east) & (bounds[:, 2] > west)
        numbers = np.flatnonzero(here)
        if len(numbers):
            # Only where pixels lie is asked for: their values are looked up here, for codes and probabilities at once.
            places = NumPyRasterSource(codes, west, south, east, north)
            writer = _SumWriter(kept, codes.ravel(), probability.ravel())
            exact_extract(
                places, _Plots(numbers, geometry[numbers]), ["cell_id", "coverage"], include_cols=["plot"], output=writer
            )
        top += len(codes)
    return kept.coverage()


def _join(rows: Iterable[tuple[np.ndarray, np.ndarray]], height: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield strips of at least so many rows, but for the last."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for block in rows:
        held.append(block)
        if sum(len(codes) for codes, _ in held) >= height:
            yield _stack(held)
            held = []
    if held:
        yield _stack(held)


def _stack(blocks: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([codes for codes, _ in blocks]), np.concatenate([chance for _, chance in blocks])


class _PlotSums:
    """Sums of all strips so far."""

    def __init__(self) -> None:
        self.keys: list[np.ndarray] = []
        self.pixels: list[np.ndarray] = []
        self.known: list[np.ndarray] = []
        self.chances: list[np.ndarray] = []

    def add(self, plot: int, codes: np.ndarray, shares: np.ndarray, chances: np.ndarray) -> None:
        seen = ~np.isnan(chances)
        pixels = np.bincount(codes, weights=shares, minlength=_CODES)
        found = np.flatnonzero(pixels)
        self.keys.append(plot * _CODES + found)
        self.pixels.append(pixels[found])
        self.known.append(np.bincount(codes[seen], weights=shares[seen], minlength=_CODES)[found])
        self.chances.append(np.bincount(codes[seen], weights=(shares * chances)[seen], minlength=_CODES)[found])

    def coverage(self) -> Coverage:
        if not self.keys:
            return Coverage(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        # A plot that several strips share has an entry of each.
        keys, place = np.unique(np.concatenate(self.keys), return_inverse=True)
        pixels, known, chances = (
            np.bincount(place, weights=np.concatenate(part), minlength=len(keys))
            for part in (self.pixels, self.known, self.chances)
        )
        with np.errstate(invalid="ignore"):
            mean = chances / np.where(known > 0, known, np.nan)
        return Coverage(keys // _CODES, keys % _CODES, pixels, mean)


class _PlotRow(Feature):  # type: ignore[misc]
    """A plot as exactextract asks for it, or what it found out about one."""

    def __init__(self, plot: int = -1, outline: bytes = b"") -> None:
        super().__init__()
        self.values: dict[str, int | np.ndarray] = {"plot": plot}
        self.outline = outline

    def geometry(self) -> bytes:
        return self.outline

    def fields(self) -> list[str]:
        return ["plot"]

    def get(self, name: str) -> int | np.ndarray:
        return self.values[name]

    def set(self, name: str, value: int | np.ndarray) -> None:
        self.values[name] = value

    def set_geometry(self, outline: bytes) -> None:
        self.outline = outline

    def set_geometry_format(self) -> str:
        return "wkb"


class _Plots(FeatureSource):  # type: ignore[misc]
    """Plots without a detour by GeoJSON, which would take most of the time."""

    def __init__(self, numbers: np.ndarray, geometry: np.ndarray) -> None:
        super().__init__()
        self.numbers, self.outlines = numbers.tolist(), shapely.to_wkb(geometry)

    def count(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[_PlotRow]:
        return (_PlotRow(number, outline) for number, outline in zip(self.numbers, self.outlines, strict=True))

    def srs_wkt(self) -> None:
        return None


class _SumWriter(Writer):  # type: ignore[misc]
    """Adds up the pixels of a plot as soon as they are known, so that memory does not grow with the plots."""

    def __init__(self, kept: _PlotSums, codes: np.ndarray, probability: np.ndarray) -> None:
        super().__init__()
        self.kept, self.codes, self.probability = kept, codes, probability

    def add_operation(self, operation: object) -> None: ...

    def add_column(self, name: str) -> None: ...

    def add_geometry(self) -> None: ...

    def write(self, feature: Feature) -> None:
        row = _PlotRow()
        feature.copy_to(row)
        cells = np.asarray(row.values["cell_id"])
        if len(cells):
            shares = np.asarray(row.values["coverage"], dtype=np.float64)
            self.kept.add(int(row.values["plot"]), self.codes[cells], shares, self.probability[cells])

    def features(self) -> None:
        return None
