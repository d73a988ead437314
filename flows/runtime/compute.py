"""Where tasks run: one after the other in this process, or many at once on an existing Dask or Ray cluster."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.server import flow_context, require_server, server_address
from landshift.flows.runtime.workers import ask_dask, ask_ray, gpus_of, probe, require_alike
from landshift.pipeline.errors import InputError, is_interrupt

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

_WHY = (
    "without one every worker would start one of its own. Start one that the workers reach with `prefect server start "
    "--host 0.0.0.0`, and set PREFECT_API_URL=http://HOST:4200/api."
)


@dataclass(frozen=True)
class Cluster:
    """A running cluster. It belongs to the machine and not to a territory, so no config and no `run.json` names it."""

    kind: Literal["dask", "ray"]
    """What runs there."""
    address: str
    """Of its scheduler or head, for example `tcp://10.0.0.5:8786` or `ray://10.0.0.5:10001`."""


def cluster_of(dask: str | None, ray: str | None) -> Cluster | None:
    """Return the cluster that the operator names, None for this process.

    Raises:
        InputError: Two are named.
    """
    if dask and ray:
        raise InputError("A Dask and a Ray cluster are named (--dask or LANDSHIFT_DASK, --ray or LANDSHIFT_RAY); name one.")
    if dask:
        return Cluster("dask", dask)
    return Cluster("ray", ray) if ray else None


def on_cluster(flow: Any, cluster: Cluster, seen: Sequence[Path], devices: Sequence[str] = ("auto",)) -> Any:  # noqa: ANN401
    """Return a flow whose tasks run on a cluster, after a look at its workers.

    Args:
        flow: A Prefect flow that hands its tasks to `each`.
        cluster: Where to.
        seen: Folders that every worker has to see under the same path; a file is written into the first one to find out.
        devices: `detect: device` of every project.

    Raises:
        InputError: The package is not installed, no Prefect server is named, or the workers are not there, do not see the
            folders, or would make other pixels than this process.
    """
    server_address(_WHY)
    runner = _runner(cluster)
    ask = ask_dask if cluster.kind == "dask" else ask_ray
    with probe(seen[0]) as file:
        require_alike(ask(cluster.address, (*map(str, seen), str(file)), tuple(dict.fromkeys(devices))))
    require_server(_WHY)
    return flow.with_options(task_runner=runner)


def _runner(cluster: Cluster) -> "TaskRunner[Any]":
    try:
        if cluster.kind == "dask":
            from prefect_dask.task_runners import DaskTaskRunner

            dask: TaskRunner[Any] = DaskTaskRunner(address=cluster.address)
            return dask
        import ray  # noqa: F401 (prefect_ray loads it late, and would fail late)
        from prefect_ray import RayTaskRunner

        # Logs of every worker in this terminal would bury what matters here; the cluster keeps them.
        on_ray: TaskRunner[Any] = RayTaskRunner(address=cluster.address, init_kwargs={"log_to_driver": False})
        return on_ray
    except ImportError as error:
        raise InputError(
            f"A {cluster.kind.title()} cluster is named, and {error.name} is not installed here. Install it here and for every "
            f"worker with `pip install 'landshift[{cluster.kind}]'`."
        ) from error


def each(task: Any, calls: Sequence[tuple[Any, ...]], title: str) -> Iterator[Any]:  # noqa: ANN401 (a Prefect task)
    """Run a task for each set of arguments: all at once where the flow is on a cluster, else here, one after the other.

    Args:
        task: A Prefect task.
        calls: Its arguments, each time.
        title: What is being done, for people.

    Yields:
        For each call, in order, what it returned, or the exception that it raised; what is not asked for is not begun here.
    """
    if not _is_on_cluster():
        for arguments in calls:
            yield _outcome(partial(task, *arguments))
        return
    with _resources(), step(title) as advance:
        futures = [task.submit(*arguments) for arguments in calls]
        for number, future in enumerate(futures, start=1):
            yield _outcome(future.result)
            advance(number / len(futures))


def _is_on_cluster() -> bool:
    context = flow_context()
    if context is None:
        return False
    from prefect.task_runners import ThreadPoolTaskRunner

    return not isinstance(context.task_runner, ThreadPoolTaskRunner)


def _resources() -> AbstractContextManager[Any]:
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return nullcontext()
    from prefect_ray.context import remote_options

    options: AbstractContextManager[Any] = remote_options(num_gpus=gpus_of(ray.cluster_resources()))
    return options


def _outcome(run: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the task returns)
    try:
        return run()
    except Exception as error:
        if is_interrupt(error):
            raise
        # Who asked decides whether one that failed stops the others.
        return error


def results(outcomes: Iterator[Any]) -> Iterator[Any]:
    """Pass on what `each` yields, and raise the first exception among it."""
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome
