"""What must be equal of two folders of outputs that were made in different ways: pixels, attributes, rows, names, leftovers."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import rasterio

from landshift.pipeline.manifest import file_hash

VARIES = {"attempts", "created", "seconds", "cost", "versions", "time", "made", "network_form", "file:size"}
"""Keys and columns whose values differ between two runs of one machine: when, how long, how much power, how often tried."""
_HASH = re.compile(r"sha256:[0-9a-f]{64}|1220[0-9a-f]{64}|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*")
"""Hashes of files, which hold times, and times to the second; days are compared."""
_COUNTED = {"layer_styles": {"id", "update_time"}}
"""Columns of tables that number rows or hold times."""
_PICTURES = (".html", ".qgz", ".png", ".qml", ".md")
"""Pages for people, which state times: that they are there is what is compared."""
_LEFT_ALONE = (".lock", ".gpkg.alerts.jsonl.lock")
"""Files that lock, which stay."""


def contents(folder: Path) -> dict[str, object]:
    """Return what every file below a folder holds, by its path, hidden ones too; times and hashes of files are left out."""
    paths = sorted(p for p in folder.rglob("*") if not p.name.endswith(_LEFT_ALONE))
    return {p.relative_to(folder).as_posix(): _content(p) for p in paths}


def differences(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """Return a line for each file that is there once only, or holds something else."""
    lines = [f"{name}: left over" for name in sorted(found.keys() - expected.keys())]
    lines += [f"{name}: missing" for name in sorted(expected.keys() - found.keys())]
    for name in sorted(found.keys() & expected.keys()):
        if found[name] != expected[name]:
            lines.append(f"{name}: {_first_difference(found[name], expected[name])}")
    return lines


def _content(path: Path) -> object:
    if path.is_dir():
        return "folder"
    kind = path.suffix.lower()
    if path.name.startswith(".partial-"):
        return "unfinished"
    if kind in (".tif", ".tiff"):
        return _raster(path)
    if kind == ".gpkg":
        return _tables(path)
    if kind in (".json", ".geojson"):
        return _without_times(json.loads(path.read_text(encoding="utf-8")))
    if kind in _PICTURES:
        return path.stat().st_size > 0
    return file_hash(path)


def _raster(path: Path) -> dict[str, Any]:
    with rasterio.open(path) as raster:
        return {
            "grid": (str(raster.crs), tuple(raster.transform), raster.shape),
            "bands": (raster.dtypes, str(raster.nodata), raster.descriptions, raster.overviews(1)),
            "tags": {key: value for key, value in raster.tags().items() if key not in ("TIFFTAG_DATETIME",)},
            "pixels": [raster.read(band).tobytes() for band in raster.indexes],
            "mask": raster.dataset_mask().tobytes(),
        }


def _tables(path: Path) -> dict[str, list[str]]:
    """Return the rows of each table as text, those of its indexes left out."""
    found = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            if name.startswith(("rtree_", "sqlite_")):
                continue
            columns = [row[1] for row in database.execute(f'PRAGMA table_info("{name}")')]
            steady = [c for c in columns if c not in VARIES | _COUNTED.get(name, {"last_change"})]
            listed = ", ".join(f'"{c}"' for c in steady)
            rows = database.execute(f'SELECT {listed} FROM "{name}"').fetchall() if steady else []
            found[name] = sorted(_HASH.sub("-", str(_cell_by_cell(row))) for row in rows)
    return found


def _cell_by_cell(row: tuple[object, ...]) -> list[object]:
    cells: list[object] = []
    for cell in row:
        if isinstance(cell, str) and cell.startswith(("{", "[")):
            try:
                cells.append(_without_times(json.loads(cell)))
            except ValueError:
                cells.append(cell)
        else:
            cells.append(cell)
    return cells


def _without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_times(inner) for key, inner in value.items() if key not in VARIES}
    if isinstance(value, list):
        return [_without_times(inner) for inner in value]
    return _HASH.sub("-", value) if isinstance(value, str) else value


def _first_difference(one: object, other: object) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            if one.get(key) != other.get(key):
                return f"{key}: {_first_difference(one.get(key), other.get(key))}"
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            if pair[0] != pair[1]:
                return f"[{number}]: {_first_difference(*pair)}"
    return f"{one!r:.200} instead of {other!r:.200}"
