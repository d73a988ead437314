"""Change vector analysis and IR-MAD, which need no training and which a network has to beat."""

from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace, device
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.special import chdtrc

from landshift.pipeline.errors import InputError
from landshift.pipeline.records import Array, Numbers

SAMPLES = 1_000_000
"""Pixels that the statistics are taken from, at most: a whole scene need not be in memory."""

_CPU_PIXELS, _GPU_PIXELS = 1 << 14, 1 << 18
"""Whose variates are computed at once: what the cache of a processor holds, and what is much for a GPU's memory."""
_MOST_TERMS = 20
_RIDGE = 1e-9
_SMALLEST_VARIANCE = 1e-9


@dataclass(frozen=True, eq=False)
class ChangeVector:
    """Statistics for change vector analysis.

    Each date has its own. With common ones, a difference in light or atmosphere between the dates counts as change: on a
    Landsat pair 3 years apart that ranked pixels worse than chance.
    """

    before_mean: np.ndarray
    """float64 (band,), in the units of the image."""
    before_std: np.ndarray
    """float64 (band,), above 0."""
    after_mean: np.ndarray
    """float64 (band,)."""
    after_std: np.ndarray
    """float64 (band,), above 0."""

    def apply(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return the length of the change vector in standard deviations, float32 (y, x), NaN where a band has NaN.

        Images are (band, y, x), whole or tiles of them.
        """
        z_before = (before - _column(self.before_mean)) / _column(self.before_std)
        z_after = (after - _column(self.after_mean)) / _column(self.after_std)
        return np.asarray(np.sqrt(((z_after - z_before) ** 2).sum(axis=0)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class IrMad:
    """The canonical variates of a pair of dates (Nielsen 2007, doi:10.1109/TIP.2006.888195)."""

    before_mean: Numbers
    """float64 (band,), weighted by the probability of no change."""
    after_mean: Numbers
    """float64 (band,)."""
    before_weights: Numbers
    """float64 (band, variate): the columns make variates of variance 1."""
    after_weights: Numbers
    """float64 (band, variate), with the sign that correlates positively."""
    correlations: Numbers
    """float64 (variate,), ascending, 0..1."""
    iterations: int
    """Rounds of reweighting that were made."""
    converged: bool
    """Whether the correlations stood still before the last round allowed."""

    def apply(self, before: Array, after: Array) -> Array:
        """Return the statistic, float32 (y, x), NaN where a band is not observed.

        Where nothing changed it follows the chi-square distribution with as many degrees of freedom as there are bands.
        Images are (band, y, x), NaN = not observed; whole or tiles of them, wherever they lie, and so is what comes back.
        """
        xp, at = array_namespace(before, after), device(before)
        shape, bands = before.shape[1:], len(before)
        means, weights, shares = (
            xp.asarray(part, device=at)
            for part in (
                np.concatenate([self.before_mean, self.after_mean])[:, None],
                np.concatenate([self.before_weights, -self.after_weights]).T,
                1 / _variances(self.correlations),
            )
        )
        images = [xp.reshape(image, (bands, -1)) for image in (before, after)]
        out = xp.empty(images[0].shape[1], dtype=xp.float32, device=at)
        # Double precision of all bands of both dates is held of so many pixels only.
        count = _CPU_PIXELS if str(at) == "cpu" else _GPU_PIXELS
        for first in range(0, len(out), count):
            part = slice(first, first + count)
            both = xp.astype(xp.concat([image[:, part] for image in images]), xp.float64)
            both -= means
            variates = weights @ both
            variates *= variates
            out[part] = shares @ variates
        return xp.reshape(out, shape)

    def rescale(self, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]) -> "IrMad":
        """Return the same variates of images of which each band was multiplied and moved.

        Args:
            before: Slopes and offsets, each (band,), slopes above 0.
            after: As `before`.
        """
        return replace(
            self, before_mean=self.before_mean * before[0] + before[1], after_mean=self.after_mean * after[0] + after[1],
            before_weights=self.before_weights / before[0][:, None], after_weights=self.after_weights / after[0][:, None],
        )  # fmt: skip


def sample_pixels(before: np.ndarray, after: np.ndarray, limit: int = SAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw at most `limit` pixels that are observed in every band of both dates (band, y, x), NaN = not observed.

    Returns:
        Two float64 (n, band), the same pixels in the same order.

    Raises:
        InputError: The shapes differ.
    """
    if before.shape != after.shape or before.ndim != 3:
        raise InputError(f"Before is {before.shape}, after {after.shape}; both dates need the same bands and grid.")
    seen = np.flatnonzero(np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0))
    if seen.size > limit:
        seen = np.sort(np.random.default_rng(seed).choice(seen, size=limit, replace=False))
    b, a = (image.reshape(image.shape[0], -1)[:, seen].T.astype(np.float64) for image in (before, after))
    return b, a


def fit_change_vector(before: np.ndarray, after: np.ndarray) -> ChangeVector:
    """Take the statistics for change vector analysis from samples (n, band) of both dates.

    Raises:
        InputError: Too few samples, or a band that is the same everywhere.
    """
    _check_samples(before, after)
    return ChangeVector(before.mean(axis=0), before.std(axis=0), after.mean(axis=0), after.std(axis=0))


def fit_ir_mad(before: np.ndarray, after: np.ndarray, *, iterations: int = 50, tolerance: float = 1e-4) -> IrMad:
    """Fit IR-MAD: canonical correlation analysis, in which every round gives less weight to pixels that look changed.

    Args:
        before: (n, band), no NaN (see `sample_pixels`).
        after: Same shape, the same pixels.
        iterations: Rounds at most.
        tolerance: Stop when no canonical correlation moves by more than this; far below 1e-5 the weights may go on
            gathering on ever fewer pixels.

    Raises:
        InputError: Too few samples, or a band that is the same everywhere.
    """
    _check_samples(before, after)
    n, bands = before.shape
    # The result does not depend on the units; with unit variances the ridge means the same for every band.
    scale_b, scale_a = before.std(axis=0), after.std(axis=0)
    both = np.concatenate([before.T / scale_b[:, None], after.T / scale_a[:, None]])
    # Around the plain mean once, so that the weighted one is small and no digits are lost by it.
    centre = both.mean(axis=1)
    both -= centre[:, None]
    weights, previous, converged = np.ones(n), np.full(bands, np.inf), False
    for done in range(1, max(iterations, 1) + 1):
        total, weighted = weights.sum(), both * weights
        mean = weighted.sum(axis=1) / total
        u, v, correlations = _canonical(weighted @ both.T / total - np.outer(mean, mean))
        converged = bool(np.abs(correlations - previous).max() < tolerance)
        if converged or done >= iterations:
            break
        variates = np.concatenate([u, -v]).T
        mad = variates @ both - (variates @ mean)[:, None]
        mad *= mad
        new_weights = _share_above((1 / _variances(correlations)) @ mad, bands)
        if new_weights.sum() < 10 * bands:  # next to nothing looks unchanged: another round would fit noise
            break
        weights, previous = new_weights, correlations
    mean += centre
    return IrMad(
        mean[:bands] * scale_b,
        mean[bands:] * scale_a,
        u / scale_b[:, None],
        v / scale_a[:, None],
        correlations=correlations,
        iterations=done,
        converged=converged,
    )


def otsu_threshold(score: np.ndarray) -> float:
    """Return Otsu's threshold (doi:10.1109/TSMC.1979.4310076) of the finite values; above it is changed.

    Take it over the whole scene, not over labelled pixels. The chi-square statistic has too long a tail for it: give
    its square root.

    Raises:
        InputError: All values are the same, or none is finite.
    """
    known = score[np.isfinite(score)]
    if known.size == 0 or known.min() == known.max():
        raise InputError("The change score is the same in every observed pixel: are the two dates the same image?")
    # Slow to import.
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(known))  # type: ignore[no-untyped-call]


def _share_above(statistic: np.ndarray, freedom: int) -> np.ndarray:
    """Return the share of a chi-square distribution above values (n,), which are 0 or more."""
    if freedom % 2 or freedom > _MOST_TERMS:
        return np.asarray(chdtrc(freedom, statistic))
    # A sum of a few terms where the degrees of freedom are even, in a fraction of the time: DLMF 8.4.10. Of many terms it
    # would overflow.
    half = statistic / 2
    term, total = np.ones_like(half), np.ones_like(half)
    for i in range(1, freedom // 2):
        term *= half
        term /= i
        total += term
    return np.asarray(np.exp(-half) * total)


def _canonical(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights (band, variate) of both dates and the correlations (variate,), ascending.

    `covariance` (2 band, 2 band) is that of the bands before and then after.
    """
    bands = len(covariance) // 2
    ridge = _RIDGE * np.eye(bands)  # bands that repeat one another would make the covariance singular
    s_xx, s_yy = covariance[:bands, :bands] + ridge, covariance[bands:, bands:] + ridge
    s_xy = covariance[:bands, bands:]
    regression = cho_solve(cho_factor(s_yy), s_xy.T)
    squared, u = eigh(s_xy @ regression, s_xx)
    correlations = np.sqrt(np.clip(squared, 0.0, 1.0))
    v = regression @ u
    return u, v / np.sqrt(np.maximum(np.einsum("ij,ik,kj->j", v, s_yy, v), _SMALLEST_VARIANCE)), correlations


def _variances(correlations: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(2 * (1 - correlations), _SMALLEST_VARIANCE))


def _check_samples(before: np.ndarray, after: np.ndarray) -> None:
    n, bands = before.shape
    if n < 10 * bands:
        raise InputError(f"{n} pixels are observed at both dates, {10 * bands} are needed: choose less cloudy dates.")
    for name, samples in (("before", before), ("after", after)):
        flat = np.flatnonzero(np.ptp(samples, axis=0) == 0)
        if flat.size:
            raise InputError(f"Band {flat[0] + 1} is the same in every pixel {name}: leave it out or check the file.")


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]
