"""Pixels that a file marks as not observed other than by a number: by internal masks, mask files beside it, alpha bands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterioWindow

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.beside import mask_file
from landshift.pipeline.raster.open import open_source
from landshift.pipeline.raster.place import RasterPlace

_ALPHA_NAMES = frozenset({"alpha", "datamask", "data_mask"})
"""Descriptions of bands that are 0 where the others hold nothing: those of Sentinel Hub, for example."""


def alpha_bands(source: Any) -> tuple[int, ...]:  # noqa: ANN401 (rasterio is not typed)
    """Return the numbers, from 1, of the bands that mark where the others hold something, by colour or description.

    A file of such bands alone has none: nothing is left that they could mark.
    """
    about = zip(source.indexes, source.colorinterp, source.descriptions, strict=True)
    found = tuple(
        band for band, colour, text in about if colour == ColorInterp.alpha or (text or "").strip().casefold() in _ALPHA_NAMES
    )
    return found if len(found) < source.count else ()


def has_mask(source: Any, path: RasterPlace) -> bool:  # noqa: ANN401
    """Whether a file has an internal mask, or a mask file beside it."""
    return mask_file(path) is not None or any(_has_own(flags) for flags in source.mask_flag_enums)


def _has_own(flags: Sequence[MaskFlags]) -> bool:
    """Whether a band's mask is one of its own, and not made of nodata or alpha."""
    return not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha}.intersection(flags)


def require_mask_fits(source: Any, path: RasterPlace) -> None:  # noqa: ANN401
    """Refuse a mask file beside a raster that is not of its size.

    Raises:
        InputError: It is not, or cannot be read.
    """
    beside = mask_file(path)
    if beside is None:
        return
    with open_source(beside) as mask:
        if (mask.height, mask.width) != (source.height, source.width):
            raise InputError(
                f"{beside} has {mask.height} x {mask.width} pixels, its raster {source.height} x {source.width} (rows x "
                f"columns). Make it again, or remove it."
            )


def read_unmasked(source: Any, path: RasterPlace, bands: Sequence[int], window: RasterioWindow) -> np.ndarray | None:  # noqa: ANN401
    """Return where no mask and no alpha band marks one of the bands as not observed.

    Args:
        source: An open dataset.
        path: Its file.
        bands: From 1.
        window: Of the file's own pixels, inside it.

    Returns:
        bool (y, x); None where the file has nothing of the kind.

    Raises:
        InputError: The mask file beside it cannot be read.
    """
    parts = [source.read(alpha, window=window) > 0 for alpha in alpha_bands(source)]
    own = [band for band in bands if _has_own(source.mask_flag_enums[band - 1])]
    # One mask of the whole file is the same for every band.
    shared = all(MaskFlags.per_dataset in source.mask_flag_enums[band - 1] for band in own)
    parts += [source.read_masks(band, window=window) > 0 for band in (own[:1] if shared else own)]
    beside = mask_file(path)
    if beside is not None:
        with open_source(beside) as mask:
            parts += [mask.read(band, window=window) > 0 for band in (bands if mask.count == source.count else [1])]
    return np.logical_and.reduce(parts) if parts else None


def grow(flags: np.ndarray, pixels: int) -> np.ndarray:
    """Grow the marked part of bool (y, x) by so many pixels to all sides and corners."""
    for axis in (0, 1):
        grown = flags.copy()
        for step in range(1, min(pixels, flags.shape[axis] - 1) + 1):
            ahead = np.moveaxis(grown, axis, 0)
            source = np.moveaxis(flags, axis, 0)
            ahead[step:] |= source[:-step]
            ahead[:-step] |= source[step:]
        flags = grown
    return flags
