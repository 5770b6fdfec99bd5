"""A host with a bookings table of its own, in a schema of its own, and names that nobody would choose: from the guest's
request to the e-mail on nothing but the host group, with a planner of the host's that holds tables by our functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from tests.postgres.test_postgres_lessons import DINNER, NOON, PostRoom, T

from assign_core import AutoAssign, Verdict
from assign_core.booking import EmailState
from assign_core.ports import Hold, NoHold, Plan, Quote, QuoteRequest
from assign_core.reasons import ReasonCode
from assign_memory import VirtualRuntime
from assign_postgres import Names, PostgresMailer, PostgresOutbox, PostgresStore, PostgresTelemetry
from assign_postgres.errors import reason_code
from assign_postgres.migrate import HOST, migrate
from assign_postgres.rows import statement
from assign_postgres.verify import State, verify

WINDOW: Final = "tstzrange({start_at}, {start_at} + interval '2 hours')"
VERSION: Final = f"""
CREATE OR REPLACE FUNCTION {{schema}}.booking_capacity_version(booking text, moment timestamptz) RETURNS bigint
LANGUAGE sql AS $version_of_the_host$
    SELECT {{schema}}.auto_assign_version('house', {WINDOW}, moment) FROM {{bookings}} WHERE {{id}}::text = booking
$version_of_the_host$"""  # noqa: S608 - our names

NAMES: Final = {
    "quotes": """a "b" 'c'""",
    "statement": "x; DROP TABLE y; --",
    "placeholders": "50% %s :b {id} $1 $$",
    "plain": "orders",
}


def named(name: str) -> Names:
    return Names(
        schema=name,
        bookings=f"{name} table",
        id=f"{name} i",
        status=f"{name} s",
        start_at=f"{name} t",
        revision=f"{name} r",
        last_result=f"{name} l",
        idempotency_key=f"{name} k",
        holds=f"{name} h",
        assignments=f"{name} a",
    )


@dataclass
class TwoTables:
    """The host's own planner: whichever of two tables is free."""

    engine: Engine
    runtime: VirtualRuntime
    names: Names

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        del timeout
        hold_id, until = uuid4().hex, self.runtime.now() + timedelta(seconds=request.hold_seconds)
        for table in ("window", "door"):
            values = {"hold": hold_id, "booking": request.booking_id, "attempt": request.attempt_id}
            try:
                # What is put into the text is ours: the names, and the window.
                took = self._do(
                    "SELECT {schema}.hold_tables(:hold, :booking, :attempt, 'house', ARRAY[CAST(:seat AS text)], "  # noqa: S608
                    f"{WINDOW}, CAST(:now AS timestamptz), CAST(:until AS timestamptz)) "
                    "FROM {bookings} WHERE {id}::text = :booking",
                    **values,
                    seat=table,
                    now=self.runtime.now(),
                    until=until,
                )
            except DBAPIError as error:
                if reason_code(error) is not ReasonCode.OVERLAP:
                    raise
                continue
            if took:
                return Hold(hold_id=hold_id, plan=Plan((table,)), expires_at=until, strategy=request.strategy)
            return NoHold(reason="BOOKING_CHANGED: attempt closed")
        return NoHold(reason="No suitable tables available", capacity_version=self.version(request.booking_id))

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del timeout
        self._do("SELECT {schema}.release_holds(:booking, :attempt)", booking=booking_id, attempt=attempt_id)

    def version(self, booking_id: str) -> Any:
        return self._do(
            "SELECT {schema}.booking_capacity_version(:booking, CAST(:now AS timestamptz))",
            booking=booking_id,
            now=self.runtime.now(),
        )

    def _do(self, sql: str, **values: object) -> Any:
        with self.engine.begin() as connection:
            return connection.execute(statement(self.names, sql), values).scalar_one()


class Host:
    """Its tables, its ports, and what it does beside them."""

    def __init__(self, engine: Engine, names: Names, ids: str = "uuid") -> None:
        self.engine, self.names, self.runtime, self.post = engine, names, VirtualRuntime(NOON), PostRoom()
        if names.schema != "public":
            self.run("CREATE SCHEMA {schema}")
        self.run("CREATE TYPE {schema}.mood AS ENUM ('pending', 'confirmed', 'cancelled')")
        self.run(
            f"CREATE TABLE {{bookings}} ({{id}} {ids} PRIMARY KEY, {{status}} {{schema}}.mood DEFAULT 'pending', "
            "{start_at} timestamptz NOT NULL, guest text)"
        )
        with engine.connect() as connection:
            migrate(connection, (HOST,), names)
        self.store = PostgresStore(engine, self.runtime, names=names)
        self.outbox = PostgresOutbox(engine, self.runtime, names=names)
        self.telemetry = PostgresTelemetry(engine, self.runtime, names=names, flush_after=0)
        self.planner = TwoTables(engine, self.runtime, names)
        self.app = AutoAssign(
            store=self.store,
            planner=self.planner,
            mailer=PostgresMailer(self.outbox),
            telemetry=self.telemetry,
            runtime=self.runtime,
            planner_keeps_time=True,
        )

    def run(self, sql: str, **values: object) -> None:
        with self.engine.begin() as connection:
            if values:
                connection.execute(statement(self.names, sql), values)
            else:
                connection.exec_driver_sql(self.names.sql(sql), None, {"no_parameters": True})

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(statement(self.names, sql), values)]

    def book(self) -> str:
        booking = str(uuid4())
        self.run("INSERT INTO {bookings} ({id}, {start_at}) VALUES (:id, :start)", id=booking, start=DINNER)
        return booking


def faults(engine: Engine, names: Names) -> list[str]:
    with engine.connect() as connection:
        return [each.name for each in verify(connection, (HOST,), names) if each.state is not State.OK]


@pytest.mark.parametrize("names", [Names(), *map(named, NAMES.values())], ids=["default", *NAMES])
def test_from_the_request_to_the_email_on_the_host_group_alone(
    empty_dsn: str, make_engine: Callable[[str], Engine], names: Names
) -> None:
    host = Host(make_engine(empty_dsn), names)
    assert faults(host.engine, names) == []
    first, second, third = host.book(), host.book(), host.book()
    assert [host.app.inline(booking).verdict for booking in (first, second)] == [Verdict.CONFIRMED] * 2
    assert host.app.inline(third).verdict is not Verdict.CONFIRMED

    # What was written, and what was not.
    seats = dict(host.rows("SELECT booking_id, table_id FROM {assignments}"))
    assert seats == {first: "window", second: "door"}
    assert host.rows("SELECT count(*) FROM {holds}") == [(0,)]
    told = host.rows("SELECT {status}::text, {last_result} ->> 'success', {idempotency_key} IS NULL FROM {bookings}")
    assert sorted(told) == [("confirmed", "true", False)] * 2 + [("pending", "false", True)]
    assert host.rows("SELECT DISTINCT booking_id FROM {schema}.observability_events WHERE severity = 'error'") == []
    queued = host.rows("SELECT booking_id, state FROM {schema}.auto_assign_emails ORDER BY queued_at")
    assert sorted(queued) == sorted([(first, "claimed"), (second, "claimed")])
    assert set(PostgresMailer(host.outbox, host.post).relay().values()) == {EmailState.SENT}
    assert len(host.post.accepted) == 2
    assert host.rows("SELECT DISTINCT {last_result} ->> 'emailSent' FROM {bookings} WHERE {status} = 'confirmed'") == [
        ("true",)
    ]

    # No version is kept until the host says which; then whatever is given back is news.
    assert host.planner.version(third) is None
    host.run(VERSION)
    assert faults(host.engine, names) == []
    before = host.planner.version(third)
    host.run("UPDATE {bookings} SET {status} = 'cancelled' WHERE {id} = :id", id=first)
    assert dict(host.rows("SELECT booking_id, table_id FROM {assignments}")) == {second: "door"}
    assert host.planner.version(third) > before
    host.runtime.advance(3600)
    assert host.store.due(host.runtime.now(), limit=9, timeout=T) == [third]
    assert host.app.job(third).verdict is Verdict.CONFIRMED
    assert dict(host.rows("SELECT booking_id, table_id FROM {assignments}")) == {second: "door", third: "window"}

    # A booking that is deleted leaves its events.
    host.run("DELETE FROM {bookings}")
    for table in ("{assignments}", "{schema}.auto_assign_attempts", "{schema}.auto_assign_emails"):
        assert host.rows(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - our names
    host.telemetry.close()
    assert host.rows("SELECT count(*) > 0 FROM {schema}.observability_events") == [(True,)]


@pytest.mark.parametrize("ids", ["char(36)", "varchar(36)", "char(40)", "text"])
def test_ids_of_any_type_and_length_are_due(empty_dsn: str, make_engine: Callable[[str], Engine], ids: str) -> None:
    """A type has its length with it: `character` alone is one character."""
    host = Host(make_engine(empty_dsn), Names(), ids)
    host.run(VERSION)
    first, second, third = host.book(), host.book(), host.book()
    for booking, verdict in ((first, Verdict.CONFIRMED), (second, Verdict.CONFIRMED), (third, Verdict.WAIT)):
        assert host.app.inline(booking).verdict is verdict
    assert host.store.due(host.runtime.now() + timedelta(hours=1), limit=9, timeout=T) == [third]
    assert host.app.job(third).verdict is Verdict.WAIT
    assert host.store.due(host.runtime.now(), limit=9, timeout=T) == []
    host.run("UPDATE {bookings} SET {status} = 'cancelled' WHERE {id} = :id", id=first)
    assert host.store.due(host.runtime.now(), limit=9, timeout=T) == [third], "woken"
    host.run("UPDATE {bookings} SET {status} = 'pending' WHERE {id} = :id", id=first)
    assert host.store.due(host.runtime.now(), limit=9, timeout=T) == [first, third]
    host.telemetry.close()


@pytest.mark.once
def test_a_host_keeps_its_own_assignments_in_step_and_may_refuse(
    empty_dsn: str, make_engine: Callable[[str], Engine]
) -> None:
    """As the migration's comment says: a trigger on ours, in the confirm's own transaction."""
    host = Host(make_engine(empty_dsn), Names())
    host.run("CREATE TABLE seats (booking uuid REFERENCES bookings, seat text UNIQUE)")
    host.run(
        "CREATE FUNCTION copied() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO seats VALUES (NEW.booking_id::uuid, NEW.table_id); RETURN NULL; END'"
    )
    host.run("CREATE TRIGGER copied AFTER INSERT ON table_assignments FOR EACH ROW EXECUTE FUNCTION copied()")
    first, second = host.book(), host.book()
    assert host.app.inline(first).verdict is Verdict.CONFIRMED
    assert host.rows("SELECT booking::text, seat FROM seats") == [(first, "window")]
    host.run("INSERT INTO seats (seat) VALUES ('door')")
    assert host.app.inline(second).verdict is not Verdict.CONFIRMED
    assert host.rows("SELECT status::text FROM bookings WHERE id = :id", id=second) == [("pending",)]
    assert [row[0] for row in host.rows("SELECT booking_id FROM table_assignments")] == [first]
    host.telemetry.close()


@pytest.mark.once
def test_what_the_store_needs_is_told(empty_dsn: str, make_engine: Callable[[str], Engine]) -> None:
    names = named("orders")
    host = Host(make_engine(empty_dsn), names)
    for needed in ("{holds}", "{assignments}"):
        host.run(f"DROP TABLE {needed}")
    host.run("DROP FUNCTION {schema}.booking_capacity_version(text, timestamptz)")
    assert {"orders h", "orders a", "booking_capacity_version(booking text, moment timestamp with time zone)"} <= set(
        faults(host.engine, names)
    )
    host.telemetry.close()
