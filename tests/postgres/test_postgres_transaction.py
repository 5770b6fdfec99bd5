"""A host's own transaction: the booking and what the attempt writes are one commit, or none of it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tests.postgres.test_postgres_lessons import House, PostRoom, T, until_waiting

from assign_core import AsyncAutoAssign, AutoAssign, EventName, Outcome, Policy, Verdict
from assign_core.errors import InvalidValue
from assign_core.events import event as make_event
from assign_core.last_result import Source
from assign_core.ports import Acquired, Lease
from assign_memory import VirtualRuntime
from assign_postgres import (
    DatabaseFailure,
    DatabaseTimeout,
    PostgresMailer,
    PostgresOutbox,
    PostgresStore,
    async_postgres_ports,
    postgres_ports,
)
from assign_postgres.store import AsyncPostgresStore
from assign_postgres.transaction_telemetry import AsyncTransactionTelemetry, TransactionTelemetry
from assign_runtime import AsyncioRuntime, ThreadRuntime

PATIENT: Final = Policy(inline_deadline=timedelta(seconds=30), grace=timedelta(seconds=20))
TOMORROW: Final = datetime.now(UTC) + timedelta(days=1)
BOOK: Final = text(
    "INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES (:id, 'r', :party, :start_at)"
)
LIMITS: Final = text("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
LEFT: Final = """
SELECT (SELECT count(*) FROM bookings), (SELECT count(*) FROM auto_assign_attempts),
       (SELECT count(*) FROM auto_assign_emails), (SELECT count(*) FROM observability_events),
       (SELECT count(*) FROM table_holds), (SELECT count(*) FROM table_assignments)"""

Spend = Callable[[int, bool], Outcome]
"""Books for a party, attempts it, and commits or rolls back; all in one transaction."""


class ChangedMind(Exception):
    """The host's, after the attempt."""


@pytest.fixture
def house(engine: Engine) -> House:
    return House(engine).furnish()


def blocking(engine: Engine, party: int, commits: bool) -> Outcome:
    outcomes: list[Outcome] = []
    try:
        runtime = ThreadRuntime()
        with engine.begin() as connection:
            connection.execute(BOOK, {"id": "b", "party": party, "start_at": TOMORROW})
            before = connection.execute(LIMITS).one()
            ports = postgres_ports(connection, runtime)
            app = AutoAssign(runtime=runtime, policy=PATIENT, planner_keeps_time=True, **ports)
            outcomes.append(app.inline("b"))
            assert connection.execute(LIMITS).one() == before
            if not commits:
                raise ChangedMind
    except ChangedMind:
        pass
    return outcomes[0]


async def on_a_loop(dsn: str, party: int, commits: bool) -> Outcome:
    engine, runtime, outcomes = async_engine(dsn), AsyncioRuntime(), []
    try:
        async with engine.begin() as connection:
            await connection.execute(BOOK, {"id": "b", "party": party, "start_at": TOMORROW})
            before = (await connection.execute(LIMITS)).one()
            ports = async_postgres_ports(connection, runtime)
            outcomes.append(await AsyncAutoAssign(runtime=runtime, policy=PATIENT, **ports).inline("b"))
            assert (await connection.execute(LIMITS)).one() == before
            if not commits:
                raise ChangedMind
    except ChangedMind:
        pass
    finally:
        await runtime.drain()
        await engine.dispose()
    return outcomes[0]


def async_engine(dsn: str) -> AsyncEngine:
    return create_async_engine("postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn))


@pytest.fixture(params=["blocking", "asyncio"])
def spend(request: pytest.FixtureRequest, engine: Engine, dsn: str) -> Spend:
    if request.param == "blocking":
        return partial(blocking, engine)
    return lambda party, commits: asyncio.run(on_a_loop(dsn, party, commits))


def test_one_commit_has_booking_seats_result_email_and_events(house: House, spend: Spend) -> None:
    outcome = spend(2, True)
    assert outcome.verdict is Verdict.CONFIRMED
    assert (house.status(), house.tables(), house.held()) == ("confirmed", {"small"}, set())
    assert house.last().attempt_id == outcome.attempt_id
    assert house.ledger() == {"b:confirmation:0": "claimed"}
    told = {row.name for row in house.rows("SELECT name FROM observability_events")}
    assert {EventName.QUOTE, EventName.INLINE_SUCCEEDED} <= told
    assert house.value("SELECT confirmed_by FROM auto_assign_attempts") == outcome.attempt_id


def test_an_attempt_that_found_nothing_is_in_the_commit_too(house: House, spend: Spend) -> None:
    outcome = spend(9, True)
    assert outcome.attempted
    assert house.status() == "pending"
    assert house.last().attempt_id == outcome.attempt_id
    assert house.value("SELECT attempt_id FROM auto_assign_attempts") is None


@pytest.mark.parametrize("party", [2, 9])
def test_a_rollback_leaves_nothing_of_ours(house: House, spend: Spend, party: int) -> None:
    assert spend(party, False).attempted
    assert set(house.rows(LEFT)[0]) == {0}


def test_until_the_host_commits_nobody_sees_anything(house: House, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(BOOK, {"id": "b", "party": 2, "start_at": TOMORROW})
        runtime = ThreadRuntime()
        ports = postgres_ports(connection, runtime)
        outcome = AutoAssign(runtime=runtime, policy=PATIENT, planner_keeps_time=True, **ports).inline("b")
        assert outcome.verdict is Verdict.CONFIRMED
        assert set(house.rows(LEFT)[0]) == {0}
        connection.commit()
    assert house.status() == "confirmed"


def test_ports_begin_the_transaction_that_the_host_has_not_and_leave_its_end_to_the_host(
    house: House, engine: Engine
) -> None:
    house.book()
    with engine.connect() as connection:
        store = PostgresStore(connection, house.runtime)
        assert isinstance(store.acquire("b", lease(house), timeout=T), Acquired)
        assert connection.in_transaction()
        connection.rollback()
    assert house.rows("SELECT FROM auto_assign_attempts") == []


# What fails is undone to its savepoint, and the host goes on.


def lease(house: House) -> Lease:
    return Lease(attempt_id="a1", source=Source.JOB, taken_at=house.now, expires_at=house.now + timedelta(seconds=9))


@pytest.fixture
def blocked(house: House, engine: Engine) -> Iterator[House]:
    """A booking whose row somebody else has locked."""
    house.book()
    with engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
        yield house


def test_a_call_that_fails_leaves_the_hosts_transaction_usable(blocked: House, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        connection.execute(text("SET LOCAL statement_timeout = '8s'"))
        connection.execute(BOOK, {"id": "mine", "party": 2, "start_at": TOMORROW})
        store = PostgresStore(connection, blocked.runtime)
        with pytest.raises(DatabaseTimeout, match="nothing was written"):
            store.acquire("b", lease(blocked), timeout=0.1)
        assert tuple(connection.execute(LIMITS).one()) == ("7s", "8s")
        assert store.read("mine", timeout=T) is not None
        assert tuple(connection.execute(LIMITS).one()) == ("7s", "8s")
    assert blocked.status("mine") == "pending"
    assert blocked.rows("SELECT FROM auto_assign_attempts") == []


def test_a_confirm_that_lost_its_table_leaves_the_hosts_transaction_usable(house: House, engine: Engine) -> None:
    house.book()
    house.acquire()
    hold = house.hold()
    house.book("other")
    house.seat("other", *hold.plan.tables)
    with engine.begin() as connection:
        connection.execute(BOOK, {"id": "mine", "party": 2, "start_at": TOMORROW})
        house.store = PostgresStore(connection, house.runtime)
        house.confirm(hold)
    assert (house.status("mine"), house.status("b"), house.tables("b")) == ("pending", "pending", set())


def test_a_cancelled_call_leaves_the_hosts_transaction_usable(blocked: House, dsn: str) -> None:
    async def cancelled() -> None:
        engine = async_engine(dsn)
        async with engine.begin() as connection:
            await connection.execute(BOOK, {"id": "mine", "party": 2, "start_at": TOMORROW})
            store = AsyncPostgresStore(connection, blocked.runtime)
            task = asyncio.create_task(store.acquire("b", lease(blocked), timeout=60))
            await asyncio.to_thread(until_waiting, blocked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await store.read("mine", timeout=T) is not None
        await engine.dispose()

    asyncio.run(cancelled())
    assert blocked.status("mine") == "pending"
    assert blocked.rows("SELECT FROM auto_assign_attempts") == []


def test_a_server_that_goes_away_is_told_and_nothing_is_written(house: House, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(BOOK, {"id": "b", "party": 2, "start_at": TOMORROW})
        telemetry = TransactionTelemetry(connection, house.runtime)
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        house.value("SELECT pg_terminate_backend(:pid)", pid=pid)
        with pytest.raises(DatabaseFailure, match="connection is lost"):
            PostgresStore(connection, house.runtime).read("b", timeout=T)
        telemetry.emit([make_event(EventName.STARTED, house.now, "b", "a1")], stored=False)
        assert telemetry.dropped == 1
    assert set(house.rows(LEFT)[0]) == {0}


# Telemetry.


def test_an_event_that_cannot_be_written_is_told_and_disturbs_nobody(house: House, engine: Engine) -> None:
    started = [make_event(EventName.STARTED, house.now, "b", str(number)) for number in range(3)]
    house.run("ALTER TABLE observability_events ADD CHECK (attempt_id <> '1')")
    with engine.begin() as connection:
        telemetry = TransactionTelemetry(connection, house.runtime)
        telemetry.emit(started, stored=True)
        telemetry.emit(started, stored=False)
        assert telemetry.dropped == 0
    check_told(house)


def test_an_event_that_cannot_be_written_on_a_loop_is_told_and_disturbs_nobody(house: House, dsn: str) -> None:
    async def emitting() -> None:
        engine = async_engine(dsn)
        async with engine.begin() as connection:
            telemetry = AsyncTransactionTelemetry(connection, house.runtime)
            await telemetry.emit(started, stored=True)
            await telemetry.emit(started, stored=False)
            assert telemetry.dropped == 0
        await engine.dispose()

    started = [make_event(EventName.STARTED, house.now, "b", str(number)) for number in range(3)]
    house.run("ALTER TABLE observability_events ADD CHECK (attempt_id <> '1')")
    asyncio.run(emitting())
    check_told(house)


def check_told(house: House) -> None:
    rows = house.rows("SELECT name, attempt_id, context FROM observability_events ORDER BY id")
    assert [row.attempt_id for row in rows] == ["0", "2", None]
    assert rows[-1].name == EventName.TELEMETRY_DROPPED
    assert rows[-1].context["dropped"] == 1
    assert "23514" in rows[-1].context["error"]


def test_events_wait_for_an_outage_to_end_and_are_told_of(house: House, engine: Engine) -> None:
    started = make_event(EventName.STARTED, house.now, "b", "a1")
    with engine.begin() as connection:
        telemetry = TransactionTelemetry(connection, house.runtime)
        connection.execute(text("ALTER TABLE observability_events RENAME TO elsewhere"))
        telemetry.emit([started, started], stored=False)
        assert telemetry.dropped == 2
        connection.execute(text("ALTER TABLE elsewhere RENAME TO observability_events"))
        telemetry.emit([started], stored=False)
        assert telemetry.dropped == 0
    told = house.rows("SELECT context FROM observability_events WHERE name = :n", n=EventName.TELEMETRY_DROPPED)
    assert [row.context["dropped"] for row in told] == [2]


# What cannot be meant.


def test_no_email_is_handed_over_in_a_transaction(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(InvalidValue, match="rolled back"):
        PostgresMailer(PostgresOutbox(connection, VirtualRuntime()), PostRoom())


def test_a_connection_in_autocommit_is_refused(engine: Engine) -> None:
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(InvalidValue, match="autocommit"),
    ):
        postgres_ports(connection, VirtualRuntime())


def test_a_connection_that_is_not_open_is_refused(dsn: str) -> None:
    async def unopened() -> None:
        connection: AsyncConnection = async_engine(dsn).connect()
        with pytest.raises(InvalidValue, match="not open"):
            async_postgres_ports(connection, AsyncioRuntime())

    asyncio.run(unopened())


def test_an_asynchronous_engine_needs_a_telemetry(dsn: str) -> None:
    async def without() -> None:
        with pytest.raises(InvalidValue, match="telemetry"):
            async_postgres_ports(async_engine(dsn), AsyncioRuntime())  # type: ignore[call-overload]  # it is missing

    asyncio.run(without())


def test_calls_of_several_ports_at_once_take_their_turn(house: House, engine: Engine) -> None:
    """A connection is for one at a time."""
    for number in range(8):
        house.book(f"b{number}")
    with engine.begin() as connection, ThreadPoolExecutor(8) as pool:
        stores = [PostgresStore(connection, house.runtime) for _ in range(8)]
        found = list(pool.map(lambda number: stores[number].read(f"b{number}", timeout=T), range(8)))
    assert [each.booking.id for each in found if each] == [f"b{number}" for number in range(8)]
