"""The policy's decision as one ordered table of conditions over plain facts, for engines that know only such tables.

It is the part that such an engine can do: which action, by which rule. What our ``decide`` does beyond it is not in it:
the time of the next attempt, the retry budget, the next strategy. And what the facts rest on is done for the engines
beforehand and not measured: classifying the reason, weighing the evidence, subtracting times. So the comparison leans
towards them. That their answers are ours is checked on every case before anything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final, Literal

from assign_core import Action, Booking, LastResult, Policy, ReasonCode, Source, decide
from assign_core.evidence import DATED, USABLE, version_grown, version_holds, weigh

Fact = str | int | bool
Facts = dict[str, Fact]
NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
POLICY: Final = Policy(jitter=0.0, revalidation_share=0.0)
_FAR: Final = 10**9
"""Seconds to a start that is not known."""


@dataclass(frozen=True)
class Condition:
    """One test of one fact."""

    fact: str
    test: Literal["==", "<=", "<", ">=", ">", "in", "not in"]
    value: Fact | tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """The first row whose conditions all hold decides."""

    rule: str
    action: Action
    conditions: tuple[Condition, ...]


def _row(rule: str, action: Action, *conditions: tuple[str, str, Fact | tuple[str, ...]]) -> Row:
    return Row(rule, action, tuple(Condition(fact, test, value) for fact, test, value in conditions))  # type: ignore[arg-type]  # the tests below are the literals


def _of_class(name: str, budget: int) -> tuple[Row, ...]:
    usable = (("failure", "==", name), ("usable", "==", True))
    return (
        _row(f"{name}_used_up", Action.GIVE_UP, *usable, ("attempts", ">=", budget)),
        _row(f"{name}_wait", Action.WAIT, *usable, ("wait_left", ">", 0)),
        _row(name, Action.ATTEMPT, *usable),
    )


_CAPACITY: Final = (("failure", "==", "capacity"), ("dated", "==", True))
TABLE: Final = (
    _row("status_closed", Action.NONE, ("status", "in", ("cancelled", "no_show", "completed"))),
    _row("already_confirmed", Action.ENSURE_EMAIL, ("status", "in", ("confirmed", "checked_in"))),
    _row("status_not_ours", Action.NONE, ("status", "not in", ("pending", "pending_allocation"))),
    _row("start_passed", Action.GIVE_UP, ("start_in", "<=", 0)),
    _row("cutoff", Action.GIVE_UP, ("attempted", "==", True), ("start_in", "<", 600)),
    _row(
        "permanent_failure",
        Action.GIVE_UP,
        ("failure", "==", "permanent"),
        ("usable", "==", True),
        ("grown", "==", False),
    ),
    _row("capacity_cap", Action.GIVE_UP, *_CAPACITY, ("grown", "==", True), ("attempts", ">=", POLICY.attempt_cap)),
    _row("capacity_changed", Action.ATTEMPT, *_CAPACITY, ("grown", "==", True)),
    _row("capacity_unchanged", Action.WAIT, *_CAPACITY, ("holds", "==", True)),
    *_of_class("capacity", POLICY.capacity_budget),
    *_of_class("contention", POLICY.max_attempts),
    *_of_class("rejected", POLICY.rejected_budget),
    *_of_class("ambiguous", POLICY.ambiguous_budget),
    *_of_class("infrastructure", POLICY.max_attempts),
    _row("budget_used_up", Action.GIVE_UP, ("attempts", ">=", POLICY.max_attempts)),
    _row("no_usable_evidence", Action.ATTEMPT),
)


@dataclass(frozen=True)
class Case:
    """What ours is asked with, and the same as plain facts."""

    booking: Booking
    last: LastResult | None
    facts: Facts

    def ours(self) -> Action:
        return decide(self.booking, self.last, policy=POLICY, now=NOON).action


def _facts(booking: Booking, last: LastResult | None) -> Facts:
    evidence = weigh(last, booking, NOON, POLICY.freshness, POLICY.clock_skew, POLICY.revalidation_limit)
    failure_class = None if last is None else last.failure_class
    start = booking.start_at
    return {
        "status": booking.status,
        "start_in": _FAR if start is None else _seconds(start - NOON),
        "attempted": last is not None,
        "failure": "none" if failure_class is None else failure_class.value,
        "usable": evidence in USABLE,
        "dated": evidence in DATED,
        "grown": last is not None and version_grown(last, booking),
        "holds": last is not None and version_holds(last, booking),
        "attempts": 0 if last is None else last.attempt,
        "wait_left": 0 if last is None else _wait_left(last, start),
    }


def _wait_left(last: LastResult, start: datetime | None) -> int:
    """Seconds until the rule of the failure's class would search again."""
    match last.failure_class:
        case "capacity":
            until = last.recorded_at + POLICY.freshness
            if last.attempt == POLICY.capacity_budget - 1 and start is not None:
                until = max(until, start - POLICY.cutoff - POLICY.dispatch_margin)
        case "ambiguous" if last.attempt == 0:
            until = NOON
        case _:
            until = last.recorded_at - timedelta(milliseconds=last.duration_ms or 0) + POLICY.delay_after(last.attempt)
            if last.failure_class == "contention" and last.retry_after is not None:
                until = last.retry_after
    return _seconds(until - NOON)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


_REASONS: Final = (
    ReasonCode.NO_TABLES_AVAILABLE,
    ReasonCode.PARTY_TOO_LARGE,
    ReasonCode.ZONE_LOCKED,
    ReasonCode.HOLD_CONFLICT,
    ReasonCode.DEADLOCK,
    ReasonCode.ABORTED,
)
_STATUSES: Final = ("pending", "pending_allocation", "confirmed", "cancelled", "waitlisted")


def cases() -> tuple[Case, ...]:
    """Every combination that matters to some row: classes, ages, versions, numbers of attempts, starts, statuses."""
    found = []
    for status, start in product(_STATUSES, (None, 7 * 3600, 300, -60)):
        start_at = None if start is None else NOON + timedelta(seconds=start)
        for code, age, seen, attempt in product(_REASONS, (3, 30, 300, 400), (None, 10, 11), (0, 1, 2, 4, 11)):
            last = LastResult(
                source=Source.INLINE if attempt == 0 else Source.JOB,
                recorded_at=NOON - timedelta(seconds=age),
                success=False,
                reason=code.value,
                reason_code=code,
                attempt=attempt,
                duration_ms=1000,
                capacity_version=seen,
                attempt_id="00ada6f5",
                retry_after=NOON + timedelta(seconds=20) if code is ReasonCode.HOLD_CONFLICT and age < 30 else None,
            )
            booking = Booking(id="9a40c1de", status=status, start_at=start_at, capacity_version=11)
            found.append(Case(booking, last, _facts(booking, last)))
        booking = Booking(id="9a40c1de", status=status, start_at=start_at)
        found.append(Case(booking, None, _facts(booking, None)))
    return tuple(found)
