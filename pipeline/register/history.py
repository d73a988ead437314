"""The history of a register: ids that stay with their changes, and what changed between two of its lines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import geopandas as gpd
import numpy as np
import pandas as pd

from landshift.pipeline.change.identity import free_id
from landshift.pipeline.errors import InputError
from landshift.pipeline.register.columns import CHANGE_COLUMNS
from landshift.pipeline.register.states import WITHDRAWN, Known


@dataclass(frozen=True)
class Event:
    """One line of the history, before it has its number and time."""

    event: str
    """`merged`, `superseded`, `withdrawn` or `restored` of a run; a state, `reopened`, `restored` or `reviewed` of a change."""
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
    """Who said so; None where no person did."""


def named(known: Known, published: pd.DataFrame, proposals: Mapping[tuple[str, int], str]) -> list[str]:
    """Name the changes: the id that was given to one of its patches first, else a new one.

    Each id is anchored to the patch that it was given for. Where a run that is merged late shows that two changes are one, the
    id given first stays; `with_united` keeps the other.

    Args:
        known: From a fold over all observations, with the row of every patch.
        published: `change_id`, `founder_run` and `founder_patch` of all ids ever given, the first one first.
        proposals: (key of the run, number of the patch) to the id that the run gave it, of the patches that changes go back to.

    Returns:
        One id for each row of `known.changes`.
    """
    ids: list[str | None] = [None] * len(known.changes)
    founders = zip(published["change_id"], published["founder_run"], published["founder_patch"], strict=True)
    for identity, run, patch in founders:
        row = int(known.rows[run][patch])
        if ids[row] is None:
            ids[row] = identity
    return with_new_names(ids, known, set(published["change_id"]), proposals)


def with_new_names(
    ids: Sequence[str | None], known: Known, in_use: set[str], proposals: Mapping[tuple[str, int], str]
) -> list[str]:
    """Name the changes that have no id yet.

    Args:
        ids: One for each row of `known.changes`, None where there is none yet.
        known: The changes.
        in_use: Ids that are taken.
        proposals: As in `named`.
    """
    result, in_use = [], set(in_use)
    founded = zip(ids, known.changes["founder_run"], known.changes["founder_patch"], strict=True)
    for kept, run, patch in founded:
        chosen = kept if kept is not None else free_id(proposals[run, int(patch)], in_use)
        in_use.add(chosen)
        result.append(chosen)
    return result


def with_united(changes: gpd.GeoDataFrame, old: gpd.GeoDataFrame, rows: Mapping[str, np.ndarray]) -> gpd.GeoDataFrame:
    """Add the changes whose ids are no longer used, because they turned out to be the same as another.

    Args:
        changes: All rows of the fold, in its order, with `change_id`.
        old: What the register held, with `change_id` and `united_with`.
        rows: As in `Known`.

    Returns:
        `changes` with `united_with` (empty where the change stands for itself), and the others behind them: withdrawn, saying
        which change they are.
    """
    result = changes.assign(united_with="")
    lost = old[~old["change_id"].isin(set(changes["change_id"]))]
    if lost.empty:
        return result
    founded = zip(lost["founder_run"], lost["founder_patch"], strict=True)
    others = [changes["change_id"].iloc[int(rows[run][patch])] for run, patch in founded]
    lost = lost.assign(lifecycle=WITHDRAWN, why=[f"is the same change as {other}" for other in others], united_with=others)
    return pd.concat([result, lost[result.columns]], ignore_index=True)


def events_between(old: pd.DataFrame, new: pd.DataFrame, cause: Event) -> list[Event]:
    """Return a line for each change whose state differs, in the order of `new`.

    Args:
        old: `change_id` and `state`.
        new: `change_id`, `state`, `reason` and `last_run`.
        cause: Gives run, model and who; its reason where the change has none of its own.
    """
    before = dict(zip(old["change_id"], old["state"], strict=True))
    result = []
    for identity, state, reason in zip(new["change_id"], new["state"], new["reason"], strict=True):
        was = before.get(identity)
        if was != state:
            event = (
                {"closed": "reopened", WITHDRAWN: "restored"}.get(str(was), state) if state in ("new", "confirmed") else state
            )
            result.append(Event(event, identity, was, state, cause.run, cause.model_hash, reason or cause.reason, cause.who))
    return result


def states_at(history: pd.DataFrame, number: int) -> dict[str, str]:
    """Return the state of every change after a line of the history.

    Args:
        history: `number`, `change_id` and `to_state`, in order.
        number: Of the line; 0 is before the first.
    """
    of_changes = history[(history["number"] <= number) & history["change_id"].notna()]
    return dict(zip(of_changes["change_id"], of_changes["to_state"], strict=True))


def changed_between(changes: gpd.GeoDataFrame, history: pd.DataFrame, since: int, until: int | None = None) -> gpd.GeoDataFrame:
    """Return the changes whose state at the end is not the one at the start.

    What came and went in between is left out. Polygons and hectares are those of today.

    Args:
        changes: All of the register.
        history: All of it, in order.
        since: Number of the line after which to look.
        until: Number of the last line to look at; the whole history where None.

    Returns:
        `what` (the state at the end), `was` (the state at the start, null where the change was not there), and the columns of
        `CHANGE_COLUMNS` that are no longer `state`.
    """
    last = int(history["number"].max()) if len(history) else 0
    before, after = states_at(history, since), states_at(history, last if until is None else until)
    what = {identity: state for identity, state in after.items() if before.get(identity) != state}
    chosen = changes[changes["change_id"].isin(set(what))]
    kept = [c.name for c in CHANGE_COLUMNS if c.name != "state"]
    frame = gpd.GeoDataFrame(chosen[kept], geometry=chosen.geometry.to_numpy(), crs=changes.crs)
    frame.insert(0, "was", pd.Series([before.get(i) for i in chosen["change_id"]], index=chosen.index, dtype="str"))
    frame.insert(0, "what", pd.Series([what[i] for i in chosen["change_id"]], index=chosen.index, dtype="str"))
    return frame.reset_index(drop=True)


def line_of(history: pd.DataFrame, merges: Mapping[str, int], since: str) -> int:
    """Return the number of the line that stands before everything that is asked for.

    Args:
        history: `number` and `time`, in order.
        merges: Key of each merged run to the last line that its merge wrote.
        since: A number of the history; a date such as 2024-05-31, whose day is included; or the key of a run, whose own merge
            is not included.

    Raises:
        InputError: It is none of them, or a number beyond the history.
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
