"""Prefect's temporary server: started for one process, and gone with it, however that process ends."""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.server import require_server
from landshift.pipeline.errors import UnavailableError

_LOOK_EVERY_S = 0.5
_STOP_S = 5
"""How long the server may take to stop."""
_SEND_S = 10
"""How long the last lines of a log may take to be sent to it."""
_VARIABLES = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""As Prefect itself starts it."""
_log = logging.getLogger(__name__)


@contextmanager
def temporary_server() -> Iterator[None]:
    """Have Prefect use a server of this process inside, unless one is named, which has to answer, or in use already.

    Prefect would start it as a child that a kill of this process leaves behind, would wait for it as long as its setting has
    it, and would stop it while the last lines of the log are on their way.

    Raises:
        InputError: The server that is named does not answer.
        UnavailableError: The temporary one does not start, or not in time; the message has the remedy.
    """
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
        yield
        return
    if get_current_settings().api.url:
        require_server("nothing can be shown.")
        yield
        return
    with tempfile.TemporaryFile() as complaints, step("Starting Prefect's temporary server") as advance:
        process = _start(complaints)
        try:
            address = _wait(process, complaints)
            advance(1)
            with temporary_settings({PREFECT_API_URL: address}):
                yield
                _send_rest()
        finally:
            _stop(process)


def _start(complaints: IO[bytes]) -> subprocess.Popen[str]:
    from prefect.settings import get_current_settings

    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    # A session of its own: Ctrl-C is for this process, which reports to the server how its run ended, and stops it.
    command = [sys.executable, "-m", __name__, str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 (this module)
        command, env={**os.environ, **settings, **_VARIABLES}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True,
    )  # fmt: skip


def _wait(process: subprocess.Popen[str], complaints: IO[bytes]) -> str:
    """Wait until the server answers, and return the address of its API."""
    import httpx
    from prefect.settings import get_current_settings

    patience = get_current_settings().server.ephemeral.startup_timeout_seconds
    until, address = time.monotonic() + patience, ""
    ways_out = (
        "name one that runs with PREFECT_API_URL=http://HOST:4200/api (`prefect server start`), or unset "
        "PREFECT_SERVER_EPHEMERAL_ENABLED: without a server the same is done, and there are no pages to look at."
    )
    while time.monotonic() < until:
        if process.poll() is not None:
            complaints.seek(0)
            last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise UnavailableError(f"Prefect's temporary server ended as it started ({last[:500]}). Mend that, {ways_out}")
        if not address and process.stdout is not None:
            address = f"http://127.0.0.1:{process.stdout.readline().strip()}/api"
        with suppress(httpx.HTTPError):
            if httpx.get(f"{address}/health", timeout=_LOOK_EVERY_S).status_code == httpx.codes.OK:
                return address
        time.sleep(_LOOK_EVERY_S / 5)
    raise UnavailableError(
        f"Prefect's temporary server did not answer within {patience} seconds, and nothing was done. Wait longer with "
        f"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS={2 * patience}, {ways_out}"
    )


def _send_rest() -> None:
    """Send what the server has not got yet, so that nothing is on its way when it stops."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        try:
            worker.drain_all(timeout=_SEND_S)
        except Exception as error:
            _log.debug("%s: %s", worker.__name__, error)


def _stop(process: subprocess.Popen[str]) -> None:
    """Stop the server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
            break
    if process.stdout is not None:
        process.stdout.close()


def _end_with(parent: int) -> None:
    """End this process soon after another one has ended, which a kill gives no time to do it."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    with suppress(ProcessLookupError):
        # This process leads its group: children of its own end too.
        os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(_STOP_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def serve(parent: int) -> None:
    """Be the server until the process that asked for it ends.

    Args:
        parent: Number of that process.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        import uvicorn

        config = uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            log_level="critical",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
