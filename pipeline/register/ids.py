"""Ids that stay with their changes."""

from collections.abc import Mapping

import geopandas as gpd
import pandas as pd

from landshift.pipeline.change.identity import free_id
from landshift.pipeline.register.states import WITHDRAWN, Known


def assign_ids(known: Known, given: Mapping[str, int], proposals: Mapping[tuple[str, int], str]) -> list[str]:
    """Return the ids of changes: the id given first to one of its patches, else a new one.

    Each id is anchored to the patch that it was given for. Where a run shows that two changes are one, the id given first
    stays; `add_united` keeps the other.

    Args:
        known: From a fold.
        given: All ids ever given, the first one first, to the row of `known` that each is anchored to.
        proposals: (key of the run, number of the patch) to the id that the run gave it, of the patches that changes without
            an id go back to.

    Returns:
        One id for each row of `known`; rows that are one change have one id.
    """
    standing = known.standing
    ids: list[str | None] = [None] * len(known)
    for identity, row in given.items():
        root = int(standing[row])
        if ids[root] is None:
            ids[root] = identity
    in_use = set(given)
    founders = zip(known.columns["founder_run"].tolist(), known.columns["founder_patch"].tolist(), strict=True)
    for row, founder in enumerate(founders):
        if standing[row] == row and ids[row] is None:
            ids[row] = free_id(proposals[founder], in_use)
            in_use.add(str(ids[row]))
    return [str(ids[row]) for row in standing.tolist()]


def rows_of_ids(known: Known, published: pd.DataFrame) -> dict[str, int]:
    """Return each id ever given to the row of the patch that it is anchored to.

    Args:
        known: From a fold over all observations.
        published: `change_id`, `founder_run` and `founder_patch`, the id given first first.
    """
    founders = zip(*(published[name].tolist() for name in ("change_id", "founder_run", "founder_patch")), strict=True)
    return {identity: int(known.rows[run][patch]) for identity, run, patch in founders}


def rows_in_order(published: pd.DataFrame) -> dict[str, int]:
    """Return each id ever given to its row in the order of the fold, or the one of the change that it is the same as.

    Args:
        published: `change_id`, `united_with` and `ordinal`, the id given first first.
    """
    columns = [published[name].tolist() for name in ("change_id", "united_with", "ordinal")]
    row_of = dict(zip(columns[0], columns[2], strict=True))
    return {identity: int(row_of[other or identity]) for identity, other in zip(columns[0], columns[1], strict=True)}


def add_united(changes: gpd.GeoDataFrame, old: gpd.GeoDataFrame, standing: Mapping[str, str]) -> gpd.GeoDataFrame:
    """Add the changes whose ids are no longer used, because they turned out to be the same as another.

    Args:
        changes: The rows of the fold that stand for themselves, in its order, with `change_id`.
        old: What the register held, with `change_id` and `united_with`.
        standing: Every id ever given to the one that stands for it.

    Returns:
        `changes` with `united_with` (empty where the change stands for itself), anchored to the patch that their id was given
        for, and the others behind them: withdrawn, with the change that they are in `why`.
    """
    result = changes.assign(united_with="")
    at = pd.Index(old["change_id"]).get_indexer(pd.Index(result["change_id"]))
    for name in ("founder_run", "founder_patch"):
        # The fold goes back further where an older change took over an id, which it gives back where both are two again.
        anchors = result[name].to_numpy(copy=True)
        anchors[at >= 0] = old[name].to_numpy()[at[at >= 0]]
        result[name] = anchors
    lost = old[~old["change_id"].isin(set(changes["change_id"]))]
    if lost.empty:
        return result
    others = [standing[identity] for identity in lost["change_id"]]
    lost = lost.assign(lifecycle=WITHDRAWN, why=[f"is the same change as {other}" for other in others], united_with=others)
    return pd.concat([result, lost[result.columns]], ignore_index=True)
