"""The door for vector layers, outward: what changed in a register, what is to be reviewed in it, and the labels from that."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio.raw
import shapely
from pyproj import CRS

from pipeline.columns import Column
from pipeline.errors import InputError
from pipeline.geopackage import Style, add_tables, describe
from pipeline.manifest import replace_when_done
from pipeline.register_columns import CHANGE_COLUMNS, states_qml
from pipeline.review_columns import LABEL_COLUMNS, LABELS_LAYER, REVIEW_LAYER, review_columns
from pipeline.styles import outline_qml

_LAYER = "changed"
_COLUMNS = (
    Column("what", "str", "What", "The state that the change is in now"),
    Column("was", "str", "Was", "The state that it was in; null where it was not there"),
    *(c for c in CHANGE_COLUMNS if c.name != "state"),
)
_FORMATS: Mapping[str, tuple[str, dict[str, dict[str, str]]]] = {
    ".gpkg": (
        "GPKG",
        {"dataset_options": {"VERSION": "1.2"}, "layer_options": {"GEOMETRY_NAME": "geom", "SPATIAL_INDEX": "YES"}},
    ),
    # https://datatracker.ietf.org/doc/html/rfc7946: longitude and latitude, outer rings counter-clockwise.
    ".geojson": ("GeoJSON", {"layer_options": {"RFC7946": "YES"}}),
}


def require_format(path: Path) -> str:
    """Return the GDAL driver that a file's name asks for.

    Raises:
        InputError: Neither .gpkg nor .geojson.
    """
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(_FORMATS)}.")
    return _FORMATS[path.suffix.lower()][0]


def write_changed(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write what changed in a register, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `changed`, in the CRS of the register, painted by state) or `.geojson` (RFC 7946, WGS 84).
        frame: From `changed_between`; may be empty.

    Raises:
        InputError: The name says neither, or the folder cannot be written to.
    """
    require_format(path)
    return _write(path, frame, _LAYER, _COLUMNS, states_qml("what", {c.name: c.alias for c in _COLUMNS}))


def write_review(path: Path, frame: gpd.GeoDataFrame, qml: str) -> Path:
    """Write the GeoPackage that changes are reviewed in.

    Args:
        path: The `.gpkg` to make.
        frame: From `review_frame`.
        qml: QGIS style with the form, the layer's default.

    Raises:
        InputError: The folder cannot be written to.
    """
    return _write(path, frame, REVIEW_LAYER, review_columns(binary="true_change" not in frame), qml)


def write_labels(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write labels, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `labels`) or `.geojson`.
        frame: From `review_labels`.

    Raises:
        InputError: The name says neither, or the folder cannot be written to.
    """
    require_format(path)
    return _write(path, frame, LABELS_LAYER, LABEL_COLUMNS, outline_qml({c.name: c.alias for c in LABEL_COLUMNS}))


def _write(path: Path, frame: gpd.GeoDataFrame, layer: str, columns: Sequence[Column], qml: str) -> Path:
    driver, options = _FORMATS[path.suffix.lower()]
    data, masks = zip(*(_field(frame, column) for column in columns), strict=True)
    try:
        with replace_when_done(path) as temporary:
            pyogrio.raw.write(
                temporary, geometry=shapely.to_wkb(frame.geometry.to_numpy()), field_data=list(data), field_mask=list(masks),
                fields=np.array([c.name for c in columns], dtype=object), layer=layer, driver=driver,
                geometry_type="Polygon", crs=CRS(frame.crs).to_wkt(), **options,
            )  # fmt: skip
            if driver == "GPKG":
                with closing(sqlite3.connect(temporary)) as database, database:
                    add_tables(database)
                    describe(database, layer, columns, Style(qml, ""))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}). Choose another place with --output.") from error
    return path


def _field(frame: gpd.GeoDataFrame, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Values as OGR takes them, and where they are null."""
    series = frame[column.name]
    null = series.isna().to_numpy()
    if column.dtype == "str":
        return series.astype(object).where(~null, None).to_numpy(), null
    if column.dtype.startswith("datetime"):
        return series.astype(object).where(~null, "NaT").to_numpy().astype("datetime64[D]"), null
    if column.dtype == "float64":
        return series.to_numpy(dtype=np.float64), null
    return series.astype("Int64").to_numpy(dtype=np.int64, na_value=0), null
