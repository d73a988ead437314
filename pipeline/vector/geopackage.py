"""Tables of GeoPackages beside the layers: default styles as QGIS finds them, and meanings of columns."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from landshift.pipeline.vector.columns import Column

IN_USE = (
    "{path} is open in another program, such as QGIS, or one was stopped while writing it: close it there. If it is open "
    "nowhere, open and close it once in QGIS where it lies, with the files `-journal` or `-wal` beside it."
)
"""Message where `is_in_use`."""


@dataclass(frozen=True)
class Style:
    """How programs paint a layer without being asked."""

    qml: str
    """For QGIS."""
    sld: str = ""
    """For others, such as GeoServer; may be empty."""


_STYLES_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))
"""
"""As QGIS makes it (QgsOgrProviderUtils), so that it also finds and edits our rows."""

_COLUMNS_TABLE = """
CREATE TABLE IF NOT EXISTS gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT,
    CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), CONSTRAINT gdc_tn UNIQUE (table_name, name))
"""
_CONSTRAINTS_TABLE = """
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
    max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value))
"""
"""The schema extension of the standard needs both tables: https://www.geopackage.org/spec120/#extension_schema"""

_REGISTER_STYLES_TABLE = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', 'layer_styles')
"""
_REGISTER_EXTENSION = """
INSERT INTO gpkg_extensions (table_name, column_name, extension_name, definition, scope)
SELECT ?, NULL, 'gpkg_schema', 'http://www.geopackage.org/spec120/#extension_schema', 'read-write'
WHERE NOT EXISTS (SELECT 1 FROM gpkg_extensions WHERE table_name = ? AND extension_name = 'gpkg_schema')
"""
_INSERT_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
    styleSLD, useAsDefault, description, owner)
VALUES ('', '', ?, 'geom', ?, ?, ?, 1, ?, '')
"""
_INSERT_COLUMN = """
INSERT INTO gpkg_data_columns (table_name, column_name, name, title, description) VALUES (?, ?, ?, ?, ?)
"""
_FORGET = (
    "DELETE FROM layer_styles WHERE f_table_name = ?",
    "DELETE FROM gpkg_data_columns WHERE table_name = ?",
)


def is_in_use(error: Exception) -> bool:
    """Return whether SQLite could not open a file because another program has it open, or left it in the middle of writing."""
    return "locked" in str(error) or "readonly database" in str(error)


def require_sound(path: Path) -> None:
    """Look at every page of a file: SQLite writes into one with pages missing, as long as it does not need them.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    with closing(sqlite3.connect(path)) as database:
        found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def add_tables(database: sqlite3.Connection) -> None:
    """Add the tables for styles and for column descriptions, both registered so that GDAL and QGIS see them."""
    for table in (_STYLES_TABLE, _REGISTER_STYLES_TABLE, _COLUMNS_TABLE, _CONSTRAINTS_TABLE):
        database.execute(table)
    for table in ("gpkg_data_columns", "gpkg_data_column_constraints"):
        database.execute(_REGISTER_EXTENSION, (table, table))


def describe(database: sqlite3.Connection, layer: str, columns: Sequence[Column], style: Style) -> None:
    """Set the default style of a layer, and the headings and comments of its columns; earlier ones go."""
    for statement in _FORGET:
        database.execute(statement, (layer,))
    database.execute(_INSERT_STYLE, (layer, layer, style.qml, style.sld, f"Default style of {layer}"))
    database.executemany(_INSERT_COLUMN, [(layer, c.name, c.alias, c.alias, c.comment) for c in columns])
