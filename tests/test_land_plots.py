"""Plots: exact shares of pixels, what two dates can answer about a cut-off, and a table for thousands."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from landshift.flows.config.plots import PlotsConfig
from landshift.flows.config.project import Project
from landshift.flows.steps.plots.judging import FOLDER, lines_of, make_plots
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.project.workspace import workspace
from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.change.outlines import ellipsoidal_area_ha
from landshift.pipeline.change.plots import coverage as module
from landshift.pipeline.change.plots import verdict as v
from landshift.pipeline.change.plots.coverage import Coverage, cover
from landshift.pipeline.change.plots.reading import read_plots
from landshift.pipeline.change.plots.table import PLOT_COLUMNS, PlotQuestion, counting_codes, plot_table, verdict_entries
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import crs_of, grid_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.vector.plots import write_plots
from tests.binary_territory import BinaryTerritory
from tests.test_first_map import made, project, territory  # noqa: F401 (a run without a model)

LEGEND = Legend((LandUse(1, "Forest", "#1b7837"), LandUse(4, "Town", "#c0392b")))
GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), (4, 6), "EPSG:32633")
CHANGE = np.array([
    [0, 0, 2, 2, 1, 1],
    [0, 0, 2, 2, 1, 1],
    [1, 1, 1, 3, 3, 1],
    [1, 1, 1, 3, 1, 1],
], dtype=np.uint8)  # fmt: skip
PROBABILITY = np.where(CHANGE == 2, 0.8, np.where(CHANGE == 3, 0.6, 0.1)).astype(np.float32)
PROBABILITY[CHANGE == 0] = np.nan
PIXEL_HA = 0.01 / 0.9996**2
DATES = v.PlotDates(date(2020, 6, 1), date(2023, 6, 3), None)
RULE = v.VerdictRule(min_changed_ha=0.02, min_share=0.1, min_probability=0.5, min_observed=0.9, min_plot_ha=0.02)


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """A rectangle of pixels, from the upper left corner of the map."""
    return shapely.box(500_000 + 10 * left, 5_000_000 - 10 * bottom, 500_000 + 10 * right, 5_000_000 - 10 * top)


def strips(rows: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(CHANGE[y : y + rows], PROBABILITY[y : y + rows]) for y in range(0, 4, rows)]


def covered(*shapes: shapely.Geometry, rows: int = 4) -> Coverage:
    return cover(np.array(shapes, dtype=object), GRID, strips(rows))


def pixels(found: Coverage, plot: int) -> dict[int, float]:
    here = found.plot == plot
    return {int(code): float(n) for code, n in zip(found.code[here], found.pixels[here], strict=True)}


def table_of(
    shapes: dict[str, shapely.Geometry],
    *,
    dates: v.PlotDates = DATES,
    rule: v.VerdictRule = RULE,
    codes: frozenset[int] | None = None,
) -> pd.DataFrame:
    frame = gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs="EPSG:32633")
    question = PlotQuestion(RULE, dates, counting_codes(LEGEND) if codes is None else codes)
    tested = {2: OnTestBlocks(right=0.9, low=0.8, high=0.95, mapped=50)}
    return plot_table(frame, cover(frame.geometry.to_numpy(), GRID, strips()), GRID, LEGEND, question, tested).set_index("name")


def test_shares_of_pixels_are_exact() -> None:
    found = covered(box(2, 0, 4, 2), box(1.5, 0.25, 2.25, 1), box(4.9, 1.9, 5.0, 2.0), box(3.5, 1.5, 6.5, 2.5))
    assert pixels(found, 0) == {2: 4}
    assert pixels(found, 1) == pytest.approx({0: 0.5 * 0.75, 2: 0.25 * 0.75})
    assert pixels(found, 2) == pytest.approx({1: 0.01}, rel=1e-4), "a sliver of a pixel"
    assert pixels(found, 3) == pytest.approx({1: 1.5, 2: 0.25, 3: 0.75}), "what lies beyond the map counts nothing"
    assert found.probability[(found.plot == 3) & (found.code == 3)] == pytest.approx([0.6])
    assert np.isnan(found.probability[found.code == 0]).all()


def test_plots_beyond_the_map_and_overlapping_ones() -> None:
    found = covered(box(20, 20, 30, 30), box(0, 0, 6, 4), box(0, 0, 6, 4))
    assert pixels(found, 0) == {}
    assert pixels(found, 1) == pixels(found, 2) == {0: 4, 1: 13, 2: 4, 3: 3}, "each counts all that it covers"


def test_several_parts_and_holes() -> None:
    parts = shapely.MultiPolygon([box(2, 0, 3, 1), box(3, 2, 4, 3)])
    assert pixels(covered(parts), 0) == {2: 1, 3: 1}
    assert pixels(covered(box(0, 0, 6, 4) - box(0, 0, 6, 2)), 0) == {1: 9, 3: 3}


@given(st.lists(st.tuples(*[st.floats(-2, 8) for _ in range(6)]), min_size=1, max_size=4), st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=40)
def test_shares_are_areas_however_the_map_is_cut_into_strips(corners: list, rows: int) -> None:
    triangles = [shapely.Polygon(np.array(c).reshape(3, 2) * (10, -10) + (500_000, 5_000_000)) for c in corners]
    triangles = [t for t in triangles if t.is_valid and t.area > 1]
    whole, cut = covered(*triangles) if triangles else None, None
    if whole is None:
        return
    before = module.STRIP_PIXELS
    module.STRIP_PIXELS = 1
    try:
        cut = covered(*triangles, rows=rows)
    finally:
        module.STRIP_PIXELS = before
    np.testing.assert_allclose(cut.pixels_by_plot(len(triangles)), whole.pixels_by_plot(len(triangles)), atol=1e-4)
    on_map = shapely.area(shapely.intersection(np.array(triangles), box(0, 0, 6, 4))) / 100
    np.testing.assert_allclose(whole.pixels_by_plot(len(triangles)), on_map, atol=2e-4)


def test_the_table_says_what_each_plot_shows() -> None:
    found = table_of({"town": box(2, 0, 4, 2), "half": box(3, 1, 5, 3), "beyond": box(5, 3, 7, 4)})
    assert [c.name for c in PLOT_COLUMNS if c.name != "name"] == [*found.columns][:-1]
    assert found["plot"].tolist() == [1, 2, 3]
    assert found["changed_ha"].tolist() == pytest.approx([4 * PIXEL_HA, 3 * PIXEL_HA, 0], abs=1e-4)
    assert found["total_ha"].tolist() == pytest.approx([4 * PIXEL_HA, 4 * PIXEL_HA, 2 * PIXEL_HA], abs=1e-4)
    assert found["outside_ha"].tolist() == pytest.approx([0, 0, PIXEL_HA], abs=1e-4)
    assert found["changed_share"].tolist() == pytest.approx([1, 0.75, 0])
    assert found["change_probability"].tolist()[:2] == pytest.approx([0.8, (0.8 + 2 * 0.6) / 3])
    assert found["from_name"].fillna("").tolist() == ["Forest", "Town", ""], "of the largest change"
    assert found["to_name"].fillna("").tolist() == ["Town", "Forest", ""]
    assert found["main_ha"].tolist() == pytest.approx([4 * PIXEL_HA, 2 * PIXEL_HA, 0], abs=1e-4)
    assert found["kind_right"].fillna(-1).tolist() == [0.9, -1, -1]
    assert found["verdict"].tolist() == ["changed", "changed", "not observed"]


def test_hectares_are_those_of_the_ellipsoid_where_a_plot_lies() -> None:
    grid = grid_of(Affine(1000, 0, 230_000, 0, -1000, 5_000_000), (20, 20), "EPSG:32633")
    shape = shapely.box(231_500, 4_981_500, 238_700, 4_990_300)
    rows = [(np.full((20, 20), 2, np.uint8), np.full((20, 20), 0.9, np.float32))]
    frame = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shape], crs="EPSG:32633")
    coverage = cover(frame.geometry.to_numpy(), grid, rows)
    found = plot_table(frame, coverage, grid, LEGEND, PlotQuestion(RULE, DATES, frozenset({2})), {})
    expected = ellipsoidal_area_ha(np.array([shapely.segmentize(shape, 50)]), crs_of(grid))[0]
    assert found["changed_ha"].iloc[0] == pytest.approx(expected, rel=1e-6)
    assert expected < shape.area / 10_000


@pytest.mark.parametrize(
    ("cut_off", "changed", "quiet"),
    [
        (None, "changed", "no change seen"),
        (date(2020, 6, 1), "changed after 2020-06-01", "no change seen"),
        (date(2019, 12, 31), "changed after 2019-12-31", "no change seen"),
        (date(2020, 12, 31), "changed, before or after 2020-12-31", "no change seen"),
        (date(2023, 6, 3), "changed before 2023-06-03", "not observed"),
        (date(2024, 1, 1), "changed before 2024-01-01", "not observed"),
    ],
)
def test_a_change_is_dated_to_the_time_between_the_images_and_no_closer(cut_off: date | None, changed: str, quiet: str) -> None:
    dates = replace(DATES, cut_off=cut_off)
    found = table_of({"changed": box(2, 0, 4, 2), "quiet": box(0, 2, 3, 4)}, dates=dates)
    assert found["verdict"].to_dict() == {"changed": changed, "quiet": quiet}
    because = found["because"].to_dict()
    assert "between 2020-06-01 and 2023-06-03" in because["changed"]
    if cut_off == date(2020, 12, 31):
        assert "cannot be told" in because["changed"]
    if cut_off == date(2019, 12, 31):
        assert because["quiet"].endswith("No image shows the 153 days from 2019-12-31 to 2020-06-01.")
    if quiet == "not observed":
        assert "shows nothing later than the cut-off" in because["quiet"]


def judged(total: float, observed: float, changed: float, probability: float = np.nan, rule: v.VerdictRule = RULE) -> str:
    facts = v.PlotFacts(*(np.array([x]) for x in (total, observed, changed, probability)))
    return v.name_verdicts(DATES)[int(v.judge(facts, rule, DATES, pixel_ha=0.01)[0])]


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ((1, 1, 0), "no change seen"),
        ((1, 1, 0.009, 0.9), "no change seen"),  # less than a pixel: borders never fit
        ((1, 1, 0.015, 0.9), "too small to judge"),  # of the change
        ((1, 1, 0.05, 0.9), "too small to judge"),  # of the share
        ((1, 1, 0.1, 0.9), "changed"),
        ((1, 1, 0.1, 0.49), "too uncertain to judge"),
        ((1, 1, 0.1), "changed"),  # without any probability
        ((1, 0.5, 0.1, 0.9), "changed"),  # whatever else is hidden
        ((1, 0.5, 0, 0.9), "not observed"),
        ((1, 0.5, 0.015, 0.9), "not observed"),
        ((1, 0.9, 0), "no change seen"),
        ((1, 0, 0), "not observed"),
        ((0.019, 0.019, 0), "too small to judge"),  # of the plot
        ((0.004, 0.004, 0.004, 0.9), "too small to judge"),  # a sliver within a change
    ],
)
def test_the_rule(facts: tuple[float, ...], verdict: str) -> None:
    assert judged(*facts) == verdict


def test_only_changes_that_count_decide() -> None:
    shapes = {"to town": box(2, 0, 4, 2), "to forest": box(3, 2, 4, 4)}
    from_forest = counting_codes(LEGEND, before=["forest"])
    assert from_forest == {2}
    assert counting_codes(LEGEND, after=["Forest"]) == {3}
    found = table_of(shapes, codes=from_forest)
    assert found["verdict"].tolist() == ["changed", "no change seen"]
    assert found["changed_ha"].tolist()[1] == 0
    with pytest.raises(InputError, match="Did you mean 'Forest'"):
        counting_codes(LEGEND, before=["Forst"])


@pytest.mark.parametrize(
    ("names", "column", "kept", "notes"),
    [
        (["A", "A", "B"], None, ["A", "A", "B"], ["2 plots share their name"]),
        (["A", None, " "], None, ["A", None, None], ["2 plots have no name"]),
        ([7.0, 8.0, 9.0], "name", ["7", "8", "9"], []),
    ],
)
def test_names_may_repeat_and_be_missing(tmp_path: Path, names: list, column: str | None, kept: list, notes: list[str]) -> None:
    path = tmp_path / "plots.gpkg"
    shapes = [box(i, 0, i + 1, 1) for i in range(3)]
    gpd.GeoDataFrame({"name": names, "other": ["x"] * 3}, geometry=shapes, crs="EPSG:32633").to_crs(4326).to_file(path)
    found = read_plots(path, crs_of(GRID), name_column=column)
    assert [None if pd.isna(n) else n for n in found.frame["name"]] == kept
    assert [a for a, b in zip(found.notes, notes, strict=True) if not a.startswith(b)] == []
    assert shapely.hausdorff_distance(found.frame.geometry.to_numpy(), np.array(shapes)).max() < 1e-3


def test_plots_without_a_column_of_names_have_numbers(tmp_path: Path) -> None:
    path = tmp_path / "plots.gpkg"
    gpd.GeoDataFrame({"area": [1.0]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:32633").to_file(path)
    assert read_plots(path, crs_of(GRID)).frame["name"].isna().all()
    with pytest.raises(InputError, match=r"no columns 'id'; its columns are area"):
        read_plots(path, crs_of(GRID), name_column="id")


def test_three_files_hold_the_same_table(tmp_path: Path) -> None:
    shapes = [box(2, 0, 4, 2), shapely.MultiPolygon([box(0, 2, 1, 3), box(2, 2, 3, 4)])]
    frame = gpd.GeoDataFrame({"name": ["=1+1", "Três"]}, geometry=shapes, crs="EPSG:32633")
    question = PlotQuestion(RULE, DATES, counting_codes(LEGEND))
    table = plot_table(frame, cover(frame.geometry.to_numpy(), GRID, strips()), GRID, LEGEND, question, {})
    write_plots(tmp_path, table, PLOT_COLUMNS, verdict_entries(DATES, set(table["verdict_code"])))
    layer, web = gpd.read_file(tmp_path / "plots.gpkg", layer="plots"), gpd.read_file(tmp_path / "plots.geojson")
    sheet = pd.read_csv(tmp_path / "plots.csv", encoding="utf-8-sig")
    assert [*sheet.columns] == [c.name for c in PLOT_COLUMNS] == [*layer.columns][:-1] == [*web.columns][:-1]
    assert web.crs.to_epsg() == 4326
    for found in (layer, web, sheet):
        assert found["verdict"].tolist() == ["changed", "no change seen"]
        assert found["changed_ha"].tolist() == pytest.approx(table["changed_ha"].tolist())
    assert sheet["name"].tolist() == ["'=1+1", "Três"], "no spreadsheet runs it"
    assert sheet["before_date"].tolist() == ["2020-06-01"] * 2


def workspace_of(territory: BinaryTerritory, **plots: Any) -> Any:  # noqa: F811
    wanted = PlotsConfig(path=Path("parcels.gpkg"), **plots)
    return workspace(project(territory).model_copy(update={"plots": wanted}), territory.data, territory.output)


def test_a_run_judges_its_plots(territory: BinaryTerritory, made: Path) -> None:  # noqa: F811
    codes, grid = read_raster(made / "layers" / "change.tif")
    y, x = (index[0] for index in np.nonzero(codes == 2))
    t = grid.transform
    at = [(t.c + c * t.a, t.f + r * t.e) for r, c in ((y, x), (0, 0))]
    shapes = [shapely.box(e, n - 60, e + 60, n) for e, n in at] + [shapely.box(0, 0, 50, 50)]
    gpd.GeoDataFrame({"id": ["a", "b", "c"]}, geometry=shapes, crs=crs_of(grid)).to_file(territory.data / "parcels.gpkg")
    rule = {"min_changed_ha": 0.1, "min_plot_ha": 0.1, "min_probability": 0.9}
    ws = workspace_of(territory, cut_off=date(2021, 1, 1), verdict=rule)
    result = make_plots(ws)
    assert result.folder == made.parent / FOLDER
    sheet = pd.read_csv(result.folder / "plots.csv", encoding="utf-8-sig")
    inside = codes[y : y + 6, x : x + 6]
    assert sheet["changed_ha"][0] == pytest.approx((inside == 2).sum() * 0.01, rel=2e-3)
    assert sheet["verdict"][0] == "changed, before or after 2021-01-01"
    assert sheet["verdict"][2] == "not observed"
    assert sheet["outside_ha"][2] == pytest.approx(sheet["total_ha"][2])
    assert result.record.rule.min_probability == 0, "a classical method has none"
    assert sum(c.plots for c in result.record.verdicts) == result.count == 3
    assert any("lies between the images" in line for line in lines_of(result))
    # What is asked about plots is no matter of the map.
    again = make_plots(workspace_of(territory, cut_off=date(2019, 1, 1), verdict={"min_changed_ha": 0.1}))
    assert pd.read_csv(again.folder / "plots.csv", encoding="utf-8-sig")["verdict"][0] == "changed after 2019-01-01"


def test_what_is_missing_is_named(territory: BinaryTerritory, made: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(InputError, match="no `plots:`"):
        make_plots(workspace(project(territory), territory.data, territory.output))
    ws = workspace_of(territory)
    with pytest.raises(InputError, match=r"run"):
        make_plots(replace(ws, output=tmp_path / "nothing"))
    with pytest.raises(ValidationError, match="no change begins and ends there"):
        PlotsConfig(path=Path("a.gpkg"), from_classes=("Forest",), to_classes=("Forest",))


def test_classes_of_plots_are_those_of_the_legend(territory: BinaryTerritory) -> None:  # noqa: F811
    content = project(territory).model_dump(mode="json")
    content["plots"] = {"path": "parcels.gpkg", "from_classes": ["Forst"]}
    with pytest.raises(ValidationError, match="from_classes needs a `legend`"):
        Project.model_validate(content)
    content["legend"] = [{"code": c.code, "name": c.name, "colour": c.colour} for c in LEGEND.classes]
    with pytest.raises(ValidationError, match="Did you mean 'Forest'"):
        Project.model_validate(content)


def test_plots_do_not_change_the_key_of_a_run(territory: BinaryTerritory) -> None:  # noqa: F811
    plain, asked = workspace(project(territory), territory.data, territory.output), workspace_of(territory)
    assert config_as_published(plain) == config_as_published(asked)
