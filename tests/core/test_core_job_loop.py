"""Decisions one after another, as a job follows them: what a booking costs until it is given up.

The job is simulated with the pure parts only: decide, fail, record, wait until told. So what is counted here is the
policy's doing and nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assign_core import (
    Action,
    Booking,
    Decision,
    Evidence,
    FailureClass,
    LastResult,
    Policy,
    ReasonCode,
    Source,
    Unreadable,
    decide,
)
from assign_core.last_result import record

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
DEFAULTS: Final = Policy()
MOST_LOOKS: Final = 500
Stored = LastResult | Unreadable | None


class Failure(NamedTuple):
    """What the planner says next: a code, after how long, with a hint how much later."""

    code: ReasonCode
    takes: timedelta
    hint: timedelta | None


@dataclass
class Story:
    """What became of a booking."""

    started: list[datetime] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    looked: list[datetime] = field(default_factory=list)
    changes: int = 0
    seated: bool = False
    ended: bool = False
    last: Stored = None


def follow(
    booking: Booking,
    last: Stored,
    policy: Policy,
    planner: Sequence[Failure],
    changes: Sequence[datetime] = (),
    free_at: datetime | None = None,
    now: datetime = NOON,
) -> Story:
    """The job's loop with a planner that fails until seats are free, if ever. A change wakes a parked booking."""
    story, pending = Story(last=last), sorted(changes)
    for _ in range(MOST_LOOKS):
        while pending and pending[0] <= now and booking.capacity_version is not None:
            pending.pop(0)
            story.changes += 1
            booking = replace(booking, capacity_version=booking.capacity_version + 1)
        decision = decide(booking, story.last, policy=policy, now=now)
        story.decisions.append(decision)
        story.looked.append(now)
        if decision.action is Action.ATTEMPT:
            failure = planner[len(story.started) % len(planner)]
            story.started.append(now)
            if free_at is not None and now >= free_at:
                story.seated = story.ended = True
                break
            now += failure.takes
            found = LastResult(
                source=Source.JOB,
                recorded_at=now,
                success=False,
                reason_code=failure.code,
                duration_ms=failure.takes // timedelta(milliseconds=1),
                attempt_id=f"j{len(story.started)}",
                attempt=decision.attempts_used + 1,
                revision=booking.revision,
                capacity_version=booking.capacity_version,
                retry_after=None if failure.hint is None else now + failure.hint,
            )
            story.last = record(story.last, found, revision=booking.revision, now=now)
        elif decision.not_before is not None:
            now = decision.not_before
            if decision.parked and pending and booking.capacity_version is not None:
                now = min(now, pending[0])
        else:
            story.ended = True
            break
    return story


failures = st.builds(
    Failure,
    code=st.sampled_from(ReasonCode),
    takes=st.sampled_from((0.0, 0.5, 6.0, 42.0, 150.0)).map(lambda seconds: timedelta(seconds=seconds)),
    hint=st.none() | st.integers(-20, 400).map(lambda seconds: timedelta(seconds=seconds)),
)
planners = st.lists(failures, min_size=1, max_size=6)
starts = st.one_of(st.timedeltas(timedelta(0), timedelta(minutes=15)), st.timedeltas(timedelta(0), timedelta(hours=30)))


@st.composite
def bookings(draw: st.DrawFn) -> Booking:
    return Booking(
        id="b",
        status="pending",
        start_at=NOON + draw(starts),
        capacity_version=draw(st.none() | st.integers(0, 2)),
    )


histories = st.builds(
    LastResult,
    source=st.sampled_from(Source),
    recorded_at=st.timedeltas(timedelta(0), timedelta(minutes=40)).map(lambda age: NOON - age),
    success=st.just(False),
    reason_code=st.sampled_from(ReasonCode),
    attempt_id=st.sampled_from(("a0", "a1", "a2", None)),
    attempt=st.integers(0, 5),
    duration_ms=st.none() | st.integers(0, 60_000),
    capacity_version=st.none() | st.integers(0, 2),
    retry_after=st.none() | st.integers(-20, 400).map(lambda seconds: NOON + timedelta(seconds=seconds)),
)


@st.composite
def everyday_policies(draw: st.DrawFn) -> Policy:
    retries = draw(st.integers(0, 5))
    return Policy(
        retries=retries,
        revalidation_share=draw(st.sampled_from((0.0, 0.1, 1.0))),
        capacity_budget=draw(st.integers(1, 7)),
        rejected_budget=draw(st.integers(1, 7)),
        ambiguous_budget=draw(st.integers(1, 7)),
        attempt_cap=draw(st.integers(6, 12)),
        freshness=draw(st.timedeltas(timedelta(seconds=60), timedelta(minutes=20))),
        revalidation_limit=draw(st.timedeltas(timedelta(minutes=6), timedelta(hours=1))),
        wake_window=draw(st.sampled_from((Policy().wake_window, timedelta(0), timedelta(hours=1)))),
        relax_after_timeout=draw(st.booleans()),
    )


policies = st.just(DEFAULTS) | everyday_policies()
# Of the row's own revision: what is of another one does not count, and has tests of its own below.
foreign = st.from_type(LastResult).map(lambda last: replace(last, revision=0))
lasts = st.none() | st.just(Unreadable("x")) | histories | foreign
moments = st.timedeltas(timedelta(0), timedelta(hours=6)).map(lambda span: NOON + span)


@settings(max_examples=100, deadline=None)
@given(bookings(), lasts, policies, planners, st.lists(moments, max_size=14))
def test_attempts_never_exceed_the_budget_plus_one_for_each_change_nor_the_cap(
    booking: Booking, last: Stored, policy: Policy, planner: list[Failure], changes: list[datetime]
) -> None:
    story = follow(booking, last, policy, planner, changes)
    before = story.decisions[0].attempts_used
    # The stored version may differ from the row's at the start: that is a change too, which happened before.
    news = story.changes + 1 if isinstance(last, LastResult) and last.capacity_version is not None else story.changes
    assert len(story.started) <= max(0, policy.max_attempts - before) + news
    assert before + len(story.started) <= max(before, policy.attempt_cap)


def test_however_often_seats_come_free_the_cap_holds() -> None:
    planner = [Failure(ReasonCode.NO_CAPACITY, timedelta(0), None)]
    changes = [NOON + timedelta(minutes=minute) for minute in range(1, 30)]
    story = follow(
        Booking(id="b", start_at=NOON + timedelta(hours=8), capacity_version=0), None, DEFAULTS, planner, changes
    )
    assert len(story.started) == DEFAULTS.attempt_cap
    assert story.decisions[-1].rules == ("capacity_changed", "budget_used_up")


@settings(max_examples=100, deadline=None)
@given(bookings(), lasts, policies, planners)
def test_without_news_attempts_never_exceed_the_budget(
    booking: Booking, last: Stored, policy: Policy, planner: list[Failure]
) -> None:
    if isinstance(last, LastResult):
        last = replace(last, capacity_version=booking.capacity_version)
    story = follow(booking, last, policy, planner)
    before = story.decisions[0].attempts_used
    assert len(story.started) <= max(0, policy.max_attempts - before)


@settings(max_examples=100, deadline=None)
@given(bookings(), lasts, policies, planners, st.lists(moments, max_size=5))
def test_following_the_waits_ends_at_the_cutoff(
    booking: Booking, last: Stored, policy: Policy, planner: list[Failure], changes: list[datetime]
) -> None:
    story = follow(booking, last, policy, planner, changes)
    assert story.ended
    assert story.decisions[-1].action is Action.GIVE_UP
    assert booking.start_at is not None
    # Nothing is looked at later than one search, or one delay, past the cutoff.
    slack = max(failure.takes for failure in planner) + policy.delays[-1] * (1 + policy.jitter)
    assert story.looked[-1] <= max(NOON, booking.start_at - policy.cutoff) + slack + TICK
    assert all(later > earlier for earlier, later in zip(story.looked, story.looked[1:], strict=False)) or any(
        failure.takes == timedelta(0) for failure in planner
    )


@settings(max_examples=100, deadline=None)
@given(bookings(), lasts, policies, planners)
def test_no_attempt_begins_within_the_cutoff_but_the_first(
    booking: Booking, last: Stored, policy: Policy, planner: list[Failure]
) -> None:
    story = follow(booking, last, policy, planner)
    assert booking.start_at is not None
    for begun in story.started[1:]:
        assert booking.start_at - begun >= policy.cutoff


@settings(max_examples=120, deadline=None)
@given(bookings(), histories, policies, planners, st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_fresher_evidence_never_costs_more_searches_than_the_same_evidence_stale(
    booking: Booking, last: LastResult, policy: Policy, planner: list[Failure], older: timedelta
) -> None:
    fresh = follow(booking, last, policy, planner)
    assert fresh.decisions[0].evidence in {Evidence.FRESH, Evidence.REVALIDATED, Evidence.STALE}
    stale = follow(booking, replace(last, recorded_at=last.recorded_at - older), policy, planner)
    assert len(fresh.started) <= len(stale.started)


@settings(max_examples=100, deadline=None)
@given(bookings(), histories, policies, planners)
def test_evidence_never_costs_more_searches_than_none(
    booking: Booking, last: LastResult, policy: Policy, planner: list[Failure]
) -> None:
    last = replace(last, capacity_version=booking.capacity_version)
    assert len(follow(booking, last, policy, planner).started) <= len(follow(booking, None, policy, planner).started)


@settings(max_examples=100, deadline=None)
@given(bookings(), st.none() | histories, planners)
def test_attempts_keep_their_distance(booking: Booking, last: Stored, planner: list[Failure]) -> None:
    # What ends a wait early is news: a freed seat, or a hold whose end the planner knows.
    planner = [failure._replace(hint=None) for failure in planner]
    story = follow(booking, last, DEFAULTS, planner)
    for number, (begun, next_begun) in enumerate(zip(story.started, story.started[1:], strict=False)):
        used = story.decisions[0].attempts_used + number + 1
        assert next_begun - begun >= DEFAULTS.delay_after(used)


BROKEN: Final = [Failure(ReasonCode.DEADLOCK, timedelta(0), None)]


TONIGHT: Final = Booking(id="b", start_at=NOON + timedelta(hours=8))
INLINE: Final = LastResult(source=Source.INLINE, recorded_at=NOON, success=False)


def _distances(story: Story) -> list[timedelta]:
    return [later - earlier for earlier, later in zip(story.started, story.started[1:], strict=False)]


# A stored result may be false: a clock that was wrong, a row put back to pending, a backup. It must not make the job
# forget its own attempts, or it would search again and again without a pause.


def test_a_stored_result_from_the_future_does_not_hide_the_jobs_own() -> None:
    story = follow(TONIGHT, replace(INLINE, recorded_at=NOON + timedelta(hours=1)), DEFAULTS, BROKEN)
    assert len(story.started) == DEFAULTS.max_attempts
    assert min(_distances(story)) >= DEFAULTS.delays[0]


def test_a_stored_success_that_the_row_does_not_show_does_not_hide_the_jobs_own() -> None:
    story = follow(TONIGHT, replace(INLINE, success=True), DEFAULTS, BROKEN)
    assert len(story.started) == DEFAULTS.max_attempts
    assert min(_distances(story)) >= DEFAULTS.delays[0]


def test_a_stored_result_of_a_revision_not_reached_does_not_hide_the_jobs_own() -> None:
    story = follow(TONIGHT, replace(INLINE, revision=1), DEFAULTS, BROKEN)
    assert len(story.started) == DEFAULTS.max_attempts
    assert min(_distances(story)) >= DEFAULTS.delays[0]


def test_a_stored_result_of_an_older_revision_gives_way() -> None:
    story = follow(replace(TONIGHT, revision=1), replace(INLINE, attempt=9), DEFAULTS, BROKEN)
    assert len(story.started) == DEFAULTS.max_attempts
    assert min(_distances(story)) >= DEFAULTS.delays[0]


def test_a_hint_that_has_passed_is_no_reason_to_search_without_a_pause() -> None:
    planner = [Failure(ReasonCode.HOLD_CONFLICT, SECOND, timedelta(seconds=-10))]
    story = follow(Booking(id="b", start_at=NOON + timedelta(hours=8)), None, DEFAULTS, planner)
    assert min(_distances(story)) >= DEFAULTS.delays[0]


@settings(max_examples=80, deadline=None)
@given(bookings(), policies, planners, st.lists(moments, max_size=14))
def test_a_parked_booking_searches_once_for_each_change_and_each_revalidation_limit(
    booking: Booking, policy: Policy, planner: list[Failure], changes: list[datetime]
) -> None:
    booking = replace(booking, capacity_version=0)
    planner = [failure._replace(code=ReasonCode.NO_CAPACITY) for failure in planner]
    last = LastResult(
        source=Source.INLINE,
        recorded_at=NOON,
        success=False,
        reason_code=ReasonCode.NO_CAPACITY,
        capacity_version=0,
    )
    story = follow(booking, last, policy, planner, changes)
    for number, decision in enumerate(story.decisions):
        if decision.action is Action.ATTEMPT:
            assert decision.rules[0] in {"capacity_changed", "revalidation_due"}
            if decision.rules[0] == "revalidation_due":
                previous = [moment for moment in story.started if moment < story.looked[number]]
                assert story.looked[number] - (previous[-1] if previous else NOON) >= policy.revalidation_limit


# What evidence saves must not cost a seating: a job that forgets what the inline attempt found searches at once and
# then on the schedule, so whatever it would find, the job that remembers has to find too.

FULL_HOUSE: Final = [Failure(ReasonCode.NO_CAPACITY, timedelta(0), None)]
FOUND_FULL: Final = LastResult(
    source=Source.INLINE, recorded_at=NOON, success=False, reason_code=ReasonCode.NO_CAPACITY
)


def _would_be_found(start: datetime, free_at: datetime) -> bool:
    at = NOON
    for number in range(DEFAULTS.max_attempts):
        if at >= free_at and start - at >= DEFAULTS.cutoff:
            return True
        at += DEFAULTS.delay_after(number + 1)
    return False


SAME_SCHEDULE: Final = Policy(jitter=0.0)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 70), st.integers(600, 760) | st.integers(600, 20_000))
def test_with_versions_no_seating_is_lost_that_the_full_budget_would_have_found(freed: int, start: int) -> None:
    free_at, start_at = NOON + timedelta(seconds=freed), NOON + timedelta(seconds=start)
    booking = Booking(id="b", start_at=start_at, capacity_version=0)
    last = replace(FOUND_FULL, capacity_version=0)
    story = follow(booking, last, SAME_SCHEDULE, FULL_HOUSE, [free_at], free_at)
    assert story.seated or not _would_be_found(start_at, free_at)
    assert len(story.started) <= 1


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 70), st.integers(1000, 20_000))
def test_without_versions_no_seating_is_lost_while_there_is_time_to_put_it_off(freed: int, start: int) -> None:
    # Nearer to the cutoff the put-off attempts crowd together, and the last may be one delay too early.
    free_at, start_at = NOON + timedelta(seconds=freed), NOON + timedelta(seconds=start)
    story = follow(Booking(id="b", start_at=start_at), FOUND_FULL, SAME_SCHEDULE, FULL_HOUSE, (), free_at)
    assert story.seated or not _would_be_found(start_at, free_at)
    assert len(story.started) <= 1


def test_the_full_budget_is_spent_on_the_schedule() -> None:
    story = follow(Booking(id="b", start_at=NOON + timedelta(hours=8)), None, Policy(jitter=0.0), BROKEN)
    assert [(begun - NOON).total_seconds() for begun in story.started] == [0, 5, 20, 65]
    assert story.decisions[-1].rules == ("infrastructure", "budget_used_up")


@pytest.mark.parametrize(
    ("start_at", "searched"),
    [
        # When the finding is stale; and at the last chance, which finds whatever was freed until then.
        (NOON + timedelta(hours=8), [300, 8 * 3600 - 630]),
        # The last chance comes before the second finding is stale.
        (NOON + timedelta(minutes=20), [300, 570]),
        # No start is known, so there is no last chance.
        (None, [300, 600]),
    ],
)
def test_capacity_of_unknown_version_is_searched_twice_and_each_time_with_news_of_its_own(
    start_at: datetime | None, searched: list[float]
) -> None:
    planner = [Failure(ReasonCode.NO_CAPACITY, timedelta(0), None)]
    last = LastResult(source=Source.INLINE, recorded_at=NOON, success=False, reason_code=ReasonCode.NO_CAPACITY)
    story = follow(Booking(id="b", start_at=start_at), last, DEFAULTS, planner)
    assert [(begun - NOON).total_seconds() for begun in story.started] == searched
    assert all(decision.failure_class is FailureClass.CAPACITY for decision in story.decisions)
