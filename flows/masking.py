"""Masking: which scenes a quality band masks, which a cloud model, and the masks that the model makes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flows.config import Project
from flows.progress import step
from flows.workspace import Workspace
from pipeline.errors import InputError
from pipeline.grid import Grid
from pipeline.href import place_hash
from pipeline.manifest import Manifest, link_or_copy, value_hash
from pipeline.scene import Epoch, Scene, Source
from pipeline.sensors import REFLECTANCE, Sensor

_FORMAT = 1
"""Raised whenever the content of a mask changes for the same inputs."""
_SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
_FOUR = _SIX[:4]
_NAMED = 3
"""Scenes that a sentence names at most."""
FOLDER = "masks"
"""Of the masks, among the images."""


def mask_bands(project: Project) -> tuple[str, ...]:
    """Return the bands that the cloud model of a project may take; none where it wants no model."""
    clouds = project.scenes.clouds
    if not clouds.wants_model:
        return ()
    return _FOUR if "-4b-" in clouds.model else _SIX


def without_unwanted_masks(project: Project, epoch: Epoch) -> Epoch:
    """Forget the quality bands of an epoch's scenes where the config wants another mask, or none."""
    if project.scenes.clouds.mask in ("quality", "auto"):
        return epoch
    return replace(epoch, scenes=tuple(replace(scene, quality=None) for scene in epoch.scenes))


def needs_model(project: Project, scene: Scene) -> bool:
    """Whether the cloud model masks a scene."""
    return project.scenes.clouds.wants_model and scene.quality is None


def cloud_model_of(project: Project, sensor: Sensor, scenes: Sequence[Scene]) -> str | None:
    """Return the cloud model that masks scenes; None where none of them needs one.

    Raises:
        InputError: Scenes without the bands that it takes, no reflectance, or a sensor that does not say of which level it is.
    """
    scenes = [scene for scene in scenes if needs_model(project, scene)]
    if not scenes:
        return None
    config = project.scenes.clouds
    if sensor.units != REFLECTANCE:
        raise InputError(
            f"`scenes: clouds: mask: {config.mask}`: a cloud model takes reflectance, and the scenes hold {sensor.units}. "
            f"Correct `sensor: units:` and `scale:`, or set `mask: none`."
        )
    wanted = mask_bands(project)
    if config.model == "auto" and not all(set(_SIX) <= set(scene.bands) for scene in scenes):
        wanted = _FOUR
    for scene in scenes:
        missing = [band for band in wanted if band not in scene.bands]
        if missing:
            raise InputError(
                f"{scene.paths[0]} lacks the band {missing[0]}, which the cloud model takes ({', '.join(wanted)}); it has "
                f"{', '.join(scene.bands)}. Add the band, or set `scenes: clouds: mask: none`."
            )
    if config.model != "auto":
        return config.model
    if sensor.name == "custom":
        raise InputError(
            "`scenes: clouds: model: auto` cannot tell whether the reflectance of sensor custom is that at the top of the "
            f"atmosphere or of the surface. Set `model: ukis-csmask-{len(wanted)}b-l1c` or `ukis-csmask-{len(wanted)}b-l2a`."
        )
    return f"ukis-csmask-{len(wanted)}b-{'l1c' if sensor.name.endswith('l1c') else 'l2a'}"


def unmasked(project: Project, epochs: Iterable[Epoch]) -> tuple[str, ...]:
    """Say in which scenes nothing masks clouds, though the config does not say that there are none."""
    if project.scenes.clouds.mask != "quality":
        return ()
    names = [scene.id for epoch in epochs for scene in epoch.scenes if scene.quality is None]
    if not names:
        return ()
    sensor = next(scene.sensor for epoch in epochs for scene in epoch.scenes)
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    why = f"the quality band ({sensor.quality}) is not there" if sensor.quality else f"sensor {sensor.name} has no quality band"
    remedy = "mask: model`, or `mask: none` where there are no clouds." if sensor.units == REFLECTANCE else (
        "mask: none` where there are no clouds; a cloud model would need reflectance."
    )  # fmt: skip
    return (f"Nothing masks clouds in {shown}: {why}. Set `scenes: clouds: {remedy}",)


def mask_rule(project: Project, scene: Scene, model: str | None) -> list[object] | None:
    """Return what makes a scene's mask what it is, beside the scene itself; None where the model does not mask it."""
    if model is None or not needs_model(project, scene):
        return None
    return [_FORMAT, model, _release(), project.scenes.clouds.buffer_px]


def mask_key(ws: Workspace, scene: Scene, model: str | None, grid: Grid) -> str | None:
    """Return what the inputs of a scene's mask come to; None where the model does not mask it."""
    rule = mask_rule(ws.project, scene, model)
    if rule is None or model is None:
        return None
    sources = [scene.bands[band] for band in _bands_of(model)]
    facts = [
        rule,
        [(ws.relative(s.path), place_hash(s.path), s.band) for s in sources],
        [scene.number_offset, scene.sensor.scale, scene.sensor.offset, scene.sensor.nodata],
        [str(grid.crs), tuple(grid.transform)[:6], tuple(grid.shape)],
    ]  # fmt: skip
    return value_hash(facts)


def mask_scenes(ws: Workspace, epoch: Epoch, model: str | None, grid: Grid) -> tuple[Epoch, list[dict[str, Any]]]:
    """Make the masks of an epoch's scenes that need one, unless they are there already from the same inputs.

    Returns:
        The epoch with its masks, and for each scene what masks it: `scene`, `date`, `by`, and of a model `cloud` and `shadow`,
        the shares of what was observed, `buffer_px`, `licence`, `citation` and `weights`.
    """
    scenes, said = [], []
    for scene in epoch.scenes:
        masked, facts = _mask(ws, scene, model, grid)
        scenes.append(masked)
        said.append({"scene": scene.id, "date": str(scene.date), **facts})
    return replace(epoch, scenes=tuple(scenes)), said


def _mask(ws: Workspace, scene: Scene, model: str | None, grid: Grid) -> tuple[Scene, dict[str, Any]]:
    key = mask_key(ws, scene, model, grid)
    if key is None or model is None:
        return scene, {"by": scene.sensor.quality if scene.quality is not None else "nothing"}
    name = key[7:23]
    manifest = ws.manifest(ws.epochs / FOLDER)
    path = manifest.folder / f"{name}.tif"
    if not manifest.is_current(name, key):
        from models.clouds import cloud_classifier, origin
        from models.inference import device_of
        from pipeline.cloud_mask import write_cloud_mask

        buffer_px, facts = ws.project.scenes.clouds.buffer_px, origin(model)
        classify = cloud_classifier(model, device_of(ws.project.detect.device))
        tags = {"SCENE": scene.id, "DATE": str(scene.date), **{k.upper(): v for k, v in facts.items()}}
        with step(f"Masking clouds of {scene.id}") as advance:
            shares = write_cloud_mask(
                path, scene, _bands_of(model), grid, classify, buffer_px=buffer_px, tags=tags, advance=advance
            )
        manifest.record(name, key, [path], {"by": facts.pop("model"), **shares, "buffer_px": buffer_px, **facts})
    return replace(scene, mask=Source(path, 1)), manifest.facts(name)


def borrow_masks(ws: Workspace, scenes: Iterable[Scene], model: str | None, grid: Grid, folders: Iterable[Path]) -> None:
    """Take over masks that were made elsewhere from the same inputs: each date is masked once."""
    keys = [mask_key(ws, scene, model, grid) for scene in scenes]
    ours = ws.manifest(ws.epochs / FOLDER)
    theirs = [Manifest(folder) for folder in folders if folder != ours.folder]
    for key in filter(None, keys):
        name = key[7:23]
        lender = None if ours.is_current(name, key) else next((m for m in theirs if m.is_current(name, key)), None)
        if lender is not None:
            ours.folder.mkdir(parents=True, exist_ok=True)
            path = ours.folder / f"{name}.tif"
            path.unlink(missing_ok=True)
            link_or_copy(lender.folder / path.name, path)
            ours.record(name, key, [path], lender.facts(name))


def _bands_of(model: str) -> tuple[str, ...]:
    return _FOUR if "-4b-" in model else _SIX


@cache
def _release() -> str:
    try:
        return version("ukis-csmask")
    except PackageNotFoundError:
        return "not installed"
