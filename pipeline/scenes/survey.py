"""What was found where scenes are looked for, and which epoch uses it or why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, overlap_share, require_same_grid
from landshift.pipeline.scenes.choose import common_bands
from landshift.pipeline.scenes.look import require_overlap
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.season import Season, outside


@dataclass(frozen=True)
class Finding:
    """Something that was found: a scene, or what might have been one."""

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


def found(scene: Scene) -> Finding:
    """Return the finding of a good scene."""
    return Finding(scene.id, scene, day=scene.date, cloud_cover=scene.cloud_cover)


@dataclass(frozen=True)
class Wanted:
    """What scenes are chosen by."""

    epochs: dict[str, tuple[date, date]]
    """Name to first and last day."""
    bands: tuple[str, ...]
    """Asked for; empty: all that every scene has."""
    grid: Grid | None
    """Of the region; None: that of the scenes."""
    season: Season | None = None
    """The part of the year; None: all of it."""


@dataclass(frozen=True)
class SceneUse:
    """What becomes of one finding."""

    finding: Finding
    """Which."""
    region_share: float | None
    """Share of the region's rectangle that it covers, 0..1; None where it is not known."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Epoch to why it does not use the scene; empty text where it does."""
    fault: str = ""
    """What is wrong with it, which stops `check`."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        scene = self.finding.scene
        return {
            "id": self.finding.name,
            "date": None if self.finding.day is None else str(self.finding.day),
            "sensor": None if scene is None else scene.sensor.name,
            "bands": [] if scene is None else list(scene.bands),
            "cloud_cover": self.finding.cloud_cover,
            "region_share": None if self.region_share is None else round(self.region_share, 6),
            "epochs": {name: {"used": not why, "reason": why} for name, why in self.reasons.items()},
            "fault": self.fault,
        }


def judge(findings: Sequence[Finding], wanted: Wanted, look: Callable[[Scene, tuple[str, ...], Grid], None]) -> list[SceneUse]:
    """Say of each finding which epoch uses it, and why another does not; nothing that is wrong with one stops the others.

    Args:
        findings: In the order of the answer.
        wanted: What scenes are chosen by.
        look: Looks into the files of a scene that an epoch would use, and raises what is wrong with them; takes the scene,
            the bands and the region's grid.

    Returns:
        One verdict a finding.
    """
    dated = [f.scene for f in findings if f.scene is not None and _epochs_of(f.scene, wanted)]
    return [_verdict(f, wanted, dated[0] if dated else None, look) for f in findings]


def _epochs_of(scene: Scene, wanted: Wanted) -> list[str]:
    if outside(wanted.season, scene.date):
        return []
    return [name for name, (start, end) in wanted.epochs.items() if start <= scene.date <= end]


def _verdict(
    finding: Finding, wanted: Wanted, first: Scene | None, look: Callable[[Scene, tuple[str, ...], Grid], None]
) -> SceneUse:
    scene, grid = finding.scene, wanted.grid if wanted.grid is not None else first.grid if first is not None else None
    if scene is None:
        why = finding.left_out or f"damaged: {finding.fault}"
        return SceneUse(finding, None, dict.fromkeys(wanted.epochs, why), finding.fault)
    share = None if grid is None else overlap_share(grid, scene.grid)
    mine, fault = _epochs_of(scene, wanted), ""
    if mine and first is not None and grid is not None:
        fault = _fault(scene, wanted, first, grid, look)
    reasons = {}
    for name, (start, end) in wanted.epochs.items():
        early_or_late = "" if start <= scene.date <= end else f"outside the date range ({start} to {end})"
        reasons[name] = early_or_late or outside(wanted.season, scene.date) or finding.left_out or fault
    return SceneUse(finding, share, reasons, fault)


def _fault(scene: Scene, wanted: Wanted, first: Scene, grid: Grid, look: Callable[[Scene, tuple[str, ...], Grid], None]) -> str:
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
