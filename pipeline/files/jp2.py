"""Boxes of a JPEG 2000 file: GDAL (3.10) goes round for ever in one that holds a box of no length.

ISO/IEC 15444-1, annex I: https://www.itu.int/rec/T-REC-T.800
"""

from typing import BinaryIO

_HOLDERS = (b"asoc", b"jp2h", b"res ", b"ftbl", b"jpch", b"jplh")
"""Types of boxes that hold others."""
_MOST, _MOST_HOLDERS = 10_000, 100
"""Boxes of a file, and those of them that hold others; archives write some ten, of which two or three do."""


def fault_in_boxes(stream: BinaryIO, size: int) -> str:
    """Return what is wrong with the boxes of a JPEG 2000 file, with its place; empty where nothing is.

    Args:
        stream: At any place; what lies beyond its end is not looked at.
        size: Bytes of the file.
    """
    waiting = [(0, size, True)]
    boxes = holders = 0
    while waiting:
        begin, end, outer = waiting.pop()
        holders += 1
        while begin + 8 <= end:
            stream.seek(begin)
            head = stream.read(16)
            if len(head) < 8:
                break
            length, kind, start = int.from_bytes(head[:4], "big"), head[4:8], begin + 8
            if length == 1:
                length, start = int.from_bytes(head[8:16], "big"), begin + 16
            if length == 0 and outer:
                # To the end of the file, which only the last one may be.
                break
            boxes += 1
            # One that reaches beyond the end of the file was cut off, which GDAL has its own words for.
            if start > begin + length or (begin + length > end and not outer) or boxes > _MOST or holders > _MOST_HOLDERS:
                return f"the box {kind!a} at byte {begin:,} has {length:,} bytes, and {end - begin:,} are left for it"
            if kind in _HOLDERS:
                waiting.append((start, min(begin + length, size), False))
            begin += length
    return ""
