"""The demo's sample: drawn from the map, judged by the exact truth, and compared with it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from landshift.flows.steps.publication.estimate import estimate_run
from landshift.flows.steps.publication.sample import RECORD, SAMPLES, sample_run
from landshift.pipeline.change.areas_of_interest import membership
from landshift.pipeline.change.areas_reading import read_areas_of_interest
from landshift.pipeline.demo.files import MUNICIPALITIES
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.records import content_of
from landshift.pipeline.run.record import read_run
from landshift.pipeline.run_files import CHANGE_MAP
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.judging.form import sample_form_qml
from landshift.pipeline.sample.judging.points import read_samples
from landshift.pipeline.vector.write import write_sample_file

_JUDGED = "judged.gpkg"


def estimate_demo(run: Path, data: Path) -> tuple[dict[str, Any], list[str]]:
    """Draw a sample of the demo's map, judge it without an error, and estimate areas from it.

    Args:
        run: Folder of the run.
        data: Folder of the territory, with the truth of both dates and the municipalities.

    Returns:
        How many of the intervals hold the truth, for machines, and as lines for people.
    """
    _forget_other_runs(run)
    sampled = sample_run(run)
    judged = sampled.folder / _JUDGED
    truth = {epoch: read_raster(data / f"truth_{epoch}.tif")[0] for epoch in ("before", "after")}
    described = read_run(run)
    legend, dates = Legend(described.legend), (str(described.before_date), str(described.after_date))
    frame = read_samples(sampled.folder / SAMPLES)
    at = (frame["row"].to_numpy(dtype=np.int64), frame["column"].to_numpy(dtype=np.int64))
    for epoch, codes in truth.items():
        frame[f"reference_{epoch}"] = pd.array(codes[at], dtype="Int32")
    frame["interpreter"] = "the exact truth"
    write_sample_file(judged, frame, sample_form_qml(legend, described.grid.pixel_size_m, dates))
    estimates = estimate_run(run, [judged]).estimates

    change, grid = read_raster(run / CHANGE_MAP)
    seen = change != NOT_OBSERVED
    true_codes = np.where(seen, legend.change_lookup()[truth["before"], truth["after"]], np.uint8(NOT_OBSERVED))
    hectares = estimates.changed.mapped_ha / max(int((change >= CHANGED).sum()), 1)
    kinds = [
        (row.area_ha, float((true_codes == row.code).sum()) * hectares)
        for row in estimates.changes
        if row.area_ha.low is not None
    ]
    places = read_areas_of_interest(data / MUNICIPALITIES, grid)
    rows, columns = np.nonzero(true_codes > UNCHANGED)
    inside = membership(places, rows, columns).sum(axis=1)
    towns = [(row.changed_ha, float(n) * hectares) for row, n in zip(estimates.areas_of_interest, inside.tolist(), strict=True)]
    total = (estimates.changed.area_ha, float((true_codes > UNCHANGED).sum()) * hectares)
    found: dict[str, Any] = {
        "samples": sampled.total,
        "changed_ha": {**content_of(total[0]), "truth": round(total[1], 1), "mapped": estimates.changed.mapped_ha},
        "changed_holds_truth": _holds(*total),
        "kinds_that_hold_truth": [sum(_holds(*pair) for pair in kinds), len(kinds)],
        "areas_of_interest_that_hold_truth": [sum(_holds(*pair) for pair in towns), len(towns)],
    }  # fmt: skip
    lines = [
        f"Estimated from {sampled.total:,} sampled pixels, judged by the truth: {total[0].estimate:,.1f} ha changed "
        f"({total[0].low:,.1f} to {total[0].high:,.1f}); in truth {total[1]:,.1f} ha, mapped "
        f"{estimates.changed.mapped_ha:,.1f} ha.",
        f"The truth lies in {found['kinds_that_hold_truth'][0]} of {len(kinds)} intervals of the kinds of change, and in "
        f"{found['areas_of_interest_that_hold_truth'][0]} of {len(towns)} of the municipalities.",
    ]
    return found, lines


def _forget_other_runs(run: Path) -> None:
    """Take away the sample of an earlier map: no work is lost here, because the truth judges again."""
    folder = run.parent / "sample"
    record = folder / RECORD
    if record.is_file() and json.loads(record.read_text(encoding="utf-8")).get("run") != read_run(run).key:
        shutil.rmtree(folder)


def _holds(interval: Interval, truth: float) -> bool:
    """Return whether an interval holds the truth; one that is not known does not."""
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high
