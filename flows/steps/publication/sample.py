"""Sample: draw pixels of a run at random, and prepare them for being judged in QGIS."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.pipeline.drawing.chips import sample_chip, sample_window
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.manifest import remove_partials, replace_when_done, write_text
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.records import content_of, read_json, record_of, write_record
from landshift.pipeline.run.package import require_unharmed
from landshift.pipeline.run.record import RunRecord, read_run
from landshift.pipeline.run_files import CHANGE_MAP, IMAGES, PROBABILITY
from landshift.pipeline.sample.draw import DrawnSample, Sample, draw, draw_again
from landshift.pipeline.sample.judging.collect_earth import plots_csv, survey_lines
from landshift.pipeline.sample.judging.form import sample_form_qml, write_sample_project
from landshift.pipeline.sample.judging.points import sample_frame
from landshift.pipeline.sample.planning.anticipation import TestedKind, anticipate
from landshift.pipeline.sample.planning.plan import Aim, MapToSample, make_plan, plan_more, plan_strata, with_sizes
from landshift.pipeline.sample.planning.strata import PROBABILITIES, stratify
from landshift.pipeline.vector.write import write_sample_file

if TYPE_CHECKING:
    import geopandas as gpd

SAMPLES, PROJECT, RECORD = "samples.gpkg", "samples.qgz", "sample.json"
PLOTS, SURVEY = "collect_earth_plots.csv", "collect_earth_survey.txt"
"""For Collect Earth Online."""
DEFAULT_FOLDER = "sample"
"""Beside the run."""
_MOST = 20_000
"""Pixels of a sample; each gets two pictures, and costs an interpreter half a minute or more."""


@dataclass(frozen=True)
class Sampled:
    """A sample that waits to be judged."""

    folder: Path
    """Where it lies."""
    record: DrawnSample
    """As in `sample.json`."""
    fresh: bool
    """False where the same sample was there already, and where it was only planned."""

    @property
    def total(self) -> int:
        """Number of sampled pixels."""
        return sum(self.record.sizes.values())


@dataclass(frozen=True)
class RunToSample:
    """A run's map, read."""

    folder: Path
    """Of the run."""
    described: RunRecord
    """What describes it."""
    change: np.ndarray
    """uint8 (y, x): change codes."""
    probability: np.ndarray | None
    """uint8 (y, x): numbers of change_probability.tif; None where the run has none."""
    grid: Grid
    """Of both."""

    def facts(self) -> MapToSample:
        """Count what a plan has to know.

        Raises:
            InputError: Nothing was observed on both dates.
        """
        counts = np.bincount(self.change.ravel(), minlength=256)
        found = {code: int(n) for code, n in enumerate(counts) if n and code != NOT_OBSERVED}
        if not found:
            raise InputError(f"{self.folder / CHANGE_MAP}: no pixel was observed on both dates, so there is nothing to sample.")
        tested = {
            row.code: TestedKind(row.test.right, row.test.found, row.test.labelled or 0) for row in self.described.areas.changes
        }
        numbers = None
        if self.probability is not None:
            numbers = np.bincount(self.probability[self.change == UNCHANGED], minlength=256)
            # Numbers past the last one, which no observed pixel has, would be doubtful in `stratify`, too.
            numbers = np.append(numbers[: PROBABILITIES - 1], numbers[PROBABILITIES - 1 :].sum())
        return MapToSample(
            counts=found, names={change.code: change.name for change in Legend(self.described.legend).changes},
            probabilities=numbers, expected=anticipate(list(found), tested),
            hectares_per_pixel=self.described.areas.total_ha / self.change.size,
        )  # fmt: skip

    def strata(self, record: DrawnSample) -> np.ndarray:
        """Return the stratum of each pixel, uint8 (y, x), 0 = none.

        Raises:
            InputError: The map cannot have given the record.
        """
        asked = any(row.probability is not None for row in record.strata)
        if asked and self.probability is None:
            raise InputError(f"{self.folder} holds no {PROBABILITY}, by which the sample was drawn: copy the run again.")
        return stratify(self.change, self.probability, record.strata)


def read_to_sample(run: Path) -> RunToSample:
    """Read what a sample of a run is drawn from.

    Raises:
        InputError: The folder is no run, or not as it was made.
    """
    run = run.resolve()
    described = read_run(run)
    require_unharmed(run)
    change, grid = read_raster(run / CHANGE_MAP)
    probability = read_raster(run / PROBABILITY)[0] if (run / PROBABILITY).is_file() else None
    return RunToSample(run, described, change, probability=probability, grid=grid)


def sample_run(
    run: Path, output: Path | None = None, *, aim: Aim | None = None, seed: int = 0, draws: bool = True
) -> Sampled:  # fmt: skip
    """Draw a stratified random sample of a run's map, and write what is needed to judge it.

    Args:
        run: Folder of a run.
        output: Folder to make; `sample` beside the run where None.
        aim: What the sample is to reach; the defaults of `planning.plan` where None.
        seed: The same seed draws the same pixels.
        draws: Whether pixels are drawn; else the sample is only planned, and nothing is written.

    Raises:
        InputError: The folder is no run, nothing was observed, or another sample is there already.
    """
    found = read_to_sample(run)
    facts = found.facts()
    strata = plan_strata(facts, aim or Aim())
    record = DrawnSample(found.described.key, seed, strata, make_plan(facts, strata))
    _require_judgeable(record)
    folder = output if output is not None else found.folder.parent / DEFAULT_FOLDER
    return _publish(found, folder, record) if draws else Sampled(folder, record, False)


def add_to_sample(
    run: Path, first: Path, output: Path | None = None, *, size: int | None, area_error: float | None, seed: int = 0,
    draws: bool = True,
) -> Sampled:  # fmt: skip
    """Draw more pixels of the strata of a sample: together they are one sample of that design.

    Args:
        run: Folder of the run.
        first: Folder of the sample, with its `sample.json`; where it was added to others, these belong to it.
        output: Folder to make; that of the sample with the next free number where None.
        size: Pixels to add; None adds what the error needs.
        area_error: Relative error of the changed area that all are to reach together.
        seed: The same seed draws the same pixels.
        draws: Whether pixels are drawn; else they are only planned.

    Raises:
        InputError: The sample is of another run or does not fit its map, or nothing has to be added.
    """
    found = read_to_sample(run)
    before = read_sample_record(first / RECORD, found)
    facts = found.facts()
    strata = plan_more(facts, before, size=size, area_error=area_error)
    total = sum(sum(draw_.sizes) for draw_ in before.draws)
    every = with_sizes(strata, [s.samples + sum(d.sizes[i] for d in before.draws) for i, s in enumerate(strata)])
    record = DrawnSample(before.run, seed, strata, make_plan(facts, every, before=total), earlier=before.draws)
    if not sum(record.sizes.values()):
        raise InputError(
            f"{first} needs no more pixels for that: its {total:,} are expected to be enough. Give --size to add some."
        )
    _require_judgeable(record)
    number = 2 + len(before.earlier)
    stem = first.resolve().name.removesuffix(f"-{number - 1}")
    folder = output if output is not None else first.resolve().parent / f"{stem}-{number}"
    return _publish(found, folder, record) if draws else Sampled(folder, record, False)


def read_sample_record(path: Path, run: RunToSample) -> DrawnSample:
    """Read the `sample.json` of a sample of a run.

    Raises:
        InputError: It is missing or damaged, is of another run, or the map cannot have given it.
    """
    try:
        record = record_of(DrawnSample, read_json(path), str(path))
    except (OSError, InputError) as error:
        raise InputError(
            f"{path} is damaged: expected JSON with `run`, `seed` and `strata`, as it was written. Copy it again from "
            f"where `landshift sample` made it."
        ) from error
    if record.run != run.described.key:
        raise InputError(
            f"{path}: the sample was drawn for run {record.run}, and this is run {run.described.key}. A run that is made "
            f"again is another map: draw a sample of it with `landshift sample`."
        )
    _require_fit(path, record, run.strata(record))
    return record


def _require_fit(path: Path, record: DrawnSample, strata: np.ndarray) -> None:
    there = np.bincount(strata.ravel(), minlength=256)
    again = "Copy it again from where `landshift sample` made it."
    if not record.strata or any(len(one.sizes) != len(record.strata) for one in record.earlier):
        raise InputError(f"{path} does not fit the map: it records no drawn pixels of any stratum. {again}")
    for row in record.strata:
        drawn = [one.sizes[record.strata.index(row)] for one in record.draws]
        if (
            not 0 < row.number < len(there)
            or min(drawn) < 0
            or sum(drawn) > there[row.number]
            or row.pixels != there[row.number]
        ):
            raise InputError(
                f"{path} does not fit the map: it records {sum(drawn)} drawn of {row.pixels} pixels of stratum {row.number}, "
                f"of which the map has {int(there[row.number]) if 0 < row.number < len(there) else 0}. {again}"
            )


def _require_judgeable(record: DrawnSample) -> None:
    if sum(record.sizes.values()) > _MOST:
        raise InputError(
            f"{sum(record.sizes.values()):,} pixels would be drawn, more than the {_MOST:,} that can be judged: lower --size "
            f"or --minimum, or raise --area-error or --target-error."
        )


def _publish(run: RunToSample, folder: Path, record: DrawnSample) -> Sampled:
    """Draw the pixels, and write what is needed to judge them."""
    remove_partials(folder.parent)
    if folder.exists():
        _require_same(folder, record)
        return Sampled(folder, record, False)
    strata = run.strata(record)
    before = draw_again(strata, replace_last(record)) if record.earlier else None
    sample = draw(strata, record.sizes, record.seed, without=before)
    described, grid = run.described, run.grid
    legend = Legend(described.legend)
    try:
        with replace_when_done(folder, new=True) as target, step("Drawing the sample") as advance:
            target.mkdir(parents=True)
            frame = sample_frame(sample, grid, legend, run_id=described.key, first=record.first_number)
            _write_chips(run.folder, target, frame, sample, advance=advance)
            dates = (str(described.before_date), str(described.after_date))
            write_sample_file(target / SAMPLES, frame, sample_form_qml(legend, abs(float(grid.transform.a)), dates))
            images = {epoch: run.folder / file for epoch, file in IMAGES.items()}
            crs = inspect(images["after"]).crs
            write_sample_project(target / PROJECT, folder, legend, images, grid=grid, crs=crs, dates=dates)
            write_text(target / PLOTS, plots_csv(frame))
            write_text(target / SURVEY, "\n".join(survey_lines(legend)) + "\n")
            write_record(target / RECORD, record)
    except FileExistsError:
        _require_same(folder, record)  # another process made it meanwhile, and a person may have begun to judge
        return Sampled(folder, record, False)
    return Sampled(folder, record, True)


def replace_last(record: DrawnSample) -> DrawnSample:
    """Return the record of the sample that another one was added to."""
    last = record.earlier[-1]
    return replace(record, seed=last.seed, strata=with_sizes(record.strata, last.sizes), earlier=record.earlier[:-1])


def _require_same(folder: Path, record: DrawnSample) -> None:
    try:
        found = read_json(folder / RECORD)
    except (OSError, InputError):
        found = None
    if found != content_of(record) or not (folder / SAMPLES).is_file():
        what = (
            f"a sample of run {found.get('run')} with seed {found.get('seed')}" if isinstance(found, dict) else "something else"
        )
        raise InputError(
            f"{folder} holds {what} already, which may have been judged. It is not overwritten: choose another folder "
            f"with --output, or move this one away."
        )


def _write_chips(run: Path, folder: Path, frame: "gpd.GeoDataFrame", sample: Sample, *, advance: Any) -> None:  # noqa: ANN401
    (folder / "chips").mkdir()
    with open_readers(*(run / file for file in IMAGES.values())) as readers:
        places = zip(frame["chip"], sample.rows.tolist(), sample.columns.tolist(), strict=True)
        for number, (chip, row, column) in enumerate(places, start=1):
            before, after = (np.nan_to_num(reader.read(sample_window(row, column))).astype(np.uint8) for reader in readers)
            (folder / chip).write_bytes(sample_chip(before, after))
            advance(number / len(frame))
