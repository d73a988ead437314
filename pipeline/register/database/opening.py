"""How a register is opened: made where there is none, brought up to date, and refused where it is something else."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from pyproj import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.database.migrations import Migration, migrate, version_of
from landshift.pipeline.register.database.rows import Codec
from landshift.pipeline.register.database.tables import META
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import Rule


class Database(Codec, Protocol):
    """What differs between a register in a file and one on a server: how it is opened and locked, and holds geometries."""

    @property
    def where(self) -> str:
        """What to call it in messages."""

    @property
    def exists(self) -> bool:
        """Whether there is anything in its place."""

    def transaction(self, *, write: bool) -> AbstractContextManager[sa.Connection]:
        """Open it, for reading or as its one writer, and keep all or nothing of what is done."""

    def prepare(self, connection: sa.Connection, crs: CRS) -> None:
        """Add to new tables what GIS programs look for."""

    def check(self, connection: sa.Connection) -> None:
        """Refuse what is damaged."""

    def grow(self, connection: sa.Connection, bounds: Sequence[float]) -> None:
        """Take note of new geometries within left, bottom, right and top."""


@dataclass(frozen=True)
class Facts:
    """What holds for a whole register."""

    crs: CRS
    """Of all geometries."""
    legend: Legend
    """Of all runs."""
    rule: Rule
    """When changes are confirmed and closed."""

    @property
    def names(self) -> dict[int, str]:
        """Land-use code to name."""
        return {c.code: c.name for c in self.legend.classes}


@contextmanager
def opened(
    database: Database, migrations: Sequence[Migration], *, write: bool, first: tuple[MergeableRun, Rule] | None = None
) -> Iterator[tuple[sa.Connection, Facts]]:
    """Open a register within one transaction.

    Args:
        database: Where it is.
        migrations: Steps that bring its tables up to date.
        write: Whether anything is to be written.
        first: What a new register is made from; where None, there has to be one.

    Raises:
        InputError: It is not there, damaged, something else, or from a newer version.
    """
    there = database.exists
    if not there and first is None:
        raise InputError(f"{database.where} is not there; `landshift register merge` makes a register.")
    with database.transaction(write=write or (there and _is_old(database, migrations))) as connection:
        if there and write:
            database.check(connection)
        version = version_of(connection)
        if there and version == 0:
            raise InputError(f"{database.where} is no register; expected one that `landshift register merge` made.")
        migrate(connection, database.where, migrations)
        if version == 0 and first is not None:
            _write_facts(connection, *first)
            database.prepare(connection, first[0].crs)
        yield connection, _read_facts(connection, database.where)


def _is_old(database: Database, migrations: Sequence[Migration]) -> bool:
    """Tell whether the tables lack a step, which makes even a reader a writer."""
    with database.transaction(write=False) as connection:
        return 0 < version_of(connection) < migrations[-1].number


def _write_facts(connection: sa.Connection, run: MergeableRun, rule: Rule) -> None:
    classes = [{"code": c.code, "name": c.name, "colour": c.colour} for c in run.legend.classes]
    values = {
        "crs": run.crs.to_wkt(), "legend": json.dumps(classes, ensure_ascii=False),
        "seen_again": str(rule.seen_again), "of": str(rule.of),
    }  # fmt: skip
    connection.execute(META.insert(), [{"name": name, "value": value} for name, value in values.items()])


def _read_facts(connection: sa.Connection, where: str) -> Facts:
    values = {name: value for name, value in connection.execute(sa.select(META.c.name, META.c.value))}
    try:
        legend = Legend.of(json.loads(values["legend"]))
        return Facts(CRS.from_wkt(values["crs"]), legend, Rule(int(values["seen_again"]), int(values["of"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where} is damaged: its table `meta` lacks or garbles {error}. Restore it from a copy.") from error
