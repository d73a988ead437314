"""Late runs of a deployment: one of them does the work of all, and the others give up with a word."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from landshift.flows.runtime.server import flow_context
from landshift.flows.runtime.states.endings import DONE, SKIPPED
from landshift.pipeline.errors import BusyError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_PAGE: Final = 200
"""Runs in an answer of the server, at most."""
_log = logging.getLogger(__name__)


def give_up_if_late() -> None:
    """Give up where a run of the same deployment began after this one was due, and ended well: it looked at everything.

    Raises:
        BusyError: There is such a run; the message names it.
    """
    run = _run()
    if run is None or not run.auto_scheduled or run.expected_start_time is None:
        return
    later = [
        other
        for other in _runs_like(run, "COMPLETED")
        if other.state_name == DONE and other.start_time is not None and other.start_time > run.expected_start_time
    ]
    if later:
        first = min(later, key=lambda other: other.start_time or datetime.now(UTC))
        raise BusyError(
            f"This run was due at {run.expected_start_time:%Y-%m-%d %H:%M} UTC. The run {first.name}, which began at "
            f"{first.start_time:%Y-%m-%d %H:%M} UTC, looked at everything that was there, so that nothing is left to be done."
        )


def skip_late_runs(*, but_the_last: bool = False) -> int:
    """Have the runs give up that are planned for a time that is over: this run looks at everything that is there by now.

    Runs that a person asked for, and those with other parameters, are left alone.

    Args:
        but_the_last: Whether the last one stays: this run began some time ago, and something may have come in since.

    Returns:
        How many gave up; 0 where no deployment is run.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    run = _run()
    if run is None:
        return 0
    now = datetime.now(UTC)
    due = [
        o for o in _runs_like(run, "SCHEDULED") if o.auto_scheduled and o.expected_start_time and o.expected_start_time < now
    ]
    due.sort(key=lambda other: other.expected_start_time or now)
    if but_the_last:
        due = due[:-1]
    skipped = 0
    who = "a run that is due after this one" if but_the_last else f"the run {run.name}, which is at work,"
    message = f"Late: {who} looks at everything that was there when this one was due."
    with get_client(sync_client=True) as client:
        for other in due:
            try:
                client.set_flow_run_state(other.id, Cancelled(name=SKIPPED, message=message))
                skipped += 1
            except Exception as error:
                # It stays planned, and gives up when it begins.
                _log.info("The late run %s stays: %s", other.name, error)
    if skipped:
        _log.info("Late runs of this deployment that were skipped, because this one does their work: %d.", skipped)
    return skipped


def _run() -> "FlowRun | None":
    """Return the run of a deployment that goes on; None outside of one."""
    context = flow_context()
    run = None if context is None else context.flow_run
    return run if run is not None and run.deployment_id is not None else None


def _runs_like(run: "FlowRun", kind: str) -> "list[FlowRun]":
    """Return the other runs of a deployment, with the same parameters, that are in a type of state; none where it is away."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType(kind)]))
    wanted, of = FlowRunFilter(state=state), DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id or run.id]))
    found: list[FlowRun] = []
    order = FlowRunSort.EXPECTED_START_TIME_ASC if kind == "SCHEDULED" else FlowRunSort.START_TIME_DESC
    try:
        with get_client(sync_client=True) as client:
            while len(found) % _PAGE == 0:
                page = client.read_flow_runs(
                    flow_run_filter=wanted, deployment_filter=of, sort=order, limit=_PAGE, offset=len(found)
                )
                found += page
                if kind != "SCHEDULED" or not page:
                    break  # of those that ended, the latest are enough
    except Exception as error:
        # A server that is away for a moment must not end a run, whose own lock keeps it alone.
        _log.info("Late runs were not looked for: %s", error)
    return [other for other in found if other.id != run.id and other.parameters == run.parameters]
