"""From probabilities to change codes, under one rule: a pixel is changed if and only if its land-use codes differ."""

from dataclasses import dataclass

import numpy as np

from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED, Legend

PROBABILITY_SCALE = 0.005
"""change_probability.tif holds round(probability / 0.005) in 0..200."""
PROBABILITY_NODATA = 255


@dataclass(frozen=True)
class Decision:
    """Value of the map for each pixel; all arrays are (y, x)."""

    change: np.ndarray
    """uint8: the legend's change codes, 0 = not observed."""
    before: np.ndarray | None
    """uint8: land-use code before, 0 = not observed; None in a binary project."""
    after: np.ndarray | None
    """uint8: land-use code after, 0 = not observed; None in a binary project."""
    change_probability: np.ndarray
    """float32, 0..1: probability that the pixel changed, whatever it is mapped as; NaN where not observed. It is not
    about which change."""


def decide(
    change: np.ndarray | None, before: np.ndarray | None, after: np.ndarray | None, legend: Legend, threshold: float
) -> Decision:
    """Turn probabilities into codes.

    A pixel is changed where its probability of change reaches the threshold. That probability is the change head's, or
    `1 - sum_k before_k * after_k` without such a head. A changed pixel gets the two different classes with the largest
    `before_i * after_j`, an unchanged one the class with the largest `before_i * after_i` for both dates.

    Swapping the dates swaps the classes exactly, ties included. From that follows the one exception: where a direction
    and its reverse are equally probable (both dates agree, to the last bit), no direction can be named, and the
    pixel counts as unchanged whatever its probability of change.

    Args:
        change: (y, x) probability of change, or None where the network has no change head.
        before: (class, y, x) probabilities of the legend's classes in its order; None in a binary project.
        after: The same for the date after.
        legend: The project's legend.
        threshold: 0..1.

    Returns:
        Pixels with a NaN in any input are not observed: codes 0, probability NaN.

    Raises:
        ValueError: Inputs that do not fit each other or the legend.
    """
    _require_inputs(change, before, after, legend)
    if before is None or after is None:
        probability = np.asarray(change, dtype=np.float32)
        changed = probability >= threshold
        codes = np.where(changed, np.uint8(CHANGED), np.uint8(UNCHANGED))
        codes[np.isnan(probability)] = NOT_OBSERVED
        return Decision(codes, None, None, probability)
    probability = np.clip(1 - _agreement(before, after), 0, 1) if change is None else change.astype(np.float32)
    observed = ~np.isnan(probability) & ~np.isnan(before).any(axis=0) & ~np.isnan(after).any(axis=0)
    changed = observed & (probability >= threshold)
    still = observed & ~changed

    first, second = (np.zeros(observed.shape, dtype=np.uint8) for _ in range(2))
    first[changed], second[changed] = _different_pair(before[:, changed], after[:, changed])
    undirected = changed & (first == second)
    first[undirected | still] = second[undirected | still] = _common_class(before, after)[undirected | still]
    changed &= ~undirected

    of_class = np.array([c.code for c in legend.classes], dtype=np.uint8)
    land_use = [np.where(observed, of_class[index], np.uint8(NOT_OBSERVED)) for index in (first, second)]
    codes = legend.change_lookup()[land_use[0], land_use[1]]
    return Decision(codes, land_use[0], land_use[1], np.where(observed, probability, np.nan).astype(np.float32))


def _require_inputs(change: np.ndarray | None, before: np.ndarray | None, after: np.ndarray | None, legend: Legend) -> None:
    if legend.binary and (change is None or before is not None or after is not None):
        raise ValueError("a binary project is decided from the probability of change alone")
    if legend.binary:
        return
    if before is None or after is None or before.shape != after.shape or len(before) != len(legend.classes):
        shapes = [None if a is None else a.shape for a in (before, after)]
        raise ValueError(f"land-use probabilities {shapes}; expected two arrays ({len(legend.classes)}, y, x)")
    if change is not None and change.shape != before.shape[1:]:
        raise ValueError(f"probability of change {change.shape}; expected {before.shape[1:]}")


def _agreement(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Sum before_k * after_k over the classes, one class at a time to hold no array of products."""
    total = np.zeros(before.shape[1:], dtype=np.float32)
    for b, a in zip(before, after, strict=True):
        total += b * a
    return total


def _common_class(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Index of the class with the largest before_i * after_i; of the largest sum where all products are 0."""
    best, score = np.zeros(before.shape[1:], dtype=np.uint8), np.zeros(before.shape[1:], dtype=np.float32)
    for index, (b, a) in enumerate(zip(before, after, strict=True)):
        product = b * a
        better = product > score
        best[better], score[better] = index, product[better]
    # A saturated softmax gives classes of probability 0; without the sum such pixels would all get the first class.
    none = score == 0
    best[none] = np.argmax(before[:, none] + after[:, none], axis=0)
    return best


def _different_pair(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices i != j with the largest before_i * after_j, each (pixel); equal indices where the direction is a tie.

    If the two dates have different best classes, they are the pair. If not, one date takes its second best class: the
    one that gives the larger product, and in a tie the class that comes first in the legend. That choice does not know
    which date is which, so it is the same when the dates are swapped.
    """
    (i1, i2, b1, b2), (j1, j2, a1, a2) = _best_two(before), _best_two(after)
    keep_before, keep_after = b1 * a2, b2 * a1
    before_stays = (keep_before > keep_after) | ((keep_before == keep_after) & (j2 < i2))
    undirected = (i1 == j1) & (keep_before == keep_after) & (i2 == j2)
    first = np.where((i1 != j1) | before_stays | undirected, i1, i2)
    second = np.where((i1 != j1) | ~before_stays | undirected, j1, j2)
    return first.astype(np.uint8), second.astype(np.uint8)


def _best_two(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Indices and values of the largest and second largest of (class, pixel), the lower index first in ties."""
    columns = np.arange(probability.shape[1])
    best = np.argmax(probability, axis=0)
    rest = probability.copy()
    rest[best, columns] = -1
    second = np.argmax(rest, axis=0)
    return best, second, probability[best, columns], probability[second, columns]


def probability_codes(probability: np.ndarray) -> np.ndarray:
    """Return what `change_probability.tif` holds.

    Args:
        probability: Of change, float32 (y, x), 0..1, NaN where not observed.

    Returns:
        uint8 (y, x), 0..200, 255 where not observed.
    """
    codes = np.rint(np.nan_to_num(probability) / PROBABILITY_SCALE).astype(np.uint8)
    codes[np.isnan(probability)] = PROBABILITY_NODATA
    return np.asarray(codes)


def probability_of(codes: np.ndarray) -> np.ndarray:
    """Return the probability of change that codes stand for: float32 (y, x), 0..1, NaN where not observed."""
    return np.where(codes == PROBABILITY_NODATA, np.nan, codes * np.float32(PROBABILITY_SCALE)).astype(np.float32)
