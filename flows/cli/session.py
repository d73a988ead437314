"""Session of a verb: its log, its answer, and the exit code of what it raises."""

import gc
import json
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import Any

import typer

from landshift.flows.cli.next_steps import Content, describe_next
from landshift.pipeline.errors import InputError, UnavailableError, is_interrupt
from landshift.pipeline.files.addresses import NO_ADDRESS, is_address

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a terminal obeys instead of showing it, or cannot encode: names and tags of files are written by strangers."""

_TALKATIVE = ("APILogWorker", "EventsWorker", "asyncio", "websockets", "httpx", "httpcore")
"""Loggers of libraries that write tracebacks where a connection ends, or count what is still to be sent."""

_GO_ON = "run the same command again; what is finished is not done again."

_MAPPING = ("bundle", "inference", "ready", "steadiness")
"""Modules of `models/use/` that map."""

_AGAIN_S = 0.05
"""Until an interrupt that was ignored is raised again."""

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes."""


@contextmanager
def session(as_json: bool, verbose: bool) -> Iterator[None]:
    """Turn what a verb raises into a message and an exit code."""
    _quiet_prefect(verbose)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s")
    for name in ("httpx", "alembic", "fsspec", "pyogrio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not verbose:
        _hush_others()
    for name in ("urllib3", "rasterio"):
        # A request that is tried again is no news; what fails in the end has a message of ours.
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    # A notice between two libraries, of no use to anyone here.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    try:
        with _tidy_stop():
            yield
    except typer.Exit:
        raise
    except (Exception, KeyboardInterrupt) as error:
        kind, text, code = _failure(error, verbose)
        if as_json:
            typer.echo(json.dumps({"error": kind, "message": _CONTROL.sub("", text)}))
        typer.secho(_CONTROL.sub("", f"{kind.capitalize()}: {text}"), err=True, fg=typer.colors.RED)
        raise typer.Exit(code) from error


_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What layers and records cannot hold of a path: SQLite loses line breaks, and JSON takes no bytes that are not UTF-8."""

_Register = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What takes a verb."""


@dataclass(frozen=True)
class Call:
    """A verb that was called."""

    verb: str = ""
    """As a user types it, without `landshift`."""
    given: Content = field(default_factory=dict)
    """Its arguments, by the names of its parameters."""


_CALL: ContextVar[Call] = ContextVar("landshift_call", default=Call())  # noqa: B039 (frozen, and its mapping is only read)


class Verbs(typer.Typer):
    """A group of verbs that take paths alone: the address `s3://b/x` would become a folder called `s3:`."""

    def __init__(self, *, within: str = "", **kwargs: Any) -> None:  # noqa: ANN401 (as Typer takes them)
        """Make a group.

        Args:
            within: Words that a user types before the verbs of this group, without `landshift`.
            **kwargs: As Typer takes them.
        """
        super().__init__(**kwargs)
        self._within = within

    def command(self, name: str | None = None, **kwargs: Any) -> _Register:  # type: ignore[override]  # noqa: ANN401
        """Register a verb."""
        register = super().command(name, **kwargs)
        return lambda verb: register(_call_with_paths(verb, f"{self._within} {name or verb.__name__}".strip()))


def _call_with_paths(verb: Callable[..., Any], typed: str) -> Callable[..., Any]:
    @wraps(verb)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (a verb's own)
        for name, value in kwargs.items():
            paths = [str(p) for p in (value if isinstance(value, list | tuple) else (value,)) if isinstance(p, Path)]
            fault = next(filter(None, map(_fault_of_path, paths)), "")
            if fault:
                with session(bool(kwargs.get("as_json")), bool(kwargs.get("verbose"))):
                    raise InputError(f"{name.replace('_', '-')} {fault}.")
        token = _CALL.set(Call(typed, kwargs))
        try:
            return verb(*args, **kwargs)
        finally:
            _CALL.reset(token)

    return call


def _fault_of_path(path: str) -> str:
    if is_address(path):
        # Not the rest of it, which may hold a key.
        return f"{path.partition(':')[0]}://...: {NO_ADDRESS}"
    if _UNFIT.search(path):
        return f"{path!a}: expected a path in UTF-8 without line breaks and control characters; rename the file or folder"
    return ""


@contextmanager
def _tidy_stop() -> Iterator[None]:
    """Give a scheduler or an operator that ends the process the same tidy stop as Ctrl-C, and both of them without a traceback.

    An interrupt that meets the end of an object, or a callback of a compiled library, is printed by Python as ignored, and
    the work would go on: it is raised again.
    """
    before, show = signal.getsignal(signal.SIGTERM), sys.unraisablehook

    def stop(*_: object) -> None:
        # A second one would interrupt what is being tidied up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    def raise_again(lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            show(lost)
            return
        signal.signal(signal.SIGTERM, stop)
        # Not here, where it would be ignored too.
        Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM)).start()

    signal.signal(signal.SIGTERM, stop)
    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        sys.unraisablehook = show
        signal.signal(signal.SIGTERM, before)


def answer(content: Content, lines: list[str], as_json: bool) -> None:
    """Print the answer of a verb: as JSON for machines, or as lines for people, with what to do next."""
    if as_json:
        text = json.dumps(content, ensure_ascii=False, indent=2, default=str)
    else:
        text = "\n".join([*lines, *lines_of_next(content)])
    typer.echo(_CONTROL.sub("", text))


def lines_of_next(content: Content) -> list[str]:
    """Return what to do after the verb that is running."""
    call = _CALL.get()
    return describe_next(call.verb, call.given, content)


def _failure(error: BaseException, verbose: bool) -> tuple[str, str, int]:
    """Return kind, message and exit code of what a verb raised."""
    if isinstance(error, InputError):
        return "bad input", str(error), BAD_INPUT
    if not isinstance(error, UnavailableError) and is_interrupt(error):
        return "interrupted", _GO_ON, INTERRUPTED
    if verbose:
        traceback.print_exc()
    if isinstance(error, UnavailableError):
        return "failed", str(error), FAILED
    hint = "" if verbose else "\nRun again with --verbose for the traceback."
    return "failed", f"{type(error).__name__}: {error}{hint}", FAILED


def _quiet_prefect(verbose: bool) -> None:
    """Set what Prefect reads from the environment at import, where the operator has not."""
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start makes its database, which takes longer than Prefect's default allows on small machines.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        # Prefect logs what a step raised as an error with a traceback; the verbs have messages of their own.
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
        # What its threads could not send to a server that is away.
        "PREFECT_LOGGING_INTERNAL_LEVEL": "ERROR" if verbose else "CRITICAL",
        # Its temporary server complains where it is stopped while it still writes down task runs, which are not needed.
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if verbose else "CRITICAL",
    }
    for key, value in defaults.items():
        os.environ.setdefault(key, value)


def _hush_others() -> None:
    """Keep from the user what libraries report of their own matters, such as log lines that a server did not take."""
    # No traceback of a log line that could not be delivered.
    logging.raiseExceptions = False
    for handler in logging.getLogger().handlers:
        # Lines that are for the log of a run.
        handler.setLevel(logging.WARNING)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # What a library left unawaited when it was interrupted is for those who develop it.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited")


@contextmanager
def loading() -> Iterator[None]:
    """Leave out the search for garbage while modules are loaded: they stay, and each search looks through all of them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_models() -> None:
    """Load what maps with a model, which the steps would load one after the other."""
    for name in _MAPPING:
        import_module(f"landshift.models.use.{name}")
