"""What the documents say of PostgreSQL is done as it stands there: on the reference schema, and by a host that has
bookings, tables and seatings of its own and follows the README from the first line to the last."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError
from tests.postgres.conftest import Server

from assign_core import AutoAssign, Verdict
from assign_core.booking import EmailState
from assign_postgres import Names, engine_options, postgres_ports
from assign_postgres.migrate import HOST, migrate
from assign_runtime import ThreadRuntime

ROOT: Final = Path(__file__).parents[2]

pytestmark = pytest.mark.once

TABLES_OF_THE_HOST: Final = """
CREATE TABLE dining_tables (id integer PRIMARY KEY, restaurant_id integer NOT NULL, seats integer NOT NULL);
CREATE TABLE bookings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), restaurant_id integer NOT NULL DEFAULT 7, party integer NOT NULL,
    start_at timestamptz NOT NULL DEFAULT date_trunc('hour', now()) + interval '9 hours',
    status text NOT NULL DEFAULT 'pending'
);
CREATE TABLE seatings (
    booking_id uuid NOT NULL, table_id integer NOT NULL REFERENCES dining_tables,
    starts_at timestamptz NOT NULL, ends_at timestamptz NOT NULL, PRIMARY KEY (booking_id, table_id)
);
INSERT INTO dining_tables VALUES (1, 7, 2), (2, 7, 4);
"""
NEW_BOOKING: Final = text("INSERT INTO bookings (party) VALUES (4) RETURNING id::text")


def block(language: str, document: str = "README.md") -> str:
    """The one block of this language and name."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def run(language: str, names: dict[str, Any]) -> None:
    exec(compile(block(language), f"README.md, {language}", "exec"), names)  # noqa: S102 - our own documentation


def url_of(dsn: str) -> str:
    parts = conninfo_to_dict(dsn)
    return URL.create(
        "postgresql+psycopg",
        username=str(parts["user"]),
        database=str(parts["dbname"]),
        query={name: str(parts[name]) for name in ("host", "port") if parts.get(name)},
    ).render_as_string(hide_password=False)


def test_the_readmes_example_on_the_reference_schema_confirms_a_booking(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(block("sql reference").encode())
    run("python postgres", {"dsn": url_of(dsn), "booking_id": "b1"})
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT status FROM bookings").fetchall() == [("confirmed",)]
        assert connection.execute("SELECT count(*) > 0 FROM observability_events").fetchall() == [(True,)]


def test_the_readmes_lifespan_serves_a_booking_and_ends(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(block("sql reference").encode())
    names: dict[str, Any] = {"dsn": url_of(dsn)}
    run("python lifespan", names)
    app = SimpleNamespace(state=SimpleNamespace())

    async def served() -> None:
        async with names["lifespan"](app):
            assert (await app.state.assign.inline("b1")).verdict is Verdict.CONFIRMED

    asyncio.run(served())
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM observability_events").fetchall() == [(True,)]


class Host:
    """A restaurant's database before it has heard of assign-core."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.run(TABLES_OF_THE_HOST)

    def run(self, sql: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(sql, None, {"no_parameters": True})

    def adopt(self, **names: str) -> None:
        with self.engine.connect() as connection:
            migrate(connection, (HOST,), Names(**names))

    def book(self) -> str:
        with self.engine.begin() as connection:
            return str(connection.execute(NEW_BOOKING).scalar_one())

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def engine_of_the_readme(self) -> dict[str, Any]:
        """The README's names after its planner has been put in the place of ours."""
        runtime = ThreadRuntime()
        ports = postgres_ports(self.engine, runtime)
        names: dict[str, Any] = {"AutoAssign": AutoAssign, "runtime": runtime, "database": self.engine, "ports": ports}
        run("python planner", names)
        run("python own", names)
        return names


@pytest.fixture
def host(server: Server) -> Iterator[Host]:
    name = server.create()
    engine = create_engine(url_of(server.dsn(name)), **engine_options())
    yield Host(engine)
    engine.dispose()
    server.drop(name)


@pytest.fixture
def named(host: Host) -> Iterator[dict[str, Any]]:
    """The README's names in a host that has followed it."""
    host.adopt()
    host.run(block("sql adopt"))
    names = host.engine_of_the_readme()
    yield names
    names["ports"]["telemetry"].close()


def test_a_seating_from_before_blocks_its_table_once_it_is_copied(host: Host) -> None:
    before = host.book()
    host.run("INSERT INTO seatings SELECT id, 2, start_at, start_at + interval '2 hours' FROM bookings")
    host.run("UPDATE bookings SET status = 'confirmed'")
    host.adopt()
    host.run(block("sql adopt"))
    names = host.engine_of_the_readme()
    asked = host.book()
    assert names["engine"].inline(asked).verdict is Verdict.WAIT
    host.run("DELETE FROM seatings")
    assert host.rows("SELECT count(*) FROM table_assignments") == [(0,)]
    assert names["engine"].job(asked).verdict is not Verdict.CONFIRMED, "by its own finding, which is fresh"
    assert names["engine"].inline(host.book()).verdict is Verdict.CONFIRMED
    assert before not in {row[0] for row in host.rows("SELECT booking_id FROM table_assignments")}
    names["ports"]["telemetry"].close()


def test_both_tables_of_seatings_say_the_same_whoever_seats(host: Host, named: dict[str, Any]) -> None:
    ours, staffs = host.book(), host.book()
    assert named["engine"].inline(ours).plan.tables == ("2",)
    both = (
        "SELECT booking_id::text, table_id::text, starts_at, ends_at FROM seatings ORDER BY 1",
        "SELECT booking_id, table_id, lower(during), upper(during) FROM table_assignments ORDER BY 1",
    )
    assert host.rows(both[0]) == host.rows(both[1]) != []
    seat = "INSERT INTO seatings SELECT id, {}, start_at, start_at + interval '2 hours' FROM bookings WHERE id = '{}'"
    with pytest.raises(IntegrityError, match="no_overlapping_table_assignments"):
        host.run(seat.format(2, staffs))
    host.run(seat.format(1, staffs))
    for change in ("'0'", "'1 hour'"):
        host.run(f"UPDATE seatings SET ends_at = ends_at + interval {change} WHERE table_id = 1")  # noqa: S608 - the test's own words
        assert host.rows(both[0]) == host.rows(both[1])
        assert len(host.rows(both[0])) == 2
    host.run("UPDATE bookings SET status = 'cancelled'")
    assert host.rows(both[1]) == []
    assert [row[0] for row in host.rows(both[0])] == [], "what is ours has gone, and so has theirs"


def test_what_was_stays_on_the_hosts_record(host: Host, named: dict[str, Any]) -> None:
    booking = host.book()
    host.run("UPDATE bookings SET start_at = now() + interval '1 second'")
    assert named["engine"].inline(booking).verdict is Verdict.CONFIRMED
    host.run("UPDATE seatings SET starts_at = starts_at - interval '1 hour'")
    host.run("UPDATE bookings SET status = 'completed'")
    assert host.rows("SELECT count(*) FROM table_assignments") == [(0,)]
    assert host.rows("SELECT count(*) FROM seatings") == [(1,)]


def test_a_change_as_the_readme_makes_it_is_seated_anew_and_the_guest_is_told(
    host: Host, named: dict[str, Any]
) -> None:
    booking = host.book()
    assert named["engine"].inline(booking).verdict is Verdict.CONFIRMED
    (before,) = host.rows("SELECT during FROM table_assignments")
    with host.engine.begin() as connection:
        connection.execute(text(block("sql revise")), {"booking_id": booking})
    outcome = named["engine"].inline(booking, trigger="modification")
    assert (outcome.verdict, outcome.email) == (Verdict.CONFIRMED, EmailState.CLAIMED)
    (after,) = host.rows("SELECT during FROM table_assignments")
    assert after != before
    assert host.rows("SELECT tstzrange(starts_at, ends_at) FROM seatings") == [after]
    kinds = host.rows("SELECT kind FROM auto_assign_emails ORDER BY revision")
    assert kinds == [("confirmation",), ("modification",)]


def test_what_was_never_attempted_is_found_by_the_readmes_query_alone(host: Host, named: dict[str, Any]) -> None:
    forgotten = host.book()
    assert named["engine"].run_due() == []
    assert host.rows(block("sql never-attempted")) == [(forgotten,)]
    assert named["engine"].job(forgotten).verdict is Verdict.CONFIRMED
    assert host.rows(block("sql never-attempted")) == []


def test_the_readmes_planner_goes_on_where_others_were_faster_and_stops_where_the_booking_is_not_its_own(
    host: Host, named: dict[str, Any]
) -> None:
    host.run("INSERT INTO dining_tables VALUES (3, 7, 6)")
    engine = named["engine"]
    assert [engine.inline(host.book()).plan for _ in range(2)] != [None, None]
    assert {row[0] for row in host.rows("SELECT table_id FROM table_assignments")} == {"2", "3"}
    full = engine.inline(host.book())
    assert full.result.reason == "No suitable tables available"
    assert host.rows("SELECT count(*) FROM table_holds") == [(0,)]

    request = SimpleNamespace(booking_id=host.book(), attempt_id="nobody", hold_seconds=9, excluded=(), strategy=None)
    refused = named["YourPlanner"](host.engine, named["runtime"]).quote(request, timeout=5)
    assert refused.reason == "BOOKING_CHANGED"


def test_the_readmes_shared_transaction_is_all_or_nothing(host: Host, named: dict[str, Any]) -> None:
    host.run("INSERT INTO dining_tables VALUES (3, 7, 6)")
    named["engine"].inline(host.book())
    names = {**named, "postgres_ports": postgres_ports, "insert_booking": NEW_BOOKING}
    run("python shared", names)  # the first table is taken, so that a savepoint is rolled back
    assert names["outcome"].verdict is Verdict.CONFIRMED
    assert names["outcome"].plan.tables == ("3",)
    assert host.rows("SELECT status FROM bookings") == [("confirmed",), ("confirmed",)]

    class Failing:
        """The host's commit does not come."""

        def begin(self) -> Any:
            return self

        def __enter__(self) -> Any:
            self.connection = host.engine.connect()
            self.transaction = self.connection.begin()
            return self.connection

        def __exit__(self, *_: object) -> None:
            self.transaction.rollback()
            self.connection.close()

    host.run("DELETE FROM seatings WHERE table_id = 3")
    before = host.rows("SELECT count(*) FROM bookings")
    run("python shared", {**names, "database": Failing()})
    assert host.rows("SELECT count(*) FROM bookings") == before
    assert host.rows("SELECT count(*) FROM table_assignments WHERE table_id = '3'") == [(0,)]


def test_the_readmes_queue_gets_the_moment_to_look_again(host: Host, named: dict[str, Any]) -> None:
    named["engine"].inline(host.book())
    booking = host.book()
    queued: list[tuple[datetime, str]] = []
    queue = SimpleNamespace(enqueue_at=lambda when, what: queued.append((when, what)))
    outcome = named["engine"].inline(booking)
    run("python queue", {"outcome": outcome, "Verdict": Verdict, "queue": queue, "booking_id": booking})
    assert queued == [(outcome.wait_until, booking)]
    assert outcome.wait_until > named["runtime"].now()


def test_a_capacity_version_as_the_migrations_have_it_parks_and_wakes(host: Host, named: dict[str, Any]) -> None:
    host.run(block("sql version", "migrations/README.md"))
    first, second = host.book(), host.book()
    assert named["engine"].inline(first).verdict is Verdict.CONFIRMED
    parked = named["engine"].inline(second)
    assert (parked.verdict, parked.parked) == (Verdict.WAIT, True)
    assert named["engine"].run_due() == []
    host.run(f"UPDATE bookings SET status = 'cancelled' WHERE id = '{first}'")  # noqa: S608 - a uuid
    assert [(each.booking_id, each.verdict) for each in named["engine"].run_due()] == [(second, Verdict.CONFIRMED)]


def test_a_host_with_words_of_its_own_keeps_them(host: Host) -> None:
    """As ``migrations/README.md`` has it."""
    host.run("ALTER TABLE bookings RENAME status TO state; ALTER TABLE bookings ALTER state SET DEFAULT 'requested'")
    old = host.book()
    host.run("UPDATE bookings SET state = 'withdrawn'")
    host.run(block("sql words", "migrations/README.md"))
    host.adopt(status="assign_status")
    assert host.rows("SELECT state, assign_status FROM bookings") == [("withdrawn", "cancelled")]
    new, runtime = host.book(), ThreadRuntime()
    ports = postgres_ports(host.engine, runtime, names=Names(status="assign_status"))
    names: dict[str, Any] = {"AutoAssign": AutoAssign, "runtime": runtime, "database": host.engine, "ports": ports}
    run("python planner", names)
    run("python own", names)
    assert names["engine"].inline(old).verdict is Verdict.NOT_ACTIONABLE
    assert names["engine"].inline(new).verdict is Verdict.CONFIRMED
    state = "SELECT state, assign_status FROM bookings WHERE id::text = :new"
    assert host.rows(state, new=new) == [("booked", "confirmed")]
    host.run(f"UPDATE bookings SET state = 'withdrawn' WHERE id = '{new}'")  # noqa: S608 - a uuid
    assert host.rows(state, new=new) == [("withdrawn", "cancelled")]
    assert host.rows("SELECT count(*) FROM table_assignments") == [(0,)]
    ports["telemetry"].close()
