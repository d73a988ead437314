"""What the place of the sampling grid and the margin of the tiles change in the map of a trained network.

    python benchmarks/phases.py DATA [--epochs 6] [--chips 96] [--priors ir-mad ...] [--out docs/measurements/phases.json]

DATA holds the Taizhou pair of `configs/taizhou.yaml`. One network is trained with a small budget and judged with 1, 4 and 16
phases. Then the pair is mapped as it is, and with its grid begun a few pixels earlier, and as tiles of 128 pixels with several
margins, each against the map made in one piece.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks_by_labels import merge, prepare

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.learning.fitting import Recipe, encoder_of, fit_network
from landshift.flows.steps.learning.judging import judge
from landshift.models.network.siamese import Siamese
from landshift.models.use.bundle import Bundle
from landshift.models.use.streaming import stream
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.tiles import Tile, Window, tiles

SHIFTS = {
    1: ((1, 0), (2, 2), (4, 4), (5, 5), (8, 8), (13, 22), (16, 16), (37, 37)),
    4: ((1, 0), (5, 5), (13, 22), (16, 16), (37, 37)),
    16: ((5, 5),),
}
MARGINS: dict[int, tuple[int, ...]] = {1: (32, 64, 128, 192), 4: (128,), 16: ()}
"""Of what is measured with so many phases: more where it costs less."""
CORE, FAR, NEAR = 128, 192, 64
"""Side of the tiles, and pixels around the whole where tiles and where grids are compared with it."""


class Scene:
    """One pair and a network that is not changed any more."""

    def __init__(self, network: Siamese, source: PairSource, shape: tuple[int, int], judged: Bundle) -> None:
        """Remember them."""
        self.network, self.source, self.shape, self.judged = network, source, shape, judged

    def map(self, work: Sequence[Tile], phases: int) -> np.ndarray:
        """Return which pixels changed, bool (y, x)."""
        found = np.zeros(self.shape, dtype=bool)
        for mapped in stream(self.network, self.source, work, self.judged.temperatures, phases=phases):
            assert mapped.probabilities.change is not None  # noqa: S101
            found[mapped.tile.core.slices] = mapped.probabilities.change >= self.judged.threshold
        return found

    def whole(self, phases: int, shift: tuple[int, int] = (0, 0), around: int = NEAR) -> np.ndarray:
        """Map all in one piece; the grid begins `shift` pixels earlier."""
        (height, width), (dy, dx) = self.shape, (s % 32 for s in shift)
        read = (-(-(n + 2 * around + 32) // 32) * 32 for n in self.shape)
        tile = Tile(0, 0, Window(0, 0, height, width), Window(-around - dy, -around - dx, *read))
        return self.map([tile], phases)


def compare(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Return the intersection over union of the changed pixels, and the pixels that differ in parts per million."""
    iou = (one & other).sum() / max((one | other).sum(), 1)
    return {"iou": round(float(iou), 4), "flips_ppm": round(float((one != other).mean() * 1e6))}


def main() -> int:
    """Train, measure, print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--chips", type=int, default=96)
    parser.add_argument("--phases", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--priors", nargs="*", default=["ir-mad"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    base = load_project(find_config("taizhou.yaml")).model_dump(mode="json")
    base = merge(base, {"model": {"priors": given.priors}})
    result: dict[str, Any] = {"territories": 1, "pair": "taizhou", "epochs": given.epochs, "chips": given.chips}
    result |= {"encoder": base["model"]["encoder"], "priors": given.priors, "core": CORE, "phases": {}}
    with tempfile.TemporaryDirectory() as output:
        ws, images, masks = prepare(Project.model_validate(base), given.data, Path(output))
        recipe = Recipe(encoder_of(ws), "full", 0, given.epochs, chips_per_epoch=given.chips)
        bundle, network = fit_network(ws, images, recipe, masks, checkpoints=Path(output) / "fit", advance=lambda _: None)
        shape = (masks.role.shape[0], masks.role.shape[1])
        for phases in given.phases:
            ws = replace(ws, project=Project.model_validate(merge(base, {"detect": {"phases": phases}})))
            judged, scores, _ = judge(ws, images, bundle, network, masks=masks)
            scene = Scene(network.eval(), images.source, shape, judged)
            started, whole = time.perf_counter(), scene.whole(phases)
            row: dict[str, Any] = {"seconds": round(time.perf_counter() - started, 1), "kappa": scores.test.kappa}
            row |= {"calibration_error": scores.calibration_error, "changed": round(float(whole.mean()), 4)}
            row["shifts"] = {f"{y},{x}": compare(whole, scene.whole(phases, (y, x))) for y, x in SHIFTS[phases]}
            far = scene.whole(phases, around=FAR) if MARGINS[phases] else whole
            row["margins"] = {m: compare(far, scene.map(tiles(shape, CORE, m), phases)) for m in MARGINS[phases]}
            result["phases"][phases] = row
            print(json.dumps(row), file=sys.stderr, flush=True)
    text = json.dumps(result, indent=1)
    if given.out is None:
        print(text)
    else:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
