"""How long `landshift check` looks at 500 scenes, and at a raster of 60,000 x 60,000 pixels.

Makes the data in FOLDER, unless they are there: 500 scenes of 300 x 300 pixels and four bands, of two years, as one file a
scene and as one file a band; and pairs of tiled BigTIFFs of four bands: with values in the nine places that are looked at
first, with values in eight blocks elsewhere, with nodata in every block, and whose blocks were never written. Each check runs
in a process of its own, with a classical method, so that no network is built. The seconds are those of the check alone, without
the start of the interpreter and its imports, of two checks the faster. At its end a check asks for the disk that the images
need; where that is less than there is, the check of the BigTIFFs says so after the look.

    python benchmarks/look.py FOLDER [--out docs/measurements/look.json] [--label after] [--side 60000] [--scenes 500]

With `--out`, the figures go into that file under `--label`, beside what stands there under other labels.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

BANDS = "blue", "green", "red", "nir"
SMALL, BLOCK, TRIES = 300, 512, 2
LIMIT_S = 1200
"""A check that takes longer is stopped, and said to be so."""


def write_scenes(folder: Path, count: int, *, by_band: bool) -> None:
    """Write small scenes of random values, half of them a year later."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    profile = {
        "driver": "GTiff", "dtype": "uint16", "height": SMALL, "width": SMALL, "crs": "EPSG:32651", "nodata": 0,
        "transform": Affine(10, 0, 300_000, 0, -10, 3_600_000), "compress": "deflate", "tiled": True, "blockxsize": 256,
        "blockysize": 256,
    }  # fmt: skip
    for number in range(count):
        half, place = divmod(number, (count + 1) // 2)
        day = date(2020 + half, 1, 1) + timedelta(days=place % 365)
        numbers = rng.integers(300, 4000, (len(BANDS), SMALL, SMALL)).astype(np.uint16)
        stem = f"place{place:03}_{day:%Y%m%d}"
        files = [(f"{stem}_{b}.tif", numbers[[i]]) for i, b in enumerate(BANDS)] if by_band else [(f"{stem}.tif", numbers)]
        for name, layers in files:
            with rasterio.open(folder / name, "w", count=len(layers), **profile) as out:
                out.write(layers)
                if not by_band:
                    out.descriptions = BANDS


def write_large(folder: Path, side: int, kind: str) -> None:
    """Write a pair of large BigTIFFs: `spread`, `few`, `nodata` or `unwritten` blocks."""
    folder.mkdir(parents=True)
    rng, blocks = np.random.default_rng(0), side // BLOCK
    inner = blocks // 5
    places = {
        "spread": [(y, x) for y in (0, 1, blocks // 2, blocks - 1, blocks) for x in (0, 1, blocks // 2, blocks - 1, blocks)],
        "few": [(inner * y + 3, inner * x + 3) for y in (1, 3) for x in (1, 2, 3, 4)],
    }.get(kind, [])
    for day in ("20200601", "20220601"):
        with rasterio.open(
            folder / f"place_{day}.tif", "w", driver="GTiff", dtype="uint16", height=side, width=side, count=len(BANDS),
            crs="EPSG:32651", nodata=0, transform=Affine(1, 0, 300_000, 0, -1, 3_600_000), tiled=True, blockxsize=BLOCK,
            blockysize=BLOCK, BIGTIFF="YES", compress="deflate", SPARSE_OK=str(kind != "nodata"), NUM_THREADS="2",
        ) as out:  # fmt: skip
            out.descriptions = BANDS
            for y, x in places:
                window = Window(x * BLOCK, y * BLOCK, min(BLOCK, side - x * BLOCK), min(BLOCK, side - y * BLOCK))
                if window.width > 0 and window.height > 0:
                    shape = len(BANDS), window.height, window.width
                    out.write(rng.integers(300, 4000, shape).astype(np.uint16), window=window)


def check_once(data: Path) -> dict[str, float | str]:
    """Check the project in a folder, in this process.

    Returns:
        Seconds of wall and CPU, peak memory, and what was said if it was refused.
    """
    from landshift.flows.config.project import Project
    from landshift.flows.steps.inspection.check import check_project
    from landshift.flows.steps.project.workspace import workspace
    from landshift.pipeline.errors import InputError

    project = Project.model_validate({
        "name": "look",
        "sensor": {"name": "custom", "bands": list(BANDS), "scale": 1e-4, "nodata": 0},
        "epochs": {
            "before": {"start": "2020-01-01", "end": "2020-12-31"}, "after": {"start": "2021-01-01", "end": "2022-12-31"},
        },
        "detect": {"method": "ir-mad"},
    })  # fmt: skip
    data = data.resolve()
    ws = workspace(project, data, data.parent / "out")
    started, used, refused = time.perf_counter(), time.process_time(), ""
    try:
        check_project(ws)
    except InputError as error:
        refused = str(error).replace(f"{data.parent}/", "")
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(peak), "refused": refused}


def time_check(data: Path) -> dict[str, float | str]:
    """Check in processes of their own, and return the fastest, with the load of the machine."""
    found: list[dict[str, float | str]] = []
    for _ in range(TRIES):
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(data)], check=True, capture_output=True, text=True, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return {"refused": f"stopped after {LIMIT_S} s"}
        found.append(json.loads(done.stdout))
    return min(found, key=lambda f: f["seconds"]) | {"load": round(os.getloadavg()[0], 1)}


def processor() -> str:
    """Return what the machine computes with."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def main() -> None:
    """Make the data and time the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--label", default="after")
    parser.add_argument("--side", type=int, default=60_000)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--one", action="store_true", help="check one folder, in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(check_once(options.folder / "scenes")))
        return
    cases: dict[str, Any] = {}
    for name, by_band in (("files", False), ("files_by_band", True)):
        cases[f"{options.scenes}_{name}"] = lambda data, by_band=by_band: write_scenes(data, options.scenes, by_band=by_band)
    for kind in ("spread", "few", "nodata", "unwritten"):
        cases[f"{options.side}_px_{kind}"] = lambda data, kind=kind: write_large(data, options.side, kind)
    measured = {}
    for name, write in cases.items():
        data = options.folder / name
        if not (data / "scenes").exists():
            write(data / "scenes")
        measured[name] = time_check(data)
        print(name, json.dumps(measured[name]), flush=True)
    if options.out is not None:
        known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        known |= {"processor": processor(), options.label: measured}
        options.out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
