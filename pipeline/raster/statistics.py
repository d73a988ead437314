"""Statistics of the bands of an image, from a sample that does not grow with the scene."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landshift.pipeline.raster.read import open_readers
from landshift.pipeline.tiles import strips

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

Mapped = Callable[[np.ndarray], np.ndarray]
"""What turns a window (band, y, x) into another of the same shape."""


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
    image: Path, limit: int = 200_000, mask: np.ndarray | None = None, seed: int = 0, mapped: Mapped | None = None
) -> np.ndarray:
    """Draw observed pixels evenly over an image.

    Args:
        image: Analysis-ready GeoTIFF.
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
    images: Sequence[Path], mask: np.ndarray | None = None, mapped: Sequence[Mapped | None] | None = None
) -> BandStatistics:
    """Describe the bands of several images together.

    Both dates go in together: statistics of each date apart would normalise its change away.

    Args:
        images: Analysis-ready GeoTIFFs with the same bands.
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
