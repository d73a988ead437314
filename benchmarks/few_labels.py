"""What few labels are enough for: pixel models, forests and classical methods, by share of the training blocks.

    python benchmarks/few_labels.py DATA OUT [--divisions 3 4 5] [--light]

DATA holds the Taizhou pair of `configs/taizhou.yaml`. OUT is a file of JSON lines; what it holds already is not measured again.
The blocks that are tested and validated on are those of a division into blocks (`split: seed:`); of its training blocks a share
is drawn, at least one block, with both changed and unchanged pixels. Kappa is on all labelled pixels of the test blocks: `half`
maps a probability of 0.5 and more, so that nothing is taken from the validation blocks; `chosen` has the threshold and the
temperature that `landshift train` takes from them. `--light` measures instead a model of all training blocks on copies of the
pair with another light on the date after, and with its dates exchanged.

The settings of `models/estimators/fit.py` were chosen on divisions 0, 1 and 2.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks_by_labels import classical, draw, merge, prepare
from other_light import change_map, copy_pair, lights, score
from sklearn.ensemble import RandomForestClassifier

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import Recipe, encoder_of, fit_network
from landshift.flows.steps.learning.judging import judge, keep_labelled
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.search import TEST, TRAIN
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.tiles import Window

DRAWS = {0.01: 4, 0.05: 3, 0.1: 3, 1.0: 1}
"""Draws of blocks in each division, by share."""


def forests(images: Pair, masks: DividedLabels) -> dict[str, dict[str, float]]:
    """Score the forest of thirty lines: both dates and their difference at each pixel, as they are and matched."""
    shape = masks.role.shape
    raw = [np.stack([read_raster(path, band)[0] for band in range(1, 7)]) for path in images.images]
    with images.source.open() as reader:
        matched = reader.read(Window(0, 0, *shape))
    train, test = masks.role == TRAIN, masks.role == TEST
    rows = {}
    for name, (before, after) in {"forest": raw, "forest, matched": (matched.before, matched.after)}.items():
        values = np.concatenate([before, after, after - before]).astype(np.float32)
        fitted = RandomForestClassifier(200, random_state=0).fit(values[:, train].T, masks.labels.change[train])
        found = fitted.predict_proba(values[:, test].T)[:, 1]
        kappa = binary_scores(masks.labels.change[test], found, 0.5).kappa
        rows[name] = {"half": round(float(kappa or 0), 4)}
    return rows


def pixel_model(ws: Workspace, images: Pair, masks: DividedLabels, strategy: str) -> dict[str, Any]:
    """Fit and judge `boosted` or `probe`."""
    started, cpu = time.perf_counter(), time.process_time()
    recipe = Recipe(encoder_of(ws), strategy, 0, 1, chips_per_epoch=1)
    bundle, network = fit_network(ws, images, recipe, masks, checkpoints=Path(), advance=lambda _: None)
    seconds = time.perf_counter() - started, time.process_time() - cpu
    _, scores, calibrated = judge(ws, images, bundle, network, masks=masks)
    test = calibrated.raw.role == TEST
    found, truth = keep_labelled(calibrated.raw.probability, calibrated.raw.labels.change, test)
    return {
        "half": round(float(binary_scores(truth, found, 0.5).kappa or 0), 4), "chosen": scores.test.kappa,
        "calibration_error": scores.calibration_error, "seconds": round(seconds[0], 1), "cpu_seconds": round(seconds[1], 1),
    }  # fmt: skip


def measure(given: argparse.Namespace, known: set[tuple[Any, ...]], output: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each method, division, share and draw."""
    base = load_project(find_config("taizhou.yaml")).model_dump(mode="json")
    for division in given.divisions:
        content = merge(base, {"name": f"d{division}", "split": {"seed": division}})
        ws, images, masks = prepare(Project.model_validate(content), given.data, output)
        if ("IR-MAD", division, 0.0, 0) not in known:
            for name, row in classical(images, masks).items():
                yield {"method": name, "division": division, "share": 0.0, "draw": 0, **row}
        for share, draws in DRAWS.items():
            for number in range(draws):
                if ("boosted", division, share, number) in known:
                    continue
                chosen, pixels = draw(masks, share, ws.project.split.block_px, seed=100 * division + number)
                rows: dict[str, dict[str, Any]] = dict(forests(images, chosen))
                rows |= {name: pixel_model(ws, images, chosen, name) for name in ("probe", "boosted")}
                for name, row in rows.items():
                    yield {"method": name, "division": division, "share": share, "draw": number, "pixels": pixels, **row}


def measure_light(given: argparse.Namespace, output: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each copy of the pair."""
    base = load_project(find_config("taizhou.yaml")).model_dump(mode="json")

    def project(name: str) -> Project:
        return Project.model_validate(merge(base, {"name": name}))

    ws, images, masks = prepare(project("home"), given.data, output)
    bundle, network = fit_network(
        ws,
        images,
        Recipe(encoder_of(ws), "boosted", 0, 1, chips_per_epoch=1),
        masks,
        checkpoints=Path(),
        advance=lambda _: None,
    )
    bundle, _, _ = judge(ws, images, bundle, network, masks=masks)
    home = change_map(network, images, bundle.temperatures)
    yield {"light": "home", **score(home, masks, bundle.threshold)}
    for number, (name, light) in enumerate([*lights(20), ("dates exchanged", None)]):
        data = copy_pair(given.data, output / f"copy-{number}", light, exchanged=light is None)
        _, pair, _ = prepare(project(f"copy-{number}"), data, output)
        found = change_map(network, pair, bundle.temperatures)
        flipped = float(((found >= bundle.threshold) != (home >= bundle.threshold)).mean())
        yield {"light": name, **score(found, masks, bundle.threshold), "flipped": round(flipped, 5)}


def main() -> int:
    """Measure every row that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--divisions", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--light", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in given.out.read_text(encoding="utf-8").splitlines()] if given.out.exists() else []
    known = {tuple(row[k] for k in ("method", "division", "share", "draw")) for row in lines if "method" in row}
    with tempfile.TemporaryDirectory() as folder, given.out.open("a", encoding="utf-8") as file:
        for row in measure_light(given, Path(folder)) if given.light else measure(given, known, Path(folder)):
            print(json.dumps(row), file=sys.stderr)
            file.write(json.dumps(row) + "\n")
            file.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
