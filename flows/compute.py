"""Compute: where tasks run. Here, one after the other, or on an existing Dask or Ray cluster, many at once."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from prefect.context import FlowRunContext
from prefect.settings import get_current_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.progress import step
from flows.workspace import versions
from pipeline.errors import InputError

_PATIENCE = 20
"""Seconds to wait for a scheduler to answer."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster. It belongs to the machine and not to a territory, so no config and no `run.json` names it."""

    kind: Literal["dask", "ray"]
    """What runs there."""
    address: str
    """Of its scheduler or head, for example `tcp://10.0.0.5:8786` or `ray://10.0.0.5:10001`."""


@dataclass(frozen=True)
class Worker:
    """What a worker found when it was asked."""

    name: str
    """Host and process."""
    missing: tuple[str, ...]
    """Files and folders that it does not see."""
    versions: Mapping[str, str]
    """Of everything that can change a pixel."""
    devices: tuple[str, ...]
    """For each device that was asked for: what it comes to there, or what is wrong."""


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


def require_server(why: str) -> str:
    """Return the address of the Prefect server.

    Args:
        why: What a server is needed for, and what else can be done; sentences that follow "No Prefect server is named".

    Raises:
        InputError: None is set.
    """
    address = get_current_settings().api.url
    if not address:
        raise InputError(f"No Prefect server is named, and {why}")
    return str(address)


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
    require_server(
        "without one every worker would start one of its own. Start one that the workers reach with `prefect server start "
        "--host 0.0.0.0`, and set PREFECT_API_URL=http://HOST:4200/api."
    )
    runner = _runner(cluster)
    ask = _ask_dask if cluster.kind == "dask" else _ask_ray
    with _probe(seen[0]) as probe:
        question = ((*map(str, seen), str(probe)), tuple(dict.fromkeys(devices)))
        require_alike(ask(cluster.address, question))
    return flow.with_options(task_runner=runner)


def _runner(cluster: Cluster) -> TaskRunner[Any]:
    try:
        if cluster.kind == "dask":
            from prefect_dask import DaskTaskRunner

            return DaskTaskRunner(address=cluster.address)
        import ray  # noqa: F401 (prefect_ray loads it late, and would say so late)
        from prefect_ray import RayTaskRunner

        # Logs of every worker in this terminal would bury what matters here; the cluster keeps them.
        return RayTaskRunner(address=cluster.address, init_kwargs={"log_to_driver": False})
    except ImportError as error:
        raise InputError(
            f"A {cluster.kind.title()} cluster is named, and {error.name} is not installed here. Install it here and for every "
            f"worker with `pip install 'landshift[{cluster.kind}]'`."
        ) from error


@contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    """Write a file that only those see who share the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".partial-probe-{uuid4().hex}"
    try:
        path.write_text("", encoding="utf-8")
        yield path
    finally:
        path.unlink(missing_ok=True)


def look(paths: Sequence[str], devices: Sequence[str]) -> Worker:
    """Say what this process sees; runs on the workers.

    Args:
        paths: Files and folders that should be there.
        devices: `auto`, `cpu` or `cuda`.
    """
    from models.inference import device_of

    found = []
    for device in devices:
        try:
            found.append(device_of(device).type)
        except InputError as error:
            found.append(str(error))
    return Worker(
        f"{socket.gethostname()}, process {os.getpid()}", tuple(p for p in paths if not Path(p).exists()), versions(),
        tuple(found),
    )  # fmt: skip


def require_alike(workers: Mapping[str, Worker | Exception]) -> None:
    """Refuse workers that could not do the work, or would do it differently.

    Args:
        workers: What each said or raised, by its address.

    Raises:
        InputError: There is none; or one cannot run Landshift, does not see a folder, has other versions, or another kind of
            device than the rest.
    """
    if not workers:
        raise InputError("The cluster has no worker. Start some, for example with `dask worker tcp://SCHEDULER:8786 --nthreads 1`.")
    ours, first = versions(), None
    for address, worker in workers.items():
        if not isinstance(worker, Worker):
            raise InputError(
                f"The worker {address} cannot run Landshift ({type(worker).__name__}: {worker}). Install the same version there "
                f"as here, with the same extras."
            )
        who = f"The worker {address} ({worker.name})"
        if worker.missing:
            raise InputError(
                f"{who} does not see {worker.missing[0]}. Workers need the folders of data and outputs under the same path as "
                f"here, on storage that all share (NFS, for example)."
            )
        other = [f"{n} {v} instead of {ours.get(n)}" for n, v in worker.versions.items() if v != ours.get(n)]
        if other:
            raise InputError(f"{who} has {', '.join(other)}. Expected the versions of this process, or its pixels may differ.")
        first = first or worker
        if worker.devices != first.devices:
            raise InputError(
                f"{who} would compute on {', '.join(worker.devices)}, the worker {first.name} on {', '.join(first.devices)}. Pixels "
                f"would depend on who made them: use workers of one kind, or set `detect: device: cpu`."
            )


def _ask_dask(address: str, question: tuple[Sequence[str], Sequence[str]]) -> dict[str, Worker | Exception]:
    from distributed import Client

    try:
        with Client(address, timeout=_PATIENCE, set_as_default=False) as client:
            return dict(client.run(look, *question, on_error="return"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {address} ({error}). Expected for example tcp://10.0.0.5:8786, where `dask scheduler` runs."
        ) from error


def _ask_ray(address: str, question: tuple[Sequence[str], Sequence[str]]) -> dict[str, Worker | Exception]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"No Ray cluster answers at {address} ({error}). Expected for example ray://10.0.0.5:10001, where `ray start --head` runs."
        ) from error
    try:
        asked = {
            node["NodeManagerAddress"]: ray.remote(look)
            .options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False), num_gpus=_gpus(node["Resources"])
            )
            .remote(*question)
            for node in ray.nodes()
            # A head that takes no work need not be able to do it.
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }
        return {name: _answer(ray, reference) for name, reference in asked.items()}
    finally:
        ray.shutdown()


def _answer(ray: Any, reference: Any) -> Worker | Exception:  # noqa: ANN401 (Ray has no types)
    try:
        return ray.get(reference)  # type: ignore[no-any-return]
    except Exception as error:
        # Whatever a worker raises is told in one sentence, with its address.
        return error


def _gpus(resources: Mapping[str, float]) -> int:
    """Return the GPUs of a task: Ray hides those that a task does not ask for."""
    return int(resources.get("GPU", 0) >= 1)


def each(task: Any, calls: Sequence[tuple[Any, ...]], title: str) -> Iterator[Any]:  # noqa: ANN401 (a Prefect task)
    """Run a task for each set of arguments: all at once where the flow is on a cluster, else here, one after the other.

    Args:
        task: A Prefect task.
        calls: Its arguments, each time.
        title: What is being done, for people.

    Yields:
        For each call, in order, what it returned, or the exception that it raised; what is not asked for is not begun here.
    """
    context = FlowRunContext.get()
    if context is None or isinstance(context.task_runner, ThreadPoolTaskRunner):
        for arguments in calls:
            yield _outcome(lambda arguments=arguments: task(*arguments))
        return
    with _resources(), step(title) as advance:
        futures = [task.submit(*arguments) for arguments in calls]
        for number, future in enumerate(futures, start=1):
            yield _outcome(future.result)
            advance(number / len(futures))


def _resources() -> Any:  # noqa: ANN401 (a context manager)
    import sys

    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return nullcontext()
    from prefect_ray.context import remote_options

    return remote_options(num_gpus=_gpus(ray.cluster_resources()))


def _outcome(run: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever the task returns)
    try:
        return run()
    except Exception as error:
        # Who asked decides whether one that failed stops the others.
        return error


def results(outcomes: Iterator[Any]) -> Iterator[Any]:
    """Pass on what `each` yields, and raise the first exception among it."""
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome
