"""What the map of a run's page draws, as the JSON in the page: patches, areas and what was not observed."""

import json
from dataclasses import dataclass
from typing import Annotated

import geopandas as gpd
import numpy as np
import shapely
from markupsafe import Markup
from pydantic import Field

from landshift.pipeline.records import content_of
from landshift.pipeline.run.page.tables import kind_text, number_of, text_of
from landshift.pipeline.run.record import RunRecord

MOST_PATCHES = 2000
"""Patches in the page's map and table, the largest; a browser still moves them smoothly."""
MOST_VERTICES = 150_000
"""Vertices of a layer in the page; above, its outlines are simplified further, for the eye only."""
_MOST_UNSEEN = 500
_TENTHS = 10
"""Coordinates are whole tenths of a pixel."""
_COARSEST = 64.0
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


Shape = list[list[list[int]]]
"""Polygons of a geometry, of each its rings, as `shapes` writes them down."""


@dataclass(frozen=True)
class PatchShape:
    """One patch of change on the page's map and in its table."""

    id: str
    """Its `change_id`."""
    kind: int
    """Index of its change in `MapData.kinds`."""
    before: Annotated[str | None, Field(serialization_alias="from")]
    """Land use before; None without classes."""
    after: Annotated[str | None, Field(serialization_alias="to")]
    """Land use after."""
    ha: float
    """Hectares (pixel count, biased)."""
    change_probability: float | None
    """Mean probability of change over its pixels, 0..1."""
    lowest: float | None
    """Lowest probability of change of a pixel, 0..1."""
    areas: str
    """Areas of interest that it touches; empty without any."""
    shape: Shape
    """Its outline."""


@dataclass(frozen=True)
class KindColour:
    """A change in the map's legend."""

    name: str
    """As in the project's legend."""
    colour: str
    """`#rrggbb`."""
    tested: str
    """How often the model was right about it on the test blocks, in words."""


@dataclass(frozen=True)
class AreaShape:
    """An area of interest on the page's map."""

    name: str
    """As the user calls it."""
    shape: Shape
    """Its outline."""


@dataclass(frozen=True)
class MapData:
    """What the page's script draws and lists, as the JSON in the page has it."""

    rows: int
    """Of the map, pixels."""
    columns: int
    """Of the map, pixels."""
    pixel_m: float
    """Side of a pixel, metres."""
    before: str
    """Date, year-month-day."""
    after: str
    """Date, year-month-day."""
    chips: int
    """Patches with a chip, from the first on."""
    all_patches: int
    """Of the run; `patches` are the largest of them."""
    calibrated: bool
    """Whether the calibration error was measured on the very images of the run."""
    tested: bool
    """Whether the test blocks of the model lie in the very images of the run."""
    all_unseen: int
    """Of the run; `unseen` are the largest of them."""
    kinds: tuple[KindColour, ...]
    """The changes that occur, the largest first."""
    patches: tuple[PatchShape, ...]
    """The largest first."""
    unseen: list[Shape]
    """Polygons that were not observed."""
    areas: tuple[AreaShape, ...]
    """Areas of interest, in the order of their layer."""


def largest(polygons: gpd.GeoDataFrame, most: int = MOST_PATCHES) -> gpd.GeoDataFrame:
    """Choose the polygons that the page holds: the largest, the largest first."""
    order = np.argsort(-polygons["area_ha"].to_numpy(dtype=float), kind="stable")[:most]
    return polygons.iloc[order].reset_index(drop=True)


def map_data(
    run: RunRecord,
    patches: gpd.GeoDataFrame,
    not_observed: gpd.GeoDataFrame,
    areas_of_interest: gpd.GeoDataFrame | None,
    chips: int,
) -> MapData:
    """Collect what the page's script draws and lists.

    Args:
        run: What describes it.
        patches: From `largest`.
        not_observed: The polygons that were not observed, in the CRS of the run.
        areas_of_interest: The same of the areas of interest, with `name`; None where the run has none.
        chips: How many patches have a chip, from the first on.
    """
    areas = areas_of_interest if areas_of_interest is not None else not_observed.iloc[:0].assign(name="")
    return MapData(
        rows=run.grid.rows, columns=run.grid.columns, pixel_m=run.grid.pixel_size_m, before=str(run.before_date),
        after=str(run.after_date), chips=chips, all_patches=run.areas.polygons,
        calibrated=run.calibration.is_known, tested=run.model is None or run.model.tested_here, all_unseen=len(not_observed),
        kinds=tuple(KindColour(row.name, row.colour, kind_text(row.test)) for row in run.areas.changes),
        patches=_patch_shapes(patches, run),
        unseen=shapes(on_pixels(largest(not_observed, _MOST_UNSEEN), run)),
        areas=tuple(map(AreaShape, map(str, areas["name"]), shapes(on_pixels(areas, run)))),
    )  # fmt: skip


def _patch_shapes(patches: gpd.GeoDataFrame, run: RunRecord) -> tuple[PatchShape, ...]:
    index = {row.code: number for number, row in enumerate(run.areas.changes)}
    named = patches["areas_of_interest"] if "areas_of_interest" in patches else [None] * len(patches)
    columns = ("change_id", "change_code", "from_name", "to_name", "area_ha", "change_probability", "change_probability_min")
    values = zip(*(patches[c] for c in columns), named, shapes(on_pixels(patches, run)), strict=True)
    return tuple(
        PatchShape(
            str(change_id), index[int(code)], text_of(before), text_of(after), ha=round(float(area), 4),
            change_probability=number_of(change_probability),
            lowest=number_of(lowest), areas=text_of(areas) or "", shape=shape,
        )
        for change_id, code, before, after, area, change_probability, lowest, areas, shape in values
    )  # fmt: skip


def on_pixels(frame: gpd.GeoDataFrame, run: RunRecord) -> np.ndarray:
    """Return geometries in pixels from the upper left corner of the map: x to the right, y down."""
    a, _, c, _, e, f = run.grid.transform
    return np.asarray(shapely.transform(frame.geometry.to_numpy(), lambda xy: (xy - [c, f]) / [a, e]))


def shapes(geometry: np.ndarray, most: int = MOST_VERTICES) -> list[Shape]:
    """Write polygons down in few bytes, simplified only where there are too many vertices.

    Args:
        geometry: Polygons and multipolygons, in pixels.
        most: Vertices that all together may have, about.

    Returns:
        For each geometry its polygons, for each its rings, the outer one first: tenths of a pixel, x and y in turn, each
        pair but the first as the step from the one before; the last vertex, equal to the first, is left out.
    """
    tolerance, simple = 0.25, geometry
    while shapely.get_num_coordinates(simple).sum() > most and tolerance < _COARSEST:
        simple, tolerance = shapely.simplify(geometry, tolerance), 2 * tolerance
    return [[_rings(part) for part in shapely.get_parts(whole) if not part.is_empty] for whole in simple]


def _rings(polygon: shapely.Polygon) -> list[list[int]]:
    rings = []
    for ring in (polygon.exterior, *polygon.interiors):
        points = np.rint(shapely.get_coordinates(ring)[:-1] * _TENTHS).astype(np.int64)
        steps = np.diff(points, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
        steps = steps[np.r_[True, (steps[1:] != 0).any(axis=1)]]
        rings.append(steps.ravel().tolist())
    return rings


def json_for_page(record: object) -> Markup:
    """Write a record as JSON that no name can end early, to stand inside a `<script>` of the type `application/json`."""
    text = json.dumps(content_of(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704 (nothing is left in it that HTML reads)
