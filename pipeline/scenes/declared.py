"""What a scene's files declare, against its sensor and against each other."""

from collections.abc import Sequence

import numpy as np

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import crs_name
from landshift.pipeline.raster.read import RasterInfo
from landshift.pipeline.scenes.sensors import Sensor

_CLOUD_TAGS = ("CLOUD_COVERAGE_ASSESSMENT", "CLOUD_COVER", "CLOUDY_PIXEL_PERCENTAGE", "cloud_coverage")
"""Of GDAL's own Sentinel-2 reader, Landsat, Earth Engine and HLS."""


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
                f"{crs_name(info.grid.crs)}. Expected one CRS a scene; warp one file (`gdalwarp -t_srs`), "
                f"or rename it if it belongs to another scene."
            )


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
