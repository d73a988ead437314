"""What changed in a register between two lines of its history."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import geopandas as gpd
import pandas as pd

from pipeline.errors import InputError
from pipeline.register_columns import CHANGE_COLUMNS


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
