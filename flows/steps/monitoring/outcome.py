"""Outcome of a monitor run: pairs, what changed in the register, alerts."""

import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from landshift.flows.runtime.artifacts import show_table
from landshift.flows.runtime.states.endings import FAILED as RUN_FAILED
from landshift.flows.runtime.states.endings import INCOMPLETE, Ending
from landshift.flows.steps.alerts.sending import send_alerts
from landshift.flows.steps.monitoring.state import FAILED, MonitorState, write_state
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.history import diff_states
from landshift.pipeline.register.layers import write_changed
from landshift.pipeline.register.store import Register, open_register

_log = logging.getLogger(__name__)

KNOWN = "known"
"""Outcome of a pair that was done before from the same scenes."""

_PAIRS, _NOT_SENT = "Pairs", "Not sent"

DIFFS = "diffs"
"""Folder of what changed in the register, in the project's folder of outputs."""


@dataclass(frozen=True)
class Compared:
    """Outcome of one pair."""

    pair: str
    """Its name, which is that of its folder."""
    before: str
    """Earlier period."""
    after: str
    """Later period."""
    outcome: str
    """`done`, `failed`, `skipped`, or `known`: done or skipped before, from the same scenes."""
    message: str
    """What was found, or what went wrong; a sentence."""
    warnings: tuple[str, ...] = ()
    """Those of its run, as in `run.json`; sentences."""


@dataclass(frozen=True)
class Monitored:
    """Outcome of a monitor run."""

    pairs: tuple[Compared, ...]
    """By date, those that were known already included."""
    waiting: tuple[str, ...]
    """Periods that are not compared yet, and why; sentences."""
    faulty: tuple[str, ...]
    """Scenes that were skipped, and why; sentences."""
    register: Path | str
    """The register: its file, or its address on a server."""
    diff: Path | None
    """What changed in it since the last time, as GeoPackage (a GeoJSON lies beside it); None if nothing did."""
    what: dict[str, int]
    """State to the number of changes that are in it now and were not before."""
    told: tuple[str, ...] = ()
    """Alerts that were sent; sentences."""
    untold: tuple[str, ...] = ()
    """Alerts and copies of runs that did not arrive, and why; the next run tries them again; sentences."""
    withdrawn: tuple[str, ...] = ()
    """Items that the catalog no longer has, and that runs of the register were made from; sentences."""
    removed: tuple[str, ...] = ()
    """Old runs that were removed; sentences."""
    other_models: tuple[str, ...] = ()
    """Pairs that were made by another model than the one in use now; sentences."""

    @property
    def failed(self) -> tuple[Compared, ...]:
        """Pairs that went wrong; the next run tries them again."""
        return tuple(pair for pair in self.pairs if pair.outcome == FAILED)

    @property
    def fresh(self) -> tuple[Compared, ...]:
        """Pairs that were not known before, whatever became of them."""
        return tuple(pair for pair in self.pairs if pair.outcome != KNOWN)


def write_diff(ws: Workspace, store: Register, state: MonitorState) -> tuple[Path | None, dict[str, int]]:
    """Write what changed in the register since it was written the last time."""
    if not store.database.exists:
        return None, {}
    history = store.table(HISTORY)
    last = int(history["number"].max()) if len(history) else 0
    since = state.published.get(register_name(ws), 0)
    if last < since:
        # A register that was made anew, or came back from an older copy.
        since = 0
    if last == since:
        return None, {}
    frame = diff_states(store.changes(), history, since)
    folder = ws.output / DIFFS if isinstance(ws.register, Path) else ws.output / DIFFS / ws.register.schema
    target = folder / f"{since + 1:06d}-{last:06d}.gpkg"
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in (target, target.with_suffix(".geojson")):
        write_changed(file, frame)
    state.published[register_name(ws)] = last
    write_state(ws, state)
    return target, {str(name): int(n) for name, n in frame["what"].value_counts().items()}


def send_due_alerts(ws: Workspace, store: Register) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Send what the alert rules ask for, by every channel."""
    if not ws.project.alerts.channels or not store.database.exists:
        return (), ()
    try:
        deliveries = send_alerts(ws.register, ws).deliveries
    except (InputError, UnavailableError) as error:
        return (), (str(error),)
    told = tuple(f"{d.channel}: {d.sent:,} alerts sent." for d in deliveries if d.sent)
    return told, tuple(f"{d.channel}: {d.waiting:,} alerts wait: {d.error}" for d in deliveries if d.error)


def register_of(ws: Workspace) -> Register:
    """Return the register; a server that refuses the login stops the monitor here, one that is away may be back in time."""
    store = open_register(ws.register)
    with suppress(UnavailableError):
        _ = store.database.exists
    return store


def find_merged(register: Register) -> Collection[str] | None:
    """Return the keys of the runs that the register holds; None where it is away."""
    try:
        return set(register.observations()) if register.database.exists else ()
    except UnavailableError:
        return None


def register_name(ws: Workspace) -> str:
    """Return a name of the register for the state, which does not show where it is."""
    return "" if isinstance(ws.register, Path) else value_hash(str(ws.register))


def lines_of(result: Monitored) -> list[str]:
    """Return the outcome of a monitor run as lines for the command line and for the log."""
    return [sentence if matter == _PAIRS else f"{matter}: {sentence}" for matter, sentence in _report(result)]


def _report(result: Monitored) -> Iterator[tuple[str, str]]:
    """Yield what was done, and what was not: the matter, and a sentence."""
    known = len(result.pairs) - len(result.fresh)
    yield from ((_PAIRS, _sentence_of(pair)) for pair in result.fresh)
    yield from (("Warning", f"{pair.after}: {sentence}") for pair in result.fresh for sentence in pair.warnings)
    if known:
        yield _PAIRS, f"{known} pair{'' if known == 1 else 's'} known from before."
    yield from (("Waiting", sentence) for sentence in result.waiting)
    yield from (("Skipped", sentence) for sentence in result.faulty)
    if result.diff is not None:
        yield "Changed in the register", f"{_count(result.what)}. See {result.diff}"
    yield from (("Removed", sentence) for sentence in result.removed)
    yield from (("Sent", sentence) for sentence in result.told)
    yield from ((_NOT_SENT, sentence) for sentence in result.untold)
    yield from (("Withdrawn", sentence) for sentence in result.withdrawn)
    yield from (("Another model", sentence) for sentence in result.other_models)
    yield "Register", str(result.register)


def _sentence_of(pair: Compared) -> str:
    return f"{pair.after} against {pair.before}: {pair.outcome}. {pair.message}"


def _count(what: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in sorted(what.items())) or "nothing that lasted"


def ending_of(result: Monitored) -> Ending | None:
    """Return how the run ended: failed where every new pair failed, incomplete where a pair or an alert did, else None."""
    if not result.failed and not result.untold:
        return None
    total, failed = len(result.fresh), len(result.failed)
    sentences = [
        *([f"{failed} of {total} new pair{'' if total == 1 else 's'} failed."] if failed else []),
        *(_sentence_of(pair) for pair in result.failed),
        *(f"{_NOT_SENT}: {sentence}" for sentence in result.untold),
        "The next run tries again.",
    ]
    return Ending(RUN_FAILED if failed and failed == total else INCOMPLETE, "\n".join(sentences))


def show_monitored(ws: Workspace, result: Monitored) -> None:
    """Show what a monitor run did, and what it did not do, in Prefect's log and on its pages."""
    name = ws.project.artifact_name
    level = logging.INFO if ending_of(result) is None else logging.WARNING
    for line in lines_of(result):
        _log.log(level, "%s", line)
    show_table([asdict(pair) for pair in result.pairs], key=f"{name}-pairs", description="Pairs of periods, by date")
    rows = [{"matter": matter, "found": sentence} for matter, sentence in _report(result)]
    show_table(rows, key=f"{name}-monitor", description="What the monitor did, and what it did not do")
