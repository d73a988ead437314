"""Opening of a register: created where it is missing, refused if it is damaged or of another version."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from struct import error as StructError
from typing import Protocol

import sqlalchemy as sa
from pyproj import CRS
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError
from sqlalchemy.exc import DBAPIError, StatementError

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.database.rows import Codec
from landshift.pipeline.register.database.tables import META, METADATA
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import ConfirmationRule

_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, ProjError, ShapelyError,
           StructError, StatementError)  # fmt: skip
"""What values of another type, number, length or meaning raise; a driver's own errors are the database's."""
VERSION = 3
"""Of the tables, kept in `meta`; a register of another version is refused."""


class Database(Codec, Protocol):
    """What differs between a register in a file and one on a server: opening, locking, geometries."""

    @property
    def where(self) -> str:
        """Name of the place in messages."""

    @property
    def exists(self) -> bool:
        """Whether there is anything in its place."""

    def transaction(self, *, write: bool) -> AbstractContextManager[sa.Connection]:
        """Open it, for reading or as its one writer; all or nothing of what is done is kept."""

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
    rule: ConfirmationRule
    """When changes are confirmed and closed."""

    @property
    def names(self) -> dict[int, str]:
        """Land-use code to name."""
        return {c.code: c.name for c in self.legend.classes}


@contextmanager
def open_database(
    database: Database, *, write: bool = False, first: tuple[MergeableRun, ConfirmationRule] | None = None
) -> Iterator[tuple[sa.Connection, Facts]]:
    """Open a register within one transaction.

    Args:
        database: Where it is.
        write: Whether anything is to be written.
        first: What a new register is made from; where None, there has to be one.

    Raises:
        InputError: It is not there, damaged, something else, or of another version.
    """
    there = database.exists
    if not there and first is None:
        raise InputError(f"{database.where} is not there; `landshift register merge` makes a register.")
    with database.transaction(write=write) as connection, _refusing_damage(database.where):
        if there and write:
            database.check(connection)
        # Another writer may have made it since.
        version = _version_of(connection)
        if version == 0 and first is not None and not there:
            METADATA.create_all(connection)
            _write_facts(connection, *first)
            database.prepare(connection, first[0].crs)
        elif version == 0:
            raise InputError(f"{database.where} is not a register; expected one that `landshift register merge` made.")
        elif version != VERSION:
            raise InputError(
                f"{database.where}: its tables have version {version}, and this Landshift reads version {VERSION}. Use the "
                f"Landshift that made it, or merge the runs into a new register."
            )
        yield connection, _read_facts(connection, database.where)


@contextmanager
def _refusing_damage(where: str) -> Iterator[None]:
    """Turn what the content of a register makes libraries and ourselves raise into a sentence: any program can edit its tables.

    Runs and answers were checked before they come here, so what is of another type or not there is the register's.

    Raises:
        InputError: In the place of all of them.
    """
    try:
        yield
    except (InputError, DBAPIError):
        raise
    except _DAMAGE as error:
        raise InputError(
            f"{where} is damaged: one of its tables holds what does not belong there ({type(error).__name__}: {error!s:.200}). "
            f"Restore it from a copy, or merge the runs into a new register. If no other program edited it, report this."
        ) from error


def _version_of(connection: sa.Connection) -> int:
    """Return the version of the tables, 0 if there are no such tables."""
    if not sa.inspect(connection).has_table(META.name, schema=connection.schema_for_object(META)):
        return 0
    found = str(connection.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar())
    return int(found) if found.isdigit() else 0


def _write_facts(connection: sa.Connection, run: MergeableRun, rule: ConfirmationRule) -> None:
    classes = [{"code": c.code, "name": c.name, "colour": c.colour} for c in run.legend.classes]
    values = {
        "schema_version": str(VERSION), "crs": run.crs.to_wkt(), "legend": json.dumps(classes, ensure_ascii=False),
        "seen_again": str(rule.seen_again), "of": str(rule.of),
    }  # fmt: skip
    connection.execute(META.insert(), [{"name": name, "value": value} for name, value in values.items()])


def _read_facts(connection: sa.Connection, where: str) -> Facts:
    values = {name: value for name, value in connection.execute(sa.select(META.c.name, META.c.value))}
    try:
        legend = Legend.of(json.loads(values["legend"]))
        rule = ConfirmationRule(int(values["seen_again"]), int(values["of"]))
        return Facts(CRS.from_wkt(values["crs"]), legend, rule)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where} is damaged: its table `meta` lacks or garbles {error}. Restore it from a copy.") from error
