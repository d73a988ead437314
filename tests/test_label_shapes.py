"""Layers of labels as people have them: good polygons are read, bad ones named with a remedy that works."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely
from affine import Affine
from pydantic import ValidationError
from shapely.geometry import GeometryCollection, LineString, Point, Polygon, box

from landshift.flows.config.labels import PolygonLabels
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.labels.read import Labels, labels_from_polygons
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.vector.read import StatedLayer, read_polygons
from landshift.pipeline.vector.text import fitting_encodings

GRID = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (3, 6), "EPSG:32651")
LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(2, "Field", "#ffcc00")))
CHINESE = Legend((LandUse(1, "林地", "#006400"), LandUse(2, "耕地", "#ffcc00")))
N = 255
ROWS = [box(300_000, 3_599_990 - 10 * i, 300_060, 3_600_000 - 10 * i) for i in range(3)]
BEFORE, AFTER = ["Forest", "Field", "Field"], ["Field", "Field", "Forest"]
needs_gdal = pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="needs GDAL's ogr2ogr: apt-get install gdal-bin")


def write(path: Path, shapes: list[object] = ROWS, crs: str | None = "EPSG:32651", **columns: list[object]) -> Path:  # type: ignore[assignment]
    frame = gpd.GeoDataFrame(columns or {"before": BEFORE, "after": AFTER}, geometry=shapes, crs=crs)
    frame.to_file(path)
    return path


def read(path: Path, legend: Legend = LEGEND, **options: object) -> Labels:
    return labels_from_polygons(path, GRID, legend, **options)  # type: ignore[arg-type]


def stated(**what: str) -> StatedLayer:
    return StatedLayer(section="labels: polygons", **what)


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        read(path, **options)  # type: ignore[arg-type]
    return str(error.value)


def rows_of(labels: Labels) -> list[list[int]]:
    return [labels.before[:, 0].tolist(), labels.after[:, 0].tolist()]


def follow(text: str) -> Path:
    """Run the command of a message, and return the file that it makes."""
    command = shlex.split(re.findall(r"`(ogr2ogr [^`]+)`", text)[0])
    subprocess.run(command, check=True, capture_output=True)
    return Path(next(part for part in command if part.endswith("_new.gpkg")))


GOOD = [[1, 2, 2], [2, 2, 1]]


def test_heights_and_curves_are_read(tmp_path: Path) -> None:
    heights = [shapely.force_3d(shape, 312.5) for shape in ROWS]
    for name in ("z.shp", "z.gpkg"):
        assert rows_of(read(write(tmp_path / name, heights))) == GOOD


@needs_gdal
def test_curves_become_chains_of_edges(tmp_path: Path) -> None:
    """A circle of 14 m around the middle of row 1, cut into short edges, covers the pixels whose centres it holds."""
    circle = "CURVEPOLYGON(CIRCULARSTRING(300016 3599985,300030 3599999,300044 3599985,300030 3599971,300016 3599985))"
    rows = ["WKT,before", f'"MULTISURFACE({circle})",Forest', f'"{ROWS[0].wkt}",Field']
    (tmp_path / "curve.csv").write_text("\n".join(rows))
    path = tmp_path / "curve.gpkg"
    subprocess.run(["ogr2ogr", "-a_srs", "EPSG:32651", path, tmp_path / "curve.csv"], check=True, capture_output=True)
    assert "CURVE" in subprocess.run(["ogrinfo", "-al", path], check=True, capture_output=True, text=True).stdout
    with pytest.warns(UserWarning, match="disagree on 2 pixels"):
        found = read(path).before
    assert found.tolist() == [[2, 2, N, N, 2, 2], [N, N, 1, 1, N, N], [N, N, 1, 1, N, N]]


@needs_gdal
def test_a_bow_tie_is_left_out_and_named_with_its_repair(tmp_path: Path) -> None:
    west, south, east, north = ROWS[2].bounds
    bow = Polygon([(west, south), (east, north), (east, south), (west, north)])
    labels = read(write(tmp_path / "bow tie.gpkg", [*ROWS[:2], bow]))
    assert rows_of(labels) == [[1, 2, N], [2, 2, N]]
    (note,) = labels.notes
    assert "of 3 features, 1 cannot be used. Invalid, mostly crossing themselves: feature number 3" in note
    mended = read(follow(note))
    assert mended.notes == ()
    assert mended.before[2, [0, 5]].tolist() == [2, 2]


@needs_gdal
def test_of_a_collection_the_polygons_are_read(tmp_path: Path) -> None:
    mixed = GeometryCollection([ROWS[1], LineString([(300_000, 3_600_000), (300_005, 3_599_995)])])
    labels = read(write(tmp_path / "mixed.gpkg", [ROWS[0], mixed, ROWS[2]]))
    assert rows_of(labels) == GOOD
    assert "of 3 features, 1 only in part. Collections, of which only the polygons count: feature number 2" in labels.notes[0]
    apart = follow(labels.notes[0])
    assert pyogrio.read_info(apart)["features"] == 4
    with pytest.raises(InputError, match=r"only in part. Collections.* feature number 2"):
        read_polygons(tmp_path / "mixed.gpkg", "EPSG:32651")


def test_features_without_a_polygon_are_left_out_and_named(tmp_path: Path) -> None:
    shapes = [*ROWS, None, Point(300_005, 3_599_995), *ROWS]
    names = [*BEFORE, "Forest", "Forest", *BEFORE]
    labels = read(write(tmp_path / "some.gpkg", shapes, before=names))
    assert labels.before[:, 0].tolist() == [1, 2, 2]
    assert "of 8 features, 2 cannot be used. Empty: feature number 4;" in labels.notes[0]
    assert "Point, without area: feature number 5;" in labels.notes[0]


def test_a_layer_that_is_mostly_unusable_is_refused(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "points.gpkg", [ROWS[0], *(s.centroid for s in ROWS[1:])]))
    assert "of 3 features, 2 cannot be used. Point, without area: feature numbers 2, 3" in text


@needs_gdal
def test_a_file_without_crs_is_read_where_the_config_states_it(tmp_path: Path) -> None:
    path = write(tmp_path / "no crs.shp")
    (tmp_path / "no crs.prj").unlink()
    text = refusal(path, stated=stated())
    assert "x 300000 to 300060, y 3599970 to 3600000" in text
    assert "set `labels: polygons: crs: EPSG:32651`, the CRS of the scenes" in text
    assert rows_of(read(path, stated=stated(crs="EPSG:32651"))) == GOOD
    assert rows_of(read(follow(text))) == GOOD
    assert "not known" in refusal(path, stated=stated(crs="EPSG:99999"))
    degrees = write(tmp_path / "degrees.shp", [box(120, 32, 121, 33)] * 3)
    (tmp_path / "degrees.prj").unlink()
    assert "degrees by their size" in refusal(degrees, stated=stated())


@needs_gdal
def test_a_crs_beside_that_of_the_file_must_be_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "own.gpkg")
    assert rows_of(read(path, stated=stated(crs="EPSG:32651"))) == GOOD
    text = refusal(path, stated=stated(crs="EPSG:32650"))
    assert "declares the CRS WGS 84 / UTM zone 51N, and the config states WGS 84 / UTM zone 50N" in text
    assert pyogrio.read_info(follow(text))["crs"] == "EPSG:32650"


def write_bare(path: Path, encoding: str, before: list[object], **columns: list[object]) -> Path:
    """Write a Shapefile whose text is in an encoding that nothing names."""
    frame = gpd.GeoDataFrame({"before": before, **columns}, geometry=ROWS, crs="EPSG:32651")
    frame.to_file(path, encoding=encoding)
    path.with_suffix(".cpg").unlink(missing_ok=True)
    table = bytearray(path.with_suffix(".dbf").read_bytes())
    table[29] = 0x57
    path.with_suffix(".dbf").write_bytes(bytes(table))
    return path


def test_text_of_an_unknown_encoding_is_never_guessed(tmp_path: Path) -> None:
    path = write_bare(tmp_path / "gbk.shp", "gbk", ["林地", "耕地", "耕地"])
    text = refusal(path, legend=CHINESE, stated=stated())
    assert "gbk: 林地, 耕地" in text
    assert "set `labels: polygons: encoding: gbk`" in text
    assert read(path, CHINESE, stated=stated(encoding="gbk")).before[:, 0].tolist() == [1, 2, 2]
    (tmp_path / "gbk.cpg").write_text("gbk")
    assert read(path, CHINESE).before[:, 0].tolist() == [1, 2, 2]
    assert "holds text that is not utf-8 (`labels: polygons: encoding: utf-8`)" in refusal(
        path, stated=stated(encoding="utf-8")
    )
    (tmp_path / "gbk.cpg").write_text("UTF-8")
    assert "is not utf-8, which it declares. Encodings that fit: gbk: 林地" in refusal(path, stated=stated())


def test_an_encoding_is_for_shapefiles_only(tmp_path: Path) -> None:
    assert "text in" in refusal(write(tmp_path / "a.gpkg"), stated=stated(encoding="gbk"))
    path = write_bare(tmp_path / "gbk.shp", "gbk", ["林地", "耕地", "耕地"])
    (tmp_path / "gbk.cpg").write_text("UTF-8")
    # What a person states goes before what a file declares wrongly.
    assert read(path, CHINESE, stated=stated(encoding="gbk")).before[:, 0].tolist() == [1, 2, 2]


def test_utf8_is_recognised_and_other_columns_do_not_matter(tmp_path: Path) -> None:
    path = write_bare(tmp_path / "utf8.shp", "utf-8", ["林地", "耕地", "耕地"])
    assert read(path, CHINESE).before[:, 0].tolist() == [1, 2, 2]
    path = write_bare(tmp_path / "note.shp", "cp1252", ["Forest", "Field", "Field"], note=["Wäldchen", "Äcker", "Straße"])
    assert read(path).before[:, 0].tolist() == [1, 2, 2]
    with pytest.raises(InputError, match=r"cp1252: Wäldchen, Äcker, Straße.*text file note\.cpg"):
        read_polygons(path, "EPSG:32651")


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-8", ["林地"]), ("gbk", ["林地", "耕地", "建设用地", "水域"]), ("big5", ["林地", "農地", "建設用地"]),
        ("cp932", ["森林", "畑地", "市街地"]), ("cp1251", ["Лес", "Пашня", "застройка"]), ("cp866", ["Лес", "Пашня"]),
        ("cp1250", ["Łąka", "Zabudowa miejscá"]), ("cp1252", ["Forêt", "Bâti", "Straße"]),
    ],
)  # fmt: skip
def test_the_likeliest_encoding_is_named_first(encoding: str, words: list[str]) -> None:
    found = fitting_encodings([w.encode(encoding) for w in words])
    assert found[0].name == encoding
    assert found[0].texts == tuple(words[:3])


def test_columns_that_a_shapefile_cut_are_found(tmp_path: Path) -> None:
    path = tmp_path / "cut.shp"
    with pytest.warns((UserWarning, RuntimeWarning)):
        write(path, land_use_before=BEFORE, land_use_after=AFTER)
    text = refusal(path, before_column="land_use_before", after_column="land_use_after")
    assert "no column 'land_use_before': Shapefiles cut names to 10 characters: set `before_column: land_use_b`" in text
    assert "land_use_b (Field: 2, Forest: 1); land_use_a (Field: 2, Forest: 1)" in text
    assert "`before_column: land_use_b`, `after_column: land_use_a`" in text
    assert rows_of(read(path, before_column="land_use_b", after_column="land_use_a")) == GOOD
    # A column that a person wrote is never left out because the other one is there.
    assert "'land_use_after'" in refusal(path, before_column="land_use_b", after_column="land_use_after")


def test_columns_in_capitals_are_not_overlooked(tmp_path: Path) -> None:
    path = write(tmp_path / "capitals.gpkg", before=BEFORE, After=AFTER)
    assert "no column 'after'. Did you mean 'After'?" in refusal(path)


def test_names_in_several_ways_are_one_class_and_named(tmp_path: Path) -> None:
    labels = read(write(tmp_path / "ways.gpkg", before=["Forest", "forest ", "Field"], place=["North", "north", "South"]))
    assert labels.before[:, 0].tolist() == [1, 1, 2]
    assert (
        "column 'before': 'Forest' and 'forest ' differ only in capitals or spaces, and count as one class." in labels.notes[0]
    )
    named = read(tmp_path / "ways.gpkg", region_column="place")
    assert "'North' and 'north' differ only in capitals or spaces, and count as regions of their own." in named.notes[1]
    assert named.region_names == ("North", "South", "north")


def test_an_encoding_in_a_config_is_known() -> None:
    assert PolygonLabels(path=Path("a.shp"), encoding="CP936").encoding == "gbk"
    with pytest.raises(ValidationError, match="not known"):
        PolygonLabels(path=Path("a.shp"), encoding="klingon")
