"""A booking store and a mailer on SQLite, as somebody else would write them: the standard library, the core, the wire.

Moments are kept as microseconds since 1970, so that they compare in SQL. One connection behind one lock is enough for a
small house. Capacity is counted house-wide: whatever frees a table makes the version grow for every booking whose time
overlaps. That wakes more bookings than need be, and misses none.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from assign_core.booking import OPEN, SEATED, Booking, EmailState
from assign_core.last_result import EmailVariant, LastResult, Source, Unreadable, record
from assign_core.outbox import MailSystemAway, Step, Transport, end_of, next_step, still_true
from assign_core.ports import (
    Acquired,
    Busy,
    Clock,
    Confirmation,
    Confirmed,
    Email,
    EmailKind,
    Lease,
    NotConfirmed,
    Record,
    Recorded,
)
from assign_core.reasons import ReasonCode
from assign_wire import dumps, loads

SCHEMA = """
CREATE TABLE bookings (
    id TEXT PRIMARY KEY, party INTEGER, start_at INTEGER, ends INTEGER, status TEXT DEFAULT 'pending',
    revision INTEGER DEFAULT 0, blob TEXT, confirm_key TEXT, confirmed_by TEXT, lease TEXT, retry_at INTEGER,
    parked_at_version INTEGER, overtaken INTEGER DEFAULT 0);
CREATE TABLE holds (id TEXT PRIMARY KEY, booking_id TEXT, attempt_id TEXT, tables TEXT, starts INTEGER, ends INTEGER,
    expires_at INTEGER);
CREATE TABLE assignments (booking_id TEXT, table_id TEXT, starts INTEGER, ends INTEGER);
CREATE TABLE emails (key TEXT PRIMARY KEY, booking_id TEXT, kind TEXT, revision INTEGER, state TEXT,
    sending_until INTEGER);
CREATE TABLE freed (version INTEGER PRIMARY KEY AUTOINCREMENT, starts INTEGER, ends INTEGER);
"""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SENDING = timedelta(minutes=1)


def number(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=number)


def lease_text(lease: Lease) -> str:
    first = lease.lost_first and lease.lost_first.value
    taken, expires = number(lease.taken_at), number(lease.expires_at)
    return json.dumps([lease.attempt_id, lease.source.value, taken, expires, lease.lost_before, first])


def lease_of(row: sqlite3.Row) -> Lease | None:
    if row["lease"] is None:
        return None
    attempt_id, source, taken, expires, lost_before, first = json.loads(row["lease"])
    return Lease(
        attempt_id=attempt_id,
        source=Source(source),
        taken_at=moment(taken),
        expires_at=moment(expires),
        lost_before=lost_before,
        lost_first=None if first is None else Source(first),
    )


def guest_email(row: sqlite3.Row) -> Email:
    return Email(booking_id=row["id"], kind=EmailKind.of(row["revision"]), revision=row["revision"])


class Database:
    """The file, and what every part of the adapter asks of it."""

    def __init__(self, path: str, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self, timeout: float = 1.0) -> Iterator[None]:
        if timeout <= 0:
            raise TimeoutError(f"no time is left ({timeout:.3f} s)")
        with self._lock:
            self.run("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.run("ROLLBACK")
                raise
            self.run("COMMIT")

    def run(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, booking_id: str) -> sqlite3.Row | None:
        rows = self.run("SELECT * FROM bookings WHERE id = ?", booking_id)
        return rows[0] if rows else None

    def last(self, row: sqlite3.Row) -> LastResult | Unreadable | None:
        return loads(None if row["blob"] is None else json.loads(row["blob"]))

    def keep(self, booking_id: str, result: LastResult) -> None:
        self.run("UPDATE bookings SET blob = ? WHERE id = ?", json.dumps(dumps(result)), booking_id)

    def say_when_due(self, booking_id: str, *, was_open: bool) -> None:
        """What the host does after a change of status."""
        row = self.row(booking_id)
        if row is None or (row["status"] in OPEN and was_open):
            return
        lease = lease_of(row)
        update = "UPDATE bookings SET retry_at = ?, parked_at_version = NULL, overtaken = ? WHERE id = ?"
        if row["status"] not in OPEN:
            self.run(update, None, row["overtaken"], booking_id)
        else:
            # Who has the lease may have found it seated or closed, and decides on that.
            self.run(update, 0 if lease is None else number(lease.expires_at), lease is not None, booking_id)

    def now(self) -> int:
        return number(self.clock.now())

    def sweep(self) -> None:
        """Expired holds end, and their seats are free."""
        self.run("INSERT INTO freed (starts, ends) SELECT starts, ends FROM holds WHERE expires_at <= ?", self.now())
        self.run("DELETE FROM holds WHERE expires_at <= ?", self.now())

    def version(self, row: sqlite3.Row) -> int:
        self.sweep()
        found = self.run(
            "SELECT coalesce(max(version), 0) AS found FROM freed WHERE starts < ? AND ends > ?",
            row["ends"],
            row["start_at"],
        )
        return int(found[0]["found"])

    def booking(self, row: sqlite3.Row) -> Booking:
        state = self.email_state(guest_email(row))
        return Booking(
            id=row["id"],
            status=row["status"],
            start_at=moment(row["start_at"]),
            revision=row["revision"],
            capacity_version=self.version(row),
            email=state,
        )

    def email_state(self, email: Email) -> EmailState | None:
        rows = self.run("SELECT state FROM emails WHERE key = ?", email.key)
        return EmailState(rows[0]["state"]) if rows else None

    def queue(self, email: Email) -> EmailState | None:
        values = (email.key, email.booking_id, email.kind.value, email.revision, EmailState.CLAIMED.value)
        self.run("INSERT OR IGNORE INTO emails VALUES (?, ?, ?, ?, ?, NULL)", *values)
        return self.email_state(email)


class SqliteStore:
    """:class:`assign_core.ports.BookingStore` on SQLite."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        with self._db.transaction(timeout):
            row = self._db.row(booking_id)
            if row is None:
                return None
            booking, last, left = self._db.booking(row), self._db.last(row), lease_of(row)
            if left is not None and left.attempt_id == lease.attempt_id:
                left = None
            if left is not None and left.expires_at > self._db.clock.now():
                return Busy(booking=booking, last=last, holder=left)
            update = "UPDATE bookings SET lease = ?, overtaken = 0 WHERE id = ?"
            self._db.run(update, lease_text(lease.after(left)), booking_id)
            if row["status"] in OPEN:
                self._wait(booking_id, number(lease.expires_at), None)
            return Acquired(booking=booking, last=last, lost=left)

    def _wait(self, booking_id: str, retry_at: int | None, version: int | None) -> None:
        update = "UPDATE bookings SET retry_at = ?, parked_at_version = ? WHERE id = ?"
        self._db.run(update, retry_at, version, booking_id)

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        with self._db.transaction(timeout):
            row = self._db.row(confirmation.booking_id)
            if row is None:
                return NotConfirmed(status="", reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            if not self._is_replay(row, confirmation):
                refusal = self._refusal(row, confirmation)
                if refusal is not None:
                    return NotConfirmed(status=row["status"], reason=refusal.value, reason_code=refusal)
                self._commit(row, confirmation)
            return self._confirmed(confirmation)

    def _is_replay(self, row: sqlite3.Row, confirmation: Confirmation) -> bool:
        rows = self._db.run("SELECT table_id FROM assignments WHERE booking_id = ?", row["id"])
        seated = {found["table_id"] for found in rows} == set(confirmation.hold.plan.tables)
        return row["status"] in SEATED and row["confirm_key"] == confirmation.key and seated

    def _refusal(self, row: sqlite3.Row, confirmation: Confirmation) -> ReasonCode | None:
        lease, now = lease_of(row), self._db.now()
        ours = lease is not None and lease.attempt_id == confirmation.attempt_id and number(lease.expires_at) > now
        if row["status"] not in OPEN or not ours or row["revision"] != confirmation.revision:
            return ReasonCode.BOOKING_CHANGED
        held = self._db.run("SELECT * FROM holds WHERE id = ?", confirmation.hold.hold_id)
        if not held or held[0]["expires_at"] <= now or held[0]["attempt_id"] != confirmation.attempt_id:
            return ReasonCode.HOLD_NOT_FOUND
        clash = self._db.run(
            "SELECT 1 FROM assignments, json_each(?) WHERE table_id = value AND booking_id <> ?"
            " AND starts < ? AND ends > ?",
            held[0]["tables"],
            row["id"],
            held[0]["ends"],
            held[0]["starts"],
        )
        return ReasonCode.OVERLAP if clash else None

    def _commit(self, row: sqlite3.Row, confirmation: Confirmation) -> None:
        hold_id = confirmation.hold.hold_id
        self._db.run(
            "INSERT INTO assignments SELECT ?, value, starts, ends FROM holds, json_each(holds.tables)"
            " WHERE holds.id = ?",
            row["id"],
            hold_id,
        )
        self._db.run("DELETE FROM holds WHERE id = ?", hold_id)
        self._db.run(
            "UPDATE bookings SET status = 'confirmed', confirm_key = ?, confirmed_by = ?, lease = NULL,"
            " retry_at = NULL, parked_at_version = NULL WHERE id = ?",
            confirmation.key,
            confirmation.attempt_id,
            row["id"],
        )
        self._db.keep(row["id"], self._recorded(row, confirmation.result))

    def _confirmed(self, confirmation: Confirmation) -> Confirmed:
        row = self._db.row(confirmation.booking_id)
        last = None if row is None else self._db.last(row)
        return Confirmed(
            attempt_id="" if row is None else row["confirmed_by"] or "",
            last=last if isinstance(last, LastResult) else confirmation.result,
            email=None if confirmation.email is None else self._db.queue(confirmation.email),
        )

    def _recorded(self, row: sqlite3.Row, result: LastResult, *, late: bool = False) -> LastResult:
        now = self._db.clock.now()
        return record(self._db.last(row), result, revision=row["revision"], now=now, late=late)

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        with self._db.transaction(timeout):
            row = self._db.row(entry.booking_id)
            if row is None:
                return Recorded(status="", last=None)
            lease = lease_of(row)
            ours = lease is not None and lease.attempt_id == entry.attempt_id
            if entry.result is not None:
                self._db.keep(row["id"], self._recorded(row, entry.result, late=not ours))
            after = self._db.row(entry.booking_id) or row
            if lease is not None and ours:
                self._give_back(row, lease, entry)
            elif row["status"] in OPEN and self._db.last(after) != self._db.last(row):
                self._overtake(row["id"], lease)
            wanted = self._called_for(row, entry, ours=ours)
            return Recorded(
                status=row["status"],
                revision=row["revision"],
                confirmed_by=row["confirmed_by"],
                last=self._db.last(after),
                email=None if wanted is None else self._db.queue(wanted),
            )

    def _overtake(self, booking_id: str, lease: Lease | None) -> None:
        self._db.run("UPDATE bookings SET overtaken = ? WHERE id = ?", lease is not None, booking_id)
        if lease is None or number(lease.expires_at) <= self._db.now():
            self._wait(booking_id, self._db.now(), None)

    def _give_back(self, row: sqlite3.Row, lease: Lease, entry: Record) -> None:
        left = lease.unrecorded(self._db.clock.now()) if entry.result is None and row["status"] in OPEN else None
        text = None if left is None else lease_text(left)
        self._db.run("UPDATE bookings SET lease = ? WHERE id = ?", text, row["id"])
        read = entry.revision
        if read is None and entry.result is not None:
            read = entry.result.revision
        if row["status"] not in OPEN:
            self._wait(row["id"], None, None)
        elif row["overtaken"] or (read is not None and read != row["revision"]):
            self._wait(row["id"], self._db.now(), None)
        else:
            at = None if entry.retry_at is None else number(entry.retry_at)
            self._wait(row["id"], at, entry.parked_at_version)

    def _called_for(self, row: sqlite3.Row, entry: Record, *, ours: bool) -> Email | None:
        for wanted in (entry.email, entry.guest_email):
            if wanted is None:
                continue
            if wanted.kind is not EmailKind.STAFF_NOTICE:
                if row["status"] in SEATED:
                    return guest_email(row)
            elif row["status"] in OPEN and ours and wanted.revision == row["revision"]:
                return wanted
        return None

    def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        with self._db.transaction(timeout):
            row = self._db.row(booking_id)
            return None if row is None else Acquired(booking=self._db.booking(row), last=self._db.last(row))

    def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        with self._db.transaction(timeout):
            row = self._db.row(booking_id)
            return None if row is None else self._db.version(row)

    def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        with self._db.transaction(timeout):
            rows = self._db.run("SELECT * FROM bookings WHERE retry_at IS NOT NULL ORDER BY retry_at, id")
            return [row["id"] for row in rows if row["status"] in OPEN and self._is_due(row, number(now))][:limit]

    def _is_due(self, row: sqlite3.Row, now: int) -> bool:
        parked = row["parked_at_version"]
        return row["retry_at"] <= now or (parked is not None and self._db.version(row) > parked)


class SqliteMailer:
    """:class:`assign_core.ports.Mailer` on the same file."""

    def __init__(self, db: Database, transport: Transport) -> None:
        self._db = db
        self._transport = transport

    def deliver(self, email: Email, *, timeout: float) -> EmailState:
        try:
            return self._hand_over(email, timeout)
        except MailSystemAway:
            return EmailState.CLAIMED

    def _hand_over(self, email: Email, timeout: float) -> EmailState:
        state = self.begin(email)
        if state is not None:
            return state
        try:
            self._transport.send(email, idempotency_key=email.key, timeout=timeout)
        except BaseException as error:
            end = end_of(error)
            settled = self._settle(email, end.state)
            if end.raises:
                raise
            return settled
        return self._settle(email, EmailState.SENT)

    def begin(self, email: Email) -> EmailState | None:
        """``None``: it is ours to send."""
        with self._db.transaction():
            found = self._db.run("SELECT * FROM emails WHERE key = ?", email.key)
            if not found:
                raise LookupError(f"e-mail {email.key} is not queued")
            state, until = EmailState(found[0]["state"]), found[0]["sending_until"]
            booking = self._db.row(email.booking_id)
            still = booking is not None and still_true(email, status=booking["status"], revision=booking["revision"])
            step = next_step(
                state,
                None if until is None else moment(until),
                now=self._db.clock.now(),
                deduplicates=self._transport.deduplicates,
                called_for=still,
            )
            match step:
                case Step.LEAVE:
                    return state
                case Step.WITHDRAW:
                    self._db.run("DELETE FROM emails WHERE key = ?", email.key)
                    return EmailState.FAILED
                case Step.GIVE_UP:
                    self._mark(email, EmailState.UNKNOWN, None)
                    return EmailState.UNKNOWN
                case Step.SEND:
                    self._mark(email, EmailState.CLAIMED, number(self._db.clock.now() + SENDING))
                    return None

    def relay(self) -> dict[str, EmailState]:
        """Deliver what a crash has left behind."""
        done: dict[str, EmailState] = {}
        for row in self._db.run("SELECT * FROM emails WHERE state IN ('claimed', 'unknown') ORDER BY rowid"):
            if row["state"] == "unknown" and not self._transport.deduplicates:
                continue
            email = Email(booking_id=row["booking_id"], kind=EmailKind(row["kind"]), revision=row["revision"])
            try:
                done[email.key] = self._hand_over(email, 1.0)
            except MailSystemAway:
                done[email.key] = EmailState.CLAIMED
                break
            except Exception:  # noqa: BLE001 - it is settled as unknown, and the next one is not at fault
                done[email.key] = EmailState.UNKNOWN
        return done

    def _mark(self, email: Email, state: EmailState, until: int | None) -> None:
        self._db.run("UPDATE emails SET state = ?, sending_until = ? WHERE key = ?", state.value, until, email.key)

    def _settle(self, email: Email, state: EmailState) -> EmailState:
        with self._db.transaction():
            (found,) = self._db.run("SELECT state FROM emails WHERE key = ?", email.key)
            if found["state"] == EmailState.SENT:
                return EmailState.SENT
            self._mark(email, state, None)
            row = self._db.row(email.booking_id)
            last = None if row is None else self._db.last(row)
            guests = state is EmailState.SENT and email.kind is not EmailKind.STAFF_NOTICE
            if guests and isinstance(last, LastResult) and last.revision == email.revision and not last.email_sent:
                flagged = replace(last, email_sent=True, email_variant=EmailVariant.of(last.revision))
                self._db.keep(email.booking_id, flagged)
            return state
