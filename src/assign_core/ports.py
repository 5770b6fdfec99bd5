"""The four ports, and the values that cross them.

A host plugs in a planner, a booking store, a mailer and telemetry. Each port exists twice, blocking and
asynchronous, with the same names and the same values; the flows know neither. Every call that may take long gets
``timeout``, the seconds left: a blocking call cannot be interrupted from outside, so the adapter turns them into a
statement timeout and raises ``TimeoutError`` when they have passed.

The store carries what must be atomic: reading a booking *and* taking its attempt lease is one call, and a confirm
is one transaction (hold, assignment, status, result, e-mail intent, events).

A fifth collaborator, the runtime, supplies what a library must not take for itself: clock, ids, sleep, and a way to
go on in the background.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from assign_core.booking import Booking, EmailState
from assign_core.events import Event
from assign_core.last_result import LastResult, Source, Strategy, Unreadable
from assign_core.reasons import ReasonCode
from assign_core.word import Word

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


# What crosses the planner's port.


@dataclass(frozen=True, slots=True)
class Plan:
    """Tables that would seat a booking. Two plans of the same tables are the same plan."""

    tables: tuple[str, ...]

    @property
    def key(self) -> str:
        """The plan as part of an idempotency key."""
        return "+".join(sorted(self.tables))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRequest:
    """One call of the planner.

    Attributes:
        booking_id, revision: what to seat. The planner reads the booking's party and times itself.
        attempt_id: marks the hold, so that clean-up touches only its own.
        strategy: knobs; ``None`` in them means the planner's own.
        hold_seconds: how long a hold may live without a confirm.
        excluded: plans that a confirm has refused within this attempt.
    """

    booking_id: str
    revision: int
    attempt_id: str
    strategy: Strategy
    hold_seconds: float
    excluded: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A short lease on tables. It remembers the strategy it was made under, so that a confirm applies no other."""

    hold_id: str
    plan: Plan
    expires_at: datetime
    strategy: Strategy
    alternates: int = 0
    capacity_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHold:
    """The planner found nothing.

    Attributes:
        reason: in the planner's own words.
        reason_code: the cause, where the planner knows it; else the words are classified.
        retry_after: when the blocking hold expires, where one is to blame.
        capacity_version: what the search saw; ``None``: what the booking carried when the attempt began.
        alternates: how many plans existed beside the ones that were tried.
    """

    reason: str
    reason_code: ReasonCode | None = None
    retry_after: datetime | None = None
    capacity_version: int | None = None
    alternates: int = 0


Quote = Hold | NoHold


# What crosses the booking store's port.


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to attempt a booking, carried by its row until released or expired.

    Crashes must not make attempts free, so a store that replaces a lease left behind by an attempt that died counts it:
    ``lost_before`` is how many there were in a row before this one, and ``lost_first`` who made the first of them.
    """

    attempt_id: str
    source: Source
    taken_at: datetime
    expires_at: datetime
    lost_before: int = 0
    lost_first: Source | None = None

    def after(self, lost: Lease | None) -> Lease:
        """This lease, in place of one that was left behind."""
        if lost is None:
            return self
        return replace(self, lost_before=lost.lost_before + 1, lost_first=lost.lost_first or lost.source)

    def unrecorded(self, now: datetime) -> Lease | None:
        """What an attempt leaves that ends without a result: those before it that died are still to be found."""
        if not self.lost_before:
            return None
        return replace(self, source=self.lost_first or self.source, expires_at=now, lost_before=self.lost_before - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquired:
    """The booking as it is, and the lease is ours.

    ``lost`` is a lease that an earlier attempt left behind: its process died before it could record anything.
    """

    booking: Booking
    last: LastResult | Unreadable | None
    lost: Lease | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Another attempt holds the booking's lease until then."""

    booking: Booking
    last: LastResult | Unreadable | None
    holder: Lease


class EmailKind(Word):
    """What an e-mail says. With booking and revision it is the e-mail's identity."""

    CONFIRMATION = "confirmation"
    MODIFICATION = "modification"
    STAFF_NOTICE = "staff_notice"

    @classmethod
    def of(cls, revision: int) -> EmailKind:
        """What tells a guest that a booking of this revision is confirmed."""
        return cls.CONFIRMATION if revision == 0 else cls.MODIFICATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """An e-mail's identity: at most one of each is ever handed to the mail system."""

    booking_id: str
    kind: EmailKind
    revision: int

    @property
    def key(self) -> str:
        """Its idempotency key, the same from every path."""
        return f"{self.booking_id}:{self.kind.value}:{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Everything one confirm writes in one transaction.

    Attributes:
        result: the success to merge into the booking's result.
        hold: consumed by the confirm.
        revision: the row must still have it.
        email: the intent to queue with the commit; ``None`` when the guest has been written to.
        events: to be stored with the commit, where the store keeps events.
    """

    booking_id: str
    attempt_id: str
    revision: int
    hold: Hold
    result: LastResult
    email: Email | None
    events: tuple[Event, ...] = ()

    @property
    def key(self) -> str:
        """The idempotency key: booking, revision and plan. A replay returns what is true now."""
        return f"{self.booking_id}:{self.revision}:{self.hold.plan.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The row says confirmed, with this plan.

    Attributes:
        attempt_id: whose confirm that was; a replay of another attempt's returns what is true now.
        last: the row's result.
        email: the ledger's state of the queued intent.
        events_stored: the confirmation's events are stored.
    """

    attempt_id: str
    last: LastResult
    email: EmailState | None = None
    events_stored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotConfirmed:
    """Nothing was written. ``status`` is the row's own, so that a booking seated by hand is recognised."""

    status: str
    reason: str
    reason_code: ReasonCode | None = None
    retry_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The end of an attempt that did not confirm: closes its lease, so that no late confirm of it can land.

    Attributes:
        result: to be merged into the booking's result; ``None`` when the planner was not called. Without a result the
            lease's ``lost_before`` is kept for the next attempt to find.
        revision: that the attempt read; ``None``: the result's. If the row has another by now, a job is due at once.
        retry_at: when a job is due, durably; ``None``: never. Ignored once the row is no longer open.
        parked_at_version: a job is due at once when the capacity version has grown beyond this one.
        email: an intent to queue in the same transaction, if the row still calls for it: a staff notice while the row
            is open, of this revision, and the lease is this attempt's; a guest's confirmation, of the revision that the
            row has now, once it is seated.
        guest_email: the guest's confirmation, if the row turns out to be seated, and ``email`` is something else.
        events: to be stored in the same transaction, where the store keeps events.
    """

    booking_id: str
    attempt_id: str
    result: LastResult | None
    revision: int | None = None
    retry_at: datetime | None = None
    parked_at_version: int | None = None
    email: Email | None = None
    guest_email: Email | None = None
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The truth after a record.

    Attributes:
        status, revision, last: as the row has them now.
        confirmed_by: the attempt whose confirm seated it, if one did. A confirm of this attempt that landed late shows
            here.
        email: the ledger's state of the intent that the row called for; else ``None``.
        events_stored: the events are stored, and telemetry that writes to the same place may skip them.
    """

    status: str
    last: LastResult | Unreadable | None
    revision: int | None = None
    confirmed_by: str | None = None
    email: EmailState | None = None
    events_stored: bool = False


# The ports, blocking.


class Planner(Protocol):
    """The host's expensive search."""

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        """Hold tables for the booking, or say why not. Never conflicts with the booking's own holds.

        Raises:
            TimeoutError: ``timeout`` seconds have passed.
        """
        ...

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        """Release what this attempt still holds, and nothing else. Nothing held: nothing to do."""
        ...


class BookingStore(Protocol):
    """The host's bookings."""

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        """Read the booking and take its lease, in one step. ``None``: no such booking.

        A job becomes due, durably, when the lease expires: an attempt that dies is looked after.
        """
        ...

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        """Commit the hold: all of it or nothing, only from an open status, only while this attempt has the lease."""
        ...

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        """Close the attempt: merge its result and give its lease back, if it still has it.

        The result of an attempt that has outlived its lease is merged all the same. If it changes what an open row
        knows, a job is due at once, or as soon as the attempt ends that has the lease now: what those decided who came
        after it was decided without it.
        """
        ...

    def read(self, booking_id: str, *, timeout: float) -> Acquired | None:
        """The booking as it is, without a lease."""
        ...

    def capacity_version(self, booking_id: str, *, timeout: float) -> int | None:
        """The version of the booking's window: one cheap read.

        It may fall, but whatever frees seats that could help the booking makes it larger than it ever was: numbers are
        never used again, not after a restore either.
        """
        ...

    def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        """Bookings whose job is due, the longest waiting first."""
        ...


class Mailer(Protocol):
    """Hands queued e-mails to the mail system."""

    def deliver(self, email: Email, *, timeout: float) -> EmailState:
        """Hand a queued e-mail over, unless someone else has or is. A mailer with a relay leaves it ``claimed``.

        Once the transport has accepted it the mailer also sets the booking's e-mail flag, so the flag follows the
        ledger.
        """
        ...


class Telemetry(Protocol):
    """Where events go."""

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        """Take the events without delay. ``stored``: the booking store has them already, in its transaction.

        It only puts them down somewhere: the blocking engine calls it in the guest's own thread, where nothing could
        stop it. ``assign_runtime.BackgroundTelemetry`` makes any telemetry do so.
        """
        ...


class Pending(Protocol[T_co]):
    """A call that goes on by itself."""

    def wait(self, timeout: float) -> bool:
        """Whether it has ended, after at most ``timeout`` seconds."""
        ...

    def result(self) -> T_co:
        """What it returned or raised, once it has ended."""
        ...

    def abandon(self, then: Callable[[], object]) -> None:
        """Nobody will wait again: stop it if that is possible, and call ``then`` when it has ended, however it did."""
        ...


class Clock(Protocol):
    """What time it is, and ids that nobody has used."""

    def now(self) -> datetime:
        """The time; aware."""
        ...

    def monotonic(self) -> float:
        """Seconds from some moment; never set back."""
        ...

    def new_id(self) -> str:
        """An id of at most 64 characters."""
        ...


class Runtime(Clock, Protocol):
    """Clock, ids, sleep and background of the process."""

    def sleep(self, seconds: float) -> None: ...

    def start(self, call: Callable[[], T]) -> Pending[T]:
        """Begin a call that the caller may stop waiting for."""
        ...

    def background(self, call: Callable[[], object]) -> None:
        """Run to the end after the caller has been answered."""
        ...


# The ports, asynchronous. The same words; see above.


class AsyncPlanner(Protocol):
    """:class:`Planner`, asynchronous. It is cancelled when time is up."""

    async def quote(self, request: QuoteRequest, *, timeout: float) -> Quote: ...
    async def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None: ...


class AsyncBookingStore(Protocol):
    """:class:`BookingStore`, asynchronous."""

    async def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None: ...
    async def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed: ...
    async def record(self, entry: Record, *, timeout: float) -> Recorded: ...
    async def read(self, booking_id: str, *, timeout: float) -> Acquired | None: ...
    async def capacity_version(self, booking_id: str, *, timeout: float) -> int | None: ...
    async def due(self, now: datetime, *, limit: int, timeout: float) -> Sequence[str]: ...


class AsyncMailer(Protocol):
    """:class:`Mailer`, asynchronous."""

    async def deliver(self, email: Email, *, timeout: float) -> EmailState: ...


class AsyncTelemetry(Protocol):
    """:class:`Telemetry`, asynchronous."""

    async def emit(self, events: Sequence[Event], *, stored: bool) -> None: ...


class AsyncPending(Protocol[T_co]):
    """:class:`Pending`, asynchronous."""

    async def wait(self, timeout: float) -> bool: ...
    def result(self) -> T_co: ...
    def abandon(self, then: Callable[[], Awaitable[object]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Shielded(Generic[T]):
    """How a shielded call ended, and the cancellation that arrived meanwhile and is still owed to the caller."""

    value: T | None
    error: Exception | None
    cancellation: BaseException | None


class AsyncRuntime(Clock, Protocol):
    """:class:`Runtime`, asynchronous, over the host's event loop."""

    async def sleep(self, seconds: float) -> None: ...

    def start(self, call: Callable[[], Awaitable[T]]) -> AsyncPending[T]: ...
    def background(self, call: Callable[[], Awaitable[object]]) -> None: ...

    async def within(self, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        """Run a call; when time is up, cancel it and raise ``TimeoutError`` without waiting for it."""
        ...

    async def shielded(self, call: Callable[[], Awaitable[T]], timeout: float) -> Shielded[T]:
        """Run a clean-up call to its end, at most ``timeout`` seconds, although the caller is cancelled once."""
        ...
