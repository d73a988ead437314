"""Sample points: the table that an interpreter fills in, as it is made and as it comes back."""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name, crs_of
from landshift.pipeline.legend import Legend
from landshift.pipeline.sample.draw import Sample, sample_ids
from landshift.pipeline.sample.estimates import MapFacts
from landshift.pipeline.sample.record import Estimates, Judging
from landshift.pipeline.sample.references import References
from landshift.pipeline.vector.columns import (
    AREA_ESTIMATE_COLUMNS,
    SAMPLE_COLUMNS,
    SAMPLES_LAYER,
    Column,
    frame_of,
    labelling_columns,
    necessary_columns,
)
from landshift.pipeline.vector.read import read_frame


def read_samples(path: Path) -> gpd.GeoDataFrame:
    """Read a sample that was judged, from the labelling file itself or from what QGIS saved it as.

    Args:
        path: GeoPackage, FlatGeobuf, GeoJSON or Shapefile (whose shortened names of columns are understood).

    Returns:
        As from `restore_columns`, in the file's CRS.

    Raises:
        InputError: The file cannot be read; it holds no points, or something else; a column is missing, or holds what
            is no whole number.
    """
    return restore_columns(read_frame(path, None, "sample points", preferred=SAMPLES_LAYER)[1], str(path))


_LONGEST_SHORT_NAME = 10
"""Letters of a column in a Shapefile."""
_MOVED_PX = 0.5
"""Pixels from which a point lies on another one."""


def sample_frame(sample: Sample, grid: Grid, legend: Legend, *, run_id: str, first: int = 1) -> gpd.GeoDataFrame:
    """Build the table that a sample is judged in; without the map's answers, which would lead the interpreter.

    Args:
        sample: The drawn pixels, in the order in which they are to be judged.
        grid: Where the pixels are.
        legend: The project's legend.
        run_id: Key of the run.
        first: Number of the first one; above 1 where they were added to others.

    Returns:
        `labelling_columns`, all to be judged null, and the centres of the pixels in the grid's CRS.
    """
    rows, columns = sample.rows, sample.columns
    ids = sample_ids(len(rows), first)
    known = {"sample_id": ids, "run_id": run_id, "row": rows, "column": columns, "chip": [f"chips/{i}.png" for i in ids]}
    chosen = labelling_columns(binary=legend.binary)
    t = grid.transform
    points = shapely.points(t.c + (np.asarray(columns) + 0.5) * t.a, t.f + (np.asarray(rows) + 0.5) * t.e)
    return frame_of({c.name: known.get(c.name) for c in chosen}, chosen, points, crs_of(grid))


def require_in_place(judged: gpd.GeoDataFrame, grid: Grid) -> None:
    """Refuse points that no longer lie on the pixels that their rows and columns name: other ones were judged.

    Args:
        judged: From `restore_columns`, each row and column within the grid.
        grid: Of the map.

    Raises:
        InputError: A point is missing, was moved by half a pixel or more, or the layer has no CRS.
    """
    if judged.crs is None:
        raise InputError(f"The samples have no CRS; expected {crs_name(grid.crs)}, or one that can be turned into it.")
    t = grid.transform
    points = judged.geometry.to_crs(crs_of(grid))
    column, row = (points.x.to_numpy() - t.c) / t.a - 0.5, (points.y.to_numpy() - t.f) / t.e - 0.5
    off = np.maximum(np.abs(column - judged["column"].to_numpy(dtype=float)), np.abs(row - judged["row"].to_numpy(dtype=float)))
    moved = ~(off < _MOVED_PX)
    if moved.any():
        names = judged["sample_id"][moved].tolist()
        raise InputError(
            f"{len(names)} points are missing or do not lie on the pixels that were drawn: {', '.join(names[:5])}"
            + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            + ". The interpreter saw other pixels: put the points back, or judge the sample that `landshift sample` made."
        )


def restore_columns(found: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Take a judged sample, however a GIS program saved it, for what it is.

    Args:
        found: As it was read; Shapefiles have shortened names of columns.
        name: What to call it in errors.

    Returns:
        The labelling columns in their order and types, then any others, and points. Columns that the estimation does not need
        (`chip`, `interpreter`, `reference_date`, `remarks`) are null where they are missing. Whether codes are known, ids
        repeat or points lie on the map is not looked at.

    Raises:
        InputError: It holds no points, or something else; a column is missing, or holds what is no whole number.
    """
    kinds = set(found.geometry.dropna().geom_type) - {"Point"}
    if kinds:
        raise InputError(f"{name} holds {', '.join(sorted(kinds))}; expected the points that `landshift sample` made.")
    if not len(found):
        raise InputError(f"{name} holds no sample point; expected the points that `landshift sample` made.")
    frame = found.rename(columns=_full_names(found))
    binary = "reference_change" in frame and "reference_before" not in frame
    missing = [c.name for c in necessary_columns(binary=binary) if c.name not in frame]
    if missing:
        has = ", ".join(str(c) for c in frame.columns if c != frame.geometry.name) or "none"
        raise InputError(
            f"{name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; its columns: {has}. Give the file "
            f"that `landshift sample` made; where it was saved anew, QGIS's `Save Features As` keeps all columns if all are "
            f"ticked."
        )
    columns = labelling_columns(binary=binary)
    values = {c.name: _column(frame, c, name) for c in columns}
    others = frame.drop(columns=[c.name for c in columns if c.name in frame])
    return gpd.GeoDataFrame(pd.concat([pd.DataFrame(values, index=frame.index), others], axis=1), crs=found.crs)


def join_frames(frames: Sequence[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """Put the points of several files one after the other, in the CRS of the first.

    Args:
        frames: From `read_samples`, one or more.
    """
    if len(frames) == 1:
        return frames[0]
    crs = frames[0].crs
    moved = [frame if crs is None or frame.crs is None else frame.to_crs(crs) for frame in frames]
    return gpd.GeoDataFrame(pd.concat(moved, ignore_index=True), crs=crs)


def combine_points(judged: gpd.GeoDataFrame, legend: Legend, references: References, mapped: MapFacts) -> gpd.GeoDataFrame:
    """Put map and interpretation beside each other, for those who want to compute the estimates again.

    Args:
        judged: The labelling file.
        legend: Of the run.
        references: The judgements that were used.
        mapped: Values of the map at them.

    Returns:
        Columns `SAMPLE_COLUMNS` and points, one for each judgement that was used.
    """
    rows = judged.iloc[references.index]
    names = {change.code: change.name for change in legend.changes}
    stratum = mapped.change if mapped.stratum is None else mapped.stratum
    pixels = mapped.change_pixels.copy()
    for row in mapped.strata:
        pixels[row.number] = row.pixels
    weight = pixels[stratum] / np.bincount(stratum, minlength=256)[stratum] * mapped.hectares_per_pixel
    called = {row.number: row.name for row in mapped.strata}
    values = {
        "sample_id": list(references.sample_id),
        "map_code": mapped.change, "map_name": [names[c] for c in mapped.change.tolist()],
        "reference_code": references.change, "reference_name": [names[c] for c in references.change.tolist()],
        "agrees": (mapped.change == references.change).astype(np.int32), "weight_ha": weight.round(4),
        "stratum": [called.get(n, names[code]) for n, code in zip(stratum.tolist(), mapped.change.tolist(), strict=True)],
        "map_before": mapped.before, "map_after": mapped.after,
        "reference_before": references.before, "reference_after": references.after,
        "reference_date": rows["reference_date"].to_numpy(),
        "interpreter": rows["interpreter"].to_numpy(), "remarks": rows["remarks"].to_numpy(),
    }  # fmt: skip
    return frame_of(values, SAMPLE_COLUMNS, rows.geometry.to_numpy(), judged.crs)


def judging_of(judged: gpd.GeoDataFrame, references: References) -> Judging:
    """Return who judged the pixels that are used, and by what.

    Args:
        judged: The labelling file, with the columns `interpreter` and `reference_date`.
        references: The judgements that were used.
    """
    rows = judged.iloc[references.index]
    names = rows["interpreter"].dropna().astype(str).map(lambda name: " ".join(name.split()))
    counts = names[names != ""].value_counts()
    dates = pd.to_datetime(rows["reference_date"]).dropna()
    return Judging(
        interpreters=tuple(sorted(counts.index, key=lambda name: (-counts[name], name))), unnamed=len(rows) - int(counts.sum()),
        first=None if dates.empty else dates.min().date(), last=None if dates.empty else dates.max().date(),
        undated=len(rows) - len(dates),
    )  # fmt: skip


def add_estimates(areas: gpd.GeoDataFrame, estimates: Estimates) -> gpd.GeoDataFrame:
    """Add what was estimated for each area of interest.

    Args:
        areas: From `area_summary`, in the order of the estimates.
        estimates: Of the run.

    Returns:
        The same frame with `AREA_ESTIMATE_COLUMNS`.
    """
    rows = estimates.areas_of_interest
    found = {
        "changed_estimated_ha": [row.changed_ha.estimate for row in rows],
        "changed_low_ha": [row.changed_ha.low for row in rows],
        "changed_high_ha": [row.changed_ha.high for row in rows],
        "samples": [row.samples for row in rows],
    }
    return areas.assign(**{c.name: pd.Series(found[c.name], index=areas.index, dtype=c.dtype) for c in AREA_ESTIMATE_COLUMNS})


def _column(frame: gpd.GeoDataFrame, column: Column, name: str) -> pd.Series:
    """Return a labelling column with its type, all null where it is missing."""
    if column.name not in frame:
        return pd.Series(None, index=frame.index, dtype=object).astype(column.dtype)
    found = frame[column.name]
    if column.dtype == "str":
        return found.astype(object).where(found.notna(), None).map(str, na_action="ignore").astype(column.dtype)
    if column.dtype.startswith("datetime"):
        return pd.to_datetime(found, errors="coerce", utc=True).dt.tz_localize(None).astype(column.dtype)
    # Forms and spreadsheets save codes as text, and empty ones as empty text.
    empty = found.isna() | (found.astype(str).str.strip() == "")
    number = pd.to_numeric(found.where(~empty), errors="coerce").astype(np.float64)
    wrong = ~empty & ~((number % 1 == 0) & (number.abs() <= np.iinfo(np.int32).max))
    if wrong.any():
        some = zip(frame["sample_id"][wrong].head(5), found[wrong].head(5), strict=True)
        raise InputError(
            f"{name}: {column.name} is no whole number in {int(wrong.sum())} of {len(frame)} samples: "
            f"{', '.join(f'{sample} ({value})' for sample, value in some)}. Expected a code as in the legend, or nothing."
        )
    return number.astype("Float64").astype(column.dtype)


def _full_names(frame: gpd.GeoDataFrame) -> dict[str, str]:
    """Columns of a Shapefile to those of the labelling file that they stand for."""
    for binary in (False, True):
        names = [c.name for c in labelling_columns(binary=binary)]
        short: list[str] = []
        for name in names:
            # As GDAL shortens them (OGRShapeLayer::CreateField).
            candidates = [name[:_LONGEST_SHORT_NAME], *(f"{name[:8]}_{n}" for n in range(1, 10))]
            short.append(next(c for c in candidates if c not in short))
        if all(s in frame for s in short):
            return dict(zip(short, names, strict=True))
    return {}
