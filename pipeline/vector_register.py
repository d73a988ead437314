"""The door for vector layers, outward: what changed in a register, what is to be reviewed in it, and the labels from that."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import geopandas as gpd

from pipeline.columns import Column
from pipeline.errors import InputError
from pipeline.geopackage import Style
from pipeline.manifest import replace_when_done
from pipeline.register_columns import CHANGE_COLUMNS, states_qml
from pipeline.review_columns import LABEL_COLUMNS, LABELS_LAYER, REVIEW_LAYER, review_columns
from pipeline.styles import outline_qml
from pipeline.vector_layer import describe_layers, write_layer, written_whole

_LAYER = "changed"
_COLUMNS = (
    Column("what", "str", "What", "The state that the change is in now"),
    Column("was", "str", "Was", "The state that it was in; null where it was not there"),
    *(c for c in CHANGE_COLUMNS if c.name != "state"),
)
_DRIVERS: Mapping[str, str] = {".gpkg": "GPKG", ".geojson": "GeoJSON"}


def require_format(path: Path) -> str:
    """Return the GDAL driver that a file's name asks for.

    Raises:
        InputError: Neither .gpkg nor .geojson.
    """
    if path.suffix.lower() not in _DRIVERS:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(_DRIVERS)}.")
    return _DRIVERS[path.suffix.lower()]


def write_changed(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write what changed in a register, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `changed`, in the CRS of the register, painted by state) or `.geojson` (RFC 7946, WGS 84).
        frame: From `changed_between`; may be empty.

    Raises:
        InputError: The name says neither, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    require_format(path)
    return _write(path, frame, _LAYER, _COLUMNS, states_qml("what", {c.name: c.alias for c in _COLUMNS}))


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
    return _write(path, frame, REVIEW_LAYER, review_columns(binary="true_change" not in frame), qml)


def write_labels(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write labels, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `labels`) or `.geojson`.
        frame: From `review_labels`.

    Raises:
        InputError: The name says neither, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    require_format(path)
    return _write(path, frame, LABELS_LAYER, LABEL_COLUMNS, outline_qml({c.name: c.alias for c in LABEL_COLUMNS}))


def _write(path: Path, frame: gpd.GeoDataFrame, layer: str, columns: Sequence[Column], qml: str) -> Path:
    driver = _DRIVERS[path.suffix.lower()]
    try:
        with replace_when_done(path) as temporary, written_whole(path):
            write_layer(temporary, driver, layer, frame, columns)
            if driver == "GPKG":
                describe_layers(temporary, [(layer, columns, Style(qml, ""))])
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Choose another place with --output.") from error
    return path
