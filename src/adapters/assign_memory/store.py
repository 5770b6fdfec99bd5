"""The booking store in memory: the same transactions as a database, under one lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from assign_core.booking import OPEN, SEATED, BookingStatus
from assign_core.last_result import LastResult, record
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    EmailKind,
    Hold,
    Lease,
    NotConfirmed,
    Record,
    Recorded,
)
from assign_core.reasons import ReasonCode
from assign_memory.database import Assignment, MemoryDatabase, Row, guest_email

Objection = Callable[[Row, Hold], str | None]
"""A seating rule of the house that only the confirm enforces: why this plan may not be, or ``None``."""


def no_objection(row: Row, hold: Hold) -> str | None:
    """A house whose planner knows every rule."""
    del row, hold
    return None


def _in_time(timeout: float) -> None:
    if timeout <= 0:
        raise TimeoutError(f"no time is left ({timeout:.3f} s); nothing was read or written")


class MemoryStore:
    """:class:`assign_core.ports.BookingStore` in memory."""

    def __init__(self, database: MemoryDatabase, *, objection: Objection = no_objection) -> None:
        self._db = database
        self._objection = objection

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        _in_time(timeout)
        with self._db.lock:
            row = self._db.rows.get(booking_id)
            if row is None:
                return None
            booking, last = self._db.booking(row), self._db.last(row)
            left = row.lease
            if left is not None and left.expires_at > self._db.clock.now() and left.attempt_id != lease.attempt_id:
                return Busy(booking=booking, last=last, holder=left)
            lost = left if left is not None and left.attempt_id != lease.attempt_id else None
            row.lease, row.overtaken = lease.after(lost), False
            if row.status in OPEN:
                row.retry_at, row.parked_at_version = lease.expires_at, None
            return Acquired(booking=booking, last=last, lost=lost)

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        _in_time(timeout)
        with self._db.lock:
            row = self._db.rows.get(confirmation.booking_id)
            if row is None:
                return NotConfirmed(status="", reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            if self._is_replay(row, confirmation):
                return self._confirmed(row, confirmation)
            refusal = self._refusal(row, confirmation)
            if refusal is not None:
                return refusal
            hold = self._db.holds.pop(confirmation.hold.hold_id)
            self._db.assignments[row.id] = Assignment(booking_id=row.id, tables=hold.tables, window=hold.window)
            row.status = BookingStatus.CONFIRMED.value
            row.idempotency_key, row.confirmed_by = confirmation.key, confirmation.attempt_id
            row.lease = row.retry_at = row.parked_at_version = None
            self._db.keep(row, self._recorded(row, confirmation.result))
            return self._confirmed(row, confirmation)

    def _recorded(self, row: Row, result: LastResult, *, late: bool = False) -> LastResult:
        return record(self._db.last(row), result, revision=row.revision, now=self._db.clock.now(), late=late)

    def _is_replay(self, row: Row, confirmation: Confirmation) -> bool:
        """The same confirm again, and what it did is still so."""
        seated = self._db.assignments.get(row.id)
        return (
            row.status in SEATED
            and row.idempotency_key == confirmation.key
            and seated is not None
            and seated.tables == frozenset(confirmation.hold.plan.tables)
        )

    def _confirmed(self, row: Row, confirmation: Confirmation) -> Confirmed:
        last = self._db.last(row)
        return Confirmed(
            attempt_id=row.confirmed_by or "",
            last=last if isinstance(last, LastResult) else confirmation.result,
            email=None if confirmation.email is None else self._db.queue(confirmation.email),
        )

    def _refusal(self, row: Row, confirmation: Confirmation) -> NotConfirmed | None:
        changed = ReasonCode.BOOKING_CHANGED
        if row.status not in OPEN:
            return NotConfirmed(status=row.status, reason=f"BOOKING_CHANGED: status {row.status}", reason_code=changed)
        if not self._leased(row, confirmation.attempt_id):
            return NotConfirmed(status=row.status, reason="BOOKING_CHANGED: attempt closed", reason_code=changed)
        if row.revision != confirmation.revision:
            reason = f"BOOKING_CHANGED: revision {row.revision}, not {confirmation.revision}"
            return NotConfirmed(status=row.status, reason=reason, reason_code=changed)
        hold = self._db.holds.get(confirmation.hold.hold_id)
        if hold is None or hold.expires_at <= self._db.clock.now() or hold.attempt_id != confirmation.attempt_id:
            return NotConfirmed(status=row.status, reason="HoldNotFoundError", reason_code=ReasonCode.HOLD_NOT_FOUND)
        if self._db.taken(hold.window, but_for=row.id, holds=False) & hold.tables:
            reason = 'conflicting key value violates exclusion constraint "no_overlapping_table_assignments"'
            return NotConfirmed(status=row.status, reason=reason, reason_code=ReasonCode.OVERLAP)
        objection = self._objection(row, confirmation.hold)
        return None if objection is None else NotConfirmed(status=row.status, reason=objection)

    def _leased(self, row: Row, attempt_id: str) -> bool:
        lease = row.lease
        return lease is not None and lease.attempt_id == attempt_id and lease.expires_at > self._db.clock.now()

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        _in_time(timeout)
        with self._db.lock:
            row = self._db.rows.get(entry.booking_id)
            if row is None:
                return Recorded(status="", last=None)
            known = self._db.last(row)
            ours = row.lease is not None and row.lease.attempt_id == entry.attempt_id
            if entry.result is not None:
                self._db.keep(row, self._recorded(row, entry.result, late=not ours))
            if ours:
                self._give_back(row, entry)
            elif row.status in OPEN and self._db.last(row) != known:
                self._overtake(row)
            wanted = self._called_for(row, entry, ours=ours)
            return Recorded(
                status=row.status,
                revision=row.revision,
                confirmed_by=row.confirmed_by,
                last=self._db.last(row),
                email=None if wanted is None else self._db.queue(wanted),
            )

    def _overtake(self, row: Row) -> None:
        """What was decided about the booking, or is about to be, is decided without what has just arrived."""
        now = self._db.clock.now()
        row.overtaken = row.lease is not None
        if row.lease is None or row.lease.expires_at <= now:
            row.retry_at, row.parked_at_version = now, None

    def _give_back(self, row: Row, entry: Record) -> None:
        """End the attempt's lease, and say when a job is due."""
        lease, row.lease = row.lease, None
        if row.status in OPEN and entry.result is None and lease is not None:
            row.lease = lease.unrecorded(self._db.clock.now())
        read = entry.revision
        if read is None and entry.result is not None:
            read = entry.result.revision
        if row.status not in OPEN:
            row.retry_at = row.parked_at_version = None
        elif row.overtaken or (read is not None and read != row.revision):
            row.retry_at, row.parked_at_version = self._db.clock.now(), None
        else:
            row.retry_at, row.parked_at_version = entry.retry_at, entry.parked_at_version

    def _called_for(self, row: Row, entry: Record, *, ours: bool) -> Email | None:
        """The intent that the row still calls for."""
        for wanted in (entry.email, entry.guest_email):
            if wanted is None:
                continue
            if wanted.kind is not EmailKind.STAFF_NOTICE:
                if row.status in SEATED:
                    return guest_email(row)
            elif row.status in OPEN and ours and wanted.revision == row.revision:
                return wanted
        return None

    def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        _in_time(timeout)
        with self._db.lock:
            row = self._db.rows.get(booking_id)
            return None if row is None else Acquired(booking=self._db.booking(row), last=self._db.last(row))

    def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        _in_time(timeout)
        with self._db.lock:
            row = self._db.rows.get(booking_id)
            return None if row is None else self._db.version(row)

    def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        _in_time(timeout)
        with self._db.lock:
            waiting = [
                (row.retry_at, row.id)
                for row in self._db.rows.values()
                if row.status in OPEN and row.retry_at is not None and (row.retry_at <= now or self._woken(row))
            ]
        return [booking_id for _, booking_id in sorted(waiting)[:limit]]

    def _woken(self, row: Row) -> bool:
        """Parked, and seats that could help have become free."""
        version = None if row.parked_at_version is None else self._db.version(row)
        return version is not None and row.parked_at_version is not None and version > row.parked_at_version


class AsyncMemoryStore:
    """:class:`assign_core.ports.AsyncBookingStore`. Memory does not make anyone wait, so nothing is awaited."""

    def __init__(self, database: MemoryDatabase, *, objection: Objection = no_objection) -> None:
        self._store = MemoryStore(database, objection=objection)

    async def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        return self._store.acquire(booking_id, lease, timeout=timeout)

    async def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        return self._store.confirm(confirmation, timeout=timeout)

    async def record(self, entry: Record, *, timeout: float) -> Recorded:
        return self._store.record(entry, timeout=timeout)

    async def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        return self._store.read(booking_id, timeout=timeout)

    async def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        return self._store.capacity_version(booking_id, timeout=timeout)

    async def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        return self._store.due(now, limit=limit, timeout=timeout)
