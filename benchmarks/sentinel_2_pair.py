"""A made Sentinel-2 pair of full size through `landshift init`, `train` and `detect`: time, memory and disk of each step.

    python benchmarks/sentinel_2_pair.py OUT.json [--side 10980] [--folder FOLDER] [--keep]

Two `.SAFE` folders of JPEG 2000 files are made, of the processing baselines 02.13 and 05.09, with SCL and clouds; labels are
polygons in one corner. Nothing is edited in the config that `init` writes but the length of the training, which is short.
FOLDER must have room for about four times the images; what is there already is used.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from scipy.ndimage import zoom
from shapely.geometry import box

SPECTRA = np.array(
    [(0.03, 0.05, 0.03, 0.35, 0.18, 0.08), (0.06, 0.09, 0.10, 0.28, 0.30, 0.22), (0.12, 0.14, 0.16, 0.22, 0.27, 0.25)]
)
NAMES = ("Forest", "Field", "Built")
NATIVES = {"B02": (0, 10), "B03": (1, 10), "B04": (2, 10), "B08": (3, 10), "B11": (4, 20), "B12": (5, 20)}
FIELD, CORNER = 60, 1200
"""Pixels: side of a field, and of the corner that is labelled."""
WEST, NORTH = 499_980, 5_200_020


def classes(side: int, *, after: bool) -> np.ndarray:
    """Return uint8 (field, field): the class of each field; one in eight changes."""
    rng, count = np.random.default_rng(1), -(-side // FIELD)
    before = rng.integers(0, 3, (count, count))
    changed = rng.random((count, count)) < 0.125
    return np.where(changed & after, (before + 1) % 3, before).astype(np.uint8)


def write(path: Path, numbers: np.ndarray, pixel: int) -> None:
    """Write one band as lossless JPEG 2000, as ESA does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Affine(pixel, 0, WEST, 0, -pixel, NORTH)
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"), rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=len(numbers), width=numbers.shape[1], count=1,
        dtype=numbers.dtype, crs="EPSG:32633", transform=place,
        QUALITY="100", REVERSIBLE="YES", BLOCKXSIZE=1024, BLOCKYSIZE=1024,
    ) as file:  # fmt: skip
        file.write(numbers, 1)


def make_scene(folder: Path, day: str, baseline: str, side: int, *, after: bool) -> None:
    """Write a product folder."""
    stamp, added = f"{day}T100031", 1000 if baseline >= "N0400" else 0
    root = folder / f"S2A_MSIL2A_{stamp}_{baseline}_R122_T33TWN_{stamp}.SAFE"
    inner = root / "GRANULE" / f"L2A_T33TWN_A0200_{stamp}" / "IMG_DATA"
    if (root / "MTD_MSIL2A.xml").exists():
        return
    kinds, rng = classes(side, after=after), np.random.default_rng(2 + after)
    for native, (band, pixel) in NATIVES.items():
        step = pixel // 10
        shape = (side // step, side // step)
        numbers = zoom((SPECTRA[:, band][kinds] * 10000).astype(np.float32), FIELD // step, order=0)[: shape[0], : shape[1]]
        numbers += rng.normal(0, 60, shape).astype(np.float32)
        write(
            inner / f"R{pixel}m" / f"T33TWN_{stamp}_{native}_{pixel}m.jp2", (numbers.clip(50) + added).astype(np.uint16), pixel
        )
    scl = np.full((side // 2, side // 2), 4, np.uint8)
    scl[-300:, -400:] = 9
    write(inner / "R20m" / f"T33TWN_{stamp}_SCL_20m.jp2", scl, 20)
    (root / "MTD_MSIL2A.xml").write_text(f"<a><PROCESSING_BASELINE>{baseline[1:3]}.{baseline[3:]}</PROCESSING_BASELINE></a>")


def make_labels(path: Path, side: int) -> None:
    """Write a polygon for each field of the corner, with its classes on both dates."""
    before, after = (classes(side, after=late) for late in (False, True))
    count = min(side, CORNER) // FIELD
    cells = [(y, x) for y in range(count) for x in range(count)]
    polygons = [box(WEST + x * FIELD * 10 + 10, NORTH - (y + 1) * FIELD * 10 + 10, WEST + (x + 1) * FIELD * 10 - 10,
                    NORTH - y * FIELD * 10 - 10) for y, x in cells]  # fmt: skip
    rows = {"before": [NAMES[before[c]] for c in cells], "after": [NAMES[after[c]] for c in cells]}
    gpd.GeoDataFrame(rows, geometry=polygons, crs="EPSG:32633").to_file(path)


def processor() -> str:
    """Return what the system calls its processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def size_of(folder: Path) -> int:
    """Return the bytes below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.exists() else 0


def measure(name: str, command: list[str], output: Path) -> dict[str, Any]:
    """Run a command; return its time, peak memory and the disk that its outputs take then."""
    started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "landshift.flows.cli.main", *command], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout[-1500:], done.stderr[-1500:] if done.returncode else "", file=sys.stderr)
    done.check_returncode()
    return {
        "step": name, "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, 1),
        "peak_gb_so_far": round(after.ru_maxrss / 1e6, 2), "output_gb": round(size_of(output) / 1e9, 2),
    }  # fmt: skip


def main() -> int:
    """Make the pair, and measure each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=10_980)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="sentinel-2-pair-"))
    data, output, config = folder / "data", folder / "runs", folder / "data" / "landshift.yaml"
    started = time.perf_counter()
    make_scene(data, "20190615", "N0213", given.side, after=False)
    make_scene(data, "20230620", "N0509", given.side, after=True)
    make_labels(data / "labels.gpkg", given.side)
    made = round(time.perf_counter() - started, 1)
    inputs = size_of(data)
    config.unlink(missing_ok=True)
    content: dict[str, Any] = {
        "side": given.side, "processor": processor(), "cpus": os.cpu_count(), "made_in_seconds": made,
        "inputs_gb": round(inputs / 1e9, 2), "steps": [],
    }  # fmt: skip

    def keep(row: dict[str, Any] | None = None, **more: float) -> None:
        """Write what is known so far: a step takes long."""
        content["steps"] += [{**row, "load": round(os.getloadavg()[0], 1)}] if row else []
        content.update(more)
        given.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    keep(measure("init", ["init", str(data)], output))
    text = config.read_text(encoding="utf-8")
    keep(to_decide=text.count("DECIDE:"))
    config.write_text(
        text.replace("epochs: 12", "epochs: 2").replace("chips_per_epoch: 160", "chips_per_epoch: 96"), encoding="utf-8"
    )
    for verb in ("check", "train", "detect"):
        keep(measure(verb, [verb, str(config), "--output", str(output)], output))
    half = FIELD // 2
    with rasterio.open(output / "data" / "run" / "layers/change.tif") as file:
        # The centre of each field: what it became is known.
        found = np.stack(
            [file.read(1, window=Window(0, y, given.side, 1))[0, half::FIELD] for y in range(half, given.side, FIELD)]
        )
    truth = classes(given.side, after=False) != classes(given.side, after=True)
    truth, seen = truth[: found.shape[0], : found.shape[1]], found > 0
    keep(fields=int(seen.sum()), fields_right=round(float(((found > 1) == truth)[seen].mean()), 4))
    print(json.dumps(content, indent=2))
    if not given.keep and given.folder is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
