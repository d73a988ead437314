"""Ids that stay with their changes."""

from collections.abc import Mapping, Sequence

import geopandas as gpd
import numpy as np
import pandas as pd

from landshift.pipeline.change.identity import free_id
from landshift.pipeline.register.states import WITHDRAWN, Known


def assign_ids(known: Known, published: pd.DataFrame, proposals: Mapping[tuple[str, int], str]) -> list[str]:
    """Return the ids of changes: the id given first to one of its patches, else a new one.

    Each id is anchored to the patch that it was given for. Where a run that is merged late shows that two changes are one, the
    id given first stays; `add_united` keeps the other.

    Args:
        known: From a fold over all observations, with the row of every patch.
        published: `change_id`, `founder_run` and `founder_patch` of all ids ever given, the first one first.
        proposals: (key of the run, number of the patch) to the id that the run gave it, of the patches that changes go back to.

    Returns:
        One id for each row of `known.changes`.
    """
    ids: list[str | None] = [None] * len(known.changes)
    founders = zip(*(published[name].tolist() for name in ("change_id", "founder_run", "founder_patch")), strict=True)
    for identity, run, patch in founders:
        row = int(known.rows[run][patch])
        if ids[row] is None:
            ids[row] = identity
    return add_new_ids(ids, known, set(published["change_id"]), proposals)


def add_new_ids(
    ids: Sequence[str | None], known: Known, in_use: set[str], proposals: Mapping[tuple[str, int], str]
) -> list[str]:
    """Return the ids of changes, with new ones where there is no id yet.

    Args:
        ids: One for each row of `known.changes`, None where it has no id yet.
        known: The changes.
        in_use: Ids that are taken.
        proposals: As in `assign_ids`.
    """
    result, in_use = [], set(in_use)
    founded = zip(ids, known.changes["founder_run"].tolist(), known.changes["founder_patch"].tolist(), strict=True)
    for kept, run, patch in founded:
        chosen = kept if kept is not None else free_id(proposals[run, int(patch)], in_use)
        in_use.add(chosen)
        result.append(chosen)
    return result


def add_united(changes: gpd.GeoDataFrame, old: gpd.GeoDataFrame, rows: Mapping[str, np.ndarray]) -> gpd.GeoDataFrame:
    """Add the changes whose ids are no longer used, because they turned out to be the same as another.

    Args:
        changes: All rows of the fold, in its order, with `change_id`.
        old: What the register held, with `change_id` and `united_with`.
        rows: As in `Known`.

    Returns:
        `changes` with `united_with` (empty where the change stands for itself), and the others behind them: withdrawn, with the
        change that they are in `why`.
    """
    result = changes.assign(united_with="")
    lost = old[~old["change_id"].isin(set(changes["change_id"]))]
    if lost.empty:
        return result
    founded = zip(lost["founder_run"], lost["founder_patch"], strict=True)
    others = [changes["change_id"].iloc[int(rows[run][patch])] for run, patch in founded]
    lost = lost.assign(lifecycle=WITHDRAWN, why=[f"is the same change as {other}" for other in others], united_with=others)
    return pd.concat([result, lost[result.columns]], ignore_index=True)
