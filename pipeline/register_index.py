"""The spatial index of a GeoPackage layer, kept by triggers that every program that writes to it has to be able to run."""

import sqlite3
import struct
from collections.abc import Callable

import shapely

_BOXES = (0, 32, 48, 48, 64)
"""Bytes of the box before a geometry, by the three bits of its header that say which: none, 4, 6, 6 or 8 numbers."""
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
