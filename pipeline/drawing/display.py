"""Images for the eye: both dates in true colour, stretched to be seen, as rasters that any GIS shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.read import inspect, open_readers, read_preview
from landshift.pipeline.raster.write import Layout, open_writer, write_cog
from landshift.pipeline.tiles import strips

NOT_SEEN = 0
"""Number of pixels that were not observed; the others have 1..255."""

_LOOK = 900

_PERCENTILES = (1, 99)

_GAMMA = 0.8
"""Below 1, to lift forests and shadows out of the black."""


@dataclass(frozen=True)
class Stretch:
    """How values become colours."""

    bands: tuple[int, int, int]
    """Bands of the image, from 1, that are shown as red, green and blue."""
    low: tuple[float, float, float]
    """Value that is shown darkest, one a colour."""
    high: tuple[float, float, float]
    """Value that is shown brightest, one a colour."""


def stretches_of(before: Path, after: Path, *, comparable: bool) -> tuple[Stretch, Stretch]:
    """Choose the bands and the range of values that show both images best.

    Args:
        before: Analysis-ready GeoTIFF with band descriptions; without red, green and blue its first bands are shown.
        after: The same after.
        comparable: Whether the same number means the same on both dates, as in reflectance. Then both get one range, so that a
            difference in the pictures is one on the ground. Digital numbers depend on sun and haze: each date gets its own
            range, or one of the pictures would be too dark to judge.
    """
    names = list(inspect(before).descriptions)
    named = [names.index(n) + 1 for n in ("red", "green", "blue") if n in names]
    red, green, blue = named if len(named) == 3 else [min(i, len(names)) for i in (1, 2, 3)]
    looks = [read_preview(path, (red, green, blue), _LOOK).astype(np.float32) for path in (before, after)]
    seen = [look[:, np.isfinite(look).all(axis=0)] for look in looks]
    if comparable:
        seen = [np.concatenate(seen, axis=1)] * 2
    first, second = (Stretch((red, green, blue), *_range(values)) for values in seen)
    return first, second


def _range(seen: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Darkest and brightest value of each colour of the pixels seen (3, n)."""
    low, high = np.percentile(seen if seen.shape[1] else np.zeros((3, 1)), _PERCENTILES, axis=1).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def shown(values: np.ndarray, stretch: Stretch) -> np.ndarray:
    """Turn values into colours.

    Args:
        values: float32 (3, y, x), NaN = not observed.
        stretch: The range of each.

    Returns:
        uint8 (3, y, x), 1..255, and 0 in all three where one of them was not observed.
    """
    low, high = (np.asarray(limit, dtype=np.float32)[:, None, None] for limit in (stretch.low, stretch.high))
    share = np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1)
    colours = np.rint(1 + 254 * np.nan_to_num(share) ** _GAMMA).astype(np.uint8)
    colours[:, ~np.isfinite(values).all(axis=0)] = NOT_SEEN
    return np.asarray(colours)


def write_image(path: Path, image: Path, stretch: Stretch, grid: Grid, tags: Mapping[str, str], names: Sequence[str]) -> Path:
    """Write an image as a cloud-optimised GeoTIFF of three colours, strip by strip.

    Args:
        path: The file to make.
        image: Analysis-ready GeoTIFF, NaN = not observed.
        stretch: From `stretches_of`.
        grid: Where the pixels are.
        tags: Dataset tags.
        names: Descriptions of the three bands.
    """
    plain = path.with_name(f"plain_{path.name}")
    chosen = [band - 1 for band in stretch.bands]
    layout = Layout(grid, 3, "uint8", NOT_SEEN, tuple(names), ("display value",) * 3, tags=tags)
    try:
        with open_readers(image) as (reader,), open_writer(plain, layout) as write:
            for strip in strips(grid.shape.yx):
                write(strip, shown(reader.read(strip)[chosen], stretch))
        return write_cog(path, plain, categorical=False)
    finally:
        plain.unlink(missing_ok=True)
