"""What QGIS style files and project files are built of."""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from html import escape

from landshift.pipeline.drawing.symbols import clean, document, rgb

QGIS_VERSION = "3.22.0"
"""The oldest release that reads what is written here; newer ones read it as well."""

FOLDER = r"regexp_replace(layer_property(@layer_id, 'source'), '[^/\\\\]*$', '')"
"""Expression for the folder of a layer's file, from which pictures are found whatever project the layer is opened in."""

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def vector_root(headings: Mapping[str, str] | None, *, labels: bool = False) -> ET.Element:
    """Return the root of a style for vectors; `finish_vector` ends it."""
    categories = "Symbology" + ("|Labeling" if labels else "") + ("|Fields|MapTips" if headings else "")
    return ET.Element("qgis", version=QGIS_VERSION, styleCategories=categories, labelsEnabled=str(int(labels)))


def finish_vector(
    root: ET.Element, headings: Mapping[str, str] | None, tip: Collection[str] | None = None, picture: str = ""
) -> str:
    """Add headings and a map tip that shows them with a feature's values, and return the style as text.

    Args:
        root: From `vector_root`.
        headings: Column to what QGIS shows instead of its name.
        tip: Columns that the map tip shows; all where None.
        picture: Column with the path of a picture, relative to the layer's file, that the map tip shows as well; may be empty.
    """
    if headings:
        if "to_name" in headings and root.find("previewExpression") is None:
            # QGIS would call every change by its first column of text.
            named = "coalesce(\"from_name\" || ' to ', '') || \"to_name\""
            ET.SubElement(root, "previewExpression").text = named
        aliases = ET.SubElement(root, "aliases")
        for index, (column, heading) in enumerate(headings.items()):
            ET.SubElement(aliases, "alias", index=str(index), field=clean(column), name=clean(heading))
        shown = {column: text for column, text in headings.items() if tip is None or column in tip}
        rows = "".join(f"<tr><td>{escape(text)}&nbsp;</td><td>{_shown(column)}</td></tr>" for column, text in shown.items())
        shown_picture = f'<img src="{_picture_url(picture)}" width="500">' if picture else ""
        ET.SubElement(root, "mapTip").text = clean(f"<table>{rows}</table>{shown_picture}")
    return document(root, DOCTYPE)


def add_symbol(parent: ET.Element, name: str, kind: str) -> ET.Element:
    """Add an empty symbol of kind `fill`, `line` or `marker`."""
    return ET.SubElement(parent, "symbol", name=name, type=kind, alpha="1", clip_to_extent="1", force_rhr="0")


def add_symbol_layer(symbol: ET.Element, kind: str, options: Mapping[str, str]) -> None:
    """Add what a symbol draws, above what it draws already."""
    layer = ET.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    for option, value in options.items():
        ET.SubElement(layer, "prop", k=option, v=value)


def colour_text(colour: str, alpha: int = 255) -> str:
    """Return `#rrggbb` as QGIS writes it in symbols."""
    return ",".join(str(channel) for channel in (*rgb(colour), alpha))


def _picture_url(column: str) -> str:
    """An expression for the address of a picture whose path, relative to the layer's file, stands in a column."""
    # The percent sign first: it is part of what stands for the others.
    plain = f"replace({FOLDER}, '%', '%25')"
    signs = "map(' ', '%20', '\"', '%22', '#', '%23', '?', '%3F', '&', '%26', '<', '%3C', '>', '%3E', '\\\\', '/')"
    return f"file:///[% regexp_replace(replace({plain}, {signs}), '^/', '') || \"{column}\" %]"


def _shown(column: str) -> str:
    """An expression that shows a value in a map tip: dates and numbers as they are, text without its power as HTML."""
    quoted = '"' + column.replace('"', '""') + '"'
    text = f"replace(to_string({quoted}), map('&', '&amp;', '<', '&lt;', '>', '&gt;'))"
    return f"[% coalesce({text}, '–') %]"
