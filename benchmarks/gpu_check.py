"""Compare the GPU with the CPU: the same training and the same map, and how fast.

Trains the demo's network for a few hundred steps with mixed precision on the GPU, detects on one scene, and compares loss
and map with the CPU. Then it streams a made pair of full-sized tiles through the device, and compares that with the network
alone on tiles that lie on the device: what the path around it lets through. Prints one JSON object.

    python benchmarks/gpu_check.py [--out FILE] [--steps 300] [--size 1024] [--scene 4096]

Exit code 0: the check passed, or there is no CUDA device, which the message states (then no file is written). 1: map or loss
differ more than the tolerance. `--cpu-only` runs the CPU's half alone, on small scenes; the tests do that.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from made import Recipe, make_pair

from landshift.models.encoders.normalisation import Normalisation, normalisation_for
from landshift.models.encoders.table import encoder_named
from landshift.models.encoders.weights import load_encoder
from landshift.models.network.losses import loss_of
from landshift.models.network.samples import Masks, TrainingChips
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.models.use.inference import DecisionRule
from landshift.models.use.ready import choose_form
from landshift.models.use.streaming import stream
from landshift.pipeline.demo.files import demo_grid, demo_landscape, demo_legend
from landshift.pipeline.demo.observation import observe
from landshift.pipeline.demo.surfaces import BANDS
from landshift.pipeline.demo.territories import TERRITORIES
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import tiles

LOSS_TOLERANCE = 0.05
"""Mean loss of the last fifth of the steps, GPU in bf16 against CPU in float32, relative."""
FLIPS_TOLERANCE_PPM = 2000.0
"""Pixels whose change or land use differs between the GPU in bf16 and the CPU in float32, with the same weights."""
EXACT_FLIPS_TOLERANCE_PPM = 50.0
"""The same with the GPU in float32."""


def scene(folder: Path, size: int) -> tuple[PairSource, Masks]:
    """Write the demo's northern territory as two analysis-ready images, with its truth as labels."""
    territory = TERRITORIES[0]
    land = demo_landscape(territory, size, 7)
    grid = demo_grid(territory, size)
    paths = []
    for when in ("before", "after"):
        reflectance, _ = observe(territory, land, when, 7)
        paths.append(write_raster(folder / f"{when}.tif", reflectance, grid, nodata=float("nan"), descriptions=list(BANDS)))
    masks = Masks(land.before - 1, land.after - 1, (land.before != land.after).astype(np.uint8))
    return PairSource(paths[0], paths[1]), masks


def network() -> ChangeNetwork:
    """Build the demo's network, the same each time."""
    torch.manual_seed(0)
    encoder, bands = encoder_named("imagenet-efficientnet-lite0"), tuple(BANDS)
    loaded = load_encoder(encoder, bands)
    count = len(loaded.bands)
    normalisation = normalisation_for(encoder, bands, "reflectance", ((0.15,) * count, (0.1,) * count))
    spec = NetworkSpec(
        encoder.architecture, bands, loaded.bands, "both", len(demo_legend().classes), decoder_channels=(128, 64, 48, 32, 24)
    )
    if not isinstance(normalisation, Normalisation):
        raise TypeError(normalisation)
    return ChangeNetwork(spec, loaded.model, normalisation)


def train(net: ChangeNetwork, chips: TrainingChips, device: str, steps: int, batch: int = 8) -> dict[str, Any]:
    """Train with the chips in order; returns losses and speed."""
    net = net.to(device).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-4)
    batches = [torch.utils.data.default_collate([chips[s * batch + i] for i in range(batch)]) for s in range(steps)]
    losses = []
    started = time.perf_counter()
    for data in batches:
        on_device = {k: v.to(device) for k, v in data.items()}
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss = loss_of(net(on_device["before"], on_device["after"]), on_device, "both")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    values = [float(v) for v in losses]
    seconds = time.perf_counter() - started
    return {
        "first_loss": round(float(np.mean(values[: max(steps // 10, 1)])), 4),
        "last_loss": round(float(np.mean(values[-max(steps // 5, 1) :])), 4),
        "images_per_second": round(2 * steps * batch / seconds, 1),
    }


def detect(net: ChangeNetwork, images: PairSource, size: int, mixed: bool) -> tuple[np.ndarray, float]:
    """Detect on the scene; returns change and land use per pixel, and megapixels per second (both dates count once)."""
    net = net.eval()
    said = np.zeros((3, size, size), dtype=np.uint8)
    started = time.perf_counter()
    for mapped in stream(net, images, tiles((size, size), min(size, 512), 128), Temperatures(), mixed=mixed):
        parts = mapped.probabilities
        if parts.change is None or parts.before is None or parts.after is None:
            raise RuntimeError("the demo's network has all heads")
        values = np.nan_to_num(np.stack([parts.change >= 0.5, parts.before.argmax(0), parts.after.argmax(0)]))
        said[(slice(None), *mapped.tile.core.slices)] = values
    return said, size * size / 1e6 / (time.perf_counter() - started)


def measure_speed(net: ChangeNetwork, home: Path, size: int, core: int = 1024) -> dict[str, Any]:
    """Stream a pair as it lies on the disk, and run the network alone on a tile that is on its device already.

    Both in the form that `detect` chooses on this device.

    Args:
        net: On its device.
        home: Folder of a pair of `made.py`, ten bands.
        size: Pixels of a side of it.
        core: Of a tile, without its margin of 128.

    Returns:
        Megapixels of the map a second, streamed, and alone with the margins as part of the work; the rest of what it took; and
        the trial of the forms.
    """
    net, device = net.eval(), next(net.parameters()).device
    paths = sorted((home / "data").glob("*.tif"))
    pair = PairSource(paths[0], paths[1])
    trial, ready = choose_form(net, pair, (size, size), threshold=0.5, temperatures=Temperatures(), mixed=True)
    side, cuda = min(core, size) + 256, device.type == "cuda"
    image = torch.rand(1, len(BANDS), side, side, device=device)

    def wait() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def alone() -> float:
        started = wait()
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
            features = [ready.encode(image) for _ in range(2)]
            ready.decode(features[0], features[1], trim=128)
        return wait() - started

    spent = min(alone() for _ in range(5 if cuda else 2))
    work = tiles((size, size), min(core, size), 128)

    def streamed() -> tuple[float, float]:
        started, begun = wait(), time.process_time()
        for _ in stream(ready, pair, work, Temperatures(), mixed=True, rule=DecisionRule(demo_legend(), 0.5)):
            pass
        return wait() - started, time.process_time() - begun

    if cuda:
        # What is compiled or chosen at the first tile is no part of the speed.
        streamed()
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = streamed()
    mpx = size**2 / 1e6
    found = {
        "alone_mpx_per_second": min(core, size) ** 2 / 1e6 / spent, "streamed_mpx_per_second": mpx / wall,
        "streamed_share": (mpx / wall) / (min(core, size) ** 2 / 1e6 / spent), "host_cpu_s_per_mpx": cpu / mpx,
    }  # fmt: skip
    if cuda:
        found["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    rounded = {name: round(value, 4) for name, value in found.items()}
    return {**rounded, "form": trial.form, "forms": {name: round(value, 4) for name, value in trial.seconds.items()}}


def flips_ppm(first: np.ndarray, second: np.ndarray) -> float:
    """Return the pixels in which two maps differ in anything, in parts per million."""
    return float((first != second).any(axis=0).mean() * 1e6)


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--scene", type=int, default=4096, help="pixels of the pair whose speed is measured")
    parser.add_argument("--cpu-only", action="store_true")
    options = parser.parse_args()
    if not options.cpu_only and not torch.cuda.is_available():
        print(json.dumps({"device": "none", "message": "No CUDA device: nothing to compare. --cpu-only runs the CPU's half."}))
        return 0
    result: dict[str, Any] = {
        "machine": describe_machine(), "torch": torch.__version__, "steps": options.steps, "size": options.size,
        "scene_px": options.scene,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        images, masks = scene(Path(folder), options.size)
        chips = TrainingChips(images, masks, size=96, count=8 * options.steps, seed=0)
        on_cpu = network()
        cpu_steps = options.steps if options.cpu_only else min(options.steps, 60)
        result["cpu"] = train(on_cpu, chips, "cpu", cpu_steps)
        failed = False
        if options.cpu_only:
            result["cpu"]["mpx_per_second"] = round(detect(on_cpu, images, options.size, mixed=False)[1], 3)
            result["cpu"]["speed"] = measure_speed(on_cpu, make_pair(Path(folder), Recipe(options.scene)), options.scene)
            failed = not result["cpu"]["last_loss"] < result["cpu"]["first_loss"]
        else:
            result["device"] = torch.cuda.get_device_name()
            short = train(network(), chips, "cuda", cpu_steps)
            result["loss_difference"] = round(abs(short["last_loss"] / result["cpu"]["last_loss"] - 1), 4)
            trained = network()
            result["gpu"] = train(trained, chips, "cuda", options.steps)
            detect(trained, images, options.size, mixed=True)
            torch.cuda.reset_peak_memory_stats()
            half, speed = detect(trained, images, options.size, mixed=True)
            result["gpu"]["mpx_per_second"] = round(speed, 3)
            result["gpu"]["peak_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
            result["gpu"]["speed"] = measure_speed(trained, make_pair(Path(folder), Recipe(options.scene)), options.scene)
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            full = detect(trained, images, options.size, mixed=False)[0]
            reference, speed = detect(trained.to("cpu"), images, options.size, mixed=False)
            result["cpu"]["mpx_per_second"] = round(speed, 3)
            result["flips_ppm"] = {
                "bf16": round(flips_ppm(half, reference), 1),
                "float32": round(flips_ppm(full, reference), 1),
            }
            failed = (
                result["loss_difference"] > LOSS_TOLERANCE
                or result["flips_ppm"]["bf16"] > FLIPS_TOLERANCE_PPM
                or result["flips_ppm"]["float32"] > EXACT_FLIPS_TOLERANCE_PPM
            )
    result["passed"] = not failed
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
