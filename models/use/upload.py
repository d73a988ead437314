"""Windows on their way to the device: as numbers of their files, which become values where the network is."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landshift.pipeline.raster.images import StoredWindow


@dataclass(frozen=True, eq=False)
class StagedWindow:
    """A window of one date in memory that a device can fetch from."""

    stored: StoredWindow
    """What it is of."""
    numbers: tuple[Tensor, ...]
    """One a band: (y, x) in the type of its file; page-locked where the device is a GPU."""
    seen: Tensor
    """bool (y, x): observed."""


def stage(stored: StoredWindow, device: torch.device) -> StagedWindow:
    """Return a window from which the device copies by itself, while the thread that asked it to goes on."""
    *numbers, seen = (torch.from_numpy(part) for part in (*stored.numbers, stored.seen))
    if device.type == "cuda":
        *numbers, seen = (part.pin_memory() for part in (*numbers, seen))
    return StagedWindow(stored, tuple(numbers), seen)


def values_of(staged: StagedWindow, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the values of a window, and where it was observed, both on the device.

    Returns:
        float32 (band, y, x), NaN where not observed: bit for bit `StoredWindow.values`; and bool (y, x).
    """
    seen = staged.seen.to(device, non_blocking=True)
    out = torch.empty((len(staged.numbers), *seen.shape), dtype=torch.float32, device=device)
    for numbers, factors, values in zip(staged.numbers, staged.stored.factors, out, strict=True):
        added, scale, offset = (float(np.float32(factor)) for factor in factors)
        # A device is sent two bytes a pixel, not four.
        values.copy_(numbers.to(device, non_blocking=True))
        if added:
            values += added
        values *= scale
        if offset:
            values += offset
        if numbers.is_floating_point():
            seen = seen & torch.isfinite(values)
    # A GPU would have to be waited for to know.
    if device.type == "cuda" or not seen.all():
        out.masked_fill_(~seen, torch.nan)
    return out, seen
