"""The restaurant in which a workload happens: the in-memory ports, how long each effect takes, and what is counted.

Whether a search succeeds is not drawn. It is asked of the real search when it begins, for its latency, and again when
it ends, for its answer; so tables can be lost while a search is running. How long it takes is drawn by its outcome, by
the booking and by the how-manyeth search for it, so that the same call takes as long under every policy.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from datetime import timedelta

from attrs import define, field

from assign_bench.remembering import ADJACENT, MAX_TABLES, RememberingDatabase
from assign_bench.workload import ByHand, Elsewhere, FloorChange, Guest, WalkIn, Workload
from assign_core.booking import OPEN, SEATED
from assign_core.events import Event
from assign_core.last_result import Source
from assign_core.performing import PortCalls
from assign_core.ports import Email, EmailKind, Hold, Plan, Quote, QuoteRequest
from assign_floor import Floor, Refusal, Window, search
from assign_memory import (
    CollectingTransport,
    FloorPlanner,
    HoldRow,
    MemoryMailer,
    MemoryStore,
    Outbox,
    Row,
    VirtualClock,
)

Heard = Callable[[str, Quote | None], object]


@define
class Tally:
    """What is counted."""

    calls: Counter[Source] = field(factory=Counter)
    found: Counter[Source] = field(factory=Counter)
    seconds: dict[Source, float] = field(factory=lambda: {Source.INLINE: 0.0, Source.JOB: 0.0})
    confirmed: Counter[Source] = field(factory=Counter)
    """Confirms, of bookings that may have been cancelled or changed since."""
    by_hand: int = 0
    looks: int = 0
    job_calls_at: list[float] = field(factory=list)
    job_calls_for: Counter[str] = field(factory=Counter)
    """By booking."""
    calls_in: Counter[str] = field(factory=Counter)
    """By attempt: it asks for another plan once, if the confirm refuses the first."""
    suppressed: int = 0
    guests_turned_away: int = 0
    guests_walked_in: int = 0


@define(eq=False)
class Restaurant:
    """One run's world."""

    workload: Workload
    clock: VirtualClock
    versions: bool = True
    """The host keeps capacity versions."""
    inline_tells_staff: bool = True
    """The inline attempt may write to the staff; where it does not, the job does."""
    tally: Tally = field(factory=Tally, init=False)
    database: RememberingDatabase = field(init=False)
    planner: FloorPlanner = field(init=False)
    transport: CollectingTransport = field(factory=CollectingTransport, init=False)
    ports: PortCalls = field(init=False)
    events: list[Event] = field(factory=list, init=False)
    heard: list[Heard] = field(factory=list, init=False)
    """Who is told of the planner's answers (``None``: it failed)."""
    changes: int = field(default=0, init=False)
    """Counts whatever may change a search's answer."""
    asked_at: dict[str, float] = field(factory=dict, init=False)
    """When the request for the booking's present revision arrived."""
    seated_at: dict[str, float] = field(factory=dict, init=False)
    seated_by: dict[str, str] = field(factory=dict, init=False)
    searches: Counter[str] = field(factory=Counter, init=False)
    _promised: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._promised = {each.booking_id: each.promised for each in self.workload.guests if each.promised is not None}
        self.database = RememberingDatabase(self.workload.floor, self.clock, versions=self.versions)
        self.planner = FloorPlanner(self.database, require_adjacency=ADJACENT, max_tables=MAX_TABLES)
        self.ports = PortCalls(
            MemoryStore(self.database, objection=self._objection),
            self.planner,
            MemoryMailer(Outbox(self.database), self.transport),
        )

    # What guests and staff do.

    def books(self, guest: Guest) -> None:
        self.database.add_booking(guest.booking_id, party=guest.party, start_at=guest.start_at)
        self.asked_at[guest.booking_id] = self.clock.monotonic()

    def cancels(self, guest: Guest) -> None:
        self.changes += 1
        self.database.cancel(guest.booking_id)

    def modifies(self, guest: Guest) -> bool:
        """Whether there still is a booking to change."""
        row, change = self.database.row(guest.booking_id), guest.change
        if change is None or row.status not in OPEN | SEATED:
            return False
        self.changes += 1
        self.database.modify(row.id, party=change.party, start_at=change.start_at)
        self.asked_at[row.id] = self.clock.monotonic()
        self.seated_at.pop(row.id, None)
        self.seated_by.pop(row.id, None)
        return True

    def stays_away(self, guest: Guest) -> None:
        if self.database.row(guest.booking_id).status in SEATED:
            self.changes += 1
            self.database.set_status(guest.booking_id, "no_show")

    def walks_in(self, walk_in: WalkIn) -> None:
        self.database.add_booking(walk_in.id, party=walk_in.party, start_at=self.clock.now())
        if self._seat_by_staff(walk_in.id, max_tables=2, adjacent=True):
            self.tally.guests_walked_in += walk_in.party
        else:
            self.database.set_status(walk_in.id, "cancelled")
            self.tally.guests_turned_away += walk_in.party

    def seats_by_hand(self, by_hand: ByHand) -> None:
        row = self.database.rows.get(by_hand.booking_id)
        if row is not None and row.status in OPEN and self._seat_by_staff(row.id, max_tables=4, adjacent=False):
            self.tally.by_hand += 1
            self.seated(row.id, "staff")

    def _seat_by_staff(self, booking_id: str, *, max_tables: int, adjacent: bool) -> bool:
        plan = self._found_by_staff(booking_id, max_tables=max_tables, adjacent=adjacent)
        if plan is not None:
            self.changes += 1
            self.database.seat_by_hand(booking_id, plan.tables)
        return plan is not None

    def _found_by_staff(self, booking_id: str, *, max_tables: int, adjacent: bool) -> Plan | None:
        """The best that nobody has or holds. The staff knows what the confirm would refuse."""
        row = self.database.row(booking_id)
        window = self.database.window(row)
        if isinstance(window, Refusal):
            return None
        busy = self.database.taken(window, but_for=booking_id)
        found = search(
            self.database.floor, party=row.party, busy=busy, require_adjacency=adjacent, max_tables=max_tables
        )
        plans = [Plan(each.tables) for each in found.candidates]
        return next((plan for plan in plans if self.objects(booking_id, plan) is None), None)

    # What another channel does.

    def asks_elsewhere(self, party: Elsewhere) -> bool:
        """Whether there are tables, which it now holds."""
        row = self.database.add_booking(party.id, party=party.party, start_at=party.start_at)
        plan, window = self._found_by_staff(party.id, max_tables=2, adjacent=True), self.database.window(row)
        if plan is None or isinstance(window, Refusal):
            self._leaves(party)
            return False
        self.changes += 1
        self.database.holds[party.id] = HoldRow(
            id=party.id,
            booking_id=party.id,
            attempt_id=party.id,
            tables=frozenset(plan.tables),
            window=window,
            expires_at=self.clock.now() + timedelta(seconds=party.held_for),
        )
        return True

    def decides_elsewhere(self, party: Elsewhere) -> None:
        """A hold becomes a seating, or is let go."""
        self.changes += 1
        if party.stays:
            hold = self.database.holds.pop(party.id)
            self.database.seat_by_hand(party.id, hold.tables)
            self.tally.guests_walked_in += party.party
        else:
            self.planner.release(party.id, party.id, timeout=1.0)
            self._leaves(party)

    def _leaves(self, party: Elsewhere) -> None:
        self.database.set_status(party.id, "cancelled")
        self.tally.guests_turned_away += party.party if party.stays else 0

    def changes_floor(self, change: FloorChange) -> None:
        floor, out = self.database.floor, set(change.removes)
        tables = [table for table in floor.tables if table.id not in out] + list(change.adds)
        ids = {table.id for table in tables}
        changed = Floor(
            tables=tables,
            adjacent=[pair for pair in (*floor.adjacent, *change.beside) if ids.issuperset(pair)],
            services=floor.services,
            durations=floor.durations,
            turnover=floor.turnover,
            tz=floor.tz,
        )
        self.changes += 1
        now = self.clock.now()
        self.database.change_floor(changed, Window(start=now, end=self.workload.begins + timedelta(days=1)))

    def seated(self, booking_id: str, by: str) -> None:
        """A booking has got its table now."""
        self.seated_at[booking_id] = self.clock.monotonic()
        self.seated_by[booking_id] = by

    # What can be asked.

    def would_find(self, booking_id: str, *, refused: Collection[Plan] = ()) -> bool:
        """Whether a search now would succeed. Takes no hold and changes nothing."""
        return any(plan not in refused for plan in self.database.plans(self.database.row(booking_id)))

    def would_seat(self, booking_id: str, *, plans: int) -> bool:
        """Whether one of the first so many plans of a search now would be confirmed."""
        found = self.database.plans(self.database.row(booking_id))[:plans]
        return any(self.objects(booking_id, plan) is None for plan in found)

    def objects(self, booking_id: str, plan: Plan) -> str | None:
        """Why the confirm refuses a plan, or ``None``."""
        promised, fixed = self._promised.get(booking_id), self.workload.fixed
        if promised is not None and any(
            table.zone != promised for table in self.database.floor.tables if table.id in plan.tables
        ):
            return f"booking {booking_id} is locked to zone {promised}"
        if len(plan.tables) > 1 and not set(plan.tables).isdisjoint(fixed):
            return f"tables {', '.join(plan.tables)} cannot be joined: one is not movable"
        return None

    def _objection(self, row: Row, hold: Hold) -> str | None:
        return self.objects(row.id, hold.plan)

    def expire(self) -> None:
        """Holds that have expired are news."""
        now = self.clock.now()
        if any(hold.expires_at <= now for hold in self.database.holds.values()):
            self.database.sweep()
            self.changes += 1

    def draw(self, request: QuoteRequest, found: bool) -> float:
        """How long the next search for the booking takes."""
        latencies = self.workload.latencies
        key = f"{self.workload.seed}:{request.booking_id}:{self.searches[request.booking_id]}"
        dice = random.Random(key)  # noqa: S311 - repeatable, not secret
        if found:
            return latencies.found.draw(dice)
        window = self.database.window(self.database.row(request.booking_id))
        return (latencies.refused if isinstance(window, Refusal) else latencies.nothing).draw(dice)

    def mail_again(self, email: Email) -> None:
        """Hand an e-mail over past the ledger, as a job does that knows of none."""
        self.transport.send(email, idempotency_key="", timeout=1.0)

    def emails(self, *, staff: bool) -> list[Email]:
        """What the mail system accepted."""
        return [email for email in self.transport.accepted if (email.kind is EmailKind.STAFF_NOTICE) is staff]

    def hear(self, booking_id: str, quote: Quote | None) -> None:
        for told in self.heard:
            told(booking_id, quote)
