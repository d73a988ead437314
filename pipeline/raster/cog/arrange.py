"""Loose files arranged as cloud-optimised ones: directories first, then overviews, then the raster; nothing is decoded.

OGC 21-026, Cloud Optimized GeoTIFF: https://docs.ogc.org/is/21-026/21-026.html. The lines in front of the directories let
GDAL read a block with one request: https://gdal.org/en/stable/drivers/raster/cog.html
"""

from typing import BinaryIO

import numpy as np

from landshift.pipeline.raster.cog import directory
from landshift.pipeline.raster.cog.blocks import BLOCK, PixelKind
from landshift.pipeline.raster.cog.levels import Level, directories_of, shapes_of_levels

_TRAITS = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\nBLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    b"KNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_TRAITS) + _TRAITS
_FRAME = 4
"""Bytes before and behind each block."""
_DEFLATE, _TOGETHER = 8, 1
_LARGEST = 2**32 - 2**20
"""Bytes of a TIFF that is no BigTIFF."""


def read_levels(stream: BinaryIO, kind: PixelKind) -> tuple[directory.Directory, list[Level]] | None:
    """Return the tags of a file and where the blocks of all its levels lie; None where it cannot be arranged as it is.

    Args:
        stream: A TIFF.
        kind: What its pixels are to be.
    """
    try:
        found = directory.read_directories(stream)
    except ValueError:
        return None
    wanted = {
        directory.COMPRESSION: _DEFLATE, directory.PLANAR: _TOGETHER,
        directory.BLOCK_WIDTH: BLOCK, directory.BLOCK_HEIGHT: BLOCK,
    }  # fmt: skip
    plain = directory.integers(directory.SHORT, [1])
    for tags in found:
        if any(code not in tags or tags[code].numbers[0] != value for code, value in wanted.items()):
            return None
        if tags.get(directory.PREDICTOR, plain).numbers[0] != (2 if kind.has_differences else 1):
            return None
    shapes = [(int(tags[directory.HEIGHT].numbers[0]), int(tags[directory.WIDTH].numbers[0])) for tags in found]
    if shapes != shapes_of_levels(shapes[0]):
        return None
    places = [[tags[code].numbers.astype(np.uint64) for code in (directory.OFFSETS, directory.SIZES)] for tags in found]
    if not all(numbers.all() for place in places for numbers in place):
        # Blocks that are not in a sparse file have to be made.
        return None
    return found[0], [Level(shape, *place) for shape, place in zip(shapes, places, strict=True)]


def arrange(source: BinaryIO, target: BinaryIO, tags: directory.Directory, levels: list[Level]) -> None:
    """Write a cloud-optimised GeoTIFF from the blocks of a loose one.

    Args:
        source: The loose file.
        target: New, open for writing.
        tags: From `read_levels`.
        levels: From `read_levels`.

    Raises:
        OSError: It could not be written whole.
    """
    blocks = sum(level.sizes.size for level in levels)
    bytes_of_blocks = int(sum(level.sizes.sum() for level in levels)) + 2 * _FRAME * blocks
    big = bytes_of_blocks + 16 * blocks > _LARGEST
    start = len(directory.header(0, big=big)) + len(_GHOST)
    start += -start % 8
    place = start + len(directory.pack_directories(directories_of(tags, levels, big=big), start, big=big))
    arranged = []
    for level in reversed(levels):
        ends = place + np.cumsum(level.sizes + np.uint64(2 * _FRAME), dtype=np.uint64)
        arranged.append(Level(level.shape, ends - level.sizes - np.uint64(_FRAME), level.sizes))
        place = int(ends[-1])
    packed = directory.pack_directories(directories_of(tags, arranged[::-1], big=big), start, big=big)
    head = directory.header(start, big=big) + _GHOST
    target.write(head + bytes(start - len(head)) + packed)
    for level in reversed(levels):
        for offset, size in zip(level.offsets.tolist(), level.sizes.tolist(), strict=True):
            source.seek(offset)
            block = source.read(size)
            if len(block) != size:
                raise OSError("the loose file ends too early")
            target.write(size.to_bytes(_FRAME, "little") + block + block[-_FRAME:])
