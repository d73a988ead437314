"""Whether a new model is worse in any region than the one in use, on the same held-out pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED
from landshift.pipeline.scores.evidence import Difference, kinds_gain

Undecided = Literal["refuse", "promote"]
"""What a region that cannot be judged means for the whole."""


@dataclass(frozen=True)
class ReleaseRule:
    """When a new model may replace the one in use."""

    tolerance: float = 0.02
    """Loss in F1, 0..1, that a region may show: a smaller one comes with any training that is done again."""
    min_blocks: int = 4
    """Held-out blocks with change that a region needs to be judged."""
    undecided: Undecided = "refuse"
    """What a region that cannot be judged means for the whole."""
    level: float = 0.95
    """Confidence of all intervals together, 0..1, both excluded."""


NOT_WORSE, WORSE, NOT_JUDGED = "not worse", "worse", "not judged"
"""Every verdict on a region, and on all of them together."""

CHANGE, KINDS = "change", "kinds of change"
"""What is scored: changed or not, and changed from what into what."""

_REPLICATES = 2000
_ROUNDING = 1e-9
_LEAST_LIKELY = 1e-12


@dataclass(frozen=True)
class Held:
    """Labelled pixels that neither model learnt from, all (n,)."""

    truth: np.ndarray
    """Change codes of the labels: 1 = unchanged, above 1 a kind of change."""
    old: np.ndarray
    """Change codes that the model in use maps; 0 = not observed."""
    new: np.ndarray
    """Change codes that the new model maps; 0 = not observed."""
    region: np.ndarray
    """Index into the names of the regions; -1 = in none."""
    block: np.ndarray
    """Number of the block that the pixel lies in."""

    @property
    def seen(self) -> "Held":
        """Those that both models could map."""
        kept = (self.old != NOT_OBSERVED) & (self.new != NOT_OBSERVED) & (self.truth != NOT_OBSERVED)
        return Held(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))

    def of(self, region: int) -> "Held":
        """Return those of one region."""
        kept = self.region == region
        return Held(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))

    @property
    def plain(self) -> "Held":
        """The same, as changed or not."""
        truth, old, new = (np.minimum(codes, CHANGED) for codes in (self.truth, self.old, self.new))
        return Held(truth, old, new, self.region, block=self.block)


@dataclass(frozen=True)
class RegionRow:
    """The two models in one region."""

    region: str
    """The region's name."""
    score: str
    """`change`, or `kinds of change`."""
    old: float | None
    """F1 of the model in use, 0..1; None where no pixel is labelled changed."""
    new: float | None
    """F1 of the new model, 0..1."""
    gain: Difference
    """New minus old, with the interval of a paired bootstrap over blocks."""
    pixels: int
    """Labelled pixels that were compared."""
    blocks: int
    """Blocks among them that hold change."""
    verdict: str
    """`not worse`, `worse` or `not judged`."""
    why: str
    """The reason, in words."""


@dataclass(frozen=True)
class ReleaseVerdict:
    """Verdict of a comparison."""

    verdict: str
    """`worse` where one region is, else `not judged` where one is not, else `not worse`."""
    promote: bool
    """Whether the rule lets the new model replace the one in use."""
    rows: tuple[RegionRow, ...]
    """One for each region and score."""
    sentence: str
    """For a person."""


@dataclass(frozen=True)
class ReleaseComparison(ReleaseVerdict):
    """Verdict on a new model, and what it rests on."""

    notes: tuple[str, ...]
    """How the regions were made, in sentences."""
    pixels: int
    """Held-out labelled pixels."""


def compare_regions(held: Mapping[str, Held], names: Sequence[str], rule: ReleaseRule) -> tuple[RegionRow, ...]:
    """Compare two maps region by region.

    A region counts as worse in two cases. Its F1 on these very pixels is lower by more than the tolerance: with few blocks
    that may be chance, but a model that is in use has earned its place, and a new one has to show that it deserves it. Or
    the interval of the difference lies below 0 as a whole, however small the loss is: many small losses, release after
    release, would add up to a large one. (To ask the opposite, that the interval lies above minus the tolerance, would be
    stricter, but with the few blocks that labels usually give no model, not even an equal one, would ever be promoted.)

    The intervals resample whole blocks, the same ones for both models, since pixels of a block resemble each other; their
    level is Bonferroni's, so that the chance of a false alarm from any interval stays about that of one. Of few
    blocks a bootstrap is too narrow; docs/releases.md has how often which model is refused.

    Args:
        held: By score, the pixels; `change` must be there.
        names: Of the regions.
        rule: The limits.
    """
    parts = [(name, score, pixels.seen.of(index)) for score, pixels in held.items() for index, name in enumerate(names)]
    counted = [_blocks_with_change(part) for _, _, part in parts]
    judged = sum(n >= rule.min_blocks for n in counted)
    level = 1 - (1 - rule.level) / max(judged, 1)
    return tuple(
        _row(name, score, part, n, rule=rule, level=level) for (name, score, part), n in zip(parts, counted, strict=True)
    )


def decide_release(rows: Sequence[RegionRow], rule: ReleaseRule) -> ReleaseVerdict:
    """Decide whether the new model may replace the one in use: only where no region is worse.

    What was not judged is not known to be no worse, so such a region refuses the promotion unless the rule has it otherwise;
    then it is passed over.
    """
    worse, unknown = ([r for r in rows if r.verdict == verdict] for verdict in (WORSE, NOT_JUDGED))
    if worse:
        reasons = "; ".join(f"{r.region} ({r.score}): {r.why}" for r in worse)
        return ReleaseVerdict(WORSE, False, tuple(rows), f"The new model is worse in {_regions(worse)}. {reasons}.")
    if unknown or not rows:
        reasons = "; ".join(f"{r.region} ({r.score}): {r.why}" for r in unknown) or "there is no region"
        passed = rule.undecided == "promote"
        known = f"It is not worse in {_regions(rest)}. " if (rest := [r for r in rows if r not in unknown]) else ""
        end = "`release: undecided: promote` passes over that." if passed else "Label more there."
        return ReleaseVerdict(NOT_JUDGED, passed, tuple(rows), f"{known}Too few labels to decide: {reasons}. {end}")
    return ReleaseVerdict(NOT_WORSE, True, tuple(rows), f"The new model is not worse in {_regions(rows)}.")


def kinds_of(before: np.ndarray, after: np.ndarray, lookup: np.ndarray, not_labelled: int) -> np.ndarray:
    """Return the change codes of labels of land use, int (n,); 0 where one of the dates is not labelled."""
    known = (before != not_labelled) & (after != not_labelled)
    codes = np.zeros(before.shape, dtype=np.int64)
    codes[known] = lookup[before[known], after[known]]
    return codes


def enough_blocks(held: Held, regions: int, rule: ReleaseRule) -> bool:
    """Return whether each region has the blocks to be judged."""
    seen = held.seen
    return all(_blocks_with_change(seen.of(index)) >= rule.min_blocks for index in range(regions))


def _blocks_with_change(part: Held) -> int:
    return len(np.unique(part.block[part.truth > UNCHANGED]))


def _row(name: str, score: str, part: Held, blocks: int, rule: ReleaseRule, level: float) -> RegionRow:
    old, new = (_f1(part.truth, mapped) for mapped in (part.old, part.new))
    gain = kinds_gain(part.truth, part.old, part.new, part.block, level=level, replicates=_REPLICATES)
    if blocks < rule.min_blocks or gain.estimate is None:
        verdict, why = NOT_JUDGED, f"{blocks} held-out blocks with change, {rule.min_blocks} are needed"
    elif gain.estimate < -rule.tolerance - _ROUNDING:
        verdict, why = WORSE, f"F1 is lower by {-gain.estimate:.3f}, more than the tolerance of {rule.tolerance:g}"
    elif gain.high is not None and gain.high < -_ROUNDING:
        verdict, why = WORSE, f"F1 is lower by {-gain.estimate:.3f}: little, but the whole interval lies below 0"
    else:
        verdict, why = NOT_WORSE, f"F1 changed by {gain.estimate:+z.3f}"
    return RegionRow(name, score, old, new, gain=gain, pixels=len(part.truth), blocks=blocks, verdict=verdict, why=why)


def _f1(truth: np.ndarray, mapped: np.ndarray) -> float | None:
    changed = truth > UNCHANGED
    if not changed.any():
        return None
    hits = int((changed & (mapped == truth)).sum())
    return 2 * hits / int(changed.sum() + (mapped > UNCHANGED).sum())


def _regions(rows: Sequence[RegionRow]) -> str:
    names = list(dict.fromkeys(r.region for r in rows))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True)
class BlockTally:
    """How a map did on the labelled pixels of one block."""

    block: int
    """Its number, as `block_index` gives it."""
    pixels: int
    """Labelled and observed ones."""
    hits: int
    """Changed, and mapped as changed."""
    false_alarms: int
    """Unchanged, and mapped as changed."""
    misses: int
    """Changed, and mapped as unchanged."""
    log_likelihood: float | None = None
    """Sum over the pixels of the logarithm of the probability given to the truth; None for a map without probabilities."""


def tally_blocks(
    truth: np.ndarray, mapped: np.ndarray, blocks: np.ndarray, probability: np.ndarray | None = None
) -> tuple[BlockTally, ...]:
    """Tally a map block by block.

    Args:
        truth: (n,): 0 = unchanged, 1 = changed; labelled pixels alone.
        mapped: bool (n,): mapped as changed.
        blocks: int (n,): the block of each pixel.
        probability: (n,) of change, 0..1; None for a map without probabilities.
    """
    names, index = np.unique(blocks, return_inverse=True)
    changed = truth == 1

    def count(part: np.ndarray) -> list[float]:
        return [float(v) for v in np.bincount(index, weights=part, minlength=len(names))]

    likely: list[float | None] = [None] * len(names)
    if probability is not None:
        given = np.where(changed, probability, 1 - probability.astype(np.float64))
        likely = list(count(np.log(np.maximum(given, _LEAST_LIKELY))))
    parts = [count(p) for p in (np.ones(len(truth)), changed & mapped, ~changed & mapped, changed & ~mapped)]
    pixels, hits, false, missed = ([int(v) for v in part] for part in parts)
    return tuple(
        BlockTally(int(name), pixels[i], hits[i], false[i], misses=missed[i], log_likelihood=likely[i])
        for i, name in enumerate(names)
    )


def likelihood_of(tallies: Sequence[BlockTally]) -> float | None:
    """Return the geometric mean over pixels of the probability given to the truth, 0..1; None without probabilities."""
    sums = [t.log_likelihood for t in tallies if t.log_likelihood is not None]
    return float(np.exp(sum(sums) / sum(t.pixels for t in tallies))) if sums and len(sums) == len(tallies) else None


def compare_tallies(
    one: Sequence[BlockTally], other: Sequence[BlockTally], *, replicates: int = 1000, seed: int = 0
) -> tuple[float, float, Difference]:
    """Return the F1 of changed of two maps on the same blocks, 0..1, and their difference, one less the other.

    The interval is that of a bootstrap which draws blocks, both maps on the same ones; with few blocks it is too narrow.
    """
    shared = sorted({t.block for t in one} & {t.block for t in other})
    cells = np.zeros((2, len(shared), 3))
    for number, tallies in enumerate((one, other)):
        counts = {t.block: (t.hits, t.false_alarms, t.misses) for t in tallies}
        cells[number] = [counts[block] for block in shared]

    def f1(counts: np.ndarray) -> np.ndarray:
        total = counts @ np.array([2.0, 1.0, 1.0])
        return np.asarray(np.divide(2 * counts[..., 0], total, out=np.zeros_like(total), where=total > 0))

    whole = f1(cells.sum(axis=1))
    low = high = None
    if len(shared) > 1:
        drawn = np.random.default_rng(seed).multinomial(len(shared), np.full(len(shared), 1 / len(shared)), size=replicates)
        values = f1(np.einsum("rb,mbc->mrc", drawn, cells))
        low, high = np.quantile(values[0] - values[1], [0.025, 0.975]).tolist()
    return float(whole[0]), float(whole[1]), Difference(float(whole[0] - whole[1]), low, high, n=len(shared), level=0.95)
