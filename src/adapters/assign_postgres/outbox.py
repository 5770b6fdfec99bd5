"""The outbox on PostgreSQL: the ledger of e-mails, and the steps of handing one over.

A confirm has queued the e-mail in its own transaction. Whoever hands it over claims it first and settles it afterwards,
each in one short transaction, so that no lock is held while the mail system takes its time. The booking's row is locked
before the ledger's, as everywhere.

An e-mail that could not be handed over waits for longer each time before a relay tries it again. An unknown one that a
relay may not send again, because what it said is no longer so, waits as long as the longest.

The steps are written once, against :class:`sqlalchemy.Connection`, in :class:`Ledger`. :class:`PostgresOutbox` gives
them a connection from an engine, :class:`AsyncPostgresOutbox` the same through ``AsyncConnection.run_sync``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from attrs import frozen
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from assign_core.booking import EmailState
from assign_core.last_result import EmailVariant, LastResult
from assign_core.outbox import Step, next_step, still_true
from assign_core.ports import Clock, Email, EmailKind
from assign_postgres.connections import async_connections, connections, unit
from assign_postgres.ids import HostIds
from assign_postgres.names import Names
from assign_postgres.rows import statement
from assign_wire import dumps, loads
from assign_wire.text import storable

SENDING_LEASE: Final = timedelta(minutes=1)
"""How long a sender may take before it is taken for dead."""
PATIENCE: Final = 5.0
"""Seconds that settling an e-mail may take. Its own, because it is due whatever time the sender had left."""

_SHORTEST_WAIT: Final = 5
_LONGEST_WAIT: Final = 600
"""Seconds after which an e-mail is tried again; doubled each time, up to the longest."""
_DOUBLINGS: Final = 20
"""More than the longest wait needs, and few enough for the number to exist, however often it was tried."""

_KEY: Final = "booking_id = :booking AND kind = :kind AND revision = :revision"
_BOOKING: Final = """
SELECT booking.{status} AS status, booking.{revision} AS revision, booking.{last_result}::text AS blob
FROM {bookings} AS booking WHERE booking.{id} = :booking
FOR NO KEY UPDATE OF booking"""
_FLAG: Final = "UPDATE {bookings} SET {last_result} = CAST(:result AS jsonb) WHERE {id} = :booking"
_LEDGER: Final = f"SELECT state, sending_until FROM {{schema}}.auto_assign_emails WHERE {_KEY} FOR UPDATE"
_SENDING: Final = f"""
UPDATE {{schema}}.auto_assign_emails
SET state = 'claimed', sending_until = CAST(:until AS timestamptz), not_before = NULL, handed_over = handed_over + 1
WHERE {_KEY}"""
# What was sent stays sent: a sender that has overrun its lease comes after another, and knows less.
_SETTLE: Final = f"""
UPDATE {{schema}}.auto_assign_emails
SET state = :state, sending_until = NULL, last_error = :error,
    settled_at = CASE WHEN :state <> 'claimed' THEN CAST(:now AS timestamptz) END,
    not_before = CASE WHEN CAST(:backs_off AS boolean) THEN
        CAST(:now AS timestamptz)
            + interval '1 second' * least({_SHORTEST_WAIT} * 2 ^ least(handed_over - 1, {_DOUBLINGS}), {_LONGEST_WAIT})
    END
WHERE {_KEY} AND state <> 'sent'"""
# Not for longer, because nobody tells the ledger when a booking becomes again what its e-mail says.
_PUT_OFF: Final = f"""
UPDATE {{schema}}.auto_assign_emails
SET not_before = CAST(:now AS timestamptz) + interval '{_LONGEST_WAIT} seconds'
WHERE {_KEY}"""
_WITHDRAW: Final = f"DELETE FROM {{schema}}.auto_assign_emails WHERE {_KEY}"
# Those that nobody has tried come first: one that fails again and again must not keep the others waiting.
_WAITING: Final = """
SELECT booking_id, kind, revision FROM {schema}.auto_assign_emails
WHERE (state = 'claimed' OR (state = 'unknown' AND :deduplicates))
  AND (sending_until IS NULL OR sending_until <= CAST(:now AS timestamptz))
  AND (not_before IS NULL OR not_before <= CAST(:now AS timestamptz))
ORDER BY handed_over, queued_at, booking_id, revision, kind LIMIT :limit"""
_UNKNOWN: Final = """
SELECT booking_id, kind, revision, settled_at, last_error FROM {schema}.auto_assign_emails
WHERE state = 'unknown' ORDER BY queued_at, booking_id, revision, kind LIMIT :limit"""


@frozen(kw_only=True)
class Unknown:
    """An e-mail of which nobody knows whether the mail system has it.

    Attributes:
        since: when that was noted.
        error: what stood in the way of knowing.
    """

    email: Email
    since: datetime
    error: str


class Ledger:
    """The steps against a connection, each all or nothing."""

    def __init__(self, clock: Clock, names: Names, sending_lease: timedelta) -> None:
        self._clock = clock
        self._lease = sending_lease
        self._ids = HostIds(clock, names)
        self._booking, self._flag_sent, self._row, self._sending, self._settled = (
            statement(names, sql) for sql in (_BOOKING, _FLAG, _LEDGER, _SENDING, _SETTLE)
        )
        self._withdraw, self._put_off, self._waiting, self._unknown = (
            statement(names, sql) for sql in (_WITHDRAW, _PUT_OFF, _WAITING, _UNKNOWN)
        )

    def begin(self, connection: Connection, email: Email, deduplicates: bool, timeout: float) -> EmailState | None:
        return self._ids.unit(
            connection,
            email.booking_id,
            timeout,
            lambda: self._begin(connection, email, deduplicates),
            lambda: _not_queued(email),
        )

    def settle(
        self, connection: Connection, email: Email, state: EmailState, error: str | None, left: float
    ) -> EmailState:
        backs_off = state is EmailState.CLAIMED
        return self._ids.unit(
            connection,
            email.booking_id,
            left,
            lambda: self._settle(connection, email, state, error, backs_off),
            lambda: state,
        )

    def waiting(self, connection: Connection, deduplicates: bool, limit: int, left: float) -> Sequence[Email]:
        values = {"deduplicates": deduplicates, "limit": limit, "now": self._clock.now()}
        rows = unit(connection, self._clock, left, lambda: connection.execute(self._waiting, values).all())
        return [_email(row) for row in rows]

    def unknown(self, connection: Connection, limit: int, left: float) -> Sequence[Unknown]:
        values = {"limit": limit}
        rows = unit(connection, self._clock, left, lambda: connection.execute(self._unknown, values).all())
        return [Unknown(email=_email(row), since=row.settled_at, error=row.last_error or "") for row in rows]

    def decide(self, connection: Connection, email: Email, state: EmailState, left: float) -> bool:
        return self._ids.unit(
            connection, email.booking_id, left, lambda: self._decide(connection, email, state), lambda: False
        )

    def _decide(self, connection: Connection, email: Email, state: EmailState) -> bool:
        self._locked(connection, email)
        row = connection.execute(self._row, _key(email)).one_or_none()
        if row is None or row.state != EmailState.UNKNOWN:
            return False
        self._settle(connection, email, state, None, False)
        return True

    def _begin(self, connection: Connection, email: Email, deduplicates: bool) -> EmailState | None:
        booking = self._locked(connection, email)
        row = connection.execute(self._row, _key(email)).one_or_none()
        if row is None:
            _not_queued(email)
        state, now = EmailState(row.state), self._clock.now()
        called_for = booking is not None and still_true(email, status=booking.status, revision=booking.revision)
        match next_step(state, row.sending_until, now=now, deduplicates=deduplicates, called_for=called_for):
            case Step.LEAVE:
                if state is EmailState.UNKNOWN and deduplicates and not called_for:
                    connection.execute(self._put_off, {**_key(email), "now": now})
                return state
            case Step.WITHDRAW:
                # The claim goes too: what it would have said may become so again.
                connection.execute(self._withdraw, _key(email))
                return EmailState.FAILED
            case Step.GIVE_UP:
                self._note(connection, email, EmailState.UNKNOWN, "its sender died while sending it", False)
                return EmailState.UNKNOWN
            case Step.SEND:
                connection.execute(self._sending, {**_key(email), "until": now + self._lease})
                return None

    def _settle(
        self, connection: Connection, email: Email, state: EmailState, error: str | None, backs_off: bool
    ) -> EmailState:
        booking = self._locked(connection, email)
        if not self._note(connection, email, state, error, backs_off):
            row = connection.execute(self._row, _key(email)).one_or_none()
            return state if row is None else EmailState(row.state)
        if state is EmailState.SENT and booking is not None and email.kind is not EmailKind.STAFF_NOTICE:
            self._flag(connection, email, booking)
        return state

    def _locked(self, connection: Connection, email: Email) -> Row[Any] | None:
        return connection.execute(self._booking, {"booking": email.booking_id}).one_or_none()

    def _note(
        self, connection: Connection, email: Email, state: EmailState, error: str | None, backs_off: bool
    ) -> bool:
        """False: it was sent already, or is not in the ledger any more."""
        said = None if error is None else storable(error)[:500]
        values = {"state": state.value, "now": self._clock.now(), "error": said, "backs_off": backs_off}
        return connection.execute(self._settled, {**_key(email), **values}).rowcount > 0

    def _flag(self, connection: Connection, email: Email, booking: Row[Any]) -> None:
        last = loads(booking.blob)
        if isinstance(last, LastResult) and last.revision == email.revision and not last.email_sent:
            flagged = replace(last, email_sent=True, email_variant=EmailVariant.of(last.revision))
            result = json.dumps(dumps(flagged), ensure_ascii=False)
            connection.execute(self._flag_sent, {"booking": email.booking_id, "result": result})


def _not_queued(email: Email) -> NoReturn:
    raise LookupError(f"e-mail {email.key} is not queued; a confirm or a record queues it")


def _email(row: Row[Any]) -> Email:
    return Email(booking_id=row.booking_id, kind=EmailKind(row.kind), revision=row.revision)


def _key(email: Email) -> dict[str, object]:
    return {"booking": email.booking_id, "kind": email.kind.value, "revision": email.revision}


class PostgresOutbox:
    """The ledger's steps, each in a transaction of its own.

    Args:
        place: an engine; or a connection, in whose transaction nothing can be handed over, because it might not commit.
        sending_lease: how long a sender may take before it is taken for dead.
    """

    def __init__(
        self,
        place: Engine | Connection,
        clock: Clock,
        *,
        names: Names | None = None,
        sending_lease: timedelta = SENDING_LEASE,
    ) -> None:
        self._connections = connections(place)
        self._ledger = Ledger(clock, names or Names(), sending_lease)

    @property
    def commits(self) -> bool:
        """A step is there for everybody once it returns."""
        return self._connections.commits

    def begin(self, email: Email, *, deduplicates: bool, timeout: float = PATIENCE) -> EmailState | None:
        """``None``: it is yours to send. Otherwise its state, and you leave it alone.

        Raises:
            LookupError: it is not queued.
        """
        return self._connections.run(
            timeout, lambda connection, left: self._ledger.begin(connection, email, deduplicates, left)
        )

    def settle(self, email: Email, state: EmailState, error: str | None = None) -> EmailState:
        """What became of it, which another sender may have found out before: what was sent stays sent. Sets the
        booking's e-mail flag once it is, in the same transaction."""
        return self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.settle(connection, email, state, error, left)
        )

    def waiting(self, *, deduplicates: bool, limit: int) -> Sequence[Email]:
        """What a relay has to look at now and nobody is sending, the oldest first among those tried equally often."""
        return self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.waiting(connection, deduplicates, limit, left)
        )

    def decide(self, email: Email, state: EmailState) -> bool:
        """Settle an unknown e-mail as somebody has found it: sent, or claimed, so that it is sent. False: it is not
        unknown."""
        return self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.decide(connection, email, state, left)
        )

    def unknown(self, *, limit: int) -> Sequence[Unknown]:
        """What somebody has to look at, the longest waiting first."""
        return self._connections.run(PATIENCE, lambda connection, left: self._ledger.unknown(connection, limit, left))


class AsyncPostgresOutbox:
    """:class:`PostgresOutbox`, asynchronous."""

    def __init__(
        self,
        place: AsyncEngine | AsyncConnection,
        clock: Clock,
        *,
        names: Names | None = None,
        sending_lease: timedelta = SENDING_LEASE,
    ) -> None:
        self._connections = async_connections(place)
        self._ledger = Ledger(clock, names or Names(), sending_lease)

    @property
    def commits(self) -> bool:
        return self._connections.commits

    async def begin(self, email: Email, *, deduplicates: bool, timeout: float = PATIENCE) -> EmailState | None:
        return await self._connections.run(
            timeout, lambda connection, left: self._ledger.begin(connection, email, deduplicates, left)
        )

    async def settle(self, email: Email, state: EmailState, error: str | None = None) -> EmailState:
        return await self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.settle(connection, email, state, error, left)
        )

    async def waiting(self, *, deduplicates: bool, limit: int) -> Sequence[Email]:
        return await self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.waiting(connection, deduplicates, limit, left)
        )

    async def decide(self, email: Email, state: EmailState) -> bool:
        return await self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.decide(connection, email, state, left)
        )

    async def unknown(self, *, limit: int) -> Sequence[Unknown]:
        return await self._connections.run(
            PATIENCE, lambda connection, left: self._ledger.unknown(connection, limit, left)
        )
