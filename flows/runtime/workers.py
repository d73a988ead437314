"""Check that the workers of a cluster see what this process sees, and would make the same pixels."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from landshift.flows.runtime.versions import versions
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import scratch_folder

_PATIENCE = 20
"""Seconds to wait for a scheduler to answer."""


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
    """`cpu` or `cuda`, for each device that was asked for."""


@contextmanager
def probe(folder: Path) -> Iterator[Path]:
    """Write a file that only those see who share the folder."""
    with scratch_folder(folder) as scratch:
        path = scratch / "probe"
        path.write_text("", encoding="utf-8")
        yield path


def look(paths: Sequence[str], devices: Sequence[str]) -> Worker:
    """Return what this process sees; runs on the workers.

    Args:
        paths: Files and folders that should be there.
        devices: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: A device is not there.
    """
    from landshift.models.use.inference import device_of

    return Worker(
        f"{socket.gethostname()}, process {os.getpid()}", tuple(p for p in paths if not Path(p).exists()), versions(),
        tuple(device_of(device).type for device in devices),
    )  # fmt: skip


def require_alike(workers: Mapping[str, Worker | Exception]) -> None:
    """Refuse workers that could not do the work, or would do it differently.

    Args:
        workers: What each returned or raised, by its address.

    Raises:
        InputError: No worker is there; or one cannot run Landshift, does not see a folder, or has other versions or another
            kind of device than the rest.
    """
    if not workers:
        raise InputError(
            "The cluster has no worker. Start some, for example with `dask worker tcp://SCHEDULER:8786 --nthreads 1`."
        )
    ours, first = versions(), None
    for address, worker in workers.items():
        if not isinstance(worker, Worker):
            raise InputError(
                f"The worker {address} cannot do the work ({type(worker).__name__}: {worker}). Expected Landshift there in the "
                f"version of this process, with the same extras."
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
                f"{who} would compute on {', '.join(worker.devices)}, the worker {first.name} on {', '.join(first.devices)}. "
                f"Pixels would depend on who made them: use workers of one kind, or set `detect: device: cpu`."
            )


def ask_dask(address: str, paths: Sequence[str], devices: Sequence[str]) -> dict[str, Worker | Exception]:
    """Let every worker of a Dask cluster `look`.

    Returns:
        What each found or raised, by its address.

    Raises:
        InputError: No scheduler answers.
    """
    from distributed import Client

    try:
        with Client(address, timeout=_PATIENCE, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            return dict(client.run(look, paths, devices, on_error="return"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {address} ({error}). Expected for example tcp://10.0.0.5:8786, where "
            f"`dask scheduler` runs."
        ) from error


def ask_ray(address: str, paths: Sequence[str], devices: Sequence[str]) -> dict[str, Worker | Exception]:
    """Let one worker of every node of a Ray cluster `look`.

    Returns:
        What each found or raised, by the address of its node.

    Raises:
        InputError: No cluster answers.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    try:
        # Ray itself would try for minutes.
        where = urlsplit(address if "://" in address else f"//{address}")
        if where.port is not None:
            socket.create_connection((where.hostname or "", where.port), _PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"No Ray cluster answers at {address} ({error}). Expected for example ray://10.0.0.5:10001, where "
            f"`ray start --head` runs."
        ) from error
    try:
        asked = {
            node["NodeManagerAddress"]: ray.remote(look)
            .options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                num_gpus=gpus_of(node["Resources"]),
            )
            .remote(paths, devices)
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
        # Whatever a worker raises becomes one sentence, with its address.
        return error


def gpus_of(resources: Mapping[str, float]) -> int:
    """Return the GPUs of a task: Ray hides those that a task does not ask for."""
    return int(resources.get("GPU", 0) >= 1)
