"""What a scene's files declare, against its sensor and against each other."""

import difflib
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath

import numpy as np
from affine import Affine
from odc.geo.crs import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, differences
from landshift.pipeline.raster.place import RemoteFile
from landshift.pipeline.raster.read import RasterInfo
from landshift.pipeline.scenes.scene import DeclaredGrid, Scene
from landshift.pipeline.scenes.sensors import Sensor

_CLOUD_TAGS = ("CLOUD_COVERAGE_ASSESSMENT", "CLOUD_COVER", "CLOUDY_PIXEL_PERCENTAGE", "cloud_coverage")
"""Of GDAL's own Sentinel-2 reader, Landsat, Earth Engine and HLS."""
_FALSE_NORTHINGS = (10e6, -10e6)
"""Metres between the two halves of a UTM zone."""
_IDENTITY = (1.0, 0.0)
"""Scale and offset where a file has none."""
_NEAR_PX = 1e-3
"""Pixels; closer than this is the same place, as of grids."""


def require_declared_place(info: RasterInfo, declared: DeclaredGrid) -> None:
    """Refuse a file whose pixels lie elsewhere than its catalog declares.

    Two names of one CRS are the same, also the datum that files of HLS leave open. Of a UTM zone, catalogs name the southern
    half where files count from the equator (HLS and Landsat do, with negative northings): also the same, where corners agree.

    Args:
        info: The file.
        declared: By the catalog; what it leaves out is not compared.

    Raises:
        InputError: Names each difference, and the remedy.
    """
    own = CRS(info.crs) if info.crs else None
    northing = 0.0 if own is None or not declared.crs else _northing(own, CRS(declared.crs), info)
    found = [] if northing is not None else [f"CRS {crs_name(CRS(declared.crs))} and {crs_name(own)}"]
    if not found:
        transform = declared.transform or info.transform
        stated = Affine.translation(0, -(northing or 0.0)) @ transform if declared.transform else transform
        found = differences(Grid(declared.shape or info.shape, stated, own), Grid(info.shape, info.transform, own))
    if found:
        raise InputError(
            f"the catalog and the file {info.path} do not agree: {'; '.join(found)} (the catalog first). "
            f"Leave the item out with `scenes: stac: leave_out:`, and report it to the catalog's keeper."
        )


def _northing(own: CRS, declared: CRS, info: RasterInfo) -> float | None:
    """Return what a CRS adds to the northings of a file in its own, 0 for the same place; None where they differ otherwise."""
    if own == declared:
        return 0.0
    rows, columns = info.shape
    turn = own.transformer_to_crs(declared)
    spots = [info.transform @ spot for spot in ((0, 0), (columns, 0), (0, rows), (columns, rows), (columns / 2, rows / 2))]
    moved = np.array([np.subtract(turn(*spot), spot) for spot in spots])
    for northing in (0.0, *_FALSE_NORTHINGS):
        if np.abs(moved - (0, northing)).max() <= _NEAR_PX * abs(info.transform.a):
            return northing
    return None


def require_nodata(info: RasterInfo, sensor: Sensor) -> None:
    """Refuse a file and a sensor that disagree on the number that means not observed.

    A file that declares NaN or an infinite number contradicts nothing: such pixels are never observed.

    Raises:
        InputError: The message has both numbers, and what to write where each file has its own.
    """
    declared = info.nodata if info.nodata is not None and np.isfinite(info.nodata) else None
    if sensor.nodata_by_file:
        return
    if sensor.nodata is None:
        if declared is None:
            return
        raise InputError(
            f"{info.path} declares nodata {declared:g}, the config has `sensor: nodata: none`. Set "
            f"`sensor: nodata: {declared:g}` where that number means not observed in every "
            f"file, `sensor: nodata: declared` where each file declares its own, or "
            f"unset it in the file (`gdal_edit.py -unsetnodata`)."
        )
    nodata = sensor.nodata
    if declared is not None and declared != nodata:
        remedy = (
            "Correct `sensor: nodata:` (`declared` takes what each file declares)"
            if sensor.name == "custom"
            else "The product's publisher has that number for all its files"
        )
        raise InputError(
            f"{info.path} declares nodata {declared:g}, but sensor {sensor.name} has nodata {nodata:g}. {remedy}, or correct "
            f"the file (`gdal_edit.py -a_nodata {nodata:g} {shlex.quote(str(info.path))}`)."
        )
    kind = np.dtype(info.dtype)
    if kind.kind in "iu" and not (np.iinfo(kind).min <= nodata <= np.iinfo(kind).max and nodata % 1 == 0):
        raise InputError(
            f"{info.path} holds {info.dtype}, which cannot be {nodata:g}, the nodata of the config. "
            f"Set `sensor: nodata:` to the number that its empty pixels have, or to `none`."
        )


def require_factors(scene: Scene, infos: Iterable[RasterInfo]) -> None:
    """Refuse scale and offset tags of files that contradict how a scene's numbers are read; without tags nothing does.

    Args:
        scene: With its bands and what is added to its numbers.
        infos: Of its files; those that hold none of its bands are left alone.

    Raises:
        InputError: The message has both, and the lines to write.
    """
    for info in infos:
        tags = {
            name: (info.scales[source.band - 1], info.offsets[source.band - 1])
            for name, source in scene.bands.items()
            if source.path == info.path
        }
        for name, tagged in tags.items():
            if tagged != _IDENTITY:
                _require_like_tag(scene, info, name, tagged, differ=len(set(tags.values())) > 1)


def _require_like_tag(scene: Scene, info: RasterInfo, name: str, tagged: tuple[float, float], *, differ: bool) -> None:
    sensor, source = scene.sensor, scene.bands[name]
    scale, offset = source.factors or (sensor.scale, sensor.offset)
    offset += scene.number_offset * scale
    # Catalogs take the 1000 of Sentinel-2 off and leave the tag as it was; the pixels decide there.
    is_free = sensor.baseline_offset and isinstance(info.path, RemoteFile)
    if math.isclose(scale, tagged[0], rel_tol=1e-6) and (is_free or abs(offset - tagged[1]) <= 0.01 * abs(scale)):
        return
    own = "the config has" if sensor.name == "custom" else f"sensor {sensor.name} has"
    file = shlex.quote(str(info.path))
    if differ:
        copy = shlex.quote(f"{info.path.stem}_values.tif")
        remedy = (
            f"Its bands have different ones: `gdal_translate -unscale -ot Float32 {file} {copy}` makes values that need none"
        )
    elif sensor.name == "custom":
        remedy = f"Set `sensor: scale: {tagged[0]:.9g}` and `sensor: offset: {tagged[1]:.9g}`"
    elif sensor.baseline_offset and math.isclose(scale, tagged[0], rel_tol=1e-6):
        remedy = f"Set `sensor: number_offset: {tagged[1] / tagged[0]:.6g}`"
    else:
        remedy = "Take another `sensor:`, such as `custom`, if the file is another product"
    raise InputError(
        f"{info.path}, band {source.band} ({name}): the file has scale {tagged[0]:.9g} and offset {tagged[1]:.9g}, {own} scale "
        f"{scale:.9g} and offset {offset:.9g}. {remedy}; or, if the file is wrong, `gdal_edit.py -scale 1 -offset 0 {file}`."
    )


def require_one_crs(group: Sequence[RasterInfo]) -> None:
    """Refuse files of one scene in several CRS.

    Raises:
        InputError: Names both.
    """
    first = group[0]
    for info in group[1:]:
        if info.grid.crs != first.grid.crs:
            raise InputError(
                f"{first.path} is in {crs_name(first.grid.crs)}, {info.path} of the same scene in "
                f"{crs_name(info.grid.crs)}. Expected one CRS a scene; warp one file "
                f"(`gdalwarp -t_srs {crs_name(first.grid.crs)} {shlex.quote(str(info.path))} WARPED.tif`), "
                f"or rename it if it belongs to another scene."
            )


def require_dates_used(dates: Mapping[str, date], files: Sequence[str]) -> None:
    """Refuse dates of the config for files that no scene has.

    Args:
        dates: By file, with or without its folder.
        files: Of all scenes, relative to the folder.

    Raises:
        InputError: Names the file, and one like it.
    """
    names = {name for file in files for name in (file, PurePosixPath(file).name)}
    for unknown in sorted(dates.keys() - names):
        near = difflib.get_close_matches(unknown, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The files are {', '.join(files[:5])}."
        raise InputError(f"`scenes: dates:` names {unknown}, but no scene has such a file. {hint}")


def cloud_cover_in(group: Sequence[RasterInfo]) -> float | None:
    """Return the cloud cover in percent that a tag of a scene's files has; None without one."""
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
