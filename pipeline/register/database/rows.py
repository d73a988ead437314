"""Reading and writing of the rows about runs and changes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import sqlalchemy as sa
from pyproj import CRS

from landshift.pipeline.legend import Legend
from landshift.pipeline.register.database.tables import (
    CHANGES,
    FIRST_SEEN,
    HISTORY,
    NOT_OBSERVED,
    OBSERVATIONS,
    PATCHES,
    WITHDRAWALS,
)
from landshift.pipeline.register.history import Event
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import (
    COLUMNS,
    WITHDRAWN,
    Known,
    Observation,
    Sighting,
    View,
    Withdrawal,
    parse_frame,
)

Row = dict[str, Any]
"""Column to value, as drivers take the rows of a table."""

STATUS = ("change_id", "state", "reason", "united_with")
"""Columns of the frame of changes beside those of the fold."""

_LAND_USE = {"from_code": "Int64", "from_name": "str", "to_name": "str"}
"""Columns that follow from the change code and the legend."""


class Codec(Protocol):
    """Geometries as a database holds them."""

    def encode(self, geometries: np.ndarray, crs: CRS) -> list[Any]:
        """Turn geometries (n) into values."""

    def decode(self, values: Sequence[Any]) -> np.ndarray:
        """Turn values into geometries (n)."""


def read_changes(connection: sa.Connection, codec: Codec, crs: CRS) -> gpd.GeoDataFrame:
    """Return all changes: `COLUMNS`, both geometries, `STATUS`, names of land uses, `fid` and `ordinal`, by `fid`."""
    names = [*COLUMNS, *STATUS, *_LAND_USE, "fid", "ordinal"]
    query = (
        sa.select(*(CHANGES.c[n] for n in names), CHANGES.c.geom, FIRST_SEEN.c.geom.label("first_geometry"))
        .join(FIRST_SEEN, FIRST_SEEN.c.change_id == CHANGES.c.change_id)
        .order_by(CHANGES.c.fid)
    )
    rows = connection.execute(query).all()
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * (len(names) + 2)
    kinds = {**COLUMNS, **dict.fromkeys(STATUS, "str"), **_LAND_USE, "fid": "int64", "ordinal": "int64"}
    series = {n: pd.Series(list(values), dtype=kinds[n]) for n, values in zip(names, columns, strict=False)}
    frame = gpd.GeoDataFrame(series, geometry=_single(codec.decode(columns[-2])), crs=crs)
    return frame.assign(first_geometry=pd.Series(_single(codec.decode(columns[-1])), dtype=object))


def fold_state(changes: gpd.GeoDataFrame, laid: int) -> Known:
    """Return the state of the fold after `laid` observations, from `read_changes`."""
    own = changes[changes["united_with"] == ""].sort_values("ordinal", ignore_index=True)
    return parse_frame(own, laid)


def write_changes(connection: sa.Connection, codec: Codec, old: gpd.GeoDataFrame, new: pd.DataFrame, legend: Legend) -> None:
    """Insert the changes that are new, and update those that differ; nothing is deleted.

    Args:
        connection: Within a transaction.
        codec: Of the database.
        old: From `read_changes`.
        new: `COLUMNS`, both geometries, `STATUS` and `ordinal`.
        legend: Gives the names of the land uses.
    """
    new = gpd.GeoDataFrame(new, geometry="geometry", crs=old.crs)
    position = pd.Index(old["change_id"]).get_indexer(pd.Index(new["change_id"]))
    there = np.flatnonzero(position >= 0)
    at = position[there]
    fresh = new.iloc[np.flatnonzero(position < 0)]
    _insert(connection, CHANGES, _change_rows(fresh, codec, legend))
    _insert(connection, FIRST_SEEN, _first_rows(fresh, codec))
    moved, first_moved = (
        ~shapely.equals_exact(old[name].to_numpy()[at], new[name].to_numpy()[there]) for name in ("geometry", "first_geometry")
    )
    differing = {name: _differ(old[name].iloc[at], new[name].iloc[there]) for name in (*COLUMNS, *STATUS, "ordinal")}
    _update(connection, CHANGES, _change_rows(new.iloc[there[moved]], codec, legend))
    _update(connection, FIRST_SEEN, _first_rows(new.iloc[there[first_moved]], codec))
    # Most of the others were only observed again: their geometries and the spatial index stay as they are.
    others = np.logical_or.reduce(list(differing.values())) & ~moved
    columns = [name for name, flags in differing.items() if flags[others].any()]
    names = [*columns, *(() if "change_code" not in columns else _LAND_USE), "change_id"]
    rows = _change_columns(new.iloc[there[others]], legend)
    _update(connection, CHANGES, _records({name: rows[name] for name in dict.fromkeys(names)}))


def _differ(ours: pd.Series, theirs: pd.Series) -> np.ndarray:
    """Return which values of two columns differ, bool; a missing one is like another."""
    a, b = (np.array(_plain(series), dtype=object) for series in (ours, theirs))
    return np.asarray(a != b, dtype=bool)


def _change_rows(frame: gpd.GeoDataFrame, codec: Codec, legend: Legend) -> list[Row]:
    geometry = codec.encode(_whole(frame.geometry.to_numpy()), frame.crs)
    return _records(_change_columns(frame, legend) | {"geom": geometry})


def _change_columns(frame: gpd.GeoDataFrame, legend: Legend) -> dict[str, Sequence[Any]]:
    by_code = {c.code: c for c in legend.changes}
    entries = [by_code[code] for code in frame["change_code"]]
    columns: dict[str, Sequence[Any]] = {name: _plain(frame[name]) for name in (*COLUMNS, *STATUS, "ordinal")}
    columns["from_code"] = [e.from_code for e in entries]
    columns["from_name"] = [e.from_name or None for e in entries]
    columns["to_name"] = [e.to_name or e.name for e in entries]
    return columns


def _first_rows(frame: gpd.GeoDataFrame, codec: Codec) -> list[Row]:
    geometry = codec.encode(_whole(frame["first_geometry"].to_numpy()), frame.crs)
    return _records({"change_id": list(frame["change_id"]), "geom": geometry})


def _whole(geometries: np.ndarray) -> np.ndarray:
    """Return polygons and multipolygons (n) as multipolygons: a layer has one type."""
    parts, index = shapely.get_parts(geometries, return_index=True)
    return np.asarray(shapely.multipolygons(parts, indices=index)) if len(parts) else geometries


def _single(geometries: np.ndarray) -> np.ndarray:
    """Return multipolygons (n) of one part as polygons."""
    one = shapely.get_num_geometries(geometries) == 1
    geometries[one] = shapely.get_geometry(geometries[one], 0)
    return geometries


def write_run(connection: sa.Connection, codec: Codec, run: MergeableRun, ids: Sequence[str], now: datetime) -> None:
    """Record a run with everything that it saw."""
    view, seen, crs = run.view, run.view.observation, run.crs
    row = asdict(seen) | {
        "scenes": json.dumps(seen.scenes, ensure_ascii=False), "observed_share": run.observed_share,
        "patch_count": len(view.patches), "standing": "", "merged_at": now,
        "geom": codec.encode(np.array([view.extent], dtype=object), crs)[0],
    }  # fmt: skip
    _insert(connection, OBSERVATIONS, [row])
    columns: dict[str, Sequence[Any]] = {
        n: _plain(view.patches[n]) for n in ("change_code", "to_code", "area_ha", "change_probability")
    }
    columns |= {
        "run": [seen.key] * len(ids), "patch": list(range(len(ids))), "own_id": list(view.patches["change_id"]),
        "change_id": list(ids), "geom": codec.encode(view.patches.geometry.to_numpy(), crs),
    }  # fmt: skip
    _insert(connection, PATCHES, _records(columns))
    unseen = codec.encode(view.not_observed, crs)
    _insert(connection, NOT_OBSERVED, [{"run": seen.key, "geom": value} for value in unseen])


def read_observations(connection: sa.Connection) -> list[Observation]:
    """Return all runs that were merged, in the order of the fold."""
    rows = connection.execute(sa.select(*(OBSERVATIONS.c[f.name] for f in fields(Observation))))
    found = (Observation(**{**row._mapping, "scenes": tuple(json.loads(row.scenes))}) for row in rows)
    return sorted(found, key=lambda o: o.order)


def read_view(connection: sa.Connection, codec: Codec, crs: CRS, observation: Observation) -> View:
    """Return what a run saw, as it was merged."""
    key = observation.key
    extent = connection.execute(sa.select(OBSERVATIONS.c.geom).where(OBSERVATIONS.c.key == key)).scalar_one()
    p = PATCHES.c
    query = sa.select(p.own_id, p.change_code, p.to_code, p.area_ha, p.change_probability, p.geom)
    rows = connection.execute(query.where(p.run == key).order_by(p.patch)).all()
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * 6
    kinds = {
        "change_id": "object",
        "change_code": "int64",
        "to_code": "Int64",
        "area_ha": "float64",
        "change_probability": "float64",
    }
    series = {n: pd.Series(list(v), dtype=kinds[n]) for n, v in zip(kinds, columns, strict=False)}
    patches = gpd.GeoDataFrame(series, geometry=codec.decode(columns[5]), crs=crs)
    unseen = connection.execute(sa.select(NOT_OBSERVED.c.geom).where(NOT_OBSERVED.c.run == key).order_by(NOT_OBSERVED.c.fid))
    return View(observation, codec.decode([extent])[0], patches, codec.decode(unseen.scalars().all()))


def standing_of(connection: sa.Connection, key: str) -> str:
    """Return why a run does not count; empty where it does."""
    return str(connection.execute(sa.select(OBSERVATIONS.c.standing).where(OBSERVATIONS.c.key == key)).scalar_one())


def write_observation(connection: sa.Connection, key: str, **values: str | int) -> None:
    """Set columns of a run."""
    connection.execute(OBSERVATIONS.update().where(OBSERVATIONS.c.key == key).values(values))


def write_standings(
    connection: sa.Connection, observations: Sequence[Observation], standing: Mapping[str, str], cause: Event
) -> list[Event]:
    """Write which runs count, and return a line for each where that changed, but for the one being merged."""
    events = []
    for seen in observations:
        was, now = standing_of(connection, seen.key), standing[seen.key]
        if was == now:
            continue
        write_observation(connection, seen.key, standing=now)
        if seen.key != cause.run or cause.reason is not None:
            event = "restored" if not now else "superseded" if now.startswith("superseded") else WITHDRAWN
            events.append(Event(event, run=seen.key, model_hash=seen.model_hash, reason=now or cause.reason, who=cause.who))
    return events


def read_sightings(connection: sa.Connection, change_id: str) -> list[Sighting]:
    """Return what the runs saw of a change, by date."""
    p, o = PATCHES.c, OBSERVATIONS.c
    query = (
        sa.select(o.key, o.before_date, o.after_date, p.area_ha, p.change_probability, o.model_name, o.model_hash, o.standing)
        .join(OBSERVATIONS, o.key == p.run)
        .where(p.change_id == change_id)
        .order_by(o.after_date, o.before_date, o.created, o.key)
    )
    return [Sighting(*row) for row in connection.execute(query)]


def relabel(connection: sa.Connection, run: str, ids: Sequence[str]) -> None:
    """Correct the ids of the changes that the patches of a run belong to."""
    query = sa.select(PATCHES.c.change_id).where(PATCHES.c.run == run).order_by(PATCHES.c.patch)
    was = connection.execute(query).scalars().all()
    rows = [
        {"a_run": run, "a_patch": n, "identity": ours}
        for n, (ours, theirs) in enumerate(zip(ids, was, strict=True))
        if ours != theirs
    ]
    if rows:
        where = (PATCHES.c.run == sa.bindparam("a_run")) & (PATCHES.c.patch == sa.bindparam("a_patch"))
        connection.execute(PATCHES.update().where(where).values(change_id=sa.bindparam("identity")), rows)


def rename_patches(connection: sa.Connection, standing: Mapping[str, str]) -> None:
    """Give the patches of changes that are the same as others the ids that stand for both."""
    rows = [{"was": was, "identity": identity} for was, identity in standing.items()]
    if rows:
        where = PATCHES.c.change_id == sa.bindparam("was")
        connection.execute(PATCHES.update().where(where).values(change_id=sa.bindparam("identity")), rows)


def read_withdrawals(connection: sa.Connection) -> list[Withdrawal]:
    """Return what was withdrawn, in that order."""
    c = WITHDRAWALS.c
    return [Withdrawal(*row) for row in connection.execute(sa.select(c.kind, c.target, c.reason).order_by(c.number))]


def append_history(connection: sa.Connection, events: Iterable[Event], now: datetime) -> int:
    """Add lines at the end of the history, and return the number of the last."""
    number = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(HISTORY.c.number), 0))).scalar_one())
    rows = [{"number": number + n, "time": now, **vars(event)} for n, event in enumerate(events, start=1)]
    _insert(connection, HISTORY, rows)
    return number + len(rows)


def _plain(series: pd.Series) -> list[Any]:
    """Return values as a driver takes them, None for a missing one."""
    # A NaN is not equal to itself, and NA cannot be asked.
    return [None if value is pd.NA or value != value else value for value in series.tolist()]


def _records(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _update(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
    """Set columns of the rows of changes, by `change_id`."""
    if rows:
        for row in rows:
            row["identity"] = row.pop("change_id")
        values: Row = {k: sa.bindparam(k) for k in rows[0] if k != "identity"}
        connection.execute(table.update().where(table.c.change_id == sa.bindparam("identity")).values(values), rows)


def _insert(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
    if rows:
        connection.execute(table.insert(), rows)
