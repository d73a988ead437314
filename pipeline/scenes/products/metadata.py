"""Metadata that a product delivers beside its rasters: processing baseline, day, satellite, factors."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from math import isfinite, radians, sin
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import require_file
from landshift.pipeline.limits import METADATA_BYTES
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.scenes.products.names import FoundFile

_TAG = re.compile(r"<(/?)(\w+)(?:\s[^<>]*)?>([^<]*)")
"""A tag of XML and the text after it. None of the patterns here reads a character twice, however hostile the file is."""


@dataclass(frozen=True)
class SceneFacts:
    """What the metadata of a scene hold, as far as they do."""

    name: str
    """The file, for errors."""
    baseline: str | None = None
    """Processing baseline of Sentinel-2, such as `05.09`."""
    number_offset: float | None = None
    """What has to be added to every number of Sentinel-2; 0 where a file of a late baseline has none."""
    day: date | None = None
    """Of the acquisition (UTC)."""
    platform: str = ""
    """Satellite."""
    cloud_cover: float | None = None
    """Percent."""
    sun_elevation: str = ""
    """Height of the sun in degrees, as written, of Landsat; empty where the file does not have it."""
    factors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Provider's name of a band to scale and offset of its numbers."""


def read_metadata(file: FoundFile) -> SceneFacts:
    """Read the metadata of a scene; only the values needed are looked for, nothing in the file is executed or resolved.

    Raises:
        InputError: The file cannot be read or is far too large, or a value in it is no number.
    """
    text, name = _text(file), file.relative.lower()
    try:
        if name.endswith("_mtl.xml"):
            return _landsat(file, _groups_of_xml(_without_comments(text)))
        if name.endswith(".xml"):
            return _sentinel_2(file, _without_comments(text))
        return _landsat(file, _groups_of_text(text))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"{file.relative}: a value in it cannot be read ({error!s:.200}). Download the scene again."
        ) from error


def _text(file: FoundFile) -> str:
    try:
        if isinstance(file.place, ArchivedFile):
            content = file.place.read(METADATA_BYTES + 1)
        else:
            require_file(Path(str(file.place)))
            with Path(str(file.place)).open("rb") as stream:
                content = stream.read(METADATA_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file.relative} cannot be read ({error.strerror}). Download the scene again.") from error
    if len(content) > METADATA_BYTES:
        raise InputError(
            f"{file.relative} has more than {METADATA_BYTES:,} bytes, which no metadata of a scene have. Remove it."
        )
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", errors="replace")


def _without_comments(text: str) -> str:
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0:
        kept.append(text[position:start])
        end = text.find("-->", start + 4)
        position = len(text) if end < 0 else end + 3
    return "".join((*kept, text[position:]))


def _sentinel_2(file: FoundFile, text: str) -> SceneFacts:
    def values(tag: str) -> list[str]:
        return [found.strip() for found in re.findall(rf"<{tag}(?:\s[^<>]*)?>([^<]*)</{tag}>", text)]

    offsets = {float(v) for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET") for v in values(tag)}
    divisors = {float(v) for tag in ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE") for v in values(tag)}
    if divisors - {10000.0}:
        raise InputError(
            f"{file.relative}: its numbers are divided by {', '.join(f'{d:g}' for d in sorted(divisors))}; Sentinel-2 is known "
            f"with 10000. Use `sensor: name: custom` with the scale that is right."
        )
    if len(offsets) > 1:
        raise InputError(
            f"{file.relative}: its bands have different offsets ({', '.join(f'{o:g}' for o in sorted(offsets))}); expected "
            f"one. Leave the scene out with `scenes: faulty: skip`."
        )
    baselines = sorted(set(values("PROCESSING_BASELINE")))
    if len(baselines) > 1:
        raise InputError(
            f"{file.relative} has {len(baselines)} processing baselines ({', '.join(f'{b:.20}' for b in baselines[:5])}); "
            f"expected one. Download the scene again, or leave it out with `scenes: faulty: skip`."
        )
    starts, clouds = values("PRODUCT_START_TIME"), values("Cloud_Coverage_Assessment")
    return SceneFacts(
        file.relative,
        baseline=next(iter(baselines), None),
        number_offset=next(iter(offsets), None),
        day=date.fromisoformat(starts[0][:10]) if starts else None,
        platform=next(iter(values("SPACECRAFT_NAME")), ""),
        cloud_cover=_percent(clouds[0] if clouds else ""),
    )


def _percent(text: str) -> float | None:
    """Return a cloud cover; None where it is not one, as scenes without it are used too."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 100 else None


_Groups = dict[str, dict[str, str]]
"""Group of Landsat's metadata to its keys and values."""


def _groups_of_text(text: str) -> _Groups:
    groups: _Groups = {}
    inside: list[str] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key == "GROUP":
            inside.append(value)
        elif key == "END_GROUP" and inside:
            inside.pop()
        elif equals:
            groups.setdefault(inside[-1] if inside else "", {})[key] = value.strip('"')
    return groups


def _groups_of_xml(text: str) -> _Groups:
    groups: _Groups = {}
    inside: list[str] = []
    value = ""
    for closing, tag, after in _TAG.findall(text):
        if not closing:
            inside.append(tag)
            value = after.strip()
        elif inside:
            inside.pop()
            if value:
                groups.setdefault(inside[-1] if inside else "", {})[tag] = value.strip('"')
            value = ""
    return groups


def _landsat(file: FoundFile, groups: _Groups) -> SceneFacts:
    everything = {k: v for group in groups.values() for k, v in group.items()}
    surface, top = groups.get("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", {}), groups.get("LEVEL1_RADIOMETRIC_RESCALING", {})
    factors = {f"SR_B{n}": pair for n, pair in _factors(surface).items()}
    elevation = everything.get("SUN_ELEVATION", "")
    # Top-of-atmosphere reflectance is corrected for the sun's height: USGS LSDS-1574, section 5.
    height = sine_of_sun(elevation)
    if height > 0:
        factors |= {f"B{n}": (scale / height, offset / height) for n, (scale, offset) in _factors(top).items()}
    day = everything.get("DATE_ACQUIRED")
    return SceneFacts(
        file.relative, day=date.fromisoformat(day) if day else None, platform=everything.get("SPACECRAFT_ID", ""),
        cloud_cover=_percent(everything.get("CLOUD_COVER", "")), sun_elevation=elevation, factors=factors,
    )  # fmt: skip


def sine_of_sun(elevation: str) -> float:
    """Return the sine of the sun's height, written in degrees; 0 where that is not a height above the horizon."""
    try:
        degrees = float(elevation)
    except ValueError:
        return 0.0
    return sin(radians(degrees)) if 0 < degrees <= 90 else 0.0


def _factors(group: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return scale and offset by number of the band."""
    multiply, add = "REFLECTANCE_MULT_BAND_", "REFLECTANCE_ADD_BAND_"
    numbers = [key.removeprefix(multiply) for key in group if key.startswith(multiply)]
    return {n: (_finite(group, multiply + n), _finite(group, add + n)) for n in numbers if add + n in group}


def _finite(group: Mapping[str, str], key: str) -> float:
    value = float(group[key])
    if not isfinite(value):
        raise ValueError(f"{key} = {group[key]}")
    return value
