"""The table of rules, in order: what is looked at, and what follows.

Each row names itself, says in words when it applies and what it answers, and carries the function that does. A
decision's rules and the documentation's table come from the same rows, so neither can drift from what is done.

Three ideas carry the table. *Evidence may only shrink a budget while it is proven or fresh*; otherwise the full budget
counts. *Waiting is not counting*: a skipped search is put off, never ticked off. *Capacity has a version*, so "nothing
has become free" is something one can know for the price of a read, and a booking that waits for it is *parked*: it
costs no search, and news buys it one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from assign_core.case import (
    ATTEMPT,
    BUDGET_USED_UP,
    CAPACITY_UNCHANGED,
    EMAIL_ON_RECORD,
    GIVE_UP,
    ONE_TICK,
    WAIT,
    Action,
    Case,
    Decision,
    Standing,
    answer,
    backoff,
    jitter,
    last_chance,
    later,
    spread,
    within_budget,
)
from assign_core.evidence import DATED, USABLE, Evidence, version_grown, version_holds
from assign_core.last_result import Source, Strategy
from assign_core.policy import AT_ONCE
from assign_core.reasons import FailureClass, ReasonCode


@dataclass(frozen=True, slots=True)
class Words:
    """What a decision calls by this name, for people: when it is so, and what follows."""

    name: str
    when: str
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of the table.

    Attributes:
        parts: its words. A rule with several names, or answers, has several; the last that applies decides.
        answer: the answer, for :func:`decide`; ``None`` passes on to the next row.
        standing, evidence, failure: where the row can apply at all; ``None``: everywhere.
    """

    parts: tuple[Words, ...]
    answer: Callable[[Case], Decision | None]
    standing: Standing | None = Standing.OPEN
    evidence: frozenset[Evidence] | None = None
    failure: FailureClass | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a decision may call the rule."""
        return tuple(dict.fromkeys(part.name for part in self.parts))


# The rules' answers, in the order of the table below.


def _closed(case: Case) -> Decision | None:
    return answer(case, Action.NONE, ("status_closed",), case.policy.max_attempts)


def _not_ours(case: Case) -> Decision | None:
    return answer(case, Action.NONE, ("status_not_ours",), case.policy.max_attempts)


def _seated(case: Case) -> Decision | None:
    rules = ("already_confirmed", EMAIL_ON_RECORD) if case.suppress_email else ("already_confirmed",)
    return answer(case, Action.ENSURE_EMAIL, rules, case.policy.max_attempts)


def _too_late(case: Case) -> Decision | None:
    start = case.booking.start_at
    if start is None:
        return None
    left = start - case.now
    if left.days < 0 or not left:
        return answer(case, GIVE_UP, ("start_passed",), case.policy.max_attempts)
    if case.attempted and left < case.policy.cutoff:
        return answer(case, GIVE_UP, ("cutoff",), case.policy.max_attempts)
    return None


def _permanent(case: Case) -> Decision | None:
    # Freed seats cannot shorten a meal, but a table added may seat a party that was larger than the house.
    if case.last is None or version_grown(case.last, case.booking):
        return None
    return answer(case, GIVE_UP, ("permanent_failure",), case.policy.max_attempts)


def _capacity_changed(case: Case) -> Decision | None:
    if case.last is None or not version_grown(case.last, case.booking):
        return None
    budget = max(case.policy.max_attempts, case.attempts_used + 1)
    start, window = case.booking.start_at, case.policy.wake_window
    # Until the window opens the version would only say again what is known, so the wait is for the time alone.
    opens = None if start is None or window == AT_ONCE else later(start, -window)
    return within_budget(case, "capacity_changed", budget, opens, parked=True)


def _capacity_unchanged(case: Case) -> Decision | None:
    last = case.last
    if last is None or not version_holds(last, case.booking):
        return None
    policy = case.policy
    # Searching for every parked booking once more would be a quarter of what not sharing costs; a sample tells as
    # surely whether the host's versions can be trusted.
    if case.attempts_used == 0 and spread(case.booking.id) < policy.revalidation_share:
        look_again = later(last.recorded_at, policy.revalidation_limit)
        if look_again <= case.now:
            return answer(case, ATTEMPT, ("revalidation_due",), policy.max_attempts)
    else:
        # A search would need news, but a row is cheap to read, and its status may change unheard.
        look_again = later(case.now, policy.revalidation_limit)
    start = case.booking.start_at
    if start is not None:
        # One tick past the cutoff, where the next look gives up.
        look_again = min(look_again, max(later(start, ONE_TICK - policy.cutoff), later(case.now, ONE_TICK)))
    return answer(case, WAIT, (CAPACITY_UNCHANGED,), policy.max_attempts, look_again, parked=True)


def _capacity_fresh(case: Case) -> Decision | None:
    last = case.last
    if last is None:
        return None
    budget = min(case.policy.capacity_budget, case.policy.max_attempts)
    stale_at = later(last.recorded_at, case.policy.freshness)
    # The first job attempt is put off no longer than the evidence counts. The last one is worth most where it finds
    # whatever was freed until then: spent after minutes, it leaves hours in which freed seats go unused.
    if 0 < case.attempts_used == budget - 1:
        chance = last_chance(case)
        if chance is not None and chance > stale_at and chance > case.now:
            return answer(case, WAIT, ("last_chance",), budget, chance, parked=True)
    return within_budget(case, "capacity_fresh", budget, stale_at)


def _contention(case: Case) -> Decision | None:
    last = case.last
    if last is None:
        return None
    if last.retry_after is None or last.retry_after <= last.recorded_at:
        not_before = backoff(case, last)
    else:
        # A hint counts no longer than the evidence that it came with.
        apart = jitter(case, case.policy.delays[0].total_seconds())
        hint = later(last.retry_after, timedelta(0, apart))
        not_before = min(hint, later(last.recorded_at, case.policy.freshness))
    return within_budget(case, "contention", case.policy.max_attempts, not_before)


def _rejected(case: Case) -> Decision | None:
    last = case.last
    if last is None:
        return None
    budget = min(case.policy.rejected_budget, case.policy.max_attempts)
    return within_budget(case, "plan_rejected", budget, backoff(case, last))


def _ambiguous(case: Case) -> Decision | None:
    last, policy = case.last, case.policy
    if last is None:
        return None
    strategy = None
    if policy.relax_after_timeout and case.reason_code is ReasonCode.TIMEOUT:
        kept = policy.strategy if last.strategy is None else last.strategy
        strategy = Strategy(require_adjacency=False, max_tables=kept.max_tables)
    # The first job may follow an inline attempt at once; a job that follows a job keeps the delay.
    not_before = backoff(case, last) if case.attempts_used else None
    budget = min(policy.ambiguous_budget, policy.max_attempts)
    if case.attempts_used and last.source is Source.JOB and case.reason_code is ReasonCode.TIMEOUT:
        # A search that used up a job's deadline was of the long kind that finds nothing, or the planner hangs. Another
        # at once meets the same; fewer, further apart, cost less and outlast a hang that three in a row do not.
        not_before = later(last.recorded_at, policy.freshness)
        budget = min(budget, policy.capacity_budget)
    return within_budget(case, "outcome_unknown", budget, not_before, strategy)


def _infrastructure(case: Case) -> Decision | None:
    last = case.last
    if last is None:
        return None
    return within_budget(case, "infrastructure", case.policy.max_attempts, backoff(case, last))


def _no_usable_evidence(case: Case) -> Decision | None:
    return within_budget(case, "no_usable_evidence", case.policy.max_attempts)


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        parts=(Words("status_closed", "The status is cancelled, no-show or completed.", "`none`"),),
        answer=_closed,
        standing=Standing.CLOSED,
    ),
    Rule(
        parts=(Words("status_not_ours", "The status is one the core does not know, such as a waitlist's.", "`none`"),),
        answer=_not_ours,
        standing=Standing.NOT_OURS,
    ),
    Rule(
        parts=(Words("already_confirmed", "The status is confirmed or checked in.", "`ensure_email`"),),
        answer=_seated,
        standing=Standing.SEATED,
    ),
    Rule(
        parts=(
            Words("start_passed", "The start has passed.", "`give_up`"),
            Words("cutoff", "The start is nearer than the cutoff, and an attempt has been made.", "`give_up`"),
        ),
        answer=_too_late,
    ),
    Rule(
        parts=(
            Words(
                "permanent_failure",
                "Fresh or revalidated *permanent* failure, and the capacity version has not grown.",
                "`give_up` at once, with the reason.",
            ),
        ),
        answer=_permanent,
        evidence=USABLE,
        failure=FailureClass.PERMANENT,
    ),
    Rule(
        parts=(
            Words(
                "capacity_changed",
                "*Capacity* failure of an older capacity version.",
                "`attempt`, full budget. Beyond it the change buys one more search, up to the cap.",
            ),
            Words(
                "capacity_changed",
                "The same, and the start is farther away than the wake window.",
                "`wait`, parked, for that window, but no longer than to the last chance before the cutoff.",
            ),
        ),
        answer=_capacity_changed,
        evidence=DATED,
        failure=FailureClass.CAPACITY,
    ),
    Rule(
        parts=(
            Words(
                CAPACITY_UNCHANGED,
                "*Capacity* failure, and the capacity version has not grown.",
                "`wait`, parked, until the version grows, looking again at the revalidation limit and at the cutoff.",
            ),
            Words(
                "revalidation_due",
                "The same, and there was no real search for the revalidation limit, no job has attempted yet, and the "
                "booking is in the revalidation share.",
                "`attempt`",
            ),
        ),
        answer=_capacity_unchanged,
        evidence=DATED,
        failure=FailureClass.CAPACITY,
    ),
    Rule(
        parts=(
            Words(
                "capacity_fresh",
                "Fresh *capacity* failure, no capacity version to compare.",
                "`wait` until it goes stale, but no longer than to the last chance before the cutoff (or the delay, if "
                "that is later); capacity budget.",
            ),
            Words(
                "last_chance",
                "The same, and a job has searched, and may once more.",
                "`wait`, parked, for that last chance.",
            ),
        ),
        answer=_capacity_fresh,
        evidence=USABLE,
        failure=FailureClass.CAPACITY,
    ),
    Rule(
        parts=(
            Words(
                "contention",
                "Fresh or revalidated *contention*.",
                "`wait` until the blocking hold expires plus jitter, or for the delay if that is not known; full "
                "budget.",
            ),
        ),
        answer=_contention,
        evidence=USABLE,
        failure=FailureClass.CONTENTION,
    ),
    Rule(
        parts=(
            Words(
                "plan_rejected",
                "Fresh or revalidated *rejected* plan.",
                "`wait` for the delay; rejected budget.",
            ),
        ),
        answer=_rejected,
        evidence=USABLE,
        failure=FailureClass.REJECTED,
    ),
    Rule(
        parts=(
            Words(
                "outcome_unknown",
                "Fresh or revalidated *ambiguous* outcome, and the row, just read, is still pending.",
                "`attempt`, same strategy; ambiguous budget.",
            ),
            Words(
                "outcome_unknown",
                "The same, of a job's own attempt.",
                "`wait` for the delay first; ambiguous budget.",
            ),
            Words(
                "outcome_unknown",
                "The same, and that attempt ended by *timeout*.",
                "`wait` until it goes stale, as after a fresh capacity failure; the smaller of both budgets.",
            ),
        ),
        answer=_ambiguous,
        evidence=USABLE,
        failure=FailureClass.AMBIGUOUS,
    ),
    Rule(
        parts=(
            Words(
                "infrastructure",
                "Fresh or revalidated *infrastructure* failure.",
                "`wait` for the delay; full budget.",
            ),
        ),
        answer=_infrastructure,
        evidence=USABLE,
        failure=FailureClass.INFRASTRUCTURE,
    ),
    Rule(
        parts=(
            Words(
                "no_usable_evidence",
                "Absent, stale, unreadable, from the future, or of an older revision; or a success that the row does "
                "not show.",
                "`attempt` now; full budget.",
            ),
        ),
        answer=_no_usable_evidence,
    ),
)
"""The table, in order: the first rule that has an answer decides."""

MODIFIERS: Final[tuple[Words, ...]] = (
    Words(
        BUDGET_USED_UP,
        "The rule allows another attempt, but this revision's job attempts have used up its budget. An attempt counts "
        "although its finding may not, stale or from the future: a wrong clock makes no attempt free.",
        "`give_up` instead",
    ),
    Words(
        EMAIL_ON_RECORD,
        "The ledger, or the e-mail flag of this revision and variant, says that the guest has been written to. The "
        "flag does not go stale.",
        "no further confirmation",
    ),
)
"""What changes a rule's answer; a decision names it after the rule."""
