"""Who makes a file: host, process and when that was started, as names of unfinished files state it."""

import hashlib
import os
import re
import socket
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SILENT_FOR_S = 86_400
"""After which an unfinished file of another machine is given up: whether its process lives is not to be seen from here."""
_NAME = re.compile(r"\.partial-(?P<machine>[a-z0-9]*\.[0-9a-f]{6})-(?P<process>\d{1,10})-(?P<start>[0-9a-f]{8}|none)-")
_NO_CONTAINER = "4026531836"
"""Number of the first space of process numbers of a Linux, the same on each."""


@dataclass(frozen=True)
class Maker:
    """A process that makes a file."""

    machine: str
    """Host, and a hash of it and of the space in which its processes have their numbers: two containers may have one name."""
    process: int
    """Its number there."""
    start: str
    """Hash of when machine and process were started, since numbers are given again; `none` of a process that has ended."""

    @property
    def prefix(self) -> str:
        """What the names of its unfinished files begin with."""
        return f".partial-{self.machine}-{self.process}-{self.start}-"

    def is_gone(self, path: Path) -> bool:
        """Return whether it no longer works on `path`: ended, or on another machine and a day without a byte.

        Raises:
            OSError: The path cannot be looked into.
        """
        if self.machine == _machine():
            return _start_of(self.process) != self.start
        newest = max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
        return time.time() - newest > SILENT_FOR_S


def this_process() -> Maker:
    """Return this process."""
    return Maker(_machine(), os.getpid(), _start_of(os.getpid()))


def maker_of(name: str) -> Maker | None:
    """Return who makes the file of this name; None where it is not the name of an unfinished file."""
    found = _NAME.match(name)
    return None if found is None else Maker(found["machine"], int(found["process"]), found["start"])


@cache
def _machine() -> str:
    host = socket.gethostname()
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbers = ""
    # Outside of containers it stays the same when the machine is started again, which has ended all that went before.
    boot = "" if _NO_CONTAINER in numbers else _boot()
    return f"{re.sub('[^a-z0-9]', '', host.lower())[:12]}.{_digest(host, numbers, boot)[:6]}"


@cache
def _boot() -> str:
    return _text_of("/proc/sys/kernel/random/boot_id")


def _start_of(process: int) -> str:
    # The name of a program may hold blanks and brackets; the time is field 22 of `proc(5)`, in ticks since the boot.
    fields = _text_of(f"/proc/{process}/stat").rpartition(")")[2].split()
    if len(fields) > 19:
        return "none" if fields[0] in "ZX" else _digest(_boot(), fields[19])[:8]
    if Path("/proc/self/stat").exists() or os.name != "posix":
        return "none"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return "none"
    except PermissionError:
        pass
    return "0" * 8


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
