"""What a PostgreSQL server refuses, in words: what was found, and what an administrator has to type."""

import re

import sqlalchemy as sa

from landshift.pipeline.errors import InputError, UnavailableError
from landshift.pipeline.register.address import Address

_AGAIN = "Nothing was changed; run the same again."

_LOST = ("08", "57P01", "57P02", "57P03", "57P05")

_BUSY = ("40", "53", "55P03", "57014")

_LOGIN = (
    ("password authentication failed", "The password is not that of the user. Put it into PGPASSWORD or ~/.pgpass."),
    ("no password supplied", "It asks for a password. Put it into PGPASSWORD or ~/.pgpass."),
    (r"pg_hba\.conf", "It lets nobody in from here as this user. An administrator adds a line to its pg_hba.conf."),
    ("role .* does not exist", "Name another user, or let an administrator type: CREATE ROLE {user} LOGIN PASSWORD '...';"),
    ("database .* does not exist", "Name another database, or let an administrator type: CREATE DATABASE {database};"),
    ("authentication failed", "The login is refused. Check user, password and certificates."),
    ("permission denied", "An administrator types: GRANT CONNECT ON DATABASE {database} TO {user};"),
    ("definition of service", "Correct the name of the service, or ~/.pg_service.conf."),
    ("invalid|bad value for", "Correct the address."),
    ("certificate", "Correct sslmode, sslrootcert, sslcert or sslkey in the address."),
)  # fmt: skip
"""What the server or libpq says, as patterns (in English; other languages are told as they are) to what to do."""


def explained_login(said: str, address: Address) -> InputError | UnavailableError:
    """Return why nobody could log in; the server gives no codes then, but texts."""
    away = ("starting up", "shutting down", "recovery mode", "too many", "remaining connection slots")
    if not any(words in said for words in away):
        for words, remedy in _LOGIN:
            # A name may stand for several machines, each of which gives an answer of its own.
            line = next((line for line in said.splitlines() if re.search(words, line)), None)
            if line is not None:
                return InputError(f"{address} cannot be opened: {_plain(line)}. {_filled(remedy, address)}")
    last = _plain(said.strip().rpartition("\n- ")[2])
    return UnavailableError(
        f"{address} cannot be reached: {last}. If host and port are right, the server is away or busy: run this again later."
    )


def explained(error: sa.exc.DBAPIError, address: Address) -> InputError | UnavailableError:
    """Return what went wrong within a transaction, by its code (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    code, text = str(getattr(error.orig, "sqlstate", None) or ""), _plain(str(error.orig))
    # What the driver finds out by itself has no code.
    gone = not code and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    if error.connection_invalidated or gone or code.startswith(_LOST):
        return UnavailableError(
            f"The connection to {address} was lost ({text}). A merge is kept whole or not at all, and merging again is safe: "
            f"run the same again."
        )
    if code == "55P03":
        return UnavailableError(f"{address} is being written to by another program, and was for long. {_AGAIN}")
    if code.startswith(_BUSY):
        return UnavailableError(f"{address} cannot do it now ({text}). {_AGAIN}")
    return InputError(f"{address}: {text}. {_filled(_remedy(code, text, error), address)}")


def _filled(remedy: str, address: Address) -> str:
    names = {"{user}": address.user or "USER", "{database}": address.database or "DATABASE", "{schema}": address.schema}
    for gap, name in names.items():
        remedy = remedy.replace(gap, name)
    return remedy


def _plain(text: str) -> str:
    """Return what a server or libpq says without what follows in further lines: details, hints, data."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "it does not say why"


def _remedy(code: str, text: str, error: sa.exc.DBAPIError) -> str:
    if "extension" in text and code in ("42501", "0A000", "58P01"):
        return (
            "A register needs PostGIS. An administrator installs it on the server (Debian: apt install postgresql-postgis), "
            "and types in the database {database}: CREATE EXTENSION postgis;"
        )
    if code == "42501" and "spatial_ref_sys" in text:
        return (
            "The CRS of the runs has no EPSG code, and has to be added to those of PostGIS. An administrator types: "
            "GRANT SELECT, INSERT ON spatial_ref_sys TO {user}; or detect in a CRS with an EPSG code."
        )
    if code == "42501" and "for database" in text:
        return "An administrator types: CREATE SCHEMA {schema} AUTHORIZATION {user};"
    if code == "42501":
        return (
            "The user lacks the right. An administrator types, for one who merges: GRANT OWNER TO {user}; where OWNER is "
            "the role that made the register; for one who only reads: GRANT USAGE ON SCHEMA {schema} TO {user}; "
            "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user};"
        )
    if code == "25006":
        return "This server only hands out copies. Name the one that is written to."
    if isinstance(error, sa.exc.DataError):
        return (
            "A name or number in the run cannot be kept. Mend the run; and if it is about an encoding, the database needs UTF8."
        )
    if code in ("42P01", "42703", "42804", "42883"):
        return "The schema is damaged, or was made by something else. Restore it from a copy, or name another schema."
    return "The server refused it; nothing was changed."
