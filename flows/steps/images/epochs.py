"""One analysis-ready image an epoch, made once from the same inputs."""

from dataclasses import dataclass, replace
from pathlib import Path

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.masking import SceneMask, mask_scenes
from landshift.flows.steps.project.masks import mask_rule
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.compose import compose
from landshift.pipeline.epochs.matching import AS_IT_IS, PairSource, Radiometry
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.place import place_hash
from landshift.pipeline.records import IfAny, content_of, record_of
from landshift.pipeline.scenes.scene import Source

_FORMAT = 4
"""Raised whenever the content of a prepared image changes for the same inputs."""


@dataclass(frozen=True)
class EpochImage:
    """The analysis-ready image of one epoch, on the region's grid."""

    path: Path
    """float32 GeoTIFF, a band each, NaN where not observed."""
    hash: str
    """Of the file's bytes."""
    observed: float
    """Share of pixels observed, 0..1."""
    clouds: tuple[SceneMask, ...] = ()
    """What masks each scene, in the order of the epoch."""

    @property
    def observation(self) -> Path:
        """The observation layer beside the image: int32, how many acquisitions observed a pixel, and the day used."""
        return self.path.with_name(f"{self.path.stem}_observation.tif")


@dataclass(frozen=True)
class Correction:
    """What became of moving the image after onto the one before."""

    moved: tuple[float, float] | None
    """Pixels (y, x) that it was moved by; None where it was left as it is."""
    was: float | None
    """Length of the shift in pixels before; None where it could not be measured."""
    now: float | None
    """The same afterwards."""
    observed: IfAny[float] = None
    """Share of the moved image that is observed, 0..1; None where none was written."""
    sentence: str = ""
    """The same for people."""


@dataclass(frozen=True)
class Pair:
    """Images before and after on one grid, with the same bands, order and units, and the plan that they were made by."""

    plan: Plan
    """Scenes, grid and bands of both epochs: made once a run, and carried with the images."""
    before: EpochImage
    """Image of the epoch before."""
    after: EpochImage
    """Image of the epoch after, moved onto the one before where that was asked for and helped."""
    correction: Correction | None = None
    """What became of moving the image after; None where the config does not ask for it."""
    radiometry: Radiometry = AS_IT_IS
    """How its pixels become what a model is given."""

    @property
    def images(self) -> tuple[Path, Path]:
        """Files of the images, before and after."""
        return self.before.path, self.after.path

    @property
    def source(self) -> PairSource:
        """The images, as a model is given them."""
        return PairSource(self.before.path, self.after.path, self.radiometry)

    @property
    def hashes(self) -> tuple[str, str]:
        """Hashes of the images, before and after."""
        return self.before.hash, self.after.hash

    @property
    def key(self) -> str:
        """Hash of what a model is given: the images and their radiometry."""
        return value_hash([self.hashes, content_of(self.radiometry)])

    @property
    def observations(self) -> tuple[Path, Path]:
        """Observation layers, before and after."""
        return self.before.observation, self.after.observation

    def absolute(self) -> "Pair":
        """Return the same images as another process finds them, whatever its working directory.

        Scenes stay behind: other processes read the images alone, and an address may be signed.
        """
        before, after = (replace(image, path=image.path.resolve()) for image in (self.before, self.after))
        earlier, later = (replace(epoch, scenes=()) for epoch in self.plan.epochs)
        return replace(self, plan=replace(self.plan, before=earlier, after=later), before=before, after=after)


def epoch_key(ws: Workspace, made: Plan, name: str) -> str:
    """Hash the inputs of an epoch's image: two epochs with one key have the same image, byte by byte."""
    epoch = made.before if name == "before" else made.after
    rule = ws.project.dates.composite
    facts = {
        "format": _FORMAT,
        "files": {ws.relative(p): place_hash(p) for s in epoch.scenes for p in s.paths},
        "scenes": [[_place(ws, s.bands[b]) for b in made.bands] + [_place(ws, s.quality)] for s in epoch.scenes],
        "sensor": [s.sensor.name for s in epoch.scenes],
        "dates": [str(s.date) for s in epoch.scenes],
        "numbers": [[s.number_offset, s.sensor.scale, s.sensor.offset, s.sensor.nodata, s.sensor.units] for s in epoch.scenes],
        "factors": [[s.bands[b].factors for b in made.bands] for s in epoch.scenes],
        "acquired": [[s.platform, str(s.acquired)] for s in epoch.scenes],
        "bands": made.bands,
        "masks": [mask_rule(ws.project, s, made.cloud_model) for s in epoch.scenes],
        "composite": rule,
        "cloud_cover": [s.cloud_cover for s in epoch.scenes] if rule == "least-cloudy" else None,
        "grid": [str(made.grid.crs), tuple(made.grid.transform)[:6], tuple(made.grid.shape)],
    }
    return value_hash(facts)


def prepare_epoch(ws: Workspace, made: Plan, name: str) -> EpochImage:
    """Make an epoch's image, unless it is there already from the same inputs."""
    epoch = made.before if name == "before" else made.after
    key = epoch_key(ws, made, name)
    image, observation = ws.epochs / f"{name}.tif", ws.epochs / f"{name}_observation.tif"
    manifest = ws.manifest(ws.epochs)
    if not manifest.is_current(name, key):
        epoch, clouds = mask_scenes(ws, epoch, made.cloud_model, made.grid)
        with step(f"Preparing {name} ({epoch.date})") as advance:
            observed = compose(
                epoch, made.bands, made.grid, image, observation=observation, advance=advance, rule=ws.project.dates.composite
            )
        manifest.record(name, key, [image, observation], content_of(_Facts(observed, clouds)))
    files = manifest.entries()[name]["files"]
    facts = record_of(_Facts, manifest.facts(name), str(ws.epochs))
    return EpochImage(image, files[image.name], facts.observed, facts.clouds)


@dataclass(frozen=True)
class _Facts:
    """What the manifest keeps of an image."""

    observed: float
    """Share of pixels observed, 0..1."""
    clouds: tuple[SceneMask, ...]
    """What masks each scene."""


def _place(ws: Workspace, source: Source | None) -> list[str | int] | None:
    """Return which band of which file is read."""
    return None if source is None else [ws.relative(source.path), source.band]
