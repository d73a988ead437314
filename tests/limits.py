"""Nothing that hangs costs a whole run: every phase of a test, and the end of each process, has a limit.

`timeout` of pyproject.toml (pytest-timeout) fails a test that takes too long, with the stack of every thread, and the run
goes on. It works by a signal, which Python looks at between two of its own instructions, and which comes once: code that
hangs within C or swallows what the signal raises is beyond it, and so is what follows a failure. There `tests/watch.py`
ends the process with all that it started; pytest-xdist then names the test.
"""

import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

SLOW = 2400.0
"""Seconds for a test marked slow: the month of daily schedules takes 10 to 15 minutes on two cores."""
GRACE = 60.0
"""Seconds beyond its limit for a test, then for its teardown, until the process is ended."""
EXIT = 120.0
"""Seconds for what is left when all tests are over: threads and processes that are waited for."""
_WATCH, _STDERR = pytest.StashKey[int](), pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Start what watches this process, before what tests write is captured."""
    config.stash[_STDERR] = os.dup(2)
    read, config.stash[_WATCH] = os.pipe()
    script = Path(__file__).with_name("watch.py")
    # By way of a shell that ends at once: it is no child of this process, whose children tests may count.
    command = ["sh", "-c", 'exec 3<&0; "$0" "$@" <&3 3<&- &', sys.executable, str(script), str(os.getpid())]
    subprocess.run(command, stdin=read, check=True)
    os.close(read)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW))


def _watch(config: pytest.Config, seconds: float, what: str) -> None:
    with suppress(BrokenPipeError):
        os.write(config.stash[_WATCH], f"{seconds} {what}\n".encode())


def _watch_phase(item: pytest.Item) -> None:
    marker = item.get_closest_marker("timeout")
    seconds = float(marker.args[0] if marker else item.config.getini("timeout"))
    _watch(item.config, seconds + GRACE, item.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _watch_phase(item)


# With what the session set up, where it is the last one.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    _watch_phase(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    finally:
        _watch(item.config, 0, "")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # A worker of pytest-xdist that is done waits for the others; who started it ends it, and is watched.
    _watch(config, *((0, "") if hasattr(config, "workerinput") else (EXIT, "The end of the tests")))
    faulthandler.enable(config.stash[_STDERR])
