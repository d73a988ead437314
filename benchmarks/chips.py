"""Training chips of both dates and their labels, on one core, against torchgeo's RandomGeoSampler.

    python benchmarks/chips.py [--out docs/measurements/chips.json] [--size 2560] [--bands 10] [--codec deflate]
                               [--share 0.25] [--chip 256] [--count 100] [--folder FOLDER]

One made pair is read three ways in one process with one thread: by the loop of torchgeo's documentation (`RasterDataset`s of
both dates and of the labels, joined, `RandomGeoSampler`, `DataLoader`), by `TrainingChips` from the images, and by
`TrainingChips` from the raw blocks that a training keeps around its labels (`models/network/cache.py`). Labels cover blocks of
256 pixels; torchgeo's chips lie anywhere. Nothing is augmented but in the last figure.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine, keep_figures, one_thread, say
from made import Recipe, make_pair

from landshift.flows.config.project import load_project
from landshift.flows.prepare import prepare_images
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import workspace
from landshift.models.network.cache import BLOCK, keep_pixels
from landshift.models.network.samples import Masks, TrainingChips
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.write import write_raster

LABELLED = 256
"""Pixels: side of the labelled blocks."""


def prepare(home: Path, output: Path) -> Pair:
    """Prepare both dates as training does."""
    ws = workspace(load_project(home / "config.yaml"), home / "data", output)
    ws.require_writable()
    with ws.alone():
        return prepare_images(ws, plan(ws))


def label(size: int, share: float) -> Masks:
    """Label a share of the blocks: land use of two classes, change in a tenth of them."""
    rng, count = np.random.default_rng(3), -(-size // LABELLED)
    spread = np.ones((LABELLED, LABELLED), dtype=bool)
    labelled = np.kron(rng.random((count, count)) < share, spread)[:size, :size]
    before = np.kron(rng.random((count * 8, count * 8)) < 0.5, np.ones((LABELLED // 8,) * 2, dtype=bool))[:size, :size]
    change = np.kron(rng.random((count * 8, count * 8)) < 0.1, np.ones((LABELLED // 8,) * 2, dtype=bool))[:size, :size]
    masks = (before, before ^ change, change)
    return Masks(*(np.where(labelled, mask, NOT_LABELLED).astype(np.uint8) for mask in masks))


def cost_of(draw: Callable[[int], object], count: int) -> float:
    """Return milliseconds of a core for each chip; the first ones, which open files, do not count."""
    for index in range(3):
        draw(index)
    begun = time.process_time()
    for index in range(3, 3 + count):
        draw(index)
    return round((time.process_time() - begun) / count * 1e3, 3)


def draw_with_torchgeo(home: Path, masks: Masks, options: argparse.Namespace, pair: Pair) -> Callable[[int], object]:
    """Return what draws the next chip as torchgeo's documentation does."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import RandomGeoSampler

    folder = home / "labels"
    grid = pair.plan.grid
    write_raster(folder / "change.tif", masks.change[np.newaxis], grid, nodata=NOT_LABELLED)

    class Labels(RasterDataset):
        is_image = False

    dates = [RasterDataset(str(path)) for path in sorted((home / "data").glob("*.tif"))]
    joined = (dates[0] & dates[1]) & Labels(str(folder / "change.tif"))
    sampler = RandomGeoSampler(joined, size=options.chip, length=options.count + 10)
    chips = iter(DataLoader(joined, batch_size=1, sampler=sampler, collate_fn=stack_samples))
    return lambda _index: next(chips)


def measure(options: argparse.Namespace, home: Path, folder: Path) -> dict[str, Any]:
    """Measure all three."""
    pair, masks = prepare(home, folder / "runs"), label(options.size, options.share)
    result: dict[str, Any] = {
        "machine": describe_machine(),
        **{k: getattr(options, k) for k in ("size", "bands", "codec", "share", "chip")},
    }
    given: dict[str, Any] = {"size": options.chip, "count": options.count}
    say("torchgeo")
    result["torchgeo_ms"] = cost_of(draw_with_torchgeo(home, masks, options, pair), options.count)
    say("from the images")
    result["images_ms"] = cost_of(TrainingChips(pair.source, masks, augmentation=None, **given).__getitem__, options.count)
    begun = time.process_time()
    with keep_pixels(pair.source, [masks], folder / "cache", size=options.chip) as near:
        result["cache_made_s"] = round(time.process_time() - begun, 2)
        result["cache_gb"] = round(sum(f.stat().st_size for f in (folder / "cache").iterdir()) / 1e9, 3)
        result["cache_block"] = BLOCK
        say("from the cache")
        result["cache_ms"] = cost_of(TrainingChips(near, masks, augmentation=None, **given).__getitem__, options.count * 5)
        result["augmented_ms"] = cost_of(TrainingChips(near, masks, **given).__getitem__, options.count)
    for name in ("images", "cache", "augmented"):
        result[f"torchgeo_to_{name}"] = round(result["torchgeo_ms"] / result[f"{name}_ms"], 1)
    return result


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now", help="what the figures are kept as, beside others of the file")
    parser.add_argument("--size", type=int, default=2560)
    parser.add_argument("--bands", type=int, choices=(4, 10), default=10)
    parser.add_argument("--codec", choices=("deflate", "zstd"), default="deflate")
    parser.add_argument("--share", type=float, default=0.25, help="of the scene that is labelled")
    parser.add_argument("--chip", type=int, default=256)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as name, one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        home = make_pair(options.folder or Path(name) / "pairs", Recipe(options.size, options.bands, options.codec))
        keep_figures(options.out, options.column, measure(options, home, Path(name)))


if __name__ == "__main__":
    main()
