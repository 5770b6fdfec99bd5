"""Two hundred attempts on one evening at once, from threads and from an event loop, with relays running beside them.

Whatever the interleaving: no table twice, no e-mail twice, every attempt recorded, no exception at a caller, no lease
left. Which attempt wins is nobody's promise.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, Row, text
from sqlalchemy.ext.asyncio import create_async_engine

from assign_core import AsyncAutoAssign, AutoAssign, Outcome, Policy, Verdict
from assign_core.booking import EmailState
from assign_core.ports import Email, Quote, QuoteRequest
from assign_postgres.mailer import PostgresMailer
from assign_postgres.outbox import PostgresOutbox
from assign_postgres.planner import AsyncPostgresPlanner, PostgresPlanner
from assign_postgres.store import AsyncPostgresStore, PostgresStore
from assign_postgres.telemetry import AsyncPostgresTelemetry, PostgresTelemetry
from assign_runtime import AsyncioRuntime, ThreadRuntime

BOOKINGS: Final = 80
ATTEMPTS: Final = 200
CONNECTIONS: Final = 40
"""An event loop's pool: fewer than attempts, as in any host."""
SEARCHES: Final = 16
"""Searches at the same moment for one table; a divisor of the bookings."""
SEEDS: Final = range(1, 6) if os.environ.get("ASSIGN_CORE_SOAK") else (1,)
PATIENT: Final = Policy(inline_deadline=timedelta(seconds=60), grace=timedelta(seconds=60))
"""The machine may be slow; what is looked for here are races, not deadlines."""


class CountingPost:
    """A mail system that does not deduplicate, so that every second e-mail would be seen."""

    deduplicates = False

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del timeout
        assert idempotency_key == email.key
        with self._lock:
            self.taken[email.key] += 1


class _Asked:
    """Which attempts called the planner. Appending is atomic."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, str]] = []


class NotedPlanner(_Asked):
    def __init__(self, planner: PostgresPlanner) -> None:
        super().__init__()
        self._planner = planner

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        self.attempts.append((request.booking_id, request.attempt_id))
        return self._planner.quote(request, timeout=timeout)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._planner.release(booking_id, attempt_id, timeout=timeout)


class AsyncNotedPlanner(_Asked):
    def __init__(self, planner: AsyncPostgresPlanner) -> None:
        super().__init__()
        self._planner = planner

    async def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        self.attempts.append((request.booking_id, request.attempt_id))
        return await self._planner.quote(request, timeout=timeout)

    async def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        await self._planner.release(booking_id, attempt_id, timeout=timeout)


class LeftToRelays:
    """:class:`assign_core.ports.AsyncMailer` of a host whose relays send."""

    async def deliver(self, email: Email, *, timeout: float) -> EmailState:
        del email, timeout
        return EmailState.CLAIMED


def rows(engine: Engine, statement: str, **values: object) -> Sequence[Row[Any]]:
    with engine.begin() as connection:
        return connection.execute(text(statement), values).all()


def an_evening(engine: Engine, seed: int) -> list[str]:
    """Twelve tables in two zones, and many more guests than seats. The bookings' ids."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO restaurants VALUES ('r', 'R', 'UTC', '0')"))
        connection.execute(text("INSERT INTO seating_durations VALUES ('r', 2, '90 minutes'), ('r', NULL, '2 hours')"))
        connection.execute(
            text(
                "INSERT INTO restaurant_tables (id, restaurant_id, seats, zone) "
                "SELECT 't' || n, 'r', 2 + 2 * (n % 3 / 2), CASE WHEN n > 8 THEN 'bar' ELSE 'main' END "
                "FROM generate_series(1, 12) AS n"
            )
        )
        connection.execute(
            text(
                "INSERT INTO table_adjacency "
                'SELECT least(a COLLATE "C", b), greatest(a COLLATE "C", b) '
                "FROM (SELECT 't' || n, 't' || n + 1 FROM generate_series(1, 11) AS n) AS pair(a, b)"
            )
        )
        connection.execute(
            text("INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES (:id, 'r', :party, :start)"),
            [
                {
                    "id": f"b{number}",
                    "party": chance.choice((1, 2, 2, 3, 4, 5, 6)),
                    "start": start + timedelta(minutes=30 * chance.randrange(6)),
                }
                for number in range(BOOKINGS)
            ],
        )
    return [f"b{number}" for number in range(BOOKINGS)]


def calls(bookings: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """Each booking inline once, then jobs and duplicates, in an order of chance."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    chosen = [("inline", booking) for booking in bookings]
    chosen += [(chance.choice(("inline", "job")), chance.choice(bookings)) for _ in range(ATTEMPTS - len(chosen))]
    chance.shuffle(chosen)
    return chosen


def check(engine: Engine, asked: Sequence[tuple[str, str]], post: CountingPost) -> None:
    """The promises, from the tables themselves."""
    twice = rows(
        engine,
        "SELECT one.table_id FROM table_assignments AS one JOIN table_assignments AS other "
        "ON other.table_id = one.table_id AND other.booking_id <> one.booking_id AND other.during && one.during",
    )
    assert twice == []
    seated = {row.id: row.party_size for row in rows(engine, "SELECT * FROM bookings WHERE status = 'confirmed'")}
    assert seated, "the evening must seat somebody, or this shows nothing"
    seats = rows(
        engine,
        "SELECT booking_id, sum(seats) AS seats FROM table_assignments "
        "JOIN restaurant_tables ON restaurant_tables.id = table_id GROUP BY booking_id",
    )
    assert {row.booking_id for row in seats} == seated.keys(), "confirmed and assigned are the same"
    assert all(row.seats >= seated[row.booking_id] for row in seats)

    recorded = {row[0] for row in rows(engine, "SELECT attempt_id FROM observability_events")}
    recorded |= {row[0] for row in rows(engine, "SELECT auto_assign_last_result ->> 'attemptId' FROM bookings")}
    assert {attempt for _, attempt in asked} <= recorded, "an attempt left no trace"
    counted = {
        row.id: row.attempt
        for row in rows(engine, "SELECT id, (auto_assign_last_result ->> 'attempt')::int AS attempt FROM bookings")
    }
    for booking_id, times in Counter(booking_id for booking_id, _ in asked).items():
        assert counted[booking_id] in {times - 1, times}, "the number is how many attempts were made"

    assert rows(engine, "SELECT FROM auto_assign_attempts WHERE attempt_id IS NOT NULL") == []
    assert rows(engine, "SELECT FROM table_holds") == []

    sent = {key for key in post.taken if ":staff_notice:" not in key}
    assert set(post.taken.values()) <= {1}, "an e-mail was handed over twice"
    assert sent == {f"{booking_id}:confirmation:0" for booking_id in seated}, "a guest has no e-mail"
    flagged = rows(engine, "SELECT id FROM bookings WHERE auto_assign_last_result @> '{\"emailSent\": true}'")
    assert {row.id for row in flagged} == seated.keys()


@contextmanager
def relays(make_engine: Callable[[], Engine], post: CountingPost, count: int = 2) -> Iterator[None]:
    """Relays that run meanwhile, and afterwards until nothing waits."""
    finished = threading.Event()
    runtime = ThreadRuntime()

    def relay() -> int:
        mailer = PostgresMailer(PostgresOutbox(make_engine(), runtime), post)
        rounds = 0
        while not finished.is_set():
            mailer.relay(limit=10)
            rounds += 1
            finished.wait(0.02)
        while mailer.relay(limit=50):
            pass
        return rounds

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(relay) for _ in range(count)]
        try:
            yield
        finally:
            finished.set()
        assert all(each.result(timeout=60) for each in running)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("relayed", [False, True], ids=["sent by the flow", "sent by relays"])
def test_threads(engine: Engine, dsn: str, make_engine: Callable[[str], Engine], seed: int, relayed: bool) -> None:
    runtime, post = ThreadRuntime(), CountingPost()
    bookings = an_evening(engine, seed)
    planner = NotedPlanner(PostgresPlanner(engine, runtime))
    telemetry = PostgresTelemetry(engine, runtime, flush_after=0.05)
    # Two processes' worth: each store remembers its own attempts only.
    apps = [
        AutoAssign(
            store=PostgresStore(engine, runtime),
            planner=planner,
            mailer=PostgresMailer(PostgresOutbox(engine, runtime), None if relayed else post),
            telemetry=telemetry,
            runtime=runtime,
            policy=PATIENT,
            planner_keeps_time=True,
        )
        for _ in range(2)
    ]
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    together = threading.Barrier(ATTEMPTS)

    def attempt(call: tuple[str, str]) -> Outcome:
        app = chance.choice(apps)
        together.wait(60)
        return app.inline(call[1]) if call[0] == "inline" else app.job(call[1])

    with relays(partial(make_engine, dsn), post, 2 if relayed else 1), ThreadPoolExecutor(ATTEMPTS) as pool:
        outcomes = list(pool.map(attempt, calls(bookings, seed)))  # raises what any of them raised
    telemetry.close()
    assert telemetry.dropped == 0
    assert len(outcomes) == ATTEMPTS
    confirmed = Counter(each.booking_id for each in outcomes if each.verdict is Verdict.CONFIRMED)
    assert set(confirmed.values()) == {1}
    check(engine, planner.attempts, post)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_event_loop(engine: Engine, dsn: str, make_engine: Callable[[str], Engine], seed: int) -> None:
    runtime, post = AsyncioRuntime(), CountingPost()
    bookings = an_evening(engine, seed)
    telemetry = PostgresTelemetry(engine, runtime, flush_after=0.05)

    async def evening() -> tuple[list[Outcome], list[tuple[str, str]]]:
        pool = create_async_engine(
            "postgresql+psycopg://",
            async_creator=partial(psycopg.AsyncConnection.connect, dsn),
            pool_size=CONNECTIONS,
            max_overflow=0,
        )
        planner = AsyncNotedPlanner(AsyncPostgresPlanner(pool, runtime))
        apps = [
            AsyncAutoAssign(
                store=AsyncPostgresStore(pool, runtime),
                planner=planner,
                mailer=LeftToRelays(),
                telemetry=AsyncPostgresTelemetry(telemetry),
                runtime=runtime,
                policy=PATIENT,
            )
            for _ in range(2)
        ]
        chance = random.Random(seed)  # noqa: S311 - repeatable, not secret

        async def attempt(call: tuple[str, str]) -> Outcome:
            app = chance.choice(apps)
            return await (app.inline(call[1]) if call[0] == "inline" else app.job(call[1]))

        try:
            outcomes = await asyncio.gather(*map(attempt, calls(bookings, seed)))
            await runtime.drain()
        finally:
            await pool.dispose()
        return outcomes, planner.attempts

    with relays(partial(make_engine, dsn), post):
        outcomes, asked = asyncio.run(evening())
    telemetry.close()
    assert telemetry.dropped == 0
    assert len(outcomes) == ATTEMPTS
    check(engine, asked, post)


@pytest.mark.parametrize("seed", SEEDS)
def test_attempts_that_all_want_the_same_table_make_no_deadlock(engine: Engine, seed: int) -> None:
    """Two inserts against an exclusion constraint can see each other and wait for each other; the server then ends one
    of them after a second. A guest should not wait for that."""
    runtime = ThreadRuntime()
    an_evening(engine, seed)
    with engine.begin() as connection:
        connection.execute(text("UPDATE bookings SET party_size = 4, start_at = (SELECT max(start_at) FROM bookings)"))
    before = rows(
        engine, "SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )[0].deadlocks
    planner = PostgresPlanner(engine, runtime)

    def quote(number: int) -> Quote:
        request = QuoteRequest(
            booking_id=f"b{number}", revision=0, attempt_id=f"a{number}", strategy=PATIENT.strategy, hold_seconds=120
        )
        return planner.quote(request, timeout=60)

    together = threading.Barrier(SEARCHES)

    def at_once(number: int) -> Quote:
        together.wait(60)
        return quote(number)

    with ThreadPoolExecutor(SEARCHES) as pool:
        for first in range(0, BOOKINGS, SEARCHES):
            list(pool.map(at_once, range(first, first + SEARCHES)))
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM table_holds"))
    after = rows(
        engine, "SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )[0].deadlocks
    assert after == before
