"""Value attribute tables: what ArcGIS reads beside a raster of codes, `NAME.tif.vat.dbf`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio.raw

from landshift.pipeline.manifest import scratch_folder
from landshift.pipeline.vector.layer import require_whole

DBASE_OPTIONS: Mapping[str, str] = {"ENCODING": "UTF-8", "DBF_DATE_LAST_UPDATE": "2000-01-01"}
"""Of GDAL; a fixed date, so that the same map gives the same bytes on every day."""
TEXT_BYTES = 254
"""Of a text in dBase."""
_MOST_INT = 2**31


@dataclass(frozen=True)
class ValueRow:
    """One code of a raster."""

    code: int
    """As the raster holds it."""
    pixels: int
    """That hold it."""
    name: str
    """What it stands for."""
    colour: tuple[int, int, int]
    """Red, green and blue, 0..255."""
    area_ha: float
    """Hectares of them."""


def value_table_path(raster: Path) -> Path:
    """Return where ArcGIS looks for the table of a raster."""
    return raster.with_name(f"{raster.name}.vat.dbf")


def write_value_table(raster: Path, rows: Sequence[ValueRow]) -> list[Path]:
    """Write the table of a raster, the table itself last: VALUE, COUNT, NAME, HECTARES, RED, GREEN and BLUE.

    Args:
        raster: The raster beside which it lies.
        rows: One a code that occurs.

    Returns:
        The file that states the encoding (UTF-8), and the table.
    """
    counts = np.array([r.pixels for r in rows], dtype=np.int64)
    # dBase has no integers of 64 bits: ArcGIS reads wide ones as doubles.
    count = counts.astype(np.int32) if counts.max(initial=0) < _MOST_INT else counts.astype(np.float64)
    columns = {
        "VALUE": np.array([r.code for r in rows], dtype=np.int32), "COUNT": count,
        "NAME": np.array([cut_text(r.name) for r in rows], dtype=object),
        "HECTARES": np.array([r.area_ha for r in rows], dtype=np.float64),
        **{band: np.array([r.colour[i] for r in rows], dtype=np.int32) for i, band in enumerate(("RED", "GREEN", "BLUE"))},
    }  # fmt: skip
    path = value_table_path(raster)
    with scratch_folder(path.parent) as scratch, require_whole(path):
        pyogrio.raw.write(
            scratch / path.name, geometry=None, field_data=list(columns.values()), fields=np.array(list(columns), dtype=object),
            driver="ESRI Shapefile", layer_options=dict(DBASE_OPTIONS),
        )  # fmt: skip
        return [(scratch / p.name).replace(p) for p in (path.with_suffix(".cpg"), path)]


def cut_text(text: str) -> str:
    """Return as much of a text as dBase holds, 254 bytes of UTF-8, with an ellipsis where something was cut."""
    content = text.encode()
    if len(content) <= TEXT_BYTES:
        return text
    return content[: TEXT_BYTES - len("…".encode())].decode(errors="ignore") + "…"
