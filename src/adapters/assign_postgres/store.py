"""The booking store on PostgreSQL.

The logic is written once, against :class:`sqlalchemy.Connection`, in :class:`Statements`. :class:`PostgresStore`
gives it a connection from an engine; :class:`AsyncPostgresStore` gives it the same through
``AsyncConnection.run_sync``. Each call is one statement in autocommit, so one round trip; a host that wants our
writes in its own transaction passes its connection, and each call is a savepoint there.

A result is merged in Python with what the row held when the attempt began, which the store remembers by attempt. In the
rare case that somebody else has written since, the statement answers with what is there now and is made again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from assign_core.booking import EmailState
from assign_core.last_result import record
from assign_core.ports import (
    Acquired,
    Busy,
    Clock,
    Confirmation,
    Confirmed,
    EmailKind,
    Lease,
    NotConfirmed,
    Record,
    Recorded,
)
from assign_core.reasons import ReasonCode
from assign_postgres import statements
from assign_postgres.answers import as_json, booking_of, confirm_answer, lease_of
from assign_postgres.connections import async_connections, connections
from assign_postgres.due import Due
from assign_postgres.errors import failure, reason_code, said
from assign_postgres.ids import HostIds
from assign_postgres.names import Names
from assign_postgres.rows import event_rows, statement
from assign_wire import dumps, loads

_TRIES: Final = 8
"""How often a merge is made again because somebody else wrote first. Each try loses to a writer that won, so this many
in a row mean that something else is wrong."""
_REMEMBERED: Final = 10_000
"""Attempts whose stored result is kept in mind. One forgotten costs one more round trip."""
REFERENCE_VERSION: Final = "{schema}.booking_capacity_version(wanted.id, CAST(:now AS timestamptz))"
"""The capacity version in the reference schema."""


class Statements:
    """The store's calls against a connection.

    Args:
        names: how the host calls its things.
        version: an SQL expression of the capacity version of ``wanted.id``, at ``:now``; ``None``: no version is kept.
        clock: the time of leases and holds; the same as the engine's.
    """

    def __init__(self, clock: Clock, names: Names, version: str | None) -> None:
        self._clock = clock
        self._names = names
        self._ids = HostIds(clock, names)
        self._due = Due(clock, names, version)
        self._expression = "CAST(NULL AS bigint)" if version is None else version
        self._binds: dict[TextClause, frozenset[str]] = {}
        self._acquire, self._read, self._version, self._confirm, self._record = map(
            self._made,
            (
                statements.ACQUIRE,
                statements.READ,
                statements.CAPACITY_VERSION,
                statements.CONFIRM,
                statements.RECORD,
            ),
        )
        self._seen: OrderedDict[str, str | None] = OrderedDict()
        self._lock = Lock()

    def acquire(self, connection: Connection, booking_id: str, lease: Lease, timeout: float) -> Acquired | Busy | None:
        for _ in range(_TRIES):
            row = self._one(
                connection,
                self._acquire,
                timeout,
                booking=booking_id,
                attempt=lease.attempt_id,
                source=lease.source.value,
                now=lease.taken_at,
                expires_at=lease.expires_at,
            )
            if row is None:
                return None
            former = lease_of(row)
            if row.taken:
                self._remember(lease.attempt_id, row.blob)
                lost = former if former is not None and former.attempt_id != lease.attempt_id else None
                return Acquired(booking=booking_of(row), last=loads(row.blob), lost=lost)
            if former is not None:
                return Busy(booking=booking_of(row), last=loads(row.blob), holder=former)
            # Another first attempt was faster by a hair; now its lease can be seen.
        raise TimeoutError(f"the lease of booking {booking_id!r} was neither free nor held, {_TRIES} times")

    def confirm(self, connection: Connection, confirmation: Confirmation, timeout: float) -> Confirmed | NotConfirmed:
        expected = self._recall(connection, confirmation.booking_id, confirmation.attempt_id, timeout)
        looked_again = False
        for _ in range(_TRIES):
            now = self._clock.now()
            merged = record(loads(expected), confirmation.result, revision=confirmation.revision, now=now)
            try:
                row = self._one(
                    connection,
                    self._confirm,
                    timeout,
                    booking=confirmation.booking_id,
                    same_booking=confirmation.booking_id,
                    attempt=confirmation.attempt_id,
                    hold=confirmation.hold.hold_id,
                    key=confirmation.key,
                    tables=sorted(confirmation.hold.plan.tables),
                    revision=confirmation.revision,
                    expected=expected,
                    result=as_json(dumps(merged)),
                    now=self._clock.now(),
                    staff_notice="[]",
                    tell_guest=confirmation.email is not None,
                    events=event_rows(confirmation.events),
                )
            except DBAPIError as error:
                return self._refused(connection, confirmation, error, timeout)
            if row is None:
                return NotConfirmed(status="", reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            if row.verdict == "again":
                expected = row.blob
                continue
            if row.verdict == "status" and row.same_key and not looked_again:
                # The very same confirm was faster; its assignment is younger than what this statement could see.
                looked_again = True
                continue
            self._forget(confirmation.attempt_id)
            return confirm_answer(row, confirmation, merged)
        raise TimeoutError(f"booking {confirmation.booking_id!r} was written by others {_TRIES} times in a row")

    def _refused(
        self, connection: Connection, confirmation: Confirmation, error: DBAPIError, timeout: float
    ) -> NotConfirmed:
        """An exclusion constraint said no; any other failure is raised."""
        code = reason_code(error)
        if code is not ReasonCode.OVERLAP:
            raise failure(error) from None
        row = self._one(connection, self._read, timeout, booking=confirmation.booking_id, now=self._clock.now())
        return NotConfirmed(status="" if row is None else row.status, reason=said(error), reason_code=code)

    def record(self, connection: Connection, entry: Record, timeout: float) -> Recorded:
        expected = None
        if entry.result is not None:
            expected = self._recall(connection, entry.booking_id, entry.attempt_id, timeout)
        read_revision = entry.revision
        if read_revision is None and entry.result is not None:
            read_revision = entry.result.revision
        row_revision, late = read_revision, False
        for _ in range(_TRIES):
            result = None
            if entry.result is not None and row_revision is not None:
                now = self._clock.now()
                kept = record(loads(expected), entry.result, revision=row_revision, now=now, late=late)
                result = as_json(dumps(kept))
            staff = entry.email is not None and entry.email.kind is EmailKind.STAFF_NOTICE
            guest = [
                mail for mail in (entry.email, entry.guest_email) if mail and mail.kind is not EmailKind.STAFF_NOTICE
            ]
            row = self._one(
                connection,
                self._record,
                timeout,
                booking=entry.booking_id,
                same_booking=entry.booking_id,
                attempt=entry.attempt_id,
                expected=expected,
                result=result,
                news=result is not None and loads(result) != loads(expected),
                merged_at_revision=row_revision,
                late=late,
                read_revision=read_revision,
                retry_at=entry.retry_at,
                parked_at_version=entry.parked_at_version,
                now=self._clock.now(),
                staff_notice=as_json([{"kind": entry.email.kind.value, "revision": entry.email.revision}])
                if staff and entry.email is not None
                else "[]",
                tell_guest=bool(guest),
                events=event_rows(entry.events),
            )
            if row is None:
                return Recorded(status="", last=None)
            if not row.go:
                expected, row_revision, late = row.blob, row.revision, not row.ours
                continue
            self._forget(entry.attempt_id)
            return Recorded(
                status=row.status,
                revision=row.revision,
                last=loads(row.blob if result is None else result),
                confirmed_by=row.confirmed_by if row.status in {"confirmed", "checked_in"} else None,
                email=None if row.email is None else EmailState(row.email),
                events_stored=True,
            )
        raise TimeoutError(f"booking {entry.booking_id!r} was written by others {_TRIES} times in a row")

    def read(self, connection: Connection, booking_id: str, timeout: float) -> Acquired | None:
        row = self._one(connection, self._read, timeout, booking=booking_id, now=self._clock.now())
        return None if row is None else Acquired(booking=booking_of(row), last=loads(row.blob))

    def capacity_version(self, connection: Connection, booking_id: str, timeout: float) -> int | None:
        row = self._one(connection, self._version, timeout, booking=booking_id, now=self._clock.now())
        return None if row is None else row.capacity_version

    def due(self, connection: Connection, now: datetime, limit: int, timeout: float) -> Sequence[str]:
        return self._due.bookings(connection, now, limit, timeout)

    # What the row held when the attempt began.

    def _remember(self, attempt_id: str, blob: str | None) -> None:
        with self._lock:
            self._seen[attempt_id] = blob
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)

    def _forget(self, attempt_id: str) -> None:
        with self._lock:
            self._seen.pop(attempt_id, None)

    def _recall(self, connection: Connection, booking_id: str, attempt_id: str, timeout: float) -> str | None:
        with self._lock:
            if attempt_id in self._seen:
                return self._seen[attempt_id]
        row = self._one(connection, self._read, timeout, booking=booking_id, now=self._clock.now())
        blob: str | None = None if row is None else row.blob
        return blob

    # The round trip.

    def _made(self, template: str) -> TextClause:
        made = statement(self._names, template.replace("{version}", self._expression))
        self._binds[made] = frozenset(made.compile().params)
        return made

    def _one(self, connection: Connection, sql: TextClause, timeout: float, **values: object) -> Row[Any] | None:
        rows = self._all(connection, sql, timeout, **values)
        return rows[0] if rows else None

    def _all(self, connection: Connection, sql: TextClause, timeout: float, **values: object) -> Sequence[Row[Any]]:
        wanted = {name: value for name, value in values.items() if name in self._binds[sql]}
        booking = str(values["booking"])
        try:
            return self._ids.unit(connection, booking, timeout, lambda: connection.execute(sql, wanted).all(), list)
        except DBAPIError as error:
            if reason_code(error) is ReasonCode.OVERLAP:
                raise
            raise failure(error) from None


class PostgresStore:
    """:class:`assign_core.ports.BookingStore` on PostgreSQL.

    Args:
        place: an engine for psycopg 3 (``postgresql+psycopg``), of which each call borrows a connection for one
            statement; or a connection, in whose transaction the host has our writes.
        clock: the same as the engine's.
        names: how the host calls its things.
        version: see :class:`Statements`.
    """

    def __init__(
        self,
        place: Engine | Connection,
        clock: Clock,
        *,
        names: Names | None = None,
        version: str | None = REFERENCE_VERSION,
    ) -> None:
        self._with = connections(place, autocommit=True).run
        self._statements = Statements(clock, names or Names(), version)

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        return self._with(
            timeout, lambda connection, left: self._statements.acquire(connection, booking_id, lease, left)
        )

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        return self._with(timeout, lambda connection, left: self._statements.confirm(connection, confirmation, left))

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        return self._with(timeout, lambda connection, left: self._statements.record(connection, entry, left))

    def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        return self._with(timeout, lambda connection, left: self._statements.read(connection, booking_id, left))

    def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        return self._with(
            timeout, lambda connection, left: self._statements.capacity_version(connection, booking_id, left)
        )

    def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        return self._with(timeout, lambda connection, left: self._statements.due(connection, now, limit, left))


class AsyncPostgresStore:
    """:class:`assign_core.ports.AsyncBookingStore` on PostgreSQL. A cancelled call cancels its statement."""

    def __init__(
        self,
        place: AsyncEngine | AsyncConnection,
        clock: Clock,
        *,
        names: Names | None = None,
        version: str | None = REFERENCE_VERSION,
    ) -> None:
        self._with = async_connections(place, autocommit=True).run
        self._statements = Statements(clock, names or Names(), version)

    async def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        return await self._with(
            timeout, lambda connection, left: self._statements.acquire(connection, booking_id, lease, left)
        )

    async def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        return await self._with(
            timeout, lambda connection, left: self._statements.confirm(connection, confirmation, left)
        )

    async def record(self, entry: Record, *, timeout: float) -> Recorded:
        return await self._with(timeout, lambda connection, left: self._statements.record(connection, entry, left))

    async def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        return await self._with(timeout, lambda connection, left: self._statements.read(connection, booking_id, left))

    async def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        return await self._with(
            timeout, lambda connection, left: self._statements.capacity_version(connection, booking_id, left)
        )

    async def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        return await self._with(timeout, lambda connection, left: self._statements.due(connection, now, limit, left))
