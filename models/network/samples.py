"""Chips for training and validation: windows of two epochs with their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.read import RasterReader
from landshift.pipeline.tiles import STRIDE, Window

_RADIOMETRY = 0.1
"""Standard deviation of gains (relative to 1) and of offsets (relative to a band's contrast in the chip)."""

_HIDDEN_SHARE = 0.25
"""Share of the training chips that look as if they reached past the edge of the scene."""


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
        """Bool (y, x): where at least one of the three is labelled."""
        return np.asarray((self.change != NOT_LABELLED) | (self.before != NOT_LABELLED) | (self.after != NOT_LABELLED))


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
            augment: Flip, turn and swap the dates, vary the radiometry of each date, and hide strips, all at random.

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
            chip = with_other_radiometry(chip, rng, _RADIOMETRY)
            if rng.random() < _HIDDEN_SHARE:
                chip = with_hidden_strip(chip, int(rng.integers(1, self._size // 2)))
            chip = augment(chip, int(rng.integers(4)), bool(rng.integers(2)), bool(rng.integers(2)))
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
        self._windows = [w for w in windows if labelled[w.clip((height, width)).slices].any()]

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self._windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one chip, as `TrainingChips` does."""
        return {k: torch.from_numpy(v) for k, v in _chip(self._readers, self._masks, self._windows[index]).items()}


def _chip(readers: tuple[RasterReader, RasterReader], masks: Masks, window: Window) -> dict[str, np.ndarray]:
    before, after = (r.read(window) for r in readers)
    seen = np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    chip = {"before": before, "after": after}
    for name in ("before", "after", "change"):
        mask = getattr(masks, name)
        inside = window.clip(mask.shape)
        part = np.full((window.height, window.width), NOT_LABELLED, dtype=np.int64)
        part[inside.within(window).slices] = mask[inside.slices]
        part[~seen] = NOT_LABELLED
        chip[f"{name}_label"] = part
    return chip


def augment(chip: dict[str, np.ndarray], quarters: int, flip: bool, swap: bool) -> dict[str, np.ndarray]:
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


def with_other_radiometry(chip: dict[str, np.ndarray], rng: np.random.Generator, strength: float) -> dict[str, np.ndarray]:
    """Give each band of each date a gain and an offset of its own, as another sun, haze or sensor would.

    Both are relative to the contrast of the band in the chip, so units do not matter: values become
    `mean + gain x (value - mean) + offset x deviation`, with mean and deviation over both dates.

    Args:
        chip: With `before` and `after`, float32 (band, y, x), NaN = not observed.
        rng: Source of gains and offsets.
        strength: Standard deviation of gains around 1, and of offsets in deviations of the band; 0 changes nothing.
    """
    dates = np.stack([chip["before"], chip["after"]])
    seen = np.isfinite(dates)
    count = np.maximum(seen.sum(axis=(0, 2, 3)), 1)[:, None, None]
    mean = np.where(seen, dates, 0).sum(axis=(0, 2, 3))[:, None, None] / count
    deviation = np.sqrt((np.where(seen, dates - mean, 0) ** 2).sum(axis=(0, 2, 3))[:, None, None] / count)
    gain, offset = rng.normal(0, strength, (2, *dates.shape[:2], 1, 1))
    varied = (mean + (1 + gain) * (dates - mean) + offset * deviation).astype(np.float32)
    return {**chip, "before": varied[0], "after": varied[1]}


def with_hidden_strip(chip: dict[str, np.ndarray], depth: int) -> dict[str, np.ndarray]:
    """Hide the first rows of a chip in both dates, and their labels, as at the edge of a scene.

    What lies past an edge is filled with one value, which must not look like change to the pixels beside it.

    Args:
        chip: `before`, `after` (band, y, x) and labels (y, x).
        depth: Rows to hide.
    """
    out = {k: v.copy() for k, v in chip.items()}
    for name, values in out.items():
        values[..., :depth, :] = NOT_LABELLED if name.endswith("_label") else np.nan
    return out
