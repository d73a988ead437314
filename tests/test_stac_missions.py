"""A collection of several missions: each band is read by what it sees, or the item is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.crs import CRS

from landshift.flows.config.project import Project
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.declared import require_declared_place
from landshift.pipeline.scenes.look import read_scene
from landshift.pipeline.scenes.sensors import sensor_named
from landshift.pipeline.scenes.stac.assets import assets_of
from landshift.pipeline.scenes.stac.items import platform_of, read_declared, require_level
from landshift.pipeline.scenes.stac.search import Item
from landshift.pipeline.tiles import Window
from tests.made_catalogs import CLOUDED, EPSG, GRID, OPEN_DATUM, SEEN, Json, feature_collection, hls, landsat

PROVIDERS = ("planetary-computer", "earth-search", "usgs")
LANDSAT_BANDS = ["blue", "green", "red", "nir", "swir16", "swir22"]


def project(data: Path, sensor: str, items: list[Json], bands: list[str], **stac: Any) -> Workspace:
    (data / "items.json").write_text(json.dumps(feature_collection(items)))
    west, south, east, north = (float(v) for v in GRID.extent.boundingbox.bbox)
    config = {
        "name": "place", "sensor": {"name": sensor}, "bands": bands, "scenes": {"stac": {"catalog": "items.json"} | stac},
        "grid": {"crs": EPSG, "pixel_size": 30, "bounds": [west, south, east, north]},
        "epochs": {
            "before": {"start": "2010-06-01", "end": "2010-08-30"}, "after": {"start": "2022-06-01", "end": "2022-08-30"},
        },
    }  # fmt: skip
    return workspace(Project.model_validate(config), data, data.parent / "out")


def values(ws: Workspace) -> dict[str, dict[str, float]]:
    """Return by item and band the median reflectance; the clouded pixel must not be observed, all others must."""
    made, found = plan(ws), {}
    for scene in [s for epoch in made.epochs for s in epoch.scenes]:
        pixels = read_scene(scene, made.bands, scene.grid, Window(0, 0, *scene.grid.shape))
        assert np.argwhere(np.isnan(pixels[0])).tolist() == [list(CLOUDED)]
        found[scene.id] = dict(zip(made.bands, np.nanmedian(pixels, axis=(1, 2)).tolist(), strict=True))
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_landsat_of_two_generations(tmp_path: Path, provider: str) -> None:
    """SR_B4 is the near infrared of Landsat 5 and the red of Landsat 8."""
    days = {"landsat-5": "2010-06-15", "landsat-7": "2010-07-20", "landsat-8": "2022-06-20", "landsat-9": "2022-07-20"}
    items = [landsat(tmp_path, provider, satellite, day) for satellite, day in days.items()]
    found = values(project(tmp_path, "landsat-c2-l2", items, LANDSAT_BANDS))
    assert len(found) == 4
    for bands in found.values():
        assert bands == pytest.approx({b: SEEN["nir08" if b == "nir" else b] for b in LANDSAT_BANDS}, abs=3e-5)
    scenes = {s["id"]: s for s in list_scenes(project(tmp_path, "landsat-c2-l2", items, LANDSAT_BANDS))[0]["scenes"]}
    assert [scenes[i["id"]]["sensor"] for i in items] == ["landsat-c2-l2-tm"] * 2 + ["landsat-c2-l2-oli"] * 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_right_band_without_help_of_keys(tmp_path: Path, provider: str) -> None:
    """Keys that say nothing: the bands' names, else their common names, else the files' names decide."""
    for satellite, row in (("landsat-5", "landsat-c2-l2-tm"), ("landsat-8", "landsat-c2-l2-oli")):
        made = landsat(tmp_path, provider, satellite, "2010-06-15")
        numbered = {f"a{n}": asset for n, asset in enumerate(made["assets"].values())}
        for drop in ((), ("common_name",), ("common_name", "name")):
            for asset in numbered.values():
                asset["eo:bands"] = [{k: v for k, v in b.items() if k not in drop} for b in asset.get("eo:bands", [])]
            places = assets_of(Item(made | {"assets": numbered}), sensor_named(row), {})
            hrefs = {name: numbered[key]["href"] for name, (key, _) in places.items()}
            assert hrefs["nir"].endswith("SR_B4.TIF" if satellite == "landsat-5" else "SR_B5.TIF")
            assert hrefs["swir16"].endswith("SR_B5.TIF" if satellite == "landsat-5" else "SR_B6.TIF")
            assert hrefs["quality"].endswith("QA_PIXEL.TIF")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_item_of_another_satellite_is_a_fault(tmp_path: Path, provider: str) -> None:
    items = [landsat(tmp_path, provider, "landsat-5", "2010-06-15"), landsat(tmp_path, provider, "landsat-8", "2022-06-20")]
    ws = project(tmp_path, "landsat-c2-l2-oli", items, LANDSAT_BANDS)
    with pytest.raises(
        InputError, match=r"(?i)taken by landsat.5, which .*landsat-c2-l2-oli.*Set `sensor: name: landsat-c2-l2`"
    ):
        plan(ws)
    rows = {s["id"]: s for s in list_scenes(ws)[0]["scenes"]}
    assert rows[items[0]["id"]]["fault"]
    assert rows[items[1]["id"]]["epochs"]["after"]["used"]


def told(**content: Any) -> str:
    properties = {k: v for k, v in content.items() if k in ("platform", "instruments")}
    return platform_of(Item({k: v for k, v in content.items() if k in ("id", "collection")} | {"properties": properties}))


def test_what_tells_the_satellite() -> None:
    oli = sensor_named("landsat-c2-l2")

    def row(**content: Any) -> str:
        return oli.of_platform(told(**content), "Item a").name.rpartition("-")[2]

    assert row(platform="LANDSAT_5", id="LC08_x") == "tm", "the property decides"
    assert row(platform="LANDSAT", id="LC08_L2SP_1") == row(id="LC08_L2SP_118038_20220620_20220628_02_T1_SR") == "oli"
    assert row(id="LE07_L2SP_118038") == row(id="x", collection="landsat-5-c2-l2") == row(id="x", instruments=["ETM"]) == "tm"
    assert row(id="x", collection="landsat-c2-l2", instruments=["oli", "tirs"]) == "oli"
    with pytest.raises(InputError, match="which satellite took it"):
        row(id="x", collection="landsat-c2-l2", instruments="oli")
    assert told(id="HLS.L30.T18GXA.2019039T143525.v2.0") == told(id="x", collection="HLSL30_2.0") == "L30"
    assert told(id="x", collection="hls2-s30") == "s30"
    assert told(platform="sentinel-2c", id="S2C_MSIL2A_20260713T114351_N0512_R123_T29UNT_20260713T163414") == "sentinel-2c"
    assert told(platform="PlanetScope", id="20200615_023551_1012") == "PlanetScope"


@pytest.mark.parametrize(
    ("platform", "right"),
    [("landsat-5", "landsat-c2-l2"), ("LC09", "landsat-c2-l2"), ("S30", "hls"), ("S2B", "sentinel-2-l2a"), ("Terra", "")],
)  # fmt: skip
def test_the_right_sensor_is_named(platform: str, right: str) -> None:
    wrong = sensor_named("landsat-c2-l2-oli" if platform == "landsat-5" else "landsat-c2-l2-tm")
    with pytest.raises(InputError, match=f"Set `sensor: name: {right}`" if right else "Correct `sensor: name:`,"):
        wrong.of_platform(platform, "Item a")


@pytest.mark.parametrize("drop", [(), ("platform",), ("platform", "instruments")])
def test_both_halves_of_hls(tmp_path: Path, drop: tuple[str, ...]) -> None:
    """B05 is a red edge of one half, and the near infrared of the other; Fmask masks both."""
    items = [hls(tmp_path, "S30", "2010166"), hls(tmp_path, "L30", "2010170"), hls(tmp_path, "L30", "2022171")]
    for made in items:
        for key in drop:
            del made["properties"][key]
    bands = ["coastal", "blue", "green", "red", "nir08", "swir16", "swir22"]
    ws = project(tmp_path, "hls", items, bands)
    found = values(ws)
    assert len(found) == 3
    assert {scene.grid for epoch in plan(ws).epochs for scene in epoch.scenes} == {GRID}, "nothing is resampled"
    for seen in found.values():
        assert seen == pytest.approx({b: SEEN[b] for b in bands}, abs=1e-4)


def test_two_bands_of_sentinel_are_not_confused() -> None:
    """Its `nir` and `nir08` are two bands, so that neither stands in for the other."""
    sentinel = sensor_named("sentinel-2-l2a")
    one = Item({"id": "a", "properties": {}, "assets": {"nir08": {"href": "B8A.tif", "eo:bands": [{"common_name": "nir08"}]}}})
    assert assets_of(one, sentinel, {}) == {"nir08": ("nir08", 1)}
    assert assets_of(one, sensor_named("landsat-c2-l2-oli"), {}) == {"nir": ("nir08", 1)}
    other = Item({"id": "a", "properties": {}, "assets": {"x": {"href": "x.tif", "eo:bands": [{"common_name": "nir"}]}}})
    assert assets_of(other, sentinel, {}) == {"nir": ("x", 1)}


def test_wavelengths_decide_where_nothing_else_does(tmp_path: Path) -> None:
    """Nothing tells the satellite, and the bands' numbers are those of Landsat 5: SR_B5 is not the near infrared."""
    items = [landsat(tmp_path, "earth-search", "landsat-5", day) for day in ("2010-06-15", "2022-06-20")]
    for number, made in enumerate(items):
        made["id"] = f"item {number}"
        made["properties"].pop("platform")
        made["properties"].pop("instruments")
        made["assets"]["near"] = made["assets"].pop("nir08")
        made["assets"]["short"] = made["assets"].pop("swir16")
    ws = project(tmp_path, "landsat-c2-l2-oli", items, ["red", "nir", "swir16"])
    assert values(ws)["item 0"] == pytest.approx({"red": 0.1, "nir": 0.31, "swir16": 0.2}, abs=3e-5)
    near = [made["assets"].pop("near") for made in items]
    ws = project(tmp_path, "landsat-c2-l2-oli", items, ["red", "nir"])
    with pytest.raises(InputError, match=r"Item item 0: asset short was taken for nir \(865 nm\), but sees 1650 nm"):
        plan(ws)
    for made, asset in zip(items, near, strict=True):
        made["assets"]["n"] = asset | {"eo:bands": [{"center_wavelength": 1.0}]}
    ws = project(tmp_path, "landsat-c2-l2-oli", items, ["red", "nir"], assets={"nir": "n"})
    assert values(ws)["item 0"]["nir"] == pytest.approx(SEEN["nir08"], abs=3e-5), "what the config names is taken"


def test_two_bands_of_one_file_are_refused(tmp_path: Path) -> None:
    items = [landsat(tmp_path, "usgs", "landsat-8", day) for day in ("2010-06-15", "2022-06-20")]
    ws = project(tmp_path, "landsat-c2-l2", items, ["nir", "swir16"], assets={"nir": "swir16"})
    with pytest.raises(InputError, match=r"SR: nir and swir16 are both read from .*SR_B6.TIF, band 1.*stac: assets:"):
        plan(ws)
    ws = project(tmp_path, "landsat-c2-l2", items, ["red", "nir"], assets={"quality": "red"})
    with pytest.raises(InputError, match="red and the quality band are both read from"):
        plan(ws)


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        ({"raster:bands": [{"scale": 1e-4, "offset": -0.2}]}, "the scale of its numbers is 0.0001, by sensor .*-tm 2.75e-05"),
        ({"raster:scale": 2.75e-05, "raster:offset": 0}, "the offset of its numbers is 0, by sensor .*-tm -0.2"),
        ({"raster:bands": [{"scale": 2.75e-05, "offset": -0.2}]}, ""), ({"raster:bands": [{"scale": True}, 3]}, ""),
    ],
)  # fmt: skip
def test_what_the_catalog_states_of_the_numbers(tmp_path: Path, asset: Json, message: str) -> None:
    items = [
        landsat(tmp_path, "usgs", "landsat-5", "2010-06-15"), landsat(tmp_path, "usgs", "landsat-8", "2022-06-20"),
    ]  # fmt: skip
    items[0]["assets"]["nir08"] |= asset
    ws = project(tmp_path, "landsat-c2-l2", items, ["red", "nir"])
    if not message:
        assert len(values(ws)) == 2
        return
    with pytest.raises(InputError, match=f"^Item LT05.*, asset nir08: by the catalog {message}"):
        plan(ws)
    assert len(values(project(tmp_path, "landsat-c2-l2", items, ["red", "swir16"]))) == 2, "that asset is not used"


@pytest.mark.parametrize(
    ("content", "level"),
    [
        ({"id": "LC08_L1TP_118038_20220620_20220628_02_T1"}, 1), ({"id": "LT05_L2SP_118038_20100615_02_T1"}, 2),
        ({"properties": {"landsat:correction": "L1GT"}}, 1), ({"properties": {"landsat:correction": "L2SR"}}, 2),
        ({"id": "S2B_MSIL1C_20200615T023551_N0509_R089_T51SUR_20200615T060000"}, 1), ({"id": "S2A_51RUQ_20190612_0_L2A"}, 2),
        ({"properties": {"s2:product_type": "S2MSI2A"}}, 2), ({"properties": {"product:type": "S2MSI1C"}}, 1),
        ({"id": "HLS.L30.T51SUR.2022171T023018.v2.0"}, 0), ({"id": "L1C"}, 1), ({"id": "scene_L12_AB"}, 0),
    ],
)  # fmt: skip
def test_an_item_of_another_level_is_a_fault(content: Json, level: int) -> None:
    """USGS, Copernicus and Earth Search have both levels, with assets of the same keys."""
    made = Item({"id": "a", "properties": {}} | content)
    for name, own in (("landsat-c2-l2-oli", 2), ("sentinel-2-l2a", 2), ("sentinel-2-l1c", 1), ("landsat-c2-l1", 1), ("hls", 0)):
        if level and own and level != own:
            with pytest.raises(InputError, match=f"is of Level {level}, sensor {name} reads Level {own}. Correct"):
                require_level(made, sensor_named(name))
        else:
            require_level(made, sensor_named(name))


def test_level_1_of_landsat_needs_its_metadata(tmp_path: Path) -> None:
    """The table's factors are those before the height of the sun is taken into account."""
    items = [landsat(tmp_path, "usgs", s, d) for s, d in (("landsat-5", "2010-06-15"), ("landsat-8", "2022-06-20"))]
    for made in items:
        made["properties"]["landsat:correction"] = "L1TP"
    with pytest.raises(InputError, match=r"^Item LT05.* is of Level 1, sensor landsat-c2-l2-tm reads Level 2"):
        plan(project(tmp_path, "landsat-c2-l2", items, ["red", "nir"]))
    with pytest.raises(InputError, match=r"^Item LT05.*numbers of Level 1 .* MTL file .* Use Level 2, or download"):
        plan(project(tmp_path, "landsat-c2-l1", items, ["red", "nir"]))


def test_assets_that_only_some_satellites_have(tmp_path: Path) -> None:
    items = [
        landsat(tmp_path, "usgs", "landsat-5", "2010-06-15"), landsat(tmp_path, "usgs", "landsat-8", "2022-06-20"),
    ]  # fmt: skip
    ws = project(tmp_path, "landsat-c2-l2", items, ["red", "nir"], assets={"coastal": "coastal", "nir": "nir08"})
    assert len(values(ws)) == 2
    with pytest.raises(InputError, match="names infrared; sensor landsat-c2-l2-tm has blue"):
        plan(project(tmp_path, "landsat-c2-l2", items, ["red", "nir"], assets={"infrared": "nir08"}))


@pytest.mark.parametrize(
    ("epsg", "transform", "message"),
    [
        (32651, None, ""), (32751, None, ""), (32651, (30, 0, 300_000, 0, -30, -1_500_000), ""),
        (32751, (30, 0, 300_000, 0, -30, 8_500_000), ""),
        (32751, (30, 0, 300_000, 0, -30, 8_500_030), "upper left corner .300000.000, -1499970.000. and .300000.000, -1500000"),
        (32751, (30, 0, 300_000, 0, -30, -1_500_000), "upper left corner"), (32652, None, "CRS EPSG:32652 and UTM Zone 51"),
        (32752, None, "CRS EPSG:32752"), (4326, None, "CRS EPSG:4326"), (32251, None, "CRS EPSG:32251"),
    ],
)  # fmt: skip
def test_a_crs_is_compared_by_where_it_puts_the_file(
    tmp_path: Path, epsg: int, transform: tuple[float, ...] | None, message: str
) -> None:
    """Items of HLS name the zone of their hemisphere; files count from the equator, and leave the datum open."""
    grid = Grid((8, 9), Affine(30, 0, 300_000, 0, -30, -1_500_000), CRS(OPEN_DATUM))
    path = write_raster(tmp_path / "a.tif", np.ones((1, *grid.shape), dtype=np.int16), grid, nodata=-9999)
    content = {"proj:epsg": epsg, "proj:transform": transform and list(transform)}
    declared = read_declared(Item({"id": "a", "properties": content, "assets": {"B04": {"href": "a.tif"}}}), "B04")
    if not message:
        require_declared_place(inspect(path), declared)
        return
    with pytest.raises(InputError, match=f"a.tif do not agree: {message}"):
        require_declared_place(inspect(path), declared)
