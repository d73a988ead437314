"""How many pixels of each stratum are judged, so that the interval of the changed area is as short as it can be."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.sample.design import Z_95, distances, rests_on_few, wilson_limits

LEAST = 2
"""Of one pixel no variance is known."""
_ROUND = 200
"""Pixels of a sample beyond which it grows by a 1/200 of itself at a time, to stay quick."""


@dataclass(frozen=True)
class ExpectedInterval:
    """The interval of the changed area that is expected of a sample, in pixels of the map."""

    changed: float
    """Expected to have changed."""
    low: float
    """Lower end of its 95 % interval, 0 or more."""
    high: float
    """Upper end."""

    @property
    def relative_error(self) -> float:
        """Half of the interval over 1.96, as a share of the changed area: the relative standard error where it is normal."""
        return (self.high - self.low) / (2 * Z_95 * self.changed) if self.changed > 0 else float("inf")


def expect_interval(pixels: np.ndarray, changed: np.ndarray, samples: np.ndarray) -> ExpectedInterval:
    """Expect the interval of the changed area, by the rules by which it will be estimated (see `area_estimation`).

    Args:
        pixels: int (stratum): of the map.
        changed: float (stratum): shares that are expected to have changed, 0..1.
        samples: int (stratum): pixels that are judged, 2 or more where the stratum has them.
    """
    size = np.maximum(samples.astype(float), 1.0)
    left = np.where(samples < pixels, 1 - samples / np.maximum(pixels, 1), 0.0)
    reach = distances(pixels, (changed * size)[:, None], size, left)
    estimate = float(pixels @ changed)
    if rests_on_few(reach.parts, reach.few)[0]:
        below, above = (float(np.sqrt(side.sum())) for side in (reach.below, reach.above))
    else:
        variance = pixels.astype(float) ** 2 * left * changed * (1 - changed) / np.maximum(size - 1, 1)
        below = above = Z_95 * float(np.sqrt(variance.sum()))
    return ExpectedInterval(estimate, max(estimate - below, 0.0), min(estimate + above, float(pixels.sum())))


def allocate_for_area(
    pixels: Sequence[int],
    changed: Sequence[float],
    *,
    minimum: int,
    size: int | None = None,
    target: float | None = None,
    drawn: Sequence[int] | None = None,
) -> list[int]:
    """Share out the pixels of a sample so that the 95 % interval of the changed area is expected to be shortest.

    Each pixel goes where it shortens the interval most. With many expected cases that is Neyman's allocation (Neyman 1934,
    doi:10.2307/2342192; Cochran 1977, section 5.5): n in proportion to N sqrt(P (1 - P)). With few, the interval is not built
    from the variance but from Wilson's limits, which a large stratum without a case widens most, and it gets more than Neyman's
    share. A floor comes first, because what is expected can be wrong.

    Args:
        pixels: Of each stratum, above 0.
        changed: Share of each stratum that is expected to have changed, 0..1.
        minimum: Pixels of each stratum at least, 2 or more; a stratum with fewer is sampled whole. A size that does not allow
            it is shared out evenly first.
        size: Pixels in all; None grows the sample until the target is met.
        target: Relative error of the changed area (see `ExpectedInterval`), above 0; where a size is given too, the sample
            stops growing at the first that it reaches.
        drawn: Pixels of each stratum that were drawn before and are judged anyway; the result contains them.

    Returns:
        Pixels of each stratum, never more than it has.

    Raises:
        InputError: The minimum, size or target is out of range.
    """
    total, share = np.asarray(pixels, dtype=np.int64), np.asarray(changed, dtype=float)
    if minimum < LEAST:
        raise InputError(f"At least {minimum} pixels a stratum; intervals need {LEAST} or more: raise the minimum.")
    if size is not None and size < LEAST * len(total):
        raise InputError(
            f"A sample of {size} pixels of {len(total)} strata; intervals need {LEAST} of each: give at least "
            f"{LEAST * len(total)}, or no size."
        )
    if target is not None and not target > 0:
        raise InputError(f"The target for the error of the changed area is {target}; expected a share above 0, such as 0.1.")
    least = minimum if size is None else max(LEAST, min(minimum, size // len(total)))
    found = np.minimum(np.maximum(least, 0 if drawn is None else np.asarray(drawn)), total)
    most = int(total.sum()) if size is None else min(size, int(total.sum()))
    return [int(n) for n in _grow(found, total, share, target=target, most=most)]


def _grow(found: np.ndarray, total: np.ndarray, share: np.ndarray, *, target: float | None, most: int) -> np.ndarray:
    """Add pixels where they shorten the interval most, until the target is met or no more are allowed."""
    square = [_square(n, p, k) for n, p, k in zip(total.tolist(), share.tolist(), found.tolist(), strict=True)]
    queue: list[tuple[float, int, int]] = []

    def offer(i: int) -> None:
        room = int(total[i] - found[i])
        if room > 0:
            step = min(max(1, int(found[i]) // _ROUND), room)
            gain = square[i] - _square(int(total[i]), float(share[i]), int(found[i]) + step)
            heapq.heappush(queue, (-gain / step, i, step))

    for i in range(len(total)):
        offer(i)
    judged = int(found.sum())
    while queue and judged < most:
        if target is not None and expect_interval(total, share, found).relative_error <= target:
            break
        _, i, step = heapq.heappop(queue)
        step = min(step, most - judged)
        found[i] += step
        judged += step
        square[i] = _square(int(total[i]), float(share[i]), int(found[i]))
        offer(i)
    return found


def _square(pixels: int, share: float, samples: int) -> float:
    """Return the squared length of the limits of a stratum's total, in squared pixels."""
    if samples >= pixels:
        return 0.0
    low, high = (float(end[0]) for end in wilson_limits(np.array([share * samples]), np.array([samples])))
    return float(pixels**2 * (1 - samples / pixels) * ((share - low) ** 2 + (high - share) ** 2))
