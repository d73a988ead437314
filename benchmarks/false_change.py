"""What a model that was trained elsewhere maps as change where no land use changed: before and after each adaptation.

    python benchmarks/false_change.py DATA MODEL [--out FILE]

DATA holds Sentinel-2 monthly syntheses of one year (`configs/unlabelled.yaml`), MODEL is a trained model with the same bands.
The threshold is chosen on the pair with the longest way between its seasons, the first and the last date, so that 0.1 % of it
is mapped as changed, and then used on the other pairs.
"""

import argparse
import json
import re
import sys
import tempfile
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.assessment.adapting import METHODS, adapt_model
from landshift.flows.steps.images.epochs import Pair, prepare_epoch
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.learning.fitting import require_model_fits
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.models.use.bundle import describe, load
from landshift.models.use.inference import device_of
from landshift.models.use.streaming import stream
from landshift.pipeline.change.decision import decide
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, Legend
from landshift.pipeline.tiles import tiles

ALLOWED = 0.001


def pair_of(base: Project, days: tuple[date, date], data: Path, output: Path, model: Path) -> tuple[Workspace, Pair]:
    """Prepare two dates of the year as a project of their own."""
    content = base.model_dump(mode="json")
    content["name"] = f"{days[0]}-{days[1]}"
    content["epochs"] = {name: {"start": str(d), "end": str(d)} for name, d in zip(("before", "after"), days, strict=True)}
    ws = workspace(Project.model_validate(content), data, output, model=model)
    ws.require_writable()
    made = plan(ws)
    require_model_fits(ws, made)
    before, after = (prepare_epoch(ws, made, name) for name in ("before", "after"))
    radiometry = match_dates(ws, made.sensor.units, before, after)
    return ws, Pair(made, before, after, radiometry=radiometry)


def predict_tiles(ws: Workspace, prepared: Pair, method: str) -> list[Any]:
    """Return the probabilities of every tile, at the model's own temperatures."""
    bundle, network = load(ws.model_in_use)
    ready = adapt_model(ws, prepared, bundle, network, method)
    grid = prepared.plan.grid
    work = tiles((grid.shape[0], grid.shape[1]), 256, 128)
    network = ready.network.to(device_of("auto")).eval()
    mapped = stream(network, replace(prepared.source, adaptation=ready.mappings), work, bundle.temperatures)
    return [one.probabilities for one in mapped]


def share(said: list[Any], legend: Legend, threshold: float) -> float:
    """Share of the observed pixels that is mapped as changed."""
    codes = np.concatenate([decide(s.change, s.before, s.after, legend, threshold).change.ravel() for s in said])
    return float((codes >= CHANGED).sum() / max((codes != NOT_OBSERVED).sum(), 1))


def lowest_threshold(said: list[Any], legend: Legend) -> float:
    """Smallest of 99 thresholds that maps at most the allowed share as changed."""
    fitting = (t for t in np.linspace(0.01, 0.99, 99) if share(said, legend, float(t)) <= ALLOWED)
    return float(next(fitting, 1.0))


def main() -> int:
    """Measure the longest pairs, and every pair of neighbouring dates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    base = load_project(find_config("unlabelled.yaml"))
    found = sorted(re.findall(r"(\d{4})(\d\d)(\d\d)", " ".join(p.name for p in given.data.glob("*.tif"))))
    days = [date(*map(int, parts)) for parts in found]
    rows: list[dict[str, Any]] = []
    thresholds: dict[str, float] = {}
    bundle = describe(given.model)
    with tempfile.TemporaryDirectory() as output:
        for pair in [(days[0], days[-1]), (days[1], days[-1]), *pairwise(days)]:
            ws, prepared = pair_of(base, pair, given.data, Path(output), given.model)
            for method in ("none", *METHODS):
                row: dict[str, Any] = {"before": str(pair[0]), "after": str(pair[1]), "method": method}
                try:
                    said = predict_tiles(ws, prepared, method)
                except InputError as error:
                    rows.append(row | {"reason": str(error)})
                    continue
                row["own_threshold"] = share(said, bundle.legend, bundle.threshold)
                if method in thresholds:
                    row["threshold_of_the_longest_pair"] = share(said, bundle.legend, thresholds[method])
                if pair == (days[0], days[-1]):
                    thresholds[method] = lowest_threshold(said, bundle.legend)
                rows.append(row)
                print(json.dumps(row), file=sys.stderr)
    result = {"model_threshold": bundle.threshold, "thresholds": thresholds, "rows": rows}
    text = json.dumps(result, indent=2)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
