"""The key of a detect run, and the finished run of a key."""

from typing import Any

from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.adapting import adaptation_in_use
from landshift.flows.steps.assessment.current import assessment_of
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.published import areas_hash, config_as_published
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.run import Detected
from landshift.pipeline.manifest import file_hash, short_hash, value_hash
from landshift.pipeline.records import content_of
from landshift.pipeline.run.record import read_run


def run_key(ws: Workspace, prepared: Pair) -> str:
    """Hash a run's inputs, model and settings, 16 characters."""
    from landshift.models.use.bundle import MODEL

    parts: list[Any] = [prepared.key, file_hash(ws.model_in_use / MODEL), config_as_published(ws), versions()]
    parts += [content_of(adaptation_in_use(ws, prepared)), content_of(assessment_of(ws, prepared)), areas_hash(ws)]
    return short_hash(value_hash(parts), 16)


def find_finished(ws: Workspace, key: str) -> Detected | None:
    """Return the run where it is there already, whole and unharmed, from the same inputs."""
    if not ws.manifest(ws.run).is_current("run", key):
        return None
    areas = read_run(ws.run).areas
    return Detected(ws.run, areas.changed_ha, areas.polygons, False)
