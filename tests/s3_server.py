"""Object storage on loopback, as far as copies of runs need it, which fails as it is told."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Bucket:
    """What it holds, in the order in which it came, and what is to go wrong."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}
        self.marks: dict[str, str] = {}
        self.log: list[tuple[str, str]] = []
        self.heads: list[dict[str, str]] = []
        self.slow_s = 0.0
        self.status = 0
        self.own_marks = False
        """Whether ETags are those of storage that encrypts with keys of its own, which do not follow from the bytes."""

    def store(self, name: str, content: bytes, mark: str = "") -> str:
        self.objects.pop(name, None)
        self.objects[name] = content
        self.marks[name] = "kms" + hashlib.sha256(content).hexdigest()[:29] if self.own_marks else mark or _md5(content)
        return self.marks[name]


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bucket: Bucket
    parts: dict[str, dict[int, bytes]]

    def log_message(self, *_: object) -> None: ...

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def act(self) -> None:
        address = urlsplit(self.path)
        name, query = unquote(address.path).removeprefix("/bucket").lstrip("/"), parse_qs(address.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.bucket.heads.append({k.casefold(): v for k, v in self.headers.items()})
        if not address.path.startswith("/bucket"):
            return self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if self.bucket.status:
            return self.answer(self.bucket.status)
        self.bucket.log.append((self.command, name))
        return getattr(self, f"on_{self.command.lower()}")(name, query, body)

    do_GET = do_PUT = do_HEAD = do_POST = act

    def on_put(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        time.sleep(self.bucket.slow_s)
        if "uploadId" in query:
            self.parts[name][int(query["partNumber"][0])] = body
            return self.answer(200, ETag=f'"{_md5(body)}"')
        return self.answer(200, ETag=f'"{self.bucket.store(name, body)}"')

    def on_post(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        if "delete" in query:
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for key in keys:
                self.bucket.log.append(("DELETE", key))
                self.bucket.objects.pop(key, None)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())
        if "uploads" in query:
            self.parts[name] = {}
            text = f"<Bucket>bucket</Bucket><Key>{escape(name)}</Key><UploadId>u1</UploadId>"
            return self.answer(200, f"<InitiateMultipartUploadResult>{text}</InitiateMultipartUploadResult>".encode())
        parts = [content for _, content in sorted(self.parts.pop(name).items())]
        together = _md5(b"".join(hashlib.md5(part).digest() for part in parts))
        mark = self.bucket.store(name, b"".join(parts), f"{together}-{len(parts)}")
        text = f"<Location>x</Location><Bucket>bucket</Bucket><Key>{escape(name)}</Key><ETag>&quot;{mark}&quot;</ETag>"
        return self.answer(200, f"<CompleteMultipartUploadResult>{text}</CompleteMultipartUploadResult>".encode())

    def on_get(self, name: str, query: dict[str, list[str]], _: bytes) -> None:
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            entries = "".join(
                f"<Contents><Key>{escape(k)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;"
                f"{self.bucket.marks[k]}&quot;</ETag><Size>{len(v)}</Size></Contents>"
                for k, v in sorted(self.bucket.objects.items())
                if k.startswith(prefix)
            )
            head = f"<Name>bucket</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
            return self.answer(200, f"<ListBucketResult>{head}{entries}</ListBucketResult>".encode())
        content = self.bucket.objects.get(name)
        if content is None:
            return self.answer(404)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        modified = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": f'"{self.bucket.marks[name]}"'}
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            place = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
            return self.answer(206, content[first : last + 1], **modified, **place)
        return self.answer(200, content, **modified)

    on_head = on_get


@contextmanager
def storing() -> Iterator[Bucket]:
    class Own(Handler):
        parts = {}  # noqa: RUF012 (of this server alone)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads, server.block_on_close = True, False
    Own.bucket = made = Bucket(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
