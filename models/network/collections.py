"""Chips of a collection for training and validation, read from the disk when they are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landshift.models.network.samples import HIDDEN_SHARE, Augmentation, augment, with_hidden_strip, with_other_radiometry
from landshift.pipeline.chips.layout import Chip
from landshift.pipeline.chips.read import ChipReader
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.tiles import Window

KEPT = 2_000_000
"""Labelled pixels of a split that are kept in memory, at most: of each chip as many."""


@dataclass(frozen=True, eq=False)
class CollectionSource:
    """Chips of one split, and how they are read."""

    reader: ChipReader
    """Gives the pixels as a model is given them."""
    chips: tuple[Chip, ...]
    """Of the split."""
    shapes: tuple[tuple[int, int], ...]
    """Rows and columns of each."""
    with_change: tuple[int, ...]
    """Positions of those with a changed pixel."""
    codes: tuple[int, ...]
    """The legend's codes in order, empty for a binary project."""

    def cut(self, images: tuple[np.ndarray, np.ndarray], labels: Labels, window: Window) -> dict[str, np.ndarray]:
        """Cut a window that may reach past the edges: `before`, `after` (band, y, x), and labels (y, x) as int64."""
        shape = labels.change.shape
        inside = window.clip((shape[0], shape[1]))
        place = inside.within(window).slices
        chip: dict[str, np.ndarray] = {}
        for name, image in zip(("before", "after"), images, strict=True):
            chip[name] = np.full((len(image), window.height, window.width), np.nan, dtype=np.float32)
            chip[name][(slice(None), *place)] = image[(slice(None), *inside.slices)]
        unseen = ~(np.isfinite(chip["before"]).all(axis=0) & np.isfinite(chip["after"]).all(axis=0))
        index = np.full(256, NOT_LABELLED, dtype=np.uint8)
        index[list(self.codes)] = np.arange(len(self.codes))
        layers = {"before": index[labels.before], "after": index[labels.after], "change": labels.change}
        for name, layer in layers.items():
            part = np.full((window.height, window.width), NOT_LABELLED, dtype=np.int64)
            part[place] = layer[inside.slices]
            part[unseen] = NOT_LABELLED
            chip[f"{name}_label"] = part
        return chip


class CollectionChips(Dataset[dict[str, Tensor]]):
    """Random windows of random chips, the same ones for the same seed and index; half of them from chips with change."""

    def __init__(
        self, source: CollectionSource, *, size: int = 128, count: int = 256, seed: int = 0,
        augmentation: Augmentation,
    ) -> None:  # fmt: skip
        """Remember the chips; no pixel is read yet.

        Args:
            source: Of the training split.
            size: Side of a window in pixels, a multiple of 32; what reaches past the edge of a chip is not observed.
            count: Windows in an epoch of training.
            seed: Which windows.
            augmentation: How much their light varies; they are also flipped and turned, and their dates swapped.
        """
        self._source, self._size, self._count, self._seed, self._augmentation = source, size, count, seed, augmentation

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one window, as `TrainingChips` does."""
        source, size, rng = self._source, self._size, np.random.default_rng((self._seed, index))
        wanted = bool(source.with_change) and rng.random() < 0.5
        number = int(source.with_change[rng.integers(len(source.with_change))] if wanted else rng.integers(len(source.chips)))
        before, after, labels = source.reader.read(source.chips[number])
        near = np.argwhere(labels.change == 1) if wanted else np.empty((0, 2))
        middle = near[rng.integers(len(near))] if len(near) else [rng.integers(n) for n in labels.change.shape]
        y, x = (_start(int(m), n, size, rng) for m, n in zip(middle, labels.change.shape, strict=True))
        chip = source.cut((before, after), labels, Window(y, x, size, size))
        chip = with_other_radiometry(chip, rng, self._augmentation)
        if rng.random() < HIDDEN_SHARE:
            chip = with_hidden_strip(chip, int(rng.integers(1, size // 2)))
        chip = augment(chip, int(rng.integers(4)), bool(rng.integers(2)), bool(rng.integers(2)))
        return _tensors(chip)


def _start(middle: int, length: int, size: int, rng: np.random.Generator) -> int:
    """Return where a window starts that holds a pixel, within the chip as far as there is room, and anywhere on it else."""
    if length <= size:
        return int(rng.integers(length - size, 1))
    return int(np.clip(middle - rng.integers(size // 8, size - size // 8), 0, length - size))


class CollectionTiles(Dataset[dict[str, Tensor]]):
    """All windows of all chips, for early stopping; of each the same few labelled pixels count, so that memory stays flat."""

    def __init__(self, source: CollectionSource, *, size: int = 128, kept: int = KEPT) -> None:
        """List the windows.

        Args:
            source: Of the validation split.
            size: Side of a window in pixels, a multiple of 32.
            kept: Labelled pixels of all windows together, at most.
        """
        self._source = source
        self._windows = [
            (number, Window(y, x, size, size))
            for number, (height, width) in enumerate(source.shapes)
            for y in range(0, height, size) for x in range(0, width, size)
        ]  # fmt: skip
        self._quota = max(kept // max(len(self._windows), 1), 1)
        self._last: tuple[int, tuple[np.ndarray, np.ndarray, Labels]] | None = None

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one window, as `TrainingChips` does."""
        number, window = self._windows[index]
        if self._last is None or self._last[0] != number:
            # The windows of a chip follow one another.
            self._last = number, self._source.reader.read(self._source.chips[number])
        before, after, labels = self._last[1]
        chip = self._source.cut((before, after), labels, window)
        names = [name for name in chip if name.endswith("_label")]
        known = np.flatnonzero(np.logical_or.reduce([chip[name] != NOT_LABELLED for name in names]))
        if len(known) > self._quota:
            left_out = np.random.default_rng(index).permutation(known)[self._quota :]
            for name in names:
                chip[name].flat[left_out] = NOT_LABELLED
        return _tensors(chip)


def _tensors(chip: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in chip.items()}


def source_of(reader: ChipReader, chips: Sequence[tuple[Chip, tuple[int, int], int]], codes: Sequence[int]) -> CollectionSource:
    """Return chips with their shapes (rows, columns) and changed pixels as a source of windows."""
    return CollectionSource(
        reader, tuple(c for c, _, _ in chips), tuple(s for _, s, _ in chips),
        with_change=tuple(i for i, (_, _, changed) in enumerate(chips) if changed), codes=tuple(codes),
    )  # fmt: skip
