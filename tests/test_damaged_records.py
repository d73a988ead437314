"""What Landshift wrote and something else damaged is refused with the file and what to do, whatever a library would raise."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import shapely

from landshift.pipeline.errors import InputError
from landshift.pipeline.records import read_record
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.runs import read_mergeable
from landshift.pipeline.register.store import open_register
from landshift.pipeline.run.page.write import page_of
from landshift.pipeline.run.record import RunRecord, read_run
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.read import read_polygons
from tests.register_runs import run
from tests.small_run import write_run

NESTED = "[" * 3000 + "]" * 3000
DAMAGES = [
    ("meta", "value = CAST(X'FFA0' AS TEXT)", "name = 'schema_version'"),
    ("meta", "value = 'EPSG'", "name = 'crs'"), ("meta", "value = '[1]'", "name = 'legend'"),
    ("meta", f"value = '{NESTED}'", "name = 'legend'"), ("meta", "value = '0'", "name = 'of'"),
    ("meta", "value = '99999999999999999999'", "name = 'seen_again'"),
    ("changes", "geom = X'4750'", "1"), ("changes", "geom = 'x'", "1"),
    ("changes", "first_seen = '99999-13-45'", "1"), ("changes", "last_seen = ''", "1"),
    ("changes", "change_code = 99", "1"), ("changes", "change_code = 'two'", "1"),
    ("patches", "geom = substr(geom, 1, length(geom) - 9)", "1"), ("patches", "run = 'unknown'", "1"),
    ("observations", "scenes = 1.5", "1"), ("observations", f"scenes = '{NESTED}'", "1"),
    ("history", "time = 'NaN'", "1"), ("history", "number = -3", "number = 1"),
]  # fmt: skip


def work_through(path: Path) -> None:
    """Read and merge, in order and late."""
    register = open_register(path)
    for name in register.changes()["change_id"]:
        register.sightings(str(name))
    register.table(HISTORY)
    register.merge([run(["22..", ".333"], "2024-06-15")])
    register.merge([run(["22..", ".333"], "2020-12-15")])


def refusal(call: Callable[[], object]) -> str:
    """Return the sentence of an InputError, empty where there was none; anything else goes on."""
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("table", "damage", "where"), DAMAGES)
def test_a_damaged_register(tmp_path: Path, table: str, damage: str, where: str) -> None:
    """Either it does not matter, or one sentence names the register; nothing of the merge is kept then."""
    path = tmp_path / "register.gpkg"
    open_register(path).merge([run(["22..", "..33"], "2021-06-15")])
    with closing(sqlite3.connect(path)) as database, database:
        tables = [t for (t,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        name = next((t for t in tables if t == table or t.endswith(f"_{table}")), None)
        assert name is not None, tables
        for trigger in [t for (t,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
            database.execute(f'DROP TRIGGER "{trigger}"')
        assert database.execute(f'UPDATE "{name}" SET {damage} WHERE {where}').rowcount >= 1
    before = path.read_bytes()
    said = refusal(lambda: work_through(path))
    assert said or table not in ("meta", "changes"), "what is read first cannot have gone unnoticed"
    assert not said or (str(path) in said and ("Restore it from a copy" in said or "expected" in said))
    if table in ("meta", "changes"):
        assert path.read_bytes() == before


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("Infinity", lambda c: c["grid"].update(pixel_size_m=float("inf"))),
    ("NaN", lambda c: c["areas"].update(total_ha=float("nan"))),
    ("a huge number", lambda c: c["grid"].update(rows=10**400)),
    ("nested", lambda c: c.update(config=json.loads("[" * 300 + "]" * 300))),
    ("half a character", lambda c: c.update(name="\ud800")),
    ("a date", lambda c: c.update(before_date="2020-13-45")),
    ("a grid without area", lambda c: c["grid"].update(transform=[0.0] * 6)),
    ("a code beyond bytes", lambda c: c["legend"][0].update(code=2**70)),
    ("a grid of another type", lambda c: c.update(grid=5)),
    ("an empty list", lambda c: c.update(legend=[{}])),
]


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[name for name, _ in CHANGES])
def test_a_damaged_run(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    write_run(tmp_path)
    content = json.loads((tmp_path / "record/run.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "record/run.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"run\.json"):
        read_mergeable(tmp_path)


def test_a_run_whose_config_lost_what_its_page_states(tmp_path: Path) -> None:
    write_run(tmp_path)
    content = json.loads((tmp_path / "record/run.json").read_text(encoding="utf-8"))
    content["config"] = {"detect": 5}
    (tmp_path / "record/run.json").write_text(json.dumps(content))
    assert read_run(tmp_path).name == "place"
    with pytest.raises(InputError, match=r"config.detect.min_area_ha is None, expected hectares"):
        page_of(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "5", "[]", "null", "\x00", '{"a": NaN}', "[" * 200 + "]" * 200, "\ufeff"])
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json"):
        read_record(tmp_path / "run.json", RunRecord)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE layer_styles SET styleQML = '<qgis'", "UPDATE layer_styles SET styleQML = X'FF'",
        "UPDATE layer_styles SET styleQML = CAST(X'FF41' AS TEXT)",
    ],
)  # fmt: skip
def test_damaged_tables_beside_the_layers(tmp_path: Path, statement: str) -> None:
    write_run(tmp_path)
    with closing(sqlite3.connect(tmp_path / "changes.gpkg")) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        assert database.execute(statement).rowcount >= 1
    assert "is not a readable GeoPackage" in refusal(lambda: vector_layers(tmp_path / "changes.gpkg"))


def test_a_crs_that_means_nothing(tmp_path: Path) -> None:
    """One damaged byte, and GDAL reads an empty text in the place of the CRS."""
    box = shapely.box(500_000, 3_400_000, 500_040, 3_400_040)
    path = tmp_path / "areas.fgb"
    pyogrio.write_dataframe(gpd.GeoDataFrame({"name": ["a"]}, geometry=[box], crs="EPSG:32651"), path, driver="FlatGeobuf")
    content = bytearray(path.read_bytes())
    content[content.find(b"areas\0") + 6] = 0
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"areas.fgb has no CRS"):
        read_polygons(path, "EPSG:32651")


@pytest.mark.parametrize("far", ["1e300", "-1e10"])
def test_coordinates_beyond_the_earth(tmp_path: Path, far: str) -> None:
    path = tmp_path / "areas.geojson"
    ring = f"[[{far}, 0], [10, 0], [10, 10], [{far}, 0]]"
    feature = f'{{"type": "Feature", "properties": {{}}, "geometry": {{"type": "Polygon", "coordinates": [{ring}]}}}}'
    path.write_text(f'{{"type": "FeatureCollection", "features": [{feature}]}}')
    with pytest.raises(InputError, match=r"areas.geojson has coordinates up to 1e\+(300|10), where no place on Earth lies"):
        read_polygons(path, "EPSG:32651")
