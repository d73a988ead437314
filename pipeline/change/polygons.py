"""Polygons out of the map: the patches of change and of what was not observed, as one coverage."""

from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np

from landshift.pipeline.change.areas import KIND_FIELDS
from landshift.pipeline.change.identity import first_pixel_ids
from landshift.pipeline.change.outlines import ellipsoidal_area_ha, outlines, simplify_coverage, to_map
from landshift.pipeline.change.patches import Patches, find_patches
from landshift.pipeline.columns import AREAS_LAYER, CHANGE_COLUMNS, NOT_OBSERVED_COLUMNS, frame_of
from landshift.pipeline.grid import Grid, crs_of
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Legend

_UNSEEN = np.uint8(UNCHANGED)
"""What stands for "not observed" while patches are sought, where 0 is the background: unchanged pixels are that here."""


@dataclass(frozen=True)
class MapLayers:
    """The polygons of a map; neighbours have one border, within and between the two layers."""

    changes: gpd.GeoDataFrame
    """Columns `CHANGE_COLUMNS` and polygons in the grid's CRS, in row-major order of first pixels."""
    not_observed: gpd.GeoDataFrame
    """Columns `NOT_OBSERVED_COLUMNS` and polygons in the grid's CRS, in row-major order of first pixels."""


def map_layers(
    change: np.ndarray,
    change_probability: np.ndarray,
    grid: Grid,
    legend: Legend,
    before_date: date,
    after_date: date,
    *,
    prefix: str = "change",
) -> MapLayers:
    """Turn the change map into polygons: one for each 4-connected patch of a change code or of what was not observed.

    Areas and pixels are measured on the pixels; then all outlines are simplified together, so that neighbours keep one
    border, without gaps and overlaps. Every geometry is a valid polygon, whose own area differs from the measured one
    by at most a third (much less in patches of more than a few pixels).

    Args:
        change: uint8 (y, x) change codes of the whole map.
        change_probability: float (y, x), 0..1.
        grid: Where the pixels are.
        legend: The project's legend.
        before_date: Date of the image before.
        after_date: Date of the image after.
        prefix: Begins each `change_id`, which goes on as in `first_pixel_ids`.

    Returns:
        In a binary project `from_code`, `from_name` and `to_code` are null and `to_name` is "Changed".
        `areas_of_interest` and the columns of `add_kind_scores` are null everywhere.

    Raises:
        ValueError: An array does not have the grid's shape.
    """
    if not change.shape == change_probability.shape == tuple(grid.shape):
        shapes = f"change {change.shape}, change_probability {change_probability.shape}, grid {tuple(grid.shape)}"
        raise ValueError(f"{shapes}; expected one shape")
    codes = np.where(change == NOT_OBSERVED, _UNSEEN, np.where(change == UNCHANGED, np.uint8(0), change))
    patches = find_patches(codes)
    exact = outlines(codes, patches)
    area_ha = ellipsoidal_area_ha(to_map(exact, grid), crs_of(grid))
    geometry = to_map(simplify_coverage(exact, patches), grid)
    seen = patches.code != _UNSEEN
    mean, lowest = _patch_statistics(patches, seen, change_probability)

    by_code = {entry.code: entry for entry in legend.changes}
    kinds = [by_code[code] for code in patches.code[seen].tolist()]
    shared = {"before_date": before_date, "after_date": after_date}
    crs = crs_of(grid)
    changes = {
        "change_id": first_pixel_ids(patches.first_pixel[seen], grid, prefix),
        "change_code": patches.code[seen],
        "from_code": [kind.from_code for kind in kinds],
        "from_name": [kind.from_name or None for kind in kinds],
        "to_code": [kind.to_code for kind in kinds],
        "to_name": [kind.to_name or kind.name for kind in kinds],
        "area_ha": area_ha[seen],
        "pixel_count": patches.pixel_count[seen],
        "change_probability": mean.round(4),
        "change_probability_min": lowest.round(4),
        **dict.fromkeys(KIND_FIELDS),
        AREAS_LAYER: None,
        **shared,
    }
    unseen = {"change_code": NOT_OBSERVED, "area_ha": area_ha[~seen], "pixel_count": patches.pixel_count[~seen], **shared}
    return MapLayers(
        frame_of(changes, CHANGE_COLUMNS, geometry[seen], crs), frame_of(unseen, NOT_OBSERVED_COLUMNS, geometry[~seen], crs)
    )


def _patch_statistics(patches: Patches, chosen: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and minimum of (y, x) values over each of the chosen patches, bool (patch); both float64 (chosen)."""
    number = int(chosen.sum())
    if not number:
        return np.zeros(0), np.zeros(0)
    runs = chosen[patches.run_patch]
    length, patch = patches.run_length[runs], (np.cumsum(chosen) - 1)[patches.run_patch[runs]]
    start = np.cumsum(length) - length
    inside = np.ravel(values)[patches.pixels(chosen)].astype(np.float64)
    total = np.bincount(patch, weights=np.add.reduceat(inside, start))
    lowest = np.full(number, np.inf)
    np.minimum.at(lowest, patch, np.minimum.reduceat(inside, start))
    return total / patches.pixel_count[chosen], lowest
