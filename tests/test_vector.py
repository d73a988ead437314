"""The change layer says what the pixels say, in a file that GIS programs open and paint without help."""

import sqlite3
import subprocess
from contextlib import closing
from datetime import date
from pathlib import Path
from shutil import which

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import InputError
from pipeline.grid import grid_of
from pipeline.legend import LandUse, Legend
from pipeline.vector import (
    CHANGE_COLUMNS,
    NOT_OBSERVED_COLUMNS,
    burn,
    not_observed_polygons,
    polygons,
    read_polygons,
    write_changes,
)

needs_ogr = pytest.mark.skipif(which("ogrinfo") is None, reason="needs GDAL's ogrinfo: apt-get install gdal-bin")

BEFORE, AFTER = date(2020, 6, 1), date(2023, 6, 3)
LEGEND = Legend((LandUse(1, 'Forest "old" & <wild>', "#1b7837"), LandUse(4, "عمران 🏙", "#c0392b")))
CHANGE = np.array([
    [0, 2, 2, 1, 3],
    [0, 2, 1, 1, 3],
    [1, 1, 2, 3, 3],
], dtype=np.uint8)  # fmt: skip
CONFIDENCE = np.array([
    [np.nan, 0.9, 0.8, 0.9, 0.5],
    [np.nan, 0.7, 0.9, 0.9, 0.5],
    [0.9, 0.9, 0.6, 1.0, 1.0],
], dtype=np.float32)  # fmt: skip
GRID = grid_of(Affine(10, 0, 500_000, 0, -10, 5_000_000), (3, 5), "EPSG:32633")


@pytest.fixture
def frame() -> gpd.GeoDataFrame:
    return polygons(CHANGE, CONFIDENCE, GRID, LEGEND, BEFORE, AFTER, prefix="run7")


def test_each_patch_is_one_row_that_says_what_its_pixels_say(frame: gpd.GeoDataFrame) -> None:
    assert [*frame.columns] == [c.name for c in CHANGE_COLUMNS] + ["geometry"]
    assert frame["change_id"].tolist() == [f"run7-20200601-20230603-00000{k}" for k in (1, 2, 3)]
    assert frame["change_code"].tolist() == [2, 3, 2]
    assert frame["from_name"].tolist() == ['Forest "old" & <wild>', "عمران 🏙", 'Forest "old" & <wild>']
    assert frame[["from_code", "to_code"]].to_numpy().tolist() == [[1, 4], [4, 1], [1, 4]]
    assert frame["pixel_count"].tolist() == [3, 4, 1]
    np.testing.assert_allclose(frame["confidence"], [0.8, 0.75, 0.6], rtol=1e-6)
    np.testing.assert_allclose(frame["confidence_min"], [0.7, 0.5, 0.6], rtol=1e-6)
    # On the central meridian, a UTM pixel is 1 / 0.9996^2 as large on the ground.
    np.testing.assert_allclose(frame["area_ha"], np.array([0.03, 0.04, 0.01]) / 0.9996**2, rtol=1e-5)
    assert (frame["before_date"].dt.date == BEFORE).all()
    assert (frame["after_date"].dt.date == AFTER).all()
    assert frame.crs.to_epsg() == 32633
    assert frame.geometry.iloc[2].equals(shapely.box(500_020, 4_999_970, 500_030, 4_999_980))


def test_a_binary_project_has_no_land_use_codes() -> None:
    found = polygons(np.where(CHANGE == 3, 2, CHANGE), CONFIDENCE, GRID, Legend(), BEFORE, AFTER)
    assert found[["from_code", "from_name", "to_code"]].isna().to_numpy().all()
    assert found["to_name"].tolist() == ["Changed", "Changed"]


def test_arrays_that_are_not_on_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one shape"):
        polygons(CHANGE[:2], CONFIDENCE, GRID, LEGEND, BEFORE, AFTER)


@given(arrays(np.uint8, (8, 9), elements=st.integers(0, 3)))
@settings(deadline=None, max_examples=50)
def test_every_changed_pixel_is_counted_once(change: np.ndarray) -> None:
    grid = grid_of(GRID.transform, (8, 9), "EPSG:32633")
    found = polygons(change, np.full(change.shape, 0.9), grid, LEGEND, BEFORE, AFTER)
    assert found["pixel_count"].sum() == (change >= 2).sum()
    assert found["area_ha"].sum() == pytest.approx((change >= 2).sum() * 0.01 / 0.9996**2, rel=1e-5)
    assert found["change_id"].is_unique
    assert found.geometry.is_valid.all()
    unseen = not_observed_polygons(change, grid, BEFORE, AFTER)
    assert unseen["pixel_count"].sum() == (change == 0).sum()


def written(folder: Path, change: np.ndarray = CHANGE) -> Path:
    found = polygons(change, np.nan_to_num(CONFIDENCE), GRID, LEGEND, BEFORE, AFTER)
    unseen = not_observed_polygons(change, GRID, BEFORE, AFTER)
    return write_changes(folder / "changes.gpkg", found, LEGEND, not_observed=unseen)


@pytest.mark.parametrize("change", [CHANGE, np.ones_like(CHANGE)], ids=["with changes", "without any change"])
def test_the_file_has_both_layers_with_columns_and_a_default_style(tmp_path: Path, change: np.ndarray) -> None:
    path = written(tmp_path, change)
    assert [p.name for p in tmp_path.iterdir()] == ["changes.gpkg"]
    for layer, columns in (("changes", CHANGE_COLUMNS), ("not_observed", NOT_OBSERVED_COLUMNS)):
        info = pyogrio.read_info(path, layer=layer)
        assert info["fields"].tolist() == [c.name for c in columns]
        assert info["geometry_type"] == "Polygon"
        assert info["dtypes"][-1] == info["dtypes"][-2] == "datetime64[D]"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT f_table_name, useAsDefault, styleQML LIKE '%categorizedSymbol%' FROM layer_styles"
        assert database.execute(query).fetchall() == [("changes", 1, 1), ("not_observed", 1, 1)]
        described = database.execute("SELECT count(*) FROM gpkg_data_columns WHERE table_name = 'changes'").fetchone()
        assert described == (len(CHANGE_COLUMNS),)


def test_what_was_written_is_read_back(tmp_path: Path, frame: gpd.GeoDataFrame) -> None:
    path = write_changes(tmp_path / "changes.gpkg", frame, LEGEND)
    back = read_polygons(path, GRID.crs)
    assert back.geometry.geom_equals(frame.geometry).all()
    for column in ("change_id", "from_name", "to_code", "pixel_count", "area_ha", "confidence"):
        assert back[column].tolist() == frame[column].tolist()


def test_nulls_stay_null_in_the_file(tmp_path: Path) -> None:
    found = polygons(np.where(CHANGE == 3, 2, CHANGE), CONFIDENCE, GRID, Legend(), BEFORE, AFTER)
    path = write_changes(tmp_path / "changes.gpkg", found, Legend())
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT DISTINCT from_code, from_name, to_code, to_name FROM changes").fetchall()
    assert rows == [(None, None, None, "Changed")]


def test_an_earlier_file_stays_when_writing_fails(tmp_path: Path, frame: gpd.GeoDataFrame) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="lacks area_ha"):
        write_changes(path, frame.drop(columns="area_ha"), LEGEND)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["changes.gpkg"]


@needs_ogr
def test_gdal_lists_the_layers_without_complaint_and_knows_the_dates(tmp_path: Path) -> None:
    path = written(tmp_path)
    command = ["ogrinfo", "-ro", "-al", str(path), "changes"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "Feature Count: 3" in done.stdout
    assert "before_date (Date) = 2020/06/01" in done.stdout


def test_burning_takes_pixels_by_their_centre(frame: gpd.GeoDataFrame) -> None:
    # Patches of so few pixels are not simplified, so the picture comes back as it was.
    painted = burn(frame, frame["change_code"].tolist(), GRID, fill=1)
    np.testing.assert_array_equal(painted, np.where(CHANGE == 0, 1, CHANGE))
    assert painted.dtype == np.uint8
    most = gpd.GeoDataFrame(geometry=[shapely.box(500_004, 4_999_996, 500_016, 5_000_000)], crs=GRID.crs.to_wkt())
    expected = np.zeros((3, 5))
    np.testing.assert_array_equal(burn(most, [300], GRID), expected)
    most.geometry = [shapely.box(500_004, 4_999_994, 500_016, 5_000_000)]
    expected[0, :2] = 300
    painted = burn(most, [300], GRID)
    np.testing.assert_array_equal(painted, expected)
    assert painted.dtype == np.int32


def test_burning_nothing_gives_the_fill_and_another_crs_is_refused(frame: gpd.GeoDataFrame) -> None:
    assert (burn(frame.iloc[:0], [], GRID, fill=255) == 255).all()
    with pytest.raises(ValueError, match="read_polygons"):
        burn(frame.to_crs("EPSG:4326"), [1, 2, 3], GRID)


@pytest.mark.parametrize("name", ["labels.geojson", "labels.shp", "labels.gpkg", "labels.fgb"])
def test_every_accepted_format_is_read_onto_the_grid_from_any_crs(tmp_path: Path, name: str) -> None:
    shape = shapely.box(500_000, 4_999_980, 500_030, 5_000_000)
    source = gpd.GeoDataFrame({"kind": ["a"]}, geometry=[shape], crs="EPSG:32633").to_crs("EPSG:4326")
    pyogrio.write_dataframe(source, tmp_path / name)
    found = read_polygons(tmp_path / name, GRID.crs)
    assert found["kind"].tolist() == ["a"]
    assert found.crs == "EPSG:32633"
    assert found.geometry.iloc[0].hausdorff_distance(shape) < 0.01
    assert burn(found, [1], GRID).sum() == 6


BOX = shapely.box(0, 0, 1, 1)
BOW_TIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])


@pytest.mark.parametrize(
    ("geometries", "says"),
    [
        ([BOX, BOW_TIE, BOW_TIE], "of 3 polygons, 0 are empty and 2 invalid .*feature number 2"),
        ([None, shapely.Polygon(), BOX], "of 3 polygons, 2 are empty and 0 invalid .*feature number 1"),
        ([shapely.Point(0, 0)], "holds Point; expected polygons"),
    ],
)
def test_geometries_that_cannot_be_used_are_counted(tmp_path: Path, geometries: list[object], says: str) -> None:
    path = tmp_path / "labels.gpkg"
    pyogrio.write_dataframe(gpd.GeoDataFrame(geometry=geometries, crs="EPSG:32633"), path)
    with pytest.raises(InputError, match=says):
        read_polygons(path, GRID.crs)


def test_files_that_cannot_be_used_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        read_polygons(tmp_path / "none.gpkg", GRID.crs)
    text = tmp_path / "text.gpkg"
    text.write_text("hello")
    with pytest.raises(InputError, match=r"not accepted.*`ogr2ogr -f GPKG"):
        read_polygons(text, GRID.crs)
    table = tmp_path / "table.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"a": [1]}), table)
    with pytest.raises(InputError, match="no layer with geometries"):
        read_polygons(table, GRID.crs)
    nowhere = tmp_path / "nowhere.shp"
    with pytest.warns(UserWarning, match="crs"):
        pyogrio.write_dataframe(gpd.GeoDataFrame({"a": [1]}, geometry=[BOX]), nowhere)
    with pytest.raises(InputError, match=r"no CRS.*\.prj"):
        read_polygons(nowhere, GRID.crs)


ALGORITHM = '"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read secret.gpkg"'
FEATURES = '"type": "FeatureCollection", "features": []'
INDIRECT = {
    "VRT": b"<OGRVRTDataSource><OGRVRTLayer name='x'/></OGRVRTDataSource>",
    "WFS": b"<OGRWFSDataSource><URL>http://127.0.0.1:9/</URL></OGRWFSDataSource>",
    "KML": b"<?xml version='1.0'?><kml><NetworkLink/></kml>",
    "zip": b"PK\x03\x04rest",
    "SQLite": b"SQLite format 3\0" + bytes(200),
    "GDALG": f"{{{ALGORITHM}}}".encode(),
    "GDALG and GeoJSON": f"{{{FEATURES}, {ALGORITHM}}}".encode(),
    "GeoJSON and GDALG": f"{{{ALGORITHM}, {FEATURES}}}".encode(),
    "TopoJSON": b'{"type": "Topology"}',
    "CRS by link": f'{{{FEATURES}, "crs": {{"type": "link", "properties": {{"href": "http://127.0.0.1:9/"}}}}}}'.encode(),
    "half": b'{"type": "FeatureCollection", "feat',
    "deep": b'{"type": ' + b"[" * 100_000,
    "list": b"[1]",
    "no text": b"{\xff\xfe",
    "nothing": b"",
}


@pytest.mark.parametrize("name", ["labels.gpkg", "labels.geojson", "labels.json"])
@pytest.mark.parametrize("content", INDIRECT.values(), ids=INDIRECT.keys())
def test_what_can_point_elsewhere_never_reaches_gdal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("GDAL saw the file")

    for function in ("list_layers", "read_info", "read_dataframe"):
        monkeypatch.setattr(pyogrio, function, refuse)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_polygons(tmp_path / name, GRID.crs)


def test_folders_and_archives_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(InputError, match="not accepted"):
        read_polygons(tmp_path, GRID.crs)
    # pyogrio looks into files of such a name.
    with pytest.raises(InputError, match="not accepted"):
        read_polygons(path.rename(tmp_path / "changes.zip"), GRID.crs)


def test_a_shapefile_is_read_from_one_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    pyogrio.write_dataframe(gpd.GeoDataFrame({"a": [1]}, geometry=[BOX], crs="EPSG:32633"), elsewhere / "labels.shp")
    linked = tmp_path / "linked.shp"
    linked.symlink_to(elsewhere / "labels.shp")
    assert len(read_polygons(linked, GRID.crs)) == 1
    (elsewhere / "labels.dbf").rename(tmp_path / "secret.dbf")
    (elsewhere / "labels.dbf").symlink_to(tmp_path / "secret.dbf")
    with pytest.raises(InputError, match=r"its \.dbf is a link to another folder"):
        read_polygons(linked, GRID.crs)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("labels.geojson", "no GeoJSON that can be read"),
        ("labels.shp", "of 50 polygons, 34 are empty"),
        ("labels.gpkg", "no vector file that can be read"),
        ("labels.fgb", "of its 50 polygons can be read"),
    ],
)
def test_truncated_files_are_refused(tmp_path: Path, name: str, says: str) -> None:
    source = gpd.GeoDataFrame({"kind": ["a"] * 50}, geometry=[BOX] * 50, crs="EPSG:32633")
    pyogrio.write_dataframe(source, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match=says):
        read_polygons(tmp_path / name, GRID.crs)


def test_of_several_layers_one_must_be_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(InputError, match=r"several layers \(changes, not_observed\)"):
        read_polygons(path, GRID.crs)
    with pytest.raises(InputError, match="no layer 'change'"):
        read_polygons(path, GRID.crs, layer="change")
    assert len(read_polygons(path, GRID.crs, layer="changes")) == 3


def test_an_empty_layer_is_read_as_an_empty_frame(tmp_path: Path) -> None:
    found = read_polygons(written(tmp_path, np.ones_like(CHANGE)), GRID.crs, layer="changes")
    assert len(found) == 0
    assert "area_ha" in found
