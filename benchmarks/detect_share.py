"""How much of detect's wall time is the bare model, and whether memory stays flat as the scene grows.

For scenes of two sizes (the demo's landscape, repeated), runs the detect step in a process of its own, and prints one JSON
object: wall seconds, the share that the model took, peak memory, and the ratio of both between the sizes.

    python benchmarks/detect_share.py [--out FILE] [--sizes 1024 2048] [--core 512]
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def measure(folder: Path, core: int) -> dict[str, Any]:
    """Stream the two images in `folder` through the demo's network; runs in a process of its own, for its peak memory."""
    import numpy as np
    import torch
    from gpu_check import network

    from landshift.models.use.streaming import stream, write_behind
    from landshift.pipeline.change.decision import decide
    from landshift.pipeline.demo.files import demo_legend
    from landshift.pipeline.epochs.matching import PairSource
    from landshift.pipeline.raster.read import inspect
    from landshift.pipeline.raster.write import Layout, open_writer
    from landshift.pipeline.scores.training import Temperatures
    from landshift.pipeline.tiles import Tile, tiles

    images = PairSource(folder / "before.tif", folder / "after.tif")
    info = inspect(images.before)
    net, legend = network().eval(), demo_legend()
    warm = torch.zeros(1, len(net.spec.bands), 64, 64)
    net(warm, warm)
    at_rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with open_writer(folder / "change.tif", Layout(info.grid, 1, "uint8", 0)) as write:

        def finish(tile: Tile, said: Any) -> None:  # noqa: ANN401
            write(tile.core, np.asarray(decide(said.change, said.before, said.after, legend, threshold=0.5).change)[np.newaxis])

        work = tiles(info.shape, core, 128)
        seconds = sum(done.seconds for done in write_behind(stream(net, images, work, Temperatures()), finish))
    wall = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "wall_s": round(wall, 2), "model_share": round(seconds / wall, 3), "tiles": len(work),
        "peak_memory_gb": round(peak / 1e6, 3), "peak_above_rest_gb": round((peak - at_rest) / 1e6, 3),
        "mpx_per_second": round(info.shape[0] * info.shape[1] / 1e6 / wall, 3),
    }  # fmt: skip


def write_scene(folder: Path, size: int) -> None:
    """Write the demo's images, mirrored to `size`, in strips, so that this process stays small too."""
    import numpy as np
    from affine import Affine

    from landshift.pipeline.demo.files import demo_landscape
    from landshift.pipeline.demo.observation import observe
    from landshift.pipeline.demo.surfaces import BANDS
    from landshift.pipeline.demo.territories import TERRITORIES
    from landshift.pipeline.grid import grid_of
    from landshift.pipeline.raster.write import Layout, open_writer
    from landshift.pipeline.tiles import Window

    land = demo_landscape(TERRITORIES[0], 512, 7)
    grid = grid_of(Affine(10, 0, 500_000, 0, -10, 5_500_000), (size, size), "EPSG:32633")
    for when in ("before", "after"):
        piece = observe(TERRITORIES[0], land, when, 7)[0]
        wide = np.concatenate([piece if i % 2 == 0 else piece[:, :, ::-1] for i in range(-(-size // 512))], axis=2)[:, :, :size]
        layout = Layout(grid, len(BANDS), "float32", float("nan"), descriptions=tuple(BANDS))
        with open_writer(folder / f"{when}.tif", layout) as write:
            for i, y in enumerate(range(0, size, 512)):
                strip = (wide if i % 2 == 0 else wide[:, ::-1])[:, : size - y]
                write(Window(y, 0, strip.shape[1], size), np.ascontiguousarray(strip))


def main() -> None:
    """Measure each size and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--core", type=int, default=512)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.core)))
        return
    rows = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_scene(Path(folder), size)
            words = [sys.executable, __file__, "--measure", folder, "--core", str(options.core)]
            said = subprocess.run(words, capture_output=True, text=True, check=True)
            rows[str(size)] = json.loads(said.stdout)
    first, last = rows[str(options.sizes[0])], rows[str(options.sizes[-1])]
    result = {
        "machine": platform.machine(), "core_px": options.core, "sizes": rows,
        "pixels_ratio": (options.sizes[-1] / options.sizes[0]) ** 2,
        "wall_ratio": round(last["wall_s"] / first["wall_s"], 2),
        "peak_memory_ratio": round(last["peak_memory_gb"] / first["peak_memory_gb"], 2),
    }  # fmt: skip
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
