"""Layer files for ArcGIS Pro (`.lyrx`): polygons and rasters in the same colours and names, found by relative paths.

JSON by the Cartographic Information Model, version 2 (https://github.com/Esri/cim-spec), which ArcGIS Pro 2 and 3 read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from landshift.pipeline.colours.palette import Pattern
from landshift.pipeline.drawing.symbols import (
    OUTLINE_COLOUR,
    VIRIDIS,
    clean,
    darker,
    date_stops,
    fill_colour,
    lines_on,
    opacity,
    rgb,
)
from landshift.pipeline.legend import NOT_OBSERVED, Change, LandUse
from landshift.pipeline.records import Json

VERSION = "2.9.0"
"""Of ArcGIS Pro whose documents these are."""
LAST_OBSERVED = "Last observed"
_FILL_ALPHA = 78
"""Percent: what lies below the polygons shows."""
_POINTS_PER_MM = 72 / 25.4


@dataclass(frozen=True)
class PolygonLayer:
    """A layer of a GeoPackage, as ArcGIS shows it."""

    name: str
    """Of the table."""
    title: str
    """In the list of layers."""
    entries: tuple[Change, ...] = ()
    """Categories by `field`; none for an outline."""
    field: str = "change_code"
    """Column with the codes of the categories."""
    headings: Mapping[str, str] | None = None
    """Column to what is shown instead of its name."""
    shown_as: str = "change_id"
    """Column that names a feature."""


def polygons_lyrx(database: str, layers: Sequence[PolygonLayer]) -> str:
    """Return a layer file of polygons.

    Args:
        database: The GeoPackage, relative to the layer file, such as `changes.gpkg` or `../changes.gpkg`.
        layers: From top to bottom.
    """
    return _document([_polygons(database, layer) for layer in layers])


def codes_lyrx(raster: str, title: str, entries: Iterable[Change | LandUse]) -> str:
    """Return a layer file of a raster of codes, which shows exactly the given ones.

    Args:
        raster: The file, in the folder of the layer file.
        title: In the list of layers.
        entries: Codes, names and colours; what was not observed is left out, because it is NoData.
    """
    classes = [
        {"type": "CIMRasterUniqueValueClass", "values": [str(e.code)], "label": clean(e.name), "color": _colour(e.colour),
         "visible": True}
        for e in entries if opacity(e)
    ]  # fmt: skip
    colorizer = {
        "type": "CIMRasterUniqueValueColorizer", "resamplingType": "NearestNeighbor", "noDataColor": _colour("#ffffff", 0),
        "useDefaultColor": False, "fieldName": "Value",
        "groups": [{"type": "CIMRasterUniqueValueGroup", "classes": classes, "heading": clean(title)}],
    }  # fmt: skip
    return _document([_raster(raster, title, colorizer)])


def dates_lyrx(raster: str, days: Iterable[int]) -> str:
    """Return a layer file of a raster of dates: dark what was seen long ago, bright what was seen last.

    Args:
        raster: The file, in the folder of the layer file.
        days: The dates that occur, as year x 10000 + month x 100 + day; 0 (never observed) is left transparent.
    """
    stops, ramp = date_stops(days)
    if ramp:
        ends = stops[0], stops[-1]
        return numbers_lyrx(raster, LAST_OBSERVED, (ends[0].value, ends[1].value), (ends[0].label, ends[1].label))
    return codes_lyrx(raster, LAST_OBSERVED, (LandUse(int(s.value), s.label, s.colour) for s in stops))


def numbers_lyrx(raster: str, title: str, stored: tuple[float, float], shown: tuple[str, str]) -> str:
    """Return a layer file of a raster of numbers in viridis.

    Args:
        raster: The file, in the folder of the layer file.
        title: In the list of layers.
        stored: The ends of the ramp as the file holds them: before scale and offset, which ArcGIS does not apply.
        shown: What the legend calls these ends.
    """
    steps = [
        {"type": "CIMLinearContinuousColorRamp", "fromColor": _colour(low), "toColor": _colour(high)}
        for low, high in pairwise(VIRIDIS)
    ]
    ramp = {"type": "CIMMultipartColorRamp", "colorRamps": steps, "weights": [1.0] * len(steps)}
    ends = [
        {"type": "CIMRasterStretchClass", "label": label, "value": value} for value, label in zip(stored, shown, strict=True)
    ]
    colorizer = {
        "type": "CIMRasterStretchColorizer", "resamplingType": "NearestNeighbor", "noDataColor": _colour("#ffffff", 0),
        "bandIndex": 0, "colorRamp": ramp, "stretchType": "MinimumMaximum", "statsType": "Dataset", "stretchClasses": ends,
        "useCustomStretchMinMax": True, "customStretchMin": stored[0], "customStretchMax": stored[1], "heading": clean(title),
    }  # fmt: skip
    return _document([_raster(raster, title, colorizer)])


def _document(layers: Sequence[Json]) -> str:
    content = {
        "type": "CIMLayerDocument", "version": VERSION, "layers": [layer["uRI"] for layer in layers],
        "layerDefinitions": layers,
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _layer(kind: str, name: str, title: str) -> Json:
    return {
        "type": kind, "name": clean(title), "uRI": f"CIMPATH=landshift/{name}.json", "useSourceMetadata": True,
        "description": clean(title), "layerType": "Operational", "showLegends": True, "visibility": True,
        "displayCacheType": "Permanent", "maxDisplayCacheAge": 5, "showPopups": True, "expanded": True,
    }  # fmt: skip


def _connection(factory: str, workspace: str, dataset: str, kind: str) -> Json:
    return {
        "type": "CIMStandardDataConnection", "workspaceConnectionString": workspace, "workspaceFactory": factory,
        "dataset": dataset, "datasetType": kind,
    }  # fmt: skip


def _raster(raster: str, title: str, colorizer: Json) -> Json:
    connection = _connection("Raster", "DATABASE=.", raster, "esriDTRasterDataset")
    return {
        **_layer("CIMRasterLayer", raster.rpartition(".")[0], title), "dataConnection": connection, "colorizer": colorizer,
    }  # fmt: skip


def _polygons(database: str, layer: PolygonLayer) -> Json:
    # ArcGIS writes paths as Windows does; a relative one begins with a dot.
    path = database.replace("/", "\\")
    fields = [
        {"type": "CIMFieldDescription", "alias": clean(heading), "fieldName": column, "visible": True}
        for column, heading in (layer.headings or {}).items()
    ]
    table = {
        "type": "CIMFeatureTable", "displayField": layer.shown_as, "editable": True, "fieldDescriptions": fields,
        "dataConnection": _connection(
            "Sql", f"AUTHENTICATION_MODE=OSA;DATABASE={path if path.startswith('.') else f'.{chr(92)}{path}'}",
            f"main.{layer.name}", "esriDTFeatureClass",
        ),
    }  # fmt: skip
    return {
        **_layer("CIMFeatureLayer", layer.name, layer.title), "featureTable": table, "autoGenerateFeatureTemplates": False,
        "selectable": True, "snappable": True, "labelVisibility": False, "renderer": _renderer(layer),
    }  # fmt: skip


def _renderer(layer: PolygonLayer) -> Json:
    if not layer.entries:
        outline = [_stroke(OUTLINE_COLOUR, 0.5), _stroke("#ffffff", 1.1)]
        return {"type": "CIMSimpleRenderer", "patch": "AreaPolygon", "symbol": _symbol(outline), "label": clean(layer.title)}
    classes = [
        {"type": "CIMUniqueValueClass", "label": clean(e.name), "patch": "AreaPolygon", "symbol": _symbol(_fills(e)),
         "values": [{"type": "CIMUniqueValue", "fieldValues": [str(e.code)]}], "editable": True, "visible": True}
        for e in layer.entries
    ]  # fmt: skip
    return {
        "type": "CIMUniqueValueRenderer", "fields": [layer.field], "useDefaultSymbol": False,
        "polygonSymbolColorTarget": "Fill",
        "groups": [{"type": "CIMUniqueValueGroup", "classes": classes, "heading": clean(layer.title)}],
    }  # fmt: skip


def _fills(entry: Change) -> list[Json]:
    """Return what an area is drawn with, the uppermost first; what was not observed is hatched on a light veil."""
    colour = fill_colour(entry)
    edge = _stroke(darker(colour), 0.15)
    if entry.code == NOT_OBSERVED:
        return [edge, _hatch(Pattern((45,), 1.76, 0.26), 45, colour), _fill("#ffffff", 43)]
    pattern, ink = lines_on(entry)
    edges = [_stroke(darker(colour), 0.22), _stroke("#ffffff", 0.5)]
    return [*edges, *(_hatch(pattern, angle, ink) for angle in pattern.angles), _fill(colour, _FILL_ALPHA)]


def _hatch(pattern: Pattern, angle: int, ink: str) -> Json:
    line = {"type": "CIMLineSymbol", "symbolLayers": [_stroke(ink, pattern.width_mm)]}
    separation = round(pattern.spacing_mm * _POINTS_PER_MM, 2)
    return {"type": "CIMHatchFill", "enable": True, "lineSymbol": line, "rotation": angle, "separation": separation}


def _symbol(layers: Sequence[Json]) -> Json:
    return {"type": "CIMSymbolReference", "symbol": {"type": "CIMPolygonSymbol", "symbolLayers": list(layers)}}


def _stroke(colour: str, width_mm: float) -> Json:
    return {
        "type": "CIMSolidStroke", "enable": True, "capStyle": "Round", "joinStyle": "Round", "miterLimit": 10,
        "width": round(width_mm * _POINTS_PER_MM, 3), "color": _colour(colour),
    }  # fmt: skip


def _fill(colour: str, alpha: int) -> Json:
    return {"type": "CIMSolidFill", "enable": True, "color": _colour(colour, alpha)}


def _colour(colour: str, alpha: int = 100) -> Json:
    """Return `#rrggbb` and an opacity in percent."""
    return {"type": "CIMRGBColor", "values": [*rgb(colour), alpha]}
