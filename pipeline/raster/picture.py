"""Read small pictures whole, such as the chips of a benchmark: PNG, JPEG or TIFF, with or without a place on the ground."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags

from landshift.pipeline.errors import InputError
from landshift.pipeline.limits import PICTURE_SIDE
from landshift.pipeline.raster.open import environment, open_source

_STRICT = {"GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE", "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO"}
"""Without these, GDAL (3.10) fills the rest of a JPEG or PNG that ends too early with grey or noise, and reports nothing."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of a picture."""

    numbers: np.ndarray
    """(band, y, x) in the file's own type; without an alpha band."""
    seen: np.ndarray | None
    """bool (y, x): where the file's mask or alpha band lets pixels be seen; None where it has neither."""
    empty: np.ndarray | None
    """bool (y, x): where every band holds the nodata value that the file declares; None where it declares none."""
    palette: np.ndarray | None
    """uint8 (256, 3): red, green and blue of each number; None where the file has no palette."""
    colours: tuple[str, ...]
    """What each band is, as the file declares it: `red`, `gray`, `palette`, `undefined`."""


def measure_picture(path: Path) -> tuple[int, tuple[int, int]]:
    """Return the bands, without an alpha band, and the rows and columns of a picture; its pixels are not read.

    Raises:
        InputError: The file is missing, unreadable, too large or of a format that is not accepted.
    """
    with _open(path) as source:
        return source.count - _has_alpha(source), (source.height, source.width)


def read_picture(path: Path) -> Picture:
    """Read a picture whole.

    Raises:
        InputError: As `measure_picture`, or the file is truncated.
    """
    with _open(path) as source:
        bands = list(source.indexes)[: source.count - _has_alpha(source)]
        numbers = source.read(bands)
        flags = {flag for band in source.mask_flag_enums for flag in band}
        seen = source.dataset_mask() > 0 if flags & {MaskFlags.per_dataset, MaskFlags.alpha} else None
        nodata = source.nodata
        empty = None if nodata is None else np.all(numbers == nodata, axis=0)
        palette = None
        if source.colorinterp[0] == ColorInterp.palette:
            palette = np.zeros((256, 3), dtype=np.uint8)
            for number, colour in source.colormap(1).items():
                palette[number] = colour[:3]
        colours = tuple(source.colorinterp[band - 1].name for band in bands)
        return Picture(numbers, seen, empty, palette, colours=colours)


def _has_alpha(source: Any) -> bool:  # noqa: ANN401 (rasterio is not typed)
    return bool(source.count > 1 and source.colorinterp[-1] == ColorInterp.alpha)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    with environment(), rasterio.Env(**_STRICT), open_source(path, pictures=True) as source:
        if max(source.height, source.width) > PICTURE_SIDE:
            raise InputError(
                f"{path} has {source.width} x {source.height} pixels; a chip has at most {PICTURE_SIDE} x {PICTURE_SIDE}. Cut "
                f"it, images and labels alike: `gdal_retile.py -ps 1024 1024 -targetDir CHIPS FILE`."
            )
        yield source
