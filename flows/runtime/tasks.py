"""Prefect flows and tasks made of functions: with Prefect where a server keeps what it runs, plainly where none does."""

import logging
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE

from landshift.flows.runtime.server import is_watched
from landshift.pipeline.errors import InputError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = (2, 10)
"""Pauses before a step that failed is tried again."""


class _PlainFlow(Flow[Parameters, Any]):
    """A flow that starts no server of its own: where none is named, its function is called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (what the function takes and returns)
        return super().__call__(*arguments, **options) if is_watched() else self.fn(*arguments, **options)


class _PlainTask(Task[..., Any]):
    """A task that needs no server: where none is named, its step is called, and tried again as Prefect would."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (as above)
        if is_watched():
            return super().__call__(*arguments, **options)
        for pause in _RETRY_AFTER_S[: self.retries]:
            try:
                return self.fn(*arguments, **options)
            except InputError:
                raise
            except Exception as error:
                # Whatever else a step raised is worth another try.
                _log.info("%s: %s; tried again in %d s", self.name, error, pause)
                time.sleep(pause)
        return self.fn(*arguments, **options)


def is_worth_retrying(_task: object, _run: object, state: Any) -> bool:  # noqa: ANN401 (Prefect's state)
    """Return whether to try again: bad input stays bad, while a full disk or a lost share may pass."""
    try:
        state.result()
    except InputError:
        return False
    except Exception:
        # Whatever else a step raised is worth another try.
        return True
    return False


def as_task(function: Callable[..., Any], name: str, retries: int = len(_RETRY_AFTER_S)) -> Any:  # noqa: ANN401 (a Task)
    """Make a Prefect task of a step.

    Steps keep their own record of what is done, by content, so Prefect's cache stays off.
    """
    return _PlainTask(
        function, name=name, retries=retries, retry_delay_seconds=list(_RETRY_AFTER_S[:retries]),
        retry_condition_fn=is_worth_retrying, cache_policy=NO_CACHE, persist_result=False,
    )  # fmt: skip


def as_flow(name: str) -> Callable[[Callable[Parameters, Result]], Flow[Parameters, Result]]:
    """Make a Prefect flow of the function below, which is called plainly where no server is named (see `server.is_watched`)."""

    def make(function: Callable[Parameters, Result]) -> Flow[Parameters, Result]:
        made: Flow[Parameters, Result] = _PlainFlow(function, name=name, persist_result=False)
        return made

    return make


def run_as_subflow(name: str, run: Callable[[], Result]) -> Result:
    """Run a function as a flow of its own within the flow that calls, and return what it returns.

    What it needs lies in the function: parameters of a flow are copied to the server, and a plan is no matter of its own.
    """

    def subflow() -> Result:
        return run()

    return as_flow(name)(subflow)()
