"""The SQLite adapter under the explorer: a world of its own for each schedule. ``python explored.py`` explores it."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlite_adapter import Database, SqliteMailer, SqliteStore, lease_of, moment, number
from sqlite_planner import SqlitePlanner

from assign_core.booking import CLOSED, OPEN, EmailState
from assign_core.last_result import LastResult
from assign_core.outbox import AsyncTransport
from assign_floor import search, window_for
from assign_floor.window import Refusal
from assign_memory import MemoryTelemetry
from assign_testing import small_floor
from assign_testing.explorer import Awaited, PromiseBroken, ScheduleClock, Seen, World, explore, scenario

FLOOR = small_floor()


class SqliteWorld:
    """:class:`assign_testing.explorer.World` on SQLite."""

    def __init__(self) -> None:
        self.clock = ScheduleClock()
        self._db = Database(":memory:", self.clock)
        self.store = SqliteStore(self._db)
        self.planner = SqlitePlanner(self._db, FLOOR)
        self.telemetry = MemoryTelemetry()
        self._changes = 0

    def post(self, transport: AsyncTransport) -> Awaited:
        return Awaited(transport, lambda blocking: SqliteMailer(self._db, blocking))

    # What the host does.

    def book(self, booking_id: str, *, party: int, start_at: datetime) -> None:
        self._db.run(
            "INSERT INTO bookings (id, party, start_at, ends) VALUES (?, ?, ?, ?)",
            booking_id,
            party,
            number(start_at),
            _ends(party, start_at),
        )

    def cancel(self, booking_id: str) -> None:
        self._unassign(booking_id)
        self._db.run(
            "UPDATE bookings SET status = 'cancelled', retry_at = NULL, parked_at_version = NULL WHERE id = ?",
            booking_id,
        )

    def modify(self, booking_id: str, *, party: int) -> None:
        seen = self.look(booking_id)
        if seen.status not in CLOSED:
            self._unassign(booking_id)
            update = "UPDATE bookings SET party = ?, ends = ?, revision = revision + 1, status = 'pending' WHERE id = ?"
            self._db.run(update, party, _ends(party, seen.start_at), booking_id)
            self._db.say_when_due(booking_id, was_open=seen.status in OPEN)

    def seat_by_hand(self, booking_id: str, tables: Collection[str]) -> bool:
        seen = self.look(booking_id)
        window = number(seen.start_at), _ends(seen.party, seen.start_at)
        clash = "SELECT 1 FROM assignments WHERE table_id = ? AND booking_id <> ? AND starts < ? AND ends > ?"
        if seen.status in CLOSED or any(
            self._db.run(clash, table, booking_id, window[1], window[0]) for table in tables
        ):
            return False
        self._unassign(booking_id)
        for table in tables:
            self._db.run("INSERT INTO assignments VALUES (?, ?, ?, ?)", booking_id, table, *window)
        self._db.run(
            "UPDATE bookings SET status = 'confirmed', retry_at = NULL, parked_at_version = NULL WHERE id = ?",
            booking_id,
        )
        return True

    def _unassign(self, booking_id: str) -> None:
        self._changes += bool(self.look(booking_id).tables)
        freed = "INSERT INTO freed (starts, ends) SELECT starts, ends FROM assignments WHERE booking_id = ?"
        self._db.run(freed, booking_id)
        self._db.run("DELETE FROM assignments WHERE booking_id = ?", booking_id)
        self._db.run("UPDATE bookings SET confirmed_by = NULL WHERE id = ?", booking_id)

    def plant(self, booking_id: str, last: LastResult) -> None:
        self._db.keep(booking_id, last)

    def refuse(self, *tables: str) -> None:
        raise NotImplementedError(f"this host's planner knows every rule, also about {tables}")

    # What a promise is judged by.

    def look(self, booking_id: str) -> Seen:
        row = self._db.row(booking_id)
        if row is None:
            raise LookupError(booking_id)
        lease = lease_of(row)
        assigned = self._db.run("SELECT table_id FROM assignments WHERE booking_id = ?", booking_id)
        return Seen(
            status=row["status"],
            revision=row["revision"],
            party=row["party"],
            start_at=moment(row["start_at"]),
            tables=frozenset(each["table_id"] for each in assigned),
            last=self._db.last(row),
            leased_to=None if lease is None else lease.attempt_id,
            seated_by=row["confirmed_by"],
            due_at=None if row["retry_at"] is None else moment(row["retry_at"]),
        )

    def bookings(self) -> Sequence[str]:
        return [row["id"] for row in self._db.run("SELECT id FROM bookings ORDER BY rowid")]

    def holds(self) -> Mapping[str, str]:
        rows = self._db.run("SELECT id, attempt_id FROM holds WHERE expires_at > ?", number(self.clock.now()))
        return {row["id"]: row["attempt_id"] for row in rows}

    def ledger(self) -> Mapping[str, EmailState]:
        return {row["key"]: EmailState(row["state"]) for row in self._db.run("SELECT * FROM emails ORDER BY rowid")}

    def double_booked(self) -> Collection[tuple[str, str]]:
        rows = self._db.run(
            "SELECT a.booking_id AS one, b.booking_id AS other FROM assignments a JOIN assignments b"
            " ON a.table_id = b.table_id AND a.booking_id < b.booking_id AND a.starts < b.ends AND b.starts < a.ends"
        )
        return [(row["one"], row["other"]) for row in rows]

    def could_seat(self, booking_id: str) -> bool:
        seen = self.look(booking_id)
        taken = self._db.run(
            "SELECT table_id, starts, ends FROM assignments WHERE booking_id <> ?"
            " UNION ALL SELECT value, starts, ends FROM holds, json_each(holds.tables) WHERE booking_id <> ?",
            booking_id,
            booking_id,
        )
        starts, ends = number(seen.start_at), _ends(seen.party, seen.start_at)
        busy = {row["table_id"] for row in taken if row["starts"] < ends and row["ends"] > starts}
        return bool(search(FLOOR, party=seen.party, busy=busy).candidates)

    def changes(self) -> int:
        return self._changes


def _ends(party: int, start_at: datetime) -> int:
    window = window_for(FLOOR, party, start_at)
    if isinstance(window, Refusal):
        raise ValueError(window.reason)
    return number(window.end)


class SqliteBackend:
    """:class:`assign_testing.explorer.Backend` on SQLite."""

    def reset(self) -> World:
        return SqliteWorld()


WHOLE = (scenario("inline", "job", "relay"),)
DRAWN = (
    *WHOLE,
    scenario("inline", "modify", "job", "relay"),
    scenario("inline", "job", "relay", "by_hand"),
    scenario("inline", "job", "relay", "relay2", house="a free house whose mail system knows keys"),
    scenario("inline", "rival", "job", "relay", house="a house with one table left"),
    scenario("inline", "job", "free", "relay", house="a full house"),
    scenario("inline", "job", "cancel", "relay"),
    scenario("inline", "job", "seat_other", "relay"),
    scenario("inline", "job", "modify", "relay", on_deadline="hand_over"),
)


def main() -> int:
    try:
        report = explore(WHOLE, preemptions=0, faults=1, random=400, drawn_from=DRAWN, backend=SqliteBackend())
    except PromiseBroken as broken:
        print(broken.promise)  # noqa: T201 - what the test reads
        return 1
    print(json.dumps([report.schedules, report.by_chance.with_faults(2)]))  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
