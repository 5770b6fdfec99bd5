"""What is remembered is what would be worked out anew, whatever has happened in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from assign_bench.remembering import RememberingDatabase
from assign_bench.services import MORNING
from assign_core.errors import InvalidValue
from assign_core.last_result import LastResult, Source, Strategy
from assign_core.ports import QuoteRequest
from assign_floor import Floor, Refusal, Table, Window
from assign_memory import FloorPlanner, HoldRow, MemoryDatabase, VirtualClock

FLOOR: Final = Floor(
    tables=[
        Table(id="A", seats=2),
        Table(id="B", seats=2),
        Table(id="C", seats=4, min_party=2),
        Table(id="D", seats=2, zone="bar"),
    ],
    adjacent=[("A", "B"), ("B", "C")],
)
DINNER: Final = MORNING.replace(hour=19)
IDS: Final = ("one", "two", "three")
Step = Callable[[MemoryDatabase], object]


def _hold(database: MemoryDatabase, booking_id: str, table: str, seconds: float) -> None:
    window = database.window(database.row(booking_id))
    assert isinstance(window, Window)
    database.holds[booking_id] = HoldRow(
        id=booking_id,
        booking_id=booking_id,
        attempt_id=booking_id,
        tables=frozenset({table}),
        window=window,
        expires_at=database.clock.now() + timedelta(seconds=seconds),
    )


def _seat(database: MemoryDatabase, booking_id: str, table: str) -> None:
    with suppress(InvalidValue):  # somebody sits there
        database.seat_by_hand(booking_id, [table])


def _records(database: MemoryDatabase, booking_id: str, number: int) -> None:
    result = LastResult(source=Source.JOB, recorded_at=database.clock.now(), success=False, attempt=number)
    database.keep(database.row(booking_id), result)


def _without(database: MemoryDatabase, table: str) -> None:
    floor = evolve(
        FLOOR,
        tables=[each for each in FLOOR.tables if each.id != table],
        adjacent=[pair for pair in FLOOR.adjacent if table not in pair],
    )
    database.change_floor(floor, Window(start=database.clock.now(), end=MORNING + timedelta(days=1)))


def _releases(database: MemoryDatabase, booking_id: str) -> None:
    FloorPlanner(database).release(booking_id, booking_id, timeout=1.0)


ids, tables = st.sampled_from(IDS), st.sampled_from([table.id for table in FLOOR.tables])
steps = st.one_of(
    st.builds(lambda one, table, seconds: lambda db: _hold(db, one, table, seconds), ids, tables, st.floats(1, 90)),
    st.builds(lambda one: lambda db: _releases(db, one), ids),
    st.builds(lambda one, table: lambda db: _seat(db, one, table), ids, tables),
    st.builds(lambda one: lambda db: db.cancel(one), ids),
    st.builds(lambda one, party: lambda db: db.modify(one, party=party), ids, st.integers(1, 8)),
    st.builds(
        lambda one, hours: lambda db: db.modify(one, start_at=DINNER + timedelta(hours=hours)), ids, st.integers(0, 3)
    ),
    st.builds(lambda one, number: lambda db: _records(db, one, number), ids, st.integers(0, 9)),
    st.builds(lambda table: lambda db: _without(db, table), tables),
)


def _answers(database: MemoryDatabase) -> list[object]:
    answers: list[object] = []
    for row in database.rows.values():
        window = database.window(row)
        assert not isinstance(window, Refusal)
        taken = [database.taken(window, but_for=row.id, holds=holds) for holds in (True, False)]
        answers.append((window, taken, database.version(row), database.last(row)))
    return answers


@settings(deadline=None)
@given(st.lists(st.tuples(steps, st.sampled_from([0.0, 0.0, 20.0, 60.0])), max_size=20))
def test_the_answers_are_those_of_a_database_that_remembers_nothing(story: list[tuple[Step, float]]) -> None:
    clock = VirtualClock(MORNING)
    plain, remembering = MemoryDatabase(FLOOR, clock), RememberingDatabase(FLOOR, clock)
    for database in (plain, remembering):
        for party, booking_id in enumerate(IDS, start=1):
            database.add_booking(booking_id, party=2 * party - 1, start_at=DINNER)
    for step, pause in story:
        for database in (plain, remembering):
            step(database)
        clock.advance(pause)
        assert _answers(remembering) == _answers(plain)
        for booking_id in IDS:
            request = QuoteRequest(
                booking_id=booking_id, revision=0, attempt_id="?", strategy=Strategy(), hold_seconds=1.0
            )
            would = bool(remembering.plans(remembering.row(booking_id)))
            assert would is FloorPlanner(plain).would_find(request)


def test_a_host_that_keeps_no_versions_has_none() -> None:
    database = RememberingDatabase(FLOOR, VirtualClock(MORNING), versions=False)
    row = database.add_booking("one", party=2, start_at=DINNER)
    _seat(database, "one", "A")
    database.cancel("one")
    assert database.version(row) is None
    assert database.booking(row).capacity_version is None
