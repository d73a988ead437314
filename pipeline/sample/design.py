"""The design of a stratified random sample: what each sampled pixel stands for, and how uncertain totals are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from landshift.pipeline.sample.wilson import Distances, distances

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

    def counts(self, member: np.ndarray) -> np.ndarray:
        """Return how many sampled pixels of each stratum are members, int64 (stratum, quantity), of bool (sample, quantity)."""
        found = np.zeros((len(self.pixels), member.shape[1]), dtype=np.int64)
        np.add.at(found, self.stratum, member)
        return found

    def distances(self, member: np.ndarray) -> Distances:
        """Return how far Wilson's limits of totals of members, bool (sample, quantity), lie from the estimates."""
        return distances(self.pixels, self.counts(member), self.samples, self.left)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of each stratum, float64 (stratum, quantity), of values (sample, quantity)."""
        sums = np.zeros((len(self.pixels), values.shape[1]))
        np.add.at(sums, self.stratum, values)
        return np.asarray(sums / self.samples[:, None])

    def variances(self, values: np.ndarray) -> np.ndarray:
        """Return the variance within each stratum, float64 (stratum, quantity), NaN of a single pixel."""
        deviation = values - self.means(values)[self.stratum]
        # Equal values differ from their mean by a rounding error, and a variance of 0 must not become a tiny one.
        deviation[np.abs(deviation) < _ROUNDING] = 0
        squares = np.zeros((len(self.pixels), values.shape[1]))
        np.add.at(squares, self.stratum, deviation**2)
        freedom = (self.samples - 1).astype(float)[:, None]
        return np.asarray(np.divide(squares, freedom, out=np.full_like(squares, np.nan), where=freedom > 0))

    def variance_of_total(self, values: np.ndarray) -> np.ndarray:
        """Return the variance of `sum_h N_h ybar_h`, float64 (quantity); NaN where a stratum has a lone pixel."""
        within = self.variances(values)
        within[self.whole] = 0
        scale = self.pixels.astype(float) ** 2 * self.left / self.samples
        return np.asarray((scale[:, None] * within).sum(axis=0))
