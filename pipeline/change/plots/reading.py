"""Plots as users bring them: any format and CRS that is accepted, with names that may repeat or be missing."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd
from pyproj import CRS

from landshift.pipeline.change.areas_reading import place_outlines
from landshift.pipeline.errors import InputError
from landshift.pipeline.vector.read import read_polygons


@dataclass(frozen=True, eq=False)
class Plots:
    """Plots on a map."""

    frame: gpd.GeoDataFrame
    """Column `name` (null without one) and polygons in the CRS of the map, in the order of the file."""
    notes: tuple[str, ...] = ()
    """What a reader of the table must know, sentences."""


def read_plots(path: Path, crs: CRS, layer: str | None = None, name_column: str | None = None) -> Plots:
    """Read plots.

    Each polygon or multipolygon is a plot of its own, also where names repeat; its number in the file identifies it.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS.
        crs: Of the map.
        layer: Name of the layer; may be left out where the file has one.
        name_column: Column with the names, whatever its case; else `name`, else the only column of text, else none.

    Raises:
        InputError: The file or its polygons cannot be used (as in `read_polygons`) or hold none, or it has no such column.
    """
    found = read_polygons(path, None, layer)
    if not len(found):
        raise InputError(f"{path} holds no polygons; expected the plots, one polygon each.")
    names = _names(path, found, name_column)
    shown = [name or f"plot {number}" for number, name in enumerate(names, 1)]
    frame = gpd.GeoDataFrame({"name": names}, geometry=place_outlines(path, found, shown, crs), crs=crs)
    repeated = sum(times for name, times in Counter(n for n in names if n).items() if times > 1)
    notes = [
        f"{repeated:,} plots share their name with another: the column `plot` distinguishes them." if repeated else "",
        f"{names.count(None):,} plots have no name." if None in names else "",
    ]
    return Plots(frame, tuple(note for note in notes if note))


def _names(path: Path, found: gpd.GeoDataFrame, wanted: str | None) -> list[str | None]:
    columns = [str(c) for c in found.columns if c != found.geometry.name]
    same = [c for c in columns if c.casefold() == (wanted or "name").casefold()]
    texts = [c for c in columns if pd.api.types.is_string_dtype(found[c]) or found[c].dtype == object]
    chosen = [c for c in same if c == wanted] or same or (texts if wanted is None and len(texts) == 1 else [])
    if not chosen and wanted is None:
        return [None] * len(found)
    if len(chosen) != 1:
        raise InputError(
            f"{path} has {len(chosen) or 'no'} columns {wanted!r}; its columns are {', '.join(columns) or 'none'}. Name one of "
            f"them: `plots: name_column:`."
        )
    values = found[chosen[0]]
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return [None if pd.isna(value) else " ".join(str(value).split()) or None for value in values]
