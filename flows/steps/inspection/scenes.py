"""List of the scenes of a project, and the epochs that use them."""

from collections.abc import Sequence
from dataclasses import dataclass

from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.project.finding import find_scenes, look_at, region_of
from landshift.flows.steps.project.plan import sensor_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of
from landshift.pipeline.scenes.choose import choose_epoch, require_pair
from landshift.pipeline.scenes.survey import Finding, SceneUse, Wanted, judge
from landshift.pipeline.season import outside

_LONGEST = 300
"""Characters of a reason in the table; the JSON has it whole."""


@dataclass(frozen=True)
class SceneList:
    """Scenes of a project."""

    project: str
    """Its name."""
    scenes: tuple[SceneUse, ...]
    """By date, then by name; without a date first."""
    problems: tuple[str, ...]
    """What stops `landshift check`, in sentences."""


def list_scenes(ws: Workspace) -> Reply:
    """List every scene that is found, and for each epoch whether it is used, or why not.

    Returns:
        A `SceneList` as JSON, and as lines for people.

    Raises:
        InputError: The folder or the catalog cannot be read at all.
    """
    project = ws.project
    sensor = sensor_of(project.sensor)
    ranges = {name: (epoch.start, epoch.end) for name, epoch in project.dates.ranges}
    wanted = Wanted(ranges, project.bands, region_of(project), project.dates.part_of_year)
    findings = find_scenes(ws, sensor, tolerant=True)
    uses = judge(findings, wanted, lambda scene, bands, grid: look_at(ws, scene, bands, grid))
    problems = _problems(findings, uses, wanted, "the catalog" if project.scenes.stac is not None else "the folder")
    return content_of(SceneList(project.name, tuple(uses), tuple(problems))), _lines(uses, problems, sensor.name)


def _problems(findings: Sequence[Finding], uses: Sequence[SceneUse], wanted: Wanted, source: str) -> list[str]:
    """Return what stops `check`, beyond single scenes."""
    problems = []
    faults = sum(1 for use in uses if use.fault)
    if faults:
        problems.append(
            f"{faults} faulty scene{'' if faults == 1 else 's'} stop{'s' if faults == 1 else ''} `landshift check`."
        )
    there = [(f.scene, use) for f, use in zip(findings, uses, strict=True) if f.scene is not None]
    off_season = [f.day for f in findings if f.day is not None and outside(wanted.season, f.day)]
    epochs = []
    for name, (start, end) in wanted.epochs.items():
        used = [scene for scene, use in there if use.epochs[name].used]
        others = [scene for scene, use in there if not use.fault and not start <= scene.date <= end]
        try:
            epochs.append(
                choose_epoch(name, start, end, used or others, source=source, season=wanted.season, others=off_season)
            )
        except InputError as error:
            problems.append(str(error))
    if len(epochs) == len(wanted.epochs):
        try:
            require_pair(*epochs)
        except InputError as error:
            problems.append(str(error))
    return problems


def _lines(uses: Sequence[SceneUse], problems: Sequence[str], sensor: str) -> list[str]:
    lines = [f"{len(uses)} found, sensor {sensor}.", "Date        Clouds  Region  Scene"]
    for use in uses:
        clouds = "?" if use.cloud_cover is None else f"{use.cloud_cover:.3g} %"
        share = "?" if use.region_share is None else f"{use.region_share:.1%}"
        lines.append(f"{use.date or '?':<10}  {clouds:>6}  {share:>6}  {use.id}")
        reasons = {name: epoch.reason for name, epoch in use.epochs.items()}
        if len(set(reasons.values())) == 1 and any(reasons.values()):
            reasons = {"not used": next(iter(reasons.values()))}
        for name, why in reasons.items():
            text = why if len(why) <= _LONGEST else why[: _LONGEST - 3] + "..."
            lines.append(f"            {name}: {text or 'used'}")
    return [*lines, *(f"To mend: {p}" for p in problems)]
