"""The change layer says what the pixels say, in a file that GIS programs open and paint without help."""

import json
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from shutil import which

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from pyproj import CRS

from landshift.pipeline.change.polygons import MapLayers, find_map_patches, map_layers
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.sample.draw import Sample, sample_ids
from landshift.pipeline.sample.judging.points import read_samples, sample_frame
from landshift.pipeline.vector.columns import (
    AREA_COLUMNS,
    CHANGE_COLUMNS,
    DTYPES,
    NOT_OBSERVED_COLUMNS,
    SAMPLE_COLUMNS,
    KnownHere,
    change_columns,
    frame_of,
    labelling_columns,
)
from landshift.pipeline.vector.formats import layer_hash
from landshift.pipeline.vector.read import burn, read_layer, read_polygons
from landshift.pipeline.vector.write import add_layers, write_changes, write_copies, write_sample_file
from tests.test_polygons import AFTER, BEFORE, CHANGE, GRID, LEGEND, PROBABILITY

needs_ogr = pytest.mark.skipif(which("ogrinfo") is None, reason="needs GDAL's ogrinfo: apt-get install gdal-bin")


NAMES = ['Südpark; "core" <b>&amp;', "حديقة 🏞", "'); DROP TABLE changes;--"]
SQUARES = [shapely.box(499_000, 4_999_000, 500_015, 5_001_000), shapely.box(500_010, 4_999_970, 500_050, 5_000_000)]


def layers_of(change: np.ndarray = CHANGE, legend: Legend = LEGEND) -> MapLayers:
    return map_layers(find_map_patches(change), np.nan_to_num(PROBABILITY), GRID, legend, BEFORE, AFTER, prefix="run7")


@pytest.fixture
def frame() -> gpd.GeoDataFrame:
    return layers_of().changes


def areas_frame() -> gpd.GeoDataFrame:
    """What `area_summary` gives, with made-up numbers."""
    values = {c.name: 1 for c in AREA_COLUMNS} | {"name": NAMES[:2], "largest_change": [None, NAMES[2]]}
    values |= {"changed_share": [None, 0.25], "before_date": BEFORE, "after_date": AFTER}
    return frame_of(values, AREA_COLUMNS, np.array(SQUARES), CRS(GRID.crs.to_wkt()))


def samples_frame(number: int = 3) -> gpd.GeoDataFrame:
    values = {
        "sample_id": [f"S{k}" for k in range(number)], "map_code": 2, "map_name": NAMES[0],
        "reference_code": [None, 1, 2][:number], "reference_name": None, "agrees": [None, 0, 1][:number],
        "map_before": [None, 1, 4][:number], "map_after": 4, "reference_before": [1, None, 4][:number], "reference_after": 1,
        "stratum": NAMES[0], "weight_ha": 1.5, "interpreter": NAMES[1], "remarks": NAMES[2],
        "reference_date": [AFTER, None, BEFORE][:number],
    }  # fmt: skip
    points = shapely.points(500_005 + 10 * np.arange(number), 4_999_995)
    return frame_of(values, SAMPLE_COLUMNS, points, CRS(GRID.crs.to_wkt()))


def written(folder: Path, change: np.ndarray = CHANGE, **further: gpd.GeoDataFrame) -> Path:
    found = layers_of(change)
    path = folder / "changes.gpkg"
    return write_changes(path, found.changes, LEGEND, known=KnownHere(True, True), not_observed=found.not_observed, **further)


LAYERS = (
    ("changes", CHANGE_COLUMNS, "Polygon"), ("not_observed", NOT_OBSERVED_COLUMNS, "Polygon"),
    ("areas_of_interest", AREA_COLUMNS, "MultiPolygon"), ("samples", SAMPLE_COLUMNS, "Point"),
)  # fmt: skip


@pytest.mark.parametrize(
    "change", [CHANGE, np.ones_like(CHANGE), np.zeros_like(CHANGE)], ids=["with changes", "without any change", "unseen"]
)
def test_the_file_has_all_layers_with_columns_and_a_default_style(tmp_path: Path, change: np.ndarray) -> None:
    path = written(tmp_path, change, areas_of_interest=areas_frame(), samples=samples_frame())
    assert [p.name for p in tmp_path.iterdir()] == ["changes.gpkg"]
    for layer, columns, kind in LAYERS:
        info = pyogrio.read_info(path, layer=layer)
        assert info["fields"].tolist() == [c.name for c in columns]
        assert info["geometry_type"] == kind
        assert {str(info["dtypes"][k]) for k, c in enumerate(columns) if c.dtype.startswith("date")} <= {"datetime64[D]"}
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        styles = database.execute("SELECT f_table_name, useAsDefault, styleQML, styleSLD FROM layer_styles").fetchall()
        assert [s[:2] for s in styles] == [(layer, 1) for layer, _, _ in LAYERS]
        for _, _, qml, sld in styles:
            assert ET.fromstring(qml.partition("\n")[2]).tag == "qgis"
            assert ET.fromstring(sld).tag.endswith("StyledLayerDescriptor")
        for layer, columns, _ in LAYERS:
            query = "SELECT column_name, title, description FROM gpkg_data_columns WHERE table_name = ? ORDER BY rowid"
            described = database.execute(query, (layer,)).fetchall()
            assert described == [(c.name, c.alias, c.comment) for c in columns]


def test_every_column_has_one_meaning_and_its_own_heading() -> None:
    for _, columns, _ in LAYERS:
        assert len({c.alias for c in columns}) == len(columns)
        for column in columns:
            assert DTYPES[column.name] == column.dtype


def test_hectares_by_pixel_count_are_called_so() -> None:
    area = {layer: next(c for c in columns if c.name == "area_ha") for layer, columns, _ in LAYERS[:2]}
    assert area["changes"].alias == "Area (ha, pixel count)"
    assert "pixel count, biased" in area["changes"].comment
    assert area["not_observed"].alias == "Area (ha)"
    for column in AREA_COLUMNS:
        if column.name.startswith(("changed", "unchanged")):
            assert "pixel count" in column.alias, column.name
            assert "pixel count, biased" in column.comment, column.name


def test_probabilities_of_a_model_that_was_calibrated_elsewhere_are_headed_so(tmp_path: Path) -> None:
    path = write_changes(tmp_path / "changes.gpkg", layers_of(CHANGE).changes, LEGEND)
    with closing(sqlite3.connect(path)) as database:
        described = database.execute("SELECT column_name, title, description FROM gpkg_data_columns").fetchall()
        (qml,) = database.execute("SELECT styleQML FROM layer_styles").fetchone()
    doubted = [name for name, title, text in described if "uncalibrated here" in title and "uncalibrated here" in text]
    assert doubted == ["change_probability", "change_probability_min"]
    aliases = [alias.get("name", "") for alias in ET.fromstring(qml.partition("\n")[2]).iter("alias")]
    assert [a for a in aliases if "uncalibrated here" in a] == [
        "Probability of change (uncalibrated here)", "Lowest probability of change (uncalibrated here)",
    ]  # fmt: skip
    assert not any("uncalibrated" in c.alias + c.comment for c in change_columns(KnownHere(calibrated=True)))
    elsewhere = [
        name for name, title, text in described if "measured where the model was trained" in title and "other images" in text
    ]
    assert elsewhere == ["kind_right", "kind_right_low", "kind_right_high", "kind_tested_px"]
    assert change_columns(KnownHere(calibrated=True, tested=True)) == CHANGE_COLUMNS


def test_a_sample_of_a_binary_project_has_no_land_use(tmp_path: Path) -> None:
    codes = ["map_before", "map_after", "reference_before", "reference_after"]
    frame = samples_frame()
    frame[codes] = pd.DataFrame(None, index=frame.index, columns=codes).astype("Int32")
    path = add_layers(written(tmp_path), samples=frame)
    assert_geodataframe_equal(read_layer(path, "samples"), frame)


def test_layers_are_added_to_a_file_and_the_others_stay(tmp_path: Path) -> None:
    path = written(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE layer_styles SET styleQML = 'mine' WHERE f_table_name = 'changes'")
    before = read_layer(path, "changes")
    add_layers(path, areas_of_interest=areas_frame(), samples=samples_frame())
    estimated = areas_frame().assign(
        changed_estimated_ha=[1.5, None], changed_low_ha=0.5, changed_high_ha=2.5, samples=[2, None]
    )
    add_layers(path, areas_of_interest=estimated, samples=samples_frame(2))
    assert [p.name for p in tmp_path.iterdir()] == ["changes.gpkg"]
    assert_geodataframe_equal(read_layer(path, "changes"), before)
    assert len(read_layer(path, "not_observed")) == 1
    assert len(read_layer(path, "samples")) == 2
    areas = read_layer(path, "areas_of_interest")
    assert areas["name"].tolist() == NAMES[:2]
    assert areas["changed_estimated_ha"].isna().tolist() == [False, True]
    add_layers(path, samples=samples_frame(1))
    assert len(read_layer(path, "areas_of_interest")) == 2
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT f_table_name, count(*), styleQML = 'mine' FROM layer_styles GROUP BY 1 ORDER BY 1"
        assert database.execute(query).fetchall() == [
            ("areas_of_interest", 1, 0), ("changes", 1, 1), ("not_observed", 1, 0), ("samples", 1, 0),
        ]  # fmt: skip
        query = "SELECT count(*) FROM gpkg_contents WHERE table_name = 'samples'"
        assert database.execute(query).fetchone() == (1,)
        described = database.execute("SELECT count(*) FROM gpkg_data_columns WHERE table_name = 'areas_of_interest'")
        assert described.fetchone() == (len(AREA_COLUMNS) + 4,)


def test_layers_are_not_added_to_what_is_open_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        add_layers(tmp_path / "changes.gpkg", samples=samples_frame())
    path = written(tmp_path)
    (tmp_path / "changes.gpkg-wal").write_bytes(b"")
    with pytest.raises(InputError, match="open in another program"):
        add_layers(path, samples=samples_frame())
    (tmp_path / "changes.gpkg-wal").unlink()
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InputError, match="damaged"):
        add_layers(path, samples=samples_frame())
    assert [p.name for p in tmp_path.iterdir()] == ["changes.gpkg"]


def test_what_is_read_has_the_types_that_were_written(tmp_path: Path) -> None:
    found = layers_of()
    path = written(tmp_path, areas_of_interest=areas_frame(), samples=samples_frame())
    assert_geodataframe_equal(read_layer(path, "changes"), found.changes)
    assert_geodataframe_equal(read_layer(path, "not_observed"), found.not_observed)
    assert_geodataframe_equal(read_layer(path, "samples"), samples_frame())
    areas = read_layer(path, "areas_of_interest")
    pd.testing.assert_frame_equal(areas.drop(columns="geometry"), areas_frame().drop(columns="geometry"))
    with pytest.raises(InputError, match="no layer 'others'"):
        read_layer(path, "others")


def test_copies_in_other_formats_say_the_same(tmp_path: Path, frame: gpd.GeoDataFrame) -> None:
    frame["areas_of_interest"] = [NAMES[0], None, NAMES[1]]
    paths = write_copies(tmp_path, frame, ["flatgeobuf", "geoparquet"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changes.fgb", "changes.parquet"]
    assert [p.name for p in paths] == ["changes.fgb", "changes.parquet"]
    fgb, parquet = read_layer(paths[0], "changes"), gpd.read_parquet(paths[1])
    # A FlatGeobuf is sorted by place.
    assert_geodataframe_equal(
        fgb.sort_values("change_id", ignore_index=True), frame.sort_values("change_id", ignore_index=True)
    )
    assert parquet.crs == frame.crs
    assert [*parquet.columns] == [*frame.columns]
    assert parquet.geometry.geom_equals(frame.geometry).all()
    assert parquet["areas_of_interest"].fillna("").tolist() == [NAMES[0], "", NAMES[1]]
    assert parquet["before_date"].tolist() == [BEFORE] * 3


@pytest.mark.parametrize("legend", [LEGEND, Legend()], ids=["classes", "binary"])
def test_copies_of_a_map_without_change_are_empty_and_typed(tmp_path: Path, legend: Legend) -> None:
    empty = layers_of(np.ones_like(CHANGE), legend).changes
    fgb, parquet = write_copies(tmp_path, empty, ["flatgeobuf", "geoparquet"])
    assert len(read_layer(fgb, "changes")) == 0
    assert [*gpd.read_parquet(parquet).columns] == [*empty.columns]
    schema = pq.read_schema(parquet)
    assert str(schema.field("before_date").type) == "date32[day]"
    assert str(schema.field("from_name").type) == "string"
    geo = json.loads(schema.metadata[b"geo"])
    assert (geo["version"], geo["columns"]["geometry"]["crs"]["id"]["code"]) == ("1.1.0", 32633)


def test_geoparquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, frame: gpd.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'landshift\[geoparquet\]'"):
        write_copies(tmp_path, frame, ["geoparquet"])
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(ValueError, match="expected one of"):
        write_copies(tmp_path, frame, ["dxf"])


def rows_of(path: Path) -> dict[str, list[str]]:
    """Table to how it was made and its rows, but for moments."""
    with closing(sqlite3.connect(path)) as database:
        tables = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql NOT NULL").fetchall())
        rows = {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    return {name: [tables[name], *(re.sub(r"20\d\d-\S*Z", "", repr(row)) for row in rows[name])] for name in tables}


def test_files_are_the_same_with_and_without_pyarrow(
    tmp_path: Path, frame: gpd.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.loc[:0, ["areas_of_interest", "kind_right"]] = NAMES[1], 0.5
    more = {"areas_of_interest": areas_frame(), "samples": samples_frame()}
    with_it = write_changes(tmp_path / "a.gpkg", frame, LEGEND, not_observed=layers_of().not_observed, **more)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    without = write_changes(tmp_path / "b.gpkg", frame, LEGEND, not_observed=layers_of().not_observed, **more)
    assert rows_of(with_it) == rows_of(without)


def test_nulls_stay_null_in_the_file(tmp_path: Path) -> None:
    found = layers_of(np.where(CHANGE == 3, 2, CHANGE), Legend()).changes
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
@pytest.mark.parametrize("layer", ["changes", "not_observed", "areas_of_interest", "samples"])
def test_gdal_reads_every_layer_without_complaint(tmp_path: Path, layer: str) -> None:
    path = add_layers(written(tmp_path), areas_of_interest=areas_frame(), samples=samples_frame())
    done = subprocess.run(["ogrinfo", "-ro", "-al", str(path), layer], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert 'ID["EPSG",32633]' in done.stdout
    if layer == "changes":
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
        (
            [BOX, BOW_TIE, BOW_TIE],
            "of 3 features, 2 cannot be used. Invalid.*feature numbers 2, 3; repair.*`ogr2ogr -makevalid",
        ),
        ([None, shapely.Polygon(), BOX], "of 3 features, 2 cannot be used. Empty: feature numbers 1, 2;"),
        ([shapely.Point(0, 0)], "Point, without area: feature number 1; expected polygons"),
        ([shapely.GeometryCollection([BOX, shapely.Point(0, 0)])], "1 only in part. Collections, .*feature number 1;"),
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
        ("labels.geojson", "not readable GeoJSON"),
        ("labels.shp", "is damaged: it has 2,300 of its 6,900 bytes"),
        ("labels.gpkg", "not a readable vector file"),
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


def sample(legend: Legend = LEGEND) -> gpd.GeoDataFrame:
    return sample_frame(Sample(np.array([0, 2, 1]), np.array([1, 4, 0])), GRID, legend, run_id="r1")


def test_a_sample_lies_at_pixel_centres_and_says_nothing_about_the_map() -> None:
    found = sample()
    assert [*found.columns] == [c.name for c in labelling_columns(binary=False)] + ["geometry"]
    assert found["sample_id"].tolist() == ["S0001", "S0002", "S0003"] == sample_ids(3)
    assert (sample_ids(10_000)[0], sample_ids(10_000)[-1], sample_ids(0)) == ("S00001", "S10000", [])
    assert found["chip"].iloc[1] == "chips/S0002.png"
    assert [(p.x, p.y) for p in found.geometry] == [(500_015, 4_999_995), (500_045, 4_999_975), (500_005, 4_999_985)]
    assert found[["reference_before", "reference_after", "interpreter", "reference_date", "remarks"]].isna().to_numpy().all()
    assert "reference_change" in sample(Legend())


@pytest.mark.parametrize("legend", [LEGEND, Legend()], ids=["classes", "binary"])
def test_a_sample_file_waits_to_be_judged_and_is_read_back(tmp_path: Path, legend: Legend) -> None:
    path = write_sample_file(tmp_path / "samples.gpkg", sample(legend), "<qgis>form</qgis>")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)
        assert database.execute("SELECT styleQML, styleSLD, useAsDefault FROM layer_styles").fetchall() == [
            ("<qgis>form</qgis>", "", 1)
        ]
        judged = [c.name for c in labelling_columns(binary=legend.binary) if c.name.startswith("reference")]
        assert database.execute(f"SELECT DISTINCT {', '.join(judged)} FROM samples").fetchall() == [(None,) * len(judged)]
    assert_geodataframe_equal(read_samples(path), sample(legend))


EXPORTS = {"gpkg": "GPKG", "fgb": "FlatGeobuf", "geojson": "GeoJSON", "shp": "ESRI Shapefile"}


@needs_ogr
@pytest.mark.parametrize("binary", [False, True], ids=["classes", "binary"])
@pytest.mark.parametrize("suffix", EXPORTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_judged_sample_is_read_from_what_gis_programs_save(tmp_path: Path, suffix: str, binary: bool) -> None:
    frame = sample(Legend() if binary else LEGEND)
    judged = [c for c in frame if c in ("reference_before", "reference_after", "reference_change")]
    for k, column in enumerate(judged):
        frame[column] = pd.Series([1 + k, None, 2], dtype="Int32")
    frame["remarks"] = pd.Series([NAMES[1], None, NAMES[2]], dtype="str")
    frame["reference_date"] = pd.Series([np.datetime64("2021-05-06"), None, None], dtype="datetime64[s]")
    source = write_sample_file(tmp_path / "source.gpkg", frame, "<qgis/>")
    encoding = ["-lco", "ENCODING=UTF-8"] if suffix == "shp" else []
    exported = tmp_path / f"samples.{suffix}"
    command = ["ogr2ogr", "-f", EXPORTS[suffix], *encoding, str(exported), str(source), "samples"]
    subprocess.run(command, capture_output=True, check=True)
    found = read_samples(exported).sort_values("sample_id", ignore_index=True)
    kept = [c.name for c in labelling_columns(binary=binary)]
    pd.testing.assert_frame_equal(pd.DataFrame(found[kept]), pd.DataFrame(frame[kept]))
    assert found.to_crs(frame.crs).geometry.distance(frame.geometry).max() < 0.01


def test_codes_that_were_typed_as_text_are_read(tmp_path: Path) -> None:
    frame = sample().assign(reference_before=["1", "", " 4 "], reference_after=[1.0, 4.0, None])
    pyogrio.write_dataframe(frame.drop(columns=["chip", "remarks"]), tmp_path / "judged.gpkg")
    found = read_samples(tmp_path / "judged.gpkg")
    assert found["reference_before"].tolist() == [1, pd.NA, 4]
    assert found["reference_after"].tolist() == [1, 4, pd.NA]
    assert found["chip"].isna().all()


SPOILT = {
    "judgement missing": (lambda f: f.drop(columns="reference_after"), "lacks the column reference_after; its columns: .*QGIS"),
    "two missing": (lambda f: f.drop(columns=["run_id", "row"]), "lacks the columns run_id, row"),
    "polygons": (lambda f: f.set_geometry(f.buffer(5)), "holds Polygon; expected the points"),
    "empty": (lambda f: f.iloc[:0], "holds no sample point"),
    "no code": (
        lambda f: f.assign(reference_before=["1", "forest?", "4"]),
        r"reference_before is no .* 1 of 3 .*S0002 \(forest\?\)",
    ),
    "half a row": (lambda f: f.assign(row=[0.0, 1.5, 2.0]), r"row is no whole number .*S0002 \(1\.5\)"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT.keys())
def test_what_is_no_judged_sample_is_refused(tmp_path: Path, spoil: object, says: str) -> None:
    pyogrio.write_dataframe(spoil(sample()), tmp_path / "judged.gpkg")
    with pytest.raises(InputError, match=says):
        read_samples(tmp_path / "judged.gpkg")


def test_the_changes_are_no_judged_sample(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one called 'samples'"):
        read_samples(written(tmp_path))
    with pytest.raises(InputError, match="lacks the columns"):
        read_samples(add_layers(written(tmp_path), samples=samples_frame()))


def test_the_hash_of_a_shapefile_follows_its_classes_and_not_its_indices(tmp_path: Path) -> None:
    hashes = []
    for name in ("forest", "field"):
        frame = gpd.GeoDataFrame({"class": [name]}, geometry=[BOX], crs="EPSG:32633")
        pyogrio.write_dataframe(frame, tmp_path / "labels.shp")
        hashes.append(layer_hash(tmp_path / "labels.shp"))
    assert hashes[0] != hashes[1], "the .shp is the same, and the .dbf is not"
    (tmp_path / "labels.qix").write_bytes(b"an index")
    assert layer_hash(tmp_path / "labels.shp") == hashes[1]
    pyogrio.write_dataframe(frame, tmp_path / "labels.gpkg")
    assert layer_hash(tmp_path / "labels.gpkg") == file_hash(tmp_path / "labels.gpkg")
