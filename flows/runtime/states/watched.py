"""What Prefect runs: its own flows and tasks, whose functions are called where no server keeps what they do."""

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import httpx
from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from landshift.flows.runtime.server import is_watched
from landshift.flows.runtime.states.endings import Ending, end_in_state, value_of
from landshift.flows.runtime.temporary import temporary_server
from landshift.pipeline.errors import InputError, UnavailableError, is_interrupt

Parameters = ParamSpec("Parameters")


class WatchedFlow(Flow[Parameters, Any]):
    """A flow that starts no server of its own: where none is named, its function is called."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (what the function takes and returns)
        """Run it with Prefect, or plainly; what it returns comes back, also where Prefect calls the run failed."""
        if not is_watched():
            return self.fn(*arguments, **options)
        call: Callable[..., Any] = super().__call__
        with temporary_server():
            try:
                return value_of(call(*arguments, return_state=True, **options))
            except (httpx.TransportError, PrefectHTTPStatusError) as error:
                raise _away(error) from error


def _away(error: Exception) -> UnavailableError:
    """Return what became of a run whose server is gone, in a sentence."""
    address = get_current_settings().api.url
    return UnavailableError(
        f"The Prefect server at {address} went away while this ran, or does not work ({type(error).__name__}: {error}). "
        f"What is finished is kept: run the same again when it is back, or without PREFECT_API_URL."
    )


class WatchedTask(Task[..., Any]):
    """A task that needs no server: where none is named, its step is called, and tried again as Prefect would."""

    run_plainly: Callable[..., Any]
    """Calls the step."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (as above)
        """Run it with Prefect, or plainly."""
        if is_watched():
            with temporary_server():
                return super().__call__(*arguments, **options)
        return self.run_plainly(*arguments, **options)


def is_worth_retrying(_task: object, _run: object, state: Any) -> bool:  # noqa: ANN401 (Prefect's state)
    """Return whether to try again: bad input stays bad, while a full disk or a lost share may pass."""
    try:
        state.result()
    except InputError:
        return False
    except Exception as error:
        # Whatever else a step raised is worth another try.
        return not is_interrupt(error)
    return False


def make_task(function: Callable[..., Any], name: str, pauses: Sequence[float], run_plainly: Callable[..., Any]) -> WatchedTask:
    """Make a Prefect task of a step.

    Steps keep their own record of what is done, by content, so Prefect's cache stays off.

    Args:
        function: The step.
        name: Of the task.
        pauses: Seconds before each time that it is tried again.
        run_plainly: Calls the step where no server is named.
    """
    task = WatchedTask(
        function, name=name, retries=len(pauses), retry_delay_seconds=list(pauses), retry_condition_fn=is_worth_retrying,
        cache_policy=NO_CACHE, persist_result=False,
    )  # fmt: skip
    task.run_plainly = run_plainly
    return task


def make_flow(function: Callable[..., Any], name: str, ending_of: Callable[[Any], Ending | None]) -> WatchedFlow[...]:
    """Make a Prefect flow of a function, which ends as `ending_of` has it."""
    return WatchedFlow(end_in_state(function, ending_of), name=name, persist_result=False)
