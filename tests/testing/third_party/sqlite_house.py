"""The house of the adapter's contracts, and its host's hands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlite_adapter import Database, SqliteMailer, SqliteStore, moment, number
from sqlite_planner import SqlitePlanner
from sqlite_telemetry import SqliteTelemetry

from assign_core.booking import CLOSED, OPEN, EmailState
from assign_core.events import Event
from assign_core.ports import Email
from assign_floor import Floor, window_for
from assign_floor.window import Refusal
from assign_memory import VirtualRuntime
from assign_testing import DINNER, NOON, PostRoom, small_floor


class SqliteHouse:
    """:class:`assign_testing.House` on SQLite."""

    def __init__(self, floor: Floor, *, deduplicates: bool) -> None:
        self._runtime = VirtualRuntime(NOON)
        self._floor = floor
        self._db = Database(":memory:", self._runtime)
        self.post = PostRoom(deduplicates=deduplicates)
        self.store = SqliteStore(self._db)
        self.planner = SqlitePlanner(self._db, floor)
        self.mailer = SqliteMailer(self._db, self.post)
        self.telemetry = SqliteTelemetry(self._db)

    @property
    def now(self) -> datetime:
        return self._runtime.now()

    def advance(self, seconds: float) -> None:
        self._runtime.advance(seconds)

    def _ends(self, party: int, start_at: datetime) -> int:
        window = window_for(self._floor, party, start_at)
        # A guest may ask for what no service allows; nothing that is freed can be of use to that booking.
        return number(start_at if isinstance(window, Refusal) else window.end)

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
        was_open = self.status(booking_id) in OPEN
        self._db.run("UPDATE bookings SET status = ? WHERE id = ?", status, booking_id)
        if status in OPEN | CLOSED:
            self._unassign(booking_id)
        self._db.say_when_due(booking_id, was_open=was_open)

    def modify(self, booking_id: str = "b", *, party: int | None = None) -> None:
        row, was_open = self._row(booking_id), self.status(booking_id) in OPEN
        party = row["party"] if party is None else party
        self._unassign(booking_id)
        self._db.run(
            "UPDATE bookings SET party = ?, ends = ?, revision = revision + 1, status = 'pending' WHERE id = ?",
            party,
            self._ends(party, moment(row["start_at"])),
            booking_id,
        )
        self._db.say_when_due(booking_id, was_open=was_open)

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
        return self.telemetry.events()

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
