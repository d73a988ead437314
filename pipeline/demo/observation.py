"""View of the demo by Sentinel-2: terrain light, the optics' blur, a shift, noise, haze, clouds and their shadows."""

import math

import numpy as np
from scipy import ndimage

from landshift.pipeline.demo.landscape import BUILT_UP, FOREST, PIXEL, PLANTATION, WATER, Landscape
from landshift.pipeline.demo.surfaces import BANDS, SPECTRA, surface_shares
from landshift.pipeline.demo.terrain import Array, generator, noise
from landshift.pipeline.demo.territories import Territory, Visit

_FINE = ("blue", "green", "red", "nir")  # the 10 m bands; the others have 20 m
_NO_DATA, _SHADOW, _VEGETATION, _BARE, _WATER, _CLOUD_MEDIUM, _CLOUD_HIGH = 0, 3, 4, 5, 6, 8, 9  # SCL codes
_HAZE = (0.030, 0.022, 0.016, 0.014, 0.012, 0.011, 0.009, 0.008, 0.003, 0.002)
_CLOUD = (0.62, 0.60, 0.60, 0.61, 0.63, 0.64, 0.65, 0.65, 0.42, 0.32)


def observe(territory: Territory, land: Landscape, which: str, seed: int) -> tuple[Array, Array]:
    """Look at the land on the date `which`, "before" or "after".

    Returns:
        float32 reflectance (band, y, x) in the order of `BANDS`, NaN outside the swath, and uint8 scene classification
        (y, x) with the codes of Sentinel-2 level 2A. A little thin cloud is not flagged, as in real scenes.
    """
    visit, use = (territory.before, land.before) if which == "before" else (territory.after, land.after)
    mixture = surface_shares(territory, land, use, visit, seed=seed)
    # Texture that belongs to the place comes from a stream without a date: it is there on both dates.
    place, today = generator(seed, territory.name, "texture"), generator(seed, territory.name, which, "air")
    scene = np.zeros((len(BANDS), *use.shape), dtype=np.float32)
    total = np.maximum(np.sum(list(mixture.values()), axis=0), 1e-6)
    for surface, share in mixture.items():
        scene += np.array(SPECTRA[surface], np.float32)[:, None, None] * (share / total)
    size = len(use)
    soil = noise(place, size, 60) * 0.06 + noise(place, size, 8) * 0.025
    wooded = (use == FOREST) * 1.0 + (use == PLANTATION) * 0.45
    crowns = 0.11 * noise(place, size, 5, 1.2) + 0.05 * today.standard_normal(use.shape)
    scene *= (1 + soil * (use != WATER) + wooded * crowns).astype(np.float32)
    scene *= _light(land.height + 3.5 * ndimage.gaussian_filter(wooded + 0.3 * (use == BUILT_UP), 0.7), visit)
    scene = _optics(scene, visit, today)
    scene, classes = _air(scene, visit, today)
    if visit.wedge:
        y, x = np.ogrid[:size, :size]
        outside = x + 0.23 * y < 0.09 * size
        scene[:, outside], classes[outside] = np.nan, _NO_DATA
    return scene, classes


def _light(surface: Array, visit: Visit) -> Array:
    """Return the light on the terrain relative to level ground, float32 (y, x); shade keeps a third as sky light."""
    elevation, azimuth = (math.radians(angle) for angle in visit.sun)
    dy, dx = np.gradient(surface, PIXEL)
    # On screen y runs south: the sun stands at (-cos, sin) of its azimuth in (y, x).
    facing = math.sin(elevation) - math.cos(elevation) * (-math.cos(azimuth) * dy + math.sin(azimuth) * dx)
    level = math.sin(elevation)
    light = (np.maximum(facing / np.sqrt(1 + dy**2 + dx**2), 0) + level / 3) / (level * 4 / 3)
    return np.asarray(light, dtype=np.float32)


def _optics(scene: Array, visit: Visit, today: np.random.Generator) -> Array:
    """Shift the scene, blur it by the point spread of each band, and add noise of the detector."""
    result = np.empty_like(scene)
    for band, name in enumerate(BANDS):
        sigma = 0.55 if name in _FINE else 1.05
        blurred = ndimage.gaussian_filter(scene[band], sigma, mode="nearest")
        result[band] = ndimage.shift(blurred, visit.shift, order=3, mode="nearest")
        grain: Array = np.asarray(today.standard_normal(scene.shape[1:]), dtype=np.float32)
        grain = grain if name in _FINE else ndimage.gaussian_filter(grain, 0.8)
        result[band] += (0.0009 + 0.008 * result[band]) * grain
    return result


def _air(scene: Array, visit: Visit, today: np.random.Generator) -> tuple[Array, Array]:
    """Add haze, clouds and their shadows; return reflectance (band, y, x) and scene classification (y, x)."""
    size = scene.shape[1]
    puffs = noise(today, size, min(40.0, size / 4), 2.7)
    opaque = np.clip((puffs - np.quantile(puffs, 1 - visit.cloud)) / 0.65 + 0.5, 0, 1)
    cirrus = noise(today, size, size / 2, 1.9)
    thin = np.clip(0.09 * visit.haze * (cirrus - np.quantile(cirrus, 0.88)), 0, 0.2)
    reach = min(24.0, size / 6)
    shadow = ndimage.shift(opaque, (-0.87 * reach, -0.5 * reach), order=1, mode="nearest")
    shadow = ndimage.gaussian_filter(shadow, 1.0) * (1 - opaque)
    veil = visit.haze * np.clip(0.7 + 0.25 * noise(today, size, size / 2, 2.5), 0.1, 2)
    cloud, haze = (np.array(s, np.float32)[:, None, None] for s in (_CLOUD, _HAZE))
    cover = np.maximum(opaque, thin)
    scene = scene * (1 - 0.62 * shadow) * (1 - 0.06 * veil) + haze * veil
    scene = scene * (1 - cover) + cloud * cover * (1 + 0.05 * noise(today, size, 10))
    scene = np.maximum(scene, 0.0005).astype(np.float32)
    red, nir, green = (scene[list(BANDS).index(n)] for n in ("red", "nir", "green"))
    vegetation: Array = (nir - red) / (nir + red)
    classes: Array = np.where(vegetation > 0.4, _VEGETATION, _BARE).astype(np.uint8)
    classes[(green > nir) & (vegetation < 0.05)] = _WATER
    classes[ndimage.maximum_filter(shadow, 3) > 0.3] = _SHADOW
    classes[ndimage.maximum_filter(opaque, 3) > 0.2] = _CLOUD_MEDIUM
    classes[opaque > 0.75] = _CLOUD_HIGH
    return scene, classes


def digital_numbers(scene: Array, classes: Array, baseline: str) -> Array:
    """Encode reflectance and scene classification as Sentinel-2 level 2A does.

    Returns:
        uint16 (band, y, x), the classification last; 0 = no data, reflectance = (DN + offset) / 10000 with an offset of
        -1000 from baseline 04.00 on, else 0.
    """
    offset = 1000 if float(baseline) >= 4 else 0
    seen = np.nan_to_num(np.rint(scene * 10_000) + offset, nan=0)
    numbers = np.where(np.isnan(scene), 0, np.clip(seen, 1, 65_535))
    return np.concatenate([numbers, classes[None]]).astype(np.uint16)
