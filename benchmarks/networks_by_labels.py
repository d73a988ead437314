"""Networks of one territory by share of its training blocks: matched dates, priors and augmentation, each with and without.

    python benchmarks/networks_by_labels.py DATA OUT [--divisions 0 1 2] [--shares 1.0 0.1] [--arms ...] [--epochs 6]

DATA holds the Taizhou pair of `configs/taizhou.yaml`. OUT is a file of JSON lines; what it holds already is not measured again,
so the script can be stopped and run again. The blocks that are tested and validated on are those of a division; of its training
blocks a share is drawn that holds both changed and unchanged pixels. The budget is the same for every row and far below that of
the config.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.images.epochs import Pair, prepare_epoch
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.learning import fitting
from landshift.flows.steps.learning.fitting import Built, Recipe, encoder_of, fit_network
from landshift.flows.steps.learning.judging import judge, keep_labelled
from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.models.network.decoder import cut
from landshift.models.network.siamese import ChangeNetwork, Output
from landshift.pipeline.epochs.classical import fit_change_vector, fit_ir_mad, otsu_threshold, sample_pixels
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.labels.search import NO_ROLE, TEST, TRAIN
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.scores.accuracy import binary_scores

OFF = {"match": "none", "standardise": "none"}
STRONG = {"date": 0.1, "common": 0.3, "gamma": 0.05, "haze": 0.2}
ARMS: dict[str, dict[str, Any]] = {
    "as it is": {"radiometry": OFF, "model": {"priors": []}},
    "standardised": {"radiometry": {"match": "none"}, "model": {"priors": []}},
    "matched": {"model": {"priors": []}},
    "matched, ir-mad": {"model": {"priors": ["ir-mad"]}},
    "matched, ir-mad, difference": {"model": {"priors": ["ir-mad", "difference"]}},
    "matched, ir-mad, distance alone": {"model": {"priors": ["ir-mad"], "fusion": "difference"}},
    "matched, ir-mad, strong augmentation": {"model": {"priors": ["ir-mad"]}, "training": {"augmentation": STRONG}},
    "U-Net on both dates": {"radiometry": OFF, "model": {"priors": []}},
}
"""What the config of a row differs in from `taizhou.yaml`."""


class Stacked(ChangeNetwork):
    """A plain U-Net with random weights that sees both dates as one image of twice the bands, with a network's interface."""

    def __init__(self, like: Any) -> None:  # noqa: ANN401 (ChangeNetwork)
        """Take bands and normalisation from a network."""
        # After our models, which give torchvision what it lacks beside a PyTorch without its operators.
        import segmentation_models_pytorch as smp

        nn.Module.__init__(self)
        self.prior = None
        self.spec, self.scale = like.spec, like.scale
        self.register_buffer("mean", like.mean), self.register_buffer("std", like.std)
        self.unet = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, in_channels=2 * len(like.spec.bands), classes=1)
        self.encoder = self.unet.encoder

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the normalised bands."""
        return [torch.nan_to_num((image * self.scale - self.mean) / self.std)]

    def decode(self, before: list[Tensor], after: list[Tensor], _priors: Tensor | None = None, *, trim: int = 0) -> Output:
        """Return the logit of change."""
        return Output(cut(self.unet(torch.cat([before[0], after[0]], dim=1))[:, 0], trim), None, None)

    def forward(self, before: Tensor, after: Tensor, priors: Tensor | None = None) -> Output:
        """Encode and decode."""
        return self.decode(self.encode(before), self.encode(after), priors)


def merge(content: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a config with parts of it replaced."""
    parts = {k: merge(content.get(k) or {}, v) if isinstance(v, dict) else v for k, v in other.items()}
    return {**content, **parts}


def prepare(project: Project, data: Path, output: Path) -> tuple[Workspace, Pair, DividedLabels]:
    """Prepare images and labels as the flows do."""
    ws = workspace(project, data, output)
    ws.require_writable()
    made = plan(ws)
    dates = [prepare_epoch(ws, made, name) for name in ("before", "after")]
    divide_labels(ws, made.grid)
    return ws, Pair(made, *dates, radiometry=match_dates(ws, made.sensor.units, *dates)), read_masks(ws)


def draw(masks: DividedLabels, share: float, side: int, seed: int) -> tuple[DividedLabels, int]:
    """Keep a share of the training blocks, at least one, with both kinds of labels; also return how many pixels these hold."""
    y, x = np.nonzero(masks.role == TRAIN)
    block = block_index(y, x, masks.role.shape[1], side)
    label = masks.labels.change[y, x]
    rng, numbers = np.random.default_rng(seed), np.unique(block[label <= 1])
    while True:
        kept = np.isin(block, rng.permutation(numbers)[: max(round(share * len(numbers)), 1)])
        if {0, 1} <= set(label[kept].tolist()):
            break
    role = masks.role.copy()
    role[y[~kept], x[~kept]] = NO_ROLE
    return replace(masks, role=role), int((label[kept] <= 1).sum())


def classical(images: Pair, masks: DividedLabels) -> dict[str, dict[str, float]]:
    """Score IR-MAD and change vector analysis on the test blocks, each with Otsu's threshold."""
    before, after = (np.stack([read_raster(path, band)[0] for band in range(1, 7)]) for path in images.images)
    pixels = sample_pixels(before, after)
    scores = {
        "IR-MAD": np.sqrt(fit_ir_mad(*pixels).apply(before, after)),
        "CVA": fit_change_vector(*pixels).apply(before, after),
    }
    rows = {}
    for name, score in scores.items():
        found, truth = keep_labelled(score, masks.labels.change, masks.role == TEST)
        kappa = binary_scores(truth, found, otsu_threshold(score)).kappa
        rows[name] = {"kappa": round(float(kappa or 0), 4), "auc": round(float(roc_auc_score(truth, found)), 4)}
    return rows


def train(ws: Workspace, images: Pair, masks: DividedLabels, recipe: Recipe, *, plain: bool) -> dict[str, Any]:
    """Train and judge a network."""
    build = fitting.build_network

    def stacked(*args: Any, **more: Any) -> Built:  # noqa: ANN401 (as `build_network` takes them)
        torch.manual_seed(recipe.seed)
        built = build(*args, **more)
        return replace(built, network=Stacked(built.network))

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fitting.build_network = stacked if plain else build
        try:
            bundle, network = fit_network(ws, images, recipe, masks, checkpoints=Path(folder), advance=lambda _: None)
        finally:
            fitting.build_network = build
    _, scores, calibrated = judge(ws, images, bundle, network, masks=masks)
    test = calibrated.raw.role == TEST
    found, truth = keep_labelled(calibrated.cooled.probability, calibrated.raw.labels.change, test)
    return {
        "kappa": scores.test.kappa, "f1": scores.test.f1, "auc": round(float(roc_auc_score(truth, found)), 4),
        "calibration_error": scores.calibration_error, "threshold": scores.threshold,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def main() -> int:
    """Measure every row that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--divisions", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.1, 0.05, 0.01])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--chips", type=int, default=96)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = given.out.read_text(encoding="utf-8").splitlines() if given.out.exists() else []
    known = {tuple(json.loads(line)[k] for k in ("arm", "division", "share", "seed")) for line in lines}
    base = load_project(find_config("taizhou.yaml")).model_dump(mode="json")
    with tempfile.TemporaryDirectory() as output, given.out.open("a", encoding="utf-8") as file:

        def keep(row: dict[str, Any]) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(json.dumps(row), file=sys.stderr)

        for share in given.shares:
            for seed in given.seeds:
                for division in given.divisions:
                    for arm in given.arms:
                        where = {"arm": arm, "division": division, "share": share, "seed": seed}
                        if tuple(where.values()) in known:
                            continue
                        content = merge(base, {"name": f"d{division}", "split": {"seed": division}, **ARMS[arm]})
                        ws, images, masks = prepare(Project.model_validate(content), given.data, Path(output))
                        if ("IR-MAD", division, 0.0, 0) not in known:
                            for name, row in classical(images, masks).items():
                                keep({"arm": name, "division": division, "share": 0.0, "seed": 0, **row})
                            known.add(("IR-MAD", division, 0.0, 0))
                        chosen, pixels = draw(masks, share, ws.project.split.block_px, seed=100 * division + seed)
                        recipe = Recipe(encoder_of(ws), "full", seed, given.epochs, chips_per_epoch=given.chips)
                        keep({**where, "pixels": pixels, **train(ws, images, chosen, recipe, plain=arm.startswith("U-Net"))})
    return 0


if __name__ == "__main__":
    sys.exit(main())
