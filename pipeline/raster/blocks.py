"""Where in a raster file values may lie, by the file's own index of its blocks, without reading pixels."""

from dataclasses import dataclass

from landshift.pipeline.raster.open import environment, open_source
from landshift.pipeline.raster.place import RasterPlace
from landshift.pipeline.tiles import Window

_PART_PIXELS = 2**18
"""Blocks that are smaller, such as strips of one row, are taken together up to about this many pixels."""


_WIDE = 4096
"""Pixels: blocks that are wider hold whole rows of a file, or much of them."""


def is_striped(path: RasterPlace) -> bool:
    """Return whether the blocks of a file are whole rows, so that a part of a row costs as much as all of it.

    Raises:
        InputError: The file cannot be read.
    """
    with environment(path), open_source(path) as source:
        return any(width > _WIDE for _, width in source.block_shapes)


@dataclass(frozen=True)
class Part:
    """Neighbouring blocks of a file."""

    window: Window
    """In pixels of the file."""
    stored: int
    """Bytes that they take in the file; 0 where none was ever written, -1 where the format does not record it."""


def list_parts(path: RasterPlace, band: int, within: Window) -> list[Part]:
    """List the blocks of a band that touch a window, small ones joined with their neighbours.

    Args:
        path: The raster.
        band: From 1.
        within: In pixels of the file.

    Returns:
        Row by row, cut to the window.

    Raises:
        InputError: The file cannot be read.
    """
    with environment(path), open_source(path) as source:
        height, width = source.block_shapes[band - 1]
        rows = range(within.y // height, -(-(within.y + within.height) // height))
        columns = range(within.x // width, -(-(within.x + within.width) // width))
        across = max(min(_PART_PIXELS // (height * width), len(columns)), 1)
        down = max(_PART_PIXELS // (height * width * across), 1) if across == len(columns) else 1
        knows = source.driver == "GTiff"

        def count_bytes(y: int, x: int) -> int:
            return int(source.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band) or 0) if knows else -1

        found = []
        for y in rows[::down]:
            for x in columns[::across]:
                blocks = [(r, c) for r in range(y, min(y + down, rows.stop)) for c in range(x, min(x + across, columns.stop))]
                window = Window(y * height, x * width, down * height, across * width)
                size = sum(count_bytes(r, c) for r, c in blocks) if knows else -1
                found.append(Part(_cut(window, within), size))
        return found


def _cut(window: Window, within: Window) -> Window:
    top, left = max(window.y, within.y), max(window.x, within.x)
    bottom = min(window.y + window.height, within.y + within.height)
    right = min(window.x + window.width, within.x + within.width)
    return Window(top, left, max(bottom - top, 0), max(right - left, 0))


def most_promising(parts: list[Part], pixels: int) -> list[Part]:
    """Choose parts of which some are likely to hold values: those that take most bytes, and others evenly spread.

    Blocks without any value compress to next to nothing, and those that were never written hold none.

    Args:
        parts: Of a file.
        pixels: How many they may have together; at least one part is chosen of those that may hold values.

    Returns:
        The most promising first; all that were written where they have no more pixels than that.
    """
    written = [part for part in parts if part.stored != 0]
    if sum(part.window.height * part.window.width for part in written) <= pixels:
        return sorted(written, key=lambda part: -part.stored)
    ranked = sorted(written, key=lambda part: -part.stored) if len({part.stored for part in written}) > 1 else []
    chosen: dict[Window, Part] = {}
    left = pixels
    for share, candidates in ((0.5, ranked), (0.0, _spread(written))):
        for part in candidates:
            if left <= share * pixels and chosen:
                break
            if part.window not in chosen:
                chosen[part.window] = part
                left -= part.window.height * part.window.width
    return list(chosen.values())


def _spread(parts: list[Part]) -> list[Part]:
    """Order parts so that the first few lie far apart, whatever their number."""
    # Multiples of the golden ratio fill 0..1 evenly from the beginning.
    golden = (5**0.5 - 1) / 2
    return list(dict.fromkeys([parts[int(i * golden % 1 * len(parts))] for i in range(len(parts))]))
