"""Statistics of the observed pixels of a raster, block by block."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from landshift.pipeline.raster.cog.blocks import PixelKind


@dataclass
class _Moments:
    """Of one band."""

    count: int = 0
    """Observed pixels."""
    mean: float = 0.0
    """Of them."""
    squares: float = 0.0
    """Sum of the squared distances from the mean."""
    least: float = math.inf
    """Smallest value."""
    most: float = -math.inf
    """Largest value."""

    def add(self, values: np.ndarray) -> None:
        """Take further observed pixels, of any shape, by the pairwise update of https://doi.org/10.1007/978-3-642-51461-6_3."""
        if not values.size:
            return
        shifted = values.ravel().astype(np.float64)
        mean = float(shifted.mean())
        shifted -= mean
        count, gap = self.count + values.size, mean - self.mean
        self.squares += float(np.dot(shifted, shifted)) + gap**2 * self.count * values.size / count
        self.mean += gap * values.size / count
        self.count, self.least, self.most = count, min(self.least, float(values.min())), max(self.most, float(values.max()))


@dataclass
class Tally:
    """Counts what the pixels of a raster hold."""

    kind: PixelKind
    """What the pixels are."""
    pixels: int = 0
    """Pixels of a band so far."""
    counts: np.ndarray = field(init=False)
    """int64 (band, value): of uint8, how many pixels hold each value; else empty."""

    def __post_init__(self) -> None:
        """Begin with none."""
        self.counts = np.zeros((self.kind.count, 256 if self.kind.dtype == "uint8" else 0), dtype=np.int64)
        self._moments = [_Moments() for _ in range(self.kind.count)]

    def add(self, pixels: np.ndarray) -> None:
        """Take the pixels of a block (band, y, x)."""
        self.pixels += pixels[0].size
        for band, values in enumerate(pixels):
            if self.counts.size:
                # Three times as fast as bincount, which makes int64 of them first.
                self.counts[band] += np.array(Image.fromarray(values).histogram())
            else:
                self._moments[band].add(values if self.kind.is_whole(values) else values[self.kind.find_seen(values)])

    def items(self) -> Iterator[dict[str, str]]:
        """Yield the statistics of each band as GDAL names and writes them; nothing of a band that was not observed."""
        for band, moments in enumerate(self._moments):
            if self.counts.size:
                moments = self._moments_of_counts(band)
            if not moments.count:
                yield {}
                continue
            numbers = {
                "MINIMUM": moments.least, "MAXIMUM": moments.most, "MEAN": moments.mean,
                "STDDEV": math.sqrt(moments.squares / moments.count), "VALID_PERCENT": 100 * moments.count / self.pixels,
            }  # fmt: skip
            yield {
                f"STATISTICS_{name}": f"{number:.{4 if name == 'VALID_PERCENT' else 14}g}" for name, number in numbers.items()
            }

    def _moments_of_counts(self, band: int) -> _Moments:
        counts = self.counts[band].copy()
        if self.kind.nodata is not None and 0 <= self.kind.nodata <= 255:
            counts[int(self.kind.nodata)] = 0
        total = int(counts.sum())
        values = np.flatnonzero(counts)
        if not total:
            return _Moments()
        mean = float((counts[values] * values).sum() / total)
        squares = float((counts[values] * (values - mean) ** 2).sum())
        return _Moments(total, mean, squares, least=float(values[0]), most=float(values[-1]))
