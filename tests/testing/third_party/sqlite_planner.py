"""A planner over the adapter's tables: the floor and its search are a library's, the holds are the adapter's own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlite_adapter import Database, lease_of, moment, number

from assign_core.booking import OPEN
from assign_core.ports import Hold, NoHold, Plan, Quote, QuoteRequest
from assign_core.reasons import ReasonCode
from assign_floor import Floor, Search, fits_again, search, window_for
from assign_floor.window import Refusal


class SqlitePlanner:
    """:class:`assign_core.ports.Planner` on SQLite."""

    def __init__(self, db: Database, floor: Floor) -> None:
        self._db = db
        self._floor = floor

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        with self._db.transaction(timeout):
            self._db.sweep()
            row = self._db.row(request.booking_id)
            if row is None:
                return NoHold(reason="BOOKING_NOT_FOUND", reason_code=ReasonCode.BOOKING_NOT_FOUND)
            # What this attempt held before was refused; given back now, it is no news to a search that fails.
            self._free(request.booking_id, request.attempt_id)
            window = window_for(self._floor, row["party"], moment(row["start_at"]))
            if isinstance(window, Refusal):
                return NoHold(reason=window.reason)
            taken, held = self._taken(row), self._held(row)
            found = self._search(request, row, taken | held.keys())
            if not found.candidates:
                return self._nothing(request, row, found, taken, held)
            lease = lease_of(row)
            ours = lease is not None and lease.attempt_id == request.attempt_id
            if lease is None or not ours or lease.expires_at <= self._db.clock.now() or row["status"] not in OPEN:
                return NoHold(reason="BOOKING_CHANGED", reason_code=ReasonCode.BOOKING_CHANGED)
            return self._hold(request, row, found)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        with self._db.transaction(timeout):
            self._free(booking_id, attempt_id)

    def _taken(self, row: sqlite3.Row) -> set[str]:
        rows = self._db.run(
            "SELECT table_id FROM assignments WHERE booking_id <> ? AND starts < ? AND ends > ?",
            *(row["id"], row["ends"], row["start_at"]),
        )
        return {each["table_id"] for each in rows}

    def _held(self, row: sqlite3.Row) -> dict[str, datetime]:
        """The tables that others hold, and until when."""
        rows = self._db.run(
            "SELECT value, max(expires_at) AS until FROM holds, json_each(holds.tables)"
            " WHERE booking_id <> ? AND starts < ? AND ends > ? GROUP BY value",
            *(row["id"], row["ends"], row["start_at"]),
        )
        return {each["value"]: moment(each["until"]) for each in rows}

    def _search(self, request: QuoteRequest, row: sqlite3.Row, busy: Iterable[str]) -> Search:
        knobs = request.strategy
        return search(
            self._floor,
            party=row["party"],
            busy=set(busy),
            require_adjacency=True if knobs.require_adjacency is None else knobs.require_adjacency,
            max_tables=3 if knobs.max_tables is None else knobs.max_tables,
            excluded=[plan.tables for plan in request.excluded],
        )

    def _nothing(
        self, request: QuoteRequest, row: sqlite3.Row, found: Search, taken: set[str], held: dict[str, datetime]
    ) -> NoHold:
        version = self._db.version(row)
        without = self._search(request, row, taken)
        if not without.candidates:
            return NoHold(reason=found.reason or "No capacity", capacity_version=version)
        return NoHold(
            reason="Held by others",
            reason_code=ReasonCode.HOLD_CONFLICT,
            retry_after=fits_again(held, lambda still: bool(self._search(request, row, taken.union(still)).candidates)),
            capacity_version=version,
            alternates=len(without.candidates),
        )

    def _hold(self, request: QuoteRequest, row: sqlite3.Row, found: Search) -> Hold:
        self._free(request.booking_id)
        tables = found.candidates[0].tables
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
            alternates=len(found.candidates) - 1,
            capacity_version=self._db.version(row),
        )

    def _free(self, booking_id: str, attempt_id: str | None = None) -> None:
        """The booking's holds, or one attempt's."""
        for hold in self._db.run("SELECT * FROM holds WHERE booking_id = ?", booking_id):
            if attempt_id in {None, hold["attempt_id"]}:
                self._db.run("DELETE FROM holds WHERE id = ?", hold["id"])
                self._db.run("INSERT INTO freed (starts, ends) VALUES (?, ?)", hold["starts"], hold["ends"])
