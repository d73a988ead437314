"""Where to label next: blocks that methods disagree about, that look like nothing labelled, and unlike one another."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.cluster.vq import kmeans2, vq

from landshift.pipeline.errors import InputError

LOOKS = 16
"""Kinds of look that the pixels of a pair are sorted into, at most."""
_SAMPLE = 20_000
"""Pixels that the kinds of look are found on, at most."""
_OBSERVED = 0.5
"""Share of a block's pixels that must be observed on both dates, for the block to be worth a person's time."""
_SMALLEST = 1e-9
_SERVED = 2_000
"""Blocks, spread over the territory, that chosen ones are to stand for, at most: their distances are held in memory."""
_TIE = 1e-4
"""Distances that differ by less count as equal."""


@dataclass(frozen=True, eq=False)
class BlockTable:
    """What is known of the blocks of a territory; arrays are (block row, block column)."""

    usable: np.ndarray
    """bool: enough of it is observed, and none of it labelled."""
    labelled: np.ndarray
    """bool: at least one pixel of it is labelled."""
    doubt: np.ndarray
    """float64, 0..1: mean doubt of its observed pixels, 0 without any."""
    disagreement: np.ndarray
    """float64, 0..1: mean disagreement of its observed pixels, 0 without any."""
    looks: np.ndarray
    """float64 (block row, block column, look): share of its observed pixels with each look; labelled blocks: labelled ones."""


@dataclass(frozen=True)
class ChosenBlock:
    """A block to label, and what spoke for it."""

    row: int
    """Row of blocks, from 0."""
    column: int
    """Column of blocks, from 0."""
    doubt: float
    """Mean doubt of its pixels, 0..1."""
    disagreement: float
    """Mean disagreement of its pixels, 0..1."""
    novelty: float
    """Hellinger distance, 0..1, of its looks from the nearest block that is labelled or was chosen before; 1 without one."""
    serves: float
    """Share of the usable blocks whose looks are nearer to it than to any that is labelled or was chosen before, 0..1."""
    doubt_above: float
    """Share of the usable blocks with less doubt, 0..1."""
    disagreement_above: float
    """Share of the usable blocks with less disagreement, 0..1."""


def doubt_of(chance: np.ndarray) -> np.ndarray:
    """Return the entropy of a chance of change in bits: 0 where it is certain, 1 where it is one half.

    Uncertainty sampling: Lewis & Gale 1994, doi:10.1007/978-1-4471-2099-5_1.

    Args:
        chance: Of change, 0..1, any shape, NaN = not observed.

    Returns:
        float64 of the same shape, NaN where `chance` is.

    Examples:
        >>> doubt_of(np.array([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    inside = np.clip(np.asarray(chance, dtype=np.float64), 1e-12, 1 - 1e-12)
    entropy = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return np.asarray(np.where(np.isnan(chance), np.nan, np.where((chance <= 0) | (chance >= 1), 0.0, entropy)))


def disagreement_of(chances: np.ndarray) -> np.ndarray:
    """Return how much a committee disagrees: the entropy of its mean less the mean entropy of its members, in bits.

    0 where all members agree, 1 where half of them are certain of change and half of none: query by committee (Seung 1992,
    doi:10.1145/130385.130417) with the measure of McCallum & Nigam 1998. Unlike doubt, it is low where all doubt alike.

    Args:
        chances: Of change by each member, (member, ...), 0..1, NaN = not observed.

    Returns:
        float64 without the first axis; 0 for a single member, NaN where a member has NaN.

    Examples:
        >>> disagreement_of(np.array([[0.0, 0.5], [1.0, 0.5]])).tolist()
        [1.0, 0.0]
    """
    return np.asarray(np.maximum(doubt_of(chances.mean(axis=0)) - doubt_of(chances).mean(axis=0), 0.0))


@dataclass(frozen=True, eq=False)
class Looks:
    """Kinds of look that pixels of a pair are sorted into."""

    mean: np.ndarray
    """float64 (value,)."""
    deviation: np.ndarray
    """float64 (value,), above 0."""
    centres: np.ndarray
    """float64 (look, value), standardised."""

    def standardise(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (n, value) with mean 0 and deviation 1 over the territory."""
        return np.asarray((pixels - self.mean) / self.deviation)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the look of each pixel, int16 (y, x), -1 = not observed, of values (value, y, x), NaN = not observed."""
        seen = np.isfinite(values).all(axis=0)
        looks = np.full(seen.shape, -1, dtype=np.int16)
        if seen.any():
            looks[seen] = vq(self.standardise(values[:, seen].T.astype(np.float64)), self.centres)[0]
        return looks


def fit_looks(pixels: np.ndarray, seed: int = 0) -> Looks:
    """Find the kinds of look of a pair, by k-means of pixels whose values are standardised.

    Args:
        pixels: (n, value), values of both dates and their difference, no NaN.
        seed: Of the sample and the starts.

    Raises:
        InputError: There is no pixel.
    """
    if not len(pixels):
        raise InputError("No pixel is observed on both dates, so nothing can be suggested: choose less cloudy dates.")
    found = Looks(pixels.mean(axis=0), np.maximum(pixels.std(axis=0), _SMALLEST), np.zeros((1, pixels.shape[1])))
    rng = np.random.default_rng(seed)
    sample = found.standardise(pixels[rng.choice(len(pixels), min(len(pixels), _SAMPLE), replace=False)])
    count = min(LOOKS, len(np.unique(sample, axis=0)))
    return replace(found, centres=kmeans2(sample, count, minit="++", rng=rng)[0]) if count > 1 else found


def table_blocks(
    looks: np.ndarray, doubt: np.ndarray, disagreement: np.ndarray, labelled: np.ndarray, *, block: int, kinds: int = LOOKS
) -> BlockTable:
    """Sum pixels up by blocks.

    Args:
        looks: int (y, x): from `Looks.apply`.
        doubt: (y, x), 0..1, NaN = not observed.
        disagreement: (y, x), 0..1, NaN = not observed.
        labelled: bool (y, x).
        block: Side of a block in pixels; those at the edge may be cut.
        kinds: Number of looks.
    """
    height, width = looks.shape
    shape = -(-height // block), -(-width // block)
    y, x = np.mgrid[:height, :width]
    index = (y // block * shape[1] + x // block).ravel()
    size = shape[0] * shape[1]
    seen = (looks >= 0) & np.isfinite(doubt) & np.isfinite(disagreement)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(index, weights=weights.ravel(), minlength=size)

    observed, known = total(seen.astype(float)), total(labelled.astype(float)) > 0
    # Of a block that is labelled in part, only the labelled pixels are known.
    counted = seen & (labelled | ~known[index].reshape(height, width))
    shares = np.stack([total((counted & (looks == k)).astype(float)) for k in range(kinds)], axis=-1)
    shares /= np.maximum(shares.sum(axis=-1, keepdims=True), 1)
    means = [total(np.where(seen, part, 0)) / np.maximum(observed, 1) for part in (doubt, disagreement)]
    whole = total(np.ones((height, width)))
    return BlockTable(
        usable=((observed >= _OBSERVED * whole) & ~known).reshape(shape), labelled=known.reshape(shape),
        doubt=means[0].reshape(shape), disagreement=means[1].reshape(shape), looks=shares.reshape(*shape, kinds),
    )  # fmt: skip


def join_tables(parts: Sequence[BlockTable]) -> BlockTable:
    """Put tables of strips, from north to south, one under the other."""
    return BlockTable(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(BlockTable)))


def choose_blocks(table: BlockTable, count: int, allowed: np.ndarray | None = None) -> tuple[ChosenBlock, ...]:
    """Choose blocks one by one, each the one that stands for most of what no earlier one and no labelled one stands for.

    Each usable block is served by the nearest block that is labelled or was chosen, by the distance of their looks (Hellinger).
    Chosen is what lowers the sum of these distances most, each weighed with the doubt and disagreement in its block: the greedy
    answer to a facility location (Wei 2015, https://proceedings.mlr.press/v37/wei15.html). With few labels, typical places
    teach more than the most doubtful ones (Hacohen 2022, arXiv:2202.02794), and k centres (Sener 2018, arXiv:1708.00489) would
    begin with odd corners; so doubt counts only as much as being there.

    Args:
        table: Of the territory.
        count: How many at most.
        allowed: bool (block row, block column): only these; all that are usable where None.

    Returns:
        In the order of choice; fewer than `count` where no more are usable.
    """
    open_ = table.usable if allowed is None else table.usable & allowed
    places = np.argwhere(open_)
    if not len(places):
        return ()
    doubt, apart, roots = table.doubt[open_], table.disagreement[open_], np.sqrt(table.looks[open_])
    served = _sample_rows(len(table.doubt[table.usable]))
    targets = np.sqrt(table.looks[table.usable])[served]
    info = (scale_to_one(table.doubt[table.usable]) + scale_to_one(table.disagreement[table.usable]))[served]
    weight = 1 + (info / info.mean() if info.any() else 0.0)
    apart_from = _distances(roots, targets)
    nearest, own = np.ones(len(targets)), np.ones(len(places))
    for known in np.sqrt(table.looks[table.labelled]):
        nearest, own = (np.minimum(d, _distances(r, known[None])[:, 0]) for d, r in ((nearest, targets), (own, roots)))
    # Among blocks that serve alike, the more doubtful one.
    tie = _TIE * (scale_to_one(doubt) + scale_to_one(apart))
    chosen, left = [], np.ones(len(places), dtype=bool)
    for _ in range(min(count, len(places))):
        gain = np.array([(weight * np.maximum(nearest - row, 0)).sum() for row in apart_from]) + tie
        best = int(np.argmax(np.where(left, gain, -1.0)))
        row, column = places[best].tolist()
        chosen.append(
            ChosenBlock(
                row, column, doubt=float(doubt[best]), disagreement=float(apart[best]), novelty=float(own[best]),
                serves=float((apart_from[best] < nearest - _TIE).mean()),
                doubt_above=float((doubt < doubt[best]).mean()), disagreement_above=float((apart < apart[best]).mean()),
            )
        )  # fmt: skip
        left[best] = False
        nearest = np.minimum(nearest, apart_from[best])
        own = np.minimum(own, _distances(roots, roots[best : best + 1])[:, 0])
    return tuple(chosen)


def _sample_rows(count: int) -> np.ndarray:
    """Return at most `_SERVED` of so many rows, always the same."""
    rows = np.arange(count)
    return rows if count <= _SERVED else np.sort(np.random.default_rng(0).choice(rows, _SERVED, replace=False))


_MUCH = 0.8
"""Share of the blocks with less, from which on something speaks for a block."""
_SOME = 0.1
"""Share of the blocks that one has to stand for, to be worth a word."""
_NEW = 0.35
"""Distance from which on the looks of a block count as new."""


def explain_block(block: ChosenBlock, *, voted: bool, first: bool) -> tuple[str, str]:
    """Return in words what speaks for a block, and what its labels are for.

    Args:
        block: From `choose_blocks`.
        voted: Whether several methods were asked.
        first: Whether nothing was labelled.
    """
    reasons = []
    earlier = "suggested before it" if first else "labelled or suggested before it"
    if block.novelty >= 1 and block.serves >= 1:
        reasons.append("the most typical block")
    elif block.serves >= _SOME:
        reasons.append(f"{block.serves:.0%} of the blocks look more like it than like any {earlier}")
    if voted and block.disagreement_above >= _MUCH:
        reasons.append(f"the methods disagree more than in {block.disagreement_above:.0%} of the blocks")
    if block.doubt_above >= _MUCH:
        reasons.append(f"change is more doubtful than in {block.doubt_above:.0%} of the blocks")
    if _NEW <= block.novelty < 1:
        reasons.append(f"unlike every block {earlier} ({block.novelty:.2f} of 1)")
    if not reasons:
        reasons.append("a little of everything: looks, doubt and disagreement")
    if voted and block.disagreement_above >= _MUCH:
        use = "to settle what the methods disagree about"
    elif block.doubt_above >= _MUCH:
        use = "to sharpen the border between change and no change"
    elif block.serves >= _SOME:
        use = "to show what much of the territory looks like"
    else:
        use = "to show a look that no label shows" if block.novelty >= _NEW else "to cover more of the territory"
    return "; ".join(reasons), use


def scale_to_one(values: np.ndarray) -> np.ndarray:
    """Divide values (n,), at least 0, by the largest; where all are 0 they stay so."""
    top = values.max(initial=0.0)
    return np.asarray(values / top if top > 0 else values)


def _distances(roots: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Hellinger distances (n, m), 0..1, of shares (n, look) and (m, look), all given as square roots."""
    return np.asarray(np.sqrt(np.clip(1 - roots.astype(np.float32) @ others.T.astype(np.float32), 0.0, 1.0)))
