"""Polygons out of the map: the patches of change and of what was not observed, as one coverage."""

from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np

from landshift.pipeline.change.areas import KIND_FIELDS
from landshift.pipeline.change.decision import probability_of
from landshift.pipeline.change.identity import first_pixel_ids
from landshift.pipeline.change.outlines import ellipsoidal_area_ha, to_map
from landshift.pipeline.change.patches import MapRows, Patches, blocks_of, find_patches
from landshift.pipeline.change.simplification import simplify_outlines
from landshift.pipeline.change.tracing import trace_outlines
from landshift.pipeline.grid import Grid, crs_of
from landshift.pipeline.legend import NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.vector.columns import (
    AREAS_LAYER,
    CHANGE_COLUMNS,
    LABELS_COLUMNS,
    LEARNT,
    NOT_OBSERVED_COLUMNS,
    TESTED,
    frame_of,
)

_USES = {LEARNT: "Learnt from", TESTED: "Tested on"}

_OF_CODE = probability_of(np.arange(256, dtype=np.uint8)).astype(np.float64)
"""The probability that each code of `change_probability.tif` stands for."""


@dataclass(frozen=True)
class MapLayers:
    """The polygons of a map; neighbours have one border, within and between the two layers."""

    changes: gpd.GeoDataFrame
    """Columns `CHANGE_COLUMNS` and polygons in the grid's CRS, in row-major order of first pixels."""
    not_observed: gpd.GeoDataFrame
    """Columns `NOT_OBSERVED_COLUMNS` and polygons in the grid's CRS, in row-major order of first pixels."""


def map_layers(
    patches: Patches,
    change_probability: MapRows,
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
        patches: Of the whole map's change codes, those of unchanged pixels being the background: `find_map_patches`.
        change_probability: The map or its rows block by block: float, 0..1, or uint8 codes as `probability_codes` makes them.
        grid: Where the pixels are.
        legend: The project's legend.
        before_date: Date of the image before.
        after_date: Date of the image after.
        prefix: Begins each `change_id`, which goes on as in `first_pixel_ids`.

    Returns:
        In a binary project `from_code`, `from_name` and `to_code` are null and `to_name` is "Changed".
        `areas_of_interest` and the columns of `add_kind_scores` are null everywhere.

    Raises:
        ValueError: The patches or the probabilities are not of the grid's shape.
    """
    if patches.shape != tuple(grid.shape):
        raise ValueError(f"patches of a map of {patches.shape}, grid {tuple(grid.shape)}; expected one shape")
    seen = patches.code != NOT_OBSERVED
    mean, lowest = _patch_statistics(patches.choose(seen), change_probability)
    exact = trace_outlines(patches)
    area_ha = ellipsoidal_area_ha(to_map(exact.polygons(), grid), crs_of(grid))
    geometry = to_map(simplify_outlines(exact, patches).polygons(), grid)

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


def find_map_patches(change: MapRows) -> Patches:
    """Find the patches of a map: of each change, and of what was not observed (code 0).

    Args:
        change: uint8 change codes, the whole map or its rows block by block.
    """
    return find_patches(change, background=UNCHANGED)


def outline_labels(uses: np.ndarray, grid: Grid) -> gpd.GeoDataFrame:
    """Outline where labels lay that a model learnt from and was tested on.

    Args:
        uses: uint8 (y, x): `LEARNT`, `TESTED`, 0 elsewhere.
        grid: Where the pixels are.

    Returns:
        Columns `LABELS_COLUMNS` and polygons in the grid's CRS.
    """
    patches = find_patches(uses, background=0)
    geometry = to_map(simplify_outlines(trace_outlines(patches), patches).polygons(), grid)
    names = [_USES[code] for code in patches.code.tolist()]
    return frame_of({"label_use": patches.code, "label_use_name": names}, LABELS_COLUMNS, geometry, crs_of(grid))


def _patch_statistics(patches: Patches, values: MapRows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and minimum of values, the map or its rows, over each patch; both float64 (patch)."""
    total, lowest, top = np.zeros(len(patches)), np.full(len(patches), np.inf), 0
    for block in blocks_of(values):
        if block.shape[1] != patches.shape[1]:
            raise ValueError(f"probabilities {block.shape} on a map of {patches.shape}; expected one width")
        runs = patches.rows(top, len(block))
        top += len(block)
        if not len(runs.start):
            continue
        found = np.ravel(block)[runs.pixels()]
        inside = _OF_CODE[found] if block.dtype == np.uint8 else found.astype(np.float64)
        first = np.cumsum(runs.length) - runs.length
        np.add.at(total, runs.patch, np.add.reduceat(inside, first))
        np.minimum.at(lowest, runs.patch, np.minimum.reduceat(inside, first))
    if top != patches.shape[0]:
        raise ValueError(f"{top} rows of probabilities on a map of {patches.shape}; expected one shape")
    return total / patches.pixel_count, lowest
