"""What to do with a booking now: attempt, wait, give up, or see to the e-mail.

:func:`decide` works out the case once (what the evidence is worth, how much of the budget is used, whether the guest
has been written to) and walks the table of :mod:`assign_core.rules`: the first rule that has an answer gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import product
from typing import Final

from assign_core.booking import CLOSED, OPEN, SEATED, Booking, EmailState
from assign_core.case import BUDGET_USED_UP, EMAIL_ON_RECORD, Action, Case, Decision, Standing
from assign_core.errors import aware
from assign_core.evidence import Evidence, weigh
from assign_core.last_result import EmailVariant, LastResult, Unreadable
from assign_core.policy import Policy
from assign_core.reasons import CLASS_OF, FailureClass, classify_reason
from assign_core.rules import RULES, Rule

__all__ = ["BUDGET_USED_UP", "EMAIL_ON_RECORD", "RULES", "Action", "Decision", "Rule", "decide"]

_STANDING: Final = {
    **dict.fromkeys(OPEN, Standing.OPEN),
    **dict.fromkeys(SEATED, Standing.SEATED),
    **dict.fromkeys(CLOSED, Standing.CLOSED),
}

_NOT_OURS: Final = Standing.NOT_OURS

_Key = tuple[Standing, Evidence, FailureClass | None]


def _applies(rule: Rule, key: _Key) -> bool:
    standing, evidence, failure = key
    return (
        rule.standing in {None, standing}
        and (rule.evidence is None or evidence in rule.evidence)
        and (rule.failure is None or rule.failure is failure)
    )


_INDEX: Final[dict[_Key, tuple[Callable[[Case], Decision | None], ...]]] = {
    key: tuple(rule.answer for rule in RULES if _applies(rule, key))
    for key in product(Standing, Evidence, (*FailureClass, None))
}
"""The table, looked up by what its rows declare: a decision asks the two to five rules that can apply."""


def _written_to(booking: Booking, last: LastResult | None) -> bool:
    """The guest has, or is about to have, the confirmation of this revision."""
    if booking.email is not None and booking.email is not EmailState.FAILED:
        return True
    # Unlike evidence the flag does not go stale; but it speaks for one revision and one variant only.
    return (
        last is not None
        and last.email_sent
        and last.revision == booking.revision
        and (last.email_variant is None or last.email_variant is EmailVariant.of(booking.revision))
    )


def decide(booking: Booking, last: LastResult | Unreadable | None, *, policy: Policy, now: datetime) -> Decision:
    """What to do with ``booking``, given what its last attempt found.

    Total and pure: every booking and every stored value has a decision, and the same inputs have the same one.

    Raises:
        NaiveTime: ``now`` has no zone.
    """
    now = aware("now", now)
    evidence = weigh(last, booking, now, policy.freshness, policy.clock_skew, policy.revalidation_limit)
    failure_class = code = known = None
    attempted = False
    if isinstance(last, LastResult):
        known = last
        attempted = last.revision == booking.revision
        if not last.success:
            code = last.reason_code
            if code is None:
                code = classify_reason(last.reason).code
            failure_class = CLASS_OF[code]
    case = Case(
        booking,
        known,
        policy,
        now,
        evidence,
        failure_class,
        code,
        attempted,
        known.attempt if known is not None and attempted else 0,
        _written_to(booking, known),
    )
    standing = _STANDING.get(booking.status, _NOT_OURS)
    for answer in _INDEX[standing, evidence, failure_class]:
        decision = answer(case)
        if decision is not None:
            return decision
    raise AssertionError("the table's last row has no condition")  # pragma: no cover - for the type checker only
