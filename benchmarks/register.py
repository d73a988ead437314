"""How long it takes to merge a run of 50,000 patches into a register of 50,000 changes: in order, again, and late.

Prints one JSON object: for a GeoPackage, and for a schema on a server where its address is given (there has to be nothing in
it yet), seconds of each merge and what the register holds in the end; and by how much the server took longer.

    python benchmarks/register.py [NUMBER] [ADDRESS]
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.register.address import location_of
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import Observation, View
from landshift.pipeline.register.store import Register, open_register

LEGEND = Legend((LandUse(1, "Forest", "#2f6b3c"), LandUse(2, "Cropland", "#ead27a"), LandUse(3, "Water", "#4a86b8")))
CORNERS = 24


def run(number: int, year: int, seed: int) -> MergeableRun:
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


MERGES = {"first_s": 2016, "in_order_s": 2018, "again_s": 2018, "late_s": 2017}


def time_merges(store: Register, runs: dict[int, MergeableRun]) -> dict[str, float]:
    """Seconds of each merge, and of reading all changes."""
    result = {}
    for name, year in MERGES.items():
        started = time.perf_counter()
        store.merge([runs[year]])
        result[name] = round(time.perf_counter() - started, 2)
    started = time.perf_counter()
    store.changes()
    return result | {"read_s": round(time.perf_counter() - started, 2)}


def main() -> None:
    """Time the merges."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    runs = {year: run(number, year, year) for year in MERGES.values()}
    result: dict[str, object] = {"patches": number}
    with tempfile.TemporaryDirectory() as folder:
        file = open_register(Path(folder) / "register.gpkg")
        seconds = time_merges(file, runs)
        result["geopackage"] = seconds
        result["changes"] = file.changes()["state"].value_counts().to_dict()
        result["megabytes"] = round((Path(folder) / "register.gpkg").stat().st_size / 1e6, 1)
    if len(sys.argv) > 2:
        server = time_merges(open_register(location_of(sys.argv[2])), runs)
        result["postgis"] = server
        result["postgis_to_geopackage"] = {name: round(server[name] / seconds[name], 2) for name in server}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
