"""Directories of TIFF files as bytes: read, and written anew.

TIFF 6.0: https://download.osgeo.org/libtiff/doc/TIFF6.pdf; BigTIFF: https://libtiff.gitlab.io/libtiff/specification/bigtiff.html
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
SAMPLES, PLANAR, PREDICTOR, COLORMAP, BLOCK_WIDTH, BLOCK_HEIGHT, OFFSETS, SIZES = 277, 284, 317, 320, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, NODATA = 338, 339, 42113
SHORT, LONG, LONG8 = 3, 4, 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Of a value of each type."""
_INTEGERS = {SHORT: "<u2", LONG: "<u4", LONG8: "<u8"}


@dataclass(frozen=True)
class Tag:
    """An entry of a directory."""

    kind: int
    """Type of its values, as TIFF numbers them."""
    count: int
    """How many values there are."""
    content: bytes
    """The values, little-endian."""

    @property
    def numbers(self) -> np.ndarray:
        """The values of a tag of integers: uint16, uint32 or uint64 (value)."""
        return np.frombuffer(self.content, _INTEGERS[self.kind])


Directory = Mapping[int, Tag]
"""Number to tag."""


def integers(kind: int, values: Iterable[int] | np.ndarray) -> Tag:
    """Make a tag of `SHORT`, `LONG` or `LONG8` values."""
    array = np.asarray(values, dtype=_INTEGERS[kind]).ravel()
    return Tag(kind, array.size, array.tobytes())


def read_directories(stream: BinaryIO) -> list[Directory]:
    """Return the directories of a little-endian TIFF or BigTIFF, in the order of their chain.

    Raises:
        ValueError: It is neither, or it ends too early.
    """
    stream.seek(0)
    head = stream.read(16)
    big = head.startswith(b"II+\0")
    if not big and not head.startswith(b"II*\0"):
        raise ValueError("neither a little-endian TIFF nor a BigTIFF")
    place = int.from_bytes(head[8:16] if big else head[4:8], "little")
    return _follow(stream, place, big=big)


def _follow(stream: BinaryIO, place: int, *, big: bool) -> list[Directory]:
    found: list[Directory] = []
    room, entry = (8, "<HHQ8s") if big else (4, "<HHI4s")
    while place:
        count = int.from_bytes(_read(stream, place, 8 if big else 2), "little")
        table = _read(stream, stream.tell(), count * struct.calcsize(entry) + room)
        tags = {}
        for number, kind, values, content in struct.iter_unpack(entry, table[:-room]):
            size = values * _BYTES[kind]
            if size > room:
                content = _read(stream, int.from_bytes(content, "little"), size)
            tags[number] = Tag(kind, values, content[:size])
        found.append(tags)
        place = int.from_bytes(table[-room:], "little")
    return found


def _read(stream: BinaryIO, place: int, size: int) -> bytes:
    stream.seek(place)
    content = stream.read(size)
    if len(content) < size:
        raise ValueError("a TIFF that ends too early")
    return content


def header(place: int, *, big: bool) -> bytes:
    """Return the first bytes of a TIFF (8) or BigTIFF (16) whose first directory lies at `place`."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, place) if big else struct.pack("<2sHI", b"II", 42, place)


def pack_directories(directories: Sequence[Directory], place: int, *, big: bool) -> bytes:
    """Write directories down, one after the other, each with its values behind it.

    Args:
        directories: In the order of the chain.
        place: Of the first byte in the file, even.
        big: Whether the file is a BigTIFF.
    """
    room, entry, count = (8, "<HHQ8s", "<Q") if big else (4, "<HHI4s", "<H")
    out = bytearray()
    for number, tags in enumerate(directories, start=1):
        behind = place + len(out) + struct.calcsize(count) + len(tags) * struct.calcsize(entry) + room
        table, values = bytearray(struct.pack(count, len(tags))), bytearray()
        for code in sorted(tags):
            tag = tags[code]
            content = tag.content
            if len(content) > room:
                content = (behind + len(values)).to_bytes(room, "little")
                values += tag.content + bytes(-len(tag.content) % 8)
            table += struct.pack(entry, code, tag.kind, tag.count, content)
        values += bytes(-(behind + len(values)) % 8)
        after = behind + len(values) if number < len(directories) else 0
        out += table + after.to_bytes(room, "little") + values
    return bytes(out)
