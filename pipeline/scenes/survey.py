"""Scenes that were found, and the epochs that use them or why not."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from landshift.pipeline.errors import InputError, UnreadableError
from landshift.pipeline.grid import Grid, overlap_share, require_same_grid
from landshift.pipeline.raster.place import RemoteFile
from landshift.pipeline.scenes.at_once import FEWEST, ask_all
from landshift.pipeline.scenes.choose import common_bands
from landshift.pipeline.scenes.dates import find_day
from landshift.pipeline.scenes.look import require_overlap
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.scenes.season import Season, outside

UNREADABLE, UNFIT, UNLIKE = "cannot be read", "does not fit", "differs from the others"
"""Kinds of faults: the file is damaged or not there; it is sound, but not what the config or the catalog describes; it lies on
another grid, or has other bands, than most scenes."""

_NAMED = 3
"""Scenes that a sentence names at most."""
_NUMBER = re.compile(r"(?<![\w.:-])-?\d[\d.,e+-]*(?!\w)")


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
    kind: str = UNFIT
    """Kind of the fault, where there is one."""


def finding_of(scene: Scene) -> Finding:
    """Return the finding of a good scene."""
    return Finding(scene.id, scene, day=scene.date, cloud_cover=scene.cloud_cover)


def finding_of_fault(name: str, error: InputError, *, day: date | None = None, cloud_cover: float | None = None) -> Finding:
    """Return the finding of a scene, a file or an item that cannot be used; where no day is given, with that of its name."""
    if day is None:
        # Of what cannot be read the name is all that shows which epochs it would have belonged to.
        with suppress(InputError):
            day = find_day(name)
    return Finding(name, fault=str(error), day=day, cloud_cover=cloud_cover, kind=_kind_of(error))


def _kind_of(error: InputError) -> str:
    return UNREADABLE if isinstance(error, UnreadableError) else UNFIT


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
    kind: str = ""
    """Kind of the fault: `cannot be read`, `does not fit` or `differs from the others`; empty without one."""


Look = Callable[[Scene, tuple[str, ...], Grid], object]
"""Looks into the files of a scene that an epoch would use, and raises what is wrong with them; takes the scene, the bands and
the region's grid."""


def look_into(
    scenes: Sequence[Scene], look: Callable[[Scene], None], advance: Callable[[float], None] = lambda share: None
) -> list[InputError | None]:
    """Look into scenes, several at once.

    Args:
        scenes: Which.
        look: Raises what is wrong with a scene.
        advance: Called with the share done, 0..1.

    Returns:
        The fault of each scene, in their order; None where it has none.
    """
    # A server is asked for several files of a scene at once already.
    at_once = FEWEST if any(isinstance(path, RemoteFile) for scene in scenes for path in scene.paths) else None
    faults: list[InputError | None] = []
    for fault in ask_all(scenes, look, at_once):
        faults.append(fault)
        advance(len(faults) / len(scenes))
    return faults


def judge(
    findings: Sequence[Finding], wanted: Wanted, look: Look, advance: Callable[[float], None] = lambda share: None
) -> list[SceneUse]:
    """Return for each finding which epochs use it, and why others do not; a faulty one does not stop the others.

    Args:
        findings: What was found.
        wanted: Criteria.
        look: Looks into a scene.
        advance: Called with the share done, 0..1.
    """
    dated = {i: f.scene for i, f in enumerate(findings) if f.scene is not None and _epochs_of(f.scene, wanted)}
    typical = _typical(list(dated.values()))
    grid = wanted.grid if wanted.grid is not None else None if typical is None else typical.grid
    faults = {i: (f.kind, f.fault) for i, f in enumerate(findings) if f.fault}
    if typical is not None and grid is not None:
        unlike = {i: _misfit(scene, wanted, typical) for i, scene in dated.items()}
        faults |= {i: found for i, found in unlike.items() if found is not None}
        rest = [i for i, found in unlike.items() if found is None]

        def look_at_one(scene: Scene) -> None:
            require_overlap(scene, grid)
            look(scene, common_bands([Epoch("both", scene.date, scene.date, (typical, scene))], wanted.bands), grid)

        found_inside = look_into([dated[i] for i in rest], look_at_one, advance)
        faults |= {i: (_kind_of(error), str(error)) for i, error in zip(rest, found_inside, strict=True) if error is not None}
    return [_use(finding, wanted, grid, faults.get(i, ("", ""))) for i, finding in enumerate(findings)]


def _epochs_of(scene: Scene, wanted: Wanted) -> list[str]:
    if outside(wanted.season, scene.date):
        return []
    return [name for name, (start, end) in wanted.epochs.items() if start <= scene.date <= end]


def _typical(scenes: Sequence[Scene]) -> Scene | None:
    """Return a scene with the grid and the bands that most have; None without scenes."""
    counted = Counter((s.grid, frozenset(s.bands)) for s in scenes)
    return max(scenes, key=lambda s: counted[s.grid, frozenset(s.bands)], default=None)


def _use(finding: Finding, wanted: Wanted, grid: Grid | None, found: tuple[str, str]) -> SceneUse:
    scene, share = finding.scene, None
    kind, fault = found
    why = finding.left_out or (f"{kind}: {fault}" if fault else "")
    if scene is None:
        reasons = dict.fromkeys(wanted.epochs, why)
    else:
        share = None if grid is None else round(overlap_share(grid, scene.grid), 6)
        reasons = {}
        for name, (start, end) in wanted.epochs.items():
            early_or_late = "" if start <= scene.date <= end else f"outside the date range ({start} to {end})"
            reasons[name] = early_or_late or outside(wanted.season, scene.date) or why
    return SceneUse(
        id=finding.name,
        date=None if finding.day is None else str(finding.day),
        sensor=None if scene is None else scene.sensor.name,
        bands=() if scene is None else tuple(scene.bands),
        cloud_cover=finding.cloud_cover,
        region_share=share,
        epochs={name: EpochUse(not reason, reason) for name, reason in reasons.items()},
        fault=fault,
        kind=kind,
    )


def _misfit(scene: Scene, wanted: Wanted, typical: Scene) -> tuple[str, str] | None:
    """Return kind and fault of a scene that lacks a band, or differs from the typical one; None where it fits."""
    missing = [b for b in wanted.bands if b not in scene.bands]
    if missing:
        return UNFIT, f"lacks the band {missing[0]}; it has {', '.join(scene.bands)}"
    grid = typical.grid if wanted.grid is None else wanted.grid
    if overlap_share(grid, scene.grid) == 0:
        return UNFIT, "does not overlap the region"
    try:
        if wanted.grid is None:
            require_same_grid(typical.grid, scene.grid, (str(typical.paths[0]), str(scene.paths[0])))
        common_bands([Epoch("both", scene.date, scene.date, (typical, scene))], wanted.bands)
    except InputError as error:
        return UNLIKE, str(error)
    return None


@dataclass(frozen=True)
class Alike:
    """Scenes with the same fault."""

    names: tuple[str, ...]
    """At least one."""
    fault: str
    """In the words of the first."""

    @property
    def few(self) -> str:
        """The first names, and how many more there are."""
        return name_few(self.names)


def name_few(names: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def group_alike(faults: Iterable[tuple[str, str]]) -> list[Alike]:
    """Group faults that differ in the scene's name, in its files and in numbers alone.

    Args:
        faults: Names of scenes or files, and what is wrong with each.

    Returns:
        In the order of their first scenes.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, fault in faults:
        pattern = re.compile(rf"\S*(?<!\w){re.escape(name)}(?![^\W_])\S*")
        groups.setdefault(_NUMBER.sub("#", pattern.sub("@", fault)), []).append((name, fault))
    return [Alike(tuple(name for name, _ in group), group[0][1]) for group in groups.values()]


def sum_up(faults: Sequence[tuple[str, str]]) -> str:
    """Return what is wrong with the first of several scenes, and how many others are faulty."""
    first, *others = group_alike(faults)
    more = [f"the same holds for {len(first.names) - 1} more: {name_few(first.names[1:])}"] if len(first.names) > 1 else []
    if others:
        count = sum(len(group.names) for group in others)
        more.append(f"{count} more {'is' if count == 1 else 'are'} faulty otherwise")
    return first.fault + (f" ({'; '.join(more)}; `landshift scenes` lists all.)" if more else "")


def describe_skipped(faults: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return a sentence for each fault of scenes that were skipped."""
    return tuple(
        f"{group.names[0]} was skipped: {group.fault}" if len(group.names) == 1
        else f"{len(group.names)} scenes were skipped for the same reason ({group.few}), of the first: {group.fault}"
        for group in group_alike(faults)
    )  # fmt: skip
