"""The polygons say what the pixels say, and those of change and of what was not observed share their borders."""

from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landshift.pipeline.change.areas import OnTestBlocks, add_kind_scores
from landshift.pipeline.change.polygons import MapLayers, find_map_patches, map_layers, outline_labels
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.vector.columns import CHANGE_COLUMNS, LEARNT, NOT_OBSERVED_COLUMNS, TESTED
from tests.conftest import small_grid

BEFORE, AFTER = date(2020, 6, 1), date(2023, 6, 3)
LEGEND = Legend((LandUse(1, 'Forest "old" & <wild>', "#1b7837"), LandUse(4, "عمران 🏙", "#c0392b")))
CHANGE = np.array([
    [0, 2, 2, 1, 3],
    [0, 2, 1, 1, 3],
    [1, 1, 2, 3, 3],
], dtype=np.uint8)  # fmt: skip
PROBABILITY = np.array([
    [np.nan, 0.9, 0.8, 0.9, 0.5],
    [np.nan, 0.7, 0.9, 0.9, 0.5],
    [0.9, 0.9, 0.6, 1.0, 1.0],
], dtype=np.float32)  # fmt: skip
PATCHES = find_map_patches(CHANGE)
GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), (3, 5), "EPSG:32633")


@pytest.fixture
def layers() -> MapLayers:
    return map_layers(PATCHES, PROBABILITY, GRID, LEGEND, BEFORE, AFTER, prefix="run7")


def test_each_patch_is_one_row_that_says_what_its_pixels_say(layers: MapLayers) -> None:
    frame = layers.changes
    assert [*frame.columns] == [c.name for c in CHANGE_COLUMNS] + ["geometry"]
    # The top row of the map lies just under y = 5,000,000 m, which is pixel 499,999 to the north of the origin.
    assert frame["change_id"].tolist() == ["run7-50001-499999", "run7-50004-499999", "run7-50002-499997"]
    assert frame["change_code"].tolist() == [2, 3, 2]
    assert frame["from_name"].tolist() == ['Forest "old" & <wild>', "عمران 🏙", 'Forest "old" & <wild>']
    assert frame[["from_code", "to_code"]].to_numpy().tolist() == [[1, 4], [4, 1], [1, 4]]
    assert frame["pixel_count"].tolist() == [3, 4, 1]
    np.testing.assert_allclose(frame["change_probability"], [0.8, 0.75, 0.6], rtol=1e-6)
    np.testing.assert_allclose(frame["change_probability_min"], [0.7, 0.5, 0.6], rtol=1e-6)
    # On the central meridian, a UTM pixel is 1 / 0.9996^2 as large on the ground.
    np.testing.assert_allclose(frame["area_ha"], np.array([0.03, 0.04, 0.01]) / 0.9996**2, rtol=1e-5)
    assert (frame["before_date"].dt.date == BEFORE).all()
    assert (frame["after_date"].dt.date == AFTER).all()
    assert frame["areas_of_interest"].isna().all()
    assert frame.crs.to_epsg() == 32633
    assert frame.geometry.iloc[2].equals(shapely.box(500_020, 4_999_970, 500_030, 4_999_980))


def test_each_polygon_carries_how_often_its_kind_was_right(layers: MapLayers) -> None:
    frame = layers.changes.copy()
    codes = frame["change_code"].tolist()
    tested = {codes[0]: OnTestBlocks(0.75, 0.5, 0.9, 40, blocks=3)}
    add_kind_scores(frame, tested)
    for row, code in zip(frame.itertuples(), codes, strict=True):
        found = (row.kind_right, row.kind_right_low, row.kind_right_high, row.kind_tested_px)
        if code in tested:
            assert found == (0.75, 0.5, 0.9, 40)
        else:
            assert all(value is pd.NA for value in found)
    assert {codes[0]} != set(codes)
    assert [str(frame[name].dtype) for name in ("kind_right", "kind_tested_px")] == ["Float64", "Int32"]


def test_what_was_not_observed_is_a_layer_of_its_own(layers: MapLayers) -> None:
    frame = layers.not_observed
    assert [*frame.columns] == [c.name for c in NOT_OBSERVED_COLUMNS] + ["geometry"]
    assert frame["change_code"].tolist() == [0]
    assert frame["pixel_count"].tolist() == [2]
    assert frame.geometry.iloc[0].equals(shapely.box(500_000, 4_999_980, 500_010, 5_000_000))


def test_a_binary_project_has_no_land_use_codes() -> None:
    found = map_layers(find_map_patches(np.where(CHANGE == 3, 2, CHANGE)), PROBABILITY, GRID, Legend(), BEFORE, AFTER).changes
    assert found[["from_code", "from_name", "to_code"]].isna().to_numpy().all()
    assert found["to_name"].tolist() == ["Changed", "Changed"]


@pytest.mark.parametrize(("code", "changed", "unseen"), [(0, 0, 1), (1, 0, 0), (2, 1, 0)])
def test_a_map_of_one_code_has_one_patch_or_none(code: int, changed: int, unseen: int) -> None:
    found = map_layers(
        find_map_patches(np.full((3, 5), code, dtype=np.uint8)), np.nan_to_num(PROBABILITY), GRID, LEGEND, BEFORE, AFTER
    )
    assert (len(found.changes), len(found.not_observed)) == (changed, unseen)
    dtypes = map_layers(PATCHES, PROBABILITY, GRID, LEGEND, BEFORE, AFTER).changes.dtypes
    pd.testing.assert_series_equal(found.changes.dtypes, dtypes)


def test_arrays_that_are_not_on_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one shape"):
        map_layers(find_map_patches(CHANGE[:2]), PROBABILITY, GRID, LEGEND, BEFORE, AFTER)


@given(arrays(np.uint8, (8, 9), elements=st.integers(0, 3)))
@settings(deadline=None, max_examples=50)
def test_every_pixel_is_counted_once(change: np.ndarray) -> None:
    grid = grid_of(GRID.transform, (8, 9), "EPSG:32633")
    found = map_layers(find_map_patches(change), np.full(change.shape, 0.9), grid, LEGEND, BEFORE, AFTER)
    for frame, pixels in ((found.changes, change >= 2), (found.not_observed, change == 0)):
        assert frame["pixel_count"].sum() == pixels.sum()
        assert frame["area_ha"].sum() == pytest.approx(pixels.sum() * 0.01 / 0.9996**2, rel=1e-5)
        assert frame.geometry.is_valid.all()
    assert found.changes["change_id"].is_unique


# Blocks of pixels make patches that are large enough to be simplified.
@given(arrays(np.uint8, (5, 6), elements=st.integers(0, 3)).map(lambda c: c.repeat(3, axis=0).repeat(3, axis=1)))
@settings(deadline=None, max_examples=50)
def test_the_two_layers_share_their_borders(change: np.ndarray) -> None:
    grid = grid_of(GRID.transform, (15, 18), "EPSG:32633")
    found = map_layers(find_map_patches(change), np.full(change.shape, 0.9), grid, LEGEND, BEFORE, AFTER)
    together = np.concatenate([found.changes.geometry.to_numpy(), found.not_observed.geometry.to_numpy()])
    assert not len(together) or shapely.coverage_is_valid(together)


def test_a_slanted_border_between_the_layers_is_one_line() -> None:
    change = np.tril(np.full((20, 20), 2, dtype=np.uint8))
    grid = grid_of(GRID.transform, change.shape, "EPSG:32633")
    found = map_layers(find_map_patches(change), np.full(change.shape, 0.9), grid, LEGEND, BEFORE, AFTER)
    ours, theirs = found.changes.geometry.iloc[0], found.not_observed.geometry.iloc[0]
    assert len(ours.exterior.coords) < 12
    assert shapely.area(shapely.intersection(ours, theirs)) == 0
    assert shapely.area(shapely.union(ours, theirs)) == pytest.approx(20 * 20 * 100, rel=0.01)
    assert shapely.intersection(ours.boundary, theirs.boundary).length == pytest.approx(200 * np.sqrt(2), rel=0.1)


def crop(change: np.ndarray, top: int, left: int, legend: Legend = LEGEND) -> gpd.GeoDataFrame:
    """The map of a smaller extent."""
    part = change[top:, left:]
    grid = grid_of(Affine(10, 0, 500_000 + 10 * left, 0, -10, 5_000_000 - 10 * top), part.shape, "EPSG:32633")
    return map_layers(
        find_map_patches(part), np.full(part.shape, 0.9), grid, legend, date(2021, 1, 1), date(2024, 1, 1)
    ).changes


def test_ids_depend_neither_on_the_extent_nor_on_the_dates() -> None:
    change = np.ones((12, 14), dtype=np.uint8)
    change[4:7, 5:9], change[9, 10] = 2, 3
    assert crop(change, 0, 0)["change_id"].tolist() == crop(change, 3, 4)["change_id"].tolist()
    assert crop(change, 0, 0)["change_id"].tolist() == ["change-50005-499995", "change-50010-499990"]


def test_labels_are_outlined_by_what_they_were_used_for() -> None:
    uses = np.zeros((20, 30), np.uint8)
    uses[2:6, 3:9], uses[10:15, 20:28] = LEARNT, TESTED
    grid = small_grid(20, 30)
    found = outline_labels(uses, grid)
    assert found["label_use_name"].tolist() == ["Learnt from", "Tested on"]
    corner = np.array([grid.transform.c, grid.transform.f])
    boxes = [shapely.box(3, -6, 9, -2), shapely.box(20, -15, 28, -10)]
    wanted = [shapely.transform(box, lambda xy: xy * 10 + corner) for box in boxes]
    assert all(a.normalize().equals(b.normalize()) for a, b in zip(found.geometry, wanted, strict=True))
