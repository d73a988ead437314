"""What the gates ask of the images of two dates, measured on windows spread over the region."""

from collections.abc import Callable, Sequence

import numpy as np

from landshift.pipeline.epochs.agreement import (
    RadiometricDifference,
    radiometric_difference,
    spread_pixels,
    stable_pixels,
)
from landshift.pipeline.epochs.checks.levels import Levels, measure_levels
from landshift.pipeline.epochs.checks.stripes import Stripes, StripeSearch
from landshift.pipeline.epochs.checks.unmasked import CloudCount, UnmaskedClouds
from landshift.pipeline.epochs.checks.vegetation import VegetationDifference, vegetation_difference
from landshift.pipeline.epochs.coregistration import misregistration
from landshift.pipeline.epochs.gates import Measured
from landshift.pipeline.epochs.observed import measure_cover
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.images import ImageReader
from landshift.pipeline.tiles import spread_windows


def measure_images(
    before: ImageReader,
    after: ImageReader,
    wavelengths_nm: Sequence[float | None],
    *,
    is_reflectance: bool,
    advance: Callable[[float], None] = lambda share: None,
) -> Measured:
    """Measure the images of both dates; memory does not grow with them.

    Args:
        before: Image of the earlier date, NaN where not observed.
        after: Image of the later date, on the same grid with the same bands.
        wavelengths_nm: Of each band, None where it is not known.
        is_reflectance: Whether the values are reflectance, 0..1.
        advance: Called with the share done, 0..1.
    """
    cover = measure_cover(before, after)
    shift = misregistration(before, after)
    advance(0.4)
    levels, difference, plants = _measure_pixels(before, after, wavelengths_nm, is_reflectance=is_reflectance)
    advance(0.6)
    clouds, stripes = _measure_patterns(before, after, levels, wavelengths_nm, is_reflectance=is_reflectance)
    return Measured(cover.both, levels, shift, difference, clouds=clouds, stripes=stripes, plants=plants)


def _measure_pixels(
    before: ImageReader, after: ImageReader, wavelengths_nm: Sequence[float | None], *, is_reflectance: bool
) -> tuple[Levels, RadiometricDifference, VegetationDifference]:
    """Measure what single pixels show, of a sample spread over the region."""
    first, second = spread_pixels(before, after)
    stable: np.ndarray | InputError
    try:
        stable = stable_pixels(first, second)
    except InputError as error:
        stable = error
    known = None if isinstance(stable, InputError) else stable
    return (
        measure_levels(first, second, wavelengths_nm, known),
        radiometric_difference(first, second, stable),
        vegetation_difference(first, second, wavelengths_nm, is_reflectance=is_reflectance),
    )


def _measure_patterns(
    before: ImageReader, after: ImageReader, levels: Levels, wavelengths_nm: Sequence[float | None], *, is_reflectance: bool
) -> tuple[UnmaskedClouds, Stripes]:
    """Measure what neighbouring pixels show together, window by window; no more than one window is in memory."""
    clouds = CloudCount(levels.medians, wavelengths_nm, is_reflectance=is_reflectance)
    stripes = StripeSearch(levels.medians, wavelengths_nm)
    for window in spread_windows(before.info.shape):
        first, second = before.read(window), after.read(window)
        clouds.add(first, second)
        stripes.add(window, first, second)
    return clouds.result(), stripes.result()
