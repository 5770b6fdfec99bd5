"""The schema itself: what can never be written, and what a change of the floor or of a booking sets off."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, LiteralString

import psycopg
import pytest
from psycopg import errors, sql

from assign_core.booking import EmailState
from assign_core.events import Severity
from assign_core.last_result import Source
from assign_core.ports import EmailKind
from assign_core.word import Word
from assign_floor import Durations, Floor, Refusal, Table, search, window_for

NOW: Final = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
DINNER: Final = NOW.replace(hour=19)
HOUSE: Final[tuple[LiteralString, ...]] = (
    "INSERT INTO restaurants (id, name) VALUES ('r', 'R'), ('other', 'Other')",
    "INSERT INTO seating_durations VALUES ('r', 2, '90 minutes'), ('r', 4, '105 minutes'), ('r', NULL, '2 hours')",
    "INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('t2', 'r', 2), ('t4', 'r', 4)",
    "INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('u4', 'other', 4)",
    "INSERT INTO table_adjacency VALUES ('t2', 't4')",
)


class House:
    """What a host does, in SQL."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def run(self, statement: LiteralString, *values: object) -> psycopg.Cursor:
        return self.connection.execute(statement, values)

    def one(self, statement: LiteralString, *values: object) -> Any:
        row = self.run(statement, *values).fetchone()
        assert row is not None
        return row[0]

    def book(self, booking: str, party: int = 2, start: datetime = DINNER, zone: str | None = None) -> None:
        self.run(
            "INSERT INTO bookings (id, restaurant_id, party_size, start_at, zone) VALUES (%s, 'r', %s, %s, %s)",
            booking,
            party,
            start,
            zone,
        )

    def seat(self, booking: str, *tables: str) -> None:
        self.run(
            "INSERT INTO table_assignments SELECT id, unnest(%s::text[]), 'r', "
            "booking_window('r', party_size, start_at) FROM bookings WHERE id = %s",
            list(tables),
            booking,
        )
        self.status(booking, "confirmed")

    def hold(self, booking: str, *tables: str, name: str = "", expires: datetime = NOW + timedelta(minutes=2)) -> None:
        self.run(
            "INSERT INTO table_holds SELECT %s, unnest(%s::text[]), id, 'a', 'r', "
            "booking_window('r', party_size, start_at), %s FROM bookings WHERE id = %s",
            name or f"h-{booking}",
            list(tables),
            expires,
            booking,
        )

    def status(self, booking: str, status: str) -> None:
        self.run("UPDATE bookings SET status = %s WHERE id = %s", status, booking)

    def version(self, booking: str, moment: datetime = NOW) -> int:
        found: int = self.one("SELECT booking_capacity_version(%s, %s)", booking, moment)
        return found

    def tables(self, booking: str) -> list[str]:
        return [
            row[0]
            for row in self.run("SELECT table_id FROM table_assignments WHERE booking_id = %s ORDER BY 1", booking)
        ]

    def count(self) -> int:
        found: int = self.one("SELECT coalesce(max(version), 0) FROM auto_assign_capacity WHERE restaurant_id = 'r'")
        return found


@pytest.fixture
def house(dsn: str) -> Iterator[House]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in HOUSE:
            connection.execute(statement)
        yield House(connection)


# What can never be written.


def test_two_bookings_never_share_a_table(house: House) -> None:
    for booking in "ab":
        house.book(booking)
    house.seat("a", "t2")
    with pytest.raises(errors.ExclusionViolation) as caught:
        house.seat("b", "t2")
    assert caught.value.diag.constraint_name == "no_overlapping_table_assignments"
    house.seat("b", "t4")
    house.book("c", start=DINNER + timedelta(minutes=90))
    house.seat("c", "t2")  # windows that only touch do not overlap


@pytest.mark.parametrize("first_commits", [True, False])
def test_of_two_transactions_at_once_only_one_gets_the_table(house: House, dsn: str, first_commits: bool) -> None:
    for booking in "ab":
        house.book(booking)
    outcome: list[str] = []
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        House(first).seat("a", "t2")

        def rival() -> None:
            try:
                House(second).seat("b", "t2")
                second.commit()
                outcome.append("seated")
            except errors.ExclusionViolation:
                second.rollback()
                outcome.append("refused")

        thread = threading.Thread(target=rival)
        thread.start()
        pid = second.info.backend_pid
        while not house.one("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)", pid):
            assert thread.is_alive(), outcome
        first.commit() if first_commits else first.rollback()
        thread.join(30)
    assert outcome == ["refused" if first_commits else "seated"]


def test_holds_of_others_exclude_each_other_and_those_of_a_booking_do_not(house: House) -> None:
    for booking in "ab":
        house.book(booking)
    house.hold("a", "t2", "t4", name="one")
    house.hold("a", "t2", name="another")
    with pytest.raises(errors.ExclusionViolation) as caught:
        house.hold("b", "t4")
    assert caught.value.diag.constraint_name == "no_overlapping_table_holds"
    house.run("DELETE FROM table_holds")
    house.hold("b", "t4")


NONSENSE: Final[tuple[LiteralString, ...]] = (
    "INSERT INTO table_assignments VALUES ('a', 't2', 'r', 'empty')",
    "INSERT INTO table_assignments VALUES ('a', 'u4', 'r', '[2026-01-09 19:00Z,2026-01-09 20:00Z)')",
    "INSERT INTO table_adjacency VALUES ('t4', 't2')",
    "INSERT INTO restaurant_tables (id, restaurant_id, seats, min_party) VALUES ('x', 'r', 2, 3)",
    "INSERT INTO seating_durations VALUES ('r', NULL, '1 hour')",
    "INSERT INTO auto_assign_attempts (booking_id, attempt_id) VALUES ('a', 'half a lease')",
    "UPDATE bookings SET auto_assign_last_result = to_jsonb(repeat('x', 1023))",
)


@pytest.mark.once
def test_nonsense_is_refused(house: House) -> None:
    house.book("a")
    for statement in NONSENSE:
        with pytest.raises(errors.IntegrityError):
            house.run(statement)


def test_adjacency_is_ordered_as_the_floor_orders_it(house: House) -> None:
    house.run(
        "INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('B', 'r', 2), ('a', 'r', 2), ('ä', 'r', 2)"
    )
    for pair in Floor(tables=[Table(id=name, seats=2) for name in "aBä"], adjacent=[("a", "B"), ("ä", "B")]).adjacent:
        house.run("INSERT INTO table_adjacency VALUES (%s, %s)", *pair)


WORDS: Final[dict[str, Iterable[Word]]] = {
    "observability_events_severity_check": Severity,
    "auto_assign_emails_state_check": EmailState,
    "auto_assign_emails_kind_check": EmailKind,
    "auto_assign_attempts_source_check": Source,
    "auto_assign_attempts_lost_first_check": Source,
}


@pytest.mark.once
def test_lists_of_words_are_those_of_the_code(house: House) -> None:
    for name, words in WORDS.items():
        definition = house.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", name)
        assert set(re.findall(r"'(\w+)'", definition)) == {word.value for word in words}


# What a change sets off.


def test_whoever_is_not_seated_any_more_has_no_tables(house: House) -> None:
    for status in ("cancelled", "no_show", "completed", "pending", "pending_allocation"):
        house.book(status)
        house.seat(status, "t2", "t4")
        before = house.count()
        house.status(status, "checked_in")
        assert house.tables(status) == ["t2", "t4"]
        house.status(status, status)
        assert house.tables(status) == []
        assert house.count() == before + 1, "two tables given back at once are one change"


def test_a_status_of_the_hosts_own_takes_no_tables_away(house: House) -> None:
    house.book("a")
    house.seat("a", "t2", "t4")
    before = house.count()
    for status in ("of_the_host", "checked_in", "of_the_host"):
        house.status("a", status)
        assert (house.tables("a"), house.count()) == (["t2", "t4"], before)
    house.status("a", "completed")
    assert house.tables("a") == []


def test_cancelling_what_was_never_confirmed_gives_its_tables_back(house: House) -> None:
    house.book("a")
    house.run("INSERT INTO table_assignments VALUES ('a', 't2', 'r', booking_window('r', 2, %s))", DINNER)
    house.status("a", "cancelled")
    assert house.tables("a") == []


@pytest.mark.parametrize(
    "change",
    ["UPDATE bookings SET party_size = 3", "UPDATE bookings SET start_at = start_at + interval '1 hour'"],
)
def test_modification_is_a_new_revision_to_be_assigned_anew(house: House, change: LiteralString) -> None:
    house.book("a")
    house.seat("a", "t4")
    house.run("UPDATE bookings SET party_size = party_size, start_at = start_at")
    assert house.tables("a") == ["t4"], "nothing has changed"
    house.run(change)
    assert house.run("SELECT status, revision FROM bookings").fetchone() == ("pending", 1)
    assert house.tables("a") == []


def test_recording_a_result_sets_nothing_off(house: House) -> None:
    house.book("a")
    house.seat("a", "t4")
    before = house.count()
    house.run("UPDATE bookings SET auto_assign_last_result = '{}', auto_assign_idempotency_key = 'k'")
    assert (house.tables("a"), house.count()) == (["t4"], before)


def test_capacity_version_tells_what_could_help(house: House) -> None:
    for booking, party in {"two": 2, "four": 4, "lunch": 2, "six": 6, "crowd": 60}.items():
        house.book(booking, party, NOW if booking == "lunch" else DINNER)
    house.book("a")
    house.book("b", 4)
    house.seat("a", "t2")
    house.seat("b", "t4")
    start = house.count()
    house.status("a", "cancelled")
    assert house.version("two") == start + 1
    assert house.version("four") == house.version("six") == 0, "a freed two says nothing to four, nor to six"
    assert house.version("lunch") == house.version("lunch", DINNER) < start + 1, "nor dinner to lunch"
    house.status("b", "cancelled")
    assert house.version("four") == house.version("six") == start + 2, "six need both, and both are free now"
    assert house.version("crowd") == 0
    assert house.one("SELECT booking_capacity_version('nobody', now())") is None


def test_an_expired_hold_is_swept_and_counts_as_freed(house: House) -> None:
    for booking in "ab":
        house.book(booking)
    house.hold("a", "t2")
    before, parked = house.count(), house.version("b")
    late = NOW + timedelta(minutes=2)
    assert house.version("b", late - timedelta(microseconds=1)) == parked
    assert house.version("b", late) == before + 1
    assert house.one("SELECT count(*) FROM table_holds") == 0


def test_a_hold_that_a_confirm_consumed_frees_nothing(house: House) -> None:
    house.book("a")
    house.hold("a", "t2", "t4")
    before = house.count()
    house.run(
        "WITH consumed AS (DELETE FROM table_holds WHERE booking_id = 'a' RETURNING *) "
        "INSERT INTO table_assignments SELECT booking_id, table_id, restaurant_id, during FROM consumed"
    )
    assert house.count() == before
    assert house.tables("a") == ["t2", "t4"]


@pytest.mark.once
def test_what_a_change_keeps_or_lengthens_is_no_news(house: House) -> None:
    house.book("seated")
    house.seat("seated", "t4")
    house.book("held")
    house.hold("held", "t2")
    before = house.count()
    for table in ("table_assignments", "table_holds"):
        same = sql.SQL("UPDATE {} SET table_id = table_id").format(sql.Identifier(table))
        longer = sql.SQL("UPDATE {} SET during = tstzrange(lower(during), upper(during) + '1 h')")
        house.connection.execute(same)
        house.connection.execute(longer.format(sql.Identifier(table)))
    house.run("UPDATE table_holds SET expires_at = expires_at + interval '1 minute'")
    assert house.count() == before


@pytest.mark.once
def test_a_hold_that_was_consumed_is_not_freed_by_emptying_the_table(house: House) -> None:
    house.book("a")
    house.hold("a", "t2")
    house.seat("a", "t2")
    before = house.count()
    house.run("TRUNCATE table_holds")
    assert house.count() == before


CHANGES: Final[dict[str, LiteralString]] = {
    "a table added": "INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('new', 'r', 8)",
    "restaurant_tables.restaurant_id": "UPDATE restaurant_tables SET restaurant_id = 'r' WHERE id = 'u4'",
    "restaurant_tables.zone": "UPDATE restaurant_tables SET zone = 'terrace' WHERE id = 't4'",
    "restaurant_tables.seats": "UPDATE restaurant_tables SET seats = 8 WHERE id = 't4'",
    "restaurant_tables.min_party": "UPDATE restaurant_tables SET min_party = 1 WHERE id = 't4'",
    "restaurant_tables.movable": "UPDATE restaurant_tables SET movable = true WHERE id = 't4'",
    "tables joined": "DELETE FROM table_adjacency; SAVEPOINT gone; INSERT INTO table_adjacency VALUES ('t2', 't4')",
    "table_adjacency.table_a": "UPDATE table_adjacency SET table_a = 't3'",
    "table_adjacency.table_b": "UPDATE table_adjacency SET table_b = 't3'",
    "a step more": "INSERT INTO seating_durations VALUES ('r', 6, '1 hour')",
    "a step less": "DELETE FROM seating_durations WHERE max_party IS NULL",
    "seating_durations.restaurant_id": "UPDATE seating_durations SET restaurant_id = 'other' WHERE max_party = 2",
    "seating_durations.max_party": "UPDATE seating_durations SET max_party = 3 WHERE max_party = 2",
    "seating_durations.stay": "UPDATE seating_durations SET stay = '1 hour'",
    "a service more": "INSERT INTO service_periods VALUES ('r', 'brunch', '10:00', '12:00')",
    "the last service gone": "DELETE FROM service_periods",
    "service_periods.restaurant_id": "UPDATE service_periods SET restaurant_id = 'other'",
    "service_periods.name": "UPDATE service_periods SET name = 'supper'",
    "service_periods.opens": "UPDATE service_periods SET opens = '17:00'",
    "service_periods.closes": "UPDATE service_periods SET closes = '23:59'",
    "restaurants.timezone": "UPDATE restaurants SET timezone = 'Europe/Berlin' WHERE id = 'r'",
    "restaurants.turnover": "UPDATE restaurants SET turnover = '5 minutes'",
    "bookings.restaurant_id": "UPDATE bookings SET restaurant_id = 'other' WHERE id = 'seated'",
    "bookings.party_size": "UPDATE bookings SET party_size = 3 WHERE id = 'seated'",
    "bookings.start_at": "UPDATE bookings SET start_at = start_at + interval '1 day' WHERE id = 'seated'",
    "bookings.status": "UPDATE bookings SET status = 'cancelled' WHERE id = 'seated'",
    "bookings.zone": "UPDATE bookings SET zone = NULL",
    "a seated booking deleted": "DELETE FROM bookings WHERE id = 'seated'",
    "a booking with a hold deleted": "DELETE FROM bookings WHERE id = 'held'",
    "unassigned": "DELETE FROM table_assignments",
    "all unassigned": "TRUNCATE table_assignments",
    "table_assignments.booking_id": "UPDATE table_assignments SET booking_id = 'locked'",
    "table_assignments.table_id": "UPDATE table_assignments SET table_id = 't2'",
    "table_assignments.restaurant_id": "UPDATE table_assignments SET table_id = 'u4', restaurant_id = 'other'",
    "table_assignments.during": "UPDATE table_assignments SET during = tstzrange(lower(during), lower(during) + '1 h')",
    "a hold gone": "DELETE FROM table_holds",
    "all holds gone": "TRUNCATE table_holds",
    "table_holds.booking_id": "UPDATE table_holds SET booking_id = 'locked'",
    "table_holds.table_id": "UPDATE table_holds SET table_id = 't4'",
    "table_holds.restaurant_id": "UPDATE table_holds SET table_id = 'u4', restaurant_id = 'other'",
    "table_holds.during": "UPDATE table_holds SET during = tstzrange(lower(during), lower(during) + '1 h')",
}
"""What may let a search succeed that has failed: a column, or a row that comes or goes."""
HELPS_NOBODY: Final[dict[str, str]] = {
    **dict.fromkeys(("restaurants.id", "restaurant_tables.id"), "a key that others refer to is never changed"),
    "bookings.id": "a key; another id is another booking",
    "restaurants.name": "a name",
    "bookings.customer_email": "an address",
    "bookings.created_at": "its age",
    "bookings.auto_assign_last_result": "ours: evidence, not capacity",
    "bookings.auto_assign_idempotency_key": "ours: what the confirm was",
    "bookings.revision": "makes older evidence void, so the booking is searched for without any news",
    **dict.fromkeys(("table_holds.hold_id", "table_holds.attempt_id"), "whose hold, not whether"),
    "table_holds.expires_at": "a hold that expires is swept, which deletes it",
}


@pytest.mark.once
def test_whatever_may_help_gives_a_number(house: House) -> None:
    house.run("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('t3', 'r', 2)")
    house.run("INSERT INTO service_periods VALUES ('r', 'dinner', '18:00', '23:00')")
    house.book("seated")
    house.seat("seated", "t4")
    house.book("held")
    house.hold("held", "t2")
    house.book("locked", zone="terrace")
    before = house.count()
    for name, change in CHANGES.items():
        house.run("BEGIN")
        house.run(change)
        assert house.count() > before, name
        house.run("ROLLBACK")


@pytest.mark.once
def test_every_column_of_the_schema_gives_a_number_or_helps_nobody(house: House) -> None:
    columns = {
        f"{row[0]}.{row[1]}"
        for row in house.run(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND NOT starts_with(table_name, 'auto_assign_') AND table_name NOT IN "
            "('assign_core_migrations', 'observability_events')"
        )
    }
    assert len(columns) > 30
    assert columns == {name for name in CHANGES if "." in name} | HELPS_NOBODY.keys()


@pytest.mark.once
def test_a_booking_that_moves_to_another_house_is_a_modification(house: House) -> None:
    house.book("b")
    house.seat("b", "t2")
    house.run("UPDATE bookings SET restaurant_id = 'other' WHERE id = 'b'")
    assert house.run("SELECT status, revision FROM bookings").fetchall() == [("pending", 1)]
    assert house.tables("b") == []


@pytest.mark.once
def test_a_longer_service_wakes_who_would_have_overrun_it(house: House) -> None:
    """P5: the failure was permanent, so nothing but this news brings the booking back."""
    house.run("INSERT INTO service_periods VALUES ('r', 'dinner', '18:00', '20:00')")
    house.book("b")
    parked = house.version("b")
    house.run("UPDATE service_periods SET closes = '21:00' WHERE restaurant_id = 'r'")
    assert house.version("b") > parked


@pytest.mark.once
def test_a_number_costs_the_same_whatever_happened_to_the_table_before(house: House) -> None:
    """It is taken under the lock of the whole house."""
    freed: LiteralString = "SELECT auto_assign_free('r', ARRAY['t2'], tstzrange(%s, %s))"
    house.run(
        "INSERT INTO auto_assign_freed SELECT 'r', n, 't' || t, tstzrange(at, at + interval '2 hours') "
        "FROM generate_series(-2000, 2000) AS n, generate_series(2, 9) AS t, "
        "LATERAL (SELECT %s + n * interval '15 minutes' AS at) AS each ON CONFLICT DO NOTHING",
        DINNER,
    )
    house.run("UPDATE auto_assign_capacity SET version = 10000")
    house.run("ANALYZE auto_assign_freed")
    house.one(freed, DINNER, DINNER + timedelta(minutes=90))  # what is long past goes with the first
    old: LiteralString = "SELECT count(*) FROM auto_assign_freed WHERE table_id = 't2' AND upper(during) < %s"
    past = house.one(old, DINNER - timedelta(days=2))
    assert past == 0
    assert house.one("SELECT count(*) FROM auto_assign_freed WHERE table_id = 't2'") > 2000
    house.run("VACUUM ANALYZE auto_assign_freed")
    touched: LiteralString = (
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'auto_assign_freed'"
    )
    house.run("BEGIN")
    before = house.one(touched)
    for _ in range(10):
        house.one(freed, DINNER, DINNER + timedelta(minutes=90))
    after = house.one(touched)
    house.run("ROLLBACK")
    assert 0 < after - before < 300


@pytest.mark.once
def test_what_is_forgotten_is_over_by_every_clock(house: House) -> None:
    free: LiteralString = "SELECT auto_assign_free('r', ARRAY['t2'], tstzrange(%s, %s))"
    soon = datetime.now(UTC) + timedelta(days=1)
    next_year = soon + timedelta(days=365)
    old = datetime.now(UTC) - timedelta(days=3)
    # By a clock that is years behind the server's this evening is still to come.
    for start in (DINNER, DINNER + timedelta(hours=1)):
        house.one(free, start, start + timedelta(hours=1))
    left: LiteralString = "SELECT count(*) FROM auto_assign_freed WHERE table_id = 't2' AND NOT upper_inf(during)"
    assert house.one(left) == 2
    # And a table that is freed for next year says nothing of tomorrow.
    house.run("DELETE FROM auto_assign_freed WHERE NOT upper_inf(during)")
    for start in (old, soon, next_year):
        house.one(free, start, start + timedelta(hours=1))
    kept = house.run("SELECT lower(during) FROM auto_assign_freed WHERE NOT upper_inf(during) ORDER BY 1").fetchall()
    assert kept == [(soon,), (next_year,)]


@pytest.mark.once
def test_a_booking_that_is_deleted_leaves_nothing_behind(house: House) -> None:
    house.book("b")
    house.book("other")
    for booking in ("b", "other"):
        house.run("INSERT INTO auto_assign_attempts (booking_id) VALUES (%s)", booking)
        house.run("INSERT INTO auto_assign_emails (booking_id, kind, revision) VALUES (%s, 'confirmation', 0)", booking)
    house.seat("b", "t4")
    house.hold("b", "t2")
    house.run("DELETE FROM bookings WHERE id = 'b'")
    assert house.one("SELECT array_agg(booking_id) FROM auto_assign_attempts") == ["other"]
    assert house.one("SELECT array_agg(booking_id) FROM auto_assign_emails") == ["other"]
    assert house.one("SELECT count(*) FROM table_assignments") == 0
    assert house.one("SELECT count(*) FROM table_holds") == 0


def test_numbers_come_in_the_order_of_commits(house: House, dsn: str) -> None:
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        free: LiteralString = "SELECT auto_assign_free('r', ARRAY['t2'], tstzrange(now(), now() + interval '1 hour'))"
        number = House(first).one(free)
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.append(House(second).one(free)))
        thread.start()
        while not house.one(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)", second.info.backend_pid
        ):
            assert thread.is_alive()
        assert got == []
        first.commit()
        thread.join(30)
        assert got == [number + 1]
        second.commit()


def test_what_a_later_number_covers_is_forgotten(house: House) -> None:
    for _ in range(50):
        house.one(
            "SELECT auto_assign_free('r', ARRAY['t2', 't2', 't4'], tstzrange(%s, %s))",
            DINNER,
            DINNER + timedelta(hours=1),
        )
    rows = house.run(
        "SELECT table_id, count(*) FROM auto_assign_freed WHERE NOT upper_inf(during) GROUP BY 1 ORDER BY 1"
    )
    assert rows.fetchall() == [("t2", 1), ("t4", 1)]
    assert house.one("SELECT auto_assign_free('r', '{}', NULL)") is None
    house.one("SELECT auto_assign_free('r', ARRAY['t2', 't4'], NULL)")
    assert house.one("SELECT count(*) FROM auto_assign_freed WHERE restaurant_id = 'r'") == 2


STEPS: Final = ((2, timedelta(minutes=90)), (4, timedelta(days=1)), (6, timedelta(minutes=120)))


@pytest.mark.once
@pytest.mark.parametrize("steps", [STEPS, (*STEPS, (None, timedelta(hours=3)))], ids=["closed", "open"])
def test_window_is_that_of_the_floor(house: House, steps: tuple[tuple[int | None, timedelta], ...]) -> None:
    floor = Floor(tables=[], durations=Durations(steps), turnover=timedelta(minutes=10))
    house.run("DELETE FROM seating_durations")
    for most, stay in reversed(steps):
        house.run("INSERT INTO seating_durations VALUES ('r', %s, %s)", most, stay)
    house.run("UPDATE restaurants SET turnover = '10 minutes'")
    house.run("SET timezone = 'Europe/Berlin'")
    for party in range(1, 9):
        for start in (DINNER, datetime(2026, 3, 28, 20, tzinfo=UTC)):  # the night on which an hour is missing
            window = window_for(floor, party, start)
            assert not isinstance(window, Refusal)
            found = house.one("SELECT booking_window('r', %s, %s)", party, start)
            assert (found.lower, found.upper, found.bounds) == (window.start, window.end, "[)")


# The promise of the capacity version.


def found(house: House, booking: str, moment: datetime = NOW) -> tuple[str, ...] | None:
    """What a search finds now, by the search that the planner uses."""
    party, zone, during = house.run(
        "SELECT party_size, zone, booking_window('r', party_size, start_at) FROM bookings WHERE id = %s", booking
    ).fetchall()[0]
    busy = house.run(
        "SELECT table_id FROM table_assignments WHERE during && %s AND booking_id <> %s UNION "
        "SELECT table_id FROM table_holds WHERE during && %s AND booking_id <> %s AND expires_at > %s",
        *(during, booking, during, booking, moment),
    )
    tables = house.run("SELECT id, seats, min_party, zone, movable FROM restaurant_tables WHERE restaurant_id = 'r'")
    floor = Floor(
        tables=[
            Table(id=row[0], seats=row[1], min_party=row[2], zone=row[3], movable=row[4]) for row in tables.fetchall()
        ],
        adjacent=house.run("SELECT table_a, table_b FROM table_adjacency").fetchall(),
    )
    candidates = search(floor, party=party, zone=zone, busy={row[0] for row in busy}).candidates
    return candidates[0].tables if candidates else None


RULES: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "tables put together": (
        "DELETE FROM table_adjacency; UPDATE bookings SET party_size = 6",
        "INSERT INTO table_adjacency VALUES ('t2', 't4')",
    ),
    "tables that may be moved": (
        "UPDATE restaurant_tables SET movable = false; UPDATE bookings SET party_size = 6",
        "UPDATE restaurant_tables SET movable = true",
    ),
    "a larger table": ("UPDATE bookings SET party_size = 7", "UPDATE restaurant_tables SET seats = 7 WHERE id = 't4'"),
    "a table more": (
        "UPDATE bookings SET party_size = 7",
        "INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('t7', 'r', 7)",
    ),
    "a shorter stay": ("UPDATE bookings SET party_size = 3", "UPDATE seating_durations SET stay = '1 hour'"),
    "a step more": ("UPDATE bookings SET party_size = 3", "INSERT INTO seating_durations VALUES ('r', 3, '1 hour')"),
    "a step less": (
        "UPDATE seating_durations SET stay = '1 hour' WHERE max_party = 4; UPDATE bookings SET party_size = 2",
        "DELETE FROM seating_durations WHERE max_party = 2",
    ),
    "less turnover": (
        "UPDATE restaurants SET turnover = '30 minutes'; UPDATE bookings SET party_size = 2",
        "UPDATE restaurants SET turnover = '0'",
    ),
    "a zone lock lifted": ("UPDATE bookings SET zone = 'terrace', party_size = 1", "UPDATE bookings SET zone = NULL"),
}


DECOYS: Final = """
INSERT INTO restaurant_tables (id, restaurant_id, zone, seats)
SELECT name, 'r', 'far', greatest(1, party_size - 1)
FROM bookings, unnest(ARRAY['far', 'apart']) AS name WHERE id = 'b'"""
"""Two tables that would be enough together and cannot be put together: their number is high, and helps nobody."""


@pytest.mark.once
def test_a_rule_that_changes_wakes_whom_it_helps(house: House) -> None:
    for name, (before, change) in RULES.items():
        house.run("BEGIN")
        house.book("b", 4)
        house.run(before)
        if "stay" in name or "step" in name or "turnover" in name:
            house.book("next", 2, DINNER + timedelta(minutes=90 if "turnover" in name else 60))
            house.seat("next", "t2", "t4")
        house.run(DECOYS)
        parked = house.version("b")
        assert parked > 0
        assert found(house, "b") is None, name
        house.run(change)
        assert found(house, "b") is not None, name
        assert house.version("b") > parked, name
        house.run("ROLLBACK")


CONFIRMED: Final = "SELECT id FROM bookings WHERE status = 'confirmed' ORDER BY id"
ALIVE: Final = "SELECT id FROM bookings WHERE status IN ('confirmed', 'pending') ORDER BY id"
LOCKED: Final = "SELECT id FROM bookings WHERE status = 'pending' AND zone IS NOT NULL ORDER BY id"


class Evening:
    """A random house, what random people do in it, and the bookings whose search has failed."""

    def __init__(self, house: House, seed: int) -> None:
        self.house, self.random = house, Random(seed)  # noqa: S311 - an evening, not a secret
        self.tables = [
            Table(
                id=f"{zone}{n}", seats=self.random.choice([2, 2, 4, 6]), zone=zone, movable=self.random.random() < 0.8
            )
            for zone in "xy"
            for n in range(3)
        ]
        self.adjacent: set[tuple[str, str]] = set()
        self.moment = NOW
        self.parked: dict[str, int] = {}
        self.made = 0
        self.woken = 0
        for table in self.tables:
            values = (table.id, table.zone, table.seats, table.movable)
            house.run(
                "INSERT INTO restaurant_tables (id, restaurant_id, zone, seats, movable) VALUES (%s, 'r', %s, %s, %s)",
                *values,
            )

    def found(self, booking: str) -> tuple[str, ...] | None:
        return found(self.house, booking, self.moment)

    def look(self) -> None:
        """Every parked booking whose search would succeed has a higher number by now; and the number is the rule's."""
        for booking, parked in list(self.parked.items()):
            version = self.house.version(booking, self.moment)
            assert version == self.by_the_rule(booking)
            if version > parked:
                self.woken += 1
                self.try_(booking)
            else:
                assert self.found(booking) is None, (
                    f"{booking} was parked at {parked}, and {self.found(booking)} is free"
                )

    def by_the_rule(self, booking: str) -> int:
        """The migration's comment, word by word."""
        party, during = self.house.run(
            "SELECT party_size, booking_window('r', party_size, start_at) FROM bookings WHERE id = %s", booking
        ).fetchall()[0]
        # Kept short enough to read at a glance.
        taken = {
            row[0]
            for row in self.house.run(
                "SELECT table_id FROM (SELECT table_id, booking_id, during FROM table_assignments UNION ALL "
                "SELECT table_id, booking_id, during FROM table_holds) AS any_ WHERE during && %s AND booking_id <> %s",
                during, booking,
            )
        }  # fmt: skip
        free = [table for table in self.tables if table.id not in taken]
        helpful = [
            table.id
            for table in free
            if table.seats >= party
            or (table.movable and sum(t.seats for t in free if t.zone == table.zone and t.movable) >= party)
        ]
        found: int = self.house.one(
            "SELECT coalesce(max(version), 0) FROM auto_assign_freed WHERE table_id = ANY (%s) AND during && %s",
            helpful,
            during,
        )
        return found

    def try_(self, booking: str) -> None:
        """Search; seat or hold what is found, or park at the version that was seen."""
        self.parked.pop(booking, None)
        version, tables = self.house.version(booking, self.moment), self.found(booking)
        if tables is None:
            self.parked[booking] = version
        elif self.random.random() < 0.6:
            self.house.seat(booking, *tables)
        else:
            self.made += 1
            expires = self.moment + timedelta(minutes=self.random.choice([1, 5]))
            self.house.hold(booking, *tables, name=f"h{self.made}", expires=expires)

    def arrive(self) -> None:
        self.made += 1
        start = DINNER + timedelta(minutes=15 * self.random.randrange(12))
        self.house.book(
            f"b{self.made}", self.random.choice([2, 2, 3, 4, 5, 6, 8, 10]), start, self.random.choice([None, None, "x"])
        )
        self.try_(f"b{self.made}")

    def some(self, query: LiteralString) -> str | None:
        rows = self.house.run(query).fetchall()
        return self.random.choice(rows)[0] if rows else None

    def cancel(self) -> None:
        if (booking := self.some(CONFIRMED)) is not None:
            self.house.status(booking, "cancelled")

    def modify(self) -> None:
        if (booking := self.some(ALIVE)) is not None:
            self.house.run("UPDATE bookings SET party_size = %s WHERE id = %s", self.random.randint(1, 8), booking)
            self.house.run("DELETE FROM table_holds WHERE booking_id = %s", booking)
            self.try_(booking)

    def wait(self) -> None:
        self.moment += timedelta(minutes=2)

    def join(self) -> None:
        one, other = sorted(table.id for table in self.random.sample(self.tables, 2))
        self.adjacent.add((one, other))
        self.house.run("INSERT INTO table_adjacency VALUES (%s, %s) ON CONFLICT DO NOTHING", one, other)

    def enlarge(self) -> None:
        old = self.random.choice(self.tables)
        new = Table(id=old.id, seats=old.seats + 1, zone=old.zone, movable=True)
        self.tables[self.tables.index(old)] = new
        self.house.run("UPDATE restaurant_tables SET seats = %s, movable = true WHERE id = %s", new.seats, new.id)

    def unlock(self) -> None:
        if (booking := self.some(LOCKED)) is not None:
            self.house.run("UPDATE bookings SET zone = NULL WHERE id = %s", booking)

    def hurry(self) -> None:
        self.house.run("UPDATE seating_durations SET stay = stay - interval '10 minutes' WHERE stay > '30 minutes'")


@pytest.mark.once
def test_a_search_that_failed_fails_again_while_the_version_stays(house: House) -> None:
    parked = woken = 0
    for seed in range(8):
        house.connection.execute("BEGIN")
        house.run("DELETE FROM table_adjacency; DELETE FROM restaurant_tables WHERE restaurant_id = 'r'")
        evening = Evening(house, seed)
        common: list[Callable[[], None]] = [evening.arrive] * 6 + [evening.cancel] * 2 + [evening.modify, evening.wait]
        rare = [evening.join, evening.enlarge, evening.unlock, evening.hurry]
        for _ in range(45):
            evening.random.choice(rare if evening.random.random() < 0.25 else common)()
            evening.look()
            parked = max(parked, len(evening.parked))
        woken += evening.woken
        house.connection.execute("ROLLBACK")
    assert parked > 3, "nobody had to wait, so nothing was shown"
    assert woken > 10
