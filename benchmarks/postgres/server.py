"""The server, a database for each measurement, and a house to attempt in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from assign_postgres.embedded import embedded_server
from assign_postgres.migrate import GROUPS, migrate
from assign_postgres.names import Names

HOUSES: Final = 50
TABLES: Final = 20
_SETTINGS: Final = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "5s",  # as often as on a server that has been busy for long
    "autovacuum_vacuum_cost_delay": "0",
}
_DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@contextmanager
def server(dsn: str | None, *, volatile: bool) -> Iterator[str]:
    """The connection string of the named server, or of one that ends with the block."""
    if dsn is not None:
        yield dsn
        return
    with embedded_server(settings=_SETTINGS if volatile else {**_SETTINGS, **_DURABLE}) as url:
        yield url


@contextmanager
def database(where: str, *, groups: Sequence[str] = GROUPS) -> Iterator[str]:
    """A fresh database with these migrations; dropped afterwards."""
    name = f"assign_bench_{uuid4().hex[:8]}"
    with psycopg.connect(where, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            dsn = make_conninfo(where, dbname=name)
            if groups:
                migrated(dsn, groups)
            yield dsn
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def migrated(dsn: str, groups: Sequence[str]) -> None:
    """Apply what is missing."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.connect() as connection:
        migrate(connection, groups, Names())


def furnish(dsn: str) -> None:
    """Houses with tables side by side."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO restaurants SELECT 'r' || n, 'R' FROM generate_series(0, %s::int) AS n", [HOUSES - 1]
        )
        connection.execute("INSERT INTO seating_durations SELECT id, NULL, '2 hours' FROM restaurants")
        connection.execute(
            "INSERT INTO restaurant_tables (id, restaurant_id, seats) "
            "SELECT house.id || 't' || n, house.id, 2 + 2 * (n %% 2) "
            "FROM restaurants AS house, generate_series(1, %s::int) AS n",
            [TABLES],
        )
        connection.execute(
            'INSERT INTO table_adjacency SELECT least(a COLLATE "C", b), greatest(a COLLATE "C", b) '
            "FROM (SELECT house.id || 't' || n, house.id || 't' || n + 1 "
            "FROM restaurants AS house, generate_series(1, %s::int) AS n) AS pair(a, b)",
            [TABLES - 1],
        )


def book(dsn: str, first: int, last: int) -> None:
    """Pending bookings ``b<first>`` to ``b<last>``, few enough an evening that nearly all find a table."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.transaction():
            # The triggers keep capacity versions, for which a new pending booking is no news.
            connection.execute("ALTER TABLE bookings DISABLE TRIGGER USER")
            connection.execute(
                "INSERT INTO bookings (id, restaurant_id, party_size, start_at) "
                "SELECT 'b' || n, 'r' || n %% %s::int, 1 + n %% 5, "
                "date_trunc('hour', now()) + make_interval(days => 1 + n / 400, mins => 30 * (n %% 7)) "
                "FROM generate_series(%s::int, %s::int) AS n",
                [HOUSES, first, last],
            )
            connection.execute("ALTER TABLE bookings ENABLE TRIGGER USER")
        connection.execute("VACUUM ANALYZE bookings")
