"""The house of the adapter's contracts: its host, and a simple planner of that host's over the same tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlite_adapter import Database, SqliteMailer, SqliteStore, lease_of, moment, number

from assign_core.booking import OPEN, SEATED, EmailState
from assign_core.events import Event
from assign_core.ports import Email, Hold, NoHold, Plan, Quote, QuoteRequest
from assign_core.reasons import ReasonCode
from assign_floor import Floor, search, window_for
from assign_floor.window import Refusal
from assign_memory import MemoryTelemetry, VirtualRuntime
from assign_testing import DINNER, NOON, PostRoom, small_floor


class HostsPlanner:
    """:class:`assign_core.ports.Planner` of a host who keeps its holds in the adapter's tables."""

    def __init__(self, db: Database, floor: Floor) -> None:
        self._db = db
        self._floor = floor

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        with self._db.transaction(timeout):
            self._db.sweep()
            row = self._db.row(request.booking_id)
            if row is None:
                return NoHold(reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            self._free(request.booking_id, request.attempt_id)
            knobs = request.strategy
            found = search(
                self._floor,
                party=row["party"],
                busy=self._busy(row),
                require_adjacency=True if knobs.require_adjacency is None else knobs.require_adjacency,
                max_tables=3 if knobs.max_tables is None else knobs.max_tables,
                excluded=[plan.tables for plan in request.excluded],
            )
            if not found.candidates:
                held = self._db.run("SELECT 1 FROM holds WHERE booking_id <> ?", row["id"])
                code = ReasonCode.HOLD_CONFLICT if held else None
                return NoHold(
                    reason=found.reason or "No capacity", reason_code=code, capacity_version=self._db.version(row)
                )
            lease = lease_of(row)
            if lease is None or lease.attempt_id != request.attempt_id or row["status"] not in OPEN:
                return NoHold(reason="BOOKING_CHANGED", reason_code=ReasonCode.BOOKING_CHANGED)
            return self._hold(request, row, found.candidates[0].tables)

    def _busy(self, row: sqlite3.Row) -> set[str]:
        rows = self._db.run(
            "SELECT booking_id, table_id, starts, ends FROM assignments"
            " UNION ALL SELECT booking_id, value, starts, ends FROM holds, json_each(holds.tables)"
        )
        return {
            each["table_id"]
            for each in rows
            if each["booking_id"] != row["id"] and each["starts"] < row["ends"] and each["ends"] > row["start_at"]
        }

    def _hold(self, request: QuoteRequest, row: sqlite3.Row, tables: tuple[str, ...]) -> Hold:
        self._free(request.booking_id)
        hold_id = self._db.clock.new_id()
        expires = self._db.clock.now() + timedelta(seconds=request.hold_seconds)
        window = (row["start_at"], row["ends"], number(expires))
        values = (hold_id, request.booking_id, request.attempt_id, json.dumps(tables), *window)
        self._db.run("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?)", *values)
        return Hold(
            hold_id=hold_id,
            plan=Plan(tables),
            expires_at=expires,
            strategy=request.strategy,
            capacity_version=self._db.version(row),
        )

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        with self._db.transaction(timeout):
            self._free(booking_id, attempt_id)

    def _free(self, booking_id: str, attempt_id: str | None = None) -> None:
        """The booking's holds, or one attempt's."""
        for hold in self._db.run("SELECT * FROM holds WHERE booking_id = ?", booking_id):
            if attempt_id in {None, hold["attempt_id"]}:
                self._db.run("DELETE FROM holds WHERE id = ?", hold["id"])
                self._db.run("INSERT INTO freed (starts, ends) VALUES (?, ?)", hold["starts"], hold["ends"])


class SqliteHouse:
    """:class:`assign_testing.House` on SQLite."""

    def __init__(self, floor: Floor, *, deduplicates: bool) -> None:
        self._runtime = VirtualRuntime(NOON)
        self._floor = floor
        self._db = Database(":memory:", self._runtime)
        self.post = PostRoom(deduplicates=deduplicates)
        self.store = SqliteStore(self._db)
        self.planner = HostsPlanner(self._db, floor)
        self.mailer = SqliteMailer(self._db, self.post)
        self.telemetry = MemoryTelemetry()

    @property
    def now(self) -> datetime:
        return self._runtime.now()

    def advance(self, seconds: float) -> None:
        self._runtime.advance(seconds)

    def _ends(self, party: int, start_at: datetime) -> int:
        window = window_for(self._floor, party, start_at)
        if isinstance(window, Refusal):
            raise ValueError(window.reason)
        return number(window.end)

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = DINNER) -> None:
        values = (booking_id, party, number(start_at), self._ends(party, start_at))
        self._db.run("INSERT INTO bookings (id, party, start_at, ends) VALUES (?, ?, ?, ?)", *values)

    def _row(self, booking_id: str) -> sqlite3.Row:
        row = self._db.row(booking_id)
        if row is None:
            raise LookupError(booking_id)
        return row

    def _unassign(self, booking_id: str) -> None:
        self._db.run(
            "INSERT INTO freed (starts, ends) SELECT starts, ends FROM assignments WHERE booking_id = ?", booking_id
        )
        self._db.run("DELETE FROM assignments WHERE booking_id = ?", booking_id)
        self._db.run("UPDATE bookings SET confirmed_by = NULL WHERE id = ?", booking_id)

    def set_status(self, booking_id: str, status: str) -> None:
        self._db.run("UPDATE bookings SET status = ? WHERE id = ?", status, booking_id)
        if status not in SEATED:
            self._unassign(booking_id)
        if status not in OPEN:
            self._db.run("UPDATE bookings SET retry_at = NULL, parked_at_version = NULL WHERE id = ?", booking_id)

    def modify(self, booking_id: str = "b", *, party: int | None = None) -> None:
        row = self._row(booking_id)
        party = row["party"] if party is None else party
        self._unassign(booking_id)
        self._db.run(
            "UPDATE bookings SET party = ?, ends = ?, revision = revision + 1, status = 'pending' WHERE id = ?",
            party,
            self._ends(party, moment(row["start_at"])),
            booking_id,
        )

    def seat(self, booking_id: str, tables: Collection[str]) -> None:
        row = self._row(booking_id)
        window = (row["start_at"], row["ends"])
        for table in tables:
            taken = "SELECT 1 FROM assignments WHERE table_id = ? AND booking_id <> ? AND starts < ? AND ends > ?"
            if self._db.run(taken, table, booking_id, window[1], window[0]):
                raise ValueError(f"{table} is taken")
        self._unassign(booking_id)
        for table in tables:
            self._db.run("INSERT INTO assignments VALUES (?, ?, ?, ?)", booking_id, table, *window)
        self._db.run(
            "UPDATE bookings SET status = 'confirmed', retry_at = NULL, parked_at_version = NULL WHERE id = ?",
            booking_id,
        )

    def status(self, booking_id: str = "b") -> str:
        return str(self._row(booking_id)["status"])

    def tables(self, booking_id: str = "b") -> frozenset[str]:
        rows = self._db.run("SELECT table_id FROM assignments WHERE booking_id = ?", booking_id)
        return frozenset(row["table_id"] for row in rows)

    def blob(self, booking_id: str = "b") -> object:
        text = self._row(booking_id)["blob"]
        found: object = None if text is None else json.loads(text)
        return found

    def plant_blob(self, blob: object, booking_id: str = "b") -> None:
        text = None if blob is None else json.dumps(blob)
        self._db.run("UPDATE bookings SET blob = ? WHERE id = ?", text, booking_id)

    def holds(self) -> Collection[str]:
        rows = self._db.run("SELECT attempt_id FROM holds WHERE expires_at > ?", number(self.now))
        return [row["attempt_id"] for row in rows]

    def ledger(self) -> Mapping[str, EmailState]:
        return {row["key"]: EmailState(row["state"]) for row in self._db.run("SELECT * FROM emails")}

    def events(self) -> Sequence[Event]:
        return self.telemetry.events

    def relay(self) -> Mapping[str, EmailState]:
        return self.mailer.relay()

    def begin_sending(self, email: Email) -> EmailState | None:
        return self.mailer.begin(email)

    def refuse(self, objection: str | None) -> None:
        raise NotImplementedError(f"the planner knows every rule: {objection}")

    def outage(self, begins: bool) -> None:
        raise NotImplementedError(f"memory is never away: {begins}")


def sqlite_house(floor: Floor | None = None, *, deduplicates: bool = False) -> SqliteHouse:
    return SqliteHouse(small_floor() if floor is None else floor, deduplicates=deduplicates)
