"""The register as a file and on the command line: what is refused, what survives a kill, and what other programs read."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import shapely

from landshift.flows.steps.register.changes import diff_register
from landshift.pipeline.errors import InputError
from landshift.pipeline.register.database.geopackage import GeoPackageDatabase, add_functions
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.runs import read_mergeable
from landshift.pipeline.register.store import Register, open_register
from tests.register_runs import run, states
from tests.small_run import PATCHES, write_run
from tests.test_cli import run as command
from tests.test_register import PATCH, TWO
from tests.test_sample_estimate import finished

HOSTILE = "</table><script>'; DROP TABLE changes; --\u202e\n=1+1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "register.gpkg"
    open_register(path).merge([run(TWO, "2021-06-15")])
    return path


def folder(place: Path, key: str, after: str, *, before: str = "2020-06-15", **how: Any) -> Path:
    """A run folder with this key and these dates."""
    write_run(place, names=(), **how)
    rewritten(key=key, before_date=before, after_date=after)(place)
    return place


def test_merging_again_leaves_the_file_as_it_is_byte_for_byte(path: Path) -> None:
    before = path.read_bytes()
    open_register(path).merge([run(TWO, "2021-06-15")])
    assert path.read_bytes() == before


def edited(name: str, *statements: str) -> Callable[[Path], None]:
    """Return what runs SQL in a file of this name, or in the path itself."""

    def edit(path: Path) -> None:
        with closing(sqlite3.connect(path / name)) as database, database:
            add_functions(database)
            for statement in statements:
                database.execute(statement)

    return edit


def text(path: Path) -> None:
    path.write_text("change_id,state\n")


def other_database(path: Path) -> None:
    path.unlink()
    edited("", "CREATE TABLE notes (text TEXT)")(path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:-4096] = bytes(len(content) - 12288)
    path.write_bytes(content)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (text, "is not a GeoPackage"), (other_database, "is not a register"), (truncated, "damaged"), (garbled, "damaged"),
        (edited("", "DELETE FROM meta WHERE name = 'legend'"), "damaged"), (directory, "is not a file"),
    ],
)  # fmt: skip
def test_what_is_no_sound_register_is_refused_and_left_alone(path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=message):
        open_register(path).merge([run(PATCH, "2022-06-15")])
    assert before is None or path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_is_not_there_is_made_by_a_merge_alone(tmp_path: Path) -> None:
    for verb in (lambda r: r.changes(), lambda r: r.reject("p", "why"), lambda r: r.withdraw("run", "k", "why")):
        with pytest.raises(InputError, match="is not there"):
            verb(open_register(tmp_path / "none.gpkg"))
    with pytest.raises(InputError, match="is not a folder"):
        open_register(tmp_path / "nowhere" / "r.gpkg").merge([run(PATCH, "2022-06-15")])
    broken = run(PATCH, "2022-06-15", crs="EPSG:32650")
    with pytest.raises(InputError, match="a register has one"):
        open_register(tmp_path / "none.gpkg").merge([run(PATCH, "2022-06-15"), broken])
    assert list(tmp_path.iterdir()) == []


def lacks_files(place: Path) -> None:
    (place / "changes.gpkg").unlink()


lacks_layer = edited(
    "changes.gpkg", "DROP TABLE changes",
    *(f"DELETE FROM {t} WHERE table_name = 'changes'" for t in ("gpkg_contents", "gpkg_geometry_columns", "gpkg_extensions")),
)  # fmt: skip
unknown_code = edited("changes.gpkg", "UPDATE changes SET change_code = 77")


def rewritten(**facts: Any) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        content = json.loads((place / "record/run.json").read_text()) | facts
        (place / "record/run.json").write_text(json.dumps(content))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lacks_files, "is not the folder"), (lacks_layer, "has no layer 'changes'"), (unknown_code, "feature number 1"),
        (rewritten(after_date="2019-01-01"), "the date after"), (rewritten(before_date="soon"), "before_date: "),
        (rewritten(grid={"crs": "EPSG:32651"}), r"grid\.rows: is missing"), (rewritten(model={}), "model"),
        (rewritten(key=""), "no key"),
        (rewritten(grid={"crs": "", "rows": 9, "columns": 9, "pixel_size_m": 1, "transform": [0, 0, 0, 0, -1, 0]}),
         "no area"),
    ],
)  # fmt: skip
def test_a_run_that_is_none_is_refused(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    place = folder(tmp_path / "run", "k1", "2021-06-15")
    spoil(place)
    with pytest.raises(InputError, match=message):
        read_mergeable(place)


def test_a_run_that_found_nothing_is_an_observation(tmp_path: Path) -> None:
    runs = [folder(tmp_path / f"{n}", f"k{n}", f"{2021 + n}-06-15", quiet=n > 0) for n in range(3)]
    store = open_register(tmp_path / "r.gpkg")
    store.merge([read_mergeable(one) for one in runs])
    assert set(store.changes()["state"]) == {"closed"}


KILLED = """
import os, sys
from pathlib import Path
import landshift.pipeline.register.store as store
from tests.register_runs import run
from tests.test_register import PATCH

def stop(connection, *_):
    # All pages of the merge are in the file by now, and the journal beside it is all that can bring the old ones back.
    connection.exec_driver_sql("PRAGMA cache_spill = 1")
    connection.exec_driver_sql("CREATE TABLE filler (bytes BLOB)")
    for _ in range(64):
        connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(1000000))")
    print("in the middle", flush=True)
    sys.stdin.read()

store.append_history = stop
store.open_register(Path(sys.argv[1])).merge([run(PATCH, "2022-06-15")])
"""


def test_a_killed_merge_leaves_the_register_as_it_was(path: Path) -> None:
    store, before = open_register(path), path.stat().st_size
    changes, history = store.changes(), store.table(HISTORY)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    assert path.stat().st_size > before, "the merge had not begun to write"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()
    assert store.changes().equals(changes)
    assert store.table(HISTORY).equals(history)
    assert store.merge([run(PATCH, "2022-06-15")])[0].fresh
    assert sorted(store.changes()["state"]) == ["confirmed", "new"]


def test_two_writers_wait_or_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landshift.pipeline.register.database.geopackage._WAIT_S", 0.2)
    store = open_register(path)
    with GeoPackageDatabase(path).transaction(write=True):
        assert len(store.changes()) == 2, "readers need not wait"
        with pytest.raises(InputError, match="being written to by another program"):
            store.merge([run(PATCH, "2022-06-15")])
    assert store.merge([run(PATCH, "2022-06-15")])[0].fresh


def test_a_full_disk_is_said_and_changes_nothing(path: Path, full_disk: Callable[[int], Any]) -> None:
    before = path.read_bytes()
    many = ["2." * 40, "." * 80] * 30
    with full_disk(path.stat().st_size + 4096), pytest.raises(InputError, match="no room"):
        open_register(path).merge([run(many, "2022-06-15")])
    assert open_register(path).table(HISTORY)["run"].nunique() == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", ["2", "4"])
def test_another_version_is_refused(path: Path, version: str) -> None:
    edited("", f"UPDATE meta SET value = '{version}' WHERE name = 'schema_version'")(path)
    before = path.read_bytes()
    for verb in (Register.changes, lambda store: store.merge([run(PATCH, "2022-06-15")])):
        with pytest.raises(InputError, match=f"version {version}, and this Landshift reads version 3"):
            verb(open_register(path))
    assert path.read_bytes() == before


def test_names_of_strangers_stay_names(tmp_path: Path) -> None:
    path = tmp_path / 'it\'s "mine"; --.gpkg'
    store = open_register(path)
    store.merge([run(PATCH, "2021-06-15", prefix=HOSTILE, project=HOSTILE, key=HOSTILE, model=HOSTILE, scenes=(HOSTILE,))])
    name = store.changes()["change_id"][0]
    assert name.startswith(HOSTILE)
    store.reject(name, HOSTILE, HOSTILE)
    assert states(store.changes()) == {name: "rejected"}
    assert store.table(HISTORY)["who"].iloc[-1] == HOSTILE
    store.withdraw("scene", HOSTILE, HOSTILE, HOSTILE)
    code, out, _ = command("register", "list", path)
    assert code == 0
    assert "\u202e" in out or HOSTILE[:8] in out
    assert len(gpd.read_file(path.rename(tmp_path / "plain.gpkg"), layer="changes")) == 1


def test_other_programs_read_it(path: Path) -> None:
    layers = {name: kind for name, kind in pyogrio.list_layers(path)}
    assert (layers["changes"], layers["patches"]) == ("MultiPolygon", "Polygon")
    frame = gpd.read_file(path, layer="changes")
    assert frame.crs == "EPSG:32651"
    assert sorted(frame["state"]) == ["new", "new"]
    assert frame["first_seen"].dt.year.tolist() == [2021, 2021]
    assert shapely.equals(frame.geometry.to_numpy(), open_register(path).changes().geometry.to_numpy()).all()
    with closing(sqlite3.connect(path)) as database:
        style = database.execute("SELECT styleQML FROM layer_styles WHERE f_table_name = 'changes'").fetchone()[0]
    assert all(f'value="{state}"' in style for state in ("new", "confirmed", "closed", "rejected", "withdrawn"))
    if shutil.which("ogrinfo") is None:
        pytest.skip("ogrinfo is not installed")
    result = subprocess.run(["ogrinfo", "-al", str(path), "changes"], capture_output=True, text=True, check=True)
    assert "Warning" not in result.stderr
    assert "Feature Count: 2" in result.stdout
    assert "first_seen (Date) = 2021/06/15" in result.stdout


def test_the_spatial_index_finds_what_is_where(path: Path) -> None:
    """Also after a polygon grew; and GDAL, which has its own functions for the triggers, agrees."""
    open_register(path).merge([run(("......33", ".2222...", ".2222...", "........"), "2022-06-15")])
    corner = (300_045, 3_599_982, 300_046, 3_599_984)  # within the fifth column, which only the second run saw changed
    found = gpd.read_file(path, layer="changes", bbox=corner)
    assert found["to_name"].tolist() == ["Cropland"]
    with closing(sqlite3.connect(path)) as database:
        boxes = database.execute("SELECT id, minx, maxx, miny, maxy FROM rtree_changes_geom ORDER BY id").fetchall()
    bounds = gpd.read_file(path, layer="changes", fid_as_index=True).bounds
    assert [box[0] for box in boxes] == bounds.index.tolist()
    assert [list(box[1:]) for box in boxes] == [
        pytest.approx(row) for row in bounds[["minx", "maxx", "miny", "maxy"]].to_numpy()
    ]


def test_an_index_that_a_gis_adds_is_kept(path: Path) -> None:
    if shutil.which("ogrinfo") is None:
        pytest.skip("ogrinfo is not installed")
    sql = "SELECT CreateSpatialIndex('patches', 'geom')"
    subprocess.run(["ogrinfo", str(path), "-sql", sql, "-dialect", "SQLITE"], capture_output=True, check=False)
    subprocess.run(["ogrinfo", str(path), "-sql", sql], capture_output=True, check=True)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM rtree_patches_geom").fetchone() == (2,)
    open_register(path).merge([run(PATCH, "2022-06-15")])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM rtree_patches_geom").fetchone() == (3,)


def test_what_another_program_writes_is_read(path: Path) -> None:
    """QGIS writes geometries again when somebody edits a column; GDAL leaves out or adds the box as it likes."""
    before = open_register(path).changes()
    frame = gpd.read_file(path, layer="first_seen", fid_as_index=True)
    with closing(sqlite3.connect(path)) as database, database:
        for fid, geometry in zip(frame.index, frame.geometry, strict=True):
            plain = b"GP\0\x01" + (32651).to_bytes(4, "little") + shapely.to_wkb(geometry)
            database.execute("UPDATE first_seen SET geom = ? WHERE fid = ?", (plain, int(fid)))
    after = open_register(path).changes()
    assert shapely.equals(before["first_geometry"].to_numpy(), after["first_geometry"].to_numpy()).all()


def test_what_is_merged_while_a_difference_is_written_is_in_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who writes differences by where the last one ended misses nothing."""
    waiting = [run(("........", "........", "22......", "22....22"), "2022-06-15")]

    def then_somebody_merges(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(store: Register, *what: Any) -> Any:
            found = read(store, *what)
            if waiting:
                store.merge([waiting.pop()])
            return found

        return reading

    for name in ("changes", "table"):
        monkeypatch.setattr(Register, name, then_somebody_merges(getattr(Register, name)))
    told: list[str] = []
    since = "0"
    for number in range(2):
        output = path.with_name(f"{number}.geojson")
        answer, _ = diff_register(path, since, output)
        since = str(answer["until"])
        told += [f["properties"]["change_id"] for f in json.loads(output.read_text(encoding="utf-8"))["features"]]
    assert set(told) == set(open_register(path).changes()["change_id"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two finished runs: in the second, one of four patches is gone."""
    made = []
    for number, patches in enumerate((PATCHES, PATCHES[:3])):
        place = finished(tmp_path_factory.mktemp(f"made{number}") / "run", patches=patches)
        rewritten(key=f"run{number}", before_date="2020-06-15", after_date=f"202{2 + number}-06-20")(place)
        made.append(place)
    return made


def sightings(register: Path, name: str) -> list[dict[str, Any]]:
    return json.loads(command("register", "show", register, name, "--json")[1])["seen_by"]  # type: ignore[no-any-return]


def test_the_command_line_from_end_to_end(runs: list[Path], tmp_path: Path) -> None:
    register = tmp_path / "register.gpkg"
    code, out, err = command("register", "merge", register, runs[0])
    assert (code, "rror" in err) == (0, False)
    assert "Run run0: 4 new." in out
    code, out, _ = command("register", "merge", register, *runs, "--json")
    answer = json.loads(out)
    assert (code, answer.get("states", answer)) == (0, {"confirmed": 3, "new": 1})
    assert [m["fresh"] for m in answer["merged"]] == [False, True]

    code, out, _ = command("register", "list", register, "--state", "confirmed", "--json")
    listed = json.loads(out)["changes"]
    assert [round(c["area_ha"], 1) for c in listed] == [2.4, 1.0, 0.3]
    name = listed[0]["change_id"]
    code, out, _ = command("register", "reject", register, name, "--reason", "harvest", "--who", "Ana")
    assert (code, out.splitlines()[0]) == (0, f"{name} is rejected now.")
    code, out, _ = command("register", "show", register, name)
    assert "confirmed > rejected  harvest  (Ana)" in out
    assert all(s["model_hash"] and f"model {s['model_name']} {s['model_hash']}" in out for s in sightings(register, name))
    shown = json.loads(command("register", "show", register, name, "--json")[1])
    assert [s["run"] for s in shown["seen_by"]] == ["run0", "run1"]
    assert [e["to_state"] for e in shown["history"]] == ["new", "confirmed", "rejected"]

    output = tmp_path / "since.geojson"
    code, out, _ = command("register", "diff", register, "--since", "run0", "--output", output, "--json")
    assert json.loads(out)["what"] == {"confirmed": 2, "rejected": 1}
    content = json.loads(output.read_text(encoding="utf-8"))
    assert "crs" not in content
    shape = shapely.from_geojson(json.dumps(content["features"][0]["geometry"]))
    assert shapely.within(shape, shapely.box(120, 32, 122, 33))
    assert shape.geom_type == "MultiPolygon"
    assert all(shapely.is_ccw(shapely.get_exterior_ring(part)) for part in shape.geoms)
    assert {f["properties"]["what"] for f in content["features"]} == {"confirmed", "rejected"}
    code, _, _ = command("register", "diff", register, "--since", "0", "--output", tmp_path / "all.gpkg")
    frame = gpd.read_file(tmp_path / "all.gpkg", layer="changed")
    assert (len(frame), frame["was"].isna().all(), str(frame.crs)) == (4, True, "EPSG:32651")

    code, out, _ = command("register", "withdraw", register, "--run", "run1", "--reason", "haze", "--json")
    assert json.loads(out)["states"] == {"new": 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "--state", "old"), "expected one of new, confirmed"), (("show", "nothing"), "has no change 'nothing'"),
        (("diff", "--since", "yesterday", "--output", "x.gpkg"), "expected a number"),
        (("diff", "--since", "0", "--output", "x.shp"), "expected a name that ends in .gpkg or .geojson"),
        (("reject", "nothing", "--reason", "x"), "has no change"), (("withdraw", "--reason", "x"), "exactly one"),
        (("withdraw", "--run", "a", "--model", "b", "--reason", "x"), "exactly one"),
        (("withdraw", "--model", "sha256:1", "--reason", "x"), "nothing to withdraw"),
        (("merge", "."), "is not the folder of a run"),
    ],
)  # fmt: skip
def test_bad_input_is_said_and_changes_nothing(path: Path, words: tuple[str, ...], message: str) -> None:
    before = path.read_bytes()
    code, _, err = command("register", words[0], path, *words[1:])
    assert code == 2
    assert message in " ".join(err.split())
    assert path.read_bytes() == before


VERBS = (
    "merge",
    "list",
    "show",
    "diff",
    "reject",
    "withdraw",
    *(f"review {v}" for v in ("export", "import", "precision", "labels")),
)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    code, out, _ = command("register", *verb.split(), "--help")
    assert code == 0
    assert f"landshift register {verb}" in out
    assert "--json" in out
