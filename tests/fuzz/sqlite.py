"""Ways to damage a SQLite file where its meaning is: by the hand of any program that edits tables."""

import sqlite3
from contextlib import closing
from random import Random

from tests.fuzz.mutators import BYTES, Mutator, flip_bits, mutate_json

_VALUES = (
    None, 0, 1, -1, 3, 255, 256, 2**31, 2**63 - 1, -(2**63), 0.5, 1e308, -1e308, float("inf"), "", "x", "NaN", "1e999", "\n",
    "\u202e", "2020-13-45", "9999-12-31", "0000-00-00", "2020-06-15", "2024-01-01T00:00:00", "EPSG:4326", "[]", "{}",
    "null", "[1]", '["a"]',
    "[" * 3000, "x" * 70_000, b"", b"\x00", b"GP", b"GP\x00\x01", b"GP\x00\x03" + b"\xff" * 40, b"\xff\xfe",
)  # fmt: skip


def set_cell(rng: Random, content: bytes) -> bytes:
    """Give one to three cells of some table another value, of any type, or damage the one that is there."""
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.deserialize(content)
            database.execute("PRAGMA writable_schema = ON")
            for _ in range(rng.choice((1, 1, 2, 3))):
                _set_one(rng, database)
            database.commit()
            return database.serialize()
        except sqlite3.Error:
            # It was damaged before, or a trigger does not let it.
            return flip_bits(rng, content)


def _set_one(rng: Random, database: sqlite3.Connection) -> None:
    database.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
    tables = [
        t for (t,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if not t.startswith("rtree_")
    ]
    rng.shuffle(tables)
    for table in tables:
        name = '"' + table.replace('"', '""') + '"'
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
        rows = [r for (r,) in database.execute(f"SELECT rowid FROM {name} LIMIT 200")]
        if not rows or not columns:
            continue
        column = '"' + rng.choice(columns).replace('"', '""') + '"'
        row, way = rng.choice(rows), rng.random()
        if way < 0.08:
            database.execute(f"DELETE FROM {name} WHERE rowid = ?", (row,))
            return
        old = database.execute(f"SELECT {column} FROM {name} WHERE rowid = ?", (row,)).fetchone()[0]
        database.execute(f"UPDATE {name} SET {column} = ? WHERE rowid = ?", (_other(rng, old), row))
        return


def _other(rng: Random, old: object) -> object:
    if isinstance(old, bytes) and old and rng.random() < 0.7:
        return rng.choice(BYTES)(rng, old)
    if isinstance(old, str) and old and rng.random() < 0.5:
        damaged = (mutate_json if old[0] in "[{" else rng.choice(BYTES))(rng, old.encode("utf-8", "replace"))
        return damaged.decode("utf-8", "replace")
    if isinstance(old, int) and rng.random() < 0.4:
        return max(-(2**63), min(2**63 - 1, old + rng.choice((-1, 1, 1000, -(10**9)))))
    return rng.choice(_VALUES)


SQLITE: tuple[Mutator, ...] = (*BYTES, *([set_cell] * 24))
"""For GeoPackages: three quarters of them by their cells."""
