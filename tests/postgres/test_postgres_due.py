"""A poller's question, however much is parked: whose time has come is answered, and what a poll costs is bounded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Engine
from tests.postgres.test_postgres_lessons import DINNER, House, T

from assign_postgres.errors import DatabaseFailure
from assign_postgres.parked import BATCH, BATCHES

BOUND = BATCH * BATCHES
KEY = 20260103
VERSION = "CREATE OR REPLACE FUNCTION booking_capacity_version(booking text, moment timestamptz) RETURNS bigint "
TOLD = "SELECT setval('told', 1, false)"


@pytest.fixture
def house(engine: Engine) -> Iterator[House]:
    made = House(engine).furnish()
    yield made
    made.telemetry.close()


def park(house: House, count: int, *, start: int = 1) -> None:
    """Bookings that wait for half an hour, each a second longer than the one before."""
    house.run(
        "INSERT INTO bookings (id, restaurant_id, party_size, start_at) "
        "SELECT 'p' || n, 'r', 2, :dinner FROM generate_series(CAST(:start AS int), CAST(:last AS int)) AS n",
        dinner=DINNER,
        start=start,
        last=start + count - 1,
    )
    house.run(
        "INSERT INTO auto_assign_attempts (booking_id, due_at, parked_at_version) "
        "SELECT 'p' || n, CAST(:first AS timestamptz) + make_interval(secs => n), 5 "
        "FROM generate_series(CAST(:start AS int), CAST(:last AS int)) AS n",
        first=house.now + timedelta(minutes=30),
        start=start,
        last=start + count - 1,
    )


def late(house: House, booking: str = "late") -> None:
    """A booking whose time has come."""
    house.book(booking)
    house.run(
        "INSERT INTO auto_assign_attempts (booking_id, due_at) VALUES (:booking, :at)",
        booking=booking,
        at=house.now - timedelta(minutes=10),
    )


def counted(house: House, version: str) -> None:
    """A version of the host's own, which counts how often it is asked for."""
    house.run("CREATE SEQUENCE told")
    house.run(f"{VERSION} LANGUAGE sql AS 'SELECT {version} FROM (SELECT nextval(''told'')) AS asked'")  # noqa: S608 - the test's own words


def times(house: House) -> int:
    """How often it was, since the last time."""
    asked: int = house.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM told")
    house.run(TOLD)
    return asked


def test_whose_time_has_come_is_due_though_versions_cannot_be_told(dsn: str, house: House) -> None:
    """Formerly, with enough of them parked, nobody was due any more."""
    late(house)
    park(house, 1)
    house.run(f"{VERSION} LANGUAGE sql AS 'SELECT 9 FROM (SELECT pg_advisory_xact_lock({KEY})) AS waited'")  # noqa: S608 - the test's own words
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [KEY])
        assert list(house.store.due(house.now, limit=9, timeout=0.5)) == ["late"]
    assert list(house.store.due(house.now, limit=9, timeout=T)) == ["late", "p1"]


def test_a_poll_asks_for_no_more_versions_than_its_bound_and_the_next_goes_on(house: House) -> None:
    park(house, BOUND + 3)
    late(house)
    counted(house, f"CASE booking WHEN ''p{BOUND + 2}'' THEN 6 ELSE 5 END")
    assert list(house.store.due(house.now, limit=9, timeout=T)) == ["late"]
    assert times(house) == BOUND
    assert list(house.store.due(house.now, limit=9, timeout=T)) == ["late", f"p{BOUND + 2}"]
    assert times(house) == 3
    assert list(house.store.due(house.now, limit=9, timeout=T)) == ["late"], "from the front again"
    assert times(house) == BOUND


def test_whoever_is_woken_beyond_the_limit_is_not_passed_over(house: House) -> None:
    """The same question has the same answer until somebody has worked on it."""
    park(house, BATCH + 2)
    counted(house, "6")
    for _ in range(2):
        assert list(house.store.due(house.now, limit=2, timeout=T)) == ["p1", "p2"]
    house.run("UPDATE auto_assign_attempts SET parked_at_version = 6 WHERE booking_id <> :last", last=f"p{BATCH + 2}")
    assert list(house.store.due(house.now, limit=2, timeout=T)) == [f"p{BATCH + 2}"]


def test_no_version_is_asked_for_where_it_cannot_matter(house: House) -> None:
    park(house, 2)
    late(house)
    counted(house, "9")
    assert list(house.store.due(house.now, limit=1, timeout=T)) == ["late"]
    house.run("UPDATE bookings SET status = 'cancelled' WHERE id LIKE 'p%'")
    assert list(house.store.due(house.now, limit=9, timeout=T)) == ["late"]
    assert times(house) == 0


def test_those_parked_until_the_same_moment_are_all_looked_at(house: House) -> None:
    park(house, BATCH * 2 + 1)
    at = house.now + timedelta(minutes=30)
    house.run("UPDATE auto_assign_attempts SET due_at = :at", at=at)
    house.run(f"{VERSION} LANGUAGE sql AS 'SELECT 6'")
    everyone = house.rows("SELECT booking_id FROM auto_assign_attempts ORDER BY booking_id")
    found = house.store.due(house.now, limit=BATCH * 3, timeout=T)
    assert list(found) == [row.booking_id for row in everyone]


def told_or_not(house: House, body: str) -> None:
    """A version of the host's own: 9, unless it raises something."""
    house.run(f"{VERSION} LANGUAGE plpgsql AS $$ BEGIN {body} RETURN 9; END $$")


def polled(house: House, polls: int) -> list[set[str]]:
    """What each of some polls finds."""
    return [set(house.store.due(house.now, limit=BOUND, timeout=T)) for _ in range(polls)]


FAILS = {"a failure": "division_by_zero", "a timeout": "query_canceled", "a lock": "lock_not_available"}


@pytest.mark.parametrize("condition", FAILS.values(), ids=FAILS)
def test_a_booking_whose_version_cannot_be_told_keeps_no_other_waiting(
    house: House, caplog: pytest.LogCaptureFixture, condition: str
) -> None:
    """Neither those whose time has come nor those parked behind it; and it is told of, by name."""
    late(house)
    park(house, BATCH + 50)
    told_or_not(house, f"IF booking = 'p2' THEN RAISE {condition}; END IF;")
    with caplog.at_level(logging.WARNING, "assign_postgres.parked"):
        found = polled(house, 20)
    assert all("late" in each for each in found)
    everyone = {"late"} | {f"p{number}" for number in range(1, BATCH + 51)}
    assert set().union(*found) == everyone - {"p2"}
    assert {record.args[0] for record in caplog.records if isinstance(record.args, tuple)} == {"p2"}
    told_or_not(house, "")
    assert set().union(*polled(house, 3)) == everyone, "once it can be told"


def test_a_failure_is_raised_where_there_is_nothing_to_answer_and_the_next_poll_goes_on_behind_it(
    house: House,
) -> None:
    park(house, 3 * BATCHES)
    told_or_not(house, f"IF booking <> 'p{3 * BATCHES}' THEN RAISE division_by_zero; END IF;")
    with pytest.raises(DatabaseFailure, match="division_by_zero"):
        house.store.due(house.now, limit=9, timeout=T)
    found: list[str] = []
    polls = iter(range(3 * BATCHES))
    while not found:
        next(polls)
        with suppress(DatabaseFailure):
            found += house.store.due(house.now, limit=9, timeout=T)
    assert found == [f"p{3 * BATCHES}"]


def test_versions_that_take_long_are_asked_for_in_smaller_batches_and_in_larger_ones_again(house: House) -> None:
    """Sixty are as many as there is time for. Formerly a batch that was too large was asked for again and again."""
    counted = "coalesce(nullif(current_setting('test.asked', true), ''), '0')::int + 1"
    park(house, 150)
    told_or_not(
        house,
        f"PERFORM set_config('test.asked', ({counted})::text, true);"
        "IF current_setting('test.asked')::int > 60 THEN RAISE query_canceled; END IF;",
    )
    assert set().union(*polled(house, 8)) == {f"p{number}" for number in range(1, 151)}
    told_or_not(house, "")
    polled(house, 2)
    house.run("CREATE TABLE statements AS SELECT pg_current_xact_id() AS one LIMIT 0")
    told_or_not(house, "INSERT INTO statements VALUES (pg_current_xact_id());")
    polled(house, 1)
    assert house.value("SELECT max(asked) FROM (SELECT count(*) AS asked FROM statements GROUP BY one) AS each") == 150


def test_a_version_that_fails_is_not_taken_for_one_that_takes_long(house: House) -> None:
    park(house, 1)
    house.run(f"{VERSION} LANGUAGE sql AS 'SELECT (1 / (length(booking) - 2))::bigint'")
    with pytest.raises(Exception, match="division by zero"):
        house.store.due(house.now, limit=9, timeout=T)
