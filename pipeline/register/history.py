"""History of a register: its lines, and what changed between two of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import geopandas as gpd
import pandas as pd

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.layers import REGISTER_COLUMNS
from landshift.pipeline.register.states import CLOSED, CONFIRMED, NEW, WITHDRAWN

UNITED = "united"
"""What happens to a change that turns out to be the same as another."""


@dataclass(frozen=True)
class Event:
    """One line of the history, before it has its number and time."""

    event: str
    """`merged`, `superseded`, `withdrawn` or `restored` of a run; a state, `united`, `reopened`, `restored` or `reviewed` of a
    change."""
    change_id: str | None = None
    """Which change; None where the line is about a run."""
    from_state: str | None = None
    """Before; None where the change was not there."""
    to_state: str | None = None
    """After; None where the line is about a run."""
    run: str | None = None
    """Key of the run whose merge caused it, or that it is about."""
    model_hash: str | None = None
    """Of the model that made that run."""
    reason: str | None = None
    """Why."""
    who: str | None = None
    """Person who caused it; None where no person did."""


def events_between(old: pd.DataFrame, new: pd.DataFrame, cause: Event) -> list[Event]:
    """Return a line for each change whose state differs, in the order of `new`.

    Args:
        old: `change_id` and `state`.
        new: `change_id`, `state`, `reason` and `united_with`.
        cause: Gives run, model and who; its reason where the change has none of its own.
    """
    before = dict(zip(old["change_id"].tolist(), old["state"].tolist(), strict=True))
    result = []
    columns = (new[name].tolist() for name in ("change_id", "state", "reason", "united_with"))
    for identity, state, reason, other in zip(*columns, strict=True):
        was = before.get(identity)
        if was != state:
            returned = {CLOSED: "reopened", WITHDRAWN: "restored"} if state in (NEW, CONFIRMED) else {}
            event = UNITED if other else returned.get(str(was), state)
            by = {"run": cause.run, "model_hash": cause.model_hash, "who": cause.who}
            result.append(Event(event, identity, was, state, reason=reason or cause.reason, **by))
    return result


def states_at(history: pd.DataFrame, number: int) -> dict[str, str]:
    """Return the state of every change after a line of the history.

    Args:
        history: `number`, `change_id` and `to_state`, in order.
        number: Of the line; 0 is before the first.
    """
    of_changes = history[(history["number"] <= number) & history["change_id"].notna()]
    return dict(zip(of_changes["change_id"], of_changes["to_state"], strict=True))


def diff_states(changes: gpd.GeoDataFrame, history: pd.DataFrame, since: int, until: int | None = None) -> gpd.GeoDataFrame:
    """Return the changes whose state differs between two lines of the history.

    What came and went in between is left out. Polygons and hectares are those of today.

    Args:
        changes: All of the register.
        history: All of it, in order.
        since: Number of the line after which to look.
        until: Number of the last line to look at; the whole history where None.

    Returns:
        `what` (the state at the end), `was` (the state at the start, null where the change was not there), and the columns of
        `REGISTER_COLUMNS` but `state`.
    """
    last = int(history["number"].max()) if len(history) else 0
    before, after = states_at(history, since), states_at(history, last if until is None else until)
    what = {identity: state for identity, state in after.items() if before.get(identity) != state}
    chosen = changes[changes["change_id"].isin(set(what))]
    kept = [c.name for c in REGISTER_COLUMNS if c.name != "state"]
    frame = gpd.GeoDataFrame(chosen[kept], geometry=chosen.geometry.to_numpy(), crs=changes.crs)
    frame.insert(0, "was", pd.Series([before.get(i) for i in chosen["change_id"]], index=chosen.index, dtype="str"))
    frame.insert(0, "what", pd.Series([what[i] for i in chosen["change_id"]], index=chosen.index, dtype="str"))
    return frame.reset_index(drop=True)


def line_of(history: pd.DataFrame, merges: Mapping[str, int], since: str) -> int:
    """Return the number of the last line before a point of the history.

    Args:
        history: `number` and `time`, in order.
        merges: Key of each merged run to the last line that its merge wrote.
        since: A number of the history; a date such as 2024-05-31, whose day is included; or the key of a run, whose own merge
            is not included.

    Raises:
        InputError: `since` is something else, or a number beyond the history.
    """
    if since in merges:
        return merges[since]
    if re.fullmatch(r"[0-9]{1,18}", since):
        number, last = int(since), int(history["number"].max()) if len(history) else 0
        if number > last:
            raise InputError(f"--since {since}: the history ends with number {last:,}. Is this the right register?")
        return number
    try:
        start = datetime.combine(date.fromisoformat(since), time(), tzinfo=UTC).replace(tzinfo=None)
    except ValueError as error:
        raise InputError(
            f"--since {since}: expected a number of the history, a date such as 2024-05-31, or the key of a merged run."
        ) from error
    earlier = history[[moment.replace(tzinfo=None) < start for moment in history["time"]]]
    return int(earlier["number"].max()) if len(earlier) else 0
