"""Rasters of classes: whole numbers, palettes and colours, read as codes and counted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.masks import alpha_bands, read_unmasked
from landshift.pipeline.raster.open import environment, open_source
from landshift.pipeline.raster.read import rasterio_window
from landshift.pipeline.tiles import Window

_STRIP = 512
"""Rows read at once."""
_MOST_COUNTED = 2**28
"""Pixels that are counted: of larger rasters, strips evenly spread."""
_MOST_DIFFERENT = 4096
"""Different numbers after which counting stops: these are not classes."""
_NUMBERED = ("uint8", "uint16")
"""Types whose numbers can be those of a palette."""
_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True)
class CodeFacts:
    """How a raster of classes is made."""

    bands: int
    """Alpha included."""
    dtype: str
    """Pixel type of band 1."""
    nodata: float | None
    """Declared for band 1."""
    interpretations: tuple[str, ...]
    """What each band is, as the file declares it: `red`, `gray`, `palette`, `alpha`, `undefined`."""
    alpha: tuple[int, ...]
    """Bands, from 1, that mark where the others hold something."""
    palette: tuple[tuple[int, str], ...]
    """Number and colour `#rrggbb` of each entry; empty without a palette."""
    colour_bands: tuple[int, ...]
    """Of red, green and blue, from 1; empty where the raster holds no colours in three bands."""

    @property
    def single(self) -> bool:
        """Whether one band holds the numbers, and nothing else is there but alpha."""
        return self.bands - len(self.alpha) == 1

    def __str__(self) -> str:
        """Describe the bands in a few words."""
        names = ", ".join(self.interpretations[:6]) + (", ..." if self.bands > 6 else "")
        return f"{self.bands} band{'' if self.bands == 1 else 's'} of {self.dtype} ({names})"


@dataclass(frozen=True)
class CodeCounts:
    """The different numbers or colours of a raster."""

    counts: tuple[tuple[float | str, int], ...]
    """Number or colour `#rrggbb` and its pixels, the most frequent first; without masked pixels."""
    masked: int
    """Pixels that are nodata, NaN or masked."""
    share: float
    """Of the pixels that was counted, 0..1: very large rasters are counted in strips."""
    is_complete: bool
    """False where there are so many different ones that counting stopped."""


def inspect_codes(path: Path) -> CodeFacts:
    """Return how a raster of classes is made.

    Raises:
        InputError: The file is missing, unreadable or of a format that is not accepted.
    """
    with environment(path), open_source(path) as source:
        return _facts(source)


def _facts(source: Any) -> CodeFacts:  # noqa: ANN401 (rasterio is not typed)
    kinds = tuple(source.colorinterp)
    numbered = kinds[0] == ColorInterp.palette and source.dtypes[0] in _NUMBERED
    palette: Mapping[int, Sequence[int]] = source.colormap(1) if numbered else {}
    colours: tuple[int, ...] = ()
    alpha = alpha_bands(source)
    spectral = [i for i in source.indexes if i not in alpha]
    declared = tuple(kinds.index(c) + 1 for c in _COLOURS if c in kinds)
    if set(source.dtypes) == {"uint8"} and len(spectral) in (3, 4):
        # A fourth band beside declared colours is alpha that was not declared.
        colours = declared if len(declared) == len(_COLOURS) else tuple(spectral) if len(spectral) == len(_COLOURS) else ()
    return CodeFacts(
        bands=source.count, dtype=source.dtypes[0], nodata=source.nodata, interpretations=tuple(k.name for k in kinds),
        alpha=alpha, palette=tuple((code, _name(np.array(c[:3]) @ _WEIGHTS)) for code, c in sorted(palette.items())),
        colour_bands=colours,
    )  # fmt: skip


_WEIGHTS = np.array([2**16, 2**8, 1])


def _name(colour: float) -> str:
    return f"#{int(colour):06x}"


def colour_number(colour: str) -> int:
    """Return the number that stands for `#rrggbb` in `read_codes`."""
    return int(colour.removeprefix("#"), 16)


def read_codes(path: Path, *, colours: bool) -> Iterator[tuple[int, np.ma.MaskedArray]]:
    """Read the classes of a raster, strip by strip.

    Args:
        path: The raster.
        colours: As colours: of three bands, or of the palette; else the numbers of band 1.

    Yields:
        The first row of a strip, and its pixels (y, x) over the whole width, in the file's own type or, of colours, int32 red
        x 65536 + green x 256 + blue. Masked where the file has nodata, no finite number or a mask, or alpha is 0, or the
        palette has no such entry.

    Raises:
        InputError: The file cannot be read, or has no colours where they are asked for.
    """
    with environment(path), open_source(path) as source:
        for window in _strips(source.height, source.width):
            yield window.y, _read(path, source, window, colours=colours)


def _read(path: Path, source: Any, window: Window, *, colours: bool) -> np.ma.MaskedArray:  # noqa: ANN401
    facts, place = _facts(source), rasterio_window(window)
    if colours and facts.colour_bands:
        layers = [source.read(number, window=place) for number in facts.colour_bands]
        absent = np.logical_and.reduce([layer == facts.nodata for layer in layers])
        data = np.zeros(absent.shape, dtype=np.int32)
        for layer, weight in zip(layers, _WEIGHTS.tolist(), strict=True):
            data += layer.astype(np.int32) * weight
    elif colours and not facts.palette:
        raise InputError(f"{path} has {facts} and no palette. Expected colours: red, green and blue as uint8, or a palette.")
    else:
        data = source.read(1, window=place)
        absent = (data == facts.nodata) | ~np.isfinite(data)
        if colours:
            table = np.full(max((code for code, _ in facts.palette), default=0) + 1, -1, dtype=np.int32)
            for code, colour in facts.palette:
                table[code] = colour_number(colour)
            data = table[np.minimum(data, len(table) - 1)]
            absent |= data < 0
    marked = read_unmasked(source, path, [1], place)
    if marked is not None:
        absent |= ~marked
    return np.ma.masked_array(data, mask=absent)


def count_codes(path: Path, *, colours: bool) -> CodeCounts:
    """Count the numbers or colours of a raster; of a very large one, of strips that are evenly spread.

    Raises:
        InputError: The file cannot be read.
    """
    counted: Counter[float] = Counter()
    masked = seen = 0
    with environment(path), open_source(path) as source:
        for window in _strips(source.height, source.width, step=max(-(-source.height * source.width // _MOST_COUNTED), 1)):
            part = _read(path, source, window, colours=colours)
            values, counts = tally(part)
            counted.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            seen += part.size
            masked += part.size - int(counts.sum())
            if len(counted) > _MOST_DIFFERENT:
                break
        share = seen / (source.height * source.width)
    ordered = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    return CodeCounts(
        tuple((_name(v) if colours else int(v) if float(v).is_integer() else v, n) for v, n in ordered), masked,
        share, len(counted) <= _MOST_DIFFERENT,
    )  # fmt: skip


def tally(pixels: np.ma.MaskedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different values of pixels that are not masked, ascending, and how often each occurs."""
    known = pixels.compressed()
    if known.dtype not in (np.uint8, np.uint16):
        return np.unique(known, return_counts=True)
    counts = np.bincount(known)
    values = np.flatnonzero(counts)
    return values, counts[values]


def _strips(height: int, width: int, step: int = 1) -> Iterator[Window]:
    for top in range(0, height, _STRIP * step):
        yield Window(top, 0, min(_STRIP, height - top), width)
