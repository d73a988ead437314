"""Documents of one catalog, here and on servers, within limits of number, size, time and hosts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pystac.link import Link
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import read_bytes
from landshift.pipeline.limits import JSON_BYTES
from landshift.pipeline.raster.place import is_remote, resolve
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.raster.servers.asking import Asker, NoAnswerError, Question, Reply
from landshift.pipeline.records import Json, json_of

CATALOG_S = 1800
"""Seconds for all documents of a catalog together."""
_OK = 200


@dataclass(frozen=True)
class CatalogLimits:
    """How far a catalog is followed."""

    documents: int = 5000
    """Catalogs, collections, items and pages that are read of it; more are an error: links may lead on for ever."""
    answer_s: float = 60
    """Seconds from asking for a document to its last byte."""


class EndlessCatalogError(InputError):
    """A catalog has more documents, or takes more time, than it may."""


class Documents:
    """Reads the documents of one catalog, and counts them."""

    def __init__(self, place: str, allowed: Callable[[Path], Path], access: Access, limits: CatalogLimits) -> None:
        """Read nothing yet.

        Args:
            place: The catalog, for messages.
            allowed: Returns where a path may be read, or refuses it.
            access: Hosts that may be asked, and credentials that may be used.
            limits: How far it is followed.
        """
        self.place, self._allowed, self._limits = place, allowed, limits
        self._asker = Asker(access, limits.answer_s)
        self._read, self._end = 0, time.monotonic() + CATALOG_S

    def __enter__(self) -> "Documents":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what it asked servers with."""
        self._asker.close()

    def read(self, href: str) -> Json:
        """Return the JSON object at an address or a path.

        Raises:
            InputError: It cannot be read, lies outside, is no JSON object, or one document too many.
        """
        shown = href.partition("?")[0]
        if is_remote(href):
            reply = self.ask(Question(href))
            if reply.status != _OK:
                raise InputError(f"The catalog {shown} answers HTTP {reply.status}. Check `scenes: stac: catalog:`.")
            text = reply.content
        else:
            self._count()
            text = read_bytes(self._allowed(Path(resolve(href, "/"))), JSON_BYTES)
        content = json_of(text, shown, nan=True)
        if not isinstance(content, dict):
            raise InputError(f"{shown} holds no JSON object. Expected a STAC catalog or item.")
        return content

    def ask(self, question: Question) -> Reply:
        """Return a server's answer.

        Raises:
            InputError: It does not answer as it should, may not be asked, or it is one document too many.
        """
        self._count()
        shown = question.address.partition("?")[0]
        if not question.address.startswith(("http://", "https://")):
            raise InputError(f"{shown!a:.200} is not an address of a catalog: expected http:// or https://.")
        try:
            return self._asker.ask(question)
        except NoAnswerError as error:
            why = str(error).removesuffix(".")
            raise InputError(f"The catalog {shown} {why}. Check the network, or try again later.") from None

    def _count(self) -> None:
        self._read += 1
        if self._read > self._limits.documents:
            raise EndlessCatalogError(
                f"{self.place} has more than {self._limits.documents} documents: its links may lead on for ever. Name the "
                f"part that is meant, or raise `scenes: stac: max_documents:`."
            )
        if time.monotonic() > self._end:
            raise EndlessCatalogError(
                f"{self.place} was read for {CATALOG_S // 60} minutes ({self._read} documents), and has no end yet. Name the "
                f"part that is meant, or narrow the epochs."
            )


class ApiDocuments(StacApiIO):
    """Lets the client of APIs read its documents as all others are read."""

    def __init__(self, documents: Documents) -> None:
        """Read from these."""
        super().__init__(max_retries=None)
        self._documents = documents

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 (the client's own signature)
        """Return a document; never a file here, which the client would open where an API names one."""
        return (
            super().read_text(source, *args, **kwargs)
            if isinstance(source, Link)
            else self.request(str(source), *args, **kwargs)
        )

    def request(
        self, href: str, method: str | None = None, headers: dict[str, str] | None = None,
        parameters: Json | None = None,
    ) -> str:  # fmt: skip
        """Return the answer's text.

        Raises:
            APIError: The server answers that something is wrong.
            InputError: It does not answer as it should.
        """
        verb = str(method or "GET").upper()
        if verb not in ("GET", "POST"):
            raise InputError(f"{href.partition('?')[0]!a:.200} is to be asked by {verb!a:.20}. Expected GET or POST.")
        added = {str(k): str(v) for k, v in headers.items()} if isinstance(headers, Mapping) else None
        asked = Question(
            _with_query(href, parameters) if verb == "GET" else href, verb, added, parameters if verb == "POST" else None
        )
        reply = self._documents.ask(asked)
        text = reply.content.decode("utf-8", errors="replace")
        if not _OK <= reply.status < 300:
            error = APIError(text[:200])
            error.status_code = reply.status
            raise error
        return text

    def json_loads(self, txt: str, *_: Any, **__: Any) -> Json:  # noqa: ANN401 (the client's own signature)
        """Return what an answer holds."""
        origin = f"The answer of {self._documents.place}"
        content = json_of(txt, origin, nan=True)
        if not isinstance(content, dict):
            raise InputError(f"{origin} holds no JSON object. Expected a STAC API; check `scenes: stac: url:`.")
        return content


def _with_query(href: str, parameters: Json | None) -> str:
    if not parameters:
        return href
    prepared = requests.Request("GET", href, params=dict(parameters)).prepare()
    return str(prepared.url)
