"""Limits of totals over strata that hold where a sample met few cases of something, or none.

The normal approximation takes what no sampled pixel shows for absent. Wilson's limits of each stratum's share do not; they are
combined to limits of the total by recovered variances (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095; Newcombe 1998,
doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E).
"""

from dataclasses import dataclass

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
