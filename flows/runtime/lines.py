"""Progress in lines, where there is no terminal to draw bars on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from landshift.pipeline.formatting import duration

EVERY_S = 60.0
"""Between two lines for people."""
_STEADY_AFTER_S = 5.0
"""Of a step, before its speed is taken for that of the rest."""
_MOST_DONE = 8
"""Finished steps that a line names; more are counted."""


@dataclass(eq=False)
class _Work:
    """A step that is under way."""

    title: str
    """Of the step."""
    since: float
    """Seconds of the clock."""
    share: float = 0.0
    """Done, 0..1."""
    first: tuple[float, float] | None = None
    """Share and time of the first report: work that is resumed does not begin at 0."""


@dataclass(eq=False)
class Lines:
    """A line a minute, at most and at least, about what is under way: no long silence, and no log full of percentages."""

    write: Callable[[str], None]
    """Takes a line."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    every_s: float = EVERY_S
    """Between two lines."""
    _open: list[_Work] = field(default_factory=list)
    _done: list[str] = field(default_factory=list)
    _begun: float | None = None
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[float], None]]:
        """Follow one step; the first one of all is named at once."""
        work = _Work(title, self.clock())
        with self._lock:
            self._open.append(work)
            first, self._begun = self._begun is None, self.clock() if self._begun is None else self._begun
        if first:
            self.write(f"{title} ...")

        def advance(share: float) -> None:
            with self._lock:
                work.share = share
                work.first = work.first or (share, self.clock())

        try:
            yield advance
        finally:
            with self._lock:
                self._open.remove(work)
                self._done.append(title)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write a line each minute until the end, whether or not a step reports anything."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(self.every_s):
                self.write(self.describe())

        thread = Thread(target=beat, name="landshift-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def describe(self) -> str:
        """Return the line: the innermost step with its share and the time left, and what was finished since the last line."""
        with self._lock:
            now, work = self.clock(), self._open[-1] if self._open else None
            parts = ["Working"] if work is None else [work.title, _describe_rest(work, now)]
            titles = list(dict.fromkeys(self._done))
            self._done.clear()
        more = len(titles) - _MOST_DONE
        done = f" Done: {', '.join(titles[:_MOST_DONE])}{f' and {more} more' if more > 0 else ''}." if titles else ""
        return f"{': '.join(part for part in parts if part)}.{done}"


def _describe_rest(work: _Work, now: float) -> str:
    """Return how far a step is: its share and the time left, or the time that it has taken, where it reports no share."""
    if work.first is None or not 0 < work.share < 1:
        return f"{duration(now - work.since)} so far"
    share, since = work.first
    done, took = work.share - share, now - since
    if done <= 0:
        # The first report is the only one: all before it counts.
        done, took = work.share, now - work.since
    rest = f", about {duration(took / done * (1 - work.share))} left" if took >= _STEADY_AFTER_S else ""
    return f"{100 * work.share:.0f} %{rest}"


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
                write_line(f"{title}: {percent} %")

        advance(0.0)
        yield advance
        advance(1.0)


def write_line(text: str) -> None:
    """Write a line to standard error at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
