"""Styles and legends as GIS programs read them: QGIS style files, GDAL's category names and raster attribute table."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence

from pipeline.legend import NOT_OBSERVED, UNCHANGED, Change, LandUse, Legend

_QGIS_VERSION = "3.22.0"
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""

_VIRIDIS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
"""Perceptually even and readable by the colour-blind. https://doi.org/10.1371/journal.pone.0199239"""

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
    return {entry.code: (*_rgb(entry.colour), _alpha(entry)) for entry in entries}


def raster_qml(entries: Iterable[Change | LandUse], band: int = 1) -> str:
    """Return a QGIS style that paints exactly the given codes of a raster, code 0 transparent."""
    root, renderer = _raster_style("paletted", band)
    palette = ET.SubElement(renderer, "colorPalette")
    for entry in entries:
        alpha, label = str(_alpha(entry)), _text(entry.name)
        ET.SubElement(palette, "paletteEntry", value=str(entry.code), color=entry.colour, alpha=alpha, label=label)
    return _qml(root)


def continuous_qml(low: float = 0.0, high: float = 1.0, band: int = 1) -> str:
    """Return a QGIS style that paints a raster of numbers from `low` to `high` in viridis.

    The numbers are real values: QGIS applies the raster's scale and offset before its style.
    """
    root, renderer = _raster_style("singlebandpseudocolor", band)
    renderer.set("classificationMin", f"{low:g}")
    renderer.set("classificationMax", f"{high:g}")
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"), "colorrampshader", minimumValue=f"{low:g}", maximumValue=f"{high:g}",
        colorRampType="INTERPOLATED", classificationMode="1", clip="0",
    )  # fmt: skip
    for index, colour in enumerate(_VIRIDIS):
        value = f"{low + (high - low) * index / (len(_VIRIDIS) - 1):g}"
        ET.SubElement(shader, "item", value=value, label=value, color=colour, alpha="255")
    return _qml(root)


def vector_qml(entries: Iterable[Change], attribute: str = "change_code", headings: Mapping[str, str] | None = None) -> str:
    """Return a QGIS style that paints polygons by category, exactly the given ones.

    Args:
        entries: The categories; "Not observed" is hatched, the others are filled.
        attribute: Column that holds their codes.
        headings: Column to what QGIS shows instead of its name.
    """
    root = ET.Element("qgis", version=_QGIS_VERSION, styleCategories="Symbology|Fields" if headings else "Symbology")
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr=attribute,
        symbollevels="0", enableorderby="0", forceraster="0",
    )  # fmt: skip
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, entry in enumerate(entries):
        key, label = str(index), _text(entry.name)
        category = ET.SubElement(categories, "category", symbol=key, value=str(entry.code), label=label)
        category.attrib |= {"type": "long", "render": "true"}
        symbol = ET.SubElement(symbols, "symbol", name=key, type="fill", alpha="1", clip_to_extent="1", force_rhr="0")
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
        for option, value in _fill(entry).items():
            ET.SubElement(layer, "prop", k=option, v=value)
    if headings:
        aliases = ET.SubElement(root, "aliases")
        for column, heading in headings.items():
            ET.SubElement(aliases, "alias", field=column, name=_text(heading))
    return _qml(root)


def pam_xml(entries: Sequence[Change] | Sequence[LandUse], pixel_counts: Mapping[int, int]) -> str:
    """Return the `.aux.xml` beside a raster of codes: category names and a raster attribute table.

    Args:
        entries: All codes that the raster could hold, in ascending order; each gets its category name.
        pixel_counts: Code to number of pixels; the table has a row for each code that occurs, and for "Unchanged".
    """
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    names = {entry.code: _text(entry.name) for entry in entries}
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
            ET.SubElement(row, "F").text = _text(str(cell))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _row(entry: Change | LandUse, pixel_count: int) -> list[object]:
    pair: list[object] = []
    if isinstance(entry, Change):
        # An attribute table has no null; 0 is no land-use code.
        pair = [entry.from_code or 0, entry.from_name, entry.to_code or 0, entry.to_name]
    return [entry.code, entry.name, *pair, *_rgb(entry.colour), _alpha(entry), pixel_count]


def _raster_style(kind: str, band: int) -> tuple[ET.Element, ET.Element]:
    root = ET.Element("qgis", version=_QGIS_VERSION, styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type=kind, band=str(band), opacity="1", alphaBand="-1", nodataColor="")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return root, renderer


def _fill(entry: Change) -> dict[str, str]:
    hatched = entry.code == NOT_OBSERVED
    red, green, blue = (128, 128, 128) if hatched else _rgb(entry.colour)
    edge = ",".join(str(channel * 6 // 10) for channel in (red, green, blue))
    return {
        "color": f"{red},{green},{blue},{255 if hatched else 200}", "style": "b_diagonal" if hatched else "solid",
        "outline_color": f"{edge},255", "outline_style": "solid", "outline_width": "0.15", "outline_width_unit": "MM",
        "joinstyle": "bevel", "offset": "0,0", "offset_unit": "MM",
    }  # fmt: skip


def _rgb(colour: str) -> tuple[int, int, int]:
    """Red, green, blue of `#rrggbb`, each 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _alpha(entry: Change | LandUse) -> int:
    return 0 if entry.code == NOT_OBSERVED else 255


def _text(name: str) -> str:
    """Drop what XML cannot hold; the serialiser escapes the rest."""
    return _NOT_IN_XML.sub("", name)


def _qml(root: ET.Element) -> str:
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"
