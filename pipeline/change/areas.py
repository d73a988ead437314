"""Mapped areas: counted from pixels and measured on the ellipsoid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landshift.pipeline.change.outlines import ellipsoidal_area_ha
from landshift.pipeline.grid import Grid, crs_of
from landshift.pipeline.legend import CHANGED, Legend
from landshift.pipeline.vector.columns import DTYPES

KIND_FIELDS: Mapping[str, str] = {
    "kind_right": "right", "kind_right_low": "low", "kind_right_high": "high", "kind_tested_px": "mapped",
}  # fmt: skip
"""Column of the polygons to the field of `OnTestBlocks` that it holds."""

METHOD = "pixel count (biased; estimate areas from a judged sample before publishing)"


@dataclass(frozen=True)
class OnTestBlocks:
    """How often the model was right about a change on its test blocks."""

    right: float | None = None
    """Share of the test pixels mapped as the change that are right, 0..1; None where none was mapped so."""
    low: float | None = None
    """Lower end of its 95 % interval, 0..1."""
    high: float | None = None
    """Upper end, 0..1."""
    mapped: int | None = None
    """Labelled test pixels that are mapped as the change; None where the model was not tested."""
    blocks: int = 0
    """Test blocks that these lie in."""
    found: float | None = None
    """Share of the test pixels of the change that are mapped as such, 0..1; None where none is labelled so."""
    labelled: int | None = None
    """Test pixels that are labelled as the change; None where the model was not tested."""


@dataclass(frozen=True)
class MappedChange:
    """One kind of change that a map holds."""

    code: int
    """Change code, from 2."""
    name: str
    """For example `Forest to Cropland`."""
    from_code: int | None
    """Land-use code before; None in a binary project."""
    from_name: str | None
    """Name of the class before; None in a binary project."""
    to_code: int | None
    """Land-use code after; None in a binary project."""
    to_name: str
    """Name of the class after; `Changed` in a binary project."""
    colour: str
    """`#rrggbb`."""
    pixels: int
    """Of the map."""
    polygons: int
    """Patches."""
    area_ha: float
    """Hectares on the ellipsoid (pixel count, biased)."""
    test: OnTestBlocks = OnTestBlocks()
    """How often the model was right about it."""
    pattern: int = 0
    """Index in `colours.palette.PATTERNS` of the lines that stand for the class before; 0 = plain."""


@dataclass(frozen=True)
class MappedAreas:
    """Hectares of a map on the ellipsoid, counted from its pixels: biased."""

    method: str
    """How they were measured."""
    total_ha: float
    """Of the whole map: the sum of the next three."""
    changed_ha: float
    """Mapped as changed."""
    unchanged_ha: float
    """Mapped as unchanged."""
    not_observed_ha: float
    """Not observed on one of the dates or on both."""
    changed_share: float
    """Of the observed area, 0..1."""
    observed_share: float
    """Of the whole map, 0..1."""
    polygons: int
    """Patches of change."""
    changes: tuple[MappedChange, ...]
    """The kinds that occur, the largest first."""


def measure_areas(changes: gpd.GeoDataFrame, not_observed: gpd.GeoDataFrame, legend: Legend, grid: Grid) -> MappedAreas:
    """Add up the areas of a map.

    Args:
        changes: The polygons of the map's changes, with `change_code`, `pixel_count` and `area_ha`.
        not_observed: The polygons of what was not observed, with `area_ha`.
        legend: The project's legend.
        grid: Where the pixels are.
    """
    rows = []
    for entry in legend.changes[CHANGED:]:
        patches = changes[changes["change_code"] == entry.code]
        if patches.empty:
            continue
        rows.append(
            MappedChange(
                code=entry.code, name=entry.name, from_code=entry.from_code, from_name=entry.from_name or None,
                to_code=entry.to_code, to_name=entry.to_name or entry.name, colour=entry.colour,
                pixels=int(patches["pixel_count"].sum()), polygons=len(patches),
                area_ha=round(float(patches["area_ha"].sum()), 4), pattern=entry.pattern,
            )
        )  # fmt: skip
    total, changed, unseen = region_ha(grid), float(changes["area_ha"].sum()), float(not_observed["area_ha"].sum())
    observed = max(total - unseen, 0.0)
    return MappedAreas(
        method=METHOD, total_ha=round(total, 4), changed_ha=round(changed, 4),
        unchanged_ha=round(max(observed - changed, 0.0), 4), not_observed_ha=round(unseen, 4),
        changed_share=changed / observed if observed else 0.0, observed_share=observed / total, polygons=len(changes),
        changes=tuple(sorted(rows, key=lambda row: (-row.area_ha, row.code))),
    )  # fmt: skip


def with_test_scores(areas: MappedAreas, tested: Mapping[int, OnTestBlocks]) -> MappedAreas:
    """Put beside each change how often the model was right about it on the test blocks.

    Args:
        areas: From `measure_areas`.
        tested: By change code; a kind that is absent was not tested.
    """
    return replace(areas, changes=tuple(replace(row, test=tested.get(row.code, OnTestBlocks())) for row in areas.changes))


def add_kind_scores(changes: gpd.GeoDataFrame, tested: Mapping[int, OnTestBlocks]) -> None:
    """Set the columns of the polygons that hold how often the model was right about their kind of change.

    Args:
        changes: With `CHANGE_COLUMNS`.
        tested: By change code; a kind that is absent was not tested, and gets nulls.
    """
    rows = [tested.get(int(code), OnTestBlocks()) for code in changes["change_code"]]
    for column, field in KIND_FIELDS.items():
        changes[column] = pd.Series([getattr(row, field) for row in rows], index=changes.index, dtype=DTYPES[column])


def pixel_area_spread(grid: Grid) -> float:
    """Return by how much pixels of a map differ in area: largest over smallest less 1, at its corners, sides and middle.

    Args:
        grid: Of the map; in an equal-area CRS the result is about 0, in Web Mercator it grows with the map.
    """
    rows, columns = grid.shape
    t = grid.transform
    places = [(y, x) for y in {0, rows // 2, rows - 1} for x in {0, columns // 2, columns - 1}]
    boxes = [shapely.box(t.c + x * t.a, t.f + (y + 1) * t.e, t.c + (x + 1) * t.a, t.f + y * t.e) for y, x in places]
    sizes = np.concatenate([ellipsoidal_area_ha(np.array([box]), crs_of(grid)) for box in boxes])
    return float(sizes.max() / sizes.min() - 1)


def region_ha(grid: Grid) -> float:
    """Return the area of a map on the ellipsoid in hectares."""
    # Edges are straight on the map and bent on the ellipsoid: vertices at 64 steps follow them closely.
    box = shapely.segmentize(grid.extent.geom, max(grid.extent.boundingbox.span_x, 1) / 64)
    return float(ellipsoidal_area_ha(np.array([box]), crs_of(grid))[0])
