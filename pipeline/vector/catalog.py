"""Layers of a GeoPackage: geometry, whether they are empty, default style."""

import sqlite3
import xml.etree.ElementTree as ET
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.vector.geopackage import IN_USE, is_in_use

_LAYERS = """
SELECT contents.table_name, geometry.geometry_type_name
FROM gpkg_contents AS contents JOIN gpkg_geometry_columns AS geometry USING (table_name)
WHERE contents.data_type = 'features'
"""
_STYLE = "SELECT styleQML FROM layer_styles WHERE f_table_name = ? AND useAsDefault ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True)
class VectorLayer:
    """A layer of a GeoPackage, without its features."""

    name: str
    """Of the table."""
    geometry: str
    """As QGIS calls it: `Point`, `Polygon`, `MultiPolygon`."""
    empty: bool
    """Whether it has no feature."""
    qml: str | None
    """Its default style, None where the file holds none."""


def vector_layers(path: Path) -> dict[str, VectorLayer]:
    """Read which layers a GeoPackage holds.

    Args:
        path: The `.gpkg`; it is opened for reading only.

    Returns:
        By name.

    Raises:
        InputError: The file is no GeoPackage.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            styled = bool(_first(database, "SELECT 1 FROM sqlite_master WHERE name = ?", "layer_styles"))
            found = {}
            for name, kind in database.execute(_LAYERS).fetchall():
                qml = _first(database, _STYLE, name) if styled else None
                if qml:
                    ET.fromstring(qml)  # noqa: S314 (as in landshift.pipeline.drawing.qgis_file)
                found[name] = VectorLayer(name, _geometry(kind), _is_empty(database, name), qml)
            return found
    except (sqlite3.Error, UnicodeError, TypeError, AttributeError, ET.ParseError) as error:
        # Besides what SQLite raises: text in no known encoding, numbers in the place of names, and styles that are not XML.
        if is_in_use(error):
            raise InputError(IN_USE.format(path=path)) from error
        raise InputError(f"{path} is not a readable GeoPackage ({error}). Expected one; copy it again.") from error


def _first(database: sqlite3.Connection, query: str, value: str) -> str | None:
    row = database.execute(query, (value,)).fetchone()
    return None if row is None else row[0]


def _is_empty(database: sqlite3.Connection, table: str) -> bool:
    quoted = '"' + table.replace('"', '""') + '"'
    return database.execute(f"SELECT 1 FROM {quoted} LIMIT 1").fetchone() is None  # noqa: S608 (quoted)


def _geometry(kind: str) -> str:
    """Turn POLYGON to Polygon, MULTIPOLYGON to MultiPolygon."""
    name = kind.lower()
    return f"Multi{name.removeprefix('multi').capitalize()}" if name.startswith("multi") else name.capitalize()
