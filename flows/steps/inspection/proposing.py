"""Proposals for a config, from what scenes and files show: sensor, dates, bands and grid."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from landshift.flows.steps.inspection.band_names import BandNames, read_band_names
from landshift.flows.steps.inspection.folder import DatedFile
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import common_share, crs_name, differences
from landshift.pipeline.scenes.choose import propose_grid
from landshift.pipeline.scenes.folder import RASTERS
from landshift.pipeline.scenes.scene import Scene
from landshift.pipeline.scenes.sensors import SENSORS

_QUALITY = re.compile(r"scl|qa|fmask|udm|mask", re.IGNORECASE)
_ONE_SEASON = 45
"""Days of the year that two dates of one season lie apart at most."""
_CLOUDY = 20.0
"""Percent from which on another date is preferred."""
_COARSE = 60.0
"""Metres: bands of this pixel size, for the atmosphere, are left out beside finer ones."""


Content = dict[str, Any]
"""A config, or a section of it, before it is validated."""


@dataclass
class Draft:
    """A config that grows: content, comments of its keys, and what the user has to decide."""

    content: Content = field(default_factory=dict)
    """As a config has it."""
    comments: dict[str, str] = field(default_factory=dict)
    """Dotted path of a key to the comment behind it."""
    questions: list[str] = field(default_factory=list)
    """What has to be decided, with the reason; sentences that begin with the key."""
    undated: bool = False
    """Whether days are stand-ins: they are not written, so that no map carries them."""

    def decide(self, key: str, why: str) -> None:
        """Note a decision, beside its key and in the list."""
        self.comments[key] = f"DECIDE: {why}"
        self.questions.append(f"{key.replace('.', ': ')}: {why}")


def propose_custom_sensor(draft: Draft, files: Sequence[DatedFile]) -> None:
    """Write the sensor section of files that belong to no product."""
    info, names = files[0].info, read_band_names(files)
    known = _sensor_by_quality(files, names)
    if known is not None:
        draft.content["sensor"] = {"name": known}
        draft.decide("sensor.name", "the band names do not show the level; syntheses (L3A and such) are `custom`")
        return
    sensor: Content = {"name": "custom", "bands": _propose_names(draft, files, names)}
    draft.content["sensor"] = sensor
    if names.by_file and names.bands and "names" not in names.readings:
        sensor["wavelengths_nm"] = {text: b.wavelength_nm for text, b in zip(names.texts, names.bands, strict=True)}
    scales, offsets = set(info.scales), set(info.offsets)
    if scales != {1.0} or offsets != {0.0}:
        sensor["scale"], sensor["offset"] = info.scales[0], info.offsets[0]
        draft.comments["sensor.scale"] = "by the file's own tags"
        sensor["units"] = "reflectance"
        draft.decide("sensor.units", "the file's scale and offset give other numbers; `reflectance` if those are 0..1")
    else:
        sensor["scale"], sensor["offset"], sensor["units"] = 1, 0, "digital numbers"
        if info.dtype != "uint8":
            raw = " (numbers as ESA delivers them: `sensor: name: sentinel-2-l2a`)" if "Sentinel-2" in names.readings else ""
            draft.decide(
                "sensor.scale", f"value = number x scale + offset, `sensor: units: reflectance` once that gives 0..1{raw}"
            )
    declared = {f.info.nodata for f in files}
    sensor["nodata"] = "declared"
    if declared == {None} and info.dtype[0] != "f" and not info.alpha and not info.masked:
        draft.decide("sensor.nodata", "no file declares a number for empty pixels; `none` if every number is a measurement")


def _propose_names(draft: Draft, files: Sequence[DatedFile], names: BandNames) -> list[str]:
    """Return the names of the bands, in the order of the file; asked about where the files do not show them."""
    info = files[0].info
    if names.by_file:
        if not names.bands:
            whose = f"are other colours of {' and of '.join(names.readings)}" if names.readings else "are no names of colours"
            draft.decide("sensor.bands", f"{', '.join(names.texts)} {whose}: set `sensor: wavelengths_nm:`")
        plain = "names" in names.readings
        return [b.name for b in names.bands] if plain else list(names.texts)
    found = [b.name for b in names.bands]
    if found and len(set(found)) == len(found):
        if "names" not in names.readings:
            draft.comments["sensor.bands"] = f"{', '.join(names.texts)} of {' or '.join(names.readings)}"
        return found
    count = len(info.spectral)
    unknown = [f"band{i}" for i in range(1, count + 1)]
    if found:
        twice = next(name for name in found if found.count(name) > 1)
        draft.decide(
            "sensor.bands", f"{twice} is there twice: are several dates in one file? `gdal_translate -b N` takes bands out"
        )
    elif len(names.readings) > 1:
        draft.decide(
            "sensor.bands", f"{', '.join(names.texts)} are other colours of {' and of '.join(names.readings)}: name them"
        )
    elif count == 3 and info.dtype == "uint8":
        draft.decide("sensor.bands", "the file does not name its bands; three bands of bytes are mostly red, green, blue")
        return ["red", "green", "blue"]
    else:
        named = f" ({', '.join(t for t in info.descriptions if t)})" if any(info.descriptions) else ""
        draft.decide("sensor.bands", f"name them in the order of the file{named}: blue, green, red, nir, swir16, swir22, ...")
    return unknown


def _sensor_by_quality(files: Sequence[DatedFile], names: BandNames) -> str | None:
    """Return the row of the table whose quality band the files carry, beside bands of it alone; None without one."""
    texts = {text.upper() for f in files for text in (f.info.path.stem, *f.info.descriptions)}
    rows = [s for s in SENSORS if s.quality and not s.members]
    rules = [s for s in rows if any(re.search(rf"(^|[\s_]){str(s.quality).upper()}$", text) for text in texts)]
    spectral = [d for d in files[0].info.descriptions if d and not _QUALITY.search(d)] or list(names.texts)
    fitting = [s.name for s in rules if spectral and all(s.band_in(text) is not None for text in spectral)]
    return fitting[0] if len(fitting) == 1 and files[0].info.dtype[0] in "ui" else None


def propose_files(draft: Draft, folder: Path, files: Sequence[DatedFile]) -> None:
    """Write which files are scenes, and the dates that their names do not have."""
    scenes = draft.content.setdefault("scenes", {})
    wanted = {f.file.relative for f in files}
    pattern = next((p for p in _patterns(sorted(wanted)) if _matching(folder, p) == wanted), None)
    if pattern is None:
        scenes["pattern"] = "*" + PurePosixPath(min(wanted)).suffix
        draft.decide("scenes.pattern", f"no pattern takes the {len(wanted)} images alone; move them into a folder of their own")
    else:
        scenes["pattern"] = pattern
    dates, undated = {}, [f for f in files if f.day is None]
    for number, found in enumerate(undated):
        named = PurePosixPath(found.file.relative).name
        key = named if sum(PurePosixPath(r).name == named for r in wanted) == 1 else found.file.relative
        dates[key] = date(found.year or 1900 + number % 8000, 7, 1)
    if undated:
        scenes["dates"] = dates
        draft.undated = any(f.year is None for f in undated)
        why = "no name has a day" if draft.undated else "names have the year alone"
        written = [f"{PurePosixPath(f.file.relative).name} was written on {f.written}" for f in undated if f.written]
        if draft.undated and written:
            why += f" ({', '.join(written[:2])}{', ...' if len(written) > 2 else ''}, which of exports is a later day)"
        draft.decide("scenes.dates", f"{why}; write when the ground was seen" + (", here and in `epochs:`" * draft.undated))


def _patterns(relatives: Sequence[str]) -> Iterable[str]:
    """Yield patterns for files, the simplest first."""
    paths = [PurePosixPath(r) for r in relatives]
    suffixes, names = {p.suffix for p in paths}, {p.name for p in paths}
    depths = {len(p.parts) for p in paths}
    suffix = suffixes.pop() if len(suffixes) == 1 else ".*"
    above = "/".join(["*"] * (depths.pop() - 1)) if len(depths) == 1 else "**"
    above = f"{above}/" if above else ""
    if len(names) == 1:
        yield f"{above}{names.pop()}"
    yield f"{above}*{suffix}"
    first = paths[0].name
    while first and not all(p.name.startswith(first) for p in paths):
        first = first[:-1]
    first = first.rstrip("0123456789")
    if first:
        yield f"{above}{first}*{suffix}"
    yield f"{above}*[12][0-9][0-9][0-9]*{suffix}"
    shapes = {re.sub(r"\d", "[0-9]", name) for name in names}
    if len(shapes) == 1:
        yield f"{above}{shapes.pop()}"


def _matching(folder: Path, pattern: str) -> set[str]:
    return {
        p.relative_to(folder).as_posix() for p in folder.glob(pattern) if p.is_file() and p.suffix.lower() in RASTERS
    }  # fmt: skip


def propose_epochs(draft: Draft, scenes: Sequence[Scene], years: tuple[int, int] | None) -> tuple[list[Scene], list[Scene]]:
    """Write the two dates to compare: of one season and clear, far apart; near the years of the labels where these have some.

    Returns:
        The scenes of both.

    Raises:
        InputError: There are fewer than two dates.
    """
    days = sorted({s.date for s in scenes})
    if len(days) < 2:
        if draft.undated:
            raise InputError(
                f"There is one image, {scenes[0].paths[0]}, without a day in its name; expected images of two dates. Bands of "
                f"several dates in one file are taken apart with `gdal_translate -b 1 -b 2 -b 3 FILE DATE.tif`."
            )
        raise InputError(
            f"There are scenes of {len(days)} date{'s' if len(days) != 1 else ''} ({', '.join(map(str, days)) or 'none'}); "
            f"expected two or more. Put the images of both dates below the folder."
        )
    pairs = [(a, b) for i, a in enumerate(days) for b in days[i + 1 :]]
    clouds = {day: max((s.cloud_cover or 0.0 for s in scenes if s.date == day), default=0.0) for day in days}
    before, after = min(pairs, key=lambda pair: _rank(pair, clouds, years))
    stand_ins = set(draft.content.get("scenes", {}).get("dates", {}).values())
    # Of a year alone the whole of it, so that the day can be filled in without touching the epochs.
    draft.content["epochs"] = {
        name: {"start": date(day.year, 1, 1) if day in stand_ins else day,
               "end": date(day.year, 12, 31) if day in stand_ins else day}
        for name, day in (("before", before), ("after", after))
    }  # fmt: skip
    if len(days) > 2:
        why = "of one season" if _count_days_between(before, after) <= _ONE_SEASON else "the nearest in season"
        draft.decide("epochs", f"of {len(days)} dates these two were taken: {why}, few clouds, far apart")
    elif _count_days_between(before, after) > _ONE_SEASON:
        draft.comments["epochs"] = (
            f"{_count_days_between(before, after)} days of the year apart: plants look different, `landshift check` warns"
        )
    return [s for s in scenes if s.date == before], [s for s in scenes if s.date == after]


def _rank(pair: tuple[date, date], clouds: Mapping[date, float], years: tuple[int, int] | None) -> tuple[float, ...]:
    before, after = pair
    off = 0 if years is None else abs(before.year - years[0]) + abs(after.year - years[1])
    apart = _count_days_between(before, after)
    return (
        off, float(apart > _ONE_SEASON), float(max(clouds[before], clouds[after]) > _CLOUDY), (before - after).days // 365,
        apart, clouds[before] + clouds[after],
    )  # fmt: skip


def _count_days_between(one: date, other: date) -> int:
    """Return how many days of the year two dates are apart."""
    days = abs(one.timetuple().tm_yday - other.timetuple().tm_yday)
    return min(days, 365 - days)


def propose_bands(draft: Draft, scenes: Sequence[Scene]) -> None:
    """Write the bands that all scenes have, without those for the atmosphere; nothing where that is all of each scene."""
    common = [b for b in scenes[0].bands if all(b in s.bands for s in scenes)]
    sizes = {b: _pixel_of(scenes[0], b) for b in common}
    finest = min(sizes.values(), default=0.0)
    kept = [b for b in common if sizes[b] < _COARSE or finest >= _COARSE]
    if not kept:
        draft.questions.append(
            "bands: no band is in all scenes that were taken; are files of one date called differently, or is one missing?"
        )
    elif any(list(s.bands) != kept for s in scenes):
        draft.content["bands"] = kept
        left = [b for b in dict.fromkeys(b for s in scenes for b in s.bands) if b not in kept]
        draft.comments["bands"] = "that all scenes have" + (f"; not {', '.join(left)}" if left else "")


def _pixel_of(scene: Scene, band: str) -> float:
    found = re.search(r"_(\d{2})m\.", scene.bands[band].path.name)
    return float(found[1]) if found else float(scene.grid.transform.a)


def propose_region(draft: Draft, before: Sequence[Scene], after: Sequence[Scene]) -> None:
    """Write the region's grid where the scenes do not share one in metres: what both dates cover."""
    grids = [[s.grid for s in side] for side in (before, after)]
    first = grids[0][0]
    if first.crs is not None and first.crs.projected and not any(differences(first, g) for side in grids for g in side):
        return
    found = propose_grid(grids)
    if common_share(found, *grids) == 0:
        draft.questions.append("scenes: the scenes of both dates do not overlap; put those of one region below the folder")
        return
    bounds = [_plain(edge) for edge in found.extent.boundingbox.bbox]
    draft.content["grid"] = {"crs": crs_name(found.crs), "pixel_size": _plain(found.transform.a), "bounds": bounds}
    draft.comments["grid"] = "what both dates cover" + ("" if found.crs == first.crs else ", in metres, for hectares")


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else round(value, 6)
