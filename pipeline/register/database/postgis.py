"""Register in one schema of a PostgreSQL database with PostGIS.

Geometries travel as well-known binary in hexadecimals, which PostGIS reads and writes by itself; GeoAlchemy2 would do the same,
but wants to know the SRID of a table before there is a register, and its hooks would touch the GeoPackage as well.
"""

import hashlib
import re
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

from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.register.address import Address
from landshift.pipeline.register.database.geopackage import definition_of
from landshift.pipeline.register.database.tables import LAYERS, Shape, geometry_kind
from landshift.pipeline.register.layers import DESCRIBED, register_qml

_SETTINGS = {
    # Within a merge the database waits for us, for minutes while all runs are folded again; other writers wait too.
    "TimeZone": "UTC", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": "10min",
}  # fmt: skip
"""For the transaction alone, so that poolers of connections may stand in between."""
_OWN_SRIDS = (910_000, 998_999)
"""Numbers that PostGIS leaves to its users, for a CRS that has no EPSG code."""

# The tables of PostGIS, and QGIS's table of styles, belong to no register.
_EXISTS = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'layer_styles'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""
_POSTGIS = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'postgis'"
_COMMENT = """
SELECT format('COMMENT ON COLUMN %I.%I.%I IS %L',
    CAST(:schema AS text), CAST(:table AS text), CAST(:column AS text), CAST(:comment AS text))
"""

_CREATE_STYLES = """
CREATE TABLE IF NOT EXISTS public.layer_styles (id SERIAL PRIMARY KEY, f_table_catalog varchar, f_table_schema varchar,
    f_table_name varchar, f_geometry_column varchar, styleName text, styleQML xml, styleSLD xml, useAsDefault boolean,
    description text, owner varchar(63) DEFAULT CURRENT_USER, ui xml, update_time timestamp DEFAULT CURRENT_TIMESTAMP,
    type varchar)
"""
"""https://github.com/qgis/QGIS/blob/master/src/providers/postgres/qgspostgresprovider.cpp, `createStyleTable`."""

# Of every type, as QGIS calls a polygon by several names.
_DELETE_STYLES = "DELETE FROM public.layer_styles WHERE f_table_catalog = current_database() AND f_table_schema = :schema"

_ADD_STYLE = """
INSERT INTO public.layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
    useAsDefault, description)
VALUES (current_database(), :schema, CAST(:layer AS text), 'geom', CAST(:layer AS text), XMLPARSE(DOCUMENT :qml), true, '')
"""

_NO_STYLES = ("42501", "42703", "42809")
"""Codes of a missing right, and of something else under that name that is not QGIS's."""

_AGAIN = "Nothing was changed; run the same again."

_LOST, _BUSY = ("08", "57P01", "57P02", "57P03", "57P05"), ("40", "53", "55P03", "57014")
"""How codes of a lost connection and of a busy server begin."""

_LOGIN = (
    ("password authentication failed", "The password is not that of the user. Put it into PGPASSWORD or ~/.pgpass."),
    ("no password supplied", "It asks for a password. Put it into PGPASSWORD or ~/.pgpass."),
    (r"pg_hba\.conf", "It refuses this user from here. An administrator adds a line to its pg_hba.conf."),
    ("role .* does not exist", "Name another user, or let an administrator type: CREATE ROLE {user} LOGIN PASSWORD '...';"),
    ("database .* does not exist", "Name another database, or let an administrator type: CREATE DATABASE {database};"),
    ("authentication failed", "The login is refused. Check user, password and certificates."),
    ("permission denied", "An administrator types: GRANT CONNECT ON DATABASE {database} TO {user};"),
    ("definition of service", "Correct the name of the service, or ~/.pg_service.conf."),
    ("invalid|bad value for", "Correct the address."),
    ("certificate", "Correct sslmode, sslrootcert, sslcert or sslkey in the address."),
)  # fmt: skip
"""Pattern in an English message of the server or libpq to the remedy; messages in other languages are shown as they are."""


@compiles(Shape, "postgresql")
def _geometry_type(shape: Shape, *_: object, **__: object) -> str:
    return f"geometry({shape.kind})"


class PostgisDatabase:
    """A register on a server: opening, locking, geometries.

    Writers of a register follow one after the other: each takes an advisory lock of the database, named after the schema,
    before it looks at anything, and the lock ends with its transaction, however that ends. Unlike a lock on a table it also
    covers the making of the register. Writers read what is committed at each statement (READ COMMITTED): with a snapshot, which
    is taken before the lock is had, they would not see what the writer before them did. Readers take no lock and never wait;
    their snapshot (REPEATABLE READ, read only) shows one state of the register, however many statements they read it with.
    """

    def __init__(self, address: Address) -> None:
        """Keep the address; nothing is opened yet."""
        self.address = address

    @property
    def where(self) -> str:
        """The address without its password, for messages."""
        return str(self.address)

    @property
    def exists(self) -> bool:
        """Whether the schema holds anything; an empty one, as an administrator makes it, is no register yet.

        Raises:
            InputError, UnavailableError: As in `transaction`.
        """
        with self._begun(isolation_level="READ COMMITTED") as connection:
            return bool(connection.execute(sa.text(_EXISTS), {"schema": self.address.schema}).scalar())

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        """Open it, for reading or as its one writer; all or nothing of what is done is kept.

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
                self._lock(connection, "postgis")
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS postgis SCHEMA public")
                found = connection.execute(sa.text(_POSTGIS)).scalar_one()
            path = [self.address.schema, *([] if found is None else [str(found)])]
            self._set(connection, {"search_path": ", ".join(self._quote(name) for name in path)})
            yield connection

    def prepare(self, connection: sa.Connection, crs: CRS) -> None:
        """Give new tables their SRID, spatial indexes and descriptions, so that a GIS opens them from the database.

        Raises:
            InputError: The CRS has no EPSG code, and may not be added to those of PostGIS.
        """
        number = self._srid(connection, crs)
        for table in LAYERS:
            name = f"{self._quote(self.address.schema)}.{self._quote(table.name)}"
            kind = f"geometry({geometry_kind(table)}, {number})"
            connection.exec_driver_sql(f"ALTER TABLE {name} ALTER COLUMN geom TYPE {kind} USING ST_SetSRID(geom, {number})")
            connection.exec_driver_sql(f"CREATE INDEX {self._quote(f'{table.name}_geom')} ON {name} USING gist (geom)")
        for name, columns in DESCRIBED.items():
            for column in columns:
                words = {"schema": self.address.schema, "table": name, "column": column.name, "comment": column.comment}
                connection.exec_driver_sql(str(connection.execute(sa.text(_COMMENT), words).scalar_one()))
        # The lock lasts as long as the merge: other new registers wait only where the table has to be made.
        if connection.execute(sa.text("SELECT to_regclass('public.layer_styles')")).scalar() is None:
            self._lock(connection, "styles")
        _add_styles(connection, self.address.schema)

    def check(self, connection: sa.Connection) -> None:
        """Do nothing: the server checks its pages itself."""

    def grow(self, connection: sa.Connection, bounds: Sequence[float]) -> None:
        """Do nothing: the server knows where its geometries are."""

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
        # One connection is kept, as a new one costs more than most queries; it is tried before it is used.
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=partial(_login, self.address), pool_size=1, pool_pre_ping=True,
            pool_recycle=300, hide_parameters=True,
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
            raise _error_in_transaction(error, self.address) from error

    def _quote(self, name: str) -> str:
        return str(self._engine.dialect.identifier_preparer.quote_identifier(name))

    def _set(self, connection: sa.Connection, settings: dict[str, str]) -> None:
        columns = ", ".join(f"set_config(:{name}_name, :{name}, true)" for name in settings)
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

    def _srid(self, connection: sa.Connection, crs: CRS) -> int:
        """Return the number that PostGIS calls a CRS by: its EPSG code, else one of our own, which is added."""
        code, definition, (least, most) = crs.to_epsg(), definition_of(crs), _OWN_SRIDS

        def ask(sql: str, **values: object) -> Any:  # noqa: ANN401 (a value of the database)
            return connection.execute(sa.text(f"SELECT {sql}"), values).scalar()

        if code is not None and ask("srid FROM spatial_ref_sys WHERE srid = :code", code=code) is not None:
            return int(code)
        self._lock(connection, "postgis")
        ours = "FROM spatial_ref_sys WHERE srid BETWEEN :least AND :most"
        same = ask(f"min(srid) {ours} AND srtext = :definition", least=least, most=most, definition=definition)
        if same is not None:
            return int(same)
        number = int(ask(f"coalesce(max(srid), :least - 1) + 1 {ours}", least=least, most=most) if code is None else code)
        row = {"srid": number, "name": None if code is None else "EPSG", "code": code, "definition": definition}
        new = "INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext) VALUES (:srid, :name, :code, :definition)"
        connection.execute(sa.text(new), row)
        return number


def _login(ours: Address) -> Any:  # noqa: ANN401 (psycopg is an extra)
    import psycopg

    named = {
        "host": ours.host, "port": ours.port, "dbname": ours.database, "user": ours.user,
        "password": None if ours.password is None else ours.password.reveal(),
    }  # fmt: skip
    usual = {
        # One that waits for another writer has to notice that the server is gone.
        "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 5,
        "connect_timeout": 10, "application_name": "landshift", "client_encoding": "utf8",
    }  # fmt: skip
    given = {name: value for name, value in named.items() if value is not None}
    try:
        return psycopg.connect(**{**usual, **ours.options, **given})  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise _error_at_login(str(error), ours) from error


def _add_styles(connection: sa.Connection, schema: str) -> None:
    """Write the styles of the layers of a register, where the user may; a register without them is as good."""
    try:
        with connection.begin_nested():
            connection.execute(sa.text(_CREATE_STYLES))
            connection.execute(sa.text(_DELETE_STYLES), {"schema": schema})
            for table in LAYERS:
                values = {"schema": schema, "layer": table.name, "qml": register_qml(table.name)}
                connection.execute(sa.text(_ADD_STYLE), values)
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _NO_STYLES:
            raise


def _error_at_login(message: str, address: Address) -> InputError | UnavailableError:
    """Return why the login failed, by its text; the server gives no codes then."""
    away = ("starting up", "shutting down", "recovery mode", "too many", "remaining connection slots")
    if not any(words in message for words in away):
        for words, remedy in _LOGIN:
            # A name may stand for several machines, each of which gives an answer of its own.
            line = next((line for line in message.splitlines() if re.search(words, line)), None)
            if line is not None:
                return InputError(f"{address} cannot be opened: {_first_line(line)}. {_fill_in(remedy, address)}")
    last = _first_line(message.strip().rpartition("\n- ")[2])
    return UnavailableError(
        f"{address} cannot be reached: {last}. If host and port are right, the server is away or busy: run this again later."
    )


def _error_in_transaction(error: sa.exc.DBAPIError, address: Address) -> InputError | UnavailableError:
    """Return what went wrong, by its code: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
    code, text = str(getattr(error.orig, "sqlstate", None) or ""), _first_line(str(error.orig))
    # What the driver finds out by itself has no code.
    gone = not code and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    if error.connection_invalidated or gone or code.startswith(_LOST):
        return UnavailableError(
            f"The connection to {address} was lost ({text}). A merge is kept whole or not at all, and merging again is safe: "
            f"run the same again."
        )
    if code == "55P03":
        return UnavailableError(f"{address} is being written to by another program, and was for long. {_AGAIN}")
    if code.startswith(_BUSY):
        return UnavailableError(f"{address} cannot do it now ({text}). {_AGAIN}")
    return InputError(f"{address}: {text}. {_fill_in(_remedy(code, text, error), address)}")


def _fill_in(remedy: str, address: Address) -> str:
    return remedy.format(user=address.user or "USER", database=address.database or "DATABASE", schema=address.schema)


def _first_line(text: str) -> str:
    """Return the first line of a message; details, hints and data follow in others."""
    return text.strip().partition("\n")[0].strip().rstrip(".") or "no reason given"


def _remedy(code: str, text: str, error: sa.exc.DBAPIError) -> str:
    if "extension" in text and code in ("42501", "0A000", "58P01"):
        return (
            "A register needs PostGIS. An administrator installs it on the server (Debian: apt install postgresql-postgis), "
            "and types in the database {database}: CREATE EXTENSION postgis;"
        )
    if code == "42501" and "spatial_ref_sys" in text:
        return (
            "The CRS of the runs has no EPSG code, and has to be added to those of PostGIS. An administrator types: "
            "GRANT SELECT, INSERT ON spatial_ref_sys TO {user}; or detect in a CRS with an EPSG code."
        )
    if code == "42501" and "for database" in text:
        return "An administrator types: CREATE SCHEMA {schema} AUTHORIZATION {user};"
    if code == "42501":
        return (
            "The user lacks the right. An administrator types, for one who merges: GRANT OWNER TO {user}; where OWNER is "
            "the role that made the register; for one who only reads: GRANT USAGE ON SCHEMA {schema} TO {user}; "
            "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};"
        )
    if code == "25006":
        return "This server only hands out copies. Name the one that is written to."
    if isinstance(error, sa.exc.DataError):
        return (
            "A name or number in the run cannot be kept. Mend the run; and if it is about an encoding, the database needs UTF8."
        )
    if code in ("42P01", "42703", "42804", "42883"):
        return "The schema is damaged, or was made by something else. Restore it from a copy, or name another schema."
    return "The server refused it; nothing was changed."
