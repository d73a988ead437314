"""The register on a server: many writers, lost connections, missing rights, and what other programs read."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

import landshift.pipeline.register.store as storing
from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.register.address import Address, location_of
from landshift.pipeline.register.database.postgis import _SETTINGS, PostgisDatabase
from landshift.pipeline.register.database.tables import HISTORY, META, OBSERVATIONS, PATCHES, WITHDRAWALS
from landshift.pipeline.register.states import ConfirmationRule
from landshift.pipeline.register.store import open_register
from tests.postgis_server import Server, server
from tests.register_runs import run, states
from tests.small_run import PATCHES as SMALL
from tests.test_alerts import FEED, configured
from tests.test_cli import run as command
from tests.test_register import EMPTY, GROWN, PATCH, TWO, WATER, canonical
from tests.test_register_files import HOSTILE, folder

SECRET = "s3cret/%:@#word"
QUOTED = "s3cret%2F%25%3A%40%23word"


@pytest.fixture(scope="module")
def postgis() -> Server:
    """The server, with people who may not everything."""
    made = server()
    for role in ("reader", "writer", "stranger"):
        made.query(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    made.query("CREATE DATABASE bare")
    made.query("GRANT CREATE ON DATABASE bare TO writer")
    return made


@pytest.fixture
def place(postgis: Server) -> Address:
    made = postgis.new_place()
    open_register(made).merge([run(TWO, "2021-06-15")])
    return made


def rows(postgis: Server, schema: str) -> dict[str, list[Any]]:
    """All that the server holds of a register."""
    tables = [t for (t,) in postgis.query("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", schema)]
    return {t: sorted(map(str, postgis.query(f'SELECT * FROM "{schema}"."{t}"'))) for t in tables}


def by_password(postgis: Server, user: str, schema: str, *, database: str = "landshift", password: str = QUOTED) -> str:
    return f"postgresql://{user}:{password}@127.0.0.1:{postgis.port}/{database}?schema={schema}"


# Addresses.


def test_a_path_is_a_path_and_an_address_an_address() -> None:
    assert location_of("runs/register.gpkg") == location_of(Path("runs/register.gpkg")) == Path("runs/register.gpkg")
    found = location_of("postgresql://ana@db.example.org:5433/land?schema=taizhou&sslmode=verify-full")
    assert isinstance(found, Address)
    assert (found.user, found.host, found.port, found.database, found.schema) == (
        "ana", "db.example.org", 5433, "land", "taizhou",
    )  # fmt: skip
    assert found.options == {"sslmode": "verify-full"}
    assert str(found) == "postgresql://ana@db.example.org:5433/land?schema=taizhou&sslmode=verify-full"
    assert location_of("postgres:///?service=land") == Address("landshift", options={"service": "land"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mysql://ana@host/land", "begins with mysql://"), ("postgresql:/ana@host/land", "cannot be read"),
        ("postgresql://ana:s3cret/land", "cannot be read"), ("postgresql://ana:s3@cret@host/land", "more than one @"),
        ("postgresql://a:s3cret@h/land?shema=x", "cannot have: shema"), ("postgresql://a:s3cret@h/d?schema=x&schema=y", "once"),
        ("postgresql://a@h/land?password=s3cret", "cannot have: password"), 
        ("postgresql//ana:s3cret@host/land", "cannot be read"), (" postgresql://ana:s3cret@host/land", "cannot be read"),
        ("host=h dbname=land user=ana password=s3cret", "words of libpq"),
        ("postgresql://ana:s3cret@host/la%00nd", "NUL"), ("postgresql://ana:s3cret%00@host/land", "NUL"),
        ("postgresql://ana:s3cret@host/land?application_name=%00", "NUL"),
        ("postgresql://a:s3cret@h/land?schema=pg_x", "does not begin with pg_"),
        ("postgresql://a:s3cret@h/land?schema=a%22b", "letters, digits"), ("postgresql://a@h/land?schema=" + "x" * 64, "63"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        location_of(text)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
    code, out, err = command("register", "list", text)
    assert (code, "cret" in out + err) == (2, False)


_names = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(user=_names, password=_names, database=_names, port=st.integers(1, 65535))
def test_what_an_address_shows_is_the_address_without_its_password(user: str, password: str, database: str, port: int) -> None:
    secret = f"<<{password}>>secret"
    whole = sa.URL.create("postgresql", user, secret, "host", port, quote(database, safe=""), {"schema": "s"})
    found = location_of(whole.render_as_string(hide_password=False))
    assert isinstance(found, Address)
    assert (found.user, found.database, found.port) == (user, database, port)
    assert found.password is not None
    assert found.password.reveal() == secret
    assert location_of(str(found)) == Address("s", "host", port, database, user)
    shown = f"{found} {found!r} {json.dumps(asdict(found), default=str)}"
    assert secret not in shown


# The same as in a file.


def test_both_databases_hold_the_same_rows(postgis: Server, tmp_path: Path) -> None:
    stores = [open_register(tmp_path / "register.gpkg"), postgis.new_register()]
    for store in stores:
        store.merge([run(TWO, "2021-06-15"), run(GROWN, "2023-06-15", scenes=("x.tif", HOSTILE))], ConfirmationRule(1, 3))
        store.merge([run(("?" * 8, *EMPTY[1:]), "2022-06-15"), run(WATER, "2024-06-15")])
        store.reject(store.changes()["change_id"][0], "harvest", "Ana")
        store.withdraw("run", "k-2020-06-15-2023-06-15", "haze", "Ben")
    file, table = stores
    for kind in (HISTORY, META, OBSERVATIONS, PATCHES, WITHDRAWALS):
        one, other = (store.table(kind).drop(columns=["time", "merged_at"], errors="ignore") for store in stores)
        pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(pd.DataFrame(file.changes()), pd.DataFrame(table.changes()))
    assert len(file.table(META).query("name == 'schema_version'")) == 1
    assert {type(v) for s in stores for v in s.table(HISTORY)["time"]} == {type(file.table(HISTORY)["time"][0])}
    assert abs(file.table(HISTORY)["time"].iloc[0] - table.table(HISTORY)["time"].iloc[0]).total_seconds() < 60


def test_names_of_strangers_stay_names(postgis: Server) -> None:
    store = postgis.new_register()
    store.merge([run(PATCH, "2021-06-15", prefix=HOSTILE, project=HOSTILE, key=HOSTILE, model=HOSTILE, scenes=(HOSTILE,))])
    name = store.changes()["change_id"][0]
    store.reject(name, HOSTILE, HOSTILE)
    store.withdraw("scene", HOSTILE, HOSTILE, HOSTILE)
    assert states(store.changes()) == {name: "rejected"}
    assert store.table(HISTORY)["who"].iloc[-1] == HOSTILE
    with pytest.raises(InputError, match="cannot be kept"):
        store.merge([run(PATCH, "2022-06-15", key="a\0b")])
    chinese = open_register(location_of(postgis.address("台州_Wald")))
    chinese.merge([run(PATCH, "2021-06-15")])
    assert len(chinese.changes()) == 1
    assert rows(postgis, "台州_Wald")["changes"]


# Other programs.


def test_other_programs_read_it(postgis: Server, place: Address) -> None:
    open_register(place).merge([run(GROWN, "2022-06-15")])
    found = postgis.query(
        f"SELECT state, first_seen::text, ST_SRID(geom), ST_IsValid(geom), GeometryType(geom), ST_AsBinary(geom) "
        f"FROM {place.schema}.changes ORDER BY fid"
    )
    assert [row[1:5] for row in found] == [("2021-06-15", 32651, True, "MULTIPOLYGON")] * 2
    changes = open_register(place).changes()
    assert shapely.equals(shapely.from_wkb([row[5] for row in found]), changes.geometry.to_numpy()).all()
    layers = postgis.query(
        "SELECT f_table_name, type, srid FROM geometry_columns WHERE f_table_schema = %s ORDER BY 1", place.schema
    )
    names = ["changes", "first_seen", "not_observed", "observations", "patches"]
    kinds = ("MULTIPOLYGON", "MULTIPOLYGON", "POLYGON", "POLYGON", "POLYGON")
    assert layers == [(name, kind, 32651) for name, kind in zip(names, kinds, strict=True)]
    indexed = postgis.query("SELECT tablename FROM pg_indexes WHERE schemaname = %s AND indexdef LIKE '%%gist%%'", place.schema)
    assert sorted(name for (name,) in indexed) == names
    styles = postgis.query(
        "SELECT f_table_name, styleqml::text LIKE '%%categorizedSymbol%%' FROM layer_styles WHERE f_table_schema = %s "
        "ORDER BY 1",
        place.schema,
    )
    assert styles == [(name, name == "changes") for name in names], "painted by state in QGIS"
    if shutil.which("ogrinfo") is None:
        pytest.skip("ogrinfo is not installed")
    source = f"PG:host={postgis.folder} port={postgis.port} user=landshift dbname=landshift active_schema={place.schema}"
    result = subprocess.run(["ogrinfo", "-al", source, "changes"], capture_output=True, text=True, check=True)
    if "Unable to find driver" in result.stdout + result.stderr:
        pytest.skip("this GDAL reads no PostgreSQL")
    assert "Feature Count: 2" in result.stdout
    assert 'ID["EPSG",32651]' in result.stdout
    assert "first_seen (Date) = 2021/06/15" in result.stdout


OWN_CRS = "+proj=laea +lat_0=31 +lon_0=120.5 +x_0=1000 +y_0=2000 +ellps=GRS80 +units=m"


def test_a_crs_without_an_epsg_code_is_added_once(postgis: Server) -> None:
    """Its number is one of those that PostGIS leaves to its users; two registers share it."""
    numbers = []
    for _ in range(2):
        place = postgis.new_place()
        open_register(place).merge([run(PATCH, "2021-06-15", crs=OWN_CRS)])
        changes = open_register(place).changes()
        assert CRS(changes.crs).equals(CRS(OWN_CRS), ignore_axis_order=True)
        [(number, area)] = postgis.query(
            f"SELECT ST_SRID(geom), ST_Area(ST_Transform(geom, 32651)) FROM {place.schema}.changes"
        )
        numbers.append(number)
        assert area == pytest.approx(400, rel=0.01), "PostGIS knows what it means"
    assert numbers[0] == numbers[1] >= 910_000


# Many at once.

WRITER = """
import json, sys
from landshift.pipeline.register.address import location_of
from landshift.pipeline.register.store import open_register
from tests.register_runs import run

store = open_register(location_of(sys.argv[1]))
runs = [run(*how) for how in json.loads(sys.argv[2])]
print("ready", flush=True)
sys.stdin.readline()
for one in runs:
    store.merge([one])
"""
STORY = [
    (PATCH, "2021-06-15"), (GROWN, "2022-06-15"), (EMPTY, "2023-06-15"), (TWO, "2024-06-15"), (WATER, "2025-06-15"),
    (GROWN, "2026-06-15"), (PATCH, "2024-06-15", "2021-06-15"), (TWO, "2025-06-15", "2021-06-15"),
]  # fmt: skip


def test_many_writers_at_once_are_as_one(postgis: Server) -> None:
    """They also make the register at once. Some bring the same runs, and each in its own order."""
    address, alone = postgis.address(postgis.new_schema()), postgis.new_register()
    shares = ((0, 1, 4, 6, 2), (5, 3, 1, 0), (7, 2, 6, 4))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    told = [json.dumps([STORY[number] for number in share]) for share in shares]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, address, runs], **pipes) for runs in told]  # type: ignore[call-overload]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n", writer.communicate()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err
    together = open_register(location_of(address))
    alone.merge([run(*how) for how in STORY])
    assert canonical(together) == canonical(alone)
    keys = together.table(OBSERVATIONS)["key"]
    assert sorted(keys) == sorted(alone.table(OBSERVATIONS)["key"])
    assert len(together.table(PATCHES)) == len(alone.table(PATCHES))
    history = together.table(HISTORY)
    assert history["number"].tolist() == list(range(1, len(history) + 1))
    assert history.query("event == 'merged'")["run"].is_unique


def test_readers_do_not_wait_and_writers_do(place: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_SETTINGS, "lock_timeout", "200ms")
    other = open_register(place)
    with PostgisDatabase(place).transaction(write=True) as connection:
        connection.execute(META.update().values(value="nobody sees this"))
        assert len(other.changes()) == 2
        with pytest.raises(UnavailableError, match="being written to by another program"):
            other.merge([run(PATCH, "2022-06-15")])
        connection.rollback()
    assert other.merge([run(PATCH, "2022-06-15")])[0].fresh


def test_a_connection_that_is_lost_in_the_middle_leaves_all_as_it_was(
    postgis: Server, place: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = open_register(place), rows(postgis, place.schema)
    append = storing.append_history

    def lost(connection: sa.Connection, *rest: Any) -> int:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        assert postgis.query("SELECT pg_terminate_backend(%s, 5000)", pid) == [(True,)]
        return append(connection, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(storing, "append_history", lost)
        with pytest.raises(UnavailableError, match="was lost") as failed:
            store.merge([run(PATCH, "2022-06-15"), run(PATCH, "2023-06-15")])
    assert "run the same again" in str(failed.value)
    assert rows(postgis, place.schema) == before
    assert [m.fresh for m in store.merge([run(PATCH, "2022-06-15"), run(PATCH, "2023-06-15")])] == [True, True]
    assert sorted(store.changes()["state"]) == ["closed", "confirmed"]
    with PostgisDatabase.transaction(store.database, write=False) as connection:  # type: ignore[arg-type]
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    postgis.query("SELECT pg_terminate_backend(%s, 5000)", pid)
    assert len(store.changes()) == 2, "a connection that went while nobody used it is made again"


# What is refused.


def test_a_server_that_is_away_may_come_back(postgis: Server) -> None:
    address = postgis.address("s").replace(f"port={postgis.port}", "port=1")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        open_register(location_of(address)).merge([run(PATCH, "2021-06-15")])
    code, _, err = command("register", "list", address)
    assert (code, "Failed: postgresql://" in err, "Traceback" in err) == (1, True, False)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"password": "wr0ng"}, "PGPASSWORD or ~/.pgpass"), ({"database": "nowhere"}, "CREATE DATABASE nowhere"),
        ({"user": "nobody"}, "password"), ({"user": "stranger", "schema": "new"}, "CREATE SCHEMA new AUTHORIZATION stranger"),
        ({"user": "writer", "database": "bare"}, "in the database bare: CREATE EXTENSION postgis"),
    ],
)  # fmt: skip
def test_a_login_or_a_right_that_is_missing_is_said(postgis: Server, how: dict[str, str], message: str) -> None:
    given = {"user": "reader", "schema": "s"} | how
    address = by_password(postgis, **given)
    with pytest.raises(InputError, match=message) as refused:
        open_register(location_of(address)).merge([run(PATCH, "2021-06-15")])
    text = " ".join(map(str, (refused.value, refused.value.__cause__)))
    assert not any(word in text for word in (SECRET, QUOTED, "wr0ng"))
    assert postgis.query("SELECT 1 FROM pg_namespace WHERE nspname = 'new'") == []


def test_who_may_only_read_reads_and_is_told_so(postgis: Server, place: Address) -> None:
    theirs = open_register(location_of(by_password(postgis, "reader", place.schema)))
    with pytest.raises(InputError, match=f"GRANT USAGE ON SCHEMA {place.schema} TO reader"):
        theirs.changes()
    postgis.query(f"GRANT USAGE ON SCHEMA {place.schema} TO reader")
    postgis.query(f"GRANT SELECT ON ALL TABLES IN SCHEMA {place.schema} TO reader")
    assert len(theirs.changes()) == 2
    before = rows(postgis, place.schema)
    with pytest.raises(InputError, match="lacks the right"):
        theirs.merge([run(PATCH, "2022-06-15")])
    assert rows(postgis, place.schema) == before


def test_a_writer_without_more_rights_than_a_schema_makes_a_register(postgis: Server) -> None:
    schema = postgis.new_schema()
    postgis.query(f"CREATE SCHEMA {schema} AUTHORIZATION writer")
    place = location_of(by_password(postgis, "writer", schema))
    with pytest.raises(InputError, match="GRANT SELECT, INSERT ON spatial_ref_sys TO writer"):
        open_register(place).merge([run(PATCH, "2021-06-15", crs=OWN_CRS.replace("120.5", "121.5"))])
    assert rows(postgis, schema) == {}
    open_register(place).merge([run(PATCH, "2021-06-15")])
    assert len(open_register(place).changes()) == 1


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DROP TABLE {s}.meta", "is not a register"), ("DELETE FROM {s}.meta WHERE name = 'legend'", "damaged"),
        ("UPDATE {s}.meta SET value = '99' WHERE name = 'schema_version'", "its tables have version 99"),
        ("DROP TABLE {s}.patches", "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_sound_register_is_refused_and_left_alone(postgis: Server, place: Address, sql: str, message: str) -> None:
    postgis.query(sql.format(s=place.schema))
    before = rows(postgis, place.schema)
    with pytest.raises(InputError, match=message):
        open_register(place).merge([run(PATCH, "2022-06-15")])
    assert rows(postgis, place.schema) == before


def test_what_does_not_fit_makes_no_register(postgis: Server) -> None:
    place = postgis.new_place()
    for verb in (lambda r: r.changes(), lambda r: r.reject("p", "why"), lambda r: r.withdraw("run", "k", "why")):
        with pytest.raises(InputError, match="is not there"):
            verb(open_register(place))
    with pytest.raises(InputError, match="a register has one"):
        open_register(place).merge([run(PATCH, "2022-06-15"), run(PATCH, "2023-06-15", crs="EPSG:32650")])
    assert postgis.query("SELECT 1 FROM pg_namespace WHERE nspname = %s", place.schema) == []


def test_a_table_of_others_in_public_is_not_taken_for_ours(postgis: Server) -> None:
    postgis.query("CREATE TABLE public.meta (colour text)")
    try:
        store = postgis.new_register()
        store.merge([run(PATCH, "2021-06-15")])
        assert len(store.changes()) == 1
    finally:
        postgis.query("DROP TABLE public.meta")
    assert postgis.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = 'changes'") == []


def test_a_register_may_be_in_the_schema_of_postgis(postgis: Server) -> None:
    """PostGIS is added where an administrator makes the first register; its tables are not taken for those of others."""
    postgis.query("CREATE DATABASE plain")
    for schema in ("first", "public"):
        store = open_register(location_of(postgis.address(schema, "plain")))
        store.merge([run(PATCH, "2021-06-15")])
        assert len(store.changes()) == 1
    layers = postgis.query("SELECT f_table_schema, count(*) FROM geometry_columns GROUP BY 1 ORDER BY 1", database="plain")
    assert layers == [("first", 5), ("public", 5)]


def test_each_machine_of_a_name_is_asked(postgis: Server) -> None:
    """As where a name has addresses of both kinds; what counts is what one of them says of us, not that the other is away."""
    address = by_password(postgis, "reader", "s", password="wr0ng")
    both = address.replace(f"127.0.0.1:{postgis.port}", "").replace("?", f"?host=127.0.0.1,127.0.0.1&port={postgis.port},1&")
    with pytest.raises(InputError, match="password authentication failed"):
        open_register(location_of(both)).facts()


# The command line.


def test_the_command_line_from_end_to_end(postgis: Server, tmp_path: Path) -> None:
    postgis.query("GRANT CREATE ON DATABASE landshift TO writer")
    address = by_password(postgis, "writer", postgis.new_schema())
    made = [folder(tmp_path / f"{n}", f"run{n}", f"202{2 + n}-06-20", quiet=n > 1) for n in range(2)]
    said = []

    def verb(*words: object) -> Any:
        code, out, err = command("register", words[0], address, *words[1:])
        said.append(out + err)
        assert code == 0, err
        return out

    assert "new" in verb("merge", made[0])
    answer = json.loads(verb("merge", *made, "--json"))
    assert answer["states"] == {"confirmed": len(SMALL)}
    assert answer["register"].startswith("postgresql://writer@127.0.0.1")
    name = json.loads(verb("list", "--json"))["changes"][0]["change_id"]
    verb("reject", name, "--reason", "harvest", "--who", "Ana")
    assert "confirmed > rejected  harvest  (Ana)" in verb("show", name)
    verb("diff", "--since", "run0", "--output", tmp_path / "since.geojson")
    assert json.loads((tmp_path / "since.geojson").read_text())["features"]
    verb("withdraw", "--run", "run1", "--reason", "haze")
    code, _, err = command("register", "show", address, "nothing", "--verbose")
    assert code == 2
    said.append(err)
    assert not any(word in text for text in said for word in (SECRET, QUOTED))


def test_alerts_of_a_register_on_a_server(postgis: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is kept, and the feed written, in the project's folder of outputs."""
    monkeypatch.chdir(tmp_path)
    place = postgis.new_place()
    open_register(place).merge([run(TWO, "2021-06-15")])
    ws = configured(tmp_path, {"rules": [{"name": "all"}], "channels": [FEED]})
    for sent in (2, 0):
        code, out, err = command("register", "alerts", postgis.address(place.schema), tmp_path / "config.yaml", "--json")
        assert code == 0, err
        assert json.loads(out)["channels"] == [{"channel": "public", "sent": sent, "waiting": 0, "error": ""}]
    assert sorted(p.name for p in ws.output.iterdir() if not p.name.startswith(".")) == [
        "alerts.xml", "register.alerts.jsonl",
    ]  # fmt: skip
