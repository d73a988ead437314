"""Between the rows of a register's tables and what persons say about its changes."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.database.opening import Database, Facts
from landshift.pipeline.register.database.rows import append_history, framed, read_changes, write_changes
from landshift.pipeline.register.database.tables import CHANGES, DRAWINGS, DRAWN, PATCHES, REVIEWS
from landshift.pipeline.register.drawings import Drawing, Drawn, Stratum
from landshift.pipeline.register.history import Event, events_between
from landshift.pipeline.register.reviews import (
    CHANGE,
    Review,
    deciding,
    is_known,
    judged_states,
    said,
    under_standing_ids,
    united_ids,
)

_AT_ONCE = 400
"""Values in one question to the database; some take no more than a thousand."""


def read_reviews(connection: sa.Connection) -> list[Review]:
    """Return all that persons said about changes, in the order in which it was recorded."""
    c = REVIEWS.c
    columns = (c.change_id, c.verdict, c.who, c.reviewed_on, c.note, c.before_code, c.after_code, c.run, c.patch, c.drawing)
    return [Review(*row) for row in connection.execute(sa.select(*columns).order_by(c.number))]


def read_decision(connection: sa.Connection, change_id: str) -> Review | None:
    """Return the review that counts for a change, also where it was said of one that turned out to be the same; else None."""
    c = CHANGES.c
    united = {
        row.change_id: row.united_with for row in connection.execute(sa.select(c.change_id, c.united_with)) if row.united_with
    }
    return deciding(under_standing_ids(read_reviews(connection), united)).get(united.get(change_id, change_id))


def add_reviews(
    connection: sa.Connection, database: Database, facts: Facts, reviews: Sequence[Review], now: datetime
) -> tuple[list[Review], Mapping[str, int]]:
    """Record reviews, and let the states of the changes follow.

    Args:
        connection: Within a transaction.
        database: Of the connection.
        facts: Of the register.
        reviews: Not more than one of a change by one person on one day.
        now: When.

    Returns:
        Those that were not known before, and state to the number of changes that came into it.

    Raises:
        InputError: There is no such change.
    """
    old = read_changes(connection, database, facts.crs)
    unknown = sorted({r.change_id for r in reviews} - set(old["change_id"]))
    if unknown:
        raise InputError(f"{database.where} has no change {unknown[0]!r}; `landshift register list` lists them.")
    recorded = read_reviews(connection)
    of_change: dict[str, list[Review]] = {}
    for review in recorded:
        of_change.setdefault(review.change_id, []).append(review)
    fresh = [r for r in reviews if not is_known(r, of_change.get(r.change_id, ()))]
    if not fresh:
        return [], {}
    first = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(REVIEWS.c.number), 0))).scalar_one()) + 1
    connection.execute(REVIEWS.insert(), [{"number": n, "time": now, **asdict(r)} for n, r in enumerate(fresh, start=first)])
    new = judged_states(old, [*recorded, *fresh], facts.rule, facts.names)
    write_changes(connection, database, old, framed(new, old), facts.legend)
    standing = under_standing_ids(fresh, united_ids(old))
    by_change = {r.change_id: r for r in standing}
    moved = [replace(e, who=by_change[str(e.change_id)].who) for e in events_between(old, new, Event(""))]
    state = dict(zip(new["change_id"], new["state"], strict=True))
    still = set(by_change) - {str(e.change_id) for e in moved}
    kept = [_reviewed(r, state[r.change_id], facts.names) for r in standing if r.change_id in still]
    append_history(connection, [*moved, *kept], now)
    return fresh, dict(Counter(str(e.to_state) for e in moved))


def _reviewed(review: Review, state: str, names: Mapping[int, str]) -> Event:
    """Return the line for a review that left the state as it was."""
    words = said(review, names)
    told = words if words.startswith(review.verdict) else f"{review.verdict}: {words}"
    told = CHANGE + (f": {review.note}" if review.note else "") if review.verdict == CHANGE else told
    return Event("reviewed", review.change_id, state, state, reason=told, who=review.who)


def reference_of(connection: sa.Connection, change_id: str) -> dict[str, Any]:
    """Return `run` and `patch` of the polygon of a change that was seen last; nothing where there is no such change."""
    return references(connection, [change_id]).get(change_id, {})


def classes_of(connection: sa.Connection, legend: Legend, change_id: str) -> tuple[int | None, int | None]:
    """Return the land-use codes of a change as mapped; None where there is no such change, and in a project without classes."""
    code = connection.execute(sa.select(CHANGES.c.change_code).where(CHANGES.c.change_id == change_id)).scalar()
    return next(((c.from_code, c.to_code) for c in legend.changes if c.code == code), (None, None))


def references(connection: sa.Connection, change_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return for each change the `run` that saw it last and the number of its `patch` in there."""
    p, result = PATCHES.c, {}
    query = sa.select(p.change_id, p.run, p.patch).join(
        CHANGES, (CHANGES.c.change_id == p.change_id) & (CHANGES.c.last_run == p.run)
    )
    for start in range(0, len(change_ids), _AT_ONCE):
        part = change_ids[start : start + _AT_ONCE]
        for row in connection.execute(query.where(p.change_id.in_(part))):
            result[row.change_id] = {"run": row.run, "patch": row.patch}
    return result


def read_polygons_of(connection: sa.Connection, database: Database, patches: Sequence[tuple[str, int]]) -> np.ndarray:
    """Return the polygons (n) of patches, given by key of the run and number."""
    p, found = PATCHES.c, {}
    by_run: dict[str, list[int]] = {}
    for run, patch in patches:
        by_run.setdefault(run, []).append(patch)
    for run, numbers in by_run.items():
        for start in range(0, len(numbers), _AT_ONCE):
            chosen = p.patch.in_(numbers[start : start + _AT_ONCE])
            for row in connection.execute(sa.select(p.patch, p.geom).where((p.run == run) & chosen)):
                found[run, row.patch] = row.geom
    return database.decode([found[key] for key in patches])


def write_drawing(connection: sa.Connection, drawing: Drawing, now: datetime) -> None:
    """Record which changes were given out, and how they were chosen."""
    row = {
        "key": drawing.key, "time": now, "who": drawing.who, "ranking": drawing.ranking, "seed": drawing.seed,
        "states": json.dumps(drawing.states), "again": int(drawing.again),
        "strata": json.dumps([asdict(s) for s in drawing.strata]),
    }  # fmt: skip
    connection.execute(DRAWINGS.insert(), [row])
    items = [{"drawing": drawing.key, "place": n, **asdict(i)} for n, i in enumerate(drawing.items, start=1)]
    if items:
        connection.execute(DRAWN.insert(), items)


def read_drawings(connection: sa.Connection) -> list[Drawing]:
    """Return all drawings, the first one first."""
    d, i = DRAWINGS.c, DRAWN.c
    items: dict[str, list[Drawn]] = {}
    for row in connection.execute(
        sa.select(i.drawing, i.change_id, i.change_code, i.run, i.patch).order_by(i.drawing, i.place)
    ):
        items.setdefault(row.drawing, []).append(Drawn(row.change_id, row.change_code, row.run, row.patch))
    rows = connection.execute(sa.select(DRAWINGS).order_by(d.time, d.key)).all()
    return [
        Drawing(
            row.key, row.who, row.ranking, row.seed, tuple(json.loads(row.states)),
            tuple(Stratum(**s) for s in json.loads(row.strata)), tuple(items.get(row.key, ())), bool(row.again),
            str(row.time.date()),
        )
        for row in rows
    ]  # fmt: skip
