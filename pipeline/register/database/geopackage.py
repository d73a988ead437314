"""Register as one GeoPackage: opening, locking, geometries, and the tables of the standard."""

import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely
import sqlalchemy as sa
from pyproj import CRS
from pyproj.exceptions import CRSError

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.database.tables import CHANGES, LAYERS, PLAIN, geometry_kind
from landshift.pipeline.register.layers import DESCRIBED, register_qml
from landshift.pipeline.vector.geopackage import Style, add_tables, describe

_OWN_CRS = 100_000
"""Number within the file of a CRS that has no EPSG code."""
_WAIT_S = 5.0
"""How long to wait for another writer."""
_SQLITE = b"SQLite format 3\0"
_HEADER = np.dtype([("magic", "S2"), ("version", "u1"), ("flags", "u1"), ("srs", "<i4"), ("box", "<f8", (4,))])
"""Of a geometry with its box, little-endian: https://www.geopackage.org/spec120/#gpb_format"""
_FLAGS = 0b0000_0011
_CORE = (
    "PRAGMA application_id = 1196444487",
    "PRAGMA user_version = 10200",
    """CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT)""",
    """CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE,
    min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
    CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id))""",
    """CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
    geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
    CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
    CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id))""",
    """CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
    scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name))""",
)
_ADD_CRS = "INSERT OR IGNORE INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)"
_ADD_CONTENTS = "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES (?, ?, ?, ?)"
_ADD_GEOMETRY = "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)"
_GROW = """
UPDATE gpkg_contents SET min_x = min(coalesce(min_x, :left), :left), min_y = min(coalesce(min_y, :bottom), :bottom),
    max_x = max(coalesce(max_x, :right), :right), max_y = max(coalesce(max_y, :top), :top),
    last_change = strftime('%Y-%m-%dT%H:%M:%fZ','now')
WHERE data_type = 'features'
"""


class GeoPackageDatabase:
    """A register in a file: opening, locking, geometries."""

    def __init__(self, path: Path) -> None:
        """Keep the path; nothing is opened yet."""
        self.path = path

    @property
    def where(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Whether there is a register, or something else in its place; an empty file is neither."""
        return self.path.exists() and not (self.path.is_file() and self.path.stat().st_size == 0)

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        """Open the file, for reading or as its one writer; all or nothing of what is done is kept.

        Readers open it for writing as well: only so can SQLite undo what a killed merge left half-written.

        Raises:
            InputError: Another program is writing, the file is damaged or not a database, or there is no room.
        """
        new = not self.path.exists()
        begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        self._require_database()
        engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.NullPool)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._as_input_error(error.orig) from error
        except sqlite3.Error as error:
            raise self._as_input_error(error) from error
        finally:
            engine.dispose()
            journal = self.path.with_name(f"{self.path.name}-journal")
            if new and self.path.is_file() and self.path.stat().st_size == 0 and not journal.exists():
                self.path.unlink()

    def prepare(self, connection: sa.Connection, crs: CRS) -> None:
        """Add to a new register what makes it a GeoPackage: tables of contents, the CRS, styles, headings."""
        for statement in _CORE:
            connection.exec_driver_sql(statement)
        number = crs_number(crs)
        wgs84 = CRS("EPSG:4326").to_wkt("WKT1_GDAL")
        for row in (
            ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined"),
            ("Undefined geographic SRS", 0, "NONE", 0, "undefined"),
            ("WGS 84 geodetic", 4326, "EPSG", 4326, wgs84),
            (crs.name, number, "NONE" if number == _OWN_CRS else "EPSG", number, definition_of(crs)),
        ):
            connection.exec_driver_sql(_ADD_CRS, row)
        for table in LAYERS:
            connection.exec_driver_sql(_ADD_CONTENTS, (table.name, "features", table.name, number))
            connection.exec_driver_sql(_ADD_GEOMETRY, (table.name, geometry_kind(table).upper(), number))
        for table in PLAIN:
            connection.exec_driver_sql(_ADD_CONTENTS, (table.name, "attributes", table.name, None))
        for statement in index_statements(CHANGES.name):
            connection.exec_driver_sql(statement)
        database = connection.connection.driver_connection
        if isinstance(database, sqlite3.Connection):
            add_tables(database)
            for name, columns in DESCRIBED.items():
                describe(database, name, columns, Style(register_qml(name), ""))

    def check(self, connection: sa.Connection) -> None:
        """Check every page of the file.

        Raises:
            InputError: It is damaged.
        """
        found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        if found != "ok":
            raise self._as_input_error(sqlite3.DatabaseError(found))

    def grow(self, connection: sa.Connection, bounds: Sequence[float]) -> None:
        """Widen the extents in the table of contents by left, bottom, right and top of new geometries."""
        connection.execute(sa.text(_GROW), dict(zip(("left", "bottom", "right", "top"), map(float, bounds), strict=True)))

    def encode(self, geometries: np.ndarray, crs: CRS) -> list[bytes]:
        """Turn geometries into what the tables hold."""
        if not len(geometries):
            return []
        header = np.zeros(len(geometries), dtype=_HEADER)
        header["magic"], header["flags"], header["srs"] = b"GP", _FLAGS, crs_number(crs)
        header["box"] = shapely.bounds(geometries)[:, [0, 2, 1, 3]]
        heads = header.tobytes()
        size = _HEADER.itemsize
        bodies = shapely.to_wkb(geometries, byte_order=1)
        return [heads[n * size : (n + 1) * size] + body for n, body in enumerate(bodies)]

    def decode(self, values: Sequence[bytes]) -> np.ndarray:
        """Turn what the tables hold into geometries; also what another program wrote there, such as QGIS."""
        return np.asarray(shapely.from_wkb([body_of(value) for value in values]), dtype=object)

    def _connect(self) -> sqlite3.Connection:
        # SQLAlchemy begins and ends transactions, not the driver.
        database = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
        add_functions(database)
        return database

    def _require_database(self) -> None:
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path.parent} is not a folder, so no register can be there. Make it first.")
        if self.path.exists() and not self.path.is_file():
            raise InputError(f"{self.path} is not a file; expected a register, which is one GeoPackage.")
        if self.exists:
            with self.path.open("rb") as stream:
                if stream.read(len(_SQLITE)) != _SQLITE:
                    raise InputError(
                        f"{self.path} is not a GeoPackage; expected a register that `landshift register merge` made."
                    )

    def _as_input_error(self, error: BaseException | None) -> InputError:
        text = str(error)
        if "locked" in text:
            return InputError(
                f"{self.path} is being written to by another program. Wait until it is done (or close the register in QGIS, "
                f"where it is being edited), and run this again; nothing was changed."
            )
        if "readonly" in text or "unable to open" in text:
            return InputError(f"{self.path} cannot be written to ({text}). Check the permissions of the file and its folder.")
        if "full" in text or "I/O" in text:
            return InputError(
                f"There is no room to write {self.path} ({text}). Make room, and run this again; nothing was changed."
            )
        return InputError(f"{self.path} is damaged, or was made by something else ({text}). Restore it from a copy.")


def crs_number(crs: CRS) -> int:
    """Return the number of a CRS within a GeoPackage: its EPSG code, else one of its own."""
    code = crs.to_epsg()
    return _OWN_CRS if code is None else int(code)


def definition_of(crs: CRS) -> str:
    """Return a CRS as text that GDAL reads."""
    try:
        return str(crs.to_wkt("WKT1_GDAL"))
    except CRSError:
        # The older form cannot express every CRS; GDAL reads the newer one here as well.
        return str(crs.to_wkt())


_BOXES = (0, 32, 48, 48, 64)
"""Bytes of the box before a geometry, by three bits of its header: none, 4, 6, 6 or 8 numbers."""
_BOUNDS = (("ST_MinX", 0), ("ST_MaxX", 1), ("ST_MinY", 2), ("ST_MaxY", 3))
_VALUES = ", ".join(f"{name}(NEW.geom)" for name, _ in _BOUNDS)
_HAS = "(NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom))"
_HAS_NOT = "(NEW.geom ISNULL OR ST_IsEmpty(NEW.geom))"
_PUT = f"BEGIN INSERT OR REPLACE INTO rtree_{{t}}_geom VALUES (NEW.fid, {_VALUES}); END"  # noqa: S608 (no value from outside)
_DROP = "BEGIN DELETE FROM rtree_{t}_geom WHERE id = OLD.fid; END"
_MOVE = f"{_DROP.removesuffix('END')}{_PUT.removeprefix('BEGIN ')}"
_FORGET = "BEGIN DELETE FROM rtree_{t}_geom WHERE id IN (OLD.fid, NEW.fid); END"
_STATEMENTS = (
    "CREATE VIRTUAL TABLE rtree_{t}_geom USING rtree(id, minx, maxx, miny, maxy)",
    f"CREATE TRIGGER rtree_{{t}}_geom_insert AFTER INSERT ON {{t}} WHEN {_HAS} {_PUT}",
    f"CREATE TRIGGER rtree_{{t}}_geom_update1 AFTER UPDATE OF geom ON {{t}} WHEN OLD.fid = NEW.fid AND {_HAS} {_PUT}",
    f"CREATE TRIGGER rtree_{{t}}_geom_update2 AFTER UPDATE OF geom ON {{t}} WHEN OLD.fid = NEW.fid AND {_HAS_NOT} {_DROP}",
    f"CREATE TRIGGER rtree_{{t}}_geom_update3 AFTER UPDATE ON {{t}} WHEN OLD.fid != NEW.fid AND {_HAS} {_MOVE}",
    f"CREATE TRIGGER rtree_{{t}}_geom_update4 AFTER UPDATE ON {{t}} WHEN OLD.fid != NEW.fid AND {_HAS_NOT} {_FORGET}",
    f"CREATE TRIGGER rtree_{{t}}_geom_delete AFTER DELETE ON {{t}} WHEN OLD.geom NOT NULL {_DROP}",
    """INSERT INTO gpkg_extensions VALUES
    ('{t}', 'geom', 'gpkg_rtree_index', 'http://www.geopackage.org/spec120/#extension_rtree', 'write-only')""",
)
"""As the standard has them: https://www.geopackage.org/spec120/#extension_rtree"""


def index_statements(table: str) -> list[str]:
    """Return what gives one of our own layers, empty so far, its spatial index."""
    return [statement.format(t=table) for statement in _STATEMENTS]


def add_functions(database: sqlite3.Connection) -> None:
    """Add the functions that triggers of spatial indexes call, ours and those that GDAL and QGIS make."""
    database.create_function(
        "ST_IsEmpty", 1, lambda blob: None if blob is None else int(_box(blob) is None), deterministic=True
    )
    for name, index in _BOUNDS:
        database.create_function(name, 1, _bound(index), deterministic=True)


def body_of(blob: bytes) -> bytes:
    """Return the well-known binary in a GeoPackage geometry."""
    return blob[8 + _BOXES[blob[3] >> 1 & 7] :]


def _bound(index: int) -> Callable[[bytes | None], float | None]:
    def bound(blob: bytes | None) -> float | None:
        box = None if blob is None else _box(blob)
        return None if box is None else box[index]

    return bound


def _box(blob: bytes) -> tuple[float, ...] | None:
    """Least and greatest x, least and greatest y; None of an empty geometry."""
    if blob[3] & 0b0001_0000:
        return None
    if blob[3] >> 1 & 7:
        return struct.unpack_from("<4d" if blob[3] & 1 else ">4d", blob, 8)
    geometry = shapely.from_wkb(body_of(blob))
    left, bottom, right, top = geometry.bounds
    return None if geometry.is_empty else (left, right, bottom, top)
