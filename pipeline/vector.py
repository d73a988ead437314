"""The one door for vector layers: polygons out of the change map, and polygons in."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyogrio.raw
import shapely
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from pyproj import CRS
from pyproj.exceptions import ProjError
from rasterio.features import rasterize
from shapely.errors import ShapelyError

from pipeline.change import changed_only
from pipeline.errors import InputError
from pipeline.grid import Grid
from pipeline.legend import NOT_OBSERVED, Change, Legend
from pipeline.manifest import replace_when_done
from pipeline.outlines import ellipsoidal_area_ha, outlines, simplify_coverage, to_map
from pipeline.patches import Patches, find_patches
from pipeline.styles import vector_qml
from pipeline.vector_formats import vector_source

CHANGES_LAYER = "changes"
NOT_OBSERVED_LAYER = "not_observed"

_UNREADABLE = (
    DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError, CRSError, ProjError, ShapelyError, UnicodeError,
)  # fmt: skip
"""What the libraries raise on a damaged file."""


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


_AREA = Column("area_ha", "float64", "Area (ha)", "Hectares on the ellipsoid, before the outline was simplified")
_PIXELS = Column("pixel_count", "int64", "Pixels", "Number of pixels, before the outline was simplified")
_DATES = (
    Column("before_date", "datetime64[s]", "Date before", "Date of the image before (UTC)"),
    Column("after_date", "datetime64[s]", "Date after", "Date of the image after (UTC)"),
)
CHANGE_COLUMNS = (
    Column("change_id", "str", "Change ID", "Unique within the run"),
    Column("change_code", "int32", "Change code", "Value of change.tif"),
    Column("from_code", "Int32", "From (code)", "Land-use code before; null in a project without classes"),
    Column("from_name", "str", "From", "Land use before; null in a project without classes"),
    Column("to_code", "Int32", "To (code)", "Land-use code after; null in a project without classes"),
    Column("to_name", "str", "To", "Land use after; Changed in a project without classes"),
    _AREA,
    _PIXELS,
    Column("confidence", "float64", "Confidence", "Mean probability of change over the pixels, 0 to 1"),
    Column("confidence_min", "float64", "Lowest confidence", "Lowest probability of change of a pixel, 0 to 1"),
    *_DATES,
)
NOT_OBSERVED_COLUMNS = (
    Column("change_code", "int32", "Change code", "Value of change.tif: 0"),
    _AREA,
    _PIXELS,
    *_DATES,
)


def polygons(
    change: np.ndarray,
    confidence: np.ndarray,
    grid: Grid,
    legend: Legend,
    before_date: date,
    after_date: date,
    *,
    prefix: str = "change",
) -> gpd.GeoDataFrame:
    """Turn the change map into polygons: one for each 4-connected patch of a change code.

    Areas and pixels are measured on the pixels; then the outlines are simplified together, so that neighbours keep one
    border, without gaps and overlaps. Every geometry is a valid polygon, whose own area differs from the measured one
    by at most a third (much less in patches of more than a few pixels).

    Args:
        change: uint8 (y, x) change codes of the whole map.
        confidence: float (y, x), 0..1.
        grid: Where the pixels are.
        legend: The project's legend.
        before_date: Date of the image before.
        after_date: Date of the image after.
        prefix: Begins each `change_id`, which goes on with the dates and a number in row-major order of first pixels.

    Returns:
        Columns `CHANGE_COLUMNS` and the geometry, in the grid's CRS, in row-major order of first pixels. In a binary
        project `from_code`, `from_name` and `to_code` are null and `to_name` is "Changed".

    Raises:
        ValueError: An array does not have the grid's shape.
    """
    if not change.shape == confidence.shape == tuple(grid.shape):
        shapes = f"change {change.shape}, confidence {confidence.shape}, grid {tuple(grid.shape)}"
        raise ValueError(f"{shapes}; expected one shape")
    codes = changed_only(change)
    patches = find_patches(codes)
    mean, lowest = _patch_statistics(patches, confidence)
    geometry, area_ha = _patch_polygons(codes, patches, grid)

    by_code = {c.code: c for c in legend.changes}
    entries = [by_code[code] for code in patches.code.tolist()]
    stem = f"{prefix}-{before_date:%Y%m%d}-{after_date:%Y%m%d}"
    values: dict[str, Any] = {
        "change_id": [f"{stem}-{number:06d}" for number in range(1, len(patches) + 1)],
        "change_code": patches.code,
        "from_code": [c.from_code for c in entries],
        "from_name": [c.from_name or None for c in entries],
        "to_code": [c.to_code for c in entries],
        "to_name": [c.to_name or c.name for c in entries],
        "area_ha": area_ha,
        "pixel_count": patches.pixel_count,
        "confidence": mean.astype(np.float64).round(4),
        "confidence_min": lowest.astype(np.float64).round(4),
        "before_date": before_date,
        "after_date": after_date,
    }
    return _frame(values, CHANGE_COLUMNS, geometry, grid)


def not_observed_polygons(change: np.ndarray, grid: Grid, before_date: date, after_date: date) -> gpd.GeoDataFrame:
    """Turn the pixels that one of the dates did not observe into polygons, with their areas.

    Args:
        change: uint8 (y, x) change codes of the whole map.
        grid: Where the pixels are.
        before_date: Date of the image before.
        after_date: Date of the image after.

    Returns:
        Columns `NOT_OBSERVED_COLUMNS` and the geometry, simplified as in `polygons` but apart from the changes, so that
        the two layers can differ by a pixel where they touch.
    """
    codes = (change == NOT_OBSERVED).astype(np.uint8)
    patches = find_patches(codes)
    geometry, area_ha = _patch_polygons(codes, patches, grid)
    values: dict[str, Any] = {
        "change_code": np.full(len(patches), NOT_OBSERVED),
        "area_ha": area_ha,
        "pixel_count": patches.pixel_count,
        "before_date": before_date,
        "after_date": after_date,
    }
    return _frame(values, NOT_OBSERVED_COLUMNS, geometry, grid)


def _frame(values: dict[str, Any], columns: Sequence[Column], geometry: np.ndarray, grid: Grid) -> gpd.GeoDataFrame:
    index = pd.RangeIndex(len(geometry))
    series = {c.name: pd.Series(values[c.name], index=index).astype(c.dtype) for c in columns}
    return gpd.GeoDataFrame(series, geometry=geometry, crs=_crs(grid))


def _crs(grid: Grid) -> CRS:
    if grid.crs is None:
        raise ValueError("the grid has no CRS; build it with grid_of")
    return CRS(grid.crs.to_wkt())


def _patch_statistics(patches: Patches, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and minimum of (y, x) values over each patch, both (patch)."""
    if not len(patches):
        return np.zeros(0), np.zeros(0)
    inside = np.ravel(values)[patches.pixels()].astype(np.float64)
    total = np.bincount(patches.run_patch, weights=np.add.reduceat(inside, patches.run_offset))
    lowest = np.full(len(patches), np.inf)
    np.minimum.at(lowest, patches.run_patch, np.minimum.reduceat(inside, patches.run_offset))
    return total / patches.pixel_count, lowest


def _patch_polygons(codes: np.ndarray, patches: Patches, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Simplified polygons in the grid's CRS and areas in hectares before simplifying, both (patch)."""
    exact = outlines(codes, patches)
    area_ha = ellipsoidal_area_ha(to_map(exact, grid), _crs(grid))
    return to_map(simplify_coverage(exact, patches), grid), area_ha


def write_changes(
    path: Path, changes: gpd.GeoDataFrame, legend: Legend, *, not_observed: gpd.GeoDataFrame | None = None
) -> Path:
    """Write the change polygons as a GeoPackage with its styles, in one atomic step.

    GeoPackage 1.2, which older programs read without complaint. QGIS paints the layers without a click, because the
    file holds their default styles in `layer_styles`, and shows the columns' headings and comments.

    Args:
        path: The `.gpkg` to make.
        changes: From `polygons`; may be empty, and is written as an empty layer then.
        legend: The project's legend; the style lists the changes that occur.
        not_observed: From `not_observed_polygons`; no such layer where None.

    Raises:
        ValueError: A frame lacks a column.
    """
    present = set(changes["change_code"])
    with replace_when_done(path) as temporary:
        _write_layer(temporary, CHANGES_LAYER, changes, CHANGE_COLUMNS)
        if not_observed is not None:
            _write_layer(temporary, NOT_OBSERVED_LAYER, not_observed, NOT_OBSERVED_COLUMNS)
        with closing(sqlite3.connect(temporary)) as database, database:
            _add_tables(database)
            _describe(database, CHANGES_LAYER, CHANGE_COLUMNS, [c for c in legend.changes if c.code in present])
            if not_observed is not None:
                _describe(database, NOT_OBSERVED_LAYER, NOT_OBSERVED_COLUMNS, [legend.changes[NOT_OBSERVED]])
    return path


def _write_layer(path: Path, layer: str, frame: gpd.GeoDataFrame, columns: Sequence[Column]) -> None:
    missing = [c.name for c in columns if c.name not in frame]
    if missing:
        raise ValueError(f"the frame for layer {layer!r} lacks {', '.join(missing)}")
    data, masks = zip(*(_field(frame[c.name], c) for c in columns), strict=True)
    # The raw writer, because the one for frames writes dates as text or as times, depending on what is installed.
    pyogrio.raw.write(
        path, geometry=shapely.to_wkb(frame.geometry.to_numpy()), field_data=list(data), field_mask=list(masks),
        fields=np.array([c.name for c in columns], dtype=object), layer=layer, driver="GPKG", geometry_type="Polygon",
        crs=CRS(frame.crs).to_wkt(), dataset_options={"VERSION": "1.2"},
        layer_options={"GEOMETRY_NAME": "geom", "SPATIAL_INDEX": "YES"},
    )  # fmt: skip


def _field(series: pd.Series, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Values as OGR takes them, and where they are null."""
    null = series.isna().to_numpy()
    if column.dtype == "str":
        return series.astype(object).where(~null, None).to_numpy(), null
    if column.dtype.startswith("datetime"):
        return series.to_numpy().astype("datetime64[D]"), null
    return series.to_numpy(dtype=column.dtype.lower(), na_value=0), null


_STYLES_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))
"""
"""As QGIS makes it (QgsOgrProviderUtils), so that it also finds and edits our rows."""

_COLUMNS_TABLE = """
CREATE TABLE IF NOT EXISTS gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT,
    CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), CONSTRAINT gdc_tn UNIQUE (table_name, name))
"""
_CONSTRAINTS_TABLE = """
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
    max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value))
"""
"""The schema extension of the standard needs both tables: https://www.geopackage.org/spec120/#extension_schema"""


_REGISTER_STYLES_TABLE = """
INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', 'layer_styles')
"""
_REGISTER_EXTENSION = """
INSERT INTO gpkg_extensions (table_name, column_name, extension_name, definition, scope)
VALUES (?, NULL, 'gpkg_schema', 'http://www.geopackage.org/spec120/#extension_schema', 'read-write')
"""
_INSERT_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
    styleSLD, useAsDefault, description, owner)
VALUES ('', '', ?, 'geom', ?, ?, '', 1, ?, '')
"""
_INSERT_COLUMN = """
INSERT INTO gpkg_data_columns (table_name, column_name, name, title, description) VALUES (?, ?, ?, ?, ?)
"""


def _add_tables(database: sqlite3.Connection) -> None:
    """Add the tables for styles and for column descriptions, both registered so that GDAL and QGIS see them."""
    database.execute(_STYLES_TABLE)
    database.execute(_REGISTER_STYLES_TABLE)
    database.execute(_COLUMNS_TABLE)
    database.execute(_CONSTRAINTS_TABLE)
    for table in ("gpkg_data_columns", "gpkg_data_column_constraints"):
        database.execute(_REGISTER_EXTENSION, (table,))


def _describe(database: sqlite3.Connection, layer: str, columns: Sequence[Column], entries: Sequence[Change]) -> None:
    """Add the default style of a layer, and the headings and comments of its columns."""
    # The headings go into the style as well: QGIS reads them from the standard's table only with recent GDAL.
    qml = vector_qml(entries, headings={c.name: c.alias for c in columns})
    database.execute(_INSERT_STYLE, (layer, layer, qml, f"Default style of {layer}"))
    database.executemany(_INSERT_COLUMN, [(layer, c.name, c.alias, c.alias, c.comment) for c in columns])


def read_polygons(path: Path, crs: object, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read polygons in the CRS that is asked for.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON.
        crs: Anything that pyproj reads as a CRS.
        layer: Name of the layer; may be left out where the file has one.

    Returns:
        All columns, 2D polygons; empty where the layer is.

    Raises:
        InputError: The file is missing, damaged or of another format; it has no such layer, several to choose from, or
            no CRS; a geometry is missing, empty, invalid or not a polygon.
    """
    source = vector_source(path)
    try:
        name = _choose_layer(path, source, layer)
        info = pyogrio.read_info(source, layer=name)
        if info["crs"] is None:
            raise InputError(
                f"{path} has no CRS, so nobody can tell where its polygons lie. Add it: for a Shapefile its .prj file, "
                f"else for example `ogr2ogr -a_srs EPSG:32651 NEW {path.name}`."
            )
        frame = pyogrio.read_dataframe(source, layer=name, force_2d=True)
        # GDAL stops at the end of a truncated FlatGeobuf without an error.
        if len(frame) < info["features"]:
            raise InputError(
                f"{path} is damaged: {len(frame)} of its {info['features']} polygons can be read. Export or copy it again."
            )
        _require_polygons(path, name, frame)
        return frame.to_crs(CRS.from_user_input(crs))
    except _UNREADABLE as error:
        raise InputError(
            f"{path} is no vector file that can be read ({error}); `ogrinfo -al` must list it without errors."
        ) from error


def _require_polygons(path: Path, name: str, frame: gpd.GeoDataFrame) -> None:
    geometry = frame.geometry
    kinds = set(geometry.dropna().geom_type) - {"Polygon", "MultiPolygon"}
    if kinds:
        raise InputError(f"{path}, layer {name!r}, holds {', '.join(sorted(kinds))}; expected polygons.")
    empty = geometry.isna() | geometry.is_empty
    invalid = ~empty & ~geometry.is_valid
    if empty.any() or invalid.any():
        first = int(np.flatnonzero(empty | invalid)[0])
        raise InputError(
            f"{path}, layer {name!r}: of {len(frame)} polygons, {int(empty.sum())} are empty and {int(invalid.sum())} "
            f"invalid (the first is feature number {first + 1}). Delete the empty ones, and repair the others with "
            f"QGIS's `Fix geometries` or `ogr2ogr -makevalid`."
        )


def _choose_layer(path: Path, source: str, layer: str | None) -> str:
    """Return the name of the layer to read, after a look at what the file has."""
    names = [str(name) for name, kind in pyogrio.list_layers(source) if kind is not None]
    if not names:
        raise InputError(f"{path} has no layer with geometries; expected polygons.")
    if layer is None and len(names) > 1:
        raise InputError(f"{path} has several layers ({', '.join(names)}); set `layer:` to the one with the polygons.")
    if layer is not None and layer not in names:
        raise InputError(f"{path} has no layer {layer!r} with geometries; it has {', '.join(names)}.")
    return layer if layer is not None else names[0]


def burn(polygons_: gpd.GeoDataFrame, values: Sequence[int] | np.ndarray, grid: Grid, fill: int = 0) -> np.ndarray:
    """Paint polygons onto a grid: a pixel belongs to the polygon that its centre lies in.

    Args:
        polygons_: In the grid's CRS; where they overlap, the later one wins.
        values: One for each polygon.
        grid: Where the pixels are.
        fill: Value of the pixels outside.

    Returns:
        (y, x), uint8 where all values and the fill are 0..255, else int32.

    Raises:
        ValueError: The CRS differs from the grid's, or the numbers of polygons and values do.
    """
    if polygons_.crs is None or not _crs(grid).equals(polygons_.crs, ignore_axis_order=True):
        raise ValueError("the polygons are not in the grid's CRS; read them with read_polygons(path, grid.crs)")
    numbers = [int(v) for v in values]
    dtype = np.uint8 if all(0 <= v <= 255 for v in (*numbers, fill)) else np.int32
    pairs = list(zip(polygons_.geometry, numbers, strict=True))
    if not pairs:
        return np.full(tuple(grid.shape), fill, dtype=dtype)
    return np.asarray(rasterize(pairs, out_shape=tuple(grid.shape), fill=fill, transform=grid.transform, dtype=dtype))
