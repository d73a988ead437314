"""One analysis-ready image from the scenes of an epoch, also moved by a part of a pixel."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from landshift.pipeline.epochs.observed import nothing_observed
from landshift.pipeline.epochs.rules import MOST_OBSERVED, STACKED, CompositeRule
from landshift.pipeline.grid import Grid, overlap_share, overlap_window
from landshift.pipeline.raster.open import keeping_open
from landshift.pipeline.raster.read import inspect, read_moved
from landshift.pipeline.raster.write import Layout, open_writer
from landshift.pipeline.scenes.image import read_scene
from landshift.pipeline.scenes.look import require_overlap
from landshift.pipeline.scenes.scene import Acquisition, Epoch, Scene, acquisitions
from landshift.pipeline.tiles import Window, pieces, strips

_EPOCH_DAY = "1970-01-01"
STACK_BYTES = 512 * 2**20
"""What the observations of one piece of the image may take, where a rule needs them all at once."""


@keeping_open()
def compose(
    epoch: Epoch,
    bands: Sequence[str],
    grid: Grid,
    image: Path,
    observation: Path,
    advance: Callable[[float], None] = lambda share: None,
    rule: CompositeRule = MOST_OBSERVED,
) -> float:
    """Write an epoch's image and its observation layer, piece by piece.

    A single scene is the smallest epoch. The order of the scenes does not matter, nor does a scene that observed nothing.

    Args:
        epoch: The scenes, of any tiles and UTM zones.
        bands: Which, in which order.
        grid: Where to.
        image: float32 GeoTIFF to write: one band each, NaN = not observed.
        observation: int32 GeoTIFF to write: band 1 how many acquisitions observed the pixel (tiles of one pass count once),
            band 2 the day of the scene used (days since 1970-01-01), for the median of the one nearest to it; -1 where not
            observed.
        advance: Called with the share done, 0..1.
        rule: `most-observed`: each pixel comes from the first scene that observed it, scenes with more observed pixels first,
            earlier dates where they tie. `least-cloudy`: the same, scenes with fewer clouds by their metadata first, else by
            the share of their cover that was not observed. `median`, `medoid`: of all acquisitions.

    Returns:
        Share of pixels observed, above 0, at most 1.

    Raises:
        InputError: No scene overlaps the grid, nothing was observed, or the values cannot be reflectance.
    """
    for scene in epoch.scenes:
        require_overlap(scene, grid)
    height, width = grid.shape
    groups = acquisitions(epoch.scenes)
    read = partial(_read_part, {s.id: overlap_window(grid, s.grid) for s in epoch.scenes}, bands, grid)
    by_rows = strips((height, width))
    if rule in STACKED:
        # A band of an observation is there three times, as read, in order and as a distance or the result.
        parts = pieces((height, width), STACK_BYTES // (12 * (len(bands) + 1) * len(groups)))
        fill = partial(_combine, groups, read, len(bands), STACKED[rule])
    else:
        parts = by_rows
        fill = partial(_take_first, groups, read, len(bands), _ranks(epoch.scenes, rule, bands, grid, strips=by_rows))
    units = epoch.scenes[0].sensor.units
    tags = {"DATES": " ".join(str(s.date) for s in epoch.scenes), "UNITS": units}
    layout = Layout(
        grid, len(bands), "float32", float("nan"), descriptions=tuple(bands), units=(units,) * len(bands), tags=tags
    )
    seen_layout = Layout(
        grid,
        2,
        "int32",
        -1,
        descriptions=("observation_count", "observation_day"),
        units=("scenes", f"days since {_EPOCH_DAY}"),
    )
    seen_pixels = 0
    with open_writer(image, layout) as write, open_writer(observation, seen_layout) as write_seen:
        for number, part in enumerate(parts, start=1):
            values, count, day = fill(part)
            seen_pixels += int((count > 0).sum())
            write(part, values)
            write_seen(part, np.stack([np.where(count > 0, count, -1), day]))
            advance(number / len(parts))
        if not seen_pixels:
            raise nothing_observed(epoch)
    return seen_pixels / (height * width)


_Filled = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of a window: float32 (band, y, x), NaN where not observed; int32 (y, x) how many acquisitions observed a pixel; int32 (y, x)
the day, -1 where not observed."""
_Read = Callable[[Scene, Window], np.ndarray | None]
"""Reads a window of a scene as `read_scene` does; None where the scene lies elsewhere."""


def _take_first(groups: Sequence[Acquisition], read: _Read, bands: int, ranks: Mapping[str, int], window: Window) -> _Filled:
    """Take each pixel from the scene of the lowest rank that observed it."""
    values = np.full((bands, window.height, window.width), np.nan, dtype=np.float32)
    count = np.zeros((window.height, window.width), dtype=np.int32)
    day, best = np.full_like(count, -1), np.full_like(count, len(ranks))
    for group in groups:
        observed_now = np.zeros(count.shape, dtype=bool)
        for scene in group:
            pixels = read(scene, window)
            if pixels is None:
                continue
            seen = np.isfinite(pixels[0])
            better = seen & (ranks[scene.id] < best)
            values[:, better] = pixels[:, better]
            day[better], best[better] = _day(scene), ranks[scene.id]
            observed_now |= seen
        count += observed_now
    return values, count, day


def _combine(
    groups: Sequence[Acquisition],
    read: _Read,
    bands: int,
    combine: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    window: Window,
) -> _Filled:
    """Combine all acquisitions; where tiles of one overlap, the first that observed a pixel stands for it."""
    stack = np.full((len(groups), bands, window.height, window.width), np.nan, dtype=np.float32)
    for values, group in zip(stack, groups, strict=True):
        for scene in group:
            pixels = read(scene, window)
            if pixels is not None:
                missing = np.isnan(values[0])
                values[:, missing] = pixels[:, missing]
    count = np.isfinite(stack[:, 0]).sum(axis=0, dtype=np.int32)
    composed, chosen = combine(stack)
    days = np.array([*(_day(group[0]) for group in groups), -1], dtype=np.int32)
    return composed, count, days[chosen]


def _day(scene: Scene) -> int:
    return int((np.datetime64(scene.date) - np.datetime64(_EPOCH_DAY)).astype(int))


def _read_part(
    reach: Mapping[str, Window], bands: Sequence[str], grid: Grid, scene: Scene, window: Window
) -> np.ndarray | None:
    """Read a window without asking the files of a scene that lies elsewhere; `reach` is what each scene can lie on."""
    return read_scene(scene, bands, grid, window) if reach[scene.id].meets(window) else None


def _ranks(
    scenes: Sequence[Scene], rule: CompositeRule, bands: Sequence[str], grid: Grid, strips: Sequence[Window]
) -> dict[str, int]:
    """Return scene to its place in line, from 0."""
    goodness = {"most-observed": _count_observed, "least-cloudy": _clear_percent}[rule]
    known = {s.id: goodness(s, bands, grid, strips) for s in scenes} if len(scenes) > 1 else {}
    inline = sorted(scenes, key=lambda s: (-known.get(s.id, 0), s.date, s.id))
    return {scene.id: place for place, scene in enumerate(inline)}


def _count_observed(scene: Scene, bands: Sequence[str], grid: Grid, strips: Sequence[Window]) -> float:
    reach = overlap_window(grid, scene.grid)
    parts = (read_scene(scene, bands[:1], grid, strip) for strip in strips if strip.meets(reach))
    return sum(int(np.isfinite(part).sum()) for part in parts)


def _clear_percent(scene: Scene, bands: Sequence[str], grid: Grid, strips: Sequence[Window]) -> float:
    if scene.cloud_cover is not None:
        return 100 - scene.cloud_cover
    covers = overlap_share(grid, scene.grid) * grid.shape[0] * grid.shape[1]
    return float(100 * _count_observed(scene, bands, grid, strips) / covers)


def write_aligned(image: Path, observation: Path, shift: tuple[float, float], target: Path, target_observation: Path) -> None:
    """Write an image and its observation layer again, everything moved back by a shift, strip by strip.

    `shift` is in pixels that things lie too far down and too far right.

    The image is resampled with cubic convolution, the observation layer takes the nearest pixel; a pixel is observed in both
    or in none.

    Raises:
        InputError: A file cannot be read.
        OSError: A file could not be written whole.
    """
    infos = [inspect(path) for path in (image, observation)]
    layouts = [
        Layout(
            i.grid, i.count, i.dtype, i.nodata, descriptions=i.descriptions, units=i.units,
            tags={**i.tags, "MOVED": f"{-shift[0]:.3f} {-shift[1]:.3f} pixels (y, x)"},
        )
        for i in infos
    ]  # fmt: skip
    height, width = infos[0].shape
    with open_writer(target, layouts[0]) as write, open_writer(target_observation, layouts[1]) as write_seen:
        for strip in strips((height, width)):
            values = read_moved(image, shift, strip, "cubic")
            seen = read_moved(observation, shift, strip, "nearest")
            unseen = ~np.isfinite(values).all(axis=0) | (seen < 0).any(axis=0)
            values[:, unseen] = np.nan
            seen[:, unseen] = -1
            write(strip, values)
            write_seen(strip, seen)
