"""The plan of a project: scenes, grid and bands chosen for both epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from landshift.flows.config.project import Project
from landshift.flows.config.scenes import SensorConfig
from landshift.flows.runtime.progress import step
from landshift.flows.steps.project.finding import find_scenes, look_at, region_of, source_of
from landshift.flows.steps.project.masks import cloud_model_of, list_unmasked, without_unwanted_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.checks.levels import Levels, measure_levels
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import Legend
from landshift.pipeline.scenes.choose import choose_epoch, common_bands, list_resampled, region_grid, require_pair
from landshift.pipeline.scenes.look import require_overlap
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.scenes.season import outside
from landshift.pipeline.scenes.sensors import Sensor, custom_sensor, sensor_named
from landshift.pipeline.scenes.survey import Finding, describe_skipped, look_into, sum_up


@dataclass(frozen=True)
class Plan:
    """Scenes, grid and bands chosen for a project."""

    before: Epoch
    """Earlier."""
    after: Epoch
    """Later."""
    grid: Grid
    """Pixels of the region."""
    bands: tuple[str, ...]
    """In order."""
    sensor: Sensor
    """Of every scene."""
    skipped: tuple[str, ...] = ()
    """Scenes that could have been used and are faulty, with what is wrong; a sentence for all that have the same fault."""
    cloud_model: str | None = None
    """What masks the scenes that need it; None where none does."""
    unmasked: tuple[str, ...] = ()
    """Scenes in which nothing masks clouds, though the config does not declare them free of clouds; sentences."""
    resampled: tuple[str, ...] = ()
    """What does not lie on the pixels of the grid, and from what it is resampled; sentences."""
    levels: Levels | None = None
    """Of the first scene of each date, by the windows that were looked at; None before that."""

    @property
    def epochs(self) -> tuple[Epoch, Epoch]:
        """Before, after."""
        return self.before, self.after

    @property
    def wavelengths_nm(self) -> dict[str, float]:
        """Centre wavelength of each band that has a known one."""
        return {b.name: b.wavelength_nm for b in self.sensor.bands if b.name in self.bands and b.wavelength_nm}


def legend_of(project: Project) -> Legend:
    """Build the project's legend."""
    return Legend.of(c.model_dump() for c in project.legend)


def sensor_of(config: SensorConfig) -> Sensor:
    """Build the project's sensor."""
    if config.name != "custom":
        return sensor_named(config.name)
    nodata = None if config.nodata in ("none", "declared", None) else float(config.nodata)
    scale = 1.0 if config.scale is None else config.scale
    return custom_sensor(
        config.bands, scale=scale, offset=config.offset, nodata=nodata, units=config.units,
        wavelengths_nm=config.wavelengths_nm, nodata_by_file=config.nodata == "declared",
    )  # fmt: skip


def plan(ws: Workspace) -> Plan:
    """Find, choose and look into the scenes of a project: once a run, everything later takes the plan.

    Raises:
        InputError: Anything about the scenes, dates, bands or grids that does not fit.
    """
    return inspect(ws, find(ws))


def find(ws: Workspace) -> list[Finding]:
    """Find the scenes of a project; with `faulty: skip`, a scene that cannot be read is a finding with its fault.

    Raises:
        InputError: The folder or the catalog cannot be read, or a scene not; or the project has no territory.
    """
    _ = ws.project.dates
    return find_scenes(ws, sensor_of(ws.project.sensor), tolerant=ws.project.scenes.faulty == "skip")


def _is_wanted(ws: Workspace, day: date) -> bool:
    epochs = ws.project.dates
    return not outside(epochs.part_of_year, day) and any(epoch.start <= day <= epoch.end for _, epoch in epochs.ranges)


def choose(ws: Workspace, findings: Sequence[Finding]) -> Plan:
    """Choose scenes, grid and bands among what was found, without looking into any file.

    Raises:
        InputError: The scenes do not make a pair of epochs: dates, bands or grids do not fit.
    """
    project, sensor = ws.project, sensor_of(ws.project.sensor)
    scenes = [f.scene for f in findings if f.scene is not None]
    source, season = source_of(project, len(findings) - len(scenes)), project.dates.part_of_year
    off_season = [f.day for f in findings if f.day is not None and outside(season, f.day)]
    before, after = (
        choose_epoch(name, epoch.start, epoch.end, scenes, source=source, season=season, others=off_season)
        for name, epoch in project.dates.ranges
    )
    require_pair(before, after)
    grid = region_of(project, (*before.scenes, *after.scenes)) or region_grid((before, after))
    bands = common_bands((before, after), project.bands)
    before, after = (without_unwanted_masks(project, epoch) for epoch in (before, after))
    model = cloud_model_of(project, sensor, (*before.scenes, *after.scenes))
    return Plan(
        before, after, grid, bands, sensor=sensor, cloud_model=model, unmasked=list_unmasked(project, (before, after)),
        resampled=list_resampled((before, after), bands, grid),
    )  # fmt: skip


def inspect(ws: Workspace, findings: Sequence[Finding]) -> Plan:
    """Choose the scenes and look into their files.

    With `faulty: skip`, faulty scenes are left out and it is chosen again among the others; those that were looked into with
    the same grid and bands are not looked into again.

    Raises:
        InputError: As `choose`; or a scene is not what the config or the catalog describes, and is not to be skipped.
    """
    skip = ws.project.scenes.faulty == "skip"
    skipped = [(f.name, f.fault) for f in findings if f.fault and (f.day is None or _is_wanted(ws, f.day))]
    faulty: set[str] = set()
    sound: set[tuple[str, tuple[str, ...], Grid]] = set()
    seen: dict[str, np.ndarray] = {}
    while True:
        made = choose(ws, [replace(f, scene=None) if f.name in faulty else f for f in findings])
        remaining = [s for epoch in made.epochs for s in epoch.scenes if (s.id, made.bands, made.grid) not in sound]
        faults = _look_into(ws, remaining, made, seen)
        if faults and not skip:
            raise InputError(sum_up(faults))
        if not faults:
            return replace(made, skipped=describe_skipped(skipped), levels=_levels_of(made, seen))
        skipped += faults
        faulty |= {name for name, _ in faults}
        sound |= {(s.id, made.bands, made.grid) for s in remaining if s.id not in faulty}


def _look_into(ws: Workspace, scenes: Sequence[Scene], made: Plan, seen: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Look into scenes of a plan, keep what the first of each date show, and return the faulty ones, with what is wrong."""
    first = {epoch.scenes[0].id for epoch in made.epochs}

    def look(scene: Scene) -> None:
        require_overlap(scene, made.grid)
        values = look_at(ws, scene, made.bands, made.grid)
        if scene.id in first:
            # Not of the others: a season of scenes would fill the memory.
            seen[scene.id] = values

    with step("Looking into the scenes") as advance:
        found = look_into(scenes, look, advance)
    return [(scene.id, str(error)) for scene, error in zip(scenes, found, strict=True) if error is not None]


def _levels_of(made: Plan, seen: Mapping[str, np.ndarray]) -> Levels | None:
    """Return the levels of both dates, from what was seen already; None where a date was not seen, or holds nothing there."""
    looks = [seen.get(epoch.scenes[0].id) for epoch in made.epochs]
    before, after = (None if values is None or not values.shape[1] else values.T.astype(np.float64) for values in looks)
    if before is None or after is None:
        return None
    return measure_levels(before, after, [made.wavelengths_nm.get(band) for band in made.bands])
