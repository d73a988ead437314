"""Outputs appear whole or not at all, and count as done only while every byte is as it was recorded."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift.pipeline import manifest as manifest_module
from landshift.pipeline.files.makers import SILENT_FOR_S, Maker, maker_of, this_process
from landshift.pipeline.manifest import (
    MANIFEST,
    Manifest,
    file_hash,
    link_or_copy,
    remove_partials,
    replace_when_done,
    scratch_folder,
    value_hash,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with replace_when_done(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("name", ["a.txt", "odd [1] name?*.txt", "ä.txt"])
def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = write_text(tmp_path / name, "old")
    with pytest.raises(KeyboardInterrupt), replace_when_done(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        temporary.with_name(f"{temporary.name}.aux.xml").write_text("beside")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("old", ["nothing", "file", "folder"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_anything_replaces_anything(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "run"
    if old == "file":
        path.write_text("old")
    elif old == "folder":
        path.mkdir()
        (path / "old").write_text("old")
    with replace_when_done(path) as temporary:
        if new == "file":
            temporary.write_text("new")
        else:
            temporary.mkdir()
            (temporary / "new").write_text("new")
    assert path.read_text() == "new" if new == "file" else names(path) == ["new"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_takes_the_place_of_another_on_any_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(manifest_module, "_exchange", lambda *_: False)
    for content in ("old", "new"):
        with replace_when_done(tmp_path / "run") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert (names(tmp_path), names(tmp_path / "run")) == (["run"], ["new"])


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "_exchange", lambda *_: False)
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").write_text("old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if "aside" not in self.name and target == path:
            raise OSError("the share is gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="share"), replace_when_done(path) as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["run"]
    assert names(path) == ["old"]


def test_what_is_to_be_new_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder"

    def make() -> None:
        with replace_when_done(path, new=True) as temporary:
            temporary.mkdir()
            path.mkdir()
            (path / "theirs").touch()

    with pytest.raises(FileExistsError, match="there already"):
        make()
    assert (names(tmp_path), names(path)) == (["folder"], ["theirs"])


@pytest.fixture
def ended() -> Maker:
    """A process of this machine that has ended."""
    code = "from landshift.pipeline.files.makers import this_process as p; m = p(); print(m.machine, m.process, m.start)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    return Maker(said[0], int(said[1]), said[2])


def leave(folder: Path, maker: Maker, name: str) -> Path:
    path = folder / f"{maker.prefix}{name}"
    path.mkdir()
    (path / "x").write_text("half")
    return path


def test_the_name_of_an_unfinished_file_tells_its_maker(tmp_path: Path) -> None:
    with replace_when_done(tmp_path / "a.tif") as temporary:
        assert maker_of(temporary.name) == this_process()
        assert not this_process().is_gone(temporary)
        temporary.touch()
    assert maker_of("a.tif") is maker_of(".partial-1-a.tif") is None


def test_leftovers_of_a_kill_are_taken_away_by_who_writes_there_next(tmp_path: Path, ended: Maker) -> None:
    leave(tmp_path, ended, "0-run")
    (tmp_path / f"{ended.prefix}1-a.tif").write_text("half")
    write_text(tmp_path / "whole.txt", "whole")
    assert names(tmp_path) == ["whole.txt"]


def test_what_others_are_writing_stays(tmp_path: Path, ended: Maker) -> None:
    us = this_process()
    ours = leave(tmp_path, us, "0-run")
    reused = leave(tmp_path, Maker(us.machine, us.process, ended.start), "0-run")
    elsewhere = leave(tmp_path, Maker("other.00ff00", ended.process, ended.start), "0-run")
    theirs = tmp_path / ".partial-notes.txt"
    theirs.touch()
    remove_partials(tmp_path)
    assert ours.is_dir()
    assert not reused.exists(), "the number of a process is given again, and proves nothing"
    assert elsewhere.is_dir(), "whether a process of another machine lives is not to be seen from here"
    assert theirs.is_file(), "not one of our names"
    long_ago = time.time() - SILENT_FOR_S - 60
    for path in (elsewhere / "x", elsewhere):
        os.utime(path, (long_ago, long_ago))
    remove_partials(tmp_path)
    assert not elsewhere.exists(), "a day without a byte"


def test_a_folder_that_stepped_aside_when_the_kill_came_gets_its_name_back(tmp_path: Path, ended: Maker) -> None:
    leave(tmp_path, ended, "aside-run")
    remove_partials(tmp_path)
    assert names(tmp_path / "run") == ["x"]
    leave(tmp_path, ended, "aside-run")
    (tmp_path / "run" / "new").touch()
    remove_partials(tmp_path)
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["new", "x"], "the new one is in place"


def test_two_threads_that_write_there_do_not_take_away_each_others_files(tmp_path: Path) -> None:
    with replace_when_done(tmp_path / "change.tif") as outer:
        outer.write_text("outer")
        for name in ("change", "change.tif"):
            write_text(tmp_path / name, "inner")
    assert (tmp_path / "change.tif").read_text() == "outer"


def test_a_folder_for_meanwhile_is_gone_at_the_end(tmp_path: Path, ended: Maker) -> None:
    leave(tmp_path, ended, "0-scratch")
    with scratch_folder(tmp_path) as one, scratch_folder(tmp_path) as other:
        (one / "a").touch()
        assert len({one, other}) == len(names(tmp_path)) == 2
    assert not names(tmp_path)


def test_unfinished_work_on_other_inputs_is_removed(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for key in ("sha256:1", "sha256:2"):
        (manifest.begin("checkpoints", key)).mkdir()
    assert names(tmp_path) == ["checkpoints-2"]
    assert manifest.begin("checkpoints", "sha256:2").is_dir(), "a training that was killed goes on"
    manifest.finish("checkpoints")
    assert not names(tmp_path)


def test_json_is_strict_and_readable(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"name": "Täizhōu", "n": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Täizhōu", "n": 1}
    assert "Täizhōu" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"n": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["n"] == 1


def test_hashes() -> None:
    assert value_hash({"a": 1, "b": [1, 2]}) == value_hash({"b": (1, 2), "a": 1})
    assert value_hash([1, 2]) != value_hash([2, 1])


def test_a_file_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_hashes_that_are_known_are_taken_and_the_files_not_read(tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(name.encode())
    manifest, known = Manifest(tmp_path), {"a.bin": "sha256:0", "other.bin": "sha256:1"}
    manifest.record("step", "key", [tmp_path / "a.bin", tmp_path / "b.bin"], known=known)
    assert manifest.entries()["step"]["files"] == {"a.bin": "sha256:0", "b.bin": file_hash(tmp_path / "b.bin")}
    assert not manifest.is_current("step", "key"), "what is recorded is what is asked for later"


def recorded(folder: Path) -> Manifest:
    manifest = Manifest(folder)
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(bytes(range(32)))
    manifest.record("step", "key", [folder / "a.bin", folder / "b.bin"], {"observed": 0.5})
    return manifest


def test_what_was_recorded_is_current(tmp_path: Path) -> None:
    manifest = recorded(tmp_path)
    assert manifest.is_current("step", "key")
    assert not manifest.is_current("step", "other key")
    assert not manifest.is_current("other step", "key")
    assert manifest.facts("step") == {"observed": 0.5}
    assert manifest.facts("other step") == {}
    (tmp_path / "c.bin").write_bytes(b"")
    manifest.record("next", "k", [tmp_path / "c.bin"])
    assert manifest.is_current("step", "key")
    assert manifest.facts("next") == {}
    (tmp_path / "b.bin").unlink()
    assert not manifest.is_current("step", "key")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["a.bin", "b.bin"]), st.binary(max_size=40))
def test_no_change_of_any_byte_goes_unseen(tmp_path: Path, name: str, content: bytes) -> None:
    manifest = recorded(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert manifest.is_current("step", "key") == (content == bytes(range(32)))


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"\xff\xfe\x00", b"[1]", b"null", b'{"step": 1}', b'{"step": {"key": "key"}}', b'{"step": {"files": {}}}',
        b'{"step": {"key": "key", "files": {}, "facts": "x"}}',
    ],
)  # fmt: skip
def test_a_damaged_record_proves_nothing(tmp_path: Path, damage: bytes) -> None:
    manifest = recorded(tmp_path)
    (tmp_path / MANIFEST).write_bytes(damage)
    assert not manifest.is_current("step", "key")
    assert manifest.facts("step") == {}
    assert recorded(tmp_path).is_current("step", "key")


def test_a_second_name_costs_no_bytes_and_a_disk_without_links_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"content")
    link_or_copy(source, tmp_path / "b")
    assert (tmp_path / "b").samefile(source)

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(source, tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"content"
    assert not (tmp_path / "c").samefile(source)
