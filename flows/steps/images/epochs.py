"""One analysis-ready image an epoch, made once from the same inputs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.masking import mask_scenes
from landshift.flows.steps.project.masks import mask_rule
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.compose import compose
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.place import place_hash
from landshift.pipeline.scenes.scene import Source

_FORMAT = 3
"""Raised whenever the content of a prepared image changes for the same inputs."""


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
    """What became of moving the image after onto the one before, as `aligning.align` says; None where the config does
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
