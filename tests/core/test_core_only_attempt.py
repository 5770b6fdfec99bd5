"""Where the first job attempt is also the last: it waits no longer than what is known counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.conftest import NOON

from assign_core import Booking, LastResult, Policy, ReasonCode, Source, decide
from assign_core.case import Action


@pytest.mark.parametrize("budget", [1, 2])
def test_the_first_attempt_is_put_off_until_the_evidence_goes_stale_though_it_be_the_only_one(budget: int) -> None:
    """Put off to the last chance it would come hours late, and nobody would have looked in between."""
    policy = Policy(capacity_budget=budget, jitter=0.0)
    booking = Booking(id="b", start_at=NOON + timedelta(hours=7))
    last = LastResult(
        source=Source.INLINE,
        recorded_at=NOON,
        success=False,
        reason="No suitable tables available",
        reason_code=ReasonCode.NO_TABLES_AVAILABLE,
    )
    decision = decide(booking, last, policy=policy, now=NOON)
    assert (decision.action, decision.rules[0]) == (Action.WAIT, "capacity_fresh")
    assert decision.not_before == NOON + policy.freshness
