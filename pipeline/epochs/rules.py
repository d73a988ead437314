"""Rules by which several observations of a pixel become one."""

from typing import Literal

import numpy as np

CompositeRule = Literal["most-observed", "least-cloudy", "median", "medoid"]
"""`most-observed`, `least-cloudy`: scenes in that order, the first that observed the pixel gives it. `median`: of each band on
its own. `medoid`: the observation that is most like all others."""

MOST_OBSERVED: CompositeRule = "most-observed"
"""The rule of a configuration that names none."""


def median(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median of each band over the observations; of an even number the mean of the middle two.

    Args:
        stack: float32 (observation, band, y, x), NaN where not observed, in all bands or in none.

    Returns:
        float32 (band, y, x), NaN where nothing was observed, and the number of the observation that lies nearest to it
        (Euclidean distance over the bands, the first where several do), int (y, x), -1 where nothing was observed.
    """
    count = np.isfinite(stack[:, 0]).sum(axis=0)
    # Not observed sorts last, so that the middle of the others is found by their number.
    ordered = np.ascontiguousarray(np.moveaxis(stack, 0, -1))
    ordered.sort(axis=-1)
    low, high = (np.maximum(middle, 0)[None, :, :, None] for middle in ((count - 1) // 2, count // 2))
    values: np.ndarray = (np.take_along_axis(ordered, low, axis=-1) + np.take_along_axis(ordered, high, axis=-1))[..., 0] / 2
    chosen, nearest = np.full(count.shape, -1), np.full(count.shape, np.inf, dtype=np.float32)
    for number, observation in enumerate(stack):
        distance = _distance(observation, values)
        better = distance < nearest
        chosen[better], nearest[better] = number, distance[better]
    return values, chosen


def medoid(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the observation with the least sum of Euclidean distances to all others, the first where several have.

    Of two observations this is the first. Unlike the median it is a spectrum that was measured, on one day. Flood (2013),
    equation 1: https://doi.org/10.3390/rs5126481

    Args:
        stack: As for `median`.

    Returns:
        float32 (band, y, x), NaN where nothing was observed, and the number of the observation taken, int (y, x), -1 where
        nothing was observed.
    """
    seen = np.isfinite(stack[:, 0])
    total = np.where(seen, np.float32(0), np.float32(np.nan))
    for first in range(len(stack)):
        for second in range(first + 1, len(stack)):
            # One distance for both, so that a tie is a tie in spite of rounding.
            apart = np.nan_to_num(_distance(stack[first], stack[second]))
            total[first] += apart
            total[second] += apart
    chosen = _nearest(total, seen.sum(axis=0))
    return np.take_along_axis(stack, np.maximum(chosen, 0)[None, None], axis=0)[0], chosen


def _distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of two observations (band, y, x), NaN where one of them was not observed."""
    squares = np.zeros(first.shape[1:], dtype=np.float32)
    for one, other in zip(first, second, strict=True):
        squares += (one - other) ** 2
    return np.sqrt(squares)


def _nearest(distance: np.ndarray, count: np.ndarray) -> np.ndarray:
    known = np.where(np.isnan(distance), np.float32(np.inf), distance)
    return np.where(count > 0, known.argmin(axis=0), -1)


STACKED = {"median": median, "medoid": medoid}
"""Rules that need all observations of a pixel at once."""
