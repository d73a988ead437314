"""Change detection without training: a classical statistic of a pair, thresholds that need no label, and a score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import chdtri, gammaincinv

from landshift.pipeline.epochs.classical import IrMad, fit_change_vector, fit_ir_mad, otsu_threshold
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED

ClassicalMethod = Literal["ir-mad", "cva"]
TITLES: dict[ClassicalMethod, str] = {"ir-mad": "IR-MAD", "cva": "Change vector analysis"}
"""What people call the methods."""

SAMPLED = 100_000
"""Pixels, spread over the region, that statistic, thresholds and score are taken from, at most."""
_KNOTS = 64

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of two images (band, y, x) to float32 (y, x), from 0, NaN where a band of a date is not observed."""


@dataclass(frozen=True)
class FalseAlarmThreshold:
    """The threshold that unchanged ground exceeds as rarely as was asked, and how that was found."""

    value: float
    """Of the statistic."""
    rate: float
    """Share of unchanged ground that may exceed it, 0..1, as asked."""
    rule: Literal["chi-square", "invariant pixels"]
    """Whether it is taken from the distribution in theory, scaled to the scene, or from the pixels that look invariant."""
    scale: float | None
    """Times that the squared statistic of pixels that look invariant exceeds the theory, by their medians; None without one."""
    found: float
    """Share of the pixels that look invariant beyond the threshold, 0..1; what the other method missed is among them."""


@dataclass(frozen=True, eq=False)
class ClassicalDetector:
    """A classical method, fitted to a pair of dates."""

    method: ClassicalMethod
    """Which one."""
    statistic: Statistic
    """The length of a change vector, or the square root of IR-MAD's chi-square statistic: both from 0."""
    otsu: float
    """Otsu's threshold of the statistic over the sample."""
    false_alarm: FalseAlarmThreshold
    """The threshold with a chosen rate of false alarms."""
    pixels: int
    """That all this was taken from."""
    invariant: int
    """Of these, those that look invariant."""
    converged: bool
    """Whether IR-MAD's weights stood still; True for other methods."""
    mad: IrMad
    """IR-MAD's variates, which either method needs."""
    knots: np.ndarray
    """float64 (n,), ascending: the statistic at which `scores` are known."""
    scores: np.ndarray
    """float64 (n,), ascending, 0..1."""

    def score(self, statistic: np.ndarray) -> np.ndarray:
        """Return what stands where a model has a probability: float32, 0..1, NaN where the statistic is.

        It is the share of the sampled pixels with about such a statistic that the other classical method calls changed, made
        to grow with the statistic. It orders pixels; it is not a probability of change that labels confirmed.
        """
        return np.where(np.isnan(statistic), np.nan, np.interp(statistic, self.knots, self.scores)).astype(np.float32)


def change_codes(statistic: np.ndarray, threshold: float) -> np.ndarray:
    """Return uint8 change codes: changed from the threshold on, unchanged below it, not observed where it is NaN."""
    codes = np.where(statistic >= threshold, np.uint8(CHANGED), np.uint8(UNCHANGED))
    codes[np.isnan(statistic)] = NOT_OBSERVED
    return np.asarray(codes)


def fit_detector(before: np.ndarray, after: np.ndarray, method: ClassicalMethod, rate: float) -> ClassicalDetector:
    """Fit a classical method to pixels of both dates.

    Pixels look invariant where the other of the two methods finds them below its own Otsu threshold: a method cannot be asked
    which pixels it would be wrong about. Change that the other method missed is still among them.

    The threshold of false alarms is the quantile of the statistic on these pixels. For IR-MAD it is that of its chi-square
    distribution (doi:10.1109/TIP.2006.888195), whose median is first brought to that of these pixels: weights that favour
    pixels without change make the noise look smaller than it is, so that even where nothing changed the statistic is several
    times too large.

    Args:
        before: (n, band), no NaN, from pixels spread over the whole region.
        after: Same shape, the same pixels.
        method: `ir-mad` or `cva`.
        rate: Share of unchanged ground that may be called changed by the threshold of false alarms, above 0, below 1.

    Raises:
        InputError: Too few pixels, a band that is the same everywhere, or dates without any difference.
    """
    mad, vector = fit_ir_mad(before, after), fit_change_vector(before, after)
    found: dict[ClassicalMethod, Statistic] = {
        "ir-mad": lambda first, second: np.asarray(np.sqrt(mad.apply(first, second))), "cva": vector.apply
    }  # fmt: skip
    own, other = (found[name](before.T[:, None], after.T[:, None])[0] for name in (method, _other(method)))
    changed = other >= otsu_threshold(other)
    otsu = otsu_threshold(own)
    false_alarm = _limit_false_alarms(own[~changed], before.shape[1] if method == "ir-mad" else None, rate)
    knots, scores = _agreement(own, changed)
    return ClassicalDetector(
        method, found[method], otsu, false_alarm, pixels=len(own), invariant=int((~changed).sum()),
        converged=method == "cva" or mad.converged, mad=mad, knots=knots, scores=scores,
    )  # fmt: skip


def _other(method: ClassicalMethod) -> ClassicalMethod:
    return "cva" if method == "ir-mad" else "ir-mad"


def _limit_false_alarms(invariant: np.ndarray, freedom: int | None, rate: float) -> FalseAlarmThreshold:
    """Return the threshold of the statistic that a share `rate` of unchanged ground exceeds.

    Args:
        invariant: Statistic of the pixels that look invariant, not empty.
        freedom: Degrees of freedom of the squared statistic; None where its distribution is not known.
        rate: Share of unchanged ground, 0..1.
    """
    if freedom is None:
        value, scale = float(np.quantile(invariant, 1 - rate)), None
    else:
        scale = float(np.median(invariant) ** 2 / (2 * gammaincinv(freedom / 2, 0.5)))
        value = float(np.sqrt(scale * chdtri(freedom, rate)))
    rule: Literal["chi-square", "invariant pixels"] = "invariant pixels" if freedom is None else "chi-square"
    return FalseAlarmThreshold(value, rate, rule, scale, found=float((invariant >= value).mean()))


def _agreement(own: np.ndarray, changed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return statistics, ascending, and the share that the other method calls changed about there, never falling."""
    order = np.argsort(own, kind="stable")
    parts = np.array_split(order, min(_KNOTS, len(order)))
    knots = np.array([own[part].mean() for part in parts])
    shares = np.array([changed[part].mean() for part in parts])
    return knots, np.maximum.accumulate(shares)
