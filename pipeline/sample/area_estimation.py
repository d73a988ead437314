"""Areas and accuracies with confidence intervals, from a stratified random sample that was judged.

One estimator serves all: the ratio R = sum_h N_h ybar_h / sum_h N_h xbar_h of Stehman 2014 (doi:10.1080/01431161.2014.930207),
for strata that need not be the classes of the map. Where they are, it equals that of Olofsson 2014
(doi:10.1016/j.rse.2014.02.015). Estimates and standard errors are theirs.

Their interval (Wald) covers the truth far too seldom where a large stratum showed few cases or none: with 470 unchanged pixels
of a map that misses 0.1 to 2 % of them, that of a kind of change covered it in 24 to 95 % of simulated samples, and that of all
change in 63 to 93 %. There the limits are built from Wilson's of each stratum (see `design`); they covered 91 to 96 % and 95 to
99 %.

The finite population correction 1 - n_h / N_h (Cochran 1977, section 2.6) is made where more than 5 % of a stratum was
sampled; a stratum that was sampled whole adds no uncertainty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.sample.design import WILSON, Z_95, Design, Distances, rests_on_few

OLOFSSON = "Olofsson 2014"
"""Method of an interval: normal approximation; the strata are the classes of the map."""
STEHMAN = "Stehman 2014"
"""Method of an interval: normal approximation; the strata are others than the classes."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; all None where the sample does not allow an estimate."""

    estimate: float | None
    """In the unit of what is estimated."""
    standard_error: float | None
    """Same unit, by the published formula, which gives 0 where all sampled pixels agree; None where it is not known."""
    low: float | None
    """Lower end, cut at what is possible (0)."""
    high: float | None
    """Upper end, cut at what is possible (1, or the whole area)."""
    method: str | None = None
    """How the ends were found: `OLOFSSON`, `STEHMAN`, `WILSON` or the method of the module that made it; None without ends."""


UNKNOWN = Interval(None, None, None, None)


@dataclass(frozen=True)
class ClassEstimate:
    """Estimates of one class of a map."""

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


def ratio_estimates(
    design: Design, numerator: np.ndarray, denominator: np.ndarray, possible: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate ratios of totals (Stehman 2014, equations 27 and 28).

    Args:
        design: Of the sample.
        numerator: float or bool (sample, quantity): y of each sampled pixel.
        denominator: Same shape: x of each sampled pixel; all 1 for a mean over the map.
        possible: bool (stratum, quantity): where either can be other than 0; None = everywhere.

    Returns:
        The ratios and their standard errors, float64 (quantity); NaN where the denominator is 0, and the errors where a
        stratum in which either is possible has a lone pixel.
    """
    y, x = numerator.astype(float), denominator.astype(float)
    whole = design.weight @ x
    ratio = np.divide(design.weight @ y, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    # The variances and the covariance of equation 28 are together the variance of these residuals.
    variance = design.variance_of_total(y - np.nan_to_num(ratio) * x, possible)
    error = np.divide(np.sqrt(variance), whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio, error


def areas(design: Design, member: np.ndarray, pixel_area: float, method: str = STEHMAN) -> list[Interval]:
    """Estimate the area of what has a property.

    Args:
        design: Of the sample.
        member: bool (sample, quantity): whether a sampled pixel has it.
        pixel_area: Area of one pixel.
        method: Name of the interval where it is Wald's.

    Returns:
        In the unit of `pixel_area`, cut at 0 and the area of all strata. What no sampled pixel has is estimated as 0, with
        an upper limit: how much a sample like this can miss, and nothing more. Where a stratum has a lone pixel, the error
        is not known, and the limits are Wilson's, which allow for nearly anything there.
    """
    scale = design.total * pixel_area
    ratio, error = ratio_estimates(design, member, np.ones_like(member))
    reach = design.distances(member)
    few = rests_on_few(reach.parts, reach.few) | np.isnan(error)
    below, above = (pixel_area * np.sqrt(side.sum(axis=0)) for side in (reach.below, reach.above))
    return [
        _within(r * scale, e * scale, r * scale - b, r * scale + a, most=scale, method=WILSON)
        if is_few
        else interval(r * scale, e * scale, scale, method)
        for r, e, b, a, is_few in zip(ratio, error, below, above, few, strict=True)
    ]


def shares(
    design: Design,
    numerator: np.ndarray,
    denominator: np.ndarray,
    method: str = STEHMAN,
    *,
    numerator_in: np.ndarray | None = None,
    rest_in: np.ndarray | None = None,
) -> list[Interval]:
    """Estimate shares, such as accuracies, with intervals cut at 0 and 1.

    Where a share rests on few cases, its limits are built from those of the area C of the numerator and the area O of the
    rest of the denominator: C_low / (C_low + O_high) and C_high / (C_high + O_low). They are conservative, and Wilson's own
    where the denominator is one stratum.

    Args:
        design: Of the sample.
        numerator: bool (sample, quantity): whether a sampled pixel is of the part.
        denominator: Same shape: whether it is of the whole, of which the part is one.
        method: Name of the interval where it is Wald's.
        numerator_in: bool (stratum, quantity): where the part can occur at all; None = everywhere.
        rest_in: Same, of the rest of the whole.
    """
    everywhere = np.ones((len(design.pixels), numerator.shape[1]), dtype=bool)
    rest = denominator & ~numerator
    part_in, rest_in = (everywhere if chosen is None else chosen for chosen in (numerator_in, rest_in))
    part, other = design.distances(numerator).only(part_in), design.distances(rest).only(rest_in)
    right, wrong = design.weight @ numerator, design.weight @ rest
    # The derivatives of C / (C + O) are how much of its uncertainty comes from each.
    parts = np.concatenate([part.parts * wrong**2, other.parts * right**2])
    few = rests_on_few(parts, np.concatenate([part.few, other.few]))
    (right_low, right_high), (wrong_low, wrong_high) = _limits(right, part), _limits(wrong, other)
    ratio, error = ratio_estimates(design, numerator, denominator, part_in | rest_in)
    few |= np.isnan(error)
    low, high = (
        np.divide(c, c + o, out=ratio.copy(), where=c + o > 0) for c, o in ((right_low, wrong_high), (right_high, wrong_low))
    )
    return [
        _within(r, e, at_least, at_most, most=1.0, method=WILSON) if is_few else interval(r, e, 1.0, method)
        for r, e, at_least, at_most, is_few in zip(ratio, error, low, high, few, strict=True)
    ]


def _limits(total: np.ndarray, reach: Distances) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of totals, float64 (quantity), in pixels, cut at 0."""
    return np.maximum(total - np.sqrt(reach.below.sum(axis=0)), 0), total + np.sqrt(reach.above.sum(axis=0))


def users_accuracies(design: Design, mapped: np.ndarray, reference: np.ndarray, method: str = STEHMAN) -> list[Interval]:
    """Estimate which share of what is mapped as something is right, 0..1.

    What lies in strata without a sampled pixel that is mapped so is left out of the limits; where the strata are the
    classes, each has one.

    Args:
        design: Of the sample.
        mapped: bool (sample, quantity): whether it is mapped so.
        reference: Same shape: whether the interpreter does.
        method: Name of the interval where it is Wald's.
    """
    mapped_in = design.counts(mapped) > 0
    return shares(design, mapped & reference, mapped, method, numerator_in=mapped_in, rest_in=mapped_in)


def producers_accuracies(design: Design, mapped: np.ndarray, reference: np.ndarray, method: str = STEHMAN) -> list[Interval]:
    """Estimate which share of something is mapped as such, 0..1; arguments as for `users_accuracies`.

    It can be mapped right only where it is mapped, and be omitted only where something else is.
    """
    return shares(
        design, mapped & reference, reference, method,
        numerator_in=design.counts(mapped) > 0, rest_in=design.counts(~mapped) > 0,
    )  # fmt: skip


def interval(estimate: float, standard_error: float, most: float, method: str = STEHMAN) -> Interval:
    """Build Wald's 95 % interval within 0 and `most`; without ends where the error is NaN, `UNKNOWN` where the estimate is."""
    half = Z_95 * standard_error
    return _within(estimate, standard_error, estimate - half, estimate + half, most=most, method=method)


def _within(estimate: float, standard_error: float, low: float, high: float, most: float, method: str) -> Interval:
    if np.isnan(estimate):
        return UNKNOWN
    if np.isnan(standard_error):
        # Of a lone pixel no variance is known; Wilson's limits hold for it all the same.
        known = method == WILSON
        return Interval(
            float(estimate), None, float(max(low, 0.0)) if known else None, float(min(high, most)) if known else None,
            method=method if known else None,
        )  # fmt: skip
    return Interval(float(estimate), float(standard_error), float(max(low, 0.0)), float(min(high, most)), method=method)


def method_for(design: Design, mapped: np.ndarray) -> str:
    """Name Wald's interval: `OLOFSSON` where the strata are the classes that int or bool (sample) `mapped` holds."""
    pairs = np.unique(np.stack([design.stratum, mapped.astype(np.int64)]), axis=1)
    return OLOFSSON if pairs.shape[1] == len(np.unique(mapped)) == len(design.pixels) else STEHMAN


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
    method = method_for(design, mapped)
    rows = zip(
        codes,
        areas(design, is_reference, pixel_area, method),
        users_accuracies(design, is_mapped, is_reference, method),
        producers_accuracies(design, is_mapped, is_reference, method),
        is_mapped.sum(axis=0).tolist(),
        is_reference.sum(axis=0).tolist(),
        strict=True,
    )
    return [ClassEstimate(int(code), *row) for code, *row in rows]


def overall_accuracy(design: Design, mapped: np.ndarray, reference: np.ndarray) -> Interval:
    """Estimate the share of the map that is right, 0..1; `mapped` and `reference` are int (sample) codes."""
    right = (mapped == reference)[:, None]
    return shares(design, right, np.ones_like(right), method_for(design, mapped))[0]


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
