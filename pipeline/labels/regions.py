"""Parts of a territory that are held out one after another, and label budgets within them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import maximum_filter

from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.search import NO_ROLE, TEST, TRAIN, VALIDATION
from landshift.pipeline.labels.values import NO_REGION
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import value_hash

_CELL = 4
"""Pixels: labels come in patches, so a share of them is drawn as small squares, not as single pixels."""


@dataclass(frozen=True, eq=False)
class Regions:
    """A division of the labelled pixels into parts that are far enough apart to be judged one by one."""

    index: np.ndarray
    """int16 (y, x): number of the region, -1 = no region."""
    names: tuple[str, ...]
    """One a region."""
    fold: tuple[int, ...]
    """The fold in which each region is held out; regions that labels name may share one."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: where the regions come from and what they cannot prove."""

    @property
    def folds(self) -> int:
        """Number of folds."""
        return max(self.fold, default=-1) + 1

    @cached_property
    def hash(self) -> str:
        """Hash of the division."""
        return value_hash([self.names, self.fold, hashlib.sha256(self.index.tobytes()).hexdigest()])

    def names_of(self, fold: int) -> tuple[str, ...]:
        """Return the names of the regions that a fold holds out."""
        return tuple(n for n, f in zip(self.names, self.fold, strict=True) if f == fold)


def block_index(y: np.ndarray, x: np.ndarray, width: int, side: int) -> np.ndarray:
    """Number the squares of `side` pixels that rows `y` and columns `x` lie in, row by row; `width` is in columns."""
    return np.asarray(y // side * -(-width // side) + x // side)


def regions_of(labels: Labels, count: int = 4, min_pixels: int = 50) -> Regions:
    """Divide a territory: by the regions that its labels name, else by cutting it into compact parts.

    The cuts go across the longer side, so that each part has about the same share of the changed and of the unchanged
    labels. A part without both could not be judged: then fewer are made.
    `count` is the most folds, `min_pixels` the changed, and unchanged, pixels that each region needs to be judged.

    Returns:
        At least one region. With a single one no claim about regions can be made; its note explains why.
    """
    if count > 1 and labels.region is not None and (labels.region >= 0).any():
        named = _use_named(labels, count, min_pixels)
        if named is not None:
            return named
    for parts in range(count, 1, -1):
        index = _bisect(labels.change, parts)
        if all(_is_enough(labels.change[index == part], min_pixels) for part in range(parts)):
            names = tuple(f"region {part + 1}" for part in range(parts))
            why = "name no regions" if labels.region is None else "name fewer than two regions that can be judged"
            note = f"The labels {why}: the territory is cut into {parts} parts with about as many labels each."
            return Regions(index, names, tuple(range(parts)), (note,))
    whole = np.where(labels.labelled, 0, NO_REGION).astype(np.int16)
    why = (
        f"The labels cannot be divided into two parts with {min_pixels} changed and {min_pixels} unchanged pixels each"
        if count > 1
        else "The territory was not to be divided"
    )
    note = f"{why}: there is one region only, and no regional claim can be made."
    return Regions(whole, ("the whole territory",), (0,), (note,))


def _use_named(labels: Labels, count: int, min_pixels: int) -> Regions | None:
    """Use the regions of the labels, where at least two can be judged; folds take them in turns, the largest first."""
    region = labels.region
    if region is None:
        return None
    good = [k for k in range(len(labels.region_names)) if _is_enough(labels.change[region == k], min_pixels)]
    if len(good) < 2:
        return None
    size = {k: int(((labels.change != NOT_LABELLED) & (region == k)).sum()) for k in good}
    folds, load = {}, [0] * min(count, len(good))
    for k in sorted(good, key=lambda k: (-size[k], k)):
        lightest = load.index(min(load))
        folds[k] = lightest
        load[lightest] += size[k]
    index = np.full(region.shape, NO_REGION, dtype=np.int16)
    for position, k in enumerate(good):
        index[region == k] = position
    left_out = [name for k, name in enumerate(labels.region_names) if k not in good]
    notes = [f"Regions are those that the labels name: {', '.join(labels.region_names[k] for k in good)}."]
    if left_out:
        notes.append(
            f"Left out, with fewer than {min_pixels} changed or unchanged pixels: {', '.join(left_out)}. Label more there."
        )
    return Regions(index, tuple(labels.region_names[k] for k in good), tuple(folds[k] for k in good), tuple(notes))


def _is_enough(change: np.ndarray, min_pixels: int) -> bool:
    return min(int((change == 0).sum()), int((change == 1).sum())) >= min_pixels


def _bisect(change: np.ndarray, parts: int) -> np.ndarray:
    """Cut the labelled pixels into parts of equal weight, each time across the longer side."""
    weight = np.zeros(change.shape)
    for value in (0, 1):
        known = change == value
        weight[known] = 1 / max(int(known.sum()), 1)
    index = np.full(change.shape, NO_REGION, dtype=np.int16)
    queue = [(0, change.shape[0], 0, change.shape[1], parts, 0)]
    while queue:
        top, bottom, left, right, wanted, first = queue.pop()
        if wanted == 1:
            known = change[top:bottom, left:right] != NOT_LABELLED
            index[top:bottom, left:right][known] = first
            continue
        rows, columns = (np.flatnonzero(weight[top:bottom, left:right].sum(axis=axis)) for axis in (1, 0))
        # By the extent of the labels, since a scene may be labelled in one corner only.
        tall = np.ptp(rows) >= np.ptp(columns) if len(rows) and len(columns) else True
        share = np.cumsum(weight[top:bottom, left:right].sum(axis=1 if tall else 0))
        cut = int(np.searchsorted(share, share[-1] * (wanted // 2) / wanted)) + 1
        one, other = (wanted // 2, first), (wanted - wanted // 2, first + wanted // 2)
        if tall:
            queue += [(top, top + cut, left, right, *one), (top + cut, bottom, left, right, *other)]
        else:
            queue += [(top, bottom, left, left + cut, *one), (top, bottom, left + cut, right, *other)]
    return index


def fold_roles(regions: Regions, labels: Labels, fold: int, buffer: int) -> np.ndarray:
    """Give each pixel its role when one fold is held out: the next fold validates, the others train.

    With two folds, a third of the other one validates. Pixels of another role within `buffer` pixels of a test pixel, then of
    a validation pixel, are not used.

    Returns:
        uint8 (y, x): `TRAIN`, `VALIDATION`, `TEST`, 255 = not used.

    Raises:
        ValueError: There is one fold only.
    """
    if regions.folds < 2:
        raise ValueError("One fold only: nothing can be held out.")
    of_pixel = np.array([*regions.fold, NO_REGION])[regions.index]
    role = np.where(of_pixel == NO_REGION, NO_ROLE, np.where(of_pixel == fold, TEST, TRAIN)).astype(np.uint8)
    if regions.folds == 2:
        rest = np.where(role == TRAIN, labels.change, NOT_LABELLED).astype(np.uint8)
        role[_bisect(rest, 3) == 0] = VALIDATION
    else:
        role[of_pixel == (fold + 1) % regions.folds] = VALIDATION
    for strong in (TEST, VALIDATION):
        near = maximum_filter((role == strong).astype(np.uint8), size=2 * buffer + 1, mode="constant") == 1
        role[near & (role < strong)] = NO_ROLE
    return role


def random_roles(labelled: np.ndarray, fractions: Sequence[float], seed: int = 0) -> np.ndarray:
    """Give labelled pixels their roles one by one, by chance: the split that flatters, kept to measure by how much.

    `fractions` of training, validation and test sum to 1.

    Returns:
        uint8 (y, x): `TRAIN`, `VALIDATION`, `TEST`, 255 = not labelled.
    """
    drawn = np.searchsorted(np.cumsum(fractions)[:-1], np.random.default_rng(seed).random(labelled.shape), side="right")
    return np.where(labelled, drawn, NO_ROLE).astype(np.uint8)


def with_fewer_labels(role: np.ndarray, labels: Labels, share: float, seed: int = 0) -> np.ndarray:
    """Keep a share (0..1) of the training and validation labels, as if no more had been drawn; the test stays whole.

    Labels are kept in squares of 4 pixels, an equal share of the squares that hold change and of those that do not. For one
    seed a smaller share is part of every larger one.

    Returns:
        uint8 (y, x), with 255 where a label was taken away.
    """
    if share >= 1:
        return role
    out = role.copy()
    height, width = role.shape
    cell = block_index(np.arange(height)[:, None], np.arange(width)[None, :], width, _CELL)
    for part in (TRAIN, VALIDATION):
        here = role == part
        changed = np.unique(cell[here & (labels.change == 1)])
        unchanged = np.setdiff1d(np.unique(cell[here]), changed)
        kept = []
        for number, stratum in enumerate((changed, unchanged)):
            order = np.random.default_rng((seed, part, number)).permutation(stratum)
            kept.append(order[: max(round(share * len(order)), 1)])
        out[here & ~np.isin(cell, np.concatenate(kept))] = NO_ROLE
    return out
