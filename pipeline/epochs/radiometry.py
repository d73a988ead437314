"""Mappings that bring one image to the light, atmosphere and sensor of another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from array_api_compat import array_namespace, device
from scipy.special import chdtrc, gammaincinv

from landshift.pipeline.epochs.classical import IrMad, fit_ir_mad
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import Array

METHODS = ("radiometric normalisation", "histogram matching", "moment matching")
"""Origins of a mapping."""

MIN_PIXELS = 100
"""Pseudo-invariant pixels that `fit_radiometric` wants, held-out ones included."""

_NO_CHANGE = 0.95
_MOST_EXCESS = 5.0
"""Of the statistic over its distribution, that can be due to the reweighting: 3.7 to 5.4 where nothing changed."""
_TIE = 1e-6
"""Knots closer than this share of a band's range are one: the slope between them would be made of rounding."""

Knots = tuple[tuple[float, ...], ...]
"""Values (band, knot) in the units of an image."""


class TooFewInvariant(InputError):
    """Too few pixels look unchanged for certain."""

    def __init__(self, message: str, found: int) -> None:
        """Keep how many were found beside the message."""
        super().__init__(message)
        self.found = found


@dataclass(frozen=True)
class BandMapping:
    """One monotone, piecewise linear mapping a band."""

    method: str
    """One of `METHODS`."""
    source: Knots
    """Strictly ascending, at least two knots, of the image that is mapped."""
    target: Knots
    """Never descending: values that replace those of `source`."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""
    pixels: int = 0
    """That it was fitted on."""
    invariant: int = 0
    """Of a radiometric normalisation: pseudo-invariant pixels, those that it was tested with included."""
    facts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """One value a band, of a radiometric normalisation only: `rmse_before` and `rmse_after`, the root mean square
    difference of the dates on held-out pseudo-invariant pixels without and with the mapping, and their `correlation`."""

    def __post_init__(self) -> None:
        """Refuse what is no mapping.

        Raises:
            ValueError: Unknown method, shapes that do not fit, or knots that are not finite or not in order.
        """
        if self.method not in METHODS:
            raise ValueError(f"Method {self.method!r} is not known; expected one of {', '.join(METHODS)}.")
        source, target = np.array(self.source), np.array(self.target)
        if source.shape != target.shape or source.ndim != 2 or source.shape[1] < 2:
            raise ValueError(f"Knots {source.shape} and {target.shape}: expected (band, knot), two knots or more.")
        # Written so that NaN fails too.
        if not ((np.diff(source) > 0).all() and (np.diff(target) >= 0).all()):
            raise ValueError("The source knots of a mapping have to ascend, and its target knots must not descend.")

    def apply(self, image: Array) -> Array:
        """Map an image; beyond the outer knots the first and the last segment go on.

        Args:
            image: (band, y, x), NaN = not observed; a whole image or a tile of it, wherever it lies.

        Returns:
            float32 of the same shape and kind, NaN where the image is NaN or infinite.

        Raises:
            InputError: Another number of bands than the mapping has.
        """
        if len(image) != len(self.source):
            raise InputError(
                f"The radiometric mapping is for {len(self.source)} bands, the image has {len(image)}: fit it anew."
            )
        xp = array_namespace(image)
        out = xp.empty(image.shape, dtype=xp.float32, device=device(image))
        for band in range(len(image)):
            out[band] = self.map_band(band, xp.astype(image[band], xp.float64))
        # Mostly there is nothing to hide, and one sum is cheap.
        return out if xp.all(xp.isfinite(xp.sum(out, axis=0))) else xp.where(xp.isfinite(out), out, xp.nan)

    def map_knots(self, values: np.ndarray) -> np.ndarray:
        """Map numbers (band, ...) as `apply` maps an image, in double precision and as they are."""
        return np.stack([self.map_band(band, x.copy()) for band, x in enumerate(values)])

    def map_band(self, band: int, values: Array) -> Array:
        """Map float64 numbers of a band, counted from 0, of any shape; those of a linear mapping are overwritten."""
        source, target = np.array(self.source[band]), np.array(self.target[band])
        slope = np.diff(target) / np.diff(source)
        if slope.size == 1:
            values -= float(source[0])
            values *= float(slope[0])
            values += float(target[0])
            return values
        xp = array_namespace(values)
        knots, heights, slopes = (xp.asarray(part, device=device(values)) for part in (source, target, slope))
        segment = xp.clip(xp.searchsorted(knots, values, side="right") - 1, 0, len(source) - 2)
        return heights[segment] + (values - knots[segment]) * slopes[segment]


def _knots(values: np.ndarray) -> Knots:
    return tuple(map(tuple, values.tolist()))


def fit_radiometric(
    before: np.ndarray, after: np.ndarray, *, seed: int = 0, min_pixels: int = MIN_PIXELS, statistic: IrMad | None = None
) -> BandMapping:
    """Fit the mapping of the later date to the earlier one on pixels that did not change.

    Pixels with a probability of no change above 0.95 are pseudo-invariant, one in twenty unchanged pixels, once IR-MAD's
    statistic is divided by its excess over the chi-square distribution. Two thirds of them give an
    orthogonal regression for each band, the rest test it (Canty and Nielsen 2008, doi:10.1016/j.rse.2007.07.013).

    Args:
        before: (n, band), NaN = not observed.
        after: Same shape, the same pixels, the image to be mapped.
        seed: Which pixels are held out.
        min_pixels: Pseudo-invariant pixels that are needed.
        statistic: IR-MAD of the same pixels, where it is there already.

    Returns:
        A linear mapping of `after`, with the test's figures in `facts`.

    Raises:
        TooFewInvariant: Fewer than `min_pixels` are pseudo-invariant.
        InputError: Too few pixels are observed, a band is the same everywhere, or a band of one date falls where that of the
            other rises.
        ValueError: The shapes differ, or `min_pixels` leaves nothing to fit on or to test with.
    """
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"Samples {before.shape} and {after.shape}: expected (n, band) twice, of the same pixels.")
    if min_pixels < 6:
        raise ValueError(f"min_pixels is {min_pixels}; a regression and its test need at least 6.")
    seen = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    y, x = before[seen].astype(np.float64), after[seen].astype(np.float64)
    mad = fit_ir_mad(y, x) if statistic is None else statistic
    distance = mad.apply(y.T[:, None], x.T[:, None])[0]
    # Reweighting makes the statistic too large even where nothing changed; where most ground changed it is larger still.
    excess = float(np.clip(np.median(distance) / (2 * gammaincinv(y.shape[1] / 2, 0.5)), 1, _MOST_EXCESS))
    invariant = np.flatnonzero(chdtrc(y.shape[1], distance / excess) > _NO_CHANGE)
    if invariant.size < min_pixels:
        raise TooFewInvariant(
            f"Only {invariant.size} of {len(y)} pixels look unchanged for certain (probability above {_NO_CHANGE}), and "
            f"{min_pixels} are needed to match the dates: choose dates with less change or cloud, or leave the matching out "
            f"(`radiometry: match: none`).",
            invariant.size,
        )
    shuffled = np.random.default_rng(seed).permutation(invariant)
    held, kept = np.split(shuffled, [invariant.size // 3])
    slope, offset = _orthogonal_regression(x[kept], y[kept])
    ends = np.stack([x[kept].min(axis=0), x[kept].max(axis=0)], axis=1)
    facts = {
        "rmse_before": _round(_rmse(y[held], x[held])),
        "rmse_after": _round(_rmse(y[held], slope * x[held] + offset)),
        "correlation": _round(_correlation(x[held], y[held])),
    }
    return BandMapping(
        method="radiometric normalisation",
        source=_knots(ends),
        target=_knots(slope[:, None] * ends + offset[:, None]),
        notes=_radiometric_notes(facts, invariant.size, held.size, converged=mad.converged),
        pixels=int(kept.size),
        invariant=int(invariant.size),
        facts=facts,
    )


def fit_histogram(reference: np.ndarray, image: np.ndarray, *, knots: int = 65) -> BandMapping:
    """Fit the mapping after which an image has the quantiles of a reference (Gonzalez and Woods, histogram matching).

    The pixels need not be the same ones. It takes any difference in what the two show for a difference in light.

    Args:
        reference: (n, band), NaN = not observed.
        image: (m, band), the image to be mapped.
        knots: Quantiles from the least to the greatest value, at least 2.

    Raises:
        InputError: The bands differ in number, or a band is not observed or the same everywhere.
        ValueError: `knots` is below 2.
    """
    if knots < 2:
        raise ValueError(f"Histogram matching needs at least 2 knots, not {knots}.")
    if reference.ndim != 2 or reference.shape[1:] != image.shape[1:]:
        raise InputError(
            f"The reference has samples {reference.shape}, the image {image.shape}; both need the same bands, (n, band)."
        )
    levels = np.linspace(0, 1, knots)
    columns = zip(_columns_of(reference, "reference"), _columns_of(image, "image"), strict=True)
    pairs = [_quantile_knots(np.quantile(given, levels), np.quantile(own, levels), knots) for given, own in columns]
    source, target = (np.stack(part) for part in zip(*pairs, strict=True))
    return BandMapping("histogram matching", _knots(source), _knots(target), pixels=_count_pixels(image))


def fit_moments(mean: np.ndarray, std: np.ndarray, image: np.ndarray) -> BandMapping:
    """Fit the mapping after which each band of an image has a given mean and standard deviation.

    Args:
        mean: (band,), for example of the training regions.
        std: (band,), above 0.
        image: (m, band), the image to be mapped, NaN = not observed.

    Raises:
        InputError: The bands differ in number, a deviation is not above 0, or a band of the image is not observed or the
            same everywhere.
    """
    mean, std = (np.asarray(value, dtype=np.float64) for value in (mean, std))
    if not mean.shape == std.shape == image.shape[1:]:
        raise InputError(f"{mean.size} means and {std.size} standard deviations for samples {image.shape}: give one a band.")
    bad = np.flatnonzero(~((std > 0) & np.isfinite(std) & np.isfinite(mean)))
    if bad.size:
        raise InputError(
            f"Band {bad[0] + 1} is to have mean {mean[bad[0]]} and standard deviation {std[bad[0]]}; expected a finite mean "
            "and a deviation above 0."
        )
    columns = _columns_of(image, "image")
    own_mean, own_std = (np.array([reduced(c) for c in columns])[:, None] for reduced in (np.mean, np.std))
    sides = np.array([-1.0, 1.0])
    source, target = own_mean + sides * own_std, mean[:, None] + sides * std[:, None]
    return BandMapping("moment matching", _knots(source), _knots(target), pixels=_count_pixels(image))


def _orthogonal_regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and offsets (band,) of y over x, both (n, band), with errors in both."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    s_xx, s_yy, s_xy = x.var(axis=0), y.var(axis=0), ((x - mean_x) * (y - mean_y)).mean(axis=0)
    bad = np.flatnonzero(~(s_xy > 0))
    if bad.size:
        raise InputError(
            f"Band {bad[0] + 1} does not rise after where it rises before, not even in the pixels that look unchanged "
            f"(covariance {s_xy[bad[0]]:.3g}): check that both dates have the same bands in the same order and lie on top of "
            "each other, or leave the matching out."
        )
    gap = s_yy - s_xx
    # Either form loses its digits to cancellation on the other side.
    root = np.hypot(gap, 2 * s_xy)
    slope = np.where(gap >= 0, (gap + root) / (2 * s_xy), 2 * s_xy / (root - gap))
    return slope, mean_y - slope * mean_x


def _radiometric_notes(
    facts: Mapping[str, tuple[float, ...]], invariant: int, held: int, *, converged: bool
) -> tuple[str, ...]:
    without, mapped = facts["rmse_before"], facts["rmse_after"]
    figures = ", ".join(f"{a:.4g} to {b:.4g}" for a, b in zip(without, mapped, strict=True))
    notes = [
        f"The later date was brought to the radiometry of the earlier one on {invariant} pseudo-invariant pixels; on the "
        f"{held} of them that were held out, the root mean square difference of the bands went from {figures}."
    ]
    worse = [str(i) for i, (a, b) in enumerate(zip(without, mapped, strict=True), 1) if b > a]
    if worse:
        notes.append(f"It did not become smaller in band {', '.join(worse)}: the dates agreed there without the mapping.")
    if not converged:
        notes.append("IR-MAD did not converge, so what counts as unchanged is less certain.")
    return tuple(notes)


def _quantile_knots(reference: np.ndarray, image: np.ndarray, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Return source and target knots (knots,) from quantiles; tied ones become one, at the mean of their targets."""
    group = np.concatenate([[0], np.cumsum(np.diff(image) > _TIE * np.ptp(image))])
    count = np.bincount(group)
    source, target = (np.bincount(group, weights=w) / count for w in (image, reference))
    # Rounding in a mean must not make what is level descend.
    target = np.maximum.accumulate(target)
    while source.size < knots:
        # A knot in the middle of a segment changes nothing and gives every band as many.
        widest = int(np.argmax(np.diff(source))) + 1
        source, target = (np.insert(v, widest, v[widest - 1 : widest + 1].mean()) for v in (source, target))
    return source, target


def _columns_of(samples: np.ndarray, name: str) -> list[np.ndarray]:
    """Return the observed values of each band, float64."""
    columns = [c[np.isfinite(c)].astype(np.float64) for c in samples.T]
    for number, values in enumerate(columns, 1):
        if values.size == 0:
            raise InputError(f"Band {number} of the {name} is not observed anywhere: leave it out or check the file.")
        if np.ptp(values) == 0:
            raise InputError(f"Band {number} of the {name} is the same in every pixel: leave it out or check the file.")
    return columns


def _count_pixels(samples: np.ndarray) -> int:
    return int(np.isfinite(samples).all(axis=1).sum())


def _rmse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(((a - b) ** 2).mean(axis=0)))


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of each band, 0 where one of the two does not vary."""
    spread = a.std(axis=0) * b.std(axis=0)
    shared = ((a - a.mean(axis=0)) * (b - b.mean(axis=0))).mean(axis=0)
    return np.asarray(np.divide(shared, spread, out=np.zeros_like(shared), where=spread > 0))


def _round(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{v:.7g}") for v in values)
