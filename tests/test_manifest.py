"""Outputs appear whole or not at all, and count as done only while every byte is as it was recorded."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift.pipeline.manifest import (
    MANIFEST,
    Manifest,
    file_hash,
    link_or_copy,
    remove_partials,
    replace_when_done,
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


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").write_text("old")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if "old" not in self.name and target == path:
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


def test_leftovers_of_a_kill_are_taken_away(tmp_path: Path) -> None:
    (tmp_path / ".partial-1-a.tif").write_text("half")
    (tmp_path / ".partial-1-run").mkdir()
    (tmp_path / ".partial-1-run" / "x").write_text("half")
    (tmp_path / "whole.tif").write_text("whole")
    remove_partials(tmp_path)
    assert names(tmp_path) == ["whole.tif"]


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
