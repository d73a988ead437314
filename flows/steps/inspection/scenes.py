"""Scenes: find what a project's scenes may be made of, and say which epoch uses what."""

from typing import Any

from landshift.flows.steps.project.finding import find_scenes, look_at, region_of
from landshift.flows.steps.project.plan import sensor_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.choose import choose_epoch, require_pair
from landshift.pipeline.scenes.survey import SceneUse, Wanted, judge
from landshift.pipeline.season import Season, outside

_LONGEST = 300
"""Characters of a reason in the table; the JSON has it whole."""


def list_scenes(ws: Workspace) -> tuple[dict[str, Any], list[str]]:
    """List every scene that is found, and for each epoch whether it is used, or why not.

    Returns:
        The list for machines, and as lines for people.

    Raises:
        InputError: The folder or the catalog cannot be read at all.
    """
    project = ws.project
    sensor = sensor_of(project.sensor)
    ranges, season = {name: (epoch.start, epoch.end) for name, epoch in project.epochs.ranges}, project.epochs.part_of_year
    findings = find_scenes(ws, sensor, tolerant=True)
    wanted = Wanted(ranges, project.bands, region_of(project), season)
    verdicts = judge(findings, wanted, lambda scene, bands, grid: look_at(ws, scene, bands, grid))
    problems = _problems(verdicts, ranges, "the catalog" if project.scenes.stac is not None else "the folder", season)
    content = {"project": project.name, "scenes": [v.as_dict() for v in verdicts], "problems": problems}
    return content, _lines(verdicts, problems, sensor.name)


def _problems(verdicts: list[SceneUse], ranges: dict[str, Any], source: str, season: Season | None) -> list[str]:
    """Say what stops `check`, beyond single scenes."""
    problems = []
    faults = sum(1 for v in verdicts if v.fault)
    if faults:
        problems.append(
            f"{faults} faulty scene{'' if faults == 1 else 's'} stop{'s' if faults == 1 else ''} `landshift check`."
        )
    epochs = []
    for name, (start, end) in ranges.items():
        used = [v.finding.scene for v in verdicts if v.finding.scene is not None and not v.reasons[name]]
        there = [v.finding.scene for v in verdicts if v.finding.scene is not None and not v.fault]
        try:
            others = [s for s in there if not start <= s.date <= end]
            days = [v.finding.day for v in verdicts if v.finding.day is not None and outside(season, v.finding.day)]
            epochs.append(choose_epoch(name, start, end, used or others, source, season, days))
        except InputError as error:
            problems.append(str(error))
    if len(epochs) == len(ranges):
        try:
            require_pair(*epochs)
        except InputError as error:
            problems.append(str(error))
    return problems


def _lines(verdicts: list[SceneUse], problems: list[str], sensor: str) -> list[str]:
    lines = [f"{len(verdicts)} found, sensor {sensor}.", "Date        Clouds  Region  Scene"]
    for verdict in verdicts:
        finding = verdict.finding
        clouds = "?" if finding.cloud_cover is None else f"{finding.cloud_cover:.3g} %"
        share = "?" if verdict.region_share is None else f"{verdict.region_share:.1%}"
        lines.append(f"{finding.day or '?'!s:<10}  {clouds:>6}  {share:>6}  {finding.name}")
        reasons = verdict.reasons
        if len(set(reasons.values())) == 1 and any(reasons.values()):
            reasons = {"not used": next(iter(reasons.values()))}
        for name, why in reasons.items():
            text = why if len(why) <= _LONGEST else why[: _LONGEST - 3] + "..."
            lines.append(f"            {name}: {text or 'used'}")
    return [*lines, *(f"To mend: {p}" for p in problems)]
