"""Prepare: choose the scenes, and make one analysis-ready image an epoch."""

from pathlib import Path

from landshift.flows.config.project import Project
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.steps.images.aligning import align
from landshift.flows.steps.images.epochs import EpochImage, Pair, prepare_epoch
from landshift.flows.steps.images.gating import gates_of_data, measure, require_all_open
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.project.plan import Plan, plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.epochs.gates import Measured
from landshift.pipeline.epochs.matching import Radiometry
from landshift.pipeline.gates import Gate

prepare_epoch_task = as_task(prepare_epoch, "prepare-epoch")
measure_task = as_task(measure, "measure-images")
align_task = as_task(align, "align")
match_dates_task = as_task(match_dates, "match-dates")


@as_flow("prepare")
def prepare(project: Project, data: Path, output: Path | None = None, allow_outside: bool = False) -> Pair:
    """Make the images of both epochs."""
    ws = workspace(project, data, output, allow_outside=allow_outside)
    ws.require_writable()
    return prepare_images(ws, plan(ws))


def prepare_images(ws: Workspace, made: Plan) -> Pair:
    """Make the images of a plan, as tasks of the flow that asks for them."""
    before: EpochImage = prepare_epoch_task(ws, made, "before")
    after: EpochImage = prepare_epoch_task(ws, made, "after")
    correction = None
    if ws.project.gates.misregistration_px.correct:
        after, correction = align_task(ws, made, before, after)
    radiometry: Radiometry = match_dates_task(ws, made.sensor.units, before, after)
    return Pair(made, before, after, correction, radiometry=radiometry)


def ask_gates(ws: Workspace, prepared: Pair) -> tuple[Gate, ...]:
    """Measure the images of a pair and ask the gates, before anything is learned from them.

    Raises:
        InputError: A gate stops the work.
    """
    measured: Measured = measure_task(ws, prepared)
    gates = gates_of_data(ws, prepared, measured)
    require_all_open(ws, gates)
    return gates
