"""Scenes: what was acquired when, and in which files it lies. Metadata only."""

from dataclasses import dataclass
from datetime import date, datetime

from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.scenes.sensors import Sensor

CLEAR_OF_CLOUD = 0
"""Code of a cloud mask for ground that was seen."""


@dataclass(frozen=True)
class Source:
    """One band of one file."""

    path: RasterPlace
    """The file, here or on a server."""
    band: int
    """From 1."""
    asset: str = ""
    """Key of the catalog's asset, empty where there is no catalog."""
    declared: Grid | None = None
    """The grid that the catalog says the file has; None where it does not say."""


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
    """The quality band, None where there is none."""
    grid: Grid
    """The finest grid among its bands."""
    number_offset: float
    """What to add to its numbers before scaling."""
    cloud_cover: float | None = None
    """Percent, as its keeper says; None where nobody does."""
    acquired: datetime | None = None
    """When (UTC), None where only the day is known."""
    platform: str = ""
    """Which satellite, as the catalog says; empty where nobody does."""
    mask: Source | None = None
    """A cloud mask that was made of it: `CLEAR_OF_CLOUD` where the ground was seen; None where there is none."""

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
