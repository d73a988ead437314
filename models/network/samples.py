"""Chips for training and validation: windows of two epochs with their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landshift.pipeline.epochs.matching import PairWindow
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.tiles import STRIDE, Window

_HAZY_SHARE = 0.25
"""Share of the training chips of which one date is hazy."""

_DARK = 1e-12

HIDDEN_SHARE = 0.25
"""Share of the training chips that look as if they reached past the edge of the scene."""


@dataclass(frozen=True)
class Augmentation:
    """How much the light of training chips varies."""

    date: float = 0.1
    """Standard deviation of the logarithm of gains, and of offsets in deviations of a band in the chip, apart for each date."""
    common: float = 0.0
    """The same for both dates alike, as another territory or sensor would show them."""
    gamma: float = 0.0
    """Standard deviation of how much a band's scale is bent, apart for each date."""
    haze: float = 0.0
    """Largest share of the contrast that haze takes from one date, 0..1."""


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


class ReadsPairs(Protocol):
    """Reads windows of a pair."""

    def read(self, window: Window, priors: Sequence[str] = ()) -> PairWindow:
        """Read a window of both dates."""


class HoldsPair(Protocol):
    """What chips are read from: a `PairSource`, or its pixels kept near (`cache.CachedPair`)."""

    def reader(self) -> ReadsPairs:
        """Return what reads it."""


class TrainingChips(Dataset[dict[str, Tensor]]):
    """Random chips around labelled pixels, the same ones for the same seed and index.

    Half of the chips are centred near a changed pixel, however rare change is; the others near a pixel of a class drawn
    evenly, so that a small class is seen as often as a large one.
    """

    def __init__(
        self,
        pair: HoldsPair,
        masks: Masks,
        *,
        priors: Sequence[str] = (),
        size: int = 128,
        count: int = 256,
        seed: int = 0,
        augmentation: Augmentation | None = Augmentation(),
    ) -> None:
        """Remember where the labelled pixels are; no pixel of the images is read yet.

        Args:
            pair: Both dates, as the network is given them.
            masks: Labels of the training split.
            priors: What the network is given beside them, of `matching.PRIORS`.
            size: Side of a chip in pixels, a multiple of 32.
            count: Chips in an epoch of training.
            seed: Which chips.
            augmentation: How much the light of the chips varies; they are also flipped and turned, their dates swapped, and
                strips hidden, all at random. None leaves chips as they are.

        Raises:
            InputError: The size is not a multiple of 32, or the split has no label.
        """
        if size <= 0 or size % STRIDE:
            raise InputError(f"training: chip: {size}; expected a multiple of {STRIDE}.")
        self._reader, self._priors = pair.reader(), tuple(priors)
        self._masks, self._size, self._count, self._seed, self._augmentation = masks, size, count, seed, augmentation
        changed = np.argwhere(masks.change == 1)
        strata = [np.argwhere(masks.before == c) for c in np.unique(masks.before[masks.before != NOT_LABELLED])]
        strata = strata or [np.argwhere(masks.change == 0)]
        self._changed = changed
        self._strata = [s for s in strata if len(s)]
        if not len(changed) and not self._strata:
            raise InputError("The training split has no labelled pixel; label more, or lower `split: block_px:`.")

    def __len__(self) -> int:
        """Return the number of chips in an epoch."""
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one chip: `before`, `after` (band, y, x), labels (y, x) as int64, and `priors` (prior, y, x) where wanted.

        Indices go on past the length: epoch x length + i is chip `i` of an epoch.
        """
        rng = np.random.default_rng((self._seed, index))
        pool = self._changed
        if not len(pool) or (self._strata and rng.random() < 0.5):
            pool = self._strata[rng.integers(len(self._strata))]
        y, x = pool[rng.integers(len(pool))] - rng.integers(self._size // 8, self._size - self._size // 8, 2)
        window = Window(int(y), int(x), self._size, self._size)
        chip = _chip(self._reader, self._masks, window, self._priors)
        if self._augmentation is not None:
            chip = with_other_radiometry(chip, rng, self._augmentation)
            if rng.random() < HIDDEN_SHARE:
                chip = with_hidden_strip(chip, int(rng.integers(1, self._size // 2)))
            chip = augment(chip, int(rng.integers(4)), bool(rng.integers(2)), bool(rng.integers(2)))
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in chip.items()}


class LabelledTiles(Dataset[dict[str, Tensor]]):
    """Every chip of a regular grid that holds a labelled pixel, for early stopping."""

    def __init__(self, pair: HoldsPair, masks: Masks, *, priors: Sequence[str] = (), size: int = 128) -> None:
        """List the chips.

        Args:
            pair: Both dates, as the network is given them.
            masks: Labels of one split.
            priors: What the network is given beside them, of `matching.PRIORS`.
            size: Side of a chip in pixels, a multiple of 32.
        """
        self._reader, self._priors = pair.reader(), tuple(priors)
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
        chip = _chip(self._reader, self._masks, self._windows[index], self._priors)
        return {k: torch.from_numpy(v) for k, v in chip.items()}


def _chip(reader: ReadsPairs, masks: Masks, window: Window, priors: Sequence[str]) -> dict[str, np.ndarray]:
    found = reader.read(window, priors)
    unseen = ~(np.isfinite(found.before).all(axis=0) & np.isfinite(found.after).all(axis=0))
    chip = {"before": found.before, "after": found.after}
    if found.priors is not None:
        chip["priors"] = found.priors
    for name in ("before", "after", "change"):
        mask = getattr(masks, name)
        inside = window.clip(mask.shape)
        part = np.full((window.height, window.width), NOT_LABELLED, dtype=np.uint8)
        part[inside.within(window).slices] = mask[inside.slices]
        part[unseen] = NOT_LABELLED
        chip[f"{name}_label"] = part.astype(np.int64)
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


def with_other_radiometry(
    chip: dict[str, np.ndarray], rng: np.random.Generator, augmentation: Augmentation
) -> dict[str, np.ndarray]:
    """Show a chip in another light: gains, offsets and gamma for each band of each date, for both dates alike, and haze.

    All is relative to the contrast of a band in the chip, so units do not matter. The priors stay: they belong to the pair, and
    its statistics would be taken anew in another light.

    Args:
        chip: With `before` and `after`, float32 (band, y, x), NaN = not observed.
        rng: Source of what varies.
        augmentation: How much.
    """
    light = _draw_light(rng, augmentation, len(chip["before"]))
    dates = chip["before"], chip["after"]
    varied = [np.empty(image.shape, np.float32) for image in dates]
    # Band by band: what is worked on stays near the processor.
    for band in range(len(dates[0])):
        images = [image[band] for image in dates]
        seen = [np.isfinite(image) for image in images]
        count = max(sum(int(np.count_nonzero(s)) for s in seen), 1)
        mean = _sum_seen(images, seen) / np.int64(count)
        away = [image - mean for image in images]
        deviation = np.sqrt(_sum_seen([a**2 for a in away], seen) / np.int64(count))
        for date, values in enumerate(away):
            values *= light.gain[date, band]
            values += light.offset[date, band] * deviation
            if light.bend is not None:
                # Bends the scale of a band: bright ground moves more than dark ground, or less.
                bent = (values**2 / np.maximum(deviation, _DARK) - deviation).clip(-9 * deviation, 9 * deviation)
                values += light.bend[date, band] * bent
            if date == light.hazy:
                values *= 1 - light.depth
                values += 2 * light.depth * deviation
            values += mean
            varied[date][band] = values
    return {**chip, "before": varied[0], "after": varied[1]}


@dataclass(frozen=True)
class _Light:
    """In which light a chip is shown."""

    gain: np.ndarray
    """float64 (date, band)."""
    offset: np.ndarray
    """float64 (date, band), in deviations of the band."""
    bend: np.ndarray | None
    """float64 (date, band)."""
    hazy: int | None
    """The date with haze, if any."""
    depth: float
    """Share of the contrast that haze takes."""


def _draw_light(rng: np.random.Generator, augmentation: Augmentation, bands: int) -> _Light:
    gain, offset = rng.normal(0, augmentation.date, (2, 2, bands)) + rng.normal(0, augmentation.common, (2, 1, bands))
    bend = rng.normal(0, augmentation.gamma, (2, bands)) if augmentation.gamma else None
    if augmentation.haze and rng.random() < _HAZY_SHARE:
        depth = rng.uniform(0, augmentation.haze)
        return _Light(np.exp(gain), offset, bend, hazy=int(rng.integers(2)), depth=depth)
    return _Light(np.exp(gain), offset, bend, hazy=None, depth=0.0)


def _sum_seen(images: Sequence[np.ndarray], seen: Sequence[np.ndarray]) -> np.floating:
    """Sum the seen values of one band of both dates."""
    before, after = (image.sum() if s.all() else np.where(s, image, 0).sum() for image, s in zip(images, seen, strict=True))
    total: np.floating = before + after
    return total


def with_hidden_strip(chip: dict[str, np.ndarray], depth: int) -> dict[str, np.ndarray]:
    """Hide the first rows of a chip in both dates, and their labels, as at the edge of a scene.

    What lies past an edge is filled with one value, which must not look like change to the pixels beside it.

    Args:
        chip: `before`, `after`, `priors` (band, y, x) and labels (y, x).
        depth: Rows to hide.
    """
    out = {k: v.copy() for k, v in chip.items()}
    for name, values in out.items():
        values[..., :depth, :] = NOT_LABELLED if name.endswith("_label") else np.nan
    return out
