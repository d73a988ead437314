"""Scenes, acquisitions and epochs: metadata only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from affine import Affine

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.scenes.sensors import Sensor

CLEAR_OF_CLOUD = 0
"""Code of a cloud mask for ground that was seen."""

_ONE_PASS = timedelta(minutes=30)
"""Tiles of one pass lie seconds apart, passes of one satellite about 100 minutes."""


@dataclass(frozen=True)
class DeclaredGrid:
    """Where a catalog declares the pixels of a file to be; any of it may be missing."""

    crs: str = ""
    """Anything that odc-geo reads as a CRS; empty where the catalog names none."""
    transform: Affine | None = None
    """Pixel (column, row) to CRS coordinates."""
    shape: tuple[int, int] | None = None
    """Rows and columns."""


@dataclass(frozen=True)
class Source:
    """One band of one file."""

    path: RasterPlace
    """The file, here or on a server."""
    band: int
    """From 1."""
    asset: str = ""
    """Key of the catalog's asset, empty where there is no catalog."""
    declared: DeclaredGrid | None = None
    """The grid of the file as the catalog declares it; None where there is no catalog."""
    factors: tuple[float, float] | None = None
    """Scale and offset of its numbers by the scene's metadata; None: those of the sensor."""
    grid: Grid | None = None
    """Of the file; None where it was not opened."""


@dataclass(frozen=True)
class Scene:
    """One acquisition."""

    id: str
    """The name of its file, what the names of its files share, or the id of the catalog's item."""
    date: date
    """Day of the acquisition (UTC)."""
    sensor: Sensor
    """How to read its numbers."""
    bands: dict[str, Source]
    """Common band name to where it lies, in the order of the file."""
    quality: Source | None
    """The quality band; None without one."""
    grid: Grid
    """The finest grid among its bands."""
    number_offset: float
    """What to add to its numbers before scaling."""
    cloud_cover: float | None = None
    """Percent, as published; None where it is not known."""
    acquired: datetime | None = None
    """When (UTC), None where only the day is known."""
    platform: str = ""
    """Which satellite, as published; empty where it is not known."""
    mask: Source | None = None
    """A cloud mask that was made of it: `CLEAR_OF_CLOUD` where the ground was seen; None without one."""

    def __post_init__(self) -> None:
        """Refuse a scene of which two bands are one band of one file, which cannot be two colours.

        Raises:
            InputError: Names both bands, the file and the remedy.
        """
        sources = self.bands if self.quality is None else self.bands | {"the quality band": self.quality}
        seen: dict[tuple[str, int], str] = {}
        for name, source in sources.items():
            other = seen.setdefault((str(source.path), source.band), name)
            if other != name:
                raise InputError(
                    f"{self.id}: {other} and {name} are both read from {source.path}, band {source.band}. Expected one colour "
                    f"a band; correct `sensor: name:`, the names of the files, or `scenes: stac: assets:`."
                )

    @property
    def way_out(self) -> str:
        """How to leave it out, for messages."""
        if any(source.asset for source in self.bands.values()):
            return f"`scenes: stac: leave_out: [{self.id}]`"
        return "`scenes: faulty: skip`, or move its files out of the folder"

    @property
    def paths(self) -> tuple[RasterPlace, ...]:
        """Every file of the scene, once, in order."""
        sources = [*self.bands.values(), *([self.quality] if self.quality else [])]
        return tuple(dict.fromkeys(s.path for s in sources))


@dataclass(frozen=True)
class Epoch:
    """A named date range and the scenes chosen for it."""

    name: str
    """`before` or `after`."""
    start: date
    """First day."""
    end: date
    """Last day, included."""
    scenes: tuple[Scene, ...]
    """At least one, by date."""

    @property
    def date(self) -> date:
        """The day that stands for the epoch: the middle one of its scenes."""
        return sorted(s.date for s in self.scenes)[(len(self.scenes) - 1) // 2]


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
