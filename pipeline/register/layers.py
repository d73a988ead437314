"""Layers of a register in a GIS: columns, headings, styles, and the layer of what changed."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd

from landshift.pipeline.drawing.qml import add_symbol, add_symbol_layer, colour_text, finish_vector, vector_root
from landshift.pipeline.drawing.symbols import darker
from landshift.pipeline.register.states import CLOSED, CONFIRMED, NEW, REJECTED, WITHDRAWN
from landshift.pipeline.vector.columns import Column
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, write_styled_layer

STATE_COLOURS: Mapping[str, str] = {
    NEW: "#f0a020", CONFIRMED: "#c8281e", CLOSED: "#4a7ab5", REJECTED: "#8a8a8a", WITHDRAWN: "#c9c9c9",
}  # fmt: skip
"""State to the colour of its changes; those that need no visit are dull."""

REGISTER_COLUMNS = (
    Column("change_id", "str", "Change ID", "Stays with the change"),
    Column("state", "str", "State", "new, confirmed, closed, rejected or withdrawn"),
    Column("reason", "str", "Reason", "Why it is closed, rejected or withdrawn, or who confirmed it; else empty"),
    Column("change_code", "int64", "Change code", "Value of change.tif"),
    Column("from_code", "Int64", "From (code)", "Land-use code before; null in a project without classes"),
    Column("from_name", "str", "From", "Land use before; null in a project without classes"),
    Column("to_code", "Int64", "To (code)", "Land-use code after; null in a project without classes"),
    Column("to_name", "str", "To", "Land use after; Changed in a project without classes"),
    Column("area_ha", "float64", "Area (ha, pixel count)", "Hectares when it was seen last; pixel count, biased when summed"),
    Column(
        "change_probability", "float64", "Probability of change (as the model gave it)",
        "Mean over its pixels when it was seen last, 0 to 1; calibrated only where the page of that run does not doubt it",
    ),
    Column("first_before", "datetime64[s]", "First pair: before", "Date before of the pair that saw it first"),
    Column("first_seen", "datetime64[s]", "First seen", "Date after of the pair that saw it first"),
    Column("last_seen", "datetime64[s]", "Last seen", "Latest date after of a pair that saw it"),
    Column("not_before", "datetime64[s]", "Not before", "Latest date before of a pair that saw it: it came later than that"),
    Column("times_seen", "int64", "Times seen", "Runs that saw it"),
    Column("times_observed", "int64", "Times observed", "Runs that saw it, or observed its place and could have"),
    Column("first_run", "str", "First run", "Key of the run that saw it first"),
    Column("model_hash", "str", "Model", "Hash of the weights of the model that saw it first"),
    Column("last_run", "str", "Last run", "Key of the run that saw it last"),
)  # fmt: skip
"""Of a change as published; the other columns of the table are internal to the register."""

DESCRIBED: Mapping[str, tuple[Column, ...]] = {
    "changes": REGISTER_COLUMNS,
    "first_seen": (REGISTER_COLUMNS[0],),
    "observations": (
        Column("key", "str", "Run", "Key of the run"),
        Column("project", "str", "Project", "Name of the project or region"),
        Column("before_date", "datetime64[s]", "Date before", "Date of the image before (UTC)"),
        Column("after_date", "datetime64[s]", "Date after", "Date of the image after (UTC)"),
        Column("observed_share", "float64", "Observed share", "Share of its map that both dates observed, 0 to 1"),
        Column("standing", "str", "Standing", "Empty where it counts, else why it does not"),
    ),
    "patches": (
        Column("change_id", "str", "Change ID", "The change that it is"),
        Column("run", "str", "Run", "Key of the run"),
    ),
    "not_observed": (Column("run", "str", "Run", "Key of the run that did not observe this"),),
}
"""Layer to the columns that get a heading."""

_CHANGED_COLUMNS = (
    Column("what", "str", "What", "The state that the change is in now"),
    Column("was", "str", "Was", "The state that it was in; null where it was not there"),
    *(c for c in REGISTER_COLUMNS if c.name != "state"),
)


def write_changed(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write what changed in a register, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `changed`, in the CRS of the register, painted by state) or `.geojson` (RFC 7946, WGS 84).
        frame: From `diff_states`; may be empty.

    Raises:
        InputError: The name has another ending, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    style = Style(_states_qml("what", {c.name: c.alias for c in _CHANGED_COLUMNS}))
    return write_styled_layer(path, StyledLayer("changed", frame, _CHANGED_COLUMNS, style, geometry="MultiPolygon"))


def _states_qml(attribute: str, headings: Mapping[str, str]) -> str:
    """Return a QGIS style that paints changes by their state in the column `attribute`."""
    root = vector_root(headings)
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr=attribute, symbollevels="0", enableorderby="0", forceraster="0"
    )
    listed, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, (state, colour) in enumerate(STATE_COLOURS.items()):
        category = ET.SubElement(listed, "category", symbol=str(index), value=state, label=state)
        category.attrib |= {"type": "string", "render": "true"}
        outlined = state in (REJECTED, WITHDRAWN)
        options = {
            "color": colour_text(colour, 0 if outlined else 150), "style": "no" if outlined else "solid",
            "outline_color": colour_text(darker(colour)), "outline_style": "dot" if outlined else "solid",
            "outline_width": "0.3", "outline_width_unit": "MM", "joinstyle": "bevel",
        }  # fmt: skip
        add_symbol_layer(add_symbol(symbols, str(index), "fill"), "SimpleFill", options)
    return finish_vector(root, headings)


def register_qml(layer: str) -> str:
    """Return the style of a layer of the register: changes by state, the others as outlines."""
    headings = {c.name: c.alias for c in DESCRIBED[layer]}
    if layer == "changes":
        return _states_qml("state", headings)
    root = vector_root(headings)
    renderer = ET.SubElement(root, "renderer-v2", type="singleSymbol", symbollevels="0", enableorderby="0", forceraster="0")
    symbol = add_symbol(ET.SubElement(renderer, "symbols"), "0", "fill")
    add_symbol_layer(symbol, "SimpleLine", {"line_color": colour_text("#555555"), "line_width": "0.3", "line_width_unit": "MM"})
    return finish_vector(root, headings)
