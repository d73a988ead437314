"""Search for the best way to give blocks of labelled pixels to train, validation and test.

Pixels are counted once in groups that always share their role, so that a trial costs no look at the picture.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.values import CHANGE_NAMES
from landshift.pipeline.legend import NOT_LABELLED, Legend

ROLES = ("train", "validation", "test")
"""Names of the roles, by number; where two are too near one another, the earlier one gives way."""

TRAIN, VALIDATION, TEST = range(len(ROLES))
"""Their numbers."""

NO_ROLE = 255
"""Number for pixels that are not labelled, and for those in a buffer."""

_STARTS = 6
_PATIENCE = 12
_EVALUATIONS = (400, 12_000)
_WORK = 3_000_000_000
_DEFICIT_COST = 1000.0
_TESTS = 1 << 32
_LATER = np.zeros(256, dtype=np.int64)
_LATER[[VALIDATION, TEST]] = 1, _TESTS
"""What a block of each role adds to the later blocks nearby; there are fewer than 2 ** 32 validation blocks."""
_MOST = np.array([0, _TESTS - 1, np.iinfo(np.int64).max])
"""How much of that each role may have nearby: nothing, no test block, anything."""
_NUMBERS = np.arange(len(ROLES))[:, None]


@dataclass(frozen=True, eq=False)
class Groups:
    """Labelled pixels that share their block and the blocks within the buffer, and so their role."""

    block: np.ndarray
    """int (group, 2): row and column of the block."""
    reach: np.ndarray
    """int (group, 4): first and last row, first and last column of the blocks within the buffer."""
    pixels: np.ndarray
    """int (group, class): pixels of each class."""
    labelled: np.ndarray
    """int (group,): pixels."""

    @cached_property
    def places(self) -> np.ndarray:
        """Return places, int (5, group): of the block in the table of roles, and the corners of its reach in a table of sums.

        The table of sums has a row and a column more, before the others. Its corners are the last one, the upper right, upper
        left and lower left. Places are counted row by row.
        """
        y0, y1, x0, x1 = self.reach.T
        wide = int(self.reach[:, 3].max()) + 1
        sums = wide + 1
        return np.stack([
            self.block[:, 0] * wide + self.block[:, 1],
            (y1 + 1) * sums + x1 + 1, y0 * sums + x1 + 1, y0 * sums + x0, (y1 + 1) * sums + x0,
        ])  # fmt: skip

    @cached_property
    def exact_pixels(self) -> np.ndarray:
        """Return `pixels` as float64 (group, class)."""
        return self.pixels.astype(np.float64)


def group_pixels(labels: Labels, legend: Legend, block: int, buffer: int) -> tuple[list[str], Groups]:
    """Return the classes that occur and must be in every role, and the groups; row of blocks by row, to save memory."""
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
    groups = Groups(table[:, [0, 3]], table[:, [1, 2, 4, 5]], pixels[:, occurs], table[:, 6])
    return [name for name, has in zip(names, occurs.tolist(), strict=True) if has], groups


def _keys(length: int, block: int, buffer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a key for each position on an axis, and (key, 3): its block, the first and last within the buffer."""
    position = np.arange(length)
    first, last = np.maximum(position - buffer, 0), np.minimum(position + buffer, length - 1)
    table = np.stack([position, first, last], axis=1) // block
    places, key = np.unique(table, axis=0, return_inverse=True)
    return key.reshape(-1), places


def search(groups: Groups, present: np.ndarray, shares: np.ndarray, min_pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Return uint8 (block row, block column), the best of several starts, each improved block by block."""
    wanted = shares[:, None] * groups.pixels.sum(axis=0)

    holders = [np.unique(groups.block[column > 0], axis=0) for column in groups.pixels.T]

    def judge(roles: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the cost, and the blocks worth changing: those with the class that is shortest of pixels."""
        counts = evaluate(groups, roles)[0]
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


def _start(groups: Groups, present: np.ndarray, shares: np.ndarray, rng: np.random.Generator, *, strips: bool) -> np.ndarray:
    """Deal the blocks out: in strips across a random direction, which lose least to buffers, or at random."""
    roles = np.full(groups.reach.max(axis=0)[[1, 3]] + 1, NO_ROLE, dtype=np.uint8)
    angle = rng.uniform(0, 2 * np.pi)
    order = np.argsort(present @ [np.sin(angle), np.cos(angle)], kind="stable") if strips else rng.permutation(len(present))
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


def evaluate(groups: Groups, roles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (role, class) that remain, and bool (group,), which groups remain.

    Args:
        groups: The labelled pixels.
        roles: uint8 (block row, block column), 255 = no labels.
    """
    block, last, above, corner, before = groups.places
    own = roles.reshape(-1)[block]
    # How many blocks of each later role lie within the buffer: both in one number, from one table of sums.
    sums = np.zeros((roles.shape[0] + 1, roles.shape[1] + 1), dtype=np.int64)
    _LATER[roles].cumsum(axis=0).cumsum(axis=1, out=sums[1:, 1:])
    flat = sums.reshape(-1)
    kept = flat[last] - flat[above] - flat[before] + flat[corner] <= _MOST[own]
    # Whole numbers below 2 ** 53 are exact, and multiplied faster than integers.
    return (((own == _NUMBERS) & kept).astype(np.float64) @ groups.exact_pixels).astype(np.int64), kept
