"""What both engines know about performing effects, whether a port blocks or is awaited."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from assign_core.decision import decide
from assign_core.effects import Acquire, CloseAttempt, Confirm, Deliver, Effect, LookAtCapacity, ReleaseHold, Unfinished
from assign_core.errors import BookingNotFound, DeadlineExceeded, InvalidValue
from assign_core.events import Event, EventName, event
from assign_core.explain import Explanation
from assign_core.outcome import Outcome
from assign_core.policy import Policy
from assign_core.ports import (
    Acquired,
    AsyncBookingStore,
    AsyncMailer,
    AsyncPlanner,
    BookingStore,
    Clock,
    Mailer,
    Planner,
    QuoteRequest,
)
from assign_core.reasons import reason_of

LONGEST_TRIGGER: Final = 64
"""Characters of a trigger. It is stored with every result, whose size is bounded."""
LONGEST_EMIT: Final = 0.05
"""Seconds that an asynchronous telemetry may take for a batch of events before they count as dropped. It should take
none: whatever it waits for, the guest would wait for too."""
DEFAULT_POLICY: Final = Policy()


def checked(booking_id: str, trigger: str) -> None:
    if not isinstance(cast(object, booking_id), str):
        kind = type(booking_id).__name__
        raise InvalidValue(f"booking_id is {booking_id!r}, of type {kind}; pass a string, such as str(booking_id)")
    if not booking_id:
        raise InvalidValue("booking_id is empty; pass the id of a booking in the store")
    if not 0 < len(trigger) <= LONGEST_TRIGGER:
        raise InvalidValue(f"trigger {trigger!r} has {len(trigger)} characters; pass 1 to {LONGEST_TRIGGER}")


def checked_mode(on_deadline: str) -> None:
    if on_deadline not in {"cancel", "hand_over"}:
        raise InvalidValue(f"on_deadline is {on_deadline!r}; pass 'cancel' or 'hand_over'")


def out_of_time(error: DeadlineExceeded) -> TimeoutError:
    return TimeoutError(f"the booking store did not answer within the grace for clean-up: {error}")


def worked_off(outcomes: list[Outcome], errors: list[Exception]) -> list[Outcome]:
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(errors) + len(outcomes)} due bookings failed", errors)
    return outcomes


class Drops:
    """Events that telemetry lost, until it can be told. Appending and popping are atomic, so threads may share it."""

    def __init__(self) -> None:
        self._lost: deque[tuple[int, str]] = deque()

    def add(self, events: Sequence[Event], error: BaseException) -> None:
        self._lost.append((len(events), reason_of(error)))

    def report(self, clock: Clock) -> Event | None:
        """The loss so far as an event; it counts as told."""
        dropped, error = 0, ""
        while self._lost:
            count, error = self._lost.popleft()
            dropped += count
        if not dropped:
            return None
        return event(EventName.TELEMETRY_DROPPED, clock.now(), None, None, dropped=dropped, error=error)

    def put_back(self, reported: Event) -> None:
        count, error = reported.context["dropped"], reported.context["error"]
        if isinstance(count, int) and isinstance(error, str):
            self._lost.appendleft((count, error))


def explanation(booking_id: str, found: Acquired | None, policy: Policy, clock: Clock) -> Explanation:
    if found is None:
        raise BookingNotFound(booking_id)
    now = clock.now()
    return Explanation(found.booking, found.last, now, decide(found.booking, found.last, policy=policy, now=now))


@dataclass(frozen=True, slots=True)
class PortCalls:
    """The ports behind the effects that are one call, whether it blocks or is awaited."""

    store: BookingStore | AsyncBookingStore
    planner: Planner | AsyncPlanner
    mailer: Mailer | AsyncMailer

    def call(self, effect: Effect[Any], left: float) -> object:
        """The port's answer to an effect, or its awaitable."""
        match effect:
            case Acquire():
                return self.store.acquire(effect.booking_id, effect.lease, timeout=left)
            case Confirm():
                return self.store.confirm(effect.confirmation, timeout=left)
            case CloseAttempt():
                return self.store.record(effect.entry, timeout=left)
            case LookAtCapacity():
                return self.store.capacity_version(effect.booking_id, timeout=left)
            case ReleaseHold():
                return self.planner.release(effect.booking_id, effect.attempt_id, timeout=left)
            case Deliver():
                return self.mailer.deliver(effect.email, timeout=left)
            case _:
                raise TypeError(f"no driver performs {effect!r}")


def late_release_failed(clock: Clock, request: QuoteRequest, error: BaseException) -> Event:
    return event(
        EventName.ATTEMPT_ERROR,
        clock.now(),
        request.booking_id,
        request.attempt_id,
        stage="late_release",
        reason=reason_of(error),
    )


def handle(unfinished: Unfinished) -> Any:
    """The driver's own handle of a search, which the flow carried without looking at it."""
    return unfinished.search
