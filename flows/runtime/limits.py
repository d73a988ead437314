"""Limits across runs: how many models may work at once, on machines that share a Prefect server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from landshift.flows.runtime.server import require_server
from landshift.pipeline.errors import InputError

LIMIT = "LANDSHIFT_LIMIT"
"""Environment variable with the name of the limit; it belongs to a machine, so it is no part of a config."""

_LEASE_S = 60
"""How long others wait for the slot of a run that was killed: the shortest that the server allows."""


@contextmanager
def model_slot() -> Iterator[None]:
    """Hold a slot of the limit that the operator named, and wait for one; without a name do nothing.

    The slot is a lease that this process renews: one that is killed loses it after a minute or two. A limit that does not
    exist is an error, where Prefect by default would take that for no limit.

    Raises:
        InputError: The server does not have a limit of that name, or no server answers.
    """
    name = os.environ.get(LIMIT)
    if not name:
        yield
        return
    from prefect.client.orchestration import get_client
    from prefect.concurrency.sync import concurrency
    from prefect.exceptions import ObjectNotFound

    server = require_server(f"{LIMIT} names a limit that only a server can keep. Set PREFECT_API_URL, or unset {LIMIT}.")
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound as error:
            raise InputError(
                f"{LIMIT} names the limit {name!r}, which the Prefect server at {server} does not have. Make it with "
                f"`prefect gcl create {name} --limit 1`, or unset {LIMIT}."
            ) from error
    # A server that is away for a while must not end hours of work, so a lease that cannot be renewed is no error.
    with concurrency(name, occupy=1, strict=True, lease_duration=_LEASE_S, raise_on_lease_renewal_failure=False):
        yield


def ensure_limit(name: str, slots: int) -> None:
    """Make the limit on the server, or give it so many slots."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, slots)
