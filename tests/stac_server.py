"""A STAC API and a file server with ranges on loopback, which counts bytes and fails as it is told."""

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from landshift.pipeline.grid import Grid

CONFORMS = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]


class Site:
    """What the server has, and what it saw."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.items: list[dict[str, Any]] = []
        self.conforms = CONFORMS
        self.faults: dict[str, list[tuple[str, float]]] = defaultdict(list)
        """Path to what happens at its next requests: (`status`, code), (`slow`, seconds) or (`cut`, bytes); `!` stays."""
        self.sent: dict[str, int] = defaultdict(int)
        self.asked: list[str] = []
        self.heads: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request, names in lower case."""
        self.marks: dict[str, str] = {}
        """ETags, where they are not the path."""
        self.ranges = True
        self.page = 2

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        start, end = (datetime.fromisoformat(t) for t in body["datetime"].split("/"))
        west, south, east, north = body["bbox"]
        hits = [
            i for i in self.items
            if i["collection"] in body["collections"] and start <= utc(i["properties"]["datetime"]) <= end
            and i["bbox"][0] <= east and i["bbox"][2] >= west and i["bbox"][1] <= north and i["bbox"][3] >= south
        ]  # fmt: skip
        at, size = body.get("token", 0), min(self.page, body.get("limit", 10))
        following = {"rel": "next", "href": f"{self.url}/search", "method": "POST", "merge": True, "body": {"token": at + size}}
        links = [following] if at + size < len(hits) else []
        return {"type": "FeatureCollection", "features": hits[at : at + size], "links": links}

    def root(self) -> dict[str, Any]:
        search = {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": "POST"}
        return {
            "type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "d", "conformsTo": self.conforms,
            "links": [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}, search],
        }  # fmt: skip


def add_item(
    site: Site, name: str, when: str, grid: Grid, files: dict[str, tuple[str, bytes]], **properties: Any
) -> dict[str, Any]:
    """Put an item and its files, (name, content) by band, on the server."""
    assets = {}
    for band, (file, content) in files.items():
        site.files[f"/files/{file}"] = content
        assets[band] = {
            "href": f"{site.url}/files/{file}", "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"], "proj:transform": list(grid.transform)[:6], "proj:shape": list(grid.shape),
        }  # fmt: skip
    outline = grid.geographic_extent
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "s2", "links": [], "assets": assets,
        "bbox": [float(v) for v in outline.boundingbox.bbox], "geometry": json.loads(json.dumps(outline.json)),
        "properties": {"datetime": when, "proj:code": str(grid.crs), "eo:cloud_cover": 10.0} | properties,
    }  # fmt: skip
    site.items.append(item)
    return item


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text if re.search(r"(Z|[+-]\d\d:\d\d)$", text) else f"{text}Z")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, 1 << 16
    site: Site

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("", "/"):
            self.reply(200, json.dumps(self.site.root()).encode())
        elif path not in self.site.files:
            self.reply(404, b"")
        else:
            self.file(self.site.files[path])

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(200, json.dumps(self.site.search(body)).encode())

    def file(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or not self.site.ranges:
            return self.reply(200, content)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        return self.reply(206, content[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def reply(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        path = self.path.partition("?")[0]
        self.site.asked.append(self.path)
        self.site.heads.append((path, {k.casefold(): v for k, v in self.headers.items()}))
        kind, how = next(((f[0], f[1]) for f in self.site.faults[path][:1]), ("", 0.0))
        if self.site.faults[path] and kind.rstrip("!") == kind:
            self.site.faults[path].pop(0)
        kind = kind.rstrip("!")
        if kind == "status":
            code, body, headers = int(how), b"", None
        if kind == "slow":
            time.sleep(how)
        self.send_response(code)
        mark = {"Content-Length": str(len(body)), "ETag": f'"{self.site.marks.get(path, path)}"'}
        for name, value in (mark | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            body = body[: int(how)] if kind == "cut" and len(body) > how else body
            self.wfile.write(body)
            self.site.sent[path] += len(body)
            self.close_connection = kind == "cut"


_TAKEN: set[int] = set()
"""Ports of earlier servers of this process: GDAL keeps parts of files by address, whatever server answers there later."""


@contextmanager
def serving() -> Iterator[Site]:
    class Own(Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    while server.server_port in _TAKEN:
        server.server_close()
        server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    _TAKEN.add(server.server_port)
    server.daemon_threads = True
    Own.site = site = Site(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
