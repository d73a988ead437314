"""Tables of a register, the same in every database."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import UserDefinedType


class IsoDate(UserDefinedType[str]):
    """A date that is a text here, `2020-06-15`, and a date in the database."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return its name in SQL."""
        return "DATE"

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], str | None]:
        """Return what turns a value of the database into text; a ValueError where it is no date, which SQLite may hold."""
        return lambda value: None if value is None else date.fromisoformat(str(value)).isoformat()


class Shape(UserDefinedType[object]):
    """A geometry in the CRS of the register; values are what the database's own encoding makes of it."""

    cache_ok = True

    def __init__(self, kind: str) -> None:
        """Keep the kind of geometry, such as `Polygon`."""
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        """Return its name in SQL, as a GeoPackage has it."""
        return self.kind.upper()


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A time with its zone in the database, and without it here, where all times are UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the time in UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)


TIME = (
    sa.DateTime(timezone=True)
    .with_variant(
        sqlite.DATETIME(  # type: ignore[no-untyped-call]
            storage_format="%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02d.000Z",
            regexp=r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)",
        ),
        "sqlite",
    )
    .with_variant(UtcTime(), "postgresql")
)
"""Times are UTC, to the second, and written in files as the GeoPackage standard asks for."""
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Sorted by its bytes in every database, whatever the language of the server."""


def _text(name: str, **how: Any) -> sa.Column[str]:  # noqa: ANN401 (options of a column)
    return sa.Column(name, TEXT, **how)


def _integer(name: str, **how: Any) -> sa.Column[int]:  # noqa: ANN401 (options of a column)
    return sa.Column(name, sa.Integer, **how)


def _number(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double)


def _key() -> sa.Column[int]:
    return sa.Column("fid", sa.Integer, primary_key=True)


def _geometry(kind: str = "Polygon") -> sa.Column[object]:
    return sa.Column("geom", Shape(kind), nullable=False)


def geometry_kind(table: sa.Table) -> str:
    """Return the kind of geometry in a table of `LAYERS`: `Polygon` or `MultiPolygon`."""
    kind = table.c.geom.type
    return kind.kind if isinstance(kind, Shape) else ""


METADATA = sa.MetaData()
META = sa.Table("meta", METADATA, _text("name", primary_key=True), _text("value", nullable=False))
CHANGES = sa.Table(
    "changes", METADATA, _key(), _geometry("MultiPolygon"), _text("change_id", nullable=False, unique=True),
    _text("state", nullable=False),
    _text("reason", nullable=False), _integer("change_code", nullable=False), _integer("from_code"), _text("from_name"),
    _integer("to_code"), _text("to_name"), _number("area_ha"), _number("change_probability"),
    sa.Column("first_before", IsoDate),
    sa.Column("first_seen", IsoDate), sa.Column("last_seen", IsoDate), sa.Column("not_before", IsoDate),
    _integer("times_seen"), _integer("times_observed"), _text("first_run"), _text("model_hash"), _text("last_run"),
    _text("lifecycle"), _text("why"), _integer("window_seen"), _integer("window_observed"), _integer("misses"),
    _text("seen_by"), _text("observed_by"), _text("founder_run"), _integer("founder_patch"), _text("united_with"),
    _integer("ordinal"),
    sqlite_autoincrement=True,
)  # fmt: skip
FIRST_SEEN = sa.Table(
    "first_seen",
    METADATA,
    _key(),
    _geometry("MultiPolygon"),
    _text("change_id", nullable=False, unique=True),
    sqlite_autoincrement=True,
)
OBSERVATIONS = sa.Table(
    "observations", METADATA, _key(), _geometry(), _text("key", nullable=False, unique=True), _text("project"),
    sa.Column("before_date", IsoDate), sa.Column("after_date", IsoDate), _text("created"), _text("model_name"),
    _text("model_hash"), _text("scenes"), _number("min_area_ha"), _number("pixel_size"),
    _number("observed_share"), _integer("patch_count"), _text("standing"),
    sa.Column("merged_at", TIME), _integer("last_line"), sqlite_autoincrement=True,
)  # fmt: skip
PATCHES = sa.Table(
    "patches", METADATA, _key(), _geometry(), _text("run", nullable=False, index=True), _integer("patch", nullable=False),
    _text("own_id", nullable=False), _text("change_id", nullable=False, index=True), _integer("change_code"),
    _integer("to_code"), _number("area_ha"), _number("change_probability"), sa.UniqueConstraint("run", "patch"),
    sqlite_autoincrement=True,
)  # fmt: skip
NOT_OBSERVED = sa.Table(
    "not_observed", METADATA, _key(), _geometry(), _text("run", nullable=False, index=True), sqlite_autoincrement=True
)
HISTORY = sa.Table(
    "history", METADATA, _integer("number", primary_key=True), _text("change_id", index=True), sa.Column("time", TIME),
    _text("event", nullable=False), _text("from_state"), _text("to_state"), _text("run"), _text("model_hash"), _text("reason"),
    _text("who"),
)  # fmt: skip

WITHDRAWALS = sa.Table(
    "verdicts", METADATA, _integer("number", primary_key=True), _text("kind", nullable=False), _text("target", nullable=False),
    _text("reason", nullable=False), _text("who"), sa.Column("time", TIME), sa.UniqueConstraint("kind", "target"),
)  # fmt: skip

REVIEWS = sa.Table(
    "reviews", METADATA, _integer("number", primary_key=True), _text("change_id", nullable=False, index=True),
    _text("verdict", nullable=False), _integer("before_code"), _integer("after_code"), _text("note", nullable=False),
    _text("who"), sa.Column("reviewed_on", IsoDate, nullable=False), _text("run"), _integer("patch"),
    _text("drawing", nullable=False), sa.Column("time", TIME),
)  # fmt: skip
DRAWINGS = sa.Table(
    "drawings", METADATA, _text("key", primary_key=True), sa.Column("time", TIME), _text("who"),
    _text("ranking", nullable=False), _integer("seed"), _text("states", nullable=False),
    _integer("again", nullable=False), _text("strata", nullable=False),
)  # fmt: skip
DRAWN = sa.Table(
    "drawn", METADATA, _text("drawing", primary_key=True), _text("change_id", primary_key=True),
    _integer("place", nullable=False), _integer("change_code", nullable=False), _text("run", nullable=False),
    _integer("patch", nullable=False),
)  # fmt: skip
LAYERS = (CHANGES, FIRST_SEEN, OBSERVATIONS, PATCHES, NOT_OBSERVED)
"""The tables with geometries."""
PLAIN = (META, HISTORY, WITHDRAWALS, REVIEWS, DRAWINGS, DRAWN)
"""The others."""
