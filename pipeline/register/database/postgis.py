"""The register in one schema of a PostgreSQL database with PostGIS: how it is opened and locked, and holds geometries.

Geometries travel as well-known binary in hexadecimals, which PostGIS reads and writes by itself; GeoAlchemy2 would do the same,
but wants to know the SRID of a table before there is a register, and its hooks would touch the GeoPackage as well.
"""

import hashlib
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa
from pyproj import CRS
from sqlalchemy.ext.compiler import compiles

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.address import Address
from landshift.pipeline.register.columns import DESCRIBED, register_qml
from landshift.pipeline.register.database.geopackage import definition_of
from landshift.pipeline.register.database.postgis_errors import explained, explained_login
from landshift.pipeline.register.database.tables import LAYERS, Polygon

_WAIT = "10min"
"""How long to wait for another writer."""

_CONNECT_S = 10

_KEPT_S = 300

_SETTINGS = {
    # Within a merge the database waits for us to think, minutes where all runs are folded again.
    "TimeZone": "UTC", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": _WAIT,
}  # fmt: skip
"""For the transaction alone, so that poolers of connections may stand in between."""

_OWN_SRIDS = (910_000, 998_999)
"""Numbers that PostGIS leaves to its users, for a CRS that has no EPSG code."""

_SET = "set_config(:{name}_name, :{name}, true)"

# What belongs to PostGIS, and QGIS's own table of styles, are no tables of somebody.
_EXISTS = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'layer_styles'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""

_POSTGIS = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'postgis'"

_COMMENT = """
SELECT format('COMMENT ON COLUMN %I.%I.%I IS %L',
    CAST(:schema AS text), CAST(:table AS text), CAST(:column AS text), CAST(:said AS text))
"""


@compiles(Polygon, "postgresql")
def _geometry_type(*_: object, **__: object) -> str:
    # The SRID is added by `prepare`. A later step that adds a layer to registers that are there has to do the same.
    return "geometry(Polygon)"


class PostgisDatabase:
    """What differs between a register on a server and one in a file.

    Writers of a register follow one after the other: each takes an advisory lock of the database, named after the schema,
    before it looks at anything, and the lock ends with its transaction, however that ends. Unlike a lock on a table it also
    covers the making of the register. Writers read what is committed at each statement (READ COMMITTED): with a snapshot, which
    is taken before the lock is had, they would not see what the writer before them did. Readers take no lock and never wait;
    their snapshot (REPEATABLE READ, read only) shows one state of the register, however many statements they read it with.
    """

    def __init__(self, address: Address) -> None:
        """Name the place; nothing is opened yet."""
        self.address = address

    @property
    def where(self) -> str:
        """What to call it in messages: the address without its password."""
        return str(self.address)

    @property
    def exists(self) -> bool:
        """Whether the schema holds anything; an empty one, as an administrator makes it, is no register yet.

        Raises:
            InputError, UnavailableError: As `transaction` says.
        """
        with self._begun(isolation_level="READ COMMITTED") as connection:
            return bool(connection.execute(sa.text(_EXISTS), {"schema": self.address.schema}).scalar())

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        """Open it, for reading or as its one writer, and keep all or nothing of what is done.

        Raises:
            InputError: The database, PostGIS or a right is missing, or the login is refused.
            UnavailableError: The server is away, or the connection was lost; the same again may go well.
        """
        how = {"isolation_level": "READ COMMITTED" if write else "REPEATABLE READ", "postgresql_readonly": not write}
        with self._begun(**how) as connection:
            self._set(connection, _SETTINGS)
            if write:
                self._lock(connection, f"register {self.address.schema}")
                self._add_schema(connection)
            found = connection.execute(sa.text(_POSTGIS)).scalar()
            if found is None and write:
                self._add_postgis(connection)
                found = connection.execute(sa.text(_POSTGIS)).scalar_one()
            path = [self.address.schema, *([] if found is None else [str(found)])]
            self._set(connection, {"search_path": ", ".join(self._quoted(name) for name in path)})
            yield connection

    def prepare(self, connection: sa.Connection, crs: CRS) -> None:
        """Give new tables their SRID, spatial indexes and descriptions, so that a GIS opens them from the database.

        Raises:
            InputError: The CRS has no EPSG code, and may not be added to those of PostGIS.
        """
        number = self._srid(connection, crs)
        for table in LAYERS:
            name = f"{self._quoted(self.address.schema)}.{self._quoted(table.name)}"
            connection.exec_driver_sql(
                f"ALTER TABLE {name} ALTER COLUMN geom TYPE geometry(Polygon, {number}) USING ST_SetSRID(geom, {number})"
            )
            connection.exec_driver_sql(f"CREATE INDEX {self._quoted(f'{table.name}_geom')} ON {name} USING gist (geom)")
        for name, columns in DESCRIBED.items():
            for column in columns:
                words = {"schema": self.address.schema, "table": name, "column": column.name, "said": column.comment}
                connection.exec_driver_sql(str(connection.execute(sa.text(_COMMENT), words).scalar_one()))
        # The lock lasts as long as the merge: other new registers wait only where the table has to be made.
        if connection.execute(sa.text("SELECT to_regclass('public.layer_styles')")).scalar() is None:
            self._lock(connection, "styles")
        add_styles(connection, self.address.schema)

    def check(self, connection: sa.Connection) -> None:
        """Do nothing: the server looks after its pages, and says so where one is damaged."""

    def grow(self, connection: sa.Connection, bounds: Sequence[float]) -> None:
        """Do nothing: the server finds out where its geometries are."""

    def encode(self, geometries: np.ndarray, crs: CRS) -> list[str]:
        """Turn geometries into what the tables hold; the SRID is that of the column."""
        return [str(text) for text in shapely.to_wkb(geometries, hex=True, byte_order=1)] if len(geometries) else []

    def decode(self, values: Sequence[str]) -> np.ndarray:
        """Turn what the tables hold into geometries."""
        return np.asarray(shapely.from_wkb(list(values)), dtype=object)

    @cached_property
    def _engine(self) -> sa.Engine:
        try:
            import psycopg  # noqa: F401 (an extra)
        except ImportError as error:
            raise InputError(
                f"A register on a server needs psycopg, which is not installed ({error}). Type: "
                f"pip install 'landshift[postgis]'"
            ) from error
        # One connection is kept, as a new one costs more than most of our questions; after hours between two merges it is tried
        # before it is used.
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=partial(_login, self.address), pool_size=1, pool_pre_ping=True,
            pool_recycle=_KEPT_S, hide_parameters=True,
        )  # fmt: skip
        weakref.finalize(self, engine.dispose)
        return engine

    @contextmanager
    def _begun(self, **how: Any) -> Iterator[sa.Connection]:  # noqa: ANN401 (options of SQLAlchemy)
        engine = self._engine.execution_options(schema_translate_map={None: self.address.schema}, **how)
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise explained(error, self.address) from error

    def _quoted(self, name: str) -> str:
        return str(self._engine.dialect.identifier_preparer.quote_identifier(name))

    def _set(self, connection: sa.Connection, settings: dict[str, str]) -> None:
        columns = ", ".join(_SET.format(name=name) for name in settings)
        names = {f"{name}_name": name for name in settings}
        connection.execute(sa.text(f"SELECT {columns}"), {**settings, **names})

    def _lock(self, connection: sa.Connection, what: str) -> None:
        """Wait until no other transaction has this lock; it is given back with the end of ours."""
        number = int.from_bytes(hashlib.sha256(f"landshift {what}".encode()).digest()[:8], "big", signed=True)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def _add_schema(self, connection: sa.Connection) -> None:
        name = self.address.schema
        # IF NOT EXISTS asks for the right to make one even where there is one.
        if connection.execute(sa.text("SELECT FROM pg_namespace WHERE nspname = :name"), {"name": name}).first() is None:
            connection.execute(sa.schema.CreateSchema(name))

    def _add_postgis(self, connection: sa.Connection) -> None:
        self._lock(connection, "postgis")
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS postgis SCHEMA public")

    def _srid(self, connection: sa.Connection, crs: CRS) -> int:
        """Return the number that PostGIS calls a CRS by: its EPSG code, else one of our own, which is added."""
        code, definition = crs.to_epsg(), definition_of(crs)
        known = sa.text("SELECT srid FROM spatial_ref_sys WHERE srid = :code")
        if code is not None and connection.execute(known, {"code": code}).first() is not None:
            return int(code)
        self._lock(connection, "postgis")
        least, most = _OWN_SRIDS
        same = sa.text("SELECT min(srid) FROM spatial_ref_sys WHERE srtext = :definition AND srid BETWEEN :least AND :most")
        words = {"definition": definition, "least": least, "most": most}
        found = connection.execute(same, words).scalar()
        if found is not None:
            return int(found)
        free = sa.text("SELECT coalesce(max(srid), :least - 1) + 1 FROM spatial_ref_sys WHERE srid BETWEEN :least AND :most")
        number = int(connection.execute(free, {"least": least, "most": most}).scalar_one()) if code is None else int(code)
        row = {"srid": number, "name": None if code is None else "EPSG", "code": code, "definition": definition}
        added = "INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext) VALUES (:srid, :name, :code, :definition)"
        connection.execute(sa.text(added), row)
        return number


def _login(ours: Address) -> Any:  # noqa: ANN401 (psycopg is an extra)
    import psycopg

    named = {
        "host": ours.host, "port": ours.port, "dbname": ours.database, "user": ours.user,
        "password": None if ours.password is None else ours.password.reveal(),
    }  # fmt: skip
    usual = {
        # So that whoever waits for another writer notices that the server is gone.
        "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 5,
        "connect_timeout": _CONNECT_S, "application_name": "landshift", "client_encoding": "utf8",
    }  # fmt: skip
    given = {name: value for name, value in named.items() if value is not None}
    try:
        return psycopg.connect(**{**usual, **ours.options, **given})  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise explained_login(str(error), ours) from error


_MAKE = """
CREATE TABLE IF NOT EXISTS public.layer_styles (id SERIAL PRIMARY KEY, f_table_catalog varchar, f_table_schema varchar,
    f_table_name varchar, f_geometry_column varchar, styleName text, styleQML xml, styleSLD xml, useAsDefault boolean,
    description text, owner varchar(63) DEFAULT CURRENT_USER, ui xml, update_time timestamp DEFAULT CURRENT_TIMESTAMP,
    type varchar)
"""
"""https://github.com/qgis/QGIS/blob/master/src/providers/postgres/qgspostgresprovider.cpp, `createStyleTable`."""

# Without a type, as QGIS calls a polygon by several names.
_FORGET = "DELETE FROM public.layer_styles WHERE f_table_catalog = current_database() AND f_table_schema = :schema"

_ADD = """
INSERT INTO public.layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
    useAsDefault, description)
VALUES (current_database(), :schema, CAST(:layer AS text), 'geom', CAST(:layer AS text), XMLPARSE(DOCUMENT :qml), true, '')
"""

_REFUSED = ("42501", "42703", "42809")
"""No right; a table, or something else, of that name that is not QGIS's."""


def add_styles(connection: sa.Connection, schema: str) -> bool:
    """Write the styles of the layers of a register, where the user may; a register without them is as good.

    Returns:
        Whether they were written.
    """
    try:
        with connection.begin_nested():
            connection.execute(sa.text(_MAKE))
            connection.execute(sa.text(_FORGET), {"schema": schema})
            for table in LAYERS:
                connection.execute(sa.text(_ADD), {"schema": schema, "layer": table.name, "qml": register_qml(table.name)})
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _REFUSED:
            raise
        return False
    return True
