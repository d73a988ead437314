"""Pixels to the blocks of a file, and to the pixels of the next overview."""

from dataclasses import dataclass

import numpy as np
from isal import isal_zlib

BLOCK = 512
"""Pixels: side of the blocks that files are written in."""
_LEVEL = 1
"""Of DEFLATE by ISA-L: as small as level 1 of libdeflate, in less than half of its time; higher ones are hardly smaller."""
_SUM = {"uint8": np.uint16, "uint16": np.uint32, "int16": np.int32}
"""Types that hold the sum of four pixels, twice."""


@dataclass(frozen=True)
class PixelKind:
    """What the pixels of a raster are."""

    count: int
    """Bands."""
    dtype: str
    """Type, for example `uint8`."""
    nodata: float | None
    """Value that means not observed; None without one."""
    is_smooth: bool
    """Whether they are amounts, of which overviews hold the mean; else codes, of which they hold the most frequent one."""

    @property
    def has_differences(self) -> bool:
        """Whether blocks hold differences of neighbours (predictor 2), which take less room where these are alike."""
        return self.is_smooth and np.issubdtype(self.dtype, np.integer)

    def find_seen(self, pixels: np.ndarray) -> np.ndarray:
        """Return where pixels were observed; bool, of the same shape."""
        if self.nodata is None:
            return np.ones(pixels.shape, dtype=bool)
        if np.isnan(self.nodata):
            return np.asarray(~np.isnan(pixels))
        # As an integer, or pixels would be compared as float64.
        whole = np.issubdtype(pixels.dtype, np.integer) and float(self.nodata).is_integer()
        return np.asarray(pixels != (int(self.nodata) if whole else self.nodata))

    def is_whole(self, pixels: np.ndarray) -> bool:
        """Return whether each pixel was observed."""
        return bool(pixels.all()) if self.nodata == 0 else bool(self.find_seen(pixels).all())


def encode(pixels: np.ndarray, kind: PixelKind) -> bytes:
    """Compress a block.

    Args:
        pixels: (band, y, x), at most `BLOCK` high and wide; the rest of the block holds zeros.
        kind: What they are.
    """
    count, height, width = pixels.shape
    room = np.zeros((BLOCK, BLOCK, count), dtype=np.dtype(kind.dtype).newbyteorder("<"))
    for band, values in enumerate(pixels):
        room[:height, :width, band] = values
    rows = room.reshape(BLOCK, -1)
    if kind.has_differences:
        rows, values = np.empty_like(rows), rows
        rows[:, :count] = values[:, :count]
        np.subtract(values[:, count:], values[:, :-count], out=rows[:, count:])
    return isal_zlib.compress(rows.data, _LEVEL)


def halve(pixels: np.ndarray, kind: PixelKind) -> np.ndarray:
    """Return the pixels of the next overview, each of 2 x 2 pixels, of which those that were not observed do not count.

    Args:
        pixels: (band, y, x); where a side is odd, the last row or column counts twice.
        kind: What they are. Of codes that are equally frequent, the one whose last pixel is the first in reading order.
    """
    odd = [n % 2 for n in pixels.shape[1:]]
    if any(odd):
        pixels = np.pad(pixels, ((0, 0), (0, odd[0]), (0, odd[1])), mode="edge")
    return _mean(pixels, kind) if kind.is_smooth else _mode(pixels, kind)


def _mean(pixels: np.ndarray, kind: PixelKind) -> np.ndarray:
    dtype = np.dtype(kind.dtype)
    whole = np.issubdtype(dtype, np.integer)
    wide = _SUM.get(kind.dtype, np.int64 if whole else np.float64)
    if kind.is_whole(pixels):
        total = _add_four(pixels, wide)
        if whole:
            # Halves are rounded up, as GDAL does.
            total += 2
            total >>= 2
            return total.astype(dtype)
        return (total / 4).astype(dtype)
    seen = kind.find_seen(pixels)
    total, number = _add_four(np.where(seen, pixels, 0).astype(dtype), wide), _add_four(seen, np.int64)
    some = np.maximum(number, 1)
    mean = (2 * total.astype(np.int64) + some) // (2 * some) if whole else total / some
    return np.where(number > 0, mean, kind.nodata or 0).astype(dtype)


def _add_four(pixels: np.ndarray, wide: type) -> np.ndarray:
    """Return the sums of 2 x 2 pixels."""
    pairs: np.ndarray = pixels[:, 0::2].astype(wide)
    pairs += pixels[:, 1::2]
    return np.asarray(pairs[..., 0::2] + pairs[..., 1::2])


def _mode(pixels: np.ndarray, kind: PixelKind) -> np.ndarray:
    if (pixels == pixels[:, :1, :1]).all():
        return pixels[:, ::2, ::2]
    found, *others = (np.ascontiguousarray(pixels[:, y::2, x::2]) for y in (0, 1) for x in (0, 1))
    differ = found != others[0]
    for other in others[1:]:
        differ |= found != other
    # Most pixels are like their neighbours: the rule is for the rest.
    at = np.flatnonzero(differ)
    first, second, third, fourth = (codes.ravel()[at] for codes in (found, *others))
    one, two, three, four = (kind.find_seen(codes) for codes in (first, second, third, fourth))
    chosen = np.where(one, first, np.where(two, second, np.where(three, third, fourth)))
    # Two of a kind win; the pair that is complete first where there are two.
    chosen = np.where(four & ((fourth == first) | (fourth == second) | (fourth == third)), fourth, chosen)
    chosen = np.where(three & ((third == first) | (third == second)), third, chosen)
    found.ravel()[at] = np.where(one & (first == second), first, chosen)
    return found
