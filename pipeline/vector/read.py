"""The door for vector layers, inward: polygons of users, our own layers, and judged samples."""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
from pyproj import CRS
from rasterio.features import rasterize

from landshift.pipeline.columns import DTYPES
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_of
from landshift.pipeline.vector.formats import UNREADABLE, vector_source
from landshift.pipeline.vector.geopackage import IN_USE, is_in_use


def read_polygons(path: Path, crs: object, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read polygons in the CRS that is asked for.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON.
        crs: Anything that pyproj reads as a CRS; None for that of the file.
        layer: Name of the layer; may be left out where the file has one.

    Returns:
        All columns, 2D polygons; empty where the layer is.

    Raises:
        InputError: The file is missing, damaged or of another format; it has no such layer, several to choose from, or
            no CRS; a geometry is missing, empty, invalid or not a polygon.
    """
    name, frame = read_frame(path, layer, "polygons")
    try:
        _require_polygons(path, name, frame)
        return frame if crs is None else frame.to_crs(CRS.from_user_input(crs))
    except UNREADABLE as error:
        raise _damage(path, error) from error


def read_layer(path: Path, layer: str) -> gpd.GeoDataFrame:
    """Read a layer that Landshift wrote.

    Args:
        path: Of the file.
        layer: Name of the layer.

    Returns:
        All columns in the file's CRS; ours have the types of `landshift.pipeline.columns`, with dates as datetime64[s].

    Raises:
        InputError: The file is missing or damaged, or has no such layer.
    """
    frame = read_frame(path, layer, "features")[1]
    try:
        return _with_types(frame)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{path}, layer {layer!r}: a column holds what does not belong there ({error}). Make the file again."
        ) from error


def _with_types(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.astype({name: DTYPES[name] for name in frame.columns if name in DTYPES})


def read_frame(path: Path, layer: str | None, expected: str, preferred: str | None = None) -> tuple[str, gpd.GeoDataFrame]:
    """Return the name of the layer that was read, and all that it holds, in the file's CRS."""
    source = vector_source(path)
    try:
        name = _choose_layer(path, source, layer, expected, preferred=preferred)
        info = pyogrio.read_info(source, layer=name)
        if info["crs"] is None:
            raise InputError(
                f"{path} has no CRS, so it is not known where its {expected} lie. Add it: for a Shapefile its .prj file, "
                f"else for example `ogr2ogr -a_srs EPSG:32651 NEW {path.name}`."
            )
        frame = pyogrio.read_dataframe(source, layer=name, force_2d=True)
    except UNREADABLE as error:
        raise _damage(path, error) from error
    # GDAL stops at the end of a truncated FlatGeobuf without an error.
    if len(frame) < info["features"]:
        raise InputError(
            f"{path} is damaged: {len(frame)} of its {info['features']} {expected} can be read. Export or copy it again."
        )
    return name, frame


def _damage(path: Path, error: Exception) -> InputError:
    if is_in_use(error):
        return InputError(IN_USE.format(path=path))
    return InputError(f"{path} is not a readable vector file ({error}); `ogrinfo -al` must list it without errors.")


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


def _choose_layer(path: Path, source: str, layer: str | None, expected: str, preferred: str | None) -> str:
    """Return the name of the layer to read, after a look at what the file has."""
    names = [str(name) for name, kind in pyogrio.list_layers(source) if kind is not None]
    if not names:
        raise InputError(f"{path} has no layer with geometries; expected {expected}.")
    if layer is None and preferred in names:
        return preferred
    if layer is None and len(names) > 1:
        remedy = f"set `layer:` to the one with the {expected}" if preferred is None else f"expected one called {preferred!r}"
        raise InputError(f"{path} has several layers ({', '.join(names)}); {remedy}.")
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
    if polygons_.crs is None or not crs_of(grid).equals(polygons_.crs, ignore_axis_order=True):
        raise ValueError("the polygons are not in the grid's CRS; read them with read_polygons(path, grid.crs)")
    numbers = [int(v) for v in values]
    dtype = np.uint8 if all(0 <= v <= 255 for v in (*numbers, fill)) else np.int32
    pairs = list(zip(polygons_.geometry, numbers, strict=True))
    if not pairs:
        return np.full(tuple(grid.shape), fill, dtype=dtype)
    return np.asarray(rasterize(pairs, out_shape=tuple(grid.shape), fill=fill, transform=grid.transform, dtype=dtype))
