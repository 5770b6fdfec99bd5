"""A restaurant on a virtual clock: the four ports, how long everything takes, and what a host does beside the ports.

Planner latency is drawn by outcome from two log-normal distributions, fitted to a real booking system's recordings by
their median and 95th percentile: a search that succeeds takes 6.0 s and 12.5 s, one that does not 42 s and 218 s.
Whether a call succeeds is not drawn: the real search is asked when it begins (for its latency) and again when it ends
(for its answer), so a table can be lost while a search is running.

:class:`House` says what a simulation needs. Where its bookings are kept is the business of those who derive from it:
:class:`~assign_sim.memory_house.MemoryHouse` here, one on PostgreSQL above.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import define, field, frozen

from assign_core.booking import EmailState
from assign_core.effects import (
    Acquire,
    AwaitQuote,
    CloseAttempt,
    Confirm,
    Deliver,
    Effect,
    Emit,
    LookAtCapacity,
    ReleaseHold,
    RequestQuote,
)
from assign_core.events import Event
from assign_core.last_result import Source
from assign_core.ports import BookingStore, Email, Mailer, Planner, QuoteRequest, Telemetry
from assign_floor import Floor
from assign_memory import CollectingTransport, VirtualClock

PATIENCE: Final = 60.0
"""Real seconds that a port may take for one effect. The virtual time left is the simulation's to keep, not the port's:
no virtual time passes while a port works, however long that takes."""
_NORMAL_95: Final = 1.6448536269514722
"""The standard normal distribution's 95th percentile."""


@frozen
class LogNormal:
    """A latency by its median and 95th percentile, in seconds."""

    median: float
    p95: float

    def draw(self, dice: random.Random) -> float:
        sigma = math.log(self.p95 / self.median) / _NORMAL_95
        return dice.lognormvariate(math.log(self.median), sigma)


@frozen
class Latencies:
    """How long things take, in seconds."""

    found: LogNormal = LogNormal(6.0, 12.5)
    nothing: LogNormal = LogNormal(42.0, 218.0)
    store: float = 0.005
    transport: float = 0.3


@define
class Tally:
    """What is counted."""

    planner_calls: dict[Source, int] = field(factory=lambda: {Source.INLINE: 0, Source.JOB: 0})
    planner_seconds: float = 0.0
    capacity_looks: int = 0


@frozen(kw_only=True)
class Standing:
    """How a booking stands; ``tables`` are those assigned to it."""

    status: str
    party: int
    revision: int
    tables: frozenset[str] = frozenset()


@frozen(kw_only=True)
class Mailed:
    """What the ledger knows of one e-mail. ``handed_over``: how often it was given to the transport."""

    email: Email
    state: EmailState
    handed_over: int


@define
class House(ABC):
    """Ports, latencies and counts: :class:`assign_sim.kernel.World` for each flow by :meth:`seen_by`."""

    floor: Floor
    clock: VirtualClock
    seed: int
    latencies: Latencies = field(factory=Latencies)
    transport: CollectingTransport = field(factory=CollectingTransport, init=False)
    tally: Tally = field(factory=Tally, init=False)
    _calls: dict[str, int] = field(factory=dict, init=False)

    @property
    @abstractmethod
    def store(self) -> BookingStore: ...

    @property
    @abstractmethod
    def planner(self) -> Planner: ...

    @property
    @abstractmethod
    def mailer(self) -> Mailer:
        """Hands e-mails to :attr:`transport`."""

    @property
    @abstractmethod
    def telemetry(self) -> Telemetry: ...

    # What guests do, beside the ports.

    @abstractmethod
    def book(self, booking_id: str, *, party: int, start_at: datetime) -> None:
        """A new, pending booking."""

    @abstractmethod
    def cancel(self, booking_id: str) -> None:
        """The guest cancels; the tables are free again."""

    @abstractmethod
    def change(self, booking_id: str, party: int) -> None:
        """The party changes: a new revision, to be assigned anew."""

    # What can be asked.

    @abstractmethod
    def would_find(self, request: QuoteRequest) -> bool:
        """Whether a search now would succeed. Takes no hold and changes nothing."""

    @abstractmethod
    def bookings(self) -> Mapping[str, Standing]:
        """How each booking stands."""

    @abstractmethod
    def emails(self) -> Sequence[Mailed]:
        """The ledger of e-mails."""

    @abstractmethod
    def events(self) -> Sequence[Event]:
        """Every event that telemetry has been given, in order."""

    @abstractmethod
    def double_booked(self) -> Sequence[tuple[str, str]]:
        """Pairs of bookings that share a table at one time. Empty, or the house is wrong."""

    # What the simulation makes of it.

    def seen_by(self, source: Source) -> SeenBy:
        """The house as an inline attempt or a job meets it."""
        return SeenBy(self, source)

    def search_seconds(self, request: QuoteRequest) -> float:
        """Drawn by booking and by the how-manyeth search for it, so that the same call takes as long in another run."""
        number = self._calls[request.booking_id] = self._calls.get(request.booking_id, 0) + 1
        dice = random.Random(f"{self.seed}:{request.booking_id}:{number}")  # noqa: S311 - repeatable, not secret
        found = self.would_find(request)
        return (self.latencies.found if found else self.latencies.nothing).draw(dice)


@define
class SeenBy:
    """A :class:`~assign_sim.kernel.World`: the house, with the planner calls counted for one source."""

    house: House
    source: Source

    def seconds(self, effect: Effect[Any], left: float) -> float:
        match effect:
            case RequestQuote():
                tally, needed = self.house.tally, self.house.search_seconds(effect.request)
                tally.planner_calls[self.source] += 1
                tally.planner_seconds += min(needed, left if effect.seconds is None else effect.seconds)
                return needed
            case Deliver():
                return self.house.latencies.transport
            case Emit():
                return 0.0
            case _:
                return self.house.latencies.store

    def perform(self, effect: Effect[Any], left: float) -> object:
        del left  # virtual time stands still meanwhile: see PATIENCE
        house = self.house
        match effect:
            case RequestQuote() | AwaitQuote():
                return house.planner.quote(effect.request, timeout=PATIENCE)
            case Acquire():
                return house.store.acquire(effect.booking_id, effect.lease, timeout=PATIENCE)
            case Confirm():
                return house.store.confirm(effect.confirmation, timeout=PATIENCE)
            case CloseAttempt():
                return house.store.record(effect.entry, timeout=PATIENCE)
            case LookAtCapacity():
                house.tally.capacity_looks += 1
                return house.store.capacity_version(effect.booking_id, timeout=PATIENCE)
            case ReleaseHold():
                house.planner.release(effect.booking_id, effect.attempt_id, timeout=PATIENCE)
                return None
            case Deliver():
                return house.mailer.deliver(effect.email, timeout=PATIENCE)
            case Emit():
                house.telemetry.emit(effect.events, stored=effect.stored)
                return None
            case _:
                raise TypeError(f"the house cannot perform {effect!r}")
