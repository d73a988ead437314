"""Styles for programs other than QGIS: Styled Layer Descriptor 1.0.0 for GeoServer and web maps, attribute tables for GDAL.

https://www.ogc.org/standard/sld/ (OGC 02-070); the hatching is an extension of GeoServer's, which others leave out.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence

from landshift.pipeline.colours.palette import Pattern
from landshift.pipeline.drawing.symbols import (
    AGREEMENTS,
    OUTLINE_COLOUR,
    Stop,
    clean,
    darker,
    date_stops,
    document,
    fill_colour,
    lines_on,
    number_stops,
    occurring,
    opacity,
    rgb,
)
from landshift.pipeline.legend import NOT_OBSERVED, Change, LandUse

_INTEGER, _REAL, _STRING = 0, 1, 2
_GENERIC, _PIXEL_COUNT, _NAME, _MIN_MAX, _RED, _GREEN, _BLUE, _ALPHA = 0, 1, 2, 5, 6, 7, 8, 9
"""GDALRATFieldType and GDALRATFieldUsage, which PAM files hold as numbers. https://gdal.org/api/raster_c_api.html"""

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACES = {"xmlns": "http://www.opengis.net/sld", "xmlns:ogc": "http://www.opengis.net/ogc"}
_FILL_OPACITY = "0.78"
_LINES = {0: "horline", 45: "slash", 90: "vertline", 135: "backslash"}
_PIXELS_PER_MM = 1 / 0.28
"""Of the standard (OGC 02-070)."""


def raster_sld(entries: Iterable[Change | LandUse], title: str = "") -> str:
    """Return a style that paints exactly the given codes of a raster, code 0 transparent."""
    stops = [(Stop(e.code, e.colour, e.name), "1" if opacity(e) else "0") for e in entries]
    return _raster(stops, "values", title)


def continuous_sld(low: float = 0.0, high: float = 1.0, title: str = "") -> str:
    """Return a style that paints a raster of numbers from `low` to `high` in viridis.

    The numbers are real values: GeoServer applies the raster's scale and offset before its style.
    """
    return _raster([(stop, "1") for stop in number_stops(low, high)], "ramp", title)


def dates_sld(days: Iterable[int]) -> str:
    """Return a style that paints a raster of dates: dark what was seen long ago, bright what was seen last.

    Args:
        days: The dates that occur, as year x 10000 + month x 100 + day; 0 (never observed) is left transparent.
    """
    stops, ramp = date_stops(days)
    return _raster([(stop, "1") for stop in stops], "ramp" if ramp else "values", "Last observed")


def vector_sld(entries: Iterable[Change], attribute: str = "change_code", title: str = "") -> str:
    """Return a style that paints polygons by category, exactly the given ones.

    Args:
        entries: The categories; "Not observed" is hatched, the others are filled.
        attribute: Column that holds their codes.
        title: What the legend calls it.
    """
    root, rules = _style(title)
    for entry in entries:
        rule = _rule(rules, entry.name, attribute, entry.code)
        symbolizer = ET.SubElement(rule, "PolygonSymbolizer")
        colour = fill_colour(entry)
        fill = ET.SubElement(symbolizer, "Fill")
        if entry.code == NOT_OBSERVED:
            mark = ET.SubElement(ET.SubElement(ET.SubElement(fill, "GraphicFill"), "Graphic"), "Mark")
            ET.SubElement(mark, "WellKnownName").text = "shape://slash"
            _parameters(ET.SubElement(mark, "Stroke"), {"stroke": colour, "stroke-width": "0.5"})
        else:
            _parameters(fill, {"fill": colour, "fill-opacity": _FILL_OPACITY})
            pattern, ink = lines_on(entry)
            for angle in pattern.angles:
                _add_lines(rule, pattern, angle, ink)
        _parameters(ET.SubElement(symbolizer, "Stroke"), {"stroke": darker(colour), "stroke-width": "0.5"})
    return document(root, _DECLARATION)


def _add_lines(rule: ET.Element, pattern: Pattern, angle: int, ink: str) -> None:
    """Draw lines above what the rule draws already; their names are those of GeoServer."""
    fill = ET.SubElement(ET.SubElement(rule, "PolygonSymbolizer"), "Fill")
    graphic = ET.SubElement(ET.SubElement(fill, "GraphicFill"), "Graphic")
    mark = ET.SubElement(graphic, "Mark")
    ET.SubElement(mark, "WellKnownName").text = f"shape://{_LINES[angle]}"
    width = f"{pattern.width_mm * _PIXELS_PER_MM:.2g}"
    _parameters(ET.SubElement(mark, "Stroke"), {"stroke": ink, "stroke-width": width, "stroke-opacity": "0.75"})
    ET.SubElement(graphic, "Size").text = f"{pattern.spacing_mm * _PIXELS_PER_MM:.0f}"


def samples_sld() -> str:
    """Return a style for reference samples: those that agree with the map and those that differ, in colour and shape."""
    root, rules = _style("Reference samples")
    for agreement in AGREEMENTS:
        rule = _rule(rules, agreement.label, "agrees", agreement.agrees)
        graphic = ET.SubElement(ET.SubElement(rule, "PointSymbolizer"), "Graphic")
        mark = ET.SubElement(graphic, "Mark")
        ET.SubElement(mark, "WellKnownName").text = agreement.shape
        _parameters(ET.SubElement(mark, "Fill"), {"fill": agreement.colour})
        _parameters(ET.SubElement(mark, "Stroke"), {"stroke": "#ffffff", "stroke-width": "1"})
        ET.SubElement(graphic, "Size").text = "9"
    return document(root, _DECLARATION)


def outline_sld() -> str:
    """Return a style for areas of interest: their outline on a light casing, and their name (column `name`)."""
    root, rules = _style("Areas of interest")
    rule = _rule(rules, "Areas of interest")
    for colour, width in (("#ffffff", "4"), (OUTLINE_COLOUR, "2")):
        stroke = ET.SubElement(ET.SubElement(rule, "LineSymbolizer"), "Stroke")
        _parameters(stroke, {"stroke": colour, "stroke-width": width})
    text = ET.SubElement(rule, "TextSymbolizer")
    ET.SubElement(ET.SubElement(text, "Label"), "ogc:PropertyName").text = "name"
    _parameters(ET.SubElement(text, "Font"), {"font-size": "12"})
    halo = ET.SubElement(text, "Halo")
    ET.SubElement(halo, "Radius").text = "2"
    _parameters(ET.SubElement(halo, "Fill"), {"fill": "#ffffff"})
    _parameters(ET.SubElement(text, "Fill"), {"fill": OUTLINE_COLOUR})
    return document(root, _DECLARATION)


def _style(title: str) -> tuple[ET.Element, ET.Element]:
    """Return the document, and the element that takes rules."""
    root = ET.Element("StyledLayerDescriptor", {"version": "1.0.0", **_NAMESPACES})
    layer = ET.SubElement(root, "NamedLayer")
    # GeoServer finds a style by its own name, not by this one; empty names are refused.
    ET.SubElement(layer, "Name").text = clean(title) or "landshift"
    style = ET.SubElement(layer, "UserStyle")
    if title:
        ET.SubElement(style, "Title").text = clean(title)
    return root, ET.SubElement(style, "FeatureTypeStyle")


def _rule(rules: ET.Element, title: str, attribute: str = "", code: int = 0) -> ET.Element:
    rule = ET.SubElement(rules, "Rule")
    ET.SubElement(rule, "Name").text = clean(title)
    ET.SubElement(rule, "Title").text = clean(title)
    if attribute:
        equal = ET.SubElement(ET.SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
        ET.SubElement(equal, "ogc:PropertyName").text = attribute
        ET.SubElement(equal, "ogc:Literal").text = str(code)
    return rule


def _parameters(parent: ET.Element, values: dict[str, str]) -> None:
    for name, value in values.items():
        ET.SubElement(parent, "CssParameter", name=name).text = value


def _raster(stops: Iterable[tuple[Stop, str]], kind: str, title: str) -> str:
    root, rules = _style(title)
    symbolizer = ET.SubElement(ET.SubElement(rules, "Rule"), "RasterSymbolizer")
    ET.SubElement(symbolizer, "Opacity").text = "1"
    colours = ET.SubElement(symbolizer, "ColorMap", type=kind)
    for stop, alpha in stops:
        entry = ET.SubElement(
            colours, "ColorMapEntry", color=stop.colour, quantity=f"{stop.value:.10g}", label=clean(stop.label)
        )
        entry.set("opacity", alpha)
    return document(root, _DECLARATION)


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
