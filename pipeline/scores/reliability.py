"""Reliability of probabilities: tables, calibration error and the Brier score."""

from dataclasses import dataclass

import numpy as np

from landshift.pipeline.legend import NOT_LABELLED


@dataclass(frozen=True)
class ReliabilityBin:
    """The pixels whose probability is about the same."""

    low: float
    """Lower edge, 0..1, inside the bin only in the first one."""
    high: float
    """Upper edge, 0..1, inside the bin."""
    count: int
    """Pixels, at least 1."""
    mean_probability: float
    """Of the model, 0..1."""
    observed_share: float
    """Share that is labelled changed, 0..1."""


@dataclass(frozen=True)
class CalibrationError:
    """An expected calibration error, and how far it might lie elsewhere in places like these."""

    estimate: float | None
    """0..1; None where no pixel is labelled and observed."""
    low: float | None
    """Lower end of the interval, 0..1; None with fewer than two groups."""
    high: float | None
    """Upper end of the interval, 0..1; None with fewer than two groups."""
    groups: int
    """Groups with a pixel that is labelled and observed."""
    level: float
    """Share of such intervals that is meant to hold the true value, between 0 and 1."""


@dataclass(frozen=True)
class KnownCalibration:
    """What is known of the calibration of a run's probabilities."""

    here: float | None
    """Calibration error on held-out labels of these very images, 0..1; None where it was not measured: uncalibrated here."""
    elsewhere: float | None
    """Calibration error on the images that the model was calibrated on, 0..1; None where it was not measured."""

    @property
    def is_known(self) -> bool:
        """Whether it was measured on these very images."""
        return self.here is not None


@dataclass(frozen=True)
class _Named:
    probabilities: str
    """Name of the probabilities."""


# In this order of bases the name is the first field, and so the first key of the JSON.
@dataclass(frozen=True)
class CalibrationRow(CalibrationError, _Named):
    """Calibration error and Brier score of named probabilities."""

    brier: float | None
    """0..1, 0 is best; None where no pixel is labelled and observed."""


def reliability(
    probability: np.ndarray, truth: np.ndarray, bins: int = 15, *, equal_mass: bool = True
) -> tuple[ReliabilityBin, ...]:
    """Tabulate the model's probabilities against the shares that are labelled changed.

    Args:
        probability: Any shape, 0..1, NaN = not observed.
        truth: Same shape: 0 = unchanged, 1 = changed, 255 = not labelled.
        bins: How many; empty ones are left out, and bins of equal mass are joined where probabilities are equal.
        equal_mass: About as many pixels in each bin; otherwise bins of the same width.

    Raises:
        ValueError: `bins` is below 1.
    """
    _check_bins(bins)
    p, y = keep_known(probability, truth)
    if p.size == 0:
        return ()
    p = p.astype(np.float64)
    edges, index = _bin(p, bins, equal_mass=equal_mass)
    count, said, seen = (np.bincount(index, weights=w, minlength=len(edges) - 1) for w in (np.ones_like(p), p, y))
    return tuple(
        ReliabilityBin(low, high, int(n), float(said_sum / n), observed_share=float(seen_sum / n))
        for low, high, n, said_sum, seen_sum in zip(edges.tolist(), edges[1:].tolist(), count, said, seen, strict=False)
        if n
    )


def calibration_error_of(
    probability: np.ndarray, truth: np.ndarray, bins: int = 15, *, equal_mass: bool = True
) -> float | None:
    """Return the mean distance between predicted and observed share of changed, 0..1, weighted by pixels.

    None where no pixel is labelled and observed. For the arguments see `reliability`.
    """
    table = reliability(probability, truth, bins, equal_mass=equal_mass)
    n = sum(b.count for b in table)
    return sum(b.count * abs(b.mean_probability - b.observed_share) for b in table) / n if n else None


def calibration_error_interval(
    probability: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    bins: int = 15,
    level: float = 0.95,
    replicates: int = 500,
    seed: int = 0,
) -> CalibrationError:
    """Estimate the calibration error (bins of equal mass) with a bootstrap interval that draws whole groups.

    Neighbouring pixels are not independent, so that drawing pixels would make the interval far too narrow. The interval
    goes from one percentile of the drawn errors to another, with the bins of the whole sample. An error cannot be below
    0, and chance only adds to it: with few groups or a small error the interval lies too high, even above the estimate.

    Args:
        probability: Any shape, 0..1, NaN = not observed.
        truth: Same shape: 0 = unchanged, 1 = changed, 255 = not labelled.
        groups: Same shape, int: which block or tile the pixel is in.
        bins: As for `reliability`.
        level: Of the interval, between 0 and 1.
        replicates: How many times to draw.
        seed: Of the draws.

    Raises:
        ValueError: The shapes differ, or a number is out of its range.
    """
    _check_bins(bins)
    if groups.shape != probability.shape or not 0 < level < 1 or replicates < 1:
        raise ValueError(
            f"Groups {groups.shape} for probabilities {probability.shape}, level {level}, {replicates} replicates: "
            "expected the same shape, a level between 0 and 1, and at least 1 replicate."
        )
    known = mask_known(probability, truth)
    p, y = probability[known].astype(np.float64), truth[known].astype(np.float64)
    if p.size == 0:
        return CalibrationError(None, None, None, 0, level=level)
    edges, index = _bin(p, bins, equal_mass=True)
    names, group = np.unique(groups[known], return_inverse=True)
    shape = (len(names), len(edges) - 1)
    # A bin's part of the error is |sum of (probability - label)|, so a draw of groups only has to add up theirs.
    gap = np.bincount(group * shape[1] + index, weights=p - y, minlength=shape[0] * shape[1]).reshape(shape)
    size = np.bincount(group, minlength=shape[0])
    estimate = float(np.abs(gap.sum(axis=0)).sum() / size.sum())
    if len(names) < 2:
        return CalibrationError(estimate, None, None, len(names), level=level)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    errors = np.abs(draws @ gap).sum(axis=1) / (draws @ size)
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return CalibrationError(estimate, low, high, len(names), level=level)


def brier_score(probability: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the mean squared distance between probability and label (Brier 1950).

    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, for the probability of changed alone: half of his score.

    Args:
        probability: Any shape, 0..1, NaN = not observed.
        truth: Same shape: 0 = unchanged, 1 = changed, 255 = not labelled.

    Returns:
        0..1, 0 is best; None where no pixel is labelled and observed.
    """
    p, y = keep_known(probability, truth)
    return float(np.mean((p.astype(np.float64) - y) ** 2)) if p.size else None


def mask_known(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return bool of the same shape: labelled and observed.

    Raises:
        ValueError: The shapes differ.
    """
    if probability.shape != truth.shape:
        raise ValueError(f"Probabilities {probability.shape} and labels {truth.shape} must have the same shape.")
    return np.asarray((truth != NOT_LABELLED) & np.isfinite(probability))


def keep_known(probability: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the pixels that are labelled and observed: the probabilities, and the labels as uint8, both (n,).

    Raises:
        ValueError: The shapes differ.
    """
    keep = mask_known(probability, truth)
    return probability[keep], truth[keep].astype(np.uint8)


def _bin(p: np.ndarray, bins: int, *, equal_mass: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (bin + 1,) and the bin of each probability (n,)."""
    # Observed values as edges (not values between them), so that pixels of equal probability share a bin.
    inner = np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf") if equal_mass else None
    edges = np.unique(np.concatenate([[0.0], inner, [1.0]])) if inner is not None else np.linspace(0, 1, bins + 1)
    return edges, np.clip(np.searchsorted(edges, p, side="left") - 1, 0, len(edges) - 2)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"Reliability needs at least 1 bin, not {bins}.")
