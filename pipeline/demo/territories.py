"""The three territories of the demo: what grows there, and the days on which a satellite looked."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from landshift.pipeline.demo.settlement import Countryside


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


NORTH = Territory(
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
    before=Visit(datetime(2019, 6, 12, 10, 20, 31, tzinfo=UTC), "02.12", cloud=0.008, haze=0.7, turbid=0.2, wedge=True),
    after=Visit(
        datetime(2023, 6, 18, 10, 20, 29, tzinfo=UTC), "05.09",
        shift=(0.28, -0.35), sun=(60.0, 153.0), cloud=0.016, level=-0.5, turbid=0.7, burnt=0.08,
    ),
    labelled=0.375,
)  # fmt: skip

SOUTH = Territory(
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
    before=Visit(datetime(2019, 7, 9, 9, 50, 31, tzinfo=UTC), "02.12", cloud=0.006, level=0.5, turbid=0.2, burnt=0.15),
    after=Visit(
        datetime(2023, 7, 28, 9, 50, 29, tzinfo=UTC), "05.09",
        shift=(-0.31, 0.22), sun=(58.0, 141.0), cloud=0.012, haze=1.3, level=-0.6, turbid=0.6, burnt=0.3,
    ),
    labelled=0.08,
)  # fmt: skip

# The neighbour of the north, seen on the same days, with fewer labels: what the north taught should be of use here.
EAST = replace(NORTH, name="east", origin=(457_120.0, 5_604_000.0), labelled=0.2)

TERRITORIES = (NORTH, SOUTH, EAST)
