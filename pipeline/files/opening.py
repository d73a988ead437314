"""Files of users before they are opened: only plain files are, and texts no further than their limit."""

import os
import stat
from pathlib import Path

from landshift.pipeline.errors import UnreadableError

MISSING = "not there"
"""What `fault_of` returns where nothing has that name."""
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def fault_of(path: Path) -> str:
    """Return why something cannot be read as a plain file; empty where it can, also through a link."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return f"a link to {path.readlink()}, where nothing is" if path.is_symlink() else MISSING
    except OSError as error:
        # Such as links in a circle, and folders that may not be entered.
        return f"out of reach ({os.strerror(error.errno or 0)})"
    if kind != stat.S_IFREG:
        # Reading a pipe would wait for a writer, and a device may have no end.
        return f"{_KINDS.get(kind, 'something else')}, and not a file"
    return "" if os.access(path, os.R_OK) else "a file that may not be read (Permission denied)"


def require_file(path: Path) -> None:
    """Refuse what is not a plain file that may be read: pipes and devices would be read for ever.

    Raises:
        InputError: It cannot be; the message names what it is.
    """
    fault = fault_of(path)
    if fault:
        raise UnreadableError(f"{path} cannot be read: it is {fault}. Expected a file; put it there, or name another.")


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the bytes of a file.

    Args:
        path: The file.
        limit: Bytes that it may have.

    Raises:
        InputError: It is not a plain file, cannot be read, or is longer.
    """
    require_file(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read ({error.strerror}). Expected a file that you may read.") from error
    if len(content) > limit:
        raise UnreadableError(f"{path} has more than {limit:,} bytes; expected fewer. Is it the right file?")
    return content


def read_text(path: Path, limit: int, encoding: str = "utf-8") -> str:
    """Return the text of a file.

    Args:
        path: The file.
        limit: Bytes that it may have.
        encoding: Of its text.

    Raises:
        InputError: As `read_bytes`, or it has bytes that are not text.
    """
    content = read_bytes(path, limit)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"{path} is not text in UTF-8: byte 0x{content[error.start]:02x} in line {content.count(10, 0, error.start) + 1}. "
            f"Save it as UTF-8."
        ) from error
