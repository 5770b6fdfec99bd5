"""Actors, told step by step: generators that yield what they want done next.

An :class:`Operation` is a step that the scheduler may perform, fail, delay or never come back to. A flow's operations
are its effects, with the deadlines, the grace and the clean-up of the real drivers, because both share
:func:`assign_core.drive.walk`. A sender's are the stretches between the points at which it waits: it claims; it hands
over; it notes what became of that.

Telemetry and the clock are no operations: they commute with everything, so a switch before them is a switch after them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from assign_core import drive
from assign_core.effects import (
    AbandonQuote,
    ContinueInBackground,
    Deliver,
    Effect,
    Emit,
    Flow,
    RequestQuote,
    Unfinished,
)
from assign_core.last_result import Source
from assign_core.outbox import EmailRefused
from assign_core.outcome import Outcome
from assign_core.ports import Email
from assign_testing.explorer.faults import CLAIM, CLEANUP, HAND_OVER, NOTHING, SETTLE, WORK, Fault

T = TypeVar("T")

HOUSE: Final = "house"
"""What steps touch that read or write bookings, tables or the ledger."""


class Operation:
    """A step that an actor wants to take.

    Attributes:
        run: performs it.
        left: the seconds that it may take.
        faults: what can go wrong.
        touches: what it reads or writes of what others do too; steps that touch different things commute.
        effect: the flow's, if it is a flow's.
        late: the answer when time is up, where that is an answer.
        began: monotonic seconds at which the actor asked for it.
    """

    __slots__ = ("began", "effect", "faults", "late", "left", "name", "run", "touches")

    def __init__(
        self,
        name: str,
        run: Callable[[], object],
        *,
        faults: tuple[Fault, ...] = NOTHING,
        left: float = 30.0,
        touches: str = HOUSE,
        effect: Effect[Any] | None = None,
        late: Callable[[], object] | None = None,
    ) -> None:
        self.name = name
        self.run = run
        self.left = left
        self.faults = faults
        self.touches = touches
        self.effect = effect
        self.late = late
        self.began = 0.0


Program = Generator[Operation, object, T]
"""Send an answer or throw a failure, get the next operation."""

_UNTIL_LATE: Final = tuple(
    fault for fault in WORK if fault not in {Fault.LATE_LOST, Fault.LATE_ANSWER, Fault.IN_FLIGHT}
)
"""At a search that outlives the deadline, being late is an answer."""


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
            elif not isinstance(effect, ContinueInBackground | AbandonQuote):
                # The caller's answer touches nothing; an abandoned search gives back what it takes, which is nothing.
                answer = yield _operation(effect, left, perform)
        except GeneratorExit:
            raise  # the actor's world has been thrown away
        except BaseException as error:  # noqa: BLE001 - a failure, a deadline or a cancellation: the flow's to handle
            resume = partial(steps.throw, error)
        else:
            resume = partial(steps.send, answer)


def _operation(effect: Effect[Any], left: float, perform: Callable[[Effect[Any], float], object]) -> Operation:
    outlives = isinstance(effect, RequestQuote) and effect.seconds is not None
    return Operation(
        _NAMES.get(type(effect).__name__, type(effect).__name__),
        partial(perform, effect, left),
        faults=CLEANUP if effect.cleanup else _UNTIL_LATE if outlives else WORK,
        left=left,
        effect=effect,
        late=partial(Unfinished, effect) if outlives else None,
    )


_NAMES: Final = {
    "Acquire": "acquire",
    "RequestQuote": "quote",
    "AwaitQuote": "quote",
    "Confirm": "confirm",
    "CloseAttempt": "close",
    "ReleaseHold": "release",
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

    handing: Handing | None
    value: T | None


def sending(
    name: str, start: Callable[[], Coroutine[Any, Any, T]], hand_over: Callable[[Handing], object]
) -> Program[T | None]:
    """A sender as a program; ``start`` makes its coroutine."""
    begun: list[Coroutine[Any, Any, T]] = []
    stretch = yield Operation(name, partial(_begin, begun, start), faults=CLAIM)
    while isinstance(stretch, _Stretch) and stretch.handing is not None:
        (coroutine,) = begun
        handing = stretch.handing
        resume: Callable[[], object]
        try:
            yield Operation(
                f"hand over {handing.key}", partial(hand_over, handing), faults=HAND_OVER, touches=handing.key
            )
            resume = partial(coroutine.send, None)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - the sender's to handle
            resume = partial(coroutine.throw, error)
        stretch = yield Operation("settle", partial(_go_on, resume), faults=SETTLE)
    return stretch.value if isinstance(stretch, _Stretch) else None


def _begin(begun: list[Coroutine[Any, Any, T]], start: Callable[[], Coroutine[Any, Any, T]]) -> _Stretch[T]:
    begun.append(start())
    return _go_on(partial(begun[0].send, None))


def _go_on(resume: Callable[[], object]) -> _Stretch[Any]:
    try:
        waits_for = resume()
    except StopIteration as stop:
        return _Stretch(None, stop.value)
    if not isinstance(waits_for, Handing):
        raise TypeError(f"a sender waits for its transport only, not for {waits_for!r}")
    return _Stretch(waits_for, None)


def refused_by(name: str) -> EmailRefused:
    return EmailRefused(f"the mail system will not {name}, ever")


# Others.


def once(name: str, act: Callable[[], object], *, faults: tuple[Fault, ...] = NOTHING) -> Program[None]:
    """Somebody who does one thing."""
    yield Operation(name, act, faults=faults)


# Who takes the steps.


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
        self.happened = hash((name, life))
