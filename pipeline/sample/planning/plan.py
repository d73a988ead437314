"""The plan of a sample: strata, sizes, hours, and the interval that is expected, before anything is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landshift.pipeline.legend import CHANGED, UNCHANGED
from landshift.pipeline.sample.draw import SECONDS_PER_PIXEL, DrawnSample, DrawnStratum, SamplePlan, allocate
from landshift.pipeline.sample.planning.allocation import LEAST, allocate_for_area, expect_interval
from landshift.pipeline.sample.planning.anticipation import Anticipation, expect_changes
from landshift.pipeline.sample.planning.strata import make_strata

AREA_ERROR, MOST_PIXELS, FLOOR = 0.1, 600, 30
"""Default of the relative error of the changed area, the most pixels that it takes without being asked for (5 hours), and the
least of each stratum."""
ACCURACY_FLOOR = 50
"""Least pixels of each kind of change where the sample is for the accuracies, as Olofsson 2014 recommend."""

_UNCHANGED_RIGHT = 0.95
"""Expected share of the unchanged ground that is right, in Cochran's size for the overall accuracy."""


@dataclass(frozen=True)
class MapToSample:
    """What a plan knows of a map."""

    counts: Mapping[int, int]
    """Change code to pixels, without code 0 and without codes that do not occur."""
    names: Mapping[int, str]
    """Change code to the name of the change."""
    probabilities: np.ndarray | None
    """int64 (201): unchanged pixels by number of change_probability.tif; None where it does not divide them."""
    expected: Anticipation
    """How good the map is expected to be."""
    hectares_per_pixel: float
    """Mean over the map."""


@dataclass(frozen=True)
class Aim:
    """What a sample is to reach."""

    area_error: float | None = None
    """Relative error of the changed area, above 0; None where something else decides about the size."""
    accuracy_error: float | None = None
    """Standard error of the overall accuracy; strata are then the kinds of change, in proportion to their pixels."""
    size: int | None = None
    """Pixels in all."""
    minimum: int | None = None
    """Pixels of each stratum at least; None takes the floor of the design."""


def plan_strata(map_: MapToSample, aim: Aim) -> tuple[DrawnStratum, ...]:
    """Decide about the strata of a sample and how many pixels of each are judged.

    For the changed area (the default), kinds of change have a stratum of their own where the optimal allocation gives them as
    many pixels as the floor without being asked; all others share one. So a dozen rare kinds do not take a dozen floors from
    the unchanged ground, on which the interval depends most.

    Args:
        map_: The map.
        aim: What the sample is to reach.

    Raises:
        InputError: A size, minimum or target is out of range.
    """
    if aim.accuracy_error is not None:
        return _plan_for_accuracy(map_, aim)
    minimum = FLOOR if aim.minimum is None else aim.minimum
    size, target = aim.size, aim.area_error
    if size is None and target is None:
        size, target = MOST_PIXELS, AREA_ERROR
    kinds = [code for code in map_.counts if code >= CHANGED]
    apart = _expect(map_, make_strata(map_.counts, map_.names, own=kinds, probabilities=map_.probabilities))
    own: list[int] = []
    if len(kinds) > 1 and (size is None or size >= LEAST * len(apart)):
        sizes = _allocate(apart, minimum=min(LEAST, minimum), size=size, target=target)
        own = [s.codes[0] for s, n in zip(apart, sizes, strict=True) if s.codes[0] >= CHANGED and n >= minimum]
    strata = _expect(map_, make_strata(map_.counts, map_.names, own=own, probabilities=map_.probabilities))
    return with_sizes(strata, _allocate(strata, minimum=minimum, size=size, target=target))


def plan_more(map_: MapToSample, first: DrawnSample, *, size: int | None, area_error: float | None) -> tuple[DrawnStratum, ...]:
    """Decide how many pixels of each stratum are added to a sample.

    Args:
        map_: The map.
        first: The sample, whose strata are kept.
        size: Pixels to add; None adds what the error needs.
        area_error: Relative error of the changed area that both are to reach together.

    Returns:
        The same strata with the sizes of what is added, which can be 0.
    """
    drawn = [sum(sizes) for sizes in zip(*(draw.sizes for draw in first.draws), strict=True)]
    most = None if size is None else size + sum(drawn)
    minimum = max(LEAST, min((n for n, row in zip(drawn, first.strata, strict=True) if n < row.pixels), default=LEAST))
    found = _allocate(first.strata, minimum=minimum, size=most, target=area_error, drawn=drawn)
    return with_sizes(first.strata, [n - before for n, before in zip(found, drawn, strict=True)])


def make_plan(map_: MapToSample, strata: Sequence[DrawnStratum], *, before: int = 0) -> SamplePlan:
    """Work out what a sample costs, and which interval is expected of it.

    Args:
        map_: The map.
        strata: With the pixels that are judged, those of earlier draws included.
        before: How many of them were judged before.
    """
    found = expect_interval(
        np.array([s.pixels for s in strata]), np.array([s.expected_changed for s in strata]),
        np.array([s.samples for s in strata]),
    )  # fmt: skip
    hectares, pixels = map_.hectares_per_pixel, sum(s.samples for s in strata) - before
    return SamplePlan(
        pixels=pixels, hours=round(pixels * SECONDS_PER_PIXEL / 3600, 2),
        mapped_ha=round(hectares * sum(n for code, n in map_.counts.items() if code >= CHANGED), 4),
        expected_ha=round(hectares * found.changed, 4), expected_low_ha=round(hectares * found.low, 4),
        expected_high_ha=round(hectares * found.high, 4), relative_error=round(found.relative_error, 6),
        grounds=map_.expected.grounds,
    )  # fmt: skip


def with_sizes(strata: Sequence[DrawnStratum], sizes: Sequence[int]) -> tuple[DrawnStratum, ...]:
    """Return the strata with these numbers of drawn pixels."""
    return tuple(replace(stratum, samples=int(n)) for stratum, n in zip(strata, sizes, strict=True))


def _plan_for_accuracy(map_: MapToSample, aim: Aim) -> tuple[DrawnStratum, ...]:
    kinds = [code for code in map_.counts if code >= CHANGED]
    strata = _expect(map_, make_strata(map_.counts, map_.names, own=kinds, probabilities=None), undivided=True)
    accuracy = {code: _UNCHANGED_RIGHT if code == UNCHANGED else map_.expected.right[code] for code in map_.counts}
    sizes = allocate(
        map_.counts, accuracy, size=aim.size, target_standard_error=aim.accuracy_error or 0.01,
        minimum=ACCURACY_FLOOR if aim.minimum is None else aim.minimum,
    )  # fmt: skip
    return with_sizes(strata, [sizes[s.codes[0]] for s in strata])


def _expect(map_: MapToSample, strata: Sequence[DrawnStratum], *, undivided: bool = False) -> tuple[DrawnStratum, ...]:
    shares = expect_changes(strata, map_.counts, map_.expected, None if undivided else map_.probabilities)
    return tuple(replace(s, expected_changed=round(share, 6)) for s, share in zip(strata, shares, strict=True))


def _allocate(
    strata: Sequence[DrawnStratum], *, minimum: int, size: int | None, target: float | None, drawn: Sequence[int] | None = None
) -> list[int]:
    return allocate_for_area(
        [s.pixels for s in strata], [s.expected_changed for s in strata], minimum=minimum, size=size, target=target, drawn=drawn
    )
