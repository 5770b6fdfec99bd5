"""What a flow may ask the outside world for, as values.

A flow is a coroutine that awaits effects and nothing else. ``Effect[R].__await__`` yields the effect itself and
returns what the driver sends back, so the type checker knows the answer, and a dropped effect is an error of type.
Because effects are values, a test can answer, fail or delay them, or stop the world between any two.

The idea is old: psycopg 3 keeps its protocol in generators and its waiting in separate functions, h11 does no I/O at
all. A *clean-up* effect is performed although time is up or the host has cancelled, within a grace of its own; the
mark is on the effect's type, so that a clean-up whose turn comes late cannot be mistaken for work.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from assign_core.booking import EmailState
from assign_core.events import Event
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    Lease,
    NotConfirmed,
    Quote,
    QuoteRequest,
    Record,
    Recorded,
)

R = TypeVar("R")
T = TypeVar("T")


class Effect(Generic[R]):
    """A request to the outside world. Await it: the answer is an ``R``."""

    __slots__ = ()
    cleanup: ClassVar[bool] = False
    """Performed although time is up."""
    own_time: ClassVar[float | None] = None
    """Seconds that it has whatever the deadline says; ``None``: what is left."""
    though_late: ClassVar[bool] = False
    """Performed although nothing is left, because whoever performs it leaves nothing behind then."""

    def __await__(self) -> Generator[Effect[Any], R, R]:
        return (yield self)


Flow = Coroutine[Effect[Any], Any, T]
"""A story told with effects, that ends with a ``T``. The ``Any`` is the answer's type, which differs by effect and
which each ``await`` restores."""


# Time.


@dataclass(frozen=True, slots=True)
class Within(Effect[None]):
    """From now on the flow has this many seconds; ``None``: all the time in the world."""

    cleanup: ClassVar[bool] = True
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Now(Effect[datetime]):
    """The time; aware."""

    cleanup: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class NewAttemptId(Effect[str]):
    """An id that nobody has used."""

    cleanup: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Sleep(Effect[None]):
    """Nothing, for a while."""

    seconds: float


# The booking store.


@dataclass(frozen=True, slots=True)
class Acquire(Effect[Acquired | Busy | None]):
    """Read the booking and take its lease, in one step."""

    booking_id: str
    lease: Lease


@dataclass(frozen=True, slots=True)
class Confirm(Effect[Confirmed | NotConfirmed]):
    """Commit a hold."""

    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class CloseAttempt(Effect[Recorded]):
    """Record the attempt's result, give its lease back, and learn the truth."""

    cleanup: ClassVar[bool] = True
    entry: Record


@dataclass(frozen=True, slots=True)
class LookAtCapacity(Effect[int | None]):
    """The capacity version of the booking's window: one cheap read."""

    own_time: ClassVar[float | None] = 5.0
    booking_id: str


# The planner.


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The deadline has passed and the planner still searches. ``search`` is the driver's own handle of it."""

    search: object


@dataclass(frozen=True, slots=True)
class RequestQuote(Effect[Quote | Unfinished]):
    """Call the planner. ``seconds``: what the search may take in all; ``None``: what is left to the deadline.

    With ``seconds`` the search may outlive the deadline, and the answer is then :class:`Unfinished`.
    """

    request: QuoteRequest
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AwaitQuote(Effect[Quote]):
    """Wait for a search that was left unfinished; when no time is left, abandon it."""

    though_late: ClassVar[bool] = True
    unfinished: Unfinished
    request: QuoteRequest


@dataclass(frozen=True, slots=True)
class AbandonQuote(Effect[None]):
    """Nobody will wait for an unfinished search; a hold that it takes late is given back."""

    cleanup: ClassVar[bool] = True
    unfinished: Unfinished
    request: QuoteRequest


@dataclass(frozen=True, slots=True)
class ContinueInBackground(Effect[None], Generic[T]):
    """Give the caller ``answer`` now. The flow goes on in the host's background, its deadline ``seconds`` later."""

    though_late: ClassVar[bool] = True
    answer: T
    seconds: float


@dataclass(frozen=True, slots=True)
class ReleaseHold(Effect[None]):
    """Release whatever this attempt still holds."""

    cleanup: ClassVar[bool] = True
    booking_id: str
    attempt_id: str


# Mail and telemetry.


@dataclass(frozen=True, slots=True)
class Deliver(Effect[EmailState]):
    """Hand a queued e-mail over."""

    cleanup: ClassVar[bool] = True
    email: Email


@dataclass(frozen=True, slots=True)
class Emit(Effect[None]):
    """Events for telemetry. Never fails and never waits: the engine drops and counts what telemetry does not take."""

    cleanup: ClassVar[bool] = True
    own_time: ClassVar[float | None] = 1.0
    events: Sequence[Event]
    stored: bool = False
