"""Sample: draw pixels of a run at random, and prepare them for being judged in QGIS."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.pipeline.drawing.chips import sample_chip, sample_window
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.manifest import remove_partials, replace_when_done
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.records import content_of, read_json, write_record
from landshift.pipeline.run.package import require_unharmed
from landshift.pipeline.run.record import RunRecord, read_run
from landshift.pipeline.run_files import CHANGE_MAP, IMAGES
from landshift.pipeline.sample.draw import DrawnSample, DrawnStratum, Sample, allocate, draw
from landshift.pipeline.sample.judging.form import sample_form_qml, write_sample_project
from landshift.pipeline.sample.judging.points import sample_frame
from landshift.pipeline.vector.write import write_sample_file

if TYPE_CHECKING:
    import geopandas as gpd

SAMPLES, PROJECT, RECORD = "samples.gpkg", "samples.qgz", "sample.json"
DEFAULT_FOLDER = "sample"
"""Beside the run."""
_MOST = 20_000
"""Pixels of a sample; each gets two pictures, and costs an interpreter half a minute or more."""

_ACCURACY_UNCHANGED, _ACCURACY_CHANGED = 0.95, 0.7
"""Expected user's accuracies where the model was not tested on a change."""


@dataclass(frozen=True)
class Sampled:
    """A sample that waits to be judged."""

    folder: Path
    """Where it lies."""
    record: DrawnSample
    """As in `sample.json`."""
    fresh: bool
    """False where the same sample was there already."""

    @property
    def total(self) -> int:
        """Number of sampled pixels."""
        return sum(self.record.sizes.values())


def sample_run(
    run: Path, output: Path | None = None, *, size: int | None = None, target_standard_error: float = 0.01, minimum: int = 50,
    seed: int = 0,
) -> Sampled:  # fmt: skip
    """Draw a stratified random sample of a run's map, and write what is needed to judge it.

    Args:
        run: Folder of a run.
        output: Folder to make; `sample` beside the run where None.
        size: Number of pixels in all; None takes what the target needs, and the minimum on top.
        target_standard_error: Of the overall accuracy, 0..1, for which the size is chosen.
        minimum: Pixels in each stratum at least, rare ones included; less where a given size does not allow it.
        seed: The same seed draws the same pixels.

    Raises:
        InputError: The folder is no run, nothing was observed, or another sample is there already.
    """
    run = run.resolve()
    described = read_run(run)
    require_unharmed(run)
    folder = output if output is not None else run.parent / DEFAULT_FOLDER
    codes, grid = read_raster(run / CHANGE_MAP)
    counts = {code: int(n) for code, n in enumerate(np.bincount(codes.ravel(), minlength=256)) if n and code != NOT_OBSERVED}
    if not counts:
        raise InputError(f"{run / CHANGE_MAP}: no pixel was observed on both dates, so there is nothing to sample.")
    expected = expect_accuracy(described, counts)
    sizes = allocate(counts, expected, size=size, target_standard_error=target_standard_error, minimum=minimum)
    if sum(sizes.values()) > _MOST:
        raise InputError(
            f"{sum(sizes.values()):,} pixels would be drawn, more than the {_MOST:,} that can be judged: lower --size or "
            f"--minimum, or raise --target-error."
        )
    legend = Legend(described.legend)
    names = {change.code: change.name for change in legend.changes}
    strata = tuple(
        DrawnStratum(code, names[code], counts[code], n, expected_accuracy=expected[code]) for code, n in sizes.items()
    )
    record = DrawnSample(described.key, seed, strata)
    remove_partials(folder.parent)
    if folder.exists():
        _require_same(folder, record)
        return Sampled(folder, record, False)
    sample = draw(codes, sizes, seed)
    try:
        with replace_when_done(folder, new=True) as target, step("Drawing the sample") as advance:
            target.mkdir(parents=True)
            frame = sample_frame(sample.rows, sample.columns, grid, legend, run_id=described.key)
            _write_chips(run, target, frame, sample, advance=advance)
            dates = (str(described.before_date), str(described.after_date))
            write_sample_file(target / SAMPLES, frame, sample_form_qml(legend, abs(float(grid.transform.a)), dates))
            images = {epoch: run / file for epoch, file in IMAGES.items()}
            crs = inspect(images["after"]).crs
            write_sample_project(target / PROJECT, folder, legend, images, grid=grid, crs=crs, dates=dates)
            write_record(target / RECORD, record)
    except FileExistsError:
        _require_same(folder, record)  # another process made it meanwhile, and a person may have begun to judge
        return Sampled(folder, record, False)
    return Sampled(folder, record, True)


def expect_accuracy(run: RunRecord, counts: dict[int, int]) -> dict[int, float]:
    """Return how often the map is expected to be right, by change code: as on the model's test blocks where it was tested.

    Args:
        run: What describes the run.
        counts: Pixels by change code.
    """
    tested = {row.code: row.test.right for row in run.areas.changes}
    found = {}
    for code in counts:
        default = _ACCURACY_UNCHANGED if code == UNCHANGED else _ACCURACY_CHANGED
        known = tested.get(code)
        # Of few test pixels all can be right or wrong: a plan must not rest on certainty.
        found[code] = default if known is None else min(max(known, 0.5), 0.98)
    return found


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


def _write_chips(run: Path, folder: Path, frame: "gpd.GeoDataFrame", sample: Sample, advance: Any) -> None:  # noqa: ANN401
    (folder / "chips").mkdir()
    with open_readers(*(run / file for file in IMAGES.values())) as readers:
        places = zip(frame["chip"], sample.rows.tolist(), sample.columns.tolist(), strict=True)
        for number, (chip, row, column) in enumerate(places, start=1):
            before, after = (np.nan_to_num(reader.read(sample_window(row, column))).astype(np.uint8) for reader in readers)
            (folder / chip).write_bytes(sample_chip(before, after))
            advance(number / len(frame))
