"""Cover of each pixel of the demo on one date: shares of surfaces whose spectra are known.

Crops, mown and burnt fields and the water level differ between the dates although the land use does not: a difference
of a vegetation index finds them first.
"""

import numpy as np
from scipy import ndimage

from landshift.pipeline.demo.landscape import BUILT_UP, CROPLAND, FOREST, GRASSLAND, PLANTATION, WATER, Landscape
from landshift.pipeline.demo.terrain import Array, generator, noise
from landshift.pipeline.demo.territories import Territory, Visit

BANDS = {
    "blue": "B02", "green": "B03", "red": "B04", "rededge071": "B05", "rededge075": "B06", "rededge078": "B07",
    "nir": "B08", "nir08": "B8A", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
"""Common name to Sentinel-2 name, in the order of the files."""

# Reflectance of pure surfaces in the order of BANDS: round numbers in the range of published spectral libraries.
SPECTRA = {
    "crop": (0.030, 0.065, 0.032, 0.095, 0.330, 0.425, 0.455, 0.470, 0.215, 0.105),
    "grass": (0.037, 0.072, 0.050, 0.110, 0.265, 0.325, 0.345, 0.365, 0.250, 0.145),
    "broadleaf": (0.022, 0.043, 0.022, 0.070, 0.250, 0.330, 0.355, 0.370, 0.160, 0.075),
    "conifer": (0.017, 0.029, 0.018, 0.045, 0.120, 0.155, 0.170, 0.180, 0.085, 0.040),
    "young": (0.023, 0.050, 0.028, 0.075, 0.220, 0.280, 0.300, 0.315, 0.150, 0.075),
    "dry": (0.075, 0.115, 0.155, 0.200, 0.235, 0.260, 0.285, 0.305, 0.385, 0.280),
    "flower": (0.050, 0.120, 0.090, 0.150, 0.320, 0.390, 0.420, 0.430, 0.230, 0.130),
    "gravel": (0.120, 0.145, 0.170, 0.185, 0.200, 0.215, 0.225, 0.235, 0.280, 0.260),
    "asphalt": (0.080, 0.090, 0.098, 0.105, 0.112, 0.120, 0.128, 0.135, 0.150, 0.145),
    "red roof": (0.070, 0.090, 0.150, 0.170, 0.185, 0.200, 0.210, 0.220, 0.265, 0.250),
    "bright roof": (0.210, 0.222, 0.232, 0.240, 0.246, 0.252, 0.260, 0.262, 0.270, 0.250),
    "ash": (0.036, 0.040, 0.046, 0.050, 0.056, 0.063, 0.070, 0.076, 0.125, 0.135),
    "clear": (0.034, 0.038, 0.022, 0.018, 0.013, 0.012, 0.011, 0.010, 0.005, 0.004),
    "turbid": (0.055, 0.085, 0.078, 0.072, 0.050, 0.045, 0.040, 0.035, 0.012, 0.008),
    "brown soil": (0.050, 0.070, 0.095, 0.118, 0.135, 0.150, 0.168, 0.183, 0.255, 0.225),
    "red soil": (0.072, 0.110, 0.172, 0.212, 0.235, 0.255, 0.275, 0.290, 0.380, 0.335),
}


def surface_shares(territory: Territory, land: Landscape, use: Array, visit: Visit, *, seed: int) -> dict[str, Array]:
    """Return the share of each pure surface in each pixel, float (y, x), by name; they need not sum to 1."""
    size = len(use)
    place = generator(seed, territory.name, "surfaces")
    season = generator(seed, territory.name, str(visit.time.year))
    parcels, stands = int(land.parcel.max()) + 1, int(land.stand.max()) + 1
    rows = place.standard_normal((512, 64))
    rows = ndimage.gaussian_filter(rows, (0.8, 1.5), mode="wrap")
    rows /= rows.std()
    lines = [land.across % 512, (land.along / 9 + land.parcel * 7) % 64]
    streaks = ndimage.map_coordinates(rows, lines, order=1, mode="grid-wrap")
    vigour = 1 + 0.10 * noise(place, size, 25) + 0.07 * noise(season, size, 12) + 0.06 * streaks

    green, dry, flower = _crops(territory, parcels, visit, season)
    g = np.clip(green[land.parcel] * vigour, 0, 1)
    d = np.clip(dry[land.parcel] * (1 + 0.08 * streaks), 0, 1) * (1 - g)
    burnt = (season.random(parcels) < visit.burnt)[land.parcel] & (d > 0.35) & (noise(season, size, 18) > -1.1)
    crop = (use == CROPLAND).astype(float)
    mix = {
        "crop": crop * g * (1 - flower[land.parcel]),
        "flower": crop * g * flower[land.parcel],
        "dry": crop * d * ~burnt,
        "ash": crop * burnt * 0.8 * d,
        territory.soil: crop * (1 - g - d) + 1e-3,
    }
    mown = (season.random(parcels) < 0.35)[land.parcel] * 0.40
    lush = territory.grass_green + 0.10 * season.standard_normal(parcels)[land.parcel] - mown
    lush = np.clip(lush + 0.10 * noise(place, size, 30) + 0.05 * noise(place, size, 6, 1.4), 0.05, 0.98)
    grass = (use == GRASSLAND).astype(float)
    trees = np.clip(noise(place, size, 6, 1.6) - 1.7, 0, 1) * 0.9 * grass
    mix["grass"] = (grass - trees) * lush
    mix["dry"] = mix["dry"] + (grass - trees) * (1 - lush) * 0.75
    mix[territory.soil] += (grass - trees) * (1 - lush) * 0.25

    forest = (use == FOREST).astype(float)
    kind = place.standard_normal(stands)[land.stand] + 1.0 * noise(place, size, 70) + 0.35 * noise(place, size, 7, 1.4)
    conifer = 1 / (1 + np.exp(-4 * (kind - np.quantile(kind, 1 - territory.conifer))))
    mix["conifer"] = forest * conifer
    mix["broadleaf"] = forest * (1 - conifer) + trees
    planted = (use == PLANTATION).astype(float)
    age = np.where(land.before == PLANTATION, 0.72, 0.60) + 0.06 * place.standard_normal(parcels)[land.parcel]
    canopy = np.clip(age + 0.10 * streaks + 0.05 * noise(place, size, 10), 0.2, 1)
    mix["young"] = planted * canopy
    mix["grass"] = mix["grass"] + planted * (1 - canopy) * 0.5
    mix[territory.soil] += planted * (1 - canopy) * 0.5

    _town(territory, land, use, place, mix=mix)
    water = (use == WATER).astype(float)
    lake = water * (land.river <= 0)
    bars = visit.level * np.clip(1 + 1.2 * noise(place, size, 14), 0, 3)  # sand bars, not a ring
    wet = np.clip(land.river + 0.5 + bars, 0, 1)
    rising = np.where(visit.level > 0, wet * (use != BUILT_UP) * (land.river > -2), 0) * (1 - water)
    depth = ndimage.distance_transform_edt(lake)
    basin = lake * np.clip(depth + min(visit.level, 0.0), 0, 1)
    flow = water * (land.river > 0) * wet
    mud = np.clip(visit.turbid + 0.12 * noise(season, size, 30), 0, 1)
    for key in mix:
        mix[key] = mix[key] * (1 - rising)
    mix["turbid"] = (flow + rising) * mud + basin * 0.35 * mud
    mix["clear"] = (flow + rising) * (1 - mud) + basin * (1 - 0.35 * mud)
    mix["gravel"] = mix["gravel"] + (water - flow - basin) * 0.4
    mix[territory.soil] += (water - flow - basin) * 0.6
    stream = land.stream * (water == 0) * (use != BUILT_UP)  # lined with alders
    for key in mix:
        mix[key] = mix[key] * (1 - 0.75 * stream)
    mix["broadleaf"] = mix["broadleaf"] + 0.45 * stream
    mix["clear"] = mix["clear"] + 0.3 * stream
    return mix


def _crops(territory: Territory, parcels: int, visit: Visit, season: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw the crop of each field for this year; return green cover, dry cover and flowering part, each (parcel,)."""
    shares = np.array([c.share for c in territory.crops])
    kind = season.choice(len(shares), size=parcels, p=shares / shares.sum())
    table = np.array([(c.peak, c.length, c.cover, c.residue, c.flower, c.mown) for c in territory.crops])
    peak, length, cover, residue, flower, mown = table[kind].T
    late = visit.time.timetuple().tm_yday - peak - 7 * season.standard_normal(parcels)
    green = cover * np.exp(-((late / length) ** 2)) * (1 - 0.6 * (season.random(parcels) < mown))
    dry = residue * np.clip(1 - green / cover, 0, 1) * (late > 0) * season.uniform(0.6, 1.1, parcels)
    return np.clip(green + 0.05 * season.standard_normal(parcels), 0, 0.97), dry, flower


def _town(territory: Territory, land: Landscape, use: Array, place: np.random.Generator, mix: dict[str, Array]) -> None:
    """Add houses, gardens, streets, roads and field tracks to `mix`."""
    size = len(use)
    built = (use == BUILT_UP).astype(float)
    way = np.clip(land.road, 0, 1)
    pattern = noise(place, size, 4, 1.0)
    street = np.minimum(np.abs(land.across % 7 - 3.5), np.abs(land.along % 10 - 5.0))
    street = np.clip(0.9 - street, 0, 0.7)
    sheds = noise(place, size, 14, 1.6) + 0.6 * place.standard_normal(int(land.parcel.max()) + 1)[land.parcel]
    works = np.clip(3 * (sheds - 1.1 + 0.8 * land.centre), 0, 1) * (0.55 + 0.45 * np.clip(pattern + 0.5, 0, 1))
    roof = np.clip(0.26 + 0.22 * land.centre + 0.20 * pattern, 0.04, 0.85) * (1 - works)
    garden = np.clip(1 - roof - works - 0.25 - 0.2 * land.centre, 0, 1)
    house = built * (1 - way)
    tiled = np.clip(territory.red_roof + 0.3 * noise(place, size, 5, 1.0), 0, 1)
    mix["red roof"] = house * (1 - street) * roof * tiled
    mix["bright roof"] = house * (1 - street) * (0.8 * works + 0.15 * roof * (1 - tiled))
    mix["asphalt"] = house * (street + (1 - street) * (0.25 + roof * (1 - tiled))) + built * way
    mix["grass"] = mix["grass"] + house * (1 - street) * garden * 0.6
    mix["broadleaf"] = mix["broadleaf"] + house * (1 - street) * garden * 0.4
    narrow = np.clip(way * (1 - built) * (use != WATER), 0, 1)
    track = land.track * np.isin(use, (CROPLAND, GRASSLAND)) * (1 - narrow)
    for key in mix:
        mix[key] = mix[key] * (1 - narrow - 0.6 * track)
    mix["asphalt"] = mix["asphalt"] + narrow
    mix["gravel"] = 0.35 * track
    mix["grass"] = mix["grass"] + 0.25 * track
