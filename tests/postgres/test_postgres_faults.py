"""The database away, half there, slow, or handed hostile text: one clear error, a remedy, and nothing half-written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool
from tests.postgres.test_postgres_lessons import DINNER, House, T, until_waiting

from assign_core import EventName, ReasonCode, Verdict
from assign_core.booking import EmailState
from assign_core.errors import InvalidValue
from assign_core.events import event as make_event
from assign_core.last_result import LastResult, Source
from assign_core.ports import Acquired, Email, EmailKind, Lease, Record
from assign_postgres.errors import DatabaseFailure, DatabaseTimeout
from assign_postgres.names import Names
from assign_postgres.planner import PostgresPlanner
from assign_postgres.store import AsyncPostgresStore, PostgresStore
from assign_postgres.telemetry import PostgresTelemetry

HOSTILE: Final = {
    "injection": "'; DROP TABLE bookings; --",
    "quotes": "\"it''s\" `quoted` $$ $1",
    "backslashes": "\\' \\x00 \\u0000 C:\\",
    "placeholders": "%s %(id)s :booking {id} {{version}} ::text",
    "controls": "line\nbreak\ttab\x1b[31m\x7f",
    "unicode": "Zoë 🍣 \u202egnirts\u202c \ufeff",
    "array": '{"a","b"},NULL,{}',
    "json": '{"success": true}',
    "long": "x" * 5000,
}
SLOW_VERSION: Final = "(SELECT 1 FROM pg_sleep(60) WHERE CAST(:now AS timestamptz) IS NOT NULL)"
SECRET: Final = "hunter2"  # noqa: S105 - nobody's
UNSTORABLE: Final = {"nul": "before\x00after", "surrogate": "half \ud83d a pair"}


@pytest.fixture
def house(engine: Engine) -> Iterator[House]:
    made = House(engine).furnish()
    yield made
    made.telemetry.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def everything(house: House) -> list[Any]:
    """What a failed call must leave as it was."""
    return [
        house.rows("SELECT * FROM bookings ORDER BY id"),
        house.rows("SELECT * FROM table_assignments"),
        house.rows("SELECT * FROM table_holds"),
        house.rows("SELECT * FROM auto_assign_emails"),
        house.rows("SELECT * FROM auto_assign_attempts"),
        house.rows("SELECT * FROM observability_events"),
    ]


def backend_waiting(house: House) -> int:
    pid: int = house.value(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return pid


# The server is not there, or goes away.


def test_a_bad_dsn_is_one_line_that_names_the_remedy(tmp_path: Any) -> None:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(host=str(tmp_path), dbname="x", password=SECRET)
    )
    house = House(engine)
    calls: Sequence[Callable[[], object]] = (
        lambda: house.app.inline("b"),
        lambda: house.app.explain("b"),
        lambda: house.app.run_due(),
        lambda: house.planner.release("b", "a", timeout=T),
    )
    with house.telemetry:
        for call in calls:
            with pytest.raises(DatabaseFailure, match=r"could not connect.*DSN") as caught:
                call()
            assert len(str(caught.value).splitlines()) == 1
            assert SECRET not in str(caught.value)


@pytest.mark.parametrize("step", ["acquire", "confirm", "record"])
def test_a_connection_that_is_cut_leaves_nothing_half_written(
    house: House, threads: ThreadPoolExecutor, step: str
) -> None:
    house.book()
    calls: dict[str, Callable[[], Any]] = {"acquire": house.acquire, "record": house.record}
    if step != "acquire":
        house.acquire()
    if step == "confirm":
        hold = house.hold()
        calls["confirm"] = lambda: house.confirm(hold)
    before = everything(house)
    with house.engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
        call = threads.submit(calls[step])
        until_waiting(house)
        house.value("SELECT pg_terminate_backend(:pid)", pid=backend_waiting(house))
        failure = call.exception(timeout=T)
    assert isinstance(failure, DatabaseFailure)
    assert "connection is lost" in str(failure)
    assert len(str(failure).splitlines()) == 1
    assert everything(house) == before
    # And the pool has thrown the dead connection away.
    assert calls[step]() is not None


def test_a_confirm_whose_connection_is_cut_ends_as_a_recorded_failure(
    house: House, threads: ThreadPoolExecutor
) -> None:
    """The flow closes the attempt on another connection, and says what happened."""
    house.book()
    with house.engine.connect() as blocker, blocker.begin():
        # Let the attempt reach its confirm, which inserts the assignment, and no further.
        blocker.execute(text("LOCK TABLE table_assignments IN SHARE MODE"))
        call = threads.submit(house.app.inline, "b")
        until_waiting(house)
        house.value("SELECT pg_terminate_backend(:pid)", pid=backend_waiting(house))
        outcome = call.result(timeout=T)
    assert outcome.verdict is Verdict.WAIT
    assert outcome.result is not None
    assert outcome.result.reason_code is ReasonCode.NETWORK_FAILURE
    assert (house.status(), house.tables(), house.held()) == ("pending", set(), set())
    assert house.app.job("b").verdict in {Verdict.WAIT, Verdict.CONFIRMED}


# Something is missing, or has the wrong shape.


@pytest.mark.parametrize(
    ("step", "table"),
    [
        ("record", "bookings"),
        ("record", "auto_assign_attempts"),
        ("record", "auto_assign_emails"),
        ("record", "observability_events"),
        ("quote", "table_holds"),
        ("quote", "auto_assign_freed"),
    ],
)
def test_a_missing_table_is_named_with_the_remedy(house: House, step: str, table: str) -> None:
    house.book()
    house.acquire()
    house.run(f"ALTER TABLE {table} RENAME TO elsewhere")
    with pytest.raises(DatabaseFailure, match=r"assign-core (migrate|verify)") as caught:
        getattr(house, step)()
    assert table in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_column_and_a_missing_function_are_named_with_the_remedy(house: House) -> None:
    house.book()
    house.run("ALTER TABLE bookings RENAME COLUMN auto_assign_last_result TO elsewhere")
    with pytest.raises(DatabaseFailure, match=r"auto_assign_last_result.*assign-core (migrate|verify)"):
        house.app.inline("b")
    house.run("ALTER TABLE bookings RENAME COLUMN elsewhere TO auto_assign_last_result")
    house.run("ALTER FUNCTION booking_capacity_version RENAME TO elsewhere")
    with pytest.raises(DatabaseFailure, match=r"booking_capacity_version.*assign-core (migrate|verify)"):
        house.app.inline("b")
    assert house.blob() is None


def test_values_of_another_type_are_no_missing_function(house: House) -> None:
    """A uuid over ids that are text: to the server an operator is a function, and no migration brings it."""
    house.book()
    with pytest.raises(DatabaseFailure, match=r"operator does not exist: .*pass ids as str") as caught:
        house.store.read(uuid4(), timeout=T)  # type: ignore[arg-type]  # what a host may have at hand
    assert caught.value.sqlstate == "42883"
    assert "migrate" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


_BLOB_AS_BYTES: Final = """bookings
    DROP CONSTRAINT bookings_auto_assign_last_result_size, ALTER auto_assign_last_result TYPE bytea USING NULL"""


@pytest.mark.parametrize(
    ("step", "change"),
    [
        ("record", _BLOB_AS_BYTES),
        ("record", "auto_assign_attempts ALTER due_at TYPE integer USING NULL"),
        ("acquire", "auto_assign_emails ALTER revision TYPE text"),
        ("record", "observability_events ALTER context TYPE bytea USING NULL"),
    ],
    ids=["result", "due", "ledger", "events"],
)
def test_a_column_of_the_wrong_type_is_told_with_the_remedy(house: House, step: str, change: str) -> None:
    house.book()
    house.acquire("a0")
    house.run(f"ALTER TABLE {change}")
    before = everything(house)
    with pytest.raises(DatabaseFailure, match="assign-core verify") as caught:
        getattr(house, step)("a0")
    assert len(str(caught.value).splitlines()) == 1
    assert everything(house) == before


# Slow.


def test_a_locked_booking_ends_an_acquire_in_its_time(house: House) -> None:
    house.book()
    with house.engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
        lease = Lease(
            attempt_id="a1", source=Source.JOB, taken_at=house.now, expires_at=house.now + timedelta(seconds=9)
        )
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="nothing was written"):
            house.store.acquire("b", lease, timeout=0.2)
        assert time.monotonic() - started < 5
    assert house.rows("SELECT FROM auto_assign_attempts") == []


def test_a_slow_statement_ends_in_its_time(house: House) -> None:
    """A lock is not the only thing that a statement can wait for."""
    house.book()
    slow = PostgresStore(house.engine, house.runtime, version=SLOW_VERSION)
    with pytest.raises(DatabaseTimeout, match="nothing was written"):
        slow.read("b", timeout=0.2)


def test_a_slow_statement_of_an_event_loop_ends_in_its_time(dsn: str, house: House) -> None:
    house.book()

    async def slow() -> None:
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn)
        )
        store = AsyncPostgresStore(engine, house.runtime, version=SLOW_VERSION)
        with pytest.raises(DatabaseTimeout, match="nothing was written"):
            await store.read("b", timeout=0.2)
        quick = AsyncPostgresStore(engine, house.runtime)
        assert await quick.read("b", timeout=T) is not None, "the connection is fit for the next one"
        await engine.dispose()

    asyncio.run(slow())


def test_a_time_limit_is_not_left_to_the_next_user_of_the_connection(dsn: str, house: House) -> None:
    house.book()
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), pool_size=1, max_overflow=0)
    limits = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
    with engine.connect() as connection:
        before = connection.execute(text(limits)).one()
    store = PostgresStore(engine, house.runtime)
    slow = PostgresStore(engine, house.runtime, version=SLOW_VERSION)
    assert store.read("b", timeout=T) is not None
    with pytest.raises(DatabaseTimeout):
        slow.read("b", timeout=0.05)
    PostgresPlanner(engine, house.runtime).release("b", "a", timeout=T)
    with engine.connect() as connection:
        assert connection.execute(text(limits)).one() == before
    engine.dispose()


def test_another_driver_is_refused_by_name(house: House) -> None:
    store = PostgresStore(create_engine("sqlite://"), house.runtime)
    with pytest.raises(InvalidValue, match=r"sqlite3.*postgresql\+psycopg"):
        store.read("b", timeout=T)


def test_a_locked_ledger_ends_a_delivery_in_its_time(house: House, threads: ThreadPoolExecutor) -> None:
    house.book()
    house.confirmed()
    email = Email(booking_id="b", kind=EmailKind.CONFIRMATION, revision=0)
    with house.engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
        delivery: Future[EmailState] = threads.submit(house.mailer.deliver, email, timeout=0.2)
        failure = delivery.exception(timeout=5)
    assert isinstance(failure, TimeoutError)
    assert house.post.accepted == []
    assert house.mailer.relay() == {email.key: EmailState.SENT}


def test_a_search_ends_in_its_time(house: House) -> None:
    house.book()
    house.acquire()
    with house.engine.connect() as blocker, blocker.begin():
        blocker.execute(text("LOCK TABLE table_holds IN ACCESS EXCLUSIVE MODE"))
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            house.quote(timeout=0.2)
        assert time.monotonic() - started < 5
    assert house.rows("SELECT FROM table_holds") == []


def test_a_pool_without_a_free_connection_is_a_failure_of_ours(dsn: str, house: House) -> None:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.05,
    )
    house.book()
    with engine.connect():
        with pytest.raises(DatabaseFailure):
            PostgresStore(engine, house.runtime).read("b", timeout=T)
        with pytest.raises(DatabaseFailure):
            PostgresPlanner(engine, house.runtime).release("b", "a", timeout=T)
    engine.dispose()


def test_telemetry_outlives_a_pool_without_a_free_connection(dsn: str, house: House) -> None:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(dsn),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
    )
    telemetry = PostgresTelemetry(engine, house.runtime, flush_after=0)
    with engine.connect():
        telemetry.emit([make_event(EventName.STARTED, house.now, "b", "a1")], stored=False)
        # Whatever the thread and this call do with the failure, the event is not lost.
        with suppress(Exception):
            telemetry.flush()
    telemetry.close()
    assert house.value("SELECT count(*) FROM observability_events") == 1
    engine.dispose()


def test_a_cancelled_task_cancels_its_statement_on_the_server(dsn: str, house: House) -> None:
    house.book()

    async def cancelled() -> None:
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn)
        )
        store = AsyncPostgresStore(engine, house.runtime)
        lease = Lease(
            attempt_id="a1", source=Source.JOB, taken_at=house.now, expires_at=house.now + timedelta(seconds=9)
        )
        with house.engine.connect() as blocker, blocker.begin():
            blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
            task = asyncio.create_task(store.acquire("b", lease, timeout=60))
            await asyncio.to_thread(until_waiting, house)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The lock is still held by the blocker, so only a cancellation can have ended the wait.
            end = time.monotonic() + 5
            while waiting := house.rows(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                assert time.monotonic() < end, waiting
        await engine.dispose()

    asyncio.run(cancelled())
    assert house.rows("SELECT FROM auto_assign_attempts") == []


# Hostile text.


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_hostileis_data_everywhere(house: House, hostile: str) -> None:
    """As a booking's id, an attempt's, a table's, a reason and a trigger."""
    name = hostile[:200]
    house.run("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES (:id, 'r', 8)", id=name)
    house.book(name, party=8)
    outcome = house.app.inline(name, trigger=hostile[:64])
    assert outcome.verdict is Verdict.CONFIRMED
    assert house.tables(name) == {name}
    assert house.blob(name)["trigger"]
    assert house.ledger() == {f"{name}:confirmation:0": "sent"}
    house.book("other", party=1)
    house.acquire(name[:64], "other")
    reply = house.store.record(
        Record(
            booking_id="other",
            attempt_id=name[:64],
            result=LastResult(
                source=Source.JOB,
                recorded_at=house.now,
                success=False,
                reason=hostile,
                trigger=hostile[:64],
                attempt_id=name[:64],
                attempt=1,
            ),
            events=[make_event(EventName.ATTEMPT_ERROR, house.now, name, name, reason=hostile)],
        ),
        timeout=T,
    )
    assert reply.status == "pending"
    assert isinstance(reply.last, LastResult)
    assert reply.last.reason is not None
    assert reply.last.reason[:50] == hostile[:50]
    assert (
        house.value(
            "SELECT context ->> 'reason' FROM observability_events WHERE booking_id = :i AND name = :n",
            i=name,
            n=EventName.ATTEMPT_ERROR,
        )
        == hostile
    )
    assert house.value("SELECT count(*) FROM bookings") == 2


@pytest.mark.parametrize("hostile", UNSTORABLE.values(), ids=UNSTORABLE)
def test_a_reason_that_no_database_can_hold_is_recorded_all_the_same(house: House, hostile: str) -> None:
    house.book()
    house.post.failures.append(OSError(hostile))
    assert house.app.inline("b", trigger=hostile).verdict is Verdict.CONFIRMED
    assert house.ledger() == {"b:confirmation:0": "unknown"}
    house.run("UPDATE bookings SET status = 'pending'")
    house.acquire("a9")
    entry = Record(
        booking_id="b",
        attempt_id="a9",
        result=house.result("a9", reason=hostile),
        events=[make_event(EventName.ATTEMPT_ERROR, house.now, "b", "a9", reason=hostile)],
    )
    assert house.store.record(entry, timeout=T).status == "pending"
    house.telemetry.emit([make_event(EventName.STARTED, house.now, hostile, hostile, trigger=hostile)], stored=False)
    house.telemetry.flush()


@pytest.mark.parametrize("id_", UNSTORABLE.values(), ids=UNSTORABLE)
def test_an_id_that_no_database_can_hold_is_no_booking(house: House, id_: str) -> None:
    """No row can have it, so there is none; it is no trouble with the connection."""
    assert house.app.inline(id_).verdict is Verdict.NOT_ACTIONABLE
    assert house.app.job(id_).verdict is Verdict.NOT_ACTIONABLE
    assert house.store.read(id_, timeout=T) is None


@pytest.mark.parametrize(
    "name",
    [
        'book"ings',
        "book'ings; DROP TABLE bookings; --",
        "a :now b",
        ":id",
        "{id} {schema}",
        "100% %s",
        "Großes Haus",
        "select",
    ],
)
def test_hostile_names_are_names(dsn: str, house: House, name: str) -> None:
    """A host may have called its table and columns anything."""
    old = Names()
    new = Names(bookings=name, last_result=f"r {name}", idempotency_key=f"k {name}")
    house.book()
    for column, renamed in ((old.last_result, new.last_result), (old.idempotency_key, new.idempotency_key)):
        quoted = '"' + renamed.replace('"', '""') + '"'
        with psycopg.connect(dsn) as connection:
            connection.execute(f"ALTER TABLE bookings RENAME COLUMN {column} TO {quoted}".encode())
    quoted = '"' + name.replace('"', '""') + '"'
    with psycopg.connect(dsn) as connection:
        connection.execute(f"ALTER TABLE bookings RENAME TO {quoted}".encode())
    store = PostgresStore(house.engine, house.runtime, names=new, version=None)
    lease = Lease(attempt_id="a1", source=Source.JOB, taken_at=house.now, expires_at=house.now + timedelta(seconds=9))
    assert isinstance(store.acquire("b", lease, timeout=T), Acquired)
    entry = Record(booking_id="b", attempt_id="a1", result=house.result(), retry_at=house.now)
    assert store.record(entry, timeout=T).status == "pending"
    found = store.read("b", timeout=T)
    assert found is not None
    assert isinstance(found.last, LastResult)
    assert list(store.due(house.now, limit=9, timeout=T)) == ["b"]
    assert found.booking.start_at == DINNER
