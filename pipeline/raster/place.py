"""Places of rasters: a path here, or a file on a server of which only the parts needed are read."""

import hashlib
import logging
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit, urlunsplit

from landshift.pipeline.errors import InputError, UnreadableError
from landshift.pipeline.manifest import file_hash, value_hash
from landshift.pipeline.raster.beside import mask_file
from landshift.pipeline.raster.servers import asking
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.raster.servers.asking import Asker, NoAnswerError, Question, Reply

SCHEMES = ("http", "https", "s3")
"""Schemes that are read from servers; beside them only files, with or without `file://`."""
SUFFIXES = (".tif", ".tiff", ".jp2")
"""How the names of remote rasters end; GDAL asks a server for nothing else."""
_LOGGERS = ("rasterio", "rasterio._base", "rasterio._env", "rasterio._err", "rasterio._io", "rasterio._filepath",
            "rasterio.session", "urllib3.connectionpool", "urllib3.util.retry")  # fmt: skip
"""Who writes addresses into logs; a filter does not reach the loggers below its own."""
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server. What it prints has neither query nor user, where tokens are."""

    url: str
    """Without user and query: how it is called in messages, hashes and outputs."""
    raw: str = field(repr=False)
    """As the catalog has it, with user and query; never to be shown."""
    version: str | None = field(default=None, compare=False)
    """Of its content, from the catalog: a checksum, or when it was updated."""
    is_checksum: bool = field(default=False, compare=False)
    """Whether `version` is a checksum of the bytes."""
    advice: str = field(default="", repr=False, compare=False)
    """What opens it, by its catalog; a sentence for messages, empty where nothing is known."""
    access: Access = field(default=Access(), repr=False)
    """Hosts that may be asked for it, and credentials that may be used."""
    sign: Callable[[str], str] | None = field(default=None, repr=False, compare=False)
    """Signs its address each time it is opened, since signatures expire; None: it needs none."""

    @property
    def address(self) -> str:
        """With everything that opens it now; never to be shown."""
        return self.sign(self.raw) if self.sign else self.raw

    def __str__(self) -> str:
        """Return the address without secrets."""
        return self.url

    @property
    def name(self) -> str:
        """Last part of the path, as of a path here."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Of the name, such as `.tif`."""
        return PurePosixPath(self.name).suffix

    @property
    def gdal_name(self) -> str:
        """How GDAL calls it; never to be shown."""
        parts = urlsplit(self.address)
        return f"/vsis3/{parts.netloc}{parts.path}" if parts.scheme == "s3" else f"/vsicurl/{self.address}"

    def without_secrets(self, text: str) -> str:
        """Return a text, which a library wrote about this file, without what must not be shown."""
        parts = urlsplit(self.address)
        user = parts.netloc.rpartition("@")[0]
        values = [v for _, value in parse_qsl(parts.query) for v in (value, unquote(value))]
        raw = [piece.partition("=")[2] for piece in parts.query.split("&")]
        # An earlier signature too, of a file that is still open by it.
        text = re.sub(re.escape(self.url) + r"\?[^\s'\"]+", self.url, text.replace(self.address, self.url))
        for secret in sorted({parts.query, user, *user.split(":"), *values, *raw}, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "...")
        return text


@dataclass(frozen=True)
class ArchivedFile:
    """A file inside a .zip or .tar here, which is read where it lies."""

    archive: Path
    """The archive."""
    member: str
    """POSIX path inside it."""
    size: int = field(default=0, compare=False)
    """Bytes, unpacked."""
    checksum: str | None = field(default=None, compare=False)
    """Of its bytes, as the archive has it; None where it has none (.tar)."""

    def __str__(self) -> str:
        """Return archive and member as one path."""
        return f"{self.archive}/{self.member}"

    @property
    def name(self) -> str:
        """Last part of the path, as of a path here."""
        return PurePosixPath(self.member).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.member).stem

    @property
    def suffix(self) -> str:
        """Of the name, such as `.jp2`."""
        return PurePosixPath(self.member).suffix

    @property
    def gdal_name(self) -> str:
        """How GDAL calls it (https://gdal.org/en/stable/user/virtual_file_systems.html)."""
        kind = "vsizip" if self.archive.suffix.lower() == ".zip" else "vsitar"
        return f"/{kind}/{{{self.archive.resolve()}}}/{self.member}"

    def read(self, at_most: int = -1) -> bytes:
        """Return its bytes, or the first of them.

        Raises:
            InputError: The archive or the member cannot be read.
        """
        try:
            if self.archive.suffix.lower() == ".zip":
                with zipfile.ZipFile(self.archive) as archive, archive.open(self.member) as stream:
                    return stream.read(at_most)
            with tarfile.open(self.archive, "r:") as packed:
                found = packed.extractfile(self.member)
                return found.read(at_most) if found else b""
        except DAMAGED_ARCHIVE as error:
            raise UnreadableError(f"{self} cannot be read ({error}). The archive is damaged; download it again.") from error


DAMAGED_ARCHIVE = (
    OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What Python raises about archives that are damaged."""

RasterPlace = Path | RemoteFile | ArchivedFile
"""Where a raster lies."""


def remote_file(
    address: str, version: str | None = None, *, is_checksum: bool = False, advice: str = "", access: Access | None = None
) -> RemoteFile:
    """Build a remote file from its address; the rest is as the fields of `RemoteFile`.

    Raises:
        InputError: A scheme, a name or a host that is not accepted.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise InputError("An address cannot be read as a URL. Correct it in the catalog.") from error
    # Names of buckets keep their case.
    named = f"{host or ''}{port}" if parts.scheme != "s3" else parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, named, parts.path, "", ""))
    if parts.scheme not in SCHEMES or not host or not address.isprintable():
        raise InputError(f"{shown!a:.200} is not accepted: expected a file, file://, {', '.join(f'{s}://' for s in SCHEMES)}.")
    may = access or Access()
    may.require_host(address)
    if may.without_user(address) != address:
        advice = f"The user in its address is used with `scenes: stac: credentials: [hrefs]` alone. {advice}".rstrip()
    file = RemoteFile(shown, may.without_user(address), version, is_checksum, advice=advice, access=may)
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{shown} does not end in {', '.join(SUFFIXES)}. Expected a GeoTIFF or JPEG 2000.")
    return file


def resolve(href: str, base: str) -> str:
    """Return an href of an item as an address: with scheme on a server, else as a path.

    Args:
        href: As in the item.
        base: Where the item itself was read: an address or a path, empty where it is not known.

    Raises:
        InputError: A scheme that is not accepted, or an href that cannot be resolved.
    """
    scheme = href.partition(":")[0].casefold() if ":" in href.partition("/")[0] else ""
    if scheme == "file":
        parts = urlsplit(href)
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"{href.partition('?')[0]!a:.200} names the host {parts.netloc}; expected file:///PATH.")
        return unquote(parts.path)
    if scheme in SCHEMES:
        return scheme + href[len(scheme) :]
    if scheme:
        raise InputError(
            f"the scheme {scheme}:// is not accepted. Expected a relative href, file://, "
            f"{', '.join(f'{s}://' for s in SCHEMES)}."
        )
    if href.startswith("/vsi"):
        raise InputError(f"{href.partition('?')[0]!a:.200} is a name of GDAL's own. Expected an href as STAC has them.")
    there = urlsplit(base).scheme
    if there in SCHEMES:
        # urljoin knows how to join http alone.
        return there + urljoin(f"http{base[len(there) :]}", href).removeprefix("http")
    if not base and not href.startswith("/"):
        raise InputError(f"{href.partition('?')[0]!a:.200} is relative, and where the item itself lies is not known.")
    return str(Path(base).parent / href)


def is_remote(address: str) -> bool:
    """Return whether an address lies on a server."""
    return urlsplit(address).scheme in SCHEMES


@dataclass(frozen=True)
class ServerAnswer:
    """A file as its server describes it."""

    size: int
    """Bytes."""
    etag: str | None
    """The server's mark for this content, None where it gives none."""
    modified: str | None
    """When it was changed, None where the server gives no date."""


def ask(file: RemoteFile) -> ServerAnswer:
    """Ask a server about a file, without downloading it.

    One byte is asked for: addresses that are signed for reading often refuse HEAD, and the answer shows whether parts can
    be read at all.

    Raises:
        InputError: It is not there, may not be read, or the server fails, is slow, or cannot send parts.
    """
    try:
        with keeping_secrets(file), Asker(file.access, asking.ANSWER_S) as asker:
            return _answer(file, asker.ask(Question(file.address, headers={"Range": "bytes=0-0"}, body=False)))
    except NoAnswerError as error:
        raise UnreadableError(f"{file}: the server {error}. Check the network, or try again later.") from None


def _answer(file: RemoteFile, answer: Reply) -> ServerAnswer:
    code, hint = answer.status, f" {file.advice}".rstrip()
    if code in (404, 410):
        raise UnreadableError(
            f"{file} is not there (HTTP {code}), though the catalog names it. Leave the item out, or report it to its "
            f"keeper.{hint}"
        )
    if code in (401, 403):
        raise UnreadableError(
            f"{file} may not be read (HTTP {code}). The catalog's files may need signing: see `scenes: stac: sign:`.{hint}"
        )
    if code >= 400:
        raise UnreadableError(f"{file}: the server answers HTTP {code} again and again. Try again later.{hint}")
    total = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if code != 206 or not total.isdigit():
        raise UnreadableError(
            f"{file}: the server cannot send parts of a file (HTTP range requests), so every read would download it whole. "
            f"Download it once, and use `scenes: folder:`.{hint}"
        )
    return ServerAnswer(int(total), answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


def place_hash(place: RasterPlace) -> str:
    """Return a text that changes when a raster's content does.

    Of a file here that is the hash of its bytes, and of those of the mask file beside it; a remote one is not downloaded for
    it: the catalog's checksum, else ETag, size and last change, as server and catalog have them.

    Raises:
        InputError: The server cannot be asked, or has no mark of a file's content.
    """
    if isinstance(place, Path):
        beside = mask_file(place)
        return file_hash(place) if beside is None else value_hash([file_hash(place), file_hash(beside)])
    if isinstance(place, ArchivedFile):
        return f"archived:{place.checksum or hashlib.sha256(place.read()).hexdigest()}:{place.size}"
    if place.is_checksum:
        return f"file:checksum:{place.version}"
    if urlsplit(place.address).scheme == "s3":
        if place.version is None:
            raise InputError(
                f"{place}: the item has neither `file:checksum` nor `updated`, so a change of the file would not be noticed. "
                f"Use an https:// asset, or download it."
            )
        return "remote:" + value_hash([place.version])
    answer = ask(place)
    return "remote:" + value_hash([answer.etag, answer.size, answer.modified, place.version])


@contextmanager
def keeping_secrets(place: RasterPlace) -> Iterator[None]:
    """Keep a file's token out of what libraries log inside the block."""
    if not isinstance(place, RemoteFile) or place.address == place.url:
        yield
        return

    def clean(record: logging.LogRecord) -> bool:
        record.msg, record.args, record.exc_info = place.without_secrets(record.getMessage()), None, None
        return True

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(clean)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(clean)
