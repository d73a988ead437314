"""QGIS form and project in which changes are reviewed."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landshift.pipeline.drawing.qgis_file import Extent, Layer, LayerGroup, QgisProject, relative_source, write_qgz
from landshift.pipeline.drawing.qgis_form import DATE, HIDDEN, Box, Options, Widget, add_form, add_option, choice, picture, text
from landshift.pipeline.drawing.qml import add_symbol, add_symbol_layer, colour_text, finish_vector, image_qml, vector_root
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.reviews import CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD
from landshift.pipeline.review.layers import (
    REVIEW_FILE,
    REVIEW_LAYER,
    answer_columns,
    pair_text,
    review_columns,
    true_changes,
    verdict_words,
)
from landshift.pipeline.run_files import IMAGES
from landshift.pipeline.vector.columns import Column

_COLOURS: Mapping[str, tuple[str, str]] = {
    "": ("Not reviewed yet", "#f0e442"), CHANGE: ("Change", "#d55e00"), NO_CHANGE: ("Not a change", "#56b4e9"),
    OTHER_CLASS: ("Change of other classes", "#cc79a7"), UNTOLD: ("Cannot be told", "#c8c8c8"),
}  # fmt: skip
"""Verdict to its words in the legend and its colour, of the palette of Okabe and Ito: https://jfly.uni-koeln.de/color/"""

_ABSTRACT = (
    "Changes to be reviewed. Start editing the layer (the pencil), open its table (F6) and switch it to the form view (bottom "
    "right): the list on the left goes through the changes, those not reviewed yet first; Ctrl+J zooms to the one that is "
    "selected. Choose a verdict; date and name fill themselves in. Save, and give the folder to the keeper of the register."
)
_REVIEWED = "coalesce(\"verdict\", '') <> ''"
_MARGIN = 4.0
"""The first change and its surroundings are shown so many times as wide as the change."""


@dataclass(frozen=True)
class RunImages:
    """The images of a run that reviewers can see."""

    title: str
    """Name of the run in the list of layers."""
    key: str
    """Of the run."""
    folder: Path
    """Of the run."""
    dates: tuple[str, str]
    """Of the images before and after."""


def review_form_qml(legend: Legend) -> str:
    """Return the QGIS style and form of the layer `review`: outlines by verdict, and a form that asks in words."""
    mapped = ("kind", "area_ha", "change_probability", "before_date", "after_date", "chip")
    form = AnswerForm(
        columns=review_columns(binary=legend.binary), words=verdict_words(legend),
        shown=Box("The change as it is mapped", mapped, ("chip",)),
        instead="What it is instead (needed for other classes, helpful for no change)",
        more=Box("In the register", ("change_id", "state", "first_seen", "project")),
        preview="\"kind\" || ', ' || round(\"area_ha\", 2) || ' ha'",
        tip=("place", "kind", "area_ha", "before_date", "after_date", "verdict"),
    )  # fmt: skip
    return answer_form_qml(legend, form)


@dataclass(frozen=True)
class AnswerForm:
    """A form that asks for a verdict on a polygon, from top to bottom."""

    columns: tuple[Column, ...]
    """Of the layer; those of `answer_columns` are asked for."""
    words: Mapping[str, str]
    """Verdicts to choose from: words in the form to the value stored."""
    shown: Box
    """What is known of the polygon; it holds `chip`."""
    instead: str
    """Heading of the box that asks for classes, in a project with some."""
    more: Box
    """What stands at the end."""
    preview: str
    """Expression of QGIS for what a row is called in the list, after its number."""
    tip: tuple[str, ...]
    """Columns that the map tip shows."""


def answer_form_qml(legend: Legend, form: AnswerForm) -> str:
    """Return the QGIS style and form of polygons that are judged: outlines by verdict, and a form that asks in words."""
    headings = {c.name: c.alias for c in form.columns}
    answers = [c.name for c in answer_columns(binary=legend.binary)]
    root = vector_root(headings)
    _add_renderer(root, list(form.words.values()))
    widgets: dict[str, Widget] = {
        "chip": picture(604, 300), "review_id": HIDDEN, "verdict": choice("(not reviewed yet)", form.words),
        "true_change": choice("(not given)", {words: pair_text(codes) for words, codes in true_changes(legend).items()}),
        "reviewed_on": DATE, "note": text(lines=True),
    }  # fmt: skip
    groups = [
        form.shown,
        Box("Your verdict", ("verdict",)),
        Box("Who judges, and by what", ("reviewer", "reviewed_on", "note")),
        form.more,
    ]
    # What was chosen for an earlier verdict must not stay behind unseen.
    defaults = {
        "reviewer": f"if({_REVIEWED}, coalesce(nullif(\"reviewer\", ''), nullif(@user_full_name, '')), \"reviewer\")",
        "reviewed_on": f'if({_REVIEWED}, coalesce("reviewed_on", to_date(now())), NULL)',
    }
    if not legend.binary:
        asked = f"coalesce(\"verdict\", '') IN ('{OTHER_CLASS}', '{NO_CHANGE}')"
        groups.insert(2, Box(form.instead, ("true_change",), (), asked))
        defaults["true_change"] = f'if({asked}, "true_change", NULL)'
    add_form(root, list(headings), widgets, groups, editable=answers, defaults=defaults)
    root.set("styleCategories", f"{root.get('styleCategories')}|AttributeTable")
    ET.SubElement(root, "attributetableconfig", sortExpression=f'if({_REVIEWED}, 1000000, 0) + "place"', sortOrder="0")
    preview = f"if({_REVIEWED}, '✓ ', '') || lpad(\"place\", 4, '0') || '  ' || {form.preview}"
    ET.SubElement(root, "previewExpression").text = preview
    return finish_vector(root, headings, form.tip, picture="chip")


def write_review_project(
    path: Path, folder: Path, legend: Legend, runs: Sequence[RunImages], crs: str, first: Extent
) -> Path:  # fmt: skip
    """Write the QGIS project in which changes are reviewed: the changes on top, the images below, all by relative paths.

    Args:
        path: The `.qgz` to make.
        folder: Where the project and `review.gpkg` will lie in the end.
        legend: Of the register.
        runs: Whose images are shown; those of the first are drawn, the others wait for a click.
        crs: Of the register, as WKT.
        first: Of the change that is to be judged first: left, bottom, right, top.

    Raises:
        OSError: It could not be written.
    """
    source = f"./{REVIEW_FILE}|layername={REVIEW_LAYER}"
    entries: list[Layer | LayerGroup] = [
        Layer("review", "Changes to review", source, review_form_qml(legend), geometry="Polygon", expanded=True)
    ]
    for number, run in enumerate(runs):
        images = [
            Layer(
                f"image_{epoch}_{run.key}", f"Image {epoch}, {day}", relative_source(run.folder / IMAGES[epoch], folder),
                image_qml(), visible=number == 0,
            )
            for epoch, day in (("after", run.dates[1]), ("before", run.dates[0]))
            if (run.folder / IMAGES[epoch]).is_file()
        ]  # fmt: skip
        entries.append(LayerGroup(run.title, tuple(images)))
    project = QgisProject(
        key="review", title="Review the changes", abstract=_ABSTRACT, created="", crs=crs,
        extent=around(first), entries=tuple(entries), unfilled_selection=True,
    )  # fmt: skip
    return write_qgz(path, project)


def around(first: Extent) -> Extent:
    """Return what a project shows at first: a square around a polygon's bounds, several times as wide."""
    left, bottom, right, top = first
    x, y, half = (left + right) / 2, (bottom + top) / 2, _MARGIN * max(right - left, top - bottom) / 2
    return x - half, y - half, x + half, y + half


def _add_renderer(root: ET.Element, verdicts: Sequence[str]) -> None:
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr="coalesce(\"verdict\", '')", symbollevels="0", enableorderby="0",
        forceraster="0",
    )  # fmt: skip
    listed, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, verdict in enumerate(["", *verdicts]):
        label, colour = _COLOURS[verdict]
        category = ET.SubElement(listed, "category", symbol=str(index), value=verdict, label=label)
        category.attrib |= {"type": "string", "render": "true"}
        symbol = add_symbol(symbols, str(index), "fill")
        # On a dark casing, to be seen on bright and dark ground; nothing covers the change itself.
        for pen, width in ((colour_text("#141414"), 0.9), (colour_text(colour), 0.45)):
            options = {
                "style": "no", "outline_color": pen, "outline_style": "solid", "outline_width": str(width),
                "outline_width_unit": "MM", "joinstyle": "bevel",
            }  # fmt: skip
            add_symbol_layer(symbol, "SimpleFill", options)
            wider: Options = {"outlineWidth": {"active": True, "expression": f"{width} * if(is_selected(), 2, 1)", "type": 3}}
            properties: Options = {"name": "", "type": "collection", "properties": wider}
            add_option(ET.SubElement(symbol[-1], "data_defined_properties"), None, properties)
