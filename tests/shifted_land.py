"""Two dates of invented land whose shift is known to a part of a pixel."""

from functools import cache

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

BANDS = 3
FINE = 4
"""Steps within a pixel: the land is drawn this much finer than it is seen, so that a part of a pixel is exact."""
EDGE = 12


@cache
def parcels(seed: int, side: int) -> np.ndarray:
    """Numbered parcels (y, x) of irregular shape, about eleven pixels wide, drawn finely, with an edge to shift from."""
    size = side + 2 * EDGE
    corners = np.random.default_rng(seed).random((size**2 // 120, 2)) * size
    y, x = np.mgrid[: size * FINE, : size * FINE] / FINE
    return cKDTree(corners).query(np.stack([y.ravel(), x.ravel()], axis=1))[1].reshape(y.shape).astype(np.int32)


def seen_from_above(ids: np.ndarray, colours: np.ndarray, shift: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Blur, move by a part of a pixel, average to pixels, and add noise."""
    picture = ndimage.gaussian_filter(np.moveaxis(colours[ids], -1, 0), (0, 0.6 * FINE, 0.6 * FINE))
    picture = ndimage.shift(picture, (0, shift[0] * FINE, shift[1] * FINE), order=1, mode="nearest")
    bands, size = len(picture), picture.shape[1] // FINE
    picture = picture.reshape(bands, size, FINE, size, FINE).mean(axis=(2, 4))[:, EDGE:-EDGE, EDGE:-EDGE]
    return (picture + 0.01 * rng.standard_normal(picture.shape)).astype(np.float32)


def pair(seed: int, shift: tuple[float, float], side: int = 192, *, hard: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Two dates; `hard` has a tenth of the parcels changed, another season with a third of them darker or brighter, and
    holes of each date."""
    rng = np.random.default_rng(seed)
    ids = parcels(seed, side)
    before = rng.uniform(0.05, 0.35, (ids.max() + 1, BANDS))
    after = before.copy()
    if hard:
        changed, grown = rng.random(len(after)) < 0.1, rng.random(len(after)) < 0.33
        after[changed] = rng.uniform(0.05, 0.35, (changed.sum(), BANDS))
        after[grown] *= rng.uniform(0.6, 1.5, (grown.sum(), 1))
        after = after * np.array([1.4, 0.7, 1.2]) + 0.03
    images = seen_from_above(ids, before, (0, 0), rng), seen_from_above(ids, after, shift, rng)
    for image in images if hard else ():
        cloud = ndimage.gaussian_filter(rng.standard_normal((side, side)), 4)
        image[:, cloud > np.quantile(cloud, 0.95)] = np.nan
    return images
