"""What the explorer needs of a backend: a world that can be made anew, acted upon beside the flows, and looked at.

The flows reach the world through the ports, as in production; the scheduler decides when. What a host does beside them
(a cancellation, a modification, staff with a pencil) is a method here. What a promise is judged by is read here too,
from the backend's own tables and not from what a flow believes.

Mail is awaited: :class:`PostOffice` hands over within coroutines, so that a schedule can stop a sender between its
claim, the hand-over, and the note that it was handed over. A mailer that blocks is made one by :mod:`.blocking`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from assign_core.booking import EmailState
from assign_core.last_result import LastResult, Unreadable
from assign_core.outbox import AsyncTransport
from assign_core.ports import BookingStore, Email, Planner, Telemetry
from assign_testing.house import NOON


class ScheduleClock:
    """:class:`assign_core.ports.Clock` that only faults move.

    Ids tell who asked and how often, so that two schedules which differ in nothing but the order of independent steps
    are the same to the last byte.
    """

    def __init__(self, start: datetime = NOON) -> None:
        self._start: Final = start
        self._now = start
        self._elapsed = 0.0
        self._issued: dict[str, int] = {}
        self.speaker = "house"
        """Who acts at the moment."""

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def new_id(self) -> str:
        count = self._issued[self.speaker] = self._issued.get(self.speaker, 0) + 1
        return f"{self.speaker}/{count}"

    def advance(self, seconds: float) -> None:
        """Move on; a step back is refused."""
        if seconds < 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} s; pass 0 or more")
        self._elapsed += seconds
        self._now = self._start + timedelta(seconds=self._elapsed)


SEATS: Final = {"small": 2, "large": 4}
"""The house's tables."""


class WrongClock:
    """:class:`assign_core.ports.Clock` of a process whose wall clock is ``ahead`` seconds ahead, or behind."""

    def __init__(self, clock: ScheduleClock, ahead: float) -> None:
        self._clock = clock
        self._ahead = timedelta(seconds=ahead)

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def new_id(self) -> str:
        return self._clock.new_id()


class Seen(NamedTuple):
    """A booking as its row has it.

    Attributes:
        start_at: when the party comes.
        tables: that belong to it; held ones do not.
        leased_to: the attempt that the row's lease names, expired or not.
        seated_by: the attempt whose confirm seated it; ``None``: staff did, or nobody.
        due_at: when a job is due.
    """

    status: str
    revision: int
    party: int
    start_at: datetime
    tables: frozenset[str]
    last: LastResult | Unreadable | None
    leased_to: str | None
    seated_by: str | None
    due_at: datetime | None


class PostOffice(Protocol):
    """The mailer over the schedule's own transport, and its relay."""

    async def deliver(self, email: Email, *, timeout: float) -> EmailState: ...
    async def relay(self) -> Any:
        """Hand over whatever waits in the outbox."""
        ...


class World(Protocol):
    """A house with two tables, ``small`` for two and ``large`` for four, which stand together; open all day."""

    @property
    def clock(self) -> ScheduleClock: ...
    @property
    def store(self) -> BookingStore: ...
    @property
    def planner(self) -> Planner: ...
    @property
    def telemetry(self) -> Telemetry: ...

    def post(self, transport: AsyncTransport) -> PostOffice: ...

    # What the host does.

    def book(self, booking_id: str, *, party: int, start_at: datetime) -> None: ...
    def cancel(self, booking_id: str) -> None: ...
    def modify(self, booking_id: str, *, party: int) -> None:
        """A new revision, pending, without tables. A booking that is closed stays as it is."""
        ...

    def seat_by_hand(self, booking_id: str, tables: Collection[str]) -> bool:
        """Staff seat a party; ``False`` if a table is taken, or the booking closed, and nothing was done."""
        ...

    def plant(self, booking_id: str, last: LastResult) -> None:
        """Put a result in the place of the stored one, as an earlier attempt would have left it."""
        ...

    def refuse(self, *tables: str) -> None:
        """From now on every confirm refuses plans with these tables, as a rule that the planner does not know would."""
        ...

    # What a promise is judged by.

    def look(self, booking_id: str) -> Seen: ...
    def bookings(self) -> Sequence[str]: ...
    def holds(self) -> Mapping[str, str]:
        """Holds that have not expired: hold id to the attempt that took it."""
        ...

    def ledger(self) -> Mapping[str, EmailState]:
        """Every e-mail that was queued, by key."""
        ...

    def double_booked(self) -> Collection[tuple[str, str]]: ...
    def could_seat(self, booking_id: str) -> bool:
        """Whether there are tables now, taken or held by nobody else, and refused by no rule. Takes nothing."""
        ...

    def changes(self) -> int:
        """How often the host's own doings have freed seats so far. A hold that ends frees seats too, and is none."""
        ...


class Backend(Protocol):
    """Makes worlds."""

    def reset(self) -> World:
        """A new, empty world. Nothing of the last one is used any more."""
        ...
