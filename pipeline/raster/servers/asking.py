"""Questions to servers that end: in time, in size, after a few redirects, and without credentials of the machine."""

import socket
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Timer
from typing import Any
from urllib.parse import urljoin, urlsplit
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.servers.access import Access

CONNECT_S = 10.0
"""Seconds to reach a server."""
ANSWER_S = 30.0
"""Seconds from a question about a file to the end of its answer, with all that is tried again."""
RETRIES = 3
"""Further tries after an answer that may pass: 429 and 5xx."""
BACKOFF_S = 0.3
"""Seconds before the first further try, doubled before each next one, unless the server names a time."""
MOST_BYTES = 32 * 2**20
"""Of an answer, unpacked: 100 items of the richest catalogs have 5 MB; what Python makes of 32 MB takes about 300 MB."""
_REDIRECTS = 5
_PASSING = (429, 500, 502, 503, 504)
_PIECE = 2**16
_MOVED = (301, 302, 303, 307, 308)


class NoAnswerError(Exception):
    """A server did not answer as it should; the text follows its name in a sentence, and holds no address."""


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """Of the answer, whatever the case of their names."""
    content: bytes
    """The body, unpacked; empty where it was not wanted."""


@dataclass(frozen=True)
class Question:
    """What a server is asked."""

    address: str
    """With scheme, http or https."""
    method: str = "GET"
    """Of HTTP."""
    headers: Mapping[str, str] | None = None
    """Further ones; they do not follow a redirect to another host."""
    json: Any = None
    """Body, None where it has none."""
    body: bool = True
    """Whether the body of the answer is wanted."""


class Asker:
    """Asks servers, one question after the other, and keeps connections open between them."""

    def __init__(self, access: Access, seconds: float) -> None:
        """Ask nothing yet.

        Args:
            access: Hosts that may be asked, and credentials that may be used.
            seconds: From a question to the last byte of its answer, with all that is tried again.
        """
        self._access, self._seconds = access, seconds
        self._guard = _Guard()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._guard))

    def __enter__(self) -> "Asker":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def ask(self, question: Question) -> Reply:
        """Return the answer, also one of an error.

        Raises:
            NoAnswerError: It is late, too large, cannot be unpacked, or leads to a host that may not be asked.
        """
        end = time.monotonic() + self._seconds
        for number in range(RETRIES + 1):
            last = number == RETRIES
            try:
                reply = self._follow(question, end)
            except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
                if last or time.monotonic() + _pause(number, {}) >= end:
                    raise NoAnswerError(failure_of(error)) from None
                reply = None
            except requests.RequestException as error:
                raise NoAnswerError(failure_of(error)) from None
            pause = _pause(number, reply.headers if reply else {})
            if reply and (reply.status not in _PASSING or last or time.monotonic() + pause >= end):
                return reply
            time.sleep(pause)
        raise AssertionError  # the last try returns or raises

    def _follow(self, question: Question, end: float) -> Reply:
        address, method, body = question.address, question.method, question.json
        headers = dict(question.headers or {})
        for _ in range(_REDIRECTS + 1):
            try:
                self._access.require_host(address)
            except InputError as error:
                raise NoAnswerError(f"is not asked: {error}") from None
            if urlsplit(address).scheme not in ("http", "https"):
                raise NoAnswerError("leads to an address that is not http(s)://")
            asked = Question(address, method, headers, body, body=question.body)
            reply, target = self._once(asked, end - time.monotonic())
            if target is None:
                return reply
            following = urljoin(address, target)
            if urlsplit(following).netloc != urlsplit(address).netloc:
                headers = {}
            if reply.status not in (307, 308):
                method, body = "GET", None
            address = following
        raise NoAnswerError(f"leads to another address more than {_REDIRECTS} times")

    def _once(self, question: Question, seconds: float) -> tuple[Reply, str | None]:
        address = self._access.without_user(question.address)
        # Packed in one known way only, so that the size of what comes out is under control.
        headers = {"Accept-Encoding": "gzip, deflate" if question.body else "identity"} | dict(question.headers or {})
        try:
            with self._guard.within(seconds), self._session.request(
                question.method, address, headers=headers, json=question.json, auth=self._user(address), stream=True,
                allow_redirects=False, timeout=(min(CONNECT_S, seconds), seconds),
            ) as answer:  # fmt: skip
                target = answer.headers.get("Location") if answer.status_code in _MOVED else None
                wanted = question.body and target is None
                content = _unpack(answer.raw.stream(_PIECE, decode_content=False), answer) if wanted else b""
        except (requests.RequestException, HTTPError):
            if self._guard.is_over:
                raise NoAnswerError("did not answer in time") from None
            raise
        if self._guard.is_over:
            raise NoAnswerError("did not answer in time")
        return Reply(answer.status_code, answer.headers, content), target

    def _user(self, address: str) -> Any:  # noqa: ANN401
        """Return who asks: where this is not given, requests takes users from addresses and from ~/.netrc."""
        if "netrc" in self._access.credentials:
            return None
        user = get_auth_from_url(address)
        return user if any(user) else _stay_anonymous


def _stay_anonymous(request: Any) -> Any:  # noqa: ANN401 (requests is not typed)
    """Add nothing to a request."""
    return request


def _pause(number: int, headers: Mapping[str, str]) -> float:
    named = headers.get("Retry-After", "")
    return float(named) if named.isascii() and named.isdigit() and len(named) < 9 else BACKOFF_S * 2**number


def _unpack(pieces: Iterable[bytes], answer: Any) -> bytes:  # noqa: ANN401
    coding = answer.headers.get("Content-Encoding", "").strip().casefold()
    if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise NoAnswerError(f"packs its answer as {coding!a:.60}, and gzip was asked for")
    unpacker = None if coding in ("", "identity") else zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
    found = bytearray()
    try:
        for piece in pieces:
            # One byte more than is allowed is enough to know.
            found += piece if unpacker is None else unpacker.decompress(piece, MOST_BYTES + 1 - len(found))
            if len(found) > MOST_BYTES:
                raise NoAnswerError(f"sends more than {MOST_BYTES // 2**20} MB for one document")
    except zlib.error as error:
        raise NoAnswerError(f"sends an answer that cannot be unpacked ({error})") from None
    if unpacker is not None and not unpacker.eof:
        raise NoAnswerError("sends an answer that breaks off")
    return bytes(found)


def failure_of(error: Exception) -> str:
    """Return in words what kept a request from being answered; the error's own text holds addresses."""
    folded = str(error).casefold()
    if isinstance(error, requests.Timeout) or "timed out" in folded:
        return "did not answer in time"
    for sign, why in (
        ("nameresolution", "its name is not known here"), ("connection refused", "it refuses connections"),
        ("certificate", "its certificate is not trusted here"), ("incompleteread", "its answer breaks off"),
        ("remotedisconnected", "it ends the connection"), ("proxy", "the proxy does not let it through"),
    ):  # fmt: skip
        if sign in folded:
            return f"cannot be reached: {why}"
    return f"cannot be reached ({type(error).__name__})"


class _Guard:
    """Ends what its connections wait for, once the time of a question is over: at any gap between bytes, and in headers."""

    def __init__(self) -> None:
        self.is_over = False
        self.connections: WeakSet[_Twinned] = WeakSet()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.is_over = False
        timer = Timer(max(0.0, seconds), self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        for connection in list(self.connections):
            connection.end()


class _Twinned:
    """A connection with a second handle of its socket, by which another thread ends it in any phase, TLS too."""

    guard: _Guard
    twin: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.twin = made.dup()
        self.guard.connections.add(self)
        if self.guard.is_over:
            self.end()
        return made

    def end(self) -> None:
        with suppress(OSError):
            if self.twin is not None:
                self.twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if self.twin is not None:
            self.twin.close()
            self.twin = None


class _Adapter(HTTPAdapter):
    """Connections that the guard can end. Nothing is tried again here."""

    def __init__(self, guard: _Guard) -> None:
        class Plain(_Twinned, HTTPConnection):
            pass

        class Secure(_Twinned, HTTPSConnection):
            pass

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        Plain.guard = Secure.guard = guard
        self._pools: dict[str, type] = {"http": PlainPool, "https": SecurePool}
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        made = super().proxy_manager_for(*args, **kwargs)
        made.pool_classes_by_scheme = self._pools
        return made
