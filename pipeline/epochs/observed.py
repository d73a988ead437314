"""What the images of a pair observed: shares of the region, and the day that each pixel shows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.images import ImageReader, ImageSource, open_readers
from landshift.pipeline.scenes.scene import Epoch
from landshift.pipeline.tiles import Window, spread_windows, strips

Observation = Path | date
"""Which day each pixel of an image shows: the observation layer beside it, whose band 2 holds days since 1970-01-01, or the one
day of its scene."""

_WHOLE = 2**22
"""Pixels of a region up to which every one is looked at."""
_EPOCH_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class Cover:
    """Shares of the region that were observed, 0..1."""

    before: float
    """Observed before."""
    after: float
    """Observed after."""
    both: float
    """Observed on both dates."""


def measure_cover(before: ImageReader, after: ImageReader) -> Cover:
    """Measure what was observed; in a region of more than 4 million pixels on windows spread over it."""
    shape = before.info.shape
    work = strips(shape) if shape[0] * shape[1] <= _WHOLE else spread_windows(shape)
    count = np.zeros(4, dtype=np.int64)
    for window in work:
        count += count_observed(before.read(window), after.read(window))
    return cover_of(count)


def count_observed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Count the pixels of a window of both dates (band, y, x): observed before, after, on both, and all; int64 (4,)."""
    first, second = np.isfinite(before[0]), np.isfinite(after[0])
    return np.array([first.sum(), second.sum(), (first & second).sum(), first.size], dtype=np.int64)


def cover_of(count: np.ndarray) -> Cover:
    """Turn what `count_observed` counted into shares."""
    before, after, both = (float(n) / max(int(count[3]), 1) for n in count[:3])
    return Cover(before, after, both)


def require_observed(epoch: Epoch, image: ImageSource) -> None:
    """Refuse an image of which no pixel was observed.

    Raises:
        InputError: Names the epoch and its dates, and what to check.
    """
    with open_readers(image) as (reader,):
        shape = reader.info.shape
        # Hardly ever is more than the first window read.
        if any(np.isfinite(reader.read(window)[0]).any() for window in (*spread_windows(shape), *strips(shape))):
            return
    raise nothing_observed(epoch)


def nothing_observed(epoch: Epoch) -> InputError:
    """Return the error of an epoch of which no pixel was observed."""
    dates = " ".join(str(s.date) for s in epoch.scenes)
    return InputError(
        f"Epoch {epoch.name} ({dates}): no pixel was observed; every one is nodata, cloud or outside. "
        f"Check `sensor: nodata:` and `scenes: clouds: mask:` against {epoch.scenes[0].paths[0]}, or widen the epoch."
    )


@contextmanager
def open_observations(observations: Sequence[Observation]) -> Iterator[tuple[ImageReader | date, ...]]:
    """Open the observation layers of both dates; they are closed whatever happens.

    Raises:
        InputError: A file cannot be read.
    """
    with ExitStack() as stack:
        yield tuple(stack.enter_context(open_readers(seen))[0] if isinstance(seen, Path) else seen for seen in observations)


def read_days(days: Sequence[ImageReader | date], images: Sequence[np.ndarray], window: Window) -> np.ndarray:
    """Return the later of the days that both images show, int32 (y, x) in days since 1970-01-01, -1 where neither shows one.

    Args:
        days: Of both dates, as `open_observations` opens them.
        images: (band, y, x) of the window, NaN where not observed.
        window: Inside the grid.
    """
    found = [
        np.where(np.isfinite(image[0]), np.int32((seen - _EPOCH_DAY).days), np.int32(-1))
        if isinstance(seen, date)
        else np.nan_to_num(seen.read(window)[1], nan=-1).astype(np.int32)
        for seen, image in zip(days, images, strict=True)
    ]
    return np.asarray(np.maximum(*found))
