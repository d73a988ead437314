"""Where the files of a collection lie: which belong together, and which of them train, validate and test."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import read_text
from landshift.pipeline.files.walking import require_listable, walk_files
from landshift.pipeline.labels.search import ROLES
from landshift.pipeline.limits import TABLE_BYTES

BEFORE, AFTER = "before", "after"
LABEL, BEFORE_LABEL, AFTER_LABEL = "label", "before_label", "after_label"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_SHOWN = 5


@dataclass(frozen=True)
class Chip:
    """The files of one pair."""

    name: str
    """Path within the folders, without the suffix; with the split's folder in front where the splits are folders."""
    role: str
    """`train`, `validation` or `test`."""
    files: Mapping[str, Path]
    """`before`, `after`, and one or more of `label`, `before_label` and `after_label`."""


@dataclass(frozen=True)
class ChipFolders:
    """Folders of a collection, as its config names them."""

    folder: Path
    """Of the collection."""
    parts: Mapping[str, Path]
    """`before`, `after` and the kinds of labels to their folders, relative to `folder`."""
    splits: Mapping[str, Path]
    """`train`, `validation` and `test` to a folder, or to a list of names (`.txt`)."""
    validation_share: float | None = None
    """Share of the training chips that is held out for validation, where `splits` has none; 0..0.5."""


def find_chips(layout: ChipFolders) -> tuple[list[Chip], list[str], list[str]]:
    """List the chips of a collection by role and name; no file is opened but the lists.

    Returns:
        The chips; what is wrong, a sentence for each fault; and notes.

    Raises:
        InputError: A folder or a list is not there, or a split has no chip.
    """
    faults: list[str] = []
    chips: list[Chip] = []
    notes: list[str] = []
    shared: dict[str, dict[str, Path]] | None = None
    for role, split in layout.splits.items():
        if split.suffix.lower() == ".txt":
            if shared is None:
                shared = {part: _index(layout.folder / path, faults) for part, path in layout.parts.items()}
            found = _complete(role, _names(layout.folder / split), shared, listed=str(split), faults=faults)
        else:
            found = _in_folder(layout, role, split, faults)
        if not found and not faults:
            raise InputError(
                f"{layout.folder}: the split `{role}: {split}` has no chip. Expected {', '.join(_SUFFIXES)} files."
            )
        chips += found
    for name, roles in _repeats(chips).items():
        faults.append(f"{name} is in {' and '.join(roles)}: a chip that trains must not test")
    if shared is not None:
        unused = len(set(shared[BEFORE]) - {c.name for c in chips})
        notes += [f"{unused:,} pairs are in no list, and are not used."] * (unused > 0)
    if layout.validation_share is not None:
        chips = _hold_out(chips, layout.validation_share)
        count = sum(c.role == ROLES[1] for c in chips)
        notes.append(f"{count:,} training chips, chosen by their names, are held out for validation: the collection has none.")
    return sorted(chips, key=lambda c: (ROLES.index(c.role), c.name)), faults, notes


def _in_folder(layout: ChipFolders, role: str, split: Path, faults: list[str]) -> list[Chip]:
    """List the chips of a split that has a folder, above or below those of the parts."""
    above = {part: layout.folder / split / path for part, path in layout.parts.items()}
    below = {part: layout.folder / path / split for part, path in layout.parts.items()}
    there = [ways for ways in (above, below) if ways[BEFORE].is_dir()]
    if not there:
        raise InputError(
            f"The split `{role}: {split}` is neither in {above[BEFORE]} nor in {below[BEFORE]}. {_content(layout.folder)} "
            f"Correct `labels: chips:`."
        )
    if len(there) > 1:
        raise InputError(
            f"The split `{role}: {split}` is both in {above[BEFORE]} and in {below[BEFORE]}: which is meant is not known. "
            f"Move one of them away."
        )
    indices = {part: _index(path, faults) for part, path in there[0].items()}
    names = dict.fromkeys(name for index in indices.values() for name in index)
    chips = _complete(role, names, indices, listed=None, faults=faults)
    return [replace(chip, name=f"{split.as_posix()}/{chip.name}") for chip in chips]


def _complete(
    role: str, names: Iterable[str], indices: Mapping[str, Mapping[str, Path]], *, listed: str | None, faults: list[str]
) -> list[Chip]:
    """Keep the names that have every part; what lacks is a fault."""
    chips = []
    for name in names:
        files = {part: index[name] for part, index in indices.items() if name in index}
        missing = [part for part in indices if part not in files]
        if not missing:
            chips.append(Chip(name, role, files))
        elif files:
            faults.append(f"{next(iter(files.values()))} has no counterpart in {', '.join(missing)}")
        else:
            faults.append(f"{name} is listed in {listed}, and is in none of the folders")
    return chips


def _index(folder: Path, faults: list[str]) -> dict[str, Path]:
    """Return the pictures of a folder by their names without suffixes."""
    require_listable(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not there. {_content(folder.parent)} Correct `labels: chips:`.")
    index: dict[str, Path] = {}
    for path in walk_files(folder, lambda _, error: faults.append(str(error)), suffixes=_SUFFIXES):
        if path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in index:
            faults.append(f"{path} and {index[name].name} have one name: which of them is meant is not known")
        index[name] = path
    return index


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is not there either."
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir() if not p.name.startswith("."))
    return (
        f"{folder} holds {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}."
        if names
        else f"{folder} is empty."
    )


def _names(path: Path) -> list[str]:
    """Return the names in a list, one a line, without suffixes."""
    lines = read_text(path, TABLE_BYTES, "utf-8-sig").splitlines()
    names = [Path(line.strip()) for line in lines if line.strip()]
    return [(n.with_suffix("") if n.suffix.lower() in _SUFFIXES else n).as_posix() for n in names]


def _repeats(chips: Iterable[Chip]) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    for chip in chips:
        roles.setdefault(chip.name, []).append(chip.role)
    return {name: found for name, found in roles.items() if len(found) > 1}


def _hold_out(chips: list[Chip], share: float) -> list[Chip]:
    """Give a share of the training chips to validation, the same ones whenever their names are the same."""
    train = [c for c in chips if c.role == ROLES[0]]
    order = sorted(train, key=lambda c: hashlib.sha256(c.name.encode()).digest())
    held = {c.name for c in order[: max(round(share * len(train)), 1)]}
    return [replace(c, role=ROLES[1]) if c.role == ROLES[0] and c.name in held else c for c in chips]


def count_roles(chips: Iterable[Chip]) -> dict[str, int]:
    """Return how many chips each role has."""
    counts = Counter(c.role for c in chips)
    return {role: counts[role] for role in ROLES}
