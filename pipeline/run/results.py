"""Read a finished run in Python: maps as xarray, layers as GeoDataFrames."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from landshift.pipeline.change.decision import probability_of
from landshift.pipeline.change.second_opinion import ENTRIES
from landshift.pipeline.drawing.symbols import land_use_entries
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import Change, LandUse, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.records import Json, content_of, read_record
from landshift.pipeline.run.rasters import NEVER
from landshift.pipeline.run.record import list_altered_files, read_run
from landshift.pipeline.run_files import CHANGES, DOMAIN_SHIFT, ESTIMATES, layer_file
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.columns import (
    AREA_COLUMNS,
    AREAS_LAYER,
    CHANGES_LAYER,
    NOT_OBSERVED_LAYER,
    SAMPLE_COLUMNS,
    SAMPLES_LAYER,
    UNCALIBRATED,
    Column,
    frame_of,
)
from landshift.pipeline.vector.read import read_layer

VARIABLES = ("change", "landuse_before", "landuse_after", "change_probability", "disagreement", "last_observed")
"""Maps on the grid of the run, as they are called in the Dataset; each is read from the file of that name."""


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that a run found."""

    rasters: xr.Dataset
    """Dims (y, x), coordinates of the pixels' centres in units of the CRS, which is in `spatial_ref` (rioxarray and odc-geo
    find it). `change`, `landuse_*` and `disagreement`: uint8 codes with `flag_values` and `flag_meanings`;
    `change_probability`: float32, 0..1, NaN where not observed; `last_observed`: datetime64[s], NaT where never."""
    domain_shift: xr.DataArray | None
    """float32 (y, x) on a grid of blocks: distance from the training regions, 1 = their edge, NaN where not observed; None
    where the model did not know what its training regions look like."""
    changes: gpd.GeoDataFrame
    """The change polygons."""
    not_observed: gpd.GeoDataFrame
    """What one of the dates did not observe."""
    areas_of_interest: gpd.GeoDataFrame
    """The user's areas with their sums; empty without any."""
    samples: gpd.GeoDataFrame
    """The judged sample; empty before `landshift estimate`."""
    legend: Legend
    """Classes, and the changes between them."""
    facts: Json
    """Content of `run.json`."""
    estimates: Json | None
    """Content of `estimates.json`: areas and accuracies with intervals; None before `landshift estimate`."""


def open_run(path: Path | str, *, variables: Iterable[str] | None = None, verify: bool = False) -> Run:
    """Open the folder of a run, wherever it was moved to.

    Args:
        path: The folder `run` that `landshift detect` made.
        variables: Which of `VARIABLES` to read; the others take no memory. All that the run has where None.
        verify: Compare every file with the hash in `manifest.json` first.

    Raises:
        InputError: It is not the folder of a run, a file is missing, damaged or (with `verify`) altered, or the
            run has no such map.

    Examples:
        >>> run = open_run("runs/demo/run", variables=["change", "change_probability"])  # doctest: +SKIP
        >>> changed = run.rasters.change >= 2  # doctest: +SKIP
        >>> run.changes.groupby("to_name").area_ha.sum()  # doctest: +SKIP
    """
    folder = Path(path)
    wanted = VARIABLES if variables is None else (variables,) if isinstance(variables, str) else tuple(variables)
    unknown = [name for name in wanted if name not in VARIABLES]
    if unknown:
        raise InputError(f"A run has no map {unknown[0]!r}; expected some of {', '.join(VARIABLES)}.")
    record = read_run(folder)
    faults = list_altered_files(folder, everything=True) if verify else []
    if faults:
        raise InputError(f"{folder} is not as it was made ({'; '.join(faults)}). Copy the folder again, or make it again.")
    legend = Legend(record.legend)
    files = {name: layer_file(f"{name}.tif") for name in wanted}
    had = [name for name, file in files.items() if file in record.files or (folder / file).is_file()]
    if variables is not None and len(had) < len(wanted):
        raise InputError(
            f"This run has no map {min(set(wanted) - set(had))!r} (a project without classes has no land use, and a run by a "
            f"classical method no second opinion)."
        )
    known = record.calibration.is_known
    maps = {name: _map(folder / files[name], name, legend, calibrated=known) for name in had}
    shift = folder / DOMAIN_SHIFT
    return Run(
        rasters=xr.Dataset(maps, attrs={"title": record.name, "run": record.key}),
        domain_shift=_data_array(*read_raster(shift), "Distance from the training regions, 1 = their edge")
        if shift.is_file()
        else None,
        changes=read_layer(folder / CHANGES, CHANGES_LAYER),
        not_observed=read_layer(folder / CHANGES, NOT_OBSERVED_LAYER),
        areas_of_interest=_layer(folder, AREAS_LAYER, AREA_COLUMNS),
        samples=_layer(folder, SAMPLES_LAYER, SAMPLE_COLUMNS),
        legend=legend,
        facts=content_of(record),
        estimates=content_of(read_record(folder / ESTIMATES, Estimates)) if (folder / ESTIMATES).is_file() else None,
    )


def _map(path: Path, name: str, legend: Legend, *, calibrated: bool) -> xr.DataArray:
    values, grid = read_raster(path)
    if name == "change_probability":
        doubt = "" if calibrated else f" ({UNCALIBRATED})"
        return _data_array(probability_of(values), grid, f"Probability that the pixel changed{doubt}", units="1")
    if name == "last_observed":
        return _data_array(_moments(values), grid, "Day on which the pixel was last seen")
    entries: tuple[Change, ...] | tuple[LandUse, ...] = land_use_entries(legend)
    if name in ("change", "disagreement"):
        entries = legend.changes if name == "change" else ENTRIES
    flags = {
        "flag_values": np.array([entry.code for entry in entries], dtype=np.uint8),
        "flag_meanings": " ".join(_meanings(entries)),
    }
    return _data_array(values, grid, name.replace("_", " "), **flags)


def _meanings(entries: Sequence[Change | LandUse]) -> list[str]:
    """Turn names into words of the few characters that the CF convention allows (section 3.5), each another one."""
    words = [re.sub(r"[^0-9A-Za-z_.+@-]+", "_", entry.name).strip("_") for entry in entries]
    if len(set(words) - {""}) == len(words):
        return words
    return [f"{word or 'class'}_{entry.code}" for word, entry in zip(words, entries, strict=True)]


def _data_array(values: np.ndarray, grid: Grid, long_name: str, **attributes: object) -> xr.DataArray:
    """Give an array its coordinates, and the CRS as the CF convention has it (appendix F of https://cfconventions.org)."""
    t = grid.transform
    rows, columns = grid.shape
    wkt = "" if grid.crs is None else grid.crs.to_wkt()
    unit = "m" if grid.crs is None else str(grid.crs.proj.axis_info[0].unit_name).replace(" ", "_")
    place = {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": f"{t.c} {t.a} {t.b} {t.f} {t.d} {t.e}"}
    coordinates = {
        "y": ("y", t.f + (np.arange(rows) + 0.5) * t.e, {"units": unit, "standard_name": "projection_y_coordinate"}),
        "x": ("x", t.c + (np.arange(columns) + 0.5) * t.a, {"units": unit, "standard_name": "projection_x_coordinate"}),
        "spatial_ref": ((), 0, place),
    }
    known = {"long_name": long_name, "grid_mapping": "spatial_ref", **attributes}
    return xr.DataArray(values, dims=("y", "x"), coords=coordinates, attrs=known)


def _moments(dates: np.ndarray) -> np.ndarray:
    """Turn year, month and day in one number into datetime64[s], NaT without one."""
    # Hashing, unlike np.unique, does not sort a hundred million pixels.
    index, numbers = pd.factorize(dates.ravel())
    moments = pd.to_datetime(pd.Series(numbers).replace(NEVER, None).astype("string"), format="%Y%m%d")
    return np.asarray(moments.to_numpy("datetime64[s]")[index].reshape(dates.shape))


def _layer(folder: Path, layer: str, columns: tuple[Column, ...]) -> gpd.GeoDataFrame:
    if layer in vector_layers(folder / CHANGES):
        return read_layer(folder / CHANGES, layer)
    crs = read_layer(folder / CHANGES, CHANGES_LAYER).crs
    return frame_of({column.name: [] for column in columns}, columns, np.zeros(0, dtype=object), crs)
