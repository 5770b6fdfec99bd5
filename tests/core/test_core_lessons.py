"""A test for each lesson that the pure core answers for; the numbers are those of the list of lessons learnt elsewhere.

Where a lesson is about I/O, what is tested here is the part that the decision, the merge or the table of reasons has
in it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from assign_core import (
    CATALOGUE,
    Action,
    Booking,
    BookingStatus,
    EmailState,
    EmailVariant,
    EventName,
    Evidence,
    FailureClass,
    LastResult,
    Policy,
    ReasonCode,
    Severity,
    Source,
    Strategy,
    Unreadable,
    classify_reason,
    decide,
    merge,
)
from assign_core.last_result import record
from assign_core.reasons import CLASS_OF

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
DEFAULTS: Final = Policy()
BOOKING: Final = Booking(id="b", start_at=NOON + timedelta(hours=8))
CONFIRMED: Final = replace(BOOKING, status=BookingStatus.CONFIRMED.value)
FAILED: Final = LastResult(source=Source.INLINE, recorded_at=NOON, success=False, attempt_id="a0")
FULL: Final = replace(FAILED, reason="No suitable tables available")


ROOT: Final = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", range(1, 31))
def test_every_lesson_has_a_test_that_is_named_after_it(number: int) -> None:
    # By name only, so that a row of the list of lessons leads to its tests.
    folders = (ROOT / "tests", ROOT / "src" / "adapters" / "assign_testing")
    named = re.compile(rf"^ *(?:async )?def test_lesson_{number:02}_\w", re.MULTILINE)
    assert any(named.search(path.read_text(encoding="utf-8")) for folder in folders for path in folder.rglob("*.py"))


def test_lesson_02_a_late_confirm_makes_the_result_true() -> None:
    timed_out = replace(FAILED, reason="INLINE_TIMEOUT", recorded_at=NOON + 2 * SECOND)
    confirmed = replace(FAILED, success=True, recorded_at=NOON + SECOND)
    assert merge(timed_out, confirmed).success
    assert merge(confirmed, timed_out).success
    # A row that is still pending knows better than a result that says otherwise.
    assert decide(BOOKING, confirmed, policy=DEFAULTS, now=NOON + SECOND).action is Action.ATTEMPT


@pytest.mark.parametrize("ledger", [EmailState.CLAIMED, EmailState.SENT, EmailState.UNKNOWN])
def test_lesson_04_one_claim_speaks_to_every_path(ledger: EmailState) -> None:
    for last in (None, Unreadable("x"), FAILED, replace(FAILED, success=True, source=Source.JOB)):
        assert decide(replace(CONFIRMED, email=ledger), last, policy=DEFAULTS, now=NOON).suppress_email


def test_lesson_05_the_flag_is_seen_true() -> None:
    sent = replace(FAILED, success=True, email_sent=True, email_variant=EmailVariant.STANDARD)
    found = decide(CONFIRMED, sent, policy=DEFAULTS, now=NOON + timedelta(days=1))
    assert found.suppress_email
    assert "email_on_record" in found.rules
    # And stays so, whatever is recorded after it.
    failed = replace(FAILED, recorded_at=NOON + timedelta(hours=1), source=Source.JOB, attempt=1)
    now = failed.recorded_at
    for later in (
        merge(sent, failed),
        record(sent, failed, revision=0, now=now),
        record(failed, sent, revision=0, now=now),
    ):
        assert decide(CONFIRMED, later, policy=DEFAULTS, now=NOON + timedelta(days=1)).suppress_email


def test_lesson_06_a_confirm_alone_does_not_say_that_the_guest_was_written_to() -> None:
    for variant in (None, *EmailVariant):
        confirmed = replace(FAILED, success=True, email_variant=variant)
        assert not decide(CONFIRMED, confirmed, policy=DEFAULTS, now=NOON).suppress_email
    # A refusal for good is no acceptance.
    refused = replace(CONFIRMED, email=EmailState.FAILED)
    assert not decide(refused, replace(FAILED, success=True), policy=DEFAULTS, now=NOON).suppress_email


@pytest.mark.parametrize(
    ("text", "failure_class"),
    [
        ('conflicting key value violates exclusion constraint "no_overlapping_table_holds"', FailureClass.CONTENTION),
        ('new row for relation "table_holds" violates check constraint "window_valid"', FailureClass.INFRASTRUCTURE),
        ('insert or update on "table_holds" violates foreign key constraint "x_fkey"', FailureClass.INFRASTRUCTURE),
        ('null value in column "hold_id" violates not-null constraint', FailureClass.INFRASTRUCTURE),
        ("Failed to create hold", FailureClass.AMBIGUOUS),
        ("Failed to insert hold", FailureClass.AMBIGUOUS),
    ],
)
def test_lesson_11_only_an_exclusion_constraint_is_a_conflict(text: str, failure_class: FailureClass) -> None:
    assert classify_reason(text).failure_class is failure_class


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("AssignTablesRpcError: ... allocations_no_overlap", ReasonCode.OVERLAP),
        ("AssignTablesRpcError: lock wait timeout exceeded", ReasonCode.LOCK_TIMEOUT),
        ("IntegrityError: deadlock detected", ReasonCode.DEADLOCK),
        ("TimeoutError: No capacity", ReasonCode.NO_CAPACITY),
        ("AbortError: Hold conflicts prevented all candidates", ReasonCode.HOLD_CONFLICT),
        ("deadlock detected: BOOKING_CHANGED", ReasonCode.BOOKING_CHANGED),
        ("AssignTablesRpcError", ReasonCode.UNKNOWN),
    ],
)
def test_lesson_12_causes_beat_wrappers_and_codes_beat_text(text: str, code: ReasonCode) -> None:
    assert classify_reason(text).code is code
    # A stored code was chosen on purpose too.
    last = replace(FAILED, reason=text, reason_code=ReasonCode.RATE_LIMITED)
    assert decide(BOOKING, last, policy=DEFAULTS, now=NOON).reason_code is ReasonCode.RATE_LIMITED


def test_lesson_13_near_misses() -> None:
    assert classify_reason("Insufficient filtered capacity").failure_class is FailureClass.CAPACITY
    assert classify_reason("Insufficient global capacity").failure_class is FailureClass.PERMANENT
    assert classify_reason("No table lock acquired").failure_class is FailureClass.INFRASTRUCTURE
    assert classify_reason("No table assignments exist").failure_class is FailureClass.AMBIGUOUS


@pytest.mark.parametrize("code", ReasonCode)
def test_lesson_14_one_search_is_no_final_verdict(code: ReasonCode) -> None:
    last = replace(FAILED, reason_code=code)
    for age in (timedelta(0), SECOND, timedelta(minutes=5), timedelta(hours=2)):
        for seen, now_is in ((None, None), (5, 5), (5, 6), (None, 5), (5, None)):
            booking = replace(BOOKING, capacity_version=now_is)
            found = decide(booking, replace(last, capacity_version=seen), policy=DEFAULTS, now=NOON + age)
            if CLASS_OF[code] is not FailureClass.PERMANENT:
                assert found.action is not Action.GIVE_UP
            elif found.action is Action.GIVE_UP:
                assert found.evidence in {Evidence.FRESH, Evidence.REVALIDATED}


@pytest.mark.parametrize("code", ReasonCode)
@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_lesson_15_no_branch_forgets_the_age(code: ReasonCode, attempt: int) -> None:
    ages = (DEFAULTS.freshness + TICK, timedelta(days=300), -DEFAULTS.clock_skew - TICK, timedelta(days=-300))
    hint = NOON + timedelta(days=1)
    for age in ages:
        last = replace(FAILED, reason_code=code, attempt=attempt, retry_after=hint, recorded_at=NOON - age)
        found = decide(BOOKING, last, policy=DEFAULTS, now=NOON)
        assert found.evidence is (Evidence.STALE if age > timedelta(0) else Evidence.FUTURE)
        assert (found.action, found.max_attempts) == (Action.ATTEMPT, DEFAULTS.max_attempts)
        assert found.rules == ("no_usable_evidence",)


def test_lesson_16_skipping_an_attempt_calls_no_planner() -> None:
    for age in (timedelta(0), timedelta(minutes=2), DEFAULTS.freshness - TICK):
        found = decide(BOOKING, FULL, policy=DEFAULTS, now=NOON + age)
        assert found.action is Action.WAIT
        assert found.not_before == NOON + DEFAULTS.freshness
        # Put off, not counted.
        assert (found.attempts_used, found.max_attempts) == (0, 2)
    assert decide(BOOKING, FULL, policy=DEFAULTS, now=NOON + DEFAULTS.freshness).action is Action.ATTEMPT


def test_lesson_17_a_slow_planner_is_no_reason_to_search_wider() -> None:
    strict = Strategy(require_adjacency=True, max_tables=2)
    timed_out = replace(FAILED, reason="INLINE_TIMEOUT", strategy=strict)
    assert decide(BOOKING, timed_out, policy=DEFAULTS, now=NOON).strategy == strict
    assert not DEFAULTS.relax_after_timeout
    chosen = decide(BOOKING, timed_out, policy=Policy(relax_after_timeout=True), now=NOON)
    assert chosen.strategy == Strategy(require_adjacency=False, max_tables=2)


def test_lesson_18_only_evidence_proven_unchanged_answers_for_a_search() -> None:
    proven = replace(FULL, capacity_version=7)
    unchanged, changed = replace(BOOKING, capacity_version=7), replace(BOOKING, capacity_version=8)
    later = NOON + timedelta(minutes=20)
    assert decide(unchanged, proven, policy=DEFAULTS, now=later).parked
    assert decide(changed, proven, policy=DEFAULTS, now=NOON + TICK).action is Action.ATTEMPT
    # What is not proven puts an attempt off while it is fresh, and then counts for nothing.
    assert decide(BOOKING, FULL, policy=DEFAULTS, now=later).action is Action.ATTEMPT
    assert decide(unchanged, FULL, policy=DEFAULTS, now=later).action is Action.ATTEMPT
    assert decide(BOOKING, proven, policy=DEFAULTS, now=later).action is Action.ATTEMPT


@pytest.mark.parametrize("status", ["cancelled", "no_show", "completed", "waitlisted", "priority_waitlist", ""])
def test_lesson_22_nothing_is_attempted_for_a_booking_that_is_not_open(status: str) -> None:
    for last in (None, Unreadable("x"), FAILED, FULL, replace(FAILED, success=True)):
        found = decide(replace(BOOKING, status=status), last, policy=DEFAULTS, now=NOON)
        assert (found.action, found.not_before) == (Action.NONE, None)


def test_lesson_26_only_severities_that_a_store_admits_are_emitted() -> None:
    assert {spec.severity for spec in CATALOGUE.values()} <= {"info", "notice", "warning", "error", "critical"}
    assert Severity.NOTICE in {spec.severity for spec in CATALOGUE.values()}


def test_lesson_27_giving_up_has_one_meaning_at_a_time() -> None:
    near = replace(BOOKING, start_at=NOON + timedelta(minutes=5))
    used_up = replace(FAILED, reason="deadlock detected", attempt=4)
    hopeless = replace(FAILED, reason="Insufficient global capacity", attempt=4)
    assert decide(near, hopeless, policy=DEFAULTS, now=NOON).rules == ("cutoff",)
    assert decide(near, used_up, policy=DEFAULTS, now=NOON).rules == ("cutoff",)
    assert decide(BOOKING, hopeless, policy=DEFAULTS, now=NOON).rules == ("permanent_failure",)
    assert decide(BOOKING, used_up, policy=DEFAULTS, now=NOON).rules == ("infrastructure", "budget_used_up")
    told = {EventName.CUTOFF_SKIPPED, EventName.FAILED, EventName.HARD_STOP}
    assert len({CATALOGUE[name].meaning for name in told}) == len(told)
