"""What is written for ArcGIS: value attribute tables, layer files, Shapefiles, and whole numbers that it takes."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio

from landshift.pipeline.drawing.lyrx import PolygonLayer, codes_lyrx, dates_lyrx, numbers_lyrx, polygons_lyrx
from landshift.pipeline.drawing.symbols import VIRIDIS, rgb
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.vector.columns import CHANGE_COLUMNS
from landshift.pipeline.vector.dbase import shapefile
from landshift.pipeline.vector.dbase.shapefile import SHORT_NAMES, measure_shapefile, write_shapefile
from landshift.pipeline.vector.dbase.value_table import ValueRow, cut_text, write_value_table
from landshift.pipeline.vector.write import write_changes, write_copies
from tests.cim_fields import FIELDS, VALUES
from tests.conftest import small_grid
from tests.test_polygons import AFTER, BEFORE
from tests.test_vector import NAMES, layers_of

LEGEND = Legend((LandUse(1, 'Forêt "old" & <b>', "#1b7837"), LandUse(2, "عمران", "#c0392b")))


@pytest.fixture
def frame() -> gpd.GeoDataFrame:
    return layers_of().changes


def objects(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        yield content
    for value in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from objects(value)


def require_known(text: str) -> dict[str, Any]:
    """The document, once every object of it has a type and fields that ArcGIS Pro knows."""
    document = dict(json.loads(text))
    assert document["type"] == "CIMLayerDocument"
    assert document["layers"] == [layer["uRI"] for layer in document["layerDefinitions"]]
    for found in objects(document):
        assert set(found) - {"type"} <= FIELDS[found["type"]], found["type"]
        for name, allowed in VALUES.items():
            assert found.get(name) is None or found[name] in allowed
        if found["type"] == "CIMRGBColor":
            assert len(found["values"]) == 4
            assert 0 <= found["values"][3] <= 100, "opacity in percent"
    return document


def test_a_layer_file_paints_polygons_in_our_colours_from_a_path_beside_it() -> None:
    headings = {"change_id": "Change ID", "change_code": "Change code"}
    layers = [
        PolygonLayer("areas_of_interest", "Areas", shown_as="name"),
        PolygonLayer("changes", "Changes", LEGEND.changes[2:], headings=headings),
        PolygonLayer("not_observed", "Not observed", LEGEND.changes[:1]),
    ]
    areas, changes, unseen = require_known(polygons_lyrx("changes.gpkg", layers))["layerDefinitions"]
    connection = changes["featureTable"]["dataConnection"]
    assert connection["workspaceConnectionString"] == "AUTHENTICATION_MODE=OSA;DATABASE=.\\changes.gpkg"
    assert connection["dataset"] == "main.changes"
    assert [f["alias"] for f in changes["featureTable"]["fieldDescriptions"]] == ["Change ID", "Change code"]
    assert changes["renderer"]["fields"] == ["change_code"]
    classes = changes["renderer"]["groups"][0]["classes"]
    assert [c["values"][0]["fieldValues"] for c in classes] == [["2"], ["3"]]
    assert [c["label"] for c in classes] == ['Forêt "old" & <b> to عمران', 'عمران to Forêt "old" & <b>']
    fills = [c["symbol"]["symbol"]["symbolLayers"][-1]["color"]["values"][:3] for c in classes]
    assert fills == [list(rgb(c.colour)) for c in LEGEND.changes[2:]]
    assert areas["renderer"]["type"] == "CIMSimpleRenderer"
    hatched = unseen["renderer"]["groups"][0]["classes"][0]["symbol"]["symbol"]["symbolLayers"]
    assert [layer["type"] for layer in hatched] == ["CIMSolidStroke", "CIMHatchFill", "CIMSolidFill"]
    above = require_known(polygons_lyrx("../changes.gpkg", layers[:1]))["layerDefinitions"][0]["featureTable"]["dataConnection"]
    assert above["workspaceConnectionString"].endswith(";DATABASE=..\\changes.gpkg")


def test_a_layer_file_paints_codes_and_leaves_out_what_was_not_observed() -> None:
    (layer,) = require_known(codes_lyrx("change.tif", "Change", LEGEND.changes))["layerDefinitions"]
    assert layer["dataConnection"]["dataset"] == "change.tif"
    assert layer["dataConnection"]["workspaceConnectionString"] == "DATABASE=."
    classes = layer["colorizer"]["groups"][0]["classes"]
    assert [c["values"] for c in classes] == [["1"], ["2"], ["3"]]
    assert [c["color"]["values"] for c in classes] == [[*rgb(c.colour), 100] for c in LEGEND.changes[1:]]


def test_a_layer_file_paints_numbers_as_the_file_holds_them() -> None:
    (layer,) = require_known(numbers_lyrx("p.tif", "Probability", (0, 200), ("0", "1")))["layerDefinitions"]
    colorizer = layer["colorizer"]
    assert (colorizer["customStretchMin"], colorizer["customStretchMax"]) == (0, 200)
    assert [(c["value"], c["label"]) for c in colorizer["stretchClasses"]] == [(0, "0"), (200, "1")]
    ramps = colorizer["colorRamp"]["colorRamps"]
    assert [r["fromColor"]["values"][:3] for r in ramps] == [list(rgb(c)) for c in VIRIDIS[:-1]]
    assert ramps[-1]["toColor"]["values"][:3] == list(rgb(VIRIDIS[-1]))


@pytest.mark.parametrize(("count", "kind"), [(2, "CIMRasterUniqueValueColorizer"), (70, "CIMRasterStretchColorizer")])
def test_a_layer_file_paints_dates_one_by_one_or_along_a_ramp(count: int, kind: str) -> None:
    days = [20_200_000 + 100 * (1 + i // 28) + 1 + i % 28 for i in range(count)]
    (layer,) = require_known(dates_lyrx("last_observed.tif", [0, *days]))["layerDefinitions"]
    assert layer["colorizer"]["type"] == kind
    if count == 2:
        assert [c["label"] for c in layer["colorizer"]["groups"][0]["classes"]] == ["2020-01-01", "2020-01-02"]


def test_a_value_table_says_what_codes_mean(tmp_path: Path) -> None:
    raster = tmp_path / "change.tif"
    write_raster(raster, np.array([[1, 1], [1, 2]], np.uint8), small_grid(2, 2), nodata=0)
    rows = [ValueRow(1, 3, "Unchanged", (217, 217, 217), 0.03), ValueRow(2, 2**31 + 1, "Forêt to عمران " * 20, (1, 2, 3), 1.25)]
    encoding, table = write_value_table(raster, rows)
    assert (table.name, encoding.name) == ("change.tif.vat.dbf", "change.tif.vat.cpg")
    assert encoding.read_text() == "UTF-8"
    found = pyogrio.read_dataframe(table)
    assert list(found) == ["VALUE", "COUNT", "NAME", "HECTARES", "RED", "GREEN", "BLUE"]
    assert found["VALUE"].tolist() == [1, 2]
    assert found["COUNT"].tolist() == [3, 2**31 + 1], "more pixels than 32 bits hold are a number with decimals"
    assert found["HECTARES"].tolist() == [0.03, 1.25]
    assert found["NAME"].tolist()[0] == "Unchanged"
    assert found["NAME"].tolist()[1].endswith("…")
    assert pyogrio.read_info(table)["dtypes"].tolist()[:1] == ["int32"]
    with rasterio.open(raster) as source:
        assert source.read(1).tolist() == [[1, 1], [1, 2]], "it is in nobody's way"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["change.tif", "change.tif.vat.cpg", "change.tif.vat.dbf"]
    assert table.read_bytes()[1:4] == bytes([100, 1, 1]), "no date of today: the same map has the same bytes tomorrow"


def test_a_table_with_few_pixels_holds_whole_numbers(tmp_path: Path) -> None:
    _, table = write_value_table(tmp_path / "a.tif", [ValueRow(1, 2**31 - 1, "a", (0, 0, 0), 1.0)])
    # Nine digits fit 32 bits for every program; ten are written as numbers that GDAL reads as 64 bits.
    assert pyogrio.read_dataframe(table)["COUNT"].tolist() == [2**31 - 1]
    assert write_value_table(tmp_path / "b.tif", [])[1].is_file()


@pytest.mark.parametrize(("text", "kept"), [("a" * 254, "a" * 254), ("a" * 255, "a" * 251 + "…"), ("é" * 127, "é" * 127)])
def test_texts_are_cut_at_whole_letters(text: str, kept: str) -> None:
    assert cut_text(text) == kept
    assert len(cut_text("🏞" * 100).encode()) <= 254


def test_a_shapefile_has_short_names_utf8_and_dates(tmp_path: Path, frame: gpd.GeoDataFrame) -> None:
    frame["areas_of_interest"] = [NAMES[0], None, NAMES[1] * 40]
    paths = write_copies(tmp_path, frame, ["shapefile"])
    names = [f"changes_shapefile{end}" for end in (".cpg", ".dbf", ".prj", ".shp", ".shx")]
    assert sorted(p.name for p in paths) == names == sorted(p.name for p in tmp_path.iterdir())
    assert (tmp_path / "changes_shapefile.cpg").read_text() == "UTF-8"
    found = gpd.read_file(tmp_path / "changes_shapefile.shp")
    assert list(found)[:-1] == [SHORT_NAMES[c.name] for c in CHANGE_COLUMNS]
    assert max(map(len, SHORT_NAMES.values())) <= 10
    assert len(set(SHORT_NAMES.values())) == len(SHORT_NAMES) == len(CHANGE_COLUMNS)
    assert found.crs == frame.crs
    assert found.geometry.geom_equals(frame.geometry).all()
    assert found["change_id"].tolist() == frame["change_id"].tolist()
    assert found["pixels"].tolist() == frame["pixel_count"].tolist()
    assert found["area_ha"].tolist() == pytest.approx(frame["area_ha"].tolist(), rel=1e-12)
    assert found["areas"].isna().tolist() == [False, True, False]
    assert (found["areas"][0], found["areas"][2][-1]) == (NAMES[0], "…")
    kinds = dict(zip(pyogrio.read_info(tmp_path / "changes_shapefile.shp")["fields"], shape_types(tmp_path), strict=True))
    assert kinds["before"] == "datetime64[D]"
    days = {str(day)[:10] for name in ("before", "after") for day in found[name]}
    assert days == {str(BEFORE), str(AFTER)}
    assert isinstance(BEFORE, date)
    assert {kinds[n] for n in ("code", "pixels", "tested_px")} == {"int32"}


def shape_types(folder: Path) -> list[str]:
    return [str(t) for t in pyogrio.read_info(folder / "changes_shapefile.shp")["dtypes"]]


def test_a_shapefile_that_would_be_too_large_is_refused_before_it_is_written(
    tmp_path: Path, frame: gpd.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shapefile(tmp_path, frame)
    size = measure_shapefile(frame)
    assert size.outlines == (tmp_path / "changes_shapefile.shp").stat().st_size
    assert size.table >= (tmp_path / "changes_shapefile.dbf").stat().st_size - 1
    monkeypatch.setattr(shapefile, "MOST_BYTES", size.table - 1)
    (tmp_path / "other").mkdir()
    with pytest.raises(
        InputError, match=r"3 changes would take .* holds 2 GiB at most: take `shapefile` out of `detect: copies:`"
    ):
        write_shapefile(tmp_path / "other", frame)
    assert not list((tmp_path / "other").iterdir())


def test_a_geopackage_has_no_whole_numbers_of_64_bits_that_fit_32(tmp_path: Path, frame: gpd.GeoDataFrame) -> None:
    path = write_changes(tmp_path / "changes.gpkg", frame, LEGEND)
    with closing(sqlite3.connect(path)) as database:
        kinds = {name: kind for _, name, kind, *_ in database.execute("PRAGMA table_info(changes)")}
    assert kinds.pop("fid") == "INTEGER", "the key that the standard asks for"
    assert set(kinds.values()) <= {"TEXT", "MEDIUMINT", "REAL", "DATE", "POLYGON"}
    assert kinds["pixel_count"] == "MEDIUMINT"
    frame.loc[0, "pixel_count"] = 2**31
    with closing(sqlite3.connect(write_changes(tmp_path / "large.gpkg", frame, LEGEND))) as database:
        assert database.execute("SELECT max(pixel_count) FROM changes").fetchone() == (2**31,)
