"""What only two connections at once can show of the adapter on PostgreSQL, and what only its tables can refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest
from psycopg.rows import TupleRow
from sqlalchemy import create_engine
from sqlalchemy.event import listen
from tests.contracts.postgres_house import PostgresHouse, PostgresHouses

from assign_core.booking import EmailState
from assign_core.events import EventName, event
from assign_core.ports import Confirmed, EmailKind, Hold, NoHold, Record
from assign_core.reasons import FailureClass, classify_reason
from assign_postgres import DatabaseTimeout, PostgresPlanner
from assign_testing import LUNCH, T
from assign_testing.steps import acquire, confirm, confirmation, confirmed, email, hold, request, result, version


@pytest.fixture
def house(postgres_houses: PostgresHouses) -> Iterator[PostgresHouse]:
    yield postgres_houses.make()
    postgres_houses.close()


@pytest.fixture
def other(database: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """Another client, in a transaction."""
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def until_they_wait(house: PostgresHouse, *calls: Future[object]) -> None:
    """Until all of the calls wait for a lock."""
    pause = threading.Event()
    for _ in range(2_000):
        for call in calls:
            assert not call.done(), f"it did not wait: {call.result()}"
        waiting = house.host.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchall()
        if len(waiting) == len(calls):
            return
        pause.wait(0.005)
    raise AssertionError("they neither ended nor waited")


def test_a_version_is_never_newer_than_what_the_search_saw(house: PostgresHouse, database: str) -> None:
    """P5: a table is freed between asking for the version and looking at the floor. Who parks with that version, and
    without the table, never hears of it."""
    house.book("x", party=4)
    house.seat("x", ["large"])
    house.book(party=4)
    acquire(house)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database))

    def the_guest_cancels(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        """After the first of the two, whichever it is."""
        if "booking_capacity_version(" in statement or "service_periods" in statement:
            house.set_status("x", "cancelled")

    listen(engine, "after_cursor_execute", the_guest_cancels)
    found = PostgresPlanner(engine, house.runtime).quote(request(), timeout=T)
    engine.dispose()
    assert house.status("x") == "cancelled"
    assert isinstance(found, Hold) or (found.capacity_version or 0) < version(house)


def test_when_all_that_was_found_is_assigned_meanwhile_the_house_is_looked_at_again(
    house: PostgresHouse, database: str
) -> None:
    """Taken seats are no contention, which time would mend: only a cancellation does, and the version tells of it."""
    for name, party in (("x", 2), ("y", 4), ("b", 2)):
        house.book(name, party=party)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database))

    def staff_is_faster(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "hold_tables(" in statement and house.status("x") == "pending":
            house.seat("x", ["small"])
            house.seat("y", ["large"])

    listen(engine, "before_cursor_execute", staff_is_faster)
    acquire(house)
    found = PostgresPlanner(engine, house.runtime).quote(request(), timeout=T)
    engine.dispose()
    assert isinstance(found, NoHold)
    assert classify_reason(found.reason).failure_class is FailureClass.CAPACITY
    assert (found.reason_code, found.capacity_version) == (None, version(house))
    assert not house.holds()


def test_the_same_confirm_twice_at_once_is_one_confirm(
    house: PostgresHouse, other: psycopg.Connection[TupleRow], aside: ThreadPoolExecutor
) -> None:
    """Lesson 21: the second waits for the first, and sees what it did although its snapshot is older."""
    house.book()
    acquire(house)
    entry = confirmation(house, hold(house))
    other.execute("SELECT FROM bookings FOR NO KEY UPDATE")
    calls: list[Future[object]] = [aside.submit(house.store.confirm, entry, timeout=T) for _ in range(2)]
    until_they_wait(house, *calls)
    other.commit()
    for call in calls:
        answer = call.result(T)
        assert isinstance(answer, Confirmed)
        assert (answer.attempt_id, answer.email) == ("a1", EmailState.CLAIMED)
    assert house.tables() == {"small"}


@pytest.mark.parametrize("found", [True, False])
def test_the_same_record_twice_at_once_stores_its_events_once(
    house: PostgresHouse, other: psycopg.Connection[TupleRow], aside: ThreadPoolExecutor, found: bool
) -> None:
    """As when whoever is cancelled a second time records what the first call is still about to record."""
    house.book()
    acquire(house)
    entry = Record(
        booking_id="b",
        attempt_id="a1",
        result=result(house) if found else None,
        revision=0,
        events=(event(EventName.STARTED, house.now, "b", "a1"), event(EventName.QUOTE, house.now, "b", "a1")),
    )
    other.execute("SELECT FROM bookings FOR NO KEY UPDATE")
    calls: list[Future[object]] = [aside.submit(house.store.record, entry, timeout=T) for _ in range(2)]
    until_they_wait(house, *calls)
    other.commit()
    for call in calls:
        call.result(T)
    assert [each.name for each in house.events()] == [EventName.STARTED, EventName.QUOTE]


def test_a_lease_does_not_pass_on_while_its_holder_takes_a_hold(
    house: PostgresHouse, other: psycopg.Connection[TupleRow], aside: ThreadPoolExecutor
) -> None:
    """Else the late hold would outlive its attempt, unseen by the next one's search."""
    house.book()
    acquire(house, "a1", seconds=1)
    other.execute(
        "SELECT hold_tables('h', 'b', 'a1', 'house', '{small}', booking_window('house', 2, %s), %s, %s)",
        [house.now, house.now, house.now],
    )
    house.advance(2)
    call: Future[object] = aside.submit(acquire, house, "a2")
    until_they_wait(house, call)
    other.commit()
    call.result(T)
    hold(house, "b", "a2")
    assert list(house.holds()) == ["a2"]


def test_a_row_that_others_keep_locked_is_given_up_in_time(
    house: PostgresHouse, other: psycopg.Connection[TupleRow]
) -> None:
    house.book()
    house.book("c")
    confirmed(house, "c", "a9")
    acquire(house)
    found = hold(house)
    other.execute("SELECT FROM bookings FOR UPDATE")
    with pytest.raises(TimeoutError):
        house.store.confirm(confirmation(house, found), timeout=0.05)
    with pytest.raises(TimeoutError):
        house.store.record(Record(booking_id="b", attempt_id="a1", result=None), timeout=0.05)
    with pytest.raises(DatabaseTimeout, match="nothing was written"):
        house.mailer.deliver(email("c"), timeout=0.05)
    assert not house.post.keys
    other.commit()
    assert isinstance(confirm(house, found), Confirmed)


def test_a_mail_that_always_fails_does_not_keep_the_others_waiting(house: PostgresHouse) -> None:
    house.post.deduplicates = True
    for name in ("b", "c"):
        house.book(name)
        confirmed(house, name, name)
    house.post.failures = [ConnectionError("reset"), ConnectionError("reset")]
    for key in ("b", "c"):
        with pytest.raises(ConnectionError):
            house.mailer.deliver(email(key), timeout=T)
    house.book("d", start_at=LUNCH)
    confirmed(house, "d", "d")
    assert [each.booking_id for each in house.outbox.waiting(deduplicates=True, limit=1)] == ["d"]


def test_what_is_being_sent_is_not_waiting(house: PostgresHouse) -> None:
    house.book()
    confirmed(house)
    assert house.begin_sending(email()) is None
    assert house.outbox.waiting(deduplicates=False, limit=9) == []
    house.advance(60)
    assert list(house.outbox.waiting(deduplicates=False, limit=9)) == [email(kind=EmailKind.CONFIRMATION)]


def test_lesson_26_an_event_that_the_table_refuses_is_told_and_stops_no_other(house: PostgresHouse) -> None:
    names = (EventName.STARTED, EventName.QUOTE, EventName.SUMMARY)
    house.host.execute("ALTER TABLE observability_events ADD CONSTRAINT strict CHECK (name <> 'auto_assign.quote')")
    try:
        house.telemetry.emit([event(name, house.now, "b", "a1") for name in names], stored=False)
        stored = house.events()
    finally:
        house.host.execute("ALTER TABLE observability_events DROP CONSTRAINT strict")
    assert [each.name for each in stored] == [EventName.STARTED, EventName.SUMMARY, EventName.TELEMETRY_DROPPED]
    assert stored[-1].context["dropped"] == 1
    assert "strict" in str(stored[-1].context["error"])
