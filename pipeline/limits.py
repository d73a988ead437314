"""Limits of what is read: what goes beyond them is refused before any work, since a small file can ask for very much of it.

Each is far above what people have; `docs/limits.md` lists them for users, and `tests/test_docs.py` compares.
"""

from landshift.pipeline.errors import InputError, has_unprintable

RASTER_SIDE = 2**18
"""Pixels of a raster along an axis: land cover of the United States in 30 m has 160,000."""
RASTER_PIXELS = 2**35
"""Pixels of a band: land cover of Brazil in 30 m has 25 billion."""
FARTHEST = 10**9
"""Units of a CRS from its origin to an edge of `grid:`: the Earth measures 40 million metres."""
RASTER_BANDS = 1024
"""Bands of a raster: imaging spectrometers have some hundred."""
RASTER_BLOCKS = 2**20
"""Tiles or strips of a band, each of which has an entry in the file."""
BLOCK_BYTES = 2**28
"""Of a tile or strip, unpacked: GDAL holds two or three of them at a time."""
FILE_TIMES = 4
"""How much larger than its pixels, unpacked, the file of a raster may be, beside a gigabyte: each is hashed to its end."""
PICTURE_SIDE = 4096
"""Pixels of a chip along an axis: larger ones are scenes, and would not fit into memory by the dozen."""
ARCHIVE_MEMBERS = 100_000
"""Files in an archive of a scene."""
METADATA_BYTES = 4 * 2**20
"""Of the metadata beside a scene's rasters, which have some hundred thousand."""
CONFIG_BYTES = 2**20
"""Of a config."""
CONFIG_FAULTS = 50
"""Faults of a config that are named at once."""
TABLE_BYTES = 2**28
"""Of a list or a table of text."""
JSON_BYTES = 64 * 2**20
"""Of a record, or a document of a catalog."""
JSON_LEVELS = 100
"""Of brackets in JSON: records and STAC documents have about 20, and Python runs out of stack at some hundreds."""
NUMBER_DIGITS = 40
"""Of a whole number in JSON."""
CHANNELS = 4096
"""Channels of a layer of a decoder."""
WEIGHTS_BYTES = 2**32
"""Of a file of weights: the largest encoder of the table has 1.3 GB."""
NAME_CHARACTERS = 120
"""Characters of the name of a class: the longest of CORINE has 86."""
VALUE_CHARACTERS = 1_000
"""Characters of a value in a column of labels or of names."""

_TILED = "`gdal_translate -co TILED=YES -co COMPRESS=DEFLATE FILE NEW`"


def require_raster(name: object, shape: tuple[int, int], bands: int, block: tuple[int, int, int]) -> None:
    """Refuse a raster that would take too much memory or time to read.

    Args:
        name: The file, for errors.
        shape: Rows and columns.
        bands: How many.
        block: Rows, columns and bytes a pixel of a block, together for all bands that lie in it.

    Raises:
        InputError: It is larger than the limits of this module.
    """
    height, width = shape
    if max(shape) > RASTER_SIDE or height * width > RASTER_PIXELS:
        raise InputError(
            f"{name} has {height:,} x {width:,} pixels (rows x columns); expected at most {RASTER_SIDE:,} a side and "
            f"{RASTER_PIXELS / 1e9:.0f} billion. Cut out what you need with "
            f"`gdal_translate -projwin WEST NORTH EAST SOUTH FILE NEW`."
        )
    if bands > RASTER_BANDS:
        raise InputError(
            f"{name} has {bands:,} bands; expected at most {RASTER_BANDS:,}. Take out those that you need: "
            f"`gdal_translate -b 1 -b 2 FILE NEW`."
        )
    rows, columns, _ = block
    require_block(name, *block)
    blocks = -(-height // rows) * -(-width // columns)
    if blocks > RASTER_BLOCKS:
        raise InputError(
            f"{name} is stored in {blocks:,} blocks of {rows:,} x {columns:,} pixels; expected at most {RASTER_BLOCKS:,}. "
            f"Store it in larger tiles: {_TILED}."
        )


def require_size(name: object, size: int, pixels: int) -> None:
    """Refuse a file that is far larger than what it holds, such as one with a hole: it is hashed to its end.

    Args:
        name: The file, for errors.
        size: Of the file, bytes.
        pixels: Of its pixels, unpacked, bytes.

    Raises:
        InputError: It is over `FILE_TIMES` as large, and a gigabyte.
    """
    if size > FILE_TIMES * pixels + 2**30:
        raise InputError(
            f"{name} has {size / 1e9:,.1f} GB, and its pixels need {pixels / 1e9:,.3f}; expected at most {FILE_TIMES} "
            f"times that and a gigabyte. Write it anew: {_TILED}."
        )


def require_block(name: object, rows: int, columns: int, size: int) -> None:
    """Refuse blocks that take too much memory, each of which is unpacked whole.

    Args:
        name: The file, for errors.
        rows: Of pixels.
        columns: The same.
        size: Bytes a pixel, together for all bands that lie in a block.

    Raises:
        InputError: They do.
    """
    if rows * columns * size > BLOCK_BYTES:
        raise InputError(
            f"{name} is stored in blocks of {rows:,} x {columns:,} pixels, {rows * columns * size / 2**20:,.0f} MiB each; "
            f"expected at most {BLOCK_BYTES // 2**20} MiB, since blocks are unpacked whole. Store it in tiles: {_TILED}."
        )


def require_name(text: str, what: str) -> str:
    """Return a name that people read in maps, tables and terminals.

    Args:
        text: The name.
        what: Whose, for errors, such as `class 3 of the legend`.

    Raises:
        InputError: It is empty or too long, or holds line breaks, control characters or such that turn the direction of text.
    """
    if not text.strip() or len(text) > NAME_CHARACTERS:
        raise InputError(
            f"{what} is called {text[:NAME_CHARACTERS]!r}, {len(text):,} characters; expected a name of 1 to "
            f"{NAME_CHARACTERS}. Shorten it."
        )
    if has_unprintable(text):
        raise InputError(
            f"{what} is called {text!r}; expected a name in one line, without control characters and those that turn the "
            f"direction of text. Write it anew."
        )
    return text


def require_pixels(name: object, bounds: tuple[float, float, float, float], pixel_size: float) -> None:
    """Refuse a grid that is larger than any raster may be, or lies beyond the Earth.

    Args:
        name: What it is called, for errors.
        bounds: West, south, east, north, in the units of its CRS.
        pixel_size: In those units, above 0.

    Raises:
        InputError: It is.
    """
    west, south, east, north = bounds
    rows, columns = (north - south) / pixel_size, (east - west) / pixel_size
    if max(map(abs, bounds)) > FARTHEST:
        raise InputError(f"{name} lies beyond {FARTHEST:,} units of its CRS, where no place on the Earth is. Check the bounds.")
    if max(rows, columns) > RASTER_SIDE or rows * columns > RASTER_PIXELS:
        raise InputError(
            f"{name} has {rows:,.6g} x {columns:,.6g} pixels (rows x columns); expected at most {RASTER_SIDE:,} a side and "
            f"{RASTER_PIXELS / 1e9:.0f} billion. Check bounds, pixel size and CRS: all are in the units of the CRS."
        )
