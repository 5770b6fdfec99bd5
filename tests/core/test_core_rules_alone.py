"""A rule is right by itself: asked of a case that the table would not send to it, it passes instead of breaking."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.conftest import NOON

from assign_core import RULES, Booking, BookingStatus, Policy
from assign_core.case import Case
from assign_core.evidence import Evidence
from assign_core.rules import Rule

ABOUT_RESULTS = [rule for rule in RULES if rule.failure is not None]


@pytest.mark.parametrize("rule", ABOUT_RESULTS, ids=lambda rule: rule.names[0])
def test_a_rule_about_a_result_passes_where_there_is_none(rule: Rule) -> None:
    booking = Booking(id="b", status=BookingStatus.PENDING, start_at=NOON + timedelta(hours=5))
    case = Case(
        booking=booking,
        last=None,
        policy=Policy(),
        now=NOON,
        evidence=Evidence.ABSENT,
        failure_class=None,
        reason_code=None,
        attempted=False,
        attempts_used=0,
        suppress_email=False,
    )
    assert rule.answer(case) is None
