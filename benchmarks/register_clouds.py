"""How a register follows changes that are known, seen through clouds.

    python benchmarks/register_clouds.py [--out FILE] [--column now] [--territories 10]

In each territory 12 changes of 0.3 to 4 ha begin at random dates within the first 16 of 24, and stay. Each date is hidden to 0
to 40 % by clouds in spots. Everything that is seen is mapped right, so that what the register gets wrong is its own: changes
with more than one entry, ends that never were, and how many dates pass until a change is seen and until it is confirmed.
"""

import argparse
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from machine import describe_machine, keep_figures, one_thread, say
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.transform import from_origin
from scipy import ndimage

from landshift.pipeline.change.polygons import find_map_patches, map_layers
from landshift.pipeline.grid import crs_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import Observation, View
from landshift.pipeline.register.store import open_register

LEGEND = Legend((LandUse(1, "Forest", "#2f6b3c"), LandUse(2, "Cropland", "#ead27a"), LandUse(3, "Water", "#4a86b8")))
SIDE, DATES, CELLS, LAST_BEGINNING = 120, 24, 4, 16
BEFORE, FIRST = date(2020, 6, 15), date(2021, 1, 10)


def make_changes(rng: np.random.Generator) -> list[tuple[np.ndarray, int, int]]:
    """Return the pixels, code and first date of 12 changes, each in a cell of its own."""
    result, size = [], SIDE // CELLS
    for cell in rng.permutation(CELLS * CELLS)[:12]:
        pixels = np.zeros((SIDE, SIDE), dtype=bool)
        top, left = size * (cell // CELLS), size * (cell % CELLS)
        height, width = rng.integers(6, size - 6, 2)
        y, x = np.ogrid[:size, :size]
        blob = ((y - size / 2) / (height / 2)) ** 2 + ((x - size / 2) / (width / 2)) ** 2 <= 1
        pixels[top : top + size, left : left + size] = blob
        result.append((pixels, int(rng.integers(2, 4)), int(rng.integers(LAST_BEGINNING))))
    return result


def make_clouds(rng: np.random.Generator) -> np.ndarray:
    """Return which pixels clouds hide."""
    field = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), rng.uniform(3, 10), mode="wrap")
    return np.asarray(field < np.quantile(field, 0.4 * rng.uniform()))


def make_run(codes: np.ndarray, number: int) -> MergeableRun:
    """Return the run of a map of codes."""
    day = FIRST + timedelta(30 * number)
    grid = GeoBox((SIDE, SIDE), from_origin(300_000, 3_600_000, 10, 10), "EPSG:32651")
    layers = map_layers(find_map_patches(codes), np.full(codes.shape, 0.9), grid, LEGEND, BEFORE, day, prefix="p")
    patches = layers.changes[["change_id", "change_code", "to_code", "area_ha", "change_probability", "geometry"]]
    extent = shapely.box(300_000, 3_600_000 - 10 * SIDE, 300_000 + 10 * SIDE, 3_600_000)
    seen = Observation(f"k{number}", "place", str(BEFORE), str(day), "", "m", "sha256:00", pixel_size=10.0)
    hidden = shapely.get_parts(layers.not_observed.geometry.to_numpy())
    view = View(seen, extent, patches.astype({"to_code": "Int64"}), hidden)
    return MergeableRun(Path(seen.key), view, LEGEND, CRS(crs_of(grid)), 1.0)


def follow(folder: Path, seed: int) -> dict[str, Any]:
    """Return what a register makes of a territory: counts, and dates from the beginning of each change."""
    rng = np.random.default_rng(seed)
    changes, store = make_changes(rng), open_register(folder / f"{seed}.gpkg")
    until_seen, until_confirmed = [DATES] * len(changes), [DATES] * len(changes)
    for number in range(DATES):
        codes = np.ones((SIDE, SIDE), dtype=np.uint8)
        for pixels, code, beginning in changes:
            if number >= beginning:
                codes[pixels] = code
        codes[make_clouds(rng)] = 0
        store.merge([make_run(codes, number)])
        found = store.changes()
        for place, (pixels, _, beginning) in enumerate(changes):
            states = set(found["state"][found.intersects(polygon_of(pixels))])
            waited = number - beginning
            until_seen[place] = min(until_seen[place], waited if states & {"new", "confirmed"} else DATES)
            until_confirmed[place] = min(until_confirmed[place], waited if "confirmed" in states else DATES)
    found, history = store.changes(), store.table(HISTORY)
    standing = found[(found["united_with"] == "") & (found["times_seen"] > 0)]
    entries = [int(standing.intersects(polygon_of(pixels)).sum()) for pixels, *_ in changes]
    ids = [int(found.intersects(polygon_of(pixels)).sum()) for pixels, *_ in changes]
    return {
        "split": sum(n > 1 for n in entries), "lost": sum(n < 1 for n in entries), "ids": sum(ids),
        "ends": int((history["event"] == "closed").sum()), "until_seen": until_seen, "until_confirmed": until_confirmed,
    }  # fmt: skip


def polygon_of(pixels: np.ndarray) -> shapely.Geometry:
    """Return the middle of a change as a polygon."""
    rows, columns = np.nonzero(ndimage.binary_erosion(pixels))
    left, top = 300_000 + 10.0 * columns, 3_600_000 - 10.0 * rows
    return shapely.union_all(shapely.box(left, top - 10, left + 10, top))


def main() -> None:
    """Follow the territories."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--territories", type=int, default=10)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name, one_thread():
        for seed in range(options.territories):
            say(f"territory {seed}")
            found.append(follow(Path(name), seed))
    result: dict[str, Any] = {"machine": describe_machine(), "territories": options.territories, "dates": DATES}
    result["changes"] = sum(len(one["until_seen"]) for one in found)
    result |= {name: sum(one[name] for one in found) for name in ("split", "lost", "ids", "ends")}
    for name in ("until_seen", "until_confirmed"):
        waited = np.concatenate([one[name] for one in found])
        result[name] = {f"p{q}": int(np.quantile(waited, q / 100, method="higher")) for q in (50, 90, 99)}
    keep_figures(options.out, options.column, result)


if __name__ == "__main__":
    main()
