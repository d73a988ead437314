"""The key of a detect run, the finished run of a key, and what is asked before it is mapped."""

import shutil
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
from landshift.pipeline.run_files import manifest_of_run


def run_key(ws: Workspace, prepared: Pair) -> str:
    """Hash a run's inputs, model and settings, 16 characters."""
    parts: list[Any] = [prepared.key, _settings(ws), versions(), areas_hash(ws)]
    if ws.project.detect.method == "model":
        from landshift.models.use.bundle import MODEL

        parts += [file_hash(ws.model_in_use / MODEL), content_of(adaptation_in_use(ws, prepared))]
        parts += [content_of(assessment_of(ws, prepared))]
    return short_hash(value_hash(parts), 16)


def _settings(ws: Workspace) -> object:
    """Return the settings that a map follows from; official classes are for the tables of its estimates alone."""
    return {key: value for key, value in config_as_published(ws).items() if key != "crosswalk"}


def find_finished(ws: Workspace, key: str) -> Detected | None:
    """Return the run where it is there already, whole and unharmed, from the same inputs; nothing is left to be done for it."""
    if not manifest_of_run(ws.run).is_current("run", key):
        return None
    areas = read_run(ws.run).areas
    shutil.rmtree(ws.work, ignore_errors=True)  # a kill may have come between the two
    return Detected(ws.run, areas.changed_ha, areas.polygons, False)
