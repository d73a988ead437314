"""How a flow ends in Prefect: its state, with a sentence of ours, and its log with lines of ours."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, Literal

from landshift.pipeline.errors import BusyError, InputError, UnavailableError

DONE: Final = "Completed"
FAILED: Final = "Failed"
INCOMPLETE: Final = "Incomplete"
"""Completed, and not everything went well."""
SKIPPED: Final = "Skipped"
"""Cancelled, because another run does, or did, the same."""

END_STATES = (DONE, INCOMPLETE, FAILED, "Cancelled", SKIPPED, "Crashed")
"""Names of the states that a run of ours can end in."""

_LONGEST = 2000
"""Characters of a sentence on Prefect's pages."""


@dataclass(frozen=True)
class Ending:
    """End of a flow that returned something, and did not do all that it was asked to do."""

    name: Literal["Incomplete", "Failed"]
    """Name of the state."""
    message: str
    """What went wrong; sentences."""


def end_in_state(function: Callable[..., Any], ending_of: Callable[[Any], Ending | None]) -> Callable[..., Any]:
    """Make a function that returns Prefect's state where Prefect runs it, and what the function returns elsewhere.

    An error that is meant for people becomes the sentence of the state, without a traceback; the caller of the flow gets it
    raised, as without Prefect.

    Args:
        function: What the flow does.
        ending_of: Returns how it ended, from what the function returned; None where all went well.
    """

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (what the function takes and returns)
        from prefect.context import FlowRunContext
        from prefect.states import Cancelled, Completed, Failed

        if FlowRunContext.get() is None:
            return function(*arguments, **options)
        with _run_log():
            try:
                result = function(*arguments, **options)
            except BusyError as error:
                return Cancelled(name=SKIPPED, message=str(error)[:_LONGEST], data=error)
            except (InputError, UnavailableError) as error:
                return Failed(message=str(error)[:_LONGEST], data=error)
        ending = ending_of(result)
        if ending is None:
            return result
        make = Completed if ending.name == INCOMPLETE else Failed
        return make(name=ending.name, message=ending.message[:_LONGEST], data=result)

    return run


def value_of(state: Any) -> Any:  # noqa: ANN401 (Prefect's state, and what a flow returns)
    """Return what a flow returned, however it ended, or raise what it raised."""
    from prefect._internal.result_records import ResultRecord

    data = state.data.result if isinstance(state.data, ResultRecord) else state.data
    if isinstance(data, BaseException):
        raise data
    return state.result() if data is None else data


@contextmanager
def _run_log() -> Iterator[None]:
    """Send what Landshift logs inside to the log of the run."""
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.logging.handlers import APILogHandler

    class RunLog(APILogHandler):
        def emit(self, record: logging.LogRecord) -> None:
            # A thread of ours that knows no run would have Prefect warn.
            if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
                super().emit(record)

    log = logging.getLogger("landshift")
    if any(isinstance(handler, APILogHandler) for handler in log.handlers):
        yield  # a flow within a flow
        return
    level, handler = log.level, RunLog()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
