"""The door for vector layers, inward: polygons of users, our own layers, and judged samples."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
from pyproj import CRS
from pyproj.exceptions import ProjError
from rasterio.features import rasterize

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_of
from landshift.pipeline.vector.attributes import foreign_texts
from landshift.pipeline.vector.columns import DTYPES
from landshift.pipeline.vector.faults import find_faults, keep_polygons
from landshift.pipeline.vector.formats import UNREADABLE, new_beside, vector_source
from landshift.pipeline.vector.geopackage import IN_USE, is_in_use
from landshift.pipeline.vector.text import RAW, describe_encodings, describe_wrong_encoding, fitting_encodings, is_undeclared

_FARTHEST = 1e9
"""Of any coordinate, in the units of any CRS: the Earth is 4e7 metres around."""


@dataclass(frozen=True)
class StatedLayer:
    """What a config states of a layer of a user's file."""

    layer: str | None = None
    """Its name; None: the only one."""
    encoding: str | None = None
    """Of its text, as Python knows it; None: as the file declares."""
    crs: str | None = None
    """Anything that pyproj reads as a CRS; None: as the file declares."""
    section: str = ""
    """Section of the config that has keys `encoding:` and `crs:` for the file, for messages; empty where none has."""
    columns: frozenset[str] | None = None
    """Those whose text is used; None: all."""
    likely_crs: str = ""
    """That of the region, to be proposed for a file without CRS; empty: not known."""


def read_polygons(path: Path, crs: object, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read polygons in the CRS that is asked for.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON.
        crs: Anything that pyproj reads as a CRS; None for that of the file.
        layer: Name of the layer; may be left out where the file has one.

    Returns:
        All columns, 2D polygons, curves as chains of short edges; empty where the layer is.

    Raises:
        InputError: The file is missing, damaged or of another format; it has no such layer, several to choose from, no
            CRS, or text of an unknown encoding; a geometry is missing, empty, invalid or not a polygon.
    """
    name, frame = read_frame(path, layer, "polygons")
    _require_polygons(path, name, frame)
    return in_crs(path, frame, crs)


def in_crs(path: Path, frame: gpd.GeoDataFrame, crs: object) -> gpd.GeoDataFrame:
    """Return a frame in another CRS; in its own where None."""
    try:
        return frame if crs is None else frame.to_crs(CRS.from_user_input(crs))
    except UNREADABLE as error:
        raise _damage(path, error) from error


def read_layer(path: Path, layer: str) -> gpd.GeoDataFrame:
    """Read a layer that Landshift wrote.

    Args:
        path: Of the file.
        layer: Name of the layer.

    Returns:
        All columns in the file's CRS; ours have the types of `landshift.pipeline.vector.columns`, with dates as datetime64[s].

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


def read_frame(
    path: Path, layer: str | None, expected: str, preferred: str | None = None, stated: StatedLayer | None = None
) -> tuple[str, gpd.GeoDataFrame]:
    """Return the name of the layer that was read, and all that it holds, in the file's CRS."""
    source, stated = vector_source(path), stated or StatedLayer(layer)
    if stated.encoding is not None and path.suffix.lower() != ".shp":
        raise InputError(
            f"`{stated.section}: encoding: {stated.encoding}` is for Shapefiles; text in {path} is always UTF-8: leave it out."
        )
    try:
        name = _choose_layer(path, source, layer, expected, preferred=preferred)
        info = pyogrio.read_info(source, layer=name)
        crs = _settle_crs(path, info, expected, stated)
        encoding = stated.encoding or _find_encoding(path, info["encoding"], name, stated)
        frame = pyogrio.read_dataframe(source, layer=name, force_2d=True, encoding=encoding)
    except UnicodeDecodeError as error:
        raise InputError(describe_wrong_encoding(path, stated.encoding, stated.section, error)) from error
    except UNREADABLE as error:
        raise _damage(path, error) from error
    # GDAL stops at the end of a truncated FlatGeobuf without an error.
    if len(frame) < info["features"]:
        raise InputError(
            f"{path} is damaged: {len(frame)} of its {info['features']} {expected} can be read. Export or copy it again."
        )
    if (np.abs(frame.total_bounds) > _FARTHEST).any():
        raise InputError(
            f"{path} has coordinates up to {np.abs(frame.total_bounds).max():.3g}, where no place on Earth lies. It is "
            f"damaged; export or copy it again."
        )
    return name, frame if crs is None else frame.set_crs(crs)


def _settle_crs(path: Path, info: dict[str, object], expected: str, stated: StatedLayer) -> CRS | None:
    """Return the CRS that the config states for a file that has none; None where the file has its own."""
    # Empty where the file has one that means nothing.
    found = info["crs"] or None
    if stated.crs is not None:
        try:
            crs = CRS.from_user_input(stated.crs)
        except ProjError as error:
            raise InputError(
                f"`{stated.section}: crs: {stated.crs}` is not known ({error}). Expected one such as EPSG:32651."
            ) from error
        if found is None:
            return crs
        if not crs.equals(CRS.from_user_input(found), ignore_axis_order=True):
            raise InputError(
                f"{path} declares the CRS {CRS.from_user_input(found).name}, and the config states {crs.name}. Leave "
                f"`{stated.section}: crs:` out if the file is right; else write the right one into a new file: "
                f"`ogr2ogr -a_srs {shlex.quote(stated.crs)} {new_beside(path)}`."
            )
        return None
    if found is None:
        west, south, east, north = (float(v) for v in info["total_bounds"])  # type: ignore[attr-defined]
        degrees = -180 <= west <= east <= 180 and -90 <= south <= north <= 90
        code = "EPSG:4326" if degrees else stated.likely_crs or "EPSG:32651"
        meaning = ", degrees by their size" if degrees else ""
        known = ", the CRS of the scenes" if code == stated.likely_crs else ""
        key = f"set `{stated.section}: crs: {code}`{known}, or " if stated.section else ""
        raise InputError(
            f"{path} has no CRS, so it is not known where its {expected} lie: x {west:.10g} to {east:.10g}, y {south:.10g} to "
            f"{north:.10g}{meaning}. If {code} is the CRS in which it was drawn, {key}make a new file with "
            f"`ogr2ogr -a_srs {code} {new_beside(path)}`; a Shapefile mostly has it in a .prj file beside it, which may have "
            f"been left behind."
        )
    return None


def _find_encoding(path: Path, read_as: str, layer: str, stated: StatedLayer) -> str | None:
    """Return the encoding of a Shapefile's text that declares none; None where GDAL knows it."""
    if not is_undeclared(path, read_as):
        return None
    raw = pyogrio.read_dataframe(path.resolve(), layer=layer, read_geometry=False, encoding=RAW)
    texts = foreign_texts(raw, stated.columns)
    fitting = fitting_encodings(texts)
    if not texts or (fitting and fitting[0].name == "utf-8"):
        return "utf-8" if fitting else RAW
    raise InputError(describe_encodings(path, fitting, stated.section))


def _damage(path: Path, error: Exception) -> InputError:
    if is_in_use(error):
        return InputError(IN_USE.format(path=path))
    return InputError(f"{path} is not a readable vector file ({error}); `ogrinfo -al` must list it without errors.")


def _require_polygons(path: Path, name: str, frame: gpd.GeoDataFrame) -> None:
    faults = find_faults(frame)
    if faults.bad or faults.collections:
        raise InputError(f"{path}, layer {name!r}: of {len(frame)} features, {faults.describe(path)}")


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


@dataclass(frozen=True, eq=False)
class UsablePolygons:
    """The polygons of a layer that can be painted."""

    frame: gpd.GeoDataFrame
    """All columns, valid 2D polygons."""
    notes: tuple[str, ...]
    """Sentences for a person: what was left out, and how to mend it."""


def read_usable_polygons(path: Path, crs: object, stated: StatedLayer) -> UsablePolygons:
    """Read the polygons of a user's layer, and leave those out that cannot be painted, with a note that names them.

    Of a collection its polygons are kept: points and lines have no area.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON.
        crs: In which they are wanted.
        stated: What the config states of the layer.

    Raises:
        InputError: As `read_polygons`, but that features are left out as long as half of them are usable.
    """
    name, frame = read_frame(path, stated.layer, "polygons", stated=stated)
    faults = find_faults(frame)
    if not faults.bad and not faults.collections:
        return UsablePolygons(in_crs(path, frame, crs), ())
    where = f"{path}, layer {name!r}: of {len(frame)} features, "
    if len(faults.bad) > len(frame) / 2:
        raise InputError(f"{where}{faults.describe(path)}")
    good = frame.drop(index=frame.index[list(faults.bad)])
    good = good.set_geometry(keep_polygons(good.geometry), crs=frame.crs)
    return UsablePolygons(in_crs(path, good, crs), (f"{where}{faults.describe(path)}",))
