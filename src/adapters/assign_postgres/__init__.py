"""All four ports on PostgreSQL, with SQLAlchemy Core and psycopg 3.

Blocking and asynchronous, from one source::

    engine = create_engine("postgresql+psycopg://…", **engine_options())
    runtime = ThreadRuntime()
    auto_assign = AutoAssign(runtime=runtime, planner_keeps_time=True, **postgres_ports(engine, runtime))

Or in a transaction of the host's, so that the booking and what the inline attempt writes share one commit::

    with engine.begin() as connection:
        connection.execute(insert_booking)
        ports = postgres_ports(connection, runtime)
        outcome = AutoAssign(runtime=runtime, planner_keeps_time=True, **ports).inline(booking_id)
"""

from __future__ import annotations

from typing import TypedDict, overload

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from assign_core.errors import InvalidValue
from assign_core.outbox import AsyncTransport, Transport
from assign_core.ports import Clock
from assign_postgres.connections import engine_options
from assign_postgres.errors import ConnectionLost, DatabaseFailure, DatabaseTimeout
from assign_postgres.mailer import AsyncPostgresMailer, PostgresMailer
from assign_postgres.names import Names
from assign_postgres.outbox import AsyncPostgresOutbox, PostgresOutbox
from assign_postgres.planner import AsyncPostgresPlanner, PostgresPlanner
from assign_postgres.store import AsyncPostgresStore, PostgresStore
from assign_postgres.telemetry import AsyncPostgresTelemetry, PostgresTelemetry
from assign_postgres.transaction_telemetry import AsyncTransactionTelemetry, TransactionTelemetry

__all__ = [
    "AsyncPostgresMailer",
    "AsyncPostgresOutbox",
    "AsyncPostgresPlanner",
    "AsyncPostgresPorts",
    "AsyncPostgresStore",
    "AsyncPostgresTelemetry",
    "AsyncTransactionPorts",
    "AsyncTransactionTelemetry",
    "ConnectionLost",
    "DatabaseFailure",
    "DatabaseTimeout",
    "Names",
    "PostgresMailer",
    "PostgresOutbox",
    "PostgresPlanner",
    "PostgresPorts",
    "PostgresStore",
    "PostgresTelemetry",
    "TransactionPorts",
    "TransactionTelemetry",
    "async_postgres_ports",
    "engine_options",
    "postgres_ports",
]


class PostgresPorts(TypedDict):
    """The four ports, named as the engine's arguments."""

    store: PostgresStore
    planner: PostgresPlanner
    mailer: PostgresMailer
    telemetry: PostgresTelemetry


class AsyncPostgresPorts(TypedDict):
    """The four asynchronous ports, named as the engine's arguments."""

    store: AsyncPostgresStore
    planner: AsyncPostgresPlanner
    mailer: AsyncPostgresMailer
    telemetry: AsyncPostgresTelemetry


class TransactionPorts(TypedDict):
    """The four ports in a transaction of the host's, named as the engine's arguments."""

    store: PostgresStore
    planner: PostgresPlanner
    mailer: PostgresMailer
    telemetry: TransactionTelemetry


class AsyncTransactionPorts(TypedDict):
    """The four asynchronous ports in a transaction of the host's, named as the engine's arguments."""

    store: AsyncPostgresStore
    planner: AsyncPostgresPlanner
    mailer: AsyncPostgresMailer
    telemetry: AsyncTransactionTelemetry


@overload
def postgres_ports(
    place: Engine, clock: Clock, transport: Transport | None = None, *, names: Names | None = None
) -> PostgresPorts: ...


@overload
def postgres_ports(place: Connection, clock: Clock, *, names: Names | None = None) -> TransactionPorts: ...


def postgres_ports(
    place: Engine | Connection, clock: Clock, transport: Transport | None = None, *, names: Names | None = None
) -> PostgresPorts | TransactionPorts:
    """All four ports over one database, or in one transaction.

    Args:
        place: an engine, and the host closes the telemetry when it ends; or a connection, whose transaction the host
            commits or rolls back, with everything in it. The attempt must end before that does, so the engine is not
            to hand over at the deadline; and others wait for its locks, so it should end soon. E-mails are queued
            with the commit, for a relay.
        clock: the runtime that the engine is given.
        transport: hands e-mails over at once; ``None`` leaves them to a relay.

    Raises:
        InvalidValue: a connection, and it is in autocommit or there is a transport.
    """
    outbox = PostgresOutbox(place, clock, names=names)
    store, planner = PostgresStore(place, clock, names=names), PostgresPlanner(place, clock, names=names)
    mailer = PostgresMailer(outbox, transport)
    if isinstance(place, Engine):
        telemetry = PostgresTelemetry(place, clock, names=names)
        return PostgresPorts(store=store, planner=planner, mailer=mailer, telemetry=telemetry)
    inside = TransactionTelemetry(place, clock, names=names)
    return TransactionPorts(store=store, planner=planner, mailer=mailer, telemetry=inside)


@overload
def async_postgres_ports(
    place: AsyncEngine,
    clock: Clock,
    telemetry: PostgresTelemetry,
    transport: AsyncTransport | None = None,
    *,
    names: Names | None = None,
) -> AsyncPostgresPorts: ...


@overload
def async_postgres_ports(
    place: AsyncConnection, clock: Clock, *, names: Names | None = None
) -> AsyncTransactionPorts: ...


def async_postgres_ports(
    place: AsyncEngine | AsyncConnection,
    clock: Clock,
    telemetry: PostgresTelemetry | None = None,
    transport: AsyncTransport | None = None,
    *,
    names: Names | None = None,
) -> AsyncPostgresPorts | AsyncTransactionPorts:
    """All four asynchronous ports over one database, or in one transaction. See :func:`postgres_ports`.

    Args:
        place: an engine, or a connection that is open.
        clock: the runtime that the engine is given.
        telemetry: for an engine: writes in a thread of its own, so that the event loop never waits; the host closes it.
        transport: hands e-mails over at once; ``None`` leaves them to a relay.
    """
    outbox = AsyncPostgresOutbox(place, clock, names=names)
    store, planner = AsyncPostgresStore(place, clock, names=names), AsyncPostgresPlanner(place, clock, names=names)
    mailer = AsyncPostgresMailer(outbox, transport)
    if isinstance(place, AsyncConnection):
        inside = AsyncTransactionTelemetry(place, clock, names=names)
        return AsyncTransactionPorts(store=store, planner=planner, mailer=mailer, telemetry=inside)
    if telemetry is None:
        raise InvalidValue("no telemetry was passed; pass a PostgresTelemetry, which writes beside the event loop")
    buffered = AsyncPostgresTelemetry(telemetry)
    return AsyncPostgresPorts(store=store, planner=planner, mailer=mailer, telemetry=buffered)
