"""Which scenes a quality band masks, and which a cloud model."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from landshift.flows.config.project import Project
from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.scene import Epoch, Scene
from landshift.pipeline.scenes.sensors import REFLECTANCE, Sensor
from landshift.pipeline.scenes.survey import name_few

_FORMAT = 1
"""Raised whenever the content of a mask changes for the same inputs."""

SIX_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")

FOUR_BANDS = SIX_BANDS[:4]

_TOP_OF_ATMOSPHERE = ("sentinel-2-l1c", "landsat-c2-l1")
"""Sensors whose reflectance is not that of the surface."""


def mask_bands(project: Project) -> tuple[str, ...]:
    """Return the bands that the cloud model of a project may take; none where it wants no model."""
    clouds = project.scenes.clouds
    if not clouds.wants_model:
        return ()
    return FOUR_BANDS if "-4b-" in clouds.model else SIX_BANDS


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
        InputError: Scenes without the bands that it takes, no reflectance, or a sensor whose level is not known.
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
    if config.model == "auto" and not all(set(SIX_BANDS) <= set(scene.bands) for scene in scenes):
        wanted = FOUR_BANDS
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
            "`scenes: clouds: model: auto` cannot know whether the reflectance of sensor custom is that at the top of the "
            f"atmosphere or of the surface. Set `model: ukis-csmask-{len(wanted)}b-l1c` or `ukis-csmask-{len(wanted)}b-l2a`."
        )
    return f"ukis-csmask-{len(wanted)}b-{'l1c' if sensor.name in _TOP_OF_ATMOSPHERE else 'l2a'}"


def list_unmasked(project: Project, epochs: Iterable[Epoch]) -> tuple[str, ...]:
    """List the scenes in which nothing masks clouds, though the config does not declare them free of clouds; sentences."""
    if project.scenes.clouds.mask != "quality":
        return ()
    names = [scene.id for epoch in epochs for scene in epoch.scenes if scene.quality is None]
    if not names:
        return ()
    sensor = next(scene.sensor for epoch in epochs for scene in epoch.scenes)
    shown = name_few(names)
    why = f"the quality band ({sensor.quality}) is not there" if sensor.quality else f"sensor {sensor.name} has no quality band"
    remedy = "Set `scenes: clouds: mask: none` where there are no clouds; a cloud model would need reflectance."
    if sensor.units == REFLECTANCE:
        remedy = "Set `scenes: clouds: mask: model`, or `mask: none` where there are no clouds."
    return (f"Nothing masks clouds in {shown}: {why}. {remedy}",)


def mask_rule(project: Project, scene: Scene, model: str | None) -> list[object] | None:
    """Return the settings that a scene's mask depends on; None where the model does not mask it."""
    if model is None or not needs_model(project, scene):
        return None
    return [_FORMAT, model, _release(), project.scenes.clouds.buffer_px]


@cache
def _release() -> str:
    try:
        return version("ukis-csmask")
    except PackageNotFoundError:
        return "not installed"
