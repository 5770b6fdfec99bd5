"""Houses on PostgreSQL: the reference schema, and a host who goes past the ports straight to the tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString, Self, cast

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from assign_core.booking import EmailState
from assign_core.events import Event, EventName, Severity
from assign_core.ports import BookingStore, Email, Mailer, Planner, Telemetry
from assign_floor import Floor
from assign_memory import VirtualRuntime
from assign_postgres import (
    AsyncTransactionPorts,
    DatabaseFailure,
    PostgresMailer,
    PostgresOutbox,
    PostgresTelemetry,
    async_postgres_ports,
    postgres_ports,
)
from assign_testing import (
    DINNER,
    NOON,
    AsyncPostRoom,
    Capability,
    EventLoop,
    PostRoom,
    WaitedMailer,
    WaitedPlanner,
    WaitedStore,
    WaitedTelemetry,
    small_floor,
)

CAPABILITIES: Final = frozenset({Capability.KEEPS_TIME, Capability.RELAY, Capability.OUTAGE})
_EMPTY: Final = """
TRUNCATE restaurants, bookings, auto_assign_attempts, auto_assign_emails, auto_assign_capacity, auto_assign_freed,
    observability_events RESTART IDENTITY CASCADE"""


@dataclass(kw_only=True)
class PostgresHouse:
    """:class:`assign_testing.House` on PostgreSQL."""

    host: psycopg.Connection[TupleRow]
    runtime: VirtualRuntime
    post: PostRoom
    store: BookingStore
    planner: Planner
    mailer: Mailer
    telemetry: Telemetry
    buffer: PostgresTelemetry
    outbox: PostgresOutbox

    @property
    def now(self) -> datetime:
        return self.runtime.now()

    def advance(self, seconds: float) -> None:
        self.runtime.advance(seconds)

    def furnish(self, floor: Floor) -> None:
        """Open the house with these tables."""
        with self.host.transaction(), self.host.cursor() as cursor:
            cursor.execute("INSERT INTO restaurants VALUES ('house', 'House', %s, %s)", [str(floor.tz), floor.turnover])
            cursor.executemany(
                "INSERT INTO service_periods VALUES ('house', %s, %s, %s)",
                [(each.name, each.opens, each.closes) for each in floor.services],
            )
            cursor.executemany("INSERT INTO seating_durations VALUES ('house', %s, %s)", floor.durations.steps)
            cursor.executemany(
                "INSERT INTO restaurant_tables VALUES (%s, 'house', %s, %s, %s, %s)",
                [(each.id, each.zone, each.seats, each.min_party, each.movable) for each in floor.tables],
            )
            cursor.executemany("INSERT INTO table_adjacency VALUES (%s, %s)", floor.adjacent)

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = DINNER) -> None:
        self.host.execute(
            "INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES (%s, 'house', %s, %s)",
            [booking_id, party, start_at],
        )

    def set_status(self, booking_id: str, status: str) -> None:
        self.host.execute("UPDATE bookings SET status = %s WHERE id = %s", [status, booking_id])

    def modify(self, booking_id: str = "b", *, party: int | None = None) -> None:
        if party is not None:
            self.host.execute("UPDATE bookings SET party_size = %s WHERE id = %s", [party, booking_id])
        else:
            self.host.execute(
                "UPDATE bookings SET revision = revision + 1, status = 'pending' WHERE id = %s", [booking_id]
            )

    def seat(self, booking_id: str, tables: Collection[str]) -> None:
        try:
            with self.host.transaction():
                self.host.execute("UPDATE bookings SET status = 'confirmed' WHERE id = %s", [booking_id])
                self.host.execute("DELETE FROM table_assignments WHERE booking_id = %s", [booking_id])
                self.host.execute(
                    "INSERT INTO table_assignments SELECT id, wanted, restaurant_id,"
                    " booking_window(restaurant_id, party_size, start_at)"
                    " FROM bookings CROSS JOIN unnest(%s::text[]) AS wanted WHERE id = %s",
                    [sorted(tables), booking_id],
                )
        except psycopg.errors.ExclusionViolation as error:
            raise ValueError(f"{booking_id} cannot have {sorted(tables)}") from error

    def status(self, booking_id: str = "b") -> str:
        return str(self._one("SELECT status FROM bookings WHERE id = %s", booking_id))

    def tables(self, booking_id: str = "b") -> frozenset[str]:
        rows = self.host.execute("SELECT table_id FROM table_assignments WHERE booking_id = %s", [booking_id])
        return frozenset(table for (table,) in rows)

    def blob(self, booking_id: str = "b") -> object:
        return self._one("SELECT auto_assign_last_result FROM bookings WHERE id = %s", booking_id)

    def plant_blob(self, blob: object, booking_id: str = "b") -> None:
        value = None if blob is None else Jsonb(blob)
        self.host.execute("UPDATE bookings SET auto_assign_last_result = %s WHERE id = %s", [value, booking_id])

    def holds(self) -> Collection[str]:
        rows = self.host.execute(
            "SELECT attempt_id FROM table_holds WHERE expires_at > %s GROUP BY hold_id, attempt_id", [self.now]
        )
        return [attempt for (attempt,) in rows]

    def ledger(self) -> Mapping[str, EmailState]:
        rows = self.host.execute("SELECT booking_id || ':' || kind || ':' || revision, state FROM auto_assign_emails")
        return {key: EmailState(state) for key, state in rows}

    def events(self) -> Sequence[Event]:
        self.buffer.flush()
        rows = self.host.execute(
            "SELECT name, severity, at, booking_id, attempt_id, context FROM observability_events ORDER BY id"
        )
        return [
            Event(EventName(name), Severity(severity), at, booking, attempt, context)
            for name, severity, at, booking, attempt, context in rows
        ]

    def refuse(self, objection: str | None) -> None:
        raise NotImplementedError(f"every rule is the schema's: {objection}")

    def relay(self) -> Mapping[str, EmailState]:
        return PostgresMailer(self.outbox, self.post).relay()

    def begin_sending(self, email: Email) -> EmailState | None:
        return self.outbox.begin(email, deduplicates=self.post.deduplicates)

    def outage(self, begins: bool) -> None:
        if begins:
            self.host.execute("ALTER TABLE observability_events RENAME TO observability_events_away")
            return
        with suppress(DatabaseFailure):  # the writing that finds nothing to write to
            self.buffer.flush()
        self.host.execute("ALTER TABLE observability_events_away RENAME TO observability_events")

    def _one(self, sql: str, booking_id: str) -> object:
        row = self.host.execute(sql.encode(), [booking_id]).fetchone()
        assert row is not None
        value: object = row[0]
        return value


class PostgresHouses:
    """Makes houses in one database, one after the other. Use it as a context manager."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._engine: Engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
        self._last: PostgresHouse | None = None
        self._leaving = ExitStack()

    def make(self, floor: Floor | None = None, *, deduplicates: bool = False) -> PostgresHouse:
        """A house with the blocking ports."""
        self.close()
        runtime, post = VirtualRuntime(NOON), PostRoom(deduplicates=deduplicates)
        ports = postgres_ports(self._engine, runtime, post)
        house = PostgresHouse(
            host=self._host,
            runtime=runtime,
            post=post,
            store=ports["store"],
            planner=ports["planner"],
            mailer=ports["mailer"],
            telemetry=ports["telemetry"],
            buffer=ports["telemetry"],
            outbox=PostgresOutbox(self._engine, runtime),
        )
        self._host.execute("ALTER TABLE IF EXISTS observability_events_away RENAME TO observability_events")
        self._host.execute(_EMPTY)
        house.furnish(small_floor() if floor is None else floor)
        self._last = house
        return house

    def make_async(
        self, engines: AsyncEngines, floor: Floor | None = None, *, deduplicates: bool = False
    ) -> PostgresHouse:
        """A house with the asynchronous ports."""
        house, loop = self.make(floor, deduplicates=deduplicates), engines.loop
        ports = async_postgres_ports(engines.engine, house.runtime, house.buffer, AsyncPostRoom(house.post))
        house.store = WaitedStore(ports["store"], loop)
        house.planner = WaitedPlanner(ports["planner"], loop)
        house.mailer = WaitedMailer(ports["mailer"], loop)
        house.telemetry = WaitedTelemetry(ports["telemetry"], loop)
        return house

    def make_inside(self, floor: Floor | None = None, *, deduplicates: bool = False) -> PostgresHouse:
        """A house whose ports are in a transaction of its host's, which never commits."""
        house = self.make(floor, deduplicates=deduplicates)
        connection = self._engine.connect()
        self._leaving.callback(connection.close)
        connection.begin()
        ports = postgres_ports(connection, house.runtime)
        house.store, house.planner, house.telemetry = ports["store"], ports["planner"], ports["telemetry"]
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        house.host = driver
        return house

    def make_async_inside(
        self, engines: AsyncEngines, floor: Floor | None = None, *, deduplicates: bool = False
    ) -> PostgresHouse:
        """:meth:`make_inside` with the asynchronous ports."""
        house, loop = self.make(floor, deduplicates=deduplicates), engines.loop

        async def inside() -> tuple[AsyncConnection, AsyncTransactionPorts]:
            connection = await engines.engine.connect()
            _ = await connection.begin()
            return connection, async_postgres_ports(connection, house.runtime)

        connection, ports = loop.wait(inside())
        self._leaving.callback(lambda: loop.wait(connection.close()))
        house.store = WaitedStore(ports["store"], loop)
        house.planner = WaitedPlanner(ports["planner"], loop)
        house.telemetry = WaitedTelemetry(ports["telemetry"], loop)
        house.host = cast("psycopg.Connection[TupleRow]", WaitedHost(connection, loop))  # all that is asked of it
        return house

    def close(self) -> None:
        """End what the last house has running."""
        self._leaving.close()
        if self._last is not None:
            self._last.buffer.close()
            self._last = None

    def __enter__(self) -> Self:
        self._host = psycopg.connect(self._dsn, autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._host.close()
        self._engine.dispose()


class _Rows(list[TupleRow]):
    """What a statement of a :class:`WaitedHost` has answered."""

    def fetchone(self) -> TupleRow | None:
        return self[0] if self else None

    def fetchall(self) -> list[TupleRow]:
        return self


class WaitedHost:
    """Statements of a host that is in a transaction of an asynchronous connection."""

    def __init__(self, connection: AsyncConnection, loop: EventLoop) -> None:
        self._connection = connection
        self._loop = loop

    def execute(self, sql: LiteralString | bytes, values: Sequence[object] | None = None) -> _Rows:
        async def done() -> _Rows:
            driver = (await self._connection.get_raw_connection()).driver_connection
            assert isinstance(driver, psycopg.AsyncConnection)
            cursor = await driver.execute(sql, values)
            return _Rows(await cursor.fetchall() if cursor.description else ())

        return self._loop.wait(done())


class AsyncEngines:
    """An asynchronous engine, which belongs to its event loop. Use it as a context manager."""

    def __init__(self, dsn: str, loop: EventLoop) -> None:
        self.loop = loop
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+psycopg://", async_creator=lambda: psycopg.AsyncConnection.connect(dsn)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.wait(self.engine.dispose())
