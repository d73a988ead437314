"""Runs whose process is gone: the server calls them crashed once their heartbeats stop."""

from datetime import timedelta
from typing import cast

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import get_current_settings

from landshift.flows.runtime.states.endings import END_STATES

NAME = "Crash dead runs of Landshift"
"""Of the automation."""
_MISSED = 3
"""Heartbeats that may be missing before a run counts as dead: a busy machine is late once."""
_MESSAGE = "No heartbeat: the process was killed. The next run goes on where it stopped."


def crash_dead_runs(tag: str) -> timedelta:
    """Make the automation on the server, or bring it up to date; the server has to be there.

    A worker whose machine lost its power leaves its run `Running`, and a work pool's limit counts it as such. The heartbeats of
    a run, which Prefect sends from a thread of its process, show that it works. See "Detect zombie flows" in Prefect's
    documentation.

    Args:
        tag: Of the runs it concerns; those of others are left alone.

    Returns:
        How long after its last heartbeat a run counts as dead.
    """
    within = timedelta(seconds=_MISSED * (get_current_settings().flows.heartbeat_frequency or 0))
    if not within:
        # Without heartbeats every run would be called crashed.
        return within
    wanted = Automation(
        name=NAME,
        description=f"A run without a heartbeat for {within.total_seconds():.0f} seconds is dead: its process was killed.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in END_STATES)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification({"prefect.resource.id": [f"prefect.tag.{tag}"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(name=None, state=StateType.CRASHED, message=_MESSAGE, force=False)],
    )
    try:
        there = cast(Automation, Automation.read(name=NAME))
    except ValueError:
        wanted.create()
        return within
    changed = there.model_copy(
        update={"trigger": wanted.trigger, "actions": wanted.actions, "description": wanted.description, "enabled": True}
    )
    changed.update()
    return within
