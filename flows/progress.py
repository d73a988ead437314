"""Progress of long steps: bars where somebody watches, log lines where nobody does."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_log = logging.getLogger(__name__)
_BARS: ContextVar[Progress | None] = ContextVar("landshift_progress", default=None)


@contextmanager
def bars(quiet: bool = False) -> Iterator[None]:
    """Show progress bars on standard error for the steps inside, where it is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        token = _BARS.set(progress)
        try:
            yield
        finally:
            _BARS.reset(token)


@contextmanager
def step(title: str) -> Iterator[Callable[[float], None]]:
    """Follow one step.

    Yields:
        A function to call with the share done, 0..1.
    """
    progress = _BARS.get()
    if progress is None:
        told = [0.0]

        def tell(share: float) -> None:
            if share >= told[0] + 0.25 or share >= 1:
                told[0] = share
                _log.info("%s: %d %%", title, round(100 * share))

        yield tell
        return
    bar = progress.add_task(title, total=1.0)
    yield lambda share: progress.update(bar, completed=share)
    progress.update(bar, completed=1.0)
