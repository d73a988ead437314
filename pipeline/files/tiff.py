"""Sizes of the blocks in a TIFF, of masks and overviews too, by its directories: GDAL shows those of the image alone.

TIFF 6.0: https://download.osgeo.org/libtiff/doc/TIFF6.pdf; BigTIFF: https://libtiff.gitlab.io/libtiff/specification/bigtiff.html
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANAR = 256, 257, 258, 259, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _INNER = 322, 323, 330
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Of the types of whole numbers."""
_MOST = 256
"""Directories that are looked at: an image has one, and one for each overview and mask."""
_MOST_ENTRIES = 4096
"""Of a directory; GDAL writes some twenty."""


@dataclass(frozen=True)
class BlockSize:
    """Blocks of an image, an overview or a mask in a file."""

    rows: int
    """Of pixels."""
    columns: int
    """The same."""
    size: int
    """Bytes a pixel, unpacked, of all bands that lie in a block; GDAL makes a byte of each bit."""


def block_sizes(stream: BinaryIO) -> Iterator[BlockSize]:
    """Yield the size of the blocks of each directory, as far as the file can be followed.

    Strips that are not compressed are left out, since they are read in parts.
    """
    head = stream.read(16)
    order = "<" if head.startswith(b"II") else ">"
    if len(head) < 16:
        return
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    waiting = [struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        place = waiting.pop()
        if place == 0 or place in seen:
            continue
        seen.add(place)
        try:
            tags, after = _read_directory(stream, place, order, big=big)
        except (struct.error, OSError, OverflowError, ValueError):
            # GDAL has its own words for files that end too early.
            continue
        waiting += [after, *tags.get(_INNER, [])]
        found = _size_of(tags)
        if found is not None:
            yield found


def _size_of(tags: dict[int, list[int]]) -> BlockSize | None:
    def first(tag: int, otherwise: int) -> int:
        return (tags.get(tag) or [otherwise])[0]

    samples = first(_SAMPLES, 1) if first(_PLANAR, 1) == 1 else 1
    size = -(-max(first(_BITS, 1), 8) // 8) * samples
    if _TILE_WIDTH in tags:
        return BlockSize(first(_TILE_HEIGHT, 1), first(_TILE_WIDTH, 1), size)
    if first(_COMPRESSION, 1) == 1:
        return None
    height = first(_HEIGHT, 1)
    return BlockSize(min(first(_ROWS, height), height), first(_WIDTH, 1), size)


def _read_directory(stream: BinaryIO, place: int, order: str, *, big: bool) -> tuple[dict[int, list[int]], int]:
    """Return the first values of the tags that hold whole numbers, and the place of the next directory."""
    count, entry, room = ("Q", "HHQ8s", 8) if big else ("H", "HHI4s", 4)
    stream.seek(place)
    (entries,) = struct.unpack(f"{order}{count}", stream.read(struct.calcsize(f"={count}")))
    if entries > _MOST_ENTRIES:
        return {}, 0
    table = stream.read(entries * struct.calcsize(f"={entry}"))
    after = stream.read(room)
    tags = {}
    for tag, kind, values, content in struct.iter_unpack(f"{order}{entry}", table):
        if kind not in _FORMATS:
            continue
        step = struct.calcsize(f"={_FORMATS[kind]}")
        # Of long lists, such as the bits of each band, the first are enough.
        taken = min(values, room // step if values * step <= room else _MOST)
        if values * step > room:
            stream.seek(int.from_bytes(content, "little" if order == "<" else "big"))
            content = stream.read(taken * step)
        tags[tag] = list(struct.unpack(f"{order}{taken}{_FORMATS[kind]}", content[: taken * step]))
    return tags, int.from_bytes(after, "little" if order == "<" else "big")
