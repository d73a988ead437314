"""The machine that a figure was measured on, and what a command costs there: processor time, memory and disk."""

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

VECTORS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "neon", "asimd", "sve", "bf16")
"""Instruction sets that matter to networks and to codecs."""
_EVERY = 0.05
"""Seconds between two looks at a running command."""


@dataclass(frozen=True)
class Cost:
    """What a command took, with everything it started."""

    wall_s: float
    """Seconds by the clock."""
    cpu_s: float
    """Seconds of a core, user and system, of all its processes."""
    peak_ram_gb: float
    """Largest sum of the resident memory of its processes at one time; pages that two share count twice."""
    peak_process_gb: float
    """Largest resident memory of one process."""
    peak_disk_gb: float
    """Largest sum of the files in the watched folders at one time."""
    load: float
    """Mean number of processes that wanted a core in the minute before the end, of all users of the machine."""
    output: str = ""
    """What it wrote on its standard output."""

    @property
    def figures(self) -> dict[str, float]:
        """Everything but the output, rounded."""
        return {k: round(v, 3) for k, v in asdict(self).items() if k != "output"}


def describe_machine() -> dict[str, Any]:
    """Describe processor, instruction sets, cores and memory, and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", facts.get("Features", "")).split()
    return {
        "processor": facts.get("model name", platform.processor() or platform.machine()),
        "vectors": [name for name in VECTORS if name in flags], "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1), "system": platform.system(),
        "python": platform.python_version(), "load": round(os.getloadavg()[0], 2), "day": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def size_of(*folders: Path) -> int:
    """Return the bytes that files below some folders take on the disk, several names of one file once.

    What vanishes meanwhile is not counted.
    """
    total, waiting, linked = 0, [str(folder) for folder in folders], set()
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    name = found.st_dev, found.st_ino
                    if found.st_nlink < 2 or name not in linked:
                        linked.add(name)
                        total += found.st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def run_watched(
    command: Sequence[str | Path], folders: Sequence[Path] = (), environment: Mapping[str, str] | None = None
) -> Cost:
    """Run a command to its end and watch it.

    Args:
        command: Program and arguments.
        folders: Whose files count as its disk.
        environment: Added to that of this process.

    Raises:
        RuntimeError: The command failed; with the end of what it wrote.
    """
    peaks, over = [0.0, 0.0, 0.0], threading.Event()
    started, before = time.perf_counter(), psutil.Process().cpu_times()
    words = [str(word) for word in command]
    running = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
    )

    def watch() -> None:
        while not over.wait(_EVERY):
            sizes = [rss for rss in _resident(running.pid) if rss]
            found = (sum(sizes), max(sizes, default=0), size_of(*folders))
            peaks[:] = [max(pair) for pair in zip(peaks, found, strict=True)]

    thread = threading.Thread(target=watch)
    thread.start()
    output = running.communicate()[0]
    over.set()
    thread.join()
    wall, after = time.perf_counter() - started, psutil.Process().cpu_times()
    if running.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {running.returncode}:\n{output[-3000:]}")
    # A child's time counts here once it is waited for, with that of the children that it waited for itself.
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall, cpu, peaks[0] / 1e9, peaks[1] / 1e9, peaks[2] / 1e9, os.getloadavg()[0], output)


def _resident(pid: int) -> Iterator[int]:
    """Yield the resident bytes of a process and of those below it."""
    try:
        top = psutil.Process(pid)
        for process in (top, *top.children(recursive=True)):
            try:
                yield process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return


@contextmanager
def one_thread() -> Iterator[None]:
    """Let libraries that are loaded by commands started here use one core."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")
    kept = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def core_seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the seconds of a core that a function takes in this process, the least of several times."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def fit_exponent(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return b of the a * x^b that fits best, in logarithms; None where a value is not above 0."""
    if min(*x, *y) <= 0:
        return None
    return round(float(np.polyfit(np.log(x), np.log(y), 1)[0]), 2)


def keep_figures(path: Path | None, column: str, content: Mapping[str, Any]) -> None:
    """Write figures as a column (`before`, `now`) of a JSON file, beside the columns that it has, and print them."""
    print(json.dumps(content, indent=2))
    if path is None:
        return
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, column: dict(content)}, indent=2) + "\n", encoding="utf-8")


def say(text: str) -> None:
    """Tell the person who waits what is being done."""
    print(text, file=sys.stderr, flush=True)
