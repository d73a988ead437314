"""Joining rasters: strips of rows that were written apart become one file, in their own numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.raster import inspect, read_onto
from pipeline.raster_write import BLOCK, Layout, open_writer
from pipeline.tiles import Window


def join_rows(path: Path, layout: Layout, strips: Sequence[Path]) -> Path:
    """Write one raster of one band from strips of its rows, in one atomic step and a few rows at a time.

    No pixel is scaled, resampled or changed in type. Blocks are written whole and in order, so that the bytes of the file
    depend on its pixels, and not on how the rows were divided.

    Args:
        path: The file to make.
        layout: Of the whole.
        strips: Rasters of the same width and type, from north to south, which together have the rows of the whole.

    Raises:
        ValueError: The strips are not the whole, or of another type.
        InputError: A strip is missing or damaged.
        OSError: The file could not be written whole.
    """
    infos = [inspect(strip) for strip in strips]
    height, width = layout.grid.shape
    found = sum(info.shape[0] for info in infos), {info.shape[1] for info in infos}, {info.dtype for info in infos}
    if layout.count != 1 or found != (height, {width}, {layout.dtype}):
        raise ValueError(
            f"{path}: strips of {found[0]} rows, {found[1]} columns and {found[2]}; expected one band of {height} rows, "
            f"{width} columns and {layout.dtype}."
        )
    starts = np.cumsum([0, *(info.shape[0] for info in infos)])
    with open_writer(path, layout) as write:
        for y in range(0, height, BLOCK):
            block = Window(y, 0, min(BLOCK, height - y), width)
            parts = []
            for start, info in zip(starts, infos, strict=False):
                inside = Window(y - int(start), 0, block.height, width).clipped(info.shape)
                if inside.height:
                    parts.append(read_onto(info.path, info.grid, window=inside))
            write(block, np.concatenate(parts)[np.newaxis])
    return path
