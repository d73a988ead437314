"""Location of a register: the path of a GeoPackage, or the address of a schema in a PostgreSQL database."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from landshift.pipeline.errors import InputError

_EXPECTED = "expected one such as postgresql://USER@HOST:5432/DATABASE?schema=landshift"
_ADDRESS = re.compile(r"\s*postgres(ql)?(\+\w*)?\s*(:|//)", re.IGNORECASE)
_KEYWORDS = re.compile(r"\bpassword\s*=", re.IGNORECASE)
_SCHEMA = re.compile(r"[^\W\d]\w*")
_LONGEST = 63
"""Bytes of a name in PostgreSQL."""
OPTIONS = (
    "host", "port", "service", "connect_timeout", "application_name", "sslmode", "sslrootcert", "sslcert", "sslkey",
    "passfile", "gssencmode", "channel_binding", "target_session_attrs",
)  # fmt: skip
"""Options of an address besides `schema`, as libpq names them, without those that hold secrets."""


class Secret:
    """A text that nothing shows by accident: no message, no `asdict`, no JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self._text = text

    def __repr__(self) -> str:
        """Return stars."""
        return "***"

    def reveal(self) -> str:
        """Return the text."""
        return self._text


@dataclass(frozen=True)
class Address:
    """A register on a server. As text it is an address without its password."""

    schema: str
    """Schema that holds the register and nothing else."""
    host: str | None = None
    """Name of the server; None for libpq's own settings (PGHOST, a service)."""
    port: int | None = None
    """Of the server; None for libpq's setting, else 5432."""
    database: str | None = None
    """Name of the database; None for libpq's setting."""
    user: str | None = None
    """Who logs in; None for libpq's setting."""
    password: Secret | None = None
    """None where libpq finds it: in PGPASSWORD, ~/.pgpass or a service file."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Other settings of libpq, of `OPTIONS`."""

    def __str__(self) -> str:
        """Return the address as it may be shown."""
        from sqlalchemy import URL

        query = {"schema": self.schema, **self.options}
        # SQLAlchemy decodes and encodes all parts but the name of the database.
        database = None if self.database is None else quote(self.database, safe="")
        return URL.create("postgresql", self.user, None, self.host, self.port, database, query).render_as_string()


RegisterLocation = Path | Address
"""Where a register is."""


def location_of(text: str | Path) -> RegisterLocation:
    """Return the location that a text names: a path, or the address of a register on a server.

    Raises:
        InputError: It is an address that cannot be read. The message never shows the address, which may hold a password.
    """
    if isinstance(text, Path):
        return text
    if _ADDRESS.match(text):
        return _address(text)
    if _KEYWORDS.search(text):
        # A path would be shown.
        raise InputError(f"The register is named by words of libpq such as password=; {_EXPECTED}.")
    scheme, separator, _ = text.partition("://")
    if separator:
        raise InputError(f"No register can be at an address that begins with {scheme}://; name a GeoPackage, or {_EXPECTED}.")
    return Path(text)


def _address(text: str) -> Address:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The cause would show the text.
        raise InputError(f"The address of the register cannot be read; {_EXPECTED}.") from None
    if any("@" in part for part in (url.host or "", url.database or "", *url.query)):
        raise InputError(
            f"The address of the register has more than one @; {_EXPECTED}, and in a password write %40 for @ (or leave the "
            f"password out, and put it into PGPASSWORD or ~/.pgpass)."
        )
    parts = (url.username, url.password, url.host, url.database and unquote(url.database), *map(str, url.query.values()))
    if any("\0" in str(part) for part in parts):
        # libpq reads up to it, and would log in somewhere else.
        raise InputError(f"The address of the register holds a NUL (%00); {_EXPECTED}.")
    repeated = [name for name, value in url.query.items() if not isinstance(value, str)]
    unknown = [name for name in url.query if name not in (*OPTIONS, "schema")]
    if repeated or unknown:
        shown = [name for name in (*repeated, *unknown) if re.fullmatch("[a-z_]+", name)]
        raise InputError(
            f"The address of the register has options that it cannot have{': ' if shown else ''}{', '.join(shown)}; expected "
            f"schema or some of {', '.join(OPTIONS)}, each once."
        )
    options = {name: str(value) for name, value in url.query.items()}
    schema = options.pop("schema", "landshift")
    if (
        not _SCHEMA.fullmatch(schema)
        or len(schema.encode()) > _LONGEST
        or schema.startswith("pg_")
        or schema == "information_schema"
    ):
        raise InputError(
            f"The address of the register has the schema {schema!r}; expected a name of letters, digits and _ that begins with "
            f"a letter, does not begin with pg_, and has {_LONGEST} bytes at most."
        )
    password = None if url.password is None else Secret(str(url.password))
    database = unquote(url.database) if url.database else None
    return Address(schema, url.host or None, url.port, database, user=url.username or None, password=password, options=options)
