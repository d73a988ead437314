"""Samples judged in Collect Earth Online: the plots file that it imports, and the sample data that it exports.

Which columns it asks for and gives is in its documentation, https://collect-earth-online-doc.readthedocs.io: a plots file needs
LON, LAT and PLOTID (a whole number); what it exports repeats further columns with `pl_` in front, and has a column for each
question of the survey, with the question as its name and the answer in words.
"""

import csv
import io
from pathlib import Path

import geopandas as gpd
import pandas as pd

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import read_bytes
from landshift.pipeline.legend import Legend
from landshift.pipeline.limits import JSON_BYTES
from landshift.pipeline.sample.judging.form import answers

QUESTIONS = {
    "reference_before": "Land use before", "reference_after": "Land use after", "reference_change": "What happened",
}  # fmt: skip
"""Column of the labelling file to the question of the survey."""

_FLAGGED = ("true", "t", "1", "yes")


def plots_csv(frame: gpd.GeoDataFrame) -> str:
    """Write a sample as a plots file for Collect Earth Online.

    Args:
        frame: From `sample_frame`.

    Returns:
        CSV with `LON`, `LAT` (WGS 84), `PLOTID`, `SAMPLE_ID` and `RUN_ID`, a row for each sample.
    """
    points = frame.geometry.to_crs(4326)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("LON", "LAT", "PLOTID", "SAMPLE_ID", "RUN_ID"))
    for x, y, name, run in zip(points.x, points.y, frame["sample_id"], frame["run_id"], strict=True):
        writer.writerow((f"{x:.8f}", f"{y:.8f}", int(str(name).lstrip("S")), name, run))
    return stream.getvalue()


def survey_lines(legend: Legend) -> list[str]:
    """Return the survey to set up there: each question with its answers."""
    return [f"{QUESTIONS[column]}: {', '.join(choices)}" for column, choices in answers(legend).items()]


def read_collected(path: Path, frame: gpd.GeoDataFrame, legend: Legend) -> gpd.GeoDataFrame:
    """Read the sample data that Collect Earth Online exported.

    Args:
        path: The CSV of `Download Sample Data`.
        frame: The sample as it was drawn, from `sample_frame`.
        legend: Of the run.

    Returns:
        The frame with the answers, as it is judged in QGIS; a flagged plot was looked at and not recognised.

    Raises:
        InputError: It is no such file, of another sample, has several points in a plot, or an answer is not of the legend.
    """
    table = _read_table(path)
    named = {_fold(column): column for column in table.columns}
    plot = next((named[name] for name in ("plot_id", "plotid") if name in named), None)
    questions = {column: named.get(_fold(QUESTIONS[column])) for column in answers(legend)}
    lacking = [QUESTIONS[column] for column, found in questions.items() if found is None]
    if plot is None or lacking:
        raise InputError(
            f"{path} lacks the column {'plot_id' if plot is None else lacking[0]!r}; its columns: "
            f"{', '.join(map(str, table.columns[:15]))}. Expected the CSV of `Download Sample Data` of Collect Earth Online, "
            f"of a survey with the questions {', '.join(QUESTIONS[column] for column in questions)}."
        )
    runs = set(table[named["pl_run_id"]]) - {""} if "pl_run_id" in named else set()
    own = set(frame["run_id"])
    if runs - own:
        raise InputError(f"{path} was judged for run {', '.join(sorted(runs - own))}, and the sample is of {', '.join(own)}.")
    numbers = {int(str(name).lstrip("S")): row for row, name in enumerate(frame["sample_id"])}
    places = pd.to_numeric(table[plot], errors="coerce")
    unknown = ~places.isin(list(numbers))
    if unknown.any():
        raise InputError(
            f"{path}: {int(unknown.sum())} plots are not of this sample ({', '.join(table[plot][unknown].head(5))}): give the "
            f"file of the project that its plots were imported into."
        )
    if places.duplicated().any():
        raise InputError(
            f"{path}: plot {int(places[places.duplicated()].iloc[0])} has several rows. A plot is one pixel, judged at one "
            f"point by one person: set the survey up with one sample point a plot, and give each interpreter's file apart."
        )
    rows = [numbers[int(n)] for n in places]
    asked = {column: found for column, found in questions.items() if found is not None}
    return _fill(frame, table, rows, path, questions=asked, named=named, legend=legend)


def _fill(
    frame: gpd.GeoDataFrame, table: pd.DataFrame, rows: list[int], path: Path, *, questions: dict[str, str],
    named: dict[str, str], legend: Legend,
) -> gpd.GeoDataFrame:  # fmt: skip
    """Return the frame with the answers of the table in these rows."""
    found = frame.copy()
    flagged = table[named["flagged"]].str.strip().str.lower().isin(_FLAGGED) if "flagged" in named else None
    for column, choices in answers(legend).items():
        known = {_fold(name): code for name, code in choices.items()}
        texts = table[questions[column]].map(_fold)
        wrong = (texts != "") & ~texts.isin(list(known))
        if wrong.any():
            raise InputError(
                f"{path}: {questions[column]!r} has the answer {table[questions[column]][wrong].iloc[0]!r}; expected "
                f"{', '.join(choices)}."
            )
        codes = texts.map(known)
        if flagged is not None:
            codes = codes.mask(flagged, 0)
        values: list[int | None] = [None] * len(found)
        for row, code in zip(rows, codes, strict=True):
            values[row] = None if pd.isna(code) else int(code)
        found[column] = pd.array(values, dtype="Int32")
    if "email" in named:
        people: list[str | None] = [None] * len(found)
        for row, who in zip(rows, table[named["email"]], strict=True):
            people[row] = who or None
        found["interpreter"] = pd.Series(people, index=found.index, dtype=object)
    return found


def _read_table(path: Path) -> pd.DataFrame:
    try:
        text = read_bytes(path, JSON_BYTES).decode("utf-8-sig")
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is no CSV in UTF-8: give the file as Collect Earth Online exported it.") from error


def _fold(text: object) -> str:
    return " ".join(str(text).casefold().split())
