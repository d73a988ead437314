"""What a region costs: model, reading, writing and vectorising apart, and what a second process is worth.

Writes two scenes (the demo's landscape, repeated), maps them once in one process and once in two at the same time, each with
half of the rows of tiles, and then reads, writes and vectorises alone. Prints one JSON object, which `benchmarks/sizing.py`
takes. Wall time depends on who else is using the machine (`load`), processor time hardly; the ratio is of the same run.

    python benchmarks/detect_shards.py [--out FILE] [--size 1024] [--core 512] [--device cpu] [--threads 1]
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MARGIN = 128


def map_rows(folder: Path, core: int, device: str, part: int, parts: int) -> dict[str, Any]:
    """Map a shard in this process, from a signal on: loading libraries is no part of the work."""
    import numpy as np
    import torch
    from gpu_check import network

    from landshift.models.use.inference import device_of
    from landshift.models.use.streaming import stream, write_behind
    from landshift.pipeline.change.decision import decide, probability_codes
    from landshift.pipeline.demo.files import demo_legend
    from landshift.pipeline.epochs.matching import PairSource
    from landshift.pipeline.raster.read import inspect
    from landshift.pipeline.raster.write import Layout, open_writer
    from landshift.pipeline.scores.training import Temperatures
    from landshift.pipeline.tiles import Tile, Window, row_groups, tiles

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    images = PairSource(folder / "before.tif", folder / "after.tif")
    info = inspect(images.before)
    rows = row_groups(-(-info.shape[0] // core), parts)[part]
    work = [tile for tile in tiles(info.shape, core, MARGIN) if tile.row in rows]
    top = work[0].core.y
    whole = Window(top, 0, work[-1].core.y + work[-1].core.height - top, info.shape[1])
    net, legend = network().eval().to(device_of(device)), demo_legend()
    warm = torch.zeros(1, len(net.spec.bands), 64, 64, device=device_of(device))
    net(warm, warm)
    print("ready", flush=True)
    sys.stdin.readline()
    started, begun = time.perf_counter(), time.process_time()
    layout = Layout(info.grid[whole.y : whole.y + whole.height], 1, "uint8", 0)
    with (
        open_writer(folder / f"change-{part}-{parts}.tif", layout) as change,
        open_writer(folder / f"change_probability-{part}-{parts}.tif", layout) as probability,
    ):

        def finish(tile: Tile, said: Any) -> None:  # noqa: ANN401
            decision = decide(said.change, said.before, said.after, legend, threshold=0.5)
            change(tile.core.within(whole), np.asarray(decision.change)[np.newaxis])
            probability(tile.core.within(whole), probability_codes(decision.change_probability)[np.newaxis])

        mapped = stream(net, images, work, Temperatures(), mixed=True)
        seconds = sum(done.seconds for done in write_behind(mapped, finish))
    return {
        "wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - begun,
        "model_s": seconds, "pixels": whole.height * whole.width,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }  # fmt: skip


def together(folder: Path, parts: int, options: argparse.Namespace) -> dict[str, Any]:
    """Map all shards at the same time, each in a process of its own."""
    surroundings = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    words = ["--folder", str(folder), "--core", str(options.core), "--device", options.device, "--parts", str(parts)]
    started = [
        subprocess.Popen(
            [sys.executable, __file__, *words, "--part", str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=surroundings,
        )
        for part in range(parts)
    ]  # fmt: skip
    for one in started:
        if one.stdout is None or one.stdout.readline() != "ready\n":
            raise RuntimeError("A process ended before it began.")
    begin = time.perf_counter()
    for one in started:
        if one.stdin is not None:
            one.stdin.write("go\n")
            one.stdin.flush()
    said = [json.loads(one.communicate()[0]) for one in started]
    wall = time.perf_counter() - begin
    pixels = sum(one["pixels"] for one in said)
    return {
        "processes": parts, "wall_s": round(wall, 2), "mpx_per_second": round(pixels / 1e6 / wall, 4),
        "core_seconds_per_mpx": round(sum(one["cpu_s"] for one in said) / pixels * 1e6, 2),
        "model_mpx_per_second": round(pixels / 1e6 / (sum(one["model_s"] for one in said) / parts), 4),
        "peak_memory_gb": [round(one["peak_memory_gb"], 3) for one in said],
    }  # fmt: skip


def around(folder: Path, core: int) -> dict[str, Any]:
    """Read, write, and make polygons, each alone: seconds of a core for a megapixel of the region, both dates together."""
    import numpy as np

    from landshift.pipeline.change.decision import Decision
    from landshift.pipeline.change.polygons import find_map_patches, map_layers
    from landshift.pipeline.demo.files import demo_landscape, demo_legend
    from landshift.pipeline.demo.territories import TERRITORIES
    from landshift.pipeline.raster.images import RasterReader
    from landshift.pipeline.raster.read import inspect
    from landshift.pipeline.run.rasters import write_rasters
    from landshift.pipeline.tiles import tiles

    info = inspect(folder / "before.tif")
    size, legend = info.shape[0], demo_legend()
    land = demo_landscape(TERRITORIES[0], 512, 7)
    times = -(-size // 512)
    before, after = (np.tile(codes, (times, times))[:size, :size].astype(np.uint8) for codes in (land.before, land.after))
    decision = Decision(legend.change_lookup()[before, after], before, after, np.full(before.shape, 0.9, np.float32))

    def measure(run: Any) -> float:  # noqa: ANN401
        begin = time.process_time()
        run()
        return round((time.process_time() - begin) / size**2 * 1e6, 3)

    def read() -> None:
        for name in ("before", "after"):
            reader = RasterReader(folder / f"{name}.tif")
            for tile in tiles(info.shape, core, MARGIN):
                reader.read(tile.read)
            reader.close()

    from datetime import date

    return {
        "reading_core_seconds_per_mpx": measure(read),
        "writing_core_seconds_per_mpx": measure(lambda: write_rasters(folder, decision, legend, info.grid, {})),
        "vectorising_core_seconds_per_mpx": measure(
            lambda: map_layers(
                find_map_patches(decision.change), decision.change_probability, info.grid, legend,
                before_date=date(2019, 6, 12), after_date=date(2023, 6, 18), prefix="bench",
            )
        ),
        "images_bytes_per_pixel": round(sum((folder / f"{n}.tif").stat().st_size for n in ("before", "after")) / size**2, 2),
        "bands": info.count,
    }  # fmt: skip


def main() -> None:
    """Measure one process and two, and what lies around them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--core", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    for name in ("--folder", "--part", "--parts"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        part, parts = int(options.part), int(options.parts)
        print(json.dumps(map_rows(Path(options.folder), options.core, options.device, part, parts)))
        return
    from detect_share import write_scene

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder, options.size)
        one, two = (together(folder, parts, options) for parts in (1, 2))
        rest = around(folder, options.core)
    result = {
        "machine": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "device": options.device,
        "threads_each": options.threads, "size_px": options.size, "core_px": options.core, "margin_px": MARGIN,
        "one": one, "two": two, "speed_ratio": round(two["mpx_per_second"] / one["mpx_per_second"], 2), **rest,
    }  # fmt: skip
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
