"""Landshift in Python: `landshift.open_run("runs/demo/run")` reads what a run found."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.pipeline.run.results import Run, open_run

__all__ = ["Run", "open_run"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    """Return a public name, imported when it is first asked for: the command line answers without it in under a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from landshift.pipeline.run import results

    return getattr(results, name)
