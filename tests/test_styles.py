"""Styles list exactly what they are given, and no name can break them."""

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.colours.palette import PATTERNS
from landshift.pipeline.drawing.lyrx import PolygonLayer, polygons_lyrx
from landshift.pipeline.drawing.qml import (
    continuous_qml,
    dates_qml,
    image_qml,
    outline_qml,
    raster_qml,
    samples_qml,
    vector_qml,
)
from landshift.pipeline.drawing.sld import pam_xml, vector_sld
from landshift.pipeline.drawing.symbols import land_use_entries, occurring, raster_colormap, viridis
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import Change, LandUse, Legend
from landshift.pipeline.raster.write import write_cog, write_raster

needs_gdal = pytest.mark.skipif(which("gdalinfo") is None, reason="needs GDAL's gdalinfo: apt-get install gdal-bin")

LEGEND = Legend((LandUse(1, 'Forest "old" & <wild>', "#1b7837"), LandUse(4, "عمران 🏙", "#c0392b")))
NAMES = ["Not observed", "Unchanged", 'Forest "old" & <wild> to عمران 🏙', 'عمران 🏙 to Forest "old" & <wild>']


def rows(xml: str, tag: str) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in ET.fromstring(xml).iter(tag)]


def test_only_what_occurs_is_listed_and_unchanged_always() -> None:
    assert [c.code for c in occurring(LEGEND.changes, [3])] == [1, 3]
    assert [c.code for c in occurring(LEGEND.changes, np.unique(np.array([0, 2, 2], np.uint8)))] == [0, 1, 2]


def test_a_raster_style_lists_exactly_the_entries() -> None:
    found = rows(raster_qml(LEGEND.changes), "paletteEntry")
    assert [(e["value"], e["label"]) for e in found] == [(str(k), name) for k, name in enumerate(NAMES)]
    assert [e["alpha"] for e in found] == ["0", "255", "255", "255"]
    assert found[1]["color"] == LEGEND.changes[1].colour
    assert rows(raster_qml([]), "paletteEntry") == []


def test_a_vector_style_has_one_symbol_for_each_category() -> None:
    qml = vector_qml(LEGEND.changes[2:])
    assert [r["attr"] for r in rows(qml, "renderer-v2")] == ["change_code"]
    categories = rows(qml, "category")
    assert [(c["value"], c["label"]) for c in categories] == [("2", NAMES[2]), ("3", NAMES[3])]
    assert [c["symbol"] for c in categories] == [s["name"] for s in rows(qml, "symbol") if s["type"] == "fill"]
    fills = [layer for layer in ET.fromstring(qml).iter("layer") if layer.get("class") == "SimpleFill"]
    colours = [p.get("v", "").split(",")[:3] for layer in fills for p in layer.iter("prop") if p.get("k") == "color"]
    assert ["#" + "".join(f"{int(v):02x}" for v in rgb) for rgb in colours] == [c.colour for c in LEGEND.changes[2:]]


def test_not_observed_is_hatched_not_filled() -> None:
    brushes = [p["v"] for p in rows(vector_qml(LEGEND.changes[:2]), "prop") if p["k"] == "style"]
    assert brushes == ["b_diagonal", "solid"]


def test_lines_stand_for_the_class_before_in_every_program() -> None:
    entry = next(c for c in LEGEND.changes if c.pattern)
    pattern = PATTERNS[entry.pattern]
    qml, sld = vector_qml([entry]), vector_sld([entry])
    assert [p["v"] for p in rows(qml, "prop") if p["k"] == "angle"] == [str(angle) for angle in pattern.angles]
    assert sld.count("shape://") == len(pattern.angles)
    (renderer,) = json.loads(polygons_lyrx("a.gpkg", [PolygonLayer("changes", "Changes", (entry,))]))["layerDefinitions"]
    layers = renderer["renderer"]["groups"][0]["classes"][0]["symbol"]["symbol"]["symbolLayers"]
    assert [part["rotation"] for part in layers if part["type"] == "CIMHatchFill"] == list(pattern.angles)


def test_numbers_are_painted_over_their_range() -> None:
    items = rows(continuous_qml(0, 1), "item")
    assert [float(i["value"]) for i in items] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_dates_are_bright_where_they_are_recent() -> None:
    found = rows(dates_qml([20220615, 0, 20210608, 20200601]), "paletteEntry")
    assert [(e["value"], e["label"]) for e in found] == [
        ("20200601", "2020-06-01"), ("20210608", "2021-06-08"), ("20220615", "2022-06-15"),
    ]  # fmt: skip
    assert [e["color"] for e in found] == ["#440154", viridis(372 / 744), "#fde725"]
    assert [e["color"] for e in rows(dates_qml([20220615]), "paletteEntry")] == ["#fde725"]
    assert rows(dates_qml([0]), "paletteEntry") == []


def test_many_dates_become_a_ramp_that_still_says_dates() -> None:
    days = [20200101 + 100 * month + day for month in range(12) for day in range(6)]
    qml = dates_qml(days)
    assert rows(qml, "paletteEntry") == []
    found = rows(qml, "item")
    assert len(found) == 6
    assert {int(e["value"]) for e in found} <= set(days)
    assert (found[0]["label"], found[-1]["label"]) == ("2020-01-01", "2020-12-06")
    assert len(rows(dates_qml(days[:64]), "paletteEntry")) == 64


def test_a_number_that_is_no_date_is_refused() -> None:
    with pytest.raises(ValueError, match="month"):
        dates_qml([20221345])


def test_samples_differ_in_colour_and_shape() -> None:
    qml = samples_qml({"agrees": "Agrees"})
    assert [c["value"] for c in rows(qml, "category")] == ["1", "0"]
    for option in ("name", "color"):
        assert len({p["v"] for p in rows(qml, "prop") if p["k"] == option}) == 2


def test_areas_of_interest_show_their_names_and_no_fill() -> None:
    root = ET.fromstring(outline_qml())
    assert root.attrib["labelsEnabled"] == "1"
    assert [e.attrib["fieldName"] for e in root.iter("text-style")] == ["name"]
    assert {e.attrib["class"] for e in root.iter("layer")} == {"SimpleLine"}


def test_an_image_hides_what_lies_under_it() -> None:
    (renderer,) = rows(image_qml(), "rasterrenderer")
    assert renderer["nodataColor"] == "204,204,204,255"


def test_headings_reach_the_table_and_the_map_tip() -> None:
    root = ET.fromstring(vector_qml(LEGEND.changes, headings={"area_ha": "Area <ha>", 'a"b': "Odd"}))
    aliases = [(e.attrib["index"], e.attrib["field"], e.attrib["name"]) for e in root.iter("alias")]
    assert aliases == [("0", "area_ha", "Area <ha>"), ("1", 'a"b', "Odd")]
    tip = root.findtext("mapTip") or ""
    assert "Area &lt;ha&gt;" in tip
    assert '"a""b"' in tip
    assert set((root.get("styleCategories") or "").split("|")) == {"Symbology", "Fields", "MapTips"}


def test_colours_of_the_table_are_those_of_the_legend() -> None:
    table = {0: (255, 255, 255, 0), 1: (0x1B, 0x78, 0x37, 255), 4: (0xC0, 0x39, 0x2B, 255)}
    assert raster_colormap(land_use_entries(LEGEND)) == table


@given(st.text(min_size=1), st.text(min_size=1))
@settings(deadline=None)
def test_no_name_breaks_a_style(first: str, second: str) -> None:
    entries = [Change(k, name, "#102030", None, name, None, name) for k, name in enumerate((first, second))]
    for xml in (raster_qml(entries), vector_qml(entries), pam_xml(entries, {0: 3, 1: 4})):
        xml.encode("utf-8")
        ET.fromstring(xml)
    # What XML can hold arrives unharmed, line ends apart, which XML readers change.
    if first.isprintable():
        assert rows(vector_qml(entries), "category")[0]["label"] == first


def test_the_attribute_table_has_a_row_for_each_code_that_occurs() -> None:
    table = ET.fromstring(pam_xml(LEGEND.changes, {0: 5, 2: 7, 3: 0}))
    assert [c.text or "" for c in table.iter("Category")] == NAMES
    assert [[f.text or "" for f in row.iter("F")][:6] for row in table.iter("Row")] == [
        ["0", NAMES[0], "0", "", "0", ""],
        ["1", NAMES[1], "0", "", "0", ""],
        ["2", NAMES[2], "1", 'Forest "old" & <wild>', "4", "عمران 🏙"],
    ]


def test_category_names_stand_at_their_code() -> None:
    names = [c.text or "" for c in ET.fromstring(pam_xml(land_use_entries(LEGEND), {1: 1})).iter("Category")]
    assert names == ["Not observed", 'Forest "old" & <wild>', "", "", "عمران 🏙"]


@needs_gdal
def test_gdal_reads_names_colours_and_the_attribute_table(tmp_path: Path) -> None:
    codes = np.array([[0, 1, 1, 3]], dtype=np.uint8)
    grid = grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), (1, 4), "EPSG:32633")
    plain = write_raster(tmp_path / "plain.tif", codes, grid, nodata=0, colormap=raster_colormap(LEGEND.changes))
    path = write_cog(tmp_path / "layers/change.tif", plain, categorical=True)
    (tmp_path / "layers/change.tif.aux.xml").write_text(pam_xml(LEGEND.changes, {0: 1, 1: 2, 3: 1}), encoding="utf-8")
    done = subprocess.run(["gdalinfo", "-json", str(path)], capture_output=True, check=True)
    said = json.loads(done.stdout)
    band = said["bands"][0]
    assert band["categories"] == NAMES
    assert band["colorTable"]["entries"][:2] == [[255, 255, 255, 0], [217, 217, 217, 255]]
    table = said.get("rat") or band["rat"]
    kinds = {f["name"]: f["usage"] for f in table["fieldDefn"]}
    assert (kinds["Value"], kinds["Name"], kinds["PixelCount"]) == (5, 2, 1)
    cells = [row["f"] for row in table["row"]]
    assert [(c[0], c[1], c[-1]) for c in cells] == [(0, NAMES[0], 1), (1, NAMES[1], 2), (3, NAMES[3], 1)]
