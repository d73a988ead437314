"""The monitor: what is new is compared once, what goes wrong stops nothing else, the register depends on scenes alone."""

import json
import shutil
import subprocess
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import rasterio
import torch
from typer.testing import CliRunner

from landshift.flows import monitor as monitoring
from landshift.flows.cli.main import app
from landshift.flows.config.project import Project
from landshift.flows.monitor import monitor
from landshift.flows.steps.images import epochs as preparing
from landshift.flows.steps.monitoring.outcome import Monitored, lines_of
from landshift.flows.steps.monitoring.season import describe_pairs
from landshift.flows.steps.monitoring.state import MonitorState, read_state
from landshift.flows.steps.project.finding import find_scenes
from landshift.flows.steps.project.plan import Plan, sensor_of
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.models.use.bundle import load, save
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.register.address import location_of
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.layers import REGISTER_COLUMNS
from landshift.pipeline.register.store import open_register
from tests.demo_territory import DemoTerritory, demo_project
from tests.postgis_server import server

TODAY = date(2025, 1, 1)
STEADY = [c.name for c in REGISTER_COLUMNS if c.name != "change_id"]


class Watched:
    """A territory whose scenes come in one after the other."""

    def __init__(self, trained: DemoTerritory, folder: Path) -> None:
        self.trained, self.folder = trained, folder
        self.data, self.output = folder / "data", folder / "runs"
        shutil.copytree(trained.data, self.data)
        self.scenes = self.data / "scenes"
        self.project: Project = demo_project()

    @property
    def home(self) -> Path:
        return self.output / "demo"

    def configure(self, **sections: Any) -> None:
        self.project = Project.model_validate(self.project.model_dump(mode="json") | sections)

    def comes_in(self, day: str) -> Path:
        """Copy the later scene to another day: the changes are seen again."""
        path = Path(shutil.copyfile(self.scenes / "S2_L2A_20230618.tif", self.scenes / f"S2_L2A_{day}.tif"))
        # A tag with another day than the name would be a contradiction.
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(TIFFTAG_DATETIME=f"{day[:4]}:{day[4:6]}:{day[6:]} 10:20:00")
        return path

    def run(self, **options: Any) -> Monitored:
        given = {"model": self.trained.model, "today": TODAY} | options
        return monitor(self.project, self.data, self.output, **given)

    def changes(self) -> pd.DataFrame:
        frame = open_register(self.home / "register.gpkg").changes()
        # Which of two runs was merged first decides about ids, and about nothing else.
        plain = pd.DataFrame(frame[STEADY]).assign(shape=frame.geometry.to_wkb())
        return plain.sort_values("shape").reset_index(drop=True)

    def history(self) -> int:
        return len(open_register(self.home / "register.gpkg").table(HISTORY))


@pytest.fixture
def watched(demo: DemoTerritory, tmp_path: Path) -> Watched:
    return Watched(demo, tmp_path)


def outcomes(result: Monitored) -> dict[str, str]:
    return {pair.after: pair.outcome for pair in result.pairs}


@pytest.mark.usefixtures("prefect_server")
def test_what_is_new_is_compared_once_and_what_is_seen_again_is_confirmed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = []
    compose = preparing.compose
    monkeypatch.setattr(
        preparing, "compose", lambda epoch, *rest, **more: (composed.append(str(epoch.date)), compose(epoch, *rest, **more))[1]
    )
    first = watched.run()
    assert outcomes(first) == {"2023-06-18": "done"}
    assert set(first.what) == {"new"}
    before = watched.history()

    assert outcomes(watched.run()) == {"2023-06-18": "known"}
    files = {p: p.stat().st_mtime_ns for p in watched.home.rglob("*") if p.is_file() and p.name != ".lock"}
    again = watched.run()
    assert (again.diff, again.what, watched.history()) == (None, {}, before)
    assert {p: p.stat().st_mtime_ns for p in watched.home.rglob("*") if p.is_file() and p.name != ".lock"} == files

    watched.comes_in("20240617")
    second = watched.run()
    assert outcomes(second) == {"2023-06-18": "known", "2024-06-17": "done"}
    assert set(second.what) == {"confirmed"}
    assert second.what["confirmed"] == first.what["new"]
    assert composed == [], "a scene is read where it lies"
    assert second.diff is not None
    said = json.loads(second.diff.with_suffix(".geojson").read_text(encoding="utf-8"))
    assert {f["properties"]["what"] for f in said["features"]} == {"confirmed"}
    assert sorted(p.name for p in watched.home.glob("pairs/*/demo/epochs")) == ["epochs"], "one pair's images are enough"


def test_a_register_that_was_lost_is_made_again(watched: Watched) -> None:
    watched.run()
    before = watched.changes()
    (watched.home / "register.gpkg").unlink()
    again = watched.run()
    assert outcomes(again) == {"2023-06-18": "done"}
    pd.testing.assert_frame_equal(watched.changes(), before)
    assert outcomes(watched.run()) == {"2023-06-18": "known"}


def test_a_scene_that_cannot_be_read_is_skipped_until_it_can(watched: Watched) -> None:
    late = watched.comes_in("20240617")
    whole = late.read_bytes()
    late.write_bytes(whole[: len(whole) // 2])
    result = watched.run()
    assert outcomes(result)["2023-06-18"] == "done"
    broken = outcomes(result).get("2024-06-17", "faulty")
    assert broken in ("faulty", "failed")
    assert any("S2_L2A_20240617" in text for text in (*result.faulty, *(p.message for p in result.failed)))
    late.write_bytes(whole)
    assert outcomes(watched.run()) == {"2023-06-18": "known", "2024-06-17": "done"}


@pytest.mark.parametrize(
    "text",
    [
        '{"pairs": {"a": 5}, "published": {}}', '{"pairs": {"a": {"attempts": "x"}}, "published": {}}',
        '{"pairs": [1], "published": {}}', '{"pairs": {}, "published": {"": 1e999}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_state_that_says_nonsense_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "monitor.json").write_text(text, encoding="utf-8")
    found = read_state(SimpleNamespace(output=tmp_path))  # type: ignore[arg-type]
    assert found == MonitorState({}, {})


def test_one_pair_that_fails_is_reported_and_tried_again(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.comes_in("20240617")
    detect = monitoring.detect_planned

    def broken(ws: Workspace, planned: Plan) -> Any:
        if planned.after.date.year == 2023:
            raise RuntimeError("the share is gone")
        return detect(ws, planned)

    monkeypatch.setattr(monitoring, "detect_planned", broken)
    result = watched.run()
    assert outcomes(result) == {"2023-06-18": "failed", "2024-06-17": "done"}
    assert result.failed[0].message == "RuntimeError: the share is gone"
    monkeypatch.setattr(monitoring, "detect_planned", detect)
    assert outcomes(watched.run()) == {"2023-06-18": "done", "2024-06-17": "known"}
    assert set(watched.changes()["state"]) == {"confirmed"}


def test_a_register_does_not_depend_on_when_the_monitor_ran(watched: Watched, demo: DemoTerritory, tmp_path: Path) -> None:
    """Scenes at once, one by one, and after everything but the runs was lost: the same changes in the same states."""
    watched.run()
    watched.comes_in("20240617")
    watched.run()
    other = Watched(demo, tmp_path / "other")
    other.comes_in("20240617")
    other.run()
    pd.testing.assert_frame_equal(watched.changes().drop(columns="model_hash"), other.changes().drop(columns="model_hash"))
    states = watched.changes()
    (watched.home / "monitor.json").write_text("{", encoding="utf-8")
    lost = watched.run()
    assert set(outcomes(lost).values()) == {"done"}
    pd.testing.assert_frame_equal(watched.changes(), states)


def test_who_watches_is_told_once(watched: Watched) -> None:
    rules, feed = [{"name": "everything"}], {"kind": "feed", "name": "feed", "path": "alerts.atom"}
    watched.configure(alerts={"rules": rules, "channels": [feed]})
    first = watched.run()
    assert first.told == (f"feed: {first.what['new']:,} alerts sent.",)
    assert (watched.home / "alerts.atom").read_text(encoding="utf-8").count("<entry>") == first.what["new"]
    assert watched.run().told == ()
    hook = {"kind": "webhook", "name": "hook", "url": "http://127.0.0.1:9/x", "secret_env": "HOOK_SECRET", "attempts": 1}
    watched.configure(alerts={"rules": rules, "channels": [feed, hook]})
    failing = watched.run()
    assert outcomes(failing) == {"2023-06-18": "known"}, "who is told makes no pair another one"
    assert failing.untold[0].startswith("hook: ")


def test_a_register_on_a_server(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.configure(monitor={"register_env": "OUR_REGISTER"})
    with pytest.raises(InputError, match="OUR_REGISTER is not set"):
        watched.run()
    monkeypatch.setenv("OUR_REGISTER", "landshift:s3cret@host/land")
    with pytest.raises(InputError, match="OUR_REGISTER holds another text") as refused:
        watched.run()
    assert "s3cret" not in str(refused.value)

    schema = server().new_schema()
    address = server().address(schema).replace("landshift@", "landshift:s3cret@")
    monkeypatch.setenv("OUR_REGISTER", address.replace(f"port={server().port}", "port=1"))
    away = watched.run()
    assert outcomes(away) == {"2023-06-18": "failed"}
    assert "cannot be reached" in away.failed[0].message
    assert "cannot be reached" in away.untold[0]
    made = sorted(watched.home.glob("pairs/*/*/run/*"))
    times = [p.stat().st_mtime_ns for p in made]

    monkeypatch.setenv("OUR_REGISTER", address)
    back = watched.run()
    assert outcomes(back) == {"2023-06-18": "done"}
    assert [p.stat().st_mtime_ns for p in made] == times, "the map that was made is merged, not made again"
    store = open_register(location_of(address))
    assert back.what == {"new": len(store.changes())}
    assert not (watched.home / "register.gpkg").exists()

    monkeypatch.setenv("OUR_REGISTER", server().address(server().new_schema()))
    other = watched.run()
    assert (outcomes(other), other.what) == ({"2023-06-18": "done"}, back.what), "another register gets what is there"
    monkeypatch.setenv("OUR_REGISTER", address)
    assert watched.run().diff is None, "nothing changed in the first one meanwhile"
    files = [p.read_bytes() for p in watched.home.rglob("*") if p.suffix in (".json", ".html", ".jsonl")]
    assert not any(b"s3cret" in f or b"postgresql" in f for f in files)
    assert "s3cret" not in json.dumps(asdict(back), default=str) + str(back)


def test_periods_that_are_open_wait(watched: Watched) -> None:
    watched.configure(monitor={"period_days": 30})
    result = watched.run(today=date(2023, 6, 20))
    assert result.pairs == ()
    assert "still open until" in result.waiting[0]
    assert result.diff is None


def test_pairs_of_another_model_are_kept_and_named(watched: Watched, demo: DemoTerritory, tmp_path: Path) -> None:
    watched.run()
    old = file_hash(demo.model / "weights.safetensors")
    state = json.loads((watched.home / "monitor.json").read_text(encoding="utf-8"))
    assert [pair["model"] for pair in state["pairs"].values()] == [old]
    bundle, network = load(demo.model)
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    other = save(tmp_path / "other", bundle, network, "")
    result = watched.run(model=other)
    assert outcomes(result) == {"2023-06-18": "known"}
    (line,) = (line for line in lines_of(result) if line.startswith("Another model"))
    assert line.startswith(f"Another model: 1 pair made by the model {old[7:15]}")
    assert watched.run().other_models == ()


def test_without_a_model_nothing_is_begun(watched: Watched) -> None:
    with pytest.raises(InputError):
        watched.run(model=watched.folder / "nowhere")


def test_the_command_says_what_it_did_and_fails_where_a_pair_did(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    config = watched.folder / "demo.yaml"
    config.write_text(json.dumps(watched.project.model_dump(mode="json")), encoding="utf-8")
    command = [str(v) for v in ("monitor", config, "--data", watched.data, "--output", watched.output)]
    runner = CliRunner()
    done = runner.invoke(app, [*command, "--model", str(watched.trained.model)])
    assert done.exit_code == 0, done.output
    assert "2023-06-18 against 2019-05-15 to 2019-07-15: done." in done.output
    assert "Changed in the register:" in done.output
    known = runner.invoke(app, [*command, "--model", str(watched.trained.model), "--json"])
    assert json.loads(known.stdout)["pairs"][0]["outcome"] == "known"
    monkeypatch.setattr(monitoring, "detect_planned", lambda *_: (_ for _ in ()).throw(RuntimeError("no disk")))
    failed = runner.invoke(app, [*command, "--model", str(watched.trained.model), "--again"])
    assert failed.exit_code == 1
    assert "failed. RuntimeError: no disk" in failed.output


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="ogrinfo (Debian: gdal-bin) is not installed")
def test_gdal_reads_the_register_and_its_diff(watched: Watched) -> None:
    result = watched.run()
    assert result.diff is not None
    for path in (result.register, result.diff, result.diff.with_suffix(".geojson")):
        said = subprocess.run(["ogrinfo", "-ro", "-so", "-al", str(path)], capture_output=True, check=True, text=True).stdout
        assert f"Feature Count: {result.what['new']}" in said
    assert replace(result, pairs=()).failed == ()


def test_a_pair_of_two_seasons_is_skipped_marked_or_refused(watched: Watched) -> None:
    watched.comes_in("20240110")
    first = watched.run()
    assert outcomes(first) == {"2023-06-18": "done", "2024-01-10": "skipped"}
    (line,) = (line for line in lines_of(first) if "skipped" in line)
    assert "2024-01-10, lie" in line
    assert "days apart in the course of the year; expected at most 45 days" in line
    assert "`monitor: pairs: same-season`" in line
    assert first.failed == ()
    assert outcomes(watched.run()) == {"2023-06-18": "known", "2024-01-10": "known"}
    ws = workspace(watched.project, watched.data, watched.output)
    findings = find_scenes(ws, sensor_of(watched.project.sensor))
    lines = describe_pairs(ws, findings, TODAY)
    assert lines[0].startswith("2 pairs; the dates of 1 lie in different seasons, and they are skipped")
    assert "same-season` compares each period with the one a year before: 0 pairs" in lines[1]

    watched.configure(monitor={"season": "mark"})
    marked = watched.run()
    assert outcomes(marked) == {"2023-06-18": "done", "2024-01-10": "done"}
    (winter,) = (pair for pair in marked.pairs if pair.after == "2024-01-10")
    warned = json.loads((watched.home / "pairs" / winter.pair / "demo/run/record/run.json").read_text(encoding="utf-8"))[
        "warnings"
    ]
    assert list(winter.warnings) == [f"{w['plain']} {w['remedy']}".strip() for w in warned]
    assert any(line.startswith("Warning: 2024-01-10: The dates lie") for line in lines_of(marked))

    watched.configure(monitor={"season": "skip"})
    again = watched.run()
    assert outcomes(again)["2024-01-10"] == "skipped"
    assert "`landshift register withdraw --run" in next(p.message for p in again.pairs if p.after == "2024-01-10")
    watched.configure(monitor={"season": "stop"})
    assert outcomes(watched.run())["2024-01-10"] == "failed"


@pytest.mark.slow
def test_old_runs_go_but_not_those_that_changes_point_to(watched: Watched) -> None:
    for day in ("20240617", "20250616"):
        watched.comes_in(day)
    later = date(2026, 1, 1)
    watched.run(today=later)
    runs = {p.parts[-3][-10:]: p for p in watched.home.glob("pairs/*/demo/run")}
    assert sorted(runs) == ["2023-06-18", "2024-06-17", "2025-06-16"]
    watched.configure(monitor={"keep": 1})
    result = watched.run(today=later)
    assert sorted(day for day, folder in runs.items() if folder.is_dir()) == ["2023-06-18", "2025-06-16"]
    assert result.removed[0].startswith("the runs of 1 old pair, ")
    changes, history = watched.changes(), watched.history()
    assert set(outcomes(watched.run(today=later)).values()) == {"known"}
    pd.testing.assert_frame_equal(changes, watched.changes())
    assert watched.history() == history
