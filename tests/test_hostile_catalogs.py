"""Catalogs and servers that hang, swell, lie or ask for more than they may have: each ends in a sentence, and soon."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from landshift.flows.config.scenes import StacConfig
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.place import ask, remote_file
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.servers import asking
from landshift.pipeline.raster.servers.access import Access, Credential
from landshift.pipeline.raster.servers.asking import Asker, NoAnswerError, Question
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import json_of
from landshift.pipeline.scenes.stac import documents as documents_module
from landshift.pipeline.scenes.stac.documents import ApiDocuments, CatalogLimits, Documents
from landshift.pipeline.scenes.stac.search import Item, Query, read_catalog, search_api
from tests.hostile_server import Asked, HostileSite, hostile

QUERY = Query((-180.0, -90.0, 180.0, 90.0), [(date(2020, 1, 1), date(2020, 12, 31))])
SECONDS = 0.4


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileSite]:
    monkeypatch.setattr(asking, "BACKOFF_S", 0.01)
    with hostile() as made:
        yield made


def catalog(links: object, **more: object) -> bytes:
    return json.dumps(
        {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d", "links": links} | more
    ).encode()


def item(name: str, **more: object) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "properties": {"datetime": "2020-06-01T00:00:00Z"}, "assets": {}} | more


def opened(site: HostileSite, *, most: int = 20, access: Access | None = None) -> Documents:
    return Documents(site.url, lambda path: path, access or Access(), CatalogLimits(most, SECONDS))


def read(site: HostileSite, path: str = "/", **how: Any) -> list[Item]:
    with opened(site, **how) as documents:
        return read_catalog(site.url + path, QUERY, documents)


def refused(site: HostileSite, message: str, path: str = "/", **how: Any) -> None:
    with pytest.raises(InputError, match=message):
        read(site, path, **how)


def send(content: bytes, **headers: str) -> Any:
    return lambda asked: asked.send(content, **headers)


def test_child_links_for_ever(site: HostileSite) -> None:
    site.answers["/"] = lambda asked: asked.send(catalog([{"rel": "child", "href": f"{asked.path}x/"}]))
    refused(site, r"has more than 20 documents: its links may lead on for ever. Name the part .*max_documents")
    assert len(site.seen) == 20


def test_items_for_ever_are_no_faults_of_items(site: HostileSite) -> None:
    links = [{"rel": "item", "href": f"/item/{n}"} for n in range(60)]
    site.answers |= {"/item/": send(b"{"), "/": send(catalog(links))}
    refused(site, "more than 20 documents")


def test_pages_for_ever(site: HostileSite) -> None:
    """An API whose next page always has the same item, which is one item, and never the last."""
    search = {"rel": "search", "href": f"{site.url}/search", "type": "application/geo+json", "method": "GET"}
    page = {"type": "FeatureCollection", "features": [item("a")], "links": [{"rel": "next", "href": f"{site.url}/search"}]}
    core = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    root = catalog([{"rel": "self", "href": site.url}, {"rel": "root", "href": site.url}, search], conformsTo=core)
    site.answers |= {"/search": send(json.dumps(page).encode()), "/": send(root)}
    with opened(site) as documents, pytest.raises(InputError, match="more than 20 documents"):
        search_api(site.url, Query(QUERY.box, QUERY.ranges, ("c",)), documents)
    # The client would open a file where an API names one.
    search["href"] = "file:///etc/passwd"
    site.answers["/"] = send(catalog([search], conformsTo=core))
    with opened(site) as documents, pytest.raises(InputError, match=r"is not an address of a catalog|answers HTTP"):
        search_api(site.url, Query(QUERY.box, QUERY.ranges, ("c",)), documents)


@pytest.mark.parametrize("features", [True, 5, [True], ["x"], [None], {"a": 1}])
def test_pages_of_other_types(site: HostileSite, features: object) -> None:
    search = {"rel": "search", "href": f"{site.url}/search", "type": "application/geo+json", "method": "GET"}
    core = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    page = {"type": "FeatureCollection", "features": features, "links": 5}
    site.answers |= {"/search": send(json.dumps(page).encode()), "/": send(catalog([search], conformsTo=core))}
    with opened(site) as documents, pytest.raises(InputError, match=r"is not a searchable STAC API|as an item"):
        search_api(site.url, Query(QUERY.box, QUERY.ranges, ("c",)), documents)


def test_a_catalog_that_takes_too_long_in_all(site: HostileSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "CATALOG_S", 0)
    site.answers["/"] = send(catalog([]))
    refused(site, "was read for 0 minutes .1 documents., and has no end yet")


@pytest.mark.parametrize("packing", [1, 2])
def test_a_body_that_swells(site: HostileSite, monkeypatch: pytest.MonkeyPatch, packing: int) -> None:
    """Megabytes from kilobytes: unpacked up to the limit and no further, and never twice."""
    monkeypatch.setattr(asking, "MOST_BYTES", 2**20)
    bomb = b'{"a":"' + b" " * 2**26 + b'"}'
    for _ in range(packing):
        bomb = gzip.compress(bomb, 6)
    site.answers["/"] = send(bomb, Content_Encoding=", ".join(["gzip"] * packing))
    refused(site, "sends more than 1 MB for one document" if packing == 1 else "packs its answer as 'gzip, gzip'")


@pytest.mark.parametrize("content", [b"\x1f\x8bdamaged", gzip.compress(b"{}" * 99, mtime=0)[:-9]])
def test_a_body_that_cannot_be_unpacked(site: HostileSite, content: bytes) -> None:
    site.answers["/"] = send(content, Content_Encoding="gzip")
    refused(site, "cannot be unpacked|breaks off")


def drip(asked: Asked, *, within_headers: bool) -> None:
    if not within_headers:
        asked.head(10_000)
    for _ in range(10_000):
        asked.wfile.write(b"X")
        asked.wfile.flush()
        time.sleep(0.02)


@pytest.mark.parametrize("within_headers", [False, True])
def test_one_byte_after_the_other(site: HostileSite, within_headers: bool) -> None:
    """No gap is long, and the answer never ends."""
    site.answers["/"] = lambda asked: drip(asked, within_headers=within_headers)
    began = time.monotonic()
    refused(site, "did not answer in time")
    assert time.monotonic() - began < 20 * SECONDS, "not the 200 s that the server takes"


def test_a_server_that_names_a_day_to_wait(site: HostileSite) -> None:
    site.answers["/"] = lambda asked: asked.send(b"", 503, Retry_After="86400")
    refused(site, "answers HTTP 503")


def test_redirects(site: HostileSite) -> None:
    site.answers |= {
        "/loop": lambda asked: asked.send(b"", 302, Location="/loop"), "/file": lambda a: a.send(b"", 302, Location="file:///x"),
        "/moved": lambda a: a.send(b"", 301, Location="/there"), "/there": send(catalog([])),
    }  # fmt: skip
    refused(site, "leads to another address more than 5 times", "/loop")
    refused(site, "leads to an address that is not http", "/file")
    assert read(site, "/moved") == []


def test_one_item_of_a_foreign_scheme(site: HostileSite) -> None:
    links = [{"rel": "item", "href": "gopher://x/odd.json"}, {"rel": "item", "href": "/item"}]
    site.answers |= {"/item": send(json.dumps(item("good")).encode()), "/": send(catalog(links))}
    odd, good = read(site)
    assert (odd.id, good.id, good.fault) == ("odd.json", "good", "")
    assert odd.fault.startswith("the scheme gopher:// is not accepted")


@pytest.mark.parametrize(
    "content",
    [
        catalog(5), catalog(None), catalog("x"), catalog([], id=5), catalog([], type="x"), catalog([], type=[]),
        catalog([], stac_version=1), b"[]", b"5", b"null", b"", b"\xff\xfe", b'{"type": "FeatureCollection", "features": true}',
        b'{"type": "FeatureCollection"}', b'{"type": "FeatureCollection", "features": {"a": 1}}', b"[" * 9000,
        b'{"a":' * 150 + b"1" + b"}" * 150, b'{"a": 1' + b"0" * 5000 + b"}", b'{"a": "\\ud800"}', b'{"a": 1e999}',
    ],
)  # fmt: skip
def test_what_is_no_catalog(site: HostileSite, content: bytes) -> None:
    site.answers["/"] = send(content)
    refused(site, "is no STAC catalog|no JSON|its `features` are|nested more than")


@pytest.mark.parametrize("links", [5, True, "x", {"rel": "self"}, [5], [{"rel": "self", "href": 5}], [{"rel": 5}], None])
def test_links_of_other_types(site: HostileSite, links: object) -> None:
    """What is no link is passed over: the item itself can be read."""
    features = [item("a", links=links), item("b")]
    site.answers["/list"] = send(json.dumps({"type": "FeatureCollection", "features": [*features, 5]}).encode())
    a, b, five = read(site, "/list")
    assert (a.id, a.fault, b.id) == ("a", "", "b")
    assert "has 5 in its list of items" in five.fault
    site.answers |= {"/item": lambda asked: asked.send(b"", 404), "/": send(catalog([links, {"rel": "item", "href": "/item"}]))}
    assert [i.fault != "" for i in read(site)] == [True], "its own item is not there"


def test_json_within_bounds() -> None:
    assert json_of('{"a": [1, 2.5, "\\ud83d\\ude00"]}', "x") == {"a": [1, 2.5, "\U0001f600"]}
    assert json_of(b"\xef\xbb\xbf[1e300]", "x") == [1e300]
    for text in ("NaN", "[Infinity]", "-1e999", "9" * 41):
        with pytest.raises(InputError, match="x is no JSON, or JSON that cannot be used"):
            json_of(text, "x")
    with pytest.raises(InputError, match="x is nested more than 100 levels deep"):
        json_of("[" * 101 + "]" * 101, "x")
    assert json_of("[" * 100 + "]" * 100, "x")


def test_files_that_are_no_files(site: HostileSite, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "catalog.json")
    with opened(site) as documents, pytest.raises(InputError, match="is a named pipe, and not a file"):
        read_catalog(str(tmp_path / "catalog.json"), QUERY, documents)


def test_hosts(site: HostileSite) -> None:
    port = site.url.rpartition(":")[2]
    links = [{"rel": "item", "href": f"http://localhost:{port}/item"}, {"rel": "item", "href": "/item"}]
    site.answers |= {"/item": send(json.dumps(item("a")).encode()), "/": send(catalog(links))}
    found = read(site, access=Access(hosts=("127.0.0.1",)))
    assert [("'localhost' is not among those of `scenes: stac: hosts:`" in i.fault) for i in found] == [True, False]
    refused(site, "The catalog .* is not asked: the host '127.0.0.1' is not among", access=Access(hosts=("example.org",)))
    for host, allowed, fits in [
        ("a.example.org", "*.example.org", True), ("example.org", "*.example.org", False),
        ("evilexample.org", "*.example.org", False),
        ("EXAMPLE.org", "example.ORG", True), ("example.org.evil.net", "example.org", False), ("bucket", "bucket", True),
    ]:  # fmt: skip
        address = f"{'s3' if host == 'bucket' else 'https'}://u:p@{host}/a.tif"
        if fits:
            remote_file(address, access=Access(hosts=(allowed,)))
        else:
            with pytest.raises(InputError, match="is not among those"):
                remote_file(address, access=Access(hosts=(allowed,)))


def test_a_redirect_does_not_lead_out_of_the_hosts(site: HostileSite) -> None:
    port = site.url.rpartition(":")[2]
    site.answers["/a.tif"] = lambda asked: asked.send(b"", 302, Location=f"http://localhost:{port}/secret.tif")
    file = remote_file(f"{site.url}/a.tif", access=Access(hosts=("127.0.0.1",)))
    with pytest.raises(InputError, match="is not asked: the host 'localhost' is not among"):
        read_raster(file)
    assert {path for path, _ in site.seen} == {"/a.tif"}


MACHINE = {
    "GDAL_HTTP_USERPWD": "gdal:s3cret", "GDAL_HTTP_BEARER": "s3cret", "GDAL_HTTP_HEADERS": "X-Key: s3cret",
    "GDAL_HTTP_COOKIE": "a=s3cret", "AWS_ACCESS_KEY_ID": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE",
}  # fmt: skip


@pytest.mark.parametrize("credentials", [(), ("aws",), ("gdal",), ("netrc",), ("hrefs",)])
def test_credentials_of_the_machine(
    site: HostileSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentials: tuple[Credential, ...]
) -> None:
    """A catalog chooses whom its readers ask: nothing of this machine is shown to them that the config does not name."""
    for name, value in MACHINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_S3_ENDPOINT", site.url.removeprefix("http://"))
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login net password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    grid = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (8, 8), "EPSG:32651")
    pixels = write_raster(tmp_path / "a.tif", np.ones((1, 8, 8), dtype=np.uint8), grid, nodata=0).read_bytes()

    def file(asked: Asked) -> None:
        size = len(pixels)
        if "Range" not in asked.headers:
            asked.send(pixels, Accept_Ranges="bytes")
            return
        first, _, last = asked.headers.get("Range", f"bytes=0-{size}").removeprefix("bytes=").partition("-")
        part = pixels[int(first) : min(int(last), size - 1) + 1]
        asked.send(part, 206, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{size}")

    name = f"{'-'.join(credentials) or 'none'}.tif"
    site.answers |= {"/c": send(catalog([])), "/": file}
    access = Access(credentials=credentials)
    user = site.url.replace("http://", "http://href:s3cret@")
    with opened(site, access=access) as documents:
        read_catalog(f"{user}/c", QUERY, documents)
    web, bucket = remote_file(f"{user}/web/{name}", access=access), remote_file(f"s3://bucket/{name}", access=access)
    ask(web)
    for place in (web, bucket):
        assert (read_raster(place)[0] == 1).all()
    shown = {
        (path.split("/")[1], key)
        for path, headers in site.seen
        for key, value in headers.items()
        if (value and key in ("authorization", "cookie", "x-key")) or "s3cret" in value
    }
    expected: dict[tuple[Credential, ...], set[tuple[str, str]]] = {
        (): set(), ("aws",): {("bucket", "authorization")}, ("netrc",): {("c", "authorization"), ("web", "authorization")},
        ("hrefs",): {("c", "authorization"), ("web", "authorization")},
    }  # fmt: skip
    if credentials == ("gdal",):
        assert ("web", "x-key") in shown
        assert ("c", "authorization") not in shown
    else:
        assert shown == expected[credentials]


def test_what_a_config_may_name() -> None:
    made = StacConfig.model_validate({"catalog": "c.json", "hosts": ["example.org"], "credentials": ["aws", "netrc"]})
    assert (made.hosts, made.credentials) == (("example.org",), ("aws", "netrc"))
    assert StacConfig(catalog="c.json").credentials == ()
    with pytest.raises(ValueError, match="credentials"):
        StacConfig.model_validate({"catalog": "c.json", "credentials": ["everything"]})


def test_an_answer_that_never_begins_leaves_nothing_behind(site: HostileSite) -> None:
    """Neither threads nor time: a question that was answered leaves its timer cancelled."""
    hold = threading.Event()

    def silent(asked: Asked) -> None:
        hold.wait(5)
        with suppress(OSError):
            asked.send(b"")

    site.answers |= {"/silent": silent, "/": send(b"x")}
    before = threading.active_count()
    with Asker(Access(), 0.2) as asker:
        assert asker.ask(Question(f"{site.url}/")).content == b"x"
        with pytest.raises(NoAnswerError, match="did not answer in time"):
            asker.ask(Question(f"{site.url}/silent"))
        assert asker.ask(Question(f"{site.url}/")).content == b"x"
    hold.set()
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.02)
    assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]


@pytest.mark.parametrize("text", ["<html>", "[1]"])
def test_an_answer_that_is_none_names_its_catalog(text: str) -> None:
    with (
        Documents("https://example.org/v1", lambda path: path, Access(), CatalogLimits()) as documents,
        pytest.raises(InputError, match=r"^The answer of https://example.org/v1 (is no JSON|holds no JSON object).*\.$"),
    ):
        ApiDocuments(documents).json_loads(text)


def test_a_host_that_may_not_be_asked_is_one_sentence_after_the_other() -> None:
    access = Access(hosts=("example.org",))
    with (
        Documents("https://example.com", lambda path: path, access, CatalogLimits()) as documents,
        pytest.raises(InputError, match=r"if it is meant\. Check the network"),
    ):
        documents.read("https://example.com/catalog.json")
