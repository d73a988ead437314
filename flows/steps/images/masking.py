"""Cloud masks that a model makes of scenes, made once and lent to other projects."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from landshift.flows.runtime.progress import step
from landshift.flows.steps.project.masks import FOUR_BANDS, SIX_BANDS, mask_rule
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.grid import Grid
from landshift.pipeline.manifest import Manifest, link_or_copy, short_hash, value_hash
from landshift.pipeline.raster.place import place_hash
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scenes.scene import Epoch, Scene, Source

FOLDER = "masks"
"""Of the masks, among the images."""


@dataclass(frozen=True)
class QualityMask:
    """What masks a scene that no cloud model looks at."""

    scene: str
    """Id of the scene."""
    date: str
    """Day of its acquisition."""
    by: str
    """Name of its quality band, `nothing` where it has none."""


@dataclass(frozen=True)
class ModelMask:
    """What a cloud model found in a scene."""

    scene: str
    """Id of the scene."""
    date: str
    """Day of its acquisition."""
    by: str
    """Name of the model."""
    cloud: float
    """Share of the observed pixels, 0..1."""
    shadow: float
    """Share of the observed pixels, 0..1."""
    buffer_px: int
    """Pixels around both that count as not observed too."""
    licence: str
    """Of the model's weights."""
    citation: str
    """Of the model."""
    weights: str
    """Hash of their file."""


SceneMask = ModelMask | QualityMask


def mask_key(ws: Workspace, scene: Scene, model: str | None, grid: Grid) -> str | None:
    """Hash the inputs of a scene's mask; None where the model does not mask it."""
    rule = mask_rule(ws.project, scene, model)
    if rule is None or model is None:
        return None
    sources = [scene.bands[band] for band in _bands_of(model)]
    facts = [
        rule,
        [(ws.relative(s.path), place_hash(s.path), s.band, s.factors) for s in sources],
        [scene.number_offset, scene.sensor.scale, scene.sensor.offset, scene.sensor.nodata],
        [str(grid.crs), tuple(grid.transform)[:6], tuple(grid.shape)],
    ]  # fmt: skip
    return value_hash(facts)


def mask_scenes(ws: Workspace, epoch: Epoch, model: str | None, grid: Grid) -> tuple[Epoch, tuple[SceneMask, ...]]:
    """Make the masks of an epoch's scenes that need one, unless they are there already from the same inputs.

    Returns:
        The epoch with its masks, and what masks each scene.
    """
    masked = [_mask(ws, scene, model, grid) for scene in epoch.scenes]
    return replace(epoch, scenes=tuple(scene for scene, _ in masked)), tuple(mask for _, mask in masked)


def _mask(ws: Workspace, scene: Scene, model: str | None, grid: Grid) -> tuple[Scene, SceneMask]:
    key, day = mask_key(ws, scene, model, grid), str(scene.date)
    if key is None or model is None:
        return scene, QualityMask(scene.id, day, scene.sensor.quality or "" if scene.quality is not None else "nothing")
    name = short_hash(key, 16)
    manifest = ws.manifest(ws.epochs / FOLDER)
    path = manifest.folder / f"{name}.tif"
    if not manifest.is_current(name, key):
        from landshift.models.use.clouds import cloud_classifier, origin
        from landshift.models.use.inference import device_of
        from landshift.pipeline.epochs.clouds import write_cloud_mask

        buffer_px, facts = ws.project.scenes.clouds.buffer_px, origin(model)
        classify = cloud_classifier(model, device_of(ws.project.detect.device))
        tags = {"SCENE": scene.id, "DATE": day, **{k.upper(): v for k, v in facts.items()}}
        with step(f"Masking clouds of {scene.id}") as advance:
            shares = write_cloud_mask(
                path, scene, _bands_of(model), grid, classify=classify, buffer_px=buffer_px, tags=tags, advance=advance
            )
        mask = ModelMask(
            scene.id, day, facts["model"], shares["cloud"], shadow=shares["shadow"], buffer_px=buffer_px,
            licence=facts["licence"], citation=facts["citation"],
            weights=facts["weights"],
        )  # fmt: skip
        manifest.record(name, key, [path], content_of(mask))
    # The same files may be a scene of another name elsewhere.
    known = record_of(ModelMask, manifest.facts(name) | {"scene": scene.id, "date": day}, str(manifest.folder))
    return replace(scene, mask=Source(path, 1)), known


def borrow_masks(ws: Workspace, scenes: Iterable[Scene], model: str | None, grid: Grid, folders: Iterable[Path]) -> None:
    """Take over masks that were made elsewhere from the same inputs: each date is masked once."""
    keys = [mask_key(ws, scene, model, grid) for scene in scenes]
    ours = ws.manifest(ws.epochs / FOLDER)
    theirs = [Manifest(folder) for folder in folders if folder != ours.folder]
    for key in filter(None, keys):
        name = short_hash(key, 16)
        lender = None if ours.is_current(name, key) else next((m for m in theirs if m.is_current(name, key)), None)
        if lender is not None:
            ours.folder.mkdir(parents=True, exist_ok=True)
            path = ours.folder / f"{name}.tif"
            path.unlink(missing_ok=True)
            link_or_copy(lender.folder / path.name, path)
            ours.record(name, key, [path], lender.facts(name))


def _bands_of(model: str) -> tuple[str, ...]:
    return FOUR_BANDS if "-4b-" in model else SIX_BANDS
