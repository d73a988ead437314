"""What has to be added to the numbers of a Sentinel-2 scene, also where neither name nor metadata hold its baseline."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.read import read_preview
from landshift.pipeline.scenes.scene import Source
from landshift.pipeline.scenes.sensors import Sensor, number_offset

ADDED = 1000
"""What Sentinel-2 adds to every number since processing baseline 04.00."""
_SINCE = date(2022, 1, 25)
"""Day from which on ESA's own processing has the baseline; older scenes were processed again with it."""
_SIDE = 512
"""Pixels of the look at a band."""
_DARK_SHARE = 0.002
"""Share of observed pixels below `ADDED` that no scene with the addition has: they would reflect less than nothing."""
_DARKEST = ("blue", "green", "red", "swir22")
"""Bands that are dark over forest and water."""


def find_offset(
    sensor: Sensor,
    scene: str,
    day: date,
    *,
    bands: Mapping[str, Source],
    baseline: str | None,
    declared: float | Mapping[str, float] | None,
) -> float:
    """Return what has to be added to a scene's numbers: by the config for this scene; else by its baseline; else by its pixels.

    Args:
        sensor: Row of the scene.
        scene: Its id.
        day: Of the acquisition (UTC).
        bands: Common band name to where it lies.
        baseline: Processing baseline, None where neither names nor metadata have it.
        declared: Of the config: one number, or by id or day of the scene.

    Raises:
        InputError: Nothing shows it, or the config has one number for all scenes that is wrong for this one.
    """
    if not sensor.baseline_offset:
        return 0.0
    if isinstance(declared, Mapping):
        chosen = choose_declared(scene, day, declared)
        if chosen is not None:
            return chosen
        declared = None
    known = number_offset(sensor, baseline, None, scene) if baseline else None
    if declared is not None and known is not None and declared != known:
        raise InputError(
            f"{scene} has the baseline {baseline}, so {known:g} has to be added to its numbers; the config has "
            f"`sensor: number_offset: {declared:g}` for all scenes. Remove it, or name the scenes that it is for: "
            f"`sensor: number_offset: {{{scene}: {declared:g}}}`."
        )
    if known is not None:
        return known
    if declared is not None:
        _require_possible(scene, day, declared, share=_share_below(bands, sensor.nodata)[0])
        return declared
    return _offset_by_pixels(scene, day, bands, sensor.nodata)


def choose_declared(scene: str, day: date, declared: float | Mapping[str, float] | None) -> float | None:
    """Return the number that the config has for a scene, by its id or its day; None where it has none."""
    if isinstance(declared, Mapping):
        return next((number for key, number in declared.items() if key in (scene, str(day))), None)
    return declared


def _offset_by_pixels(scene: str, day: date, bands: Mapping[str, Source], nodata: float | None) -> float:
    """Return what has to be added to the numbers, where the pixels show it.

    Numbers below 1000 in more than 1 in 500 pixels of a dark band cannot carry the addition. Without any, and
    on a day since which every scene carries it, both agree.

    Args:
        scene: Its id, for errors.
        day: Of the acquisition (UTC).
        bands: Common band name to where it lies.
        nodata: Number that means not observed.

    Raises:
        InputError: The pixels do not show it, or a file cannot be read.
    """
    share, lowest = _share_below(bands, nodata)
    if share > _DARK_SHARE:
        return 0.0
    if day >= _SINCE and share == 0:
        return -float(ADDED)
    found = (
        f"no number is below {ADDED} (the lowest is {lowest:.0f}), as with the addition or over bright ground"
        if share == 0
        else f"{share:.2%} of the numbers are below {ADDED}: too few to decide"
    )
    raise InputError(
        f"{scene}: the processing baseline is in neither names (_N0509_) nor tags, and the pixels do not show whether 1000 has "
        f"to be taken off: {found}. Set it for this scene: `sensor: number_offset: {{{scene}: -1000}}` where its baseline is "
        f"04.00 or later, `{{{scene}: 0}}` where it is earlier."
    )


def _require_possible(scene: str, day: date, offset: float, *, share: float) -> None:
    """Refuse one number for all scenes that the pixels of this one contradict.

    Raises:
        InputError: 1000 is to be taken off, and many numbers are below it; or nothing is, and day and pixels show the addition.
    """
    if offset <= -ADDED and share > 10 * _DARK_SHARE:
        why, right = f"{share:.1%} of its numbers are below {ADDED}, so they would reflect less than nothing", 0
    elif offset == 0 and share == 0 and day >= _SINCE:
        why, right = f"no number is below {ADDED}, and scenes since {_SINCE} carry the 1000 of baseline 04.00", -ADDED
    else:
        return
    raise InputError(
        f"{scene}: the config adds {offset:g} to the numbers of all scenes, and for this one that is wrong: {why}. Name each "
        f"scene with its own: `sensor: number_offset: {{{scene}: {right}}}`."
    )


def _share_below(bands: Mapping[str, Source], nodata: float | None) -> tuple[float, float]:
    """Return the largest share of observed numbers below `ADDED` among the dark bands, and the lowest number."""
    names: Sequence[str] = [name for name in _DARKEST if name in bands] or list(bands)
    share, lowest = 0.0, float("inf")
    for name in names:
        numbers = read_preview(bands[name].path, [bands[name].band], _SIDE)
        seen = numbers[(numbers != nodata) & np.isfinite(numbers)] if nodata is not None else numbers[np.isfinite(numbers)]
        if seen.size:
            share, lowest = max(share, float((seen < ADDED).mean())), min(lowest, float(seen.min()))
    return share, lowest
