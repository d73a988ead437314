"""The project of a run opens in real QGIS, wherever the folder was moved to, and shows what the run says."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from landshift.pipeline.drawing.qml import continuous_qml, dates_qml, raster_qml, vector_qml
from landshift.pipeline.drawing.symbols import land_use_entries, occurring
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.write import write_cog, write_raster
from landshift.pipeline.records import write_record
from landshift.pipeline.run.patch_pictures import write_patch_pictures
from landshift.pipeline.run.qgis_layout import hectares_text, layout, scale_bar
from landshift.pipeline.run.qgis_project import write_project
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.vector.read import read_layer
from tests.conftest import small_grid
from tests.small_run import mapped_change, run_record, small_estimates, write_run

QGIS_PYTHON = Path("/usr/bin/python3")
LEGEND = Legend(
    (
        LandUse(1, 'Forest "old" & <wild>', "#1b7837"),
        LandUse(2, "عمران 🏙", "#c0392b"),
        LandUse(3, "[% env('HOME') %]'", "#4a86b8"),
    )
)
CODES = (2, 5)


def has_qgis() -> bool:
    if not QGIS_PYTHON.is_file():
        return False
    return subprocess.run([str(QGIS_PYTHON), "-c", "import qgis.core"], capture_output=True).returncode == 0


needs_qgis = pytest.mark.skipif(not has_qgis(), reason="needs QGIS with Python: apt-get install qgis python3-qgis")


def read_in_qgis(project: Path, pictures: Path, edit: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What QGIS sees in a project; its profile is empty, so that nothing of this machine helps."""
    command = [str(QGIS_PYTHON), str(Path(__file__).with_name("read_in_qgis.py")), str(project), str(pictures)]
    environment = {**os.environ, "HOME": str(pictures.parent), "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    for name in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA"):
        environment.pop(name, None)
    more = [] if edit is None else [json.dumps(edit)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def described(legend: Legend = LEGEND, codes: tuple[int, ...] = CODES) -> RunRecord:
    run = run_record(legend, 'O\'Neil & "<b>sons</b>" [% 1+1 %] 🏙')
    rows = tuple(mapped_change(c, 1.0) for c in legend.changes if c.code in codes)
    areas = replace(run.areas, changed_ha=12.3, not_observed_ha=4.5, changes=rows)
    # QGIS wants ids as long as its own.
    return replace(run, key="0123456789abcdef", areas=areas)


def square(x: int, y: int, side: int) -> shapely.Polygon:
    return shapely.box(300_000 + 10 * x, 3_600_000 - 10 * (y + side), 300_000 + 10 * (x + side), 3_600_000 - 10 * y)


def make_run(folder: Path, crs: str = "EPSG:32651") -> Path:
    """A run of 40 x 48 pixels, with every layer that a run can have."""
    folder.mkdir(parents=True)
    grid = small_grid(crs=crs)
    change = np.ones(grid.shape, np.uint8)
    change[:10, :10], change[20:30, 20:30], change[35:, :] = 2, 5, 0
    plain = folder / "plain.tif"

    def raster(name: str, data: np.ndarray, qml: str | None, **more: Any) -> None:
        write_raster(plain, data, grid, **more)
        write_cog(folder / f"layers/{name}.tif", plain, categorical=qml is not None)
        if qml:
            (folder / f"layers/{name}.qml").write_text(qml, encoding="utf-8")

    raster("change", change, raster_qml(occurring(LEGEND.changes, [0, *CODES])), nodata=0)
    for name in ("landuse_before", "landuse_after"):
        raster(name, change % 4, raster_qml(land_use_entries(LEGEND)), nodata=0)
    raster("change_probability", change, continuous_qml(), nodata=255, scale=0.005, offset=0.0)
    raster("last_observed", np.full(grid.shape, 20220620, np.int32), dates_qml([20220620, 20200615]), nodata=0)
    for name, grey in (("image_before", 60), ("image_after", 200)):
        image = np.full((3, *grid.shape), grey, np.uint8)
        image[:, 12:16, :8] = 0 if name == "image_after" else grey
        raster(name, image, None, nodata=0)
    plain.unlink()

    def layer(table: str, geometry: list[Any], **columns: Any) -> None:
        frame = gpd.GeoDataFrame(columns, geometry=geometry, crs=grid.crs.to_wkt())
        frame.to_file(folder / "changes.gpkg", layer=table, driver="GPKG", engine="pyogrio")

    layer("changes", [square(0, 0, 10), square(20, 20, 10)], change_code=[2, 5], to_name=["x", "y"])
    layer("not_observed", [square(0, 35, 5)], change_code=[0])
    layer("areas_of_interest", [square(5, 5, 20)], name=['<i>"Park"</i> [% 1+1 %] عمران'])
    layer("labels", [square(0, 0, 3)], use=[1])
    layer("samples", [shapely.Point(300_055, 3_599_945), shapely.Point(300_255, 3_599_745)], agrees=[1, 0])
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("runs") / "made here")
    write_project(folder, described())
    return folder


def content(project: Path) -> str:
    with zipfile.ZipFile(project) as archive:
        (name,) = archive.namelist()
        assert name == f"{project.stem}.qgs"
        return archive.read(name).decode("utf-8")


def test_no_path_of_this_machine_is_in_it(run_folder: Path) -> None:
    found = content(run_folder / "map.qgz")
    assert str(run_folder.parent) not in found
    assert "./changes.gpkg|layername=changes" in found
    assert '<Absolute type="bool">false</Absolute>' in found


def test_equal_runs_give_equal_bytes(run_folder: Path, tmp_path: Path) -> None:
    first = (run_folder / "map.qgz").read_bytes()
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    os.utime(copy / "layers/change.tif", (0, 0))
    assert write_project(copy, described()).read_bytes() == first
    assert not [p.name for p in copy.iterdir() if p.name.startswith(".partial")]


def test_only_what_is_there_becomes_a_layer(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    for name in ("layers/image_before.tif", "layers/last_observed.tif", "changes.gpkg"):
        (copy / name).unlink()
    found = content(write_project(copy, described()))
    assert "image_before" not in found
    assert "gpkg" not in found
    assert "./layers/image_after.tif" in found


def test_a_default_style_of_the_file_wins(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    with closing(sqlite3.connect(copy / "changes.gpkg")) as database, database:
        database.execute("CREATE TABLE layer_styles (id INTEGER PRIMARY KEY, f_table_name, styleQML, useAsDefault BOOLEAN)")
        database.execute("INSERT INTO layer_styles VALUES (1, 'changes', ?, 1)", [vector_qml(LEGEND.changes[2:3])])
    found = content(write_project(copy, described()))
    assert 'label="Forest &quot;old&quot; &amp; &lt;wild&gt; to عمران 🏙"' in found.partition('value="5"')[0]


def test_a_damaged_layer_or_style_is_refused_with_its_name(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    (copy / "layers/change.qml").write_text("<qgis>", encoding="utf-8")
    with pytest.raises(InputError, match=r"style of \./layers/change\.tif is damaged"):
        write_project(copy, described())
    (copy / "changes.gpkg").write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match=r"changes\.gpkg is not a readable GeoPackage"):
        write_project(copy, described())


def test_hectares_are_never_shown_without_saying_what_they_are() -> None:
    assert "12.3 ha (pixel count, biased)" in hectares_text(described(), None)
    estimates = small_estimates()
    text = hectares_text(described(), estimates)
    assert "Estimated from 25 judged samples: 16.9 ha (95 % interval 0.0 to 34.0 ha)" in text
    assert "12.3 ha (pixel count, biased)" in text
    rough = replace(estimates, changed=replace(estimates.changed, area_ha=Interval(10.0, None, None, None)))
    assert "interval" not in hectares_text(described(), rough)


@pytest.mark.parametrize(
    ("width", "segment", "label"), [(480.0, 20, "m"), (5120.0, 500, "m"), (20_000.0, 2, "km"), (110_000.0, 10, "km")]
)
def test_the_scale_bar_is_round(width: float, segment: int, label: str) -> None:
    found = scale_bar(width)
    assert (found.segment, found.label) == (segment, label)


def test_estimates_of_another_run_are_not_printed(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    write_record(copy / "record/estimates.json", small_estimates())
    assert "95 %" not in content(write_project(copy, described()))
    write_record(copy / "record/estimates.json", replace(small_estimates(), run=described().key))
    assert "95 % interval 0.0 to 34.0 ha" in content(write_project(copy, described()))


@pytest.fixture(scope="module")
def moved(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What QGIS sees after the folder was moved to a place with an awkward name."""
    place = tmp_path_factory.mktemp("elsewhere") / "Straße & 'co' 🏙" / "run"
    place.parent.mkdir()
    shutil.copytree(run_folder, place)
    pictures = tmp_path_factory.mktemp("pictures") / "run"
    return read_in_qgis(place / "map.qgz", pictures), pictures


@needs_qgis
def test_qgis_opens_every_layer_after_a_move(moved: tuple[dict[str, Any], Path]) -> None:
    said = moved[0]
    assert said["read"]
    assert (said["error"], said["complaints"]) == ("", [])
    assert [layer["name"] for layer in said["layers"]] == [
        "Judged samples", "Areas of interest", "Changes 2020-06-15 to 2022-06-20", "Labels of the model", "Not observed",
        "Change map", "Probability of change", "Last observed on", "Land use 2022-06-20", "Land use 2020-06-15",
        "Image after, 2022-06-20", "Image before, 2020-06-15",
    ]  # fmt: skip
    assert said["tree"][5] == "Maps"
    assert all(layer["valid"] and "elsewhere" in layer["source"] for layer in said["layers"])
    assert [layer["visible"] for layer in said["layers"]] == [False, True, True, False, True] + [False] * 5 + [True] * 2
    assert {layer["crs"] for layer in said["layers"]} | {said["crs"]} == {"EPSG:32651"}
    assert said["view"] == [300_000, 3_599_600, 300_480, 3_600_000]
    assert "pixel counts, which are biased" in said["abstract"]


@needs_qgis
def test_qgis_lists_the_categories_and_colours_of_the_legend(moved: tuple[dict[str, Any], Path]) -> None:
    layers = {layer["name"]: layer for layer in moved[0]["layers"]}
    changes = [[str(c.code), c.name, c.colour] for c in LEGEND.changes]
    assert layers["Changes 2020-06-15 to 2022-06-20"]["categories"] == [changes[2], changes[5]]
    assert layers["Change map"]["categories"] == [changes[0], changes[1], changes[2], changes[5]]
    assert [row[1] for row in layers["Not observed"]["categories"]] == ["Not observed"]
    assert [row[:2] for row in layers["Judged samples"]["categories"]] == [
        ["1", "Sample agrees with the map"], ["0", "Sample differs from the map"],
    ]  # fmt: skip
    assert [row[:2] for row in layers["Last observed on"]["categories"]] == [
        ["20200615", "2020-06-15"], ["20220620", "2022-06-20"],
    ]  # fmt: skip
    assert layers["Areas of interest"]["labels"]
    assert layers["Image after, 2022-06-20"]["renderer"] == "multibandcolor"


@needs_qgis
def test_qgis_prints_the_layout(moved: tuple[dict[str, Any], Path]) -> None:
    said, pictures = moved
    (page,) = said["layouts"]
    assert (page["name"], page["done"]) == ("Map", [0, 0])
    assert Path(f"{pictures}.pdf").read_bytes().startswith(b"%PDF")
    # What looks like an expression of QGIS is printed, not computed: the home folder stays at home.
    assert page["texts"]["title"].replace("\u2060", "") == f"{described().name}: change of land use"
    assert "12.3 ha (pixel count, biased)" in page["texts"]["hectares"]
    assert described().key in page["texts"]["source"]
    names = [f"{c.name} 1.0 ha mapped" for c in (LEGEND.changes[2], LEGEND.changes[5])]
    listed = [row[1].replace("\u2060", "").replace("⏎", " ") for row in page["legend"]]
    assert listed[:2] == names
    assert [row[0] for row in page["legend"]][2:] == ["Not observed", "Areas of interest"]


@needs_qgis
def test_qgis_offers_themes_with_styles_of_their_own(moved: tuple[dict[str, Any], Path]) -> None:
    themes = moved[0]["themes"]
    assert set(themes) == {
        "Changes",
        "By land use after",
        "Image before",
        "Image after",
        "Trust: probability of change",
        "Trust: labels of the model",
    }
    changes, after = "Changes 2020-06-15 to 2022-06-20", "Image after, 2022-06-20"
    assert themes["Changes"] == {
        "Areas of interest": "default", changes: "By change", "Not observed": "default", after: "default",
    }  # fmt: skip
    assert themes["By land use after"][changes] == "By land use after"
    assert themes["Image before"] == {
        "Areas of interest": "default",
        changes: "Outlines",
        "Image before, 2020-06-15": "default",
    }
    by_after = {row[0]: row[2] for row in moved[0]["styles"]["By land use after"]}
    assert by_after == {str(LEGEND.classes[k].code): LEGEND.classes[k].colour for k in (1, 2)}


@needs_qgis
def test_layers_describe_themselves_and_the_page_shows_where_it_is(moved: tuple[dict[str, Any], Path]) -> None:
    said, pictures = moved
    assert all(layer["abstract"] for layer in said["layers"])
    (page,) = said["layouts"]
    assert "EPSG:32651" in page["texts"]["crs"]
    sheet = np.asarray(Image.open(f"{pictures}_layout.png").convert("RGB")).astype(int)
    millimetre = sheet.shape[1] / 297
    # The run lies at 123 degrees east, 32 degrees north: a red mark on the map of the world, which is 40 mm wide.
    x, y = (215 + 40 * (121 + 180) / 360) * millimetre, (138 + 20 * (90 - 32.5) / 180) * millimetre
    mark = sheet[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5].reshape(-1, 3)
    assert ((mark[:, 0] > 150) & (mark[:, 1] < 90)).any()


@needs_qgis
def test_the_table_shows_what_a_planner_needs_and_the_tip_a_picture(tmp_path: Path) -> None:
    folder = tmp_path / "a # b" / "run"
    run = replace(write_run(folder), key="0123456789abcdef")
    frame = read_layer(folder / "changes.gpkg", "changes")
    pictures = write_patch_pictures(folder, frame, small_grid(60, 80))
    assert {path.stem for path in pictures} == set(frame["change_id"])
    assert np.asarray(Image.open(pictures[0])).shape == (240, 486, 3)
    pictures[-1].unlink()
    said = read_in_qgis(write_project(folder, run), tmp_path / "table")
    assert said["table"]["shown"] == [
        "change_id", "from_name", "to_name", "area_ha", "change_probability", "kind_right", "before_date", "after_date",
        "areas_of_interest",
    ]  # fmt: skip
    assert (said["table"]["by"], said["table"]["descending"]) == ('"area_ha"', 1)
    (address,) = re.findall('<img src="file:///([^"]*)"', said["tip"])
    assert Path("/" + unquote(address)) in pictures


@needs_qgis
def test_the_map_is_drawn(moved: tuple[dict[str, Any], Path]) -> None:
    picture = np.asarray(Image.open(f"{moved[1]}_map.png").convert("RGB")).astype(int)
    # In the middle of the first change lies its colour over the bright image after, not over the dark one before.
    red, green, blue = (int(LEGEND.changes[2].colour[k : k + 2], 16) for k in (1, 3, 5))
    expected = np.array([(200 * c + 55 * 200) / 255 for c in (red, green, blue)])
    # 480 x 400 m are shown on 400 x 400 pixels, so 33 rows above the map are empty.
    assert picture[33 + 20, 20] == pytest.approx(expected, abs=3)
    # Where the date after was not observed, the date before does not shine through.
    assert picture[33 + 116, 20].tolist() == [0xCC] * 3
    assert picture[33 + 116, 350].tolist() == [200] * 3


@needs_qgis
def test_a_grid_that_no_authority_knows_keeps_its_crs(tmp_path: Path) -> None:
    own = "+proj=laea +lat_0=51 +lon_0=9.5 +x_0=300500 +y_0=3600000 +datum=WGS84 +units=m"
    folder = make_run(tmp_path / "run", crs=own)
    said = read_in_qgis(write_project(folder, described()), tmp_path / "own")
    assert said["read"]
    assert all(layer["valid"] for layer in said["layers"])
    assert "Lambert_Azimuthal_Equal_Area" in said["wkt"]


@needs_qgis
def test_a_run_without_any_change_opens(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    with closing(sqlite3.connect(folder / "changes.gpkg")) as database, database:
        database.create_function("ST_IsEmpty", 1, lambda _: 1)
        for axis in ("MinX", "MaxX", "MinY", "MaxY"):
            database.create_function(f"ST_{axis}", 1, lambda _: 0.0)
        for table in ("changes", "not_observed", "samples", "labels"):
            database.execute(f"DELETE FROM {table}")
    said = read_in_qgis(write_project(folder, described(codes=())), tmp_path / "nothing")
    assert (said["read"], said["complaints"]) == (True, [])
    names = [layer["name"] for layer in said["layers"] if layer["valid"]]
    assert names[:3] == ["Areas of interest", "Changes 2020-06-15 to 2022-06-20", "Change map"]
    assert said["layers"][1]["categories"] == []
    assert said["layouts"][0]["done"] == [0, 0]


@needs_qgis
def test_a_legend_of_many_changes_stays_on_the_page(tmp_path: Path) -> None:
    legend = Legend(tuple(LandUse(k, f"Class of land use number {k}", f"#{k * 10:02x}8040") for k in range(1, 17)))
    codes = tuple(c.code for c in legend.changes[2:])
    folder = make_run(tmp_path / "run")
    frame = gpd.GeoDataFrame(
        {"change_code": codes}, geometry=[square(k % 40, k // 40, 1) for k in range(len(codes))], crs="EPSG:32651"
    )
    frame.to_file(folder / "changes.gpkg", layer="changes", driver="GPKG", engine="pyogrio")
    said = read_in_qgis(write_project(folder, described(legend, codes)), tmp_path / "many")
    (page,) = said["layouts"]
    right, bottom = page["corners"]["legend"]
    assert right <= 290
    assert bottom <= 160
    names = [row[1] for row in page["legend"] if row[0].startswith("Changes")]
    assert 20 < len(names) < 240
    assert f"the {len(names)} largest of 240 changes" in page["texts"]["hectares"]


def test_the_legend_is_smaller_where_it_is_longer() -> None:
    from landshift.pipeline.drawing.qgis_file import Layer

    def size(entries: int) -> int:
        legend = Legend(tuple(LandUse(k, f"C{k}", "#102030") for k in range(1, 17)))
        layer = Layer("changes", "Changes", "./x", vector_qml(legend.changes[2 : 2 + entries]), "Polygon")
        made = layout(described(legend), {"changes": layer}, (0, 0, 1000, 1000), None, crs="EPSG:32651")
        return made.legend.setting.size

    assert [size(n) for n in (1, 20, 50)] == sorted((size(n) for n in (1, 20, 50)), reverse=True)
