"""A decision in plain words: the sentences, one for each thing that can be known, decided or waited for.

They are read by people who answer guests, so they are spelled out. That every decision *has* words, whatever the case,
is a law of its own.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_core import (
    RULES,
    Booking,
    BookingStatus,
    EmailState,
    Explanation,
    LastResult,
    Policy,
    ReasonCode,
    Source,
    Unreadable,
    decide,
    explain,
)
from assign_core.explain import span_in_words

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
DEFAULTS: Final = Policy(jitter=0.0, revalidation_share=0.0)
BOOKING: Final = Booking(id="b-7", start_at=NOON + timedelta(hours=7, minutes=30))
FULL: Final = LastResult(
    source=Source.INLINE,
    recorded_at=NOON - timedelta(minutes=1),
    success=False,
    reason="No suitable tables available",
    reason_code=ReasonCode.NO_TABLES_AVAILABLE,
    attempt_id="a0",
)


def said(booking: Booking, last: LastResult | Unreadable | None = None) -> tuple[str, ...]:
    decision = decide(booking, last, policy=DEFAULTS, now=NOON)
    return explain(booking, last, decision, now=NOON)


def test_a_booking_that_waits_is_told_in_whole() -> None:
    assert said(BOOKING, FULL) == (
        "Booking b-7 is pending, revision 0; it starts in 7 h 30 min.",
        (
            "The last inline attempt, 1 min ago, failed: No suitable tables available (no_tables_available, capacity); "
            "this is fresh."
        ),
        "Wait until 2026-03-14T12:04:00Z (in 4 min).",
        "Job attempts used: 0 of 2.",
        (
            "Rule capacity_fresh: Fresh capacity failure, no capacity version to compare. Then wait until it goes "
            "stale, but no longer than to the last chance before the cutoff (or the delay, if that is later); capacity "
            "budget."
        ),
    )


def test_a_booking_without_anything_known_is_told_in_whole() -> None:
    assert said(Booking(id="b-8", status="pending_allocation", revision=2)) == (
        "Booking b-8 is pending_allocation, revision 2; its start is not known.",
        "No attempt is on record.",
        "Call the planner now.",
        "Job attempts used: 0 of 4.",
        (
            "Rule no_usable_evidence: Absent, stale, unreadable, from the future, or of an older revision; or a "
            "success that the row does not show. Then attempt now; full budget."
        ),
    )


def test_a_seated_booking_whose_guest_was_written_to_is_told_in_whole() -> None:
    seated = replace(BOOKING, status=BookingStatus.CONFIRMED.value, email=EmailState.SENT)
    success = replace(FULL, success=True, reason=None, reason_code=None, source=Source.JOB, attempt=1)
    assert said(seated, success) == (
        "Booking b-7 is confirmed, revision 0; it starts in 7 h 30 min.",
        "The last job attempt, 1 min ago, confirmed the booking; this is fresh.",
        "No search: the booking has its table. See to it that the guest has been written to.",
        "The guest has been written to about this revision: no further confirmation.",
        "Rule already_confirmed: The status is confirmed or checked in. Then ensure_email.",
        (
            "Rule email_on_record: The ledger, or the e-mail flag of this revision and variant, says that the guest "
            "has been written to. The flag does not go stale. Then no further confirmation."
        ),
    )


@pytest.mark.parametrize(
    ("start_at", "words"),
    [
        (NOON + timedelta(seconds=59), "it starts in 59 s."),
        (NOON, "it starts now."),
        (NOON - timedelta(hours=1), "it started 1 h ago."),
    ],
)
def test_a_start_is_told_from_either_side(start_at: datetime, words: str) -> None:
    assert said(replace(BOOKING, start_at=start_at))[0].endswith(words)


VERSIONED: Final = replace(BOOKING, capacity_version=5)
CONFIRMED: Final = replace(FULL, success=True, reason=None, reason_code=None)


@pytest.mark.parametrize(
    ("booking", "last", "words"),
    [
        (BOOKING, Unreadable("cut off"), "The stored result cannot be read and counts for nothing: cut off."),
        (
            BOOKING,
            replace(FULL, reason=None),
            "failed: no reason given (no_tables_available, capacity); this is fresh.",
        ),
        (BOOKING, replace(FULL, reason=""), "failed: no reason given (no_tables_available, capacity); this is fresh."),
        (BOOKING, replace(FULL, recorded_at=NOON), "The last inline attempt, 0 ms ago, failed"),
        (BOOKING, replace(FULL, recorded_at=NOON + timedelta(hours=1)), "1 h in the future, failed"),
        (
            BOOKING,
            replace(FULL, recorded_at=NOON + timedelta(hours=1)),
            "this is from the future, so it is ignored.",
        ),
        (BOOKING, replace(FULL, recorded_at=NOON - timedelta(hours=1)), "1 h ago, failed"),
        (BOOKING, replace(FULL, recorded_at=NOON - timedelta(hours=1)), "; this is stale."),
        (replace(BOOKING, revision=1), FULL, "; this is about an older revision, so it is ignored."),
        (
            VERSIONED,
            replace(FULL, capacity_version=5),
            "; this is still true, because nothing has become free since.",
        ),
        # A success is not made true by its age or by a version: the row shows it, or does not.
        (BOOKING, CONFIRMED, "confirmed the booking; but the row does not show it any more."),
        (BOOKING, replace(CONFIRMED, recorded_at=NOON - timedelta(hours=1)), "confirmed the booking; this is stale."),
        (
            VERSIONED,
            replace(CONFIRMED, capacity_version=5),
            "confirmed the booking; but the row does not show it any more.",
        ),
        (
            replace(VERSIONED, status=BookingStatus.CONFIRMED.value),
            replace(CONFIRMED, capacity_version=5),
            "confirmed the booking; this is fresh.",
        ),
    ],
)
def test_what_is_known_is_told_with_its_worth(booking: Booking, last: LastResult | Unreadable, words: str) -> None:
    assert words in said(booking, last)[1]


@pytest.mark.parametrize(
    ("booking", "last", "words"),
    [
        (
            VERSIONED,
            replace(FULL, capacity_version=5),
            "Wait until 2026-03-14T12:30:00Z (in 30 min), or until seats become free.",
        ),
        (
            BOOKING,
            replace(FULL, reason_code=ReasonCode.PARTY_TOO_LARGE),
            "Give up: no further search. The booking stays as it is, and the staff is told once.",
        ),
        (replace(BOOKING, status="cancelled"), FULL, "Nothing to do: the booking is not open."),
    ],
)
def test_what_follows_is_told(booking: Booking, last: LastResult, words: str) -> None:
    assert said(booking, last)[2] == words


def test_the_attempts_are_counted_only_where_another_could_be_made() -> None:
    counted = [line for line in said(replace(BOOKING, status="cancelled")) if "attempts used" in line]
    assert not counted
    gone = said(BOOKING, replace(FULL, reason_code=ReasonCode.PARTY_TOO_LARGE, attempt=3))
    assert gone[3] == "Job attempts used: 3 of 4."


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "0 ms"),
        (timedelta(milliseconds=5), "5 ms"),
        (timedelta(microseconds=999_400), "999 ms"),
        (timedelta(seconds=1), "1 s"),
        (timedelta(seconds=59.4), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(seconds=61), "1 min 1 s"),
        (timedelta(minutes=59, seconds=59.6), "1 h"),
        (timedelta(hours=1, seconds=1), "1 h 1 s"),
        (timedelta(hours=23, minutes=59, seconds=59), "23 h 59 min"),
        (timedelta(days=1), "1 d"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(minutes=-3), "3 min"),
        (timedelta(milliseconds=-3), "3 ms"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(span: timedelta, words: str) -> None:
    assert span_in_words(span) == words


@given(st.from_type(Booking), st.none() | st.builds(Unreadable, st.text()) | st.from_type(LastResult))
def test_every_decision_has_words_for_each_of_its_rules(booking: Booking, last: LastResult | Unreadable | None) -> None:
    decision = decide(booking, last, policy=DEFAULTS, now=NOON)
    explanation = Explanation(booking, last, NOON, decision)
    assert explanation.lines == explain(booking, last, decision, now=NOON)
    told = [line for line in explanation.lines if line.startswith("Rule ")]
    assert len(told) == len(decision.rules)
    for line, name in zip(told, decision.rules, strict=True):
        assert line.startswith(f"Rule {name}: ")
        assert " Then " in line
        assert line.endswith(".")


def test_the_words_of_a_rule_are_those_of_the_table() -> None:
    (part,) = (part for rule in RULES for part in rule.parts if part.name == "start_passed")
    told = said(replace(BOOKING, start_at=NOON))[-1]
    assert told == f"Rule start_passed: {part.when} Then give_up."
    assert part.then == "`give_up`"


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (4, "this is from the future, so its finding is ignored; its 4 attempts count."),
        (1, "this is from the future, so its finding is ignored; its attempt counts."),
        (0, "this is from the future, so it is ignored."),
    ],
)
def test_attempts_count_although_their_finding_is_ignored(attempt: int, words: str) -> None:
    tomorrow = replace(FULL, source=Source.JOB, recorded_at=NOON + timedelta(days=1), attempt=attempt)
    assert said(BOOKING, tomorrow)[1].endswith(words)


def test_a_budget_used_up_contradicts_nothing() -> None:
    lines = said(BOOKING, replace(FULL, source=Source.JOB, recorded_at=NOON + timedelta(days=1), attempt=4))
    assert lines[2].startswith("Give up")
    assert lines[3] == "Job attempts used: 4 of 4."
    assert lines[4].endswith("Then attempt now; full budget.")
    assert lines[5] == (
        "Rule budget_used_up: The rule allows another attempt, but this revision's job attempts have used up its "
        "budget. An attempt counts although its finding may not, stale or from the future: a wrong clock makes no "
        "attempt free. Then give_up instead."
    )


def test_a_rule_with_several_parts_of_one_name_is_told_with_all_of_them() -> None:
    unknown = replace(FULL, reason="AbortError", reason_code=ReasonCode.ABORTED)
    told = said(BOOKING, unknown)[-1]
    assert told.startswith("Rule outcome_unknown: ")
    (rule,) = (rule for rule in RULES if "outcome_unknown" in rule.names)
    for part in rule.parts:
        assert part.when.replace("*", "") in told
    assert "ambiguous budget. The same, of a job's own attempt. Then wait for the delay first; " in told
