"""Ends a process of tests that hangs, with all that it started. A program of its own: what hangs cannot end itself.

Started by `tests.limits`. Lines of its input are "SECONDS WHAT": until when WHAT has to be over; SECONDS is 0 where nothing is
waited for.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress


def main(watched: int) -> None:
    until, what, lines = 0.0, "", b""
    while _lives(watched):
        if select.select([0], [], [], 0.5)[0]:
            read = os.read(0, 65536)
            if not read:
                return
            *whole, lines = (lines + read).split(b"\n")
            if whole:
                seconds, _, what = whole[-1].decode(errors="replace").partition(" ")
                until = time.monotonic() + float(seconds) if float(seconds) else 0.0
        if until and time.monotonic() > until:
            _end(watched, what)
            return


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _end(watched: int, what: str) -> None:
    """Have `faulthandler` of the process print its stacks, and kill it and what it started."""
    import psutil

    started = psutil.Process(watched).children(recursive=True)
    print(f"\n{what} hangs: process {watched} is ended, and {len(started)} that it started.", file=sys.stderr)
    for process in started:
        with suppress(psutil.Error):
            print(f"  {process.pid} {process.status()}: {' '.join(process.cmdline())[:200]}", file=sys.stderr)
    sys.stderr.flush()
    with suppress(ProcessLookupError):
        os.kill(watched, signal.SIGABRT)
    until = time.monotonic() + 5
    while _lives(watched) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in (watched, *(process.pid for process in started)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
