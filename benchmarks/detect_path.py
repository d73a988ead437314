"""All of `landshift detect` but the network, against plain decoding of both files: processor time, memory and disk.

    python benchmarks/detect_path.py [--out FILE] [--column now] [--sizes 1280 2560] [--bands 10] [--codec deflate]
                                     [--methods model cva] [--folder FOLDER]

For each size, the whole command runs in a process of its own, with a network that costs next to nothing (`free_model.py`), with
libraries and GDAL on one thread. The same command on a pair of 128 pixels is the start-up, which is subtracted. Both files are
decoded once by rasterio, block by block, as the measure of it all. FOLDER keeps the pairs for the next time.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import Cost, core_seconds, describe_machine, keep_figures, one_thread, run_watched, say, size_of
from made import Recipe, make_pair

SMALL = 128
"""Pixels: side of the pair whose run is start-up alone."""
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Detected:
    """A run of the command."""

    cost: Cost
    """Of all its processes."""
    network_s: float
    """Seconds of a core that the network itself took."""
    patches: int
    """Polygons of the map."""
    published_gb: float
    """Files of the run."""


def decode(paths: list[Path]) -> None:
    """Decode every block of every band of some files once, into memory that is used again."""
    import numpy as np
    import rasterio

    with rasterio.Env(GDAL_NUM_THREADS="1"):
        for path in paths:
            with rasterio.open(path) as file:
                room = np.empty(file.block_shapes[0], file.dtypes[0])
                for band in file.indexes:
                    for _, block in file.block_windows(band):
                        file.read(band, window=block, out=room[: block.height, : block.width])


def read_tiles(home: Path) -> dict[str, float]:
    """Read a date in tiles of 1024 with margins of 128 as the pass reads it, against decoding the blocks that they touch.

    Both open the file anew each time, and GDAL keeps blocks for both alike.
    """
    import numpy as np
    import rasterio
    from rasterio.windows import Window as RasterioWindow

    from landshift.flows.config.project import load_project
    from landshift.flows.steps.project.plan import plan
    from landshift.flows.steps.project.workspace import workspace
    from landshift.pipeline.scenes.image import SceneImage
    from landshift.pipeline.tiles import tiles

    made = plan(workspace(load_project(home / "config.yaml"), home / "data"))
    image = SceneImage(made.before.scenes[0], made.bands, made.grid)
    (path,), shape = image.paths, (made.grid.shape[0], made.grid.shape[1])
    work = tiles(shape, 1024, 128)

    def ours() -> None:
        with closing(image.reader()) as reader:
            for tile in work:
                reader.read_stored(tile.read.clip(shape)).mirror(tile.read, shape)

    def plain() -> None:
        with rasterio.open(path, NUM_THREADS="1") as file:
            side = file.block_shapes[0][0]
            room = np.empty((side, side), file.dtypes[0])
            for tile in work:
                inside = tile.read.clip(shape)
                for band in file.indexes:
                    for y in range(inside.y // side * side, inside.y + inside.height, side):
                        for x in range(inside.x // side * side, inside.x + inside.width, side):
                            block = RasterioWindow(x, y, min(side, file.width - x), min(side, file.height - y))
                            file.read(band, window=block, out=room[: block.height, : block.width])

    with rasterio.Env(GDAL_NUM_THREADS="1"):
        decoding, reading = core_seconds(plain, 3), core_seconds(ours, 3)
    return {"decode_cpu_s": round(decoding, 3), "read_cpu_s": round(reading, 3), "share": round(decoding / reading, 3)}


def detect(home: Path, folder: Path, method: str = "model", *, extra: tuple[str, ...] = ()) -> Detected:
    """Run the command on a pair in a process of its own; everything that it writes is watched, then removed."""
    output, temporary, spent = folder / "runs", folder / "temporary", folder / "network.json"
    temporary.mkdir(parents=True, exist_ok=True)
    about = ["--model", home / "model"] if method == "model" else ["--method", method]
    words = [sys.executable, HERE / "free_model.py", "detect", home / "config.yaml", "--data", home / "data", *about, *extra]
    cost = run_watched(
        [*words, "--output", output, "--json"], (output, temporary),
        {"TMPDIR": str(temporary), "PREFECT_HOME": str(folder / "prefect"), "FREE_MODEL_COST": str(spent)},
    )  # fmt: skip
    record = json.loads(next(output.glob("*/run/record/run.json")).read_text(encoding="utf-8"))
    found = Detected(
        cost, json.loads(spent.read_text(encoding="utf-8"))["cpu_s"], record["areas"]["polygons"],
        sum(size_of(run) for run in output.glob("*/run")) / 1e9,
    )  # fmt: skip
    for used in (output, temporary):
        shutil.rmtree(used)
    return found


def measure(options: argparse.Namespace, pairs: Path, folder: Path) -> dict[str, Any]:
    """Measure the start-up and each size."""
    result: dict[str, Any] = {"machine": describe_machine(), "bands": options.bands, "codec": options.codec, "sizes": {}}
    small = make_pair(pairs, Recipe(SMALL, options.bands, options.codec))
    first = {}
    for method in options.methods:
        # The very first run may have files to compile and a database to make.
        first[method] = min((detect(small, folder, method) for _ in range(2)), key=lambda run: run.cost.cpu_s)
    result["startup"] = {method: run.cost.figures for method, run in first.items()}
    for size in options.sizes:
        home = make_pair(pairs, Recipe(size, options.bands, options.codec))
        files = sorted((home / "data").glob("*.tif"))
        inputs = sum(file.stat().st_size for file in files)
        say(f"{size} px: decoding")
        plain = core_seconds(lambda files=files: decode(files), 2)
        row: dict[str, Any] = {
            "mpx": round(size**2 / 1e6, 2), "inputs_gb": round(inputs / 1e9, 3),
            "ratio_of_codec": round(2 * size**2 * options.bands * 2 / inputs, 2), "decode_cpu_s": round(plain, 3),
            "tiles": read_tiles(home),
        }  # fmt: skip
        for method in options.methods:
            say(f"{size} px: detect, {method}")
            run = detect(home, folder, method)
            beyond = run.cost.cpu_s - first[method].cost.cpu_s
            row[method] = {
                **run.cost.figures, "patches": run.patches, "network_cpu_s": round(run.network_s, 3),
                "beyond_startup_cpu_s": round(beyond, 2), "cpu_s_per_mpx": round(beyond / size**2 * 1e6, 3),
                "times_decode": round(beyond / plain, 1), "disk_times_inputs": round(run.cost.peak_disk_gb * 1e9 / inputs, 2),
                "published_times_inputs": round(run.published_gb * 1e9 / inputs, 3),
            }  # fmt: skip
        result["sizes"][str(size)] = row
    return result


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now", help="what the figures are kept as, beside others of the file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1280, 2560])
    parser.add_argument("--bands", type=int, choices=(4, 10), default=10)
    parser.add_argument("--codec", choices=("deflate", "zstd"), default="deflate")
    parser.add_argument("--methods", nargs="+", choices=("model", "cva", "ir-mad"), default=["model", "cva"])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    with tempfile.TemporaryDirectory(dir=options.folder) as name, one_thread():
        keep_figures(options.out, options.column, measure(options, options.folder or Path(name) / "pairs", Path(name)))


if __name__ == "__main__":
    main()
