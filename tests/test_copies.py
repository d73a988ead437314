"""Copies of runs in object storage: whole or without their index, the same bytes, gone on with where they were interrupted."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

import landshift.flows.detect as detecting
from landshift.flows.config.project import Project, load_project
from landshift.flows.config.sections import PublishConfig
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.flows.steps.publication import copying
from landshift.flows.steps.publication.copying import copy_run, copy_runs, mark_of
from landshift.flows.steps.publication.run import Detected
from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.run_files import list_files, manifest_of_run
from tests.s3_server import Bucket, storing
from tests.small_run import write_run

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3tkey", "AWS_REGION": "us-east-1"}
PREFIX = "maps/place/k1/"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(copying, "_RETRIES", 0)
    with storing() as made:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": made.url}).items():
            monkeypatch.setenv(name, value)
        yield made


def project(to: str = "s3://bucket/maps/") -> Project:
    epochs = {"before": {"start": "2020-06-01", "end": "2020-06-30"}, "after": {"start": "2022-06-01", "end": "2022-06-30"}}
    return Project.model_validate(
        {"name": "place", "sensor": {"name": "sentinel-2-l2a"}, "epochs": epochs, "publish": {"to": to}}
    )


def finished(folder: Path) -> Path:
    write_run(folder)
    (folder / "record/item.json").write_text("{}")
    manifest_of_run(folder).record("run", "k1", list_files(folder))
    return folder


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = workspace(project(), tmp_path, tmp_path / "out")
    finished(made.run)
    return made


def require_same(bucket: Bucket, run: Path, prefix: str = PREFIX) -> None:
    here = {f"{prefix}{p.relative_to(run).as_posix()}": p.read_bytes() for p in list_files(run)}
    assert bucket.objects == here


def test_the_index_comes_last(bucket: Bucket, ws: Workspace) -> None:
    copied = copy_run(ws, ws.run)
    assert copied is not None
    assert (copied.address, copied.sent) == ("s3://bucket/maps/place/k1", len(list_files(ws.run)))
    require_same(bucket, ws.run)
    order = [name.removeprefix(PREFIX) for name in bucket.objects]
    assert order[-3:] == ["record/manifest.json", "record/item.json", "record/run.json"]
    assert order[:-3] == sorted(order[:-3])
    bucket.log.clear()
    again = copy_run(ws, ws.run)
    assert again is not None
    assert again.sent == 0
    assert {verb for verb, _ in bucket.log} == {"GET"}, "nothing is sent twice"


def test_what_was_damaged_there_is_replaced(bucket: Bucket, ws: Workspace) -> None:
    copy_run(ws, ws.run)
    bucket.store(f"{PREFIX}layers/change.tif", b"other bytes")
    del bucket.objects[f"{PREFIX}changes.gpkg"]
    bucket.objects["maps/place/other/record/run.json"] = b"of another run"
    bucket.marks["maps/place/other/record/run.json"] = "x"
    bucket.log.clear()
    copied = copy_run(ws, ws.run)
    assert copied is not None
    assert copied.sent == 3
    changes = [(verb, name.removeprefix(PREFIX)) for verb, name in bucket.log if verb in ("PUT", "DELETE")]
    assert changes == [
        ("DELETE", "record/run.json"),
        ("PUT", "changes.gpkg"),
        ("PUT", "layers/change.tif"),
        ("PUT", "record/run.json"),
    ]
    assert bucket.objects.pop("maps/place/other/record/run.json") == b"of another run"
    require_same(bucket, ws.run)


def test_a_run_that_was_altered_here_is_not_copied(bucket: Bucket, ws: Workspace) -> None:
    (ws.run / "layers/change.tif").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"is not as it was made \(layers/change.tif changed\), so it is not copied"):
        copy_run(ws, ws.run)
    assert not bucket.objects


def test_files_in_parts(bucket: Bucket, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 5 * 2**20
    monkeypatch.setattr(copying, "PART_BYTES", part)
    (ws.run / "big.tif").write_bytes(os.urandom(1000) * (2 * part // 1000 + 7))
    manifest_of_run(ws.run).record("run", "k1", [p for p in list_files(ws.run) if p.name != "manifest.json"])
    copy_run(ws, ws.run)
    require_same(bucket, ws.run)
    assert bucket.marks[f"{PREFIX}big.tif"] == mark_of(ws.run / "big.tif")
    assert bucket.marks[f"{PREFIX}big.tif"].endswith("-3")
    again = copy_run(ws, ws.run)
    assert again is not None
    assert again.sent == 0


def test_storage_with_marks_of_its_own_is_read_back(bucket: Bucket, ws: Workspace) -> None:
    bucket.own_marks = True
    copy_run(ws, ws.run)
    require_same(bucket, ws.run)
    assert sum(verb == "GET" and name != "" for verb, name in bucket.log) >= len(bucket.objects)


def test_bytes_that_arrive_otherwise(bucket: Bucket, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bucket.store
    monkeypatch.setattr(bucket, "store", lambda name, content, mark="": whole(name, content[:-1] + b"?", mark))
    with pytest.raises(UnavailableError, match="arrived otherwise than it was sent"):
        copy_run(ws, ws.run)
    assert f"{PREFIX}record/run.json" not in bucket.objects


def test_what_the_storage_refuses(bucket: Bucket, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences without keys; the run here is as it was."""
    said = []
    for status, kind, message in (
        (403, InputError, "may not be read, written or listed"),
        (500, UnavailableError, r"cannot be reached or written to \(HTTP 500\)"),
    ):  # fmt: skip
        bucket.status = status
        with pytest.raises(kind, match=message) as error:
            copy_run(ws, ws.run)
        said.append(str(error.value))
    bucket.status = 0
    other = workspace(project("s3://nobody/x"), ws.data, ws.output.parent)
    with pytest.raises(InputError, match="the bucket is not there"):
        copy_run(other, ws.run)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="cannot be reached") as error:
        copy_run(ws, ws.run)
    said.append(str(error.value))
    assert all("The run is whole in" in text and "run the same command again" in text for text in said)
    assert not any(secret in text for text in said for secret in KEYS.values() if secret != "us-east-1")


def test_no_key_reaches_files_logs_or_the_record(
    bucket: Bucket, ws: Workspace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        copy_run(ws, ws.run)
        assert copy_runs(ws, {"pair": ws.run}) == ()
    texts = [caplog.text, *capfd.readouterr(), *(p.read_bytes().decode("latin-1") for p in ws.output.rglob("*") if p.is_file())]
    texts += [content.decode("latin-1") for content in bucket.objects.values()]
    assert not any("s3cr3tkey" in text or "AKIAEXAMPLE" in text for text in texts)
    assert all("AKIAEXAMPLE" in head.get("authorization", "") for head in bucket.heads), "it was signed with the key"
    assert not any("s3cr3tkey" in value for head in bucket.heads for value in head.values())
    assert "publish" not in config_as_published(ws), "where copies lie is of no concern to a run or its key"


def test_runs_of_a_monitor(bucket: Bucket, ws: Workspace) -> None:
    folders = {"a": ws.run, "gone": ws.output / "pruned"}
    bucket.status = 503
    (failed,) = copy_runs(ws, folders)
    assert failed.startswith("the run of a: s3://bucket/maps/place/k1 cannot be reached or written to (HTTP 503)")
    bucket.status = 0
    assert copy_runs(ws, folders) == ()
    require_same(bucket, ws.run)
    bucket.log.clear()
    assert copy_runs(ws, folders) == ()
    assert not bucket.log, "what was copied as it is now is not even asked about"
    (ws.output / copying.COPIES).write_text('{"runs": {"s3')
    assert copy_runs(ws, folders) == ()
    assert {verb for verb, _ in bucket.log} == {"GET"}, "a damaged record costs a look, and stops nothing"
    (ws.run / "record/estimates.json").write_text("{}")
    manifest_of_run(ws.run).record("run", "k1", [p for p in list_files(ws.run) if p.name != "manifest.json"])
    assert copy_runs(ws, folders) == ()
    require_same(bucket, ws.run)


@pytest.mark.parametrize(
    "to",
    ["s3:/b", "gs://b", "s3://", "s3://user:s3cr3t@b/x", "s3://b/x?a=1", "s3://b:80/x", "s3://b/../x", "/tmp/x", "s3://b/x#y",
     "s3://[s3cr3t/x", "s3://buc ket/x", "s3://bucket//x"],
)  # fmt: skip
def test_what_is_no_place_for_copies(to: str) -> None:
    with pytest.raises(ValueError, match="expected s3://BUCKET") as error:
        PublishConfig(to=to)
    assert "s3cr3t" not in str(error.value.errors()[0]["msg"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("publish", [{"to": "s3://[s3cr3t/x"}, "s3://user:s3cr3t@bucket/x", ["s3://user:s3cr3t@bucket/x"]])
def test_an_address_that_was_put_into_a_wrong_place_is_not_repeated(tmp_path: Path, publish: object) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({"name": "place", "publish": publish}), encoding="utf-8")
    with pytest.raises(InputError, match="publish") as caught:
        load_project(path)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("to", ["s3://bucket", "s3://bucket/", "s3://My_bucket.de-1/a/b c/", "s3://bucket/maps"])
def test_places_for_copies(to: str) -> None:
    assert PublishConfig(to=to).to == to


def test_detect_copies_what_it_finished(bucket: Bucket, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a run that was there already: so that what was interrupted goes on."""
    monkeypatch.setattr(detecting, "plan", lambda _: None)
    monkeypatch.setattr(detecting, "detect_planned", lambda ours, _: Detected(ours.run, 1.0, 2, False))
    found = detecting.detect(ws.project, ws.data, ws.output.parent)
    assert found.copied == "s3://bucket/maps/place/k1"
    require_same(bucket, ws.run)
    plain = ws.project.model_copy(update={"publish": None})
    assert detecting.detect(plain, ws.data, ws.output.parent).copied == ""


CHILD = """
import sys
from pathlib import Path
from landshift.flows.steps.publication.copying import copy_run
from landshift.flows.steps.project.workspace import workspace
from tests.test_copies import project
folder = Path(sys.argv[1])
copy_run(workspace(project(), folder, folder / "out"), folder / "out" / "place" / "run")
"""


@pytest.mark.slow
def test_killed_in_the_middle(bucket: Bucket, ws: Workspace, tmp_path: Path) -> None:
    """After each kill there is no index, or all of it; in the end the copy is the run, and nothing was sent twice."""
    bucket.slow_s = 0.15
    total = len(list_files(ws.run))
    for kill in (1, 3, 4):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], cwd=Path(__file__).parents[1])
        while len(bucket.objects) < kill and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        time.sleep(0.3)
        assert f"{PREFIX}record/run.json" not in bucket.objects or len(bucket.objects) == total
    copy_run(ws, ws.run)
    require_same(bucket, ws.run)
    assert sum(verb == "PUT" for verb, _ in bucket.log) <= total + 3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("moto_server") is None, reason="moto_server is not installed")
def test_on_a_server_of_others(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:5599"
    server = subprocess.Popen(["moto_server", "-p", "5599"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": url}).items():
            monkeypatch.setenv(name, value)
        for _ in range(100):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"))
                break
            except OSError:
                time.sleep(0.2)
        monkeypatch.setattr(copying, "PART_BYTES", 5 * 2**20)
        (ws.run / "big.tif").write_bytes(os.urandom(1000) * 11_000)
        manifest_of_run(ws.run).record("run", "k1", [p for p in list_files(ws.run) if p.name != "manifest.json"])
        first, second = copy_run(ws, ws.run), copy_run(ws, ws.run)
        assert first is not None
        assert second is not None
        assert (first.sent, second.sent) == (len(list_files(ws.run)), 0)
        obstore.put(copying._store_of("s3://bucket"), f"{PREFIX}layers/change.tif", b"damaged")
        third = copy_run(ws, ws.run)
        assert third is not None
        assert third.sent == 2
    finally:
        server.terminate()
        server.wait()
