"""Scenes come from a catalog on a server as they do from a folder, and a catalog that is wrong is found out."""

import json
import logging
import socket
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine

from landshift.flows.config.project import Project, load_project
from landshift.flows.steps.images.epochs import make_image, prepare_epoch
from landshift.flows.steps.inspection.check import check_project
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.open import keeping_open
from landshift.pipeline.raster.place import RemoteFile
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.image import read_scene
from landshift.pipeline.tiles import Window
from tests.stac_server import Site, add_item, serving

CRS = "EPSG:32651"
GRID = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (64, 64), CRS)
BOUNDS = [300_100, 3_599_600, 300_500, 3_599_900]
BEFORE, AFTER = "2020-06-15T02:35:51Z", "2022-06-20T02:35:51Z"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
    monkeypatch.setattr("landshift.pipeline.raster.servers.asking.RETRIES", 2)
    monkeypatch.setattr("landshift.pipeline.raster.servers.asking.BACKOFF_S", 0.01)


class Place:
    """Scenes of two bands in files, and the same in a catalog."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.data, self.output = folder / "data", folder / "out"
        self.data.mkdir()
        self.config: dict[str, Any] = {
            "name": "place", "sensor": {"name": "custom", "bands": ["red", "nir"], "scale": 1e-4, "nodata": 0},
            "bands": ["red", "nir"],
            "scenes": {"stac": {"url": site.url, "collection": "s2"}},
            "grid": {"crs": CRS, "pixel_size": 10, "bounds": BOUNDS},
            "epochs": {
                "before": {"start": "2020-06-01", "end": "2020-06-30"}, "after": {"start": "2022-06-01", "end": "2022-06-30"},
            },
        }  # fmt: skip

    def sentinel(self) -> None:
        self.config["sensor"] = {"name": "sentinel-2-l2a"}

    def file(self, name: str, *, seed: int = 0, low: int = 1, high: int = 9000, grid: Grid = GRID, **more: Any) -> bytes:
        numbers = np.random.default_rng(seed).integers(low, high, (1, *grid.shape)).astype(np.uint16)
        return write_raster(self.data / name, numbers, grid, nodata=0, **more).read_bytes()

    def item(self, name: str, when: str, seed: int = 0, low: int = 1, grid: Grid = GRID, **properties: Any) -> dict[str, Any]:
        """Make an item with its files, the names of which a folder understands too."""
        files = {}
        for number, band in enumerate(("red", "nir")):
            file = f"{name}_{when[:10]}_{band}.tif"
            files[band] = file, self.file(file, seed=seed * 2 + number, low=low, grid=grid)
        return add_item(self.site, name, when, grid, files, **properties)

    def two(self, **properties: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.item("a", BEFORE, seed=1, **properties), self.item("b", AFTER, seed=2, **properties)

    def workspace(self, *, allow_outside: bool = False, output: str = "") -> Workspace:
        return workspace(Project.model_validate(self.config), self.data, self.output / output, allow_outside=allow_outside)

    def prepare(self, output: str = "") -> list[bytes]:
        """Return the pixels of both images and both observation layers."""
        ws = self.workspace(output=output)
        ws.require_writable()
        made = plan(ws)
        images = [make_image(ws, made, name).image for name in ("before", "after")]
        layers = [*images, *(i.with_name(f"{i.stem}_observation.tif") for i in images)]
        return [np.stack([read_raster(p, b)[0] for b in (1, 2)]).tobytes() for p in layers]

    def refused(self, message: str) -> str:
        with pytest.raises(InputError, match=message) as error:
            self.prepare()
        return str(error.value)

    def listed(self) -> dict[str, dict[str, Any]]:
        return {s["id"]: s for s in list_scenes(self.workspace())[0]["scenes"]}

    def used(self, epoch: str) -> list[str]:
        return [s.id for e in plan(self.workspace()).epochs if e.name == epoch for s in e.scenes]


@pytest.fixture
def place(tmp_path: Path, site: Site) -> Place:
    return Place(tmp_path, site)


def static(place: Place, items: list[dict[str, Any]], *, relative: bool = True) -> None:
    """Write a static catalog into the data folder and let the config name it."""
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = ("../" if relative else f"{place.data}/") + asset["href"].rpartition("/")[2]
        (place.data / "items").mkdir(exist_ok=True)
        (place.data / "items" / f"{item['id']}.json").write_text(json.dumps(item))
    catalog = {
        "type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d",
        "links": [{"rel": "item", "href": f"./items/{i['id']}.json"} for i in items],
    }  # fmt: skip
    (place.data / "catalog.json").write_text(json.dumps(catalog))
    place.config["scenes"] = {"stac": {"catalog": "catalog.json"}}


def test_the_same_image_as_from_a_folder(place: Place) -> None:
    place.two()
    place.item("a2", "2020-06-17T02:35:51Z", seed=5)
    from_api = place.prepare("api")
    items = place.site.items
    static(place, items)
    assert place.prepare("static") == from_api
    static(place, items, relative=False)
    assert place.prepare("absolute") == from_api
    place.config["scenes"] = {"pattern": "*.tif"}
    place.config["sensor"] = {"name": "sentinel-2-l2a", "number_offset": 0}
    assert place.prepare("folder") == from_api
    assert len(set(from_api)) == 4


def test_check(place: Place) -> None:
    place.two()
    content, lines = check_project(place.workspace())
    assert content["scenes"] == {"before": ["2020-06-15 a"], "after": ["2022-06-20 b"]}
    assert (content["grid"]["rows"], content["grid"]["columns"], content["bands"]) == (30, 40, ["red", "nir"])
    assert "Before   2020-06-15 a" in lines


def test_the_order_of_the_items_and_their_pages_do_not_matter(place: Place) -> None:
    place.two()
    for number in range(3):
        place.item(f"m{number}", f"2020-06-{20 + number}T02:00:00Z", seed=9 + number)
    place.site.page = 2
    first, seen = place.prepare("first"), place.used("before")
    assert seen == ["a", "m0", "m1", "m2"]
    place.site.items.reverse()
    place.site.page = 3
    assert place.prepare("second") == first
    assert place.used("before") == seen


def test_items_that_are_not_wanted(place: Place) -> None:
    place.two()
    place.item("cloudy", "2020-06-16T02:00:00Z", seed=3, **{"eo:cloud_cover": 80.0})
    silent = place.item("silent", "2020-06-16T03:00:00Z", seed=3)
    del silent["properties"]["eo:cloud_cover"]
    place.item("named", "2020-06-16T04:00:00Z", seed=3)
    place.config["scenes"]["stac"] |= {"max_cloud_cover": 20, "leave_out": ["named"]}
    far = grid_of(Affine(10, 0, 300_500, 0, -10, 3_599_360), (64, 64), CRS)  # its corner touches the region's box in degrees
    place.item("corner", "2020-06-16T05:00:00Z", seed=3, grid=far)["bbox"] = [120.0, 30.0, 122.0, 34.0]
    assert place.used("before") == ["a"]
    rows = place.listed()
    assert rows["cloudy"]["epochs"]["before"]["reason"] == "too cloudy: 80 %, at most 20 % are wanted"
    assert rows["silent"]["epochs"]["before"]["reason"].startswith("has no cloud cover")
    assert rows["named"]["epochs"]["before"]["reason"] == "named in `scenes: stac: leave_out:`"
    assert rows["corner"]["epochs"]["before"]["reason"] == "does not overlap the region"
    assert rows["a"] == rows["a"] | {"cloud_cover": 10, "date": "2020-06-15", "region_share": 1, "fault": ""}
    assert rows["a"]["epochs"]["before"]["used"]


@pytest.mark.parametrize("backwards", [False, True])
def test_of_duplicates_the_newest_processing_is_kept(place: Place, backwards: bool) -> None:
    place.two()
    tile = {"grid:code": "MGRS-51RUQ", "platform": "sentinel-2a"}
    when = "2020-06-16T02:00:00.024Z"
    place.item("old", when, seed=3, **tile, **{"s2:processing_baseline": "02.14", "updated": "2024-01-01T00:00:00Z"})
    place.item("new", "2020-06-16T02:00:00Z", seed=4, **tile, **{"s2:processing_baseline": "05.00"})
    place.item("neighbour", when, seed=5, **{"grid:code": "MGRS-51RUP", "platform": "sentinel-2a"})
    place.item("c", "2020-06-18T02:00:00Z", seed=6, updated="2021-01-01T00:00:00Z", **{"eo:cloud_cover": 1.0})
    place.item("c", "2020-06-18T02:00:00Z", seed=6, updated="2022-01-01T00:00:00Z", **{"eo:cloud_cover": 2.0})
    if backwards:
        place.site.items.reverse()
    static(place, place.site.items)  # an API's pages repeat ids, which count as one before they are compared
    place.config["scenes"] = {"stac": {"catalog": "list.json"}}
    for item in place.site.items:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].removeprefix("../")
    (place.data / "list.json").write_text(json.dumps({"type": "FeatureCollection", "features": place.site.items}))
    assert place.used("before") == ["a", "neighbour", "new", "c"]
    rows = {s["id"]: s for s in list_scenes(place.workspace())[0]["scenes"] if s["epochs"]["before"]["reason"]}
    assert rows["old"]["epochs"]["before"]["reason"] == "duplicate of new, which is kept (s2:processing_baseline 05.00)"
    assert rows["c"]["cloud_cover"] == 1
    assert "duplicate of c" in rows["c"]["epochs"]["before"]["reason"]


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2020-06-01T00:00:00Z", True), ("2020-05-31T23:59:59.999Z", False), ("2020-06-30T23:59:59.999Z", True),
        ("2020-07-01T00:00:00Z", False), ("2020-06-01T00:30:00+02:00", False), ("2020-06-30T23:30:00-02:00", False),
        ("2020-05-31T23:30:00-02:00", True), ("2020-07-01T01:00:00+02:00", True), ("2020-06-30T23:30:00", True),
        ("2020-05-31T23:59:59", False),
    ],
)  # fmt: skip
def test_days_are_of_utc(place: Place, when: str, inside: bool) -> None:
    place.two()
    place.item("edge", when, seed=3)
    for kind in ("api", "static"):
        if kind == "static":
            static(place, place.site.items)
        assert ("edge" in place.used("before")) is inside


def test_an_item_without_one_day(place: Place) -> None:
    place.two()
    item = place.item("c", "2020-06-16T02:00:00Z", seed=3)
    static(place, place.site.items)
    for dates, message in [
        ({"datetime": None}, "Item c has no datetime"), ({"datetime": "yesterday"}, "Item c: 'yesterday' is no datetime"),
        ({"datetime": None, "start_datetime": "2020-06-01T00:00:00Z", "end_datetime": "2020-06-30T00:00:00Z"}, "Item c spans"),
    ]:  # fmt: skip
        (place.data / "items" / "c.json").write_text(json.dumps(item | {"properties": item["properties"] | dates}))
        place.refused(message)
        assert place.listed()["a"]["epochs"]["before"]["used"]
    dates = {"datetime": None, "start_datetime": "2020-06-16T01:00:00Z", "end_datetime": "2020-06-16T02:00:00Z"}
    (place.data / "items" / "c.json").write_text(json.dumps(item | {"properties": item["properties"] | dates}))
    assert place.used("before") == ["a", "c"]


def test_a_small_region_is_a_small_download(place: Place) -> None:
    big = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (4096, 4096), CRS)
    place.config["grid"]["bounds"] = [310_000, 3_579_900, 314_100, 3_584_000]  # 410 x 410 pixels: 1 %
    numbers = np.random.default_rng(1).integers(1, 9000, (1, *big.shape), dtype=np.uint16)
    for name, when in (("a", BEFORE), ("b", AFTER)):
        item = place.item(name, when)
        item["bbox"] = [float(v) for v in big.geographic_extent.boundingbox.bbox]
        profile = {"driver": "COG", "height": 4096, "width": 4096, "count": 1, "dtype": "uint16", "crs": CRS, "nodata": 0}
        path = place.data / f"{name}.tif"
        with rasterio.open(path, "w", **profile, transform=big.transform, blocksize=256, compress="none") as out:
            out.write(numbers)
        place.site.files[f"/files/{name}.tif"] = path.read_bytes()
        for key in ("red", "nir"):
            item["assets"][key] |= {"proj:shape": [4096, 4096], "proj:transform": list(big.transform)[:6]}
            item["assets"][key]["href"] = f"{place.site.url}/files/{name}.tif"
    del item["assets"]["nir"]
    del place.site.items[0]["assets"]["nir"]
    place.config["bands"] = ["red"]
    ws = place.workspace()
    made = plan(ws)
    for name in ("before", "after"):
        prepare_epoch(ws, made, name)
    for name in ("a", "b"):
        path = f"/files/{name}.tif"
        assert place.site.sent[path] > 410 * 410 * 2
        assert place.site.sent[path] < 0.05 * len(place.site.files[path])


def test_a_catalog_that_is_down(place: Place) -> None:
    place.config["scenes"]["stac"]["url"] = "http://127.0.0.1:9"
    place.refused("The catalog http://127.0.0.1:9 cannot be reached")
    place.config["scenes"]["stac"] = {"catalog": "http://127.0.0.1:9/catalog.json"}
    place.refused("The catalog http://127.0.0.1:9/catalog.json cannot be reached")


@pytest.mark.parametrize("path", ["/", "/search"])
def test_a_catalog_that_is_slow_or_broken(place: Place, path: str) -> None:
    place.two()
    place.config["scenes"]["stac"]["timeout_s"] = 0.2
    place.site.faults[path] = [("slow!", 0.5)]
    place.refused("did not answer in time")
    place.site.faults[path] = [("status!", 500)]
    place.refused("The catalog .* 500|too many 500")
    place.site.faults[path] = [("status!", 404)]
    place.refused("answers HTTP 404")


@pytest.mark.parametrize("path", ["/", "/search"])
def test_a_catalog_that_fails_once(place: Place, path: str) -> None:
    place.two()
    place.site.faults[path] = [("status", 500), ("status", 503)]
    assert place.used("before") == ["a"]


def test_what_is_no_catalog(place: Place) -> None:
    place.site.conforms = []
    place.refused("is not a searchable STAC API")
    place.site.conforms = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    place.config["scenes"]["stac"]["query"] = {"platform": {"eq": "x"}}
    place.refused("is not a searchable STAC API.*QUERY")
    place.config["scenes"] = {"stac": {"catalog": "c.json"}}
    place.refused("c.json cannot be read: it is not there")
    for text, message in [
        ("{", "is no JSON"),
        ("[]", "no JSON object"),
        ("{}", "is no STAC catalog"),
        ("[" * 9000, "is no JSON"),
    ]:
        (place.data / "c.json").write_text(text)
        place.refused(message)
    place.config["scenes"] = {"stac": {"catalog": "../c.json"}}
    place.refused("outside the data folder")


def test_more_items_than_meant(place: Place) -> None:
    place.two()
    place.item("c", "2020-06-18T02:00:00Z", seed=3)
    place.config["scenes"]["stac"]["max_items"] = 1
    place.refused("more than 1 items .*max_items")
    static(place, place.site.items)
    place.config["scenes"]["stac"]["max_items"] = 1
    place.refused("more than 1 items .*max_items")


def test_no_scene(place: Place) -> None:
    place.item("a", BEFORE)
    place.refused("No scene from 2022-06-01 to 2022-06-30 for epoch after; the catalog has 2020-06-15")
    place.site.items.clear()
    place.refused("the catalog has none")


FILE = "/files/a_2020-06-15_red.tif"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("status!", 404), "Item a, asset red: .*a_2020-06-15_red.tif is not there .HTTP 404."),
        (("status!", 403), "Item a, asset red: .*may not be read .HTTP 403..*sign:"),
        (("status!", 500), "Item a, asset red: .*HTTP 500 again and again|Item a, asset red: .*cannot be reached"),
        (("slow!", 0.4), "Item a, asset red: .*did not answer in time"),
        (("cut!", 300), "a_2020-06-15_red.tif"),
    ],
)
def test_a_file_that_fails(place: Place, monkeypatch: pytest.MonkeyPatch, fault: tuple[str, float], message: str) -> None:
    monkeypatch.setattr("landshift.pipeline.raster.servers.asking.ANSWER_S", 0.2)
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "2")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    place.two()
    place.site.faults[FILE] = [fault]
    place.refused(message)
    rows = place.listed()
    assert rows["a"]["fault"]
    assert not rows["a"]["epochs"]["before"]["used"]
    assert rows["b"]["epochs"]["after"]["used"]


def test_a_file_that_fails_once(place: Place) -> None:
    place.two()
    expected = place.prepare("first")
    renamed = json.loads(json.dumps(place.site.items).replace("/files/", "/again/"))
    place.site.items[:] = renamed
    for path, content in list(place.site.files.items()):
        again = path.replace("/files/", "/again/")
        place.site.files[again] = content
        place.site.faults[again] = [("status", 500), ("", 0), ("status", 503)]
    assert place.prepare("second") == expected
    assert not any(place.site.faults[p] for p in place.site.files if "/again/" in p)


def test_a_file_that_ends_too_early(place: Place) -> None:
    place.two()
    place.site.files[FILE] = place.site.files[FILE][:-2000]
    place.refused("Item a, asset red: .*is truncated: band 1 has a block that ends at byte")


def test_a_download_that_breaks_off_midway(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    big = grid_of(GRID.transform, (512, 512), CRS)
    place.item("a", BEFORE, seed=1, grid=big)
    place.item("b", AFTER, seed=2)
    place.config["grid"]["bounds"] = [300_100, 3_595_000, 300_500, 3_599_900]
    place.item("b2", AFTER, seed=3, grid=big)
    ok = place.workspace()
    made = plan(ok)
    path = FILE
    assert len(place.site.files[path]) > 400_000
    # From now on every answer of more than a few kilobytes is cut.
    fresh = json.loads(json.dumps(place.site.items).replace(FILE, "/files/fresh.tif"))
    place.site.items[:] = fresh
    place.site.files["/files/fresh.tif"] = place.site.files[FILE]
    place.site.faults["/files/fresh.tif"] = [("", 0)] * 3 + [("cut!", 5000)]
    place.refused("fresh.tif, band 1: the pixels cannot be read|fresh.tif cannot be read as a raster")
    assert made.grid == plan_grid(place)


def plan_grid(place: Place) -> Grid:
    from landshift.flows.steps.project.finding import region_of

    found = region_of(place.workspace().project)
    assert found is not None
    return found


def test_a_server_without_ranges(place: Place) -> None:
    place.two()
    place.site.ranges = False
    place.refused("Item a, asset red: .*cannot send parts of a file")


def test_an_asset_that_is_missing(place: Place) -> None:
    item, _ = place.two()
    del item["assets"]["nir"]
    place.refused("lacks the band nir; it has red")
    assert place.listed()["a"]["fault"] == "lacks the band nir; it has red"
    item["assets"].clear()
    place.refused("Item a: none of its assets .it has none. holds a band")
    assert place.listed()["b"]["epochs"]["after"]["used"]


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"proj:shape": [32, 64]}, "do not agree: 32 x 64 and 64 x 64 pixels"),
        ({"proj:code": "EPSG:32650"}, "bbox .* and its proj: fields .EPSG:32650.* do not agree"),
        ({"proj:code": None, "proj:epsg": 32650}, "bbox .* and its proj: fields .EPSG:32650.* do not agree"),
        ({"proj:transform": [20, 0, 300_000, 0, -20, 3_600_000]}, "do not agree: pixel size 20 x 20 and 10 x 10"),
        ({"proj:transform": [10, 0, 300_010, 0, -10, 3_600_000, 0, 0, 1]}, "do not agree: upper left corner"),
        ({"proj:transform": ["x"] * 6}, "are no grid"), ({"proj:shape": [0, 64]}, "is no size"),
        ({"proj:shape": 64}, "are no grid"), ({"proj:code": "EPSG:4326"}, "do not agree: CRS EPSG:4326 and EPSG:32651"),
        ({"proj:code": "nonsense"}, "CRS 'nonsense', which is not known"),
        ({"proj:transform": [10, 0, 300_000, 0, 10, 3_600_000]}, "do not agree: pixel size 10 x -10 and 10 x 10"),
        ({"eo:bands": [{"name": "blue"}, {"name": "red"}]}, "has 1 bands, the catalog names band 2"),
    ],
)  # fmt: skip
def test_a_catalog_that_lies(place: Place, lie: dict[str, Any], message: str) -> None:
    item, _ = place.two()
    item["assets"]["red"] |= lie
    place.config["scenes"]["stac"]["assets"] = {"red": "red"}
    said = place.refused(message)
    assert said.startswith("Item a")


def test_a_catalog_that_says_nothing_about_grids(place: Place) -> None:
    for item in place.two():
        del item["properties"]["proj:code"]
    assert place.used("after") == ["b"]
    made = plan(place.workspace())
    assert made.before.scenes[0].grid == GRID


@pytest.mark.parametrize("key", ["red", "nir", "scl"])
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"proj:epsg": 32650}, "CRS EPSG:32650 and EPSG:32651"), ({"proj:code": "EPSG:4326"}, "CRS EPSG:4326 and EPSG:32651"),
        ({"proj:shape": [64, 65]}, "64 x 65 and 64 x 64 pixels"),
        ({"proj:transform": [10, 0, 300_010, 0, -10, 3_600_000]}, "upper left corner"),
    ],
)  # fmt: skip
def test_each_declared_part_is_compared_with_each_file_that_is_used(
    place: Place, key: str, lie: dict[str, Any], message: str
) -> None:
    """Also where the catalog declares no more than that part; an asset that is not used may lie."""
    place.sentinel()
    items = place.two(**{"s2:processing_baseline": "02.14"})
    for item in items:
        file = f"{item['id']}_scl.tif"
        place.site.files[f"/files/{file}"] = place.file(file, low=4, high=5)
        item["assets"]["scl"] = {"href": f"{place.site.url}/files/{file}"}
        item["assets"]["nir08"] = {"href": f"{place.site.url}/files/gone.tif"} | lie
        del item["properties"]["proj:code"]
        for asset in item["assets"].values():
            for name in ("proj:shape", "proj:transform"):
                asset.pop(name, None)
    assert place.used("before") == ["a"]
    items[0]["assets"][key] |= lie
    said = place.refused(f"^Item a, asset {key}: the catalog and the file .*{key}.tif do not agree: {message}")
    assert "report it to the catalog's keeper" in said
    assert "do not agree" in place.listed()["a"]["fault"]
    place.config["scenes"]["clouds"] = {"mask": "none"}
    assert (key == "scl") == (place.used("before") == ["a"] if key == "scl" else False)


def test_a_file_in_degrees(place: Place) -> None:
    """It is what the catalog declares, and no grid for hectares; or the catalog declares a projected one."""
    place.two()
    degrees = grid_like(Affine(1e-4, 0, 120.9, 0, -1e-4, 32.6))
    for path in list(place.site.files):
        if path.startswith("/files/a_"):
            place.site.files[path] = degrees
    place.refused("^Item a, asset red: .*do not agree: CRS EPSG:32651 and EPSG:4326")


def grid_like(transform: Affine) -> bytes:
    with rasterio.MemoryFile() as memory:
        profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint16", "nodata": 0}
        with memory.open(**profile, crs="EPSG:4326", transform=transform) as out:
            out.write(np.full((1, 64, 64), 900, dtype=np.uint16))
        return bytes(memory.read())


@pytest.mark.parametrize(
    ("low", "properties", "assets", "offset"),
    [
        (1001, {"s2:processing_baseline": "05.09"}, {}, -1000), (1, {"s2:processing_baseline": "02.14"}, {}, 0),
        (1, {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, {}, 0),
        (1, {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True},
         {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, 0),
        (1001, {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False}, {}, -1000),
        (1, {"s2:processing_baseline": "03.00", "earthsearch:boa_offset_applied": False}, {}, 0),
        (1001, {}, {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, -1000),
        (1, {}, {"bands": [{"raster:offset": 0}]}, 0), (1001, {}, {"raster:offset": -0.1}, -1000),
        (1001, {"processing:version": "05.11"}, {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, -1000),
        (1, {}, {}, "processing baseline is in neither"),
        (1, {"s2:processing_baseline": "05.09"}, {"raster:offset": 0}, "baseline 05.09 means that -1000 .* assets declare 0"),
        (1, {"s2:processing_baseline": "05.09"}, {}, "Item a, asset red: the darkest pixels of red .* off before"),
        (1, {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False}, {}, "darkest pixels of red"),
        (1001, {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, {}, "Item a: .*is below 1000"),
        (1001, {"s2:processing_baseline": "02.14"}, {}, "number is below 1000 .the lowest is 100"),
    ],
)  # fmt: skip
def test_the_offset_of_sentinel_2(
    place: Place, low: int, properties: dict[str, Any], assets: dict[str, Any], offset: float | str
) -> None:
    place.sentinel()
    for item in place.two(low=low, **properties):
        for asset in item["assets"].values():
            asset |= assets
    if isinstance(offset, str):
        said = place.refused(offset)
        assert "number_offset" in said
        place.config["sensor"]["number_offset"] = 0
        offset = 0
    scenes = [s for e in plan(place.workspace()).epochs for s in e.scenes]
    assert {s.number_offset for s in scenes} == {offset}


@pytest.mark.parametrize(
    ("href", "message"),
    [
        ("ftp://127.0.0.1/a.tif", "the scheme ftp:// is not accepted"), ("gs://b/a.tif", "the scheme gs://"),
        ("/vsicurl/http://127.0.0.1/a.tif", "name of GDAL's own"), ("zip:///etc/a.tif", "the scheme zip://"),
        ("GTIFF_DIR:1:a.tif", "scheme gtiff_dir"), ("/etc/passwd.tif", "item a, asset red.* outside the data folder"),
        ("file:///etc/passwd.tif", "outside the data folder"), ("../../../x.tif", "outside the data folder"),
        ("file://host/x.tif", "names the host host"), ("http://127.0.0.1:9/a.vrt", "does not end in .tif"),
        ("http:///a.tif", "is not accepted"), ("http://127.0.0.1:x/a.tif", "cannot be read as a URL"),
        ("http://127.0.0.1/a\u0007.tif", "is not accepted"),
    ],
)  # fmt: skip
def test_addresses_that_are_refused(place: Place, href: str, message: str) -> None:
    item, _ = place.two()
    static(place, place.site.items)
    item["assets"]["red"]["href"] = href
    (place.data / "items" / "a.json").write_text(json.dumps(item))
    said = place.refused(message)
    assert said.isprintable()
    assert "Item a, asset red" in said


def test_a_vrt_behind_the_name_of_a_tiff(place: Place) -> None:
    place.two()
    place.site.files[FILE] = b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>' + b" " * 500
    place.refused("Item a, asset red: .*cannot be read as a raster")


def test_a_file_outside_that_is_allowed(place: Place, tmp_path: Path) -> None:
    item, _ = place.two()
    outside = tmp_path / "elsewhere.tif"
    outside.write_bytes(place.site.files[FILE])
    static(place, place.site.items)
    item["assets"]["red"]["href"] = outside.as_uri()
    (place.data / "items" / "a.json").write_text(json.dumps(item))
    place.refused("outside the data folder")
    assert plan(place.workspace(allow_outside=True)).before.scenes[0].bands["red"].path == outside


def test_a_token_is_never_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "s3cr3t%2Ftoken"
    items = place.two()
    monkeypatch.setattr(
        "landshift.flows.steps.project.catalog.signer", lambda _: lambda address: f"{address}?sv=1&sig={secret}"
    )
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    caplog.set_level(logging.DEBUG)
    ws = place.workspace()
    ws.require_writable()
    made = plan(ws)
    place.site.faults[FILE] = [("status", 503)]
    prepare_epoch(ws, made, "before")
    assert any(f"sig={secret}" in path for path in place.site.asked)
    outputs = b"".join(p.read_bytes() for p in place.output.rglob("*") if p.is_file())
    said = [caplog.text, str(made), repr(made), outputs.decode("latin-1"), str(place.listed())]
    for fault in (("status!", 404), ("status!", 500), ("cut!", 300)):
        again = json.loads(json.dumps(items).replace("_red.tif", f"_red_{fault[1]}.tif"))
        place.site.items[:] = again
        for path in [p for p in place.site.files if p.endswith("_red.tif")]:
            place.site.files[path.replace("_red.tif", f"_red_{fault[1]}.tif")] = place.site.files[path]
            place.site.faults[path.replace("_red.tif", f"_red_{fault[1]}.tif")] = [("", 0)] * 2 + [fault]
        with pytest.raises(InputError) as error:
            plan(place.workspace())
        said += [str(error.value), "".join(traceback.format_exception(error.value))]
    said += [caplog.text, *capfd.readouterr()]
    for text in said:
        assert "s3cr3t" not in text


def test_what_tells_that_a_file_changed(place: Place) -> None:
    items = place.two(updated="2021-01-01T00:00:00Z")
    ws = place.workspace()
    ws.require_writable()

    def key() -> str:
        prepare_epoch(ws, plan(ws), "before")
        return str(ws.manifest(ws.epochs).entries()["before"]["key"])

    first = key()
    assert key() == first
    place.site.marks[FILE] = "changed"
    second = key()
    items[0]["assets"]["red"]["file:checksum"] = "1220" + "ab" * 32
    third = key()
    place.site.marks[FILE] = "changed again"
    assert key() == third
    items[0]["assets"]["red"]["file:checksum"] = "1220" + "cd" * 32
    assert len({first, second, third, key()}) == 4
    # Nothing was downloaded for it beyond the parts that are read.
    assert place.site.sent[FILE] < 3 * len(place.site.files[FILE])


def test_files_in_a_bucket(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL's door to S3, with the loopback server as the bucket's."""
    for key, value in [("S3_ENDPOINT", place.site.url.removeprefix("http://")), ("HTTPS", "NO"), ("VIRTUAL_HOSTING", "FALSE"),
                       ("NO_SIGN_REQUEST", "YES")]:  # fmt: skip
        monkeypatch.setenv(f"AWS_{key}", value)
    items = place.two()
    expected = place.prepare("http")
    place.site.items[:] = json.loads(json.dumps(items).replace(f"{place.site.url}/files/", "s3://bucket/"))
    for path in list(place.site.files):
        place.site.files[path.replace("/files/", "/bucket/")] = place.site.files[path]
    place.refused("s3://bucket/a_2020-06-15_red.tif: the item has neither `file:checksum` nor `updated`")
    for item in place.site.items:
        item["properties"]["updated"] = "2024-01-01T00:00:00Z"
    assert place.prepare("s3") == expected


def test_signatures_are_renewed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """They expire within the hour; a plan is read for longer, and its files stay open meanwhile."""
    place.two()
    place.config["scenes"]["stac"]["sign"] = "planetary-computer"
    token = ["sig=first1"]
    fake = types.ModuleType("planetary_computer")
    fake.__dict__["sign_url"] = lambda address: f"{address}?{token[0]}"
    monkeypatch.setitem(sys.modules, "planetary_computer", fake)
    scene = plan(place.workspace()).before.scenes[0]
    file = scene.bands["red"].path
    assert isinstance(file, RemoteFile)
    with keeping_open():
        first = read_scene(scene, ["red", "nir"], GRID, Window(0, 0, 8, 8))
        token[0] = "sig=second2"
        place.site.asked.clear()
        assert np.array_equal(read_scene(scene, ["red", "nir"], GRID, Window(0, 0, 8, 8)), first)
    assert place.site.asked
    assert all(path.endswith("?sig=second2") for path in place.site.asked)
    late = f"{file.url}?sig=first1: HTTP 403; {file.address} too"
    assert file.without_secrets(late) == f"{file.url} HTTP 403; {file.url} too"
    assert "second2" not in repr(file)


def test_signing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.two()
    place.config["scenes"]["stac"]["sign"] = "planetary-computer"
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    place.refused(r"needs the package planetary-computer: `pip install landshift\[planetary-computer\]`")
    fake = types.ModuleType("planetary_computer")
    monkeypatch.setitem(sys.modules, "planetary_computer", fake)
    fake.__dict__["sign_url"] = lambda address: f"{address}?sig=abcdef"
    assert place.used("before") == ["a"]
    assert any(path == f"{FILE}?sig=abcdef" for path in place.site.asked)

    def broken(_: str) -> str:
        raise OSError("key abcdef")

    fake.__dict__["sign_url"] = broken
    assert "abcdef" not in place.refused("Item a, asset red: the address cannot be signed .OSError.")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "https://u:pw0@h/", "collection": "c"}, "without user, password or query"),
        ({"catalog": "https://h/c.json?token=pw0"}, "without user, password or query"), ({}, "give either `url`"),
        ({"url": "https://h/", "catalog": "c.json", "collection": "c"}, "give either"),
        ({"url": "https://h/"}, "needs `collection`"), ({"catalog": "c", "query": {"a": 1}}, "belongs to `url`"),
        ({"url": "c.json", "collection": "c"}, "is the address of an API"),
        ({"catalog": "c", "max_cloud_cover": 101}, "expected at most 100"),
    ],
)  # fmt: skip
def test_configs_that_are_refused(place: Place, tmp_path: Path, config: dict[str, Any], message: str) -> None:
    place.config["scenes"] = {"stac": config}
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(place.config))
    with pytest.raises(InputError, match=message) as error:
        load_project(path)
    assert "pw0" not in str(error.value)


def test_a_catalog_and_a_folder_at_once(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(place.config | {"scenes": {"stac": {"catalog": "c"}, "pattern": "*.TIF"}}))
    with pytest.raises(InputError, match="`pattern` belongs to a folder"):
        load_project(path)
    del place.config["grid"]
    path.write_text(yaml.safe_dump(place.config))
    with pytest.raises(InputError, match="scenes: stac needs `grid:`"):
        load_project(path)


def test_a_catalog_below_a_catalog(place: Place) -> None:
    items = place.two()
    static(place, list(items))
    other = {"type": "Collection", "id": "other", "stac_version": "1.0.0", "description": "d", "license": "MIT",
             "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
             "links": [{"rel": "item", "href": "../items/gone.json"}]}  # fmt: skip
    own = other | {"id": "s2", "links": [{"rel": "item", "href": f"../items/{i['id']}.json"} for i in items]}
    root = {"type": "Catalog", "id": "r", "stac_version": "1.0.0", "description": "d", "links": [
        {"rel": "child", "href": "./c/other.json"}, {"rel": "child", "href": "./c/own.json"},
        {"rel": "child", "href": "root.json"},
    ]}  # fmt: skip
    (place.data / "c").mkdir()
    for name, content in [("c/other.json", other), ("c/own.json", own), ("root.json", root)]:
        (place.data / name).write_text(json.dumps(content))
    place.config["scenes"] = {"stac": {"catalog": "root.json", "collection": "s2"}}
    assert (place.used("before"), place.used("after")) == (["a"], ["b"])
    place.config["scenes"] = {"stac": {"catalog": "root.json"}}
    place.refused("gone.json cannot be read")
    assert place.listed()["gone.json"]["fault"]
    assert place.listed()["b"]["epochs"]["after"]["used"]


def test_a_catalog_on_a_server(place: Place) -> None:
    items = place.two()
    expected = place.prepare("api")
    text = json.dumps(items).replace(f"{place.site.url}/files/", "../../files/")
    for item in json.loads(text):
        place.site.files[f"/s/items/{item['id']}.json"] = json.dumps(item).encode()
    links = [{"rel": "item", "href": f"items/{i['id']}.json"} for i in items]
    catalog = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d", "links": links}
    place.site.files["/s/catalog.json"] = json.dumps(catalog).encode()
    place.config["scenes"] = {"stac": {"catalog": f"{place.site.url}/s/catalog.json"}}
    place.site.faults["/s/catalog.json"] = [("status", 502)]
    assert place.prepare("static") == expected
    place.site.faults["/s/items/a.json"] = [("status!", 500)]
    place.refused("items/a.json answers HTTP 500")
    assert place.listed()["b"]["epochs"]["after"]["used"]


def test_links_that_leave_the_data_folder(place: Place) -> None:
    place.two()
    static(place, place.site.items)
    (place.data.parent / "outside.json").write_text(
        (place.data / "items" / "a.json").read_text().replace('"id": "a"', '"id": "c"')
    )
    catalog = json.loads((place.data / "catalog.json").read_text())
    links = catalog["links"]
    for href in ("../outside.json", (place.data.parent / "outside.json").as_uri(), "ftp://h/outside.json"):
        (place.data / "catalog.json").write_text(json.dumps(catalog | {"links": [*links, {"rel": "item", "href": href}]}))
        place.refused("outside the data folder|the scheme ftp:// is not accepted")
        (place.data / "catalog.json").write_text(json.dumps(catalog | {"links": [*links, {"rel": "child", "href": href}]}))
        place.refused("outside the data folder|the scheme ftp:// is not accepted")


@pytest.mark.skipif(find_spec("stac_fastapi") is None, reason="stac-fastapi.api is not installed")
def test_an_api_that_others_wrote(place: Place, tmp_path: Path) -> None:
    place.two()
    place.item("later", "2020-07-02T00:00:00Z", seed=3)
    expected = place.prepare("own")
    (tmp_path / "items.json").write_text(json.dumps(place.site.items))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    app = Path(__file__).with_name("stac_app.py")
    with subprocess.Popen([sys.executable, str(app), str(tmp_path / "items.json"), port], stderr=subprocess.DEVNULL) as server:
        try:
            place.config["scenes"]["stac"]["url"] = f"http://127.0.0.1:{port}/"
            for _ in range(300):
                with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
                    break
                time.sleep(0.1)
            assert place.prepare("theirs") == expected
            place.config["scenes"]["stac"]["query"] = {"platform": {"eq": "x"}}
            place.refused("is not a searchable STAC API.*QUERY")
        finally:
            server.terminate()
