"""The form of the samples asks in words and stores codes, in real QGIS, wherever the folder was moved to."""

import json
import shutil
import sqlite3
import subprocess
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.sample.judging.form import answers, sample_form_qml, write_sample_project
from tests.conftest import small_grid
from tests.test_qgis_project import QGIS_PYTHON, content, needs_qgis, read_in_qgis

LEGEND = Legend(
    (LandUse(1, 'Forest "old" & <wild>', "#1b7837"), LandUse(2, "O'Brien's", "#888888"), LandUse(4, "عمران 🏙", "#c0392b"))
)
BINARY = Legend()
DATES = ("2019-06-12", "2022-06-14")
NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"


def make_samples(folder: Path, legend: Legend, dates: tuple[str, str] | None = None) -> Path:
    """A run with two images, and two samples of it, the first of which is judged."""
    grid, run, sample = small_grid(), folder / "run", folder / "sample"
    (sample / "chips").mkdir(parents=True)
    for name in ("before", "after"):
        write_raster(run / f"layers/image_{name}.tif", np.full((3, *grid.shape), 99, np.uint8), grid, nodata=0)
    first = {column: next(iter(codes.values())) for column, codes in answers(legend).items()}
    frame = gpd.GeoDataFrame(
        {
            "sample_id": ["S0001", "S0002"], "run_id": "0123", "row": [3, 30], "column": [4, 40],
            "chip": ["chips/S0001.png", "chips/S0002.png"],
            **{column: pd.array([code, None], dtype="Int32") for column, code in first.items()},
            "interpreter": pd.array(["<b>Ann</b>", None], dtype="str"), "remarks": pd.array([None, None], dtype="str"),
        },
        geometry=gpd.points_from_xy([300_045, 300_405], [3_599_965, 3_599_695]), crs="EPSG:32651",
    )  # fmt: skip
    frame.to_file(sample / "samples.gpkg", layer="samples", driver="GPKG", engine="pyogrio")
    with closing(sqlite3.connect(sample / "samples.gpkg")) as database, database:
        database.execute("ALTER TABLE samples ADD COLUMN reference_date DATE")
    for name in ("S0001", "S0002"):
        Image.new("RGB", (120, 60), "#336699").save(sample / "chips" / f"{name}.png")
    images = {name: run / f"layers/image_{name}.tif" for name in ("before", "after")}
    write_sample_project(sample / "samples.qgz", sample, legend, images, grid, grid.crs.to_wkt(), dates)
    return sample


def test_answers_are_codes_by_name() -> None:
    classes = {'Forest "old" & <wild>': 1, "O'Brien's": 2, "عمران 🏙": 4, "Cannot be told": 0}
    assert answers(LEGEND) == {"reference_before": classes, "reference_after": classes}
    assert answers(BINARY) == {"reference_change": {"Unchanged": 1, "Changed": 2, "Cannot be told": 0}}


def test_a_class_may_be_called_as_the_answer_that_it_cannot_be_told() -> None:
    legend = Legend((LandUse(1, "Cannot be told", "#1b7837"), LandUse(2, "Water", "#888888")))
    assert answers(legend)["reference_after"] == {"Cannot be told": 1, "Water": 2, "(Cannot be told)": 0}


def test_the_form_says_the_dates_where_they_are_known() -> None:
    def headings(legend: Legend, dates: tuple[str, str] | None) -> dict[str, str]:
        root = ET.fromstring(sample_form_qml(legend, dates=dates))
        return {e.attrib["field"]: e.attrib["name"] for e in root.iter("alias")}

    found = headings(LEGEND, DATES)
    assert found["reference_before"] == "Land use before (2019-06-12)"
    assert found["reference_after"] == "Land use after (2022-06-14)"
    assert found["chip"] == "Picture before (2019-06-12) | after (2022-06-14)"
    assert headings(BINARY, DATES)["reference_change"] == "What happened (2019-06-12 to 2022-06-14)"
    assert headings(LEGEND, None)["reference_before"] == "Land use before"
    assert headings(BINARY, None)["reference_change"] == "What happened"


@pytest.mark.parametrize("legend", [LEGEND, BINARY])
def test_the_form_asks_only_what_the_project_knows_and_never_shows_the_map(legend: Legend) -> None:
    root = ET.fromstring(sample_form_qml(legend))
    fields = [e.attrib["name"] for e in root.iter("field") if "configurationFlags" in e.attrib]
    assert [name for name in fields if name.startswith("reference_") and name != "reference_date"] == list(answers(legend))
    assert not [name for name in fields if name.startswith("map_")]
    shown = [e.attrib["name"] for e in root.iter("attributeEditorField")]
    assert shown == ["sample_id", "chip", *answers(legend), "interpreter", "reference_date", "remarks"]


def test_the_square_is_a_pixel() -> None:
    root = ET.fromstring(sample_form_qml(LEGEND, 30.0))
    layers = [{p.attrib["k"]: p.attrib["v"] for p in layer.iter("prop")} for layer in root.iter("layer")]
    squares = [layer for layer in layers if layer.get("name") == "square"]
    assert squares
    assert {(layer["size"], layer["size_unit"]) for layer in squares} == {("30", "MapUnit")}


def test_the_project_names_the_images_by_relative_paths(tmp_path: Path) -> None:
    found = content(make_samples(tmp_path, LEGEND) / "samples.qgz")
    assert "../run/layers/image_after.tif" in found
    assert str(tmp_path) not in found


def test_the_project_can_be_written_elsewhere_first(tmp_path: Path) -> None:
    sample = make_samples(tmp_path, LEGEND)
    there = tmp_path / "elsewhere" / "deep"
    images = {"after": tmp_path / "run" / "layers/image_after.tif", "before": tmp_path / "missing.tif"}
    grid = small_grid()
    found = content(write_sample_project(there / "samples.qgz", sample, LEGEND, images, grid, grid.crs.to_wkt()))
    assert "<datasource>../run/layers/image_after.tif</datasource>" in found
    assert "missing" not in found


@needs_qgis
def test_qgis_shows_the_form_and_saves_an_answer(tmp_path: Path) -> None:
    made = make_samples(tmp_path / "made", LEGEND, DATES)
    place = tmp_path / "moved & 'renamed' 🏙"
    shutil.move(made.parent, place)
    edit = {"sample": "S0002", "column": "reference_after", "value": 4}
    said = read_in_qgis(place / "sample" / "samples.qgz", tmp_path / "form", edit)
    assert (said["read"], said["error"], said["complaints"]) == (True, "", [])
    assert [(layer["name"], layer["valid"]) for layer in said["layers"]] == [
        ("Samples to judge (the selected one is drawn)", True),
        ("Image after, 2022-06-14", True), ("Image before, 2019-06-12", True),
    ]  # fmt: skip
    assert "Only selected samples are drawn" in said["abstract"]
    assert [row[1] for row in said["layers"][0]["categories"]] == ["Judged", "Not judged yet"]
    form = said["form"]
    fields = form["fields"]
    expected = [{"(not judged yet)": NULL}, *({name: str(code)} for name, code in answers(LEGEND)["reference_before"].items())]
    for column in ("reference_before", "reference_after"):
        assert (fields[column]["widget"], fields[column]["config"]["map"]) == ("ValueMap", expected)
        assert (fields[column]["not_null"], fields[column]["read_only"]) == (2, False)
    assert {name for name, field in fields.items() if field["read_only"]} == {"sample_id", "run_id", "row", "column", "chip"}
    assert [fields[name]["widget"] for name in ("row", "chip", "reference_date", "remarks")] == [
        "Hidden", "ExternalResource", "DateTime", "TextEdit",
    ]  # fmt: skip
    assert fields["remarks"]["config"]["IsMultiline"] is True
    assert fields["reference_before"]["alias"] == "Land use before (2019-06-12)"
    # The picture was found beside the samples, at its new place; QGIS enlarges it as the form is wide.
    assert any(width == 2 * height for width, height in form["pictures"])
    assert "&lt;b&gt;Ann&lt;/b&gt;" in form["tip"]
    assert said["saved"] is True
    with closing(sqlite3.connect(place / "sample" / "samples.gpkg")) as database:
        rows = database.execute("SELECT sample_id, reference_before, reference_after FROM samples ORDER BY 1").fetchall()
    assert rows == [("S0001", 1, 1), ("S0002", None, 4)]


@needs_qgis
def test_qgis_asks_a_binary_project_what_happened(tmp_path: Path) -> None:
    sample = make_samples(tmp_path, BINARY)
    edit = {"sample": "S0002", "column": "reference_change", "value": 0}
    said = read_in_qgis(sample / "samples.qgz", tmp_path / "form", edit)
    listed = said["form"]["fields"]["reference_change"]["config"]["map"]
    assert listed == [{"(not judged yet)": NULL}, {"Unchanged": "1"}, {"Changed": "2"}, {"Cannot be told": "0"}]
    assert said["saved"] is True
    with closing(sqlite3.connect(sample / "samples.gpkg")) as database:
        assert database.execute("SELECT reference_change FROM samples ORDER BY sample_id").fetchall() == [(1,), (0,)]


@needs_qgis
@pytest.mark.parametrize("legend", [LEGEND, BINARY], ids=["classes", "binary"])
def test_qgis_draws_only_the_selected_sample_so_that_the_pattern_of_all_stays_unseen(tmp_path: Path, legend: Legend) -> None:
    sample = make_samples(tmp_path, legend)
    wanted = {"none": [], "first": ["S0001"], "second": ["S0002"], "both": ["S0001", "S0002"]}
    command = [str(QGIS_PYTHON), str(Path(__file__).with_name("draw_in_qgis.py")), str(sample / "samples.qgz"), str(tmp_path)]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, json.dumps(wanted)], check=True, capture_output=True, env=environment)
    drawn = {name: np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in wanted}
    marked = {name: (picture != [120, 60, 120]).any(axis=2) for name, picture in drawn.items()}
    assert not marked["none"].any(), "neither symbol nor label"
    # A pixel of the map is 10 pixels of the picture here; S0001 is judged (blue), S0002 not yet (yellow).
    for name, (y, x), colour in (("first", (35, 45), "#56b4e9"), ("second", (305, 405), "#f0e442")):
        around = np.zeros_like(marked[name])
        around[max(y - 60, 0) : y + 60, max(x - 60, 0) : x + 60] = True
        assert marked[name].any()
        assert not (marked[name] & ~around).any(), "nothing but the selected sample"
        assert not marked[name][y - 1 : y + 2, x - 1 : x + 2].any(), "the pixel itself stays uncovered"
        red_green_blue = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
        assert (drawn[name] == red_green_blue).all(axis=2).any(), "the selection does not hide whether it was judged"
    np.testing.assert_array_equal(marked["both"], marked["first"] | marked["second"])
