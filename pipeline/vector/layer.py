"""One vector layer into one file: how its columns are written, and the error of a full disk."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio.raw
import shapely
from pyproj import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.vector.columns import Column
from landshift.pipeline.vector.geopackage import Style, add_tables, describe

OPTIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    # GeoPackage 1.2, which older programs read without complaint.
    "GPKG": {"dataset_options": {"VERSION": "1.2"}, "layer_options": {"GEOMETRY_NAME": "geom", "SPATIAL_INDEX": "YES"}},
    # https://datatracker.ietf.org/doc/html/rfc7946: longitude and latitude, outer rings counter-clockwise.
    "GeoJSON": {"layer_options": {"RFC7946": "YES"}},
    "FlatGeobuf": {},
}
"""GDAL driver to its options."""
_ARROW_TYPES: Mapping[str, str] = {"str": "string", "datetime64[s]": "date32"}
"""Type of a column to that of Arrow, where it does not follow from the values, such as in a column of nulls."""

_MOST_INT = 2**31


@dataclass(frozen=True)
class StyledLayer:
    """A layer to be written."""

    name: str
    """In the file."""
    frame: gpd.GeoDataFrame
    """With the columns; may be empty."""
    columns: Sequence[Column]
    """What is written, in order."""
    style: Style
    """The layer's default."""
    geometry: str = "Polygon"
    """`Polygon`, `MultiPolygon` or `Point`."""


def write_layer(path: Path, driver: str, layer: StyledLayer) -> None:
    """Write a layer without its style into a file, new or not; the atomic step is the caller's.

    Args:
        path: The file.
        driver: Of GDAL, a key of `OPTIONS`.
        layer: What to write.

    Raises:
        ValueError: The frame lacks a column.
    """
    frame, columns = layer.frame, layer.columns
    missing = [c.name for c in columns if c.name not in frame]
    if missing:
        raise ValueError(f"the frame for layer {layer.name!r} lacks {', '.join(missing)}")
    data, masks = zip(*(field_of(frame[c.name], c) for c in columns), strict=True)
    shapes = frame.geometry.to_numpy()
    if layer.geometry == "MultiPolygon":
        shapes = np.array([shapely.multipolygons(shapely.get_parts(shape)) for shape in shapes], dtype=object)
    names, about = [c.name for c in columns], {"layer": layer.name, "driver": driver, "crs": CRS(frame.crs).to_wkt()}
    if driver == "GPKG" and find_spec("pyarrow") is not None:
        # Twice as many rows a second as value by value.
        import pyarrow as pa

        fields = [
            pa.array(values, _ARROW_TYPES.get(c.dtype), mask) for values, mask, c in zip(data, masks, columns, strict=True)
        ]
        table = pa.table([*fields, pa.array(shapely.to_wkb(shapes), pa.binary())], [*names, "geom"])
        pyogrio.raw.write_arrow(table, path, geometry_name="geom", geometry_type=layer.geometry, **about, **OPTIONS[driver])
        return
    # The raw writer, because the one for frames writes dates as text or as times, depending on what is installed.
    pyogrio.raw.write(
        path, geometry=shapely.to_wkb(shapes), field_data=list(data), field_mask=list(masks),
        fields=np.array(names, dtype=object), geometry_type=layer.geometry, **about, **OPTIONS[driver],
    )  # fmt: skip


def write_layers(path: Path, layers: Sequence[StyledLayer]) -> None:
    """Write layers into a GeoPackage, new or not, with headings and meanings of their columns and default styles."""
    for layer in layers:
        write_layer(path, "GPKG", layer)
    with closing(sqlite3.connect(path)) as database, database:
        add_tables(database)
        for layer in layers:
            describe(database, layer.name, layer.columns, layer.style)


@contextmanager
def require_whole(path: Path) -> Iterator[None]:
    """Name the file that could not be written where GDAL or SQLite fails at it.

    Raises:
        OSError: They did; most often the disk is full.
    """
    try:
        yield
    except (RuntimeError, sqlite3.OperationalError) as error:
        raise OSError(f"{path} could not be written whole ({error}). Is the disk full?") from error


def field_of(series: pd.Series, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Return values as OGR takes them, and where they are null.

    Whole numbers have 32 bits where they fit: ArcGIS Pro shows those of 64 bits as doubles (before 3.2), or not at all.
    """
    null = series.isna().to_numpy()
    if column.dtype == "str":
        return series.astype(object).where(~null, None).to_numpy(), null
    if column.dtype.startswith("datetime"):
        if series.dtype == object:
            series = series.where(~null, "NaT")
        return series.to_numpy().astype("datetime64[D]"), null
    if series.dtype == object:
        series = series.astype("Float64" if column.dtype.startswith("float") else "Int64")
    values = series.to_numpy(dtype=column.dtype.lower(), na_value=0)
    if values.dtype == np.int64 and (not len(values) or (abs(values.min()) < _MOST_INT and values.max() < _MOST_INT)):
        values = values.astype(np.int32)
    return values, null


_DRIVERS: Mapping[str, str] = {".gpkg": "GPKG", ".geojson": "GeoJSON"}


def require_format(path: Path) -> str:
    """Return the GDAL driver that a file's name asks for.

    Raises:
        InputError: Neither .gpkg nor .geojson.
    """
    if path.suffix.lower() not in _DRIVERS:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(_DRIVERS)}.")
    return _DRIVERS[path.suffix.lower()]


def write_styled_layer(path: Path, layer: StyledLayer) -> Path:
    """Write one layer into one file, a GeoPackage with its default style, in one atomic step.

    Raises:
        InputError: The name ends in neither .gpkg nor .geojson, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    driver = require_format(path)
    try:
        with replace_when_done(path) as temporary, require_whole(path):
            if driver == "GPKG":
                write_layers(temporary, [layer])
            else:
                write_layer(temporary, driver, layer)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Choose another place with --output.") from error
    return path
