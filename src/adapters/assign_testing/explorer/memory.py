"""The backend in memory: a world costs microseconds, so a schedule can be told in one piece and thrown away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from assign_core.booking import CLOSED, EmailState
from assign_core.errors import InvalidValue
from assign_core.last_result import LastResult, Unreadable
from assign_core.outbox import AsyncTransport
from assign_core.policy import PLANNERS_OWN
from assign_core.ports import Hold, Plan, QuoteRequest
from assign_floor import Refusal, Window, window_for
from assign_memory import AsyncMemoryMailer, FloorPlanner, MemoryDatabase, MemoryStore, MemoryTelemetry, Outbox, Row
from assign_testing.explorer.world import ScheduleClock, Seen, World
from assign_testing.house import small_floor
from assign_wire import dumps, loads

_FLOOR: Final = small_floor()
_PLANS: Final = (("small",), ("large",), ("small", "large"))
_NONE: Final[frozenset[str]] = frozenset()


@lru_cache(maxsize=100_000)
def _wired(result: LastResult) -> tuple[object, LastResult | Unreadable | None]:
    """A result as a column has it, and as it is read from there. Schedules leave the same few over and over."""
    blob = dumps(result)
    return blob, loads(blob)


@lru_cache(maxsize=1_000)
def _window(party: int, start_at: datetime) -> Window | Refusal:
    return window_for(_FLOOR, party, start_at)


class CachingDatabase(MemoryDatabase):
    """Reads and writes what it has read and written before, as nothing of it is ever changed in place."""

    def __init__(self, clock: ScheduleClock) -> None:
        super().__init__(_FLOOR, clock)
        self._read: dict[str, tuple[object, LastResult | Unreadable | None]] = {}

    def last(self, row: Row) -> LastResult | Unreadable | None:
        blob, last = self._read.get(row.id, (None, None))
        return last if blob is row.blob else super().last(row)

    def keep(self, row: Row, result: LastResult) -> None:
        self._read[row.id] = _wired(result)
        row.blob = self._read[row.id][0]

    def window(self, row: Row) -> Window | Refusal:
        return _window(row.party, row.start_at)


class MemoryWorld:
    """:class:`~assign_testing.explorer.world.World` in memory."""

    def __init__(self) -> None:
        self.clock = ScheduleClock()
        self.db = CachingDatabase(self.clock)
        self.store = MemoryStore(self.db, objection=self._object)
        self.planner = FloorPlanner(self.db)
        self.telemetry = MemoryTelemetry()
        self._refused: frozenset[str] = _NONE
        self._changes = 0

    def post(self, transport: AsyncTransport) -> AsyncMemoryMailer:
        return AsyncMemoryMailer(Outbox(self.db), transport)

    def book(self, booking_id: str, *, party: int, start_at: datetime) -> None:
        self.db.add_booking(booking_id, party=party, start_at=start_at)

    def cancel(self, booking_id: str) -> None:
        self._freeing(booking_id)
        self.db.cancel(booking_id)

    def modify(self, booking_id: str, *, party: int) -> None:
        if self.db.row(booking_id).status not in CLOSED:
            self._freeing(booking_id)
            self.db.modify(booking_id, party=party)

    def seat_by_hand(self, booking_id: str, tables: Collection[str]) -> bool:
        if self.db.row(booking_id).status in CLOSED:
            return False
        had = booking_id in self.db.assignments
        try:
            self.db.seat_by_hand(booking_id, tables)
        except InvalidValue:
            return False
        self._changes += had
        return True

    def _freeing(self, booking_id: str) -> None:
        self._changes += booking_id in self.db.assignments

    def plant(self, booking_id: str, last: LastResult) -> None:
        self.db.keep(self.db.row(booking_id), last)

    def refuse(self, *tables: str) -> None:
        self._refused = frozenset(tables)

    def look(self, booking_id: str) -> Seen:
        row = self.db.row(booking_id)
        assignment = self.db.assignments.get(booking_id)
        return Seen(
            status=row.status,
            revision=row.revision,
            party=row.party,
            start_at=row.start_at,
            tables=_NONE if assignment is None else assignment.tables,
            last=self.db.last(row),
            leased_to=None if row.lease is None else row.lease.attempt_id,
            seated_by=row.confirmed_by,
            due_at=row.retry_at,
        )

    def bookings(self) -> Sequence[str]:
        return list(self.db.rows)

    def holds(self) -> Mapping[str, str]:
        now = self.clock.now()
        return {hold.id: hold.attempt_id for hold in self.db.holds.values() if hold.expires_at > now}

    def ledger(self) -> Mapping[str, EmailState]:
        return self.db.email_states()

    def double_booked(self) -> Sequence[tuple[str, str]]:
        return self.db.double_booked()

    def could_seat(self, booking_id: str) -> bool:
        return self.planner.would_find(
            QuoteRequest(
                booking_id=booking_id,
                revision=self.db.row(booking_id).revision,
                attempt_id="nobody",
                strategy=PLANNERS_OWN,
                hold_seconds=1.0,
                excluded=tuple(Plan(tables) for tables in _PLANS if not self._refused.isdisjoint(tables)),
            )
        )

    def changes(self) -> int:
        return self._changes

    def _object(self, row: Row, hold: Hold) -> str | None:
        del row
        if self._refused.isdisjoint(hold.plan.tables):
            return None
        return "Merged assignments require movable tables"


class MemoryBackend:
    """:class:`~assign_testing.explorer.world.Backend` in memory."""

    def reset(self) -> World:
        return MemoryWorld()
