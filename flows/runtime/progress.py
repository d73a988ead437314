"""Progress of long steps: bars on a terminal, lines elsewhere, the log where a flow runs without the command line."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_log = logging.getLogger(__name__)

_BARS: ContextVar["Progress | Console | None"] = ContextVar("landshift_progress", default=None)

_LINE_EVERY = 0.25


@contextmanager
def bars(quiet: bool = False) -> Iterator[None]:
    """Show the progress of the steps inside on standard error: bars on a terminal, lines elsewhere, nothing when quiet."""
    console = Console(stderr=True)
    if quiet:
        yield
        return
    if not sys.stderr.isatty():
        with _shown_on(console):
            yield
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress, _shown_on(progress):
        yield


@contextmanager
def _shown_on(target: "Progress | Console") -> Iterator[None]:
    token = _BARS.set(target)
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
    target = _BARS.get()
    if isinstance(target, Progress):
        bar = target.add_task(title, total=1.0)
        yield lambda share: target.update(bar, completed=share)
        target.update(bar, completed=1.0)
        return
    told = [0.0]

    def tell(share: float) -> None:
        if share >= told[0] + _LINE_EVERY or (share >= 1 > told[0]):
            told[0] = share
            if target is None:
                _log.info("%s: %d %%", title, round(100 * share))
            else:
                target.print(f"{title}: {round(100 * share)} %", highlight=False)

    yield tell
