"""Deployments of the monitor with their schedules, on a Prefect server: served by one process, or left to a work pool."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
from croniter import croniter
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from landshift.flows.config.paths import ProjectPaths, load_projects
from landshift.flows.monitor import monitor
from landshift.flows.runtime.limits import LIMIT, ensure_limit
from landshift.flows.runtime.server import require_server
from landshift.flows.runtime.states.dead import crash_dead_runs
from landshift.flows.steps.project.workspace import workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.releases import require_whole

TAG = "landshift"
"""On every deployment and its runs."""
_WHY = (
    "without one the schedules are not kept. Start one with `prefect server start`, and set "
    "PREFECT_API_URL=http://127.0.0.1:4200/api; or run `landshift monitor` by cron or a systemd timer."
)
_FIELDS = 5
_PROCESS = "process"
"""Type of the work pools whose workers run beside the data, in an environment that Landshift is installed in."""


@dataclass(frozen=True)
class Deployed:
    """What a work pool was given."""

    names: tuple[str, ...]
    """Of the deployments, each `monitor/` and the project's name."""
    pool: str
    """Work pool."""
    server: str
    """Address of the server's API."""
    made_pool: bool
    """Whether the pool was made; one that was there is left as it is."""


def deployments(paths: Sequence[ProjectPaths], *, environment: dict[str, str] | None = None) -> list[RunnerDeployment]:
    """Make a deployment of the monitor for each config, with the schedule that the config has.

    Two runs of one project keep out of each other's way by the lock of the folder of outputs, which ends with the process. A
    limit of Prefect's on the deployment would be held on by a run whose process was killed.

    Args:
        paths: The configs with their folders.
        environment: Variables that the runs get, on a work pool.

    Raises:
        InputError: A config has no schedule, or one that cannot be read; two projects have one name.
    """
    made: list[RunnerDeployment] = []
    for project, place in zip(load_projects(paths), paths, strict=True):
        parameters = {
            "project": str(place.config), "data": str(place.data),
            "output": str(place.output or project.output.resolve()), "allow_outside": place.allow_outside,
            "model": None if place.model is None else str(place.model),
        }  # fmt: skip
        deployment = monitor.to_deployment(
            name=project.artifact_name, schedule=_read_schedule(place.config, project.monitor.cron, project.monitor.timezone),
            parameters=parameters, tags=[TAG], job_variables={"env": environment} if environment else None,
            # By module: a worker imports what is installed, wherever it was started.
            entrypoint_type=EntrypointType.MODULE_PATH,
            description=f"Compare what is new in {project.name}, and merge it into the register of changes.",
        )  # fmt: skip
        made.append(cast(RunnerDeployment, deployment))
    return made


def warn_without_model(paths: Sequence[ProjectPaths]) -> tuple[str, ...]:
    """Return a warning for each project of which every run will fail, because its model is missing or damaged."""
    warnings = []
    for project, place in zip(load_projects(paths), paths, strict=True):
        ws = workspace(project, place.data, place.output, allow_outside=place.allow_outside, model=place.model)
        try:
            for needed in ws.models_needed:
                require_whole(needed)
        except InputError as error:
            warnings.append(f"{place.config}: no run can succeed yet. {error}")
    return tuple(warnings)


def _read_schedule(config: Path, cron: str | None, timezone: str) -> Schedule:
    if cron is None:
        raise InputError(f'{config} has no schedule. Expected for example `monitor: {{cron: "0 2 * * *", timezone: UTC}}`.')
    try:
        ZoneInfo(timezone)
        # Of more fields the sixth would be seconds; of a day that never comes the server would look for ever.
        if len(cron.split()) != _FIELDS:
            raise ValueError(f"it has {len(cron.split())} fields")
        schedule = Cron(cron, timezone=timezone)
        croniter(cron, datetime.now(UTC)).get_next()
        return schedule
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"{config}: `monitor: {{cron: {cron!r}, timezone: {timezone!r}}}` cannot be used ({error}). Expected five fields "
            f'such as "0 2 * * *", and a name such as Europe/Berlin.'
        ) from error


class _Runner(Runner):
    """Prefect's runner, for which SIGTERM is what Ctrl-C is; its own handler awaits nothing, and leaves a warning."""

    def handle_sigterm(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 (number and frame)
        """Stop as after Ctrl-C."""
        signal.raise_signal(signal.SIGINT)


def serve_projects(paths: Sequence[ProjectPaths], announce: Callable[[Sequence[str]], None] = lambda _: None) -> None:
    """Register the deployments, and run what is due until the process is interrupted.

    The schedules stay on the server when it does, so that a restart goes on with them.

    Args:
        paths: The configs with their folders.
        announce: Called with the names of the deployments when they are registered.

    Raises:
        InputError: A schedule or a name cannot be used, or no server answers.
    """
    made = deployments(paths)
    require_server(_WHY)
    crash_dead_runs(TAG)
    # Two runs at once share two cores and one GPU badly; a larger machine can have more of these processes.
    runner = _Runner(pause_on_shutdown=False, limit=1)
    for deployment in made:
        runner.add_deployment(deployment)
    announce([f"{monitor.name}/{d.name}" for d in made])
    # A shell that starts jobs in the background has them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        asyncio.run(runner.start())


def deploy_projects(paths: Sequence[ProjectPaths], pool: str, *, limit: tuple[str, int] | None = None) -> Deployed:
    """Give the deployments to a work pool, whose workers run what is due; making them again changes nothing.

    Args:
        paths: The configs with their folders, as the workers see them.
        pool: Name of a work pool of type `process`; made where it is not there, for one run at a time.
        limit: Name and number of slots of a limit that every run respects while its model works, for example `("gpu", 1)`.

    Raises:
        InputError: A schedule or a name cannot be used; no server answers, or it refuses; or the pool has another type.
    """
    made = deployments(paths, environment=None if limit is None else {LIMIT: limit[0]})
    server = require_server(_WHY)
    try:
        fresh = _ensure_pool(pool)
        if limit is not None:
            ensure_limit(*limit)
        crash_dead_runs(TAG)
        for deployment in made:
            cast(Any, deployment).apply(work_pool_name=pool)
    except httpx.HTTPError as error:
        raise InputError(f"The Prefect server at {server} refused the deployments ({error}). See its log.") from error
    return Deployed(tuple(f"{monitor.name}/{d.name}" for d in made), pool, server, fresh)


def _ensure_pool(name: str) -> bool:
    """Make a work pool where it is missing, and return whether it was made."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type=_PROCESS, concurrency_limit=1))
            return True
    if found.type != _PROCESS:
        raise InputError(
            f"The work pool {name} is of type {found.type}; expected {_PROCESS}, whose workers see the data and the outputs. "
            f"Name another one with --pool, or make one: prefect work-pool create NAME --type {_PROCESS}."
        )
    return False
