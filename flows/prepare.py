"""Prepare: choose the scenes, and make one analysis-ready image an epoch."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.aligning import align
from flows.config import Project
from flows.finding import find_scenes, look_at, region_of, source_of
from flows.masking import cloud_model_of, mask_rule, mask_scenes, unmasked, without_unwanted_masks
from flows.progress import step
from flows.scene_sections import SensorConfig
from flows.workspace import Workspace, workspace
from pipeline.catalog import choose_epoch, common_bands, region_grid, require_pair
from pipeline.composite import compose, require_overlap
from pipeline.errors import InputError
from pipeline.grid import Grid
from pipeline.href import place_hash
from pipeline.legend import LandUse, Legend
from pipeline.manifest import value_hash
from pipeline.scene import Epoch, Source
from pipeline.season import outside
from pipeline.sensors import Sensor, custom_sensor, sensor_named
from pipeline.survey import Finding

_FORMAT = 3
"""Raised whenever the content of a prepared image changes for the same inputs."""


@dataclass(frozen=True)
class Plan:
    """What a project comes to, from metadata alone."""

    before: Epoch
    """Earlier."""
    after: Epoch
    """Later."""
    grid: Grid
    """Of the region."""
    bands: tuple[str, ...]
    """In order."""
    sensor: Sensor
    """Of every scene."""
    skipped: tuple[str, ...] = ()
    """Scenes that could have been used and are faulty, each with what is wrong; sentences."""
    cloud_model: str | None = None
    """What masks the scenes that need it; None where none does."""
    unmasked: tuple[str, ...] = ()
    """In which scenes nothing masks clouds, though nobody said that there are none; sentences."""

    @property
    def epochs(self) -> tuple[Epoch, Epoch]:
        """Before, after."""
        return self.before, self.after

    @property
    def wavelengths_nm(self) -> dict[str, float]:
        """Centre wavelength of each band that has a known one."""
        return {b.name: b.wavelength_nm for b in self.sensor.bands if b.name in self.bands and b.wavelength_nm}


@dataclass(frozen=True)
class Prepared:
    """The images that the next steps read."""

    before: Path
    """Image of the epoch before."""
    after: Path
    """Image of the epoch after."""
    hashes: tuple[str, str]
    """Of both files."""
    observed: tuple[float, float]
    """Share of pixels observed on each date, 0..1."""
    correction: dict[str, Any] | None = None
    """What became of moving the image after onto the one before, as `flows.aligning.align` says; None where the config does
    not ask for it."""

    @property
    def images(self) -> tuple[Path, Path]:
        """Before, after."""
        return self.before, self.after

    def absolute(self) -> "Prepared":
        """Return the same images as another process finds them, whatever its working directory."""
        return replace(self, before=self.before.resolve(), after=self.after.resolve())

    @property
    def observations(self) -> tuple[Path, Path]:
        """The observation layers beside the images, before and after."""
        before, after = (image.with_name(f"{image.stem}_observation.tif") for image in self.images)
        return before, after


def legend_of(project: Project) -> Legend:
    """Build the project's legend."""
    return Legend(tuple(LandUse(c.code, c.name, c.colour) for c in project.legend))


def sensor_of(config: SensorConfig) -> Sensor:
    """Build the project's sensor."""
    if config.name != "custom":
        return sensor_named(config.name)
    nodata = None if config.nodata in ("none", None) else float(config.nodata)
    scale = 1.0 if config.scale is None else config.scale
    return custom_sensor(
        config.bands, scale=scale, offset=config.offset, nodata=nodata, units=config.units,
        wavelengths_nm=config.wavelengths_nm,
    )  # fmt: skip


def plan(ws: Workspace) -> Plan:
    """Find and choose the scenes, and check everything that metadata can tell.

    Raises:
        InputError: Anything about the scenes, dates, bands or grids that does not fit.
    """
    sensor = sensor_of(ws.project.sensor)
    skip = ws.project.scenes.faulty == "skip"
    findings = find_scenes(ws, sensor, tolerant=skip)
    skipped = [f for f in findings if f.fault and (f.day is None or _is_wanted(ws, f.day))]
    said = [f"{f.name} was skipped: {f.fault}" for f in skipped]
    while True:
        made = _chosen(ws, sensor, findings)
        for scene in (scene for epoch in made.epochs for scene in epoch.scenes):
            try:
                require_overlap(scene, made.grid)
                look_at(ws, scene, made.bands, made.grid)
            except InputError as error:
                if not skip:
                    raise
                said.append(f"{scene.id} was skipped: {error}")
                findings = [f for f in findings if f.scene is None or f.scene.id != scene.id]
                break
        else:
            return replace(made, skipped=tuple(said))


def _is_wanted(ws: Workspace, day: date) -> bool:
    epochs = ws.project.epochs
    return not outside(epochs.part_of_year, day) and any(epoch.start <= day <= epoch.end for _, epoch in epochs.ranges)


def _chosen(ws: Workspace, sensor: Sensor, findings: Sequence[Finding]) -> Plan:
    """Choose among the scenes that were found, without looking into them."""
    project = ws.project
    scenes = [f.scene for f in findings if f.scene is not None]
    source, season = source_of(project, len(findings) - len(scenes)), project.epochs.part_of_year
    off_season = [f.day for f in findings if f.day is not None and outside(season, f.day)]
    before, after = (
        choose_epoch(name, epoch.start, epoch.end, scenes, source, season, off_season) for name, epoch in project.epochs.ranges
    )
    require_pair(before, after)
    grid = region_of(project) or region_grid((before, after))
    bands = common_bands((before, after), project.bands)
    before, after = (without_unwanted_masks(project, epoch) for epoch in (before, after))
    model = cloud_model_of(project, sensor, (*before.scenes, *after.scenes))
    return Plan(before, after, grid, bands, sensor, cloud_model=model, unmasked=unmasked(project, (before, after)))


def require_disk(ws: Workspace, made: Plan) -> None:
    """Refuse a disk that is too small for the images and maps, before any of them is written.

    Raises:
        InputError: Less is free than needed, counting what earlier runs of this project wrote as free.
    """
    needed = needed_bytes(made, moved=ws.project.gates.misregistration_px.correct)
    free = free_bytes(ws)
    if needed > free:
        earlier = (ws.epochs, ws.work, ws.run)
        free += sum(p.lstat().st_size for folder in earlier for p in folder.rglob("*") if p.is_file())
    if needed > free:
        raise InputError(
            f"{ws.output} has {free / 1e9:,.3g} GB free; the images and maps of {made.grid.shape[0]} x {made.grid.shape[1]} "
            f"pixels need up to {needed / 1e9:,.3g} GB. Free some, choose another folder with --output, or set a "
            f"smaller `grid:`."
        )


def needed_bytes(made: Plan, *, moved: bool = False) -> int:
    """Return what two float32 images, two observation layers, the maps, their shards and the images to look at take.

    Nothing is taken off for compression.

    Args:
        made: The plan.
        moved: Whether the image after may be there a second time, moved onto the one before.
    """
    epochs = 3 if moved else 2
    return int(made.grid.shape[0] * made.grid.shape[1] * (epochs * (4 * len(made.bands) + 8) + 22))


def free_bytes(ws: Workspace) -> int:
    """Return what is free where the outputs go."""
    return shutil.disk_usage(ws.output).free


def epoch_key(ws: Workspace, made: Plan, name: str) -> str:
    """Return what the inputs of an epoch's image come to: two epochs with one key have the same image, byte by byte."""
    epoch = made.before if name == "before" else made.after
    sensor, rule = made.sensor, ws.project.epochs.composite
    facts = {
        "format": _FORMAT,
        "files": {ws.relative(p): place_hash(p) for s in epoch.scenes for p in s.paths},
        "scenes": [[_place(ws, s.bands[b]) for b in made.bands] + [_place(ws, s.quality)] for s in epoch.scenes],
        "sensor": sensor.name,
        "dates": [str(s.date) for s in epoch.scenes],
        "numbers": [[s.number_offset, sensor.scale, sensor.offset, sensor.nodata, sensor.units] for s in epoch.scenes],
        "acquired": [[s.platform, str(s.acquired)] for s in epoch.scenes],
        "bands": made.bands,
        "masks": [mask_rule(ws.project, s, made.cloud_model) for s in epoch.scenes],
        "composite": rule,
        "cloud_cover": [s.cloud_cover for s in epoch.scenes] if rule == "least-cloudy" else None,
        "grid": [str(made.grid.crs), tuple(made.grid.transform)[:6], tuple(made.grid.shape)],
    }
    return value_hash(facts)


def prepare_epoch(ws: Workspace, made: Plan, name: str) -> dict[str, Any]:
    """Make an epoch's image, unless it is there already from the same inputs.

    Returns:
        `path`, `hash` and `observed` of the image.
    """
    epoch = made.before if name == "before" else made.after
    key = epoch_key(ws, made, name)
    image, observation = ws.epochs / f"{name}.tif", ws.epochs / f"{name}_observation.tif"
    manifest = ws.manifest(ws.epochs)
    if not manifest.is_current(name, key):
        epoch, clouds = mask_scenes(ws, epoch, made.cloud_model, made.grid)
        with step(f"Preparing {name} ({epoch.date})") as advance:
            observed = compose(epoch, made.bands, made.grid, image, observation, advance, ws.project.epochs.composite)
        manifest.record(name, key, [image, observation], {"observed": observed, "clouds": clouds})
    files = manifest.entries()[name]["files"]
    return {"path": image, "hash": files[image.name], "observed": manifest.facts(name)["observed"]}


def _place(ws: Workspace, source: Source | None) -> list[str | int] | None:
    """Return which band of which file is read."""
    return None if source is None else [ws.relative(source.path), source.band]


def is_worth_retrying(_task: object, _run: object, state: Any) -> bool:  # noqa: ANN401 (Prefect's state)
    """Tell Prefect that bad input stays bad, while a full disk or a lost share may pass."""
    try:
        state.result()
    except InputError:
        return False
    except Exception:
        # Whatever else a step raised is worth another try.
        return True
    return False


def as_task(function: Callable[..., Any], name: str) -> Any:  # noqa: ANN401 (Prefect's Task is generic in the signature)
    """Make a Prefect task of a step.

    Steps keep their own record of what is done, by content, so Prefect's cache stays off.
    """
    make = task(
        name=name, retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=is_worth_retrying, cache_policy=NO_CACHE,
        persist_result=False,
    )  # fmt: skip
    return make(function)


prepare_epoch_task = as_task(prepare_epoch, "prepare-epoch")
align_task = as_task(align, "align")


@flow(name="prepare", persist_result=False)
def prepare(project: Project, data: Path, output: Path | None = None, allow_outside: bool = False) -> Prepared:
    """Make the images of both epochs."""
    ws = workspace(project, data, output, allow_outside=allow_outside)
    ws.require_writable()
    made = plan(ws)
    before, after = (prepare_epoch_task(ws, made, name) for name in ("before", "after"))
    correction = None
    if ws.project.gates.misregistration_px.correct:
        after, correction = align_task(ws, before, after)
    hashes, observed = ((before[key], after[key]) for key in ("hash", "observed"))
    return Prepared(before["path"], after["path"], hashes, observed, correction)


def artifact_name(project: Project) -> str:
    """Return the project's name as Prefect allows it in an artifact's key: lowercase letters, digits and dashes."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in project.name.lower())
