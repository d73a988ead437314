"""The numbered steps that bring the tables of an older register up to date."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.database.tables import META, TEXT, TIME, IsoDate, Polygon
from landshift.pipeline.register.reviews import NO_CHANGE


@dataclass(frozen=True)
class Migration:
    """One step from a version of the tables to the next."""

    number: int
    """The version that it leads to; the first is 1."""
    title: str
    """What it does."""
    apply: Callable[[sa.Connection], None]
    """Does it, within the transaction that it is given."""


def _first_tables() -> sa.MetaData:
    """Return the tables of version 1 as they were then: those of `database.tables` are of the newest version."""
    metadata = sa.MetaData()

    def key() -> sa.Column[int]:
        return sa.Column("fid", sa.Integer, primary_key=True)

    def geometry() -> sa.Column[object]:
        return sa.Column("geom", Polygon, nullable=False)

    def texts(*names: str) -> list[sa.Column[str]]:
        return [sa.Column(name, TEXT) for name in names]

    def integers(*names: str) -> list[sa.Column[int]]:
        return [sa.Column(name, sa.Integer) for name in names]

    def numbers(*names: str) -> list[sa.Column[float]]:
        return [sa.Column(name, sa.Double) for name in names]

    def dates(*names: str) -> list[sa.Column[str]]:
        return [sa.Column(name, IsoDate) for name in names]

    def needed(*names: str) -> list[sa.Column[str]]:
        return [sa.Column(name, TEXT, nullable=False) for name in names]

    sa.Table("meta", metadata, sa.Column("name", TEXT, primary_key=True), *needed("value"))
    sa.Table(
        "changes", metadata, key(), geometry(), sa.Column("change_id", TEXT, nullable=False, unique=True),
        *needed("state", "reason"), sa.Column("change_code", sa.Integer, nullable=False), *integers("from_code"),
        *texts("from_name"), *integers("to_code"), *texts("to_name"), *numbers("area_ha", "confidence"),
        *dates("first_before", "first_seen", "last_seen", "not_before"), *integers("times_seen", "times_observed"),
        *texts("first_run", "model_hash", "last_run", "lifecycle", "why"),
        *integers("window_seen", "window_observed", "misses"), *texts("founder_run"), *integers("founder_patch"),
        *texts("united_with"), *integers("ordinal"), sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Table(
        "first_seen", metadata, key(), geometry(), sa.Column("change_id", TEXT, nullable=False, unique=True),
        sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Table(
        "observations", metadata, key(), geometry(), sa.Column("key", TEXT, nullable=False, unique=True),
        *texts("project"), *dates("before_date", "after_date"), *texts("created", "model_name", "model_hash", "scenes"),
        *numbers("observed_share"), *integers("patch_count"), *texts("standing"), sa.Column("merged_at", TIME),
        *integers("last_line"), sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Table(
        "patches", metadata, key(), geometry(), sa.Column("run", TEXT, nullable=False, index=True),
        sa.Column("patch", sa.Integer, nullable=False), *needed("own_id"),
        sa.Column("change_id", TEXT, nullable=False, index=True), *integers("change_code", "to_code"),
        *numbers("area_ha", "confidence"), sa.UniqueConstraint("run", "patch"), sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Table(
        "not_observed", metadata, key(), geometry(), sa.Column("run", TEXT, nullable=False, index=True),
        sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Table(
        "history", metadata, sa.Column("number", sa.Integer, primary_key=True), sa.Column("change_id", TEXT, index=True),
        sa.Column("time", TIME), *needed("event"), *texts("from_state", "to_state", "run", "model_hash", "reason", "who"),
    )  # fmt: skip
    sa.Table(
        "verdicts", metadata, sa.Column("number", sa.Integer, primary_key=True), *needed("kind", "target", "reason"),
        *texts("who"), sa.Column("time", TIME), sa.UniqueConstraint("kind", "target"),
    )  # fmt: skip
    return metadata


def _review_tables() -> sa.MetaData:
    """Return the tables that version 2 adds, as they were then."""
    metadata = sa.MetaData()
    sa.Table(
        "reviews", metadata, sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("change_id", TEXT, nullable=False, index=True), sa.Column("verdict", TEXT, nullable=False),
        sa.Column("before_code", sa.Integer), sa.Column("after_code", sa.Integer), sa.Column("note", TEXT, nullable=False),
        sa.Column("who", TEXT), sa.Column("reviewed_on", IsoDate, nullable=False), sa.Column("run", TEXT),
        sa.Column("patch", sa.Integer), sa.Column("drawing", TEXT, nullable=False), sa.Column("time", TIME),
    )  # fmt: skip
    sa.Table(
        "drawings", metadata, sa.Column("key", TEXT, primary_key=True), sa.Column("time", TIME), sa.Column("who", TEXT),
        sa.Column("ranking", TEXT, nullable=False), sa.Column("seed", sa.Integer),
        sa.Column("states", TEXT, nullable=False), sa.Column("again", sa.Integer, nullable=False),
        sa.Column("strata", TEXT, nullable=False),
    )  # fmt: skip
    sa.Table(
        "drawn", metadata, sa.Column("drawing", TEXT, primary_key=True), sa.Column("change_id", TEXT, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False), sa.Column("change_code", sa.Integer, nullable=False),
        sa.Column("run", TEXT, nullable=False), sa.Column("patch", sa.Integer, nullable=False),
    )  # fmt: skip
    return metadata


def _add_reviews(connection: sa.Connection) -> None:
    """Add the tables of reviews, and make reviews of the rejections that `verdicts` held."""
    metadata, verdicts = _review_tables(), _first_tables().tables["verdicts"]
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite" and sa.inspect(connection).has_table("gpkg_contents"):
        contents = sa.table("gpkg_contents", *(sa.column(c) for c in ("table_name", "data_type", "identifier")))
        rows = [{"table_name": t, "data_type": "attributes", "identifier": t} for t in metadata.tables]
        connection.execute(contents.insert(), rows)
    rejected = connection.execute(sa.select(verdicts).where(verdicts.c.kind == "change").order_by(verdicts.c.number)).all()
    if rejected:
        reviews = [
            {"number": n, "change_id": row.target, "verdict": NO_CHANGE, "note": row.reason, "who": row.who,
             "reviewed_on": str(row.time.date()), "drawing": "", "time": row.time}
            for n, row in enumerate(rejected, start=1)
        ]  # fmt: skip
        connection.execute(metadata.tables["reviews"].insert(), reviews)
        connection.execute(verdicts.delete().where(verdicts.c.kind == "change"))


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "the first tables", lambda connection: _first_tables().create_all(connection)),
    Migration(2, "reviews by persons, and how they were drawn", _add_reviews),
)
"""All of them, in order; a step that was published is never changed."""


def version_of(connection: sa.Connection) -> int:
    """Return the version of the tables, 0 where there are none."""
    if not sa.inspect(connection).has_table(META.name, schema=connection.schema_for_object(META)):
        return 0
    found = connection.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar()
    return int(found) if found is not None and str(found).isdigit() else 0


def migrate(connection: sa.Connection, where: str, migrations: Sequence[Migration] = MIGRATIONS) -> list[int]:
    """Apply the steps that a register lacks, in order.

    Returns:
        Their numbers.

    Raises:
        InputError: The register comes from a newer version.
    """
    version = version_of(connection)
    newest = migrations[-1].number
    if version > newest:
        raise InputError(
            f"{where} comes from a newer Landshift: its tables have version {version}, this one knows up to {newest}. "
            f"Install the newer Landshift to use it."
        )
    missing = [m for m in migrations if m.number > version]
    for migration in missing:
        migration.apply(connection)
        connection.execute(META.delete().where(META.c.name == "schema_version"))
        connection.execute(META.insert().values(name="schema_version", value=str(migration.number)))
    return [m.number for m in missing]
