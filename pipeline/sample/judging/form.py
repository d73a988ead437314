"""The form in QGIS in which an interpreter judges sampled pixels, and the project around it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path

from landshift.pipeline.drawing.qgis_file import Extent, Layer, QgisProject, relative_source, write_qgz
from landshift.pipeline.drawing.qgis_form import (
    DATE,
    HIDDEN,
    Box,
    Options,
    Widget,
    add_form,
    add_option,
    choice,
    picture,
    text,
)
from landshift.pipeline.drawing.qml import add_symbol, add_symbol_layer, colour_text, finish_vector, image_qml, vector_root
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import CHANGED, UNCHANGED, Legend
from landshift.pipeline.sample.references import UNTOLD

SAMPLES_FILE, SAMPLES_LAYER = "samples.gpkg", "samples"

_LABELLED, _WAITING = "#56b4e9", "#f0e442"
"""Sky blue and yellow of the palette of Okabe and Ito, both seen on dark forests: https://jfly.uni-koeln.de/color/"""
_ABSTRACT = (
    "Only selected samples are drawn: the pattern of all of them would give the map away, and an interpreter who has seen it "
    "no longer judges blindly. Open the table of the samples (F6), select one by the number of its row, zoom to it (Ctrl+J), "
    "and fill in its form with what it shows on both dates. The square is the sampled pixel. Select no more than one at a time."
)
_FIXED = ("sample_id", "run_id", "row", "column", "chip")
"""Columns that identify the pixel, not to be changed."""


def answers(legend: Legend) -> dict[str, dict[str, int]]:
    """Return the possible answers: column to name and code, the last of which is 0 for land use that is not recognisable."""
    told = {"Unchanged": UNCHANGED, "Changed": CHANGED} if legend.binary else {c.name: c.code for c in legend.classes}
    untold = "Cannot be told"
    while untold in told:
        untold = f"({untold})"
    columns = ("reference_change",) if legend.binary else ("reference_before", "reference_after")
    return {column: told | {untold: UNTOLD} for column in columns}


def sample_form_qml(legend: Legend, pixel_size: float = 10.0, dates: tuple[str, str] | None = None) -> str:
    """Return the QGIS style and form of the layer `samples`.

    The form shows the pictures of a sample, and asks for the land use before and after in words, or for what happened in
    a binary project. The map's answer is not in it: an interpreter must not know it. For the same reason, only selected
    samples are drawn: more of them lie where the map has changes, so all at once draw the map.

    Args:
        legend: The project's legend.
        pixel_size: Side of a pixel in units of the map, drawn as a square around each point.
        dates: Of the images before and after, as they stand in the form; left out where None.
    """
    asked = answers(legend)
    headings = _headings(asked, dates)
    root = vector_root(headings, labels=True)
    _add_renderer(root, asked, pixel_size)
    _add_labels(root)
    add_form(
        root, list(headings), {column: _widget(column, asked) for column in headings}, _groups(asked, dates),
        editable=[column for column in headings if column not in _FIXED], wanted=list(asked),
    )  # fmt: skip
    ET.SubElement(root, "previewExpression").text = '"sample_id"'
    return finish_vector(root, headings, tip=("sample_id", *asked, "interpreter", "remarks"))


def write_sample_project(
    path: Path, folder: Path, legend: Legend, images: Mapping[str, Path], grid: Grid, crs: str | None,
    dates: tuple[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write the QGIS project in which a sample is judged: the samples on top, the images below, all by relative paths.

    Args:
        path: The `.qgz` to make.
        folder: Where the project and `samples.gpkg` will lie in the end.
        legend: The project's legend.
        images: `before` and `after` to the image of that date; one that is missing is left out.
        grid: Where the pixels of the map are.
        crs: Of the grid, as WKT; a project without one shows the layers in their own CRS.
        dates: Of the images before and after, for the names of the layers and the form; left out where None.

    Returns:
        The project file.

    Raises:
        OSError: It could not be written.
    """
    box = grid.boundingbox
    extent: Extent = (box.left, box.bottom, box.right, box.top)
    qml = sample_form_qml(legend, abs(float(grid.transform.a)), dates)
    source = f"./{SAMPLES_FILE}|layername={SAMPLES_LAYER}"
    layers = [Layer("samples", "Samples to judge (the selected one is drawn)", source, qml, geometry="Point", expanded=True)]
    for number, epoch in ((1, "after"), (0, "before")):
        image = images.get(epoch)
        if image is not None and image.is_file():
            name = f"Image {epoch}" if dates is None else f"Image {epoch}, {dates[number]}"
            layers.append(Layer(f"image_{epoch}", name, relative_source(image, folder), image_qml()))
    project = QgisProject(
        key="sample", title="Judge the samples", abstract=_ABSTRACT, created="", crs=crs or "", extent=extent,
        entries=tuple(layers), unfilled_selection=True,
    )  # fmt: skip
    return write_qgz(path, project)


def _headings(asked: Iterable[str], dates: tuple[str, str] | None) -> dict[str, str]:
    """Columns of the layer to what the form and the table call them."""
    before, after = ("", "") if dates is None else (f" ({day})" for day in dates)
    between = "" if dates is None else f" ({dates[0]} to {dates[1]})"
    questions = {
        "reference_before": f"Land use before{before}", "reference_after": f"Land use after{after}",
        "reference_change": f"What happened{between}",
    }  # fmt: skip
    return {
        "sample_id": "Sample", "run_id": "Run", "row": "Row", "column": "Column",
        "chip": f"Picture before{before} | after{after}", **{column: questions[column] for column in asked},
        "interpreter": "Interpreter", "reference_date": "Judged from an image or visit of", "remarks": "Remarks",
    }  # fmt: skip


def _add_renderer(root: ET.Element, asked: Iterable[str], pixel_size: float) -> None:
    renderer = ET.SubElement(root, "renderer-v2", type="RuleRenderer", symbollevels="0", enableorderby="0", forceraster="0")
    rules, symbols = ET.SubElement(renderer, "rules", key="samples"), ET.SubElement(renderer, "symbols")
    # A rule's filter also keeps the labels of what it leaves out off the map, and it cannot be pointed at.
    done = " AND ".join(f'"{column}" IS NOT NULL' for column in asked)
    kinds = (("Judged", done, _LABELLED), ("Not judged yet", f"NOT ({done})", _WAITING))
    for index, (label, condition, colour) in enumerate(kinds):
        shown = f"is_selected() AND {condition}"
        ET.SubElement(rules, "rule", key=f"sample{index}", symbol=str(index), label=label, filter=shown)
        symbol = add_symbol(symbols, str(index), "marker")
        ring = {"name": "circle", "size": "5", "size_unit": "MM"}
        pixel = {"name": "square", "size": f"{pixel_size:.10g}", "size_unit": "MapUnit"}
        # Each on a dark casing, to be seen on bright and dark ground; nothing covers the pixel itself.
        for shape in (ring, pixel):
            _add_outline(symbol, shape, "20,20,20,255", 0.9)
            _add_outline(symbol, shape, colour_text(colour), 0.4)


def _add_outline(symbol: ET.Element, shape: Mapping[str, str], colour: str, width: float) -> None:
    """Add the outline of a shape to a marker.

    QGIS fills what is selected with the selection's colour, which the project makes transparent. A simple marker would lose
    its outline too; that of a filled marker keeps its colour, but only a width that is computed holds for what is selected.
    """
    add_symbol_layer(symbol, "FilledMarker", shape)
    fill = add_symbol(symbol[-1], f"@{symbol.get('name')}@{len(symbol) - 1}", "fill")
    outline = {"outline_style": "solid", "outline_color": colour, "outline_width": str(width), "outline_width_unit": "MM"}
    add_symbol_layer(fill, "SimpleFill", {"style": "no", **outline})
    computed: Options = {"outlineWidth": {"active": True, "expression": str(width), "type": 3}}
    properties: Options = {"name": "", "type": "collection", "properties": computed}
    add_option(ET.SubElement(fill[-1], "data_defined_properties"), None, properties)


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


def _widget(column: str, asked: Mapping[str, Mapping[str, int]]) -> Widget:
    """Return QGIS's widget for a column."""
    if column in asked:
        return choice("(not judged yet)", {name: str(code) for name, code in asked[column].items()})
    if column in ("run_id", "row", "column"):
        return HIDDEN
    return {"chip": picture(), "reference_date": DATE}.get(column, text(lines=column == "remarks"))


def _groups(asked: Iterable[str], dates: tuple[str, str] | None) -> list[Box]:
    title = "Sample" if dates is None else f"Sample, {dates[0]} | {dates[1]}"
    return [
        Box(title, ("sample_id", "chip"), unnamed=("chip",)),
        Box("What the pixel in the middle shows", tuple(asked)),
        Box("How you know", ("interpreter", "reference_date", "remarks")),
    ]
