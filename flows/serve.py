"""Serve: deployments of the monitor with their schedules, for a Prefect server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect import serve
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Schedule

from flows.compute import require_server
from flows.monitor import monitor
from flows.places import Place, projects_of
from flows.prepare import artifact_name
from pipeline.errors import InputError


def deployments(places: Sequence[Place]) -> list[RunnerDeployment]:
    """Make a deployment of the monitor for each config, with the schedule that the config has.

    Two runs of one project keep out of each other's way by the lock of the folder of outputs, which ends with the process. A
    limit of Prefect's would be held for ever by a run whose process was killed.

    Raises:
        InputError: A config has no schedule, or one that cannot be read; two projects have one name.
    """
    made: list[RunnerDeployment] = []
    for project, place in zip(projects_of(places), places, strict=True):
        parameters = {
            "project": project.model_dump(mode="json"), "data": str(place.data),
            "output": str(place.output or project.output.resolve()), "allow_outside": place.allow_outside,
            "model": None if place.model is None else str(place.model),
        }  # fmt: skip
        deployment = monitor.to_deployment(
            name=artifact_name(project), schedule=_schedule(place.config, project.monitor.cron, project.monitor.timezone),
            parameters=parameters, tags=["landshift"],
            description=f"Compare what is new in {project.name}, and merge it into the register of changes.",
        )  # fmt: skip
        made.append(cast(RunnerDeployment, deployment))
    return made


def _schedule(config: Path, cron: str | None, timezone: str) -> Schedule:
    if cron is None:
        raise InputError(f'{config} has no schedule. Expected for example `monitor: {{cron: "0 2 * * *", timezone: UTC}}`.')
    try:
        ZoneInfo(timezone)
        return Cron(cron, timezone=timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"{config}: `monitor: cron: {cron!r}, timezone: {timezone!r}` cannot be used ({error}). Expected five fields "
            f'such as "0 2 * * *", and a name such as Europe/Berlin.'
        ) from error


def serve_projects(places: Sequence[Place], **options: Any) -> None:  # noqa: ANN401 (of Prefect's `serve`)
    """Register the deployments, and run what is due until the process ends.

    The schedules stay on the server when it does, so that a restart goes on with them.

    Raises:
        InputError: As `deployments` and `require_server` say.
    """
    made = deployments(places)
    require_server(
        "without one nobody keeps the schedules. Start one with `prefect server start`, and set "
        "PREFECT_API_URL=http://127.0.0.1:4200/api; or run `landshift monitor` by cron or a systemd timer."
    )
    # Two runs at once share two cores and one GPU badly; whoever has more starts more of these processes.
    serve(*made, pause_on_shutdown=False, limit=1, **options)
