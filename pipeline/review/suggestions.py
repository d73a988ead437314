"""What is suggested to be labelled next: record, layers, form and QGIS project."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from landshift.pipeline.drawing.qgis_file import Layer, LayerGroup, QgisProject, relative_source, write_qgz
from landshift.pipeline.drawing.qgis_form import Box
from landshift.pipeline.drawing.qml import image_qml, outline_qml
from landshift.pipeline.legend import UNCHANGED, LandUse, Legend
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.register.drawings import Drawing, Drawn
from landshift.pipeline.register.reviews import CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD
from landshift.pipeline.register.states import Observation
from landshift.pipeline.review.form import AnswerForm, answer_form_qml, around
from landshift.pipeline.review.layers import REVIEW_DATES, answer_columns
from landshift.pipeline.run_files import IMAGES
from landshift.pipeline.vector.columns import Column, frame_of
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, require_whole, write_layers

SUGGESTION_FILE, PATCH_LAYER, BLOCK_LAYER = "suggestions.gpkg", "suggestions", "blocks"
SUGGESTION_PROJECT, SUGGESTION_RECORD = "suggestions.qgz", "suggestions.json"

BLOCK_COLUMNS = (
    Column("name", "str", "Rank", "Place in the order in which blocks are worth labelling"),
    Column("rank", "int64", "Rank (number)", "The same as a number, from 1"),
    Column("reason", "str", "Why", "What speaks for the block"),
    Column("use", "str", "Expected use", "What its labels are for"),
    Column("doubt", "float64", "Doubt", "Mean doubt of its pixels, 0 to 1"),
    Column("disagreement", "float64", "Disagreement", "Mean disagreement of the methods about its pixels, 0 to 1"),
    Column(
        "novelty", "float64", "Novelty", "Distance of its looks from the nearest block that is labelled or ranks higher, 0 to 1"
    ),
    Column("area_ha", "float64", "Area (ha)", "Hectares of the block"),
)
_PATCH_COLUMNS = (
    Column("place", "int64", "Number", "Place in the order in which the patches are to be judged"),
    Column("change_id", "str", "Patch ID", "Of the patch; do not change it"),
    Column("review_id", "str", "Suggestion", "What the file belongs to; do not change it"),
    Column("rank", "int64", "Block", "Rank of the block that the patch lies in"),
    Column("kind", "str", "Looks", "What the methods take it for, by their mean: changed or unchanged, or in doubt"),
    Column("reason", "str", "Why the block", "What speaks for the block"),
    Column("chance", "float64", "Chance of change", "Mean over the methods and the pixels, 0 to 1; not calibrated"),
    Column("area_ha", "float64", "Area (ha)", "Hectares of the patch"),
    *REVIEW_DATES,
    Column("project", "str", "Project", "Name of the project or region"),
    Column("chip", "str", "Picture", "Picture before and after, relative to this file"),
)
_ABSTRACT = (
    "Patches to label, in the blocks that are worth it most. Start editing the layer (the pencil), open its table (F6) and "
    "switch it to the form view (bottom right): the list on the left goes through the patches, those not judged yet first. "
    "Choose a verdict; date and name fill themselves in. Save, and run landshift suggest --import with the folder."
)
_FROM, _TO = 0.35, 0.65
"""Between these chances of change a patch is in doubt."""


@dataclass(frozen=True)
class SuggestedBlock:
    """A block to label."""

    rank: int
    """From 1, the one to begin with."""
    row: int
    """Row of blocks, from 0."""
    column: int
    """Column of blocks, from 0."""
    reason: str
    """What speaks for it, in words."""
    use: str
    """What its labels are for, in words."""
    doubt: float
    """Mean doubt of its pixels, 0..1."""
    disagreement: float
    """Mean disagreement of its pixels, 0..1."""
    novelty: float
    """Distance of its looks from the nearest block that is labelled or ranks higher, 0..1."""
    area_ha: float
    """Hectares."""
    outline: str
    """Polygon in the CRS of the suggestion, WKT."""


@dataclass(frozen=True)
class SuggestedPatch:
    """Pixels to judge in one go."""

    patch: str
    """Its id, unique within the suggestion."""
    rank: int
    """Of its block."""
    chance: float
    """Mean chance of change over methods and pixels, 0..1."""
    area_ha: float
    """Hectares."""
    outline: str
    """Polygon in the CRS of the suggestion, WKT."""


@dataclass(frozen=True)
class Suggestion:
    """`suggestions.json`: what was given out to be labelled, and why."""

    key: str
    """Unique; the file that is given out holds it."""
    who: str | None
    """Person who gave it out."""
    given_on: date
    """Date."""
    project: str
    """Name of the project or region."""
    before_date: date
    """Of the image before."""
    after_date: date
    """Of the image after."""
    crs: str
    """WKT."""
    legend: tuple[LandUse, ...]
    """Land-use classes; empty in a binary project."""
    block_px: int
    """Side of a block, pixels."""
    methods: tuple[str, ...]
    """Whose disagreement was asked: models, and IR-MAD."""
    labelled: int
    """Blocks that hold labels, and were left out."""
    usable: int
    """Blocks that could be chosen."""
    blocks: tuple[SuggestedBlock, ...]
    """By rank."""
    patches: tuple[SuggestedPatch, ...]
    """In the order in which they are to be judged."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""

    @property
    def drawing(self) -> Drawing:
        """The same as a review is given out."""
        items = tuple(Drawn(p.patch, UNCHANGED, self.key, number) for number, p in enumerate(self.patches))
        return Drawing(
            key=self.key, who=self.who, ranking="suggested", seed=None, states=(), strata=(), items=items,
            drawn_on=str(self.given_on),
        )  # fmt: skip

    @property
    def observation(self) -> Observation:
        """The pair that it is about."""
        return Observation(
            key=self.key, project=self.project, before_date=str(self.before_date), after_date=str(self.after_date), created="",
            model_name="", model_hash="",
        )  # fmt: skip

    @property
    def outlines(self) -> np.ndarray:
        """Polygons of the patches, object (n,)."""
        return np.asarray(shapely.from_wkt([p.outline for p in self.patches]))


def suggestion_columns(*, binary: bool) -> tuple[Column, ...]:
    """Return the columns of the layer `suggestions`, in a project with classes or a binary one."""
    return (*_PATCH_COLUMNS, *answer_columns(binary=binary))


def suggestion_words(legend: Legend) -> dict[str, str]:
    """Return the verdicts to choose from: words in the form to the value stored, of those that reviews know."""
    return {"Changed": CHANGE if legend.binary else OTHER_CLASS, "Not changed": NO_CHANGE, "Cannot be told": UNTOLD}


def suggestion_frame(suggestion: Suggestion, *, binary: bool) -> gpd.GeoDataFrame:
    """Build the table that patches are judged in, answers and pictures null.

    Args:
        suggestion: What is given out.
        binary: Whether the project has no classes.
    """
    reasons = {b.rank: b.reason for b in suggestion.blocks}
    patches = suggestion.patches
    values = {
        "place": np.arange(1, len(patches) + 1), "change_id": [p.patch for p in patches], "review_id": suggestion.key,
        "rank": [p.rank for p in patches], "kind": [_look(p.chance) for p in patches],
        "reason": [reasons[p.rank] for p in patches], "chance": [p.chance for p in patches],
        "area_ha": [p.area_ha for p in patches], "before_date": str(suggestion.before_date),
        "after_date": str(suggestion.after_date), "project": suggestion.project, "chip": None,
        **dict.fromkeys((c.name for c in answer_columns(binary=binary)), None),
    }  # fmt: skip
    return frame_of(values, suggestion_columns(binary=binary), suggestion.outlines, CRS(suggestion.crs))


def _look(chance: float) -> str:
    return "Changed" if chance > _TO else "Unchanged" if chance < _FROM else "In doubt"


def suggestion_form_qml(legend: Legend) -> str:
    """Return the QGIS style and form of the layer `suggestions`: that of reviews, which asks what happened to a patch."""
    form = AnswerForm(
        columns=suggestion_columns(binary=legend.binary), words=suggestion_words(legend),
        shown=Box("The patch", ("rank", "reason", "kind", "chance", "before_date", "after_date", "chip"), ("chip",)),
        instead="What it is (needed for a change, helpful for no change)",
        more=Box("In the suggestion", ("change_id", "area_ha", "project")),
        preview="'block ' || \"rank\" || ', ' || \"kind\"", tip=("place", "rank", "reason", "kind", "verdict"),
    )  # fmt: skip
    return answer_form_qml(legend, form)


def write_suggestions(path: Path, suggestion: Suggestion, frame: gpd.GeoDataFrame, legend: Legend) -> Path:
    """Write the GeoPackage: patches with their form, and the blocks.

    Raises:
        OSError: The file could not be written whole.
    """
    blocks = suggestion.blocks
    known = ("rank", "reason", "use", "doubt", "disagreement", "novelty", "area_ha")
    values = {name: [getattr(b, name) for b in blocks] for name in known} | {"name": [str(b.rank) for b in blocks]}
    outlines = np.asarray(shapely.from_wkt([b.outline for b in blocks]))
    table = frame_of(values, BLOCK_COLUMNS, outlines, CRS(suggestion.crs))
    columns = suggestion_columns(binary=legend.binary)
    with replace_when_done(path) as temporary, require_whole(path):
        write_layers(temporary, [
            StyledLayer(PATCH_LAYER, frame, columns, Style(suggestion_form_qml(legend))),
            StyledLayer(BLOCK_LAYER, table, BLOCK_COLUMNS, Style(_block_qml())),
        ])  # fmt: skip
    return path


def write_suggestion_project(path: Path, folder: Path, suggestion: Suggestion, images: Path) -> Path:
    """Write the QGIS project in which patches are judged, all by relative paths.

    Args:
        path: The `.qgz` to make.
        folder: Where the project and the GeoPackage will lie in the end.
        suggestion: What is given out.
        images: Folder where the display images will lie in the end.

    Raises:
        OSError: It could not be written.
    """
    legend, source = Legend(suggestion.legend), f"./{SUGGESTION_FILE}|layername="
    first = shapely.from_wkt(suggestion.blocks[0].outline).bounds
    days = {"before": suggestion.before_date, "after": suggestion.after_date}
    entries: tuple[Layer | LayerGroup, ...] = (
        Layer("suggestions", "Patches to judge", f"{source}{PATCH_LAYER}", suggestion_form_qml(legend), geometry="Polygon",
              expanded=True),
        Layer("blocks", "Blocks, by rank", f"{source}{BLOCK_LAYER}", _block_qml(), geometry="Polygon"),
        *(Layer(f"image_{epoch}", f"Image {epoch}, {days[epoch]}", relative_source(images / IMAGES[epoch], folder),
                image_qml()) for epoch in ("after", "before")),
    )  # fmt: skip
    project = QgisProject(
        key="suggestions", title="Label next", abstract=_ABSTRACT, created="", crs=suggestion.crs,
        extent=around((first[0], first[1], first[2], first[3])), entries=entries, unfilled_selection=True,
    )  # fmt: skip
    return write_qgz(path, project)


def _block_qml() -> str:
    return outline_qml({c.name: c.alias for c in BLOCK_COLUMNS})
