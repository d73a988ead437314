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
