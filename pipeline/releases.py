"""Releases of a project: a folder for each model that was ever in use, and the journal of which one is in use now."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import MISSING, fault_of
from landshift.pipeline.manifest import file_hash, replace_when_done, short_hash, write_json
from landshift.pipeline.records import content_of, read_json, record_of

JOURNAL, RELEASES = "releases.json", "releases"
"""The journal, in the folder of the releases."""

PROMOTED: Final = "promoted"

REFUSED: Final = "refused"

ROLLED_BACK: Final = "rolled back"

COMPARED = "## Compared with release"
"""Heading on the card of a model that replaced another."""

_FORMAT = 1
_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
"""Of a folder or file of a release, which becomes part of a path."""
_DESCRIPTION, _WEIGHTS = "model.json", "weights.safetensors"


@dataclass(frozen=True)
class Entry:
    """A line of the journal; lines are only added."""

    action: Literal["promoted", "refused", "rolled back"]
    """What was done."""
    at: str
    """When, ISO 8601, UTC."""
    who: str | None
    """Login name, or the person named."""
    reason: str
    """Why, in words."""
    weights: str
    """`sha256:...` of the weights of the model that this is about; registers and `run.json` know a model by it."""
    description: str
    """`sha256:...` of its `model.json`, which holds the hash of the weights, the threshold and all else."""
    number: int | None = None
    """Of its release; None where it was refused and never had one."""
    folder: str | None = None
    """Of its release, in the folder of the releases."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the release with their hashes."""
    left: int | None = None
    """Number of the release that was in use until then."""
    key: str | None = None
    """Hash of what was compared; the same again gives the same answer."""
    comparison: Mapping[str, Any] | None = None
    """Verdict, and the scores of both models in each region; None where nothing was compared."""


@dataclass(frozen=True)
class ReleaseJournal:
    """What became of the models of a project."""

    entries: tuple[Entry, ...] = ()
    """The oldest first."""

    @property
    def in_use(self) -> Entry | None:
        """The line that put the present model in use; None before the first."""
        return next((e for e in reversed(self.entries) if e.action != REFUSED), None)

    @property
    def releases(self) -> dict[int, Entry]:
        """The line that made each release, by number."""
        found: dict[int, Entry] = {}
        for entry in self.entries:
            if entry.number is not None:
                found.setdefault(entry.number, entry)
        return dict(sorted(found.items()))

    @property
    def way_back(self) -> tuple[int, ...]:
        """Numbers of the releases that a rollback would come by, the one in use last."""
        path: list[int] = []
        for entry in self.entries:
            if entry.number is None:
                continue
            if entry.number in path:
                place = path.index(entry.number)
                del path[place : None if entry.action == ROLLED_BACK else place + 1]
            path.append(entry.number)
        return tuple(path)

    def release_of(self, description: str) -> Entry | None:
        """Return the release of a model; None where it never was one."""
        return next((e for e in self.releases.values() if e.description == description), None)

    def rollback_of(self, description: str) -> Entry | None:
        """Return the line that took a model out of use because it was not good; None where none did, or it is back."""
        for entry in reversed(self.entries):
            if entry.number is None:
                continue
            if entry.description == description:
                return None
            if entry.action == ROLLED_BACK and entry.left is not None:
                left = self.releases.get(entry.left)
                if left is not None and left.description == description:
                    return entry
        return None

    def refusal_of(self, description: str, key: str) -> Entry | None:
        """Return the last answer about a model, where it was a refusal from the same comparison."""
        last = next((e for e in reversed(self.entries) if e.description == description), None)
        return last if last is not None and last.action == REFUSED and last.key == key else None


def read_journal(folder: Path) -> ReleaseJournal:
    """Read the journal of a project; empty before the first release.

    Args:
        folder: Of the releases.

    Raises:
        InputError: It cannot be read, or holds what no journal holds.
    """
    path = folder / JOURNAL
    if fault_of(path) == MISSING:
        return ReleaseJournal()
    try:
        content = read_json(path)
        version = content["format"]
        entries = content["entries"]
        journal = (
            record_of(ReleaseJournal, {"entries": entries}, JOURNAL, exact=True) if version == _FORMAT else ReleaseJournal()
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damage(path, error) from error
    if version != _FORMAT:
        raise InputError(f"{path} has format {version}, this version reads {_FORMAT}. Use the version that wrote it.")
    _require_names(path, journal.entries)
    return journal


def write_journal(folder: Path, journal: ReleaseJournal) -> None:
    """Write the journal in one atomic step: this is what puts a model in use."""
    write_json(folder / JOURNAL, {"format": _FORMAT, **content_of(journal)})


def release_folder(folder: Path, release: Entry) -> Path:
    """Return the folder of a release, whose files are those that were released.

    Raises:
        InputError: It is gone, or a file in it is not what it was.
    """
    found = folder / str(release.folder)
    for name, wanted in release.files.items():
        path = found / name
        if not path.is_file():
            raise InputError(
                f"Release {release.number} cannot be used: {path} is missing. Copy it back, or name another release."
            )
        if file_hash(path) != wanted:
            raise InputError(
                f"Release {release.number} cannot be used: {path} is not the file that was released (expected {wanted}). "
                f"Copy it back, or name another release."
            )
    return found


def keep_release(folder: Path, source: Path, names: Sequence[str], journal: ReleaseJournal, weights: str) -> tuple[int, Path]:
    """Put a model into a release folder of its own; it is not in use before the journal has its line.

    Args:
        folder: Of the releases.
        source: Folder of the model.
        names: Its files; those that are not there are left out.
        journal: Gives the next number.
        weights: Hash of its weights.

    Returns:
        The number and the folder.
    """
    there = [int(p.name[:4]) for p in folder.glob("[0-9][0-9][0-9][0-9]-*") if p.is_dir()] if folder.is_dir() else []
    number = max((*there, *journal.releases), default=0) + 1
    target = folder / f"{number:04d}-{short_hash(weights)}"
    with replace_when_done(target) as temporary:
        temporary.mkdir(parents=True)
        for name in names:
            if (source / name).is_file():
                shutil.copy2(source / name, temporary / name)  # no link: what is written into the one must not reach the other
    return number, target


def model_in_use(folder: Path, model: Path) -> Path:
    """Return where the model in use lies.

    That is `model`, except where a kill came between the journal and the folder: then it is the release itself, which is the
    same model.

    Args:
        folder: Of the releases.
        model: Folder that shows the model in use.

    Raises:
        InputError: The journal is damaged, or `model` holds a model that was never released.
    """
    journal = read_journal(folder)
    current = journal.in_use
    if current is None:
        return model
    shown = model / _DESCRIPTION
    found = file_hash(shown) if shown.is_file() else None
    if found == current.description:
        return model
    if found is not None and journal.release_of(found) is None:
        raise InputError(
            f"{model} holds a model that was never released, while {folder / JOURNAL} has release {current.number} in "
            f"use. Put that back with `landshift release rollback CONFIG --to {current.number} --reason ...`, or name the "
            f"other one with --model."
        )
    return folder / str(journal.releases[current.number or 0].folder)


def _damage(path: Path, why: object) -> InputError:
    return InputError(
        f"{path} is damaged ({why}): which model is in use cannot be known. Copy it back from a backup; or move {path.parent} "
        f"and {path.parent.parent / 'model'} away, and train again: that model is the first."
    )


def _require_names(path: Path, entries: Sequence[Entry]) -> None:
    """Refuse a journal whose folders and files could lie outside the folder of the releases."""
    made: set[int | None] = set()
    for line, entry in enumerate(entries, start=1):
        if entry.action == REFUSED or entry.number in made:
            continue
        names = (entry.folder or "", *entry.files)
        if entry.number is None or entry.number < 1 or not entry.files or not all(map(_NAME.fullmatch, names)):
            raise _damage(path, f"line {line} names no folder of a release with its files")
        made.add(entry.number)


def require_whole(folder: Path) -> None:
    """Refuse a folder that does not hold a model and the weights that it was written with; what the model is like is not read.

    Raises:
        InputError: A file is missing or damaged, or is not the one that it was written with.
    """
    description, weights = folder / _DESCRIPTION, folder / _WEIGHTS
    try:
        wanted = json.loads(description.read_text(encoding="utf-8"))["weights"]
        whole = file_hash(weights) == wanted
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is not a model: {Path(error.filename).name} is missing. Run `landshift train` first (from the same "
            f"folder, or with the same --output), or name a model with --model."
        ) from error
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{description} is damaged ({error!r}). Train again, or copy the whole folder again.") from error
    if not whole:
        raise InputError(f"{weights} is not the file that {_DESCRIPTION} was written with. Copy the whole folder again.")
