"""Values that describe a pixel: what both dates show there and around it, and what a pretrained encoder makes of it.

All of it is the same whichever date comes first, to the last bit, so that exchanging the dates changes no map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

WINDOWS = (3, 5, 9)
"""Sides in pixels of the neighbourhoods that means and deviations are taken over."""

COARSEST = 8
"""Stride of the coarsest map of the encoder that is looked at: cells beyond show more of the surroundings than of the pixel."""

ROWS = 64
"""Rows of a tile whose values are held at once."""


@dataclass(frozen=True, eq=False)
class Fields:
    """What is known of every pixel of a window, before it is cut into rows of values."""

    fine: Tensor
    """float32 (channel, y, x): what is known at full resolution."""
    coarse: tuple[Tensor, ...]
    """float32 (channel, row, column), one a map of the encoder."""

    @property
    def count(self) -> int:
        """How many values a pixel has."""
        return len(self.fine) + sum(len(m) for m in self.coarse)

    def at(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the values of pixels, float32 (n, value).

        Args:
            y: int64 (n,): rows within the window.
            x: int64 (n,): columns.
        """
        height, width = self.fine.shape[1:]
        # Cells and pixels share the corners of the window, not the centres of their first and last ones.
        centres = torch.stack([2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1], dim=-1).float()[None, None]
        found = [
            functional.grid_sample(m[None], centres, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0].T
            for m in self.coarse
        ]
        return torch.cat([self.fine[:, y, x].T, *found], dim=1)

    def rows(self) -> Iterator[Tensor]:
        """Yield the values of all pixels, row by row, some rows at a time."""
        height, width = self.fine.shape[1:]
        columns = torch.arange(width, device=self.fine.device)
        for first in range(0, height, ROWS):
            y = torch.arange(first, min(first + ROWS, height), device=self.fine.device)
            yield self.at(y.repeat_interleave(width), columns.repeat(len(y)))


def pair_fields(before: Sequence[Tensor], after: Sequence[Tensor], priors: Tensor | None) -> Fields:
    """Describe the pixels of two dates: their mean, how they differ, what is invariant to light, all of it also around them.

    Args:
        before: Maps (channel, y, x) of an encoder, the normalised bands first.
        after: As `before`.
        priors: float32 (prior, y, x), without NaN; None where the model takes none.
    """
    b, a = before[0].float(), after[0].float()
    difference, middle = a - b, (a + b) / 2
    fine = [difference.abs(), middle]
    if priors is not None:
        fine.append(priors)
    for side in WINDOWS:
        # Signed differences are averaged: what goes both ways within a window is noise.
        fine += [_mean(difference, side).abs(), _mean(middle, side), _deviation(difference, side)]
        fine.append((_deviation(a, side) - _deviation(b, side)).abs())
        if priors is not None:
            fine += [_mean(priors, side), _deviation(priors, side)]
    coarse = [(a - b).abs().float() for b, a in zip(_near(before), _near(after), strict=True)]
    return Fields(torch.cat(fine), tuple(coarse))


def date_fields(maps: Sequence[Tensor]) -> Fields:
    """Describe the pixels of one date: what they show, also around them.

    Args:
        maps: (channel, y, x) of an encoder, the normalised bands first.
    """
    image = maps[0].float()
    around = [part for side in WINDOWS for part in (_mean(image, side), _deviation(image, side))]
    return Fields(torch.cat([image, *around]), tuple(m.float() for m in _near(maps)))


def _near(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the maps that are fine enough, without those that have no channels."""
    height = maps[0].shape[1]
    return [m for m in maps[1:] if len(m) and height // m.shape[1] <= COARSEST]


def _mean(image: Tensor, side: int) -> Tensor:
    # Pixels past the edge of the window do not count.
    return functional.avg_pool2d(image[None], side, stride=1, padding=side // 2, count_include_pad=False)[0]


def _deviation(image: Tensor, side: int) -> Tensor:
    return (_mean(image**2, side) - _mean(image, side) ** 2).clamp(min=0).sqrt()
