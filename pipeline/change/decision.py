"""From probabilities to change codes, under one rule: a pixel is changed if and only if its land-use codes differ."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from landshift.pipeline.legend import Legend
from landshift.pipeline.records import Array

PROBABILITY_SCALE = 0.005
"""`change_probability.tif` holds round(probability / 0.005) in 0..200."""
PROBABILITY_NODATA = 255


@dataclass(frozen=True)
class Decision:
    """Value of the map for each pixel; all arrays are (y, x)."""

    change: Array
    """uint8: the legend's change codes, 0 = not observed."""
    before: Array | None
    """uint8: land-use code before, 0 = not observed; None in a binary project."""
    after: Array | None
    """uint8: land-use code after, 0 = not observed; None in a binary project."""
    change_probability: Array
    """float32, 0..1: probability that the pixel changed, whatever it is mapped as; NaN where not observed. It is not
    about which change."""

    def layers(self) -> dict[str, Array]:
        """Return what there is, by name."""
        return {name: layer for name, layer in vars(self).items() if layer is not None}


def decide(change: Array | None, before: Array | None, after: Array | None, legend: Legend, threshold: float) -> Decision:
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
        Arrays of the kind that was given. Pixels with a NaN in any input are not observed: codes 0, probability NaN.

    Raises:
        ValueError: Inputs that do not fit each other or the legend.
    """
    _require_inputs(change, before, after, legend)
    if before is None or after is None:
        xp = array_namespace(change)
        given: Array = change
        seen = ~xp.isnan(given)
        # One more where it changed.
        codes = xp.astype(seen, xp.uint8) + xp.astype(given >= threshold, xp.uint8)
        return Decision(codes, None, None, xp.astype(given, xp.float32))
    xp = array_namespace(before, after)
    first, agreement = _common_class(before, after)
    probability = xp.clip(1 - agreement, 0, 1) if change is None else xp.astype(change, xp.float32)
    seen = ~xp.isnan(probability + agreement)
    changed = seen & (probability >= threshold)
    one, other = _different_pair(before[:, changed], after[:, changed])
    # Where no direction can be named, the pixel has not changed.
    directed = one != other
    codes = legend.change_lookup()
    of_class = np.array([c.code for c in legend.classes], dtype=np.uint8)
    land_use = _look_up(xp, of_class, first) * xp.astype(seen, xp.uint8)
    common = land_use[changed]
    dates = [xp.where(directed, _look_up(xp, of_class, part), common) for part in (one, other)]
    found = xp.astype(seen, xp.uint8)
    found[changed] = _look_up(xp, codes.ravel(), xp.astype(dates[0], xp.int64) * codes.shape[1] + dates[1])
    earlier, later = land_use, xp.asarray(land_use, copy=True)
    earlier[changed], later[changed] = dates
    return Decision(found, earlier, later, xp.where(seen, probability, xp.nan))


def probability_codes(probability: Array) -> Array:
    """Return what `change_probability.tif` holds.

    Args:
        probability: Of change, float32 (y, x), 0..1, NaN where not observed.

    Returns:
        uint8 (y, x), 0..200, 255 where not observed; an array of the kind that was given.
    """
    xp = array_namespace(probability)
    unseen = xp.isnan(probability)
    codes = xp.round(xp.where(unseen, PROBABILITY_NODATA * PROBABILITY_SCALE, probability) / PROBABILITY_SCALE)
    return xp.astype(codes, xp.uint8)


def probability_of(codes: np.ndarray) -> np.ndarray:
    """Return the probability of change that codes stand for: float32 (y, x), 0..1, NaN where not observed."""
    return np.where(codes == PROBABILITY_NODATA, np.nan, codes * np.float32(PROBABILITY_SCALE)).astype(np.float32)


def _look_up(xp: Any, table: np.ndarray, index: Array) -> Array:  # noqa: ANN401
    """Return the entries (uint8) of a table at whole numbers of any shape."""
    if np.array_equal(table, np.arange(1, len(table) + 1)):
        return xp.astype(index, xp.uint8) + 1
    found = xp.take(xp.asarray(table, device=device(index)), xp.reshape(xp.astype(index, xp.int64), (-1,)))
    return xp.reshape(found, index.shape)


def _require_inputs(change: Array | None, before: Array | None, after: Array | None, legend: Legend) -> None:
    if legend.binary and (change is None or before is not None or after is not None):
        raise ValueError("a binary project is decided from the probability of change alone")
    if legend.binary:
        return
    if before is None or after is None or before.shape != after.shape or len(before) != len(legend.classes):
        shapes = [None if a is None else tuple(a.shape) for a in (before, after)]
        raise ValueError(f"land-use probabilities {shapes}; expected two arrays ({len(legend.classes)}, y, x)")
    if change is not None and change.shape != before.shape[1:]:
        raise ValueError(f"probability of change {tuple(change.shape)}; expected {tuple(before.shape[1:])}")


def _common_class(before: Array, after: Array) -> tuple[Array, Array]:
    """Index of the class with the largest before_i * after_i, uint8; of the largest sum where all products are 0.

    Returns:
        The index, and the sum of the products, float32: NaN where any input is.
    """
    xp = array_namespace(before)
    score = before[0] * after[0]
    best = xp.zeros(score.shape, dtype=xp.uint8, device=device(score))
    total = xp.asarray(score, copy=True)
    # One class at a time, to hold no array of products.
    for index in range(1, len(before)):
        product = before[index] * after[index]
        best = xp.where(product > score, index, best)
        score = xp.maximum(score, product)
        total += product
    # A saturated softmax gives classes of probability 0; without the sum such pixels would all get the first class.
    none = score == 0
    if xp.any(none):
        best[none] = xp.astype(xp.argmax(before[:, none] + after[:, none], axis=0), xp.uint8)
    return best, total


def _different_pair(before: Array, after: Array) -> tuple[Array, Array]:
    """Indices i != j with the largest before_i * after_j, each uint8 (pixel); equal indices where the direction is a tie.

    If the two dates have different best classes, they are the pair. If not, one date takes its second best class: the
    one that gives the larger product, and in a tie the class that comes first in the legend. That choice does not know
    which date is which, so it is the same when the dates are swapped.
    """
    xp = array_namespace(before)
    (i1, i2, b1, b2), (j1, j2, a1, a2) = _best_two(before), _best_two(after)
    keep_before, keep_after = b1 * a2, b2 * a1
    before_stays = (keep_before > keep_after) | ((keep_before == keep_after) & (j2 < i2))
    undirected = (i1 == j1) & (keep_before == keep_after) & (i2 == j2)
    first = xp.where((i1 != j1) | before_stays | undirected, i1, i2)
    second = xp.where((i1 != j1) | ~before_stays | undirected, j1, j2)
    return first, second


def _best_two(probability: Array) -> tuple[Array, Array, Array, Array]:
    """Indices and values of the largest and second largest of (class, pixel), the lower index first in ties."""
    xp = array_namespace(probability)
    most = probability[0]
    best = xp.zeros(most.shape, dtype=xp.uint8, device=device(most))
    second, next_most = best, xp.full_like(most, -1)
    for index in range(1, len(probability)):
        value = probability[index]
        better = value > most
        second = xp.where(better, best, xp.where(value > next_most, index, second))
        next_most = xp.where(better, most, xp.maximum(next_most, value))
        best = xp.where(better, index, best)
        most = xp.maximum(most, value)
    return best, second, most, next_most
