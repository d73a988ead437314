"""Artifacts of a detect run in Prefect's UI."""

from landshift.flows.runtime.artifacts import show_link, show_table, show_text
from landshift.flows.runtime.server import is_watched
from landshift.flows.steps.images.gating import show_gates
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.run import Detected
from landshift.pipeline.change.areas import MappedAreas
from landshift.pipeline.drawing.pictures import change_picture, data_uri, display_picture
from landshift.pipeline.legend import Legend
from landshift.pipeline.records import content_of
from landshift.pipeline.run.record import read_run
from landshift.pipeline.run_files import CHANGE_MAP, IMAGES, PAGE


def show_detected(ws: Workspace, detected: Detected, areas: MappedAreas) -> None:
    """Show gates, areas, the report and a preview of a detect run in Prefect, where a server keeps them."""
    if not is_watched():
        return
    name = ws.project.artifact_name
    show_gates(ws, detected.gates)
    show_table(content_of(areas.changes), key=f"{name}-areas", description="Mapped change in hectares (pixel count, biased)")
    show_link(detected.run.resolve().joinpath(PAGE).as_uri(), key=f"{name}-report", text="Report")
    after = display_picture(detected.run / IMAGES["after"], side=360)
    changes = Legend(read_run(detected.run).legend).changes
    picture = data_uri(change_picture(detected.run / CHANGE_MAP, changes, after, side=360))
    show_text(f"![Mapped change]({picture})", key=f"{name}-preview", description="Preview of the change map")
