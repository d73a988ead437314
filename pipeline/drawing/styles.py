"""Styles and legends as GIS programs read them: QGIS style files, GDAL's category names and raster attribute table."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence

from landshift.pipeline.drawing.qml import (
    DOCTYPE,
    QGIS_VERSION,
    add_symbol,
    add_symbol_layer,
    colour_text,
    finish_vector,
    vector_root,
)
from landshift.pipeline.drawing.symbols import (
    AGREEMENTS,
    OUTLINE_COLOUR,
    UNSEEN_COLOUR,
    Stop,
    clean,
    darker,
    date_stops,
    document,
    fill_colour,
    number_stops,
    opacity,
    rgb,
)
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Change, LandUse, Legend

_INTEGER, _REAL, _STRING = 0, 1, 2

_GENERIC, _PIXEL_COUNT, _NAME, _MIN_MAX, _RED, _GREEN, _BLUE, _ALPHA = 0, 1, 2, 5, 6, 7, 8, 9
"""GDALRATFieldType and GDALRATFieldUsage, which PAM files hold as numbers. https://gdal.org/api/raster_c_api.html"""


def occurring(changes: Iterable[Change], codes: Iterable[int]) -> tuple[Change, ...]:
    """Return the changes that a reader of one map meets: those whose code occurs, and "Unchanged" always."""
    wanted = {int(code) for code in codes} | {UNCHANGED}
    return tuple(change for change in changes if change.code in wanted)


def land_use_entries(legend: Legend) -> tuple[LandUse, ...]:
    """Return the values of a land-use map: "Not observed" and the classes."""
    not_observed = legend.changes[NOT_OBSERVED]
    return (LandUse(NOT_OBSERVED, not_observed.name, not_observed.colour), *legend.classes)


def raster_colormap(entries: Iterable[Change | LandUse]) -> dict[int, tuple[int, int, int, int]]:
    """Return the colour table: code to red, green, blue, alpha, each 0..255; code 0 is transparent."""
    return {entry.code: (*rgb(entry.colour), opacity(entry)) for entry in entries}


def raster_qml(entries: Iterable[Change | LandUse], band: int = 1) -> str:
    """Return a QGIS style that paints exactly the given codes of a raster, code 0 transparent."""
    return _paletted(((str(e.code), e.colour, str(opacity(e)), e.name) for e in entries), band)


def dates_qml(days: Iterable[int], band: int = 1) -> str:
    """Return a QGIS style that paints a raster of dates: dark what was seen long ago, bright what was seen last.

    Args:
        days: The dates that occur, as year x 10000 + month x 100 + day; 0 (never observed) is left transparent.
        band: From 1.
    """
    stops, ramp = date_stops(days)
    return _ramp(stops, band) if ramp else _paletted(((f"{s.value:.0f}", s.colour, "255", s.label) for s in stops), band)


def continuous_qml(low: float = 0.0, high: float = 1.0, band: int = 1) -> str:
    """Return a QGIS style that paints a raster of numbers from `low` to `high` in viridis.

    The numbers are real values: QGIS applies the raster's scale and offset before its style.
    """
    return _ramp(number_stops(low, high), band)


def image_qml() -> str:
    """Return a QGIS style that shows bands 1, 2 and 3 as red, green and blue, without another stretch.

    What was not observed is grey, not transparent: the image of another date must not shine through.
    """
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    ET.SubElement(
        pipe, "rasterrenderer", type="multibandcolor", redBand="1", greenBand="2", blueBand="3", opacity="1", alphaBand="-1",
        nodataColor=colour_text(UNSEEN_COLOUR),
    )  # fmt: skip
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return document(root, DOCTYPE)


def vector_qml(entries: Iterable[Change], attribute: str = "change_code", headings: Mapping[str, str] | None = None) -> str:
    """Return a QGIS style that paints polygons by category, exactly the given ones.

    Args:
        entries: The categories; "Not observed" is hatched, the others are filled.
        attribute: Column that holds their codes.
        headings: Column to what QGIS shows instead of its name, in the table, the form and the map tip.
    """
    categories = [(entry.code, entry.name, _fills(entry)) for entry in entries]
    return _categorised(attribute, categories, "fill", headings)


def samples_qml(headings: Mapping[str, str] | None = None) -> str:
    """Return a QGIS style for reference samples: those that agree with the map and those that differ, in colour and shape.

    Args:
        headings: Column to what QGIS shows instead of its name.
    """
    categories = [(a.agrees, a.label, [("SimpleMarker", _marker(a.shape, a.colour))]) for a in AGREEMENTS]
    return _categorised("agrees", categories, "marker", headings)


def outline_qml(headings: Mapping[str, str] | None = None) -> str:
    """Return a QGIS style for areas of interest: their outline on a light casing, and their name (column `name`).

    Args:
        headings: Column to what QGIS shows instead of its name.
    """
    root = vector_root(headings, labels=True)
    renderer = ET.SubElement(root, "renderer-v2", type="singleSymbol", symbollevels="0", enableorderby="0", forceraster="0")
    symbol = add_symbol(ET.SubElement(renderer, "symbols"), "0", "fill")
    for colour, width in (("#ffffff", "1.1"), (OUTLINE_COLOUR, "0.5")):
        add_symbol_layer(
            symbol, "SimpleLine", {"line_color": colour_text(colour), "line_width": width, "line_width_unit": "MM"}
        )
    settings = ET.SubElement(ET.SubElement(root, "labeling", type="simple"), "settings")
    style = ET.SubElement(
        settings, "text-style", fieldName="name", isExpression="0", fontSize="9", fontSizeUnit="Point",
        textColor=colour_text(OUTLINE_COLOUR), textOpacity="1", fontFamily="Open Sans", fontWeight="75",
    )  # fmt: skip
    ET.SubElement(
        style, "text-buffer", bufferDraw="1", bufferSize="0.8", bufferSizeUnits="MM", bufferColor="255,255,255,255",
        bufferOpacity="0.85", bufferNoFill="1",
    )  # fmt: skip
    ET.SubElement(settings, "placement", placement="4", polygonPlacementFlags="2", centroidInside="1")
    ET.SubElement(settings, "rendering", drawLabels="1", obstacle="0")
    return finish_vector(root, headings)


def pam_xml(entries: Sequence[Change] | Sequence[LandUse], pixel_counts: Mapping[int, int]) -> str:
    """Return the `.aux.xml` beside a raster of codes: category names and a raster attribute table.

    Args:
        entries: All codes that the raster could hold, in ascending order; each gets its category name.
        pixel_counts: Code to number of pixels; the table has a row for each code that occurs, and for "Unchanged".
    """
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    names = {entry.code: clean(entry.name) for entry in entries}
    categories = ET.SubElement(band, "CategoryNames")
    for code in range(max(names) + 1):
        ET.SubElement(categories, "Category").text = names.get(code, "")

    changes = [entry for entry in entries if isinstance(entry, Change)]
    fields = [("Value", _INTEGER, _MIN_MAX), ("Name", _STRING, _NAME)]
    if changes:
        pairs = (("FromCode", _INTEGER), ("FromName", _STRING), ("ToCode", _INTEGER), ("ToName", _STRING))
        fields += [(name, kind, _GENERIC) for name, kind in pairs]
    fields += [(n, _INTEGER, u) for n, u in (("Red", _RED), ("Green", _GREEN), ("Blue", _BLUE), ("Alpha", _ALPHA))]
    counts = {int(code): int(count) for code, count in pixel_counts.items() if count}
    # GDAL's integers have 32 bits; a large mosaic has more pixels.
    fields.append(("PixelCount", _INTEGER if sum(counts.values()) < 2**31 else _REAL, _PIXEL_COUNT))
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(fields):
        field = ET.SubElement(table, "FieldDefn", index=str(index))
        for tag, value in (("Name", name), ("Type", kind), ("Usage", usage)):
            ET.SubElement(field, tag).text = str(value)
    listed = occurring(changes, counts) if changes else [entry for entry in entries if entry.code in counts]
    for index, entry in enumerate(listed):
        row = ET.SubElement(table, "Row", index=str(index))
        for cell in _row(entry, counts.get(entry.code, 0)):
            ET.SubElement(row, "F").text = clean(str(cell))
    return document(root)


def _row(entry: Change | LandUse, pixel_count: int) -> list[object]:
    pair: list[object] = []
    if isinstance(entry, Change):
        # An attribute table has no null; 0 is no land-use code.
        pair = [entry.from_code or 0, entry.from_name, entry.to_code or 0, entry.to_name]
    return [entry.code, entry.name, *pair, *rgb(entry.colour), opacity(entry), pixel_count]


def _categorised(
    attribute: str,
    categories: Iterable[tuple[int, str, Sequence[tuple[str, Mapping[str, str]]]]],
    kind: str,
    headings: Mapping[str, str] | None,
) -> str:
    root = vector_root(headings)
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr=attribute,
        symbollevels="0", enableorderby="0", forceraster="0",
    )  # fmt: skip
    listed, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, (code, name, layers) in enumerate(categories):
        key = str(index)
        category = ET.SubElement(listed, "category", symbol=key, value=str(code), label=clean(name))
        category.attrib |= {"type": "long", "render": "true"}
        symbol = add_symbol(symbols, key, kind)
        for drawn, options in layers:
            add_symbol_layer(symbol, drawn, options)
    return finish_vector(root, headings)


def _paletted(entries: Iterable[tuple[str, str, str, str]], band: int) -> str:
    root, renderer = _raster_style("paletted", band)
    palette = ET.SubElement(renderer, "colorPalette")
    for value, colour, alpha, label in entries:
        ET.SubElement(palette, "paletteEntry", value=value, color=colour, alpha=alpha, label=clean(label))
    return document(root, DOCTYPE)


def _ramp(stops: Sequence[Stop], band: int) -> str:
    root, renderer = _raster_style("singlebandpseudocolor", band)
    low, high = f"{stops[0].value:.10g}", f"{stops[-1].value:.10g}"
    renderer.attrib |= {"classificationMin": low, "classificationMax": high}
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"), "colorrampshader", minimumValue=low, maximumValue=high,
        colorRampType="INTERPOLATED", classificationMode="1", clip="0",
    )  # fmt: skip
    for stop in stops:
        ET.SubElement(shader, "item", value=f"{stop.value:.10g}", label=stop.label, color=stop.colour, alpha="255")
    return document(root, DOCTYPE)


def _raster_style(kind: str, band: int) -> tuple[ET.Element, ET.Element]:
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type=kind, band=str(band), opacity="1", alphaBand="-1", nodataColor="")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return root, renderer


def _fills(entry: Change) -> list[tuple[str, Mapping[str, str]]]:
    """What an area is filled with; the hatching lies on a light veil, to be seen on dark images too."""
    hatched, colour = entry.code == NOT_OBSERVED, fill_colour(entry)
    veil = {"color": "255,255,255,110", "outline_style": "no"}
    fill = {
        "color": colour_text(colour, 255 if hatched else 200), "style": "b_diagonal" if hatched else "solid",
        "outline_color": colour_text(darker(colour)), "outline_style": "solid", "outline_width": "0.15",
        "outline_width_unit": "MM", "joinstyle": "bevel", "offset": "0,0", "offset_unit": "MM",
    }  # fmt: skip
    return [("SimpleFill", veil), ("SimpleFill", fill)] if hatched else [("SimpleFill", fill)]


def _marker(shape: str, colour: str) -> dict[str, str]:
    """A point with a light edge, which reads on dark and on bright ground."""
    return {
        "name": shape, "color": colour_text(colour), "outline_color": "255,255,255,255", "outline_style": "solid",
        "outline_width": "0.3", "outline_width_unit": "MM", "size": "2.6", "size_unit": "MM",
    }  # fmt: skip
