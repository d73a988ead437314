"""Products: how the files of an archive are called, and what they hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Product:
    """How the files of one archive's scenes are called."""

    name: str
    """What people call it."""
    file: re.Pattern[str]
    """Name of a raster. Groups, as far as the name has them: `scene` (else `tile`, `day` and `time` make one), `platform`,
    `level`, `tile`, `day` (YYYYMMDD) or `year` and `doy`, `time` (HHMMSS, UTC), `processed`, `baseline`, `resolution` (metres),
    and `band`, the provider's name, or what a stack of bands is called."""
    sensors: Mapping[str, str]
    """Level to sensor."""
    quality: Mapping[str, str] = field(default_factory=dict)
    """Pattern of what a quality band is called, to how it is read; the better one first."""
    folder: re.Pattern[str] | None = None
    """A folder that holds one scene, with the same groups; None where the product has no such folder."""
    metadata: re.Pattern[str] | None = None
    """Name of a text file with a scene's metadata; groups `scene` or none inside a `folder`."""
    stacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Pattern of what a file with all bands is called, to the provider's names of its bands in order."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Pattern of what a file that holds no reflectance is called, to what it holds and what to do, for errors."""

    def level_of(self, text: str) -> str:
        """Return the key of `sensors` that a level belongs to: the longest that it begins with; empty where none."""
        return max((key for key in self.sensors if text.upper().startswith(key)), key=len, default="")


_FOUR = ("blue", "green", "red", "nir")
_EIGHT = ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")

SENTINEL_2 = Product(
    "Sentinel-2",
    # https://sentiwiki.copernicus.eu/web/s2-products#S2Products-SAFEFormat
    re.compile(
        r"(?:L2A_)?T(?P<tile>\d{2}[A-Z]{3})_(?P<day>\d{8})T(?P<time>\d{6})_(?P<band>B\d[0-9A]|SCL|TCI|AOT|WVP)"
        r"(?:_(?P<resolution>\d{2})m)?\.(?:jp2|tiff?)",
        re.IGNORECASE,
    ),
    {"L2A": "sentinel-2-l2a", "L1C": "sentinel-2-l1c"},
    quality={"SCL": "SCL"},
    folder=re.compile(
        r"(?P<scene>(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<day>\d{8})T(?P<time>\d{6})_N(?P<baseline>\d{4})_R\d{3}"
        r"_T(?P<tile>\d{2}[A-Z]{3})_(?P<processed>\d{8}T\d{6}))(?:\.SAFE)?",
        re.IGNORECASE,
    ),
    metadata=re.compile(r"MTD_MSI(?:L1C|L2A)\.xml", re.IGNORECASE),
)

LANDSAT = Product(
    "Landsat Collection 2",
    # USGS LSDS-1618 and LSDS-1619, section on file names.
    re.compile(
        r"(?P<scene>(?P<platform>L[COTEM]\d{2})_(?P<level>L[12]\w{2})_(?P<tile>\d{6})_(?P<day>\d{8})_(?P<processed>\d{8})_02"
        r"_(?:T1|T2|RT|A1|A2))_(?P<band>\w+)\.tiff?",
        re.IGNORECASE,
    ),
    {"L2": "landsat-c2-l2", "L1": "landsat-c2-l1"},
    quality={"QA_PIXEL": "QA_PIXEL"},
    metadata=re.compile(
        r"(?P<scene>L[COTEM]\d{2}_L[12]\w{2}_\d{6}_\d{8}_\d{8}_02_(?:T1|T2|RT|A1|A2))_MTL\.(?:txt|xml)", re.IGNORECASE
    ),
)

HLS = Product(
    "Harmonized Landsat and Sentinel-2",
    # https://lpdaac.usgs.gov/documents/1698/HLS_User_Guide_V2.pdf
    re.compile(
        r"(?P<scene>HLS\.(?P<platform>[SL]30)\.T(?P<tile>\d{2}[A-Z]{3})\.(?P<year>\d{4})(?P<doy>\d{3})T(?P<time>\d{6})"
        r"\.v(?P<baseline>\d+\.\d+))\.(?P<band>\w+)\.tiff?",
        re.IGNORECASE,
    ),
    {"": "hls"},
    quality={"Fmask": "Fmask"},
)

PLANETSCOPE = Product(
    "PlanetScope",
    # https://docs.planet.com/data/imagery/planetscope/
    re.compile(
        r"(?P<scene>(?P<day>\d{8})_(?P<time>\d{6})(?:_\d{2})?_(?P<platform>[0-9a-f]{4}))_3B_(?P<band>\w+?)(?:_file_format)?\.tiff?",
        re.IGNORECASE,
    ),
    {"": "planetscope"},
    quality={r"udm2(?:_clip)?": "UDM2", r"AnalyticMS\w*_DN_udm(?:_clip)?": "UDM"},
    stacks={
        r"AnalyticMS_SR_8b(?:_harmonized)?(?:_clip)?": _EIGHT,
        r"AnalyticMS_SR(?:_harmonized)?(?:_clip)?": _FOUR,
    },
    unread={
        r"AnalyticMS(?:_8b)?(?:_harmonized)?(?:_clip)?": "at-sensor radiance, not reflectance. Order the surface reflectance "
        "(AnalyticMS_SR), or use `sensor: name: custom` with units of your own",
    },
)

PRODUCTS = (SENTINEL_2, LANDSAT, HLS, PLANETSCOPE)
"""Every product whose names are published. Everything else is files that the user describes."""
