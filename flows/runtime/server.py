"""The Prefect server, which keeps schedules, limits and the log of what runs."""

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from landshift.pipeline.errors import InputError


def server_address(why: str) -> str:
    """Return the address of the Prefect server's API.

    Args:
        why: What a server is needed for, and what else can be done; sentences that follow "No Prefect server is named, and".

    Raises:
        InputError: None is set.
    """
    address = get_current_settings().api.url
    if not address:
        raise InputError(f"No Prefect server is named, and {why}")
    return str(address)


def require_server(why: str) -> str:
    """Return the address of a Prefect server that runs.

    Args:
        why: As in `server_address`.

    Raises:
        InputError: None is set, or it does not answer.
    """
    address = server_address(why)
    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
    if fault is not None:
        raise InputError(
            f"The Prefect server at {address} does not answer ({type(fault).__name__}). Expected one that runs: start it with "
            f"`prefect server start`, or correct PREFECT_API_URL."
        )
    return address
