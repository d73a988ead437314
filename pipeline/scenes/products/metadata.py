"""Metadata that a product delivers beside its rasters: processing baseline, day, satellite, factors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from math import radians, sin
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.scenes.products.names import FoundFile

_LARGEST = 16 * 2**20
"""Bytes; the metadata of a scene have some hundred thousand."""


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
    factors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Provider's name of a band to scale and offset of its numbers."""


def read_metadata(file: FoundFile) -> SceneFacts:
    """Read the metadata of a scene; only the values needed are looked for, nothing in the file is executed or resolved.

    Raises:
        InputError: The file cannot be read or is far too large, or a value in it is no number.
    """
    text = _text(file)
    try:
        return _sentinel_2(file, text) if file.relative.lower().endswith(".xml") else _landsat(file, text)
    except ValueError as error:
        raise InputError(f"{file.relative}: a value in it cannot be read ({error}). Download the scene again.") from error


def _text(file: FoundFile) -> str:
    try:
        if isinstance(file.place, ArchivedFile):
            content = file.place.read(_LARGEST + 1)
        else:
            with Path(str(file.place)).open("rb") as stream:
                content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(f"{file.relative} cannot be read ({error.strerror}). Download the scene again.") from error
    if len(content) > _LARGEST:
        raise InputError(f"{file.relative} has more than {_LARGEST:,} bytes, which no metadata of a scene have. Remove it.")
    return content.decode("utf-8", errors="replace")


def _sentinel_2(file: FoundFile, text: str) -> SceneFacts:
    def values(tag: str) -> list[str]:
        return [found.strip() for found in re.findall(rf"<{tag}(?:\s[^>]*)?>([^<]*)</{tag}>", text)]

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
    starts, clouds = values("PRODUCT_START_TIME"), values("Cloud_Coverage_Assessment")
    return SceneFacts(
        file.relative,
        baseline=next(iter(values("PROCESSING_BASELINE")), None),
        number_offset=next(iter(offsets), None),
        day=date.fromisoformat(starts[0][:10]) if starts else None,
        platform=next(iter(values("SPACECRAFT_NAME")), ""),
        cloud_cover=float(clouds[0]) if clouds else None,
    )


def _landsat(file: FoundFile, text: str) -> SceneFacts:
    groups: dict[str, dict[str, str]] = {}
    inside: list[str] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key == "GROUP":
            inside.append(value)
        elif key == "END_GROUP" and inside:
            inside.pop()
        elif equals:
            groups.setdefault(inside[-1] if inside else "", {})[key] = value.strip('"')
    everything = {k: v for group in groups.values() for k, v in group.items()}
    surface, top = groups.get("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", {}), groups.get("LEVEL1_RADIOMETRIC_RESCALING", {})
    factors = {f"SR_B{n}": pair for n, pair in _factors(surface).items()}
    if "SUN_ELEVATION" in everything:
        # Top-of-atmosphere reflectance is corrected for the sun's height: USGS LSDS-1574, section 5.
        height = sin(radians(float(everything["SUN_ELEVATION"])))
        if height > 0:
            factors |= {f"B{n}": (scale / height, offset / height) for n, (scale, offset) in _factors(top).items()}
    day, clouds = everything.get("DATE_ACQUIRED"), everything.get("CLOUD_COVER")
    return SceneFacts(
        file.relative, day=date.fromisoformat(day) if day else None, platform=everything.get("SPACECRAFT_ID", ""),
        cloud_cover=float(clouds) if clouds and 0 <= float(clouds) <= 100 else None, factors=factors,
    )  # fmt: skip


def _factors(group: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return scale and offset by number of the band."""
    prefix = "REFLECTANCE_MULT_BAND_"
    return {
        key.removeprefix(prefix): (float(value), float(group[f"REFLECTANCE_ADD_BAND_{key.removeprefix(prefix)}"]))
        for key, value in group.items()
        if key.startswith(prefix) and f"REFLECTANCE_ADD_BAND_{key.removeprefix(prefix)}" in group
    }
