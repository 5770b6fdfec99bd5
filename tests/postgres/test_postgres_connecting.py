"""Getting a connection: within the call's time where it can be stopped, an end where it cannot, and a clear error."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.postgres.test_postgres_lessons import House, T, until_waiting

from assign_core.ports import BookingStore
from assign_core.reasons import FailureClass, classify_reason, reason_of
from assign_postgres import (
    AsyncPostgresStore,
    ConnectionLost,
    DatabaseFailure,
    DatabaseTimeout,
    PostgresPlanner,
    PostgresStore,
    engine_options,
)
from assign_postgres.connections import FromEngine, InAsyncTransaction
from assign_runtime import ThreadRuntime

FOR_EVER: Final = 3600.0
LIMIT: Final = 60.0
"""Seconds after which something that should have ended is taken to hang."""
SECRET: Final = "hunter2"  # noqa: S105 - nobody's
CLOCK: Final = ThreadRuntime()


@pytest.fixture
def house(engine: Engine) -> House:
    made = House(engine).furnish()
    made.book()
    return made


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def failure(call: Callable[[], object]) -> DatabaseFailure:
    """What it raises; it must not hang."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - looked at below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "it waits for ever"
    assert isinstance(raised[0], DatabaseFailure)
    return raised[0]


# In time.


def test_on_a_loop_a_used_up_pool_ends_a_call_in_its_time(dsn: str) -> None:
    async def waits() -> None:
        engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=partial(psycopg.AsyncConnection.connect, dsn),
            pool_size=1,
            max_overflow=0,
            pool_timeout=FOR_EVER,
        )
        store = AsyncPostgresStore(engine, CLOCK)
        async with engine.connect():
            with pytest.raises(DatabaseTimeout, match="pool"):
                await asyncio.wait_for(store.read("b", timeout=0.2), LIMIT)
        assert await store.read("b", timeout=T) is None, "its place in the pool is free again"
        await engine.dispose()

    asyncio.run(waits())


@pytest.mark.once
def test_on_a_loop_a_server_that_says_nothing_ends_a_call_in_its_time(silent: int) -> None:
    async def waits() -> None:
        engine = create_async_engine(f"postgresql+psycopg://u@127.0.0.1:{silent}/x", pool_size=1, max_overflow=0)
        store = AsyncPostgresStore(engine, CLOCK)
        for _ in range(2):  # the first has not used up the pool
            with pytest.raises(DatabaseTimeout, match="could not connect"):
                await asyncio.wait_for(store.read("b", timeout=0.2), LIMIT)
        await engine.dispose()

    asyncio.run(waits())


@pytest.mark.once
def test_an_engine_with_our_options_gives_up_on_a_server_that_says_nothing(silent: int) -> None:
    engine = create_engine(f"postgresql+psycopg://u@127.0.0.1:{silent}/x", **engine_options())
    told = failure(lambda: PostgresStore(engine, CLOCK).read("b", timeout=0.2))
    assert "could not connect" in str(told)
    engine.dispose()


def test_an_engine_with_our_options_gives_up_on_a_used_up_pool(server_url: str) -> None:
    engine = create_engine(server_url, pool_size=1, max_overflow=0, **engine_options(0.2))
    with engine.connect():
        told = failure(lambda: PostgresStore(engine, CLOCK).read("b", timeout=T))
    assert isinstance(told, DatabaseTimeout)
    assert PostgresStore(engine, CLOCK).read("b", timeout=T) is None, "the pool is as before"
    engine.dispose()


@pytest.fixture
def server_url(dsn: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    return f"postgresql+psycopg://{parts['user']}@/{parts['dbname']}?host={parts['host']}"


def test_what_connecting_has_taken_is_not_left_for_the_statement(dsn: str) -> None:
    spent: list[float] = []

    def slowly() -> psycopg.Connection:
        before = CLOCK.monotonic()
        connection = psycopg.connect(dsn)
        spent.append(CLOCK.monotonic() - before)
        return connection

    engine = create_engine("postgresql+psycopg://", creator=slowly)
    left = FromEngine(engine).run(T, lambda _, left: left)
    assert left <= T - sum(spent)
    engine.dispose()


def test_when_connecting_has_taken_all_the_time_nothing_is_done(engine: Engine) -> None:
    with pytest.raises(TimeoutError):
        PostgresStore(engine, CLOCK).read("b", timeout=0)
    with pytest.raises(TimeoutError):
        PostgresPlanner(engine, CLOCK).release("b", "a", timeout=0)


def test_a_connection_that_comes_too_late_is_told_as_one_and_not_used(engine: Engine) -> None:
    used: list[float] = []
    told = failure(lambda: FromEngine(engine).run(1e-9, lambda _, left: used.append(left)))
    assert isinstance(told, DatabaseTimeout)
    assert "could not connect within" in str(told)
    assert used == []


def test_a_call_waits_for_its_turn_on_the_hosts_connection_no_longer_than_its_time(house: House) -> None:
    with house.engine.connect() as blocker, house.engine.connect() as connection:
        with blocker.begin(), connection.begin():
            blocker.execute(text("LOCK TABLE bookings IN ACCESS EXCLUSIVE MODE"))
            store: BookingStore = PostgresStore(connection, CLOCK)
            first = threading.Thread(target=lambda: store.read("b", timeout=T))
            first.start()
            try:
                until_waiting(house)
                told = failure(lambda: store.read("b", timeout=0.05))
            finally:
                blocker.rollback()
                first.join(LIMIT)
        assert isinstance(told, DatabaseTimeout)


def test_ports_of_both_kinds_can_use_a_connection_one_after_the_other(house: House, dsn: str) -> None:
    """What one kind leaves on the connection means nothing to the other."""
    assert house.status() == "pending"

    async def in_turn() -> None:
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn), pool_size=1
        )
        for _ in range(2):
            async with engine.connect() as connection:
                assert await AsyncPostgresStore(connection, CLOCK).read("b", timeout=T) is not None
            async with engine.connect() as connection:
                found = await connection.run_sync(lambda lent: PostgresStore(lent, CLOCK).read("b", timeout=T))
                assert found is not None
        await engine.dispose()

    asyncio.run(in_turn())


def test_a_statement_that_cannot_be_cancelled_is_waited_for(
    house: House, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host hears of its cancellation, and finds the connection idle."""
    asked = asyncio.Event()

    async def fails(_: psycopg.AsyncConnection, **__: object) -> None:
        asked.set()
        raise psycopg.errors.CancellationTimeout("cancellation timeout expired")

    async def cancelled() -> None:
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn)
        )
        lock = text("SELECT id FROM bookings WHERE id = 'b' FOR UPDATE")
        async with engine.begin() as connection:
            port = InAsyncTransaction(connection)
            with house.engine.connect() as blocker, blocker.begin():
                blocker.execute(lock)
                task = asyncio.create_task(port.run(T, lambda lent, _: lent.execute(lock).all()))
                await asyncio.to_thread(until_waiting, house)
                task.cancel()
                await asyncio.wait_for(asked.wait(), LIMIT)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await port.run(T, lambda lent, _: lent.execute(lock).scalar_one()) == "b"
        await engine.dispose()

    monkeypatch.setattr(psycopg.AsyncConnection, "cancel_safe", fails)
    asyncio.run(cancelled())


# In words.


@pytest.mark.once
@pytest.mark.parametrize("dsn", [f"password={SECRET} nonsense", f"{SECRET} = ", f"host='{SECRET}"])
def test_a_connection_string_that_cannot_be_read_is_told_without_repeating_it(dsn: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    told = failure(lambda: PostgresStore(engine, CLOCK).read("b", timeout=T))
    assert isinstance(told, ConnectionLost)
    assert "DSN" in str(told)
    assert "postgresql+psycopg://user@host" in str(told), "the remedy"
    assert SECRET not in reason_of(told)
    assert len(str(told).splitlines()) == 1
    assert classify_reason(reason_of(told)).failure_class is FailureClass.INFRASTRUCTURE


@pytest.mark.once
def test_what_never_was_is_not_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    engine = create_engine(f"postgresql+psycopg://u:{SECRET}@127.0.0.1:{port}/x", **engine_options())
    told = failure(lambda: PostgresStore(engine, CLOCK).read("b", timeout=T))
    assert "could not connect" in str(told)
    assert "lost" not in str(told)
    assert str(port) in str(told)
    assert SECRET not in reason_of(told)
    assert classify_reason(reason_of(told)).failure_class is FailureClass.INFRASTRUCTURE


def test_a_database_that_there_is_not_is_told(server_url: str) -> None:
    engine = create_engine(server_url.replace("/assign_test", "/no_assign_test"))
    told = failure(lambda: PostgresStore(engine, CLOCK).read("b", timeout=T))
    assert "could not connect" in str(told)
    assert "does not exist" in str(told)
