"""Ids that the register has given away once stay with their changes, whatever is merged later; and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from pipeline.identity import free_id
from pipeline.register import WITHDRAWN, Known


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
