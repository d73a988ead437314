"""Prefect tasks made of steps."""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from landshift.pipeline.errors import InputError

Result = TypeVar("Result")


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


def as_task(function: Callable[..., Any], name: str) -> Any:  # noqa: ANN401 (Prefect's Task is generic in the signature)
    """Make a Prefect task of a step.

    Steps keep their own record of what is done, by content, so Prefect's cache stays off.
    """
    make = task(
        name=name, retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=is_worth_retrying, cache_policy=NO_CACHE,
        persist_result=False,
    )  # fmt: skip
    return make(function)


def run_as_subflow(name: str, run: Callable[[], Result]) -> Result:
    """Run a function as a flow of its own within the flow that calls, and return what it returns.

    What it needs lies in the function: parameters of a flow are copied to the server, and a plan is no matter of its own.
    """

    def subflow() -> Result:
        return run()

    return flow(name=name, persist_result=False)(subflow)()
