"""What a contract needs of an adapter: a small house that has it, and what its host does beside the ports.

A contract judges a port by what can be seen through it and through the house's own tables. So it needs the four ports
of one house, a clock that it can move, and the hands of a host: to book, to cancel, to seat by hand, to damage a blob.
Everything here is in the words of the host; how a house keeps it is its own business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final, Protocol

import pytest

from assign_core.booking import EmailState
from assign_core.events import Event
from assign_core.ports import BookingStore, Email, Mailer, Planner, Telemetry
from assign_core.word import Word
from assign_floor import Floor, Table

NOON: Final = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
"""When the clock of every house starts."""
LUNCH: Final = NOON.replace(minute=30)
DINNER: Final = NOON.replace(hour=19)
T: Final = 5.0
"""A timeout that is never reached."""


class Capability(Word):
    """What an adapter or its house may lack. Tests that need it are skipped, and say so."""

    OBJECTION = "objection"
    """The house has a seating rule that only the confirm knows: :meth:`House.refuse`."""
    KEEPS_TIME = "keeps_time"
    """The planner goes by the ``timeout`` it is given, and needs nobody to stop it."""
    RELAY = "relay"
    """The mailer keeps an outbox, with leases for its senders: :meth:`House.relay`, :meth:`House.begin_sending`."""
    LARGE_BLOBS = "large_blobs"
    """The column takes a blob of any size."""
    OUTAGE = "outage"
    """What telemetry writes to can fail: :meth:`House.outage`."""


class PostRoom:
    """A mail system that can refuse, fail, or be interrupted in the middle: :class:`assign_core.outbox.Transport`.

    Attributes:
        accepted: the keys of what went out.
        keys: the key of each hand-over, accepted or not.
        failures: raised by the next hand-overs, one each.
        during: called in the middle of each.
    """

    def __init__(self, *, deduplicates: bool = False) -> None:
        self.deduplicates = deduplicates
        self.accepted: list[str] = []
        self.keys: list[str] = []
        self.failures: list[BaseException] = []
        self.during: Callable[[], object] = lambda: None

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del timeout
        self.keys.append(idempotency_key)
        self.during()
        if self.failures:
            raise self.failures.pop(0)
        if not (self.deduplicates and email.key in self.accepted):
            self.accepted.append(email.key)


class AsyncPostRoom:
    """The same for an event loop, which goes on meanwhile: :class:`assign_core.outbox.AsyncTransport`."""

    def __init__(self, room: PostRoom) -> None:
        self._room = room

    @property
    def deduplicates(self) -> bool:
        return self._room.deduplicates

    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        await asyncio.to_thread(self._room.send, email, idempotency_key=idempotency_key, timeout=timeout)


class House(Protocol):
    """The ports of a house, and what its host does beside them.

    Asynchronous ports are handed over as blocking ones that wait for them: see :mod:`assign_testing.waiting`.
    """

    @property
    def store(self) -> BookingStore: ...
    @property
    def planner(self) -> Planner: ...
    @property
    def mailer(self) -> Mailer:
        """Hands e-mails to :attr:`post` when asked to deliver."""
        ...

    @property
    def telemetry(self) -> Telemetry: ...
    @property
    def post(self) -> PostRoom: ...
    @property
    def now(self) -> datetime:
        """The time by the clock that the adapters were given; :data:`NOON` at first."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        ...

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = DINNER) -> None:
        """A new, pending booking."""
        ...

    def set_status(self, booking_id: str, status: str) -> None:
        """Staff or guest change the status. A booking that is open again, or closed, gives its tables back; one in a
        status that the core does not know keeps them.
        """
        ...

    def modify(self, booking_id: str = "b", *, party: int | None = None) -> None:
        """A new revision, pending, without tables; ``party`` as before unless given."""
        ...

    def seat(self, booking_id: str, tables: Collection[str]) -> None:
        """Staff seat or move a party: confirmed, with these tables.

        Raises:
            ValueError: another booking has one of them.
        """
        ...

    def status(self, booking_id: str = "b") -> str: ...
    def tables(self, booking_id: str = "b") -> frozenset[str]:
        """What is assigned to the booking."""
        ...

    def blob(self, booking_id: str = "b") -> object:
        """The stored result as JSON; ``None``: there is none."""
        ...

    def plant_blob(self, blob: object, booking_id: str = "b") -> None:
        """Put any JSON in the place of the stored result."""
        ...

    def holds(self) -> Collection[str]:
        """For each hold that has not expired, the attempt that has it."""
        ...

    def ledger(self) -> Mapping[str, EmailState]:
        """Every e-mail that was queued, by :attr:`~assign_core.ports.Email.key`."""
        ...

    def events(self) -> Sequence[Event]:
        """Every event that has arrived, in order, after what is buffered has been written."""
        ...

    # What only houses with the capability are asked for.

    def refuse(self, objection: str | None) -> None:
        """The confirm refuses every plan from now on, in these words; ``None``: no longer."""
        ...

    def relay(self) -> Mapping[str, EmailState]:
        """Deliver what waits in the outbox; the new state of each e-mail."""
        ...

    def begin_sending(self, email: Email) -> EmailState | None:
        """Claim an e-mail as a sender does who dies before handing it over; ``None``: claimed."""
        ...

    def outage(self, begins: bool) -> None:
        """Where telemetry writes to is away, until it is back."""
        ...


class MakeHouse(Protocol):
    """Makes an empty house. ``floor``: :func:`small_floor` unless given. ``deduplicates``: its post room does."""

    def __call__(self, floor: Floor | None = None, *, deduplicates: bool = False) -> House: ...


def small_floor() -> Floor:
    """A table for two and one for four, side by side."""
    return Floor(tables=[Table(id="small", seats=2), Table(id="large", seats=4)], adjacent=[("small", "large")])


class Contract:
    """What the contracts have in common. Subclass one, and supply the fixture ``make_house``: a :class:`MakeHouse`.

    Attributes:
        implementation: the adapter's class that is judged.
        capabilities: what the adapter and its house have.
        examples: how many random stories a property is tried with.
    """

    implementation: ClassVar[type[object]]
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    examples: ClassVar[int] = 100

    @pytest.fixture
    def house(self, make_house: MakeHouse) -> House:
        """An empty house."""
        return make_house()

    def needs(self, capability: Capability) -> None:
        """Skip the test where the adapter does not have the capability."""
        if capability not in self.capabilities:
            pytest.skip(f"{self.implementation.__name__} does not have the capability {capability.value!r}")
