"""How long it takes to make a GeoPackage of a map's patches, how that grows, and how much memory a large map takes.

    python benchmarks/polygons.py [--out FILE] [--column now] [--patches 11000 22000 ...] [--fiona PYTHON]

Seconds are those of a core. `exponents` are b of a * patches^b. The maps are made: blobs of five kinds of change, about a
quarter of them of one or two pixels, and clouds. `few_changes` has the same 5,000 patches on maps of 2,560 and 10,980 px,
whose rows come block by block. With `--fiona`, the Python of an environment with fiona and geopandas, the rows of the
largest file are written by it as well: from records that it read itself, and from a GeoDataFrame, as we do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, keep_figures, one_thread, run_watched, say

NUMBERS, EDGES, FEW, STRIP = (11_000, 22_000, 44_000, 100_000, 200_000), (2560, 10_980), 5_000, 512
PATCHES_PER_PIXEL = 8.19e-3
DATES = (date(2020, 6, 1), date(2023, 6, 3))
FIONA = """
import json, sys, time, fiona, geopandas
with fiona.open(sys.argv[1], layer="changes") as source:
    about, records = source.profile, list(source)
frame = geopandas.read_file(sys.argv[1], layer="changes", engine="fiona")
started = time.process_time()
with fiona.open(sys.argv[2], "w", **about) as file:
    file.writerecords(records)
middle = time.process_time()
frame.to_file(sys.argv[3], driver="GPKG", engine="fiona")
print(json.dumps([len(records) / (middle - started), len(frame) / (time.process_time() - middle)]))
"""


def make_map(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Make change codes and probabilities (uint8) of a map with about so many patches."""
    from scipy.ndimage import gaussian_filter

    side, rng = round((number / PATCHES_PER_PIXEL) ** 0.5), np.random.default_rng(1)

    def field(sigma: float) -> np.ndarray:
        return np.asarray(gaussian_filter(rng.standard_normal((side, side), dtype=np.float32), sigma))

    blobs = field(2.2) + field(0.8) * np.float32(0.05)
    kinds = field(8)
    codes = np.digitize(kinds, np.quantile(kinds[::7, ::7], [0.2, 0.4, 0.6, 0.8])).astype(np.uint8) + np.uint8(2)
    codes[blobs <= np.quantile(blobs[::7, ::7], 0.88)] = 1
    clouds = field(40)
    codes[clouds > np.quantile(clouds[::7, ::7], 0.97)] = 0
    probability = rng.integers(100, 201, codes.shape, dtype=np.uint8)
    probability[codes == 0] = 255
    return codes, probability


def few_changes(edge: int) -> Iterator[np.ndarray]:
    """Yield the rows of a map with `FEW` square patches, whatever its size."""
    side = int(FEW**0.5) + 1
    for top in range(0, edge, STRIP):
        rows = np.ones((min(STRIP, edge - top), edge), dtype=np.uint8)
        for number in range(FEW):
            y, x = (n * (edge // side) for n in divmod(number, side))
            if top <= y < top + STRIP - 6:
                rows[y - top : y - top + 6, x : x + 6] = 2
        yield rows


def measure(number: int, edge: int, path: Path) -> dict[str, Any]:
    """Make the layers of a map and their file, in this process."""
    from affine import Affine

    from landshift.pipeline.change.patches import find_patches
    from landshift.pipeline.change.polygons import find_map_patches, map_layers
    from landshift.pipeline.change.simplification import simplify_outlines
    from landshift.pipeline.change.tracing import trace_outlines
    from landshift.pipeline.grid import grid_of
    from landshift.pipeline.legend import LandUse, Legend
    from landshift.pipeline.vector.write import write_changes

    legend = Legend(tuple(LandUse(code, f"Class {code}", "#1b7837") for code in (1, 2, 3)))
    codes, probability = (None, None) if edge else make_map(number)
    shape = codes.shape if codes is not None else (edge, edge)
    grid = grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), shape, "EPSG:32633")
    # What is loaded at the first call is no part of the rest.
    map_layers(find_patches(np.full((9, 9), 2, np.uint8)), np.zeros((9, 9)), grid_of(grid.transform, (9, 9), "EPSG:32633"),
               legend, before_date=DATES[0], after_date=DATES[1])  # fmt: skip
    moments = [time.process_time()]
    patches = find_map_patches(few_changes(edge) if codes is None else codes)
    moments.append(time.process_time())
    layers = map_layers(patches, few_changes(edge) if probability is None else probability, grid, legend, *DATES)
    moments.append(time.process_time())
    write_changes(path, layers.changes, legend, not_observed=layers.not_observed)
    moments.append(time.process_time())
    exact = trace_outlines(patches)
    moments.append(time.process_time())
    simplify_outlines(exact, patches)
    moments.append(time.process_time())
    names = ("find_s", "layers_s", "write_s", "of_it_trace_s", "of_it_simplify_s")
    seconds = dict(zip(names, np.diff(moments).round(3).tolist(), strict=True))
    count, rows = len(patches), len(layers.changes)
    return {"patches": count, "edge_px": shape[0], "total_s": round(moments[3] - moments[0], 3), **seconds,
            "rows_a_second": round(rows / (moments[3] - moments[2]))}  # fmt: skip


def measure_apart(folder: Path, number: int, edge: int = 0) -> dict[str, Any]:
    """Measure in a process of its own, with its peak of memory."""
    command = [sys.executable, __file__, "--number", str(number), "--edge", str(edge), "--out", str(folder / "one.gpkg")]
    cost = run_watched(command)
    return {**json.loads(cost.output.splitlines()[-1]), "peak_ram_gb": round(cost.peak_process_gb, 3), "load": cost.load}


def main() -> None:
    """Measure all numbers of patches, or one of them for the process above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--patches", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--fiona", help="Python of an environment with fiona")
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--edge", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.number is not None:
        print(json.dumps(measure(options.number, options.edge, options.out)))
        return
    # Not above: it loads PyTorch, which would count as memory of the process that is measured.
    from growth import fit_exponent

    result: dict[str, Any] = {"machine": describe_machine()}
    with tempfile.TemporaryDirectory() as name, one_thread():
        folder, rows = Path(name), []
        for number in options.patches:
            say(f"{number} patches")
            rows.append(measure_apart(folder, number))
        result["polygons"] = rows
        exponents = {n: fit_exponent([r["patches"] for r in rows], [r[n] for r in rows]) for n in rows[0] if n.endswith("_s")}
        result["exponents"] = exponents if len(rows) > 2 else None
        if options.fiona:
            files = [str(folder / f"{name}.gpkg") for name in ("one", "records", "frame")]
            written = subprocess.run([options.fiona, "-c", FIONA, *files], check=True, capture_output=True, text=True)
            ours, (of_records, of_frame) = rows[-1]["rows_a_second"], json.loads(written.stdout.splitlines()[-1])
            result |= {
                "fiona_rows_a_second_of_records": round(of_records), "fiona_rows_a_second_of_a_frame": round(of_frame),
                "rows_a_second_to_fiona_of_records": round(ours / of_records, 1),
                "rows_a_second_to_fiona_of_a_frame": round(ours / of_frame, 1),
            }  # fmt: skip
        few = [measure_apart(folder, FEW, edge) for edge in EDGES]
        result |= {"few_changes": few, "few_changes_ram_growth": round(few[1]["peak_ram_gb"] / few[0]["peak_ram_gb"] - 1, 3)}
    keep_figures(options.out, options.column, result)


if __name__ == "__main__":
    main()
