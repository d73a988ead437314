"""Scenes in a folder of GeoTIFFs."""

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import crs_name
from landshift.pipeline.raster.read import RasterInfo, inspect
from landshift.pipeline.scenes.dates import acquisition_date
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import Band, Sensor, number_offset

_CLOUD_TAGS = ("CLOUD_COVERAGE_ASSESSMENT", "CLOUD_COVER", "CLOUDY_PIXEL_PERCENTAGE")
_BASELINE = re.compile(r"_N(\d{4})(?=_|$)")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line breaks, and what is left of bytes that are not UTF-8."""
_RESOLUTION = re.compile(r"_(10|20|30|60)m$")


def files_in(folder: Path, pattern: str) -> list[Path]:
    """List the files of a folder that match a pattern, without opening them.

    Raises:
        InputError: No folder, no such file, an invalid pattern, or a name that cannot be written into the outputs.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected the folder with the scenes; check --data and `scenes: folder:`.")
    try:
        paths = sorted(p for p in folder.glob(pattern) if p.is_file())
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"`scenes: pattern: {pattern}` cannot be used ({error}). Expected something like `*.tif`.") from error
    if not paths:
        raise InputError(f"{folder} holds no file like {pattern}. Check `scenes: folder:` and `pattern:`.")
    for path in paths:
        require_printable(path.relative_to(folder))
    return paths


def require_printable(path: Path) -> None:
    """Refuse a file name that neither a config nor a terminal can show.

    Raises:
        InputError: It has control characters or is not UTF-8.
    """
    if _UNPRINTABLE.search(str(path)):
        raise InputError(f"The file name {str(path)!a} has control characters or is not UTF-8. Rename the file.")


def scenes_in(
    folder: Path,
    sensor: Sensor,
    *,
    pattern: str = "*.tif",
    dates: Mapping[str, date] | None = None,
    declared_offset: float | None = None,
    allowed: Callable[[Path], object] = lambda path: None,
    refused: Callable[[str, InputError], None] | None = None,
) -> list[Scene]:
    """Find the scenes in a folder: one file a date with all bands, or one file a band.

    Dates come from `dates`, else from the file names, else from tags of the acquisition, which must not contradict the names.

    Args:
        folder: Where to look, with its subfolders where the pattern has `**`.
        sensor: What the files hold.
        pattern: Which files, as in a shell.
        dates: File name to date, for files without a date in name and tags.
        declared_offset: What to add to every number, where the user knows it.
        allowed: Called with each file before it is opened; raises where it may not be.
        refused: Called with the name and the fault of each file or scene that cannot be used, which is left out then;
            None: the first fault is raised.

    Returns:
        By date, then by id.

    Raises:
        InputError: No folder or file, a file that cannot be used, or a date, a band order or an offset that is not known.
    """
    paths = files_in(folder, pattern)
    infos = []
    groups: dict[str, list[RasterInfo]] = defaultdict(list)
    for path in paths:
        with _catching(path.name, refused):
            allowed(path)
            infos.append(inspect(path))
    _require_dates_used(dates or {}, [p.name for p in paths])
    for info in infos:
        with _catching(info.path.name, refused):
            groups[_scene_id(info, sensor)].append(info)
    scenes = []
    for key, group in groups.items():
        with _catching(key, refused):
            scenes.append(_scene(key, group, sensor, dates or {}, declared_offset=declared_offset))
    return sorted(scenes, key=lambda s: (s.date, s.id))


@contextmanager
def _catching(name: str, refused: Callable[[str, InputError], None] | None) -> Iterator[None]:
    """Hand a fault to `refused`; raise it without one."""
    try:
        yield
    except InputError as error:
        if refused is None:
            raise
        refused(name, error)


def _require_dates_used(dates: Mapping[str, date], names: Sequence[str]) -> None:
    for unknown in sorted(dates.keys() - set(names)):
        near = difflib.get_close_matches(unknown, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The scenes are {', '.join(names[:5])}."
        raise InputError(f"`scenes: dates:` names {unknown}, but no scene has such a file. {hint}")


def _scene_id(info: RasterInfo, sensor: Sensor) -> str:
    stem = info.path.stem
    if info.count > 1:
        return stem
    scene, _, band = _one_band(info, sensor)
    if band is None:
        if len(sensor.bands) == 1:
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
            return "_".join(pieces[:-count]) or bare, last, band.name
    return bare, "", None


def _scene(
    key: str, group: list[RasterInfo], sensor: Sensor, dates: Mapping[str, date], declared_offset: float | None
) -> Scene:
    bands: dict[str, Source] = {}
    quality: Source | None = None
    for info in group:
        whole = info.count > 1 or len(sensor.bands) == 1
        names = _band_names(info, sensor) if whole else [_one_band(info, sensor)[2]]
        for number, name in enumerate(names, start=1):
            if name == sensor.quality and name is not None:
                quality = Source(info.path, number)
            elif name is not None:
                if name in bands:
                    raise InputError(f"{info.path}: band {name} is there twice, in {bands[name].path} too. Remove one.")
                bands[name] = Source(info.path, number)
        if names != [sensor.quality]:
            require_nodata(info, sensor)
    _require_one_crs(group)
    if not bands:
        raise InputError(
            f"{group[0].path} is a quality band, and none of its scene's bands is there. Correct `scenes: pattern:`."
        )
    first = group[0]
    offset = number_offset(sensor, _baseline(group), declared_offset, str(first.path))
    finest = min((i.grid for i in group), key=lambda g: float(g.transform.a))
    return Scene(
        key,
        acquisition_date(group, dates),
        sensor,
        bands,
        quality=quality,
        grid=finest,
        number_offset=offset,
        cloud_cover=_cloud_cover(group),
    )


def _cloud_cover(group: Sequence[RasterInfo]) -> float | None:
    for info in group:
        for tag in _CLOUD_TAGS:
            try:
                found = float(info.tags[tag])
            except (KeyError, ValueError):
                continue
            # Some writers put -1 or NaN where they do not know.
            if 0 <= found <= 100:
                return found
    return None


def require_nodata(info: RasterInfo, sensor: Sensor) -> None:
    """Refuse a file and a sensor that disagree on the number that means not observed."""
    if sensor.nodata is None and info.nodata is not None:
        raise InputError(
            f"{info.path} declares nodata {info.nodata:g}, the config `nodata: none`. "
            f"Set `sensor: nodata: {_yaml(info.nodata)}`, or unset it in the file (`gdal_edit.py -unsetnodata`)."
        )
    if sensor.nodata is None:
        return
    # NaN differs from itself.
    if info.nodata is not None and not np.array_equal(info.nodata, sensor.nodata, equal_nan=True):
        raise InputError(
            f"{info.path} declares nodata {info.nodata:g}, but sensor {sensor.name} has nodata {sensor.nodata:g}. "
            f"Correct `sensor: nodata:`, or the file (`gdal_edit.py -a_nodata`)."
        )
    kind = np.dtype(info.dtype)
    if kind.kind in "iu" and not (np.iinfo(kind).min <= sensor.nodata <= np.iinfo(kind).max and sensor.nodata % 1 == 0):
        raise InputError(
            f"{info.path} holds {info.dtype}, which cannot be {sensor.nodata:g}, the nodata of the config. "
            f"Set `sensor: nodata:` to the number that its empty pixels have, or to `none`."
        )


def _yaml(number: float) -> str:
    return ".nan" if np.isnan(number) else f"{number:g}"


def _require_one_crs(group: Sequence[RasterInfo]) -> None:
    first = group[0]
    for info in group[1:]:
        if info.grid.crs != first.grid.crs:
            raise InputError(
                f"{first.path} is in {crs_name(first.grid.crs)}, {info.path} of the same scene in "
                f"{crs_name(info.grid.crs)}. Expected one CRS a scene; warp one file (`gdalwarp -t_srs`), "
                f"or rename it if it belongs to another scene."
            )


def _band_names(info: RasterInfo, sensor: Sensor) -> list[str | None]:
    """Name each band of a multi-band file, by its description or by the declared order."""
    described = [_name_in(d, sensor) for d in info.descriptions]
    if sensor.name != "custom":
        if not any(described):
            raise InputError(
                f"{info.path} has {info.count} bands without descriptions, so their order is not known. Describe them "
                f"(B02, B03, ...), or use `sensor: custom` and list the bands in their order."
            )
        return described
    declared = [b.name for b in sensor.bands]
    if info.count != len(declared):
        raise InputError(
            f"{info.path} has {info.count} bands ({', '.join(d or '?' for d in info.descriptions)}), but the config lists "
            f"{len(declared)}: {', '.join(declared)}. List every band of the file, in its order."
        )
    for number, (own, name) in enumerate(zip(described, declared, strict=True), start=1):
        if own is not None and own != name:
            raise InputError(
                f"{info.path}, band {number}: its description {info.descriptions[number - 1]!r} means {own}, the config has "
                f"{name}. Put `sensor: bands:` in the order of the file."
            )
    return list(declared)


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
