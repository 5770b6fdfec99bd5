"""Servers that may be hurt: one for each module, of its own, with commits that survive a crash of the server.

``ASSIGN_CORE_SOAK=1`` makes many of what is otherwise a handful. What was done is counted and told at
the end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy.pool import NullPool
from tests.faults.restaurant import Restaurant, engine_for

from assign_postgres.embedded import EmbeddedServer, embedded_cluster
from assign_postgres.migrate import GROUPS, migrate
from assign_postgres.names import Names

# A crash of the server must not lose what it has said is committed; a crash of the machine is nobody's subject here.
SETTINGS = {"synchronous_commit": "on", "shared_buffers": "16MB", "autovacuum": "off", "max_connections": "60"}


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether many are wanted."""
    return bool(os.environ.get("ASSIGN_CORE_SOAK"))


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What this test has done, to be told at the end of the run."""
    done: Counter[str] = Counter()
    yield done
    request.node.user_properties.extend(("fault: " + what, times) for what, times in done.items())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                total.update({name: times for name, times in report.user_properties if name.startswith("fault: ")})
    if total:
        terminalreporter.section("faults")
        for name, times in sorted(total.items()):
            terminalreporter.line(f"{times:6} {name.removeprefix('fault: ')}")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server that only this module's tests use."""
    with embedded_cluster(settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def database(server: EmbeddedServer) -> str:
    """The connection string of a migrated database."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE faults")
    conninfo = make_conninfo(host=str(server.home), user="postgres", dbname="faults")
    engine = engine_for(conninfo, poolclass=NullPool)
    with engine.connect() as connection:
        migrate(connection, GROUPS, Names())
    engine.dispose()
    return conninfo


@pytest.fixture
def house(database: str, tmp_path: Path) -> Iterator[Restaurant]:
    """The restaurant, freshly opened."""
    engine = engine_for(database)
    made = Restaurant(database, tmp_path, engine)
    made.reopen()
    yield made
    engine.dispose()
