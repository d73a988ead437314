"""What items of known catalogs say is understood, and nonsense becomes a finding."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.place import place_hash, remote_file, resolve
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.scenes.sensors import sensor_named
from landshift.pipeline.scenes.stac.assets import assets_of
from landshift.pipeline.scenes.stac.items import moment, newest
from landshift.pipeline.scenes.stac.scenes import Reading, findings_of
from landshift.pipeline.scenes.stac.search import Item, box_of, boxes_meet

S2, OLI = sensor_named("sentinel-2-l2a"), sensor_named("landsat-c2-l2-oli")
GRID = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (64, 64), "EPSG:32651")
WHEN = "2020-06-15T02:35:51Z"
TIFF, JP2 = "image/tiff; application=geotiff; profile=cloud-optimized", "image/jp2"


def item(**assets: dict[str, Any]) -> Item:
    return Item(
        {"id": "a", "properties": {}, "assets": {k.replace("__", "-"): {"href": "x.tif"} | v for k, v in assets.items()}}
    )


def test_assets_of_earth_search() -> None:
    """Keys are common names, the red edge is numbered, and every band is there as JPEG 2000 too."""
    said = item(
        red={"type": TIFF, "eo:bands": [{"name": "red", "common_name": "red"}]},
        red__jp2={"type": JP2, "eo:bands": [{"name": "red", "common_name": "red"}]},
        rededge1={"type": TIFF, "href": "https://h/S2A/B05.tif", "eo:bands": [{"name": "rededge1", "common_name": "rededge"}]},
        rededge1__jp2={"type": JP2, "href": "s3://b/B05.jp2", "eo:bands": [{"name": "rededge1", "common_name": "rededge"}]},
        visual={"type": TIFF, "roles": ["visual"], "eo:bands": [{"common_name": n} for n in ("red", "green")]},
        scl={"type": TIFF, "roles": ["data"]}, granule_metadata={"type": "application/xml"},
    )  # fmt: skip
    found = assets_of(said, S2, {})
    assert found["red"] == ("red", 1)
    assert found["rededge071"] == ("rededge1", 1)
    assert list(found) == ["red", "rededge071", "quality"]


def test_assets_of_other_catalogs() -> None:
    planetary = item(B04={"type": TIFF}, B8A={"type": TIFF}, SCL={"type": TIFF}, visual={"type": TIFF}, preview={"type": TIFF})
    assert assets_of(planetary, S2, {}) == {"red": ("B04", 1), "nir08": ("B8A", 1), "quality": ("SCL", 1)}
    copernicus = item(B04_20m={"type": JP2}, B04_10m={"type": JP2}, B8A_20m={}, SCL_60m={}, SCL_20m={}, AOT_10m={})
    assert assets_of(copernicus, S2, {}) == {"red": ("B04_10m", 1), "nir08": ("B8A_20m", 1), "quality": ("SCL_20m", 1)}
    landsat = item(
        red={"href": "LC08_SR_B4.TIF"}, nir08={"href": "https://h/LC08_SR_B5.TIF", "eo:bands": [{"name": "OLI_B5"}]},
        qa_pixel={"href": "LC08_QA_PIXEL.TIF"}, qa={"href": "LC08_ST_QA.TIF"},
    )  # fmt: skip
    assert assets_of(landsat, OLI, {}) == {"red": ("red", 1), "nir": ("nir08", 1), "quality": ("qa_pixel", 1)}


def test_assets_of_several_bands_and_those_that_are_chosen() -> None:
    stack = item(data={"bands": [{"name": "B04"}, {"name": "x", "eo:common_name": "nir"}]})
    assert assets_of(stack, S2, {}) == {"red": ("data", 1), "nir": ("data", 2)}
    odd = item(one={}, two={"eo:bands": [{"name": "green"}, {"name": "red"}]})
    assert assets_of(odd, S2, {"red": "two", "nir": "one", "quality": "one"}) == {
        "green": ("two", 1), "red": ("two", 2), "nir": ("one", 1), "quality": ("one", 1),
    }  # fmt: skip
    with pytest.raises(InputError, match=r"Item a has no asset three, which .* names for red; it has one, two"):
        assets_of(odd, S2, {"red": "three"})
    with pytest.raises(InputError, match="names infrared; sensor sentinel-2-l2a has coastal, blue"):
        assets_of(odd, S2, {"infrared": "one"})
    with pytest.raises(InputError, match="the assets x, y all claim to hold red"):
        assets_of(item(x={"bands": [{"name": "red"}]}, y={"bands": [{"name": "red"}]}), S2, {})


def test_times() -> None:
    def when(**properties: Any) -> str:
        return moment(Item({"id": "a", "properties": properties})).isoformat()

    assert when(datetime="2020-06-15T23:30:00-02:00") == "2020-06-16T01:30:00+00:00"
    assert when(datetime="2020-06-15T23:30:00") == when(datetime="2020-06-15T23:30:00.000Z") == "2020-06-15T23:30:00+00:00"


KINDS = [("a", "t", "02.14"), ("b", "t", "05.00"), ("c", "t", "N0500"), ("d", "u", "02.14"), ("a", "t", "05.09")]
VERSIONS = [
    Item({"id": name, "properties": {"datetime": WHEN, "grid:code": tile, "platform": "A", "s2:processing_baseline": baseline}})
    for name, tile, baseline in KINDS
]


@given(order=st.permutations(VERSIONS))
@settings(deadline=None)
def test_the_newest_does_not_depend_on_the_order(order: Sequence[Item]) -> None:
    kept, dropped = newest(order)
    assert {(i.id, i.properties["s2:processing_baseline"]) for i in kept} == {("a", "05.09"), ("d", "02.14")}
    assert len(kept) + len(dropped) == len(VERSIONS)
    assert all("duplicate of a, which is kept (s2:processing_baseline 05.09)" in why for _, why in dropped)


@pytest.mark.parametrize(
    ("href", "base", "address"),
    [
        ("./a.tif", "https://h/x/item.json", "https://h/x/a.tif"), ("/a.tif", "https://h/x/item.json", "https://h/a.tif"),
        ("../a.tif", "s3://b/x/item.json", "s3://b/a.tif"), ("a%20b.tif", "/d/i.json", "/d/a%20b.tif"),
        ("file:///d/a%20b.tif", "", "/d/a b.tif"), ("HTTPS://h/a.tif", "", "https://h/a.tif"), ("/d/a.tif", "", "/d/a.tif"),
        ("//other/a.tif", "https://h/x", "https://other/a.tif"), ("a:b/c.tif", "/d/i.json", None), ("a.tif", "", None),
    ],
)  # fmt: skip
def test_addresses(href: str, base: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(InputError):
            resolve(href, base)
    else:
        assert resolve(href, base) == address


def test_what_a_remote_file_shows() -> None:
    address = "https://user:pass@h:8080/x/a%20b.TIF?sig=abc%2Fdef&sv=1#frag"
    assert "user" not in remote_file(address).gdal_name, "what a catalog puts into addresses is not used"
    file = remote_file(address, access=Access(credentials=("hrefs",)))
    assert "user:pass@h" in file.gdal_name
    assert str(file) == "https://h:8080/x/a%20b.TIF"
    assert (file.name, file.stem, file.suffix) == ("a b.TIF", "a b", ".TIF")
    text = file.without_secrets(f"{file.gdal_name} failed: sig=abc/def, abc%2Fdef, user:pass")
    for secret in ("abc/def", "abc%2Fdef", "pass", "frag"):
        assert secret not in text
        assert secret not in repr(file)
    assert remote_file("s3://bucket/k/a.tif").gdal_name == "/vsis3/bucket/k/a.tif"
    assert place_hash(remote_file("https://h/a.tif", "1220ab", is_checksum=True)) == "file:checksum:1220ab"


def test_regions_across_the_antimeridian() -> None:
    box = box_of(grid_of(Affine(1000, 0, 100_000, 0, -1000, 100_000), (100, 200), "EPSG:32601"))
    west, south, east, north = box
    assert 179 < west < 180
    assert -180 < east < -178
    assert south < 0.1 < north
    assert boxes_meet(box, (179.5, 0, 179.9, 1))
    assert boxes_meet((-179.5, 0, -178, 1), box)
    assert not boxes_meet(box, (0, 0, 10, 1))
    assert not boxes_meet((0, 0, 10, 1), (0, 2, 10, 3))


WORDS = ["EPSG:32651", "x", "", "05.09", WHEN, "file:///a.tif"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["href", "name", "offset"]), inner),
    max_leaves=8,
)
KEYS = st.sampled_from([
    "datetime", "proj:code", "proj:epsg", "proj:transform", "proj:shape", "eo:cloud_cover", "s2:processing_baseline", "updated",
    "grid:code", "raster:offset", "raster:bands", "bands", "eo:bands", "href", "type", "roles", "file:checksum",
])  # fmt: skip
SAID = st.dictionaries(KEYS, JSON)
ALWAYS = [(date(2000, 1, 1), date(2100, 1, 1))]


@given(properties=SAID, asset=SAID, rest=JSON, box=JSON)
@settings(deadline=None, max_examples=100)
def test_whatever_an_item_says_it_becomes_a_finding(properties: Any, asset: Any, rest: Any, box: Any) -> None:
    good = {"datetime": WHEN, "proj:code": "EPSG:32651", "proj:transform": list(GRID.transform)[:6], "proj:shape": [64, 64]}
    red = {"href": "a.tif"}
    items = [
        Item({"id": "a", "properties": good | properties, "assets": {"red": red | asset}, "bbox": box}, "/d/i.json"),
        Item({"id": "b", "properties": good, "assets": {"red": red}}, "/d/i.json"),
        Item({"id": rest, "properties": rest, "assets": rest, "bbox": rest}, "/d/i.json"),
    ]
    how = Reading(S2, GRID, ALWAYS, lambda path, _: Path("/nowhere") / path.name, declared_offset=0)
    findings = findings_of(items, how)
    assert "b" in {f.name for f in findings if f.scene is not None}
    assert all(bool(f.scene) + bool(f.left_out) + bool(f.fault) == 1 for f in findings)
