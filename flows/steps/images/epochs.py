"""One analysis-ready image an epoch, made once from the same inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.masking import SceneMask, mask_scenes
from landshift.flows.steps.project.masks import mask_rule
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.compose import compose
from landshift.pipeline.epochs.matching import AS_IT_IS, PairSource, Radiometry
from landshift.pipeline.epochs.observed import Observation, require_observed
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.images import ImageSource
from landshift.pipeline.raster.place import RasterPlace, place_hash
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scenes.image import SceneImage, is_read_in_place
from landshift.pipeline.scenes.scene import Epoch, Source

_FORMAT = 5
"""Raised whenever the content of an image changes for the same inputs."""


@dataclass(frozen=True)
class EpochImage:
    """The analysis-ready image of one epoch, on the region's grid."""

    image: ImageSource
    """float32, a band each, NaN where not observed: a GeoTIFF that was made, or the one scene, read where it lies."""
    hash: str
    """Of the file's bytes; of a scene of those of its files and of how they are read."""
    observation: Observation
    """Which day each pixel shows."""
    clouds: tuple[SceneMask, ...] = ()
    """What masks each scene, in the order of the epoch."""
    sources: tuple[str, ...] = ()
    """Hash of each file of the scenes, as `place_hash` returns it, in the order of the epoch."""

    def absolute(self) -> "EpochImage":
        """Return the same image as another process finds it, whatever its working directory."""
        image = self.image.absolute() if isinstance(self.image, SceneImage) else self.image
        seen = self.observation
        return replace(
            self, image=image.resolve() if isinstance(image, Path) else image,
            observation=seen.resolve() if isinstance(seen, Path) else seen,
        )  # fmt: skip


@dataclass(frozen=True)
class Correction:
    """What became of moving the image after onto the one before."""

    moved: tuple[float, float] | None
    """Pixels (y, x) that it was moved by; None where it was left as it is."""
    was: float | None
    """Length of the shift in pixels before; None where it could not be measured."""
    now: float | None
    """The same afterwards."""
    sentence: str = ""
    """The same for people."""


@dataclass(frozen=True)
class Pair:
    """Images before and after on one grid, with the same bands, order and units, and the plan that they were made by."""

    plan: Plan
    """Scenes, grid and bands of both epochs: made once a run, and carried with the images."""
    before: EpochImage
    """ImageSource of the epoch before."""
    after: EpochImage
    """ImageSource of the epoch after, moved onto the one before where that was asked for and helped."""
    correction: Correction | None = None
    """What became of moving the image after; None where the config does not ask for it."""
    radiometry: Radiometry = AS_IT_IS
    """How its pixels become what a model is given."""

    @property
    def images(self) -> tuple[ImageSource, ImageSource]:
        """The images, before and after."""
        return self.before.image, self.after.image

    @property
    def source(self) -> PairSource:
        """The images, as a model is given them."""
        return PairSource(*self.images, self.radiometry)

    @property
    def hashes(self) -> tuple[str, str]:
        """Hashes of the images, before and after."""
        return self.before.hash, self.after.hash

    @property
    def key(self) -> str:
        """Hash of what a model is given: the images and their radiometry."""
        return value_hash([self.hashes, content_of(self.radiometry)])

    @property
    def observations(self) -> tuple[Observation, Observation]:
        """Which day each pixel shows, before and after."""
        return self.before.observation, self.after.observation

    def absolute(self) -> "Pair":
        """Return the same images as another process finds them, whatever its working directory.

        The plan's scenes stay behind: other processes read the images alone, and an address may be signed.
        """
        earlier, later = (replace(epoch, scenes=()) for epoch in self.plan.epochs)
        plan = replace(self.plan, before=earlier, after=later)
        return replace(self, plan=plan, before=self.before.absolute(), after=self.after.absolute())


def hash_sources(epoch: Epoch) -> dict[RasterPlace, str]:
    """Hash each file of the scenes of an epoch, in their order."""
    return {p: place_hash(p) for s in epoch.scenes for p in s.paths}


def epoch_key(ws: Workspace, made: Plan, name: str, hashes: Mapping[RasterPlace, str] | None = None) -> str:
    """Hash the inputs of an epoch's image: two epochs with one key have the same image, byte by byte.

    Args:
        ws: The project.
        made: Its plan.
        name: `before` or `after`.
        hashes: From `hash_sources`; files are read for them where None.
    """
    epoch = made.before if name == "before" else made.after
    # Of one scene nothing is composed, whatever the rule.
    rule = ws.project.dates.composite if len(epoch.scenes) > 1 else None
    hashes = hash_sources(epoch) if hashes is None else hashes
    facts = {
        "format": _FORMAT,
        "scenes": [[_place(hashes, s.bands[b]) for b in made.bands] + [_place(hashes, s.quality)] for s in epoch.scenes],
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
    """Return an epoch's image: of one scene that lies here, the scene itself; else made, unless it is there already.

    Raises:
        InputError: No scene overlaps the grid, or nothing was observed.
    """
    epoch = made.before if name == "before" else made.after
    if len(epoch.scenes) > 1 or not is_read_in_place(epoch.scenes[0]):
        return make_image(ws, made, name)
    hashes = hash_sources(epoch)
    key, sources = epoch_key(ws, made, name, hashes), tuple(hashes[p] for s in epoch.scenes for p in s.paths)
    epoch, clouds = mask_scenes(ws, epoch, made.cloud_model, made.grid)
    scene = epoch.scenes[0]
    manifest = ws.manifest(ws.epochs)
    image = SceneImage(scene, made.bands, made.grid)
    if not manifest.is_current(name, key):
        require_observed(epoch, image)
        manifest.record(name, key, [], content_of(_Facts(clouds)))
    return EpochImage(image, key, scene.date, clouds, sources=sources)


def make_image(ws: Workspace, made: Plan, name: str) -> EpochImage:
    """Make an epoch's image as a file, unless it is there already from the same inputs."""
    epoch = made.before if name == "before" else made.after
    hashes = hash_sources(epoch)
    key, sources = epoch_key(ws, made, name, hashes), tuple(hashes[p] for s in epoch.scenes for p in s.paths)
    image, observation = ws.epochs / f"{name}.tif", ws.epochs / f"{name}_observation.tif"
    manifest = ws.manifest(ws.epochs)
    made_here = manifest.is_current(name, key) and image.name in manifest.entries()[name]["files"]
    if not made_here:
        epoch, clouds = mask_scenes(ws, epoch, made.cloud_model, made.grid)
        with step(f"Preparing {name} ({epoch.date})") as advance:
            compose(
                epoch, made.bands, made.grid, image, observation=observation, advance=advance, rule=ws.project.dates.composite
            )
        manifest.record(name, key, [image, observation], content_of(_Facts(clouds)))
    files = manifest.entries()[name]["files"]
    facts = record_of(_Facts, manifest.facts(name), str(ws.epochs))
    return EpochImage(image, files[image.name], observation, facts.clouds, sources=sources)


@dataclass(frozen=True)
class _Facts:
    """What the manifest keeps of an image."""

    clouds: tuple[SceneMask, ...]
    """What masks each scene."""


def _place(hashes: Mapping[RasterPlace, str], source: Source | None) -> tuple[str, int] | None:
    """Return which band of which content is read, whatever the name of its file."""
    return None if source is None else (hashes[source.path], source.band)
