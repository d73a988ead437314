"""Trials: a verb with a fault drawn from a seed, then the verb once more in peace; what differs from the undisturbed one."""

import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.alike import differences
from tests.chaos.child import FAKETIME, Ended, Fault
from tests.chaos.place import Place, Verb

SIGNALS = ("kill", "terminate")
STARVED = ("file size", "memory", "full disk", "read-only", "clock")
_WELL_KNOWN = (0, 1, 2, 130)
"""Exit codes that a verb may have where something is wrong."""
_LONG_S, _SHOWN = 2.0, 3
_STARTS_S = 12
"""Seconds to load everything, where a process is no fork."""
_YEARS = 8 * 365 * 86_400


@dataclass(frozen=True)
class Trial:
    """A verb, and what goes wrong before it is run in peace."""

    number: int
    """From 0; with the seed it fixes all the rest."""
    verb: Verb
    """What is run."""
    fault: Fault
    """What goes wrong."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial."""

    number: int
    """Of the trial."""
    verb: str
    """Its name."""
    fault: Fault
    """What went wrong."""
    code: int
    """Exit code of the disturbed run; below 0 the signal."""
    problems: tuple[str, ...]
    """What did not hold: empty where all did."""
    skipped: str = ""
    """Why it was not tried."""


def draw(seed: int, number: int, verbs: Sequence[Verb], kinds: Sequence[str], alone: dict[str, Ended]) -> Trial:
    """Draw a trial: every verb and every kind in turn, those that take long half as often, the moment at random.

    Half of the signals come at an operation on files, where the windows are narrow; half at a time, within what C does.
    """
    chance = random.Random(f"{seed}-{number}")
    order = [*verbs, *(v for v in verbs if alone[v.name].cpu < _LONG_S)]
    verb, kind = order[number % len(order)], kinds[(number + number // len(order)) % len(kinds)]
    before = alone[verb.name]
    if kind in SIGNALS:
        if chance.random() < 0.5:
            return Trial(number, verb, Fault(kind, at_operation=chance.randint(1, max(before.operations, 1))))
        return Trial(number, verb, Fault(kind, after_s=chance.uniform(0.0, before.seconds)))
    amount = {
        "file size": int(10 ** chance.uniform(2, 6)), "memory": int(10 ** chance.uniform(6.5, 9)),
        "full disk": int(10 ** chance.uniform(3.5, 6)), "read-only": 0, "clock": chance.choice((-_YEARS, _YEARS)),
    }  # fmt: skip
    return Trial(number, verb, Fault(kind, after_s=chance.uniform(0.0, before.seconds + _STARTS_S), amount=amount[kind]))


def try_one(place: Place, trial: Trial) -> Outcome:
    """Run a trial."""
    verb, fault = trial.verb, trial.fault
    place.begin(verb)
    reason = _cannot(fault.kind)
    if reason:
        return Outcome(trial.number, verb.name, fault, 0, (), reason)
    problems = []
    with _disturbed(place, verb, fault):
        ended = place.run(verb, fault)
    if fault.kind not in SIGNALS:
        problems += [f"exit code {ended.code}"] if ended.code not in _WELL_KNOWN else []
    if "Traceback" in ended.said and ended.code >= 0:
        problems.append(f"a traceback: {ended.said.strip().splitlines()[-1]:.200}")
    again = place.run(verb)
    if again.code:
        problems.append(f"the next run ends with {again.code}: {again.said.strip()[-400:]}")
    else:
        problems += differences(place.look(verb), place.expected[verb.name])
    return Outcome(trial.number, verb.name, fault, ended.code, tuple(problems))


def _cannot(kind: str) -> str:
    if kind in ("full disk", "read-only"):
        probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        return "" if probe.returncode == 0 else f"no file system can be mounted here ({probe.stderr.decode().strip()})"
    if kind == "clock":
        return "" if FAKETIME.exists() else "libfaketime is not installed"
    return ""


@contextmanager
def _disturbed(place: Place, verb: Verb, fault: Fault) -> Iterator[None]:
    """Let the folder of the outputs be a small disk, or one that cannot be written to, while a verb runs."""
    outputs = place.site / verb.outputs
    if fault.kind not in ("full disk", "read-only"):
        yield
        return
    outputs.mkdir(exist_ok=True)
    kept = place.folder / "kept-outputs"
    if fault.kind == "read-only":
        subprocess.run(["mount", "--bind", outputs, outputs], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", outputs], check=True)
    else:
        used = sum(-(-p.lstat().st_size // 4096) * 4096 + 4096 for p in outputs.rglob("*"))
        shutil.rmtree(kept, ignore_errors=True)
        outputs.rename(kept)
        outputs.mkdir()
        size = f"size={(used + fault.amount) // 4096 * 4}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", outputs], check=True)
        shutil.copytree(kept, outputs, dirs_exist_ok=True)
    try:
        yield
    finally:
        if fault.kind == "full disk":
            shutil.rmtree(kept)
            shutil.copytree(outputs, kept)
        subprocess.run(["umount", outputs], check=True)
        if fault.kind == "full disk":
            outputs.rmdir()
            kept.rename(outputs)


def table_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how many trials held, by verb and fault, as lines."""
    tried, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for outcome in outcomes:
        if not outcome.skipped:
            key = outcome.verb, outcome.fault.kind
            tried[key] += 1
            held[key] += not outcome.problems
    lines = [f"{verb:18} {kind:10} {held[verb, kind]:>4} of {n:>4} held" for (verb, kind), n in sorted(tried.items())]
    skipped = Counter(o.skipped for o in outcomes if o.skipped)
    lines.append(f"{'all':29} {held.total():>4} of {tried.total():>4} held")
    return lines + [f"{n} skipped: {why}" for why, n in skipped.items()]


def write(path: Path, seed: int, column: str, outcomes: Sequence[Outcome]) -> None:
    """Write counts by verb and fault, and what did not hold, as a column of a JSON file; its other columns stay."""
    tried = [o for o in outcomes if not o.skipped]
    rows = []
    for verb, kind in dict.fromkeys((o.verb, o.fault.kind) for o in tried):
        these = [o for o in tried if (o.verb, o.fault.kind) == (verb, kind)]
        rows.append({"verb": verb, "fault": kind, "tried": len(these), "held": sum(not o.problems for o in these)})
    found = {
        "seed": seed, "rows": rows, "skipped": Counter(o.skipped for o in outcomes if o.skipped),
        "not_held": [asdict(o) | {"problems": o.problems[:_SHOWN]} for o in tried if o.problems],
    }  # fmt: skip
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**content, column: found}, indent=1) + "\n", encoding="utf-8")
