"""What the page of a run shows, as plain numbers and texts: patches for its map and table, areas and who turned into what."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from markupsafe import Markup

from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.legend import CHANGED, UNCHANGED
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


def listed_patches(changes: gpd.GeoDataFrame, most: int = MOST_PATCHES) -> gpd.GeoDataFrame:
    """Choose the patches that the page holds: the largest, the largest first."""
    order = np.argsort(-changes["area_ha"].to_numpy(dtype=float), kind="stable")[:most]
    return changes.iloc[order].reset_index(drop=True)


def patch_rows(patches: gpd.GeoDataFrame, run: RunRecord) -> list[dict[str, Any]]:
    """Describe each patch.

    Args:
        patches: From `listed_patches`.
        run: What describes it.

    Returns:
        One mapping a patch: `id`, `kind` (index in `kinds`), `from`, `to` (None without classes), `ha`, `confidence`,
        `lowest` (0..1) and `areas`, the names of the areas of interest that it touches, empty without any.
    """
    index = {kind["code"]: number for number, kind in enumerate(kinds(run))}
    named = patches["areas_of_interest"] if "areas_of_interest" in patches else [None] * len(patches)
    columns = ("change_id", "change_code", "from_name", "to_name", "area_ha", "confidence", "confidence_min")
    values = zip(*(patches[c] for c in columns), named, strict=True)
    return [
        {
            "id": str(change_id), "kind": index[int(code)], "from": _text(before), "to": _text(after),
            "ha": round(float(area), 4), "confidence": _number(confidence), "lowest": _number(lowest),
            "areas": _text(areas) or "",
        }
        for change_id, code, before, after, area, confidence, lowest, areas in values
    ]  # fmt: skip


def kinds(run: RunRecord) -> list[dict[str, Any]]:
    """Return the changes that occur, the largest first: `code`, `name`, `colour`, `ha` (pixel count) and `polygons`."""
    return [
        {"code": row.code, "name": row.name, "colour": row.colour, "ha": row.area_ha, "polygons": row.polygons}
        for row in run.areas.changes
    ]


def map_data(
    run: RunRecord,
    patches: gpd.GeoDataFrame,
    not_observed: gpd.GeoDataFrame,
    areas_of_interest: gpd.GeoDataFrame | None,
    chips: int,
) -> dict[str, Any]:
    """Collect what the page's script draws and lists.

    Args:
        run: What describes it.
        patches: From `listed_patches`.
        not_observed: The polygons that were not observed, in the CRS of the run.
        areas_of_interest: The same of the areas of interest, with `name`; None where the run has none.
        chips: How many patches have a chip, from the first on.
    """
    unseen = listed_patches(not_observed, _MOST_UNSEEN)
    areas = areas_of_interest if areas_of_interest is not None else not_observed.iloc[:0].assign(name="")
    return {
        "rows": run.grid.rows, "columns": run.grid.columns, "pixel_m": run.grid.pixel_size_m,
        "before": str(run.before_date), "after": str(run.after_date), "chips": chips,
        "all_patches": run.areas.polygons, "all_unseen": len(not_observed),
        "kinds": [{"name": kind["name"], "colour": kind["colour"]} for kind in kinds(run)],
        "patches": [
            {**row, "shape": shape}
            for row, shape in zip(patch_rows(patches, run), shapes(on_pixels(patches, run)), strict=True)
        ],
        "unseen": shapes(on_pixels(unseen, run)),
        "areas": [
            {"name": str(name), "shape": shape}
            for name, shape in zip(areas["name"], shapes(on_pixels(areas, run)), strict=True)
        ],
    }  # fmt: skip


def on_pixels(frame: gpd.GeoDataFrame, run: RunRecord) -> np.ndarray:
    """Return geometries in pixels from the upper left corner of the map: x to the right, y down."""
    a, _, c, _, e, f = run.grid.transform
    return np.asarray(shapely.transform(frame.geometry.to_numpy(), lambda xy: (xy - [c, f]) / [a, e]))


def shapes(geometry: np.ndarray, most: int = MOST_VERTICES) -> list[list[list[list[int]]]]:
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


def json_for_page(value: object) -> Markup:
    """Write JSON that no name can end early, to stand inside a `<script>` of the type `application/json`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704 (nothing is left in it that HTML reads)


def area_rows(run: RunRecord, estimates: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Put the mapped hectares of each change beside the estimated ones.

    Args:
        run: What describes it.
        estimates: Content of `estimates.json`, None before there is a judged sample.

    Returns:
        The changes that occur in the map or in the sample, the largest mapped first: `name`, `colour`, `mapped_ha` (pixel
        count, biased), `polygons`, `test` and `estimated`, the row of the estimates or None.
    """
    found = {row["code"]: row for row in (estimates or {"changes": []})["changes"] if row["code"] >= CHANGED}
    rows = [
        {"code": row.code, "name": row.name, "colour": row.colour, "mapped_ha": row.area_ha,
         "polygons": row.polygons, "test": row.test, "estimated": found.pop(row.code, None)}
        for row in run.areas.changes
    ]  # fmt: skip
    only = [
        {"code": row["code"], "name": row["name"], "colour": row["colour"], "mapped_ha": row["mapped_ha"], "polygons": 0,
         "test": OnTestBlocks(), "estimated": row}
        for row in found.values()
    ]  # fmt: skip
    return rows + only


def unchanged_estimate(estimates: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the estimates' row of what did not change, None without one."""
    rows: Sequence[Mapping[str, Any]] = (estimates or {"changes": []})["changes"]
    return next((row for row in rows if row["code"] == UNCHANGED), None)


def matrix(run: RunRecord, estimates: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Tabulate who turned into what.

    Args:
        run: What describes it.
        estimates: Content of `estimates.json`, None before there is a judged sample.

    Returns:
        `names` of the land-use classes that gained or lost; `rows`, one a class before, each with `name`, `cells`, one a class
        after, and `lost`; `gained` and `net`, one a class; and the same with `_estimate` behind, hectares or None. A cell has
        `ha` (pixel count, biased; None on the diagonal), `share` of the largest, 0..1, and `estimate` (interval or None). None
        where the project has no classes.
    """
    if not run.legend:
        return None
    mapped = {(row.from_code, row.to_code): row.area_ha for row in run.areas.changes}
    estimated = _transitions(estimates)
    moved = {code for pair, interval in estimated.items() if pair[0] != pair[1] and interval["estimate"] for code in pair}
    used = {code for pair in mapped for code in pair} | moved
    classes = [entry for entry in run.legend if entry.code in used]
    codes = [entry.code for entry in classes]
    largest = max(mapped.values(), default=0.0)
    moved_ha = {row["code"]: row for row in ((estimates or {}).get("intensity") or {"classes": []})["classes"]}
    rows: list[dict[str, Any]] = []
    for entry in classes:
        cells = [
            {
                "ha": None if code == entry.code else mapped.get((entry.code, code), 0.0),
                "share": mapped.get((entry.code, code), 0.0) / largest if largest else 0.0,
                "estimate": estimated.get((entry.code, code)),
            }
            for code in codes
        ]
        rows.append(
            {"name": entry.name, "cells": cells, "lost": sum(cell["ha"] or 0.0 for cell in cells),
             "lost_estimate": moved_ha.get(entry.code, {}).get("loss_ha")}
        )  # fmt: skip
    gained = [sum(row["cells"][column]["ha"] or 0.0 for row in rows) for column in range(len(codes))]
    net = [gain - row["lost"] for gain, row in zip(gained, rows, strict=True)]
    found = [moved_ha.get(code) for code in codes]
    return {
        "names": [entry.name for entry in classes], "rows": rows, "gained": gained, "net": net,
        "gained_estimate": [row["gain_ha"] if row else None for row in found],
        "net_estimate": [row["gain_ha"] - row["loss_ha"] if row else None for row in found],
    }  # fmt: skip


def _transitions(estimates: Mapping[str, Any] | None) -> dict[tuple[int, int], Mapping[str, Any]]:
    table = (estimates or {}).get("transitions")
    if not table:
        return {}
    return {
        (before, after): table["area_ha"][row][column]
        for row, before in enumerate(table["codes"])
        for column, after in enumerate(table["codes"])
    }


def place_rows(areas_of_interest: gpd.GeoDataFrame | None, estimates: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Describe the areas of interest, in the order of their layer, each with `estimated`: its row of the estimates or None."""
    if areas_of_interest is None:
        return []
    found = {row["name"]: row for row in (estimates or {}).get("areas_of_interest", [])}
    numbers = ("total_ha", "changed_ha", "unchanged_ha", "not_observed_ha", "outside_ha", "changed_share", "polygons")
    return [
        {**{name: _number(row[name]) for name in numbers}, "name": row["name"], "largest_change": _text(row["largest_change"]),
         "estimated": found.get(row["name"])}
        for row in areas_of_interest.drop(columns=areas_of_interest.geometry.name).to_dict("records")
    ]  # fmt: skip


def place_notes(places: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Gather the notes on the estimates of areas of interest: each note once, with the names that it is about."""
    found: dict[str, list[str]] = {}
    for row in places:
        if row["estimated"] and row["estimated"]["note"]:
            found.setdefault(row["estimated"]["note"], []).append(row["name"])
    return list(found.items())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:  # noqa: ANN401 (numbers, NaN or pandas' NA)
    number = np.nan if value is None or value is pd.NA else float(value)
    return None if np.isnan(number) else round(number, 4)
