"""Plots: what a project's run shows of thousands of parcels, and the verdict on each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from landshift.flows.config.plots import PlotsConfig
from landshift.flows.runtime.progress import step
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import PROBABILITY_NODATA, PROBABILITY_SCALE
from landshift.pipeline.change.plots import verdict
from landshift.pipeline.change.plots.coverage import cover
from landshift.pipeline.change.plots.reading import read_plots
from landshift.pipeline.change.plots.table import PLOT_COLUMNS, PlotQuestion, counting_codes, plot_table, verdict_entries
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import crs_of, grid_of
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.raster.read import inspect, read_rows_together
from landshift.pipeline.records import write_record
from landshift.pipeline.run.package import require_unharmed
from landshift.pipeline.run.record import RunRecord, read_run
from landshift.pipeline.run_files import CHANGE_MAP, PROBABILITY
from landshift.pipeline.vector.plots import write_plots

FOLDER, RECORD = "plots", "plots.json"
"""Beside the run."""


@dataclass(frozen=True)
class VerdictCount:
    """Plots with one verdict."""

    verdict: str
    """As in the table."""
    plots: int
    """How many."""
    area_ha: float
    """Hectares of these plots, on the ellipsoid."""
    changed_ha: float
    """Mapped in them as a change that counts."""


@dataclass(frozen=True)
class PlotsRecord:
    """What was asked about plots, and how the answers are spread: `plots.json`."""

    run: str
    """Key of the run."""
    file: str
    """Of the plots, relative to the data folder where it lies there."""
    before_date: date
    """Of the first image."""
    after_date: date
    """Of the second image."""
    cut_off: date | None
    """The question is what changed after it."""
    changes: tuple[str, ...]
    """Kinds of change that count."""
    rule: verdict.VerdictRule
    """When a plot counts as changed."""
    verdicts: tuple[VerdictCount, ...]
    """Those that occur, the most frequent first."""
    notes: tuple[str, ...]
    """What a reader of the table must know."""


@dataclass(frozen=True)
class PlotsMade:
    """The folder of the plots, and what its record holds."""

    folder: Path
    """With `plots.gpkg`, `plots.csv`, `plots.geojson` and `plots.json`."""
    record: PlotsRecord
    """As written."""
    count: int
    """Plots in all."""


def make_plots(ws: Workspace) -> PlotsMade:
    """Judge the plots of a project by its run, and write the table in three formats, replacing an earlier one.

    Raises:
        InputError: The config has no `plots:`, there is no run, it was changed, or the plots cannot be used.
    """
    wanted = ws.project.plots
    if wanted is None:
        raise InputError("The config has no `plots:`; expected at least `plots: {path: parcels.gpkg}`.")
    run = read_run(ws.run)
    require_unharmed(ws.run)
    path = ws.input(wanted.path, "plots: path")
    info, legend = inspect(ws.run / CHANGE_MAP), Legend(run.legend)
    grid = grid_of(info.transform, info.shape, info.crs, CHANGE_MAP)
    dates = verdict.PlotDates(run.before_date, run.after_date, wanted.cut_off)
    codes = counting_codes(legend, wanted.from_classes, wanted.to_classes)
    question = PlotQuestion(_rule_of(wanted, run, ws.project.detect.min_area_ha), dates, codes)
    with step("Judging plots") as advance:
        plots = read_plots(path, crs_of(grid), wanted.layer, wanted.name_column)
        advance(0.2)
        coverage = cover(plots.frame.geometry.to_numpy(), grid, read_map(ws.run / CHANGE_MAP, ws.run / PROBABILITY))
        advance(0.6)
        tested = {row.code: row.test for row in run.areas.changes}
        table = plot_table(plots.frame, coverage, grid, legend=legend, question=question, tested=tested)
        advance(0.7)
        counts = [
            VerdictCount(
                str(name), len(rows), round(float(rows["total_ha"].sum()), 4), round(float(rows["changed_ha"].sum()), 4)
            )
            for name, rows in table.groupby("verdict")
        ]
        record = PlotsRecord(
            run.key, ws.relative(path), *_dates(question), tuple(c.name for c in legend.changes if c.code in question.codes),
            rule=question.rule, verdicts=tuple(sorted(counts, key=lambda c: (-c.plots, c.verdict))),
            notes=(*plots.notes, *_notes(run, question)),
        )  # fmt: skip
        folder = ws.output / FOLDER
        with replace_when_done(folder) as target:
            target.mkdir(parents=True)
            write_plots(target, table, PLOT_COLUMNS, verdict_entries(question.dates, set(table["verdict_code"])))
            write_record(target / RECORD, record)
    return PlotsMade(folder, record, len(table))


def lines_of(made: PlotsMade) -> list[str]:
    """Return what the verb prints."""
    return [
        f"{made.count:,} plots:",
        *(f"  {c.plots:>9,}  {c.verdict}  ({c.changed_ha:,.1f} ha changed)" for c in made.record.verdicts),
        *(f"Note: {note}" for note in made.record.notes),
        f"Table: {made.folder / 'plots.csv'}",
        f"Layer: {made.folder / 'plots.gpkg'}",
    ]


def _dates(question: PlotQuestion) -> tuple[date, date, date | None]:
    return question.dates.before, question.dates.after, question.dates.cut_off


def _rule_of(wanted: PlotsConfig, run: RunRecord, smallest_ha: float) -> verdict.VerdictRule:
    rule = wanted.verdict
    return verdict.VerdictRule(
        min_changed_ha=smallest_ha if rule.min_changed_ha is None else rule.min_changed_ha,
        min_share=rule.min_share, min_probability=0.0 if run.classical is not None else rule.min_probability,
        min_observed=rule.min_observed, min_plot_ha=smallest_ha if rule.min_plot_ha is None else rule.min_plot_ha,
    )  # fmt: skip


def read_map(change: Path, probability: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of a map: codes uint8 (y, x), and probabilities of change float32 (y, x), NaN where unknown.

    Args:
        change: The raster of change codes.
        probability: The raster of probabilities, as it is published.
    """
    for codes, stored in read_rows_together(change, probability):
        chance = stored.astype(np.float32) * np.float32(PROBABILITY_SCALE)
        chance[stored == PROBABILITY_NODATA] = np.nan
        yield codes, chance


def _notes(run: RunRecord, question: PlotQuestion) -> list[str]:
    dates, notes = question.dates, ["Hectares are counted from mapped pixels, and biased; a verdict is as good as the map."]
    if not question.codes:
        notes.append("No change of the legend begins and ends as asked: nothing counts.")
    if dates.cut_off is not None and dates.before < dates.cut_off < dates.after:
        notes.append(
            f"The cut-off {dates.cut_off} lies between the images of {dates.before} and {dates.after}: no change can be dated "
            f"to before or after it. Images nearer to the cut-off could."
        )
    if dates.asks_of_later:
        notes.append(f"The cut-off {dates.cut_off} is not before the image after ({dates.after}): nothing is known of later.")
    if dates.gap_days:
        notes.append(f"No image shows the {dates.gap_days:,} days from the cut-off to the image before ({dates.before}).")
    if run.classical is not None:
        notes.append("A classical method made the map: it holds changes of season and light too, and has no probabilities.")
    elif not run.calibration.is_known:
        notes.append("The probabilities are uncalibrated here: they rank, and are not shares of pixels that changed.")
    return notes
