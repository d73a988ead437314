"""The configuration as it is published, and hashes of its inputs."""

from typing import Any

from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.manifest import file_hash


def published_config(ws: Workspace) -> dict[str, Any]:
    """Return the configuration without what belongs to one machine: paths become relative to the data folder.

    Who is told of changes, and where, is nobody's business but the sender's; and when a run is made, in how many shards, or how
    its model came into use, makes it no other one.
    """
    content = ws.project.model_dump(
        mode="json", exclude={"output": True, "alerts": True, "monitor": True, "release": True, "detect": {"shards"}}
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
    """Return the hash of the file with the areas of interest, None where there is none."""
    wanted = ws.project.areas_of_interest
    return None if wanted is None else file_hash(ws.input(wanted.path, "areas_of_interest: path"))
