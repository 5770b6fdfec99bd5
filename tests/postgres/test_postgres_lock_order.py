"""One order of locks for all: the booking's row, its lease, the restaurants' counters, then holds and assignments.

Each test makes the interleaving in which two orders would be a deadlock. It waits for nothing but for the server to say
that somebody waits for a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Final, LiteralString

import psycopg
import pytest
from sqlalchemy import Engine
from tests.postgres.test_postgres_schema import DINNER, HOUSE, NOW, House

from assign_memory import VirtualClock
from assign_postgres.store import PostgresStore

PATIENCE: Final = 60
LATER: Final = NOW + timedelta(minutes=5)
HOLD: Final[LiteralString] = (
    "SELECT hold_tables('new', %s, 'a', 'r', ARRAY[%s], tstzrange('2026-01-10 19:00Z', '2026-01-10 20:00Z'), %s, %s)"
)
Session = Callable[[], "Actor"]


class Actor:
    """A transaction of somebody's, whose statements may have to wait."""

    def __init__(self, connection: psycopg.Connection, watcher: House, pool: ThreadPoolExecutor) -> None:
        self.connection, self._watcher, self._pool = connection, watcher, pool

    def run(self, statement: LiteralString, *values: object) -> object:
        cursor = self.connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else cursor.rowcount

    def start(self, statement: LiteralString, *values: object) -> Future[object]:
        """In a thread, and committed; returns when it waits for a lock, or has ended."""

        def work() -> object:
            try:
                done = self.run(statement, *values)
                self.connection.commit()
            except psycopg.Error:
                self.connection.rollback()
                raise
            return done

        future = self._pool.submit(work)
        pid = self.connection.info.backend_pid
        while not future.done() and not self._watcher.one(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)", pid
        ):
            pass
        return future


@pytest.fixture
def house(dsn: str) -> Iterator[House]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in HOUSE:
            connection.execute(statement)
        made = House(connection)
        for booking in ("a", "b"):
            made.book(booking)
            made.run(
                "INSERT INTO auto_assign_attempts (booking_id, attempt_id, source, taken_at, expires_at) "
                "VALUES (%s, 'a', 'job', %s, %s)",
                booking,
                NOW,
                LATER,
            )
        yield made


@pytest.fixture
def session(dsn: str, house: House) -> Iterator[Session]:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        yield lambda: Actor(stack.enter_context(psycopg.connect(dsn)), house, pool)


def test_a_hold_and_the_end_of_its_booking_do_not_wait_for_each_other(house: House, session: Session) -> None:
    gate = session()
    gate.run("SELECT pg_advisory_xact_lock(hashtextextended('assign-core table t2', 0))")
    holding = session().start(HOLD, "a", "t2", NOW, LATER)
    deleting = session().start("DELETE FROM bookings WHERE id = 'a'")
    gate.connection.rollback()
    assert holding.result(PATIENCE) == [(True,)]
    assert deleting.result(PATIENCE) == 1
    assert house.one("SELECT count(*) FROM table_holds") == 0


def test_a_hold_does_not_keep_a_confirm_waiting(house: House, session: Session) -> None:
    """Nor the store, which locks the row as for an update that leaves its key alone."""
    host = session()
    host.run("SELECT FROM bookings WHERE id = 'a' FOR NO KEY UPDATE")
    assert session().start(HOLD, "a", "t2", NOW, LATER).result(PATIENCE) == [(True,)]
    host.connection.rollback()
    assert house.one("SELECT count(*) FROM table_holds") == 1


FREEING: Final[dict[str, LiteralString]] = {
    "sweep": "SELECT sweep_expired_holds('r', '2026-01-09 12:00Z')",
    "release": "SELECT release_holds('b', 'a')",
    "another hold": (
        "SELECT hold_tables('other', 'b', 'a', 'r', ARRAY['t4'], "
        "tstzrange('2026-01-12 19:00Z', '2026-01-12 20:00Z'), '2026-01-09 12:00Z', '2026-01-09 12:05Z')"
    ),
}


@pytest.mark.parametrize("other", FREEING.values(), ids=FREEING)
def test_whoever_frees_holds_has_the_counter_before_he_has_the_holds(
    house: House, session: Session, other: LiteralString
) -> None:
    """A host gives a hold back and takes another in one transaction, while somebody frees what it is going to take."""
    house.book("c")
    held: LiteralString = (
        "INSERT INTO table_holds VALUES (%s, %s, %s, 'a', 'r', tstzrange('2026-01-10 19:00Z', '2026-01-10 20:00Z'), %s)"
    )
    house.run(held, "old", "t4", "a", LATER)
    house.run(held, "expired", "t2", "b", NOW)
    host = session()
    assert host.run("SELECT release_holds('a', 'a')") == [(1,)]
    freeing = session().start(other)
    assert host.run(HOLD, "a", "t2", NOW, LATER) == [(True,)]
    host.connection.commit()
    freeing.result(PATIENCE)
    assert house.run("SELECT hold_id FROM table_holds WHERE table_id = 't2'").fetchall() == [("new",)]


@pytest.mark.parametrize("statuses", [["cancelled"], ["confirmed"], ["cancelled", "pending"]], ids=" then ".join)
def test_who_has_freed_tables_goes_on_to_a_booking_for_which_a_hold_waits(
    house: House, session: Session, statuses: list[str]
) -> None:
    """The hold has the booking's lease, and waits for the restaurant's counter, which the host has until he commits."""
    seat(house, "r1", "r", "t4")
    house.run("UPDATE auto_assign_attempts SET due_at = %s WHERE booking_id = 'a'", LATER)
    house.run(
        "INSERT INTO table_holds SELECT 'expired', 't4', 'b', 'dead', 'r', tstzrange(%s, %s), %s",
        *(LATER, LATER + timedelta(hours=1), NOW),
    )
    host = session()
    host.run("UPDATE bookings SET status = 'cancelled' WHERE id = 'r1'")
    holding = session().start(HOLD, "a", "t2", NOW, LATER)
    assert not holding.done(), "it waits for the counter"
    for status in statuses:
        assert host.run("UPDATE bookings SET status = %s WHERE id = 'a'", status) == 1
    host.connection.commit()
    assert holding.result(PATIENCE) == [(True,)]


FOUR: Final = (("r1", "r", "t2"), ("r2", "r", "t4"), ("o1", "other", "u4"), ("o2", "other", "u5"))


def seat(house: House, booking: str, restaurant: str, table: str) -> None:
    """A booking that has a table."""
    house.run(
        "INSERT INTO bookings (id, restaurant_id, party_size, start_at, status) VALUES (%s, %s, 2, %s, 'confirmed')",
        *(booking, restaurant, DINNER),
    )
    house.run(
        "INSERT INTO table_assignments SELECT id, %s, restaurant_id, tstzrange(start_at, start_at + '2 hours') "
        "FROM bookings WHERE id = %s",
        *(table, booking),
    )


def test_bookings_of_several_restaurants_are_cancelled_in_any_order(house: House, session: Session) -> None:
    """The first has the second restaurant's counter to wait for, the other comes from the opposite end."""
    house.run("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('u5', 'other', 4)")
    for booking, restaurant, table in FOUR:
        seat(house, booking, restaurant, table)
    cancel: LiteralString = (
        "UPDATE bookings SET status = 'cancelled' FROM unnest(%s::text[]) WITH ORDINALITY AS asked(one, place) "
        "WHERE id = one"
    )
    gate = session()
    gate.run("SELECT FROM auto_assign_capacity WHERE restaurant_id = 'r' FOR UPDATE")
    working = []
    for order in (["r1", "o1"], ["o2", "r2"]):
        actor = session()
        actor.run("SET LOCAL enable_hashjoin = off")
        actor.run("SET LOCAL enable_mergejoin = off")
        working.append(actor.start(cancel, order))
    gate.connection.rollback()
    assert [each.result(PATIENCE) for each in working] == [2, 2]
    assert house.one("SELECT count(*) FROM table_assignments") == 0


def test_a_hold_is_given_back_while_its_booking_is_deleted(house: House, session: Session) -> None:
    """A key that deletes in its own time would have the hold, and wait for the counter that the other has."""
    house.hold("a", "t2")
    gate = session()
    gate.run("SELECT FROM auto_assign_capacity WHERE restaurant_id = 'r' FOR UPDATE")
    releasing = session().start("SELECT release_holds('a', 'a')")
    deleting = session().start("DELETE FROM bookings WHERE id = 'a'")
    gate.connection.rollback()
    releasing.result(PATIENCE)
    assert deleting.result(PATIENCE) == 1
    assert house.one("SELECT count(*) FROM table_holds") == 0


def test_a_hold_of_no_booking_is_refused_when_its_transaction_ends(house: House, session: Session) -> None:
    host = session()
    host.run("INSERT INTO table_holds SELECT 'h', 't2', 'nobody', 'a', 'r', tstzrange(%s, NULL), %s", DINNER, LATER)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        host.connection.commit()
    assert house.one("SELECT count(*) FROM table_holds") == 0


def test_a_poller_and_a_bulk_cancel_do_not_wait_for_each_other(house: House, session: Session, engine: Engine) -> None:
    """The poller asks for versions in the order in which bookings wait, and sweeps; the other goes by the names."""
    house.run("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('u5', 'other', 4)")
    house.run("INSERT INTO seating_durations VALUES ('other', NULL, '2 hours')")
    seat(house, "o1", "other", "u4")
    seat(house, "r1", "r", "t2")
    for number, (booking, restaurant, table) in enumerate([("r2", "r", "t4"), ("o2", "other", "u5")]):
        house.run(
            "INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES (%s, %s, 2, %s)",
            *(booking, restaurant, DINNER),
        )
        house.run(
            "INSERT INTO auto_assign_attempts (booking_id, due_at, parked_at_version) VALUES (%s, %s, 1000)",
            *(booking, LATER + timedelta(minutes=number)),
        )
        house.run(
            "INSERT INTO table_holds SELECT id || 'h', %s, id, 'dead', restaurant_id, "
            "tstzrange(start_at, start_at + '2 hours'), %s FROM bookings WHERE id = %s",
            *(table, NOW, booking),
        )
    gate = session()
    gate.run("SELECT FROM auto_assign_capacity WHERE restaurant_id = 'other' FOR UPDATE")
    cancelling = session().start("UPDATE bookings SET status = 'cancelled' WHERE id IN ('o1', 'r1')")
    store = PostgresStore(engine, VirtualClock(NOW))
    assert store.due(NOW, limit=9, timeout=PATIENCE) == [], "it waits for no counter"
    assert house.one("SELECT count(*) FROM table_holds") == 1, "the one in the restaurant whose counter was free"
    gate.connection.rollback()
    assert cancelling.result(PATIENCE) == 2
    store.due(NOW, limit=9, timeout=PATIENCE)
    assert house.one("SELECT count(*) FROM table_holds") == 0


def test_a_hold_needs_a_lease_that_still_runs(house: House) -> None:
    assert house.one(HOLD, "a", "t2", LATER, LATER + timedelta(minutes=2)) is False
    assert house.one(HOLD, "a", "t2", LATER - timedelta(microseconds=1), LATER) is True
