"""Polygons of labels with their codes, from one layer or from several files that are parts of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name
from landshift.pipeline.labels.columns import choose_columns, note_alike
from landshift.pipeline.labels.values import change_code, class_reader, codes_of, extent_text, plain_all, translate
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.vector.read import StatedLayer, read_usable_polygons

CODES = ("before", "after", "change")
"""Columns of `LabelPolygons.frame` with codes."""


@dataclass(frozen=True)
class LabelColumns:
    """What columns of labels are called in a file."""

    before: str = "before"
    """Class before; may be missing where there is another one."""
    after: str = "after"
    """Class after; may be missing where there is another one."""
    change: str | None = None
    """`changed` or `unchanged`, or 1 and 0."""
    region: str | None = None
    """Name of the region."""
    role: str | None = None
    """What the polygon is for, or a key that stands for it."""
    meanings: Mapping[int | str, str | int] = field(default_factory=dict)
    """What the values of the columns of classes and of change mean, each of them; empty where they are names or codes."""


@dataclass(frozen=True, eq=False)
class LabelPolygons:
    """Polygons with codes, ready to be painted."""

    frame: gpd.GeoDataFrame
    """In the grid's CRS. Columns `before`, `after` and `change` (codes, 255 = not labelled), `role` (number of the role, 255 =
    no role), `region` (name or None), `number` (of the feature in its file, from 1) and `file` (its name)."""
    has_regions: bool
    """Whether the labels name regions at all."""
    notes: tuple[str, ...]
    """Sentences for a person: what of the files is not used, and what may be a mistake in them."""
    source: str
    """What to call it in messages."""


def read_label_polygons(
    parts: Mapping[Path, int],
    grid: Grid,
    legend: Legend,
    columns: LabelColumns,
    *,
    stated: StatedLayer | None = None,
    read_role: Callable[[str | int], int] | None = None,
) -> LabelPolygons:
    """Read polygons with the land use before, after, or both.

    Args:
        parts: GeoPackage, FlatGeobuf, Shapefile or GeoJSON files, any CRS, and the number of the role of all their polygons;
            255 where `columns.role` has it, or none.
        grid: Where the labels are needed.
        legend: The classes; with a binary one the column of the change is needed, and only that one is read.
        columns: What they are called.
        stated: What the config states of the layers.
        read_role: From a value of the column of the role to its number.

    Raises:
        InputError: A layer cannot be read (as in `read_usable_polygons`), there is no polygon, a column is missing, a class,
            a value or a role is unknown, or the polygons lie outside the grid.
    """
    frames, notes = [], list[str]()
    for path, role in parts.items():
        frame, found = _read_part(path, grid, legend, columns, stated=stated or StatedLayer(), read_role=read_role)
        if columns.role is None:
            frame["role"] = role
        frames.append(frame)
        notes += found
    together = gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), crs=frames[0].crs) if len(frames) > 1 else frames[0]
    source = ", ".join(str(path) for path in parts)
    if not together.geometry.intersects(box(*grid.boundingbox.bbox)).any():
        west, south, east, north = (round(float(v)) for v in together.total_bounds)
        raise InputError(
            f"{source}: all {len(together)} polygons lie outside the grid. They cover x {west} to {east} and y {south} "
            f"to {north}, the grid {extent_text(grid)}, in {crs_name(grid.crs)}: check the region, or the CRS that the file "
            "declares."
        )
    return LabelPolygons(together, columns.region is not None, tuple(notes), source)


def _read_part(
    path: Path,
    grid: Grid,
    legend: Legend,
    columns: LabelColumns,
    *,
    stated: StatedLayer,
    read_role: Callable[[str | int], int] | None,
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Return the polygons of one file, with the columns of `LabelPolygons.frame`, and notes."""
    given = {"before": columns.before, "after": columns.after, "change": columns.change, "region": columns.region}
    given |= {"role": columns.role} if columns.role else {}
    stated = replace(stated, columns=frozenset(c for c in given.values() if c), likely_crs=crs_name(grid.crs))
    layer = read_usable_polygons(path, grid.crs, stated)
    frame, notes = layer.frame, list(layer.notes)
    if frame.empty:
        raise InputError(f"{path} holds no polygon; draw some, or set `layer:` to the layer that has them.")
    chosen = choose_columns(path, frame, given, legend)
    read = {"before": class_reader(legend), "after": class_reader(legend), "change": change_code}
    out = gpd.GeoDataFrame(
        {name: np.full(len(frame), NOT_LABELLED, dtype=np.uint8) for name in (*CODES, "role")},
        geometry=frame.geometry.to_numpy(), crs=frame.crs,
    )  # fmt: skip
    out["region"] = None
    for name, column in chosen.items():
        where = f"{path}, column {column!r}"
        if name == "region":
            keys = plain_all(frame[column].tolist(), where)
            out["region"] = np.array([None if key is None else str(key) for key in keys], dtype=object)
        elif name == "role" and read_role is not None:
            out["role"] = codes_of(frame[column].tolist(), read_role, where)
        elif name in read:
            values = frame[column].tolist()
            if columns.meanings:
                out[name] = codes_of(translate(values, columns.meanings, where), read[name], f"{where}, `values`")
                continue
            out[name] = codes_of(values, read[name], where)
            notes += note_alike(frame[column], where)
    if "region" in chosen:
        notes += note_alike(out["region"], f"{path}, column {chosen['region']!r}", kind="regions of their own")
    out["number"], out["file"] = frame.index.to_numpy() + 1, path.name
    return out, notes
