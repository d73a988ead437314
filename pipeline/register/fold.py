"""State transitions of the changes, as one observation after the other is laid over them.

The state of a register is a fold over its observations, in the order of `Observation.order`, and the reviews on top. Nothing
here knows of files, ids or the order in which runs were merged.
"""

from collections.abc import Iterable, Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landshift.pipeline.change.identity import keep_ids
from landshift.pipeline.register.states import (
    CLOSED,
    COLUMNS,
    CONFIRMED,
    NEW,
    NO_LONGER_SEEN,
    NOT_SEEN_AGAIN,
    WITHDRAWN,
    ConfirmationRule,
    Known,
    Observation,
    View,
)

OBSERVED_SHARE = 0.5
"""Share of a change's area, 0..1, that a run has to have observed for its silence to count."""
TURNED_SHARE = 0.5
"""Share of a change's area, 0..1, that a later run has to map as turned into another class for the change to be over."""


def nothing_known(crs: object) -> Known:
    """Return the state before any observation, in a CRS."""
    frame = gpd.GeoDataFrame({n: pd.Series([], dtype=kind) for n, kind in COLUMNS.items()}, geometry=[], crs=crs)
    return Known(frame.assign(first_geometry=pd.Series([], dtype=object)))


def lay_over(known: Known, view: View, why_not: str, rule: ConfirmationRule, names: Mapping[int, str]) -> Known:
    """Lay one observation over all that came before it.

    A run that does not count (superseded or withdrawn) still lends its patches their identity, so that ids outlive it; it
    confirms nothing and closes nothing, and a change that only such runs saw is `withdrawn`.

    Args:
        known: After all observations before it in order.
        view: What the run saw.
        why_not: Empty where it counts, else why not.
        rule: When changes are confirmed and closed.
        names: Land-use code to name.
    """
    old = known.changes
    row_of_patch = _match(old, view.patches)
    matched = np.flatnonzero(row_of_patch >= 0)
    fresh = np.flatnonzero(row_of_patch < 0)
    changed = old if why_not else _update(old, view, row_of_patch[matched], matched, rule=rule, names=names)
    created = _create(view, fresh, why_not, changed)
    rows = row_of_patch.copy()
    rows[fresh] = len(changed) + np.arange(len(fresh))
    frame = changed if not len(fresh) else created if not len(changed) else pd.concat([changed, created], ignore_index=True)
    return Known(frame, {**known.rows, view.observation.key: rows})


def replay(
    views: Iterable[View], standing: Mapping[str, str], rule: ConfirmationRule, names: Mapping[int, str], crs: object
) -> tuple[Known, dict[tuple[str, int], str]]:
    """Lay all observations over each other, the first one first.

    Args:
        views: In the order of `Observation.order`.
        standing: As `standings` returns it.
        rule: When changes are confirmed and closed.
        names: Land-use code to name.
        crs: Of the register.

    Returns:
        The state, and the ids that runs gave to the patches that its changes go back to: (key, number of the patch) to id.
    """
    known, proposals = nothing_known(crs), {}
    for view in views:
        before = len(known.changes)
        known = lay_over(known, view, standing[view.observation.key], rule, names=names)
        proposals.update(proposals_of(known, view, before))
    return known, proposals


def proposals_of(known: Known, view: View, before: int) -> dict[tuple[str, int], str]:
    """Return the ids that a run gave to the patches that became changes with it: those from row `before` on."""
    key, own = view.observation.key, view.patches["change_id"].to_numpy()
    return {(key, patch): str(own[patch]) for patch in known.changes["founder_patch"].iloc[before:].tolist()}


def _match(known: gpd.GeoDataFrame, patches: gpd.GeoDataFrame) -> np.ndarray:
    """Return for each patch the row of its change, -1 if it matches no change; those of withdrawn runs come last."""
    result = np.full(len(patches), -1)
    ours = patches.assign(change_id=[f"patch {n}" for n in range(len(patches))])
    theirs = known[["change_code", "geometry"]].assign(change_id=[str(n) for n in range(len(known))])
    counted = (known["times_seen"] > 0).to_numpy()
    for chosen in (counted, ~counted):
        open_ = np.flatnonzero(result < 0)
        if not len(open_) or not chosen.any():
            continue
        for patch, identity in zip(open_.tolist(), keep_ids(ours.iloc[open_], theirs[chosen]), strict=True):
            if identity.isdigit():
                result[patch] = int(identity)
    return result


def _create(view: View, fresh: np.ndarray, why_not: str, like: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    seen, patches = view.observation, view.patches.iloc[fresh]
    values = {
        "change_code": patches["change_code"].to_numpy(), "to_code": patches["to_code"].to_numpy(),
        "area_ha": patches["area_ha"].to_numpy(), "change_probability": patches["change_probability"].to_numpy(),
        **_first(seen), "times_seen": int(not why_not), "times_observed": int(not why_not),
        "lifecycle": WITHDRAWN if why_not else NEW, "why": why_not, "founder_run": seen.key, "founder_patch": fresh,
    }  # fmt: skip
    index = pd.RangeIndex(len(fresh))
    series = {name: pd.Series(values[name], index=index).astype(kind) for name, kind in COLUMNS.items()}
    geometry = patches.geometry.to_numpy()
    frame = gpd.GeoDataFrame(series, geometry=geometry, crs=like.crs)
    return frame.assign(first_geometry=pd.Series(geometry, index=index, dtype=object))


def _first(seen: Observation) -> Mapping[str, str | int]:
    """Return the columns that a change takes from the run that sees it first."""
    return {
        "first_before": seen.before_date, "first_seen": seen.after_date, "last_seen": seen.after_date,
        "not_before": seen.before_date, "first_run": seen.key, "model_hash": seen.model_hash, "last_run": seen.key,
        "window_seen": 0, "window_observed": 0, "misses": 0,
    }  # fmt: skip


def _update(
    old: gpd.GeoDataFrame, view: View, rows: np.ndarray, patches: np.ndarray, rule: ConfirmationRule, names: Mapping[int, str]
) -> gpd.GeoDataFrame:
    """Return the changes after a run that counts."""
    if old.empty:
        return old
    seen = view.observation
    column = {name: old[name].to_numpy(copy=True) for name in COLUMNS}
    geometry, first_geometry = old.geometry.to_numpy().copy(), old["first_geometry"].to_numpy(copy=True)
    column["to_code"] = old["to_code"].astype("Int64").array.copy()
    counted = column["times_seen"] > 0
    is_seen = np.zeros(len(old), dtype=bool)
    is_seen[rows] = True
    missing = np.flatnonzero(counted & ~is_seen)
    turned = _class_after(old.iloc[missing], view, names)
    turned = np.where(column["last_seen"][missing] < seen.after_date, turned, "")
    spans = column["not_before"][missing] >= seen.before_date
    could = (turned != "") | spans
    could[could] &= (turned[could] != "") | (_share_observed(geometry[missing[could]], view) >= OBSERVED_SHARE)

    returns = rows[~counted[rows]]
    for name, value in _first(seen).items():
        column[name][returns] = value
    first_geometry[returns] = view.patches.geometry.to_numpy()[patches[~counted[rows]]]
    again = rows[counted[rows]]
    reopened = again[column["lifecycle"][again] == CLOSED]
    waiting = again[column["lifecycle"][again] == NEW]
    column["window_seen"][waiting] += 1
    column["window_observed"][waiting] += 1
    for name in ("window_seen", "window_observed"):
        column[name][reopened] = 0
    column["misses"][rows] = 0
    column["lifecycle"][np.concatenate([returns, reopened])] = NEW
    column["why"][rows] = ""
    column["times_seen"][rows] += 1
    column["times_observed"][rows] += 1
    column["last_seen"][rows], column["last_run"][rows] = seen.after_date, seen.key
    column["not_before"][rows] = np.maximum(column["not_before"][rows], seen.before_date)
    for name in ("area_ha", "change_probability"):
        column[name][rows] = view.patches[name].to_numpy()[patches]
    geometry[rows] = view.patches.geometry.to_numpy()[patches]

    absent = missing[could]
    column["times_observed"][absent] += 1
    # Also of closed changes: whether a review still holds depends on it.
    column["misses"][absent] += 1
    alive = np.isin(column["lifecycle"][absent], (NEW, CONFIRMED))
    living, into = absent[alive], turned[could][alive]
    column["window_observed"][living] += column["lifecycle"][living] == NEW
    column["lifecycle"][living[into != ""]] = CLOSED
    column["why"][living[into != ""]] = into[into != ""]

    is_new = column["lifecycle"] == NEW
    enough = is_new & (column["window_seen"] >= rule.seen_again)
    late = is_new & ~enough & (column["window_observed"] >= rule.of)
    gone = (column["lifecycle"] == CONFIRMED) & (column["misses"] >= rule.of)
    column["lifecycle"][enough] = CONFIRMED
    for rows_, why in ((late, NOT_SEEN_AGAIN), (gone, NO_LONGER_SEEN)):
        column["lifecycle"][rows_], column["why"][rows_] = CLOSED, why
    series = {name: pd.Series(column[name], index=old.index).astype(kind) for name, kind in COLUMNS.items()}
    frame = gpd.GeoDataFrame(series, geometry=geometry, crs=old.crs)
    return frame.assign(first_geometry=pd.Series(first_geometry, index=old.index, dtype=object))


def _class_after(changes: gpd.GeoDataFrame, view: View, names: Mapping[int, str]) -> np.ndarray:
    """Return for each change the class that its place turned into by this run, in words; empty where it did not."""
    result = np.full(len(changes), "", dtype=object)
    ours, theirs = changes.geometry.to_numpy(), view.patches.geometry.to_numpy()
    patch, change = shapely.STRtree(ours).query(theirs, predicate="intersects")
    to = view.patches["to_code"].fillna(-1).to_numpy(dtype=np.int64)[patch]
    other = (to != changes["to_code"].fillna(-1).to_numpy(dtype=np.int64)[change]) & (to >= 0)
    patch, change, to = patch[other], change[other], to[other]
    shared = shapely.area(shapely.intersection(ours[change], theirs[patch]))
    by_class = pd.DataFrame({"change": change, "to": to, "shared": shared}).groupby(["change", "to"])["shared"].sum()
    whole = by_class.groupby(level="change").sum()
    over = whole[whole >= TURNED_SHARE * shapely.area(ours[whole.index.to_numpy(dtype=np.int64)])].index
    for (number, code), _ in by_class.sort_values(kind="stable").items():
        if number in over:
            # The largest share comes last, and stays.
            result[number] = f"turned into {names.get(int(code), str(code))}"
    return result


def _share_observed(polygons: np.ndarray, view: View) -> np.ndarray:
    """Return the share of each polygon (n) that the run observed, 0..1."""
    if not len(polygons):
        return np.zeros(0)
    whole = shapely.area(polygons)
    seen = shapely.area(shapely.intersection(polygons, view.extent))
    # The large polygons query, because GEOS prepares the one that queries.
    tree = shapely.STRtree(polygons)
    cloud, changed = tree.query(view.not_observed, predicate="intersects")
    hidden = {tuple(pair) for pair in np.transpose(tree.query(view.not_observed, predicate="covers")).tolist()}
    inside = np.array([pair in hidden for pair in zip(cloud.tolist(), changed.tolist(), strict=True)], dtype=bool)
    lost = np.where(inside, whole[changed], 0.0)
    lost[~inside] = shapely.area(shapely.intersection(polygons[changed[~inside]], view.not_observed[cloud[~inside]]))
    np.subtract.at(seen, changed, lost)
    return np.asarray(seen / whole)
