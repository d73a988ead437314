"""Attributes of every layer that is published: name, type, heading and meaning."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import CRS

CHANGES_LAYER = "changes"
NOT_OBSERVED_LAYER = "not_observed"
AREAS_LAYER = "areas_of_interest"
SAMPLES_LAYER = "samples"
LABELS_LAYER = "labels"
LEARNT, TESTED = 1, 2
"""What labels were used for: to learn from them or to choose a model by them, and to test it."""


@dataclass(frozen=True)
class Column:
    """One attribute of a layer."""

    name: str
    """In the file and in the frame."""
    dtype: str
    """pandas type of the frame; capital letters allow nulls."""
    alias: str
    """What QGIS shows as the heading."""
    comment: str
    """What it means, with the unit."""


_MEASURED = "Hectares on the ellipsoid, before the outline was simplified"
_PIXELS = Column("pixel_count", "int64", "Pixels", "Number of pixels, before the outline was simplified")
_DATES = (
    Column("before_date", "datetime64[s]", "Date before", "Date of the image before (UTC)"),
    Column("after_date", "datetime64[s]", "Date after", "Date of the image after (UTC)"),
)
CHANGE_COLUMNS = (
    Column("change_id", "str", "Change ID", "Unique within the run; the same change keeps it in the next run"),
    Column("change_code", "int32", "Change code", "Value of change.tif"),
    Column("from_code", "Int32", "From (code)", "Land-use code before; null in a project without classes"),
    Column("from_name", "str", "From", "Land use before; null in a project without classes"),
    Column("to_code", "Int32", "To (code)", "Land-use code after; null in a project without classes"),
    Column("to_name", "str", "To", "Land use after; Changed in a project without classes"),
    Column("area_ha", "float64", "Area (ha, pixel count)", f"{_MEASURED}; pixel count, biased when summed"),
    _PIXELS,
    Column("change_probability", "float64", "Probability of change", "Mean probability of change over the pixels, 0 to 1"),
    Column("change_probability_min", "float64", "Lowest probability of change", "That of its least probable pixel, 0 to 1"),
    Column(
        "kind_right", "Float64", "Kind was right",
        "Share of the model's test pixels mapped as this kind of change that were of this kind, 0 to 1; null where not tested",
    ),
    Column("kind_right_low", "Float64", "Kind was right, low", "Lower end of its 95 % interval, 0 to 1"),
    Column("kind_right_high", "Float64", "Kind was right, high", "Upper end of its 95 % interval, 0 to 1"),
    Column(
        "kind_tested_px", "Int32", "Kind was tested on (pixels)",
        "Test pixels that were mapped as this kind of change; 0 where the kind was not tested, null where the model was not",
    ),
    *_DATES,
    Column(
        AREAS_LAYER, "str", "Areas of interest",
        "Names of the areas of interest that it reaches into, joined by '; ' (a name that holds ';' stands in double quotes); "
        "null where none",
    ),
)  # fmt: skip
SPECIALIST_COLUMNS = (
    "change_code", "from_code", "to_code", "pixel_count", "change_probability_min", "kind_right_low", "kind_right_high",
    "kind_tested_px",
)  # fmt: skip
"""Columns of the changes that tables leave out until they are asked for."""
UNCALIBRATED = "uncalibrated here"
"""Beside every probability of a run whose images are not those that its model was calibrated on."""
TESTED_ELSEWHERE = "measured where the model was trained"
"""Beside every share of right pixels of a run whose images are not those that its model was tested on."""


@dataclass(frozen=True)
class KnownHere:
    """What was measured on the very images of a run; the rest holds where the model was trained."""

    calibrated: bool = False
    """Whether the calibration error was."""
    tested: bool = False
    """Whether the test blocks of the model lie in them, used as they are."""


NOTHING_HERE = KnownHere()
"""Nothing was measured on the images of the run."""


def change_columns(known: KnownHere) -> tuple[Column, ...]:
    """Return `CHANGE_COLUMNS` with headings and meanings that doubt what was not measured on the images of the run."""
    doubts: dict[str, tuple[str, str]] = {}
    if not known.calibrated:
        ranking = f"{UNCALIBRATED}: it ranks, and is not the share of pixels that changed"
        doubts |= dict.fromkeys(("change_probability", "change_probability_min"), (UNCALIBRATED, ranking))
    if not known.tested:
        elsewhere = f"{TESTED_ELSEWHERE}, on other images than these"
        doubts |= dict.fromkeys(_KIND_COLUMNS, (TESTED_ELSEWHERE, elsewhere))
    return tuple(_doubt(c, *doubts[c.name]) if c.name in doubts else c for c in CHANGE_COLUMNS)


def _doubt(column: Column, short: str, long: str) -> Column:
    return replace(column, alias=f"{column.alias} ({short})", comment=f"{column.comment}; {long}")


_KIND_COLUMNS = ("kind_right", "kind_right_low", "kind_right_high", "kind_tested_px")
NOT_OBSERVED_COLUMNS = (
    Column("change_code", "int32", "Change code", "Value of change.tif: 0"),
    Column("area_ha", "float64", "Area (ha)", _MEASURED),
    _PIXELS,
    *_DATES,
)
_COUNTED = "hectares by pixel count, biased"
AREA_COLUMNS = (
    Column("name", "str", "Name", "Name of the area of interest"),
    Column("total_ha", "float64", "Area (ha)", "Hectares of the area inside the map, on the ellipsoid"),
    Column("changed_ha", "float64", "Changed (ha, pixel count)", f"Mapped as changed: {_COUNTED}"),
    Column("unchanged_ha", "float64", "Unchanged (ha, pixel count)", f"Mapped as unchanged: {_COUNTED}"),
    Column("not_observed_ha", "float64", "Not observed (ha)", "Hectares inside the map that one of the dates did not observe"),
    Column("outside_ha", "float64", "Outside (ha)", "Hectares of the area beyond the map, about which nothing is known"),
    Column(
        "changed_share", "Float64", "Changed share (pixel count)",
        "Changed hectares over observed ones, 0 to 1, pixel count, biased; null where nothing was observed",
    ),
    Column("polygons", "int64", "Polygons", "Number of change polygons that reach into the area"),
    Column("largest_change", "str", "Largest change", "The change with the most pixels in the area; null where none"),
    *_DATES,
)  # fmt: skip
_ESTIMATED = "hectares estimated from the judged sample"
AREA_ESTIMATE_COLUMNS = (
    Column(
        "changed_estimated_ha", "Float64", "Changed, estimated (ha, of what was observed)",
        f"Changed, of what was observed: {_ESTIMATED}",
    ),
    Column("changed_low_ha", "Float64", "Changed, low (ha)", f"Lower end of the 95 % interval: {_ESTIMATED}"),
    Column("changed_high_ha", "Float64", "Changed, high (ha)", f"Upper end of the 95 % interval: {_ESTIMATED}"),
    Column("samples", "Int32", "Samples", "Number of judged sample points in the area"),
)  # fmt: skip
"""Beyond `AREA_COLUMNS`, once areas were estimated."""
_NO_CLASSES = "null in a project without classes"
SAMPLE_COLUMNS = (
    Column("sample_id", "str", "Sample", "Number of the sample point"),
    Column("map_code", "Int32", "Mapped (code)", "Value of change.tif at the point"),
    Column("map_name", "str", "Mapped", "What was mapped"),
    Column("reference_code", "Int32", "Reference (code)", "Change code of the interpreter's judgement"),
    Column("reference_name", "str", "Reference", "What the interpreter judged"),
    Column("agrees", "Int32", "Agrees", "1 where map and interpreter agree, else 0"),
    Column("map_before", "Int32", "Mapped before (code)", f"Value of landuse_before.tif at the point; {_NO_CLASSES}"),
    Column("map_after", "Int32", "Mapped after (code)", f"Value of landuse_after.tif at the point; {_NO_CLASSES}"),
    Column("reference_before", "Int32", "Reference before (code)", f"Land-use code judged before; {_NO_CLASSES}"),
    Column("reference_after", "Int32", "Reference after (code)", f"Land-use code judged after; {_NO_CLASSES}"),
    Column("stratum", "str", "Stratum", "Part of the map that the point was drawn from"),
    Column("weight_ha", "float64", "Weight (ha)", "Hectares that the point stands for"),
    Column("interpreter", "str", "Interpreter", "Who judged it"),
    Column("reference_date", "datetime64[s]", "Date of the reference", "Date of what it was judged by; null where not given"),
    Column("remarks", "str", "Remarks", "What the interpreter noted"),
)
LABELS_COLUMNS = (
    Column("label_use", "int32", "Use (code)", f"{LEARNT} = to learn from or to choose the model by, {TESTED} = to test it"),
    Column("label_use_name", "str", "Use", "The same in words"),
)
_LABELLING_KEYS = (
    Column("sample_id", "str", "Sample", "Number of the sample point, in shuffled order"),
    Column("run_id", "str", "Run", "The run that the sample was drawn for; do not change it"),
    Column("row", "Int64", "Row", "Row of the pixel in change.tif, from 0 at the top"),
    Column("column", "Int64", "Column", "Column of the pixel in change.tif, from 0 at the left"),
)
_LABELLING_CHIP = Column("chip", "str", "Picture", "Picture of the surroundings, relative to this file")
_UNTOLD = "0 = cannot be told"
_LABELLING_LAND_USE = (
    Column("reference_before", "Int32", "Land use before", f"What you see on the date before (land-use code); {_UNTOLD}"),
    Column("reference_after", "Int32", "Land use after", f"What you see on the date after (land-use code); {_UNTOLD}"),
)
_LABELLING_CHANGE = (Column("reference_change", "Int32", "Change", f"What you see: 1 = unchanged, 2 = changed; {_UNTOLD}"),)
_LABELLING_REMARKS = (
    Column("interpreter", "str", "Interpreter", "Who judged it"),
    Column("reference_date", "datetime64[s]", "Date of the reference", "Date of what it was judged by"),
    Column("remarks", "str", "Remarks", "Anything to note, such as a doubt"),
)


def labelling_columns(*, binary: bool) -> tuple[Column, ...]:
    """Return the columns of the file that a sample is labelled in, in a project with classes or a binary one."""
    judgement = _LABELLING_CHANGE if binary else _LABELLING_LAND_USE
    return (*_LABELLING_KEYS, _LABELLING_CHIP, *judgement, *_LABELLING_REMARKS)


def necessary_columns(*, binary: bool) -> tuple[Column, ...]:
    """Return those columns of the labelling file without which nothing can be estimated."""
    return (*_LABELLING_KEYS, *(_LABELLING_CHANGE if binary else _LABELLING_LAND_USE))


DTYPES: Mapping[str, str] = {
    column.name: column.dtype
    for table in (
        CHANGE_COLUMNS, NOT_OBSERVED_COLUMNS, AREA_COLUMNS, AREA_ESTIMATE_COLUMNS, SAMPLE_COLUMNS, LABELS_COLUMNS,
        labelling_columns(binary=False), labelling_columns(binary=True),
    )
    for column in table
}  # fmt: skip
"""pandas type of every column by its name, which means the same in all layers."""


def frame_of(values: Mapping[str, Any], columns: Iterable[Column], geometry: np.ndarray, crs: CRS) -> gpd.GeoDataFrame:
    """Build the frame of a layer: columns in their order and with their types, and the geometry.

    Args:
        values: Column name to one value, or to one for each geometry.
        columns: Of the layer.
        geometry: Geometries (n) in `crs`.
        crs: Where they are.
    """
    index = pd.RangeIndex(len(geometry))
    series = {c.name: pd.Series(values[c.name], index=index).astype(c.dtype) for c in columns}
    return gpd.GeoDataFrame(series, geometry=geometry, crs=crs)
