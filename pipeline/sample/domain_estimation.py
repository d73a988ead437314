"""Areas inside areas of interest, from a sample that was drawn for the whole map.

Few sampled pixels lie in a small area of interest, so the map helps: the difference estimator (Särndal, Swensson and Wretman
1992, doi:10.1007/978-1-4612-4378-6, chapter 10) counts the strata inside, applies the shares that the whole sample found for
each stratum, and corrects by how the samples inside deviate from them.

The variance from the deviations inside is too small where few samples lie inside: errors are rare, and where none was met by
chance, none is reckoned with. So the variance is the larger of that one and the one expected if the errors of the whole map
were spread evenly, in which a stratum without met errors counts as if half an error had been met. Where even the whole sample
met few cases in strata that matter here, the limits are Wilson's (see `design`), for the share of the strata that lies inside.
In simulated samples the intervals covered the truth in 96 to 98 % where the map errs often, and in 98 to 100 % where 470
unchanged pixels meet few omissions: there they are wider than they would have to be.
"""

from dataclasses import dataclass

import numpy as np

from landshift.pipeline.sample.area_estimation import UNKNOWN, Interval
from landshift.pipeline.sample.design import WILSON, Z_95, Design, Distances, rests_on_few

SARNDAL = "Särndal 1992"
"""Method of an interval: normal approximation."""
FEW_INSIDE = 30
"""Samples in an area of interest below which its intervals are rough."""

_LEAST = 2


@dataclass(frozen=True)
class DomainEstimate:
    """Estimates of one area of interest."""

    areas: tuple[Interval, ...]
    """One for each quantity, in the unit of `pixel_area`."""
    samples: int
    """Sampled pixels inside."""
    note: str | None
    """What a reader of all its intervals has to know, a sentence or more; None = nothing."""
    moved: tuple[bool, ...]
    """Whether an estimate beyond what is possible was moved to the limit, for each quantity: those of parts may not add up."""


def domain_estimates(
    design: Design, member: np.ndarray, inside: np.ndarray, pixels: np.ndarray, pixel_area: float
) -> list[DomainEstimate]:
    """Estimate areas inside each area of interest (domain).

    With weights w_u = N_h / n_h and the whole sample's share p_h of stratum h, the area in pixels is
    A_d = sum_h N_hd p_h + sum_{u in d} w_u (y_u - p_h). It is nearly unbiased, and for the whole map it is the stratified
    estimator, its variance too.

    Args:
        design: Of the sample.
        member: bool (sample, quantity): whether a sampled pixel belongs to what is estimated.
        inside: bool (sample, domain): whether it lies in the area of interest; they may overlap.
        pixels: int (domain, stratum): pixels of the map in each area of interest, strata as in `design`.
        pixel_area: Area of one pixel.

    Returns:
        One for each domain. An estimate beyond what is possible (below 0, above all of the domain) is moved to the limit,
        which brings it nearer to the truth, whatever that is. There is no interval with fewer than 2 samples inside, and
        where a stratum that occurs inside has a lone sample. What no sampled pixel of the whole map is, is estimated as 0
        with an upper limit. Any area of a domain of which nothing was observed is `UNKNOWN`.

    Raises:
        ValueError: The shapes do not fit.
    """
    if inside.shape != (len(design.stratum), len(pixels)) or pixels.shape[1] != len(design.pixels):
        raise ValueError(f"samples {inside.shape} and pixels {pixels.shape}: expected (sample, domain), (domain, stratum)")
    y = member.astype(float)
    means = design.means(y)
    residuals = y - means[design.stratum]
    # Where all of a stratum is the same its mean is off by a rounding error, which must not become a residual.
    residuals[np.abs(residuals) < 1e-12] = 0
    counts, size = design.counts(member), design.samples[:, None]
    half = (counts + 0.5) / (size + 1)
    within = np.maximum(design.variances(y), half * (1 - half))
    within[design.whole] = 0
    per_pixel = (design.pixels * design.left / design.samples)[:, None] * within
    whole = _WholeMap(means, residuals, per_pixel, design.distances(member))
    return [_domain(design, whole, inside[:, d], pixels[d].astype(float), pixel_area=pixel_area) for d in range(len(pixels))]


@dataclass(frozen=True)
class _WholeMap:
    """Estimates from the whole sample."""

    means: np.ndarray
    """float64 (stratum, quantity): shares."""
    residuals: np.ndarray
    """float64 (sample, quantity): deviations from them."""
    per_pixel: np.ndarray
    """float64 (stratum, quantity): expected variance for each pixel of a stratum that lies inside, NaN with a lone sample."""
    reach: Distances
    """Of the Wilson limits of the whole strata."""


def _domain(design: Design, whole: _WholeMap, inside: np.ndarray, pixels: np.ndarray, pixel_area: float) -> DomainEstimate:
    total, samples, quantities = float(pixels.sum()), int(inside.sum()), whole.means.shape[1]
    if not total:
        return DomainEstimate(
            (UNKNOWN,) * quantities, samples, "Nothing was observed here on both dates.", (False,) * quantities
        )
    estimate = pixels @ whole.means + design.weight[inside] @ whole.residuals[inside]
    possible = np.clip(estimate, 0, total)
    occurs = pixels > 0
    # A stratum that does not occur inside adds nothing: its variance, known or not, is left out.
    expected = (pixels[:, None] * np.where(occurs[:, None], whole.per_pixel, 0)).sum(axis=0)
    own = np.where((occurs & ~design.whole)[:, None], _variances(design, whole.residuals[inside], design.stratum[inside]), 0)
    met = ((design.pixels.astype(float) ** 2 * design.left / design.samples)[:, None] * own).sum(axis=0)
    variance = np.maximum(met, expected)
    below, above, few = _limits(design, whole.reach, pixels, met, variance=variance)
    told = (samples >= _LEAST) & np.isfinite(variance)
    lower, upper, error = np.maximum(possible - below, 0), np.minimum(possible + above, total), np.sqrt(variance)
    ends = np.stack([possible, error, lower, upper], axis=1) * pixel_area
    areas = tuple(
        Interval(e, s, low, high, method=WILSON if is_few else SARNDAL) if known else Interval(e, None, None, None)
        for (e, s, low, high), is_few, known in zip(ends.tolist(), few, told, strict=True)
    )
    moved = np.abs(estimate - possible) > 1e-6 * total
    return DomainEstimate(areas, samples, _note(samples, lone=bool(design.lone[occurs].any())), tuple(moved.tolist()))


def _limits(
    design: Design, reach: Distances, pixels: np.ndarray, met: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distances of the limits from the estimates, in pixels, and whether they rest on few cases; (quantity)."""
    # As the expected variance, the squared distances of a stratum are shared out by the part of it that lies inside.
    part = (pixels / design.pixels)[:, None]
    few = rests_on_few(part * reach.parts, reach.few)
    wald = Z_95 * np.sqrt(variance)
    # Few cases can lie inside by chance all of them, which the variance of what was met here knows.
    spread = ((part * side).sum(axis=0) for side in (reach.below, reach.above))
    below, above = (np.where(few, np.sqrt(np.maximum(side, Z_95**2 * met)), wald) for side in spread)
    return below, above, few


def _variances(design: Design, values: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Return `Design.variances` of values that are 0 for all samples but these; of many areas, most samples lie outside."""
    sums, squares = np.zeros((2, len(design.pixels), values.shape[1]))
    np.add.at(sums, stratum, values)
    np.add.at(squares, stratum, values**2)
    count = design.samples[:, None].astype(float)
    deviation = np.maximum(squares - sums**2 / count, 0)
    return np.asarray(np.divide(deviation, count - 1, out=np.full_like(deviation, np.nan), where=count > 1))


def _note(samples: int, *, lone: bool) -> str | None:
    said = []
    if samples == 0:
        said.append("No sampled pixel lies here: the estimate transfers what was found in the whole map, without interval.")
    elif samples < _LEAST:
        said.append("One sampled pixel lies here, too few for an interval.")
    elif samples < FEW_INSIDE:
        said.append(f"{samples} sampled pixels lie here: the intervals are rough.")
    if lone:
        said.append("A stratum that occurs here has a single judged pixel, so that its uncertainty is not known.")
    return " ".join(said) or None
