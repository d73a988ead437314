"""A server on loopback that does to its readers what it is told: one function a path."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Asked"], None]


class Asked(BaseHTTPRequestHandler):
    """One request, and ways to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answers: dict[str, Answer]
    seen: list[tuple[str, dict[str, str]]]

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.seen.append((self.path, {k.casefold(): v for k, v in self.headers.items()}))
        path = self.path.partition("?")[0]
        answer = next((a for start, a in self.answers.items() if path.startswith(start)), None)
        with suppress(ConnectionError):
            self.send(b"", 404) if answer is None else answer(self)

    do_HEAD = do_POST = do_GET

    def head(self, size: int, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(size), **{k.replace("_", "-"): v for k, v in headers.items()}}.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, content: bytes, code: int = 200, **headers: str) -> None:
        self.head(len(content), code, **headers)
        if self.command != "HEAD":
            self.wfile.write(content)


class HostileSite:
    """Its address, what it answers by the beginning of the path, and what it was asked."""

    def __init__(self, url: str, answers: dict[str, Answer], seen: list[tuple[str, dict[str, str]]]) -> None:
        self.url, self.answers, self.seen = url, answers, seen


@contextmanager
def hostile() -> Iterator[HostileSite]:
    class Own(Asked):
        answers, seen = {}, []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield HostileSite(f"http://127.0.0.1:{server.server_port}", Own.answers, Own.seen)
    finally:
        server.shutdown()
        server.server_close()
