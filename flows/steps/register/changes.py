"""Steps of the register: merge runs, list, show and compare changes, reject, confirm, withdraw."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from landshift.flows.runtime.person import login_name
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.reply import Reply, table_lines
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import short_hash
from landshift.pipeline.records import content_of
from landshift.pipeline.register.address import RegisterLocation
from landshift.pipeline.register.database.rows import Row
from landshift.pipeline.register.database.tables import HISTORY, OBSERVATIONS
from landshift.pipeline.register.history import diff_states, line_of
from landshift.pipeline.register.layers import REGISTER_COLUMNS, write_changed
from landshift.pipeline.register.runs import read_mergeable
from landshift.pipeline.register.states import STATES, ConfirmationRule
from landshift.pipeline.register.store import Merged, open_register
from landshift.pipeline.vector.layer import require_format

_LISTED = 50
"""Changes that are printed for people; `--json` has them all."""


def merge_runs(register: RegisterLocation, runs: Sequence[Path], seen_again: int | None = None, of: int | None = None) -> Reply:
    """Merge runs into a register, all or none of them.

    Args:
        register: The GeoPackage or the address; it is made where it is not there.
        runs: Folders of runs, in any order.
        seen_again: How often a change has to be seen again to be confirmed; of the register, or 1.
        of: Among how many of the next observations; of the register, or 2.

    Raises:
        InputError: As in `read_mergeable` and `Register.merge`.
    """
    given = {name: value for name, value in (("seen_again", seen_again), ("of", of)) if value is not None}
    rule = ConfirmationRule(**given) if given else None
    read = []
    with step("Reading runs") as advance:
        for number, folder in enumerate(runs, start=1):
            read.append(read_mergeable(folder))
            advance(number / len(runs))
    with step("Merging"):
        store = open_register(register)
        merged = store.merge(read, rule)
        states = Counter(store.changes()["state"])
    lines = [line for one in merged for line in _describe(one)]
    lines += [f"{register} holds {sum(states.values()):,} changes: {_count(states)}."]
    return {"register": register, "merged": [content_of(m) for m in merged], "states": dict(states)}, lines


def list_changes(register: RegisterLocation, state: str | None = None) -> Reply:
    """List the changes, largest first.

    Raises:
        InputError: No such state, or no register.
    """
    if state is not None and state not in STATES:
        raise InputError(f"--state {state}: expected one of {', '.join(STATES)}.")
    changes = open_register(register).changes()
    chosen = changes if state is None else changes[changes["state"] == state]
    rows = _rows(chosen.sort_values(["area_ha", "change_id"], ascending=[False, True]))
    which = "changes" if state is None else f"{state} changes"
    lines = [f"{len(rows):,} {which}, the largest first.", "", *_table(rows[:_LISTED])] if rows else []
    if len(rows) > _LISTED:
        lines.append(f"... and {len(rows) - _LISTED:,} more; --json lists them all.")
    return {"changes": rows}, lines or ["No such change." if state else "No change."]


def show_change(register: RegisterLocation, change_id: str) -> Reply:
    """Return all that is known of one change: the runs that saw it, its reviews and its history.

    Raises:
        InputError: No such change.
    """
    store = open_register(register)
    changes = store.changes()
    chosen = changes[changes["change_id"] == change_id]
    if chosen.empty:
        raise InputError(f"{register} has no change {change_id!r}; `landshift register list` lists them.")
    row, sightings, history = _rows(chosen)[0], store.sightings(change_id), store.table(HISTORY)
    events = _records(history[history["change_id"] == change_id])
    reviews = [r for r in store.reviews() if r.change_id == change_id]
    lines = [
        *_table([row]),
        "",
        f"Seen by {row['times_seen']} of the {row['times_observed']} runs that could have shown it, from "
        f"{row['first_seen']} to {row['last_seen']}; it came after {row['not_before']}.",
        *([f"{row['state'].capitalize()}: {row['reason']}."] if row["reason"] else []),
        "Seen by:",
        *(
            f"  {s.before_date} to {s.after_date}  {s.area_ha:>10,.2f} ha  run {s.run}  model {s.model_name} {s.model_hash}"
            + (f"  (does not count: {s.standing})" if s.standing else "")
            for s in sightings
        ),
        *(["Reviewed:"] if reviews else []),
        *(
            "  ".join(filter(None, [f"  {r.reviewed_on}", r.verdict, r.note, f"({r.who})" if r.who else ""]))
            for r in reviews
        ),
        "History:",
        *(
            f"  {e['number']:>6}  {e['time']:%Y-%m-%d %H:%M}  {e['from_state'] or '-'} > {e['to_state']}"
            + (f"  {e['reason']}" if e["reason"] else "") + (f"  ({e['who']})" if e["who"] else "")
            for e in events
        ),
    ]  # fmt: skip
    content = {
        "change": row, "seen_by": [content_of(s) for s in sightings], "reviews": [content_of(r) for r in reviews],
        "history": events,
    }  # fmt: skip
    return content, lines


def diff_register(register: RegisterLocation, since: str, output: Path, until: int | None = None) -> Reply:
    """Write what changed since a line of the history, a date or the merge of a run.

    Raises:
        InputError: `since` is not known, or the output cannot be written.
    """
    require_other_file(output, register)
    store = open_register(register)
    # The history first: what others merge in between is then left out whole, and no line lacks its change.
    history = store.table(HISTORY)
    changes, runs = store.changes(), store.table(OBSERVATIONS)
    start = line_of(history, dict(zip(runs["key"], runs["last_line"], strict=True)), since)
    frame = diff_states(changes, history, start, until)
    write_changed(output, frame)
    counts = Counter(frame["what"])
    last = int(history["number"].max()) if len(history) else 0
    end = last if until is None else until
    lines = [
        f"{len(frame):,} changes between lines {start} and {end} of the history: {_count(counts) or 'none'}.",
        f"Wrote {output}.",
    ]
    return {"output": output, "since": start, "until": end, "what": dict(counts)}, lines


def reject_change(register: RegisterLocation, change_id: str, reason: str, who: str | None = None) -> Reply:
    """Record that something is not a change.

    Raises:
        InputError: No reason, or no such change.
    """
    merged = open_register(register).reject(change_id, reason, who or login_name())
    note = "is rejected now" if merged.fresh else "was rejected before; nothing was changed"
    return {"change_id": change_id, "fresh": merged.fresh}, [f"{change_id} {note}."]


def confirm_change(register: RegisterLocation, change_id: str, reason: str, who: str | None = None) -> Reply:
    """Record that something is a change, also where it was rejected before.

    Raises:
        InputError: No reason, or no such change.
    """
    store = open_register(register)
    merged = store.confirm(change_id, reason, who or login_name())
    changes = store.changes()
    state = str(changes.loc[changes["change_id"] == change_id, "state"].iloc[0])
    note = (
        f"was reviewed as a change; it is {state} now"
        if merged.fresh
        else "was reviewed as a change before; nothing was changed"
    )
    return {"change_id": change_id, "fresh": merged.fresh, "state": state}, [f"{change_id} {note}."]


def withdraw(
    register: RegisterLocation, run: str | None, model: str | None, scene: str | None, reason: str, who: str | None = None
) -> Reply:
    """Take back a run, everything of a model or everything made from a scene.

    Raises:
        InputError: Not exactly one of them was named, no reason, or no run is concerned.
    """
    given = [(kind, target) for kind, target in (("run", run), ("model", model), ("scene", scene)) if target is not None]
    if len(given) != 1:
        raise InputError("Name what to withdraw: exactly one of --run, --model and --scene.")
    merged = open_register(register).withdraw(*given[0], reason, who or login_name())
    kind, target = given[0]
    if not merged.fresh:
        return {"kind": kind, "target": target, "fresh": False}, [
            f"The {kind} {target} was withdrawn before; nothing was changed."
        ]
    lines = [f"The {kind} {target} is withdrawn. Changes whose state that changed: {_count(merged.states) or 'none'}."]
    return {"kind": kind, "target": target, "fresh": True, "states": dict(merged.states)}, lines


def _describe(merged: Merged) -> list[str]:
    if not merged.fresh:
        return [f"Run {merged.run} was merged before; nothing was changed."]
    note = f" It does not count: {merged.standing}." if merged.standing else ""
    return [f"Run {merged.run}: {_count(merged.states) or 'no change changed its state'}.{note}"]


def _count(states: Mapping[str, int]) -> str:
    return ", ".join(f"{states[s]:,} {s}" for s in STATES if states.get(s))


def require_other_file(output: Path, register: RegisterLocation) -> None:
    """Refuse an output that is not a layer's file, or is the register itself.

    Raises:
        InputError: It is one of them.
    """
    require_format(output)
    if isinstance(register, Path) and output.resolve() == register.resolve():
        raise InputError(f"--output {output} is the register itself; choose another file.")


def _rows(changes: pd.DataFrame) -> list[Row]:
    return _records(changes[[c.name for c in REGISTER_COLUMNS]])


def _records(frame: pd.DataFrame) -> list[Row]:
    plain = frame.astype(object)
    return [{str(k): v for k, v in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")]


def _table(rows: Sequence[Row]) -> list[str]:
    def cells(row: Row) -> list[str]:
        kind = f"{row['from_name']} to {row['to_name']}" if row["from_name"] else row["to_name"]
        seen = row["first_seen"], row["last_seen"]
        return [row["change_id"], f"{row['area_ha'] or 0:,.2f}", kind, row["state"], *map(str, seen),
                short_hash(row["model_hash"] or "-")]  # fmt: skip

    return table_lines(("Change", "ha", "Kind", "State", "First seen", "Last seen", "Model"), [cells(row) for row in rows])
