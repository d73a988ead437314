"""The estimates of a run as one tidy table for spreadsheets, scripts and the supplement of a publication."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from landshift.pipeline.formatting import make_harmless
from landshift.pipeline.legend import CHANGED
from landshift.pipeline.sample.agreement import InterpreterAgreement
from landshift.pipeline.sample.area_estimation import UNKNOWN, Interval
from landshift.pipeline.sample.design import WILSON
from landshift.pipeline.sample.disagreement import Intensity
from landshift.pipeline.sample.grouping import OTHER_CHANGES
from landshift.pipeline.sample.record import (
    ErrorMatrix,
    EstimatedArea,
    EstimatedClass,
    EstimatedPart,
    Estimates,
    JudgedStratum,
    TransitionMatrix,
)

COLUMNS = (
    "table", "quantity", "class", "place", "estimate", "se", "low", "high", "unit", "n", "method", "mapped_ha_biased", "note",
)  # fmt: skip
"""Of the table, in order."""

ALL_CHANGES, ALL_CLASSES = "All changes", "All classes"
"""Classes of the rows that are about more than one."""

_BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel reads UTF-8 as the code page of the computer."""

_DECIMALS = {"ha": 4, "share": 6, "kappa": 6, "pixels": 0}
"""Of each unit; 0.0001 ha is a square metre."""

_MOVED = "The estimate lay beyond what is possible here and was moved to the limit, so that those of parts may not add up."
_LEFT_OPEN = {"ha": "Left open, not 0: no sampled pixel tells.", "share": "Not known: the sample holds no such pixel."}

_METHODS = {
    "areas and accuracies": "Stratified estimators: Olofsson et al. 2014, "
    "Remote Sensing of Environment 148, doi:10.1016/j.rse.2014.02.015",
    "classes that are not the strata": "Ratio estimators: Stehman 2014, International Journal of Remote Sensing 35(13), "
    "doi:10.1080/01431161.2014.930207",
    "limits where few cases were met": "Wilson 1927, doi:10.1080/01621459.1927.10502953, in each stratum, combined: Zou and "
    "Donner 2008, Statistics in Medicine 27(10), doi:10.1002/sim.3095",
    "areas of interest": "Difference estimator: Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, chapter "
    "10, doi:10.1007/978-1-4612-4378-6",
    "disagreement": "Quantity and allocation disagreement: Pontius and Millones 2011, International Journal of Remote "
    "Sensing 32(15), doi:10.1080/01431161.2011.552923",
    "agreement": "Kappa: Cohen 1960, doi:10.1177/001316446002000104; its interval: Fleiss, Cohen and Everitt 1969, "
    "doi:10.1037/h0028106",
    "intensity": "Intensity analysis, point estimates: Aldwaik and Pontius 2012, Landscape and Urban Planning 106(1), "
    "doi:10.1016/j.landurbplan.2012.02.010",
}
"""What was estimated: how, with citation."""

_READING = {
    "estimate": "The value; without standard error and interval it was counted, or is derived from other estimates.",
    "se": "Standard error, by the formula of the method; limits where few cases were met are not built from it.",
    "low, high": "Ends of the confidence interval, at the confidence level above.",
    "n": "Judged pixels: judged to be the class for areas and producer's accuracy, mapped as the class for user's accuracy, "
    "judged to be gained, lost or either for gain, loss and net change, judged to be of the pair for transitions, inside the "
    "place for areas of interest, in the stratum or the cell for strata and error matrix.",
    "mapped_ha_biased": "Pixel count in hectares, biased: do not publish it as an area.",
    "empty cells": "Not known, or does not apply.",
}
"""Column: how to read it."""


@dataclass(frozen=True)
class _Row:
    table: str
    """Part of the table."""
    quantity: str
    """What the row is about."""
    kind: str = ""
    """Class of the map."""
    place: str = ""
    """Area of interest; empty = the whole map."""
    unit: str = ""
    """`ha`, `share` (0..1), `kappa` (-1..1) or `pixels`."""
    interval: Interval | None = None
    """Counted values have an estimate alone."""
    n: int | None = None
    """Judged pixels."""
    mapped_ha: float | None = None
    """Pixel count in hectares, biased."""
    note: str | None = None
    """What to know about it."""

    def cells(self) -> list[str]:
        """Return the texts of the columns `COLUMNS`, numbers with the decimals of their unit."""
        found = self.interval or UNKNOWN
        numbers = [_number(value, self.unit) for value in (found.estimate, found.standard_error, found.low, found.high)]
        notes = [self.note or ""]
        if self.interval is not None and found.estimate is None and found.high is None:
            notes.append(_LEFT_OPEN.get(self.unit, ""))
        return [
            *(make_harmless(text) for text in (self.table, self.quantity, self.kind, self.place)), *numbers, self.unit,
            _number(self.n, "pixels"), make_harmless(found.method or ""), _number(self.mapped_ha, "ha"),
            make_harmless(" ".join(note for note in notes if note)),
        ]  # fmt: skip


def csv_table(estimates: Estimates) -> str:
    """Write estimates as CSV: one header, one row an estimate.

    Args:
        estimates: Of the run.

    Returns:
        The columns `COLUMNS`, after a byte order mark. `table` is one of `areas`, `accuracy`, `gains_and_losses`,
        `landuse_before`, `landuse_after`, `transitions`, `areas_of_interest`, `agreement`, `strata`, `error_matrix`,
        `disagreement`, `intensity`, `not_observed`; those that the run does not have are left out. Hectares have 4 decimals,
        shares 6; what is not known is empty. Estimates of nothing that the sample met are empty too, and intensities of such
        gains, losses and transitions are left out. A text that a spreadsheet would run as a formula begins with an
        apostrophe, and line breaks in names are spaces.
    """
    return _join_lines(COLUMNS, (row.cells() for row in _tables(estimates)))


def csv_about(estimates: Estimates, name: str, dates: tuple[date, date]) -> str:
    """Write what describes the estimates as CSV: two columns, `about` and `text`.

    Args:
        estimates: Of the run.
        name: Of the run.
        dates: Of the images before and after.

    Returns:
        The run, its dates, the sample, the methods with their citations, how to read the columns, and the notes.
    """
    methods = {row.interval.method for row in _tables(estimates) if row.interval}
    rows = _about(estimates, name, dates, methods)
    notes = ((f"note {number}", note) for number, note in enumerate(estimates.notes, start=1))
    return _join_lines(("about", "text"), ([make_harmless(key), make_harmless(text)] for key, text in (*rows, *notes)))


def _join_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return _BYTE_ORDER_MARK + stream.getvalue()


def _tables(estimates: Estimates) -> Iterator[_Row]:
    yield from _areas_and_accuracy(estimates)
    for table, classes in (("landuse_before", estimates.landuse_before), ("landuse_after", estimates.landuse_after)):
        for entry in classes:
            yield _area(table, entry.name, entry.area_ha, entry.mapped_ha, n=entry.samples)
            yield _share(table, entry.name, "user's accuracy", entry.users_accuracy, n=entry.mapped_samples)
            yield _share(table, entry.name, "producer's accuracy", entry.producers_accuracy, n=entry.samples)
    for balance in estimates.balances:
        gain = ("gain", balance.gain_ha, balance.gained)
        loss = ("loss", balance.loss_ha, balance.lost)
        for quantity, moved, count in (gain, loss, ("net change", balance.net_ha, balance.samples)):
            yield _Row("gains_and_losses", quantity, balance.name, unit="ha", interval=moved, n=count)
    if estimates.transitions:
        yield from _transitions(estimates.transitions)
    for place in estimates.areas_of_interest:
        yield from _area_of_interest(place)
    if estimates.agreement:
        yield from _agreement(estimates.agreement)
    for stratum in estimates.samples.strata:
        yield from _stratum(stratum)
    yield from _error_matrix(estimates.matrix)
    if found := estimates.disagreement:
        for kind, value in (("quantity", found.quantity), ("allocation", found.allocation)):
            yield _share("disagreement", ALL_CLASSES, f"{kind} disagreement", _count(value))
    if estimates.intensity:
        yield from _intensity(estimates.intensity)
    yield _area("not_observed", "Not observed", _count(estimates.not_observed_ha),
                note="Neither changed nor unchanged: unknown, and in no estimate.")  # fmt: skip


def _about(
    estimates: Estimates, name: str, dates: tuple[date, date], interval_methods: set[str | None]
) -> Iterator[tuple[str, str]]:
    samples = estimates.samples
    facts = {
        "run": name, "run id": estimates.run, "before date": dates[0],
        "after date": dates[1], "confidence level": estimates.confidence_level, "seed": samples.seed,
        "file": samples.file, "sampled pixels": samples.total, "judged pixels": samples.used,
        "judged by": samples.judging.by, "dates of what they were judged by": samples.judging.dates,
    }  # fmt: skip
    used = {
        "areas of interest": estimates.areas_of_interest, "disagreement": estimates.disagreement,
        "intensity": estimates.intensity, "agreement": estimates.agreement,
        "limits where few cases were met": WILSON in interval_methods,
    }  # fmt: skip
    methods = {f"method: {about}": text for about, text in _METHODS.items() if used.get(about, True)}
    reading = {f"column: {column}": text for column, text in _READING.items()}
    for quantity, value in {**facts, **methods, **reading}.items():
        if value is not None:
            yield quantity, str(value)


def _areas_and_accuracy(estimates: Estimates) -> Iterator[_Row]:
    matrix, changed = estimates.matrix, estimates.changed
    mapped_as = dict(zip(matrix.codes, (sum(row) for row in matrix.counts), strict=True))
    kinds = [entry for entry in estimates.changes if entry.code >= CHANGED]
    everything = EstimatedClass(
        code=CHANGED, name=ALL_CHANGES, colour="", mapped_ha=changed.mapped_ha, area_ha=changed.area_ha,
        users_accuracy=changed.users_accuracy, producers_accuracy=changed.producers_accuracy,
        samples=sum(entry.samples for entry in kinds),
    )  # fmt: skip
    others = []
    if small := estimates.other_changes:
        together = EstimatedClass(
            code=CHANGED, name=OTHER_CHANGES, colour="", mapped_ha=small.mapped_ha, area_ha=small.area_ha,
            users_accuracy=small.users_accuracy, producers_accuracy=small.producers_accuracy, samples=small.samples,
        )  # fmt: skip
        others = [(together, sum(mapped_as[code] for code in small.codes))]
    rows = [
        *((entry, mapped_as[entry.code]) for entry in kinds),
        *others,
        (everything, sum(mapped_as[entry.code] for entry in kinds)),
        *((entry, mapped_as[entry.code]) for entry in estimates.changes if entry.code < CHANGED),
    ]
    within = "; ".join(small.names) if small else ""
    for entry, _ in rows:
        note = f"Of: {within}." if entry.name == OTHER_CHANGES and small else None
        yield _area("areas", entry.name, entry.area_ha, entry.mapped_ha, n=entry.samples, note=note)
    for entry, mapped in rows:
        yield _share("accuracy", entry.name, "user's accuracy", entry.users_accuracy, n=mapped)
        yield _share("accuracy", entry.name, "producer's accuracy", entry.producers_accuracy, n=entry.samples)
    yield _share("accuracy", ALL_CLASSES, "overall accuracy", estimates.overall_accuracy, n=estimates.samples.used)


def _transitions(transitions: TransitionMatrix) -> Iterator[_Row]:
    names, none = transitions.names, (None,) * len(transitions.names)
    counts = transitions.counts or (none,) * len(names)
    for before, cells, judged in zip(names, transitions.area_ha, counts, strict=True):
        for after, cell, n in zip(names, cells, judged, strict=True):
            yield _area("transitions", f"{before} to {after}", cell, n=n, note="Persistence." if before == after else None)


def _area_of_interest(place: EstimatedArea) -> Iterator[_Row]:
    total, hidden = place.total_ha, place.not_observed_ha
    for quantity, hectares in (("total area", total), ("observed area", total - hidden), ("not observed area", hidden)):
        yield _Row("areas_of_interest", quantity, place=place.name, unit="ha", interval=_count(hectares))
    changed = EstimatedPart(CHANGED, ALL_CHANGES, place.mapped_changed_ha, place.changed_ha, moved=place.moved)
    for entry in (changed, *place.changes):
        note = " ".join([*[place.note or ""] * bool(place.note), *[_MOVED] * entry.moved])
        yield _area(
            "areas_of_interest", entry.name, entry.area_ha, entry.mapped_ha, n=place.samples, place=place.name, note=note
        )


def _agreement(found: InterpreterAgreement) -> Iterator[_Row]:
    for part in found.questions:
        yield _share("agreement", ALL_CLASSES, f"equal answers on {part.question}", part.agreed, n=found.pixels)
        yield _Row("agreement", f"kappa of {part.question}", ALL_CLASSES, unit="kappa", interval=part.kappa, n=found.pixels)
        for entry in part.classes:
            either = entry.first + entry.second - entry.both
            yield _share("agreement", entry.name, f"equal answers on {part.question}", entry.agreement, n=either)


def _stratum(stratum: JudgedStratum) -> Iterator[_Row]:
    for quantity, count in (("pixels", stratum.pixels), ("drawn", stratum.drawn), ("judged", stratum.judged)):
        if count is not None:
            yield _Row("strata", quantity, stratum.name, unit="pixels", interval=_count(count))
    yield _Row("strata", "area of the stratum", stratum.name, unit="ha", interval=_count(stratum.area_ha), n=stratum.judged)


def _error_matrix(matrix: ErrorMatrix) -> Iterator[_Row]:
    for mapped, counts, areas in zip(matrix.names, matrix.counts, matrix.area_ha, strict=True):
        for reference, count, hectares in zip(matrix.names, counts, areas, strict=True):
            yield _Row("error_matrix", f"reference: {reference}", mapped, unit="ha", interval=_count(hectares), n=count)


def _intensity(intensity: Intensity) -> Iterator[_Row]:
    found: list[tuple[str, str, str, float | None, str | None]] = [
        ("share", ALL_CLASSES, "change intensity", intensity.change_intensity, None)
    ]
    for entry in intensity.classes:
        gain = ("gain", entry.gain_ha, entry.gain_intensity, entry.gain)
        loss = ("loss", entry.loss_ha, entry.loss_intensity, entry.loss)
        for way, hectares, share, verdict in (gain, loss):
            if hectares:
                found.append(("ha", entry.name, way, hectares, None))
                found.append(("share", entry.name, f"{way} intensity", share, verdict))
    for pair in intensity.transitions:
        if pair.area_ha:
            name = f"{pair.from_name} to {pair.to_name}"
            found += [
                ("share", name, "gain intensity", pair.gain_intensity, pair.gain),
                ("share", name, "uniform gain intensity", pair.gain_uniform, None),
                ("share", name, "loss intensity", pair.loss_intensity, pair.loss),
                ("share", name, "uniform loss intensity", pair.loss_uniform, None),
            ]
    for unit, name, quantity, value, note in found:
        if value is not None:
            yield _Row("intensity", quantity, name, unit=unit, interval=_count(value), note=note)


def _area(
    table: str, name: str, interval: Interval, mapped_ha: float | None = None, n: int | None = None, *,
    place: str = "", note: str | None = None,
) -> _Row:  # fmt: skip
    return _Row(table, "area", name, place, unit="ha", interval=interval, n=n, mapped_ha=mapped_ha, note=note)


def _share(table: str, name: str, quantity: str, interval: Interval, n: int | None = None) -> _Row:
    return _Row(table, quantity, name, unit="share", interval=interval, n=n)


def _count(value: float) -> Interval:
    return Interval(value, None, None, None)


def _number(value: float | None, unit: str) -> str:
    # Adding 0 makes a negative zero positive.
    return "" if value is None else f"{round(value, _DECIMALS[unit]) + 0:.{_DECIMALS[unit]}f}"
