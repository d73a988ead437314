"""Suggest: a project, with or without labels and models, to a folder of what to label next."""

from pathlib import Path

from landshift.flows.config.project import Project
from landshift.flows.prepare import prepare_images
from landshift.flows.runtime.reply import Reply
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import workspace
from landshift.flows.steps.suggestion.giving import Wish, suggest_for_project

suggest_task = as_task(suggest_for_project, "suggest-blocks")


@as_flow("suggest")
def suggest(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    wish: Wish | None = None,
) -> Reply:  # fmt: skip
    """Suggest blocks and patches of a project to label next."""
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    with ws.alone():
        reply: Reply = suggest_task(ws, prepare_images(ws, plan(ws)), wish or Wish())
        return reply
