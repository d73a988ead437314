"""Flows and tasks made of functions: Prefect's where a server keeps what it runs, called plainly where none does."""

import logging
import sys
import time
from collections.abc import Callable
from functools import cached_property, partial, update_wrapper
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from landshift.flows.runtime.server import is_watched
from landshift.pipeline.errors import InputError, is_interrupt

if TYPE_CHECKING:
    from prefect import Flow

    from landshift.flows.runtime.states.endings import Ending

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_RETRY_AFTER_S = (2, 10)
"""Pauses before a step that failed is tried again."""

_log = logging.getLogger(__name__)


class _Late:
    """A flow or a task that Prefect makes when it has to run it: its import takes a second that a small map does not need."""

    def __init__(self, function: Callable[..., Any], run: Callable[..., Any], make: Callable[[], Any]) -> None:
        """Hold a function, how it is run plainly, and what makes it one of Prefect's."""
        update_wrapper(self, function)
        self.fn, self._run, self._make = function, run, make

    @cached_property
    def made(self) -> Any:  # noqa: ANN401 (a Flow or a Task)
        """Prefect's flow or task."""
        return self._make()

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (what the function takes and returns)
        return (self.made if is_watched() else self._run)(*arguments, **options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (as above)
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.made, name)


def _run_step(step: Callable[..., Any], name: str, retries: int, /, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
    """Run a step, and try it again after a pause as Prefect would."""
    for pause in _RETRY_AFTER_S[:retries]:
        try:
            return step(*arguments, **options)
        except InputError:
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            # Whatever else a step raised is worth another try.
            _log.info("%s: %s; tried again in %d s", name, error, pause)
            time.sleep(pause)
    return step(*arguments, **options)


def as_task(function: Callable[..., Any], name: str, retries: int = len(_RETRY_AFTER_S)) -> Any:  # noqa: ANN401 (a Task)
    """Make a Prefect task of a step, at once where Prefect is loaded and else when it has to run it."""
    run = partial(_run_step, function, name, retries)

    def make() -> Any:  # noqa: ANN401 (a Task)
        from landshift.flows.runtime.states.watched import make_task

        return make_task(function, name, _RETRY_AFTER_S[:retries], run)

    return make() if "prefect" in sys.modules else _Late(function, run, make)


def _went_well(_result: object) -> None:
    """Return that nothing went wrong."""


def as_flow(
    name: str, ending_of: "Callable[[Any], Ending | None]" = _went_well
) -> "Callable[[Callable[Parameters, Result]], Flow[Parameters, Result]]":
    """Make a Prefect flow of the function below, which is called plainly where no server is named (see `server.is_watched`).

    Prefect finds its own kind of flow in a module that it loads itself.

    Args:
        name: Of the flow.
        ending_of: Returns how a run ended, from what the function returned; None where all went well.
    """

    def decorate(function: Callable[Parameters, Result]) -> "Flow[Parameters, Result]":
        def make() -> Any:  # noqa: ANN401 (a Flow)
            from landshift.flows.runtime.states.watched import make_flow

            return make_flow(function, name, ending_of)

        made: Any = make() if "prefect" in sys.modules else _Late(function, function, make)
        flow: Flow[Parameters, Result] = made
        return flow

    return decorate


def run_as_subflow(name: str, run: Callable[[], Result]) -> Result:
    """Run a function as a flow of its own within the flow that calls, and return what it returns.

    What it needs lies in the function: parameters of a flow are copied to the server, and a plan is no matter of its own.
    """

    def subflow() -> Result:
        return run()

    return as_flow(name)(subflow)()
