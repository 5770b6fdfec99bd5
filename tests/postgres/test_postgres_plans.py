"""No statement of ours reads a large table from end to end.

The statements are not listed here: the adapter is made to do everything it can on a filled database, and the server
itself reports the plan of whatever it executes, nested ones in functions, triggers and foreign keys too (the module
``auto_explain``). A template that was not among them fails a test, so a new one cannot be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

import psycopg
import pytest
from psycopg.errors import Diagnostic
from sqlalchemy import Engine, create_engine, event, text
from tests.postgres.conftest import Server
from tests.postgres.test_postgres_lessons import DINNER, NOON, House, T

import assign_postgres
from assign_core import EventName
from assign_core.booking import EmailState
from assign_core.events import event as make_event
from assign_core.ports import Email, EmailKind
from assign_postgres import postgres_ports, store
from assign_postgres.errors import DatabaseFailure
from assign_postgres.migrate import HOST, migrate
from assign_postgres.names import Names
from assign_postgres.store import PostgresStore

LARGE: Final = {
    "bookings",
    "auto_assign_attempts",
    "auto_assign_emails",
    "observability_events",
    "table_assignments",
    "table_holds",
    "auto_assign_freed",
    "auto_assign_capacity",
    "restaurant_tables",
}
HOUSES: Final = 400
PER_HOUSE: Final = 250
"""Bookings of a house: 400 x 250 in all."""

_FILL: Final = f"""
SET session_replication_role = replica;
INSERT INTO restaurants SELECT 'r' || n, 'R', 'UTC', '0' FROM generate_series(1, {HOUSES}) AS n;
INSERT INTO seating_durations SELECT id, NULL, '2 hours' FROM restaurants;
INSERT INTO service_periods SELECT id, 'day', '00:00', '23:59' FROM restaurants;
INSERT INTO restaurant_tables (id, restaurant_id, seats)
    SELECT house.id || 't' || n, house.id, 2 + 2 * (n % 2) FROM restaurants AS house, generate_series(1, 10) AS n;
INSERT INTO table_adjacency
    SELECT least(a COLLATE "C", b), greatest(a COLLATE "C", b)
    FROM (SELECT house.id || 't' || n, house.id || 't' || n + 1
          FROM restaurants AS house, generate_series(1, 9) AS n) AS pair(a, b);
INSERT INTO bookings (id, restaurant_id, party_size, start_at, status, auto_assign_last_result)
    SELECT house.id || 'b' || n, house.id, 2, timestamptz '{NOON}' + make_interval(hours => n), 'confirmed',
           '{{"source": "job", "lastAttemptAt": "2026-01-01T00:00:00Z", "success": true}}'
    FROM restaurants AS house, generate_series(1, {PER_HOUSE}) AS n;
INSERT INTO table_assignments
    SELECT booking.id, booking.restaurant_id || 't' || 1 + row_number() OVER (ORDER BY booking.id) % 2,
           booking.restaurant_id, tstzrange(start_at, start_at + interval '30 minutes')
    FROM bookings AS booking WHERE id LIKE '%b%0';
INSERT INTO table_holds
    SELECT 'h' || id, restaurant_id || 't3', id, 'a' || id, restaurant_id,
           tstzrange(start_at, start_at + interval '30 minutes'), start_at + interval '9 years'
    FROM bookings AS booking WHERE id LIKE '%b%5';
INSERT INTO auto_assign_attempts (booking_id, due_at)
    SELECT id, CASE WHEN id LIKE '%99' THEN timestamptz '{NOON}' + interval '1 day' END FROM bookings;
INSERT INTO auto_assign_emails (booking_id, kind, revision, state)
    SELECT id, 'confirmation', 0, CASE WHEN id LIKE '%b%99' THEN 'claimed' ELSE 'sent' END FROM bookings;
INSERT INTO auto_assign_capacity SELECT id, 1000 FROM restaurants;
INSERT INTO auto_assign_freed
    SELECT restaurant_id, row_number() OVER (), restaurant_id || 't' || 1 + length(id) % 9,
           tstzrange(start_at, start_at + interval '2 hours')
    FROM bookings AS booking WHERE id LIKE '%b%1';
INSERT INTO observability_events (at, name, severity, booking_id, attempt_id, context)
    SELECT start_at, 'x', 'info', id, 'a' || id, '{{}}' FROM bookings;
SET session_replication_role = origin;
INSERT INTO bookings (id, restaurant_id, party_size, start_at)
    SELECT 'wanted' || n, 'r7', 2, timestamptz '{DINNER}' FROM generate_series(1, 9) AS n;
INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES ('huge', 'r7', 200, timestamptz '{DINNER}');
ANALYZE;
"""  # noqa: S608 - numbers of ours


@dataclass
class Explained:
    """What the server did."""

    sent: set[str] = field(default_factory=set)
    plans: list[dict[str, Any]] = field(default_factory=list)

    def scans(self) -> set[tuple[str, str]]:
        """Each sequential scan: its table, and the statement."""
        return {
            (node["Relation Name"], plan["Query Text"].strip())
            for plan in self.plans
            for node in _nodes(plan["Plan"])
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
        }


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


@pytest.fixture(scope="module")
def filled(server: Server, template: str) -> Iterator[str]:
    """A database with many houses, of which one is looked at."""
    name = server.create(template=template)
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        for statement in _FILL.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    yield server.dsn(name)
    server.drop(name)


def everything(engine: Engine) -> None:
    """All that the ports can do, and what a host does beside them."""
    house = House(engine, relay=True)
    for failing in (False, True):
        if failing:
            house.run("INSERT INTO auto_assign_freed VALUES ('r7', 2000, 'r7t2', tstzrange(NULL, NULL))")
        assert house.app.inline("wanted2" if failing else "wanted1").attempted
    assert house.app.inline("huge").attempted
    # A hold that is given back, one that a successor takes over, and one that expires.
    house.acquire("a1", "wanted3")
    house.hold("a1", "wanted3")
    house.planner.release("wanted3", "a1", timeout=T)
    house.hold("a1", "wanted3", seconds=5)
    house.runtime.advance(11)
    house.acquire("a2", "wanted3")
    house.hold("a2", "wanted3")
    house.acquire("a3", "wanted4")
    hold = house.hold("a3", "wanted4")
    house.confirm(hold, "a3", "wanted4")
    house.confirm(hold, "a3", "wanted4")
    house.record("a3", "wanted4")
    house.store.read("wanted4", timeout=T)
    house.store.capacity_version("wanted4", timeout=T)
    with pytest.raises(DatabaseFailure):  # whether it is the id that cannot be read
        PostgresStore(engine, house.runtime, version="CAST('none' || left(wanted.id, 0) AS bigint)").read(
            "wanted4", timeout=T
        )
    house.runtime.advance(3600)
    house.run("UPDATE auto_assign_attempts SET parked_at_version = 1, due_at = now() WHERE booking_id = 'huge'")
    assert house.store.due(house.now, limit=10, timeout=T)
    house.telemetry.emit([make_event(EventName.STARTED, house.now, "wanted1", "a")], stored=False)
    house.telemetry.close()
    # The ledger: sent, refused, withdrawn.
    assert house.outbox.waiting(deduplicates=False, limit=10)
    assert house.outbox.waiting(deduplicates=True, limit=10)
    confirmation = Email(booking_id="wanted1", kind=EmailKind.CONFIRMATION, revision=0)
    assert house.mailer.deliver(confirmation, timeout=T) is EmailState.SENT
    house.run("INSERT INTO auto_assign_emails (booking_id, kind, revision) VALUES ('wanted1', 'staff_notice', 0)")
    notice = Email(booking_id="wanted1", kind=EmailKind.STAFF_NOTICE, revision=0)
    assert house.mailer.deliver(notice, timeout=T) is EmailState.FAILED
    assert not house.outbox.unknown(limit=10)
    house.run("INSERT INTO auto_assign_emails VALUES ('wanted1', 'modification', 7, 'unknown')")
    untrue = Email(booking_id="wanted1", kind=EmailKind.MODIFICATION, revision=7)
    assert house.outbox.begin(untrue, deduplicates=True) is EmailState.UNKNOWN
    # In a transaction of the host's.
    with engine.begin() as connection:
        inside = postgres_ports(connection, house.runtime)
        assert inside["store"].read("wanted2", timeout=T) is not None
        inside["telemetry"].emit([make_event(EventName.STARTED, house.now, "wanted2", "a")], stored=False)
    # The host cancels, and moves.
    house.set_status("cancelled", "wanted1")
    house.run("UPDATE bookings SET start_at = :later WHERE id = 'wanted4'", later=DINNER + timedelta(hours=1))
    house.run("UPDATE bookings SET zone = 'main' WHERE id = 'wanted5'")


@pytest.fixture(scope="module", params=["force_custom_plan", "force_generic_plan"])
def explained(request: pytest.FixtureRequest, filled: str, server: Server) -> Iterator[Explained]:
    """Everything, on a copy of the filled database, with the values in sight of the planner and without."""
    # A database's name is text.
    name = server.create(template=psycopg.conninfo.conninfo_to_dict(filled)["dbname"])  # type: ignore[arg-type]
    found = Explained()

    def note(said: Diagnostic) -> None:
        message = said.message_primary or ""
        if "plan:\n" in message:
            found.plans.append(json.loads(message.partition("plan:\n")[2]))

    def connect() -> psycopg.Connection:
        connection = psycopg.connect(server.dsn(name), autocommit=True)
        connection.execute("LOAD 'auto_explain'")
        for setting, value in (
            ("plan_cache_mode", request.param),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("auto_explain.log_format", "json"),
            ("auto_explain.log_level", "notice"),
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
        connection.autocommit = False
        connection.add_notice_handler(note)
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, pool_size=2)

    def sent(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found.sent.add(statement)

    event.listen(engine, "before_cursor_execute", sent)
    everything(engine)
    engine.dispose()
    yield found
    server.drop(name)


_ADMINISTRATION: Final = {"catalogue", "migrate", "migration_files", "present", "verify"}
"""Modules that look at the catalogue only, and never during a booking."""


def templates() -> dict[str, str]:
    """Every statement of the adapter, as its module spells it. A part of another one is no statement."""
    names = [module.name for module in iter_modules(assign_postgres.__path__) if module.name not in _ADMINISTRATION]
    modules: list[ModuleType] = [import_module(f"assign_postgres.{name}") for name in names]
    found = {
        f"{module.__name__}.{name}": value if isinstance(value, str) else value.text
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value if isinstance(value, str) else getattr(value, "text", None), str)
        and not name.startswith("__")
    }
    verbs = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ", "SET ")
    whole = {name: sql for name, sql in found.items() if sql.lstrip().upper().startswith(verbs)}
    return {
        name: sql
        for name, sql in whole.items()
        if not any(sql != other and sql.strip() in other for other in found.values())
    }


def shape(sql: str) -> str:
    """A statement without its values' places, however they are written."""
    rendered = text(Names().sql(sql.replace("{version}", store.REFERENCE_VERSION).replace("{id_type}", "text")))
    return " ".join(str(rendered.compile(dialect=_DIALECT)).split())


_DIALECT: Final = create_engine("postgresql+psycopg://", creator=lambda: None).dialect


def test_every_statement_of_the_adapter_was_made(explained: Explained) -> None:
    made = {" ".join(statement.split()) for statement in explained.sent}
    wanted = {name: shape(sql) for name, sql in templates().items()}
    assert len(wanted) >= 16, "the templates were not found"
    assert {name for name, sql in wanted.items() if sql not in made} == set()


def test_functions_triggers_and_keys_were_explained_too(explained: Explained) -> None:
    texts = " ".join(plan["Query Text"] for plan in explained.plans)
    for table in LARGE:
        assert table in texts
    assert "FOR KEY SHARE" in texts, "a foreign key's own query"
    assert "FOR UPDATE SKIP LOCKED" in texts, "the sweep, inside a function inside a statement"


def test_no_statement_scans_a_large_table(explained: Explained) -> None:
    assert explained.plans
    assert explained.scans() == set()


@pytest.mark.parametrize("id_type", ["uuid", "bigint"])
def test_a_host_with_other_ids_has_its_index_used_too(
    empty_dsn: str, make_engine: Callable[[str], Engine], id_type: str
) -> None:
    """Our tables keep ids as text; that must not keep the host's own index from being used."""
    engine = make_engine(empty_dsn)
    with engine.begin() as connection:
        identity = "gen_random_uuid()" if id_type == "uuid" else "n"
        for statement in (
            "CREATE TYPE state AS ENUM ('pending', 'confirmed')",
            f"CREATE TABLE bookings (id {id_type} PRIMARY KEY, status state NOT NULL, start_at timestamptz)",
            f"INSERT INTO bookings SELECT {identity}, 'confirmed', now() FROM generate_series(1, 20000) AS n",  # noqa: S608 - the test's own words
            f"INSERT INTO bookings SELECT {identity}, 'pending', now() FROM generate_series(-5, -1) AS n",  # noqa: S608 - the test's own words
        ):
            connection.execute(text(statement))
    with engine.connect() as connection:
        migrate(connection, (HOST,), Names())
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO auto_assign_attempts (booking_id, due_at) SELECT id::text, "
                "CASE WHEN status = 'pending' OR id::text LIKE '%77' THEN timestamptz '2026-01-01' END FROM bookings"
            )
        )
        connection.execute(text("ANALYZE"))
    house = House(engine)
    due: list[Any] = []

    def note(connection: Any, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "auto_assign_attempts" in statement and not statement.startswith("EXPLAIN"):
            due.extend(connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one())

    event.listen(engine, "before_cursor_execute", note)
    found = PostgresStore(engine, house.runtime, version=None).due(house.now, limit=100, timeout=T)
    event.remove(engine, "before_cursor_execute", note)
    assert set(found) == {row.id for row in house.rows("SELECT id::text FROM bookings WHERE status = 'pending'")}
    assert len(found) == 5
    assert due
    assert not [node for plan in due for node in _nodes(plan["Plan"]) if node["Node Type"] == "Seq Scan"]
