"""The form in QGIS with which a person says what a sampled pixel shows, and the project around it."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.grid import Grid
from pipeline.legend import CHANGED, UNCHANGED, Legend
from pipeline.qgis_file import Extent, Layer, Project, write_qgz
from pipeline.qml import add_symbol, add_symbol_layer, colour_text, finish_vector, vector_root
from pipeline.styles import image_qml
from pipeline.symbols import clean

SAMPLES_FILE, SAMPLES_LAYER = "samples.gpkg", "samples"

_NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""What QGIS stands for NULL with in lists of values."""
_LABELLED, _WAITING = "#56b4e9", "#f0e442"
"""Sky blue and yellow of the palette of Okabe and Ito, both seen on dark forests: https://jfly.uni-koeln.de/color/"""
_FOLDER = r"regexp_replace(layer_property(@layer_id, 'source'), '[^/\\\\]*$', '')"
"""Expression for the folder of the samples, from which pictures are found whatever project the layer is opened in."""

_HEADINGS = {
    "sample_id": "Sample", "run_id": "Run", "row": "Row", "column": "Column", "chip": "Picture before | after",
    "reference_before": "Land use before", "reference_after": "Land use after", "reference_change": "What happened",
    "interpreter": "Interpreter", "reference_date": "Judged from an image or visit of", "remarks": "Remarks",
}  # fmt: skip
_FIXED = ("sample_id", "run_id", "row", "column", "chip")
"""Columns that say which pixel it is; nobody should change them."""

Options = Mapping[str, "str | int | bool | Options | list[Options]"]
"""Settings as QGIS nests them."""


def answers(legend: Legend) -> dict[str, dict[str, int]]:
    """Return what an interpreter can say: column to name and code."""
    if legend.binary:
        return {"reference_change": {"Unchanged": UNCHANGED, "Changed": CHANGED}}
    classes = {c.name: c.code for c in legend.classes}
    return {"reference_before": classes, "reference_after": classes}


def sample_form_qml(legend: Legend, pixel_size: float = 10.0) -> str:
    """Return the QGIS style and form of the layer `samples`.

    The form shows the pictures of a sample, and asks for the land use before and after in words, or for what happened in
    a binary project. What the map says is not in it: who judges a sample must not know.

    Args:
        legend: The project's legend.
        pixel_size: Side of a pixel in units of the map, drawn as a square around each point.
    """
    asked = answers(legend)
    headings = {name: text for name, text in _HEADINGS.items() if not name.startswith("reference_") or name in asked}
    headings["reference_date"] = _HEADINGS["reference_date"]
    root = vector_root(headings, labels=True)
    root.set("styleCategories", f"{root.get('styleCategories')}|Forms")
    _add_renderer(root, asked, pixel_size)
    _add_labels(root)
    widgets = ET.SubElement(root, "fieldConfiguration")
    for column in headings:
        kind, options = _widget(column, asked)
        widget = ET.SubElement(ET.SubElement(widgets, "field", name=column, configurationFlags="None"), "editWidget", type=kind)
        _add_option(ET.SubElement(widget, "config"), None, options)
    constraints = ET.SubElement(root, "constraints")
    for column in asked:
        # Soft: a sample can be left for later, and says so; a hard one would refuse to save it half done.
        ET.SubElement(
            constraints,
            "constraint",
            field=column,
            constraints="1",
            notnull_strength="2",
            unique_strength="0",
            exp_strength="0",
        )
    _add_form(root, asked)
    editable = ET.SubElement(root, "editable")
    for column in headings:
        ET.SubElement(editable, "field", name=column, editable=str(int(column not in _FIXED)))
    ET.SubElement(root, "previewExpression").text = '"sample_id"'
    return finish_vector(root, headings, tip=("sample_id", *asked, "interpreter", "remarks"))


def write_sample_project(
    path: Path, folder: Path, legend: Legend, images: Mapping[str, Path], grid: Grid, crs: str | None
) -> Path:
    """Write the QGIS project in which a sample is judged: the samples on top, the images below, all by relative paths.

    Args:
        path: The `.qgz` to make.
        folder: Where the project and `samples.gpkg` will lie in the end.
        legend: The project's legend.
        images: `before` and `after` to the image of that date; one that is missing is left out.
        grid: Where the pixels of the map are.
        crs: Of the grid, as WKT; a project without one shows the layers where their own CRS says.

    Returns:
        The project file.

    Raises:
        OSError: It could not be written.
    """
    box = grid.boundingbox
    extent: Extent = (box.left, box.bottom, box.right, box.top)
    qml = sample_form_qml(legend, abs(float(grid.transform.a)))
    layers = [Layer("samples", "Samples to judge", f"./{SAMPLES_FILE}|layername={SAMPLES_LAYER}", qml, "Point", expanded=True)]
    for epoch in ("after", "before"):
        image = images.get(epoch)
        if image is not None and image.is_file():
            layers.append(Layer(f"image_{epoch}", f"Image {epoch}", _relative(image, folder), image_qml()))
    project = Project(
        key="sample", title="Judge the samples",
        abstract="Open the table or click a sample, and say what it shows on both dates. The squares are the sampled pixels.",
        created="", crs=crs or "", extent=extent, entries=tuple(layers),
    )  # fmt: skip
    return write_qgz(path, project)


def _relative(path: Path, folder: Path) -> str:
    found = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return found if found.startswith(".") else f"./{found}"


def _add_renderer(root: ET.Element, asked: Iterable[str], pixel_size: float) -> None:
    renderer = ET.SubElement(root, "renderer-v2", type="RuleRenderer", symbollevels="0", enableorderby="0", forceraster="0")
    rules, symbols = ET.SubElement(renderer, "rules", key="samples"), ET.SubElement(renderer, "symbols")
    done = " AND ".join(f'"{column}" IS NOT NULL' for column in asked)
    kinds = (("Judged", f"({done})", _LABELLED), ("Not judged yet", f"NOT ({done})", _WAITING))
    for index, (label, condition, colour) in enumerate(kinds):
        ET.SubElement(rules, "rule", key=f"sample{index}", symbol=str(index), label=label, filter=condition)
        symbol = add_symbol(symbols, str(index), "marker")
        outline = {"color": "0,0,0,0", "outline_style": "solid", "outline_width_unit": "MM"}
        ring = outline | {"name": "circle", "size": "5", "size_unit": "MM"}
        pixel = outline | {"name": "square", "size": f"{pixel_size:.10g}", "size_unit": "MapUnit"}
        # Each on a dark casing, to be seen on bright and dark ground; nothing covers the pixel itself.
        for shape, width in ((ring, 0.4), (pixel, 0.4)):
            dark = {"outline_color": "20,20,20,255", "outline_width": str(width + 0.5)}
            add_symbol_layer(symbol, "SimpleMarker", shape | dark)
            add_symbol_layer(
                symbol, "SimpleMarker", shape | {"outline_color": colour_text(colour), "outline_width": str(width)}
            )


def _add_labels(root: ET.Element) -> None:
    settings = ET.SubElement(ET.SubElement(root, "labeling", type="simple"), "settings")
    style = ET.SubElement(
        settings, "text-style", fieldName="sample_id", isExpression="0", fontSize="8", fontSizeUnit="Point",
        fontFamily="Open Sans", fontWeight="75", textColor="20,20,20,255", textOpacity="1",
    )  # fmt: skip
    ET.SubElement(
        style, "text-buffer", bufferDraw="1", bufferSize="0.7", bufferSizeUnits="MM", bufferColor="255,255,255,255",
        bufferOpacity="0.85", bufferNoFill="1",
    )  # fmt: skip
    ET.SubElement(settings, "placement", placement="6", dist="3", distUnits="MM")
    ET.SubElement(settings, "rendering", drawLabels="1", obstacle="0")


def _widget(column: str, asked: Mapping[str, Mapping[str, int]]) -> tuple[str, Options]:
    """Kind of QGIS's widget for a column, and its settings."""
    if column in asked:
        listed: list[Options] = [{"(not judged yet)": _NULL}]
        listed += [{clean(name): str(code)} for name, code in asked[column].items()]
        return "ValueMap", {"map": listed}
    if column == "chip":
        return "ExternalResource", {
            "DocumentViewer": 1, "DocumentViewerHeight": 0, "DocumentViewerWidth": 0, "FileWidget": False,
            "FileWidgetButton": False, "FileWidgetFilter": "", "RelativeStorage": 2, "StorageMode": 0, "StorageType": "",
            "PropertyCollection": {
                "name": "", "type": "collection",
                "properties": {"propertyRootPath": {"active": True, "expression": _FOLDER, "type": 3}},
            },
        }  # fmt: skip
    if column == "reference_date":
        return "DateTime", {
            "allow_null": True, "calendar_popup": True, "display_format": "yyyy-MM-dd", "field_format": "yyyy-MM-dd",
            "field_iso_format": False,
        }  # fmt: skip
    if column in ("run_id", "row", "column"):
        return "Hidden", {}
    return "TextEdit", {"IsMultiline": column == "remarks", "UseHtml": False}


def _add_option(parent: ET.Element, name: str | None, value: "str | int | bool | Options | list[Options]") -> None:
    named = {} if name is None else {"name": name}
    if isinstance(value, Mapping):
        element = ET.SubElement(parent, "Option", {"type": "Map", **named})
        for key, inner in value.items():
            _add_option(element, key, inner)
    elif isinstance(value, list):
        element = ET.SubElement(parent, "Option", {"type": "List", **named})
        for inner in value:
            _add_option(element, None, inner)
    else:
        kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "QString"
        ET.SubElement(parent, "Option", {"type": kind, "value": str(value).lower() if kind == "bool" else str(value), **named})


def _add_form(root: ET.Element, asked: Iterable[str]) -> None:
    ET.SubElement(root, "editorlayout").text = "tablayout"
    form = ET.SubElement(root, "attributeEditorForm")
    groups = {
        "Sample": ("sample_id", "chip"),
        "What the pixel in the middle shows": tuple(asked),
        "How you know": ("interpreter", "reference_date", "remarks"),
    }
    place = 0
    for title, columns in groups.items():
        box = ET.SubElement(
            form, "attributeEditorContainer", name=title, groupBox="1", columnCount="1", showLabel="1", collapsed="0",
            visibilityExpressionEnabled="0", visibilityExpression="",
        )  # fmt: skip
        for column in columns:
            ET.SubElement(box, "attributeEditorField", name=column, index=str(place), showLabel=str(int(column != "chip")))
            place += 1
