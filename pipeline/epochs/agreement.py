"""Difference of the light of two dates, on ground that did not change."""

from dataclasses import dataclass

import numpy as np

from landshift.pipeline.epochs.classical import fit_ir_mad, sample_pixels
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.images import ImageReader
from landshift.pipeline.tiles import spread_windows

_LIMIT = 50_000
"""Pixels that the difference is taken from, at most."""
_STABLE = 0.1
"""Share of the pixels that count as stable: those that IR-MAD finds most alike."""
_FEWEST = 100
"""Stable pixels that are needed."""


@dataclass(frozen=True)
class RadiometricDifference:
    """How far the dates differ where the ground looks unchanged."""

    share: float | None
    """Median absolute difference of the stable pixels over their mean on both dates, of the worst band; None where it could
    not be measured."""
    band: int | None
    """The worst band, from 1; None as above."""
    pixels: int
    """That are stable."""
    reason: str = ""
    """Why it could not be measured; empty where it was."""


def spread_pixels(before: ImageReader, after: ImageReader, *, limit: int = _LIMIT) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same pixels of both dates, observed on both, from windows spread over the region.

    Returns:
        Two float64 (n, band).
    """
    work = spread_windows(before.info.shape)
    each = max(limit // len(work), 1)
    parts = [sample_pixels(before.read(window), after.read(window), each) for window in work]
    first, second = (np.concatenate([part[date] for part in parts]) for date in (0, 1))
    return first, second


def stable_pixels(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the numbers (m,) of the tenth of the pixels that look most alike, of (n, band) of the same pixels, no NaN.

    These have the least statistic of IR-MAD (see `classical.fit_ir_mad`), which no gain or offset of a date changes: what
    counts as stable does not depend on the light of the dates.

    Raises:
        InputError: Too few pixels, or a band that is the same everywhere.
    """
    count = int(_STABLE * len(before))
    if count < _FEWEST:
        raise InputError("too few pixels were observed on both dates")
    statistic = fit_ir_mad(before, after).apply(before.T[:, None], after.T[:, None])[0]
    return np.argpartition(statistic, count)[:count]


def radiometric_difference(
    before: np.ndarray, after: np.ndarray, stable: np.ndarray | InputError | None = None
) -> RadiometricDifference:
    """Measure the difference of light, atmosphere and season between two dates: (n, band) of the same pixels, no NaN.

    `stable` is what `stable_pixels` returned or raised, found here where it is None. Median and mean are over these pixels,
    so that change has no part in them; a share of the mean has the same meaning in every band and unit whose zero is dark.
    """
    if stable is None:
        try:
            stable = stable_pixels(before, after)
        except InputError as error:
            stable = error
    if isinstance(stable, InputError):
        return RadiometricDifference(None, None, 0, str(stable))
    count = len(stable)
    first, second = before[stable], after[stable]
    level = (first.mean(axis=0) + second.mean(axis=0)) / 2
    if (level <= 0).any():
        band = int(np.argmin(level)) + 1
        reason = f"band {band} is not above 0 on average, so a share of it has no meaning"
        return RadiometricDifference(None, None, count, reason)
    shares = np.median(np.abs(second - first), axis=0) / level
    return RadiometricDifference(float(shares.max()), int(np.argmax(shares)) + 1, count)
