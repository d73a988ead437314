"""The ready configs read what their catalogs describe: on a server of our own, with the fields of the real items."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from landshift.flows.config.project import Project
from landshift.flows.steps.project.plan import find, plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import RemoteFile
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.scenes.look import read_scene
from landshift.pipeline.scenes.stac.access import advise, choose_address
from landshift.pipeline.scenes.stac.search import Item
from landshift.pipeline.tiles import Window
from tests.made_catalogs import CLOUDED, EPSG, GRID, SEEN, Json, hls, landsat, sentinel_2
from tests.stac_server import Site, serving

CONFIGS = Path(__file__).parents[1] / "configs"
BEFORE, AFTER = "2019-06-15", "2023-06-20"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_NO_SIGN_REQUEST", "AWS_REQUEST_PAYER", "AWS_S3_ENDPOINT",
                 "AWS_VIRTUAL_HOSTING", "AWS_PROFILE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with serving() as made:
        yield made


def ready(site: Site, folder: Path, config: str, items: list[Json], **changed: Any) -> Workspace:
    """Return the project of a ready config, on this server, with the region and the dates of the made items."""
    content = yaml.safe_load((CONFIGS / config).read_text(encoding="utf-8"))
    stac = content["scenes"]["stac"]
    for key in ("collection", "sign", "alternate", "credentials"):
        if key in changed:
            stac[key] = changed.pop(key)
    content |= changed
    stac["url"] = site.url
    west, south, east, north = (float(v) for v in GRID.extent.boundingbox.bbox)
    content["grid"] = {"crs": EPSG, "pixel_size": 30, "bounds": [west, south, east, north]}
    content["epochs"] |= {"before": {"start": "2019-06-01", "end": "2019-07-31"},
                          "after": {"start": "2023-06-01", "end": "2023-07-31"}}  # fmt: skip
    site.items[:] = items
    for path in folder.rglob("*.*"):
        if path.is_file():
            for root in ("files", "eodata", "usgs-landsat"):
                site.files[f"/{root}/{path.relative_to(folder)}"] = path.read_bytes()
    (folder / "empty").mkdir(exist_ok=True)
    return workspace(Project.model_validate(content), folder / "empty", folder / "out")


def at(root: str, items: list[Json]) -> list[Json]:
    for made in items:
        for asset in made["assets"].values():
            if "://" not in asset["href"]:
                asset["href"] = f"{root}/{asset['href']}"
    return items


def require_truth(ws: Workspace, names: dict[str, str] | None = None) -> None:
    made = plan(ws)
    for scene in [s for epoch in made.epochs for s in epoch.scenes]:
        pixels = read_scene(scene, made.bands, scene.grid, Window(0, 0, *scene.grid.shape))
        assert np.argwhere(np.isnan(pixels[0])).tolist() == [list(CLOUDED)], "the quality band masks one pixel"
        seen = dict(zip(made.bands, np.nanmedian(pixels, axis=(1, 2)).tolist(), strict=True))
        assert seen == pytest.approx({b: SEEN[(names or {}).get(b, b)] for b in made.bands}, abs=1e-4)


def in_bucket(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    here = {"S3_ENDPOINT": site.url.removeprefix("http://"), "HTTPS": "NO", "VIRTUAL_HOSTING": "FALSE"}
    for key, value in (here | {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "s3cret"}).items():
        monkeypatch.setenv(f"AWS_{key}", value)


@pytest.mark.parametrize("baselines", [("02.14", "05.09"), ("05.00", "05.09"), ("02.14", "02.14")])
@pytest.mark.parametrize("provider", ["earth-search", "planetary-computer"])
def test_sentinel_2(site: Site, tmp_path: Path, provider: str, baselines: tuple[str, str]) -> None:
    """Each item has its own offset: Earth Search took it off and states so, Planetary Computer leaves it in."""
    items = [sentinel_2(tmp_path, provider, day, b) for day, b in zip((BEFORE, AFTER), baselines, strict=True)]
    config = f"stac_{provider.replace('-', '_')}.yaml"
    ws = ready(
        site, tmp_path, config, at(f"{site.url}/files", items), sensor={"name": "sentinel-2-l2a"}, collection="sentinel-2-l2a",
        sign="none", bands=["blue", "green", "red", "nir", "nir08", "rededge071", "swir16", "swir22"],
    )  # fmt: skip
    require_truth(ws)


@pytest.mark.parametrize("alternate", ["s3", None, "S3"])
def test_sentinel_2_of_copernicus(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alternate: str | None) -> None:
    """JPEG 2000 in a bucket; of each band the finest file; the offset from the assets, and the version as baseline."""
    in_bucket(monkeypatch, site)
    items = [sentinel_2(tmp_path, "copernicus", BEFORE, "02.14"), sentinel_2(tmp_path, "copernicus", AFTER, "05.12")]
    ws = ready(site, tmp_path, "stac_copernicus.yaml", at("s3://eodata", items), alternate=alternate)
    require_truth(ws)
    assert any(path.startswith("/eodata/S2B") and path.endswith("_B02_10m.jp2") for path in site.asked)


def test_what_a_bucket_needs_is_named(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [sentinel_2(tmp_path, "copernicus", day, "05.12") for day in (BEFORE, AFTER)]
    ws = ready(site, tmp_path, "stac_copernicus.yaml", at("s3://eodata", items))
    # Without an endpoint GDAL would ask Amazon; it need not, since it has no key.
    with pytest.raises(InputError, match=r"B02_10m.jp2 cannot be read as a raster") as error:
        plan(ws)
    for name in (
        "AWS_ACCESS_KEY_ID (your key)",
        "AWS_S3_ENDPOINT (eodata.dataspace.copernicus.eu)",
        "AWS_VIRTUAL_HOSTING (FALSE)",
    ):
        assert name in str(error.value)
    assert "pay" not in str(error.value), "of two places the free one"
    in_bucket(monkeypatch, site)
    site.faults["/eodata/" + items[0]["assets"]["B02_10m"]["href"].partition("eodata/")[2]] = [("status!", 403)]
    with pytest.raises(InputError, match=r"B02_10m.jp2 cannot be read") as error:
        plan(ready(site, tmp_path, "stac_copernicus.yaml", items))
    assert "Set in the environment" not in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("satellites", [("landsat-5", "landsat-9"), ("landsat-7", "landsat-8")])
def test_landsat_of_planetary_computer(site: Site, tmp_path: Path, satellites: tuple[str, str]) -> None:
    items = [landsat(tmp_path, "planetary-computer", s, day) for s, day in zip(satellites, (BEFORE, AFTER), strict=True)]
    ws = ready(site, tmp_path, "stac_planetary_computer.yaml", at(f"{site.url}/files", items), sign="none")
    require_truth(ws, {"nir": "nir08"})
    assert plan(ws).grid == GRID, "on the pixels of the scenes, whose corners lie on odd multiples of 15 m"


def test_hls_of_planetary_computer(site: Site, tmp_path: Path) -> None:
    """Two collections are searched, one after the other."""
    items = [hls(tmp_path, "S30", "2019166"), hls(tmp_path, "L30", "2023171"), hls(tmp_path, "S30", "2023172")]
    comment = (CONFIGS / "stac_planetary_computer.yaml").read_text(encoding="utf-8")
    assert "collection: [hls2-l30, hls2-s30], bands: [blue, green, red, nir08, swir16, swir22]" in comment
    ws = ready(
        site, tmp_path, "stac_planetary_computer.yaml", at(f"{site.url}/files", items), sign="none", sensor={"name": "hls"},
        collection=["hls2-l30", "hls2-s30"], bands=["blue", "green", "red", "nir08", "swir16", "swir22"],
    )  # fmt: skip
    assert [f.fault for f in find(ws)] == [""] * 3
    opened = {path.rpartition(".v2.0.")[2] for path in site.asked if path.endswith(".tif")}
    assert opened == {"B02.tif"}, "the items state no grid; one file of each is enough to find it"
    require_truth(ws)
    assert [len(epoch.scenes) for epoch in plan(ws).epochs] == [1, 2]


@pytest.mark.parametrize("provider", ["earth-search", "usgs"])
def test_landsat_in_a_bucket_whose_readers_pay(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    """Earth Search has the bucket as the address, USGS as an alternate of one that wants a login."""
    items = [landsat(tmp_path, provider, s, day) for s, day in (("landsat-5", BEFORE), ("landsat-8", AFTER))]
    for made in items:
        for asset in made["assets"].values():
            bucket = {"href": f"s3://usgs-landsat/{asset['href']}", "storage:platform": "AWS", "storage:requester_pays": True}
            login = {"href": f"{site.url}/login/{asset['href']}", "alternate": {"s3": bucket}}
            asset |= (bucket if provider == "earth-search" else login) | {"file:checksum": "1340ab"}
    how = {"sensor": {"name": "landsat-c2-l2"}, "collection": items[0]["collection"]}
    if provider == "usgs":
        with pytest.raises(InputError, match=r"is not there .* `scenes: stac: alternate: s3`"):
            plan(ready(site, tmp_path, "stac_earth_search.yaml", items, **how))
        how["alternate"] = "s3"
    with pytest.raises(
        InputError, match=r"`scenes: stac: credentials: \[aws\]`.*AWS_REQUEST_PAYER .requester.. Its readers pay"
    ):
        plan(ready(site, tmp_path, "stac_earth_search.yaml", items, **how))
    how["credentials"] = ["aws"]
    with pytest.raises(InputError, match=r"AWS_ACCESS_KEY_ID .your key.*AWS_REQUEST_PAYER .requester.. Its readers pay"):
        plan(ready(site, tmp_path, "stac_earth_search.yaml", items, **how))
    in_bucket(monkeypatch, site)
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    require_truth(ready(site, tmp_path, "stac_earth_search.yaml", items, **how), {"nir": "nir08"})
    asked = [headers for path, headers in site.heads if path.startswith("/usgs-landsat/")]
    assert {h.get("x-amz-request-payer") for h in asked} == {"requester"}


ASSET = {
    "href": "https://h/a.tif", "alternate:name": "HTTPS",
    "alternate": {"s3": {"href": "s3://b/a.tif", "alternate:name": "Bucket"}, "odd": {"title": "no href"}, "worse": 3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("alternate", "href"),
    [(None, "https://h/a.tif"), ("s3", "s3://b/a.tif"), ("S3", "s3://b/a.tif"), ("bucket", "s3://b/a.tif"),
     ("https", "https://h/a.tif"), ("odd", None), ("gs", None)],
)  # fmt: skip
def test_which_address(alternate: str | None, href: str | None) -> None:
    made = Item({"id": "a", "properties": {}, "assets": {"red": ASSET}})
    if href is not None:
        assert choose_address(made, "red", alternate)["href"] == href
        return
    with pytest.raises(InputError, match=f"it has no address {alternate}, .*; besides its own it has s3. Correct or remove"):
        choose_address(made, "red", alternate)


def test_an_alternate_goes_through_the_same_door(site: Site, tmp_path: Path) -> None:
    """Schemes and folders are checked as of any address."""
    items = [landsat(tmp_path, "usgs", s, day) for s, day in (("landsat-5", BEFORE), ("landsat-8", AFTER))]
    for href, message in (("gs://b/a.tif", "scheme gs:// is not accepted"), ("/etc/passwd.tif", "outside the data folder")):
        for made in items:
            for asset in made["assets"].values():
                asset["alternate"] = {"x": {"href": href}}
        with pytest.raises(InputError, match=f"^Item LT05.*asset .*{message}"):
            plan(
                ready(
                    site, tmp_path, "stac_earth_search.yaml", items, sensor={"name": "landsat-c2-l2"}, alternate="x",
                    collection="landsat-c2l2-sr",
                )
            )  # fmt: skip


def test_unsigned_files_of_planetary_computer() -> None:
    made = Item({"id": "a", "properties": {}, "assets": {"red": {"href": "https://x.blob.core.windows.net/a.tif"}}})
    said = [
        advise(made, "red", made.assets["red"], str(made.assets["red"]["href"]), signed=signed, access=Access())
        for signed in (False, True)
    ]
    assert said == ["Files of Planetary Computer need `scenes: stac: sign: planetary-computer`.", ""]
    assert "advice" not in repr(RemoteFile("https://h/a.tif", "https://h/a.tif", advice="x"))


@pytest.mark.parametrize("collection", ["c", ["c", "d"], None])
def test_collections_of_a_config(collection: str | list[str] | None) -> None:
    content = yaml.safe_load((CONFIGS / "stac_earth_search.yaml").read_text(encoding="utf-8"))
    content["scenes"]["stac"]["collection"] = collection
    if collection is None:
        with pytest.raises(ValueError, match="needs `collection`"):
            Project.model_validate(content)
        return
    stac = Project.model_validate(json.loads(Project.model_validate(content).model_dump_json())).scenes.stac
    assert stac is not None
    assert stac.collections == (("c",) if collection == "c" else ("c", "d"))
