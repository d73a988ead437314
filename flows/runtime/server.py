"""The Prefect server, which keeps schedules, limits and the log of what runs."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from landshift.pipeline.errors import InputError

if TYPE_CHECKING:
    from prefect.context import FlowRunContext

_TEMPORARY = ("PREFECT_SERVER_EPHEMERAL_ENABLED", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE")
"""Either in the environment asks for the temporary server that Prefect's default profile would start for each process."""

_NAMES_SERVER = ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
"""Variables that name a server, or a file that may."""


def is_watched() -> bool:
    """Return whether Prefect runs flows and tasks: where a server is named, or within a flow of someone's own.

    Without a server Prefect would start one for this process alone, in a child process, and stop it at the end: twice the
    time of a small map, for records that no page shows. What was done stands in our manifests either way.
    """
    if "prefect" not in sys.modules and not _is_configured():
        return False
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.settings import get_current_settings

    if get_current_settings().api.url or FlowRunContext.get() is not None or TaskRunContext.get() is not None:
        return True
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in _TEMPORARY)


def _is_configured() -> bool:
    """Return whether a variable or a file may name a server to Prefect, which is then asked itself."""
    # Prefect does not mind in which case they are written.
    if {name.upper() for name in os.environ} & {*_TEMPORARY, *_NAMES_SERVER}:
        return True
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    if any(path.exists() for path in (home / "profiles.toml", Path("prefect.toml"))):
        return True
    files = ((Path(".env"), "PREFECT_"), (Path("pyproject.toml"), "[tool.prefect"))
    return any(path.is_file() and sign in path.read_text(encoding="utf-8", errors="replace") for path, sign in files)


def flow_context() -> "FlowRunContext | None":
    """Return the context of the Prefect flow that runs, None where none does."""
    if "prefect" not in sys.modules:
        return None
    from prefect.context import FlowRunContext

    return FlowRunContext.get()


def server_address(why: str) -> str:
    """Return the address of the Prefect server's API.

    Args:
        why: What a server is needed for, and what else can be done; sentences that follow "No Prefect server is named, and".

    Raises:
        InputError: None is set.
    """
    from prefect.settings import get_current_settings

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
    from prefect.client.orchestration import get_client

    address = server_address(why)
    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
    if fault is not None:
        raise InputError(
            f"The Prefect server at {address} does not answer ({type(fault).__name__}). Expected one that runs: start it with "
            f"`prefect server start`, correct PREFECT_API_URL, or unset it: maps need no server."
        )
    return address
