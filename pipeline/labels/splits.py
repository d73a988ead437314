"""Spatial blocks of labels for training, validation and test, kept apart, each with every class."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter

from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.search import NO_ROLE, ROLES, Groups, evaluate, group_pixels, search
from landshift.pipeline.legend import Legend


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


@dataclass(frozen=True)
class Splits:
    """Blocks of labelled pixels and their roles."""

    block: int
    """Side of a block in pixels."""
    buffer: int
    """Pixels along rows and columns: pixels of one role lie further than this from the blocks of a later one. Of a given
    split, nothing is taken away, and its notes count the pixels that lie nearer."""
    seed: int
    """Of the search; 0 where the split is given."""
    buffered: int
    """Labelled pixels lost to the buffer; of a given split, those without a role."""
    counts: Mapping[str, Mapping[str, int]]
    """Role to class (`Forest (before)`, `changed`) to pixels."""
    blocks: tuple[Block, ...]
    """The blocks that have labels, row by row; of a given split, a block is there once for each role in it."""
    by: str = "blocks"
    """`blocks`, or where a given split comes from: `column`, `folder` or `file`."""
    notes: tuple[str, ...] = ()
    """Sentences for a person, of a given split: how near the roles lie, and what is short."""


@dataclass(frozen=True, eq=False)
class DividedLabels:
    """Labels of a territory, and what each labelled pixel is for."""

    labels: Labels
    """Their `region` is there where the project names a column with regions."""
    role: np.ndarray
    """uint8 (y, x): `TRAIN`, `VALIDATION`, `TEST`, 255 = not labelled or in a buffer."""


def spatial_split(
    labels: Labels,
    legend: Legend,
    *,
    block: int = 64,
    buffer: int = 16,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    min_pixels: int = 50,
    seed: int = 0,
) -> tuple[np.ndarray, Splits]:
    """Split labelled pixels by blocks, so that a model is judged on places that it has not seen.

    Neighbouring pixels look alike; a split pixel by pixel judges memory (Roberts 2017, doi:10.1111/ecog.02881). Blocks
    are given to the roles so that every class of each date, and changed and unchanged, has enough pixels in each role
    and about its fraction of them, by a seeded local search from strips and random starts. The same arguments give the
    same split.

    Args:
        labels: Of the territory.
        legend: The classes.
        block: Side of a block in pixels, at least 1; larger than the patches of the land use.
        buffer: Pixels between roles: a training pixel lies further than this from every validation and test block, a
            validation pixel from every test block, along rows and columns. Those nearer are left out.
        fractions: Shares of train, validation and test, each above 0, together 1.
        min_pixels: Pixels of each class that each role must have, at least 1.
        seed: Of the search.

    Returns:
        uint8 (y, x) as `DividedLabels.role`, and the record of the blocks.

    Raises:
        InputError: An argument is out of range, or some class cannot be in every role; the message names the class, the
            number of blocks that it occurs in and what to do.
    """
    _require_arguments(block, buffer, fractions, min_pixels)
    names, groups = group_pixels(labels, legend, block, buffer)
    if not names:
        raise InputError("No pixel is labelled, so there is nothing to split.")
    present = np.unique(groups.block, axis=0)
    _require_possible(groups, names, present, min_pixels, block=block)
    roles = search(groups, present, np.asarray(fractions), min_pixels, rng=np.random.default_rng(seed))
    counts, kept = evaluate(groups, roles)
    short = counts.min(axis=0)
    if short.min() < min_pixels:
        worst = int(np.argmin(short))
        blocks, pixels = _spread_of(groups)[worst]
        raise InputError(
            f"{names[worst]!r} is labelled on {pixels} pixels in {blocks} blocks, but the best split found leaves "
            f"{int(short[worst])} of them for {ROLES[int(np.argmin(counts[:, worst]))]}, and {min_pixels} are needed. "
            f"{_remedy(block, buffer)}"
        )
    labelled, used = (np.zeros(roles.shape, dtype=np.int64) for _ in range(2))
    np.add.at(labelled, tuple(groups.block.T), groups.labelled)
    np.add.at(used, tuple(groups.block.T), groups.labelled * kept)
    return _paint(labels.labelled, roles, block, buffer), Splits(
        block=block,
        buffer=buffer,
        seed=seed,
        buffered=int((labelled - used).sum()),
        counts={role: dict(zip(names, counts[k].tolist(), strict=True)) for k, role in enumerate(ROLES)},
        blocks=tuple(Block(y, x, ROLES[roles[y, x]], int(labelled[y, x]), used=int(used[y, x])) for y, x in present.tolist()),
    )


def _require_arguments(block: int, buffer: int, fractions: tuple[float, float, float], min_pixels: int) -> None:
    if block < 1 or buffer < 0 or min_pixels < 1:
        raise InputError(
            f"Split with block {block}, buffer {buffer}, min_pixels {min_pixels}: expected block and min_pixels of at "
            "least 1, and a buffer of at least 0 pixels."
        )
    if len(fractions) != len(ROLES) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"Split fractions {fractions}: expected three numbers above 0 that sum to 1, such as 0.6, 0.2, 0.2.")


def _require_possible(groups: Groups, names: list[str], present: np.ndarray, min_pixels: int, block: int) -> None:
    """Refuse a class that no assignment can give to every role."""
    for name, (blocks, pixels) in zip(names, _spread_of(groups), strict=True):
        if blocks < len(ROLES) or pixels < len(ROLES) * min_pixels:
            raise InputError(
                f"{name!r} is labelled on {pixels} pixels in {blocks} of {len(present)} blocks; train, validation and "
                f"test each need {min_pixels} of its pixels, in blocks of their own. {_remedy(block, None)}"
            )


def _spread_of(groups: Groups) -> list[tuple[int, int]]:
    """Return, for each class, the number of blocks that it occurs in and its pixels."""
    return [(len(np.unique(groups.block[column > 0], axis=0)), int(column.sum())) for column in groups.pixels.T]


def _remedy(block: int, buffer: int | None) -> str:
    narrower = f" or a buffer below {buffer}" if buffer else ""
    return f"Use blocks smaller than {block} pixels{narrower}, label it in more places, or merge it with a similar class."


def _paint(known: np.ndarray, roles: np.ndarray, block: int, buffer: int) -> np.ndarray:
    """Return the role of each pixel, uint8 (y, x)."""
    height, width = known.shape
    spread = roles.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]
    # The blocks end with the last labels, the territory may go on.
    spread = np.pad(spread, ((0, height - spread.shape[0]), (0, width - spread.shape[1])), constant_values=NO_ROLE)
    # 255 would win every maximum: blocks without labels count as the first role, which nothing gives way to.
    rank = np.where(spread == NO_ROLE, 0, spread).astype(np.uint8)
    nearest = maximum_filter(rank, size=2 * buffer + 1, mode="nearest")
    return np.where(known & (nearest == rank), spread, NO_ROLE).astype(np.uint8)
