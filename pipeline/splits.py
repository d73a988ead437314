"""Splits of the labels into train, validation and test: spatial blocks, kept apart, each with every class."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import maximum_filter

from pipeline.errors import InputError
from pipeline.labels import CHANGE_NAMES, Labels
from pipeline.legend import NOT_LABELLED, Legend

ROLES = ("train", "validation", "test")
"""By the value of `Splits.role`; where two are too near one another, the earlier one gives way."""

NO_ROLE = 255
"""Value of `Splits.role` for pixels that are not labelled, and for those in a buffer."""

_STARTS = 6
_PATIENCE = 12
_EVALUATIONS = (400, 12_000)
_WORK = 3_000_000_000
_DEFICIT_COST = 1000.0


@dataclass(frozen=True)
class Block:
    """A square of pixels with at least one label."""

    row: int
    """Row of blocks, from 0."""
    column: int
    """Column of blocks, from 0."""
    role: str
    """`train`, `validation` or `test`."""
    labelled: int
    """Labelled pixels in it, those in the buffer included."""
    used: int
    """Labelled pixels that keep the role."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Which labelled pixel is for what."""

    role: np.ndarray
    """uint8 (y, x): 0 = train, 1 = validation, 2 = test, 255 = not labelled or in a buffer."""
    blocks: tuple[Block, ...]
    """The blocks that have labels, row by row."""
    counts: Mapping[str, Mapping[str, int]]
    """Role to class (`Forest (before)`, `changed`) to pixels."""
    block: int
    """Side of a block in pixels."""
    buffer: int
    """Pixels along rows and columns: pixels of one role lie further than this from the blocks of a later one."""
    seed: int
    """Of the search."""

    @property
    def buffered(self) -> int:
        """Labelled pixels lost to the buffer."""
        return sum(b.labelled - b.used for b in self.blocks)

    def as_dict(self) -> dict[str, object]:
        """Return the record for JSON; without the pixels, which the blocks and the buffer give again."""
        return {
            "block": self.block,
            "buffer": self.buffer,
            "seed": self.seed,
            "buffered": self.buffered,
            "counts": {role: dict(of) for role, of in self.counts.items()},
            "blocks": [asdict(b) for b in self.blocks],
        }


@dataclass(frozen=True, eq=False)
class _Groups:
    """Labelled pixels that share their block and the blocks within the buffer, so they always share their fate."""

    block: np.ndarray
    """int (group, 2): row and column of the block."""
    reach: np.ndarray
    """int (group, 4): first and last row, first and last column of the blocks within the buffer."""
    pixels: np.ndarray
    """int (group, class): pixels of each class."""
    labelled: np.ndarray
    """int (group,): pixels."""


def spatial_split(
    labels: Labels,
    legend: Legend,
    *,
    block: int = 64,
    buffer: int = 16,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    min_pixels: int = 50,
    seed: int = 0,
) -> Splits:
    """Split labelled pixels by blocks, so that a model is judged on places that it has not seen.

    Neighbouring pixels look alike; a split pixel by pixel judges memory (Roberts 2017, doi:10.1111/ecog.02881). Blocks
    are given to the roles so that every class of each date, and changed and unchanged, has enough pixels in each role
    and about its fraction of them, by a seeded local search from strips and random starts. The same arguments give the
    same split.

    Args:
        labels: What is known.
        legend: The classes.
        block: Side of a block in pixels, at least 1; larger than the patches of the land use.
        buffer: Pixels between roles: a training pixel lies further than this from every validation and test block, a
            validation pixel from every test block, along rows and columns. Those nearer are left out.
        fractions: Shares of train, validation and test, each above 0, together 1.
        min_pixels: Pixels of each class that each role must have, at least 1.
        seed: Of the search.

    Raises:
        InputError: An argument is out of range, or some class cannot be in every role; the message names the class, the
            number of blocks that it occurs in and what to do.
    """
    _require_arguments(block, buffer, fractions, min_pixels)
    names, groups = _groups(labels, legend, block, buffer)
    if not names:
        raise InputError("No pixel is labelled, so there is nothing to split.")
    present = np.unique(groups.block, axis=0)
    _require_possible(groups, names, present, min_pixels, block)
    roles = _search(groups, present, np.asarray(fractions), min_pixels, np.random.default_rng(seed))
    counts, kept = _evaluate(groups, roles)
    _require_covered(groups, counts, names, min_pixels, block, buffer)
    labelled, used = (np.zeros(roles.shape, dtype=np.int64) for _ in range(2))
    np.add.at(labelled, tuple(groups.block.T), groups.labelled)
    np.add.at(used, tuple(groups.block.T), groups.labelled * kept)
    return Splits(
        role=_paint(labels.labelled, roles, block, buffer),
        blocks=tuple(
            Block(y, x, ROLES[roles[y, x]], int(labelled[y, x]), int(used[y, x])) for y, x in present.tolist()
        ),
        counts={role: dict(zip(names, counts[k].tolist(), strict=True)) for k, role in enumerate(ROLES)},
        block=block,
        buffer=buffer,
        seed=seed,
    )


def _require_arguments(block: int, buffer: int, fractions: tuple[float, float, float], min_pixels: int) -> None:
    if block < 1 or buffer < 0 or min_pixels < 1:
        raise InputError(
            f"Split with block {block}, buffer {buffer}, min_pixels {min_pixels}: expected block and min_pixels of at "
            "least 1, and a buffer of at least 0 pixels."
        )
    if len(fractions) != len(ROLES) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"Split fractions {fractions}: expected three numbers above 0 that sum to 1, such as 0.6, 0.2, 0.2."
        )


def _groups(labels: Labels, legend: Legend, block: int, buffer: int) -> tuple[list[str], _Groups]:
    """Return what occurs and must be in every role, and the groups; one row of blocks at a time, to save memory."""
    names = [f"{c.name} ({date})" for date in ("before", "after") for c in legend.classes] + list(CHANGE_NAMES)
    codes = [c.code for c in legend.classes]
    layers = [(labels.before, codes), (labels.after, codes), (labels.change, list(CHANGE_NAMES.values()))]
    (row_key, rows), (column_key, columns) = (_keys(n, block, buffer) for n in labels.change.shape)
    found: list[np.ndarray] = []
    for top in range(0, len(row_key), block):
        strip = slice(top, top + block)
        y, x = np.nonzero(np.logical_or.reduce([layer[strip] != NOT_LABELLED for layer, _ in layers]))
        first = int(row_key[top])
        key = (row_key[strip][y] - first) * len(columns) + column_key[x]
        size = (int(row_key[strip][-1]) - first + 1) * len(columns)
        counts = [np.bincount(key, minlength=size)]
        for layer, values in layers:
            here = layer[strip][y, x]
            counts += [np.bincount(key[here == v], minlength=size) for v in values]
        used = np.flatnonzero(counts[0])
        place = [rows[used // len(columns) + first], columns[used % len(columns)]]
        found.append(np.concatenate([*place, np.stack(counts, axis=1)[used]], axis=1))
    table = np.concatenate(found)
    pixels = table[:, 7:]
    occurs = pixels.sum(axis=0) > 0
    groups = _Groups(table[:, [0, 3]], table[:, [1, 2, 4, 5]], pixels[:, occurs], table[:, 6])
    return [name for name, has in zip(names, occurs.tolist(), strict=True) if has], groups


def _keys(length: int, block: int, buffer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a key for each position on an axis, and (key, 3): its block, the first and last within the buffer."""
    position = np.arange(length)
    first, last = np.maximum(position - buffer, 0), np.minimum(position + buffer, length - 1)
    table = np.stack([position, first, last], axis=1) // block
    places, key = np.unique(table, axis=0, return_inverse=True)
    return key.reshape(-1), places


def _evaluate(groups: _Groups, roles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (role, class) that remain, and bool (group,), which groups remain.

    Args:
        groups: The labelled pixels.
        roles: uint8 (block row, block column), 255 = no labels.
    """
    own = roles[groups.block[:, 0], groups.block[:, 1]]
    kept = np.ones(len(own), dtype=bool)
    for later in (1, 2):
        sums = np.zeros((roles.shape[0] + 1, roles.shape[1] + 1), dtype=np.int64)
        sums[1:, 1:] = (roles == later).cumsum(axis=0).cumsum(axis=1)
        y0, y1, x0, x1 = groups.reach.T
        near = sums[y1 + 1, x1 + 1] - sums[y0, x1 + 1] - sums[y1 + 1, x0] + sums[y0, x0]
        kept &= ~((own < later) & (near > 0))
    return np.stack([groups.pixels[kept & (own == k)].sum(axis=0) for k in range(len(ROLES))]), kept


def _search(
    groups: _Groups, present: np.ndarray, shares: np.ndarray, min_pixels: int, rng: np.random.Generator
) -> np.ndarray:
    """Return uint8 (block row, block column), the best of several starts, each improved block by block."""
    wanted = shares[:, None] * groups.pixels.sum(axis=0)

    holders = [np.unique(groups.block[column > 0], axis=0) for column in groups.pixels.T]

    def judge(roles: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the cost, and the blocks worth changing: those with the class that is shortest of pixels."""
        counts = _evaluate(groups, roles)[0]
        deficit = np.maximum(min_pixels - counts, 0).sum(axis=0)
        cost = float(_DEFICIT_COST * deficit.sum() / min_pixels + ((counts / wanted - 1) ** 2).mean())
        return cost, holders[int(deficit.argmax())] if deficit.any() else present

    # Many blocks are balanced without much search, and cost more to count.
    budget = int(np.clip(_WORK / groups.pixels.size, *_EVALUATIONS)) // _STARTS
    best, lowest = np.empty(0), np.inf
    for start in range(_STARTS):
        roles = _start(groups, present, shares, rng, strips=start % 2 == 0)
        now, pool = judge(roles)
        since, left = 0, budget
        while left and since < _PATIENCE * len(present):
            left -= 1
            trial = _step(roles, pool if rng.random() < 0.7 else present, present, rng)
            then, next_pool = judge(trial)
            since = 0 if then < now else since + 1
            if then <= now:
                roles, now, pool = trial, then, next_pool
        if now < lowest:
            best, lowest = roles, now
    return best


def _start(
    groups: _Groups, present: np.ndarray, shares: np.ndarray, rng: np.random.Generator, *, strips: bool
) -> np.ndarray:
    """Deal the blocks out: in strips across a random direction, which lose least to buffers, or at random."""
    roles = np.full(groups.reach.max(axis=0)[[1, 3]] + 1, NO_ROLE, dtype=np.uint8)
    angle = rng.uniform(0, 2 * np.pi)
    order = (
        np.argsort(present @ [np.sin(angle), np.cos(angle)], kind="stable") if strips else rng.permutation(len(present))
    )
    rank = (np.arange(len(present)) + 0.5) / len(present)
    roles[present[order, 0], present[order, 1]] = np.searchsorted(np.cumsum(shares)[:-1], rank)
    return roles


def _step(roles: np.ndarray, pool: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a block of the pool another role, or let it swap with any block."""
    trial = roles.copy()
    (y0, x0), (y1, x1) = pool[rng.integers(len(pool))], present[rng.integers(len(present))]
    if rng.random() < 0.5:
        trial[y0, x0] = (trial[y0, x0] + rng.integers(1, len(ROLES))) % len(ROLES)
    else:
        trial[y0, x0], trial[y1, x1] = roles[y1, x1], roles[y0, x0]
    return trial


def _require_possible(groups: _Groups, names: list[str], present: np.ndarray, min_pixels: int, block: int) -> None:
    """Refuse at once what no assignment can give."""
    for name, (blocks, pixels) in zip(names, _spread_of(groups), strict=True):
        if blocks < len(ROLES) or pixels < len(ROLES) * min_pixels:
            raise InputError(
                f"{name!r} is labelled on {pixels} pixels in {blocks} of {len(present)} blocks; train, validation and "
                f"test each need {min_pixels} of its pixels, in blocks of their own. {_remedy(block, None)}"
            )


def _require_covered(
    groups: _Groups, counts: np.ndarray, names: list[str], min_pixels: int, block: int, buffer: int
) -> None:
    short = counts.min(axis=0)
    if short.min() >= min_pixels:
        return
    worst = int(np.argmin(short))
    role = int(np.argmin(counts[:, worst]))
    blocks, pixels = _spread_of(groups)[worst]
    raise InputError(
        f"{names[worst]!r} is labelled on {pixels} pixels in {blocks} blocks, but the best split found leaves "
        f"{int(short[worst])} of them for {ROLES[role]}, and {min_pixels} are needed. {_remedy(block, buffer)}"
    )


def _spread_of(groups: _Groups) -> list[tuple[int, int]]:
    """Return, for each class, the number of blocks that it occurs in and its pixels."""
    return [(len(np.unique(groups.block[column > 0], axis=0)), int(column.sum())) for column in groups.pixels.T]


def _remedy(block: int, buffer: int | None) -> str:
    narrower = f" or a buffer below {buffer}" if buffer else ""
    return (
        f"Use blocks smaller than {block} pixels{narrower}, label it in more places, or merge it with a similar class."
    )


def _paint(known: np.ndarray, roles: np.ndarray, block: int, buffer: int) -> np.ndarray:
    """Return the role of each pixel, uint8 (y, x)."""
    height, width = known.shape
    spread = roles.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]
    # 255 would win every maximum: blocks without labels count as the first role, which nothing gives way to.
    rank = np.where(spread == NO_ROLE, 0, spread).astype(np.uint8)
    nearest = maximum_filter(rank, size=2 * buffer + 1, mode="nearest")
    return np.where(known & (nearest == rank), spread, NO_ROLE).astype(np.uint8)
