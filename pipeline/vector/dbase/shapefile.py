"""The changes as a Shapefile, for programs that read nothing newer: short names, UTF-8, dates as dates, and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio.raw
import shapely
from pyproj import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import scratch_folder
from landshift.pipeline.vector.columns import CHANGE_COLUMNS
from landshift.pipeline.vector.dbase.value_table import DBASE_OPTIONS, TEXT_BYTES, cut_text
from landshift.pipeline.vector.layer import field_of, require_whole

SHAPEFILE = "changes_shapefile.shp"
"""Not `changes.shp`: QGIS would give it the style `changes.qml`, whose columns have the long names."""
SHORT_NAMES: Mapping[str, str] = {
    "change_id": "change_id", "change_code": "code", "from_code": "from_code", "from_name": "from_name", "to_code": "to_code",
    "to_name": "to_name", "area_ha": "area_ha", "pixel_count": "pixels", "change_probability": "prob_mean",
    "change_probability_min": "prob_min", "kind_right": "right", "kind_right_low": "right_low",
    "kind_right_high": "right_high", "kind_tested_px": "tested_px", "before_date": "before", "after_date": "after",
    "areas_of_interest": "areas",
}  # fmt: skip
"""Column to its name of at most 10 letters."""
ENDINGS = (".cpg", ".prj", ".dbf", ".shx", ".shp")
"""Of its files, the one that programs open last."""
MOST_BYTES = 2**31 - 1
"""Of each file, by the format: its offsets have 32 bits, and many programs take them as signed."""
_TEXT_BYTES = 80
"""Of a column of text in dBase, as GDAL makes it, at least."""
_NUMBER_BYTES = 24
"""Of a number in dBase, at most."""


@dataclass(frozen=True)
class ShapefileSize:
    """What a Shapefile would take."""

    outlines: int
    """Bytes of the `.shp`."""
    table: int
    """Bytes of the `.dbf`, at most."""


def write_shapefile(folder: Path, changes: gpd.GeoDataFrame) -> list[Path]:
    """Write the changes as a Shapefile with `SHORT_NAMES`.

    Texts longer than 254 bytes are cut, and end with an ellipsis. The outlines turn as the format wants it: rings around
    areas clockwise.

    Args:
        folder: Where to.
        changes: From `map_layers`.

    Returns:
        Every file that was written.

    Raises:
        InputError: It would be larger than the format allows.
        ValueError: The frame lacks a column.
    """
    path = folder / SHAPEFILE
    missing = [c.name for c in CHANGE_COLUMNS if c.name not in changes]
    if missing:
        raise ValueError(f"the frame for {path.name} lacks {', '.join(missing)}")
    require_fits(measure_shapefile(changes), len(changes), path)
    data, masks = zip(*(field_of(changes[c.name], c) for c in CHANGE_COLUMNS), strict=True)
    texts = [_cut(values, c.dtype) for values, c in zip(data, CHANGE_COLUMNS, strict=True)]
    with scratch_folder(folder) as scratch, require_whole(path):
        pyogrio.raw.write(
            scratch / path.name, geometry=shapely.to_wkb(changes.geometry.to_numpy()), field_data=texts, field_mask=list(masks),
            fields=np.array([SHORT_NAMES[c.name] for c in CHANGE_COLUMNS], dtype=object), geometry_type="Polygon",
            driver="ESRI Shapefile", crs=CRS(changes.crs).to_wkt(), layer_options=dict(DBASE_OPTIONS),
        )  # fmt: skip
        return [(scratch / path.name).with_suffix(end).replace(path.with_suffix(end)) for end in ENDINGS]


def measure_shapefile(changes: gpd.GeoDataFrame) -> ShapefileSize:
    """Return what the files would take: https://www.esri.com/content/dam/esrisites/sitecore-archive/Files/Pdfs/library/whitepapers/pdfs/shapefile.pdf.

    Args:
        changes: With `CHANGE_COLUMNS`.
    """
    shapes = changes.geometry.to_numpy()
    rings = int(shapely.get_num_interior_rings(shapely.get_parts(shapes)).sum()) + len(shapely.get_parts(shapes))
    outlines = 100 + len(shapes) * (8 + 44) + 4 * rings + 16 * int(shapely.get_num_coordinates(shapes).sum())
    widths = [_width(changes[c.name]) if c.dtype == "str" else _NUMBER_BYTES for c in CHANGE_COLUMNS]
    return ShapefileSize(outlines, 32 * (len(CHANGE_COLUMNS) + 1) + 1 + len(shapes) * (1 + sum(widths)))


def require_fits(size: ShapefileSize, count: int, path: Path) -> None:
    """Refuse what the format cannot hold, before anything is written.

    Args:
        size: From `measure_shapefile`.
        count: Of the changes.
        path: The Shapefile.

    Raises:
        InputError: A file would have more than 2 GiB.
    """
    largest = max(size.outlines, size.table)
    if largest > MOST_BYTES:
        raise InputError(
            f"{path.name}: {count:,} changes would take {largest / 2**30:,.1f} GiB, and a Shapefile holds 2 GiB at most: take "
            f"`shapefile` out of `detect: copies:` (`changes.gpkg` has all of them, and `flatgeobuf` too), or raise "
            f"`detect: min_area_ha`."
        )


def _width(texts: pd.Series) -> int:
    longest = max((len(str(t).encode()) for t in texts.dropna().unique()), default=0)
    return min(max(longest, _TEXT_BYTES), TEXT_BYTES)


def _cut(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype != "str":
        return values
    return np.array([None if v is None else cut_text(v) for v in values], dtype=object)
