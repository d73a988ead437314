"""Areas and accuracies with confidence intervals, from a stratified random sample that was judged.

One estimator serves all: the ratio R = sum_h N_h ybar_h / sum_h N_h xbar_h of Stehman 2014 (doi:10.1080/01431161.2014.930207),
for strata that need not be the classes of the map. Where they are, it equals that of Olofsson 2014
(doi:10.1016/j.rse.2014.02.015).

No finite population correction is made, as in Olofsson 2014: a sample is a tiny part of a map. A stratum that was sampled
whole is the exception: all of it was seen, so it adds no uncertainty, however its pixels differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Z_95 = 1.959963985
"""Half-width of a 95 % interval in standard errors (normal distribution)."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; all None where the sample does not hold what it takes to say anything."""

    estimate: float | None
    """In the unit of what is estimated."""
    standard_error: float | None
    """Same unit; None where the variance is not known."""
    low: float | None
    """Lower end, cut at what is possible (0); `estimate - Z_95 * standard_error` is the one that is not cut."""
    high: float | None
    """Upper end, cut at what is possible (1, or the whole area)."""

    def as_dict(self) -> dict[str, float | None]:
        """Return estimate, low and high for JSON."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


UNKNOWN = Interval(None, None, None, None)


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
    def lone(self) -> np.ndarray:
        """Whether one of several pixels was sampled, of which no variance can be told, bool (stratum)."""
        return np.asarray((self.samples == 1) & ~self.whole)

    @cached_property
    def weight(self) -> np.ndarray:
        """Pixels of the map that each sampled pixel stands for, float64 (sample)."""
        return np.asarray((self.pixels / self.samples)[self.stratum])

    @property
    def total(self) -> int:
        """Pixels of all strata."""
        return int(self.pixels.sum())

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of each stratum, float64 (stratum, quantity), of values (sample, quantity)."""
        sums = np.zeros((len(self.pixels), values.shape[1]))
        np.add.at(sums, self.stratum, values)
        return np.asarray(sums / self.samples[:, None])

    def variances(self, values: np.ndarray) -> np.ndarray:
        """Return the variance within each stratum, float64 (stratum, quantity), NaN of a single pixel."""
        deviation = values - self.means(values)[self.stratum]
        # Equal values differ from their mean by a rounding error, and no variance shall not become a tiny one.
        deviation[np.abs(deviation) < _ROUNDING] = 0
        squares = np.zeros((len(self.pixels), values.shape[1]))
        np.add.at(squares, self.stratum, deviation**2)
        freedom = (self.samples - 1).astype(float)[:, None]
        return np.asarray(np.divide(squares, freedom, out=np.full_like(squares, np.nan), where=freedom > 0))

    def variance_of_total(self, values: np.ndarray) -> np.ndarray:
        """Return the variance of `sum_h N_h ybar_h`, float64 (quantity); NaN where a stratum has a lone pixel."""
        within = self.variances(values)
        within[self.whole] = 0
        return np.asarray((self.pixels[:, None].astype(float) ** 2 * within / self.samples[:, None]).sum(axis=0))


@dataclass(frozen=True)
class ClassEstimate:
    """What the sample says about one class of a map."""

    code: int
    """Of the class."""
    area: Interval
    """Of the reference class, in the unit of `pixel_area`."""
    users_accuracy: Interval
    """Share of what is mapped as the class that is right, 0..1."""
    producers_accuracy: Interval
    """Share of the class that is mapped as such, 0..1."""
    mapped_samples: int
    """Sampled pixels that are mapped as the class."""
    reference_samples: int
    """Sampled pixels that were judged to be the class."""


def ratio_estimates(design: Design, numerator: np.ndarray, denominator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate ratios of totals (Stehman 2014, equations 27 and 28).

    Args:
        design: Of the sample.
        numerator: float or bool (sample, quantity): y of each sampled pixel.
        denominator: Same shape: x of each sampled pixel; all 1 for a mean over the map.

    Returns:
        The ratios and their standard errors, float64 (quantity); NaN where the denominator is 0, and the errors where a
        stratum has a lone pixel.
    """
    y, x = numerator.astype(float), denominator.astype(float)
    whole = design.weight @ x
    ratio = np.divide(design.weight @ y, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    # The variances and the covariance of equation 28 are together the variance of these residuals.
    variance = design.variance_of_total(y - np.nan_to_num(ratio) * x)
    error = np.divide(np.sqrt(variance), whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio, error


def shares(design: Design, numerator: np.ndarray, denominator: np.ndarray) -> list[Interval]:
    """Estimate shares, such as accuracies, with intervals cut at 0 and 1; arguments as for `ratio_estimates`.

    Where every sampled pixel agrees, the published variance is 0 and the interval has no width: that says that the sample
    saw no error, not that there is none, and whoever shows it must say so.
    """
    return [interval(r, e, 1.0) for r, e in zip(*ratio_estimates(design, numerator, denominator), strict=True)]


def areas(design: Design, member: np.ndarray, pixel_area: float) -> list[Interval]:
    """Estimate the area of what has a property.

    Args:
        design: Of the sample.
        member: bool (sample, quantity): whether a sampled pixel has it.
        pixel_area: Area of one pixel.

    Returns:
        In the unit of `pixel_area`, cut at 0 and the area of all strata. What no sampled pixel has is `UNKNOWN`: the
        formula would give 0 without uncertainty for whatever is too rare for the sample to meet.
    """
    scale = design.total * pixel_area
    found = zip(*ratio_estimates(design, member, np.ones_like(member)), np.asarray(member.any(axis=0)), strict=True)
    return [interval(r * scale, e * scale, scale) if seen else UNKNOWN for r, e, seen in found]


def interval(estimate: float, standard_error: float, most: float) -> Interval:
    """Build a 95 % interval within 0 and `most`; without ends where the error is NaN, `UNKNOWN` where the estimate is."""
    if np.isnan(estimate):
        return UNKNOWN
    if np.isnan(standard_error):
        return Interval(float(estimate), None, None, None)
    half = Z_95 * standard_error
    low, high = max(estimate - half, 0.0), min(estimate + half, most)
    return Interval(float(estimate), float(standard_error), float(low), float(high))


def class_estimates(
    design: Design, mapped: np.ndarray, reference: np.ndarray, codes: Sequence[int], pixel_area: float
) -> list[ClassEstimate]:
    """Estimate area, user's and producer's accuracy of each class.

    Args:
        design: Of the sample; its strata may be others than the classes.
        mapped: int (sample): code on the map.
        reference: int (sample): code that the interpreter gave.
        codes: Of the classes.
        pixel_area: Area of one pixel.
    """
    is_mapped = mapped[:, None] == np.asarray(codes)
    is_reference = reference[:, None] == np.asarray(codes)
    right = is_mapped & is_reference
    rows = zip(
        codes,
        areas(design, is_reference, pixel_area),
        shares(design, right, is_mapped),
        shares(design, right, is_reference),
        is_mapped.sum(axis=0).tolist(),
        is_reference.sum(axis=0).tolist(),
        strict=True,
    )
    return [ClassEstimate(int(code), *row) for code, *row in rows]


def overall_accuracy(design: Design, mapped: np.ndarray, reference: np.ndarray) -> Interval:
    """Estimate the share of the map that is right, 0..1; `mapped` and `reference` are int (sample) codes."""
    right = (mapped == reference)[:, None]
    return shares(design, right, np.ones_like(right))[0]


def error_matrix(
    design: Design, mapped: np.ndarray, reference: np.ndarray, codes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Cross map and reference.

    Args:
        design: Of the sample.
        mapped: int (sample): code on the map.
        reference: int (sample): code that the interpreter gave.
        codes: Order of the rows and columns; a pixel with another code on either side is left out.

    Returns:
        Sampled pixels, int64, and estimated pixels of the map, float64; both indexed `[map, reference]`.
    """
    is_mapped = mapped[:, None] == np.asarray(codes)
    is_reference = (reference[:, None] == np.asarray(codes)).astype(float)
    counts = np.rint(is_mapped.T.astype(float) @ is_reference).astype(np.int64)
    return counts, np.asarray((is_mapped * design.weight[:, None]).T @ is_reference)
