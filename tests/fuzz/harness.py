"""Children that call a target with one damaged file after another, and what watches them.

One process has everything loaded; it forks children, each for many mutations, so that a mutation costs milliseconds. A child
says which number it begins and what came of it; the parent ends a child that takes too long over one, and forks the next for
what is left.
"""

import json
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutators import BYTES, Mutator

BATCH = 250
"""Mutations a child."""
SECONDS = 30.0
"""For one mutation, until its child is ended."""
SWELL_BYTES = 2**30
"""Resident memory that one mutation may add."""
ADDRESSES_BYTES = 6 * 2**30
"""Address space that a child may add: beyond what is a failure already, so that the machine is safe."""
KEPT_OF_A_KIND = 3


@dataclass(frozen=True)
class Target:
    """Something that reads files, and the files that are damaged for it."""

    name: str
    seeds: Callable[[Path], Sequence[Path]]
    """Writes good files into a folder, the same each time, and returns those that are damaged; the others stay beside."""
    call: Callable[[Path, Path], object]
    """Reads the damaged file, the first argument. It has the seed's name and lies in a folder of its own, which may be written
    to; the second is the folder where the good seed lies, with what else `seeds` wrote there. It may raise InputError alone."""
    mutators: tuple[Mutator, ...] = BYTES
    imports: tuple[str, ...] = ()
    """Modules that are loaded before the first child, so that not each loads them again."""


@dataclass(frozen=True)
class Case:
    """One mutation."""

    target: str
    number: int

    def make(self, target: Target, seeds: Sequence[Path]) -> tuple[Path, bytes]:
        """Return the seed that is damaged, and what becomes of it."""
        rng = Random(f"{self.target}:{self.number}")
        seed = rng.choice(list(seeds))
        content = seed.read_bytes()
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            content = rng.choice(target.mutators)(rng, content) if content else content
        return seed, content


@dataclass(frozen=True)
class Failure:
    """A mutation that ended in anything but a result or an InputError."""

    case: Case
    kind: str
    """What it has in common with others: type of the error and the last line of ours, or how its child ended."""
    text: str
    """Traceback, or what was seen from outside."""


@dataclass
class Tally:
    """What came of the mutations of a target."""

    read: int = 0
    refused: int = 0
    failures: list[Failure] = field(default_factory=list)
    slowest_s: float = 0.0
    most_bytes: int = 0


@dataclass
class _Child:
    pid: int
    out: int
    cases: list[Case]
    folder: Path
    buffer: bytes = b""
    running: Case | None = None
    since: float = 0.0
    done: int = 0


def fuzz(
    targets: Sequence[Target], numbers: range, folder: Path, *, kept: Path, jobs: int = 2, seconds: float = SECONDS
) -> dict[str, Tally]:
    """Call every target with the mutations of these numbers.

    Args:
        targets: What to call.
        numbers: Of each target.
        folder: For seeds and damaged files.
        kept: Where inputs that fail are kept: `TARGET/KIND-NUMBER-NAME`, and a text beside each.
        jobs: Children at the same time.
        seconds: For one mutation.
    """
    tallies = {target.name: Tally() for target in targets}
    for target in targets:
        for module in target.imports:
            __import__(module)
        seeds = _make_seeds(target, folder / target.name / "seeds")
        _run(target, seeds, numbers, folder / target.name, tally=tallies[target.name], limits=(jobs, seconds))
        for failure in tallies[target.name].failures:
            _keep(failure, target, seeds, kept / target.name)
    return tallies


def _make_seeds(target: Target, folder: Path) -> list[Path]:
    """Have seeds made by a child: what makes them may start threads, and a process that has some should not fork."""
    folder.mkdir(parents=True)
    pid = os.fork()
    if pid == 0:
        _end_after(lambda: (folder.parent / "list").write_text("\n".join(str(p) for p in target.seeds(folder))))
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"The seeds of {target.name} could not be made.")
    return [Path(line) for line in (folder.parent / "list").read_text().splitlines()]


def _end_after(work: Callable[[], object]) -> None:
    """Do a child's work, and end it without what the parent registered for its own end."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(
    target: Target, seeds: Sequence[Path], numbers: range, folder: Path, *, tally: Tally, limits: tuple[int, float]
) -> None:
    jobs, seconds = limits
    waiting = [Case(target.name, number) for number in reversed(numbers)]
    selector, children = selectors.DefaultSelector(), dict[int, _Child]()

    def start() -> None:
        while waiting and len(children) < jobs:
            cases = [waiting.pop() for _ in range(min(BATCH, len(waiting)))]
            child = _fork(target, seeds, cases, folder)
            children[child.out] = child
            selector.register(child.out, selectors.EVENT_READ)

    start()
    while children:
        for key, _ in selector.select(0.5):
            child = children[key.fd]
            data = os.read(key.fd, 2**16)
            if data:
                _listen(child, data, tally)
            else:
                selector.unregister(key.fd)
                del children[key.fd]
                waiting.extend(reversed(_bury(child, tally)))
        for child in children.values():
            if child.running is not None and time.monotonic() - child.since > seconds:
                os.kill(child.pid, signal.SIGKILL)
        start()


def _fork(target: Target, seeds: Sequence[Path], cases: list[Case], folder: Path) -> _Child:
    inward, outward = os.pipe()
    own = folder / f"child-{cases[0].number}"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    pid = os.fork()
    if pid == 0:
        os.close(inward)
        _end_after(lambda: _work(target, seeds, cases, own, outward))
    os.close(outward)
    return _Child(pid, inward, cases, own, since=time.monotonic())


def _work(target: Target, seeds: Sequence[Path], cases: list[Case], folder: Path, out: int) -> None:
    # What libraries print about damaged files is of no interest.
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    size = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESSES_BYTES, size + ADDRESSES_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in cases:
        seed, content = case.make(target, seeds)
        shutil.rmtree(folder)
        folder.mkdir()
        path = folder / seed.name
        path.write_bytes(content)
        _say(out, {"begins": case.number})
        _say(out, {"number": case.number, **_call(target, path, seed.parent)})


def _call(target: Target, path: Path, seeds: Path) -> dict[str, Any]:
    from landshift.pipeline.errors import InputError

    Path("/proc/self/clear_refs").write_text("5")
    before, start, result = _status("VmRSS"), time.perf_counter(), "read"
    try:
        target.call(path, seeds)
    except InputError:
        result = "refused"
    except BaseException as error:
        return {"result": "failed", "kind": _kind(error), "text": traceback.format_exc()}
    seconds, grown = time.perf_counter() - start, _status("VmHWM") - before
    if grown > SWELL_BYTES:
        return {"result": "failed", "kind": "swelled", "text": f"{grown / 2**20:,.0f} MiB, after which it was {result}"}
    return {"result": result, "seconds": seconds, "bytes": grown}


def _kind(error: BaseException) -> str:
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/landshift/" in frame.filename]
    where = f"{Path(ours[-1].filename).stem}-{ours[-1].lineno}" if ours else "outside"
    return f"{type(error).__name__}-{where}"


def _status(name: str) -> int:
    """Return a line of this process's status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _say(out: int, message: dict[str, Any]) -> None:
    content = json.dumps(message).encode() + b"\n"
    while content:
        content = content[os.write(out, content) :]


def _listen(child: _Child, data: bytes, tally: Tally) -> None:
    *lines, child.buffer = (child.buffer + data).split(b"\n")
    for line in lines:
        message = json.loads(line)
        child.since = time.monotonic()
        if "begins" in message:
            child.running = child.cases[child.done]
            continue
        case, child.running = child.cases[child.done], None
        child.done += 1
        if message["result"] == "failed":
            tally.failures.append(Failure(case, message["kind"], message["text"]))
            continue
        tally.read += message["result"] == "read"
        tally.refused += message["result"] == "refused"
        tally.slowest_s = max(tally.slowest_s, message["seconds"])
        tally.most_bytes = max(tally.most_bytes, message["bytes"])


def _bury(child: _Child, tally: Tally) -> list[Case]:
    """Take leave of a child that ended; return what it did not come to."""
    os.close(child.out)
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    shutil.rmtree(child.folder, ignore_errors=True)
    if child.done == len(child.cases):
        return []
    if child.running is None:
        raise RuntimeError(f"A child ended by itself ({status}) before {child.cases[child.done]}.")
    slow = status == -signal.SIGKILL
    kind = "hung" if slow else f"died-{status}"
    tally.failures.append(Failure(child.running, kind, f"ended after {time.monotonic() - child.since:.0f} s with {status}"))
    return child.cases[child.done + 1 :]


def _keep(failure: Failure, target: Target, seeds: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob(f"{failure.kind}-*.txt"))) >= KEPT_OF_A_KIND:
        return
    seed, content = failure.case.make(target, seeds)
    name = f"{failure.kind}-{failure.case.number}"
    (folder / f"{name}-{seed.name}").write_bytes(content)
    (folder / f"{name}.txt").write_text(f"{failure.case}, of {seed.name}\n{failure.text}\n")


def describe(tallies: dict[str, Tally]) -> Iterator[str]:
    """Write a line for each target and for each kind of failure."""
    for name, tally in tallies.items():
        yield (
            f"{name}: {tally.read} read, {tally.refused} refused, {len(tally.failures)} failed; each took at most "
            f"{tally.slowest_s:.1f} s and {tally.most_bytes / 2**20:.0f} MiB"
        )
        kinds: dict[str, list[Failure]] = {}
        for failure in tally.failures:
            kinds.setdefault(failure.kind, []).append(failure)
        for kind, some in sorted(kinds.items(), key=lambda entry: -len(entry[1])):
            last = some[0].text.strip().splitlines()[-1][:200]
            yield f"  {kind}: {len(some)}, the first {some[0].case.number}: {last}"
