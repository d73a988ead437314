"""Estimate: from a judged sample to areas and accuracies with confidence intervals."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landshift.flows.config.project import load_project
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.reply import table_lines
from landshift.flows.steps.publication.judged import JudgedSamples, read_judged_samples, write_disagreements
from landshift.flows.steps.publication.sample import RunToSample, read_to_sample
from landshift.pipeline.change.areas import pixel_area_spread
from landshift.pipeline.change.areas_of_interest import AreasOfInterest, area_summary, counts_by_code, masks, membership
from landshift.pipeline.change.areas_reading import read_areas_of_interest
from landshift.pipeline.change.patches import Patches
from landshift.pipeline.change.polygons import find_map_patches
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_name
from landshift.pipeline.legend import CHANGED, Legend
from landshift.pipeline.manifest import MANIFEST, link_or_copy, replace_when_done, write_text
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.records import write_record
from landshift.pipeline.run.package import complete
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run_files import ABOUT, CHANGES, ESTIMATES, LAND_USE, MATRICES, OFFICIAL, TABLE, TEXT
from landshift.pipeline.sample.agreement import InterpreterAgreement, measure_agreement
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.estimates import AreaFacts, MapFacts, estimates
from landshift.pipeline.sample.grouping import OTHER_CHANGES
from landshift.pipeline.sample.judging.points import add_estimates, combine_points, judging_of
from landshift.pipeline.sample.notes import note_on_agreement
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.sample.tables.official_tables import official_form, official_long
from landshift.pipeline.sample.tables.report import decimals_of, report_text
from landshift.pipeline.sample.tables.rows import csv_about, csv_table
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.columns import AREAS_LAYER, CHANGES_LAYER
from landshift.pipeline.vector.read import read_layer
from landshift.pipeline.vector.write import add_layers

DISAGREEMENTS = "disagreements.csv"
"""Beside the first interpreter's sample: what two of them judged differently."""

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
    run: Path, samples: Sequence[Path], *, second: Sequence[Path] = (), areas: Path | None = None, layer: str | None = None,
    name_column: str | None = None, allow_missing: bool = False, crosswalk: Path | None = None,
) -> Estimated:  # fmt: skip
    """Estimate areas and accuracies from a judged sample, and put them into the run.

    Args:
        run: Folder of the run that the sample was drawn from.
        samples: The judged sample: GeoPackage, FlatGeobuf, Shapefile or GeoJSON; a file for each draw where it was added to.
        second: The same pixels, or a part of them, judged by a second interpreter; the estimates use the first's judgements.
        areas: Areas of interest; those of the run where None.
        layer: Layer of `areas`, where the file has several.
        name_column: Column of `areas` with their names.
        allow_missing: Leave out pixels that were not judged, with a note, instead of refusing them.
        crosswalk: Config whose `crosswalk` gives the official classes; that of the run where None.

    Raises:
        InputError: Anything about the run, the sample or the areas that does not fit.
    """
    if areas is None and (layer is not None or name_column is not None):
        given = " and ".join(o for o, v in (("--layer", layer), ("--name-column", name_column)) if v is not None)
        raise InputError(f"{given} is about a file of areas of interest, and none is given: add --areas FILE.")
    found = read_to_sample(run)
    run, described, change, grid = found.folder, found.described, found.change, found.grid
    legend = Legend(described.legend)
    judged = read_judged_samples(samples, found, legend, allow_missing=allow_missing)
    agreement = _compare(judged, second, found, legend, listed=samples[0].parent / DISAGREEMENTS)
    with step("Estimating areas") as advance:
        mapped = _map_facts(found, legend, judged)
        places = _areas_of_interest(run, described, grid, areas, layer=layer, name_column=name_column)
        patches = find_map_patches(change)
        estimated = estimates(
            legend, judged.references, mapped, _area_facts(places, patches, grid, judged), run=described.key,
            seed=judged.record.seed, file=", ".join(path.name for path in samples),
            crosswalks=_read_crosswalks(described, legend, crosswalk),
        )  # fmt: skip
        extra = (*(places.notes if places is not None else ()), *_uneven_pixels(grid))
        agreed = (note_on_agreement(agreement),) if agreement is not None else ()
        said = (described.notice,) if described.notice else ()
        estimated = replace(
            estimated, notes=(*said, *estimated.notes, *agreed, *extra), agreement=agreement,
            samples=replace(estimated.samples, judging=judging_of(judged.frame, judged.references)),
        )  # fmt: skip
        advance(0.3)
        points = combine_points(judged.frame, legend, judged.references, mapped)
        dates = (described.before_date, described.after_date)
        summary = None
        if places is not None:
            changes = read_layer(run / CHANGES, CHANGES_LAYER)
            summary = add_estimates(area_summary(places, patches, changes, grid, legend=legend, dates=dates), estimated)
        with replace_when_done(run) as target:
            _link(run, target)
            write_record(target / ESTIMATES, estimated)
            write_text(target / TABLE, csv_table(estimated))
            write_text(target / ABOUT, csv_about(estimated, described.name, dates))
            _write_official(target, estimated)
            write_text(target / TEXT, report_text(estimated, described.name, dates))
            try:
                add_layers(target / CHANGES, areas_of_interest=summary, samples=points)
                complete(target, described)
            except InputError as error:
                # The folder beside the run in which the new one grows is known to this step alone.
                raise InputError(str(error).replace(str(target), str(run))) from error
        advance(1.0)
    return Estimated(run, estimated)


def _read_crosswalks(described: RunRecord, legend: Legend, config: Path | None) -> dict[str, dict[int, str]]:
    """Read which official class each land use is, by scheme and code.

    Raises:
        InputError: The config cannot be read, or its crosswalk is not about the legend of the run.
    """
    if config is not None:
        found = load_project(config).crosswalk.model_dump()
    else:
        held = described.config.get("crosswalk")
        found = held if isinstance(held, dict) else {}
    codes = {c.name: c.code for c in legend.classes}
    tables = {scheme: table for scheme, table in found.items() if table}
    for scheme, table in tables.items():
        if set(table) != set(codes):
            raise InputError(
                f"crosswalk: {scheme}: it is of the classes {', '.join(table)}, and the run has {', '.join(codes)}. Give each "
                f"class of the run one."
            )
    return {scheme: {codes[name]: key for name, key in table.items()} for scheme, table in tables.items()}


def _write_official(folder: Path, found: Estimates) -> None:
    """Write the official tables of the estimates; those of earlier estimates are taken away."""
    for file in (OFFICIAL, *MATRICES.values()):
        (folder / file).unlink(missing_ok=True)
    if found.official:
        write_text(folder / OFFICIAL, official_long(found.official))
    for matrix in found.official:
        write_text(folder / MATRICES[matrix.scheme], official_form(matrix))


def _compare(
    first: JudgedSamples, files: Sequence[Path], run: RunToSample, legend: Legend, *, listed: Path
) -> InterpreterAgreement | None:
    """Compare with a second interpreter, and list what they judge differently."""
    if not files:
        return None
    second = read_judged_samples(files, run, legend, allow_missing=True)
    if second.record.draws[0] != first.record.draws[0]:
        raise InputError(f"{files[0]}: the second interpreter judged another sample. Give the same sample, judged twice.")
    found = measure_agreement(legend, first.references, second.references, ", ".join(path.name for path in files))
    write_disagreements(listed, first, second, found)
    return found


def summary_lines(found: Estimates) -> list[str]:
    """Return the main estimates in words, for the command line: a sentence, tables, and what to know about them."""
    small = found.other_changes
    pooled = set(small.codes) if small else set()
    rows = [(row.name, row.area_ha, row.mapped_ha) for row in found.changes if row.code >= CHANGED and row.code not in pooled]
    rows.sort(key=lambda row: -(row[1].estimate or 0.0))
    rows += [(OTHER_CHANGES, small.area_ha, small.mapped_ha)] if small else []
    rows += [("All changes", found.changed.area_ha, found.changed.mapped_ha)]
    rows += [(row.name, row.area_ha, row.mapped_ha) for row in found.changes if row.code < CHANGED]
    places = decimals_of(area.standard_error for _, area, _ in rows)
    towns = [(row.name, row.changed_ha, row.mapped_changed_ha) for row in found.areas_of_interest]
    lines = [
        f"{_interval(found.changed.area_ha, places)} ha changed; the map shows {found.changed.mapped_ha:,.{places}f} ha (pixel "
        f"count, biased). From {found.samples.used:,} judged pixels, with 95 % intervals.",
        f"Right on {_interval(found.overall_accuracy, 3)} of the map (overall accuracy). Not observed, in no estimate: "
        f"{found.not_observed_ha:,.{places}f} ha.",
        "",
        *_hectares(("hectares", *_HEADER), rows, places),
    ]
    if towns:
        lines += ["", *_hectares(("changed in", *_HEADER), towns, decimals_of(area.standard_error for _, area, _ in towns))]
    return [*lines, "", *(f"Note: {note}" for note in found.notes)]


_HEADER = ("estimated", "95 % interval", "mapped (biased)")


def _hectares(header: Sequence[str], rows: Sequence[tuple[str, Interval, float]], places: int) -> list[str]:
    """Lay out hectares, all with the same decimals."""
    cells = []
    for name, area, mapped in rows:
        known = area.low is not None and area.high is not None
        ends = f"{area.low:,.{places}f} to {area.high:,.{places}f}" if known else "not known"
        estimate = "not known" if area.estimate is None else f"{area.estimate:,.{places}f}"
        cells.append((name, estimate, ends, f"{mapped:,.{places}f}"))
    return table_lines(header, cells)


def _interval(found: Interval, decimals: int) -> str:
    if found.estimate is None:
        return "not known"
    if found.low is None or found.high is None:
        return f"{found.estimate:,.{decimals}f} (no interval)"
    return f"{found.estimate:,.{decimals}f} ({found.low:,.{decimals}f} to {found.high:,.{decimals}f})"


def _map_facts(run: RunToSample, legend: Legend, judged: JudgedSamples) -> MapFacts:
    """Look up the values of the map, in all and at the judged pixels."""
    at = (judged.references.rows, judged.references.columns)
    counts: list[np.ndarray | None] = [None, None]
    values: list[np.ndarray | None] = [None, None]
    if not legend.binary:
        for number, epoch in enumerate(("before", "after")):
            codes = read_raster(run.folder / LAND_USE[epoch])[0]
            counts[number], values[number] = np.bincount(codes.ravel(), minlength=256), codes[at]
    areas = run.described.areas
    return MapFacts(
        change_pixels=np.bincount(run.change.ravel(), minlength=256), before_pixels=counts[0], after_pixels=counts[1],
        hectares_per_pixel=areas.total_ha / run.change.size, not_observed_ha=areas.not_observed_ha,
        change=run.change[at], before=values[0], after=values[1],
        strata=judged.strata, stratum=judged.stratum_map[at].astype(np.int64),
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


def _area_facts(places: AreasOfInterest | None, patches: Patches, grid: Grid, judged: JudgedSamples) -> AreaFacts | None:
    if places is None:
        return None
    inside = membership(places, judged.references.rows, judged.references.columns).T
    last = max(row.number for row in judged.strata)
    counts = np.zeros((len(places), last + 1), dtype=np.int64)
    for number, window, mask in masks(places):
        counts[number] += np.bincount(judged.stratum_map[window][mask], minlength=last + 1)
    by_stratum = counts[:, [row.number for row in judged.strata]]
    return AreaFacts(tuple(places.names), counts_by_code(places, patches, grid), inside, by_stratum)


def _link(run: Path, target: Path) -> None:
    """Let the new folder hold the files of the old one; nothing that follows writes into a file, each is replaced."""
    shutil.copytree(run, target, copy_function=link_or_copy, ignore=shutil.ignore_patterns(MANIFEST, ".partial-*"))
