"""The demo: two procedural territories seen by Sentinel-2 on two dates, with exact truth, written as files.

Each pixel mixes surfaces with known spectra; the view then gets season, terrain light, haze, clouds with shadows, the
optics' blur, a shift between the dates and noise. Crops, mown and burnt fields and the water level differ between the
dates although the land use does not: a difference of a vegetation index finds them first.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from affine import Affine
from scipy import ndimage

from pipeline.errors import InputError
from pipeline.grid import Grid, grid_of
from pipeline.landscape import (
    BUILT_UP,
    CROPLAND,
    FOREST,
    GRASSLAND,
    PIXEL,
    PLANTATION,
    WATER,
    Array,
    Countryside,
    Landscape,
    generator,
    landscape,
    noise,
)
from pipeline.legend import LandUse, Legend
from pipeline.raster import write_raster

BANDS = {
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge071": "B05",
    "rededge075": "B06",
    "rededge078": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "swir16": "B11",
    "swir22": "B12",
}
"""Common name to Sentinel-2 name, in the order of the files."""
_SMALLEST = 96  # pixels; smaller pictures often lack a reservoir or a kind of change
_FINE = ("blue", "green", "red", "nir")  # the 10 m bands; the others have 20 m
_NO_DATA, _SHADOW, _VEGETATION, _BARE, _WATER, _CLOUD_MEDIUM, _CLOUD_HIGH = 0, 3, 4, 5, 6, 8, 9  # SCL codes

# Reflectance of pure surfaces in the order of BANDS: round numbers in the range of published spectral libraries.
_SPECTRA = {
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
_HAZE = (0.030, 0.022, 0.016, 0.014, 0.012, 0.011, 0.009, 0.008, 0.003, 0.002)
_CLOUD = (0.62, 0.60, 0.60, 0.61, 0.63, 0.64, 0.65, 0.65, 0.42, 0.32)


@dataclass(frozen=True)
class Crop:
    """A crop with its season."""

    share: float
    """Part of the fields, relative to the other crops."""
    peak: float
    """Day of the year on which it is greenest."""
    length: float
    """Days from the peak until the cover has fallen to 37 %."""
    cover: float
    """Green cover at the peak, 0..1."""
    residue: float = 0.0
    """Dry cover once ripe, 0..1: straw and stubble."""
    flower: float = 0.0
    """Part of the green cover that looks yellow, 0..1."""
    mown: float = 0.0
    """Part of the fields that has been cut lately, 0..1."""


@dataclass(frozen=True)
class Visit:
    """One overpass and its weather."""

    time: datetime
    """Start of the acquisition, UTC."""
    baseline: str
    """Processing baseline; from 04.00 on digital numbers carry an offset of 1000."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Misregistration in pixels, (y, x)."""
    cloud: float = 0.02
    """Share of the area under opaque cloud, 0..1."""
    haze: float = 1.0
    """Strength of haze and of the cirrus that the scene classification leaves in, 0..2."""
    level: float = 0.0
    """How far the water line has moved from its mean, in pixels; below 0 banks fall dry."""
    turbid: float = 0.3
    """Share of suspended matter in rivers, 0..1."""
    burnt: float = 0.0
    """Part of the ripe fields that has been burnt, 0..1."""
    sun: tuple[float, float] = (62.0, 150.0)
    """Elevation and azimuth in degrees."""
    wedge: bool = False
    """Whether the edge of the swath cuts off a corner."""


@dataclass(frozen=True)
class Territory:
    """One region of the demo."""

    name: str
    """Name of its folder."""
    epsg: int
    """Projected coordinate system of the grid."""
    origin: tuple[float, float]
    """Easting and northing of the upper left corner in metres."""
    country: Countryside
    """Its land."""
    soil: str
    """Key of the spectrum of bare soil."""
    crops: tuple[Crop, ...]
    """What grows on its cropland."""
    grass_green: float
    """Green cover of grassland at the time of the visits, 0..1."""
    conifer: float
    """Share of conifers in the forest, 0..1."""
    red_roof: float
    """Share of tiled roofs, 0..1."""
    before: Visit
    """First date."""
    after: Visit
    """Second date."""
    labelled: float
    """Share of the area with labels, 0..1."""


TERRITORIES = (
    Territory(
        name="north",
        epsg=32633,
        origin=(452_000.0, 5_604_000.0),
        country=Countryside(relief=330, forest=0.32, grass=0.38, field=(11, 28), district=72, irregular=1.0),
        soil="brown soil",
        crops=(
            Crop(0.27, peak=148, length=38, cover=0.92, residue=0.75),
            Crop(0.12, peak=140, length=45, cover=0.90, residue=0.5, flower=0.5),
            Crop(0.27, peak=228, length=56, cover=0.90),
            Crop(0.13, peak=207, length=50, cover=0.85),
            Crop(0.10, peak=165, length=80, cover=0.92, residue=0.2, mown=0.4),
            Crop(0.11, peak=170, length=60, cover=0.20, residue=0.2),
        ),
        grass_green=0.80,
        conifer=0.5,
        red_roof=0.5,
        before=Visit(
            datetime(2019, 6, 12, 10, 20, 31, tzinfo=UTC), "02.12", cloud=0.008, haze=0.7, turbid=0.2, wedge=True
        ),
        after=Visit(
            datetime(2023, 6, 18, 10, 20, 29, tzinfo=UTC),
            "05.09",
            shift=(0.28, -0.35),
            sun=(60.0, 153.0),
            cloud=0.016,
            level=-0.5,
            turbid=0.7,
            burnt=0.08,
        ),
        labelled=0.375,
    ),
    Territory(
        name="south",
        epsg=32633,
        origin=(566_000.0, 4_598_000.0),
        country=Countryside(relief=200, forest=0.16, grass=0.24, field=(19, 36), district=120, irregular=0.12),
        soil="red soil",
        crops=(
            Crop(0.42, peak=120, length=36, cover=0.90, residue=0.85),
            Crop(0.14, peak=200, length=55, cover=0.92),
            Crop(0.14, peak=178, length=34, cover=0.80, residue=0.25),
            Crop(0.10, peak=205, length=60, cover=0.55),
            Crop(0.10, peak=190, length=90, cover=0.90, residue=0.3, mown=0.3),
            Crop(0.10, peak=180, length=60, cover=0.06, residue=0.15),
        ),
        grass_green=0.42,
        conifer=0.25,
        red_roof=0.75,
        before=Visit(
            datetime(2019, 7, 9, 9, 50, 31, tzinfo=UTC), "02.12", cloud=0.006, level=0.5, turbid=0.2, burnt=0.15
        ),
        after=Visit(
            datetime(2023, 7, 28, 9, 50, 29, tzinfo=UTC),
            "05.09",
            shift=(-0.31, 0.22),
            sun=(58.0, 141.0),
            cloud=0.012,
            haze=1.3,
            level=-0.6,
            turbid=0.6,
            burnt=0.3,
        ),
        labelled=0.08,
    ),
)


def demo_legend() -> Legend:
    """Return the six land-use classes of the demo."""
    return Legend(
        (
            LandUse(FOREST, "Forest", "#2f6b3c"),
            LandUse(CROPLAND, "Cropland", "#ead27a"),
            LandUse(GRASSLAND, "Grassland", "#a9cc7a"),
            LandUse(BUILT_UP, "Built-up", "#b5434a"),
            LandUse(WATER, "Water", "#4a86b8"),
            LandUse(PLANTATION, "Plantation", "#7b6ba8"),
        )
    )


def demo_grid(territory: Territory, size: int) -> Grid:
    """Return the grid of a territory, `size` pixels of 10 m on each side."""
    east, north = territory.origin
    return grid_of(Affine(PIXEL, 0, east, 0, -PIXEL, north), (size, size), f"EPSG:{territory.epsg}")


def demo_landscape(territory: Territory, size: int, seed: int) -> Landscape:
    """Make the ground of a territory with its land use on both dates."""
    return landscape(territory.country, size, generator(seed, territory.name, "ground"))


def observe(territory: Territory, land: Landscape, which: str, seed: int) -> tuple[Array, Array]:
    """Look at the land on the date `which`, "before" or "after".

    Returns:
        float32 reflectance (band, y, x) in the order of `BANDS`, NaN outside the swath, and uint8 scene classification
        (y, x) with the codes of Sentinel-2 level 2A. A little thin cloud is not flagged, as in real scenes.
    """
    visit, use = (territory.before, land.before) if which == "before" else (territory.after, land.after)
    mixture = _surfaces(territory, land, use, visit, seed)
    # Texture that belongs to the place comes from a stream without a date: it is there on both dates.
    place, today = generator(seed, territory.name, "texture"), generator(seed, territory.name, which, "air")
    scene = np.zeros((len(BANDS), *use.shape), dtype=np.float32)
    total = np.maximum(np.sum(list(mixture.values()), axis=0), 1e-6)
    for surface, share in mixture.items():
        scene += np.array(_SPECTRA[surface], np.float32)[:, None, None] * (share / total)
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


def _surfaces(territory: Territory, land: Landscape, use: Array, visit: Visit, seed: int) -> dict[str, Array]:
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

    _built(territory, land, use, place, mix)
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


def _built(
    territory: Territory, land: Landscape, use: Array, place: np.random.Generator, mix: dict[str, Array]
) -> None:
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


def label_blocks(before: Array, after: Array, share: float, rng: np.random.Generator) -> Array:
    """Choose square blocks to label: the first ones so that all classes and kinds of change occur, the rest by chance.

    Args:
        before: uint8 land-use codes (y, x).
        after: uint8 land-use codes (y, x).
        share: Part of the area to label, 0..1.
        rng: Source of chance.

    Returns:
        bool (y, x), True where labelled.
    """
    side = max(len(before) // 8, 1)
    rows = math.ceil(len(before) / side)
    pair = before.astype(int) * 16 + after
    kinds = np.unique(pair, return_inverse=True)[1].reshape(pair.shape)
    block = (np.arange(len(before)) // side)[:, None] * rows + (np.arange(len(before)) // side)[None, :]
    counts = np.zeros((rows * rows, int(kinds.max()) + 1))
    np.add.at(counts, (block, kinds), 1)
    wanted = max(round(share * rows * rows), 1)
    chosen: list[int] = []
    have = np.ones(counts.shape[1]) * side
    chance = rng.permutation(rows * rows).tolist()
    while len(chosen) < wanted:
        gain = np.log1p(counts / have).sum(axis=1)
        gain[chosen] = -1
        best = int(gain.argmax()) if len(chosen) < 5 else next(b for b in chance if b not in chosen)
        chosen.append(best)
        have += counts[best]
    return np.asarray(np.isin(block, chosen))


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


def _rgba(colour: str) -> tuple[int, int, int, int]:
    """Return red, green, blue and full opacity of `#rrggbb`, each 0..255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue, 255


def make_demo(folder: Path, *, seed: int = 7, size: int = 512) -> None:
    """Write both territories: scenes, labels of some blocks, and the full truth for evaluation (never for training).

    Args:
        folder: Where `north/` and `south/` are made.
        seed: The same seed gives the same bytes.
        size: Pixels on each side of a territory, at least 96.

    Raises:
        InputError: The territory would be too small for a valley, a town and their changes.
    """
    if size < _SMALLEST:
        raise InputError(f"The demo has {size} x {size} pixels; it needs at least {_SMALLEST}: give a larger size.")
    legend = demo_legend()
    colours = {c.code: _rgba(c.colour) for c in legend.classes}
    for territory in TERRITORIES:
        home, grid = folder / territory.name, demo_grid(territory, size)
        (home / "scenes").mkdir(parents=True, exist_ok=True)
        land = demo_landscape(territory, size, seed)
        labelled = label_blocks(land.before, land.after, territory.labelled, generator(seed, territory.name, "labels"))
        for which, visit, truth in (("before", territory.before, land.before), ("after", territory.after, land.after)):
            scene, classes = observe(territory, land, which, seed)
            write_raster(
                home / "scenes" / f"S2_L2A_{visit.time:%Y%m%d}.tif",
                digital_numbers(scene, classes, visit.baseline),
                grid,
                nodata=0,
                descriptions=(*BANDS.values(), "SCL"),
                tags={"PROCESSING_BASELINE": visit.baseline, "TIFFTAG_DATETIME": f"{visit.time:%Y:%m:%d %H:%M:%S}"},
            )
            labels = np.where(labelled, truth, 0).astype(np.uint8)
            write_raster(home / f"labels_{which}.tif", labels, grid, nodata=0, colormap=colours)
            write_raster(home / f"truth_{which}.tif", truth, grid, nodata=0, colormap=colours)
