"""Chips for training and for judging: windows of two epochs with the labels that belong to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.errors import InputError
from pipeline.labels import Labels
from pipeline.legend import NOT_LABELLED
from pipeline.raster import RasterReader
from pipeline.tiles import STRIDE, Window


@dataclass(frozen=True)
class Masks:
    """Labels restricted to one split."""

    before: np.ndarray
    """uint8 (y, x): index of the class before (0 for the first class of the legend), 255 = not labelled."""
    after: np.ndarray
    """uint8 (y, x): index of the class after, 255 = not labelled."""
    change: np.ndarray
    """uint8 (y, x): 0 = unchanged, 1 = changed, 255 = not labelled."""

    @property
    def labelled(self) -> np.ndarray:
        """bool (y, x): where at least one of the three is labelled."""
        return (self.change != NOT_LABELLED) | (self.before != NOT_LABELLED) | (self.after != NOT_LABELLED)


def masks_of(labels: Labels, role: np.ndarray, wanted: int, codes: Sequence[int]) -> Masks:
    """Keep the labels of one split, with class codes turned into indices.

    Args:
        labels: Of the whole region.
        role: uint8 (y, x), the split of each pixel.
        wanted: Which split to keep.
        codes: The legend's codes in order, empty for a binary project.
    """
    index = np.full(256, NOT_LABELLED, dtype=np.uint8)
    for position, code in enumerate(codes):
        index[code] = position
    inside = role == wanted
    kept = [np.where(inside, a, NOT_LABELLED).astype(np.uint8) for a in (labels.before, labels.after, labels.change)]
    return Masks(index[kept[0]], index[kept[1]], kept[2])


class TrainingChips(Dataset[dict[str, Tensor]]):
    """Random chips around labelled pixels, the same ones for the same seed and index.

    Half of the chips are centred near a changed pixel, however rare change is; the others near a pixel of a class drawn
    evenly, so that a small class is seen as often as a large one.
    """

    def __init__(
        self, before: Path, after: Path, masks: Masks, *, size: int = 128, count: int = 256, seed: int = 0, augment: bool = True
    ) -> None:
        """Remember where the labelled pixels are; no pixel of the images is read yet.

        Args:
            before: Image of the epoch before.
            after: Image of the epoch after, on the same grid.
            masks: Labels of the training split.
            size: Side of a chip in pixels, a multiple of 32.
            count: Chips in an epoch of training.
            seed: Which chips.
            augment: Flip, turn and swap the dates at random.

        Raises:
            InputError: The size is not a multiple of 32, or the split has no label.
        """
        if size <= 0 or size % STRIDE:
            raise InputError(f"training: chip: {size}; expected a multiple of {STRIDE}.")
        self._readers = (RasterReader(before), RasterReader(after))
        self._masks, self._size, self._count, self._seed, self._augment = masks, size, count, seed, augment
        changed = np.argwhere(masks.change == 1)
        strata = [np.argwhere(masks.before == c) for c in np.unique(masks.before[masks.before != NOT_LABELLED])]
        strata = strata or [np.argwhere(masks.change == 0)]
        self._changed = changed
        self._strata = [s for s in strata if len(s)]
        if not len(changed) and not self._strata:
            raise InputError("The training split has no labelled pixel; label more, or use smaller blocks.")

    def __len__(self) -> int:
        """Return the number of chips in an epoch."""
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one chip: `before`, `after` (band, y, x) and their labels (y, x) as int64.

        Indices go on past the length: epoch x length + i is chip `i` of an epoch.
        """
        rng = np.random.default_rng((self._seed, index))
        pool = self._changed
        if not len(pool) or (self._strata and rng.random() < 0.5):
            pool = self._strata[rng.integers(len(self._strata))]
        y, x = pool[rng.integers(len(pool))] - rng.integers(self._size // 8, self._size - self._size // 8, 2)
        window = Window(int(y), int(x), self._size, self._size)
        chip = _chip(self._readers, self._masks, window)
        if self._augment:
            chip = augmented(chip, int(rng.integers(4)), bool(rng.integers(2)), bool(rng.integers(2)))
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in chip.items()}


class LabelledTiles(Dataset[dict[str, Tensor]]):
    """Every chip of a regular grid that holds a labelled pixel, for early stopping."""

    def __init__(self, before: Path, after: Path, masks: Masks, size: int = 128) -> None:
        """List the chips.

        Args:
            before: Image of the epoch before.
            after: Image of the epoch after, on the same grid.
            masks: Labels of one split.
            size: Side of a chip in pixels, a multiple of 32.
        """
        self._readers = (RasterReader(before), RasterReader(after))
        self._masks = masks
        labelled = masks.labelled
        height, width = labelled.shape
        windows = [Window(y, x, size, size) for y in range(0, height, size) for x in range(0, width, size)]
        self._windows = [w for w in windows if labelled[w.clipped((height, width)).slices].any()]

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self._windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one chip, as `TrainingChips` does."""
        return {k: torch.from_numpy(v) for k, v in _chip(self._readers, self._masks, self._windows[index]).items()}


def _chip(readers: tuple[RasterReader, RasterReader], masks: Masks, window: Window) -> dict[str, np.ndarray]:
    before, after = (r.read(window) for r in readers)
    seen = np.isfinite(before[0]) & np.isfinite(after[0])
    chip = {"before": before, "after": after}
    for name in ("before", "after", "change"):
        mask = getattr(masks, name)
        inside = window.clipped(mask.shape)
        part = np.full((window.height, window.width), NOT_LABELLED, dtype=np.int64)
        part[inside.within(window).slices] = mask[inside.slices]
        part[~seen] = NOT_LABELLED
        chip[f"{name}_label"] = part
    return chip


def augmented(chip: dict[str, np.ndarray], quarters: int, flip: bool, swap: bool) -> dict[str, np.ndarray]:
    """Turn a chip by quarters, mirror it, and swap its dates.

    None of these changes what is true: a map has no preferred direction, and a change read backwards is the change from
    `to` to `from`.
    """
    out = {k: np.rot90(v, quarters, axes=(-2, -1)) for k, v in chip.items()}
    if flip:
        out = {k: v[..., ::-1] for k, v in out.items()}
    if swap:
        names = {"before": "after", "after": "before", "before_label": "after_label", "after_label": "before_label"}
        out = {names.get(k, k): v for k, v in out.items()}
    return out
