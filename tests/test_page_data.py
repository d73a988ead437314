"""What the page holds is what the layers hold, in few bytes, and no name can break out of it."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from landshift.pipeline.change.second_opinion import NOT_INDEPENDENT
from landshift.pipeline.gates import Gate
from landshift.pipeline.run.page.answer import note_dependence
from landshift.pipeline.run.page.map_data import (
    DrawnLayers,
    ListedPatch,
    MapData,
    choose_areas,
    json_for_page,
    largest,
    list_patches,
    map_data,
    on_pixels,
)
from landshift.pipeline.run.page.packing import Packed, dictionary_code, outline_columns, outlines_within, pack_columns
from landshift.pipeline.run.page.tables import area_rows, estimate_of_unchanged, matrix, place_notes, place_rows
from landshift.pipeline.sample.record import ErrorMatrix, LandUseBalance, OtherChanges
from landshift.pipeline.vector.read import read_layer
from tests.small_run import NAMES, estimates_of, known, write_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, gpd.GeoDataFrame]]:
    folder = tmp_path_factory.mktemp("run")
    run = write_run(folder)
    return run, {name: read_layer(folder / "changes.gpkg", name) for name in ("changes", "not_observed", "areas_of_interest")}


def unpacked(packed: Packed) -> dict[str, np.ndarray]:
    """Read columns as the page's script does."""
    raw, numbers, value, shift = zlib.decompress(base64.b64decode(packed.text)), [], 0, 0
    for byte in raw:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append((value >> 1) ^ -(value & 1))
            value, shift = 0, 0
    ends = np.cumsum([length for _, length in packed.columns])
    assert len(numbers) == ends[-1]
    return dict(zip([name for name, _ in packed.columns], np.split(np.array(numbers), ends[:-1]), strict=True))


def decoded(columns: dict[str, np.ndarray], name: str, unit: int) -> list[shapely.Geometry]:
    """Read outlines as the page's script does: what lies in an even number of rings is outside."""
    corners = np.stack([np.cumsum(columns[f"{name}.{axis}"]) for axis in "xy"], axis=1) / unit
    rings = iter(np.split(corners, np.cumsum(columns[f"{name}.points"])[:-1]) if len(corners) else [])
    found = []
    for count in columns[f"{name}.rings"]:
        shape: shapely.Geometry = shapely.Polygon()
        for _ in range(count):
            shape = shape.symmetric_difference(shapely.Polygon(next(rings)))
        found.append(shape)
    return found


def data_of(run: Any, layers: dict[str, gpd.GeoDataFrame], *, areas: bool = False, chips: int = 0) -> MapData:
    drawn = DrawnLayers(largest(layers["changes"]), layers["not_observed"], layers["areas_of_interest"] if areas else None)
    return map_data(run, drawn, area_rows(run, None), chips)


def ids_of(data: MapData, columns: dict[str, np.ndarray]) -> list[str]:
    """Put the ids of the patches together as the page's script does."""
    x, y = (np.cumsum(columns[f"patch.{axis}"]) // data.units["patch"] for axis in "xy")
    rings, points = columns["patch.rings"], columns["patch.points"]
    first = (np.cumsum(points) - points)[np.cumsum(rings) - rings]
    columns_of = data.ids.left + x[first] + columns["id_x"]
    rows_of = data.ids.top - 1 - y[first] - columns["id_y"]
    return [
        data.ids.others.get(i, f"{data.ids.prefix}-{column}-{row}".replace("--", "-m"))
        for i, (column, row) in enumerate(zip(columns_of, rows_of, strict=True))
    ]


def test_patches_have_the_numbers_of_the_layer(made: Any) -> None:
    run, layers = made
    data = data_of(run, layers)
    columns = unpacked(data.packed)
    by_id = layers["changes"].set_index("change_id")
    ids = ids_of(data, columns)
    assert sorted(ids) == sorted(by_id.index)
    assert not data.ids.others
    for place, identity in enumerate(ids):
        row, kind = by_id.loc[identity], data.kinds[columns["kind"][place]]
        assert columns["ha"][place] / 10_000 == pytest.approx(row["area_ha"], abs=5e-5)
        assert columns["probability"][place] == round(100 * row["change_probability"])
        assert columns["lowest"][place] == round(100 * row["change_probability_min"])
        assert (kind.before, kind.after, kind.name) == (
            row["from_name"],
            row["to_name"],
            f"{row['from_name']} to {row['to_name']}",
        )
        assert data.touched[columns["touched"][place]] == (
            "" if pd.isna(row["areas_of_interest"]) else row["areas_of_interest"]
        )


def test_an_id_of_another_make_is_kept_as_it_is(made: Any) -> None:
    run, layers = made
    changes = layers["changes"].copy()
    changes.loc[2, "change_id"] = "an earlier map's <id>"
    data = data_of(run, {**layers, "changes": changes})
    assert set(ids_of(data, unpacked(data.packed))) == set(changes["change_id"])
    assert list(data.ids.others.values()) == ["an earlier map's <id>"]


def test_chips_belong_to_the_largest_patches_in_their_order(made: Any) -> None:
    data = data_of(*made, chips=3)
    areas = unpacked(data.packed)["ha"]
    assert [areas[place] for place in data.chips] == sorted(areas, reverse=True)[:3]


def test_the_list_for_paper_has_the_largest_first(made: Any) -> None:
    run, layers = made
    rows = list_patches(run, largest(layers["changes"]).iloc[:2])
    assert [round(row.ha, 1) for row in rows] == [2.4, 1.0]
    assert rows[0].areas == NAMES[0]
    assert run.areas.changes[rows[0].kind].name == "Cropland to Water"


def test_of_many_patches_the_largest_are_kept(made: Any) -> None:
    assert largest(made[1]["changes"], 2)["area_ha"].round(1).tolist() == [2.4, 1.0]


def test_shapes_lie_where_the_pixels_are(made: Any) -> None:
    run, layers = made
    data = data_of(run, layers, areas=True, chips=4)
    columns = unpacked(data.packed)
    shapes = decoded(columns, "patch", data.units["patch"])
    assert shapes[data.chips[0]].equals(shapely.box(10, 30, 22, 50))  # x 10..22, y 30..50, as in tests/small_run.py
    assert decoded(columns, "unseen", data.units["unseen"])[0].equals(shapely.box(70, 0, 80, 10))
    assert data.areas == NAMES
    assert len(decoded(columns, "area", data.units["area"])) == 2
    assert (data.rows, data.columns, data.pixel_m, data.patches, data.unseen, data.labels) == (60, 80, 10.0, 4, 1, 0)


def test_a_shape_keeps_its_holes_and_parts() -> None:
    ring = shapely.box(0, 0, 10, 10).difference(shapely.box(2, 2, 4, 4))
    both = shapely.MultiPolygon([ring, shapely.box(20.04, 0, 21, 1)])
    columns, unit = outlines_within("a", np.array([both, shapely.Polygon(), ring]), 10_000)
    assert unit == 10
    found = decoded(columns, "a", unit)
    assert found[0].symmetric_difference(both).area < 0.1
    assert found[1].is_empty
    assert found[2].equals(ring)


def test_corners_of_pixels_come_back_exactly_in_whole_pixels() -> None:
    boxes = np.array([shapely.box(i, i % 7, i + 3, i % 7 + 2) for i in range(50)])
    columns, unit = outlines_within("a", boxes, 10_000)
    assert unit == 1
    assert all(found.equals(box) for found, box in zip(decoded(columns, "a", unit), boxes, strict=True))


def test_outlines_that_take_too_many_bytes_are_simplified_for_the_eye() -> None:
    circle = shapely.Point(500, 500).buffer(300, quad_segs=2000)
    columns, unit = outlines_within("a", np.array([circle]), 600)
    assert len(columns["a.x"]) <= 300
    assert decoded(columns, "a", unit)[0].area == pytest.approx(circle.area, rel=0.02)


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1)), st.lists(st.integers(-70, 70)))
def test_whole_numbers_come_back(wide: list[int], narrow: list[int]) -> None:
    columns = {"wide": np.array(wide, dtype=np.int64), "narrow": np.array(narrow, dtype=np.int64)}
    found = unpacked(pack_columns(columns)) if wide or narrow else columns
    assert {name: values.tolist() for name, values in found.items()} == {"wide": wide, "narrow": narrow}


@given(st.lists(st.text(max_size=3)))
def test_words_are_coded_by_their_place_in_a_dictionary(values: list[str]) -> None:
    codes, words = dictionary_code(values)
    assert [words[code] for code in codes] == values
    assert len(words) == len(set(words))


@given(st.integers(-5000, 5000), st.integers(-5000, 5000), st.integers(1, 300), st.integers(1, 300))
def test_whole_tenths_come_back_exactly(x: int, y: int, width: int, height: int) -> None:
    box = shapely.box(x / 10, y / 10, (x + width) / 10, (y + height) / 10)
    (found,) = decoded(outline_columns("a", np.array([box]), 10), "a", 10)
    assert shapely.equals_exact(found.normalize(), box.normalize(), 1e-9)


@given(st.text())
def test_json_comes_back_and_ends_no_script(text: str) -> None:
    written = str(json_for_page({"name": text, "end": "</script><!--\u2028"}))
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == {"name": text, "end": "</script><!--\u2028"}


def test_nothing_that_is_no_number_is_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_for_page(ListedPatch("a", 0, float("nan"), None, ""))


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
    codes = tuple(row.estimated.code for row in rows)
    counts = tuple(tuple(10 * (i == k) + i for k in range(4)) for i in range(4))
    counted = area_rows(run, replace(estimates, matrix=ErrorMatrix(codes, ("",) * 4, counts, ())))
    assert [row.sampled for row in counted] == [10, 14, 18, 22]
    for row in counted:
        assert row.right_text.endswith(f"of {row.sampled} sampled pixels mapped so right"), "the source and how many"
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


def test_the_matrix_shows_small_kinds_in_its_sums_alone(made: Any) -> None:
    run, estimates = made[0], estimates_of(made[0])
    small = OtherChanges((3, 5), ("", ""), 2.7, known(3.0, 1.0), known(0.5, 0.1), producers_accuracy=known(0.5, 0.1), samples=7)
    gain, loss = known(0.0, 23.9), known(4.0, 1.0)
    balance = LandUseBalance(1, "Forest", "#2f6b3c", gain, loss, net_ha=known(0.0, 1.0), samples=9)
    table = matrix(run, replace(estimates, other_changes=small, balances=(balance,)))
    shown = [[cell.estimate is not None for cell in row.cells] for row in table]
    assert shown == [[True, True, False], [True, True, False], [False, False, True]]
    assert table[0].moved is not None
    assert (table[0].moved.gain_ha, table[0].moved.loss_ha) == (gain, loss)


def test_a_binary_project_has_no_matrix(tmp_path: Path) -> None:
    run = write_run(tmp_path, classes=(), names=())
    assert matrix(run, estimates_of(run)) == []
    changes, unseen = (read_layer(tmp_path / "changes.gpkg", name) for name in ("changes", "not_observed"))
    data = data_of(run, {"changes": changes, "not_observed": unseen})
    assert [(kind.before, kind.after, kind.name) for kind in data.kinds] == [(None, None, "Changed")]
    assert data.touched == ("",)


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
    data = data_of(run, {"changes": changes, "not_observed": unseen})
    assert (data.patches, data.kinds, data.unseen, data.areas, data.touched) == (0, (), 1, (), ())
    assert on_pixels(changes, run).size == 0
    assert matrix(run, None) == []


def test_of_very_many_areas_the_page_holds_those_with_most_change() -> None:
    frame = gpd.GeoDataFrame({"name": [f"A{k}" for k in range(300)], "changed_ha": [float(k) for k in range(300)]},
                             geometry=[shapely.box(k, 0, k + 1, 1) for k in range(300)], crs="EPSG:32651")  # fmt: skip
    found = choose_areas(frame)
    assert found["name"].tolist() == [f"A{k}" for k in range(299, 99, -1)]
    assert choose_areas(frame.iloc[:150]).equals(frame.iloc[:150])


def test_a_second_opinion_that_the_model_looks_at_is_called_weak_evidence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert note_dependence(run) == ""
    gate = Gate("Second opinion", "0.5", "0.2", "pass", f"As it is. {NOT_INDEPENDENT}", "second_opinion", 0.5, "mark", "")
    assert note_dependence(replace(run, gates=(gate,))) == NOT_INDEPENDENT
