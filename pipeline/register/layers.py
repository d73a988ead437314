"""The layer of what changed in a register."""

from pathlib import Path

import geopandas as gpd

from landshift.pipeline.columns import Column
from landshift.pipeline.register.columns import CHANGE_COLUMNS, states_qml
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, write_styled_layer

_LAYER = "changed"

_COLUMNS = (
    Column("what", "str", "What", "The state that the change is in now"),
    Column("was", "str", "Was", "The state that it was in; null where it was not there"),
    *(c for c in CHANGE_COLUMNS if c.name != "state"),
)


def write_changed(path: Path, frame: gpd.GeoDataFrame) -> Path:
    """Write what changed in a register, in one atomic step; an earlier file is replaced.

    Args:
        path: `.gpkg` (layer `changed`, in the CRS of the register, painted by state) or `.geojson` (RFC 7946, WGS 84).
        frame: From `changed_between`; may be empty.

    Raises:
        InputError: The name says neither, or the folder cannot be written to.
        OSError: The file could not be written whole.
    """
    style = Style(states_qml("what", {c.name: c.alias for c in _COLUMNS}))
    return write_styled_layer(path, StyledLayer(_LAYER, frame, _COLUMNS, style))
