"""Files of a folder, its subfolders and the archives in it."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

from landshift.pipeline.errors import InputError, has_unprintable
from landshift.pipeline.files.walking import Refused, match_files, raise_fault, require_listable, walk_files
from landshift.pipeline.limits import ARCHIVE_MEMBERS
from landshift.pipeline.raster.place import DAMAGED_ARCHIVE, ArchivedFile
from landshift.pipeline.scenes.products.names import FoundFile

ARCHIVES = (".zip", ".tar")
"""Suffixes of archives that are read in place."""
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Of these each window would unpack everything before it."""


def files_in(folder: Path, pattern: str, refused: Refused | None = None) -> list[Path]:
    """List the files of a folder that match a pattern, without opening them.

    Args:
        folder: The folder.
        pattern: As in a shell.
        refused: Called with the name and the fault of what matches and is no file, or cannot be listed; None: the first
            fault is raised.

    Raises:
        InputError: No folder, no such file, or an invalid pattern.
    """
    require_folder(folder)
    try:
        paths = match_files(folder, pattern, refused or raise_fault)
    except InputError:
        raise
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"`scenes: pattern: {pattern}` cannot be used ({error}). Expected something like `*.tif`.") from error
    if not paths:
        raise InputError(f"{folder} holds no file like {pattern}. Check `scenes: folder:` and `scenes: pattern:`.")
    return paths


def require_folder(folder: Path) -> None:
    """Refuse what is no folder, or may not be listed.

    Raises:
        InputError: It is not.
    """
    require_listable(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected the folder with the scenes; check --data and `scenes: folder:`.")


def require_printable(path: PurePath) -> None:
    """Refuse a file name that neither a config nor a terminal can show.

    Raises:
        InputError: It has control characters or is not UTF-8.
    """
    if has_unprintable(str(path)):
        raise InputError(f"The file name {str(path)!a} has control characters or is not UTF-8. Rename the file.")


def walk(folder: Path, refused: Refused, suffixes: tuple[str, ...]) -> Iterator[FoundFile]:
    """Yield the files below a folder that have one of the suffixes, those in archives too, by path.

    Links to folders are not followed, with a warning; hidden folders are passed by.

    Args:
        folder: An existing folder.
        refused: Called with the name and the fault of what cannot be used, and is passed by then: an archive, a folder that
            may not be listed, and what is no plain file.
        suffixes: Lower case, such as `.jp2`.
    """
    for path in walk_files(folder, refused, suffixes=(*suffixes, *ARCHIVES, *_COMPRESSED)):
        relative, name = path.relative_to(folder).as_posix(), path.name.lower()
        try:
            if name.endswith(suffixes):
                yield FoundFile(path, relative)
            elif name.endswith(_COMPRESSED):
                raise InputError(
                    f"{relative} is a compressed tar, which can only be read from its beginning. Unpack it: "
                    f"`tar -xf {path.name}`."
                )
            elif name.endswith(ARCHIVES):
                yield from _members(path, relative, suffixes)
        except InputError as error:
            refused(relative, error)


def _members(path: Path, relative: str, suffixes: tuple[str, ...]) -> list[FoundFile]:
    """List the members of an archive, all of them or none.

    Raises:
        InputError: It is damaged, or holds a name or a link that points out of it.
    """
    found = []
    try:
        entries = list(_list_zip(path) if path.suffix.lower() == ".zip" else _list_tar(path))
    except InputError:
        raise
    except DAMAGED_ARCHIVE as error:
        raise InputError(f"{relative} cannot be read as an archive ({error}). Download it again.") from error
    if len(entries) > ARCHIVE_MEMBERS:
        raise InputError(
            f"{relative} holds {len(entries):,} files; no scene has more than {ARCHIVE_MEMBERS:,}. Unpack what you need."
        )
    for name, size, checksum in entries:
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts or "\\" in name or not name.isprintable():
            raise InputError(
                f"{relative} holds the name {name!a:.100}, which points out of the archive or cannot be shown. It is not used: "
                f"download it again from its archive, or unpack what you trust."
            )
        if name.lower().endswith(suffixes):
            found.append(FoundFile(ArchivedFile(path, name, size, checksum), f"{relative}/{name}"))
    return sorted(found, key=lambda file: file.relative)


def _list_zip(path: Path) -> Iterator[tuple[str, int, str | None]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.flag_bits & 1:
                raise InputError(f"{path.name} is encrypted. Unpack it with its password.")
            if not entry.is_dir():
                yield entry.filename, entry.file_size, f"crc32-{entry.CRC:08x}"


def _list_tar(path: Path) -> Iterator[tuple[str, int, str | None]]:
    with tarfile.open(path, "r:") as archive:
        for entry in archive:
            if entry.issym() or entry.islnk() or entry.isdev():
                raise InputError(
                    f"{path.name} holds the link or device {entry.name!a:.100}, which no archive of scenes has. It is not "
                    f"used: download it again, or unpack what you trust."
                )
            if entry.isfile():
                yield entry.name, entry.size, None
