"""Differences between trainings: intervals, and verdicts with the right to abstain."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

HELPS, NO_EVIDENCE, HURTS = "helps", "no evidence", "hurts"
"""Every verdict."""

# Differences that are equal but for the last digit of a float have hardly any spread, and 1e-17 would be an effect.
_ROUNDING = 1e-9

_UNCHANGED, _KIND = 1, 2


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval."""

    estimate: float | None
    """The mean; None without a value."""
    low: float | None
    """None where the values are too few for an interval."""
    high: float | None
    """None where the values are too few for an interval."""
    n: int
    """Independent values behind it."""
    level: float
    """Confidence, 0..1."""


@dataclass(frozen=True)
class RegionVerdict:
    """Verdict of one region's seeds on that region alone."""

    name: str
    """The region."""
    verdict: str
    """One of `helps`, `no evidence`, `hurts`."""
    interval: Difference
    """Over its seeds."""
    differences: tuple[float, ...]
    """Candidate minus control in F1, one a seed, seeds ascending."""


@dataclass(frozen=True)
class TransferVerdict:
    """Whether a candidate beats its control in a territory."""

    verdict: str
    """One of `helps`, `no evidence`, `hurts`."""
    interval: Difference
    """Of the difference in F1, over regions; over the seeds where there is one region."""
    regions: tuple[RegionVerdict, ...]
    """In the order in which the candidate's keys name them."""
    notes: tuple[str, ...]
    """What was left out, what diverged, and what cannot be claimed."""
    sentence: str
    """For a planner."""


def interval_of_pairs(differences: Sequence[float], level: float = 0.95) -> Difference:
    """Return Student's t interval of the mean difference (Student 1908, doi:10.2307/2331554).

    Args:
        differences: (n,), independent of each other.
        level: Confidence, 0..1, both excluded.

    Returns:
        Without low and high where n < 2; both are the estimate where all differences are equal.

    Raises:
        ValueError: A difference is not finite, or the level lies outside 0..1.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not 0 < level < 1:
        raise ValueError(f"A level of confidence lies between 0 and 1, not at {level}.")
    if not np.isfinite(values).all():
        raise ValueError(f"Differences must be finite, found {values[~np.isfinite(values)].tolist()}.")
    if values.size == 0:
        return Difference(None, None, None, 0, level=level)
    if values.size == 1:
        return Difference(float(values[0]), None, None, 1, level=level)
    if np.ptp(values) == 0:
        same = float(values[0])
        return Difference(same, same, same, values.size, level=level)
    mean = float(values.mean())
    reach = float(special.stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(values.size))
    return Difference(mean, mean - reach, mean + reach, values.size, level=level)


def judge_transfer(
    candidate: Mapping[tuple[str, int], float | None],
    control: Mapping[tuple[str, int], float | None],
    *,
    names: tuple[str, str],
    folds: Mapping[str, int] | None = None,
    level: float = 0.95,
    smallest: float = 0.0,
) -> TransferVerdict:
    """Judge a candidate against its control, trained on the same (region, seed) pairs.

    The region is the unit of evidence: seeds in one region share its ground, its labels and its weather, so they show how
    much chance there is in a training and not what the next region brings. The mean of each region's seeds enters the
    interval over regions once. A candidate that diverged gives no map and counts as F1 0; a pair whose control diverged
    is left out, so that a broken control never speaks for the candidate.

    Args:
        candidate: F1, 0..1, by held-out region and seed; None = the training diverged.
        control: The same for the control.
        names: Candidate and control, as the sentence calls them.
        folds: The fold in which each region was held out; regions of one fold were judged by the same trainings, so their
            mean enters once. None: each region has a fold of its own.
        level: Confidence, 0..1, both excluded.
        smallest: A difference in F1, at least 0, that would matter; the interval must lie beyond it.

    Raises:
        ValueError: An F1 is not finite, `smallest` is below 0, or the level lies outside 0..1.
    """
    if not smallest >= 0:
        raise ValueError(f"The smallest difference that matters is at least 0, not {smallest}.")
    paired = [key for key in candidate if key in control]
    broken = [key for key in paired if control[key] is None]
    diverged = [key for key in paired if candidate[key] is None and key not in broken]
    differences: dict[str, list[float]] = {}
    for region, seed in sorted((key for key in paired if key not in broken), key=lambda key: key[1]):
        reached, reference = candidate[region, seed], control[region, seed]
        differences.setdefault(region, []).append((reached or 0.0) - (reference or 0.0))
    order = [region for region in dict.fromkeys(region for region, _ in candidate) if region in differences]
    regions = []
    for region in order:
        over_seeds = interval_of_pairs(differences[region], level)
        regions.append(RegionVerdict(region, _verdict(over_seeds, smallest), over_seeds, tuple(differences[region])))
    if len(regions) == 1:
        interval = regions[0].interval
    else:
        means: dict[int, list[float]] = {}
        for number, judged in enumerate(regions):
            means.setdefault(folds[judged.name] if folds else number, []).append(float(np.mean(judged.differences)))
        interval = interval_of_pairs([float(np.mean(values)) for values in means.values()], level)
    verdict = _verdict(interval, smallest)
    alone = [key for key in (*candidate, *control) if (key in candidate) != (key in control)]
    notes = (
        [f"{names[0]} diverged and counts as F1 0: {_list_pairs(diverged)}."] if diverged else [],
        [f"{names[1]} diverged, so the pair is left out: {_list_pairs(broken)}."] if broken else [],
        [f"Only one of the two was trained, so left out: {_list_pairs(alone)}."] if alone else [],
        [f"No training of {names[1]} can be compared: there is no control."] if not regions else [],
        [f"Only {regions[0].name} was held out: this does not hold for other regions."] if len(regions) == 1 else [],
    )
    sentence = _sentence(verdict, interval, regions, names, smallest=smallest)
    return TransferVerdict(
        verdict, interval, tuple(regions), tuple(note for group in notes for note in group), sentence=sentence
    )


def f1_gain(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, groups: np.ndarray, *, level: float = 0.95,
    replicates: int = 1000, seed: int = 0,
) -> Difference:  # fmt: skip
    """Return how much better a second map is than a first one on the same pixels: its F1 of changed less the first's.

    The interval is the percentile one of a bootstrap that resamples whole groups.

    Args:
        truth: (n,): 0 = unchanged, 1 = changed.
        first: bool (n,), mapped as changed.
        second: bool (n,).
        groups: (n,) region or block of each pixel.
        level: Confidence, 0..1, both excluded.
        replicates: Resamples.
        seed: Which.

    Returns:
        Without low and high where there are fewer than two groups; without an estimate where nothing is changed.
    """
    codes = [np.where(mapped, _KIND, _UNCHANGED) for mapped in (truth == 1, first, second)]
    return kinds_gain(codes[0], codes[1], codes[2], groups, level=level, replicates=replicates, seed=seed)


def kinds_gain(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, groups: np.ndarray, *, level: float = 0.95,
    replicates: int = 1000, seed: int = 0,
) -> Difference:  # fmt: skip
    """Return how much better a second map names the kinds of change than a first one: its F1 less the first's.

    A pixel is a hit where the map gives it the very kind of change that it is labelled with; F1 is over all kinds together
    (micro). With one kind it is the F1 of changed, and this is `f1_gain`.

    Args:
        truth: int (n,): 1 = unchanged, above 1 a kind of change.
        first: int (n,), mapped, in the same codes.
        second: int (n,).
        groups: (n,) region or block of each pixel.
        level: Confidence, 0..1, both excluded.
        replicates: Resamples of whole groups.
        seed: Which.

    Returns:
        Without low and high where there are fewer than two groups; without an estimate where nothing is changed.
    """
    names, index = np.unique(groups, return_inverse=True)
    is_changed = truth > _UNCHANGED
    cells = []
    for mapped in (first, second):
        wrong = mapped != truth
        parts = (is_changed & ~wrong, (mapped > _UNCHANGED) & wrong, is_changed & wrong)
        cells.append(np.stack([np.bincount(index, weights=p, minlength=len(names)) for p in parts]))

    def f1(counts: np.ndarray) -> np.ndarray:
        hits, false, missed = counts
        total = 2 * hits + false + missed
        return np.asarray(np.divide(2 * hits, total, out=np.full_like(total, np.nan), where=hits + missed > 0))

    estimate = float(f1(cells[1].sum(axis=1)) - f1(cells[0].sum(axis=1)))
    if not math.isfinite(estimate) or len(names) < 2:
        return Difference(estimate if math.isfinite(estimate) else None, None, None, len(names), level=level)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    gains = f1(cells[1] @ drawn.T) - f1(cells[0] @ drawn.T)
    low, high = np.nanquantile(gains, [(1 - level) / 2, (1 + level) / 2])
    return Difference(estimate, float(low), float(high), len(names), level=level)


@dataclass(frozen=True)
class BlockShare:
    """A share of pixels, with an interval that knows that the pixels of a block are alike."""

    estimate: float | None
    """0..1; None without a pixel."""
    low: float | None
    """0..1; None without a pixel."""
    high: float | None
    """0..1; None without a pixel."""
    pixels: int
    """That it is a share of."""
    blocks: int
    """That they lie in."""


def share_in_blocks(right: np.ndarray, blocks: np.ndarray, level: float = 0.95) -> BlockShare:
    """Return the share of pixels that are right, with Wilson's interval for as many pixels as the blocks are worth.

    The pixels count for p (1 - p) over the variance of p between blocks (the effective sample size of Korn and Graubard 1998,
    Survey Methodology 24, 193; with Wilson's interval, doi:10.1080/01621459.1927.10502953). They count for no fewer than
    Kish's number of blocks, and for just that many where all pixels are right, or none: 0 of 300 pixels of two fields do not
    prove that such a field is never right.

    Args:
        right: bool (n,).
        blocks: int (n,): the block of each pixel.
        level: Confidence, 0..1, both excluded.
    """
    names, index, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    if not right.size:
        return BlockShare(None, None, None, 0, blocks=0)
    share = float(right.mean())
    kish = float(right.size**2 / np.square(sizes).sum())
    worth = kish
    if len(names) > 1 and 0 < share < 1:
        off = np.bincount(index, weights=right) - share * sizes
        variance = len(names) / (len(names) - 1) * float(np.square(off).sum()) / right.size**2
        worth = float(np.clip(share * (1 - share) / variance, kish, right.size)) if variance else float(right.size)
    z = float(special.ndtri((1 + level) / 2))
    middle, reach = share + z**2 / (2 * worth), z * math.sqrt(share * (1 - share) / worth + z**2 / (4 * worth**2))
    low, high = ((middle + side * reach) / (1 + z**2 / worth) for side in (-1, 1))
    return BlockShare(share, max(low, 0.0), min(high, 1.0), right.size, blocks=len(names))


def _verdict(interval: Difference, smallest: float) -> str:
    if interval.low is not None and interval.low > smallest + _ROUNDING:
        return HELPS
    if interval.high is not None and interval.high < -smallest - _ROUNDING:
        return HURTS
    return NO_EVIDENCE


def _sentence(
    verdict: str, interval: Difference, regions: Sequence[RegionVerdict], names: tuple[str, str], smallest: float
) -> str:
    if interval.estimate is None:
        return f"It is not known what starting from {names[0]} instead of {names[1]} does: no pair of trainings to compare."
    counts = sorted({len(region.differences) for region in regions})
    seeds = count_of(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    effect = (
        f"Over {count_of(len(regions), 'held-out region')} and {seeds}, starting from {names[0]} instead of {names[1]} "
        f"changed F1 by {interval.estimate:+z.3f}"
    )
    if interval.low is None or interval.high is None:
        alone = "one training of each" if len(regions) == 1 else "one fold"
        return f"{effect}: {alone} gives no interval, so this is no evidence."
    span = f"({100 * interval.level:g} % interval {interval.low:+z.3f} to {interval.high:+z.3f})"
    beyond = f" by more than {smallest:g}" if smallest else ""
    meaning = {
        HELPS: f"it helps here{beyond}",
        HURTS: f"it hurts here{beyond}",
        NO_EVIDENCE: f"this does not show that it helps or hurts{beyond}",
    }[verdict]
    return f"{effect} {span}: {meaning}."


def _list_pairs(keys: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{region} with seed {seed}" for region, seed in dict.fromkeys(keys))


def count_of(n: int, what: str) -> str:
    """Return a number with its noun, in the plural where it is not 1."""
    return f"{n} {what}{'' if n == 1 else 's'}"
