"""The design of a stratified random sample: what each sampled pixel stands for, and how uncertain totals are.

The normal approximation takes what no sampled pixel shows for absent. Wilson's limits of each stratum's share do not; they are
combined to limits of the total by recovered variances (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095; Newcombe 1998,
doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Z_95 = 1.959963985
"""Half-width of a 95 % interval in standard errors (normal distribution)."""
FEW = 5
"""Sampled pixels of a stratum, of the rarer of two answers, below which a normal distribution is a poor guide."""
WILSON = "Wilson limits by stratum"
"""Name of the method."""

_NOTICEABLE = 0.1
"""Share of the variance from which on strata with few cases decide about the limits."""


@dataclass(frozen=True)
class Distances:
    """How far the limits of totals lie from their estimates; each stratum's part is squared, so that parts are added."""

    below: np.ndarray
    """float64 (stratum, quantity), squared pixels: towards the lower limit."""
    above: np.ndarray
    """Same: towards the upper limit."""
    few: np.ndarray
    """bool (stratum, quantity): not sampled whole, with fewer than `FEW` sampled pixels of either answer."""

    @property
    def parts(self) -> np.ndarray:
        """Squared distances of both sides, float64 (stratum, quantity)."""
        return np.asarray(self.below + self.above)

    def only(self, chosen: np.ndarray) -> "Distances":
        """Leave out the strata in which something is impossible; bool (stratum, quantity)."""
        return Distances(np.where(chosen, self.below, 0), np.where(chosen, self.above, 0), self.few)


def wilson_limits(counts: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % limits of shares (1927, doi:10.1080/01621459.1927.10502953), 0..1.

    Args:
        counts: Sampled pixels that have something.
        samples: Sampled pixels, 1 or more; broadcast against `counts`.
    """
    share, square = counts / samples, Z_95**2 / samples
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    # At 0 and 1 the formula misses the share itself by a rounding error.
    return np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)


def distances(pixels: np.ndarray, counts: np.ndarray, samples: np.ndarray, left: np.ndarray) -> Distances:
    """Measure how far the Wilson limits of each stratum's total lie from its estimate.

    Args:
        pixels: (stratum) of the map.
        counts: (stratum, quantity) sampled pixels that have it.
        samples: (stratum) sampled pixels.
        left: float (stratum): finite population correction of the variance, 0 = sampled whole, 1 = none.
    """
    size = samples[:, None]
    low, high = wilson_limits(counts, size)
    scale = (pixels.astype(float) ** 2 * left)[:, None]
    few = (np.minimum(counts, size - counts) < FEW) & (left > 0)[:, None]
    return Distances(scale * (counts / size - low) ** 2, scale * (high - counts / size) ** 2, few)


def rests_on_few(parts: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Return whether strata with few cases hold a noticeable share of the uncertainty.

    They are taken together: none of twenty strata without a case holds a tenth, and Wald's variance lacks them all.

    Args:
        parts: float (stratum, quantity): each stratum's part of the variance.
        few: bool, same shape: those with few cases.

    Returns:
        bool (quantity).
    """
    return np.asarray(np.where(few, parts, 0).sum(axis=0) > _NOTICEABLE * parts.sum(axis=0))


_ROUNDING = 1e-12
_SMALL_FRACTION = 0.05
"""Share of a stratum up to which no finite population correction is made (Cochran 1977)."""


@dataclass(frozen=True)
class Design:
    """Which pixels were drawn from which stratum."""

    pixels: np.ndarray
    """int64 (stratum), each above 0: pixels of the whole map."""
    stratum: np.ndarray
    """int64 (sample): index of each sampled pixel's stratum."""

    def __post_init__(self) -> None:
        """Refuse strata of which nothing was sampled, or less than nothing remains.

        Raises:
            ValueError: A stratum has no sampled pixel, or more than it has pixels.
        """
        if (self.samples < 1).any() or (self.samples > self.pixels).any():
            raise ValueError(f"sampled {self.samples.tolist()} of {self.pixels.tolist()} pixels: from 1 up to all of them")

    @cached_property
    def samples(self) -> np.ndarray:
        """Sampled pixels of each stratum, int64 (stratum)."""
        return np.asarray(np.bincount(self.stratum, minlength=len(self.pixels)))

    @cached_property
    def whole(self) -> np.ndarray:
        """Whether a stratum was sampled whole, bool (stratum)."""
        return np.asarray(self.samples == self.pixels)

    @cached_property
    def left(self) -> np.ndarray:
        """Finite population correction of each stratum's variance, float64 (stratum): 0 = sampled whole, 1 = none made."""
        fraction = self.samples / self.pixels
        return np.where(fraction > _SMALL_FRACTION, 1 - fraction, 1.0)

    @cached_property
    def lone(self) -> np.ndarray:
        """Whether one of several pixels was sampled, of which no variance is known, bool (stratum)."""
        return np.asarray((self.samples == 1) & ~self.whole)

    @cached_property
    def weight(self) -> np.ndarray:
        """Pixels of the map that each sampled pixel stands for, float64 (sample)."""
        return np.asarray((self.pixels / self.samples)[self.stratum])

    @property
    def total(self) -> int:
        """Pixels of all strata."""
        return int(self.pixels.sum())

    @cached_property
    def _is_in(self) -> np.ndarray:
        """1 where a sampled pixel is of a stratum, float64 (stratum, sample)."""
        return np.asarray(self.stratum == np.arange(len(self.pixels))[:, None], dtype=float)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of each stratum, float64 (stratum, quantity), of values (sample, quantity)."""
        return np.asarray(self._is_in @ values.astype(float))

    def counts(self, member: np.ndarray) -> np.ndarray:
        """Return how many sampled pixels of each stratum are members, int64 (stratum, quantity), of bool (sample, quantity)."""
        return self._sums(member).astype(np.int64)

    def distances(self, member: np.ndarray) -> Distances:
        """Return how far Wilson's limits of totals of members, bool (sample, quantity), lie from the estimates."""
        return distances(self.pixels, self.counts(member), self.samples, self.left)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of each stratum, float64 (stratum, quantity), of values (sample, quantity)."""
        return np.asarray(self._sums(values) / self.samples[:, None])

    def variances(self, values: np.ndarray) -> np.ndarray:
        """Return the variance within each stratum, float64 (stratum, quantity), NaN of a single pixel."""
        deviation = values - self.means(values)[self.stratum]
        # Equal values differ from their mean by a rounding error, and a variance of 0 must not become a tiny one.
        deviation[np.abs(deviation) < _ROUNDING] = 0
        squares = self._sums(deviation**2)
        freedom = (self.samples - 1).astype(float)[:, None]
        return np.asarray(np.divide(squares, freedom, out=np.full_like(squares, np.nan), where=freedom > 0))

    def variance_of_total(self, values: np.ndarray, possible: np.ndarray | None = None) -> np.ndarray:
        """Return the variance of `sum_h N_h ybar_h`, float64 (quantity); NaN where a stratum that matters has a lone pixel.

        Args:
            values: (sample, quantity).
            possible: bool (stratum, quantity): where a value other than 0 is possible at all; None = everywhere.
        """
        within = self.variances(values)
        within[self.whole] = 0
        if possible is not None:
            within[~possible & self.lone[:, None]] = 0
        scale = self.pixels.astype(float) ** 2 * self.left / self.samples
        return np.asarray((scale[:, None] * within).sum(axis=0))
