"""The table of plots in three formats: a styled GeoPackage, a CSV for spreadsheets, and GeoJSON for the web."""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import pandas as pd

from landshift.pipeline.drawing.qml import vector_qml
from landshift.pipeline.drawing.sld import vector_sld
from landshift.pipeline.formatting import make_harmless
from landshift.pipeline.legend import Change
from landshift.pipeline.vector.columns import Column
from landshift.pipeline.vector.geopackage import Style
from landshift.pipeline.vector.layer import StyledLayer, require_whole, write_layer, write_layers

PLOTS_LAYER = "plots"
_BYTE_ORDER_MARK = "utf-8-sig"
"""Without it Excel reads UTF-8 as the code page of the computer."""


def write_plots(folder: Path, table: gpd.GeoDataFrame, columns: Sequence[Column], verdicts: Sequence[Change]) -> list[Path]:
    """Write `plots.gpkg`, `plots.csv` and `plots.geojson`; the atomic step is the caller's.

    Args:
        folder: Where to.
        table: From `plot_table`.
        columns: Of it.
        verdicts: Those that occur, for the style.
    """
    headings = {c.name: c.alias for c in columns}
    style = Style(vector_qml(verdicts, "verdict_code", headings), vector_sld(verdicts, "verdict_code", title="Plots"))
    layer = StyledLayer(PLOTS_LAYER, table, columns, style, geometry="MultiPolygon")
    paths = [folder / f"plots.{ending}" for ending in ("gpkg", "csv", "geojson")]
    with require_whole(paths[0]):
        write_layers(paths[0], [layer])
    with require_whole(paths[2]):
        write_layer(paths[2], "GeoJSON", layer)
    texts = {c.name: table[c.name].map(make_harmless, na_action="ignore") for c in columns if c.dtype == "str"}
    plain = pd.DataFrame(table[[c.name for c in columns]]).assign(**texts)
    plain.to_csv(paths[1], index=False, encoding=_BYTE_ORDER_MARK, date_format="%Y-%m-%d", lineterminator="\n")
    return paths
