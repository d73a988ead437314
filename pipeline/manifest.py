"""Files that appear whole or not at all, and the record of what was made from what."""

import ctypes
import glob
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landshift.pipeline.files.makers import maker_of, this_process

MANIFEST = "manifest.json"


_ASIDE = "aside-"
"""Follows the maker in the name of a folder that stepped aside for its successor."""
_NUMBERS = itertools.count()
"""Of the unfinished files of this process."""
_EXCHANGE, _HERE = 2, -100
"""`RENAME_EXCHANGE` and `AT_FDCWD` of Linux."""


@contextmanager
def replace_when_done(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move it there once the block ends well.

    The temporary name keeps the suffix, which some GDAL drivers look at, and begins with `.partial-` and its maker: host,
    process, and when that was started. After an error nothing is left behind; what a kill leaves is taken away by the
    next process that writes into that folder (`remove_partials`).

    Args:
        path: File or directory to make; an earlier file or directory of that name is replaced.
        new: For a directory: whether an earlier one is left alone instead, also where another process makes it meanwhile.

    Raises:
        FileExistsError: It was to be new, and is there.
        OSError: The folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(path.parent)
    temporary = _temporary(path)
    try:
        yield temporary
        if temporary.is_file():
            _flush(temporary)
        if new:
            _name_new(temporary, path)
            return
        # A link that leads nowhere is in the way as well.
        if os.path.lexists(path) and (temporary.is_dir() or path.is_dir()):
            _swap(temporary, path)
        else:
            temporary.replace(path)
    finally:
        for leftover in path.parent.glob(f"{glob.escape(temporary.name)}*"):
            _remove(leftover)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for what is needed meanwhile, and remove it at the end; after a kill, `remove_partials` does."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_partials(parent)
    folder = _temporary(parent / "scratch")
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def _temporary(path: Path, mark: str = "") -> Path:
    """Return a name that no other thread or process has."""
    return path.with_name(f"{this_process().prefix}{mark or f'{next(_NUMBERS)}-'}{path.name}")


def _flush(path: Path) -> None:
    """Wait until the bytes are on the disk: some file systems report only now that there is no room."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _name_new(temporary: Path, path: Path) -> None:
    """Give a directory its name, unless something has it: the system itself renames none over one with files."""
    try:
        temporary.rename(path)
    except OSError as error:
        if not os.path.lexists(path):
            raise
        raise FileExistsError(f"{path} is there already") from error


def _swap(temporary: Path, path: Path) -> None:
    """Put a directory in the place of another, in one step where the system has one.

    Else the old one steps aside first; where a kill comes between, `remove_partials` puts it back.
    """
    if _exchange(temporary, path):
        return
    aside = _temporary(path, _ASIDE)
    _remove(aside)
    path.rename(aside)
    try:
        temporary.rename(path)
    except OSError:
        aside.rename(path)
        raise
    _remove(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the disk cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, TypeError, AttributeError):
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Let a second name stand for a file, where the disk allows it without copying its bytes.

    Nothing that is there may be written into afterwards, only replaced, as `replace_when_done` does.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove_partials(folder: Path) -> None:
    """Take away what processes that are gone left half-written in `folder`; those that live, and keep no lock, go on.

    A folder that had stepped aside when the kill came gets its name back. What cannot be removed stays.
    """
    paths: list[Path] = []
    with suppress(OSError):
        paths = list(folder.iterdir())
    for path in paths:
        maker = maker_of(path.name)
        if maker is None:
            continue
        with suppress(OSError):
            if not maker.is_gone(path):
                continue
            rest = path.name.removeprefix(maker.prefix)
            if rest.startswith(_ASIDE) and not os.path.lexists(folder / rest.removeprefix(_ASIDE)):
                path.rename(folder / rest.removeprefix(_ASIDE))
            else:
                _remove(path)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text in one atomic step."""
    with replace_when_done(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: object) -> Path:
    """Write JSON in one atomic step, with stable order and no NaN."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def file_hash(path: Path) -> str:
    """Return `sha256:` and the hexadecimal digest of a file's bytes."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def short_hash(digest: str, letters: int = 8) -> str:
    """Return the first letters of a hash without its `sha256:`, for names and tables."""
    return digest.removeprefix("sha256:")[:letters]


def value_hash(value: object) -> str:
    """Return `sha256:` and the digest of a JSON-like value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Manifest:
    """The record, beside the outputs, of what each was made from; the truth about what is done.

    An output counts as done only while the key of its inputs is the one on record, and its file is there with the hash
    that was recorded.
    """

    folder: Path
    """Where the outputs lie."""
    file: str = MANIFEST
    """Where the record itself lies, relative to the folder."""

    def begin(self, what: str, key: str) -> Path:
        """Return the folder for the unfinished work of a step on these inputs; such work on other inputs is removed."""
        ours = self.folder / f"{what}-{short_hash(key, 12)}"
        for other in self.folder.glob(f"{what}-*"):
            if other != ours:
                shutil.rmtree(other, ignore_errors=True)
        return ours

    def finish(self, what: str) -> None:
        """Remove the unfinished work of a step that is done, also where a kill came between the record and this."""
        for folder in self.folder.glob(f"{what}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the record: output name to `key` (hash of the inputs) and `files` (name to hash)."""
        path = self.folder / self.file
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            # A record that cannot be read proves nothing: the work is done again.
            return {}
        whole = {"key": str, "files": dict}
        return {
            name: entry
            for name, entry in found.items()
            if isinstance(entry, dict)
            and isinstance(entry.get("facts", {}), dict)
            and all(isinstance(entry.get(k), kind) for k, kind in whole.items())
        }

    def is_current(self, name: str, key: str) -> bool:
        """Return whether the step `name` was done from inputs with this key, and its files are unharmed."""
        entry = self.entries().get(name)
        if entry is None or entry["key"] != key:
            return False
        return all((self.folder / f).is_file() and file_hash(self.folder / f) == h for f, h in entry["files"].items())

    def record(
        self,
        name: str,
        key: str,
        files: list[Path],
        facts: Mapping[str, Any] | None = None,
        *,
        known: Mapping[str, str] | None = None,
    ) -> None:
        """Record that the step `name` made `files` (inside the folder) from inputs with this key.

        Args:
            name: Of the step.
            key: Hash of its inputs.
            files: What it made.
            facts: Small facts that are to be kept with it.
            known: Hashes of some of the files, by name, as `file_hash` returned them.
        """
        entries, names = self.entries(), {f.relative_to(self.folder).as_posix(): f for f in files}
        hashes = {n: (known or {}).get(n) or file_hash(f) for n, f in names.items()}
        entries[name] = {"key": key, "files": hashes, **({"facts": dict(facts)} if facts else {})}
        write_json(self.folder / self.file, entries)

    def facts(self, name: str) -> dict[str, Any]:
        """Return the small facts that were recorded with a step; may be empty."""
        return dict(self.entries().get(name, {}).get("facts", {}))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
