"""Promote: a person puts the model that was trained last in use."""

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.config import Project
from flows.offering import Offered, promote_candidate, require_candidate
from flows.prepare import artifact_name, as_task, prepare
from flows.workspace import Workspace, workspace
from pipeline.errors import InputError

promote_candidate_task = as_task(promote_candidate, "release")


@flow(name="promote", persist_result=False)
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
        prepared = prepare(project, data, output, allow_outside)
        offered: Offered = promote_candidate_task(ws, prepared, despite_verdict=despite_verdict, reason=reason, who=who)
        show_release(ws, offered)
    return offered


def require_promotable(ws: Workspace, *, despite_verdict: bool, reason: str | None) -> None:
    """Refuse what cannot be done at all, before anything is started.

    Raises:
        InputError: Nothing was trained; or the verdict is to be overridden without a reason.
    """
    if despite_verdict and not (reason or "").strip():
        raise InputError("--despite-verdict needs --reason; it stays in the journal.")
    require_candidate(ws)


def show_release(ws: Workspace, offered: Offered) -> None:
    """Show in Prefect how a new model compares with the one in use."""
    comparison = offered.entry.comparison
    rows = [
        {
            "region": row["region"], "score": row["score"], "in use": row["old"], "new": row["new"],
            "difference": row["gain"]["estimate"], "low": row["gain"]["low"], "high": row["gain"]["high"],
            "blocks": row["blocks"], "verdict": row["verdict"],
        }
        for row in (comparison or {}).get("rows", ())
    ]  # fmt: skip
    if rows:
        create_table_artifact(rows, key=f"{artifact_name(ws.project)}-release", description=offered.entry.reason)
