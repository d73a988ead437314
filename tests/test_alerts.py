"""Alerts: which changes a rule asks for, what is said of them, and that each is told once."""

import json
import xml.dom.minidom
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.flows.config.project import Project, load_project
from landshift.flows.steps.alerts.sending import outbox_of, send_alerts
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.alerts import rules as alerts_rules
from landshift.pipeline.alerts.alert import Alert, digest, origin_of
from landshift.pipeline.alerts.outbox import DROPPED, SENDING, SENT, Outbox
from landshift.pipeline.alerts.rules import AlertRule
from landshift.pipeline.alerts.text import atom_feed, headline, message, plain
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of
from landshift.pipeline.register import states as register
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.store import Register, open_register
from tests.register_runs import LEGEND, run
from tests.test_cli import run as command
from tests.test_config import content, load

BOTH = ("......33", ".22...33", ".22...33", "........")
WOOD = ("........", ".22.....", ".22.....", "........")
NONE = ("........", "........", "........", "........")
HOSTILE = 'A & B </title><script>\x07"x"\u202eevil\nline\x00'
ATOM = "{http://www.w3.org/2005/Atom}"


def stored(folder: Path, *merges: tuple[tuple[str, ...], str]) -> Path:
    path = folder / "register.gpkg"
    for picture, after in merges:
        open_register(path).merge([run(picture, after)])
    return path


def configured(folder: Path, alerts: dict[str, Any], **more: Any) -> Workspace:
    classes = [{"code": c.code, "name": c.name, "colour": c.colour} for c in LEGEND.classes]
    config = content() | {"legend": classes, "alerts": alerts} | more
    return workspace(load(folder, json.dumps(config)), folder)


def told(store: Register, *rules: AlertRule, **how: Any) -> list[Alert]:
    return digest(rules, store.changes(), store.table(HISTORY), LEGEND, **how)


@pytest.fixture
def store(tmp_path: Path) -> Register:
    """The wood (4 pixels) is confirmed, the water (6 pixels) new."""
    return open_register(stored(tmp_path, (BOTH, "2021-06-15"), (("........", *WOOD[1:]), "2022-06-15")))


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, [("Forest to Water", "new"), ("Forest to Cropland", "confirmed")]),
        ({"states": ("confirmed",)}, [("Forest to Cropland", "confirmed")]),
        ({"states": ("closed", "rejected")}, []),
        ({"changes": ("forest to WATER",)}, [("Forest to Water", "new")]),
        ({"changes": ("Water to Forest",)}, []),
        ({"min_area_ha": 0.05}, [("Forest to Water", "new")]),
        ({"min_area_ha": 0.07}, []),
        ({"min_change_probability": 0.91}, []),
        ({"min_change_probability": 0.89}, [("Forest to Water", "new"), ("Forest to Cropland", "confirmed")]),
    ],
)
def test_a_rule_gets_what_it_asks_for_and_nothing_else(store: Register, how: dict[str, Any], found: list[Any]) -> None:
    assert [(a.change, a.state) for a in told(store, AlertRule("r", **how))] == found


def test_what_an_alert_says(store: Register) -> None:
    [alert] = told(store, AlertRule("r", changes=("Forest to Cropland",)))
    assert (alert.was, alert.from_name, alert.to_name) == ("new", "Forest", "Cropland")
    assert (alert.first_seen, alert.last_seen) == ("2021-06-15", "2022-06-15")
    assert (alert.area_ha, alert.change_probability) == (pytest.approx(0.04, rel=0.01), pytest.approx(0.9))
    history = store.table(HISTORY)
    assert history.set_index("number").loc[alert.number, ["change_id", "to_state"]].tolist() == [alert.change_id, "confirmed"]
    # Columns 1 and 2, rows 1 and 2 of a grid of 10 m at 300,000, 3,600,000 in UTM zone 51 north.
    centre = gpd.GeoSeries.from_xy([300_020], [3_599_980], crs="EPSG:32651").to_crs("EPSG:4326")[0]
    assert (alert.lon, alert.lat) == (pytest.approx(centre.x, abs=1e-5), pytest.approx(centre.y, abs=1e-5))
    west, south, east, north = alert.bbox
    assert west < alert.lon < east
    assert south < alert.lat < north
    assert json.loads(json.dumps(content_of(alert)))["id"] == str(alert.id)


def test_a_change_that_left_a_state_and_came_back_is_another_alert(tmp_path: Path) -> None:
    path = stored(tmp_path, (WOOD, "2021-06-15"), (WOOD, "2022-06-15"))
    rule = AlertRule("r", states=("confirmed",))
    [first] = told(open_register(path), rule)
    open_register(path).withdraw("run", "k-2020-06-15-2022-06-15", "haze")
    assert told(open_register(path), rule) == []
    open_register(path).merge([run(WOOD, "2023-06-15")])
    [second] = told(open_register(path), rule)
    assert (second.change_id, second.state) == (first.change_id, first.state)
    assert second.number > first.number
    assert second.id != first.id


def test_since_looks_at_when_the_register_learnt_it(store: Register) -> None:
    history = store.table(HISTORY)
    confirmed = int(history[history["to_state"] == "confirmed"]["number"].iloc[0])
    assert [a.state for a in told(store, AlertRule("r"), since=confirmed - 1)] == ["confirmed"]
    assert told(store, AlertRule("r"), since=confirmed) == []


def areas(*boxes: tuple[str, float, float, float, float]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": [b[0] for b in boxes]}, geometry=[shapely.box(*b[1:]) for b in boxes], crs="EPSG:32651")


def test_areas_are_named_and_asked_for(store: Register) -> None:
    # The wood spans x 10..30 and y -30..-10 from the corner of the grid; the park reaches 5 m into it.
    # The moor only touches it.
    x, y = 300_000, 3_600_000
    known = areas(
        ("Moor", x - 50, y - 100, x + 10, y), ("Park", x - 50, y - 100, x + 15, y), ("Lake", x + 50, y - 100, x + 99, y)
    )
    found = {a.change: a.areas for a in told(store, AlertRule("r"), areas=known)}
    assert found == {"Forest to Cropland": ("Park",), "Forest to Water": ("Lake",)}
    assert [a.change for a in told(store, AlertRule("r", areas=("park", "Moor")), areas=known)] == ["Forest to Cropland"]
    assert told(store, AlertRule("r", areas=("Moor",)), areas=known) == []


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        ({"changes": ("Forest to Croplnd",)}, "Did you mean 'Forest to Cropland'"), ({"states": ("confirm",)}, "'confirmed'"),
        ({"areas": ("Prak",)}, "Did you mean 'Park'"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused_with_the_nearest_right_name(store: Register, how: dict[str, Any], hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        told(store, AlertRule("r", **how), areas=areas(("Park", 0, 0, 1, 1)))


def test_states_are_those_of_the_register() -> None:
    assert alerts_rules.STATES == register.STATES


def test_a_box_across_the_antimeridian(tmp_path: Path) -> None:
    made = run(WOOD, "2021-06-15", crs="EPSG:32601")
    # UTM zone 1 begins at 180 degrees west, which is easting 166,021 m on the equator.
    moved = made.view.patches.set_geometry(made.view.patches.geometry.translate(-134_000, -3_500_000).scale(40, 1))
    extent = shapely.affinity.translate(made.view.extent, -134_000, -3_500_000)
    open_register(tmp_path / "register.gpkg").merge([replace(made, view=replace(made.view, patches=moved, extent=extent))])
    [alert] = told(open_register(tmp_path / "register.gpkg"), AlertRule("r"))
    west, south, east, north = alert.bbox
    assert 179.9 < west < 180
    assert -180 < east < -179.9
    assert 0 < north - south < 0.01
    assert "georss:box" not in atom_feed("t", "c", [alert], 5, ("o", alert.time))


def test_lines_for_people_stay_on_their_line(store: Register) -> None:
    [alert] = told(store, AlertRule("r", changes=("Forest to Water",)))
    hostile = replace(alert, areas=(HOSTILE,), change=HOSTILE)
    assert plain(HOSTILE) == 'A & B </title><script> "x" evil line'
    assert headline(hostile).isprintable()
    title, text = message("r", [hostile] * 60)
    assert title == "60 alerts: r"
    assert "and 10 more" in text
    assert "counted pixels, biased" in text
    assert headline(alert) == "Forest to Water, 0.06 ha: new"


def parsed(text: str) -> list[dict[str, str]]:
    """Read a feed with a parser of its own and check what RFC 4287 demands (sections 4.1.1 and 4.1.2)."""
    root = xml.dom.minidom.parseString(text.encode()).documentElement

    def children(node: Any, name: str) -> list[Any]:
        return [c for c in node.childNodes if c.nodeName == name]

    def one(node: Any, name: str) -> str:
        [found] = children(node, name)
        return "".join(c.data for c in found.childNodes)

    assert (root.tagName, root.namespaceURI) == ("feed", "http://www.w3.org/2005/Atom")
    ids = [one(root, "id")]
    assert one(root, "title")
    [author] = children(root, "author")
    assert one(author, "name")
    entries = []
    for entry in children(root, "entry"):
        values = {name: one(entry, name) for name in ("id", "title", "updated", "published", "content", "georss:point")}
        ids.append(values["id"])
        for name in ("updated", "published"):
            assert datetime.strptime(values[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        entries.append(values)
    assert all(i.startswith("urn:uuid:") for i in ids)
    assert len(set(ids)) == len(ids)
    assert one(root, "updated") == max((e["updated"] for e in entries), default=one(root, "updated"))
    return entries


def test_the_feed_is_atom_and_holds_hostile_names(store: Register, tmp_path: Path) -> None:
    alerts = [replace(a, change=HOSTILE, areas=(HOSTILE,)) for a in told(store, AlertRule("a"), AlertRule("b"))]
    entries = parsed(atom_feed(HOSTILE, "public", alerts, 10, ("o", datetime.now(UTC))))
    assert [e["id"] for e in entries] == [a.id.urn for a in sorted(alerts, key=lambda a: (-a.number, a.rule))]
    newest = max(alerts, key=lambda a: a.number)
    assert entries[0]["georss:point"] == f"{newest.lat:.6f} {newest.lon:.6f}"
    assert 30 < float(entries[0]["georss:point"].split()[0]) < 34
    assert entries[0]["title"].startswith('A & B </title><script> "x" evil line, 0.04 ha in A & B')
    assert len(parsed(atom_feed("t", "public", alerts, 3, ("o", datetime.now(UTC))))) == 3
    assert parsed(atom_feed("t", "public", [], 3, ("o", datetime.now(UTC)))) == []


def test_gdal_reads_the_places_of_the_feed(store: Register, tmp_path: Path) -> None:
    alerts = told(store, AlertRule("r"))
    (tmp_path / "feed.xml").write_text(atom_feed("t", "c", alerts, 9, ("o", alerts[0].time)), encoding="utf-8")
    frame = pyogrio.read_dataframe(tmp_path / "feed.xml")
    newest = sorted(alerts, key=lambda a: -a.number)
    assert frame["title"].tolist() == [headline(a) for a in newest]
    for geometry, alert in zip(frame.geometry, newest, strict=True):
        assert shapely.distance(geometry.centroid, shapely.Point(alert.lon, alert.lat)) < 1e-4


def test_the_record_survives_half_a_line_and_tells_what_is_open(tmp_path: Path) -> None:
    journal = Outbox(tmp_path / "j.jsonl")
    assert journal.read().begun == ()
    journal.add(SENDING, "c", "m1", ["a", "b"])
    journal.add(SENDING, "c", "m2", ["d"])
    with journal.path.open("ab") as stream:
        stream.write(b'{"time": "2024", "event": "sent", "channel": "c", "mess')
    assert [s.message for s in journal.read().begun] == ["m1", "m2"]
    journal.add(SENT, "c", "m1", ["a"])
    journal.add(DROPPED, "c", "m2")
    record = journal.read()
    assert record.begun == ()
    assert record.keys_sent("c") == {"a"}
    assert record.keys_sent("d") == set()
    assert all(json.loads(line) for line in journal.path.read_text().splitlines())


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"event": "x", "channel": "c", "message": "m"}', "[1]", "7"])
def test_a_line_of_others_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "j.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match="line 1, is unreadable"):
        Outbox(tmp_path / "j.jsonl").read()


FEED = {"kind": "feed", "name": "public", "path": "alerts.xml"}


def test_a_feed_shows_what_holds_now_and_is_left_alone_otherwise(tmp_path: Path) -> None:
    path = stored(tmp_path, (BOTH, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "all"}], "channels": [FEED]})
    dry = send_alerts(path, ws, dry_run=True)
    assert (len(dry.alerts), dry.pending, dry.deliveries) == (2, 2, ())
    assert not outbox_of(path).exists()
    assert not (tmp_path / "alerts.xml").exists()
    [done] = send_alerts(path, ws).deliveries
    assert (done.sent, done.waiting, done.error) == (2, 0, "")
    first = (tmp_path / "alerts.xml").stat().st_mtime_ns, outbox_of(path).read_bytes()
    assert send_alerts(path, ws).deliveries[0].sent == 0
    assert ((tmp_path / "alerts.xml").stat().st_mtime_ns, outbox_of(path).read_bytes()) == first
    change = send_alerts(path, ws).alerts[0].change_id
    open_register(path).reject(change, "harvest")
    assert send_alerts(path, ws).deliveries[0].sent == 0
    assert change not in (tmp_path / "alerts.xml").read_text()


def test_a_feed_stays_in_the_folder_of_the_register(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = stored(tmp_path / "in", (BOTH, "2021-06-15"))
    ws = configured(tmp_path, {"rules": [{"name": "all"}], "channels": [FEED | {"path": "../alerts.xml"}]})
    with pytest.raises(InputError, match="points outside the folder of the register"):
        send_alerts(path, ws)
    assert send_alerts(path, replace(ws, allow_outside=True)).deliveries[0].sent == 2
    assert (tmp_path / "alerts.xml").is_file()


@settings(max_examples=8, deadline=None)
@given(
    merges=st.lists(
        st.tuples(st.sampled_from([BOTH, WOOD, NONE]), st.integers(2021, 2026)),
        min_size=1, max_size=4, unique_by=lambda m: m[1],
    ),
    rules=st.lists(
        st.fixed_dictionaries({}, optional={
            "states": st.lists(st.sampled_from(alerts_rules.STATES), min_size=1, max_size=3, unique=True),
            "changes": st.just(["Forest to Water"]), "min_area_ha": st.sampled_from([0.0, 0.05]),
        }), min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_sending_twice_sends_nothing_the_second_time(
    tmp_path_factory: pytest.TempPathFactory, merges: list[tuple[tuple[str, ...], int]], rules: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    path = folder / "register.gpkg"
    named = [rule | {"name": f"r{k}"} for k, rule in enumerate(rules)]
    ws = configured(folder, {"rules": named, "channels": [FEED]})
    seen: set[str] = set()
    for picture, year in merges:
        open_register(path).merge([run(picture, f"{year}-06-15")])
        first = send_alerts(path, ws)
        fresh = {str(a.id) for a in first.alerts} - seen
        assert first.deliveries[0].sent == first.pending == len(fresh)
        assert send_alerts(path, ws).deliveries[0].sent == 0
        seen |= fresh


def test_the_command_line_shows_and_sends(tmp_path: Path) -> None:
    path = stored(tmp_path, (BOTH, "2021-06-15"))
    configured(tmp_path, {"rules": [{"name": "all", "changes": ["Forest to Water"]}], "channels": [FEED]})
    code, out, _ = command("register", "alerts", path, tmp_path / "config.yaml", "--dry-run")
    assert code == 0
    assert "all: Forest to Water, 0.06 ha: new" in out
    assert "nothing was sent" in out
    code, out, _ = command("register", "alerts", path, tmp_path / "config.yaml", "--json")
    assert code == 0
    assert json.loads(out)["channels"] == [{"channel": "public", "sent": 1, "waiting": 0, "error": ""}]
    assert json.loads(out)["alerts"][0]["change"] == "Forest to Water"
    code, _, err = command("register", "alerts", tmp_path / "none.gpkg", tmp_path / "config.yaml")
    assert (code, "is not there" in err) == (2, True)
    assert not list(tmp_path.glob("*none*"))


def hook(**more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "name": "h", "url": "https://example.org/x", "secret_env": "SECRET_OF_H"} | more


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({"rules": [{"name": "a", "changes": ["Forest to Crop"]}]}, "Did you mean 'Forest to Cropland'"),
        ({"rules": [{"name": "a", "areas": ["Park"]}]}, "needs `areas_of_interest`"),
        ({"rules": [{"name": "a"}, {"name": "a"}]}, "its own name"),
        ({"rules": [{"name": "alpha"}], "channels": [FEED | {"rules": ["alpa"]}]}, "did you mean 'alpha'"),
        ({"channels": [FEED, FEED | {"name": "other"}]}, "two feeds have one path"),
        ({"channels": [FEED | {"path": "register.gpkg"}]}, r"\.xml or \.atom"),
        ({"channels": [hook(url="http://example.org/x")]}, "expected https"),
        ({"channels": [hook(url="ftp://example.org/x")]}, "expected an address"),
        ({"channels": [hook(secret="x")]}, "Did you mean `secret_env`"),
        ({"channels": [{"kind": "pigeon", "name": "p"}]}, r"channel 1 \(p\)"),
    ],
)  # fmt: skip
def test_configs_that_nobody_could_mean_are_refused(tmp_path: Path, alerts: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        configured(tmp_path, alerts)


@pytest.mark.parametrize("more", [{"secret_env": "s3cr3t-token"}, {"url": "https://me:s3cr3t-token@example.org/"}])
def test_a_secret_that_was_put_into_a_config_is_not_repeated(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="channels") as caught:
        configured(tmp_path, {"channels": [hook(**more)]})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://127.0.0.1:1", "http://[::1]:1/", "https://example.org"])
def test_addresses_that_are_safe(tmp_path: Path, url: str) -> None:
    assert configured(tmp_path, {"channels": [hook(url=url)]}).project.alerts.channels[0].name == "h"
    assert configured(tmp_path, {"channels": [hook(url="http://example.org", allow_http=True)]})


def test_whom_we_tell_is_not_published_with_a_run(tmp_path: Path) -> None:
    ws = configured(tmp_path, {"channels": [hook()]})
    assert "example.org" not in json.dumps(config_as_published(ws))
    assert Project.model_validate(config_as_published(ws)).alerts.channels == ()
    assert load_project(tmp_path / "config.yaml").alerts.channels


def test_origins_differ_between_registers(tmp_path: Path) -> None:
    for name, when in (("a", datetime(2024, 1, 1, tzinfo=UTC)), ("b", datetime(2025, 1, 1, tzinfo=UTC))):
        (tmp_path / name).mkdir()
        open_register(tmp_path / name / "r.gpkg").merge([run(WOOD, "2021-06-15")], now=when)
    stores = [open_register(tmp_path / name / "r.gpkg") for name in ("a", "b")]
    assert origin_of(stores[0].table(HISTORY)) != origin_of(stores[1].table(HISTORY))
    assert told(stores[0], AlertRule("r"))[0].id != told(stores[1], AlertRule("r"))[0].id
