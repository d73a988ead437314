"""Temperatures that make probabilities shares of changed pixels, and the threshold that turns them into a map."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.special import logsumexp, softmax

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.scores.reliability import calibration_error_of, keep_known, mask_known

TEMPERATURE_RANGE = (0.05, 20.0)
"""Where labels are met without an error the best temperature is 0, and every probability would become 0 or 1."""

_TINY_SHARE = 0.01
_ALIKE = 0.01
"""Difference in F1 that thresholds are not told apart by; tried on the labels of one territory."""
_MOST_FOLDS = 5
_FEWEST_BLOCKS = 2


@dataclass(frozen=True)
class TemperatureCheck:
    """A temperature, and the calibration error with and without one on blocks that it was not fitted on."""

    fitted: float
    """On all the pixels, above 0."""
    kept: bool
    """Whether it is used; else 1."""
    error_without: float | None
    """Calibration error at 1, 0..1; None where nothing could be held out."""
    error_with: float | None
    """Calibration error of each fold at the temperature of the other folds, 0..1; None where nothing could be held out."""
    blocks: int
    """With a labelled pixel."""

    @property
    def temperature(self) -> float:
        """The one to use."""
        return self.fitted if self.kept else 1.0


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Find the temperature T for which `logits / T` gives the most likely probabilities (Guo 2017, arXiv:1706.04599).

    Args:
        logits: (n,) for changed against unchanged, or (n, class); NaN = not observed.
        truth: (n,): 0 or 1, or the index of the class; 255 = not labelled.

    Returns:
        Above 1 where the model is too sure of itself, below 1 where it is not sure enough; 0.05..20.

    Raises:
        InputError: No pixel is labelled and observed.
        ValueError: The shapes do not fit, or `truth` holds an index beyond the logits.
    """
    if logits.ndim not in (1, 2) or truth.shape != logits.shape[:1]:
        raise ValueError(f"Logits {logits.shape} and labels {truth.shape}: expected (n,) or (n, class), and (n,).")
    # A binary logit is the gap to a class whose logit is 0.
    z = logits if logits.ndim == 2 else np.stack([np.zeros_like(logits), logits], axis=1)
    keep = (truth != NOT_LABELLED) & np.isfinite(z).all(axis=1)
    z, y = z[keep].astype(np.float64), truth[keep].astype(np.int64)
    if y.size == 0:
        raise InputError("No validation pixel is labelled and observed, so the model cannot be calibrated: add labels.")
    if y.min() < 0 or y.max() >= z.shape[1]:
        raise ValueError(f"Labels go from {y.min()} to {y.max()}; the logits have classes 0 to {z.shape[1] - 1}.")
    own = np.take_along_axis(z, y[:, None], axis=1)[:, 0]

    def negative_log_likelihood(log_temperature: float) -> float:
        t = np.exp(log_temperature)
        return float(np.mean(logsumexp(z / t, axis=1) - own / t))

    bounds = (math.log(TEMPERATURE_RANGE[0]), math.log(TEMPERATURE_RANGE[1]))
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x))


def check_temperature(logits: np.ndarray, truth: np.ndarray, blocks: np.ndarray) -> TemperatureCheck:
    """Fit a temperature, and keep it only where one lowers the calibration error of blocks that it was not fitted on.

    A temperature of the very pixels that it is judged by nearly always seems to help. So the blocks are dealt out into up to
    five folds of about as many pixels, each fold is cooled by the temperature of the others, and all of them together are
    compared with themselves at 1.

    Args:
        logits: (n,) of changed against unchanged, or (n, class); NaN = not observed.
        truth: (n,): 0 or 1, or the index of the class; 255 = not labelled.
        blocks: int (n,): the block of each pixel.

    Returns:
        With one block nothing can be held out, and 1 is kept. The error of classes is that of the most probable one: the
        distance between its probability and how often it is right.

    Raises:
        InputError: No pixel is labelled and observed.
        ValueError: The shapes do not fit.
    """
    if blocks.shape != logits.shape[:1]:
        raise ValueError(f"Logits {logits.shape} and blocks {blocks.shape}: expected (n,) or (n, class), and (n,).")
    fitted = fit_temperature(logits, truth)
    known = (truth != NOT_LABELLED) & np.isfinite(logits.reshape(len(logits), -1)).all(axis=1)
    z, y = logits[known].astype(np.float64), truth[known]
    names, block, sizes = np.unique(blocks[known], return_inverse=True, return_counts=True)
    if len(names) < _FEWEST_BLOCKS:
        return TemperatureCheck(fitted, False, None, None, blocks=len(names))
    fold = _deal(sizes)[block]
    cooled = z.copy()
    for number in np.unique(fold):
        cooled[fold == number] /= fit_temperature(z[fold != number], y[fold != number])
    without, with_one = _error(z, y), _error(cooled, y)
    return TemperatureCheck(fitted, with_one < without, without, with_one, blocks=len(names))


def _deal(sizes: np.ndarray) -> np.ndarray:
    """Return the fold of each block: the largest blocks first, each into the fold that has the fewest pixels."""
    pixels = np.zeros(min(len(sizes), _MOST_FOLDS))
    fold = np.zeros(len(sizes), dtype=np.int64)
    for block in np.argsort(-sizes, kind="stable"):
        fold[block] = np.argmin(pixels)
        pixels[fold[block]] += sizes[block]
    return fold


def _error(logits: np.ndarray, truth: np.ndarray) -> float:
    if logits.ndim == 1:
        shares = softmax(np.stack([np.zeros_like(logits), logits], axis=1), axis=1)
        return calibration_error_of(shares[:, 1], truth) or 0.0
    shares = softmax(logits, axis=1)
    right = (shares.argmax(axis=1) == truth).astype(np.uint8)
    return calibration_error_of(shares.max(axis=1), right) or 0.0


def domain_temperatures(
    logits: np.ndarray, truth: np.ndarray, domain: np.ndarray, *, min_pixels: int = 200, min_each: int = 20
) -> tuple[float, dict[int, float]]:
    """Find one temperature for everything, and one for each domain (a territory, a sensor, a season) with enough labels.

    Args:
        logits: (n,), of changed against unchanged; NaN = not observed.
        truth: (n,): 0 = unchanged, 1 = changed, 255 = not labelled.
        domain: int (n,), the index of the pixel's domain; below 0 = in none, which counts for the first one alone.
        min_pixels: Labelled, observed pixels that a temperature of its own takes.
        min_each: How many of them must be changed, and how many unchanged.

    Returns:
        The temperature for everything, and the index of a domain to its own; a domain that is absent takes the first.

    Raises:
        InputError: No pixel is labelled and observed.
        ValueError: The shapes differ or are not (n,), or `truth` holds another value.
    """
    if logits.ndim != 1 or domain.shape != logits.shape:
        raise ValueError(f"Logits {logits.shape} and domains {domain.shape}: expected (n,) and (n,).")
    general = fit_temperature(logits, truth)
    known = mask_known(logits, truth) & (domain >= 0)
    own = {}
    for index in np.unique(domain[known]).tolist():
        here = known & (domain == index)
        changed = int((truth[here] == 1).sum())
        pixels = int(here.sum())
        if pixels >= min_pixels and min(changed, pixels - changed) >= min_each:
            own[index] = fit_temperature(logits[here], truth[here])
    return general, own


def best_threshold(probability: np.ndarray, truth: np.ndarray, *, near: float | None = None) -> float:
    """Find the threshold with the highest F1 of changed, where a pixel is changed if `probability >= threshold`.

    F1 is the same between two neighbouring probabilities: the middle of the widest stretch with the highest F1 is
    taken, which moves least when the probabilities do. The labels of a few blocks hardly distinguish thresholds whose F1
    differs by less than 0.01, and an extreme one does not hold in other blocks: `near` takes the nearest of these.

    Args:
        probability: Any shape, 0..1, NaN = not observed.
        truth: Same shape: 0 = unchanged, 1 = changed, 255 = not labelled.
        near: Of calibrated probabilities 0.5; None takes the highest F1, as for scores that are no probabilities.

    Returns:
        0..1.

    Raises:
        InputError: The labelled pixels are all changed, all unchanged, or none.
    """
    p, y = keep_known(probability, truth)
    changed = int(y.sum())
    if not 0 < changed < y.size:
        raise InputError(
            f"The validation labels hold {changed} changed and {y.size - changed} unchanged pixels; a threshold needs "
            "both: add labels, or lower `split: block_px:`."
        )
    # Slow to import, and a map needs none.
    from sklearn.metrics import precision_recall_curve

    precision, recall, upper = precision_recall_curve(y, p)
    precision, recall = precision[:-1], recall[:-1]  # the last point stands for no pixel at all and has no threshold
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    lower = np.concatenate([[0.0], upper[:-1]])
    if near is not None:
        good = f1 >= f1.max() - _ALIKE
        return _nearest(lower[good].astype(p.dtype), upper[good].astype(p.dtype), near)
    best = f1 >= f1.max() - 1e-12
    starts = np.flatnonzero(best & ~np.concatenate([[False], best[:-1]]))
    ends = np.flatnonzero(best & ~np.concatenate([best[1:], [False]]))
    widest = int(np.argmax(upper[ends] - lower[starts]))
    low, high = lower[starts[widest]], upper[ends[widest]]
    # In the precision of the probabilities the middle may round down to the lower edge, which has another F1.
    middle = p.dtype.type((float(low) + float(high)) / 2)
    return float(middle if middle > low else high)


def _nearest(lower: np.ndarray, upper: np.ndarray, near: float) -> float:
    """Return the number nearest to `near` in a stretch above `lower` and up to `upper`, the middle of one that lies above."""
    middle = (lower + upper) / 2
    # Rounded, the middle may be the lower edge, which belongs to the stretch before.
    inside = np.where(middle > lower, middle, upper)
    found = np.where(near <= lower, inside, np.minimum(upper, near))
    return float(found[np.argmin(np.abs(found - near))])


def always_unchanged(probability: np.ndarray, truth: np.ndarray, threshold: float) -> str | None:
    """Return a warning where a model gives (nearly) one answer everywhere although the labels hold both.

    Args:
        probability: Any shape, 0..1, NaN = not observed.
        truth: Same shape: 0 = unchanged, 1 = changed, 255 = not labelled.
        threshold: A pixel is changed if `probability >= threshold`.

    Returns:
        A sentence for the user, or None: each answer is given for at least 1 % as many pixels as have it as their
        label, or the labels hold one class only.
    """
    p, y = keep_known(probability, truth)
    labelled = {"unchanged": int((y == 0).sum()), "changed": int((y == 1).sum())}
    mapped = {"unchanged": int((p < threshold).sum()), "changed": int((p >= threshold).sum())}
    if not all(labelled.values()):
        return None
    for missing, given in (("changed", "unchanged"), ("unchanged", "changed")):
        if mapped[missing] < _TINY_SHARE * labelled[missing]:
            return (
                f"The model maps {given!r} (nearly) everywhere: it maps {mapped[missing]} of {y.size} labelled pixels "
                f"as {missing}, and {labelled[missing]} are labelled so; its overall accuracy means nothing. "
                f"Train for longer, weight the loss by class, or label more {missing} pixels."
            )
    return None


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the log odds of probabilities, float64 of the same shape; 0 and 1 count as 1e-7 away from the end."""
    return np.asarray(special.logit(np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)))


def cool(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities that the same logits give at a temperature.

    Args:
        probability: Of change, 0..1, any shape, NaN where not observed.
        temperature: Above 0.

    Returns:
        float32 of the same shape.
    """
    return np.asarray(special.expit(logit(probability) / temperature), dtype=np.float32)


def cool_classes(share: np.ndarray, temperature: float) -> np.ndarray:
    """Return the class probabilities that the same logits give at a temperature.

    Args:
        share: (class, ...), 0..1, adding up to 1 over the classes, NaN where not observed.
        temperature: Above 0.

    Returns:
        float32 of the same shape.
    """
    powered = np.clip(share, 1e-12, 1) ** np.float32(1 / temperature)
    return np.asarray(powered / powered.sum(axis=0), dtype=np.float32)
