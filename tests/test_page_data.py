"""What the page holds is what the layers hold, in few bytes, and no name can break out of it."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from landshift.pipeline.records import content_of
from landshift.pipeline.run.page.map_data import PatchShape, json_for_page, largest, map_data, on_pixels, shapes
from landshift.pipeline.run.page.tables import area_rows, estimate_of_unchanged, matrix, place_notes, place_rows
from landshift.pipeline.vector.read import read_layer
from tests.small_run import NAMES, estimates_of, write_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, gpd.GeoDataFrame]]:
    folder = tmp_path_factory.mktemp("run")
    run = write_run(folder)
    return run, {name: read_layer(folder / "changes.gpkg", name) for name in ("changes", "not_observed", "areas_of_interest")}


def decoded(shape: list[list[list[int]]]) -> shapely.Geometry:
    """Read a shape as the page's script does."""
    polygons = []
    for rings in shape:
        corners = [np.cumsum(np.reshape(ring, (-1, 2)), axis=0) / 10 for ring in rings]
        polygons.append(shapely.Polygon(corners[0], corners[1:]))
    return shapely.MultiPolygon(polygons)


def test_patches_come_largest_first_with_the_numbers_of_the_layer(made: Any) -> None:
    run, layers = made
    data = content_of(map_data(run, largest(layers["changes"]), layers["not_observed"], None, 0))
    rows, kinds = data["patches"], [kind["name"] for kind in data["kinds"]]
    assert [row["ha"] for row in rows] == pytest.approx(sorted(layers["changes"]["area_ha"], reverse=True), abs=1e-4)
    assert list(rows[0]) == ["id", "kind", "from", "to", "ha", "change_probability", "lowest", "areas", "shape"]
    assert [rows[0][key] for key in ("from", "to", "areas")] == ["Cropland", "Water", NAMES[0]]
    assert rows[0]["change_probability"] == pytest.approx(0.6, abs=1e-4)
    by_id = layers["changes"].set_index("change_id")
    for row in rows:
        assert row["ha"] == pytest.approx(by_id.loc[row["id"], "area_ha"], abs=1e-4)
        assert kinds[row["kind"]] == f"{row['from']} to {row['to']}"


def test_of_many_patches_the_largest_are_kept(made: Any) -> None:
    assert largest(made[1]["changes"], 2)["area_ha"].round(1).tolist() == [2.4, 1.0]


def test_shapes_lie_where_the_pixels_are(made: Any) -> None:
    run, layers = made
    data = map_data(run, largest(layers["changes"]), layers["not_observed"], layers["areas_of_interest"], 4)
    first = decoded(data.patches[0].shape)
    assert first.equals(shapely.box(10, 30, 22, 50))  # x 10..22, y 30..50, as in tests/small_run.py
    assert decoded(data.unseen[0]).equals(shapely.box(70, 0, 80, 10))
    assert [area.name for area in data.areas] == list(NAMES)
    assert (data.rows, data.columns, data.pixel_m, data.chips) == (60, 80, 10.0, 4)


def test_a_shape_keeps_its_holes_and_parts() -> None:
    ring = shapely.box(0, 0, 10, 10).difference(shapely.box(2, 2, 4, 4))
    both = shapely.MultiPolygon([ring, shapely.box(20.04, 0, 21, 1)])
    assert decoded(shapes(np.array([both]))[0]).symmetric_difference(both).area < 0.1


def test_too_many_vertices_are_simplified_for_the_eye() -> None:
    circle = shapely.Point(500, 500).buffer(300, quad_segs=2000)
    found = shapes(np.array([circle]), most=500)
    assert sum(len(ring) for ring in found[0][0]) <= 1000
    assert decoded(found[0]).area == pytest.approx(circle.area, rel=0.01)


@given(st.integers(-5000, 5000), st.integers(-5000, 5000), st.integers(1, 300), st.integers(1, 300))
def test_whole_tenths_come_back_exactly(x: int, y: int, width: int, height: int) -> None:
    box = shapely.box(x / 10, y / 10, (x + width) / 10, (y + height) / 10)
    assert shapely.equals_exact(decoded(shapes(np.array([box]))[0]).normalize(), shapely.MultiPolygon([box]).normalize(), 1e-9)


@given(st.text())
def test_json_comes_back_and_ends_no_script(text: str) -> None:
    written = str(json_for_page({"name": text, "end": "</script><!--\u2028"}))
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == {"name": text, "end": "</script><!--\u2028"}


def test_nothing_that_is_no_number_is_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_for_page(PatchShape("a", 0, None, "Changed", float("nan"), None, None, "", []))


def test_estimates_stand_beside_what_was_mapped(made: Any) -> None:
    run = made[0]
    estimates = estimates_of(run)
    rows = area_rows(run, estimates)
    assert [row.name for row in rows] == [
        "Cropland to Water", "Forest to Cropland", "Forest to Water", "Cropland to Forest",
    ]  # fmt: skip
    for row in rows[:3]:
        assert row.estimated.area_ha.estimate == pytest.approx(1.1 * row.mapped_ha)
    assert (rows[3].mapped_ha, rows[3].polygons, rows[3].estimated.area_ha.low) == (0.0, 0, 5.0)
    found = estimate_of_unchanged(estimates)
    assert found is not None
    assert found.area_ha.estimate == 39.0
    assert [row.estimated for row in area_rows(run, None)] == [None] * 3
    assert estimate_of_unchanged(None) is None


def test_the_matrix_adds_up_to_what_was_mapped(made: Any) -> None:
    run = made[0]
    table = matrix(run, None)
    assert [row.name for row in table] == ["Forest", "Cropland", "Water"]
    assert [[None if c.ha is None else round(c.ha, 1) for c in row.cells] for row in table] == [
        [None, 1.2, 0.3],
        [0.0, None, 2.4],
        [0.0, 0.0, None],
    ]
    assert sum(row.gained for row in table) == pytest.approx(run.areas.changed_ha, abs=1e-3)
    assert sum(row.lost for row in table) == pytest.approx(run.areas.changed_ha, abs=1e-3)
    assert max(cell.share for row in table for cell in row.cells) == 1
    assert matrix(run, estimates_of(run))[2].cells[0].estimate.estimate == 200.0


def test_a_binary_project_has_no_matrix(tmp_path: Path) -> None:
    run = write_run(tmp_path, classes=(), names=())
    assert matrix(run, estimates_of(run)) == []
    changes, unseen = (read_layer(tmp_path / "changes.gpkg", name) for name in ("changes", "not_observed"))
    data = map_data(run, largest(changes), unseen, None, 0)
    assert {(row.before, row.after, row.areas) for row in data.patches} == {(None, "Changed", "")}


def test_areas_of_interest_keep_their_numbers(made: Any) -> None:
    run, layers = made
    rows = place_rows(layers["areas_of_interest"], estimates_of(run))
    assert [row.name for row in rows] == list(NAMES)
    for row, (_, layer) in zip(rows, layers["areas_of_interest"].iterrows(), strict=True):
        assert row.changed_ha == pytest.approx(layer["changed_ha"], abs=1e-4)
        assert row.estimated.samples == 12
    assert place_notes(rows) == {"Few samples.": list(NAMES)}
    assert place_notes(place_rows(layers["areas_of_interest"], None)) == {}
    assert place_rows(None, None) == []


def test_a_run_without_change_has_nothing_to_list(tmp_path: Path) -> None:
    run = write_run(tmp_path, quiet=True)
    changes, unseen = (read_layer(tmp_path / "changes.gpkg", name) for name in ("changes", "not_observed"))
    data = map_data(run, largest(changes), unseen, None, 0)
    assert (data.patches, data.kinds, len(data.unseen), data.areas) == ((), (), 1, ())
    assert on_pixels(changes, run).size == 0
    assert matrix(run, None) == []
