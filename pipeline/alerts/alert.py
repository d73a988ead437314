"""Alerts: changes of a register that came into a state that a rule asks for."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landshift.pipeline.alerts.rules import AlertRule, require_known
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.history import diff_states

_NAMESPACE = uuid.UUID("6f0d3c52-7d0c-5a5e-9a62-3c1b8f4b7e11")
_SHARED_HA = 0.01
"""A change lies in an area from so many hectares on, a pixel of Sentinel-2, or a quarter of it: borders are not that exact."""


@dataclass(frozen=True)
class Alert:
    """A change that came into a state that a rule asks for."""

    id: uuid.UUID
    """Of register, rule, change, state and line of the history: the same for the same alert, and for no other."""
    rule: str
    """Name of the rule."""
    change_id: str
    """Which change."""
    state: str
    """The state that it is in."""
    was: str | None
    """The state that it was in before; None where it was not there."""
    number: int
    """Of the line of the history with this state."""
    time: datetime
    """When that line was written, UTC, with its zone."""
    change: str
    """Kind of change, such as `Forest to Cropland`; `Changed` in a project without classes."""
    from_name: str | None
    """Land use before; None in a project without classes."""
    to_name: str | None
    """Land use after."""
    area_ha: float | None
    """Hectares when it was seen last; a pixel count, biased when summed."""
    change_probability: float | None
    """Mean probability of change when it was seen last, 0..1."""
    first_seen: str
    """Date after of the pair that saw it first, ISO 8601."""
    last_seen: str
    """Latest date after of a pair that saw it, ISO 8601."""
    areas: tuple[str, ...]
    """Names of all areas of interest that it reaches into, in the order of their file."""
    lon: float
    """Longitude of the centroid, degrees, WGS 84."""
    lat: float
    """Latitude of the centroid, degrees, WGS 84."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north in degrees, WGS 84; west is larger than east across the antimeridian."""


def utc_text(moment: datetime) -> str:
    """Return a time in UTC as RFC 3339 has it."""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def origin_of(history: pd.DataFrame) -> str:
    """Return what identifies a register: its first line, which is never changed."""
    first = history.iloc[0]
    return f"{first['run']} {utc_text(first['time'])}"


def digest(
    rules: Sequence[AlertRule], changes: gpd.GeoDataFrame, history: pd.DataFrame, legend: Legend,
    areas: gpd.GeoDataFrame | None = None, since: int = 0,
) -> list[Alert]:  # fmt: skip
    """Return the alerts that rules ask for, of each change in its present state.

    Args:
        rules: In the order in which they are answered.
        changes: All of the register.
        history: All of it, in order.
        legend: Of the register.
        areas: Columns `name` and polygons in the register's CRS; None for no areas.
        since: Number of the line of the history after which a change has to have come into its state.

    Returns:
        By rule, then the largest first, then by id of the change.

    Raises:
        InputError: As in `require_known`.
    """
    for rule in rules:
        require_known(rule, legend, [] if areas is None else list(areas["name"]))
    # A review that left a state as it was makes no new alert.
    moved = history["change_id"].notna() & (history["from_state"] != history["to_state"])
    last = history[moved].drop_duplicates("change_id", keep="last").set_index("change_id")
    frame = diff_states(changes, history, 0)
    frame = frame[last.loc[frame["change_id"], "number"].to_numpy(dtype=np.int64) > since].reset_index(drop=True)
    wanted = {state for rule in rules for state in rule.states}
    frame = frame[frame["what"].isin(wanted)].reset_index(drop=True)
    if frame.empty:
        return []
    kinds = {c.code: c.name for c in legend.changes}
    candidates, origin = _alerts_of(frame, last, kinds, _areas_of(frame, areas)), origin_of(history)
    found = [_alert_for(rule, alert, origin) for rule in rules for alert in candidates if _meets(rule, alert)]
    place = {rule.name: k for k, rule in enumerate(rules)}
    return sorted(found, key=lambda a: (place[a.rule], -(a.area_ha or 0.0), a.change_id))


def _meets(rule: AlertRule, alert: Alert) -> bool:
    kinds, areas = ({name.casefold() for name in names} for names in (rule.changes, rule.areas))
    return (
        alert.state in rule.states
        and (not kinds or alert.change.casefold() in kinds)
        # An unknown value meets no minimum.
        and (alert.area_ha or 0.0) >= rule.min_area_ha
        and (alert.change_probability or 0.0) >= rule.min_change_probability
        and (not areas or not areas.isdisjoint(name.casefold() for name in alert.areas))
    )


def _alert_for(rule: AlertRule, alert: Alert, origin: str) -> Alert:
    words = (origin, rule.name, alert.change_id, alert.state, str(alert.number))
    return replace(alert, rule=rule.name, id=uuid.uuid5(_NAMESPACE, "\n".join(words)))


def _alerts_of(
    frame: gpd.GeoDataFrame, last: pd.DataFrame, kinds: Mapping[int, str], areas: Sequence[tuple[str, ...]]
) -> list[Alert]:
    """Return an alert without rule and id for each row."""
    centres = gpd.GeoSeries(frame.geometry.centroid, crs=frame.crs).to_crs("EPSG:4326")
    boxes = [_box(polygon) for polygon in frame.geometry.to_crs("EPSG:4326")]
    lines = last.loc[frame["change_id"]]
    plain = frame.drop(columns=frame.geometry.name).astype(object)
    rows = plain.where(plain.notna(), None).to_dict("records")
    was = lines["from_state"].astype(object).where(lines["from_state"].notna(), None)
    return [
        Alert(
            id=_NAMESPACE, rule="", change_id=row["change_id"], state=row["what"], was=before, number=int(number),
            time=moment.replace(tzinfo=UTC), change=kinds[row["change_code"]], from_name=row["from_name"],
            to_name=row["to_name"], area_ha=row["area_ha"],
            change_probability=row["change_probability"], first_seen=row["first_seen"],
            last_seen=row["last_seen"], areas=names, lon=round(centre.x, 6), lat=round(centre.y, 6), bbox=box,
        )
        for row, before, number, moment, names, centre, box in zip(
            rows, was, lines["number"], lines["time"], areas, centres, boxes, strict=True
        )
    ]  # fmt: skip


def _box(polygon: shapely.Geometry) -> tuple[float, float, float, float]:
    west, south, east, north = polygon.bounds
    if east - west > 180:
        # No patch spans half the Earth: it lies on both sides of the antimeridian.
        x = shapely.get_coordinates(polygon)[:, 0]
        west, east = x[x > 0].min(), x[x < 0].max()
    return (round(float(west), 6), round(south, 6), round(float(east), 6), round(north, 6))


def _areas_of(frame: gpd.GeoDataFrame, areas: gpd.GeoDataFrame | None) -> list[tuple[str, ...]]:
    """Return the names of the areas that each change reaches into."""
    found: list[list[str]] = [[] for _ in range(len(frame))]
    if areas is not None:
        ours, theirs = areas.geometry.to_numpy(), frame.geometry.to_numpy()
        area, row = shapely.STRtree(theirs).query(ours, predicate="intersects")
        share = shapely.area(shapely.intersection(ours[area], theirs[row])) / shapely.area(theirs[row])
        hectares = frame["area_ha"].fillna(0.0).to_numpy(dtype=np.float64)[row]
        kept = np.flatnonzero((share >= 0.25) | ((share > 0) & (share * hectares >= _SHARED_HA)))
        for k in kept[np.lexsort((area[kept], row[kept]))].tolist():
            found[row[k]].append(str(areas["name"].iloc[area[k]]))
    return [tuple(names) for names in found]
