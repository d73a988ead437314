"""Progress of long steps: bars on a terminal, a line a minute elsewhere, the log where a flow runs without the command line."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from landshift.flows.runtime.lines import EVERY_S, Lines, Percents, write_line

_log = logging.getLogger(__name__)
_LOGGED_EVERY = 0.25
"""Share of a step after which another line is logged, at the latest."""

PROGRESS = "LANDSHIFT_PROGRESS"
"""Environment variable of a program that runs a verb and follows it; with `lines` each percent is a line, also with --json."""

_TARGET: ContextVar[Progress | Lines | Percents | None] = ContextVar("landshift_progress", default=None)


@contextmanager
def bars(quiet: bool = False) -> Iterator[None]:
    """Show the progress of the steps inside on standard error: bars on a terminal, lines elsewhere, nothing when quiet.

    With `LANDSHIFT_PROGRESS=lines` in the environment each percent is a line, also when quiet.
    """
    if os.environ.get(PROGRESS) == "lines":
        token = _TARGET.set(Percents())
        try:
            yield
        finally:
            _TARGET.reset(token)
        return
    if quiet:
        yield
        return
    columns = TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with ExitStack() as stack:
        target: Progress | Lines
        if sys.stderr.isatty():
            target = stack.enter_context(Progress(TextColumn("{task.description:<28}"), BarColumn(), *columns, console=console))
        else:
            target = Lines(write_line)
            stack.enter_context(target.beating())
        stack.callback(_TARGET.reset, _TARGET.set(target))
        yield


def show_now(sentence: str) -> None:
    """Show a sentence at once, above the bars; without bars and lines, in the log."""
    target = _TARGET.get()
    if isinstance(target, Progress):
        target.console.print(sentence, highlight=False, markup=False)
    elif isinstance(target, Lines):
        target.write(sentence)
    else:
        _log.info("%s", sentence)


@contextmanager
def step(title: str) -> Iterator[Callable[[float], None]]:
    """Follow one step.

    Yields:
        A function to call with the share done, 0..1.
    """
    target = _TARGET.get()
    if isinstance(target, Progress):
        bar = target.add_task(title, total=1.0)
        yield lambda share: target.update(bar, completed=share)
        target.update(bar, completed=1.0)
        return
    if target is not None:
        with target.step(title) as advance:
            yield advance
        return
    shown, last = 0.0, time.monotonic()

    def log(share: float) -> None:
        nonlocal shown, last
        now = time.monotonic()
        if share >= shown + _LOGGED_EVERY or (share >= 1 > shown) or (share > shown and now >= last + EVERY_S):
            shown, last = share, now
            _log.info("%s: %d %%", title, round(100 * share))

    yield log
