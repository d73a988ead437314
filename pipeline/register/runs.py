"""Runs as the register takes them from their folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from landshift.pipeline.columns import CHANGES_LAYER, NOT_OBSERVED_LAYER
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.states import Observation, View
from landshift.pipeline.run.folder import LAYERS, RUN, legend_of_run, read_run
from landshift.pipeline.vector.read import read_polygons

_TAKEN = ("change_id", "change_code", "to_code", "area_ha", "confidence")
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
    observed_share: float | None
    """Share of its map that both dates observed, 0..1; None where unknown."""


def read_mergeable(folder: Path) -> MergeableRun:
    """Read a run for a register; one that found no change is an observation as well.

    Args:
        folder: As `landshift detect` made it.

    Raises:
        InputError: It is not the folder of a run, a layer or a column is missing, a polygon is broken, or dates, grid, model
            or legend in `run.json` cannot be true.
    """
    facts = read_run(folder)
    try:
        observation, extent = _observation(facts), _extent(facts["grid"])
        legend = legend_of_run(facts)
        share = facts["areas"].get("observed_share")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder / RUN} lacks or garbles what a register needs ({type(error).__name__}: {error}). Make the run again "
            f"with `landshift detect`."
        ) from error
    path = folder / LAYERS
    patches, unseen = read_polygons(path, None, CHANGES_LAYER), read_polygons(path, None, NOT_OBSERVED_LAYER)
    crs = CRS.from_user_input(patches.crs)
    if not crs.equals(CRS.from_user_input(unseen.crs), ignore_axis_order=True):
        raise InputError(f"{path}: its two layers have different CRSs; make the run again with `landshift detect`.")
    hidden = shapely.get_parts(unseen.geometry.to_numpy())
    return MergeableRun(
        folder, View(observation, extent, _patches(path, patches, legend), hidden), legend, crs,
        None if share is None else float(share),
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


def _observation(facts: Mapping[str, Any]) -> Observation:
    before, after = (date.fromisoformat(str(facts[name])[:10]) for name in ("before_date", "after_date"))
    if before >= after:
        raise ValueError(f"the date before is {before}, the date after {after}")
    model = facts["model"]
    names = [n for entry in facts.get("inputs") or () for n in _names_of_scene(entry)]
    key = str(facts["key"])
    if not key:
        raise ValueError("the run has no key")
    return Observation(
        key, str(facts["name"]), str(before), str(after), str(facts.get("created") or ""), str(model["name"]),
        str(model["weights"]), tuple(dict.fromkeys(names)),
    )  # fmt: skip


def _names_of_scene(entry: Mapping[str, Any]) -> Sequence[str]:
    path = PurePosixPath(str(entry["path"]))
    # A scene is a file, or a folder with a file for each band.
    folder = (path.parent.name,) if path.parent.name else ()
    return (str(path), path.name, path.stem, *folder, str(entry.get("hash") or path))


def _extent(grid: Mapping[str, Any]) -> shapely.Polygon:
    width, _, left, _, height, top = (float(v) for v in grid["transform"])
    right, bottom = left + width * int(grid["columns"]), top + height * int(grid["rows"])
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
        name: pd.to_numeric(frame[name], errors="coerce").astype("float64").to_numpy() for name in ("area_ha", "confidence")
    }
    columns = {
        "change_id": [str(v) for v in frame["change_id"]], "change_code": codes,
        "to_code": pd.array([known[c].to_code for c in codes], dtype="Int64"), **numbers,
    }  # fmt: skip
    return gpd.GeoDataFrame(columns, geometry=frame.geometry.to_numpy(), crs=frame.crs)
