"""QGIS styles of rasters and layers, and the elements that style and project files are built of."""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

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
    lines_on,
    number_stops,
    opacity,
    rgb,
)
from landshift.pipeline.legend import NOT_OBSERVED, Change, LandUse

QGIS_VERSION = "3.22.0"
"""The oldest release that reads what is written here; newer ones read it as well."""
FOLDER = r"regexp_replace(layer_property(@layer_id, 'source'), '[^/\\\\]*$', '')"
"""Expression for the folder of a layer's file, from which pictures are found whatever project the layer is opened in."""
PATCH_PICTURES = "layers/pictures"
"""Where pictures of patches lie, relative to the layer's file: a JPEG each, called after the patch's id."""
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


@dataclass(frozen=True)
class TableView:
    """What a person sees first of a layer's columns."""

    hidden: tuple[str, ...] = ()
    """Columns that the table leaves out until they are asked for."""
    sorted_by: str = ""
    """Column by which the table is sorted, the largest first; as in the file where empty."""
    tip: tuple[str, ...] | None = None
    """Columns of the map tip; all where None."""
    pictures: bool = False
    """Whether the map tip shows the picture of a patch, where there is one."""


def vector_root(headings: Mapping[str, str] | None, *, labels: bool = False) -> ET.Element:
    """Return the root of a style for vectors; `finish_vector` ends it."""
    categories = "Symbology" + ("|Labeling" if labels else "") + ("|Fields|MapTips" if headings else "")
    return ET.Element("qgis", version=QGIS_VERSION, styleCategories=categories, labelsEnabled=str(int(labels)))


def finish_vector(
    root: ET.Element, headings: Mapping[str, str] | None, tip: Collection[str] | None = None, picture: str = "",
    view: TableView | None = None,
) -> str:  # fmt: skip
    """Add headings and a map tip that shows them with a feature's values, and return the style as text.

    Args:
        root: From `vector_root`.
        headings: Column to what QGIS shows instead of its name.
        tip: Columns that the map tip shows; all where None.
        picture: Column with the path of a picture, relative to the layer's file, that the map tip shows as well; may be empty.
        view: What the table shows first, and what the map tip does; all where None.
    """
    if view is not None:
        tip = view.tip
    if headings:
        if "to_name" in headings and root.find("previewExpression") is None:
            # QGIS would call every change by its first column of text.
            named = "coalesce(\"from_name\" || ' to ', '') || \"to_name\""
            ET.SubElement(root, "previewExpression").text = named
        aliases = ET.SubElement(root, "aliases")
        for index, (column, heading) in enumerate(headings.items()):
            ET.SubElement(aliases, "alias", index=str(index), field=clean(column), name=clean(heading))
        listed = {column: text for column, text in headings.items() if tip is None or column in tip}
        rows = "".join(f"<tr><td>{escape(text)}&nbsp;</td><td>{_value_text(c)}</td></tr>" for c, text in listed.items())
        column = '"' + picture + '"'
        shown = f'<img src="[% {_picture_url(column)} %]" width="500">' if picture else ""
        if view is not None:
            _add_table(root, headings, view)
            shown = _patch_picture() if view.pictures else shown
        ET.SubElement(root, "mapTip").text = clean(f"<table>{rows}</table>{shown}")
    return document(root, DOCTYPE)


def add_symbol(parent: ET.Element, name: str, kind: str) -> ET.Element:
    """Add an empty symbol of kind `fill`, `line` or `marker`."""
    return ET.SubElement(parent, "symbol", name=name, type=kind, alpha="1", clip_to_extent="1", force_rhr="0")


def add_symbol_layer(symbol: ET.Element, kind: str, options: Mapping[str, str]) -> None:
    """Add what a symbol draws, above what it draws already."""
    layer = ET.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    for option, value in options.items():
        ET.SubElement(layer, "prop", k=option, v=value)
    if kind == "LinePatternFill":
        # QGIS draws these lines with a symbol of their own.
        line = add_symbol(layer, f"@{symbol.get('name')}@{len(symbol) - 1}", "line")
        drawn = {"line_color": options["color"], "line_width": options["line_width"], "line_width_unit": "MM"}
        add_symbol_layer(line, "SimpleLine", drawn)


def colour_text(colour: str, alpha: int = 255) -> str:
    """Return `#rrggbb` as QGIS writes it in symbols."""
    return ",".join(str(channel) for channel in (*rgb(colour), alpha))


def _add_table(root: ET.Element, headings: Mapping[str, str], view: TableView) -> None:
    """Write which columns the attribute table shows, and by which it is sorted."""
    table = ET.SubElement(root, "attributetableconfig", actionWidgetStyle="dropDown", sortOrder="1" if view.sorted_by else "0")
    root.set("styleCategories", f"{root.get('styleCategories')}|AttributeTable")
    table.set("sortExpression", f'"{view.sorted_by}"' if view.sorted_by else "")
    columns = ET.SubElement(table, "columns")
    for column in headings:
        ET.SubElement(columns, "column", type="field", name=clean(column), hidden=str(int(column in view.hidden)), width="-1")


def _picture_url(path: str) -> str:
    """Return an expression for the address of a picture, from one for its path relative to the layer's file."""
    # The percent sign first: it is part of what stands for the others.
    plain = f"replace({FOLDER}, '%', '%25')"
    signs = "map(' ', '%20', '\"', '%22', '#', '%23', '?', '%3F', '&', '%26', '<', '%3C', '>', '%3E', '\\\\', '/')"
    return f"'file:///' || regexp_replace(replace({plain}, {signs}), '^/', '') || {path}"


def _patch_picture() -> str:
    """Return a patch before and after, as HTML in a map tip; nothing where there is no picture of it."""
    path = f"'{PATCH_PICTURES}/' || \"change_id\" || '.jpg'"
    shown = f"'<img src=\"' || {_picture_url(path)} || '\" width=\"480\">'"
    return f"[% if(file_exists({FOLDER} || {path}), {shown}, '') %]"


def _value_text(column: str) -> str:
    """Return an expression that shows a value in a map tip: dates and numbers as they are, text without its power as HTML."""
    quoted = '"' + column.replace('"', '""') + '"'
    text = f"replace(to_string({quoted}), map('&', '&amp;', '<', '&lt;', '>', '&gt;'))"
    return f"[% coalesce({text}, '–') %]"


def raster_qml(entries: Iterable[Change | LandUse]) -> str:
    """Return a QGIS style that paints exactly the given codes of a raster, code 0 transparent."""
    return _palette_qml((str(e.code), e.colour, str(opacity(e)), e.name) for e in entries)


def dates_qml(days: Iterable[int]) -> str:
    """Return a QGIS style that paints a raster of dates: dark what was seen long ago, bright what was seen last.

    Args:
        days: The dates that occur, as year x 10000 + month x 100 + day; 0 (never observed) is left transparent.
    """
    stops, ramp = date_stops(days)
    return _ramp_qml(stops) if ramp else _palette_qml((f"{s.value:.0f}", s.colour, "255", s.label) for s in stops)


def continuous_qml(low: float = 0.0, high: float = 1.0) -> str:
    """Return a QGIS style that paints a raster of numbers from `low` to `high` in viridis.

    The numbers are real values: QGIS applies the raster's scale and offset before its style.
    """
    return _ramp_qml(number_stops(low, high))


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


def vector_qml(
    entries: Iterable[Change | LandUse], attribute: str = "change_code", headings: Mapping[str, str] | None = None, *,
    view: TableView | None = None, filled: bool = True,
) -> str:  # fmt: skip
    """Return a QGIS style that paints polygons by category, exactly the given ones.

    Args:
        entries: The categories; "Not observed" is hatched, the others are filled, with lines for the class before.
        attribute: Column that holds their codes.
        headings: Column to what QGIS shows instead of its name, in the table, the form and the map tip.
        view: What the table and the map tip show; everything where None.
        filled: Whether areas are filled; else only their edges are drawn, and the ground is seen.
    """
    categories = [(entry.code, entry.name, _fills(entry) if filled else _edges(entry.colour, "0.4")) for entry in entries]
    return _categories_qml(attribute, categories, "fill", headings, view=view)


def samples_qml(headings: Mapping[str, str] | None = None) -> str:
    """Return a QGIS style for reference samples: those that agree with the map and those that differ, in colour and shape.

    Args:
        headings: Column to what QGIS shows instead of its name.
    """
    categories = [(a.agrees, a.label, [("SimpleMarker", _marker(a.shape, a.colour))]) for a in AGREEMENTS]
    return _categories_qml("agrees", categories, "marker", headings)


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


def _categories_qml(
    attribute: str,
    categories: Iterable[tuple[int, str, Sequence[tuple[str, Mapping[str, str]]]]],
    kind: str,
    headings: Mapping[str, str] | None,
    *,
    view: TableView | None = None,
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
    return finish_vector(root, headings, view=view)


def _palette_qml(entries: Iterable[tuple[str, str, str, str]]) -> str:
    root, renderer = _raster_style("paletted")
    palette = ET.SubElement(renderer, "colorPalette")
    for value, colour, alpha, label in entries:
        ET.SubElement(palette, "paletteEntry", value=value, color=colour, alpha=alpha, label=clean(label))
    return document(root, DOCTYPE)


def _ramp_qml(stops: Sequence[Stop]) -> str:
    root, renderer = _raster_style("singlebandpseudocolor")
    low, high = f"{stops[0].value:.10g}", f"{stops[-1].value:.10g}"
    renderer.attrib |= {"classificationMin": low, "classificationMax": high}
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"), "colorrampshader", minimumValue=low, maximumValue=high,
        colorRampType="INTERPOLATED", classificationMode="1", clip="0",
    )  # fmt: skip
    for stop in stops:
        ET.SubElement(shader, "item", value=f"{stop.value:.10g}", label=stop.label, color=stop.colour, alpha="255")
    return document(root, DOCTYPE)


def _raster_style(kind: str) -> tuple[ET.Element, ET.Element]:
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type=kind, band="1", opacity="1", alphaBand="-1", nodataColor="")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return root, renderer


def _fills(entry: Change | LandUse) -> Sequence[tuple[str, Mapping[str, str]]]:
    """Return what an area is drawn with; what was not observed is hatched on a light veil, to be seen on dark images too."""
    hatched, colour = entry.code == NOT_OBSERVED, fill_colour(entry)
    if hatched:
        veil = {"color": "204,204,212,180", "outline_style": "no"}
        lines = {
            "color": colour_text(colour), "style": "b_diagonal", "outline_color": colour_text(darker(colour)),
            "outline_style": "solid", "outline_width": "0.15", "outline_width_unit": "MM",
        }  # fmt: skip
        return [("SimpleFill", veil), ("SimpleFill", lines)]
    pattern, ink = lines_on(entry)
    hatching = [
        ("LinePatternFill", {
            "angle": str(angle), "distance": f"{pattern.spacing_mm}", "distance_unit": "MM",
            "line_width": f"{pattern.width_mm}", "line_width_unit": "MM", "color": colour_text(ink, 190),
        })
        for angle in pattern.angles
    ]  # fmt: skip
    fill = ("SimpleFill", {"color": colour_text(colour, 200), "style": "solid", "outline_style": "no"})
    return [fill, *hatching, *_edges(colour, "0.22")]


def _edges(colour: str, width: str) -> list[tuple[str, Mapping[str, str]]]:
    """Return a light edge under one of the area's colour: a dark one alone is lost on forest, a light one on bare ground."""
    drawn = (("255,255,255,255", str(round(float(width) + 0.3, 2))), (colour_text(darker(colour)), width))
    return [
        ("SimpleLine", {"line_color": line, "line_width": thick, "line_width_unit": "MM", "joinstyle": "bevel"})
        for line, thick in drawn
    ]


def _marker(shape: str, colour: str) -> dict[str, str]:
    """Return the options of a point with a light edge, which reads on dark and on bright ground."""
    return {
        "name": shape, "color": colour_text(colour), "outline_color": "255,255,255,255", "outline_style": "solid",
        "outline_width": "0.3", "outline_width_unit": "MM", "size": "2.6", "size_unit": "MM",
    }  # fmt: skip
