"""The door for vector layers, outward: GeoPackages with their styles, and copies in other formats."""

import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import geopandas as gpd
import pandas as pd

from landshift.pipeline.drawing.lyrx import PolygonLayer, polygons_lyrx
from landshift.pipeline.drawing.qml import TableView, outline_qml, samples_qml, vector_qml
from landshift.pipeline.drawing.sld import outline_sld, samples_sld, vector_sld
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_OBSERVED, Change, LandUse, Legend
from landshift.pipeline.manifest import replace_when_done, write_text
from landshift.pipeline.vector.columns import (
    AREA_COLUMNS,
    AREA_ESTIMATE_COLUMNS,
    AREAS_LAYER,
    CHANGE_COLUMNS,
    CHANGES_LAYER,
    LABELS_COLUMNS,
    LABELS_LAYER,
    NOT_OBSERVED_COLUMNS,
    NOT_OBSERVED_LAYER,
    NOTHING_HERE,
    SAMPLE_COLUMNS,
    SAMPLES_LAYER,
    SPECIALIST_COLUMNS,
    Column,
    KnownHere,
    change_columns,
    labelling_columns,
)
from landshift.pipeline.vector.dbase.shapefile import SHAPEFILE, write_shapefile
from landshift.pipeline.vector.formats import UNREADABLE, vector_source
from landshift.pipeline.vector.geopackage import IN_USE, Style, require_sound
from landshift.pipeline.vector.layer import StyledLayer, require_whole, write_layer, write_layers, write_styled_layer

COPIES = {"flatgeobuf": "changes.fgb", "geoparquet": "changes.parquet", "shapefile": SHAPEFILE}
"""Further formats of the changes, and what the files are called."""


def write_changes(
    path: Path,
    changes: gpd.GeoDataFrame,
    legend: Legend,
    *,
    known: KnownHere = NOTHING_HERE,
    not_observed: gpd.GeoDataFrame | None = None,
    areas_of_interest: gpd.GeoDataFrame | None = None,
    samples: gpd.GeoDataFrame | None = None,
    labels: gpd.GeoDataFrame | None = None,
) -> Path:
    """Write the layers of a map as a GeoPackage with their styles, in one atomic step.

    GeoPackage 1.2, which older programs read without complaint. QGIS paints the layers without a click, because the
    file holds their default styles in `layer_styles`, and shows the columns' headings and comments.

    Args:
        path: The `.gpkg` to make.
        changes: From `map_layers`; may be empty, and is written as an empty layer then.
        legend: The project's legend; the style lists the changes that occur.
        known: What was measured on the very images of the map; the headings doubt the rest.
        not_observed: From `map_layers`; no such layer where None.
        areas_of_interest: From `area_summary`, with or without the estimates; no such layer where None.
        samples: Points with `SAMPLE_COLUMNS`; no such layer where None.
        labels: From `outline_labels`; no such layer where None.

    Raises:
        ValueError: A frame lacks a column.
    """
    there = set(changes["change_code"])
    present = [c for c in legend.changes if c.code in there]
    columns = change_columns(known)
    layers = [StyledLayer(CHANGES_LAYER, changes, columns, _style_of(present, "Changes", columns))]
    if not_observed is not None:
        style = _style_of([legend.changes[NOT_OBSERVED]], "Not observed", NOT_OBSERVED_COLUMNS)
        layers.append(StyledLayer(NOT_OBSERVED_LAYER, not_observed, NOT_OBSERVED_COLUMNS, style))
    layers += _further(areas_of_interest, samples)
    if labels is not None:
        style = Style(outline_qml(_headings(LABELS_COLUMNS)), outline_sld())
        layers.append(StyledLayer(LABELS_LAYER, labels, LABELS_COLUMNS, style))
    with replace_when_done(path) as temporary, require_whole(path):
        write_layers(temporary, layers)
    return path


def write_changes_lyrx(
    path: Path, source: str, entries: Sequence[Change], *, known: KnownHere = NOTHING_HERE, areas_of_interest: bool = False
) -> Path:
    """Write the layer file for ArcGIS Pro of a GeoPackage of `write_changes`.

    Args:
        path: The `.lyrx`.
        source: The GeoPackage, relative to the folder of the layer file.
        entries: The kinds of change that occur.
        known: What was measured on the very images of the map; the headings doubt the rest.
        areas_of_interest: Whether the file has such a layer.
    """
    unseen = Legend().changes[NOT_OBSERVED]
    areas = PolygonLayer(AREAS_LAYER, "Areas of interest", headings=_headings(AREA_COLUMNS), shown_as="name")
    layers = [
        *([areas] if areas_of_interest else []),
        PolygonLayer(CHANGES_LAYER, "Changes", tuple(entries), headings=_headings(change_columns(known))),
        PolygonLayer(NOT_OBSERVED_LAYER, unseen.name, (unseen,), headings=_headings(NOT_OBSERVED_COLUMNS), shown_as="area_ha"),
    ]
    return write_text(path, polygons_lyrx(source, layers))


def add_layers(
    path: Path, *, areas_of_interest: gpd.GeoDataFrame | None = None, samples: gpd.GeoDataFrame | None = None
) -> Path:
    """Put areas of interest and samples into a file that `write_changes` made, in one atomic step.

    Such layers that the file has already are replaced; all else in it stays as it is, styles that a user saved included.

    Args:
        path: The `.gpkg`.
        areas_of_interest: From `area_summary`, with or without the estimates; left alone where None.
        samples: Points with `SAMPLE_COLUMNS`; left alone where None.

    Raises:
        InputError: The file is missing, damaged or no GeoPackage, or another program has it open.
        ValueError: A frame lacks a column.
    """
    vector_source(path)
    if path.with_name(f"{path.name}-wal").exists():
        # It holds pages of the earlier file, which SQLite would mix into the new one.
        raise InputError(IN_USE.format(path=path))
    layers = _further(areas_of_interest, samples)
    with replace_when_done(path) as temporary:
        shutil.copyfile(path, temporary)
        try:
            require_sound(temporary)
            write_layers(temporary, layers)
        except (*UNREADABLE, sqlite3.DatabaseError) as error:
            raise InputError(f"{path} is damaged ({error}); run `landshift detect` again.") from error
    return path


def write_sample_file(path: Path, frame: gpd.GeoDataFrame, qml: str) -> Path:
    """Write the GeoPackage that a sample is judged in.

    Args:
        path: The `.gpkg` to make.
        frame: From `sample_frame`.
        qml: QGIS style with the form, the layer's default.

    Raises:
        ValueError: The frame lacks a column.
    """
    columns = labelling_columns(binary="reference_change" in frame)
    return write_styled_layer(path, StyledLayer(SAMPLES_LAYER, frame, columns, Style(qml), geometry="Point"))


def write_copies(folder: Path, changes: gpd.GeoDataFrame, formats: Iterable[str]) -> list[Path]:
    """Write the changes in further formats, each file in one atomic step.

    Args:
        folder: Where to.
        changes: From `map_layers`.
        formats: Keys of `COPIES`.

    Raises:
        InputError: GeoParquet is wanted, and pyarrow is not installed; or there is too much for a Shapefile.
        ValueError: A format is not known, or the frame lacks a column.
    """
    made = []
    for name in formats:
        if name not in COPIES:
            raise ValueError(f"format {name!r}; expected one of {', '.join(COPIES)}")
        if name == "shapefile":
            made += write_shapefile(folder, changes)
            continue
        path = folder / COPIES[name]
        with replace_when_done(path) as temporary, require_whole(path):
            if name == "geoparquet":
                _write_parquet(temporary, changes)
            else:
                write_layer(temporary, "FlatGeobuf", StyledLayer(CHANGES_LAYER, changes, CHANGE_COLUMNS, Style("")))
        made.append(path)
    return made


def _style_of(entries: Sequence[Change], title: str, columns: Sequence[Column]) -> Style:
    # The headings go into the style as well: QGIS reads them from the standard's table only with recent GDAL.
    return Style(changes_qml(entries, columns), vector_sld(entries, title=title))


def changes_qml(
    entries: Sequence[Change | LandUse], columns: Sequence[Column], attribute: str = "change_code", *, filled: bool = True
) -> str:
    """Return the QGIS style of a layer of changes: its table shows what a planner needs, the largest change first.

    Args:
        entries: The categories.
        columns: Of the layer, from `change_columns` or `NOT_OBSERVED_COLUMNS`.
        attribute: Column that holds the categories' codes.
        filled: Whether areas are filled; else only their edges are drawn.
    """
    is_change = any(c.name == "change_id" for c in columns)
    shown = tuple(c.name for c in columns if c.name not in SPECIALIST_COLUMNS)
    view = TableView(SPECIALIST_COLUMNS, "area_ha", tip=shown, pictures=is_change)
    return vector_qml(entries, attribute, _headings(columns), view=view, filled=filled)


def _further(areas_of_interest: gpd.GeoDataFrame | None, samples: gpd.GeoDataFrame | None) -> list[StyledLayer]:
    layers = []
    if areas_of_interest is not None:
        estimated = any(c.name in areas_of_interest for c in AREA_ESTIMATE_COLUMNS)
        columns = (*AREA_COLUMNS, *(AREA_ESTIMATE_COLUMNS if estimated else ()))
        style = Style(outline_qml(_headings(columns)), outline_sld())
        layers.append(StyledLayer(AREAS_LAYER, areas_of_interest, columns, style, geometry="MultiPolygon"))
    if samples is not None:
        style = Style(samples_qml(_headings(SAMPLE_COLUMNS)), samples_sld())
        layers.append(StyledLayer(SAMPLES_LAYER, samples, SAMPLE_COLUMNS, style, geometry="Point"))
    return layers


def _headings(columns: Sequence[Column]) -> dict[str, str]:
    return {c.name: c.alias for c in columns}


def _write_parquet(path: Path, changes: gpd.GeoDataFrame) -> None:
    """Write GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0/), with a box for each polygon to filter by."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise InputError("GeoParquet needs pyarrow, which is not installed: pip install 'landshift[geoparquet]'.") from error
    # Without a type of their own, dates would become times, and columns of an empty map would have no type.
    kinds = {"str": pa.string(), "datetime64[s]": pa.date32()}
    dtypes = {c.name: pd.ArrowDtype(kinds[c.dtype]) for c in CHANGE_COLUMNS if c.dtype in kinds}
    columns = [c.name for c in CHANGE_COLUMNS]
    typed = changes[[*columns, changes.geometry.name]].astype(dtypes)
    typed.to_parquet(path, index=False, compression="zstd", schema_version="1.1.0", write_covering_bbox=True)
