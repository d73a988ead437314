"""A PostgreSQL server with PostGIS of our own, in a folder that goes with it: started by the first test that asks for it.

pytest-postgresql starts servers as the user who tests, which PostgreSQL refuses for root, as whom CI runs; and it makes a
database for each test, where a schema is enough.
"""

import atexit
import functools
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from landshift.pipeline.register.address import Address, location_of
from landshift.pipeline.register.store import Register, open_register

OWNER = "landshift"
"""Who may everything."""


@dataclass(frozen=True)
class Server:
    """One that runs."""

    folder: Path
    """With its data, its log, and the socket by which its owner logs in without a password."""
    port: int
    """On 127.0.0.1, where a password is asked for."""
    numbers: Any = field(default_factory=itertools.count)
    """Gives each schema its own name."""

    def address(self, schema: str, database: str = "landshift", user: str = OWNER) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}&schema={schema}"

    def new_schema(self) -> str:
        return f"s{next(self.numbers)}"

    def new_place(self) -> Address:
        place = location_of(self.address(self.new_schema()))
        assert isinstance(place, Address)
        return place

    def new_register(self) -> Register:
        return open_register(self.new_place())

    def query(self, sql: str, *values: object, database: str = "landshift") -> list[tuple[Any, ...]]:
        """Run a statement as the owner, beside Landshift."""
        where = {"host": str(self.folder), "port": self.port, "user": OWNER, "dbname": database}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(sql, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@functools.cache
def server() -> Server:
    """Return the server, which is started once."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    found = shutil.which("postgres")
    if not programs and found is None:
        pytest.skip("PostgreSQL is not installed")
    postgres = programs[-1] if programs else Path(str(found)).resolve()
    if not list(Path("/usr/share/postgresql").glob("*/extension/postgis.control")) and programs:
        pytest.skip("PostGIS is not installed")
    root = os.geteuid() == 0
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    # However the tests end, the server ends with them; and it refuses to run as root.
    as_whom = ["setpriv", "--pdeathsig", "INT"]
    folder = Path(tempfile.mkdtemp(prefix="landshift-postgis-"))
    if root:
        as_whom += ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    made = subprocess.run(
        [*as_whom, postgres.with_name("initdb"), "-D", folder / "data", "-U", OWNER, "-E", "UTF8", "--locale=C.UTF-8",
         "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256"],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off",
        "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": 60,
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*as_whom, postgres, "-D", folder / "data", *(w for k, v in settings.items() for w in ("-c", f"{k}={v}"))],
            stdout=subprocess.DEVNULL, stderr=log, cwd="/",
        )  # fmt: skip

    def stop() -> None:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    made_server = Server(folder, port)
    for _ in range(200):
        try:
            made_server.query("CREATE DATABASE landshift", database="postgres")
            break
        except psycopg.OperationalError:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
    try:
        made_server.query("CREATE EXTENSION postgis")
    except psycopg.Error as error:
        pytest.skip(f"PostGIS is not installed ({error})")
    return made_server
