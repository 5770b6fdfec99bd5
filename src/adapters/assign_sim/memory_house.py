"""The house in memory: what a simulation runs in unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import define, field

from assign_core.events import Event
from assign_core.ports import QuoteRequest
from assign_memory import FloorPlanner, MemoryDatabase, MemoryMailer, MemoryStore, MemoryTelemetry, Outbox
from assign_sim.house import House, Mailed, Standing


@define
class MemoryHouse(House):
    """A :class:`House` in this process."""

    database: MemoryDatabase = field(init=False)
    store: MemoryStore = field(init=False)
    planner: FloorPlanner = field(init=False)
    mailer: MemoryMailer = field(init=False)
    telemetry: MemoryTelemetry = field(factory=MemoryTelemetry, init=False)

    def __attrs_post_init__(self) -> None:
        self.database = MemoryDatabase(self.floor, self.clock)
        self.store = MemoryStore(self.database)
        self.planner = FloorPlanner(self.database)
        self.mailer = MemoryMailer(Outbox(self.database), self.transport)

    def book(self, booking_id: str, *, party: int, start_at: datetime) -> None:
        self.database.add_booking(booking_id, party=party, start_at=start_at)

    def cancel(self, booking_id: str) -> None:
        self.database.cancel(booking_id)

    def change(self, booking_id: str, party: int) -> None:
        self.database.modify(booking_id, party=party)

    def would_find(self, request: QuoteRequest) -> bool:
        return self.planner.would_find(request)

    def bookings(self) -> Mapping[str, Standing]:
        assigned = self.database.assignments
        return {
            row.id: Standing(
                status=row.status,
                party=row.party,
                revision=row.revision,
                tables=assigned[row.id].tables if row.id in assigned else frozenset(),
            )
            for row in self.database.rows.values()
        }

    def emails(self) -> Sequence[Mailed]:
        return [
            Mailed(email=row.email, state=row.state, handed_over=row.handed_over)
            for row in self.database.ledger.values()
        ]

    def events(self) -> Sequence[Event]:
        return self.telemetry.events

    def double_booked(self) -> Sequence[tuple[str, str]]:
        return self.database.double_booked()
