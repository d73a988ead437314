"""Estimate: from a judged sample to areas and accuracies with confidence intervals."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.publication.sample import DEFAULT_FOLDER, RECORD
from landshift.pipeline.change.areas import pixel_area_spread
from landshift.pipeline.change.areas_of_interest import AreasOfInterest, area_summary, counts_by_code, membership
from landshift.pipeline.change.areas_reading import read_areas_of_interest
from landshift.pipeline.change.patches import Patches
from landshift.pipeline.change.polygons import find_map_patches
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import MANIFEST, link_or_copy, replace_when_done, write_text
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.records import read_json, record_of, write_record
from landshift.pipeline.run.package import complete, require_unharmed
from landshift.pipeline.run.record import RunRecord, read_run
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, ESTIMATES, LAND_USE, TABLE
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.draw import DrawnSample, Sample, draw
from landshift.pipeline.sample.estimates import AreaFacts, MapFacts, estimates
from landshift.pipeline.sample.judging.points import add_estimates, combine_points, read_samples, require_in_place
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.sample.references import References, check_references
from landshift.pipeline.sample.table import csv_tables
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.columns import AREAS_LAYER, CHANGES_LAYER
from landshift.pipeline.vector.read import read_layer
from landshift.pipeline.vector.write import add_layers

if TYPE_CHECKING:
    pass

_UNEVEN = 0.005
"""Difference in area between pixels from which a note is made, as a share."""


@dataclass(frozen=True)
class Estimated:
    """Areas with intervals."""

    run: Path
    """Folder of the run, whose page, project and layers hold the estimates now."""
    estimates: Estimates
    """As in `estimates.json`."""


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
        allow_missing: Leave out pixels that were not judged, with a note, instead of refusing them.

    Raises:
        InputError: Anything about the run, the sample or the areas that does not fit.
    """
    if areas is None and (layer is not None or name_column is not None):
        given = " and ".join(o for o, v in (("--layer", layer), ("--name-column", name_column)) if v is not None)
        raise InputError(f"{given} is about a file of areas of interest, and none is given: add --areas FILE.")
    run = run.resolve()
    described = read_run(run)
    require_unharmed(run)
    legend = Legend(described.legend)
    change, grid = read_raster(run / CHANGE_MAP)
    judged = read_samples(samples)
    path, record = _record_of(samples, run, described.key)
    drawn = _draw_again(path, record, change)
    try:
        references = check_references(
            legend, judged, run=described.key, shape=(grid.shape[0], grid.shape[1]), allow_missing=allow_missing, drawn=drawn
        )
        require_in_place(judged, grid)
    except InputError as error:
        raise InputError(f"{samples}: {error}") from error
    with step("Estimating areas") as advance:
        mapped = _map_facts(run, described, change, legend, references=references)
        places = _areas_of_interest(run, described, grid, areas, layer=layer, name_column=name_column)
        patches = find_map_patches(change)
        found = estimates(
            legend, references, mapped, _area_facts(places, patches, grid, references), run=described.key,
            seed=record.seed, file=samples.name, drawn=record.sizes,
        )  # fmt: skip
        found = replace(found, notes=(*found.notes, *(places.notes if places is not None else ()), *_uneven_pixels(grid)))
        advance(0.3)
        points = combine_points(judged, legend, references, mapped)
        dates = (described.before_date, described.after_date)
        summary = None
        if places is not None:
            changes = read_layer(run / CHANGES, CHANGES_LAYER)
            summary = add_estimates(area_summary(places, patches, changes, grid, legend=legend, dates=dates), found)
        with replace_when_done(run) as target:
            _link(run, target)
            write_record(target / ESTIMATES, found)
            write_text(target / TABLE, csv_tables(found, described.name, dates))
            try:
                add_layers(target / CHANGES, areas_of_interest=summary, samples=points)
                complete(target, described)
            except InputError as error:
                # The folder beside the run in which the new one grows is known to this step alone.
                raise InputError(str(error).replace(str(target), str(run))) from error
        advance(1.0)
    return Estimated(run, found)


def summary_lines(found: Estimates) -> list[str]:
    """Return the main estimates in words, for the command line."""
    rows = [("All changes", found.changed.area_ha, found.changed.mapped_ha)]
    rows += [(row.name, row.area_ha, row.mapped_ha) for row in found.changes]
    lines = [
        f"{found.samples.used:,} judged pixels; 95 % confidence intervals.",
        f"Overall accuracy {_interval(found.overall_accuracy, 3)}",
        "Hectares, estimated (in brackets: mapped, pixel count, biased):",
        *(f"  {_interval(area, 1):>32} ha  {name} ({mapped:,.1f})" for name, area, mapped in rows),
        f"  {found.not_observed_ha:>32,.1f} ha  not observed: unknown, in no estimate",
    ]
    lines += [
        f"{row.name}: {_interval(row.changed_ha, 1)} ha changed ({row.samples} judged pixels)"
        for row in found.areas_of_interest
    ]
    return lines + [f"Note: {note}" for note in found.notes]


def _interval(found: Interval, decimals: int) -> str:
    if found.estimate is None:
        return "not known"
    if found.low is None or found.high is None:
        return f"{found.estimate:,.{decimals}f} (no interval)"
    return f"{found.estimate:,.{decimals}f} ({found.low:,.{decimals}f} to {found.high:,.{decimals}f})"


def _map_facts(run: Path, described: RunRecord, change: np.ndarray, legend: Legend, references: References) -> MapFacts:
    """Look up the values of the map, in all and at the judged pixels."""
    at = (references.rows, references.columns)
    counts: list[np.ndarray | None] = [None, None]
    values: list[np.ndarray | None] = [None, None]
    if not legend.binary:
        for number, epoch in enumerate(("before", "after")):
            codes = read_raster(run / LAND_USE[epoch])[0]
            counts[number], values[number] = np.bincount(codes.ravel(), minlength=256), codes[at]
    return MapFacts(
        change_pixels=np.bincount(change.ravel(), minlength=256), before_pixels=counts[0], after_pixels=counts[1],
        hectares_per_pixel=described.areas.total_ha / change.size,
        not_observed_ha=described.areas.not_observed_ha, change=change[at], before=values[0], after=values[1],
    )  # fmt: skip


def _areas_of_interest(
    run: Path, described: RunRecord, grid: Grid, areas: Path | None, layer: str | None, name_column: str | None
) -> AreasOfInterest | None:
    """Read the areas that the user names, else those that the run has."""
    if areas is not None:
        return read_areas_of_interest(areas, grid, layer, name_column)
    if AREAS_LAYER not in vector_layers(run / CHANGES):
        return None
    frame = read_layer(run / CHANGES, AREAS_LAYER)
    notes = described.areas_of_interest.notes if described.areas_of_interest else ()
    return AreasOfInterest(frame[["name", frame.geometry.name]], grid, notes)


def _uneven_pixels(grid: Grid) -> list[str]:
    spread = pixel_area_spread(grid)
    if spread <= _UNEVEN:
        return []
    return [
        f"Pixels of this map differ in area by up to {spread:.1%}, because of its CRS ({crs_name(grid.crs)}), and the "
        f"estimates take their mean. For hectares to publish, map in an equal-area or a UTM CRS."
    ]


def _area_facts(places: AreasOfInterest | None, patches: Patches, grid: Grid, references: References) -> AreaFacts | None:
    if places is None:
        return None
    inside = membership(places, references.rows, references.columns).T
    return AreaFacts(tuple(places.names), counts_by_code(places, patches, grid), inside)


def _record_of(samples: Path, run: Path, key: str) -> tuple[Path, DrawnSample]:
    """Read what `landshift sample` wrote down: with it the sample can be drawn again, and compared with what comes back.

    Raises:
        InputError: It is neither beside the sample nor where `landshift sample` puts it, or is of another run.
    """
    places = [samples.parent / RECORD, run.parent / DEFAULT_FOLDER / RECORD]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(
            f"{places[0]} is not there. `landshift sample` wrote it beside the sample: it records which pixels were drawn. "
            f"Copy it beside {samples.name}."
        )
    try:
        record = record_of(DrawnSample, read_json(found), str(found))
    except (OSError, InputError) as error:
        raise InputError(
            f"{found} is damaged: expected JSON with `run`, `seed` and `strata`, as it was written. Copy it again from "
            f"where `landshift sample` made it."
        ) from error
    if record.run != key:
        raise InputError(
            f"{found}: the sample was drawn for run {record.run}, and the estimates are for run {key}. A run that is made "
            f"again is another map: draw a sample of it with `landshift sample`."
        )
    return found, record


def _draw_again(path: Path, record: DrawnSample, change: np.ndarray) -> Sample:
    """Draw the sample that was recorded once more.

    Raises:
        InputError: The map cannot have given it.
    """
    sizes, there = record.sizes, np.bincount(change.ravel(), minlength=256)
    wrong = [code for code, n in sizes.items() if not 0 < code < len(there) or not 0 <= n <= there[code]]
    if wrong or not sizes:
        raise InputError(
            f"{path} does not fit the map: it records {sizes.get(wrong[0]) if wrong else 'no'} drawn pixels of "
            f"{f'code {wrong[0]}' if wrong else 'any code'}. Copy it again from where `landshift sample` made it."
        )
    return draw(change, sizes, record.seed)


def _link(run: Path, target: Path) -> None:
    """Let the new folder hold the files of the old one; nothing that follows writes into a file, each is replaced."""
    shutil.copytree(run, target, copy_function=link_or_copy, ignore=shutil.ignore_patterns(MANIFEST, ".partial-*"))
