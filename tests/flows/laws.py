"""What holds for every outcome and for every event of every flow, whatever the story: checked after each test.

A dashboard counts on the keys that an event of its kind always has, and a host on what an outcome's verdict promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from assign_core import CATALOGUE, AsyncAutoAssign, AutoAssign, Event, EventName, Outcome, Severity, Verdict
from assign_core.decision import Decision
from assign_core.ports import Plan

MAY_BE_NULL: Final[dict[EventName, frozenset[str]]] = {
    EventName.QUOTE: frozenset(
        {"planner_reason", "planner_reason_code", "planner_reason_category", "planner_error", "planner_internal"}
    ),
    EventName.ATTEMPT_ERROR: frozenset({"reasonCode"}),
    EventName.INLINE_SKIP_ATTEMPT: frozenset({"inline_attempt_id", "reason"}),
    EventName.INLINE_TIMEOUT_ADJUSTMENT: frozenset({"inline_attempt_id"}),
    EventName.HARD_STOP: frozenset({"reason"}),
    EventName.FAILED: frozenset({"reason", "reasonCode"}),
    EventName.SUMMARY: frozenset(
        {"inlineSkipReason", "hardStopReason", "inline_attempt_id", "inline_reason", "inline_trigger"}
    ),
    EventName.INLINE_QUOTE_RESULT: frozenset({"tables", "reason", "reasonCode"}),
}
"""The context keys that need not have a value; every other one does."""
LATE_RELEASE: Final = frozenset({"attempt", "reasonCode", "trigger"})
"""Nobody is attempting any more when the hold of an abandoned search cannot be given back."""
TRUTHS: Final = frozenset(
    {"planner_success", "success", "skippedInitialAttempt", "suppressEmail", "handedOver"}  # of any event
)
RAISED: Final = {EventName.QUOTE: Severity.WARNING}
"""Events that may be said more loudly than their row says, and how loudly."""


def check_event(event: Event, *, now: datetime) -> None:
    """Everything that is always so of an event."""
    spec = CATALOGUE[event.name]
    assert isinstance(event.at, datetime), event
    assert event.at.utcoffset() == timedelta(0), event
    assert event.at <= now, event
    assert event.severity in {spec.severity, RAISED.get(event.name)}, event
    if event.name is not EventName.TELEMETRY_DROPPED:
        assert event.booking_id, event
        assert event.attempt_id, event
    optional = MAY_BE_NULL.get(event.name, frozenset())
    if event.context.get("stage") == "late_release":
        optional = LATE_RELEASE
    assert tuple(event.context) == spec.keys, event
    for key, value in event.context.items():
        assert value is not None or key in optional, (key, event)
        assert key not in TRUTHS or isinstance(value, bool), (key, event)
    if "trigger" in spec.keys and "trigger" not in optional:
        assert event.context["trigger"] != "", event


def check_events(events: Iterable[Event], *, now: datetime) -> None:
    for event in events:
        check_event(event, now=now)


def check_outcome(outcome: Outcome, booking_id: str) -> None:
    """Everything that a verdict promises."""
    assert outcome.booking_id == booking_id, outcome
    for truth in (outcome.attempted, outcome.parked, outcome.handed_over):
        assert isinstance(truth, bool), outcome
    waits = outcome.verdict is Verdict.WAIT
    assert waits == (outcome.wait_until is not None), outcome
    assert waits or not outcome.parked, outcome
    if outcome.attempted:
        assert outcome.attempt_id, outcome
        assert isinstance(outcome.decision, Decision), outcome
        assert outcome.result is not None or outcome.handed_over, outcome
    if outcome.decision is None:
        # Not in the store, or nobody could read it.
        assert outcome.verdict in {Verdict.NOT_ACTIONABLE, Verdict.WAIT}, outcome
        assert (outcome.result, outcome.plan, outcome.email) == (None, None, None), outcome
    if outcome.verdict is Verdict.CONFIRMED:
        assert isinstance(outcome.plan, Plan), outcome
        assert outcome.result is not None, outcome
        assert outcome.result.success, outcome
        assert outcome.attempted, outcome
        suppressed = outcome.decision is not None and outcome.decision.suppress_email
        assert suppressed or outcome.email is not None, outcome
    else:
        assert outcome.plan is None, outcome


class LawfulEngine(AutoAssign):
    """The blocking engine; whatever it answers is held to the laws."""

    def inline(self, booking_id: str, *, trigger: str = "inline") -> Outcome:
        return _lawful(super().inline(booking_id, trigger=trigger), booking_id)

    def job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        return _lawful(super().job(booking_id, trigger=trigger), booking_id)

    def run_job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        return _lawful(super().run_job(booking_id, trigger=trigger), booking_id)


class LawfulAsyncEngine(AsyncAutoAssign):
    """The asynchronous engine; the same."""

    async def inline(self, booking_id: str, *, trigger: str = "inline") -> Outcome:
        return _lawful(await super().inline(booking_id, trigger=trigger), booking_id)

    async def job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        return _lawful(await super().job(booking_id, trigger=trigger), booking_id)

    async def run_job(self, booking_id: str, *, trigger: str = "job") -> Outcome:
        return _lawful(await super().run_job(booking_id, trigger=trigger), booking_id)


def _lawful(outcome: Outcome, booking_id: str) -> Outcome:
    check_outcome(outcome, booking_id)
    return outcome
