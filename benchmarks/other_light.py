"""A model in other light: trained on a pair as it is, applied to copies of the pair with another light on one date.

    python benchmarks/other_light.py DATA [--draws 20] [--epochs 10] [--chips 192] [--out FILE]

DATA holds the Taizhou pair of `configs/taizhou.yaml`. Each copy has other gains (0.7 to 1.3) and offsets (up to 20 numbers) in
every band of the date after, or a gamma, or haze; or its dates are exchanged. Numbers are rounded and cut off at 0 and 255, as
a file has them. Measured with matched dates and without: kappa on the test blocks, the share mapped as changed, and the share
of the territory that lies beyond the edge of the training regions (`domain_shift.tif`).
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from networks_by_labels import ARMS, merge, prepare

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.blocks import BLOCK, training_blocks
from landshift.flows.steps.learning.fitting import Recipe, encoder_of, fit_network
from landshift.flows.steps.learning.judging import judge, keep_labelled
from landshift.models.transfer.blocks import BlockFeatures, block_embeddings
from landshift.models.transfer.shift import fit_shift
from landshift.models.use.streaming import stream
from landshift.pipeline.labels.search import TEST
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.tiles import tiles

COMPARED = ("as it is", "matched", "matched, ir-mad")
NAMES = ("taizhou_LE07_20000317.tif", "taizhou_LE07_20030206.tif")
LABELS = "taizhou_label.tif"


def lights(draws: int) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Yield names of other lights and what they do to the numbers (band, y, x) of a date."""
    for number in range(draws):
        rng = np.random.default_rng(number)
        gain, offset = rng.uniform(0.7, 1.3, (6, 1, 1)), rng.uniform(-20, 20, (6, 1, 1))
        yield f"gains and offsets {number}", lambda image, gain=gain, offset=offset: gain * image + offset
    for gamma in (0.8, 1.25):
        yield f"gamma {gamma}", lambda image, gamma=gamma: 255 * (image / 255) ** gamma
    for depth in (0.15, 0.3):
        yield f"haze {depth}", lambda image, depth=depth: (1 - depth) * image + depth * 160


def copy_pair(data: Path, folder: Path, light: Callable[[np.ndarray], np.ndarray] | None, *, exchanged: bool = False) -> Path:
    """Write the pair with another light on the date after, or with its dates exchanged."""
    folder.mkdir(parents=True)
    shutil.copy(data / LABELS, folder / LABELS)
    for source, target in zip(NAMES, NAMES[::-1] if exchanged else NAMES, strict=True):
        with rasterio.open(data / source) as dataset:
            image, profile, descriptions = dataset.read(), dataset.profile, dataset.descriptions
        if light is not None and target == NAMES[1]:
            image = np.clip(np.rint(light(image.astype(np.float64))), 0, 255).astype(np.uint8)
        with rasterio.open(folder / target, "w", **profile) as dataset:
            dataset.write(image)
            dataset.descriptions = descriptions
    return folder


def change_map(network: Any, images: Pair, temperatures: Any) -> np.ndarray:  # noqa: ANN401 (ChangeNetwork, Temperatures)
    """Return the probability of change (y, x)."""
    shape = images.plan.grid.shape
    out = np.full(shape, np.nan, dtype=np.float32)
    for mapped in stream(network.eval(), images.source, tiles((shape[0], shape[1]), 512, 64), temperatures):
        out[mapped.tile.core.slices] = mapped.probabilities.change
    return out


def blocks_of(network: Any, images: Pair) -> BlockFeatures:  # noqa: ANN401 (ChangeNetwork)
    """Return what the network sees of each block."""
    shape = images.plan.grid.shape
    return block_embeddings(
        network, images.source, (shape[0], shape[1]), BLOCK, tile=512, margin=64, device=torch.device("cpu")
    )


def score(probability: np.ndarray, masks: DividedLabels, threshold: float) -> dict[str, float]:
    """Return kappa on the test blocks, and the share mapped as changed."""
    found, truth = keep_labelled(probability, masks.labels.change, masks.role == TEST)
    kappa = binary_scores(truth, found, threshold).kappa
    return {"kappa": round(float(kappa or 0), 4), "mapped": round(float((probability >= threshold).mean()), 4)}


def measure(arm: str, given: argparse.Namespace, output: Path) -> dict[str, Any]:
    """Train once, and apply the model to every copy."""
    base = load_project(find_config("taizhou.yaml")).model_dump(mode="json")

    def project(name: str) -> Project:
        return Project.model_validate(merge(base, {"name": name, **ARMS[arm]}))

    ws, images, masks = prepare(project("home"), given.data, output)
    recipe = Recipe(encoder_of(ws), "full", 0, given.epochs, chips_per_epoch=given.chips)
    with tempfile.TemporaryDirectory() as folder:
        bundle, network = fit_network(ws, images, recipe, masks, checkpoints=Path(folder), advance=lambda _: None)
    bundle, _, _ = judge(ws, images, bundle, network, masks=masks)
    home = change_map(network, images, bundle.temperatures)
    seen = blocks_of(network, images)
    shift = fit_shift(seen.values[training_blocks(masks.role)], seen.sizes)

    def beyond(features: BlockFeatures) -> dict[str, float]:
        ratio = shift.ratio(features.values)
        return {"beyond": round(float((ratio[np.isfinite(ratio)] > 1).mean()), 4)}

    rows: dict[str, Any] = {"home": {**score(home, masks, bundle.threshold), **beyond(seen)}}
    copies = [*lights(given.draws), ("dates exchanged", None)]
    for number, (name, light) in enumerate(copies):
        data = copy_pair(given.data, output / f"copy-{number}", light, exchanged=light is None)
        _, pair, _ = prepare(project(f"copy-{number}"), data, output)
        found = change_map(network, pair, bundle.temperatures)
        flipped = float(((found >= bundle.threshold) != (home >= bundle.threshold)).mean())
        further = beyond(blocks_of(network, pair))
        rows[name] = {**score(found, masks, bundle.threshold), **further, "flipped": round(flipped, 5)}
        print(arm, name, json.dumps(rows[name]), file=sys.stderr)
    falls = [rows["home"]["kappa"] - row["kappa"] for name, row in rows.items() if name.startswith("gains")]
    return {"fall_median": round(float(np.median(falls)), 4), "fall_worst": round(max(falls), 4), "rows": rows}


def main() -> int:
    """Measure with matched dates and without."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--chips", type=int, default=192)
    parser.add_argument("--arms", nargs="+", default=list(COMPARED))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = {}
    for arm in given.arms:
        with tempfile.TemporaryDirectory() as output:
            result[arm] = measure(arm, given, Path(output))
    text = json.dumps({"epochs": given.epochs, "chips_per_epoch": given.chips, "territories": 1, "arms": result}, indent=2)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
