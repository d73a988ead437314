"""Files of a folder, its subfolders and the archives in it."""

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.scenes.products.names import FoundFile

ARCHIVES = (".zip", ".tar")
"""Suffixes of archives that are read in place."""
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Of these each window would unpack everything before it."""
_MOST_MEMBERS = 100_000


def walk(folder: Path, refused: Callable[[str, InputError], None], suffixes: tuple[str, ...]) -> Iterator[FoundFile]:
    """Yield the files below a folder that have one of the suffixes, those in archives too, by path.

    Links to folders are not followed, hidden folders are passed by.

    Args:
        folder: An existing folder.
        refused: Called with the name and the fault of an archive that cannot be used, which is passed by then.
        suffixes: Lower case, such as `.jp2`.
    """
    for path in sorted(_files(folder)):
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


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if not path.is_symlink() and not path.name.startswith("."):
                yield from _files(path)
        elif path.is_file():
            yield path


def _members(path: Path, relative: str, suffixes: tuple[str, ...]) -> list[FoundFile]:
    """List the members of an archive, all of them or none.

    Raises:
        InputError: It is damaged, or holds a name or a link that points out of it.
    """
    found = []
    try:
        entries = list(_list_zip(path) if path.suffix.lower() == ".zip" else _list_tar(path))
    except (OSError, zipfile.BadZipFile, tarfile.TarError, UnicodeDecodeError, NotImplementedError) as error:
        raise InputError(f"{relative} cannot be read as an archive ({error}). Download it again.") from error
    if len(entries) > _MOST_MEMBERS:
        raise InputError(
            f"{relative} holds {len(entries):,} files; no scene has more than {_MOST_MEMBERS:,}. Unpack what you need."
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
