"""Reviews as labels, in the form that training reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import CRS

from landshift.pipeline.drawing.qml import outline_qml
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.reviews import NO_CHANGE, Review
from landshift.pipeline.register.states import Observation
from landshift.pipeline.review.layers import REVIEW_DATES
from landshift.pipeline.vector.columns import Column, frame_of
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, write_styled_layer
from landshift.pipeline.vector.read import read_polygons

LABEL_COLUMNS = (
    Column("before", "str", "Land use before", "Class before; null where the reviewer gave none"),
    Column("after", "str", "Land use after", "Class after; null where the reviewer gave none"),
    Column("change", "str", "Change", "changed or unchanged"),
    Column("region", "str", "Region", "Name of the project or region"),
    *REVIEW_DATES,
    Column("change_id", "str", "Change ID", "The change in the register"),
    Column("reviewer", "str", "Reviewer", "Who judged it"),
    Column("reviewed_on", "datetime64[s]", "Reviewed on", "Date on which it was judged"),
    Column("reason", "str", "Reason", "What the reviewer noted"),
)
"""Of the labels that reviews become."""


def review_labels(
    reviews: Sequence[Review], polygons: np.ndarray, runs: Mapping[str, Observation], legend: Legend, crs: CRS
) -> gpd.GeoDataFrame:
    """Return labels of the polygons that were reviewed.

    A change is labelled with its classes before and after. What is not a change is labelled as unchanged, with a class only
    where the reviewer gave one: that the map called it Forest before does not prove it.

    Args:
        reviews: That count, each with its run and patch.
        polygons: (n) of these patches.
        runs: The runs by key.
        legend: Of the register.
        crs: Of the polygons.

    Returns:
        `LABEL_COLUMNS` and polygons.
    """
    names = {c.code: c.name for c in legend.classes}
    seen = [runs[str(r.run)] for r in reviews]
    values = {
        "before": [names.get(r.before_code or 0) for r in reviews], "after": [names.get(r.after_code or 0) for r in reviews],
        "change": ["unchanged" if r.verdict == NO_CHANGE else "changed" for r in reviews],
        "region": [o.project for o in seen], "before_date": [o.before_date for o in seen],
        "after_date": [o.after_date for o in seen], "change_id": [r.change_id for r in reviews],
        "reviewer": [r.who for r in reviews], "reviewed_on": [r.reviewed_on for r in reviews],
        "reason": [r.note or None for r in reviews],
    }  # fmt: skip
    return frame_of(values, LABEL_COLUMNS, polygons, crs)


def add_labels(path: Path, fresh: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return labels beside those that a file holds; a polygon that is in both has the new label.

    Args:
        path: Of an earlier `write_labels`; it need not be there.
        fresh: From `review_labels`.

    Returns:
        `LABEL_COLUMNS` and polygons in the CRS of `fresh`, the earlier ones first.

    Raises:
        InputError: The file cannot be read, or holds other columns, which would be lost.
    """
    if not path.exists():
        return fresh
    earlier = read_polygons(path, fresh.crs)
    ours = [c.name for c in LABEL_COLUMNS]
    found = [str(name) for name in earlier.columns if name != earlier.geometry.name]
    wrong = [f"lacks the column {name!r}" for name in ours if name not in found]
    wrong += [f"has a column {name!r}" for name in found if name not in ours]
    if wrong:
        raise InputError(
            f"{path} {wrong[0]}, so it was not written by Landshift: choose another file, and put both together in QGIS "
            f"(Vector, Data Management Tools, Merge Vector Layers)."
        )
    kept = earlier[~earlier["change_id"].isin(set(fresh["change_id"]))]
    parts = [part for part in (kept, fresh) if len(part)]
    values = {c.name: np.concatenate([part[c.name].astype(object) for part in parts]) for c in LABEL_COLUMNS}
    for column in LABEL_COLUMNS:
        if column.dtype.startswith("datetime"):
            values[column.name] = pd.to_datetime(values[column.name], utc=True).tz_localize(None)
    return frame_of(values, LABEL_COLUMNS, np.concatenate([part.geometry.to_numpy() for part in parts]), CRS(fresh.crs))


def write_labels(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write labels, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `labels`) or `.geojson`.
        frame: From `review_labels`.

    Raises:
        InputError: The name has another ending, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    style = Style(outline_qml({c.name: c.alias for c in LABEL_COLUMNS}))
    return write_styled_layer(path, StyledLayer("labels", frame, LABEL_COLUMNS, style))
