"""Scenes chosen for each epoch, and the grid and the bands that they share."""

from collections.abc import Iterable, Sequence
from datetime import date

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, bounds_of, common_grid, crs_name
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.season import Season, outside


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
            f"{', '.join(map(str, off_season))} there. Widen `epochs: season:` or the epoch."
        )
    if not chosen:
        there = ", ".join(sorted({str(s.date) for s in scenes}))
        raise InputError(f"No scene from {start} to {end} for epoch {name}; {source} has {there or 'none'}. Widen the epoch.")
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
        InputError: Two scenes differ, in their UTM zones for example; the message names a grid that would hold all.
    """
    scenes = [s for e in epochs for s in e.scenes]
    try:
        return common_grid((str(s.paths[0]), s.grid) for s in scenes)
    except InputError as error:
        first, around = scenes[0].grid, bounds_of(scenes[0].grid.crs, [s.grid for s in scenes])
        raise InputError(
            f"{error} All scenes lie in `grid: {{crs: {crs_name(first.crs)}, pixel_size: {first.transform.a:g}, "
            f"bounds: [{', '.join(f'{v:.0f}' for v in around)}]}}`; a smaller part will do."
        ) from error
