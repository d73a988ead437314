"""A verb in a process of its own, forked from one that has everything loaded, with a fault that comes at a chosen moment."""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

_WRITING = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree",
    "shutil.copyfile", "sqlite3.connect",
}  # fmt: skip
"""Audit events of Python before files change; `open` for writing is one too."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
"""Of Debian's package `faketime`."""
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and when."""

    kind: str
    """`none`, `kill`, `terminate`, `file size`, `memory`, `full disk`, `read-only` or `clock`."""
    at_operation: int = 0
    """The operation on files at which a signal comes; 0 = by the time."""
    after_s: float = 0.0
    """Seconds after which a signal comes, where it does not come by the operation, or the clock jumps."""
    amount: int = 0
    """Bytes: of the largest file, of memory beyond that of the start, or free on the disk; seconds that a clock jumps."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    """Exit code; below 0 the signal that ended it."""
    said: str
    """Both of its streams."""
    seconds: float
    """From its start to its end."""
    cpu: float
    """Seconds of user and system."""
    operations: int
    """On files, by Python."""


class Source:
    """A process that has everything loaded and has done nothing, of which every verb is a fork: threads do not survive one."""

    def __init__(self, load: Callable[[], None], works: Mapping[str, Callable[[], Any]]) -> None:
        """Start it, before this process does anything that starts threads.

        Args:
            load: Loads everything.
            works: What can be run, by name.
        """
        self._ours, theirs = Pipe()
        if os.fork() == 0:
            self._ours.close()
            try:
                load()
                while True:
                    name, folder, fault, log = theirs.recv()
                    os.chdir(folder)
                    work = partial(_restart_with_false_clock, name, log) if fault.kind == "clock" else works[name]
                    theirs.send(run(work, fault, log))
            except (EOFError, KeyboardInterrupt):
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
        theirs.close()

    def run(self, name: str, folder: Path, fault: Fault, log: Path) -> Ended:
        """Run a work of that name in a folder, and wait for its end."""
        self._ours.send((name, folder, fault, log))
        ended: Ended = self._ours.recv()
        return ended


def run(work: Callable[[], Any], fault: Fault, log: Path) -> Ended:
    """Run a function in a forked process, and wait for its end.

    Args:
        work: May raise SystemExit, whose code is that of the process.
        fault: What goes wrong.
        log: Path of files that are needed meanwhile.
    """
    began, counts = time.monotonic(), log.with_suffix(".operations")
    counts.unlink(missing_ok=True)
    # No file: a limit on the size of files is none on what is said.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_child(work, fault, writing, counts)
    os.close(writing)
    os.set_blocking(reading, False)
    said = b""
    by_time = fault.kind == "clock" or (fault.kind in ("kill", "terminate") and not fault.at_operation)
    until = began + fault.after_s if by_time else None
    status, usage = None, None
    while status is None:
        said += _read(reading)
        pid, found, used = os.wait4(child, os.WNOHANG)
        if pid:
            status, usage = found, used
        elif until is not None and time.monotonic() >= until:
            if fault.kind == "clock":
                clock_of(log).write_text(f"{fault.amount:+d}")
            else:
                os.kill(child, _signal_of(fault))
            until = None
        elif time.monotonic() - began > 300:
            os.kill(child, signal.SIGKILL)
        else:
            time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    operations = int(counts.read_text()) if counts.exists() else 0
    said += _read(reading)
    os.close(reading)
    spent = 0.0 if usage is None else usage.ru_utime + usage.ru_stime
    return Ended(code, said.decode(errors="replace"), time.monotonic() - began, spent, operations)


def _read(pipe: int) -> bytes:
    found = b""
    with suppress(BlockingIOError):
        while part := os.read(pipe, 65_536):
            found += part
    return found


def clock_of(log: Path) -> Path:
    """Return the file that libfaketime reads the time from."""
    return log.with_suffix(".clock")


def _restart_with_false_clock(name: str, log: Path) -> None:
    """Begin anew as a process whose clock jumps when the file is written: the library has to be there from the start."""
    clock_of(log).write_text("+0")
    code = f"from tests.chaos.place import VERBS; next(v for v in VERBS if v.name == {name!r})()"
    environment = os.environ | {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock_of(log)), "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    os.execve(sys.executable, [sys.executable, "-c", code], environment)


def _signal_of(fault: Fault) -> int:
    return signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM


def _be_child(work: Callable[[], Any], fault: Fault, writing: int, counts: Path) -> None:
    code, seen = 1, 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _FLAGS or str(path).startswith(("/dev", "/proc")):
                return
        elif event not in _WRITING:
            return
        seen += 1
        if seen == fault.at_operation:
            os.kill(os.getpid(), _signal_of(fault))

    try:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        if fault.kind == "file size":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.amount, resource.RLIM_INFINITY))
        if fault.kind == "memory":
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + fault.amount, resource.RLIM_INFINITY))
        sys.addaudithook(watch)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        total = seen
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sys.stdout.flush()
        sys.stderr.flush()
        counts.write_text(str(total))
        os._exit(code)
