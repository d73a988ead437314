"""The configuration as it is published, and hashes of its inputs."""

from typing import Any

from landshift.flows.runtime.versions import versions
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.vector.formats import layer_hash


def config_as_published(ws: Workspace) -> dict[str, Any]:
    """Return the configuration as published: paths relative to the data folder, without what belongs to one machine.

    Subscribers of alerts are private; and schedule, shards, copies, the way of a model into use and plots do not change a run.
    """
    content = ws.project.model_dump(
        mode="json",
        exclude={
            "output": True,
            "alerts": True,
            "monitor": True,
            "release": True,
            "publish": True,
            "plots": True,
            "detect": {"shards"},
        },
    )
    places: list[tuple[Any, str]] = [(content["scenes"], "folder"), (content, "trained_model")]
    labels = content.get("labels") or {}
    places += [(labels.get("polygons"), "path"), (content["model"].get("file"), "path")]
    places += [(content.get("areas_of_interest"), "path")]
    places += [(labels.get("rasters"), name) for name in ("before", "after", "change")]
    for section, key in places:
        if section and section.get(key):
            section[key] = ws.relative(ws.data / section[key])
    return content


def areas_hash(ws: Workspace) -> str | None:
    """Return the hash of the file with the areas of interest, None without one."""
    wanted = ws.project.areas_of_interest
    return None if wanted is None else layer_hash(ws.input(wanted.path, "areas_of_interest: path"))


def raster_tags(ws: Workspace, made: Plan, key: str) -> dict[str, str]:
    """Return the tags of each raster: its origin, for when it travels alone."""
    return {
        "AREA_OR_POINT": "Area",
        "BEFORE_DATE": str(made.before.date),
        "AFTER_DATE": str(made.after.date),
        "PROJECT": ws.project.name,
        "RUN": key,
        "TIFFTAG_SOFTWARE": f"landshift {versions()['landshift']}",
    }
