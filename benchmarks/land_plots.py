"""How long `landshift plots` takes for parcels on a map of a whole Sentinel-2 tile, and how much memory.

    python benchmarks/land_plots.py [--out FILE] [--column now] [--plots 10000 100000] [--edge 10980]

The map and the parcels are made: squares of two kinds of change, and parcels with crooked sides of about 4 ha, in another CRS
than the map. All is counted, from opening the parcels to the three finished files. Seconds are those of a core, and of the
clock.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, keep_figures, one_thread, run_watched, say

PLOTS, EDGE, SIDE_PX = (10_000, 100_000), 10_980, 20
DATES = (date(2019, 6, 12), date(2023, 6, 18))


def make_files(folder: Path, number: int, edge: int) -> None:
    """Write the rasters of a run, and the parcels in geographic coordinates."""
    import geopandas as gpd
    import shapely
    from affine import Affine

    from landshift.pipeline.grid import crs_of, grid_of
    from landshift.pipeline.raster.write import write_raster

    rng, grid = np.random.default_rng(0), grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), (edge, edge), "EPSG:32633")
    coarse = rng.choice(np.array([0, 1, 1, 1, 1, 1, 2, 3], np.uint8), (edge // 30 + 1, edge // 30 + 1))
    codes = np.kron(coarse, np.ones((30, 30), np.uint8))[:edge, :edge]
    write_raster(folder / "change.tif", codes, grid, nodata=0)
    chance = np.where(codes > 1, 170, 30).astype(np.uint8)
    chance[codes == 0] = 255
    write_raster(folder / "change_probability.tif", chance, grid, nodata=255)
    across = int(np.ceil(number**0.5))
    y, x = (v[:number] * (edge - SIDE_PX) / across for v in np.divmod(np.arange(across**2), across))
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = SIDE_PX / 2 * rng.uniform(0.9, 1.2, (number, len(around)))
    rings = np.stack(
        [x[:, None] + SIDE_PX / 2 + radius * np.cos(around), y[:, None] + SIDE_PX / 2 + radius * np.sin(around)], -1
    )
    outlines = shapely.polygons(rings * (10, -10) + (500_000, 5_000_000))
    frame = gpd.GeoDataFrame({"name": [f"parcel {k}" for k in range(number)]}, geometry=outlines, crs=crs_of(grid))
    frame.to_crs(4326).to_file(folder / "parcels.gpkg", layer="parcels")


def measure(folder: Path) -> dict[str, Any]:
    """Judge the parcels, in this process."""
    from landshift.flows.steps.plots.judging import read_map
    from landshift.pipeline.change.plots.coverage import cover
    from landshift.pipeline.change.plots.reading import read_plots
    from landshift.pipeline.change.plots.table import PLOT_COLUMNS, PlotQuestion, counting_codes, plot_table, verdict_entries
    from landshift.pipeline.change.plots.verdict import PlotDates, VerdictRule
    from landshift.pipeline.grid import crs_of, grid_of
    from landshift.pipeline.legend import LandUse, Legend
    from landshift.pipeline.raster.read import inspect
    from landshift.pipeline.vector.plots import write_plots

    legend = Legend((LandUse(1, "Forest", "#2f6b3c"), LandUse(2, "Cropland", "#ead27a")))
    info = inspect(folder / "change.tif")
    grid = grid_of(info.transform, info.shape, info.crs)
    rule = VerdictRule(min_changed_ha=0.5, min_share=0.05, min_probability=0.5, min_observed=0.9, min_plot_ha=0.5)
    dates = PlotDates(*DATES, date(2020, 12, 31))
    moments = [(time.process_time(), time.perf_counter())]

    def note() -> None:
        moments.append((time.process_time(), time.perf_counter()))

    plots = read_plots(folder / "parcels.gpkg", crs_of(grid))
    note()
    coverage = cover(plots.frame.geometry.to_numpy(), grid, read_map(folder / "change.tif", folder / "change_probability.tif"))
    note()
    question = PlotQuestion(rule, dates, counting_codes(legend))
    table = plot_table(plots.frame, coverage, grid, legend, question, tested={})
    note()
    write_plots(folder, table, PLOT_COLUMNS, verdict_entries(dates, set(table["verdict_code"])))
    note()
    cpu, clock = np.diff(np.array(moments), axis=0).T.round(3).tolist()
    return {
        "plots": len(table), "edge_px": grid.shape[0], "total_s": round(sum(cpu), 3), "clock_s": round(sum(clock), 3),
        **dict(zip(("read_s", "cover_s", "table_s", "write_s"), cpu, strict=True)), "verdicts": int(table["verdict"].nunique()),
    }  # fmt: skip


def main() -> None:
    """Measure all numbers of parcels, or those of a folder for the process above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--plots", type=int, nargs="+", default=PLOTS)
    parser.add_argument("--edge", type=int, default=EDGE)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        print(json.dumps(measure(options.folder)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name, one_thread():
        for number in options.plots:
            say(f"{number} plots")
            make_files(Path(name), number, options.edge)
            cost = run_watched([sys.executable, __file__, "--folder", name])
            found = json.loads(cost.output.splitlines()[-1])
            rows.append({**found, "peak_ram_gb": round(cost.peak_process_gb, 3), "load": cost.load})
    keep_figures(options.out, options.column, {"machine": describe_machine(), "plots": rows})


if __name__ == "__main__":
    main()
