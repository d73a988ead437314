"""Assets of an item that hold the bands of a sensor."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.sensors import Band, Sensor
from landshift.pipeline.scenes.stac.items import bands_of
from landshift.pipeline.scenes.stac.search import Item, Json

QUALITY = "quality"
"""How a config calls the quality band in `scenes: stac: assets:`."""
_LOOKS = frozenset({"thumbnail", "overview", "visual", "metadata"})
"""Roles of assets that are made to be looked at or read by people."""
_RESOLUTION = re.compile(r"_(\d+)m$", re.IGNORECASE)
_RASTER = re.compile(r"image/(tiff|vnd\.stac\.geotiff|x\.geotiff|geotiff|jp2)", re.IGNORECASE)
_NEAR_INFRARED = ("nir", "nir08")
"""Two names of one band where a sensor has only one of them: catalogs call Landsat's `nir08` (0.85 to 0.88 micrometres)."""
_NEAR_NM = 60
"""Catalogs round wavelengths, and HLS swaps two 40 nm apart; bands of one number on TM and OLI are 79 nm and more apart,
but for the coastal and the blue one."""


def assets_of(item: Item, sensor: Sensor, chosen: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Find the asset of each band of a sensor; `chosen` has those of the config (`quality` for the quality band).

    A band is looked for in this order: the asset of the config; the asset called by its common name; by the provider's
    name, the finest where there are several resolutions; names of bands in the assets; file names that end in the
    provider's name.

    Returns:
        Band name, in the sensor's order, to asset key and band number from 1; `quality` last where there is one.

    Raises:
        InputError: A chosen asset is not there, or several fit.
    """
    names = [b.name for b in sensor.bands] + ([QUALITY] if sensor.quality else [])
    for name in chosen:
        if name not in names:
            raise InputError(f"`scenes: stac: assets:` names {name}; sensor {sensor.name} has {', '.join(names)}.")
    bands = [*sensor.bands, *([Band(QUALITY, sensor.quality, None)] if sensor.quality else [])]
    found = {}
    for band in bands:
        other = _other_name(band, sensor)
        place = _chosen(item, band, chosen[band.name]) if band.name in chosen else _find(item, band, other)
        if place is not None:
            found[band.name] = place
    return found


def _other_name(band: Band, sensor: Sensor) -> str:
    """Return what catalogs may call a band besides its own names; empty where that could be another band of the sensor."""
    names = [b.name for b in sensor.bands if b.name in _NEAR_INFRARED]
    # The names of sensor custom are the user's own.
    if names != [band.name] or sensor.name == "custom":
        return ""
    return next(n for n in _NEAR_INFRARED if n != band.name)


def require_colour(item: Item, band: Band, place: tuple[str, int]) -> None:
    """Refuse an asset that sees another colour than the band, by the wavelength that the catalog gives.

    Raises:
        InputError: They are more than 60 nm apart.
    """
    key, number = place
    seen = _wavelength_nm(item.assets[key], number)
    if not _fits(band, seen):
        raise InputError(
            f"Item {item.id}: asset {key} was taken for {band.name} ({band.wavelength_nm:g} nm), but sees {seen:g} nm by the "
            f"catalog. Correct `sensor: name:`, or name the right asset in `scenes: stac: assets:`."
        )


def _wavelength_nm(asset: Json, number: int) -> float | None:
    """Return the centre wavelength of a band of an asset in nanometres, None where the catalog has none."""
    bands = bands_of(asset)
    entry = bands[number - 1] if number <= len(bands) else {}
    stated = entry.get("center_wavelength", entry.get("eo:center_wavelength"))
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    # In micrometres by the specification; some write nanometres.
    return float(stated if stated > 100 else stated * 1000)


def _fits(band: Band, seen: float | None) -> bool:
    return band.wavelength_nm is None or seen is None or abs(seen - band.wavelength_nm) <= _NEAR_NM


def _chosen(item: Item, band: Band, key: str) -> tuple[str, int]:
    if key not in item.assets:
        raise InputError(
            f"Item {item.id} has no asset {key}, which `scenes: stac: assets:` names for {band.name}; it has "
            f"{', '.join(item.assets) or 'none'}."
        )
    return key, _number(item.assets[key], band) or 1


def _number(asset: Json, band: Band, other: str = "") -> int | None:
    """Return the number of a band in an asset, from 1, by the names in the asset; None where it is not among them."""
    own, common = {n.casefold() for n in (band.name, band.native) if n}, ("common_name", "eo:common_name")
    bands = bands_of(asset)
    for keys, wanted in ((("name",), own), (common, own), (("name", *common), {other} - {""})):
        for number, entry in enumerate(bands, start=1):
            if {str(entry.get(k, "")).casefold() for k in keys} & wanted:
                return number
    return None


def _find(item: Item, band: Band, other: str = "") -> tuple[str, int] | None:
    rasters = {k: a for k, a in item.assets.items() if _is_raster(a)}
    folded = {key.casefold(): key for key in rasters}
    for name in (band.name, band.native, other):
        if name and name.casefold() in folded and len(bands_of(rasters[folded[name.casefold()]])) <= 1:
            return folded[name.casefold()], 1
    finest = sorted(
        (int(match[1]), key)
        for key in rasters
        if (match := _RESOLUTION.search(key)) and band.native and key[: match.start()].casefold() == band.native.casefold()
    )
    if finest:
        return finest[0][1], 1
    named = {
        key: number for key, asset in rasters.items() if not _roles(asset) & _LOOKS and (number := _number(asset, band, other))
    }
    if not named:
        named = {key: 1 for key, asset in rasters.items() if band.native and _ends_in(str(asset["href"]), band.native)}
    # The number of a band may be that of another satellite's, its wavelength is not.
    right = {key: number for key, number in named.items() if _fits(band, _wavelength_nm(rasters[key], number))}
    return _one(item, band, right or named)


def _is_raster(asset: Json) -> bool:
    kind = asset.get("type")
    return not kind or bool(_RASTER.match(str(kind)))


def _roles(asset: Json) -> frozenset[str]:
    roles = asset.get("roles")
    return frozenset(str(r).casefold() for r in roles) if isinstance(roles, Sequence) else frozenset()


def _ends_in(href: str, native: str) -> bool:
    stem = PurePosixPath(urlsplit(href).path).stem.casefold()
    return stem == native.casefold() or stem.endswith(f"_{native.casefold()}")


def _one(item: Item, band: Band, found: Mapping[str, int]) -> tuple[str, int] | None:
    """Choose among several: GeoTIFFs before JPEG 2000."""
    if len(found) > 1:
        tiffs = {k: n for k, n in found.items() if "jp2" not in str(item.assets[k].get("type", k)).casefold()}
        found = tiffs or found
    if len(found) > 1:
        raise InputError(
            f"Item {item.id}: the assets {', '.join(found)} all claim to hold {band.name}. Name one in `scenes: stac: assets:`."
        )
    return next(iter(found.items()), None)
