"""Acquisitions: the scenes that are tiles of one pass of one satellite."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from landshift.pipeline.scenes.scene import Scene

_ONE_PASS = timedelta(minutes=30)
"""Tiles of one pass lie seconds apart, passes of one satellite about 100 minutes."""

Acquisition = tuple[Scene, ...]
"""At least one scene, by day and id."""


def acquisitions(scenes: Iterable[Scene]) -> list[Acquisition]:
    """Group scenes into acquisitions: where two tiles overlap, a place was observed once and not twice.

    Tiles belong together if they come from one platform, and lie less than half an hour apart. Where the time is not known,
    as in a folder, the day has to do.

    Returns:
        By day and id of their first scenes; the order of the scenes does not matter.
    """
    by_day: dict[object, list[Scene]] = {}
    timed: dict[object, list[tuple[datetime, Scene]]] = {}
    for scene in scenes:
        source = scene.sensor.name, scene.platform.casefold()
        if scene.acquired is None:
            by_day.setdefault((*source, scene.date), []).append(scene)
        else:
            timed.setdefault(source, []).append((scene.acquired, scene))
    groups = [*by_day.values(), *(group for entries in timed.values() for group in _passes(entries))]
    return sorted((tuple(sorted(group, key=_order)) for group in groups), key=lambda group: _order(group[0]))


def _passes(entries: list[tuple[datetime, Scene]]) -> Iterator[list[Scene]]:
    entries.sort(key=lambda entry: (entry[0], entry[1].id))
    group = [entries[0][1]]
    for (earlier, _), (later, scene) in pairwise(entries):
        if later - earlier > _ONE_PASS:
            yield group
            group = []
        group.append(scene)
    yield group


def _order(scene: Scene) -> tuple[str, str]:
    return str(scene.date), scene.id
