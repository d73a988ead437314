"""Estimate: from a judged sample to areas and accuracies with confidence intervals."""

import json
import os
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flows.progress import step
from flows.sample import RECORD
from pipeline.areas_of_interest import AreasOfInterest, area_summary, counts_by_code, membership
from pipeline.areas_reading import read_areas_of_interest
from pipeline.columns import AREA_ESTIMATE_COLUMNS, AREAS_LAYER, CHANGES_LAYER, SAMPLE_COLUMNS, frame_of
from pipeline.errors import InputError
from pipeline.estimate_table import csv_tables
from pipeline.estimates import AreaFacts, MapFacts, estimates
from pipeline.grid import Grid
from pipeline.legend import Legend
from pipeline.manifest import MANIFEST, replace_when_done, write_json, write_text
from pipeline.package import complete
from pipeline.raster import read_raster
from pipeline.references import References, check_references
from pipeline.run_folder import CHANGE_MAP, ESTIMATES, LAYERS, TABLE, legend_of_run, read_run
from pipeline.vector import read_layer, read_samples
from pipeline.vector_catalog import vector_layers
from pipeline.vector_write import add_layers

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Estimated:
    """Areas with intervals."""

    run: Path
    """Folder of the run, whose page, project and layers hold the estimates now."""
    content: dict[str, Any]
    """Content of `estimates.json`."""


def estimate_run(
    run: Path, samples: Path, *, areas: Path | None = None, layer: str | None = None, name_column: str | None = None,
    allow_missing: bool = False,
) -> Estimated:  # fmt: skip
    """Estimate areas and accuracies from a judged sample, and put them into the run.

    Args:
        run: Folder of the run that the sample was drawn from.
        samples: The judged sample: GeoPackage, FlatGeobuf, Shapefile or GeoJSON.
        areas: Areas of interest; those of the run where None.
        layer: Layer of `areas`, where the file has several.
        name_column: Column of `areas` with their names.
        allow_missing: Leave out pixels that nobody judged, and say so, instead of refusing them.

    Raises:
        InputError: Anything about the run, the sample or the areas that does not fit.
    """
    run = run.resolve()
    facts = read_run(run)
    legend = legend_of_run(facts)
    change, grid = read_raster(run / CHANGE_MAP)
    judged = read_samples(samples)
    references = _references(judged, legend, facts, (grid.shape[0], grid.shape[1]), allow_missing)
    with step("Estimating areas") as advance:
        mapped = _map_facts(run, facts, change, legend, references)
        places = _areas_of_interest(run, grid, areas, layer, name_column)
        record = _record_of(samples)
        content = estimates(
            legend, references, mapped, _area_facts(places, change, grid, references), run=str(facts["key"]),
            seed=record.get("seed"), file=samples.name,
            drawn={int(row["code"]): int(row["samples"]) for row in record["strata"]} if "strata" in record else None,
        )  # fmt: skip
        if places is not None:
            content["notes"] += places.notes
        advance(0.3)
        points = _judged_points(judged, legend, references, mapped)
        summary = _summary(places, content, change, grid, legend, facts, run)
        with replace_when_done(run) as target:
            _link(run, target)
            write_json(target / ESTIMATES, content)
            write_text(target / TABLE, csv_tables(content))
            add_layers(target / LAYERS, areas_of_interest=summary, samples=points)
            complete(target, facts)
        advance(1.0)
    return Estimated(run, content)


def summary_lines(content: dict[str, Any]) -> list[str]:
    """Say the main estimates in words, for the command line.

    Args:
        content: Of `estimates.json`.
    """
    changed, overall = content["changed"], content["overall_accuracy"]
    rows = [("All changes", changed), *((row["name"], row) for row in content["changes"])]
    lines = [
        f"{content['samples']['used']:,} judged pixels; 95 % confidence intervals.",
        f"Overall accuracy {_interval(overall, 3)}",
        "Hectares, estimated (in brackets: mapped, pixel count, biased):",
        *(f"  {_interval(row['area_ha'], 1):>32} ha  {name} ({row['mapped_ha']:,.1f})" for name, row in rows),
        f"  {content['not_observed_ha']:>32,.1f} ha  not observed: unknown, in no estimate",
    ]
    lines += [
        f"{row['name']}: {_interval(row['changed_ha'], 1)} ha changed ({row['samples']} judged pixels)"
        for row in content["areas_of_interest"]
    ]
    return lines + [f"Note: {note}" for note in content["notes"]]


def _interval(found: dict[str, float | None], decimals: int) -> str:
    if found["estimate"] is None:
        return "not known"
    if found["low"] is None or found["high"] is None:
        return f"{found['estimate']:,.{decimals}f} (no interval)"
    return f"{found['estimate']:,.{decimals}f} ({found['low']:,.{decimals}f} to {found['high']:,.{decimals}f})"


def _references(
    judged: "gpd.GeoDataFrame", legend: Legend, facts: dict[str, Any], shape: tuple[int, int], allow_missing: bool
) -> References:
    asked = ("change",) if legend.binary else ("before", "after")
    columns = {name: judged[f"reference_{name}"] for name in asked if f"reference_{name}" in judged}
    if len(columns) < len(asked):
        missing = ", ".join(f"reference_{name}" for name in asked if name not in columns)
        raise InputError(
            f"The sample lacks {missing}, which this run's legend asks for: it belongs to a run with another legend. Expected "
            f"the file that `landshift sample` made for run {facts['key']}."
        )
    return check_references(
        legend, run=str(facts["key"]), shape=shape, sample_id=judged["sample_id"], run_id=judged["run_id"],
        rows=judged["row"], columns=judged["column"], allow_missing=allow_missing, **columns,
    )  # fmt: skip


def _map_facts(run: Path, facts: dict[str, Any], change: np.ndarray, legend: Legend, references: References) -> MapFacts:
    """Look up what the map says, in all and at the judged pixels."""
    at = (references.rows, references.columns)
    counts: list[np.ndarray | None] = [None, None]
    values: list[np.ndarray | None] = [None, None]
    if not legend.binary:
        for number, epoch in enumerate(("before", "after")):
            codes = read_raster(run / f"landuse_{epoch}.tif")[0]
            counts[number], values[number] = np.bincount(codes.ravel(), minlength=256), codes[at]
    return MapFacts(
        change_pixels=np.bincount(change.ravel(), minlength=256), before_pixels=counts[0], after_pixels=counts[1],
        hectares_per_pixel=float(facts["areas"]["total_ha"]) / change.size,
        not_observed_ha=float(facts["areas"]["not_observed_ha"]), change=change[at], before=values[0], after=values[1],
    )  # fmt: skip


def _areas_of_interest(
    run: Path, grid: Grid, areas: Path | None, layer: str | None, name_column: str | None
) -> AreasOfInterest | None:
    """Read the areas that the user names, else those that the run has."""
    if areas is not None:
        return read_areas_of_interest(areas, grid, layer, name_column)
    if AREAS_LAYER not in vector_layers(run / LAYERS):
        return None
    frame = read_layer(run / LAYERS, AREAS_LAYER)
    return AreasOfInterest(frame[["name", frame.geometry.name]], grid)


def _area_facts(places: AreasOfInterest | None, change: np.ndarray, grid: Grid, references: References) -> AreaFacts | None:
    if places is None:
        return None
    inside = membership(places, references.rows, references.columns).T
    return AreaFacts(tuple(places.names), counts_by_code(places, change, grid), inside)


def _record_of(samples: Path) -> dict[str, Any]:
    """Return what `landshift sample` wrote down beside the sample, empty where the file was taken elsewhere."""
    try:
        content = json.loads((samples.parent / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _judged_points(judged: "gpd.GeoDataFrame", legend: Legend, references: References, mapped: MapFacts) -> "gpd.GeoDataFrame":
    """Put together what the map and the interpreter say, for whoever wants to check the estimates."""
    rows = judged.iloc[references.index]
    names = {change.code: change.name for change in legend.changes}
    drawn = np.bincount(mapped.change, minlength=256)
    weight = mapped.change_pixels[mapped.change] / drawn[mapped.change] * mapped.hectares_per_pixel
    values = {
        "sample_id": list(references.sample_id),
        "map_code": mapped.change, "map_name": [names[c] for c in mapped.change.tolist()],
        "reference_code": references.change, "reference_name": [names[c] for c in references.change.tolist()],
        "agrees": (mapped.change == references.change).astype(np.int32), "weight_ha": weight.round(4),
        "interpreter": rows["interpreter"].to_numpy(), "remarks": rows["remarks"].to_numpy(),
    }  # fmt: skip
    return frame_of(values, SAMPLE_COLUMNS, rows.geometry.to_numpy(), judged.crs)


def _summary(
    places: AreasOfInterest | None, content: dict[str, Any], change: np.ndarray, grid: Grid, legend: Legend,
    facts: dict[str, Any], run: Path,
) -> "gpd.GeoDataFrame | None":  # fmt: skip
    if places is None:
        return None
    dates = (date.fromisoformat(facts["before_date"]), date.fromisoformat(facts["after_date"]))
    frame = area_summary(places, change, read_layer(run / LAYERS, CHANGES_LAYER), grid, legend, dates)
    found = {
        "changed_estimated_ha": [row["changed_ha"]["estimate"] for row in content["areas_of_interest"]],
        "changed_low_ha": [row["changed_ha"]["low"] for row in content["areas_of_interest"]],
        "changed_high_ha": [row["changed_ha"]["high"] for row in content["areas_of_interest"]],
        "samples": [row["samples"] for row in content["areas_of_interest"]],
    }
    for column in AREA_ESTIMATE_COLUMNS:
        frame[column.name] = pd.Series(found[column.name], index=frame.index, dtype=column.dtype)
    return frame


def _link(run: Path, target: Path) -> None:
    """Let the new folder hold the files of the old one, without copying their bytes where the disk allows it.

    Nothing that follows writes into a file that is there: each is replaced by another one.
    """

    def link(source: str, place: str) -> None:
        try:
            os.link(source, place)
        except OSError:
            shutil.copy2(source, place)

    shutil.copytree(run, target, copy_function=link, ignore=shutil.ignore_patterns(MANIFEST, ".partial-*"))
