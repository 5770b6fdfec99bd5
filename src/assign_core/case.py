"""A case for the rules: what they look at, what they answer, and the arithmetic of waiting that they share.

A wait is never longer than it is worth. It counts from the *start* of the last attempt, so a slow search is not waited
for twice; it is spread by a share that everybody who reads the same result computes alike; and it ends before the last
useful moment. Nothing here leaves the calendar, however odd the times are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zlib import crc32

from assign_core.booking import Booking
from assign_core.evidence import DATED, Evidence
from assign_core.last_result import LastResult, Strategy
from assign_core.policy import Policy
from assign_core.reasons import FailureClass, ReasonCode
from assign_core.word import Word


class Action(Word):
    """What to do with the booking now."""

    ATTEMPT = "attempt"
    WAIT = "wait"
    GIVE_UP = "give_up"
    ENSURE_EMAIL = "ensure_email"
    NONE = "none"


class Decision(NamedTuple):
    """What the policy answers.

    Attributes:
        action: what to do now.
        max_attempts: the retry budget, in job attempts.
        attempts_used: how many of them this revision has had.
        not_before: for ``wait``, when to look again (aware, UTC); else ``None``.
        parked: a ``wait`` of which the staff is told, since nothing that is known now will seat the guest. It ends at
            once when the capacity version grows (see :attr:`woken`), or else at ``not_before``.
        strategy: the planner's knobs for the next attempt.
        suppress_email: the guest has been written to about this revision.
        evidence: what the stored result is worth now.
        failure_class: of the stored result, if it is a failure.
        reason_code: of the stored result, if it is a failure.
        rules: the names of the rules that fired, the deciding one first.
    """

    action: Action
    max_attempts: int
    attempts_used: int
    not_before: datetime | None
    parked: bool
    strategy: Strategy
    suppress_email: bool
    evidence: Evidence
    failure_class: FailureClass | None
    reason_code: ReasonCode | None
    rules: tuple[str, ...]

    @property
    def woken(self) -> bool:
        """Parked until the capacity version grows, whatever the time."""
        return self.rules[0] == CAPACITY_UNCHANGED and self.parked


@dataclass(slots=True)
class Case:
    """Everything a rule may look at, worked out once."""

    booking: Booking
    last: LastResult | None
    policy: Policy
    now: datetime
    evidence: Evidence
    failure_class: FailureClass | None
    reason_code: ReasonCode | None
    attempted: bool
    attempts_used: int
    suppress_email: bool


class Standing(Word):
    """What a booking's status means to the core."""

    OPEN = "open"
    SEATED = "seated"
    CLOSED = "closed"
    NOT_OURS = "not_ours"


BUDGET_USED_UP: Final = "budget_used_up"
CAPACITY_UNCHANGED: Final = "capacity_unchanged"
EMAIL_ON_RECORD: Final = "email_on_record"

# Looking a member up on its class costs more than a rule does.
ATTEMPT: Final = Action.ATTEMPT
WAIT: Final = Action.WAIT
GIVE_UP: Final = Action.GIVE_UP

ONE_TICK: Final = timedelta(microseconds=1)
_LONGEST_SEARCH_MS: Final = 24 * 60 * 60 * 1000
"""A longer duration in a stored result is damage; believing it would only shorten the wait."""
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
_START_OF_TIME: Final = datetime.min.replace(tzinfo=UTC)


def later(moment: datetime, span: timedelta) -> datetime:
    """``moment + span``, held inside the calendar."""
    try:
        return moment + span
    except OverflowError:
        return _END_OF_TIME if span.days >= 0 else _START_OF_TIME


def answer(
    case: Case,
    action: Action,
    rules: tuple[str, ...],
    max_attempts: int,
    not_before: datetime | None = None,
    strategy: Strategy | None = None,
    parked: bool = False,
) -> Decision:
    """A decision about this case. Its strategy is the one that the last attempt used, if that is known."""
    if strategy is None:
        last = case.last
        if last is not None and last.strategy is not None and case.evidence in DATED:
            strategy = last.strategy
        else:
            strategy = case.policy.strategy
    return Decision(
        action,
        max_attempts,
        case.attempts_used,
        not_before,
        parked,
        strategy,
        case.suppress_email,
        case.evidence,
        case.failure_class,
        case.reason_code,
        rules,
    )


def within_budget(
    case: Case,
    rule: str,
    budget: int,
    not_before: datetime | None = None,
    strategy: Strategy | None = None,
    parked: bool = False,
) -> Decision:
    """Give up, wait or attempt: the end of every rule that allows another attempt. ``parked`` is of the wait."""
    if budget > case.policy.attempt_cap:
        budget = case.policy.attempt_cap
    if case.attempts_used >= budget:
        return answer(case, GIVE_UP, (rule, BUDGET_USED_UP), budget)
    if not_before is not None and not_before > case.now:
        not_before = _no_later_than_last_chance(case, not_before)
        if not_before > case.now:
            return answer(case, WAIT, (rule,), budget, not_before, strategy, parked)
    return answer(case, ATTEMPT, (rule,), budget, None, strategy)


def spread(seed: str) -> float:
    """From 0 to below 1: other for every seed, the same for all who read it."""
    return crc32(seed.encode("utf-8", "surrogatepass")) / 0x1_0000_0000


def jitter(case: Case, seconds: float) -> float:
    """A share of a delay, spread by the attempt's id."""
    last = case.last
    seed = case.booking.id if last is None or last.attempt_id is None else last.attempt_id
    return seconds * case.policy.jitter * spread(seed)


def backoff(case: Case, last: LastResult) -> datetime:
    """The earliest next attempt by the delay schedule, counted from the *start* of the last one."""
    seconds = case.policy.delay_after(case.attempts_used).total_seconds()
    seconds += jitter(case, seconds)
    if last.duration_ms:
        seconds -= min(last.duration_ms, _LONGEST_SEARCH_MS) / 1000
    return later(last.recorded_at, timedelta(0, seconds))


def _no_later_than_last_chance(case: Case, moment: datetime) -> datetime:
    """A put-off attempt still happens before the cutoff, as far as the delay schedule allows."""
    chance = last_chance(case)
    if chance is None or case.last is None or moment <= chance:
        return moment
    return min(moment, max(chance, backoff(case, case.last)))


def last_chance(case: Case) -> datetime | None:
    """The last moment at which a job that is due still begins before the cutoff; ``None``: no start is known."""
    start = case.booking.start_at
    return None if start is None else later(start, -(case.policy.cutoff + case.policy.dispatch_margin))
