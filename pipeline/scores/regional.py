"""How well a map agrees with labels in each region, and how much a random split flatters it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.legend import Legend
from landshift.pipeline.scores.accuracy import BinaryScores, ScoreEvidence, binary_scores, class_scores, score_evidence
from landshift.pipeline.scores.reliability import calibration_error_of, mask_known

NO_REGION = -1
"""Region index of a pixel in none."""

_ABOUT_THE_SAME = 0.01


@dataclass(frozen=True)
class RegionScores:
    """Agreement of the change map with the labels of one region."""

    name: str
    """The region's name."""
    scores: BinaryScores
    """Scores of its labelled, observed pixels."""
    evidence: ScoreEvidence
    """What they rest on."""
    calibration_error: float | None
    """Expected calibration error, 0..1; None where no pixel is labelled and observed."""
    changed_labelled: float | None
    """Share of those pixels that is labelled changed, 0..1."""
    changed_mapped: float | None
    """Share of the same pixels that is mapped as changed, 0..1."""


@dataclass(frozen=True)
class WorstRegion:
    """The region in which the map agrees least with the labels."""

    name: str
    """The region's name."""
    f1: float
    """F1 of changed, 0..1."""


@dataclass(frozen=True)
class Regional:
    """Agreement of the change map with the labels, region by region."""

    rows: tuple[RegionScores, ...]
    """One for each region, in the order of the names."""
    worst: WorstRegion | None
    """Lowest F1, the first such region; None where F1 is defined in no region."""
    calibration_gap: float | None
    """Largest minus smallest calibration error, 0..1; None with fewer than two regions that have one. A region with few
    pixels has a larger error by chance alone."""
    notes: tuple[str, ...]
    """What the rows cannot show, one sentence each."""


@dataclass(frozen=True)
class ClassRegion:
    """Agreement for one class in one region."""

    region: str
    """The region's name."""
    code: int
    """The class's value in the map."""
    name: str
    """The class's name."""
    recall: float | None
    """Share of the pixels labelled as this class that are mapped so, 0..1; None where none is labelled so."""
    precision: float | None
    """Share of the pixels mapped as this class that are labelled so, 0..1; None where none is mapped so."""
    support: int
    """Labelled, mapped pixels of this class in this region."""


@dataclass(frozen=True)
class OptimismGap:
    """How much higher a score is where test pixels lie next to training pixels (Roberts 2017, doi:10.1111/ecog.02881)."""

    random_f1: float | None
    """F1 with pixels split at random, 0..1."""
    blocked_f1: float | None
    """F1 with whole blocks held out, 0..1."""
    gap: float | None
    """Random minus blocked, -1..1; None where either is not defined."""
    sentence: str
    """What this means, for a reader of the report."""
    low: float | None = None
    """Lower end of the gap's interval over seeds; None with fewer than two."""
    high: float | None = None
    """Upper end."""


def regional_scores(
    truth: np.ndarray,
    probability: np.ndarray,
    threshold: float | Sequence[float],
    region: np.ndarray,
    names: Sequence[str],
    blocks: np.ndarray,
    *,
    bins: int = 15,
) -> Regional:
    """Score a change map in each region: a pixel is mapped as changed where `probability >= threshold`.

    Args:
        truth: (n,): 0 = unchanged, 1 = changed, 255 = not labelled.
        probability: (n,), 0..1, NaN = not observed.
        threshold: 0..1, or one for each region, where each was mapped by a model of its own.
        region: int (n,), an index into `names`; -1 = in no region.
        names: Of the regions; each gets a row, also without labels.
        blocks: int (n,): the block of each pixel.
        bins: Of equal mass, for the calibration error.

    Raises:
        ValueError: The shapes differ, a region has no name or no threshold, or `truth` holds another value.
    """
    known = mask_known(probability, truth)
    rows = []
    thresholds = [threshold] * len(names) if isinstance(threshold, float) else threshold
    for (name, inside), limit in zip(_regions(region, names, truth), thresholds, strict=True):
        here = inside & known
        y, p = truth[here], probability[here]
        rows.append(
            RegionScores(
                name=name,
                scores=binary_scores(y, p, limit),
                evidence=score_evidence(y, p >= limit, blocks[here]),
                calibration_error=calibration_error_of(p, y, bins),
                changed_labelled=float((y == 1).mean()) if y.size else None,
                changed_mapped=float((p >= limit).mean()) if y.size else None,
            )
        )
    defined = [WorstRegion(r.name, r.scores.f1) for r in rows if r.scores.f1 is not None]
    errors = [r.calibration_error for r in rows if r.calibration_error is not None]
    return Regional(
        rows=tuple(rows),
        worst=min(defined, key=lambda w: w.f1, default=None),
        calibration_gap=max(errors) - min(errors) if len(errors) > 1 else None,
        notes=_notes(rows, int((known & (region == NO_REGION)).sum())),
    )


def class_region_table(
    truth: np.ndarray, found: np.ndarray, region: np.ndarray, names: Sequence[str], legend: Legend
) -> tuple[ClassRegion, ...]:
    """Score each class of a land-use map in each region.

    Args:
        truth: (n,): land-use codes, 255 = not labelled.
        found: (n,): land-use codes, 0 or 255 = not observed.
        region: int (n,), an index into `names`; -1 = in no region.
        names: Of the regions.
        legend: The classes; not a binary one.

    Returns:
        One row for each region and class, all classes of the first region first.

    Raises:
        InputError: A code is not in the legend.
        ValueError: The shapes differ, or a region has no name.
    """
    return tuple(
        ClassRegion(name, c.code, c.name, c.recall, precision=c.precision, support=c.support)
        for name, inside in _regions(region, names, truth)
        for c in class_scores(truth[inside], found[inside], legend).classes
    )


def optimism_gap(random_f1: float | None, blocked_f1: float | None) -> OptimismGap:
    """Compare F1 with a random split and with held-out blocks.

    Args:
        random_f1: F1 with pixels split at random, 0..1; None or NaN where it is not defined.
        blocked_f1: F1 of the same method with whole blocks held out, 0..1; None or NaN where it is not defined.

    Raises:
        ValueError: A score is outside 0..1.
    """
    random, blocked = (None if f1 is None or math.isnan(f1) else float(f1) for f1 in (random_f1, blocked_f1))
    if random is None or blocked is None:
        missing = " and ".join(n for n, f1 in (("random", random), ("blocked", blocked)) if f1 is None)
        sentence = f"F1 is not defined with the {missing} split, so optimism is not known."
        return OptimismGap(random, blocked, None, sentence)
    if not (0 <= random <= 1 and 0 <= blocked <= 1):
        raise ValueError(f"F1 is {random} with a random split and {blocked} with a blocked one; expected 0 to 1.")
    gap = random - blocked
    if gap >= _ABOUT_THE_SAME:
        sentence = (
            f"With test pixels next to training pixels F1 is {gap:.3f} higher ({random:.3f}) than on blocks that were "
            f"held out ({blocked:.3f}): expect {blocked:.3f}, not {random:.3f}, where there are no labels."
        )
    elif gap > -_ABOUT_THE_SAME:
        sentence = (
            f"A random split ({random:.3f}) and a blocked one ({blocked:.3f}) give about the same F1: no sign that "
            "nearness of training pixels flatters the score."
        )
    else:
        sentence = (
            f"F1 is {-gap:.3f} lower with a random split ({random:.3f}) than on held-out blocks ({blocked:.3f}): the "
            "held-out blocks are easier than the rest, so this pair of splits does not measure optimism."
        )
    return OptimismGap(random, blocked, gap, sentence)


def _regions(region: np.ndarray, names: Sequence[str], truth: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if region.shape != truth.shape:
        raise ValueError(f"Regions {region.shape} and labels {truth.shape} must have the same shape.")
    if len(set(names)) != len(names):
        raise ValueError(f"The regions are called {list(names)}; each needs its own name.")
    if region.size and not NO_REGION <= region.min() <= region.max() < len(names):
        raise ValueError(f"Region indices go from {region.min()} to {region.max()}; there are {len(names)} names.")
    return ((name, region == index) for index, name in enumerate(names))


def _notes(rows: Sequence[RegionScores], outside: int) -> tuple[str, ...]:
    labelled = [r for r in rows if r.scores.n]
    notes = []
    if not labelled:
        notes.append("No region holds a pixel that is labelled and observed: regions cannot be compared.")
    elif len(labelled) == 1:
        notes.append(f"Only {labelled[0].name} holds labelled pixels: no claim about differences between regions can be made.")
    if labelled and (empty := [r.name for r in rows if not r.scores.n]):
        notes.append(f"Without labelled pixels, and so without scores: {', '.join(empty)}.")
    if still := [r.name for r in labelled if r.scores.f1 is None]:
        notes.append(f"Without pixels labelled changed, so that F1 is not defined: {', '.join(still)}.")
    if outside:
        notes.append(f"{outside} labelled pixels are in no region and count in no row.")
    return tuple(notes)
