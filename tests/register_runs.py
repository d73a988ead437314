"""Runs for the register, drawn as small pictures: a digit is a change code, a dot unchanged, a question mark not observed."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS

from landshift.pipeline.change.polygons import find_map_patches, map_layers
from landshift.pipeline.grid import crs_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.register.runs import MergeableRun
from landshift.pipeline.register.states import Observation, View
from tests.conftest import small_grid

LEGEND = Legend((LandUse(1, "Forest", "#2f6b3c"), LandUse(2, "Cropland", "#ead27a"), LandUse(3, "Water", "#4a86b8")))
"""2 is Forest to Cropland, 3 Forest to Water, 4 Cropland to Forest, 5 Cropland to Water, 6 Water to Forest."""


def codes_of(picture: Sequence[str]) -> np.ndarray:
    value = {".": 1, "?": 0}
    return np.array([[value.get(c, c) for c in row] for row in picture]).astype(np.uint8)


def run(
    picture: Sequence[str], after: str, before: str = "2020-06-15", *, key: str = "", created: str = "",
    model: str = "sha256:m", scenes: tuple[str, ...] = (),
    project: str = "place", legend: Legend = LEGEND, crs: str = "EPSG:32651", prefix: str = "p", min_area_ha: float = 0.0,
    probability: float = 0.9,
) -> MergeableRun:  # fmt: skip
    codes = codes_of(picture)
    grid = small_grid(*codes.shape, crs=crs)
    dates = (date.fromisoformat(before), date.fromisoformat(after))
    layers = map_layers(find_map_patches(codes), np.full(codes.shape, probability), grid, legend, *dates, prefix=prefix)
    patches = layers.changes[["change_id", "change_code", "to_code", "area_ha", "change_probability", "geometry"]]
    t = grid.transform
    extent = shapely.box(t.c, t.f + t.e * codes.shape[0], t.c + t.a * codes.shape[1], t.f)
    seen = Observation(key or f"k-{before}-{after}", project, before, after, created, "m", model, scenes, min_area_ha, 10.0)
    view = View(seen, extent, patches.astype({"to_code": "Int64"}), shapely.get_parts(layers.not_observed.geometry.to_numpy()))
    return MergeableRun(Path(seen.key), view, legend, CRS(crs_of(grid)), 1.0)


def states(changes: Any) -> dict[str, str]:
    return dict(zip(changes["change_id"], changes["state"], strict=True))
