"""The table of plots: what each one shows, how sure that is, and the verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely

from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.change.areas_of_interest import EXTENT_STEPS, map_box
from landshift.pipeline.change.outlines import ellipsoidal_area_ha
from landshift.pipeline.change.plots import verdict as v
from landshift.pipeline.change.plots.coverage import Coverage
from landshift.pipeline.grid import Grid, crs_of, pixel_area_ha
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED, Change, Legend
from landshift.pipeline.vector.columns import Column, frame_of

_OF_MAIN = "of the largest change"
PLOT_COLUMNS = (
    Column("plot", "int32", "Plot", "Number of the plot in the file, from 1: names may repeat"),
    Column("name", "str", "Name", "Of the user's file; null where the plot has none"),
    Column("verdict", "str", "Verdict", "By the rule of the config"),
    Column("because", "str", "Because", "Why, and what is not known"),
    Column("changed_ha", "float64", "Changed (ha)", "Mapped as a change that counts, by shares of pixels; biased"),
    Column("changed_share", "Float64", "Changed share", "Of what was seen on both dates, 0 to 1; null where nothing was seen"),
    Column("change_probability", "Float64", "Probability of change", "Mean over the changed part, 0 to 1; null where none"),
    Column("from_name", "str", "From", f"Land use before, {_OF_MAIN}; null where none, and without classes"),
    Column("to_name", "str", "To", f"Land use after, {_OF_MAIN}; null where none"),
    Column("main_ha", "float64", "Largest change (ha)", f"Hectares {_OF_MAIN}"),
    Column("kind_right", "Float64", "Kind was right", f"Share of the model's test pixels {_OF_MAIN} that were right, 0 to 1"),
    Column("kind_right_low", "Float64", "Kind was right, low", "Lower end of its 95 % interval, 0 to 1"),
    Column("kind_right_high", "Float64", "Kind was right, high", "Upper end of its 95 % interval, 0 to 1"),
    Column("total_ha", "float64", "Area (ha)", "Hectares of the whole plot, on the ellipsoid"),
    Column("not_observed_ha", "float64", "Not observed (ha)", "On the map, and not seen on one of the dates or on both"),
    Column("outside_ha", "float64", "Outside (ha)", "Beyond the map"),
    Column("before_date", "datetime64[s]", "Date before", "Date of the image before (UTC)"),
    Column("after_date", "datetime64[s]", "Date after", "Date of the image after (UTC)"),
    Column("verdict_code", "int32", "Verdict (code)", "For styles and filters"),
)
COLOURS = {
    v.NOT_OBSERVED: "#ffffff", v.TOO_SMALL: "#bdbdbd", v.UNCERTAIN: "#f0c75e", v.NO_CHANGE: "#5b8fb9", v.CHANGED: "#b5322a",
    v.CHANGED_AFTER: "#b5322a", v.CHANGED_AROUND: "#e07b39", v.CHANGED_BEFORE: "#8c6bb1",
}  # fmt: skip
"""Of verdicts."""


@dataclass(frozen=True, eq=False)
class PlotQuestion:
    """What is asked about plots."""

    rule: v.VerdictRule
    """When a plot counts as changed."""
    dates: v.PlotDates
    """Of the map, and the cut-off."""
    codes: frozenset[int]
    """Changes that count."""


def counting_codes(legend: Legend, before: Iterable[str] = (), after: Iterable[str] = ()) -> frozenset[int]:
    """Return the codes of the changes that count.

    Args:
        legend: Of the map.
        before: Names of land uses that a change must begin with; any where none is given.
        after: Names of land uses that it must end with; any where none is given.

    Raises:
        InputError: A name is not in the legend.
    """
    begin, end = ({legend.code_of(name) for name in names} for names in (before, after))
    return frozenset(
        c.code for c in legend.changes[CHANGED:] if (not begin or c.from_code in begin) and (not end or c.to_code in end)
    )


def plot_table(
    plots: gpd.GeoDataFrame, coverage: Coverage, grid: Grid, legend: Legend, question: PlotQuestion,
    tested: Mapping[int, OnTestBlocks],
) -> gpd.GeoDataFrame:  # fmt: skip
    """Return what the map shows of each plot, and the verdict.

    Args:
        plots: Column `name`, and polygons in the CRS of the grid.
        coverage: Of them.
        grid: Of the map.
        legend: Of the map.
        question: What is asked.
        tested: By change code, how often the model was right.

    Returns:
        `PLOT_COLUMNS` and the polygons, in their order.
    """
    count, geometry = len(plots), plots.geometry.to_numpy()
    pixel_ha, outside_ha = _measure_plots(geometry, grid)
    counts = np.isin(coverage.code, list(question.codes))
    on_map = coverage.pixels_by_plot(count) * pixel_ha
    unseen = coverage.pixels_by_plot(count, coverage.code == NOT_OBSERVED) * pixel_ha
    changed = coverage.pixels_by_plot(count, counts) * pixel_ha
    observed = np.maximum(on_map - unseen, 0.0)
    known = counts & ~np.isnan(coverage.probability)
    weight = coverage.pixels_by_plot(count, known)
    chances = np.bincount(
        coverage.plot[known], weights=(coverage.pixels * coverage.probability)[known], minlength=count
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        probability = np.where(weight > 0, chances / weight, np.nan)
        share = np.where(observed > 0, changed / observed, np.nan)
    facts = v.PlotFacts(on_map + outside_ha, observed, changed, probability)
    verdicts = v.judge(facts, question.rule, question.dates, pixel_area_ha(grid))
    main, main_px = _largest(coverage, counts, count)
    entries = {c.code: c for c in legend.changes}
    kinds = [entries.get(code) for code in main.tolist()]
    tests = [tested.get(code, OnTestBlocks()) for code in main.tolist()]
    names, reasons = v.name_verdicts(question.dates), v.explain_verdicts(question.dates, question.rule)
    values = {
        "plot": np.arange(1, count + 1), "name": plots["name"].to_numpy(), "verdict": [names[k] for k in verdicts.tolist()],
        "because": [reasons[k] for k in verdicts.tolist()], "changed_ha": changed.round(4), "changed_share": _nulls(share),
        "change_probability": _nulls(probability), "from_name": [(k.from_name or None) if k else None for k in kinds],
        "to_name": [(k.to_name or k.name) if k else None for k in kinds], "main_ha": (main_px * pixel_ha).round(4),
        "kind_right": [t.right for t in tests], "kind_right_low": [t.low for t in tests],
        "kind_right_high": [t.high for t in tests], "total_ha": facts.total_ha.round(4), "not_observed_ha": unseen.round(4),
        "outside_ha": outside_ha.round(4), "before_date": question.dates.before, "after_date": question.dates.after,
        "verdict_code": verdicts,
    }  # fmt: skip
    return frame_of(values, PLOT_COLUMNS, geometry, crs_of(grid))


def verdict_entries(dates: v.PlotDates, codes: Iterable[int]) -> list[Change]:
    """Return the verdicts that occur as entries of a legend, the changed ones first."""
    names = v.name_verdicts(dates)
    return [Change(code, names[code][:1].upper() + names[code][1:], COLOURS[code]) for code in sorted(codes, reverse=True)]


def _nulls(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(x) else round(x, 6) for x in values.tolist()]


def _largest(coverage: Coverage, counts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of the largest change that counts of each plot, and its pixels; code `UNCHANGED` without one."""
    plot, code, pixels = coverage.plot[counts], coverage.code[counts], coverage.pixels[counts]
    order = np.lexsort((-code, pixels))
    main, most = np.full(count, UNCHANGED), np.zeros(count)
    # The last of several that go to one place stays: the largest, and of equals the one with the lower code.
    main[plot[order]], most[plot[order]] = code[order], pixels[order]
    return np.where(main == UNCHANGED, -1, main), most


def _measure_plots(geometry: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean hectares of a pixel of each plot, and its hectares beyond the map, both on the ellipsoid (plot)."""
    box = map_box(grid)
    west, south, east, north = box.bounds
    bounds = shapely.bounds(geometry)
    step = max(east - west, north - south) / EXTENT_STEPS
    within = (bounds[:, 0] >= west) & (bounds[:, 1] >= south) & (bounds[:, 2] <= east) & (bounds[:, 3] <= north)
    outside_ha = np.zeros(len(geometry))
    inside = geometry.copy()
    across = np.flatnonzero(~within)
    if len(across):
        inside[across] = shapely.intersection(geometry[across], box)
        beyond = shapely.segmentize(shapely.difference(geometry[across], box), step)
        outside_ha[across] = ellipsoidal_area_ha(beyond, crs_of(grid))
    # A plot that holds no ground of the map has no pixel either; the whole map stands in, to have a number.
    inside = np.where(shapely.area(inside) > 0, inside, box)
    on_ground = ellipsoidal_area_ha(shapely.segmentize(inside, step), crs_of(grid))
    t = grid.transform
    return on_ground / (shapely.area(inside) / abs(t.a * t.e)), outside_ha
