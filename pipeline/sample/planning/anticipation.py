"""What a map is expected to be like before anything was judged: how much of its change is right, and how much it missed.

A plan needs such numbers, and no estimate uses them: where they are wrong, a sample is larger or its interval wider than it had
to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.legend import UNCHANGED
from landshift.pipeline.sample.draw import DrawnStratum

RIGHT_UNTESTED, MISSED_UNTESTED = 0.7, 0.3
"""Expected share of the mapped change that is right, and of the change that is missed, where no test gives them."""
_CAUTION = 1.5
"""Times that more change is missed on the map than on test blocks: labels are drawn where the ground is easy to judge."""
_MISSED = (0.1, 0.6)
_RIGHT = (0.5, 0.98)
"""Least and most that a plan reckons with: of few test pixels all can be right or wrong."""
_CALM = 0.25
"""Share of the missed change that lies in the calm part of the unchanged ground at least, whatever the probabilities state."""
_MOST_IN_UNCHANGED = 0.5


@dataclass(frozen=True)
class TestedKind:
    """How a model did on the test pixels of one kind of change."""

    right: float | None
    """Share of what it maps as the kind that is right, 0..1; None where it maps none."""
    found: float | None
    """Share of the kind that it maps as such, 0..1; None where none is labelled."""
    labelled: int
    """Test pixels of the kind."""


@dataclass(frozen=True)
class Anticipation:
    """What a plan reckons with."""

    right: Mapping[int, float]
    """Share of what is mapped as a change that is right, 0..1, by change code."""
    missed: float
    """Share of the change that the map misses, 0..1."""
    grounds: tuple[str, ...]
    """Where the numbers come from, in sentences."""


def anticipate(codes: Sequence[int], tested: Mapping[int, TestedKind]) -> Anticipation:
    """Expect accuracies: with caution from the test blocks of the model where it was tested, else declared defaults.

    Args:
        codes: Change codes that the map holds.
        tested: What was measured, by change code.
    """
    kinds = [code for code in codes if code != UNCHANGED]
    known = {code: row.right for code in kinds if (row := tested.get(code)) is not None and row.right is not None}
    right = {code: float(np.clip(known.get(code, RIGHT_UNTESTED), *_RIGHT)) for code in kinds}
    labelled = [(row.found, row.labelled) for row in tested.values() if row.found is not None and row.labelled > 0]
    grounds = []
    if known:
        grounds.append(
            f"How often mapped change is right: as on the model's test blocks for {len(known)} of {len(kinds)} kinds, "
            f"at most {_RIGHT[1]:.0%}; {RIGHT_UNTESTED:.0%} for others."
        )
    elif kinds:
        grounds.append(f"How often mapped change is right was not tested: {RIGHT_UNTESTED:.0%} is assumed.")
    if labelled:
        found = sum(share * n for share, n in labelled) / sum(n for _, n in labelled)
        missed = float(np.clip(_CAUTION * (1 - found), *_MISSED))
        grounds.append(
            f"How much change is missed or mapped as another kind: {1 - found:.0%} on the test blocks, where labels are easier "
            f"than the map; "
            f"{missed:.0%} is assumed."
        )
    else:
        missed = MISSED_UNTESTED
        grounds.append(f"How much change is missed was not tested: {missed:.0%} is assumed.")
    return Anticipation(right, missed, tuple(grounds))


def expect_changes(
    strata: Sequence[DrawnStratum], counts: Mapping[int, int], expected: Anticipation, probabilities: np.ndarray | None
) -> list[float]:
    """Expect the share of each stratum that changed.

    Args:
        strata: Of the map.
        counts: Change code to pixels of the map.
        expected: Of the map as a whole.
        probabilities: int (201): unchanged pixels by number of change_probability.tif; None where it is not used.

    Returns:
        0..1, for each stratum. Missed change is shared out over unchanged strata in proportion to their probabilities of
        change, a quarter of it to the calm one at least.
    """
    mapped = sum(n * expected.right[code] for code, n in counts.items() if code != UNCHANGED)
    # A map without change misses some all the same: as much as is expected of one with 1 % of it.
    mapped = mapped or 0.01 * RIGHT_UNTESTED * sum(counts.values())
    missed = mapped * expected.missed / (1 - expected.missed)
    unchanged = [stratum for stratum in strata if UNCHANGED in stratum.codes]
    shares = _shares_of_missed(unchanged, probabilities)
    found = []
    for stratum in strata:
        if stratum.number in shares:
            found.append(min(missed * shares[stratum.number] / stratum.pixels, _MOST_IN_UNCHANGED))
        else:
            found.append(sum(counts[code] * expected.right[code] for code in stratum.codes) / stratum.pixels)
    return found


def _shares_of_missed(unchanged: Sequence[DrawnStratum], probabilities: np.ndarray | None) -> dict[int, float]:
    if len(unchanged) < 2 or probabilities is None:
        return {stratum.number: 1 / len(unchanged) for stratum in unchanged}
    (calm, doubtful), numbers = unchanged, probabilities * np.arange(len(probabilities))
    cut = doubtful.probability[0] if doubtful.probability else 0
    total = float(numbers.sum())
    share = max(float(numbers[:cut].sum()) / total if total else 1.0, _CALM)
    return {calm.number: share, doubtful.number: 1 - share}
