"""The Prefect server that keeps schedules and limits."""

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from pipeline.errors import InputError


def require_server() -> str:
    """Return the address of the Prefect server's API.

    Raises:
        InputError: None is set (a temporary one would forget the schedules), or it does not answer.
    """
    address = get_current_settings().api.url
    if not address:
        raise InputError(
            "No Prefect server is named, and without one nobody keeps the schedules. Start one with `prefect server start`, "
            "and set PREFECT_API_URL=http://127.0.0.1:4200/api; or run `landshift monitor` by cron or a systemd timer."
        )
    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
    if fault is not None:
        raise InputError(
            f"The Prefect server at {address} does not answer ({type(fault).__name__}). Expected one that runs: start it with "
            f"`prefect server start`, or correct PREFECT_API_URL."
        )
    return str(address)
