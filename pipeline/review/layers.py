"""Layer of the changes to review: columns, choices and file."""

from pathlib import Path

import geopandas as gpd

from landshift.pipeline.legend import Legend
from landshift.pipeline.register.reviews import CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD
from landshift.pipeline.vector.columns import Column
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, write_styled_layer

REVIEW_FILE, REVIEW_LAYER = "review.gpkg", "review"

REVIEW_DATES = (
    Column("before_date", "datetime64[s]", "Date before", "Date of the image before of the run that saw it last (UTC)"),
    Column("after_date", "datetime64[s]", "Date after", "Date of the image after of the run that saw it last (UTC)"),
)

_ASKED = Column("verdict", "str", "Verdict", f"{CHANGE}, {NO_CHANGE}, {OTHER_CLASS} or {UNTOLD}; empty where not reviewed yet")
_TRUE_CHANGE = Column(
    "true_change", "str", "What it is instead", "Land-use codes before and after as the reviewer sees them, such as 1>2"
)
_ANSWERS = (
    Column("reviewer", "str", "Reviewer", "Who judged it"),
    Column("reviewed_on", "datetime64[s]", "Reviewed on", "Date on which it was judged"),
    Column("note", "str", "Note", "How you know, or anything to note"),
)
_GIVEN = (
    Column("place", "int64", "Number", "Place in the order in which the changes are to be judged"),
    Column("change_id", "str", "Change ID", "The change in the register; do not change it"),
    Column("review_id", "str", "Review", "The drawing that the register knows this file by; do not change it"),
    Column("kind", "str", "Mapped as", "What was mapped"),
    Column("from_name", "str", "From", "Land use before; null in a project without classes"),
    Column("to_name", "str", "To", "Land use after; Changed in a project without classes"),
    Column("area_ha", "float64", "Area (ha, pixel count)", "Hectares when it was seen last; pixel count"),
    Column(
        "change_probability",
        "float64",
        "Probability of change (as the model gave it)",
        "Mean over its pixels when it was seen last, 0 to 1; calibrated only where the page of that run does not doubt it",
    ),
    Column("state", "str", "State", "State when it was given out"),
    *REVIEW_DATES,
    Column("first_seen", "datetime64[s]", "First seen", "Date after of the pair that saw it first"),
    Column("project", "str", "Project", "Name of the project or region"),
    Column("chip", "str", "Picture", "Picture before and after, relative to this file; null where the run was not there"),
)


def review_columns(*, binary: bool) -> tuple[Column, ...]:
    """Return the columns of the layer `review`, in a project with classes or a binary one."""
    return (*_GIVEN, *answer_columns(binary=binary))


def answer_columns(*, binary: bool) -> tuple[Column, ...]:
    """Return those of them that a reviewer fills in."""
    return (_ASKED, *(() if binary else (_TRUE_CHANGE,)), *_ANSWERS)


def verdict_words(legend: Legend) -> dict[str, str]:
    """Return the verdicts to choose from: words in the form to the value stored."""
    words = {"Change, as mapped": CHANGE, "Not a change": NO_CHANGE, "Change, but of other classes": OTHER_CLASS}
    if legend.binary:
        words.popitem()
    return words | {"Cannot be told": UNTOLD}


def true_changes(legend: Legend) -> dict[str, tuple[int, int]]:
    """Return the other classes to choose from: words to land-use codes before and after; empty in a binary project."""
    changed = {c.name: (c.from_code, c.to_code) for c in legend.changes if c.from_code is not None and c.to_code is not None}
    return changed | {f"{c.name} on both dates": (c.code, c.code) for c in legend.classes}


def pair_text(codes: tuple[int, int]) -> str:
    """Return land-use codes before and after as the file stores them."""
    return f"{codes[0]}>{codes[1]}"


def write_review(path: Path, frame: gpd.GeoDataFrame, qml: str) -> Path:
    """Write the GeoPackage that changes are reviewed in.

    Args:
        path: The `.gpkg` to make.
        frame: From `review_frame`.
        qml: QGIS style with the form, the layer's default.

    Raises:
        InputError: The folder cannot be written to.
        OSError: The file could not be written whole.
    """
    columns = review_columns(binary="true_change" not in frame)
    return write_styled_layer(path, StyledLayer(REVIEW_LAYER, frame, columns, Style(qml)))
