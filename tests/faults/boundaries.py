"""The boundaries at which a worker can be stopped: before, within and after everything that it does outside itself.

A *step* is one thing that a worker asks of a server or of the mail system. ``reached`` is told the name of each
boundary as the worker comes to it, and may block, kill, or do something else first. *Sent* is not among them: that a
statement has reached the server and its answer has not come back is for the other side to bring about, with a lock.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, event
from tests.faults.restaurant import App

from assign_core.booking import EmailState
from assign_core.errors import AssignError
from assign_core.outbox import Transport
from assign_core.ports import (
    Acquired,
    BookingStore,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    Lease,
    NotConfirmed,
    Planner,
    Quote,
    QuoteRequest,
    Record,
    Recorded,
)
from assign_postgres import PostgresMailer, PostgresOutbox

Reached = Callable[[str], None]


class AnswerLost(AssignError):
    """A planner has taken its hold, and its answer did not arrive."""


class Store:
    """A booking store with boundaries."""

    def __init__(self, store: BookingStore, reached: Reached) -> None:
        self._store = store
        self._reached = reached
        self.read, self.capacity_version, self.due = store.read, store.capacity_version, store.due

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        self._reached("before acquire")
        answer = self._store.acquire(booking_id, lease, timeout=timeout)
        self._reached("after acquire")
        return answer

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        self._reached("before confirm")
        answer = self._store.confirm(confirmation, timeout=timeout)
        self._reached("after confirm")
        return answer

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        self._reached("before record")
        answer = self._store.record(entry, timeout=timeout)
        self._reached("after record")
        return answer


class GatedPlanner:
    """A planner with boundaries. ``loses``: its answer to a quote is lost."""

    def __init__(self, planner: Planner, reached: Reached, *, loses: bool) -> None:
        self._planner = planner
        self._reached = reached
        self._loses = loses

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        self._reached("before quote")
        answer = self._planner.quote(request, timeout=timeout)
        self._reached("after quote")
        if self._loses:
            raise AnswerLost("connection is lost")
        return answer

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self._reached("before release")
        self._planner.release(booking_id, attempt_id, timeout=timeout)
        self._reached("after release")


class GatedTransport:
    """A mail system with boundaries: before it, the e-mail is claimed; after it, it is handed over and not settled."""

    def __init__(self, transport: Transport, reached: Reached) -> None:
        self._transport = transport
        self._reached = reached

    @property
    def deduplicates(self) -> bool:
        return self._transport.deduplicates

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        self._reached("before send")
        self._transport.send(email, idempotency_key=idempotency_key, timeout=timeout)
        self._reached("after send")


class GatedOutbox(PostgresOutbox):
    """An outbox with boundaries."""

    reached: Reached

    def begin(self, email: Email, *, deduplicates: bool, timeout: float = 5.0) -> EmailState | None:
        self.reached("before claim")
        state = super().begin(email, deduplicates=deduplicates, timeout=timeout)
        self.reached("after claim")
        return state

    def settle(self, email: Email, state: EmailState, error: str | None = None) -> EmailState:
        self.reached("before settle")
        settled = super().settle(email, state, error)
        self.reached("after settle")
        return settled


def gated(app: App, reached: Reached, *, loses: bool = False) -> None:
    """Put the boundaries in.

    Beside those of the ports, some that only the driver sees: *before hold*, when the search has looked and holds
    nothing yet, and *uncommitted hold*, *release*, *claim*, *settle* and *flush*, when everything is done but the
    COMMIT. The booking store has no such moment: each of its calls is one statement that commits itself.
    """
    step = ""

    def noted(name: str) -> None:
        nonlocal step
        moment, at = name.split(" ")
        step = at if moment == "before" else step
        reached(name)

    def statement(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        if "hold_tables(" in sql:
            noted("before hold")

    def commit(connection: Connection) -> None:
        if not getattr(connection.connection.driver_connection, "autocommit", False):
            reached(f"uncommitted {step}")

    event.listen(app.database, "before_cursor_execute", statement)
    event.listen(app.database, "commit", commit)
    outbox = GatedOutbox(app.database, app.runtime)
    outbox.reached = noted
    app.store = Store(app.store, noted)
    app.planner = GatedPlanner(app.planner, noted, loses=loses)
    app.outbox = outbox
    if app.transport is not None:
        app.transport = GatedTransport(app.transport, noted)
    app.mailer = PostgresMailer(outbox, app.transport)
    app.flushed = lambda: _flushed(app, noted)


def _flushed(app: App, reached: Reached) -> None:
    reached("before flush")
    app.buffer.flush()
    reached("after flush")
