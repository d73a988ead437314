"""Decoders of several widths: work a pixel, speed, and accuracy on the demo's north and on Taizhou after a short training.

    python benchmarks/decoders.py count OUT.json
    python benchmarks/decoders.py taizhou DATA ROWS.jsonl [--variants ...] [--divisions 0 1 2] [--seeds 0 1]
    python benchmarks/decoders.py demo FOLDER ROWS.jsonl [--variants ...] [--seeds 0 1]
    python benchmarks/decoders.py table OUT.json COUNTED.json ROWS.jsonl ...

DATA holds the Taizhou pair of `configs/taizhou.yaml`; FOLDER keeps the demo's landscape, which is made where it is missing.
ROWS is a file of JSON lines; what it holds already is not measured again, so a run can be stopped and begun again. `table`
compares every variant with the first, pair by pair of the same division and seed (rows in a file `*_separable.jsonl` with the
default), and writes means of the differences with
intervals of 95 % (Student's, over the pairs; trainings of one division share its test blocks, so they are rather too narrow).
"""

import argparse
import json
import resource
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from networks_by_labels import merge, prepare, train
from scipy.stats import t as student
from segmentation_models_pytorch.base.initialization import initialize_decoder
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning import fitting
from landshift.flows.steps.learning.fitting import Recipe, encoder_of, fit_network
from landshift.flows.steps.learning.judging import judge
from landshift.flows.steps.project.workspace import Workspace
from landshift.models.encoders.backbones import DEFAULT_ARCHITECTURE, build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.network.losses import loss_of
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.models.use.ready import make_ready
from landshift.models.use.streaming import stream
from landshift.pipeline.demo.files import make_demo
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.tiles import tiles

VARIANTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "256-16": ((256, 128, 64, 32, 16), ()),
    "128-24": ((128, 64, 48, 32, 24), ()),
    "64-12": ((64, 32, 24, 16, 12), ()),
    "half 96-24": ((96, 48, 32, 24), ()),
    "half 64-16": ((64, 32, 32, 16), ()),
    "128-16, 64-16 half": ((128, 64, 32, 24, 16), (64, 32, 24, 16)),
    "128-16, 256-32 half separable": ((128, 64, 32, 24, 16), (256, 128, 64, 32)),
    "128-16, 256-16 separable": ((128, 64, 32, 24, 16), (256, 128, 64, 32, 16)),
    "128-16, 256-16": ((128, 64, 32, 24, 16), (256, 128, 64, 32, 16)),
}
"""Channels of the stages from the coarsest, of the change's decoder and of land use's (empty: the same); four stages stop at
half of the resolution; separable: see `separate`. The first was the default before this was measured, the last has been
since."""
BANDS = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")
CLASSES, SIDE = 6, 512
TERRITORY = "north"
SEPARABLE = "separable"
DEFAULT = list(VARIANTS)[-1]


def separate(network: ChangeNetwork) -> ChangeNetwork:
    """Give the land-use decoder separable convolutions: of each channel, then of all at a place, at an eighth of the work.

    Chollet 2017, doi:10.1109/CVPR.2017.195.
    """
    decoder: Any = network.landuse_decoder
    for block in decoder.decoder.blocks:
        for stage in (block.conv1, block.conv2):
            inputs, outputs = stage[0].in_channels, stage[0].out_channels
            each = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
            stage[0] = nn.Sequential(each, nn.Conv2d(inputs, outputs, 1, bias=False))
    initialize_decoder(decoder.decoder)
    return network


@contextmanager
def separating(name: str) -> Iterator[None]:
    """Have networks that are trained meanwhile built as the variant wants them."""
    given = fitting.build_network

    def make(*args: Any, **more: Any) -> fitting.Built:  # noqa: ANN401 (as `build_network` takes them)
        built = given(*args, **more)
        return replace(built, network=separate(built.network))

    fitting.build_network = make if name.endswith(SEPARABLE) else given
    try:
        yield
    finally:
        fitting.build_network = given


def build(name: str) -> ChangeNetwork:
    """Return a network for ten bands and six classes with random weights."""
    torch.manual_seed(0)
    change, landuse = VARIANTS[name]
    spec = NetworkSpec(
        DEFAULT_ARCHITECTURE, BANDS, BANDS, "both", CLASSES, fusion="symmetric", decoder_channels=change,
        landuse_channels=landuse,
    )  # fmt: skip
    zero, one = (0.0,) * len(BANDS), (1.0,) * len(BANDS)
    network = ChangeNetwork(spec, build_encoder(spec.architecture, len(BANDS)), Normalisation(zero, one, 1.0, "encoder"))
    return separate(network) if name.endswith(SEPARABLE) else network


def count(name: str) -> dict[str, Any]:
    """Count the work a pixel of the map in thousands of floating-point operations, and time it on one thread."""
    network, image = build(name).eval(), torch.rand(1, len(BANDS), SIDE, SIDE)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as encoding:
            features = network.encode(image)
        with FlopCounterMode(display=False) as decoding:
            network.decode(features, features)
        forms = {form: partial(make_ready(network, form), image, image) for form in ("plain", "bands-last", "fused")}
        speeds = {form: round(SIDE**2 / 1e6 / least_seconds(work), 3) for form, work in forms.items()}
    parts = [2 * encoding.get_total_flops(), decoding.get_total_flops()]
    encoder, decoders = (round(part / SIDE**2 / 1e3, 1) for part in parts)
    steps = {kind: least_seconds(training_step(build(name), last=kind == "bands-last")) for kind in ("plain", "bands-last")}
    return {
        "channels": VARIANTS[name], "encoder_kflop": encoder, "decoders_kflop": decoders, "kflop": round(encoder + decoders, 1),
        "mpx_per_cpu_second": speeds, "parameters": sum(p.numel() for p in network.parameters()),
        "training_step_cpu_seconds": {kind: round(seconds, 3) for kind, seconds in steps.items()},
    }  # fmt: skip


def training_step(network: ChangeNetwork, *, last: bool) -> Callable[[], object]:
    """Return what does one step of a training on 8 chips of 96 pixels: forward, loss, backward and optimiser."""
    draw = torch.Generator().manual_seed(0)
    chips = [torch.rand(8, len(BANDS), 96, 96, generator=draw) for _ in range(2)]
    if last:
        chips = [c.contiguous(memory_format=torch.channels_last) for c in chips]
    label = torch.randint(0, CLASSES, (8, 96, 96), generator=draw)
    batch = {"before_label": label, "after_label": label.flip(1), "change_label": (label > CLASSES // 2).long()}
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss_of(network(*chips), batch, "both").backward()
        optimiser.step()

    return step


def least_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the least processor time of some repeats, after one that warms up."""
    work()
    spent = []
    for _ in range(repeats):
        started = cpu_seconds()
        work()
        spent.append(cpu_seconds() - started)
    return min(spent)


def cpu_seconds() -> float:
    """Return the processor's time of this process, of user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def learn_demo(ws: Workspace, images: Pair, masks: DividedLabels, recipe: Recipe, data: Path) -> dict[str, Any]:
    """Train on the labels of the demo, and compare the map with the truth where no label lies."""
    started = cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        bundle, network = fit_network(ws, images, recipe, masks, checkpoints=Path(folder), advance=lambda _: None)
    spent = cpu_seconds() - started
    bundle, scores, _ = judge(ws, images, bundle, network, masks=masks)
    before, after = (read_raster(data / f"truth_{name}.tif")[0] for name in ("before", "after"))
    unknown = read_raster(data / "labels_before.tif")[0] == 0
    found, right, seen = [], [], []
    codes = np.array([c.code for c in bundle.legend.classes])
    for done in stream(network, images.source, tiles(before.shape, ws.project.detect.core, 128), bundle.temperatures):
        said, place = done.probabilities, done.tile.core.slices
        used = np.isfinite(said.change) & unknown[place]
        found.append(said.change[used])
        seen.append((before[place] != after[place])[used])
        right += [(codes[p.argmax(axis=0)] == t[place])[used] for p, t in ((said.before, before), (said.after, after))]
    change = binary_scores(np.concatenate(seen).astype(np.uint8), np.concatenate(found), bundle.threshold)
    return {
        "f1": change.f1, "kappa": change.kappa, "landuse_accuracy": round(float(np.concatenate(right).mean()), 4),
        "test_f1": scores.test.f1, "seconds": round(spent, 1),
    }  # fmt: skip


def compare(rows: list[dict[str, Any]], against: str, score: str) -> dict[str, dict[str, float | int]]:
    """Return for each variant the mean of a score, and how it differs from another variant's, pair by pair."""
    by_variant: dict[str, dict[tuple[Any, ...], float]] = defaultdict(dict)
    for row in rows:
        if row.get(score) is not None:
            by_variant[row["variant"]][row["division"], row["seed"]] = row[score]
    summary: dict[str, dict[str, float | int]] = {}
    for name, found in by_variant.items():
        both = sorted(found.keys() & by_variant[against].keys())
        summary[name] = {"mean": round(fmean(found.values()), 4), "trainings": len(found)}
        if name != against and len(both) > 1:
            differences = [found[key] - by_variant[against][key] for key in both]
            half = float(student.ppf(0.975, len(both) - 1)) * stdev(differences) / len(both) ** 0.5
            middle = fmean(differences)
            summary[name] |= {
                "pairs": len(both), "difference": round(middle, 4), "low": round(middle - half, 4),
                "high": round(middle + half, 4),
            }  # fmt: skip
    return summary


def learn(given: argparse.Namespace) -> None:
    """Train and score every variant that is not there yet."""
    lines = given.rows.read_text(encoding="utf-8").splitlines() if given.rows.exists() else []
    known = {(r["variant"], r["division"], r["seed"]) for r in map(json.loads, lines)}
    demo = given.command == "demo"
    data = given.folder / TERRITORY if demo else given.folder
    if demo and not given.folder.is_dir():
        make_demo(given.folder)
    base = load_project(find_config(f"{given.command}.yaml")).model_dump(mode="json")
    with tempfile.TemporaryDirectory() as output, given.rows.open("a", encoding="utf-8") as file:
        for seed in given.seeds:
            for division in [0] if demo else given.divisions:
                for name in given.variants:
                    if (name, division, seed) in known:
                        continue
                    change, landuse = VARIANTS[name]
                    widths = {"decoder_channels": change, "landuse_channels": landuse or change}
                    changes: dict[str, Any] = {"name": f"d{division}", "model": widths}
                    content = merge(base, changes if demo else {**changes, "split": {"seed": division}})
                    ws, images, masks = prepare(Project.model_validate(content), data, Path(output))
                    recipe = Recipe(encoder_of(ws), "full", seed, given.epochs, chips_per_epoch=given.chips)
                    with separating(name):
                        if demo:
                            scores = learn_demo(ws, images, masks, recipe, data)
                        else:
                            scores = train(ws, images, masks, recipe, plain=False)
                    row = {"variant": name, "division": division, "seed": seed, **scores}
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    print(json.dumps(row), file=sys.stderr)


def main() -> int:
    """Count, train or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("count").add_argument("out", type=Path)
    for name, epochs, chips in (("taizhou", 6, 96), ("demo", 6, 96)):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        command.add_argument("rows", type=Path)
        command.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
        command.add_argument("--divisions", type=int, nargs="+", default=[0, 1, 2])
        command.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
        command.add_argument("--epochs", type=int, default=epochs)
        command.add_argument("--chips", type=int, default=chips)
    table = commands.add_parser("table")
    table.add_argument("out", type=Path)
    table.add_argument("counted", type=Path)
    table.add_argument("rows", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command in ("taizhou", "demo"):
        learn(given)
        return 0
    if given.command == "count":
        content: dict[str, Any] = {
            "machine": {**describe_machine(), "torch": torch.__version__, "threads": 1},
            "bands": len(BANDS), "classes": CLASSES, "heads": "both", "side": SIDE,
            "variants": {name: count(name) for name in VARIANTS},
        }  # fmt: skip
    else:
        content = json.loads(given.counted.read_text(encoding="utf-8"))
        for path in given.rows:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            scores = [name for name in ("kappa", "f1", "landuse_accuracy") if any(name in row for row in rows)]
            against = DEFAULT if path.stem.endswith(SEPARABLE) else next(iter(VARIANTS))
            content[path.stem] = {"rows": rows, **{score: compare(rows, against, score) for score in scores}}
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
