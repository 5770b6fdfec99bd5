"""What results cost where they are stored: WAL, bloat, and time as the table grows.

A result is recorded as an attempt does it: the lease is taken (one statement), the result is merged under the row's
lock and the lease is given back (one statement).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any, Final, cast

import psycopg
from benchmarks.postgres.server import book
from sqlalchemy import Engine, create_engine, text

from assign_core.last_result import LastResult, Source
from assign_core.ports import Acquired, Lease, Record
from assign_core.reasons import ReasonCode
from assign_postgres import PostgresStore
from assign_runtime import ThreadRuntime

_T: Final = 60.0
_STATISTICS: Final = "FROM pg_stat_user_tables WHERE relname = 'bookings'"


@dataclass(frozen=True)
class Bytes:
    """WAL of one statement, on average, each alone on the server and without page images."""

    results: int
    acquire_bytes: float
    record_bytes: float


@dataclass(frozen=True)
class Recorded:
    """So many more results, by so many workers.

    Attributes:
        wal_bytes: of taking the lease and recording, on average, page images and vacuum included.
        hot: share of the table's updates that stayed within their page and touched no index.
        table_mib, dead: of the bookings table when they were recorded: its size, and its dead rows.
    """

    workers: int
    results: int
    per_second: float
    p50_ms: float
    p95_ms: float
    wal_bytes: float
    hot: float
    table_mib: float
    dead: int


@dataclass(frozen=True)
class Bloat:
    """The bookings table before, and after all results were recorded.

    Attributes:
        results: how many; each booking gets the same number, one more or less.
        stages: by number of workers, one after the other on the same table.
        with_results: bookings that have one in the end.
    """

    results: int
    bookings: int
    empty_mib: float
    filled_mib: float
    after_vacuum_mib: float
    with_results: int
    stages: tuple[Recorded, ...]


@dataclass(frozen=True)
class Growth:
    """The cost of one booking's load and record in a table of so many rows."""

    rows: int
    measured: int
    load_p50_ms: float
    load_p95_ms: float
    record_p50_ms: float
    record_p95_ms: float
    table_mib: float


@cache
def _engine(dsn: str) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), pool_size=1)


@cache
def _store(dsn: str) -> PostgresStore:
    return PostgresStore(_engine(dsn), ThreadRuntime())


def _acquire(store: PostgresStore, number: int, turn: int) -> None:
    now = datetime.now(UTC)
    lease = Lease(
        attempt_id=_attempt_id(number, turn), source=Source.JOB, taken_at=now, expires_at=now + timedelta(seconds=60)
    )
    if not isinstance(store.acquire(f"b{number}", lease, timeout=_T), Acquired):
        raise RuntimeError(f"the lease of booking b{number} is taken, or there is no such booking")


def _record(store: PostgresStore, number: int, turn: int) -> None:
    result = LastResult(
        source=Source.JOB,
        recorded_at=datetime.now(UTC),
        success=False,
        reason="No tables available for requested window",
        reason_code=ReasonCode.NO_TABLES_AVAILABLE,
        trigger="creation",
        duration_ms=1234,
        attempt_id=_attempt_id(number, turn),
        attempt=turn,
        capacity_version=4711,
    )
    entry = Record(
        booking_id=f"b{number}", attempt_id=_attempt_id(number, turn), result=result, retry_at=datetime.now(UTC)
    )
    store.record(entry, timeout=_T)


def _attempt_id(number: int, turn: int) -> str:
    return f"{number:024}{turn:08}"


def wal(dsn: str, results: int) -> Bytes:
    """Of bookings ``b1`` to ``b<results>``, in the median: after a checkpoint a page's first write is a whole page."""
    with psycopg.connect(dsn, autocommit=True) as watching:

        def written(call: Callable[[PostgresStore, int, int], None], turn: int) -> float:
            positions = [_position(watching)]
            for number in range(1, results + 1):
                call(_store(dsn), number, turn)
                positions.append(_position(watching))
            return median(after - before for before, after in pairwise(positions))

        written(_acquire, 1)
        written(_record, 1)
        return Bytes(results, round(written(_acquire, 2), 1), round(written(_record, 2), 1))


def _position(connection: psycopg.Connection) -> int:
    return int(_row(connection, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")[0])


def _row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    return cast(tuple[Any, ...], connection.execute(query.encode()).fetchone())


def _record_many(dsn: str, numbers: range, turn: int) -> list[float]:
    """The seconds of each. Runs in a worker."""
    store = _store(dsn)
    took = []
    for number in numbers:
        started = time.perf_counter()
        _acquire(store, number, turn)
        _record(store, number, turn)
        took.append(time.perf_counter() - started)
    with _engine(dsn).connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))  # so that its updates are counted at once
    return took


def bloat(
    dsn: str,
    pool: ProcessPoolExecutor,
    workers: tuple[int, ...],
    results: int,
    bookings: int,
    advance: Callable[[int], object],
) -> Bloat:
    """Record ``results`` on ``bookings``, an equal part of them by each number of workers.

    Args:
        advance: is told how many more have been recorded.
    """
    book(dsn, 1, bookings)
    stages = []
    turn = 2  # the attempts before these are the host's
    with psycopg.connect(dsn, autocommit=True) as watching:
        empty = _size(watching)
        for place, many in enumerate(workers):
            part = results * (place + 1) // len(workers) - results * place // len(workers)
            wal_before, updates_before = _position(watching), _updates(watching)
            took: list[float] = []
            started = time.perf_counter()
            left = part
            while left:
                size = min(left, bookings)
                pending = [
                    pool.submit(_record_many, dsn, range(1 + each, size + 1, many), turn) for each in range(many)
                ]
                for each in pending:
                    took += each.result()
                left -= size
                turn += 1
                advance(size)
            elapsed = time.perf_counter() - started
            wal_bytes = (_position(watching) - wal_before) / part
            updates = [now - then for now, then in zip(_updates(watching), updates_before, strict=True)]
            took.sort()
            stages.append(
                Recorded(
                    workers=many,
                    results=part,
                    per_second=round(part / elapsed, 1),
                    p50_ms=round(took[len(took) // 2] * 1000, 2),
                    p95_ms=round(took[int(len(took) * 0.95)] * 1000, 2),
                    wal_bytes=round(wal_bytes, 1),
                    hot=round(updates[1] / updates[0], 4),
                    table_mib=round(_size(watching), 2),
                    dead=int(_row(watching, f"SELECT n_dead_tup {_STATISTICS}")[0]),
                )
            )
        filled = _size(watching)
        (with_results,) = _row(watching, "SELECT count(auto_assign_last_result) FROM bookings")
        watching.execute("VACUUM bookings")
        return Bloat(
            results=results,
            bookings=bookings,
            empty_mib=round(empty, 2),
            filled_mib=round(filled, 2),
            after_vacuum_mib=round(_size(watching), 2),
            with_results=int(with_results),
            stages=tuple(stages),
        )


def _updates(connection: psycopg.Connection) -> tuple[int, int]:
    """In all, and within their page."""
    found = _row(connection, f"SELECT n_tup_upd, n_tup_hot_upd {_STATISTICS}")
    return int(found[0]), int(found[1])


def _size(connection: psycopg.Connection) -> float:
    """MiB of the table, its indexes apart."""
    return float(_row(connection, "SELECT pg_relation_size('bookings')")[0]) / 2**20


def growth(dsn: str, sizes: tuple[int, ...], measured: int, seed: int = 1) -> list[Growth]:
    """Load and record of bookings anywhere in the table, as it grows to each of ``sizes``."""
    found = []
    booked = 0
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    store = _store(dsn)
    with psycopg.connect(dsn, autocommit=True) as watching:
        for turn, rows in enumerate(sizes, 2):  # the first attempts are the host's
            book(dsn, booked + 1, rows)
            booked = rows
            loads: list[float] = []
            records: list[float] = []
            # Some first, so that statements are prepared.
            for place, number in enumerate(dice.sample(range(1, rows + 1), min(rows, measured + 20))):
                started = time.perf_counter()
                _acquire(store, number, turn)
                loaded = time.perf_counter()
                _record(store, number, turn)
                if place >= 20:
                    loads.append(loaded - started)
                    records.append(time.perf_counter() - loaded)
            loads.sort()
            records.sort()
            found.append(
                Growth(
                    rows=rows,
                    measured=len(loads),
                    load_p50_ms=round(loads[len(loads) // 2] * 1000, 3),
                    load_p95_ms=round(loads[int(len(loads) * 0.95)] * 1000, 3),
                    record_p50_ms=round(records[len(records) // 2] * 1000, 3),
                    record_p95_ms=round(records[int(len(records) * 0.95)] * 1000, 3),
                    table_mib=round(_size(watching), 2),
                )
            )
    return found
