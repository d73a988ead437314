"""Areas of interest: every pixel counts where its centre lies, and what cannot be counted is said."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate

from landshift.pipeline.change import areas_reading
from landshift.pipeline.change.areas_of_interest import (
    AreasOfInterest,
    area_summary,
    counts_by_code,
    join_names,
    membership,
    names_of,
    split_names,
)
from landshift.pipeline.change.areas_reading import read_areas_of_interest
from landshift.pipeline.change.polygons import find_map_patches, map_layers
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.vector.columns import AREA_COLUMNS
from landshift.pipeline.vector.read import burn

DATES = (date(2020, 6, 1), date(2023, 6, 3))
LEGEND = Legend((LandUse(1, "Forest", "#1b7837"), LandUse(4, "Town", "#c0392b")))
GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), (4, 6), "EPSG:32633")
CHANGE = np.array([
    [0, 0, 2, 2, 1, 1],
    [0, 0, 2, 2, 1, 1],
    [1, 1, 1, 3, 3, 1],
    [1, 1, 1, 3, 1, 1],
], dtype=np.uint8)  # fmt: skip
PATCHES = find_map_patches(CHANGE)
PIXEL_HA = 0.01 / 0.9996**2


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """A rectangle of pixels, from the upper left corner of the map."""
    return shapely.box(500_000 + 10 * left, 5_000_000 - 10 * bottom, 500_000 + 10 * right, 5_000_000 - 10 * top)


def areas(**shapes: shapely.Geometry) -> AreasOfInterest:
    frame = gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs="EPSG:32633")
    return AreasOfInterest(frame, GRID)


def changes() -> gpd.GeoDataFrame:
    return map_layers(PATCHES, np.full(CHANGE.shape, 0.9), GRID, LEGEND, *DATES).changes


def test_each_area_says_what_its_pixels_say() -> None:
    found = area_summary(
        areas(west=box(0, 0, 3, 4), all=box(0, 0, 6, 4), unseen=box(0, 0, 2, 2), beyond=box(5, 3, 7, 4), quiet=box(0, 2, 2, 4)),
        PATCHES, changes(), GRID, LEGEND, DATES,
    ).set_index("name", drop=False)  # fmt: skip
    assert [*found.columns] == [c.name for c in AREA_COLUMNS] + ["geometry"]
    assert found["total_ha"].tolist() == pytest.approx([n * PIXEL_HA for n in (12, 24, 4, 1, 4)], abs=1e-4)
    assert found["changed_ha"].tolist() == pytest.approx([n * PIXEL_HA for n in (2, 7, 0, 0, 0)], abs=1e-4)
    assert found["unchanged_ha"].tolist() == pytest.approx([n * PIXEL_HA for n in (6, 13, 0, 1, 4)], abs=1e-4)
    assert found["not_observed_ha"].tolist() == pytest.approx([n * PIXEL_HA for n in (4, 4, 4, 0, 0)], abs=1e-4)
    assert found["outside_ha"].tolist() == pytest.approx([0, 0, 0, PIXEL_HA, 0], abs=1e-4)
    assert found["changed_share"].isna().tolist() == [False, False, True, False, False]
    assert found["changed_share"].dropna().tolist() == pytest.approx([2 / 8, 7 / 20, 0, 0])
    assert found["polygons"].tolist() == [1, 2, 0, 0, 0]
    assert found["largest_change"].fillna("").tolist() == ["Forest to Town", "Forest to Town", "", "", ""]
    assert (found["after_date"].dt.date == DATES[1]).all()
    assert found.geometry.loc["beyond"].equals(box(5, 3, 7, 4))


def test_hectares_of_an_area_are_those_of_the_ellipsoid_where_it_lies() -> None:
    # 270 km from the central meridian a UTM pixel is smaller on the ground than on the map.
    grid = grid_of(Affine(1000, 0, 230_000, 0, -1000, 5_000_000), (20, 20), "EPSG:32633")
    change = np.full((20, 20), 1, dtype=np.uint8)
    whole = AreasOfInterest(gpd.GeoDataFrame({"name": ["w"]}, geometry=[grid.extent.geom], crs="EPSG:32633"), grid)
    layers = map_layers(find_map_patches(change * 0), change * 0.9, grid, LEGEND, *DATES)
    found = area_summary(whole, find_map_patches(change), layers.changes, grid, LEGEND, DATES)
    assert found["total_ha"].iloc[0] == pytest.approx(layers.not_observed["area_ha"].sum(), rel=1e-7)
    assert found["total_ha"].iloc[0] < 39_990


def test_a_pixel_belongs_to_every_area_that_its_centre_lies_in() -> None:
    shapes = areas(
        a=box(0.4, 0.4, 2.6, 1.6), b=box(2.4, 0, 6, 4), far=box(40, 40, 50, 50), hole=box(0, 0, 6, 4) - box(1, 1, 5, 3)
    )
    rows, columns = (index.ravel() for index in np.indices(CHANGE.shape))
    found = membership(shapes, rows, columns).reshape(4, *CHANGE.shape)
    for number, geometry in enumerate(shapes.frame.geometry):
        alone = gpd.GeoDataFrame(geometry=[geometry], crs="EPSG:32633")
        np.testing.assert_array_equal(found[number], burn(alone, [1], GRID).astype(bool))
    assert found[:2, 0, 2].all()
    np.testing.assert_array_equal(found[0], [[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [0] * 6, [0] * 6])
    assert not membership(shapes, np.array([-1, 4, 0]), np.array([0, 0, 6])).any()


@given(
    st.lists(st.tuples(*[st.floats(-2, 8) for _ in range(6)]), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=9),
)
@settings(deadline=None)
def test_counting_and_membership_follow_one_rule(corners: list, points: list) -> None:
    triangles = [shapely.Polygon(np.array(c).reshape(3, 2) * (10, -10) + (500_000, 5_000_000)) for c in corners]
    shapes = areas(**{f"t{k}": t for k, t in enumerate(triangles)})
    counts = counts_by_code(shapes, PATCHES, GRID)
    everywhere = membership(shapes, *(index.ravel() for index in np.indices(CHANGE.shape)))
    np.testing.assert_array_equal(counts, [np.bincount(CHANGE.ravel()[inside], minlength=256) for inside in everywhere])
    rows, columns = (np.array([p[k] for p in points], dtype=int) for k in (0, 1))
    np.testing.assert_array_equal(membership(shapes, rows, columns), everywhere[:, rows * 6 + columns])


def test_a_map_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="on"):
        counts_by_code(areas(a=box(0, 0, 6, 4)), find_map_patches(CHANGE[:3]), GRID)
    other = grid_of(Affine(10, 0, 500_010, 0, -10, 5_000_000), (4, 6), "EPSG:32633")
    with pytest.raises(ValueError, match="upper left corner"):
        counts_by_code(areas(a=box(0, 0, 6, 4)), PATCHES, other)


def test_changes_name_the_areas_that_they_reach_into() -> None:
    shapes = areas(left=box(0, 0, 3, 4), right=box(3, 0, 6, 4), sliver=box(2, 0, 2.1, 2), away=box(0, 3, 2, 4))
    assert names_of(shapes, changes()) == ["left; right", "right"]
    assert names_of(areas(away=box(0, 3, 2, 4)), changes()) == [None, None]
    assert names_of(shapes, changes().iloc[:0]) == []


@given(st.lists(st.text(min_size=1).map(lambda t: " ".join(t.split())).filter(bool), min_size=1, max_size=4))
@settings(deadline=None)
def test_joined_names_are_taken_apart_again(names: list[str]) -> None:
    assert split_names(join_names(names)) == names


def saved(folder: Path, frame: gpd.GeoDataFrame, name: str = "areas.gpkg") -> Path:
    pyogrio.write_dataframe(frame, folder / name)
    return folder / name


def drawn(names: list, shapes: list[shapely.Geometry] | None = None, column: str = "name", **more: object) -> gpd.GeoDataFrame:
    shapes = shapes or [box(k, 0, k + 1, 4) for k in range(len(names))]
    return gpd.GeoDataFrame({column: names, **more}, geometry=shapes, crs="EPSG:32633")


HOSTILE = ['Süd; "core" <b>&', "حديقة 🏞", "'); DROP TABLE x;--", "two\nlines \t here"]


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857", "EPSG:32634"])
def test_areas_are_read_in_any_crs_and_with_any_names(tmp_path: Path, crs: str) -> None:
    found = read_areas_of_interest(saved(tmp_path, drawn(HOSTILE).to_crs(crs)), GRID)
    assert found.names == [*HOSTILE[:3], "two lines here"]
    assert found.frame.crs == "EPSG:32633"
    assert found.frame.geometry.hausdorff_distance(drawn(HOSTILE).geometry).max() < 0.01
    assert found.notes == ()
    assert counts_by_code(found, PATCHES, GRID).sum() == 16


def test_long_edges_stay_where_they_are_in_the_file(tmp_path: Path) -> None:
    grid = grid_of(Affine(100, 0, 300_000, 0, -100, 5_700_000), (100, 4000), "EPSG:32633")
    strip = gpd.GeoDataFrame({"name": ["parallel"]}, geometry=[shapely.box(12.2, 51.0, 17.7, 51.4)], crs="EPSG:4326")
    found = read_areas_of_interest(saved(tmp_path, strip), grid).frame
    middle = found.to_crs("EPSG:4326").geometry.iloc[0].intersection(shapely.box(14.9, 50, 15.1, 52)).bounds
    assert middle[1] == pytest.approx(51.0, abs=1e-5)


@pytest.mark.parametrize(
    ("frame", "column", "names"),
    [
        (drawn(["a", "b"], column="NAME", kind=["x", "y"]), None, ["a", "b"]),
        (drawn(["a", "b"], column="unit", code=[1, 2]), None, ["a", "b"]),
        (drawn(["a", "b"], unit=["x", "y"]), "UNIT", ["x", "y"]),
        (drawn(["a", "b"], code=[7, 8]), "code", ["7", "8"]),
        (drawn(["a", "b"], code=[7.0, 8.0]), "code", ["7", "8"]),
    ],
    ids=["name", "only text", "given", "number", "whole number"],
)
def test_the_column_with_the_names_is_found(
    tmp_path: Path, frame: gpd.GeoDataFrame, column: str | None, names: list[str]
) -> None:
    assert read_areas_of_interest(saved(tmp_path, frame), GRID, name_column=column).names == names


REFUSED = {
    "two texts": (drawn(["a"], column="x", y=["b"]), None, r"no column `name`, .*are x, y\. .*`areas_of_interest: name_col"),
    "no such column": (drawn(["a"]), "unit", r"no column 'unit'; its columns are name"),
    "no columns": (drawn(["a"]).drop(columns="name"), None, "its columns are none"),
    "missing": (drawn(["a", " ", None]), None, r"2 of 3 .* no name in column 'name' \(the first is feature number 2\)"),
    "repeated": (drawn(["a", "b", "a ", "b", "c"]), None, "names in column 'name' repeat: a, b. Merge"),
    "none": (drawn(["a"]).iloc[:0], None, "holds no polygons"),
    "points": (drawn(["a"], [shapely.Point(500_010, 4_999_990)]), None, "Point, without area: feature number 1; expected"),
    "invalid": (drawn(["a"], [shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])]), None, "Invalid.*: feature number 1; repair"),
    "elsewhere": (drawn(["a"], [box(100, 0, 101, 1)]), None, "no area .* from 501000 to 501010 in x .* map from 500000 to"),
    "touching": (drawn(["a"], [box(6, 0, 7, 1)]), None, "no area of interest lies on the map"),
    "the world": (
        gpd.GeoDataFrame({"name": ["world"]}, geometry=[shapely.box(-180, -90, 180, 90)], crs="EPSG:4326"), None,
        "world cannot be placed in the CRS of the map, EPSG:32633",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "column", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_areas_that_cannot_be_used_are_refused(tmp_path: Path, frame: gpd.GeoDataFrame, column: str | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_areas_of_interest(saved(tmp_path, frame), GRID, name_column=column)


def test_of_several_layers_one_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, drawn(["a"]))
    pyogrio.write_dataframe(drawn(["b"]), path, layer="others")
    with pytest.raises(InputError, match=r"several layers \(areas, others\); set `layer:`"):
        read_areas_of_interest(path, GRID)
    assert read_areas_of_interest(path, GRID, layer="others").names == ["b"]


def test_a_reader_is_told_what_limits_the_figures(tmp_path: Path) -> None:
    shapes = [box(4, 0, 8, 4), box(10, 0, 12, 4), box(0.1, 0.1, 0.2, 0.2), box(0, 0, 3, 4), box(2, 0, 4, 4)]
    found = read_areas_of_interest(saved(tmp_path, drawn(["half", "out", "dot", "A", "B"], shapes)), GRID)
    assert found.notes == (
        "Area of interest 'half' lies 50.0% outside the map: its hectares are those inside.",
        "Area of interest 'out' lies wholly outside the map.",
        "Area of interest 'dot' holds the centre of no pixel: it is too small or narrow for this map.",
        "Areas of interest overlap, so their hectares must not be added up: 'A' and 'B' (0.0 ha).",
    )
    summary = area_summary(found, PATCHES, changes(), GRID, LEGEND, DATES)
    assert summary["total_ha"].iloc[[1, 2]].tolist() == [0, 0]
    assert summary["outside_ha"].iloc[1] == pytest.approx(8 * PIXEL_HA, rel=1e-3)


def test_many_overlaps_are_summed_up(tmp_path: Path) -> None:
    shapes = [box(0, 0, 6, 4)] * 4
    (note,) = read_areas_of_interest(saved(tmp_path, drawn(list("abcd"), shapes)), GRID).notes
    assert note.endswith("'a' and 'b' (0.2 ha), 'a' and 'c' (0.2 ha), 'a' and 'd' (0.2 ha), 'b' and 'c' (0.2 ha), "
                         "'b' and 'd' (0.2 ha) and 1 more.")  # fmt: skip


def test_neighbours_that_share_a_border_do_not_overlap(tmp_path: Path) -> None:
    grid = grid_of(GRID.transform, (4, 6), "EPSG:32633")
    degrees = drawn(["a", "b"], [box(0, 0, 3.3, 4), box(3.3, 0, 6, 4)]).to_crs("EPSG:4326")
    found = read_areas_of_interest(saved(tmp_path, degrees), grid)
    assert found.notes == ()
    moved = [translate(g, 0, 0) for g in found.frame.geometry]
    assert counts_by_code(AreasOfInterest(found.frame.set_geometry(moved), grid), PATCHES, grid).sum() == 24


def test_thousands_of_areas_are_sent_to_the_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "areas.gpkg"
    shapes = {"a": box(0, 0, 2, 2), "b": box(2, 0, 4, 2), "c": box(4, 0, 6, 2)}
    gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs="EPSG:32633").to_file(path)
    assert read_areas_of_interest(path, GRID).notes == ()
    monkeypatch.setattr(areas_reading, "MANY_AREAS", 2)
    (note,) = read_areas_of_interest(path, GRID).notes
    assert note.startswith("There are 3 areas of interest")
    assert "`landshift plots`" in note
