"""Houses in memory: the embedded default under the contracts, and the model that other adapters are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from assign_core.booking import EmailState
from assign_core.events import Event
from assign_core.ports import BookingStore, Email, Hold, Mailer, Planner, Telemetry
from assign_floor import Floor
from assign_memory import (
    AsyncFloorPlanner,
    AsyncMemoryMailer,
    AsyncMemoryStore,
    AsyncMemoryTelemetry,
    FloorPlanner,
    MemoryDatabase,
    MemoryMailer,
    MemoryStore,
    MemoryTelemetry,
    Outbox,
    Row,
    VirtualRuntime,
)
from assign_testing.house import DINNER, NOON, AsyncPostRoom, Capability, PostRoom, small_floor
from assign_testing.waiting import EventLoop, WaitedMailer, WaitedPlanner, WaitedStore, WaitedTelemetry

MEMORY_CAPABILITIES: Final = frozenset(Capability) - {Capability.OUTAGE}
"""Memory has everything that a contract asks for, but cannot be away."""


@dataclass(kw_only=True)
class MemoryHouse:
    """:class:`assign_testing.House` in memory."""

    db: MemoryDatabase
    runtime: VirtualRuntime
    post: PostRoom
    planner: Planner
    store: BookingStore = field(init=False)
    mailer: Mailer = field(init=False)
    telemetry: Telemetry = field(init=False)
    kept: MemoryTelemetry = field(default_factory=MemoryTelemetry)
    objection: str | None = None

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.db, objection=self.object_to)
        self.mailer = MemoryMailer(Outbox(self.db), self.post)
        self.telemetry = self.kept

    @property
    def now(self) -> datetime:
        return self.runtime.now()

    def advance(self, seconds: float) -> None:
        self.runtime.advance(seconds)

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = DINNER) -> None:
        self.db.add_booking(booking_id, party=party, start_at=start_at)

    def set_status(self, booking_id: str, status: str) -> None:
        self.db.set_status(booking_id, status)

    def modify(self, booking_id: str = "b", *, party: int | None = None) -> None:
        self.db.modify(booking_id, party=party)

    def seat(self, booking_id: str, tables: Collection[str]) -> None:
        self.db.seat_by_hand(booking_id, tables)

    def status(self, booking_id: str = "b") -> str:
        return self.db.row(booking_id).status

    def tables(self, booking_id: str = "b") -> frozenset[str]:
        found = self.db.assignments.get(booking_id)
        return frozenset() if found is None else found.tables

    def blob(self, booking_id: str = "b") -> object:
        return self.db.row(booking_id).blob

    def plant_blob(self, blob: object, booking_id: str = "b") -> None:
        self.db.row(booking_id).blob = blob

    def holds(self) -> Collection[str]:
        return [hold.attempt_id for hold in self.db.holds.values() if hold.expires_at > self.now]

    def ledger(self) -> Mapping[str, EmailState]:
        return self.db.email_states()

    def events(self) -> Sequence[Event]:
        return self.kept.events

    def refuse(self, objection: str | None) -> None:
        self.objection = objection

    def relay(self) -> Mapping[str, EmailState]:
        return MemoryMailer(Outbox(self.db), self.post).relay()

    def begin_sending(self, email: Email) -> EmailState | None:
        return Outbox(self.db).begin(email, deduplicates=self.post.deduplicates)

    def outage(self, begins: bool) -> None:
        raise NotImplementedError(f"memory is never away (outage {begins})")

    def object_to(self, row: Row, hold: Hold) -> str | None:
        """The house's seating rule, of which no planner knows."""
        del row, hold
        return self.objection


def memory_house(floor: Floor | None = None, *, deduplicates: bool = False) -> MemoryHouse:
    """A house with the blocking ports."""
    runtime = VirtualRuntime(NOON)
    db = MemoryDatabase(small_floor() if floor is None else floor, runtime)
    return MemoryHouse(db=db, runtime=runtime, post=PostRoom(deduplicates=deduplicates), planner=FloorPlanner(db))


def async_memory_house(loop: EventLoop, floor: Floor | None = None, *, deduplicates: bool = False) -> MemoryHouse:
    """A house with the asynchronous ports, on this event loop."""
    house = memory_house(floor, deduplicates=deduplicates)
    kept = AsyncMemoryTelemetry()
    house.kept = kept
    house.store = WaitedStore(AsyncMemoryStore(house.db, objection=house.object_to), loop)
    house.planner = WaitedPlanner(AsyncFloorPlanner(FloorPlanner(house.db)), loop)
    house.mailer = WaitedMailer(AsyncMemoryMailer(Outbox(house.db), AsyncPostRoom(house.post)), loop)
    house.telemetry = WaitedTelemetry(kept, loop)
    return house
