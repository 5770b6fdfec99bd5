"""The world in memory: bookings, holds, assignments, the e-mail ledger and the capacity versions.

It is what the PostgreSQL schema is in a real house, and the model that one is compared with. One lock stands for the
transaction: everything a method does happens at once or not at all. The stored result is kept as the JSON blob that a
column would hold, so that a damaged one can be planted and everything that is read has been written.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from attrs import define, field, frozen

from assign_core.booking import CLOSED, OPEN, SEATED, Booking, BookingStatus, EmailState
from assign_core.errors import BookingNotFound, InvalidValue, aware
from assign_core.last_result import EmailVariant, LastResult, Unreadable
from assign_core.outbox import still_true
from assign_core.ports import Clock, Email, EmailKind, Lease
from assign_floor import Floor, Refusal, Window, window_for
from assign_memory.freed import FreedTables
from assign_wire import dumps, loads

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a job has been due since, for a booking that is open again: whoever waits, waits longer for nobody."""


@define(kw_only=True)
class Row:
    """A booking as the host stores it."""

    id: str
    party: int
    start_at: datetime
    status: str = BookingStatus.PENDING.value
    revision: int = 0
    zone: str | None = None
    """A zone lock: the staff has promised this part of the house."""
    blob: object = None
    """``auto_assign_last_result``: whatever JSON anybody wrote."""
    idempotency_key: str | None = None
    confirmed_by: str | None = None
    """The attempt whose confirm seated it."""
    lease: Lease | None = None
    overtaken: bool = False
    """During the lease a result has arrived from an attempt that had lost it, or the booking was opened again."""
    retry_at: datetime | None = None
    parked_at_version: int | None = None


@frozen(kw_only=True)
class HoldRow:
    """Tables on a short lease."""

    id: str
    booking_id: str
    attempt_id: str
    tables: frozenset[str]
    window: Window
    expires_at: datetime


@frozen(kw_only=True)
class Assignment:
    """Tables that belong to a seated booking."""

    booking_id: str
    tables: frozenset[str]
    window: Window


@define(kw_only=True)
class LedgerRow:
    """What is known of one e-mail.

    ``sending_until`` is set while somebody hands it over. When it has passed and the state is still *claimed*, a
    sender died in the middle, and whether the e-mail went out is unknown.
    """

    email: Email
    state: EmailState = EmailState.CLAIMED
    sending_until: datetime | None = None
    handed_over: int = 0
    """How often it was given to the transport."""


@define
class MemoryDatabase:
    """A restaurant's bookings, in this process.

    Args:
        floor: tables and services.
        clock: for leases, holds and the ledger; the same as the engine's.
    """

    floor: Floor
    clock: Clock
    rows: dict[str, Row] = field(factory=dict, init=False)
    holds: dict[str, HoldRow] = field(factory=dict, init=False)
    assignments: dict[str, Assignment] = field(factory=dict, init=False)
    ledger: dict[str, LedgerRow] = field(factory=dict, init=False)
    _freed: FreedTables = field(factory=FreedTables, init=False)
    lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False)

    # What the adapters read.

    def row(self, booking_id: str) -> Row:
        """Raises :class:`~assign_core.errors.BookingNotFound`."""
        try:
            return self.rows[booking_id]
        except KeyError:
            raise BookingNotFound(booking_id) from None

    def last(self, row: Row) -> LastResult | Unreadable | None:
        return loads(row.blob)

    def keep(self, row: Row, result: LastResult) -> None:
        row.blob = dumps(result)

    def window(self, row: Row) -> Window | Refusal:
        return window_for(self.floor, row.party, row.start_at)

    def version(self, row: Row) -> int | None:
        """The booking's capacity version; ``None`` where the house is closed."""
        window = self.window(row)
        if isinstance(window, Refusal):
            return None
        with self.lock:
            self.sweep()
            return self._freed.version(self.floor, window, row.party, self.taken(window, but_for=row.id))

    def booking(self, row: Row) -> Booking:
        """The row as the policy sees it."""
        email = self.ledger.get(guest_email(row).key)
        return Booking(
            id=row.id,
            status=row.status,
            start_at=row.start_at,
            revision=row.revision,
            capacity_version=self.version(row),
            email=None if email is None else email.state,
        )

    def taken(self, window: Window, *, but_for: str, holds: bool = True) -> set[str]:
        """Tables that others have, or hold, in a window. A booking is never in its own way."""
        taken: set[str] = set()
        for assignment in self.assignments.values():
            if assignment.booking_id != but_for and assignment.window.overlaps(window):
                taken |= assignment.tables
        if holds:
            for hold in self.holds_of_others(window, but_for=but_for):
                taken |= hold.tables
        return taken

    def holds_of_others(self, window: Window, *, but_for: str) -> Iterator[HoldRow]:
        """Holds of other bookings that have not expired."""
        now = self.clock.now()
        for hold in self.holds.values():
            if hold.booking_id != but_for and hold.expires_at > now and hold.window.overlaps(window):
                yield hold

    # What changes capacity.

    def freed(self, tables: Collection[str], window: Window) -> None:
        """Tables have become free for a time."""
        self._freed.add(tables, window, self.clock.now())

    def sweep(self) -> None:
        """Drop what has expired. Its seats are free, so the version grows."""
        now = self.clock.now()
        for hold in [hold for hold in self.holds.values() if hold.expires_at <= now]:
            del self.holds[hold.id]
            self.freed(hold.tables, hold.window)

    def unassign(self, booking_id: str) -> None:
        """Give a booking's tables back."""
        assignment = self.assignments.pop(booking_id, None)
        if booking_id in self.rows:
            self.rows[booking_id].confirmed_by = None
        if assignment is not None:
            self.freed(assignment.tables, assignment.window)

    # The e-mail ledger.

    def queue(self, email: Email) -> EmailState:
        """Make the intent durable, once; its state from now on."""
        return self.ledger.setdefault(email.key, LedgerRow(email=email)).state

    def calls_for(self, email: Email) -> bool:
        """Whether the row still is as the e-mail says."""
        row = self.rows.get(email.booking_id)
        return row is not None and still_true(email, status=row.status, revision=row.revision)

    def flag_sent(self, email: Email) -> None:
        """Derive the booking's e-mail flag from the ledger."""
        row = self.rows.get(email.booking_id)
        if row is None or email.kind is EmailKind.STAFF_NOTICE:
            return
        last = self.last(row)
        if isinstance(last, LastResult) and last.revision == email.revision and not last.email_sent:
            self.keep(row, replace(last, email_sent=True, email_variant=EmailVariant.of(last.revision)))

    # What the host does, beside us.

    def add_booking(
        self,
        booking_id: str,
        *,
        party: int,
        start_at: datetime,
        status: str = BookingStatus.PENDING.value,
        zone: str | None = None,
        blob: object = None,
    ) -> Row:
        """A new booking. Raises ``InvalidValue`` for an id that exists, or a party of nobody."""
        _check(booking_id, party, start_at)
        with self.lock:
            if booking_id in self.rows:
                raise InvalidValue(f"booking {booking_id!r} exists already; ids are unique")
            row = Row(id=booking_id, party=party, start_at=start_at, status=status, zone=zone, blob=blob)
            self.rows[booking_id] = row
            return row

    def set_status(self, booking_id: str, status: str) -> None:
        """Staff or guest change the status. A booking that is open again, or closed, gives its tables back; in a status
        of the host's own it keeps them.
        """
        with self.lock:
            row = self.row(booking_id)
            was_open, row.status = row.status in OPEN, status
            if status in OPEN | CLOSED:
                self.unassign(booking_id)
            self._say_when_due(row, was_open=was_open)

    def _say_when_due(self, row: Row, *, was_open: bool) -> None:
        """At once, if it is open again, or when the attempt ends that has its lease; never, if it is not open."""
        if row.status not in OPEN:
            row.retry_at = row.parked_at_version = None
        elif not was_open:
            row.retry_at = LONG_AGO if row.lease is None else row.lease.expires_at
            row.parked_at_version = None
            # Who has the lease may have found it seated or closed, and decides on that.
            row.overtaken = row.lease is not None

    def cancel(self, booking_id: str) -> None:
        self.set_status(booking_id, BookingStatus.CANCELLED.value)

    def modify(self, booking_id: str, *, party: int | None = None, start_at: datetime | None = None) -> None:
        """The guest changes party or time: a new revision, to be assigned anew. In a status of the host's own it keeps
        status and tables.
        """
        with self.lock:
            row = self.row(booking_id)
            _check(booking_id, row.party if party is None else party, row.start_at if start_at is None else start_at)
            row.revision += 1
            row.party = row.party if party is None else party
            row.start_at = row.start_at if start_at is None else start_at
            was_open = row.status in OPEN
            if row.status in SEATED or was_open:
                row.status = BookingStatus.PENDING.value
            if row.status in OPEN | CLOSED:
                self.unassign(booking_id)
            self._say_when_due(row, was_open=was_open)

    def seat_by_hand(self, booking_id: str, tables: Collection[str]) -> None:
        """Staff seat a booking.

        Raises:
            InvalidValue: a table is not on the floor, or taken (two bookings never share one); or the house is closed.
        """
        with self.lock:
            row = self.row(booking_id)
            unknown = set(tables) - {table.id for table in self.floor.tables}
            if unknown:
                raise InvalidValue(
                    f"tables {sorted(unknown)} are not on the floor; seat booking {booking_id!r} at others"
                )
            window = self.window(row)
            if isinstance(window, Refusal):
                raise InvalidValue(f"booking {booking_id!r} cannot be seated: {window.reason}")
            clash = self.taken(window, but_for=booking_id, holds=False) & set(tables)
            if clash:
                raise InvalidValue(f"tables {sorted(clash)} are taken; seat booking {booking_id!r} at others")
            self.unassign(booking_id)
            self.assignments[booking_id] = Assignment(booking_id=booking_id, tables=frozenset(tables), window=window)
            row.status = BookingStatus.CONFIRMED.value
            row.confirmed_by = row.retry_at = row.parked_at_version = None

    def change_floor(self, floor: Floor, window: Window) -> None:
        """The staff changes tables, which may free seats in a window."""
        with self.lock:
            self.floor = floor
            self.freed([table.id for table in floor.tables], window)

    # What a test or a simulation asks.

    def double_booked(self) -> Sequence[tuple[str, str]]:
        """Pairs of bookings that share a table at one time. Empty, or the house is wrong."""
        found = sorted(self.assignments.values(), key=lambda assignment: assignment.booking_id)
        return [
            (one.booking_id, other.booking_id)
            for index, one in enumerate(found)
            for other in found[index + 1 :]
            if one.tables & other.tables and one.window.overlaps(other.window)
        ]

    def email_states(self) -> Mapping[str, EmailState]:
        """The ledger: idempotency key to state."""
        return {key: row.state for key, row in self.ledger.items()}


def _check(booking_id: str, party: int, start_at: datetime) -> None:
    """Raises ``InvalidValue``: better to whoever writes a bad row than to the queue that finds it."""
    if party < 1:
        raise InvalidValue(f"party of booking {booking_id!r} is {party}; pass at least 1")
    aware(f"start_at of booking {booking_id!r}", start_at)


def guest_email(row: Row) -> Email:
    """What tells the guest that this revision is confirmed."""
    return Email(booking_id=row.id, kind=EmailKind.of(row.revision), revision=row.revision)
