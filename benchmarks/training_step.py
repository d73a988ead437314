"""What a step of training takes, and how much of it is waiting for chips, on one core.

    python benchmarks/training_step.py [--out docs/measurements/training_step.json] [--chip 128] [--batch 8] [--steps 8]

The demo's network is trained on the demo's northern territory (512 pixels, 10 bands, six classes, both heads) in one process
with one thread. A batch of chips is drawn as training does it, augmented, from the images and from the raw pixels that a
training keeps near (`models/network/cache.py`); forward, backward and optimiser are measured on a batch that is there already;
and `fit`, less its validation, tells what a step takes in the end.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_check import network, scene
from machine import core_seconds, describe_machine, keep_figures, one_thread, say
from torch.utils.data import default_collate

from landshift.models.network.cache import keep_pixels
from landshift.models.network.learner import TrainingSettings
from landshift.models.network.losses import loss_of
from landshift.models.network.samples import LabelledTiles, Masks, TrainingChips
from landshift.models.network.strategies import strategy_named
from landshift.models.network.training import fit
from landshift.pipeline.legend import NOT_LABELLED

SIZE = 512
"""Pixels: side of the scene."""


def batch_seconds(chips: TrainingChips, options: argparse.Namespace) -> float:
    """Return seconds of a core for a batch, the mean of all steps; the first batch opens what is read."""

    def draw(step: int) -> None:
        default_collate([chips[step * options.batch + i] for i in range(options.batch)])

    draw(0)
    begun = time.process_time()
    for step in range(1, options.steps + 1):
        draw(step)
    return (time.process_time() - begun) / options.steps


def bare_seconds(chips: TrainingChips, options: argparse.Namespace, layout: torch.memory_format) -> float:
    """Return seconds of a core for forward, backward and optimiser, the least of all steps."""
    net = network().train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    batch = default_collate([chips[i] for i in range(options.batch)])
    before, after = (batch[name].contiguous(memory_format=layout) for name in ("before", "after"))

    def step() -> None:
        loss = loss_of(net(before, after), batch, "both")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()

    step()
    return core_seconds(step, options.steps)


def fit_seconds(chips: TrainingChips, tiles: LabelledTiles, options: argparse.Namespace, folder: Path) -> float:
    """Return seconds of a core for each step of `fit`: two epochs less one, whose validation takes the same."""
    spent = []
    for epochs in (1, 2):
        settings = TrainingSettings(strategy_named("full"), epochs=epochs, batch=options.batch)
        net = network()
        begun = time.process_time()
        fit(net, chips, tiles, settings, folder / str(epochs))
        spent.append(time.process_time() - begun)
    begun = time.process_time()
    net.eval()
    with torch.no_grad():
        for index in range(len(tiles)):
            chip = tiles[index]
            net(chip["before"][None], chip["after"][None])
    return (spent[1] - spent[0] - (time.process_time() - begun)) / options.steps


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the parts and the whole."""
    pair, masks = scene(folder, SIZE)
    asked = {name: getattr(options, name) for name in ("chip", "batch", "steps")}
    count = options.batch * options.steps
    result: dict[str, Any] = {"machine": describe_machine(), **asked}
    say("chips from the images")
    images = batch_seconds(TrainingChips(pair, masks, size=options.chip, count=count), options)
    with keep_pixels(pair, [masks], folder / "kept", size=options.chip) as near:
        chips = TrainingChips(near, masks, size=options.chip, count=count)
        say("chips from the kept pixels")
        kept = batch_seconds(chips, options)
        say("forward, backward, optimiser")
        bare = bare_seconds(chips, options, torch.contiguous_format)
        last = bare_seconds(chips, options, torch.channels_last)
        say("fit")
        first = np.zeros(masks.change.shape, dtype=bool)
        first[: options.chip, : options.chip] = True
        few = Masks(*(np.where(first, m, NOT_LABELLED) for m in (masks.before, masks.after, masks.change)))
        whole = fit_seconds(chips, LabelledTiles(near, few, size=options.chip), options, folder)
    result |= {
        "batch_from_images_ms": round(images * 1e3, 1), "batch_kept_ms": round(kept * 1e3, 1),
        "chips_per_core_second": round(options.batch / kept), "bare_step_ms": round(bare * 1e3, 1),
        "bare_step_channels_last_ms": round(last * 1e3, 1), "fit_step_ms": round(whole * 1e3, 1),
        "waiting_share_of_bare_step": round(kept / (kept + bare), 4),
        "waiting_share_channels_last": round(kept / (kept + last), 4), "waiting_share_of_fit_step": round(kept / whole, 4),
    }  # fmt: skip
    return result


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now", help="what the figures are kept as, beside others of the file")
    parser.add_argument("--chip", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keep_figures(options.out, options.column, measure(options, Path(name)))


if __name__ == "__main__":
    main()
