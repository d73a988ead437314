"""What lies in a folder and its subfolders: what is passed by is named, and no link leads in a circle."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from landshift.pipeline.errors import InputError, UnreadableError, has_unprintable
from landshift.pipeline.files.opening import fault_of

Refused = Callable[[str, InputError], None]
"""Called with the name of something in a folder, relative to it, and with what is wrong with it."""


def require_listable(folder: Path) -> None:
    """Refuse a folder whose content may not be listed: it would be taken for an empty one, or one that is not there.

    Raises:
        InputError: It may not; what is not a folder, or not there, is left to the caller.
    """
    try:
        with os.scandir(folder):
            pass
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UnreadableError(f"{folder} cannot be listed ({error.strerror}). Expected a folder that you may read.") from error


def walk_files(folder: Path, refused: Refused, *, suffixes: tuple[str, ...], depth: int | None = None) -> Iterator[Path]:
    """Yield the plain files below a folder that have one of the suffixes, by path.

    Links to files are followed, links to folders are not, with a warning; hidden folders are passed by.

    Args:
        folder: An existing folder.
        refused: Called with everything that has one of the suffixes and is no plain file, and with folders that may not be
            listed.
        suffixes: Lower case, such as `.jp2`.
        depth: Folders below it that are looked into; all where None.
    """
    yield from sorted(_walk(folder, folder, refused, suffixes=suffixes, depth=depth))


def _walk(folder: Path, top: Path, refused: Refused, *, suffixes: tuple[str, ...], depth: int | None) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        name = show_name(folder.relative_to(top).as_posix())
        refused(name, UnreadableError(f"{folder} cannot be listed ({error.strerror}). Make it readable, or move it away."))
        return
    for entry in entries:
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if depth != 0 and not entry.name.startswith("."):
                yield from _walk(path, top, refused, suffixes=suffixes, depth=None if depth is None else depth - 1)
        elif not entry.name.lower().endswith(suffixes):
            if depth is None and entry.is_symlink() and path.is_dir() and not entry.name.startswith("."):
                warnings.warn(f"{path} is a link to a folder, which is not followed. Move it here to use it.", stacklevel=3)
        elif fault := fault_of(path):
            _refuse(path, top, fault, refused)
        else:
            yield path


def match_files(folder: Path, pattern: str, refused: Refused) -> list[Path]:
    """Return the plain files below a folder that match a pattern, by path.

    Args:
        folder: An existing folder.
        pattern: As `Path.glob` takes it; links to folders are followed where a part of it names or matches them.
        refused: Called with everything that matches and is neither a plain file nor a folder, and with folders that may not
            be listed and could have held a match.

    Raises:
        ValueError: The pattern cannot be used.
        NotImplementedError: It is an absolute path.
    """
    depth = None if "**" in pattern else pattern.count("/")
    for _ in _walk(folder, folder, refused, suffixes=(), depth=depth):
        pass
    found = []
    for path in sorted(folder.glob(pattern)):
        fault = fault_of(path)
        if fault and not path.is_dir():
            _refuse(path, folder, fault, refused)
        elif not fault:
            found.append(path)
    return found


def raise_fault(_: str, error: InputError) -> None:
    """Raise the fault, where nothing may be passed by."""
    raise error


def show_name(name: str) -> str:
    """Return a name as lists and records may have it: as in Python where a terminal would act on it."""
    return ascii(name) if has_unprintable(name) else name


def _refuse(path: Path, top: Path, fault: str, refused: Refused) -> None:
    name = show_name(path.relative_to(top).as_posix())
    refused(name, UnreadableError(f"{path} is {fault}. Put the file there, or remove it from the folder."))
