"""Rasters whose pixels do not lie along the axes of a CRS: why, and the command of GDAL that brings them there."""

import shlex
from pathlib import Path
from typing import Any

import pyproj
from odc.geo.crs import CRS
from pyproj.exceptions import CRSError

from landshift.pipeline.grid import crs_name
from landshift.pipeline.outlines import utm_at
from landshift.pipeline.raster.masks import alpha_bands, has_mask
from landshift.pipeline.raster.place import RasterPlace

FOLDER = "north_up"
"""Beside a raster, for what is made of it; the name stays, since it may hold the date and the band."""


_LARGEST_PRJ = 2**16
"""Bytes; a CRS in words has a few thousand."""


def explain_place(source: Any, path: RasterPlace) -> str:  # noqa: ANN401 (rasterio is not typed)
    """Return why the pixels of an open dataset have no grid, and what to run; empty where nothing keeps them from one.

    Args:
        source: An open dataset.
        path: Its file.
    """
    t = source.transform
    points, system = source.gcps
    if t.is_identity and points:
        if system is None:
            return (
                f"{path} is placed by {len(points)} control points without a CRS. Put the one that they are in into the "
                f"command: {_command(source, path, '-s_srs EPSG:... -r bilinear')}"
            )
        crs = CRS(system.to_wkt())
        target = crs if crs.projected else utm_at(*(_middle([getattr(p, axis) for p in points]) for axis in "xy"))
        return (
            f"{path} is placed by {len(points)} control points ({crs_name(crs)}), and not by a transform. Make a raster of "
            f"rows and columns along the axes once: {_command(source, path, f'-t_srs {_system(target)} -r bilinear')}"
        )
    if t.is_identity and source.rpcs is not None:
        target = utm_at(source.rpcs.long_off, source.rpcs.lat_off)
        return (
            f"{path} is placed by rational polynomial coefficients (RPC), and not by a transform. Make a raster of "
            f"rows and columns along the axes once, in hills with `-to RPC_DEM=` and a file of heights: "
            f"{_command(source, path, f'-rpc -t_srs {_system(target)} -r bilinear')}"
        )
    if source.crs is None:
        code = _code_beside(path)
        return code and (
            f"{path} has no CRS, so it is not known where it lies; the .prj beside it, which is not read, has EPSG:{code}. "
            f"Write it into the file: `gdal_edit.py -a_srs EPSG:{code} {shlex.quote(str(path))}`."
        )
    if t.is_identity:
        return (
            f"{path} is in {crs_name(CRS(source.crs.to_wkt()))}, but its transform is {tuple(t)[:6]}: nothing in it shows "
            f"where it lies. Write its edges into the file: `gdal_edit.py -a_ullr WEST NORTH EAST SOUTH "
            f"{shlex.quote(str(path))}`."
        )
    if t.b or t.d:
        return (
            f"{path} is rotated: its transform is {tuple(t)[:6]}. Make a raster of rows and columns along the axes once: "
            f"{_command(source, path, '-r bilinear')}"
        )
    if t.a <= 0 or t.e >= 0:
        fault = "its rows go north" if t.e >= 0 else "its columns go west"
        return f"{path} is mirrored: {fault} (transform {tuple(t)[:6]}). Turn it once: {_command(source, path, '-r near')}"
    return ""


def _code_beside(path: RasterPlace) -> str:
    """Return the EPSG code that a .prj beside a raster stands for; empty without a .prj or a code in it."""
    if not isinstance(path, Path):
        return ""
    beside = path.with_suffix(".prj")
    if beside.is_symlink() or not beside.is_file() or beside.stat().st_size > _LARGEST_PRJ:
        return ""
    try:
        code = pyproj.CRS.from_wkt(beside.read_text(errors="replace")).to_epsg()
    except (CRSError, OSError):
        return ""
    return "" if code is None else str(code)


def _middle(values: list[float]) -> float:
    return (min(values) + max(values)) / 2


def _system(crs: CRS) -> str:
    return f"EPSG:{crs.epsg}" if crs.epsg else shlex.quote(crs.to_wkt())


def _command(source: Any, path: RasterPlace, options: str) -> str:  # noqa: ANN401
    """Return sentences with a command line that makes a north-up raster, where what is not covered is not observed."""
    if not isinstance(path, Path):
        return f"copy it here, and run `gdalwarp {options} FILE NEW_FILE` on it."
    absent = "" if source.nodata is not None and not has_mask(source, path) else " -dstalpha"
    absent = "" if alpha_bands(source) else absent
    old, folder = shlex.quote(str(path)), shlex.quote(str(path.parent / FOLDER))
    new = shlex.quote(str(path.parent / FOLDER / f"{path.stem}.tif"))
    other = " For classes and masks, take `-r near`." if "bilinear" in options else ""
    return (
        f"`mkdir -p {folder} && gdalwarp {options}{absent} -co COMPRESS=DEFLATE -co TILED=YES {old} {new}`.{other} Then take "
        f"the new files (`scenes: folder:`)."
    )
