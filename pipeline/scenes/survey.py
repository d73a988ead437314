"""Scenes that were found, and the epochs that use them or why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, overlap_share, require_same_grid
from landshift.pipeline.scenes.choose import common_bands
from landshift.pipeline.scenes.look import require_overlap
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.season import Season, outside


@dataclass(frozen=True)
class Finding:
    """A scene that was found, or a file or item that should have been one."""

    name: str
    """Id of the scene or of the item, or the name of the file."""
    scene: Scene | None = None
    """The scene, None where it is left out or faulty."""
    left_out: str = ""
    """Why no epoch uses it, though nothing is wrong with it; empty where there is no such reason."""
    fault: str = ""
    """What is wrong with it, which stops `check`; empty where nothing is."""
    day: date | None = None
    """Day of the acquisition (UTC), None where it is not known."""
    cloud_cover: float | None = None
    """Percent, None where it is not known."""


def finding_of(scene: Scene) -> Finding:
    """Return the finding of a good scene."""
    return Finding(scene.id, scene, day=scene.date, cloud_cover=scene.cloud_cover)


@dataclass(frozen=True)
class Wanted:
    """Criteria by which scenes are chosen."""

    epochs: dict[str, tuple[date, date]]
    """Name to first and last day."""
    bands: tuple[str, ...]
    """Asked for; empty: all that every scene has."""
    grid: Grid | None
    """Of the region; None: that of the scenes."""
    season: Season | None = None
    """The part of the year; None: all of it."""


@dataclass(frozen=True)
class EpochUse:
    """Whether an epoch uses a scene."""

    used: bool
    """Whether it does."""
    reason: str
    """Why it does not; empty where it does."""


@dataclass(frozen=True)
class SceneUse:
    """One finding, and the epochs that use it."""

    id: str
    """Name of the finding."""
    date: str | None
    """Day of the acquisition (UTC, ISO 8601); None where it is not known."""
    sensor: str | None
    """Name of the sensor; None without a scene."""
    bands: tuple[str, ...]
    """Of the scene; empty without one."""
    cloud_cover: float | None
    """Percent; None where it is not known."""
    region_share: float | None
    """Share of the region's rectangle that it covers, 0..1, six digits; None where it is not known."""
    epochs: dict[str, EpochUse]
    """By name of the epoch."""
    fault: str = ""
    """What is wrong with it, which stops `check`."""


Look = Callable[[Scene, tuple[str, ...], Grid], None]
"""Looks into the files of a scene that an epoch would use, and raises what is wrong with them; takes the scene, the bands and
the region's grid."""


def judge(findings: Sequence[Finding], wanted: Wanted, look: Look) -> list[SceneUse]:
    """Return for each finding which epochs use it, and why others do not; a faulty one does not stop the others."""
    dated = [f.scene for f in findings if f.scene is not None and _epochs_of(f.scene, wanted)]
    return [_use(f, wanted, dated[0] if dated else None, look) for f in findings]


def _epochs_of(scene: Scene, wanted: Wanted) -> list[str]:
    if outside(wanted.season, scene.date):
        return []
    return [name for name, (start, end) in wanted.epochs.items() if start <= scene.date <= end]


def _use(finding: Finding, wanted: Wanted, first: Scene | None, look: Look) -> SceneUse:
    scene, fault, share = finding.scene, finding.fault, None
    if scene is None:
        reasons = dict.fromkeys(wanted.epochs, finding.left_out or f"damaged: {fault}")
    else:
        grid = wanted.grid if wanted.grid is not None else first.grid if first is not None else None
        share = None if grid is None else round(overlap_share(grid, scene.grid), 6)
        if grid is not None and first is not None and _epochs_of(scene, wanted):
            fault = _fault(scene, wanted, first, grid, look=look)
        reasons = {}
        for name, (start, end) in wanted.epochs.items():
            early_or_late = "" if start <= scene.date <= end else f"outside the date range ({start} to {end})"
            reasons[name] = early_or_late or outside(wanted.season, scene.date) or finding.left_out or fault
    return SceneUse(
        id=finding.name,
        date=None if finding.day is None else str(finding.day),
        sensor=None if scene is None else scene.sensor.name,
        bands=() if scene is None else tuple(scene.bands),
        cloud_cover=finding.cloud_cover,
        region_share=share,
        epochs={name: EpochUse(not why, why) for name, why in reasons.items()},
        fault=fault,
    )


def _fault(scene: Scene, wanted: Wanted, first: Scene, grid: Grid, look: Look) -> str:
    missing = [b for b in wanted.bands if b not in scene.bands]
    if missing:
        return f"lacks the band {missing[0]}; it has {', '.join(scene.bands)}"
    if overlap_share(grid, scene.grid) == 0:
        return "does not overlap the region"
    day = scene.date
    try:
        require_overlap(scene, grid)
        if wanted.grid is None:
            require_same_grid(first.grid, scene.grid, (str(first.paths[0]), str(scene.paths[0])))
        bands = common_bands([Epoch("both", day, day, (first, scene))], wanted.bands)
        look(scene, bands, grid)
    except InputError as error:
        return f"damaged or unlike the others: {error}"
    return ""
