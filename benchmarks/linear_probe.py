"""How much faster a linear probe trains on features that are kept than on features that are computed anew each epoch.

The encoder is frozen and the pixels are the same in every epoch, so both ways see the same numbers. Draws two dates of the
demo's landscape, samples labelled pixels, and prints one JSON object: seconds of both ways, and their ratio. The kept
features are written to a file and read again, and their making counts.

    python benchmarks/linear_probe.py [--out FILE] [--size 256] [--epochs 50] [--limit 2000]

With `--out docs/measurements/linear_probe.json` it becomes the measurement that the repository keeps.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_check import network, scene

from landshift.models.transfer.features import PixelFeatures, pixel_features
from landshift.models.transfer.pixels import draw_pixels
from landshift.models.transfer.probe import Probe, features_cache, fit_probe

ENCODER = "imagenet-efficientnet-lite0"
WANTED_RATIO = 10.0
BLOCK = 64
"""Pixels on a side of the blocks that the sample is spread over."""


def measure(folder: Path, size: int, epochs: int, limit: int) -> dict[str, Any]:
    """Train both ways on images of `size` pixels a side, written into `folder`."""
    images, masks = scene(folder, size)
    net = network().eval()
    y, x = np.mgrid[:size, :size] // BLOCK
    sample = draw_pixels(masks.change, (y * -(-size // BLOCK) + x).astype(np.int16), limit=limit, seed=0)
    labels = masks.change[sample.y, sample.x]

    def encode() -> PixelFeatures:
        return pixel_features(net, images, sample, device=torch.device("cpu"))

    def fit(features: PixelFeatures, count: int) -> Probe:
        seen = features.observed
        return fit_probe(np.concatenate(features.difference, axis=1)[seen], labels[seen], epochs=count)

    encode()  # the first run of a network is slower
    started = time.perf_counter()
    for _ in range(epochs):
        fit(encode(), 1)
    anew = time.perf_counter() - started
    started = time.perf_counter()
    path = folder / "features.safetensors"
    features_cache(path, "key", encode)
    fit(features_cache(path, "key", encode), epochs)
    kept = time.perf_counter() - started
    return {
        "encoder": ENCODER, "size_px": size, "pixels": len(sample), "channels": sum(net.encoder.out_channels[1:]),
        "epochs": epochs, "computed_anew_s": round(anew, 2), "kept_s": round(kept, 2), "ratio": round(anew / kept, 1),
        "passed": anew / kept >= WANTED_RATIO,
    }  # fmt: skip


def main() -> int:
    """Measure once; returns 1 where the ratio is below the wanted one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--limit", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.size, options.epochs, options.limit)
    text = json.dumps({"machine": platform.machine(), "threads": torch.get_num_threads(), **result}, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
