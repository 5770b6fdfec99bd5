"""What a failing database says of its rows stays there: out of the booking's result, the events, and our errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.postgres.test_postgres_lessons import House, T

from assign_core import AsyncAutoAssign, AutoAssign, EventName, Outcome, Policy, ReasonCode
from assign_core.events import event
from assign_core.ports import NotConfirmed
from assign_core.reasons import FailureClass, classify_reason, reason_of
from assign_postgres import DatabaseFailure, PostgresTelemetry, async_postgres_ports, postgres_ports
from assign_postgres.errors import translated
from assign_runtime import AsyncioRuntime

GUEST: Final = "g.uest@example.org"
PATIENT: Final = Policy(inline_deadline=timedelta(seconds=30), grace=timedelta(seconds=20))
REFUSED: Final = {
    # PostgreSQL's detail shows the whole failing row, and SQLAlchemy the statement with its values.
    "confirm": "ALTER TABLE bookings ADD CONSTRAINT house_rule CHECK (status <> 'confirmed')",
    "quote": "ALTER TABLE table_holds ADD CONSTRAINT house_rule CHECK (booking_id <> 'b')",
}
Attempt = Callable[[House, str], Outcome]


@pytest.fixture
def house(engine: Engine) -> Iterator[House]:
    made = House(engine).furnish()
    made.book()
    made.run("UPDATE bookings SET customer_email = :email", email=GUEST)
    yield made
    made.telemetry.close()


def blocking(house: House, dsn: str) -> Outcome:
    del dsn
    return house.app.inline("b")


def in_a_transaction(house: House, dsn: str) -> Outcome:
    del dsn
    with house.engine.begin() as connection:
        ports = postgres_ports(connection, house.runtime)
        app = AutoAssign(runtime=house.runtime, policy=PATIENT, planner_keeps_time=True, **ports)
        return app.inline("b")


def on_a_loop(house: House, dsn: str) -> Outcome:
    async def attempt() -> Outcome:
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=partial(psycopg.AsyncConnection.connect, dsn)
        )
        runtime = AsyncioRuntime()
        ports = async_postgres_ports(engine, house.runtime, house.telemetry)
        try:
            return await AsyncAutoAssign(runtime=runtime, policy=PATIENT, **ports).inline("b")
        finally:
            await runtime.drain()
            await engine.dispose()

    return asyncio.run(attempt())


def assert_discreet(said: str) -> None:
    for word in (GUEST, "g.uest", "Failing row", "DETAIL", "SELECT", "INSERT", "UPDATE", "[SQL", "parameters"):
        assert word not in said


@pytest.mark.parametrize("attempt", [blocking, in_a_transaction, on_a_loop])
@pytest.mark.parametrize("stage", REFUSED)
def test_no_row_and_no_statement_reaches_the_result_or_the_events(
    house: House, dsn: str, stage: str, attempt: Attempt
) -> None:
    if attempt is on_a_loop:  # which goes by the clock of the process
        house.run("DELETE FROM bookings")
        house.book(start_at=datetime.now(UTC) + timedelta(days=1))
        house.run("UPDATE bookings SET customer_email = :email", email=GUEST)
    house.run(REFUSED[stage])
    outcome = attempt(house, dsn)
    house.telemetry.flush()
    assert outcome.result is not None
    assert outcome.result.reason_code is ReasonCode.DATABASE_ERROR
    blob = house.blob()
    assert "23514" in blob["reason"], "what can be told is told"
    assert "house_rule" in blob["reason"]
    events = [row.context for row in house.rows("SELECT context FROM observability_events")]
    assert len(events) > 1
    assert_discreet(json.dumps([blob, events]))


def test_an_error_carries_its_code_and_constraint_and_no_chain(house: House) -> None:
    house.acquire()
    hold = house.hold()
    house.run(REFUSED["confirm"])
    with pytest.raises(DatabaseFailure) as caught:
        house.confirm(hold)
    assert (caught.value.sqlstate, caught.value.constraint) == ("23514", "house_rule")
    assert_discreet(reason_of(caught.value))
    assert_discreet(str(caught.value))


def test_a_refusal_for_a_taken_table_names_nobodys_hours(house: House) -> None:
    house.acquire()
    hold = house.hold()
    house.book("other")
    house.run("UPDATE bookings SET customer_email = 'o.ther@example.org' WHERE id = 'other'")
    house.seat("other", *hold.plan.tables)
    answer = house.confirm(hold)
    assert isinstance(answer, NotConfirmed)
    assert answer.reason_code is ReasonCode.OVERLAP
    assert classify_reason(answer.reason).code is ReasonCode.OVERLAP
    assert_discreet(answer.reason)
    assert "2026" not in answer.reason


def test_a_value_that_the_server_quotes_is_left_out(engine: Engine) -> None:
    """A bad value stands in the message itself, not in its detail."""
    cast = text("SELECT CAST(:said AS integer)")
    with engine.connect() as connection, pytest.raises(DatabaseFailure) as caught, translated():
        connection.execute(cast, {"said": f'"{GUEST}" for 4'})
    assert "invalid input syntax for type integer" in str(caught.value)
    assert caught.value.sqlstate == "22P02"
    assert_discreet(reason_of(caught.value))


def test_what_telemetry_says_of_its_drops_quotes_no_event(house: House) -> None:
    house.run("ALTER TABLE observability_events ADD CHECK (attempt_id <> 'bad')")
    with PostgresTelemetry(house.engine, house.runtime, flush_after=0) as telemetry:
        refused = event(EventName.EMAIL_ERROR, house.now, "b", "bad", error=f"no such user {GUEST}")
        telemetry.emit([refused], stored=False)
    told = house.rows("SELECT context FROM observability_events WHERE name = :n", n=EventName.TELEMETRY_DROPPED)
    assert [row.context["dropped"] for row in told] == [1]
    assert_discreet(json.dumps(told[0].context))


def fails(call: Callable[[], Any]) -> DatabaseFailure:
    with pytest.raises(DatabaseFailure) as caught:
        call()
    return caught.value


def test_an_unknown_database_error_is_infrastructure_by_its_words_alone(house: House, engine: Engine) -> None:
    """The chain is gone, so each line must say enough."""
    house.acquire()
    hold = house.hold()
    house.run(REFUSED["confirm"])
    told = [fails(lambda: house.confirm(hold))]
    house.run("ALTER TABLE bookings RENAME TO elsewhere")
    told.append(fails(lambda: house.store.read("b", timeout=T)))
    with engine.connect() as connection:
        ports = postgres_ports(connection, house.runtime)
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        house.value("SELECT pg_terminate_backend(:pid)", pid=pid)
        told.append(fails(lambda: ports["store"].read("b", timeout=T)))
        told.append(fails(lambda: ports["store"].read("b", timeout=T)))
    for each in told:
        assert classify_reason(reason_of(each)).failure_class is FailureClass.INFRASTRUCTURE, each
