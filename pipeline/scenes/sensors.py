"""Sensors: bands, rules from numbers to reflectance, and pixels that count as observed."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.images import scale_values

REFLECTANCE = "reflectance"
"""Units of every sensor that has a rule from numbers to reflectance."""


@dataclass(frozen=True)
class Band:
    """One spectral band."""

    name: str
    """Common name of the STAC electro-optical extension, for example `nir` or `swir16`."""
    native: str
    """The provider's name, for example `B08` or `SR_B5`; empty without one."""
    wavelength_nm: float | None
    """Centre wavelength in nanometres, None where it is not known."""


@dataclass(frozen=True)
class Sensor:
    """How to read one kind of product."""

    name: str
    """As written in a config."""
    bands: tuple[Band, ...]
    """The bands it can have; for `custom` the bands in the order of the file."""
    scale: float = 1.0
    """Value = (number + number_offset) x scale + offset."""
    offset: float = 0.0
    """See `scale`; in the sensor's units."""
    nodata: float | None = None
    """Number that means not observed; None where the product has no such number."""
    nodata_by_file: bool = False
    """Whether each file declares its own, or that it has none; `nodata` is None then."""
    units: str = REFLECTANCE
    """`reflectance` (0..1, may exceed 1 a little), or what the user calls the numbers."""
    baseline_offset: bool = False
    """Whether products since processing baseline 04.00 carry 1000 more in every number (Sentinel-2)."""
    quality: str | None = None
    """How the quality band is read, one of `QUALITY_RULES`; None without one."""
    platforms: str = ""
    """Pattern of the satellites that it flies on, as files and catalogs name them (`LC08`, `landsat-8`); empty: any."""
    layers: tuple[str, ...] = ()
    """custom: what each band of a file holds, in order: names of `bands`, and what the quality band is called."""
    members: tuple["Sensor", ...] = ()
    """Of a family: its sensors, of which each scene has the one of its satellite."""

    def of_platform(self, platform: str, name: str) -> "Sensor":
        """Return the sensor of a scene: this one, or of a family the member that flies on the scene's satellite.

        Args:
            platform: The satellite, empty where it is not known.
            name: The scene, for errors.

        Raises:
            InputError: The satellite is not known, or carries another sensor.
        """
        rows = self.members or (self,)
        if not platform and self.members:
            raise InputError(
                f"{name}: which satellite took it is in neither its name nor its metadata, and the numbers of its bands mean "
                f"other colours on each. Set `sensor: name:` to one of {', '.join(m.name for m in rows)}."
            )
        for row in rows:
            if not platform or not row.platforms or re.match(row.platforms, platform, re.IGNORECASE):
                return row
        # What flies on Sentinel-2 is rarely meant to be read as HLS.
        right = "sentinel-2-l2a" if re.match("sentinel|S2", platform, re.IGNORECASE) else next(
            (s.name for s in SENSORS if s.members and any(_flies(m, platform) for m in s.members)), ""
        )  # fmt: skip
        advice = f"Set `sensor: name: {right}`" if right else "Correct `sensor: name:`"
        raise InputError(
            f"{name} was taken by {platform}, which does not carry {self.name}: its bands of the same numbers see others. "
            f"{advice}, or leave the scene out with `scenes: faulty: skip` or `scenes: stac: leave_out:`."
        )

    def band_in(self, text: str) -> Band | None:
        """Return the band that a file name or a band description names; None where it names no single one."""
        whole = [b for b in self.bands if text.strip().casefold() in (b.native.casefold(), b.name.casefold())]
        if len(whole) == 1:
            return whole[0]
        for band in self.bands:
            if band.native and re.search(rf"(^|[^a-z0-9]){re.escape(band.native)}($|[^a-z0-9])", text, re.IGNORECASE):
                return band
        folded = _RED_EDGE.sub("rededge", text).casefold()
        words = {piece for token in re.split(r"[\s.;:,()/-]+", folded) for piece in (token, *token.split("_"))} - {""}
        words |= {_ALIASES[piece] for piece in words & _ALIASES.keys()}
        found = [band for band in self.bands if words & {band.name.casefold(), band.native.casefold()}]
        # "coastal blue" names two bands, so it decides nothing.
        return found[0] if len(found) == 1 else None


def _flies(sensor: Sensor, platform: str) -> bool:
    return bool(sensor.platforms and re.match(sensor.platforms, platform, re.IGNORECASE))


_RED_EDGE = re.compile(r"red[\s_-]+edge[\s_-]*", re.IGNORECASE)
"""Two words for one band, of which the first names another."""
_BASELINE = re.compile(r"N?(?:(\d{1,2}\.\d{1,2})|(\d{4}))", re.IGNORECASE)
_ALIASES = {"swir1": "swir16", "swir2": "swir22", "b1": "b01", "b2": "b02", "b3": "b03", "b4": "b04", "b5": "b05",
            "b6": "b06", "b7": "b07", "b8": "b08", "b9": "b09"}  # fmt: skip

# Centre wavelengths of Sentinel-2A: https://sentiwiki.copernicus.eu/web/s2-mission
_SENTINEL_2 = tuple(
    Band(name, native, wavelength)
    for native, name, wavelength in [
        ("B01", "coastal", 443), ("B02", "blue", 493), ("B03", "green", 560), ("B04", "red", 665), ("B05", "rededge071", 704),
        ("B06", "rededge075", 741), ("B07", "rededge078", 783), ("B08", "nir", 833), ("B8A", "nir08", 865),
        ("B09", "nir09", 945), ("B10", "cirrus", 1374), ("B11", "swir16", 1614), ("B12", "swir22", 2202),
    ]
)  # fmt: skip

# Landsat 8 and 9 (OLI); Landsat 4 to 7 number the same colours one lower. USGS LSDS-1619.
_LANDSAT_OLI = tuple(
    Band(name, native, wavelength)
    for native, name, wavelength in [
        ("SR_B1", "coastal", 443), ("SR_B2", "blue", 482), ("SR_B3", "green", 561), ("SR_B4", "red", 655),
        ("SR_B5", "nir", 865), ("SR_B6", "swir16", 1609), ("SR_B7", "swir22", 2201),
    ]
)  # fmt: skip
_LANDSAT_TM = tuple(
    Band(name, native, wavelength)
    for native, name, wavelength in [
        ("SR_B1", "blue", 485), ("SR_B2", "green", 560), ("SR_B3", "red", 660), ("SR_B4", "nir", 830),
        ("SR_B5", "swir16", 1650), ("SR_B7", "swir22", 2215),
    ]
)  # fmt: skip

# At Level 1 the files are called by the number alone.
_LANDSAT_OLI_1, _LANDSAT_TM_1 = (
    tuple(replace(band, native=band.native.removeprefix("SR_")) for band in bands) for bands in (_LANDSAT_OLI, _LANDSAT_TM)
)

# Harmonized Landsat and Sentinel-2 2.0: https://lpdaac.usgs.gov/documents/1698/HLS_User_Guide_V2.pdf.
_HLS_S30 = tuple(band for band in _SENTINEL_2 if band.native not in ("B09", "B10"))
_HLS_L30 = tuple(
    Band(name, native, wavelength)
    for native, name, wavelength in [
        ("B01", "coastal", 443), ("B02", "blue", 482), ("B03", "green", 561), ("B04", "red", 655),
        ("B05", "nir08", 865), ("B06", "swir16", 1609), ("B07", "swir22", 2201),
    ]
)  # fmt: skip

# SuperDove, and the same colours of the four bands before: https://docs.planet.com/data/imagery/planetscope/
_PLANETSCOPE = tuple(
    Band(name, native, wavelength)
    for native, name, wavelength in [
        ("coastal_blue", "coastal", 443), ("blue", "blue", 490), ("green_i", "green05", 531), ("green", "green", 565),
        ("yellow", "yellow", 610), ("red", "red", 665), ("rededge", "rededge071", 705), ("nir", "nir", 865),
    ]
)  # fmt: skip

_S2_SCALE = 1e-4
_TM_ETM, _OLI = r"LT0?[45]|LE0?7|landsat[-_ ]?[457]", r"L[CO]0?[89]|landsat[-_ ]?[89]"
_LANDSAT = Sensor(
    "landsat-c2-l2-oli", _LANDSAT_OLI, scale=2.75e-5, offset=-0.2, nodata=0, quality="QA_PIXEL", platforms=_OLI
)  # fmt: skip
# The factors of Level 1 are in each scene's metadata.
_LANDSAT_1 = replace(_LANDSAT, name="landsat-c2-l1-oli", bands=_LANDSAT_OLI_1, scale=2e-5, offset=-0.1)
_TM = replace(_LANDSAT, name="landsat-c2-l2-tm", bands=_LANDSAT_TM, platforms=_TM_ETM)
_TM_1 = replace(_LANDSAT_1, name="landsat-c2-l1-tm", bands=_LANDSAT_TM_1, platforms=_TM_ETM)
_HLS = Sensor("hls-s30", _HLS_S30, scale=1e-4, nodata=-9999, quality="Fmask", platforms=r"S30|sentinel-?2|S2")


def _family(name: str, *members: Sensor) -> Sensor:
    return replace(members[0], name=name, platforms="", members=members)


SENSORS: tuple[Sensor, ...] = (
    Sensor("sentinel-2-l2a", _SENTINEL_2, scale=_S2_SCALE, nodata=0, baseline_offset=True, quality="SCL"),
    Sensor("sentinel-2-l1c", _SENTINEL_2, scale=_S2_SCALE, nodata=0, baseline_offset=True),
    _LANDSAT,
    _TM,
    _family("landsat-c2-l2", _LANDSAT, _TM),
    _family("landsat-c2-l1", _LANDSAT_1, _TM_1),
    _family("hls", _HLS, replace(_HLS, name="hls-l30", bands=_HLS_L30, platforms=r"L30|landsat|L[CO]0?[89]")),
    Sensor("planetscope", _PLANETSCOPE, scale=1e-4, nodata=0, quality="UDM2"),
)
"""Every sensor with a published rule; anything else is `custom`, where the user gives each field."""

_OFFSET_SINCE_BASELINE = 4.0
_SENTINEL_2_OFFSET = -1000.0
_SCL_OBSERVED = (2, 4, 5, 6, 7, 11)
"""Dark areas, vegetation, bare soil, water, unclassified, snow. Left out: no data, defective, shadow, clouds, cirrus."""
_QA_NOT_OBSERVED = 0b11111
"""Bits 0 to 4 of QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow (USGS LSDS-1619, table 6-3)."""
_FMASK_NOT_OBSERVED, _FMASK_FILL = 0b1110, 255
"""Bits 1 to 3 of HLS's Fmask: cloud, next to cloud or shadow, shadow (HLS User Guide 2.0)."""


def sensor_named(name: str) -> Sensor:
    """Return the table's row.

    Raises:
        InputError: No such row.
    """
    for sensor in SENSORS:
        if sensor.name == name:
            return sensor
    raise InputError(f"Sensor {name!r} is not known; expected one of {', '.join(s.name for s in SENSORS)}, or custom.")


def is_satellite(text: str) -> bool:
    """Whether a text names a satellite that a row of the table is bound to."""
    return any(_flies(row, text) for sensor in SENSORS for row in (sensor, *sensor.members))


def custom_sensor(
    bands: Sequence[str],
    *,
    scale: float,
    offset: float,
    nodata: float | None,
    units: str,
    wavelengths_nm: Mapping[str, float] | None = None,
    nodata_by_file: bool = False,
) -> Sensor:
    """Build the sensor that the user describes field by field.

    Args:
        bands: Names in the order of the file; one of `QUALITY_RULES`, such as `dataMask`, is a mask and no spectral band.
        scale: Value = number x scale + offset.
        offset: See `scale`.
        nodata: Number that means not observed; None without one.
        units: `reflectance`, or what the values are (for example `digital numbers`).
        wavelengths_nm: Centre wavelengths by band name; where missing, those of the Sentinel-2 band of that name.
        nodata_by_file: Whether each file declares its own.

    Raises:
        InputError: No bands, or a name twice.
    """
    if not bands or len(set(bands)) != len(bands):
        raise InputError(f"Sensor custom has the bands {list(bands)}; name each band of the file once, in its order.")
    quality = next((name for name in bands if name in QUALITY_RULES), None)
    known = {b.name: b.wavelength_nm for b in _SENTINEL_2} | dict(wavelengths_nm or {})
    rows = tuple(Band(name, "", known.get(name)) for name in bands if name != quality)
    return Sensor(
        "custom", rows, scale=scale, offset=offset, nodata=nodata, nodata_by_file=nodata_by_file, units=units, quality=quality,
        layers=tuple(bands),
    )  # fmt: skip


def number_offset(sensor: Sensor, baseline: str | None, declared: float | None, name: str) -> float:
    """Return what to add to a scene's numbers before scaling.

    Sentinel-2 products since processing baseline 04.00 (25 January 2022, and reprocessed older dates) have 1000 added to
    every number. The date does not decide it, so the baseline must be known.

    Args:
        sensor: The scene's sensor.
        baseline: Processing baseline such as `05.09`, `0509` or `N0509`, None where neither name nor tags have it.
        declared: Number to add by the config, which wins.
        name: The scene, for errors.

    Raises:
        InputError: The sensor needs the baseline, and it is not known or not a number.
    """
    if declared is not None:
        return declared
    if not sensor.baseline_offset:
        return 0.0
    if baseline is None:
        raise InputError(
            f"{name}: the processing baseline is in neither the file name (_N0509_) nor the tags, so it is not known whether "
            f"1000 has to be taken off its numbers. Set `sensor: number_offset:` to 0 (baseline below 04.00) or -1000."
        )
    found = _BASELINE.fullmatch(baseline.strip())
    if found is None:
        raise InputError(f"{name}: processing baseline {baseline!r}; expected something like 05.09 or N0509.")
    value = float(found[1]) if found[1] else int(found[2]) / 100
    return _SENTINEL_2_OFFSET if value >= _OFFSET_SINCE_BASELINE else 0.0


def to_values(numbers: np.ndarray, sensor: Sensor, added: float = 0.0, own: tuple[float, float] | None = None) -> np.ndarray:
    """Turn a file's numbers into the sensor's units.

    Args:
        numbers: Of a file, any shape.
        sensor: What the file holds.
        added: From `number_offset`.
        own: Scale and offset of this band of this scene, where its metadata have them; the sensor's where None.

    Returns:
        float32 of the same shape, NaN where the number is nodata or NaN.
    """
    scale, offset = own or (sensor.scale, sensor.offset)
    values = np.empty(numbers.shape, dtype=np.float32)
    scale_values(numbers, added, scale, offset, out=values)
    if sensor.nodata is not None and not np.isnan(sensor.nodata):
        values[numbers == sensor.nodata] = np.nan
    return values


def decode_quality(rule: str, quality: np.ndarray) -> np.ndarray:
    """Return where the ground was seen, by the integer codes or bits of a quality band.

    Args:
        rule: One of `QUALITY_RULES`.
        quality: Numbers of the band, any shape.

    Returns:
        bool of the same shape.

    Raises:
        ValueError: There is no such rule.
    """
    if rule not in QUALITY_RULES:
        raise ValueError(f"there is no rule {rule} for a quality band")
    return np.asarray(QUALITY_RULES[rule](quality))


QUALITY_RULES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "SCL": lambda codes: np.isin(codes, _SCL_OBSERVED),
    "QA_PIXEL": lambda bits: (bits.astype(np.uint32) & _QA_NOT_OBSERVED) == 0,
    "Fmask": lambda bits: ((bits.astype(np.uint32) & _FMASK_NOT_OBSERVED) == 0) & (bits != _FMASK_FILL),
    # Band `clear` of Planet's usable data mask 2, of which all others are refinements.
    "UDM2": lambda clear: clear == 1,
    # Planet's first unusable data mask: any bit is a defect.
    "UDM": lambda bits: bits == 0,
    "dataMask": lambda seen: seen > 0,
}
"""How a quality band is read, by what it is called: true where the ground was seen."""
