"""Progress of long steps: bars on a terminal, lines elsewhere, the log where a flow runs without the command line."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_log = logging.getLogger(__name__)
_LINE_EVERY = 0.25
"""Share of a step after which another line is written."""

PROGRESS = "LANDSHIFT_PROGRESS"
"""Environment variable of a program that runs a verb and follows it; with `lines` each percent is a line, also with --json."""


class Percents:
    """Lines `STEP: PERCENT %` on standard error, for a program that shows them in its own way."""

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[float], None]]:
        """Follow one step, from 0 %."""
        shown = -1

        def advance(share: float) -> None:
            nonlocal shown
            percent = min(int(100 * share), 100)
            if percent > shown:
                shown = percent
                sys.stderr.write(f"{title}: {percent} %\n")
                sys.stderr.flush()

        advance(0.0)
        yield advance
        advance(1.0)


_BARS: ContextVar[Progress | Console | Percents | None] = ContextVar("landshift_progress", default=None)


@contextmanager
def bars(quiet: bool = False) -> Iterator[None]:
    """Show the progress of the steps inside on standard error: bars on a terminal, lines elsewhere, nothing when quiet.

    With `LANDSHIFT_PROGRESS=lines` in the environment each percent is a line, also when quiet.
    """
    if os.environ.get(PROGRESS) == "lines":
        token = _BARS.set(Percents())
        try:
            yield
        finally:
            _BARS.reset(token)
        return
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
    if isinstance(target, Percents):
        with target.step(title) as follow:
            yield follow
        return
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
