"""Scenes chosen for each epoch, and the grid and the bands that they share."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from shapely import box as box_of
from shapely.affinity import scale

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import (
    Bounds,
    Grid,
    bounds_of,
    common_grid,
    common_part,
    crs_name,
    describe_resampling,
    grid_around,
    grid_in_metres,
    grid_line,
    overlap_share,
)
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.scenes.season import Season, outside

_FULL, _HALF = 0.95, 0.5
"""Shares of a rectangle: covered well enough as it is; and the least that is left when it is shrunk."""


def choose_epoch(
    name: str,
    start: date,
    end: date,
    scenes: Sequence[Scene],
    *,
    source: str = "the folder",
    season: Season | None = None,
    others: Iterable[date] = (),
) -> Epoch:
    """Choose the scenes whose date lies in a range, and in a season where there is one.

    For errors: `source`, where the scenes come from, and `others`, the days of what was left out because of its season.

    Raises:
        InputError: The range is empty or holds no scene; the message lists the dates that there are.
    """
    if end < start:
        raise InputError(f"Epoch {name} runs from {start} to {end}; expected the first day before the last.")
    dated = [s for s in scenes if start <= s.date <= end]
    chosen = tuple(s for s in dated if not outside(season, s.date))
    off_season = sorted({s.date for s in dated} | {day for day in others if start <= day <= end})
    if not chosen and off_season:
        raise InputError(
            f"No scene from {start} to {end} for epoch {name} lies in the season ({season}); {source} has "
            f"{', '.join(map(str, off_season))} there. Widen `epochs: season:` or `epochs: {name}:`."
        )
    if not chosen:
        there = ", ".join(sorted({str(s.date) for s in scenes}))
        raise InputError(
            f"No scene from {start} to {end} for epoch {name}; {source} has {there or 'none'}. Widen `epochs: {name}:`."
        )
    return Epoch(name, start, end, chosen)


def require_pair(before: Epoch, after: Epoch) -> None:
    """Refuse two epochs that cannot be compared.

    Raises:
        InputError: The dates do not ascend, or share a scene.
    """
    last, first = max(s.date for s in before.scenes), min(s.date for s in after.scenes)
    if last >= first:
        raise InputError(
            f"Epoch before ends with {last} and epoch after begins with {first}; the dates must ascend. Correct `epochs:`."
        )


def common_bands(epochs: Sequence[Epoch], wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the bands that every scene has, in the order of the first scene, or in the order wanted.

    Raises:
        InputError: A wanted band is missing or named twice, or scenes have different bands and none was asked for.
    """
    scenes = [s for e in epochs for s in e.scenes]
    if wanted and len(set(wanted)) != len(wanted):
        raise InputError(f"`bands:` lists {', '.join(wanted)}; name each band once.")
    if wanted:
        for scene in scenes:
            missing = [b for b in wanted if b not in scene.bands]
            if missing:
                raise InputError(
                    f"{scene.paths[0]} lacks the band {missing[0]}; it has {', '.join(scene.bands)}. Correct `bands:`."
                )
        return tuple(wanted)
    first = scenes[0]
    for scene in scenes[1:]:
        if set(scene.bands) != set(first.bands):
            raise InputError(
                f"{first.paths[0]} has the bands {', '.join(first.bands)}, {scene.paths[0]} has {', '.join(scene.bands)}. "
                f"Set `bands:` to the ones to use on both dates."
            )
    return tuple(first.bands)


def region_grid(epochs: Sequence[Epoch]) -> Grid:
    """Return the grid that all scenes share.

    Raises:
        InputError: Two scenes differ, in their UTM zones for example, or lie in degrees; the message has a line of the config
            that names a grid for all.
    """
    scenes = [s for e in epochs for s in e.scenes]
    first, grids = scenes[0].grid, [[s.grid for s in e.scenes] for e in epochs]
    try:
        common_grid((str(s.paths[0]), s.grid) for s in scenes)
    except InputError as error:
        if first.crs is not None and not first.crs.projected:
            raise InputError(f"{error} What both dates cover lies in `{grid_line(propose_grid(grids))}`.") from error
        around = grid_around(bounds_of(first.crs, [s.grid for s in scenes]), first)
        raise InputError(f"{error} All scenes lie in `{grid_line(around)}`; a smaller part will do.") from error
    if first.crs is not None and not first.crs.projected:
        raise InputError(
            f"{scenes[0].paths[0]} is in {crs_name(first.crs)}, whose unit is degrees; hectares need a projected CRS. Put into "
            f"the config: `{grid_line(propose_grid(grids))}`, onto which the scenes are resampled; a smaller part will do."
        )
    return first


def propose_grid(grids: Sequence[Sequence[Grid]]) -> Grid:
    """Return a grid of what all dates cover: on the pixels of the first scene; in metres where that one is in degrees.

    Args:
        grids: Of the scenes of each date; those of a date may lie side by side.
    """
    first = grids[0][0]
    is_projected = first.crs is not None and first.crs.projected
    around = first if is_projected else grid_in_metres(first)
    around = grid_around(bounds_of(around.crs, [g for date in grids for g in date]), around)
    common = common_part(around, grids)
    if not common.area:
        return around
    box = common.boundingbox
    # A rectangle of degrees stands askew in metres: corners would be empty.
    west, south, east, north = _shrink(box.bbox, common.geom) if common.area < _FULL * box.span_x * box.span_y else box.bbox
    pixel = around.transform.a
    if not is_projected and min(east - west, north - south) > 4 * pixel:
        # Edges go out to whole pixels.
        west, south, east, north = west + pixel, south + pixel, east - pixel, north - pixel
    grid = grid_around((west, south, east, north), around)
    # A scene beside the grid would be refused.
    return grid if all(overlap_share(grid, g) > 0 for date in grids for g in date) else around


def _shrink(box: Bounds, shape: Any) -> Bounds:  # noqa: ANN401 (a geometry of shapely)
    """Return the largest rectangle of a box's form and centre inside a shape; the box where that is less than half as large."""
    west, south, east, north = box
    x, y, low, high = (west + east) / 2, (south + north) / 2, 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        inner = scale(box_of(*box), middle, middle, origin=(x, y))
        low, high = (middle, high) if shape.contains(inner) else (low, middle)
    if low**2 < _HALF:
        return box
    return x - (x - west) * low, y - (y - south) * low, x + (east - x) * low, y + (north - y) * low


def list_resampled(epochs: Sequence[Epoch], bands: Sequence[str], grid: Grid) -> tuple[str, ...]:
    """List what is resampled onto a grid, and from what; sentences, each for all scenes of which it is true."""
    found: dict[tuple[str, str], list[str]] = {}
    for scene in (s for e in epochs for s in e.scenes):
        own: dict[str, list[str]] = {}
        for band in bands:
            file_grid = scene.bands[band].grid or scene.grid
            own.setdefault(describe_resampling(file_grid, grid), []).append(band)
        for what, names in own.items():
            if what:
                found.setdefault((what, "" if len(names) == len(bands) else f"{', '.join(names)} "), []).append(scene.id)
    return tuple(
        f"{ids[0]}{f' and {len(ids) - 1} more' if len(ids) > 1 else ''}: {part}resampled {what} (bilinear)."
        for (what, part), ids in found.items()
    )
