"""Table of changes that a reviewer fills in: building it, and reading the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.drawings import Drawing
from landshift.pipeline.register.reviews import CHANGE, NO_CHANGE, OTHER_CLASS, Review
from landshift.pipeline.register.states import Observation
from landshift.pipeline.review.layers import answer_columns, pair_text, review_columns, true_changes, verdict_words
from landshift.pipeline.vector.columns import frame_of

_MOVED = 1e-3
"""How far a border may lie from the one given out, as a share of the width of the change: a change of the CRS moves it less."""
_SHOWN = 5


@dataclass(frozen=True)
class Answers:
    """Answers in a file that a reviewer filled in."""

    reviews: tuple[Review, ...]
    """Verdicts that are complete."""
    half_filled: tuple[str, ...]
    """Rows that cannot be taken yet, each as number of the change, its id, and what is missing."""
    empty: int
    """Changes without any answer."""


def review_frame(
    chosen: gpd.GeoDataFrame, drawing: Drawing, runs: Mapping[str, Observation], chips: Mapping[str, str], legend: Legend
) -> gpd.GeoDataFrame:
    """Build the table that changes are reviewed in.

    Args:
        chosen: Rows of the register's changes, in the order of the drawing.
        drawing: What is given out.
        runs: The runs by key.
        chips: Id of a change to its picture, relative to the file; changes without one are left out.
        legend: Of the register.

    Returns:
        `review_columns`, the answers null, and the polygons that were seen last.
    """
    seen = [runs[item.run] for item in drawing.items]
    kinds = {c.code: c.name for c in legend.changes}
    values = {
        "place": np.arange(1, len(chosen) + 1), "review_id": drawing.key, "kind": [kinds[c] for c in chosen["change_code"]],
        "before_date": [o.before_date for o in seen], "after_date": [o.after_date for o in seen],
        "project": [o.project for o in seen], "chip": [chips.get(i.change_id) for i in drawing.items],
    }  # fmt: skip
    columns = review_columns(binary=legend.binary)
    taken = {c.name: chosen[c.name].to_numpy() for c in columns if c.name in chosen}
    asked = dict.fromkeys((c.name for c in answer_columns(binary=legend.binary)), None)
    return frame_of(taken | values | asked, columns, chosen.geometry.to_numpy(), CRS(chosen.crs))


def drawing_of(found: pd.DataFrame, drawings: Sequence[Drawing], name: str, where: str) -> Drawing:
    """Return the drawing that a file was made for.

    Args:
        found: The layer as it came back.
        drawings: All of the register.
        name: Of the file, for errors.
        where: Of the register, for errors.

    Raises:
        InputError: A column is missing, or the register did not give out this file.
    """
    if "review_id" not in found or not len(found):
        raise InputError(f"{name} was not made by `landshift register review export`: it has no row with a `review_id`.")
    keys = set(found["review_id"].map(lambda v: "" if pd.isna(v) else str(v)))
    known = {d.key: d for d in drawings}
    if len(keys) > 1:
        raise InputError(f"{name} mixes {len(keys)} reviews; expected the rows of one. Import each file as it was given out.")
    key = keys.pop()
    if key not in known:
        raise InputError(
            f"{name} was not given out by {where}, which does not know the review {key!r}: it belongs to another register, or "
            f"this one was restored from a copy that is older than the file."
        )
    return known[key]


def read_answers(
    found: gpd.GeoDataFrame, drawing: Drawing, polygons: np.ndarray, legend: Legend, name: str, *, who: str | None = None,
    now: datetime | None = None,
) -> Answers:  # fmt: skip
    """Return the answers of a reviewer, or refuse the whole file.

    Args:
        found: The layer as it came back, in the CRS of the register.
        drawing: What was given out.
        polygons: Of the items of the drawing, as they were given out.
        legend: Of the register.
        name: Of the file, for errors.
        who: The reviewer where the file names none.
        now: When it is read; the present moment where None.

    Raises:
        InputError: A column is missing; a row is not of this drawing, or there twice; a polygon was altered; a verdict or a
            change is not one of those to choose from; a date is unreadable, or not between the export and today.
    """
    wanted = ["change_id", *(c.name for c in answer_columns(binary=legend.binary))]
    missing = [c for c in wanted if c not in found]
    if missing:
        raise InputError(
            f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; give the file that was made."
        )
    place = {item.change_id: n for n, item in enumerate(drawing.items)}
    ids = [_text(v) for v in found["change_id"]]
    _require_drawn(ids, place, name)
    rows = [place[i] for i in ids]
    _require_unaltered(found.geometry.to_numpy(), polygons[rows], ids, name)
    verdicts, known = [_text(v) for v in found["verdict"]], verdict_words(legend).values()
    _require(verdicts, {"", *known}, "verdict", ids, name=name)
    pairs = {pair_text(codes): codes for codes in true_changes(legend).values()}
    instead = [""] * len(ids) if legend.binary else [_text(v) for v in found["true_change"]]
    _require(instead, {"", *pairs}, "true_change", ids, name=name)
    days = _days(found["reviewed_on"], ids, name, drawing, now=now or datetime.now(UTC))
    reviewers, notes = ([_text(v) for v in found[c]] for c in ("reviewer", "note"))
    kinds = {c.code: c for c in legend.changes}
    reviews, half = [], []
    for k, row in enumerate(rows):
        item, reviewer = drawing.items[row], reviewers[k] or (who or "")
        own = (kinds[item.change_code].from_code, kinds[item.change_code].to_code)
        other = pairs.get(instead[k]) if verdicts[k] in (NO_CHANGE, OTHER_CLASS) else None
        gap = _missing(verdicts[k], other, own, bool(instead[k] or notes[k]), reviewer=reviewer, day=days[k])
        if gap:
            half.append(f"number {row + 1} ({item.change_id}): {gap}")
        elif verdicts[k]:
            codes = other or (own if verdicts[k] == CHANGE else (None, None))
            reviews.append(
                Review(item.change_id, verdicts[k], reviewer, str(days[k]), notes[k], *codes, item.run, item.patch, drawing.key)
            )
    return Answers(tuple(reviews), tuple(half), len(drawing.items) - len(reviews) - len(half))


def _missing(
    verdict: str, other: tuple[int, int] | None, own: tuple[int | None, int | None], more: bool, reviewer: str, day: date | None
) -> str:
    """Return why a row cannot be taken yet; empty if it can."""
    if not verdict:
        return "something was noted, but no verdict was chosen" if more else ""
    if verdict == OTHER_CLASS and (other is None or other == own or other[0] == other[1]):
        return "of other classes, but these are missing, or are those of the map"
    if verdict == NO_CHANGE and other is not None and other[0] != other[1]:
        return "not a change, but what it is instead is one"
    if not reviewer:
        return "the reviewer is missing (give --who if it is the same person everywhere)"
    return "" if day is not None else "the date of the review is missing"


def _require_drawn(ids: Sequence[str], place: Mapping[str, int], name: str) -> None:
    strange = [i for i in ids if i not in place]
    if strange:
        raise InputError(f"{name} holds {_some(strange)}, which was not given out in this review. Nothing was imported.")
    if len(set(ids)) < len(ids):
        twice = sorted({i for i in ids if ids.count(i) > 1})
        raise InputError(f"{name} holds {_some(twice)} more than once. Delete the copies; nothing was imported.")


def _require_unaltered(found: np.ndarray, given: np.ndarray, ids: Sequence[str], name: str) -> None:
    same = shapely.equals_exact(shapely.normalize(found), shapely.normalize(given))
    for k in np.flatnonzero(~same):
        # What was saved in another CRS comes back with rounded coordinates.
        left, bottom, right, top = shapely.bounds(given[k])
        same[k] = shapely.hausdorff_distance(found[k], given[k]) <= _MOVED * max(right - left, top - bottom)
    altered = [i for i, whole in zip(ids, same, strict=True) if not whole]
    if altered:
        raise InputError(
            f"{name}: the outline of {_some(altered)} is not the one that was given out. A verdict is about what the reviewer "
            f"saw; draw nothing in this file. Nothing was imported."
        )


def _require(values: Sequence[str], known: set[str], column: str, ids: Sequence[str], name: str) -> None:
    wrong = [f"{value!r} ({i})" for value, i in zip(values, ids, strict=True) if value not in known]
    if wrong:
        listed = ", ".join(repr(k) for k in sorted(known) if k)
        raise InputError(
            f"{name}, column {column}: {_some(wrong)}; expected one of {listed}, or nothing. Nothing was imported."
        )


def _days(series: pd.Series, ids: Sequence[str], name: str, drawing: Drawing, now: datetime) -> list[date | None]:
    # Somewhere on Earth it is up to 14 hours later and 12 hours earlier than in Greenwich.
    latest, earliest = (now + timedelta(hours=14)).date(), date.fromisoformat(drawing.drawn_on) - timedelta(days=1)
    empty = series.isna() | (series.astype(str).str.strip() == "")
    # In 11/12/2026 either number may be the month.
    read = pd.to_datetime(series.where(~empty), errors="coerce", utc=True, format="ISO8601")
    days = [None if pd.isna(v) else v.date() for v in read]
    wrong = [
        f"{value} ({i})"
        for value, i, day, none in zip(series, ids, days, empty, strict=True)
        if not none and (day is None or not earliest <= day <= latest)
    ]
    if wrong:
        raise InputError(
            f"{name}, column reviewed_on: {_some(wrong)}; expected days from {drawing.drawn_on}, when the changes were given "
            f"out, to today. Nothing was imported."
        )
    return days


def _some(items: Sequence[str]) -> str:
    rest = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value).strip()
