"""Judged samples as they come back: with the records of their draws, checked against the map, and put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from landshift.flows.steps.publication.sample import DEFAULT_FOLDER, RECORD, RunToSample, read_sample_record
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import write_text
from landshift.pipeline.sample.agreement import InterpreterAgreement
from landshift.pipeline.sample.draw import DrawnSample, DrawnStratum, Sample, draw_again
from landshift.pipeline.sample.judging.collect_earth import read_collected
from landshift.pipeline.sample.judging.points import join_frames, read_samples, require_in_place, sample_frame
from landshift.pipeline.sample.planning.plan import with_sizes
from landshift.pipeline.sample.references import References, check_references

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class JudgedSamples:
    """All judged pixels of a sample, of one draw or of several."""

    frame: "gpd.GeoDataFrame"
    """As they were judged, all files one after the other."""
    references: References
    """The judgements that can be used."""
    record: DrawnSample
    """Of the last draw, which names the earlier ones."""
    strata: tuple[DrawnStratum, ...]
    """With the pixels of all draws."""
    stratum_map: np.ndarray
    """uint8 (y, x): number of the stratum of each pixel, 0 = none."""


def read_judged_samples(paths: Sequence[Path], run: RunToSample, legend: Legend, *, allow_missing: bool) -> JudgedSamples:
    """Read judged samples, and check them.

    Args:
        paths: One file for each draw: as QGIS saved it, or the sample data (CSV) of Collect Earth Online.
        run: That they were drawn from.
        legend: Of the run.
        allow_missing: Leave out pixels that were not judged.

    Raises:
        InputError: Anything about a sample that does not fit the run or the others.
    """
    records = [read_sample_record(_find_record(path, run.folder), run) for path in paths]
    record = _join_records(paths, records)
    stratum_map = run.strata(record)
    drawn = draw_again(stratum_map, record)
    frames = [_read(path, one, drawn, run=run, legend=legend) for path, one in zip(paths, records, strict=True)]
    joined = join_frames(frames)
    names = ", ".join(str(path) for path in paths)
    try:
        references = check_references(
            legend, joined, run=run.described.key, shape=(run.grid.shape[0], run.grid.shape[1]), allow_missing=allow_missing,
            drawn=drawn,
        )  # fmt: skip
        require_in_place(joined, run.grid)
    except InputError as error:
        raise InputError(f"{names}: {error}") from error
    sizes = [sum(one) for one in zip(*(draw.sizes for draw in record.draws), strict=True)]
    return JudgedSamples(joined, references, record, strata=with_sizes(record.strata, sizes), stratum_map=stratum_map)


def _read(path: Path, record: DrawnSample, drawn: Sample, *, run: RunToSample, legend: Legend) -> "gpd.GeoDataFrame":
    """Read one judged file."""
    if path.suffix.lower() != ".csv":
        return read_samples(path)
    first, number = record.first_number, sum(record.sizes.values())
    part = slice(first - 1, first - 1 + number)
    own = Sample(drawn.rows[part], drawn.columns[part])
    return read_collected(path, sample_frame(own, run.grid, legend, run_id=record.run, first=first), legend)


def write_disagreements(path: Path, first: JudgedSamples, second: JudgedSamples, agreement: InterpreterAgreement) -> None:
    """List the samples on which two interpreters differ, with what each answered, to agree upon."""
    chosen = list(agreement.disagreements)
    columns = [c for c in ("reference_change", "reference_before", "reference_after") if c in first.frame]
    tables = [judged.frame.set_index("sample_id").loc[chosen] for judged in (first, second)]
    rows = {"sample_id": chosen, "row": tables[0]["row"].to_numpy(), "column": tables[0]["column"].to_numpy()}
    for column in columns:
        for which, table in zip(("first", "second"), tables, strict=True):
            rows[f"{column}_{which}"] = table[column].to_numpy()
    for which, table in zip(("first", "second"), tables, strict=True):
        rows[f"interpreter_{which}"] = table["interpreter"].to_numpy()
    write_text(path, pd.DataFrame(rows).to_csv(index=False))


def _find_record(samples: Path, run: Path) -> Path:
    """Return the `sample.json` of a sample: with it the sample can be drawn again, and compared with what comes back.

    Raises:
        InputError: It is neither beside the sample nor where `landshift sample` puts it.
    """
    places = [samples.parent / RECORD, run.parent / DEFAULT_FOLDER / RECORD]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(
            f"{places[0]} is not there. `landshift sample` wrote it beside the sample: it records which pixels were drawn. "
            f"Copy it beside {samples.name}."
        )
    return found


def _join_records(paths: Sequence[Path], records: Sequence[DrawnSample]) -> DrawnSample:
    """Return the record of the last draw, of which the others have to be the earlier ones.

    Raises:
        InputError: They are of different designs, one is given twice, or an earlier one is missing.
    """
    order = sorted(range(len(records)), key=lambda i: len(records[i].earlier))
    last = records[order[-1]]
    for i, there in zip(order, range(len(order)), strict=True):
        record = records[i]
        if record.draws != last.draws[: len(record.draws)] or _design(record) != _design(last):
            raise InputError(
                f"{paths[i]} is not a part of the sample of {paths[order[-1]]}: only samples that were added to each other "
                f"(`landshift sample --add-to`) can be estimated from together. Estimate from one of them."
            )
        if len(record.earlier) > there:
            raise InputError(
                f"{paths[i]} was added to a sample that is not given: estimates need all draws. Give the files of the "
                f"{len(record.earlier)} earlier ones, too."
            )
        if len(record.earlier) < there:
            raise InputError(f"{paths[i]} is given twice: give the file of each draw once.")
    return last


def _design(record: DrawnSample) -> tuple[DrawnStratum, ...]:
    """Return the strata of a sample, whatever was drawn of them."""
    return with_sizes(record.strata, [0] * len(record.strata))
