"""Scenes in a folder of GeoTIFFs."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path, PurePosixPath

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.walking import Refused, raise_fault, show_name, walk_files
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.raster.read import RasterInfo, inspect
from landshift.pipeline.scenes.at_once import ask_all
from landshift.pipeline.scenes.dates import acquisition_date, find_day
from landshift.pipeline.scenes.declared import (
    cloud_cover_in,
    require_dates_used,
    require_factors,
    require_nodata,
    require_one_crs,
)
from landshift.pipeline.scenes.products.metadata import read_metadata
from landshift.pipeline.scenes.products.names import FoundFile, NamedFile, fits, metadata_key, name_file, sensors_of
from landshift.pipeline.scenes.products.offsets import find_offset
from landshift.pipeline.scenes.products.scenes import Declared, SceneFiles, group_files, scene_of_files, set_aside
from landshift.pipeline.scenes.products.walk import files_in, require_folder, require_printable, walk
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import SENSORS, Band, Sensor

_BASELINE = re.compile(r"_N(\d{4})(?=_|$)")
_RESOLUTION = re.compile(r"_(10|20|30|60)m$|_\(raw\)$", re.IGNORECASE)
"""What follows the band in the names of Sentinel-2, and of Sentinel Hub's browser."""
_SATELLITES = ("SPACECRAFT_ID", "SATELLITE", "PLATFORM")
_SATELLITE = re.compile(r"(?<![A-Z0-9])(?:L[CE]0[789]|LT0[45]|S2[A-D])(?![0-9])", re.IGNORECASE)
_COLOURS = {band.name.casefold() for sensor in SENSORS for band in sensor.bands}
CUSTOM = "custom"
"""Name of the sensor that the user describes field by field."""


RASTERS = (".tif", ".tiff", ".jp2")
"""Suffixes of the rasters of a folder, lower case."""
_METADATA = (".xml", ".txt")


@dataclass(frozen=True)
class FolderReading:
    """How the files of a folder become scenes."""

    sensor: Sensor
    """What the files hold."""
    pattern: str | None = None
    """Which files, as in a shell; None: all that belong to a product of the sensor, in subfolders and archives too, or without
    such files, the rasters of the folder."""
    declared: Declared = field(default_factory=Declared)
    """What the config has about single scenes."""
    allowed: Callable[[Path], object] = lambda path: None
    """Called with each file before it is opened; raises where it may not be."""
    refused: Refused | None = None
    """Called with the name and the fault of each file or scene that cannot be used, which is left out then; None: the first
    fault is raised."""
    left_out: Callable[[str, date, str], None] = lambda name, day, why: None
    """Called with name, day and reason of each scene that is not wanted, though nothing is wrong with it."""


def scenes_in(folder: Path, how: FolderReading) -> list[Scene]:
    """Find the scenes in a folder: what an archive delivered, or one file a date with all bands, or one file a band.

    Dates come from the config, else from the names of files or of their folders, else from tags of the acquisition, which must
    not contradict the names.

    Returns:
        By date, then by id.

    Raises:
        InputError: No folder or file, a file that cannot be used, or a date, a band order or an offset that is not known.
    """
    named, others = _files(folder, how)
    require_dates_used(how.declared.dates, [*(f.file.relative for f in named), *(f.relative for f in others)])
    scenes = [*_product_scenes(folder, named, how), *_other_scenes(others, how)]
    return sorted(scenes, key=lambda s: (s.date, s.id))


def _files(folder: Path, how: FolderReading) -> tuple[list[NamedFile], list[FoundFile]]:
    """List the files: those that belong to a product, and the others."""
    require_folder(folder)
    if how.pattern is None and how.sensor.name == CUSTOM:
        # No name of a product could show what subfolders and archives hold.
        found = [FoundFile(p, p.name) for p in walk_files(folder, how.refused or raise_fault, suffixes=RASTERS, depth=0)]
    elif how.pattern is None:
        found = list(walk(folder, how.refused or raise_fault, RASTERS))
    else:
        found = [FoundFile(p, p.relative_to(folder).as_posix()) for p in files_in(folder, how.pattern, how.refused)]
    named, others = [], []
    for file in found:
        # The name of a file that is refused for its name goes into lists and records too.
        with _catching(show_name(file.relative), how.refused):
            require_printable(PurePosixPath(file.relative))
            name = None if how.sensor.name == CUSTOM else name_file(file)
            named.append(name) if name is not None else others.append(file)
    if how.pattern is None:
        # Without a pattern, what lies in subfolders is used only where its name shows what it is.
        others = [] if any(fits(f, how.sensor) for f in named) else [f for f in others if "/" not in f.relative]
        if not named and not others:
            raise InputError(
                f"{folder} holds no raster ({', '.join(RASTERS)}) of sensor {how.sensor.name}. Check `scenes: folder:`, or "
                f"name the files with `scenes: pattern:`, such as `*/*.tif` for those one folder below."
            )
    return named, others


def _product_scenes(folder: Path, named: Sequence[NamedFile], how: FolderReading) -> Iterator[Scene]:
    if not named:
        return

    def refuse(name: str, error: InputError) -> None:
        if metadata_key(FoundFile(folder / name, name)) is not None:
            (how.refused or raise_fault)(name, error)

    metadata = {key: f for f in walk(folder, refuse, _METADATA) if (key := metadata_key(f)) is not None}
    kept, others = set_aside(group_files(named), how.sensor)
    if not kept and how.pattern is None and others:
        files = others[0][0].first
        raise InputError(
            f"{folder} holds {files.product.name} {files.level}, and the config reads {how.sensor.name}. Set `sensor: name:` "
            f"to {' or '.join(sensors_of(list(named)))}."
        )
    for found, why in others:
        how.left_out(found.first.scene, found.first.day, why)

    def make_scene(found: SceneFiles) -> Scene:
        facts = metadata.get(found.first.key)
        for place in (*(f.file.place for f in found.files), *([facts.place] if facts else [])):
            how.allowed(place.archive if isinstance(place, ArchivedFile) else Path(str(place)))
        return scene_of_files(replace(found, facts=read_metadata(facts) if facts else None), how.sensor, how.declared)

    for found, made in zip(kept, ask_all(kept, make_scene), strict=True):
        with _catching(found.first.scene, how.refused):
            if isinstance(made, InputError):
                raise made
            yield made


def _other_scenes(files: Sequence[FoundFile], how: FolderReading) -> Iterator[Scene]:
    groups: dict[str, list[tuple[FoundFile, RasterInfo]]] = defaultdict(list)
    doubles = {stem for stem, count in Counter(Path(f.relative).stem for f in files).items() if count > 1}

    def inspect_allowed(file: FoundFile) -> RasterInfo:
        how.allowed(Path(str(file.place)))
        return inspect(file.place)

    for file, info in zip(files, ask_all(files, inspect_allowed), strict=True):
        with _catching(file.relative, how.refused):
            if isinstance(info, InputError):
                raise info
            key = _scene_id(info, how.sensor)
            if not key or Path(file.relative).stem in doubles:
                # Files of one name in different folders are different scenes; those called by the band alone share a folder.
                parts = (*PurePosixPath(file.relative).parent.parts, *([key] if key else []))
                key = "_".join(parts) or Path(file.relative).stem
            groups[key].append((file, info))
    for key, group in groups.items():
        with _catching(key, how.refused):
            yield _scene(key, group, how)


@contextmanager
def _catching(name: str, refused: Refused | None) -> Iterator[None]:
    """Hand a fault to `refused`; raise it without one."""
    try:
        yield
    except InputError as error:
        if refused is None:
            raise
        refused(name, error)


def _scene_id(info: RasterInfo, sensor: Sensor) -> str:
    stem = info.path.stem
    if len(info.spectral) > 1:
        return stem
    scene, _, band = _one_band(info, sensor)
    if band is None:
        if len(sensor.bands) == 1:
            colour = stem.rpartition("_")[2].casefold()
            if colour in _COLOURS and colour != sensor.bands[0].name.casefold():
                raise InputError(
                    f"{info.path}: its name ends in {colour}, and the config has the band {sensor.bands[0].name} alone. List "
                    f"the bands of all files of a scene in `sensor: bands:`, or take some with `scenes: pattern:`."
                )
            return stem
        raise InputError(
            f"{info.path} has one band, and its name ends in none of {', '.join(b.native or b.name for b in sensor.bands)}. "
            f"Name the files of a scene alike up to the band (SCENE_B04.tif), or give one file with all bands."
        )
    return scene


def _one_band(info: RasterInfo, sensor: Sensor) -> tuple[str, str, str | None]:
    """Split the name of a one-band file into the scene, the band as spelt, and the name of that band or quality."""
    bare = _RESOLUTION.sub("", info.path.stem)
    if sensor.quality and bare.casefold().endswith(f"_{sensor.quality.casefold()}"):
        return bare[: -len(sensor.quality) - 1], sensor.quality, sensor.quality
    pieces = bare.split("_")
    for count in (2, 1):  # SR_B4 before B4
        last = "_".join(pieces[-count:])
        band: Band | None = sensor.band_in(last) if len(pieces) >= count else None
        if band is not None and (count == 1 or last.casefold() in (band.native.casefold(), band.name.casefold())):
            return "_".join(pieces[:-count]), last, band.name
    return bare, "", None


def _scene(key: str, found: Sequence[tuple[FoundFile, RasterInfo]], how: FolderReading) -> Scene:
    group, declared = [info for _, info in found], how.declared
    first, platform = group[0], _platform(group)
    sensor = how.sensor.of_platform(platform, str(first.path))
    bands: dict[str, Source] = {}
    quality: Source | None = None
    for info in group:
        whole = len(info.spectral) > 1 or len(sensor.bands) == 1
        names = _name_bands(info, sensor) if whole else [(info.spectral[0], _one_band(info, sensor)[2])]
        for number, name in names:
            if name == sensor.quality and name is not None:
                quality = Source(info.path, number, grid=info.grid)
            elif name is not None:
                if name in bands:
                    raise InputError(f"{info.path}: band {name} is there twice, in {bands[name].path} too. Remove one.")
                bands[name] = Source(info.path, number, grid=info.grid)
        if [name for _, name in names] != [sensor.quality]:
            require_nodata(info, sensor)
    require_one_crs(group)
    if not bands:
        raise InputError(
            f"{group[0].path} is a quality band, and none of its scene's bands is there. Correct `scenes: pattern:`."
        )
    dates = {info.path.name: declared.dates[file.relative] for file, info in found if file.relative in declared.dates}
    day = acquisition_date(group, {**declared.dates, **dates}, find_day(found[0][0].relative))
    scene = Scene(
        key, day, sensor, bands, quality=quality, grid=min((i.grid for i in group), key=lambda g: float(g.transform.a)),
        number_offset=find_offset(sensor, key, day, bands=bands, baseline=_baseline(group), declared=declared.offset),
        cloud_cover=cloud_cover_in(group), platform=platform,
    )  # fmt: skip
    require_factors(scene, group)
    return scene


def _platform(group: Sequence[RasterInfo]) -> str:
    """Return the satellite that tags or names of a scene's files have; empty where none has."""
    for info in group:
        tagged = next((info.tags[tag] for tag in _SATELLITES if info.tags.get(tag)), "")
        named = _SATELLITE.search(info.path.stem)
        if tagged or named:
            return tagged or (named.group() if named else "")
    return ""


def _name_bands(info: RasterInfo, sensor: Sensor) -> list[tuple[int, str | None]]:
    """Number and name the bands of a multi-band file, by their descriptions or by the declared order.

    Alpha and `dataMask` are left out, unless the config lists them in their places.
    """
    listed = sensor.quality is not None and len(sensor.layers) == info.count
    numbers = tuple(range(1, info.count + 1)) if listed else info.spectral
    texts = [info.descriptions[number - 1] for number in numbers]
    described = [_name_in(text, sensor) for text in texts]
    if sensor.name != CUSTOM:
        if not any(described):
            raise InputError(
                f"{info.path} has {len(texts)} bands without descriptions, so their order is not known. Describe them "
                f"(B02, B03, ...), or use `sensor: name: custom` and list the bands in their order."
            )
        return list(zip(numbers, described, strict=True))
    declared = list(sensor.layers)
    if len(texts) != len(declared):
        raise InputError(
            f"{info.path} has {len(texts)} bands ({', '.join(text or '?' for text in texts)}){_alpha_text(info)}, but the "
            f"config lists {len(declared)}: {', '.join(declared)}. List every band of the file, in its order."
        )
    for number, text, own, name in zip(numbers, texts, described, declared, strict=True):
        if own is not None and own != name:
            raise InputError(
                f"{info.path}, band {number}: its description {text!r} means {own}, the config has "
                f"{name}. Put `sensor: bands:` in the order of the file."
            )
    return list(zip(numbers, declared, strict=True))


def _alpha_text(info: RasterInfo) -> str:
    if not info.alpha:
        return ""
    number = info.alpha[0]
    return (
        f" and alpha in band {number}, which is a mask and no band (if it holds values, "
        f"`gdal_edit.py -colorinterp_{number} undefined {shlex.quote(str(info.path))}` makes it one)"
    )


def _name_in(text: str, sensor: Sensor) -> str | None:
    if sensor.quality and sensor.quality.casefold() in text.casefold():
        return sensor.quality
    band = sensor.band_in(text) if text else None
    return band.name if band else None


def _baseline(group: Sequence[RasterInfo]) -> str | None:
    for info in group:
        named = _BASELINE.search(info.path.stem)
        if named:
            return named.group(1)
        if "PROCESSING_BASELINE" in info.tags:
            return str(info.tags["PROCESSING_BASELINE"])
    return None
