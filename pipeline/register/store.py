"""The register of changes: many runs merged into one record that never doubles and never forgets.

Whatever the database, the contract is the one of `Register`; what differs between databases is behind `Database`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import sqlalchemy as sa

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.address import Place
from landshift.pipeline.register.database.geopackage import GeoPackageDatabase
from landshift.pipeline.register.database.migrations import MIGRATIONS, Migration
from landshift.pipeline.register.database.opening import Database, Facts, opened
from landshift.pipeline.register.database.postgis import PostgisDatabase
from landshift.pipeline.register.database.review_rows import (
    add_reviews,
    classes_of,
    read_decision,
    read_drawings,
    read_polygons_of,
    read_reviews,
    reference_of,
    references,
    write_drawing,
)
from landshift.pipeline.register.database.rows import (
    append_history,
    framed,
    known_of,
    read_changes,
    read_observations,
    read_sightings,
    read_view,
    read_withdrawals,
    relabel,
    write_changes,
    write_run,
)
from landshift.pipeline.register.database.tables import OBSERVATIONS, VERDICTS
from landshift.pipeline.register.drawings import Drawing
from landshift.pipeline.register.fold import proposals_of, replay, step
from landshift.pipeline.register.history import Event, events_between, named, with_new_names, with_united
from landshift.pipeline.register.reviews import CHANGE, NO_CHANGE, Review, judged_states
from landshift.pipeline.register.runs import MergeableRun, require_fit
from landshift.pipeline.register.states import WITHDRAWN, Observation, Rule, Withdrawal, standings


@dataclass(frozen=True)
class Merged:
    """What merging a run, or a verdict, did."""

    run: str
    """Key of the run; empty for a verdict."""
    fresh: bool
    """False where it was known already, and nothing was changed."""
    standing: str
    """Empty where the run counts, else why it does not."""
    states: Mapping[str, int] = field(default_factory=dict)
    """State to the number of changes that are in it now and were not before."""


@dataclass(frozen=True)
class Register:
    """One register, in whatever database."""

    database: Database
    """Where it is."""
    migrations: Sequence[Migration] = MIGRATIONS
    """Steps that bring its tables up to date."""

    def merge(self, runs: Sequence[MergeableRun], rule: Rule | None = None, now: datetime | None = None) -> list[Merged]:
        """Merge runs, all or none of them; the register is made where there is none.

        Args:
            runs: In any order; they are merged by date.
            rule: For a new register; the usual one where None.
            now: When; the present moment where None.

        Returns:
            What each of them did, by date.

        Raises:
            InputError: A run does not fit, the rule is not that of the register, or the database cannot be used.
        """
        if not runs:
            return []
        at = _moment(now)
        with opened(self.database, self.migrations, write=True, first=(runs[0], rule or Rule())) as (connection, facts):
            if rule is not None and rule != facts.rule:
                raise InputError(
                    f"{self.database.where} confirms changes that are seen again in {facts.rule.seen_again} of the next "
                    f"{facts.rule.of} observations. Leave the rule out, or merge all runs into a new register."
                )
            for run in runs:
                require_fit(run, facts.crs, facts.legend, self.database.where)
            return [self._merge(connection, facts, run, at) for run in sorted(runs, key=lambda r: r.view.observation.order)]

    def reject(self, change_id: str, reason: str, who: str | None = None, now: datetime | None = None) -> Merged:
        """Say that a change is none: it stays in the register, and stays rejected when it is seen again.

        Raises:
            InputError: No reason, or no such change.
        """
        return self._say(change_id, NO_CHANGE, reason, who, now)

    def confirm(self, change_id: str, reason: str, who: str | None = None, now: datetime | None = None) -> Merged:
        """Say that a change is one, also where it was rejected before.

        Raises:
            InputError: No reason, or no such change.
        """
        return self._say(change_id, CHANGE, reason, who, now)

    def review(self, reviews: Sequence[Review], now: datetime | None = None) -> tuple[list[Review], Mapping[str, int]]:
        """Record what persons say about changes, all or nothing.

        Args:
            reviews: Verdicts; those that were recorded before change nothing.
            now: When; the present moment where None.

        Returns:
            Those that were not known before, and state to the number of changes that came into it.

        Raises:
            InputError: There is no such change.
        """
        with opened(self.database, self.migrations, write=True) as (connection, facts):
            return add_reviews(connection, self.database, facts, reviews, _moment(now))

    def draw(self, drawing: Drawing, now: datetime | None = None) -> None:
        """Record which changes were given out to be reviewed, and how they were chosen."""
        with opened(self.database, self.migrations, write=True) as (connection, _):
            write_drawing(connection, drawing, _moment(now))

    def reviews(self) -> list[Review]:
        """Return all that persons said about changes, in the order in which it was recorded."""
        with opened(self.database, self.migrations, write=False) as (connection, _):
            return read_reviews(connection)

    def observations(self) -> dict[str, Observation]:
        """Return the runs that were merged, by key, in the order of the fold."""
        with opened(self.database, self.migrations, write=False) as (connection, _):
            return {o.key: o for o in read_observations(connection)}

    def drawings(self) -> list[Drawing]:
        """Return what was given out to be reviewed, the first drawing first."""
        with opened(self.database, self.migrations, write=False) as (connection, _):
            return read_drawings(connection)

    def seen_last(self, change_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return for each change the `run` that saw it last, and the number of its `patch` in there."""
        with opened(self.database, self.migrations, write=False) as (connection, _):
            return references(connection, change_ids)

    def polygons(self, patches: Sequence[tuple[str, int]]) -> np.ndarray:
        """Return polygons as runs saw them, in the CRS of the register.

        Args:
            patches: (key of the run, number of the patch) of patches that there are.
        """
        with opened(self.database, self.migrations, write=False) as (connection, _):
            return read_polygons_of(connection, self.database, patches)

    def withdraw(self, kind: str, target: str, reason: str, who: str | None = None, now: datetime | None = None) -> Merged:
        """Take back a run, everything that a model made, or everything made from a scene; also what is merged later.

        Args:
            kind: `run`, `model` or `scene`.
            target: Key of the run, hash of the model's weights, or path, name or hash of the scene.
            reason: Why.
            who: Who says so.
            now: When; the present moment where None.

        Raises:
            InputError: No reason, or no run of the register is concerned.
        """
        with opened(self.database, self.migrations, write=True) as (connection, facts):
            withdrawal, observations = Withdrawal(kind, target, reason), read_observations(connection)
            if not any(withdrawal.concerns(o) for o in observations):
                raise InputError(f"No run in {self.database.where} has the {kind} {target!r}, so there is nothing to withdraw.")
            if not self._judge(connection, kind, target, reason, who, now):
                return Merged("", False, "")
            cause = Event("", run=target if kind == "run" else None, model_hash=target if kind == "model" else None,
                          reason=reason, who=who)  # fmt: skip
            return self._replayed(connection, facts, observations, cause, [], _moment(now))

    def facts(self) -> Facts:
        """Return what holds for the whole register."""
        with opened(self.database, self.migrations, write=False) as (_, facts):
            return facts

    def changes(self) -> gpd.GeoDataFrame:
        """Return all changes: `COLUMNS` of `register.states`, both geometries, `change_id`, `state` and `reason`."""
        with opened(self.database, self.migrations, write=False) as (connection, facts):
            return read_changes(connection, self.database, facts.crs)

    def table(self, table: sa.Table) -> pd.DataFrame:
        """Return a table without geometries, such as the history, as the database has it."""
        with opened(self.database, self.migrations, write=False) as (connection, _):
            columns = [c for c in table.c if c.name != "geom"]
            rows = connection.execute(sa.select(*columns).order_by(*table.primary_key.columns)).all()
            return pd.DataFrame([tuple(row) for row in rows], columns=[c.name for c in columns], dtype=object)

    def sightings(self, change_id: str) -> list[dict[str, Any]]:
        """Return the runs that saw a change, by date."""
        with opened(self.database, self.migrations, write=False) as (connection, _):
            return read_sightings(connection, change_id)

    def _merge(self, connection: sa.Connection, facts: Facts, run: MergeableRun, now: datetime) -> Merged:
        seen, observations = run.view.observation, read_observations(connection)
        same = next((o for o in observations if o.key == seen.key), None)
        if same is not None:
            if same.pair != seen.pair:
                raise InputError(
                    f"{run.folder} has the key {seen.key}, which {self.database.where} knows as the key of a run of "
                    f"{same.project}, {same.before_date} to {same.after_date}. Keys are unique; make the run again."
                )
            return Merged(seen.key, False, str(_standing_of(connection, seen.key)))
        withdrawals = read_withdrawals(connection)
        before, after = standings(observations, withdrawals), standings([*observations, seen], withdrawals)
        cause = Event("", run=seen.key, model_hash=seen.model_hash)
        told = [Event("merged", run=seen.key, model_hash=seen.model_hash, reason=after[seen.key] or None)]
        self.database.grow(connection, run.view.extent.bounds)
        if len(run.view.patches):
            self.database.grow(connection, run.view.patches.total_bounds)
        in_order = all(o.order < seen.order for o in observations)
        if not in_order or any(after[o.key] != before[o.key] for o in observations):
            own = list(run.view.patches["change_id"])
            write_run(connection, self.database, run, own, now)
            return self._replayed(connection, facts, [*observations, seen], cause, told, now)
        old = read_changes(connection, self.database, facts.crs)
        known = known_of(old)
        later = step(known, run.view, after[seen.key], facts.rule, facts.names)
        given = old[old["united_with"] == ""].sort_values("ordinal")["change_id"].tolist()
        fresh = [None] * (len(later.changes) - len(given))
        proposals = proposals_of(later, run.view, len(given))
        ids = with_new_names([*given, *fresh], later, set(old["change_id"]), proposals)
        write_run(connection, self.database, run, [ids[row] for row in later.rows[seen.key]], now)
        connection.execute(OBSERVATIONS.update().where(OBSERVATIONS.c.key == seen.key).values(standing=after[seen.key]))
        united = old[old["united_with"] != ""]
        current = pd.concat([later.changes.assign(change_id=ids, united_with=""), united], ignore_index=True)
        return self._settled(connection, facts, old, current, cause, told, now)

    def _replayed(
        self, connection: sa.Connection, facts: Facts, observations: Sequence[Observation], cause: Event,
        told: list[Event], now: datetime,
    ) -> Merged:  # fmt: skip
        """Fold all observations again, and write down what that changes."""
        ordered = sorted(observations, key=lambda o: o.order)
        standing = standings(ordered, read_withdrawals(connection))
        told = [*told, *_restanding(connection, ordered, standing, cause)]
        views = (read_view(connection, self.database, facts.crs, o) for o in ordered)
        known, proposals = replay(views, standing, facts.rule, facts.names, facts.crs)
        old = read_changes(connection, self.database, facts.crs)
        ids = named(known, old, proposals)
        for key, rows in known.rows.items():
            relabel(connection, key, [ids[row] for row in rows])
        current = with_united(known.changes.assign(change_id=ids), old, known.rows)
        return self._settled(connection, facts, old, current, cause, told, now)

    def _settled(
        self, connection: sa.Connection, facts: Facts, old: gpd.GeoDataFrame, current: gpd.GeoDataFrame, cause: Event,
        told: list[Event], now: datetime,
    ) -> Merged:  # fmt: skip
        own = (current["united_with"] == "").to_numpy()
        placed = current.assign(ordinal=np.where(own, np.cumsum(own) - 1, -1))
        new = judged_states(placed, read_reviews(connection), facts.rule, facts.names)
        write_changes(connection, self.database, old, framed(new, old), facts.legend)
        return self._told(connection, old, new, cause, told, now)

    def _told(
        self, connection: sa.Connection, old: pd.DataFrame, new: pd.DataFrame, cause: Event, told: list[Event], now: datetime
    ) -> Merged:
        events = events_between(old, new, cause)
        last = append_history(connection, [*told, *events], now)
        key = told[0].run if told and told[0].event == "merged" else None
        standing = "" if key is None else str(_standing_of(connection, key))
        if key is not None:
            connection.execute(OBSERVATIONS.update().where(OBSERVATIONS.c.key == key).values(last_line=last))
        return Merged(key or "", True, standing, dict(Counter(str(e.to_state) for e in events)))

    def _say(self, change_id: str, verdict: str, reason: str, who: str | None, now: datetime | None) -> Merged:
        _require_reason(reason)
        at = _moment(now)
        with opened(self.database, self.migrations, write=True) as (connection, facts):
            known = read_decision(connection, change_id)
            if known is not None and (known.verdict == CHANGE) == (verdict == CHANGE):
                return Merged("", False, "")
            # East of here it may be tomorrow already, where somebody said the contrary.
            day = max(str(at.date()), known.reviewed_on if known is not None else "")
            codes = classes_of(connection, facts.legend, change_id) if verdict == CHANGE else (None, None)
            review = Review(change_id, verdict, who, day, reason.strip(), *codes, **reference_of(connection, change_id))
            return Merged("", True, "", add_reviews(connection, self.database, facts, [review], at)[1])

    def _judge(
        self, connection: sa.Connection, kind: str, target: str, reason: str, who: str | None, now: datetime | None
    ) -> bool:
        """Record a verdict; False where it was said before."""
        _require_reason(reason)
        there = sa.select(VERDICTS.c.number).where((VERDICTS.c.kind == kind) & (VERDICTS.c.target == target))
        if connection.execute(there).first() is not None:
            return False
        row = {"kind": kind, "target": target, "reason": reason, "who": who, "time": _moment(now)}
        connection.execute(VERDICTS.insert(), [row])
        return True


def open_register(place: Place, migrations: Sequence[Migration] = MIGRATIONS) -> Register:
    """Return the register in a GeoPackage or on a server; nothing is opened or made yet."""
    return Register(GeoPackageDatabase(place) if isinstance(place, Path) else PostgisDatabase(place), migrations)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("A reason is needed: whoever reads the register later has to know why. Give one with --reason.")


def _moment(now: datetime | None) -> datetime:
    return (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)


def _standing_of(connection: sa.Connection, key: str) -> str:
    return str(connection.execute(sa.select(OBSERVATIONS.c.standing).where(OBSERVATIONS.c.key == key)).scalar_one())


def _restanding(
    connection: sa.Connection, observations: Sequence[Observation], standing: Mapping[str, str], cause: Event
) -> list[Event]:
    """Write down which runs count, and return a line for each where that changed, but for the one being merged."""
    events = []
    for seen in observations:
        was, now = _standing_of(connection, seen.key), standing[seen.key]
        if was == now:
            continue
        connection.execute(OBSERVATIONS.update().where(OBSERVATIONS.c.key == seen.key).values(standing=now))
        if seen.key != cause.run or cause.reason is not None:
            event = "restored" if not now else "superseded" if now.startswith("superseded") else WITHDRAWN
            events.append(Event(event, run=seen.key, model_hash=seen.model_hash, reason=now or cause.reason, who=cause.who))
    return events
