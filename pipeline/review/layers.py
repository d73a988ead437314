"""The layers of a review: changes to be judged, and the labels made from the verdicts."""

from pathlib import Path

import geopandas as gpd

from landshift.pipeline.drawing.qml import outline_qml
from landshift.pipeline.review.columns import LABEL_COLUMNS, LABELS_LAYER, REVIEW_LAYER, review_columns
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, write_styled_layer


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


def write_labels(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write labels, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `labels`) or `.geojson`.
        frame: From `review_labels`.

    Raises:
        InputError: The name says neither, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    style = Style(outline_qml({c.name: c.alias for c in LABEL_COLUMNS}))
    return write_styled_layer(path, StyledLayer(LABELS_LAYER, frame, LABEL_COLUMNS, style))
