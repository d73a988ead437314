"""What the map and the table of a run's page draw and list, as the JSON in the page."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from markupsafe import Markup
from pydantic import Field

from landshift.pipeline.drawing.symbols import ScreenLines, fill_css, screen_lines
from landshift.pipeline.records import content_of
from landshift.pipeline.run.page.packing import Packed, dictionary_code, in_order_of_place, outlines_within, pack_columns
from landshift.pipeline.run.page.tables import AreaFigures, RightShare, number_of, text_of
from landshift.pipeline.run.record import RunRecord

MOST_PATCHES = 120_000
"""Patches in the page's map and table, the largest; the page stays below 3 MB."""
MOST_OUTLINES = 850_000
"""Bytes of the outlines of patches, packed; above, they are simplified further, for the eye only."""
MOST_AREAS = 200
"""Areas of interest on the page; a longer table is no longer read, and makes the page large."""
_MOST_UNSEEN = 2000
_MOST_OTHERS = 120_000
"""Bytes of the outlines of each other layer, packed."""
_CORNER_TOLERANCE_PX = 1e-3
_HA = 10_000
"""Hectares come in steps of a square metre, as the layers have them."""
_PERCENT = 100
_ID = re.compile(r"(.+)-(m?\d+)-(m?\d+)", re.DOTALL)
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class ListedPatch:
    """One of the largest patches, as it stands in the list for paper."""

    id: str
    """Its `change_id`."""
    kind: int
    """Index of its change in `MapData.kinds`."""
    ha: float
    """Hectares (pixel count, biased)."""
    change_probability: float | None
    """Mean probability of change over its pixels, 0..1."""
    areas: str
    """Areas of interest that it touches; empty without any."""


@dataclass(frozen=True)
class KindColour:
    """A change in the map's legend."""

    name: str
    """As in the project's legend."""
    before: Annotated[str | None, Field(serialization_alias="from")]
    """Land use before; None without classes."""
    after: Annotated[str | None, Field(serialization_alias="to")]
    """Land use after."""
    colour: str
    """`#rrggbb`."""
    lines: ScreenLines
    """On its colour, for the class before."""
    swatch: str
    """Both as CSS, for the legend."""
    right: float | None
    """Share of what is mapped so that was right when tested, 0..1; None where not tested."""
    tested: str
    """The same in words."""
    in_sample: RightShare | None
    """How often it was right in the judged sample; None without one."""
    on_blocks: RightShare
    """How often it was right on the test blocks of the model."""
    brief: str
    """The same in few words, for the table."""
    hardly_tested: bool
    """Whether too little was tested to know if it is more often right than wrong."""
    ha: float
    """Hectares of all its patches (pixel count, biased), as everywhere on the page."""


@dataclass(frozen=True)
class IdRule:
    """How the ids of patches follow from where their outlines begin."""

    prefix: str
    """Begins nearly all of them."""
    left: int
    """Column of the map's first pixel, counted from the origin of the CRS."""
    top: int
    """Row above the map's first pixel, counted to the north."""
    others: dict[int, str]
    """Ids that do not follow the rule, by the place of their patch."""


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
    name: str
    """Of the project, for the name of an exported table."""
    patches: int
    """Held by the page: the largest."""
    all_patches: int
    """Of the run."""
    chips: tuple[int, ...]
    """Places of the patches that have a chip, the largest first, in the order of the sheet."""
    calibrated: bool
    """Whether the calibration error was measured on the very images of the run."""
    tested: bool
    """Whether the test blocks of the model lie in the very images of the run."""
    all_unseen: int
    """Of the run; the page holds the largest of them."""
    kinds: tuple[KindColour, ...]
    """The changes that occur, the largest first."""
    areas: tuple[str, ...]
    """Names of the areas of interest, in the order of their layer."""
    touched: tuple[str, ...]
    """Names of the areas that patches touch, each combination once."""
    ids: IdRule
    """Of the patches."""
    units: dict[str, int]
    """Steps of a pixel in the outlines of `patch`, `unseen`, `area` and `label`."""
    packed: Packed
    """Patches in an order that keeps neighbours together: `kind`, `ha` (square metres), `probability` and `lowest` (percent, -1
    without), `touched`, `id_x`, `id_y`; `role` of the labels (1 = learnt from, 2 = tested on); and all outlines."""

    @property
    def unseen(self) -> int:
        """Polygons that were not observed and that the page holds."""
        return dict(self.packed.columns)["unseen.rings"]

    @property
    def labels(self) -> int:
        """Outlines of labels."""
        return dict(self.packed.columns)["label.rings"]


@dataclass(frozen=True)
class DrawnLayers:
    """The polygons of a run that the page draws, in its CRS."""

    patches: gpd.GeoDataFrame
    """From `largest`."""
    not_observed: gpd.GeoDataFrame
    """What was not observed."""
    areas_of_interest: gpd.GeoDataFrame | None = None
    """With `name`; None where the run has none."""
    labels: gpd.GeoDataFrame | None = None
    """Where labels lay, with `label_use`; None where that is not known."""
    all_areas: int = 0
    """Areas of interest of the run; those above are all of them, or those with most change."""


def largest(polygons: gpd.GeoDataFrame, most: int = MOST_PATCHES) -> gpd.GeoDataFrame:
    """Choose the polygons that the page holds: the largest, the largest first."""
    order = np.argsort(-polygons["area_ha"].to_numpy(dtype=float), kind="stable")[:most]
    return polygons.iloc[order].reset_index(drop=True)


def choose_areas(areas_of_interest: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Choose the areas of interest that the page holds: all in their order, or of very many those with most change."""
    if len(areas_of_interest) <= MOST_AREAS:
        return areas_of_interest
    changed = areas_of_interest["changed_ha"].to_numpy(dtype=float, na_value=0.0)
    return areas_of_interest.iloc[np.argsort(-changed, kind="stable")[:MOST_AREAS]].reset_index(drop=True)


def map_data(run: RunRecord, layers: DrawnLayers, rows: Sequence[AreaFigures], chips: int) -> MapData:
    """Collect what the page's script draws and lists.

    Args:
        run: What describes it.
        layers: Its polygons.
        rows: Its changes, from `area_rows`.
        chips: How many patches have a chip, from the largest on.
    """
    shapes, units = on_pixels(layers.patches, run), {}
    order = in_order_of_place(shapes)
    frame, place = layers.patches.iloc[order], np.argsort(order)
    columns, touched = _attributes(frame, run)
    others = {
        "unseen": largest(layers.not_observed, _MOST_UNSEEN), "area": layers.areas_of_interest, "label": layers.labels,
    }  # fmt: skip
    for name, found in {"patch": frame, **others}.items():
        geometry = np.array([], dtype=object) if found is None else shapes[order] if name == "patch" else on_pixels(found, run)
        outlines, units[name] = outlines_within(name, geometry, MOST_OUTLINES if name == "patch" else _MOST_OTHERS)
        columns |= outlines
    ids, offsets = _id_rule([str(i) for i in frame["change_id"]], _first_corners(columns, units["patch"]), run)
    areas = layers.areas_of_interest
    columns |= {
        "id_x": offsets[0], "id_y": offsets[1],
        "role": np.zeros(0, int) if layers.labels is None else layers.labels["label_use"].to_numpy(dtype=np.int64),
    }  # fmt: skip
    return MapData(
        rows=run.grid.rows, columns=run.grid.columns, pixel_m=run.grid.pixel_size_m, before=str(run.before_date),
        after=str(run.after_date), name=run.name, patches=len(frame), all_patches=run.areas.polygons,
        chips=tuple(place[:chips].tolist()),
        calibrated=run.calibration.is_known, tested=run.model is None or run.model.tested_here,
        all_unseen=len(layers.not_observed), kinds=_kinds(run, rows),
        areas=() if areas is None else tuple(map(str, areas["name"])), touched=tuple(touched),
        ids=ids, units=units, packed=pack_columns(columns),
    )  # fmt: skip


def list_patches(run: RunRecord, patches: gpd.GeoDataFrame) -> tuple[ListedPatch, ...]:
    """Return rows of the list for paper, in the order of `patches`."""
    index = {row.code: number for number, row in enumerate(run.areas.changes)}
    named = _name_areas(patches)
    columns = ("change_id", "change_code", "area_ha", "change_probability")
    values = zip(*(patches[c] for c in columns), named, strict=True)
    return tuple(
        ListedPatch(str(i), index[int(code)], round(float(ha), 4), number_of(probability), areas=areas)
        for i, code, ha, probability, areas in values
    )


def _kinds(run: RunRecord, rows: Sequence[AreaFigures]) -> tuple[KindColour, ...]:
    figures = {row.name: row for row in rows}
    return tuple(
        KindColour(
            row.name, row.from_name, row.to_name if row.from_name else None, row.colour,
            lines=screen_lines(row.colour, row.pattern), swatch=fill_css(row.colour, row.pattern),
            right=figures[row.name].right, tested=figures[row.name].right_text, in_sample=figures[row.name].in_sample,
            on_blocks=figures[row.name].on_blocks,
            brief=figures[row.name].right_brief, hardly_tested=figures[row.name].is_hardly_tested, ha=row.area_ha,
        )
        for row in run.areas.changes
    )  # fmt: skip


def _attributes(frame: gpd.GeoDataFrame, run: RunRecord) -> tuple[dict[str, np.ndarray], list[str]]:
    index = {row.code: number for number, row in enumerate(run.areas.changes)}
    touched, names = dictionary_code(_name_areas(frame))
    columns = {
        "kind": np.array([index[int(code)] for code in frame["change_code"]], dtype=np.int64),
        "ha": np.rint(frame["area_ha"].to_numpy(dtype=float) * _HA).astype(np.int64),
        "probability": _percents(frame["change_probability"]),
        "lowest": _percents(frame["change_probability_min"]),
        "touched": touched,
    }
    return columns, names


def _name_areas(frame: gpd.GeoDataFrame) -> list[str]:
    if "areas_of_interest" not in frame:
        return [""] * len(frame)
    return [text_of(value) or "" for value in frame["areas_of_interest"]]


def _percents(values: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isnan(numbers), -1, np.rint(np.nan_to_num(numbers) * _PERCENT)).astype(np.int64)


def _first_corners(columns: Mapping[str, np.ndarray], unit: int) -> np.ndarray:
    """Return int (2, patch): the pixel that each outline begins at, as the script finds it; 0 for an empty outline."""
    rings, points = columns["patch.rings"], columns["patch.points"]
    first_ring = np.cumsum(rings) - rings
    starts = np.r_[np.cumsum(points) - points, 0]
    corners = np.stack([np.r_[np.cumsum(columns[f"patch.{axis}"]), 0] for axis in "xy"])
    at = starts[np.minimum(first_ring, len(starts) - 1)]
    return np.asarray(np.where(rings > 0, corners[:, np.minimum(at, corners.shape[1] - 1)] // unit, 0))


def _id_rule(ids: Sequence[str], corners: np.ndarray, run: RunRecord) -> tuple[IdRule, np.ndarray]:
    a, _, c, _, e, f = run.grid.transform
    left, top = (math.floor(value + _CORNER_TOLERANCE_PX) for value in (c / a, f / -e))
    found = [_ID.fullmatch(i) for i in ids]
    prefix = next(iter(Counter(m.group(1) for m in found if m).most_common(1)), ("", 0))[0]
    offsets, others = np.zeros((2, len(ids)), dtype=np.int64), {}
    for place, (identity, match) in enumerate(zip(ids, found, strict=True)):
        if match is None or match.group(1) != prefix:
            others[place] = identity
            continue
        column, row = (int(part.replace("m", "-")) for part in match.group(2, 3))
        offsets[:, place] = column - left - corners[0, place], top - 1 - row - corners[1, place]
    return IdRule(prefix, left, top, others), offsets


def on_pixels(frame: gpd.GeoDataFrame, run: RunRecord) -> np.ndarray:
    """Return geometries in pixels from the upper left corner of the map: x to the right, y down."""
    a, _, c, _, e, f = run.grid.transform
    return np.asarray(shapely.transform(frame.geometry.to_numpy(), lambda xy: (xy - [c, f]) / [a, e]))


def json_for_page(record: object) -> Markup:
    """Write a record as JSON that no name can end early, to stand inside a `<script>` of the type `application/json`."""
    text = json.dumps(content_of(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704 (nothing is left in it that HTML reads)
