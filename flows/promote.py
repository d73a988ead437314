"""Promote: a person puts the model that was trained last in use."""

from pathlib import Path

from landshift.flows.config.project import Project
from landshift.flows.prepare import prepare_images
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import workspace
from landshift.flows.steps.release.offering import Offered, promote_candidate, require_promotable, show_release

promote_candidate_task = as_task(promote_candidate, "release")


@as_flow("promote")
def promote(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, despite_verdict: bool = False,
    reason: str | None = None, who: str | None = None,
) -> Offered:  # fmt: skip
    """Compare the model that was trained last with the one in use, and put it in use where it passes, or despite the verdict.

    Raises:
        InputError: Nothing was trained; or the verdict is to be overridden without a reason.
    """
    ws = workspace(project, data, output, allow_outside=allow_outside)
    require_promotable(ws, despite_verdict=despite_verdict, reason=reason)
    with ws.alone():
        prepared = prepare_images(ws, plan(ws))
        offered: Offered = promote_candidate_task(ws, prepared, despite_verdict=despite_verdict, reason=reason, who=who)
        show_release(ws, offered)
    return offered
