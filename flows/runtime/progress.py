"""Progress of long steps: bars on a terminal, lines elsewhere, the log where a flow runs without the command line."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_log = logging.getLogger(__name__)
_BARS: ContextVar[Progress | Console | None] = ContextVar("landshift_progress", default=None)
_LINE_EVERY = 0.25
"""Share of a step after which another line is written."""


@contextmanager
def bars(quiet: bool = False) -> Iterator[None]:
    """Show the progress of the steps inside on standard error: bars on a terminal, lines elsewhere, nothing when quiet."""
    if quiet:
        yield
        return
    columns = TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    target: Progress | Console = console
    with ExitStack() as stack:
        if sys.stderr.isatty():
            target = stack.enter_context(Progress(TextColumn("{task.description:<28}"), BarColumn(), *columns, console=console))
        stack.callback(_BARS.reset, _BARS.set(target))
        yield


@contextmanager
def step(title: str) -> Iterator[Callable[[float], None]]:
    """Follow one step.

    Yields:
        A function to call with the share done, 0..1.
    """
    target = _BARS.get()
    if isinstance(target, Progress):
        bar = target.add_task(title, total=1.0)
        yield lambda share: target.update(bar, completed=share)
        target.update(bar, completed=1.0)
        return
    shown = 0.0

    def advance(share: float) -> None:
        nonlocal shown
        if share >= shown + _LINE_EVERY or (share >= 1 > shown):
            shown = share
            if target is None:
                _log.info("%s: %d %%", title, round(100 * share))
            else:
                target.print(f"{title}: {round(100 * share)} %", highlight=False)

    yield advance
