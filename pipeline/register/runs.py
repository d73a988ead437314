"""Runs as the register takes them from their folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.states import Observation, View
from landshift.pipeline.run_files import CHANGES, RUN
from landshift.pipeline.vector.columns import CHANGES_LAYER, NOT_OBSERVED_LAYER

if TYPE_CHECKING:
    from landshift.pipeline.run.record import InputFile, MapGrid, RunRecord

_TAKEN = ("change_id", "change_code", "to_code", "area_ha", "change_probability")
"""Columns of the changes that the register takes; the rest follows from the legend and `run.json`."""


@dataclass(frozen=True, eq=False)
class MergeableRun:
    """A run that can be merged."""

    folder: Path
    """Where it was read from, for messages."""
    view: View
    """What it saw."""
    legend: Legend
    """Its classes."""
    crs: CRS
    """Of its map."""
    observed_share: float
    """Share of its map that both dates observed, 0..1."""


def read_mergeable(folder: Path) -> MergeableRun:
    """Read a run for a register; one that found no change is an observation as well.

    Args:
        folder: As `landshift detect` made it.

    Raises:
        InputError: It is not the folder of a run, a layer or a column is missing, a polygon is broken, or dates, grid, model
            or legend in `run.json` cannot be true.
    """
    # Records of runs know scores, and SciPy with them, which a look into a register can do without.
    from landshift.pipeline.run.record import read_run
    from landshift.pipeline.vector.read import read_polygons

    record = read_run(folder)
    try:
        observation, extent, legend = _observation(record), _extent(record.grid), Legend(record.legend)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{folder / RUN}: {error}. Make the run again with `landshift detect`.") from error
    path = folder / CHANGES
    patches, unseen = read_polygons(path, None, CHANGES_LAYER), read_polygons(path, None, NOT_OBSERVED_LAYER)
    crs = CRS.from_user_input(patches.crs)
    if not crs.equals(CRS.from_user_input(unseen.crs), ignore_axis_order=True):
        raise InputError(f"{path}: its two layers have different CRSs; make the run again with `landshift detect`.")
    hidden = shapely.get_parts(unseen.geometry.to_numpy())
    return MergeableRun(
        folder, View(observation, extent, _patches(path, patches, legend), hidden), legend, crs,
        observed_share=record.areas.observed_share,
    )  # fmt: skip


def require_fit(run: MergeableRun, crs: CRS, legend: Legend, where: str) -> None:
    """Refuse a run whose polygons or codes would mean something else in this register.

    Raises:
        InputError: Another CRS, or another legend.
    """
    if not crs.equals(run.crs, ignore_axis_order=True):
        raise InputError(
            f"{run.folder} has the CRS {run.crs.name}, and {where} has {crs.name}: a register has one. Detect in the "
            f"register's CRS, or keep another register for this one."
        )
    ours, theirs = ([f"{c.code} {c.name}" for c in entry.classes] for entry in (legend, run.legend))
    if ours != theirs:
        raise InputError(
            f"{run.folder} has the legend {', '.join(theirs) or 'changed or unchanged'}, and {where} has "
            f"{', '.join(ours) or 'changed or unchanged'}: the same code would mean two things. Keep another register for it."
        )


def _observation(run: "RunRecord") -> Observation:
    if run.before_date >= run.after_date:
        raise ValueError(f"the date before is {run.before_date}, the date after {run.after_date}")
    if not run.key:
        raise ValueError("the run has no key")
    names = [n for entry in run.inputs for n in _names_of_scene(entry)]
    # Ids of scenes, which of a catalog are those of its items.
    names += [str(m["scene"]) for masks in run.clouds.values() for m in masks if isinstance(m.get("scene"), str)]
    return Observation(
        run.key, run.name, str(run.before_date), str(run.after_date), created=run.created, model_name=run.mapper,
        model_hash=run.mapper_hash,
        scenes=tuple(dict.fromkeys(names)), min_area_ha=run.min_area_ha,
        pixel_size=abs(run.grid.transform[0]),
    )  # fmt: skip


def _names_of_scene(entry: "InputFile") -> Sequence[str]:
    path = PurePosixPath(entry.path)
    # A scene is a file, or a folder with a file for each band.
    folder = (path.parent.name,) if path.parent.name else ()
    return (str(path), path.name, path.stem, *folder, entry.hash)


def _extent(grid: "MapGrid") -> shapely.Polygon:
    width, _, left, _, height, top = grid.transform
    right, bottom = left + width * grid.columns, top + height * grid.rows
    if not (np.isfinite([left, top, right, bottom]).all() and right > left and top > bottom):
        raise ValueError("its grid has no area")
    return shapely.box(left, bottom, right, top)


def _patches(path: Path, frame: gpd.GeoDataFrame, legend: Legend) -> gpd.GeoDataFrame:
    missing = [name for name in _TAKEN if name not in frame]
    if missing:
        raise InputError(f"{path}, layer {CHANGES_LAYER!r}, lacks {', '.join(missing)}; make the run again.")
    known = {c.code: c for c in legend.changes if c.code >= 2}
    code = pd.to_numeric(frame["change_code"], errors="coerce")
    wrong = ~code.isin(list(known)).to_numpy() | frame["change_id"].isna().to_numpy()
    several = (frame.geom_type != "Polygon").to_numpy()
    if wrong.any() or several.any():
        number = int(np.flatnonzero(wrong | several)[0]) + 1
        raise InputError(
            f"{path}, layer {CHANGES_LAYER!r}: feature number {number} has no id, a change code that the legend does not "
            f"have, or several parts. It was edited; make the run again, or copy it again."
        )
    codes = code.astype("int64").to_list()
    numbers = {
        name: pd.to_numeric(frame[name], errors="coerce").astype("float64").to_numpy()
        for name in ("area_ha", "change_probability")
    }
    columns = {
        "change_id": [str(v) for v in frame["change_id"]], "change_code": codes,
        "to_code": pd.array([known[c].to_code for c in codes], dtype="Int64"), **numbers,
    }  # fmt: skip
    return gpd.GeoDataFrame(columns, geometry=frame.geometry.to_numpy(), crs=frame.crs)
