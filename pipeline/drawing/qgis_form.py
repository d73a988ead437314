"""Forms in QGIS: words to choose instead of codes to type, pictures, and the order in which a person is asked."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landshift.pipeline.drawing.qml import FOLDER
from landshift.pipeline.drawing.symbols import clean

NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""What QGIS stands for NULL with in lists of values."""

Options = Mapping[str, "str | int | bool | Options | list[Options]"]
"""Settings as QGIS nests them."""
Widget = tuple[str, Options]
"""Kind of QGIS's widget for a column, and its settings."""

HIDDEN: Widget = ("Hidden", {})
DATE: Widget = (
    "DateTime",
    {
        "allow_null": True, "calendar_popup": True, "display_format": "yyyy-MM-dd", "field_format": "yyyy-MM-dd",
        "field_iso_format": False,
    },
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A box of the form."""

    title: str
    """Its heading."""
    columns: tuple[str, ...]
    """What it shows, from top to bottom."""
    unnamed: tuple[str, ...] = ()
    """Those of them whose headings are left out."""
    shown_if: str = ""
    """Expression without which the box is hidden; always shown where empty."""


def text(*, lines: bool = False) -> Widget:
    """Return a field for text, of one line or several."""
    return "TextEdit", {"IsMultiline": lines, "UseHtml": False}


def picture(width: int = 0, height: int = 0) -> Widget:
    """Return what shows the picture whose path, relative to the layer's file, stands in the column.

    Args:
        width: On the screen, in pixels; as it fits where 0.
        height: Likewise.
    """
    root: Options = {"propertyRootPath": {"active": True, "expression": FOLDER, "type": 3}}
    return "ExternalResource", {
        "DocumentViewer": 1, "DocumentViewerHeight": height, "DocumentViewerWidth": width, "FileWidget": False,
        "FileWidgetButton": False, "FileWidgetFilter": "", "RelativeStorage": 2, "StorageMode": 0, "StorageType": "",
        "PropertyCollection": {"name": "", "type": "collection", "properties": root},
    }  # fmt: skip


def choice(empty: str, values: Mapping[str, str]) -> Widget:
    """Return a list of words to choose from.

    Args:
        empty: What stands for nothing chosen.
        values: Words to what is stored.
    """
    listed: list[Options] = [{empty: NULL}, *({clean(words): value} for words, value in values.items())]
    return "ValueMap", {"map": listed}


def add_form(
    root: ET.Element, headings: Sequence[str], widgets: Mapping[str, Widget], groups: Sequence[Box], editable: Sequence[str],
    defaults: Mapping[str, str] | None = None, wanted: Sequence[str] = (),
) -> None:  # fmt: skip
    """Add a form to a style.

    Args:
        root: From `vector_root`.
        headings: All columns of the layer.
        widgets: Column to its widget; a line of text for the others.
        groups: What the form shows, from top to bottom.
        editable: Columns that a person may change.
        defaults: Column to the expression that fills it whenever the row is changed.
        wanted: Columns that the form marks as long as they are empty; they can be left empty for later.
    """
    root.set("styleCategories", f"{root.get('styleCategories')}|Forms")
    configured = ET.SubElement(root, "fieldConfiguration")
    for column in headings:
        kind, options = widgets.get(column, text())
        widget = ET.SubElement(
            ET.SubElement(configured, "field", name=column, configurationFlags="None"), "editWidget", type=kind
        )
        add_option(ET.SubElement(widget, "config"), None, options)
    if defaults:
        filled = ET.SubElement(root, "defaults")
        for column, expression in defaults.items():
            ET.SubElement(filled, "default", field=column, expression=expression, applyOnUpdate="1")
    constraints = ET.SubElement(root, "constraints")
    for column in wanted:
        # Soft: a row can be left for later, and shows it; a hard one would refuse to save it half done.
        ET.SubElement(
            constraints, "constraint", field=column, constraints="1", notnull_strength="2", unique_strength="0",
            exp_strength="0",
        )  # fmt: skip
    ET.SubElement(root, "editorlayout").text = "tablayout"
    form = ET.SubElement(root, "attributeEditorForm")
    place = 0
    for group in groups:
        box = ET.SubElement(
            form, "attributeEditorContainer", name=clean(group.title), groupBox="1", columnCount="1", showLabel="1",
            collapsed="0", visibilityExpressionEnabled=str(int(bool(group.shown_if))), visibilityExpression=group.shown_if,
        )  # fmt: skip
        for column in group.columns:
            shown = str(int(column not in group.unnamed))
            ET.SubElement(box, "attributeEditorField", name=column, index=str(place), showLabel=shown)
            place += 1
    fields = ET.SubElement(root, "editable")
    for column in headings:
        ET.SubElement(fields, "field", name=column, editable=str(int(column in editable)))


def add_option(parent: ET.Element, name: str | None, value: "str | int | bool | Options | list[Options]") -> None:
    """Add a setting as QGIS nests them."""
    named = {} if name is None else {"name": name}
    if isinstance(value, Mapping):
        element = ET.SubElement(parent, "Option", {"type": "Map", **named})
        for key, inner in value.items():
            add_option(element, key, inner)
    elif isinstance(value, list):
        element = ET.SubElement(parent, "Option", {"type": "List", **named})
        for inner in value:
            add_option(element, None, inner)
    else:
        kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "QString"
        ET.SubElement(parent, "Option", {"type": kind, "value": str(value).lower() if kind == "bool" else str(value), **named})
