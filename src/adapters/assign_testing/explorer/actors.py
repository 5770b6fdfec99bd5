"""Actors, told step by step: generators that yield what they want done next.

An :class:`Operation` is a step that the scheduler may perform, fail, delay or never come back to. A flow's operations
are its effects, with the deadlines, the grace and the clean-up of the real drivers, because both share
:func:`assign_core.drive.walk`. A sender's are the stretches between the points at which it waits: it claims; it hands
over; it notes what became of that.

Telemetry and the clock are no operations: they commute with everything, so a switch before them is a switch after them.
To answer a guest and go on in the background is one, since a host may have no background any more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from assign_core import drive
from assign_core.effects import (
    AbandonQuote,
    Acquire,
    AwaitQuote,
    CloseAttempt,
    Confirm,
    ContinueInBackground,
    Deliver,
    Effect,
    Emit,
    Flow,
    LookAtCapacity,
    ReleaseHold,
    RequestQuote,
    Sleep,
)
from assign_core.last_result import Source
from assign_core.outcome import Outcome
from assign_core.ports import Email
from assign_testing.explorer.faults import (
    ABANDON,
    ASLEEP,
    BACKGROUND,
    CLAIM,
    CLEANUP,
    HAND_OVER,
    NOTHING,
    OUTLIVING,
    SETTLE,
    WORK,
    Fault,
)

T = TypeVar("T")

HOUSE: Final = "house"
"""What steps touch that read or write bookings, tables or the ledger."""
NOBODY: Final = ""
"""What steps touch that nobody else can see."""


class Operation:
    """A step that an actor wants to take.

    Attributes:
        run: performs it.
        left: the seconds that it may take.
        faults: what can go wrong.
        touches: what it reads or writes of what others do too; steps that touch different things commute.
        effect: the flow's, if it is a flow's.
        outlives: a search that goes on when the deadline has passed; being late is an answer then.
        sleeps: performing it takes until some later moment.
        began: monotonic seconds at which the actor asked for it.
    """

    __slots__ = ("began", "effect", "faults", "left", "name", "outlives", "run", "sleeps", "touches")

    def __init__(
        self,
        name: str,
        run: Callable[[], object],
        *,
        faults: tuple[Fault, ...] = NOTHING,
        left: float = 30.0,
        touches: str = HOUSE,
        effect: Effect[Any] | None = None,
        outlives: bool = False,
        sleeps: bool = False,
    ) -> None:
        self.name = name
        self.run = run
        self.left = left
        self.faults = faults
        self.touches = touches
        self.effect = effect
        self.outlives = outlives
        self.sleeps = sleeps
        self.began = 0.0


Program = Generator[Operation, object, T]
"""Send an answer or throw a failure, get the next operation."""

# Flows.


def tell(
    flow: Flow[T],
    clock: Any,
    grace: float,
    perform: Callable[[Effect[Any], float], object],
    emit: Callable[[Emit], object],
    sending: Callable[[Email, float], Program[object]],
) -> Program[T]:
    """A flow as a program."""
    steps = drive.walk(flow, clock, grace)
    resume: Callable[[], drive.Step] = partial(next, steps)
    while True:
        try:
            effect, left = resume()
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer: object = None
        try:
            if isinstance(effect, Emit):
                emit(effect)
            elif isinstance(effect, Deliver):
                answer = yield from sending(effect.email, left)
            else:
                answer = yield _operation(effect, left, perform)
        except GeneratorExit:
            raise  # the actor's world has been thrown away
        except BaseException as error:  # noqa: BLE001 - a failure, a deadline or a cancellation: the flow's to handle
            resume = partial(steps.throw, error)
        else:
            resume = partial(steps.send, answer)


def _operation(effect: Effect[Any], left: float, perform: Callable[[Effect[Any], float], object]) -> Operation:
    name, faults, touches = _KINDS[type(effect)]
    outlives = isinstance(effect, RequestQuote) and effect.seconds is not None
    return Operation(
        name,
        partial(perform, effect, left),
        faults=OUTLIVING if outlives else faults,
        left=left,
        touches=touches,
        effect=effect,
        outlives=outlives,
        sleeps=isinstance(effect, Sleep),
    )


_KINDS: Final[dict[type[Effect[Any]], tuple[str, tuple[Fault, ...], str]]] = {
    Acquire: ("acquire", WORK, HOUSE),
    RequestQuote: ("quote", WORK, HOUSE),
    ContinueInBackground: ("answer the guest", BACKGROUND, NOBODY),
    AwaitQuote: ("quote", WORK, HOUSE),
    AbandonQuote: ("abandon", ABANDON, NOBODY),
    Confirm: ("confirm", WORK, HOUSE),
    CloseAttempt: ("close", CLEANUP, HOUSE),
    ReleaseHold: ("release", CLEANUP, HOUSE),
    LookAtCapacity: ("look", WORK, HOUSE),
    Sleep: ("sleep", ASLEEP, NOBODY),
}


# Senders.


class Handing(Effect[None]):
    """An e-mail on its way into the mail system."""

    __slots__ = ("email", "key")

    def __init__(self, email: Email, key: str) -> None:
        self.email = email
        self.key = key


@dataclass(slots=True)
class ScheduledTransport:
    """:class:`assign_core.outbox.AsyncTransport` that waits for the scheduler."""

    deduplicates: bool

    async def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del timeout
        await Handing(email, idempotency_key)


class _Stretch(NamedTuple, Generic[T]):
    """A sender has run until it waits for ``handing``, or has ended with ``value``."""

    sender: Coroutine[Any, Any, T]
    handing: Handing | None
    value: T | None


class Desk(NamedTuple):
    """Where senders are seen at work.

    Attributes:
        claimed: told of an e-mail once a sender has claimed it, in the same step.
        hand_over: gives it to the mail system.
        begun: all senders. They are kept until their world is thrown away, since closing one runs its clean-up.
    """

    claimed: Callable[[Handing], object]
    hand_over: Callable[[Handing], object]
    begun: list[Coroutine[Any, Any, Any]]


def sending(name: str, start: Callable[[], Coroutine[Any, Any, T]], desk: Desk) -> Program[T | None]:
    """A sender as a program; ``start`` makes its coroutine."""
    stretch = yield Operation(name, partial(_begin, start, desk), faults=CLAIM)
    while isinstance(stretch, _Stretch) and stretch.handing is not None:
        coroutine, handing = stretch.sender, stretch.handing
        resume: Callable[[], object]
        try:
            yield Operation(
                f"hand over {handing.key}", partial(desk.hand_over, handing), faults=HAND_OVER, touches=handing.key
            )
            resume = partial(coroutine.send, None)
        except GeneratorExit:
            raise  # the actor's world has been thrown away
        except BaseException as error:  # noqa: BLE001 - the sender's to handle
            resume = partial(coroutine.throw, error)
        stretch = yield Operation("settle", partial(_go_on, coroutine, resume, desk), faults=SETTLE)
    return stretch.value if isinstance(stretch, _Stretch) else None


def _begin(start: Callable[[], Coroutine[Any, Any, T]], desk: Desk) -> _Stretch[T]:
    sender = start()
    desk.begun.append(sender)
    return _go_on(sender, partial(sender.send, None), desk)


def _go_on(sender: Coroutine[Any, Any, T], resume: Callable[[], object], desk: Desk) -> _Stretch[T]:
    try:
        waits_for = resume()
    except StopIteration as stop:
        return _Stretch(sender, None, stop.value)
    if not isinstance(waits_for, Handing):
        raise TypeError(f"a sender waits for its transport only, not for {waits_for!r}")
    desk.claimed(waits_for)
    return _Stretch(sender, waits_for, None)


# Others.


def once(name: str, act: Callable[[], object], *, faults: tuple[Fault, ...] = NOTHING) -> Program[None]:
    """Somebody who does one thing."""
    yield Operation(name, act, faults=faults)


# Who takes the steps.


MASK: Final = (1 << 63) - 1


def mixed(data: bytes) -> int:
    """A hash that shows nothing of what it is made of."""
    return hash(data) & MASK


class Actor:
    """Somebody who acts, and where he is."""

    __slots__ = (
        "attempt_id",
        "clean",
        "deadline",
        "happened",
        "life",
        "name",
        "outcome",
        "pending",
        "program",
        "source",
        "tell",
    )

    def __init__(self, name: str, tell: Callable[[], Program[Any]], source: Source | None, life: int) -> None:
        self.name = name
        self.tell = tell
        self.program: Program[Any] | None = None
        self.source = source
        self.life = life
        self.pending: Operation | None = None
        self.attempt_id: str | None = None
        self.clean = True
        self.outcome: Outcome | None = None
        self.deadline = 0.0
        self.happened = mixed(f"{name} {life}".encode())
