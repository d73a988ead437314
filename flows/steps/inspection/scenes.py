"""List of the scenes of a project, and the epochs that use them."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.project.finding import find_scenes, look_at, region_of
from landshift.flows.steps.project.plan import sensor_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of
from landshift.pipeline.scenes.choose import choose_epoch, region_grid, require_pair
from landshift.pipeline.scenes.season import outside
from landshift.pipeline.scenes.survey import UNFIT, UNLIKE, UNREADABLE, Finding, SceneUse, Wanted, group_alike, judge

_WIDTH = 120
"""Characters of a line; longer reasons go on in the next."""
_INDENT = " " * 12
_PLURALS = {UNREADABLE: "cannot be read", UNFIT: "do not fit", UNLIKE: "differ from the others"}


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
    findings = find_scenes(ws, sensor, tolerant=True)
    region = region_of(project, [finding.scene for finding in findings if finding.scene is not None])
    wanted = Wanted(ranges, project.bands, region, project.dates.part_of_year)
    with step("Looking into the scenes") as advance:
        uses = judge(findings, wanted, lambda scene, bands, grid: look_at(ws, scene, bands, grid), advance)
    problems = _problems(findings, uses, wanted, "the catalog" if project.scenes.stac is not None else "the folder")
    faults = _count_faults(uses)
    if faults and project.scenes.faulty != "skip":
        problems.insert(0, f"{faults}. They stop `landshift check`: mend them, or leave them out with `scenes: faulty: skip`.")
    lines = _lines(uses, sensor.name)
    if faults and project.scenes.faulty == "skip":
        lines.append(f"{faults}. They are skipped (`scenes: faulty: skip`).")
    lines += [f"To mend: {p}" for p in problems]
    return content_of(SceneList(project.name, tuple(uses), tuple(problems))), lines


def _problems(findings: Sequence[Finding], uses: Sequence[SceneUse], wanted: Wanted, source: str) -> list[str]:
    """Return what stops `check`, beyond single scenes."""
    problems = []
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
            if wanted.grid is None and not any(use.fault for use in uses):
                region_grid(epochs)
        except InputError as error:
            problems.append(str(error))
    return problems


def _count_faults(uses: Sequence[SceneUse]) -> str:
    """Return how many scenes are faulty, and in which way; empty without any."""
    kinds = Counter(use.kind for use in uses if use.fault)
    total = sum(kinds.values())
    of_kinds = ", ".join(f"{count} {_PLURALS[kind] if count > 1 else kind}" for kind, count in kinds.items())
    return f"{total} faulty scene{'' if total == 1 else 's'}: {of_kinds}" if total else ""


def _fault_texts(uses: Sequence[SceneUse]) -> dict[str, str]:
    """Return by scene the text of its fault in the table: the whole of it once, where several have the same."""
    texts = {}
    for kind in dict.fromkeys(use.kind for use in uses if use.fault):
        for group in group_alike((use.id, use.fault) for use in uses if use.kind == kind):
            first, *others = group.names
            like = f", like {len(others)} more" if others else ""
            texts[first] = f"{kind}{like}: {group.fault}"
            texts |= {name: f"{kind}, like {first}" for name in others}
    return texts


def _lines(uses: Sequence[SceneUse], sensor: str) -> list[str]:
    lines = [f"{len(uses)} found, sensor {sensor}.", "Date        Clouds  Region  Scene"]
    texts = _fault_texts(uses)
    for use in uses:
        clouds = "?" if use.cloud_cover is None else f"{use.cloud_cover:.3g} %"
        share = "?" if use.region_share is None else f"{use.region_share:.1%}"
        lines.append(f"{use.date or '?':<10}  {clouds:>6}  {share:>6}  {use.id}")
        whole = f"{use.kind}: {use.fault}"
        reasons = {name: texts[use.id] if epoch.reason == whole else epoch.reason for name, epoch in use.epochs.items()}
        if len(set(reasons.values())) == 1 and any(reasons.values()):
            reasons = {"not used": next(iter(reasons.values()))}
        for name, why in reasons.items():
            lines += _wrap(f"{name}: {why or 'used'}")
    return lines


def _wrap(text: str) -> list[str]:
    """Break a reason into lines of the table; names and addresses stay whole."""
    return textwrap.wrap(
        text, _WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}  ", break_long_words=False, break_on_hyphens=False
    )
