"""Areas inside areas of interest, from a sample that was drawn for the whole map.

Few sampled pixels lie in a small area of interest, so the map helps: the difference estimator (Särndal, Swensson and Wretman
1992, doi:10.1007/978-1-4612-4378-6, chapter 10) counts the strata inside, applies the shares that the whole sample found for
each stratum, and corrects by how the samples inside deviate from them.

The variance from the deviations inside is too small where few samples lie inside: errors are rare, and where none was met by
chance, none is reckoned with. In simulations of 500 maps its 95 % intervals covered the truth in 80 to 95 %. So the
variance is the larger of that one and the one expected if the errors of the whole map were spread evenly; the intervals
then covered 92 to 100 %, too wide rather than too narrow where few samples lie inside.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.area_estimation import UNKNOWN, Z_95, Design, Interval

FEW = 30
"""Samples in an area of interest below which its intervals are rough."""
_LEAST = 2


@dataclass(frozen=True)
class DomainEstimate:
    """What the sample says about one area of interest."""

    areas: tuple[Interval, ...]
    """One for each quantity, in the unit of `pixel_area`."""
    samples: int
    """Sampled pixels inside."""
    note: str | None
    """What a reader of the intervals has to know, a sentence or more; None = nothing."""


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
        which brings it nearer to the truth, whatever that is. There is no interval with fewer than 2 samples inside,
        where a stratum has a lone sample, and where no error was met in any stratum that occurs inside, for then the
        formula would give certainty. What no sampled pixel of the whole map is, and any area of a domain of which nothing
        was observed, is `UNKNOWN`.

    Raises:
        ValueError: The shapes do not fit.
    """
    if inside.shape != (len(design.stratum), len(pixels)) or pixels.shape[1] != len(design.pixels):
        raise ValueError(f"samples {inside.shape} and pixels {pixels.shape}: expected (sample, domain), (domain, stratum)")
    y = member.astype(float)
    means = design.means(y)
    residuals = y - means[design.stratum]
    # Where all of a stratum is the same its mean is off by a rounding error, which no residual shall be made of.
    residuals[np.abs(residuals) < 1e-12] = 0
    within = design.variances(y)
    within[design.whole] = 0
    per_pixel = (design.pixels / design.samples)[:, None] * within
    met = np.asarray(member.any(axis=0))
    return [
        _domain(design, residuals, means, per_pixel, met, inside[:, d], pixels[d].astype(float), pixel_area)
        for d in range(len(pixels))
    ]


def _domain(
    design: Design,
    residuals: np.ndarray,
    means: np.ndarray,
    per_pixel: np.ndarray,
    met: np.ndarray,
    inside: np.ndarray,
    pixels: np.ndarray,
    pixel_area: float,
) -> DomainEstimate:
    total, samples = float(pixels.sum()), int(inside.sum())
    if not total:
        return DomainEstimate((UNKNOWN,) * len(met), samples, "Nothing was observed here on both dates.")
    estimate = pixels @ means + design.weight[inside] @ residuals[inside]
    possible = np.clip(estimate, 0, total)
    occurs = pixels > 0
    # A stratum that does not occur inside adds nothing: its variance, known or not, is left out.
    expected = (pixels[:, None] * np.where(occurs[:, None], per_pixel, 0)).sum(axis=0)
    within = np.where((occurs & ~design.whole)[:, None], _variances(design, residuals[inside], design.stratum[inside]), 0)
    own = (design.pixels[:, None].astype(float) ** 2 * within / design.samples[:, None]).sum(axis=0)
    variance = np.maximum(own, expected)
    seen_whole = bool(design.whole[occurs].all())
    told = met & (samples >= _LEAST) & np.isfinite(variance) & ((variance > 0) | seen_whole)
    areas = tuple(
        _interval(possible[k], variance[k], total, pixel_area, told=bool(told[k])) if met[k] else UNKNOWN
        for k in range(len(met))
    )
    moved = bool((np.abs(estimate - possible)[met] > 1e-6 * total).any())
    without_error = bool((met & (variance == 0)).any()) and not seen_whole
    lone = bool(design.lone[occurs].any())
    return DomainEstimate(areas, samples, _note(samples, moved=moved, without_error=without_error, lone=lone))


def _variances(design: Design, values: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Return `Design.variances` of values that are 0 for all samples but these; of many areas, most samples lie outside."""
    sums, squares = np.zeros((2, len(design.pixels), values.shape[1]))
    np.add.at(sums, stratum, values)
    np.add.at(squares, stratum, values**2)
    count = design.samples[:, None].astype(float)
    deviation = np.maximum(squares - sums**2 / count, 0)
    return np.asarray(np.divide(deviation, count - 1, out=np.full_like(deviation, np.nan), where=count > 1))


def _interval(estimate: float, variance: float, total: float, pixel_area: float, *, told: bool) -> Interval:
    if not told:
        return Interval(float(estimate * pixel_area), None, None, None)
    error = float(np.sqrt(variance))
    low, high = max(estimate - Z_95 * error, 0.0), min(estimate + Z_95 * error, total)
    return Interval(*(float(value * pixel_area) for value in (estimate, error, low, high)))


def _note(samples: int, *, moved: bool, without_error: bool, lone: bool) -> str | None:
    said = []
    if samples == 0:
        said.append("No sampled pixel lies here: the estimate transfers what was found in the whole map, without interval.")
    elif samples < _LEAST:
        said.append("One sampled pixel lies here, too few for an interval.")
    elif samples < FEW:
        said.append(f"{samples} sampled pixels lie here: the intervals are rough.")
    if lone:
        said.append("A stratum that occurs here has a single judged pixel, so that its uncertainty is not known.")
    elif without_error and samples >= _LEAST:
        said.append("Some areas have no interval: the sample met no error in the strata that occur here, which is no proof.")
    if moved:
        said.append("An estimate beyond what is possible here was moved to the limit.")
    return " ".join(said) or None
