"""Reading and writing of the rows about reviews and drawings."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.database.opening import Database, Facts
from landshift.pipeline.register.database.rows import append_history, read_changes, write_changes
from landshift.pipeline.register.database.tables import CHANGES, DRAWINGS, DRAWN, PATCHES, REVIEWS
from landshift.pipeline.register.drawings import Drawing, Drawn, Stratum
from landshift.pipeline.register.history import Event, events_between
from landshift.pipeline.register.reviews import (
    CHANGE,
    Review,
    add_states,
    describe,
    ids_out_of_use,
    is_known,
    under_standing_ids,
)

_AT_ONCE = 400
"""Values in one query; some databases take no more than a thousand."""


def read_reviews(connection: sa.Connection) -> list[Review]:
    """Return all reviews, in the order in which they were recorded."""
    query = sa.select(*(REVIEWS.c[f.name] for f in fields(Review))).order_by(REVIEWS.c.number)
    return [Review(*row) for row in connection.execute(query)]


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
        Those that were not known before, and state to the number of changes that are in it now and were not before.

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
    new = add_states(old, [*recorded, *fresh], facts.rule, facts.names)
    write_changes(connection, database, old, new, legend=facts.legend)
    standing = under_standing_ids(fresh, ids_out_of_use(old))
    by_change = {r.change_id: r for r in standing}
    moved = [replace(e, who=by_change[str(e.change_id)].who) for e in events_between(old, new, Event(""))]
    state = dict(zip(new["change_id"], new["state"], strict=True))
    still = set(by_change) - {str(e.change_id) for e in moved}
    kept = [_event_of(r, state[r.change_id], facts.names) for r in standing if r.change_id in still]
    append_history(connection, [*moved, *kept], now)
    return fresh, dict(Counter(str(e.to_state) for e in moved))


def _event_of(review: Review, state: str, names: Mapping[int, str]) -> Event:
    """Return the line of the history for a review that left the state as it was."""
    words = describe(review, names)
    reason = words if words.startswith(review.verdict) else f"{review.verdict}: {words}"
    if review.verdict == CHANGE:
        reason = f"{CHANGE}: {review.note}" if review.note else CHANGE
    return Event("reviewed", review.change_id, state, state, reason=reason, who=review.who)


def read_last_patches(connection: sa.Connection, change_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return for each change the key of the run that saw it last, and the number of its largest patch in that run."""
    p, result = PATCHES.c, {}
    query = sa.select(p.change_id, p.run, p.patch).join(
        CHANGES, (CHANGES.c.change_id == p.change_id) & (CHANGES.c.last_run == p.run)
    )
    # Of several between clouds the largest comes last, and stays.
    query = query.order_by(sa.func.coalesce(p.area_ha, 0.0), p.patch)
    for start in range(0, len(change_ids), _AT_ONCE):
        for row in connection.execute(query.where(p.change_id.in_(change_ids[start : start + _AT_ONCE]))):
            result[row.change_id] = (row.run, row.patch)
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
    query = sa.select(i.drawing, i.change_id, i.change_code, i.run, i.patch).order_by(i.drawing, i.place)
    for drawing, *item in connection.execute(query):
        items.setdefault(drawing, []).append(Drawn(*item))
    rows = connection.execute(sa.select(DRAWINGS).order_by(d.time, d.key)).all()
    return [
        Drawing(
            row.key, row.who, row.ranking, row.seed, states=tuple(json.loads(row.states)),
            strata=tuple(Stratum(**s) for s in json.loads(row.strata)), items=tuple(items.get(row.key, ())),
            again=bool(row.again),
            drawn_on=str(row.time.date()),
        )
        for row in rows
    ]  # fmt: skip
