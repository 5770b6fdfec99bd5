"""The host's migrations on a table that has been there for years."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, cast

import psycopg
from benchmarks.postgres.server import migrated

from assign_postgres.migration_files import HOST, migration_files
from assign_postgres.names import Names

_HOST_TABLE: Final = (
    "CREATE TABLE bookings (id text PRIMARY KEY, status text NOT NULL, start_at timestamptz, notes text)"
)


@dataclass(frozen=True)
class Migration:
    """The host's group, applied to a large table.

    Attributes:
        columns_ms: of the file alone that changes the table.
        rewritten: whether that rewrote it.
    """

    rows: int
    table_mib: float
    columns_ms: float
    all_files_ms: float
    rewritten: bool


def migration(dsn: str, rows: int) -> Migration:
    """In a database that has nothing yet."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_HOST_TABLE)
        connection.execute(
            "INSERT INTO bookings SELECT 'b' || n, 'confirmed', now(), repeat('a note ', 10) "
            "FROM generate_series(1, %s::int) AS n",
            [rows],
        )
        look = "SELECT pg_relation_filenode('bookings'), pg_relation_size('bookings')"
        before = cast(tuple[int, int], connection.execute(look).fetchone())
        connection.execute("CHECKPOINT")
        started = time.perf_counter()
        migrated(dsn, (HOST,))
        everything = time.perf_counter() - started
        after = connection.execute(look).fetchone()
        # Once more by itself, on columns that are taken away for that, to tell it from the other files.
        connection.execute(
            "ALTER TABLE bookings DROP COLUMN auto_assign_last_result, DROP COLUMN auto_assign_idempotency_key, "
            "DROP COLUMN revision"
        )
        text_of = next(each.text for each in migration_files((HOST,), Names()) if "columns" in each.file)
        started = time.perf_counter()
        with connection.transaction():
            connection.execute(text_of.encode())
        columns = time.perf_counter() - started
    return Migration(
        rows, round(before[1] / 2**20, 2), round(columns * 1000, 1), round(everything * 1000, 1), after != before
    )
