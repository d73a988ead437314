"""Pairs of periods that a monitor compares."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from landshift.flows.config.project import Project
from landshift.flows.steps.monitoring.state import MonitorState
from landshift.flows.steps.project.workspace import Workspace, require_no_model, workspace
from landshift.pipeline.alerts.rules import require_known
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import file_hash, short_hash
from landshift.pipeline.raster.place import ArchivedFile, RasterPlace
from landshift.pipeline.scenes.periods import Period, PeriodPair, PeriodPairs, pair_periods
from landshift.pipeline.scenes.season import Season, in_season, outside
from landshift.pipeline.scenes.survey import Finding

PAIRS = "pairs"
"""Folder of the pairs, in the project's folder of outputs."""


def pairs_of(project: Project, findings: Sequence[Finding], today: date) -> PeriodPairs:
    """Return the pairs of periods to compare, from the scenes of a project."""
    baseline, settings = project.dates.before, project.monitor
    days = in_season(project.dates.part_of_year, [f.day for f in findings if f.day is not None and f.scene is not None])
    return pair_periods(
        days, Period(baseline.start, baseline.end), project.dates.after.start, today, policy=settings.pairs,
        days=settings.period_days, tolerance_days=settings.season_tolerance_days,
    )  # fmt: skip


def mapper_of(ws: Workspace) -> tuple[Path | None, str]:
    """Return the model in use and the hash of its weights; of a classical method None, and the hash of its settings.

    Raises:
        InputError: It is not a model, or damaged; a model is named that would not be used; or an alert asks for a class that a
            classical method cannot map.
    """
    detect = ws.project.detect
    if detect.method == "model":
        from landshift.models.use.bundle import WEIGHTS, describe

        model = ws.model_in_use
        describe(model)
        return model, file_hash(model / WEIGHTS)
    require_no_model(ws)
    for entry in ws.project.alerts.rules:
        # It maps changed and unchanged, so that an alert about a class of the legend would never be sent.
        require_known(entry.rule, Legend())
    return None, detect.classical_hash


def name_other_models(pairs: Sequence[PeriodPair], state: MonitorState, weights: str) -> tuple[str, ...]:
    """Return a sentence for each other model, or setting of a classical method, than the one in use that pairs were made by."""
    models = Counter(state.pairs[pair.name].model for pair in pairs if state.is_done(pair.name))
    return tuple(
        f"{count} pair{'' if count == 1 else 's'} made by the model {short_hash(model)}, while {short_hash(weights)} "
        f"is in use now. They stay as they are; --again makes them again."
        for model, count in models.items()
        if model != weights
    )


def pair_workspace(ws: Workspace, pair: PeriodPair, model: Path | None) -> Workspace:
    """Make the workspace of one pair, with its dates and a folder of its own."""
    epochs = {
        name: {"start": period.start, "end": period.end} for name, period in (("before", pair.before), ("after", pair.after))
    }
    content = ws.project.model_dump()
    content["epochs"] |= epochs
    if ws.project.monitor.season != "skip":
        content["gates"]["season_gap_days"]["otherwise"] = ws.project.monitor.season
    project = type(ws.project).model_validate(content)
    return workspace(project, ws.data, ws.output / PAIRS / pair.name, allow_outside=ws.allow_outside, model=model)


def scenes_used(pair: PeriodPair, findings: Sequence[Finding], season: Season | None) -> list[list[object]]:
    """Return what identifies the scenes of a pair, without reading a file."""
    dated = [f for f in findings if f.day is not None and not outside(season, f.day)]
    wanted = [f for f in dated if f.day and any(p.start <= f.day <= p.end for p in (pair.before, pair.after))]
    return [[f.name, str(f.day), f.fault, [_version(p) for p in f.scene.paths] if f.scene else None] for f in wanted]


def _version(place: RasterPlace) -> list[object]:
    if isinstance(place, Path):
        status = place.stat()
        return [place.name, status.st_size, status.st_mtime_ns]
    if isinstance(place, ArchivedFile):
        return [*_version(place.archive), place.member]
    return [str(place), place.version]
