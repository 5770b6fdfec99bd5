"""Two memories of one booking become one, whatever the order in which they arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import permutations
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assign_core import (
    Booking,
    EmailVariant,
    LastResult,
    Policy,
    ReasonCode,
    Source,
    Strategy,
    Unreadable,
    decide,
    merge,
)
from assign_core.last_result import record

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
FAILED: Final = LastResult(source=Source.JOB, recorded_at=NOON, success=False)
results = st.from_type(LastResult)


@st.composite
def rivals(draw: st.DrawFn, count: int) -> list[LastResult]:
    """Results of one booking that differ in little: where a tie has to be broken, every field counts."""
    first, second = draw(results), draw(results)
    names = list(FAILED.__dataclass_fields__)
    drawn = []
    for _ in range(count):
        taken = draw(st.sets(st.sampled_from(names), max_size=3))
        drawn.append(replace(first, **{name: getattr(second, name) for name in taken}))
    return drawn


pairs = st.tuples(results, results) | rivals(2).map(tuple)
triples = st.tuples(results, results, results) | rivals(3).map(tuple)


@settings(max_examples=120, deadline=None)
@given(pairs)
@example((FAILED, replace(FAILED, reason="")))
@example((replace(FAILED, trigger=""), FAILED))
@example((replace(FAILED, strategy=Strategy()), FAILED))
def test_merge_is_commutative(pair: tuple[LastResult, LastResult]) -> None:
    a, b = pair
    assert merge(a, b) == merge(b, a)


@pytest.mark.parametrize("field", ["reason", "trigger", "attempt_id"])
def test_an_empty_text_and_no_text_are_told_apart(field: str) -> None:
    changes: dict[str, Any] = {field: ""}
    empty = replace(FAILED, **changes)
    assert merge(FAILED, empty) == merge(empty, FAILED)


@settings(max_examples=100, deadline=None)
@given(triples)
def test_merge_is_associative(triple: tuple[LastResult, LastResult, LastResult]) -> None:
    a, b, c = triple
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(results)
def test_merge_is_idempotent(a: LastResult) -> None:
    assert merge(a, a) == a


@settings(deadline=None)
@given(pairs)
def test_a_merged_result_absorbs_what_it_was_made_of(pair: tuple[LastResult, LastResult]) -> None:
    a, b = pair
    both = merge(a, b)
    assert merge(both, a) == both
    assert merge(b, both) == both


@settings(max_examples=30, deadline=None)
@given(rivals(4))
def test_the_order_of_arrival_does_not_matter(arrivals: list[LastResult]) -> None:
    ends = [reduce(merge, order) for order in permutations(arrivals)]
    assert all(end == ends[0] for end in ends)


@settings(deadline=None)
@given(pairs)
def test_the_newer_revision_wins_whole(pair: tuple[LastResult, LastResult]) -> None:
    a, b = pair
    if a.revision != b.revision:
        assert merge(a, b) == max(pair, key=lambda result: result.revision)


same_revision = pairs.map(lambda pair: (pair[0], replace(pair[1], revision=pair[0].revision)))


@settings(max_examples=100, deadline=None)
@given(same_revision)
def test_within_a_revision_success_beats_failure_and_later_beats_earlier(pair: tuple[LastResult, LastResult]) -> None:
    a, b = pair
    both = merge(a, b)
    assert both.success is (a.success or b.success)
    assert both.recorded_at == max(result.recorded_at for result in pair if result.success is both.success)


@settings(max_examples=100, deadline=None)
@given(same_revision)
def test_within_a_revision_the_attempt_number_is_the_larger_and_the_flag_sticks(
    pair: tuple[LastResult, LastResult],
) -> None:
    a, b = pair
    both = merge(a, b)
    assert both.attempt == max(a.attempt, b.attempt)
    assert both.email_sent is (a.email_sent or b.email_sent)
    assert not both.email_sent or both.email_variant in {r.email_variant for r in pair if r.email_sent}


STICKY: Final = {"attempt", "email_sent", "email_variant"}


@settings(max_examples=100, deadline=None)
@given(pairs)
def test_but_for_the_sticky_fields_the_winner_is_kept_whole(pair: tuple[LastResult, LastResult]) -> None:
    both = merge(*pair)
    told = [name for name in FAILED.__dataclass_fields__ if name not in STICKY]
    assert any(all(getattr(both, name) == getattr(one, name) for name in told) for one in pair)


def _suppressed(result: LastResult) -> bool:
    booking = Booking(id="b", status="confirmed", revision=result.revision)
    return decide(booking, result, policy=Policy(), now=NOON).suppress_email


@settings(max_examples=100, deadline=None)
@given(same_revision)
@example(
    (
        replace(FAILED, revision=1, email_sent=True, email_variant=EmailVariant.MODIFIED),
        replace(FAILED, revision=1, email_sent=True, email_variant=EmailVariant.STANDARD),
    )
)
@example(
    (
        replace(FAILED, revision=1, email_sent=True),
        replace(FAILED, revision=1, email_sent=True, email_variant=EmailVariant.STANDARD),
    )
)
def test_a_guest_who_was_written_to_is_not_forgotten(pair: tuple[LastResult, LastResult]) -> None:
    # The flag is sticky as the decision reads it: with its variant, not the bare bit.
    assert _suppressed(merge(*pair)) is (_suppressed(pair[0]) or _suppressed(pair[1]))


def test_a_confirm_that_comes_back_late_stays_recorded_as_success() -> None:
    confirmed = replace(FAILED, success=True, source=Source.INLINE, recorded_at=NOON, attempt_id="inline")
    timed_out = replace(FAILED, recorded_at=NOON + timedelta(seconds=2), reason_code=ReasonCode.TIMEOUT, attempt=1)
    assert merge(timed_out, confirmed) == replace(confirmed, attempt=1)


# What a store keeps: merged with what is stored, unless that cannot be true.


@given(results)
def test_a_real_attempt_replaces_what_nobody_can_read(result: LastResult) -> None:
    assert record(None, result, revision=result.revision, now=result.recorded_at) == result
    assert record(Unreadable("not JSON"), result, revision=result.revision, now=result.recorded_at) == result
    assert record(result, result, revision=result.revision, now=result.recorded_at) == result


@given(results, results)
def test_a_stored_result_of_a_revision_that_the_row_has_not_reached_gives_way(
    stored: LastResult, result: LastResult
) -> None:
    stored = replace(stored, revision=result.revision + 1)
    assert record(stored, result, revision=result.revision, now=result.recorded_at) == result
    # Once the row has reached it, it is the late one that gives way.
    assert record(stored, result, revision=stored.revision, now=result.recorded_at) == stored


@settings(max_examples=100, deadline=None)
@given(same_revision, st.integers(0, 2))
def test_what_is_recorded_never_loses_an_attempt_or_a_mail(pair: tuple[LastResult, LastResult], ahead: int) -> None:
    stored, result = pair
    kept = record(stored, result, revision=result.revision + ahead, now=result.recorded_at)
    assert kept.attempt == max(stored.attempt, result.attempt)
    assert _suppressed(kept) is (_suppressed(stored) or _suppressed(result))
    assert kept.revision == result.revision


@settings(max_examples=100, deadline=None)
@given(same_revision)
def test_of_what_two_honest_clocks_wrote_a_store_keeps_the_merge(pair: tuple[LastResult, LastResult]) -> None:
    stored, result = pair
    far = stored.recorded_at - result.recorded_at > timedelta(seconds=30)
    over = stored.success and not result.success and stored.attempt < result.attempt
    if not far and not over:
        assert record(stored, result, revision=result.revision, now=result.recorded_at) == merge(stored, result)


@settings(max_examples=100, deadline=None)
@given(same_revision, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_the_order_in_which_honest_results_arrive_does_not_matter(
    pair: tuple[LastResult, LastResult], later: timedelta
) -> None:
    """However late one of them is: a record may be on its way for minutes, while the next attempt is made."""
    one, other = (replace(each, success=False) for each in pair)
    try:
        now = max(one.recorded_at, other.recorded_at) + later
    except OverflowError:
        return
    kept = (
        record(record(None, first, revision=first.revision, now=now), second, revision=first.revision, now=now)
        for first, second in ((one, other), (other, one))
    )
    assert set(kept) == {merge(one, other)}


def test_a_wrong_clock_does_not_have_the_last_word() -> None:
    ahead = replace(
        FAILED, recorded_at=NOON + timedelta(days=1), reason="deadlock detected", attempt=2, email_sent=True
    )
    result = replace(FAILED, reason="No capacity", attempt=1)
    assert record(ahead, result, revision=0, now=result.recorded_at) == replace(result, attempt=2, email_sent=True)
    skewed = replace(ahead, recorded_at=NOON + timedelta(seconds=30))
    assert record(skewed, result, revision=0, now=result.recorded_at).reason == "deadlock detected"
    # A success is true whatever its clock said.
    confirmed = replace(ahead, success=True)
    assert record(confirmed, replace(result, attempt=2), revision=0, now=NOON).success


def test_a_success_is_over_once_a_later_attempt_has_failed() -> None:
    confirmed = replace(FAILED, success=True, recorded_at=NOON + timedelta(seconds=9), attempt_id="a0", email_sent=True)
    later = replace(FAILED, attempt=1, attempt_id="j1", reason="No capacity")
    assert record(confirmed, later, revision=0, now=later.recorded_at) == replace(later, email_sent=True)
    # A failure that is told late is of an earlier attempt, and leaves the success.
    earlier = replace(later, attempt=0, recorded_at=NOON + timedelta(seconds=20))
    assert record(confirmed, earlier, revision=0, now=earlier.recorded_at) == confirmed
    assert record(later, confirmed, revision=0, now=confirmed.recorded_at).success


def test_what_comes_after_its_lease_leaves_a_later_attempts_finding() -> None:
    found = replace(FAILED, attempt=2, attempt_id="a2", reason="No capacity", reason_code=ReasonCode.NO_CAPACITY)
    late = replace(
        FAILED, attempt=1, attempt_id="a1", reason_code=ReasonCode.TIMEOUT, recorded_at=NOON + timedelta(seconds=9)
    )
    now = late.recorded_at
    mailed = replace(late, email_sent=True, email_variant=EmailVariant.STANDARD)
    assert record(found, late, revision=0, now=now, late=True) == found
    assert record(found, late, revision=0, now=now) == replace(late, attempt=2), "in its time it has the last word"
    assert record(found, mailed, revision=0, now=now, late=True) == replace(
        found, email_sent=True, email_variant=EmailVariant.STANDARD
    )
    # Where the later one does not know its outcome either, or is not later, there is nothing to be left.
    unknown = replace(found, reason="", reason_code=ReasonCode.ATTEMPT_LOST)
    assert record(unknown, late, revision=0, now=now, late=True) == replace(late, attempt=2)
    assert record(replace(found, attempt=1), late, revision=0, now=now, late=True) == late
    # A commit that was made is made.
    confirmed = replace(late, success=True, reason=None, reason_code=None)
    assert record(found, confirmed, revision=0, now=now, late=True) == replace(confirmed, attempt=2)


@given(same_revision, st.booleans())
def test_what_comes_late_loses_no_attempt_and_no_mail(pair: tuple[LastResult, LastResult], late: bool) -> None:
    stored, result = pair
    kept = record(stored, result, revision=result.revision, now=result.recorded_at, late=late)
    assert kept.attempt == max(stored.attempt, result.attempt)
    assert _suppressed(kept) is (_suppressed(stored) or _suppressed(result))
    again = record(kept, result, revision=result.revision, now=result.recorded_at, late=late)
    assert again == kept, "told twice, it says no more"


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_recording_survives_both_ends_of_the_calendar(moment: datetime) -> None:
    for stored, result in (
        (replace(FAILED, success=True), replace(FAILED, recorded_at=moment, attempt=1)),
        (replace(FAILED, recorded_at=moment), replace(FAILED, attempt=1)),
        (FAILED, replace(FAILED, recorded_at=moment)),
    ):
        assert not record(stored, result, revision=0, now=result.recorded_at).success


@pytest.mark.parametrize("clock", [NOON, NOON + timedelta(days=1)], ids=["honest", "ahead"])
def test_of_two_results_of_one_moment_the_same_is_kept_in_whichever_order_they_arrive(clock: datetime) -> None:
    """Nor does it change when one of them is told again: a wrong clock says nothing of which of the two it was."""
    one = replace(FAILED, recorded_at=clock, attempt_id="a1", reason="No capacity")
    other = replace(FAILED, recorded_at=clock, attempt_id="a2", reason="deadlock detected")
    kept = set()
    for first, second in ((one, other), (other, one)):
        both = record(first, second, revision=0, now=NOON)
        kept |= {both, record(both, first, revision=0, now=NOON), record(both, second, revision=0, now=NOON)}
    assert kept == {merge(one, other)}
