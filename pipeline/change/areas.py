"""Areas of a run: what the map says, counted from its pixels and measured on the ellipsoid."""

from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely

from landshift.pipeline.change.outlines import ellipsoidal_area_ha
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import CHANGED, Legend

METHOD = "pixel count (biased; estimate areas from a judged sample before publishing)"


def mapped_areas(
    change: np.ndarray, changes: gpd.GeoDataFrame, not_observed: gpd.GeoDataFrame, legend: Legend, grid: Grid
) -> dict[str, Any]:
    """Add up the areas of a map.

    Args:
        change: uint8 (y, x) change codes of the whole map.
        changes: Its polygons, with `change_code` and `area_ha`.
        not_observed: The polygons of what was not observed, with `area_ha`.
        legend: The project's legend.
        grid: Where the pixels are.

    Returns:
        Hectares on the ellipsoid (`changed_ha`, `unchanged_ha`, `not_observed_ha`, `total_ha`, which add up), the share of the
        observed area that changed (0..1), the number of polygons, and one row for each change that occurs, the largest
        first.
    """
    counts = np.bincount(change.ravel(), minlength=256)
    rows: list[dict[str, Any]] = []
    for entry in legend.changes:
        if entry.code < CHANGED or not counts[entry.code]:
            continue
        patches = changes[changes["change_code"] == entry.code]
        rows.append(
            {
                "code": entry.code,
                "name": entry.name,
                "from_code": entry.from_code,
                "from_name": entry.from_name or None,
                "to_code": entry.to_code,
                "to_name": entry.to_name or entry.name,
                "colour": entry.colour,
                "pixels": int(counts[entry.code]),
                "polygons": len(patches),
                "area_ha": round(float(patches["area_ha"].sum()), 4),
            }
        )
    rows.sort(key=lambda row: (-float(row["area_ha"]), int(row["code"])))
    total, changed, unseen = _region_ha(grid), float(changes["area_ha"].sum()), float(not_observed["area_ha"].sum())
    observed = max(total - unseen, 0.0)
    return {
        "method": METHOD,
        "total_ha": round(total, 4),
        "changed_ha": round(changed, 4),
        "unchanged_ha": round(max(observed - changed, 0.0), 4),
        "not_observed_ha": round(unseen, 4),
        "changed_share": changed / observed if observed else 0.0,
        "observed_share": observed / total,
        "polygons": len(changes),
        "changes": rows,
    }


def with_test_scores(areas: dict[str, Any], scores: dict[str, Any] | None) -> dict[str, Any]:
    """Put beside each change how often the model was right about it on the test blocks.

    Args:
        areas: From `mapped_areas`.
        scores: The model's scores, None where it has none.

    Returns:
        The same areas; each row has `test` with `precision`, `recall` (0..1, None where nothing can be said) and `pixels`.
    """
    by_code: dict[int, dict[str, Any]] = {}
    if scores and "transitions" in scores:
        by_code = {
            int(c["code"]): {"precision": c["precision"], "recall": c["recall"], "pixels": c["support"]}
            for c in scores["transitions"]["classes"]
        }
    elif scores:
        by_code = {CHANGED: {"precision": scores["test"]["precision"], "recall": scores["test"]["recall"], "pixels": None}}
    nothing = {"precision": None, "recall": None, "pixels": 0}
    return {**areas, "changes": [{**row, "test": by_code.get(int(row["code"]), nothing)} for row in areas["changes"]]}


def pixel_area_spread(grid: Grid) -> float:
    """Return by how much pixels of a map differ in area: largest over smallest less 1, at its corners, sides and middle.

    Args:
        grid: Of the map; in an equal-area CRS the result is about 0, in Web Mercator it grows with the map.
    """
    rows, columns = grid.shape
    t = grid.transform
    places = [(y, x) for y in {0, rows // 2, rows - 1} for x in {0, columns // 2, columns - 1}]
    boxes = [shapely.box(t.c + x * t.a, t.f + (y + 1) * t.e, t.c + (x + 1) * t.a, t.f + y * t.e) for y, x in places]
    crs = pyproj.CRS.from_wkt(str(grid.crs.to_wkt())) if grid.crs is not None else pyproj.CRS.from_epsg(3857)
    sizes = np.concatenate([ellipsoidal_area_ha(np.array([box]), crs) for box in boxes])
    return float(sizes.max() / sizes.min() - 1)


def _region_ha(grid: Grid) -> float:
    crs = pyproj.CRS.from_wkt(str(grid.crs.to_wkt())) if grid.crs is not None else pyproj.CRS.from_epsg(3857)
    # Edges are straight on the map and bent on the ellipsoid: vertices at 64 steps follow them closely.
    box = grid.extent.geom
    return float(ellipsoidal_area_ha(np.array([shapely.segmentize(box, max(grid.extent.boundingbox.span_x, 1) / 64)]), crs)[0])
