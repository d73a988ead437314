"""Register of changes: many runs merged into one record that never doubles and never forgets.

Whatever the database, the contract is the one of `Register`; what differs between databases is behind `Database`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import sqlalchemy as sa

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.address import RegisterLocation
from landshift.pipeline.register.database.geopackage import GeoPackageDatabase
from landshift.pipeline.register.database.opening import Database, Facts, open_database
from landshift.pipeline.register.database.postgis import PostgisDatabase
from landshift.pipeline.register.database.review_rows import (
    add_reviews,
    read_drawings,
    read_last_patches,
    read_polygons_of,
    read_reviews,
    write_drawing,
)
from landshift.pipeline.register.database.rows import (
    append_history,
    fold_state,
    read_changes,
    read_observations,
    read_sightings,
    read_view,
    read_withdrawals,
    relabel,
    rename_patches,
    standing_of,
    write_changes,
    write_observation,
    write_run,
    write_standings,
)
from landshift.pipeline.register.database.tables import WITHDRAWALS
from landshift.pipeline.register.drawings import Drawing
from landshift.pipeline.register.fold import lay_over, proposals_of, replay
from landshift.pipeline.register.history import Event, events_between
from landshift.pipeline.register.ids import add_united, assign_ids, rows_in_order, rows_of_ids
from landshift.pipeline.register.reviews import (
    CHANGE,
    NO_CHANGE,
    Review,
    add_states,
    deciding,
    ids_out_of_use,
    under_standing_ids,
)
from landshift.pipeline.register.runs import MergeableRun, require_fit
from landshift.pipeline.register.states import (
    ConfirmationRule,
    Known,
    Observation,
    Sighting,
    Withdrawal,
    frame_of_changes,
    standings,
)


@dataclass(frozen=True)
class Merged:
    """Effect of merging a run, of a verdict or of a withdrawal."""

    run: str
    """Key of the run; empty for the others."""
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

    def merge(
        self, runs: Sequence[MergeableRun], rule: ConfirmationRule | None = None, now: datetime | None = None
    ) -> list[Merged]:
        """Merge runs, all or none of them; the register is made if it is not there.

        Args:
            runs: In any order; they are merged by date.
            rule: For a new register; the usual one where None.
            now: When; the present moment where None.

        Returns:
            The effect of each of them, by date.

        Raises:
            InputError: A run does not fit, the rule is not that of the register, or the database cannot be used.
        """
        if not runs:
            return []
        at = _moment(now)
        first = (runs[0], rule or ConfirmationRule())
        with open_database(self.database, write=True, first=first) as (connection, facts):
            if rule is not None and rule != facts.rule:
                raise InputError(
                    f"{self.database.where} confirms changes that are seen again in {facts.rule.seen_again} of the next "
                    f"{facts.rule.of} observations. Leave the rule out, or merge all runs into a new register."
                )
            for run in runs:
                require_fit(run, facts.crs, facts.legend, self.database.where)
            return [self._merge(connection, facts, run, at) for run in sorted(runs, key=lambda r: r.view.observation.order)]

    def reject(self, change_id: str, reason: str, who: str | None = None, now: datetime | None = None) -> Merged:
        """Record that something is not a change: it stays in the register, and stays rejected when it is seen again.

        Raises:
            InputError: No reason, or no such change.
        """
        return self._judge(change_id, NO_CHANGE, reason, who, now=now)

    def confirm(self, change_id: str, reason: str, who: str | None = None, now: datetime | None = None) -> Merged:
        """Record that something is a change, also where it was rejected before.

        Raises:
            InputError: No reason, or no such change.
        """
        return self._judge(change_id, CHANGE, reason, who, now=now)

    def review(self, reviews: Sequence[Review], now: datetime | None = None) -> tuple[list[Review], Mapping[str, int]]:
        """Record reviews, all or nothing.

        Args:
            reviews: Verdicts; those that were recorded before change nothing.
            now: When; the present moment where None.

        Returns:
            Those that were not known before, and state to the number of changes that are in it now and were not before.

        Raises:
            InputError: There is no such change.
        """
        with self._open(write=True) as (connection, facts):
            return add_reviews(connection, self.database, facts, reviews, now=_moment(now))

    def draw(self, drawing: Drawing, now: datetime | None = None) -> None:
        """Record which changes were given out to be reviewed, and how they were chosen."""
        with self._open(write=True) as (connection, _):
            write_drawing(connection, drawing, _moment(now))

    def reviews(self) -> list[Review]:
        """Return all reviews, in the order in which they were recorded."""
        with self._open() as (connection, _):
            return read_reviews(connection)

    def observations(self) -> dict[str, Observation]:
        """Return the runs that were merged, by key, in the order of the fold."""
        with self._open() as (connection, _):
            return {o.key: o for o in read_observations(connection)}

    def drawings(self) -> list[Drawing]:
        """Return all drawings, the first one first."""
        with self._open() as (connection, _):
            return read_drawings(connection)

    def last_patches(self, change_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Return for each change the key of the run that saw it last, and the number of its patch in that run."""
        with self._open() as (connection, _):
            return read_last_patches(connection, change_ids)

    def polygons(self, patches: Sequence[tuple[str, int]]) -> np.ndarray:
        """Return polygons as runs saw them, in the CRS of the register, by key of the run and number of the patch."""
        with self._open() as (connection, _):
            return read_polygons_of(connection, self.database, patches)

    def withdraw(self, kind: str, target: str, reason: str, who: str | None = None, now: datetime | None = None) -> Merged:
        """Take back everything that `Withdrawal` describes; also what is merged later.

        Raises:
            InputError: No reason, or no run of the register is concerned.
        """
        _require_reason(reason)
        withdrawal, at = Withdrawal(kind, target, reason), _moment(now)
        with self._open(write=True) as (connection, facts):
            observations = read_observations(connection)
            if not any(withdrawal.concerns(o) for o in observations):
                raise InputError(f"No run in {self.database.where} has the {kind} {target!r}, so there is nothing to withdraw.")
            there = (WITHDRAWALS.c.kind == kind) & (WITHDRAWALS.c.target == target)
            if connection.execute(sa.select(WITHDRAWALS.c.number).where(there)).first() is not None:
                return Merged("", False, "")
            connection.execute(WITHDRAWALS.insert(), [asdict(withdrawal) | {"who": who, "time": at}])
            cause = Event("", run=target if kind == "run" else None, model_hash=target if kind == "model" else None,
                          reason=reason, who=who)  # fmt: skip
            return self._replay(connection, facts, observations, _Step(cause, [], at))

    def facts(self) -> Facts:
        """Return what holds for the whole register."""
        with self._open() as (_, facts):
            return facts

    def changes(self) -> gpd.GeoDataFrame:
        """Return all changes: `COLUMNS` of `register.states`, both geometries, `change_id`, `state` and `reason`."""
        with self._open() as (connection, facts):
            return read_changes(connection, self.database, facts.crs)

    def table(self, table: sa.Table) -> pd.DataFrame:
        """Return a table without geometries, such as the history, as the database has it."""
        with self._open() as (connection, _):
            columns = [c for c in table.c if c.name != "geom"]
            rows = connection.execute(sa.select(*columns).order_by(*table.primary_key.columns)).all()
            return pd.DataFrame([tuple(row) for row in rows], columns=[c.name for c in columns], dtype=object)

    def sightings(self, change_id: str) -> list[Sighting]:
        """Return what the runs saw of a change, by date."""
        with self._open() as (connection, _):
            return read_sightings(connection, change_id)

    def _open(self, *, write: bool = False) -> AbstractContextManager[tuple[sa.Connection, Facts]]:
        return open_database(self.database, write=write)

    def _merge(self, connection: sa.Connection, facts: Facts, run: MergeableRun, now: datetime) -> Merged:
        seen, observations = run.view.observation, read_observations(connection)
        same = next((o for o in observations if o.key == seen.key), None)
        if same is not None:
            if same.pair != seen.pair:
                raise InputError(
                    f"{run.folder} has the key {seen.key}, which {self.database.where} knows as the key of a run of "
                    f"{same.project}, {same.before_date} to {same.after_date}. Keys are unique; make the run again."
                )
            return Merged(seen.key, False, standing_of(connection, seen.key))
        withdrawals = read_withdrawals(connection)
        before, after = standings(observations, withdrawals), standings([*observations, seen], withdrawals)
        merged = Event("merged", run=seen.key, model_hash=seen.model_hash, reason=after[seen.key] or None)
        step = _Step(Event("", run=seen.key, model_hash=seen.model_hash), [merged], now)
        self.database.grow(connection, run.view.extent.bounds)
        if len(run.view.patches):
            self.database.grow(connection, run.view.patches.total_bounds)
        in_order = all(o.order < seen.order for o in observations)
        if not in_order or any(after[o.key] != before[o.key] for o in observations):
            write_run(connection, self.database, run, list(run.view.patches["change_id"]), now=now)
            return self._replay(connection, facts, [*observations, seen], step)
        old = read_changes(connection, self.database, facts.crs)
        state = fold_state(old, laid=len(observations))
        later = lay_over(state, run.view, after[seen.key], facts.rule, names=facts.names)
        given = rows_in_order(old)
        ids = assign_ids(later, given, proposals_of(later, run.view, len(state)))
        write_run(connection, self.database, run, [ids[row] for row in later.rows[seen.key]], now=now)
        write_observation(connection, seen.key, standing=after[seen.key])
        fresh = {identity: ids[row] for identity, row in given.items()}
        rename_patches(connection, {i: fresh[i] for i in old[old["united_with"] == ""]["change_id"] if fresh[i] != i})
        return self._write(connection, facts, old, later, fold=(ids, fresh), step=step)

    def _replay(self, connection: sa.Connection, facts: Facts, observations: Sequence[Observation], step: "_Step") -> Merged:
        """Fold all observations again, and write what that changes."""
        ordered = sorted(observations, key=lambda o: o.order)
        standing = standings(ordered, read_withdrawals(connection))
        step.events.extend(write_standings(connection, ordered, standing, step.cause))
        views = (read_view(connection, self.database, facts.crs, o) for o in ordered)
        known, proposals = replay(views, standing, facts.rule, facts.names)
        old = read_changes(connection, self.database, facts.crs)
        given = rows_of_ids(known, old)
        ids = assign_ids(known, given, proposals)
        for key, rows in known.rows.items():
            relabel(connection, key, [ids[row] for row in rows])
        fresh = {identity: ids[row] for identity, row in given.items()}
        return self._write(connection, facts, old, known, fold=(ids, fresh), step=step)

    def _write(
        self, connection: sa.Connection, facts: Facts, old: gpd.GeoDataFrame, known: Known,
        fold: tuple[Sequence[str], Mapping[str, str]], step: "_Step",
    ) -> Merged:  # fmt: skip
        """Write the changes and the history; `fold` is the id of each row, and the id that stands for each ever given."""
        ids, standing = fold
        changes = frame_of_changes(known, facts.crs).assign(change_id=ids)[known.united < 0]
        current = add_united(changes, old, standing)
        own = (current["united_with"] == "").to_numpy()
        placed = current.assign(ordinal=np.where(own, np.cumsum(own) - 1, -1))
        new = add_states(placed, read_reviews(connection), facts.rule, facts.names)
        write_changes(connection, self.database, old, new, legend=facts.legend)
        events = events_between(old, new, step.cause)
        last = append_history(connection, [*step.events, *events], step.now)
        states = dict(Counter(str(e.to_state) for e in events))
        key = next((e.run for e in step.events[:1] if e.event == "merged"), None)
        if key is None:
            return Merged("", True, "", states)
        write_observation(connection, key, last_line=last)
        return Merged(key, True, standing_of(connection, key), states)

    def _judge(self, change_id: str, verdict: str, reason: str, who: str | None, now: datetime | None) -> Merged:
        _require_reason(reason)
        at = _moment(now)
        with self._open(write=True) as (connection, facts):
            changes = read_changes(connection, self.database, facts.crs)
            out_of_use = ids_out_of_use(changes)
            counting = deciding(under_standing_ids(read_reviews(connection), out_of_use))
            known = counting.get(out_of_use.get(change_id, change_id))
            if known is not None and (known.verdict == CHANGE) == (verdict == CHANGE):
                return Merged("", False, "")
            # East of here it may be tomorrow already, where a person decided otherwise.
            day = max(str(at.date()), known.reviewed_on if known is not None else "")
            mapped = dict(zip(changes["change_id"], changes["change_code"], strict=True)).get(change_id)
            kind = next((c for c in facts.legend.changes if c.code == mapped and verdict == CHANGE), None)
            codes = (None, None) if kind is None else (kind.from_code, kind.to_code)
            patch = read_last_patches(connection, [change_id]).get(change_id, (None, None))
            review = Review(change_id, verdict, who, day, reason.strip(), *codes, *patch)
            return Merged("", True, "", add_reviews(connection, self.database, facts, [review], now=at)[1])


@dataclass(frozen=True)
class _Step:
    """What changes a register."""

    cause: Event
    """Gives run, model and who to the lines of the history."""
    events: list[Event]
    """Lines of the history that come before those of the changes."""
    now: datetime
    """When, UTC."""


def open_register(location: RegisterLocation) -> Register:
    """Return the register in a GeoPackage or on a server; nothing is opened or made yet."""
    return Register(GeoPackageDatabase(location) if isinstance(location, Path) else PostgisDatabase(location))


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("A reason is needed: readers of the register have to know why. Give one with --reason.")


def _moment(now: datetime | None) -> datetime:
    return (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
