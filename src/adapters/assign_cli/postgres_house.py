"""An evening's house on PostgreSQL: the four ports for real, and guests who go straight to the tables.

It stands in a schema of its own, made from the migrations and dropped afterwards, so that it can be opened on any
server. Only the clock is virtual: every effect is a statement that a server has carried out when the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from attrs import define, field
from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import DBAPIError

from assign_core.booking import OPEN, SEATED, BookingStatus, EmailState
from assign_core.events import Event, EventName, Severity
from assign_core.ports import Email, EmailKind, QuoteRequest
from assign_floor import Floor
from assign_memory import VirtualClock
from assign_postgres import (
    Names,
    PostgresMailer,
    PostgresPlanner,
    PostgresStore,
    PostgresTelemetry,
    postgres_ports,
)
from assign_postgres.errors import sqlstate, translated
from assign_postgres.migrate import GROUPS, migrate
from assign_postgres.rows import statement
from assign_sim import House, Latencies, Mailed, OpenHouse, Standing
from assign_sim.house import PATIENCE

_EXTENSION: Final = "btree_gist"
_STILL_USED: Final = "2BP01"
"""SQLSTATE dependent_objects_still_exist."""

_BOOK: Final = """
INSERT INTO {schema}.bookings (id, restaurant_id, party_size, start_at) VALUES (:id, 'house', :party, :start_at)"""
_CANCEL: Final = "UPDATE {schema}.bookings SET status = :cancelled WHERE id = :id"
# A modification that leaves the party as it was is one all the same, which the schema's trigger cannot know.
_CHANGE: Final = """
UPDATE {schema}.bookings
SET party_size = :party, revision = revision + 1,
    status = CASE WHEN status = ANY (CAST(:live AS text[])) THEN 'pending' ELSE status END
WHERE id = :id"""
_BOOKINGS: Final = """
SELECT id, status, party_size, revision,
       ARRAY (SELECT table_id FROM {schema}.table_assignments WHERE booking_id = booking.id) AS tables
FROM {schema}.bookings AS booking ORDER BY created_at, id"""
_EMAILS: Final = """
SELECT booking_id, kind, revision, state, handed_over FROM {schema}.auto_assign_emails
ORDER BY queued_at, booking_id, revision, kind"""
# Buffered events arrive later than those that travel with a commit, so the order is that of their time.
_EVENTS: Final = """
SELECT name, severity, at, booking_id, attempt_id, context FROM {schema}.observability_events ORDER BY at, id"""
_DOUBLE_BOOKED: Final = """
SELECT DISTINCT one.booking_id AS one, other.booking_id AS other
FROM {schema}.table_assignments AS one
JOIN {schema}.table_assignments AS other
  ON other.table_id = one.table_id AND other.during && one.during AND other.booking_id > one.booking_id
ORDER BY one, other"""

_RESTAURANT: Final = "INSERT INTO {schema}.restaurants VALUES ('house', 'House', :timezone, :turnover)"
_SERVICE: Final = "INSERT INTO {schema}.service_periods VALUES ('house', :name, :opens, :closes)"
_DURATION: Final = "INSERT INTO {schema}.seating_durations VALUES ('house', :max_party, :stay)"
_TABLE: Final = """
INSERT INTO {schema}.restaurant_tables (id, restaurant_id, zone, seats, min_party, movable)
VALUES (:id, 'house', :zone, :seats, :min_party, :movable)"""
_ADJACENT: Final = "INSERT INTO {schema}.table_adjacency VALUES (:one, :other)"


@define
class PostgresHouse(House):
    """A :class:`~assign_sim.House` in a schema that has all migrations and no restaurant. :meth:`close` it."""

    engine: Engine = field(kw_only=True)
    names: Names = field(kw_only=True)
    store: PostgresStore = field(init=False)
    planner: PostgresPlanner = field(init=False)
    mailer: PostgresMailer = field(init=False)
    telemetry: PostgresTelemetry = field(init=False)

    def __attrs_post_init__(self) -> None:
        ports = postgres_ports(self.engine, self.clock, self.transport, names=self.names)
        self.store, self.planner = ports["store"], ports["planner"]
        self.mailer, self.telemetry = ports["mailer"], ports["telemetry"]
        self._furnish()

    def close(self) -> None:
        """Write what telemetry has buffered, and end its thread."""
        self.telemetry.close()

    def book(self, booking_id: str, *, party: int, start_at: datetime) -> None:
        self._do(_BOOK, {"id": booking_id, "party": party, "start_at": start_at})

    def cancel(self, booking_id: str) -> None:
        self._do(_CANCEL, {"id": booking_id, "cancelled": BookingStatus.CANCELLED.value})

    def change(self, booking_id: str, party: int) -> None:
        self._do(_CHANGE, {"id": booking_id, "party": party, "live": sorted(OPEN | SEATED)})

    def would_find(self, request: QuoteRequest) -> bool:
        return self.planner.would_find(request, timeout=PATIENCE)

    def bookings(self) -> Mapping[str, Standing]:
        return {
            row.id: Standing(
                status=row.status, party=row.party_size, revision=row.revision, tables=frozenset(row.tables)
            )
            for row in self._ask(_BOOKINGS)
        }

    def emails(self) -> Sequence[Mailed]:
        return [
            Mailed(
                email=Email(booking_id=row.booking_id, kind=EmailKind(row.kind), revision=row.revision),
                state=EmailState(row.state),
                handed_over=row.handed_over,
            )
            for row in self._ask(_EMAILS)
        ]

    def events(self) -> Sequence[Event]:
        self.telemetry.flush()
        return [
            Event(
                EventName(row.name),
                Severity(row.severity),
                row.at.astimezone(UTC),  # the server's session may be in another zone
                row.booking_id,
                row.attempt_id,
                row.context,
            )
            for row in self._ask(_EVENTS)
        ]

    def double_booked(self) -> Sequence[tuple[str, str]]:
        return [(row.one, row.other) for row in self._ask(_DOUBLE_BOOKED)]

    def _furnish(self) -> None:
        floor = self.floor
        self._do(_RESTAURANT, {"timezone": str(floor.tz), "turnover": floor.turnover})
        self._do(
            _SERVICE, *({"name": each.name, "opens": each.opens, "closes": each.closes} for each in floor.services)
        )
        self._do(_DURATION, *({"max_party": most, "stay": stay} for most, stay in floor.durations.steps))
        self._do(
            _TABLE,
            *(
                {
                    "id": each.id,
                    "zone": each.zone,
                    "seats": each.seats,
                    "min_party": each.min_party,
                    "movable": each.movable,
                }
                for each in floor.tables
            ),
        )
        self._do(_ADJACENT, *({"one": one, "other": other} for one, other in floor.adjacent))

    def _do(self, sql: str, *rows: Mapping[str, object]) -> None:
        if rows:
            with translated(), self.engine.begin() as connection:
                connection.execute(statement(self.names, sql), rows)

    def _ask(self, sql: str) -> Sequence[Row[Any]]:
        with translated(), self.engine.connect() as connection:
            return connection.execute(statement(self.names, sql)).all()


@contextmanager
def postgres_houses(engine: Engine) -> Iterator[OpenHouse]:
    """Opens houses on a server, each in a schema of its own; at the end all of them are gone.

    Raises:
        DatabaseFailure, MigrationError: the server does not do what a house needs.
    """
    with translated(), ExitStack() as leaving:

        def opens(floor: Floor, clock: VirtualClock, seed: int, latencies: Latencies) -> House:
            names = leaving.enter_context(_own_schema(engine))
            house = PostgresHouse(floor, clock, seed, latencies, engine=engine, names=names)
            leaving.callback(house.close)
            return house

        leaving.enter_context(_extension(engine))
        yield opens


@contextmanager
def _own_schema(engine: Engine) -> Iterator[Names]:
    names = Names(schema=f"assign_core_demo_{uuid4().hex[:12]}")
    _execute(engine, names.sql("CREATE SCHEMA {schema}"))
    try:
        with engine.connect() as connection:
            migrate(connection, GROUPS, names)
        yield names
    finally:
        _execute(engine, names.sql("DROP SCHEMA {schema} CASCADE"))


@contextmanager
def _extension(engine: Engine) -> Iterator[None]:
    """The extension that the migrations need, outside of our schemas: others who come to use it must not lose it with
    them. Dropped again if it was not there, unless it is used by then."""
    with engine.connect() as connection:
        looked = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = :name)")
        present = connection.scalar(looked, {"name": _EXTENSION})
    if not present:
        _execute(engine, f"CREATE EXTENSION IF NOT EXISTS {_EXTENSION}")
    try:
        yield
    finally:
        if not present:
            _drop_unless_used(engine)


def _drop_unless_used(engine: Engine) -> None:
    try:
        _execute(engine, f"DROP EXTENSION IF EXISTS {_EXTENSION}")
    except DBAPIError as error:
        if sqlstate(error) != _STILL_USED:
            raise


def _execute(engine: Engine, sql: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(sql))
