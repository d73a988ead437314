"""How long it takes to merge runs into a register, and how that grows with what is in it.

    python benchmarks/register.py [--out FILE] [--column now] [--changes 10000 30000 ...] [--patches 5000] [--server ADDRESS]

For each number of changes, a new GeoPackage takes a run of so many patches; a run of 5,000 patches of the same ground, whose
silence about all others counts; one of about 5,000 patches of a corner, which are all that there is to see in it; the last one
again; and a run of 5,000 patches that lies between the others by date, for which everything is folded anew. Seconds are those
of a core, `peak_gb` the memory of the process so far, and `exponents` are b of a * changes^b. For a server, whose schema has to
be empty, they are seconds of the clock, for the first number of changes, beside those of a GeoPackage.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from growth import fit_exponent
from machine import describe_machine, keep_figures, one_thread, say
from pyproj import CRS

from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.register.address import location_of
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import Observation, View
from landshift.pipeline.register.store import Register, open_register

LEGEND = Legend((LandUse(1, "Forest", "#2f6b3c"), LandUse(2, "Cropland", "#ead27a"), LandUse(3, "Water", "#4a86b8")))
CORNERS = 24
NUMBERS, PATCHES = (10_000, 30_000, 100_000, 300_000), 5_000


def make_run(number: int, year: int, seed: int) -> MergeableRun:
    """A run of patches with 24 corners on a lattice of places, some of which every year leaves out."""
    rng, places = np.random.default_rng(seed), np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(number * 1.25)))
    where = np.sort(rng.choice(side * side, number, replace=False))
    radius = places.uniform(20, 70, side * side)[where] * rng.uniform(0.9, 1.1, number)
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    x = 300_000 + 200 * (where % side)[:, None] + radius[:, None] * np.cos(angle)
    y = 3_600_000 - 200 * (where // side)[:, None] + radius[:, None] * np.sin(angle)
    polygons = shapely.polygons(np.stack([x, y], axis=-1))
    code = places.choice([2, 3], side * side)[where]
    frame = gpd.GeoDataFrame(
        {"change_id": [f"p-{w}" for w in where], "change_code": code, "to_code": pd.array(code, dtype="Int64"),
         "area_ha": shapely.area(polygons) / 1e4, "change_probability": rng.uniform(0.5, 1, number).round(4)},
        geometry=polygons, crs="EPSG:32651",
    )  # fmt: skip
    extent = shapely.box(299_800, 3_600_200 - 200 * (side + 2), 300_200 + 200 * side, 3_600_200)
    x_cloud, y_cloud = rng.uniform(300_000, 300_000 + 200 * side, 200), rng.uniform(*extent.bounds[1::2], 200)
    clouds = shapely.buffer(shapely.points(x_cloud, y_cloud), 900)
    seen = Observation(f"k{year}", "place", "2015-06-01", f"{year}-06-01", "", "m", "sha256:00")
    return MergeableRun(Path(str(year)), View(seen, extent, frame, shapely.get_parts(clouds)), LEGEND, CRS("EPSG:32651"), 0.97)


def take_some(run: MergeableRun, number: int) -> MergeableRun:
    """Leave a run so many of its patches, spread over its ground."""
    kept = np.sort(np.random.default_rng(1).choice(len(run.view.patches), number, replace=False))
    return replace(run, view=replace(run.view, patches=run.view.patches.iloc[kept].reset_index(drop=True)))


def take_corner(run: MergeableRun, number: int) -> MergeableRun:
    """Leave a run a corner of its ground with about so many patches."""
    view = run.view
    left, bottom, right, top = view.extent.bounds
    share = min(number / len(view.patches), 1.0) ** 0.5
    corner = shapely.box(left, top - (top - bottom) * share, left + (right - left) * share, top)
    kept = view.patches[shapely.covers(corner, view.patches.geometry.to_numpy())].reset_index(drop=True)
    unseen = view.not_observed[shapely.intersects(corner, view.not_observed)]
    return replace(run, view=replace(view, extent=corner, patches=kept, not_observed=unseen))


def time_merges(store: Register, number: int, patches: int, *, clock: Any) -> dict[str, Any]:  # noqa: ANN401
    """Seconds of each merge, and of reading all changes."""
    corner = take_corner(make_run(number, 2019, 2019), patches)
    work = {
        "first_s": make_run(number, 2016, 2016), "merge_s": take_some(make_run(number, 2018, 2018), min(patches, number)),
        "corner_s": corner, "again_s": corner,
        "late_s": take_some(make_run(number, 2017, 2017), min(patches, number)),
    }  # fmt: skip
    result: dict[str, Any] = {"changes_first": number}
    for name, run in work.items():
        started = clock()
        store.merge([run])
        result[name] = round(clock() - started, 2)
    started = clock()
    changes = store.changes()
    return result | {"read_s": round(clock() - started, 2), "changes": len(changes)}


def main() -> None:
    """Time the merges."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--changes", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--patches", type=int, default=PATCHES)
    parser.add_argument("--server", help="address of an empty schema")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": describe_machine(), "patches": options.patches}
    rows = []
    with tempfile.TemporaryDirectory() as name, one_thread():
        for number in options.changes:
            say(f"{number} changes")
            path = Path(name) / f"{number}.gpkg"
            store = open_register(path)
            row = time_merges(store, number, options.patches, clock=time.process_time)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            rows.append(row | {"megabytes": round(path.stat().st_size / 1e6, 1), "peak_gb": round(peak, 2)})
            path.unlink()
        result["register"] = rows
        if len(rows) > 2:
            numbers = [row["changes_first"] for row in rows]
            names = [n for n in rows[0] if n.endswith("_s")]
            result["exponents"] = {n: fit_exponent(numbers, [row[n] for row in rows]) for n in names}
        if options.server:
            places = {"geopackage": Path(name) / "clock.gpkg", "server": location_of(options.server)}
            for place, where in places.items():
                store = open_register(where)
                result[place] = time_merges(store, options.changes[0], options.patches, clock=time.perf_counter)
    keep_figures(options.out, options.column, result)


if __name__ == "__main__":
    main()
