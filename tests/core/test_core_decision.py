"""What holds of every decision, however odd the booking, the stored result, the settings and the hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from assign_core import (
    RULES,
    Action,
    Booking,
    BookingStatus,
    Decision,
    EmailState,
    EmailVariant,
    Evidence,
    FailureClass,
    InvalidValue,
    LastResult,
    NaiveTime,
    Policy,
    ReasonCode,
    Source,
    Strategy,
    Unreadable,
    decide,
)
from assign_core.case import BUDGET_USED_UP, EMAIL_ON_RECORD, Standing
from assign_core.evidence import version_grown, version_holds
from assign_core.reasons import CLASS_OF

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
START_OF_TIME: Final = datetime.min.replace(tzinfo=UTC)
DEFAULTS: Final = Policy()
BOOKING: Final = Booking(id="b", start_at=NOON + timedelta(hours=8))
FAILED: Final = LastResult(source=Source.INLINE, recorded_at=NOON, success=False, attempt_id="a0")

bookings = st.from_type(Booking)
results = st.from_type(LastResult)
lasts = st.none() | st.builds(Unreadable, problem=st.text()) | results
policies = st.from_type(Policy)
edges = (START_OF_TIME, START_OF_TIME + TICK, END_OF_TIME - TICK, END_OF_TIME)
nows = st.just(NOON) | st.sampled_from(edges) | st.datetimes(timezones=st.just(UTC))


@st.composite
def matched(draw: st.DrawFn) -> tuple[Booking, LastResult, datetime]:
    """An open booking, evidence of its own revision, and a moment not far from it: where the rules differ."""
    now = draw(nows)
    shift = st.timedeltas(timedelta(minutes=-1), timedelta(minutes=40))
    version = st.none() | st.integers(0, 2)
    try:
        recorded_at = now - draw(shift)
        start_at = draw(st.none() | st.just(now + draw(shift) * 2))
    except OverflowError:
        assume(False)
        raise
    revision = draw(st.integers(0, 2))
    booking = replace(
        draw(bookings), status="pending", start_at=start_at, revision=revision, capacity_version=draw(version)
    )
    last = replace(
        draw(results),
        recorded_at=recorded_at,
        revision=revision,
        capacity_version=draw(version),
        attempt=draw(st.integers(0, 12)),
        duration_ms=draw(st.none() | st.integers(0, 60_000)),
    )
    return booking, last, now


anything = st.tuples(bookings, lasts, nows) | matched()


@st.composite
def fresh_failures(draw: st.DrawFn) -> tuple[Booking, LastResult, datetime]:
    """A search that failed a moment ago: where most waits are."""
    versions = st.none() | st.integers(0, 1)
    start = st.none() | st.timedeltas(timedelta(minutes=9), timedelta(minutes=20)) | st.just(timedelta(hours=8))
    span = draw(start)
    last = LastResult(
        source=draw(st.sampled_from(Source)),
        recorded_at=NOON - draw(st.timedeltas(timedelta(seconds=-30), timedelta(minutes=1))),
        success=False,
        reason_code=draw(st.sampled_from(ReasonCode)),
        duration_ms=draw(st.none() | st.integers(0, 20_000)),
        attempt_id=draw(st.text(max_size=5)),
        attempt=draw(st.integers(0, 4)),
        capacity_version=draw(versions),
        retry_after=draw(st.none() | st.timedeltas(timedelta(minutes=-1), timedelta(minutes=10)).map(NOON.__add__)),
    )
    booking = Booking(id="b", start_at=None if span is None else NOON + span, capacity_version=draw(versions))
    return booking, last, NOON


# Totality.

NAMES: Final = {name for rule in RULES for name in rule.names}


def _valid(found: Decision, policy: Policy, now: datetime) -> None:
    assert isinstance(found.action, Action)
    assert found.rules[0] in NAMES
    assert set(found.rules[1:]) <= {BUDGET_USED_UP, EMAIL_ON_RECORD}
    assert len(found.rules) <= 2
    assert 1 <= found.max_attempts <= policy.attempt_cap
    assert found.attempts_used >= 0
    assert isinstance(found.strategy, Strategy)
    assert (found.not_before is not None) is (found.action is Action.WAIT)
    assert found.action is Action.WAIT or not found.parked
    assert (found.failure_class is None) is (found.reason_code is None)
    if found.reason_code is not None:
        assert found.failure_class is CLASS_OF[found.reason_code]
    if found.action is Action.ATTEMPT:
        assert found.attempts_used < found.max_attempts
    if found.not_before is not None:
        assert found.not_before.tzinfo is UTC
        # At the very last tick of the calendar there is nothing later to wait for.
        assert found.not_before > now or now == END_OF_TIME


@settings(max_examples=150, deadline=None)
@given(anything, policies)
@example(
    (
        Booking(id="b", capacity_version=1),
        replace(FAILED, reason="No capacity", capacity_version=1, attempt=9),
        END_OF_TIME,
    ),
    DEFAULTS,
)
@example((BOOKING, replace(FAILED, reason="deadlock detected", duration_ms=10**40), NOON), DEFAULTS)
@example((BOOKING, replace(FAILED, reason="Hold conflicts", retry_after=END_OF_TIME), NOON), DEFAULTS)
@example((BOOKING, replace(FAILED, reason="Hold conflicts", retry_after=START_OF_TIME), NOON), DEFAULTS)
@example((Booking(id="b", start_at=START_OF_TIME), replace(FAILED, recorded_at=START_OF_TIME), START_OF_TIME), DEFAULTS)
@example((Booking(id="\ud800"), replace(FAILED, attempt_id=None, reason="deadlock"), NOON), DEFAULTS)
@example((BOOKING, replace(FAILED, attempt_id="\udfff", reason="deadlock"), NOON), DEFAULTS)
@example(
    (
        replace(BOOKING, start_at=END_OF_TIME),
        replace(FAILED, recorded_at=END_OF_TIME, reason="deadlock"),
        END_OF_TIME - TICK,
    ),
    DEFAULTS,
)
def test_everything_has_a_decision(
    case: tuple[Booking, LastResult | Unreadable | None, datetime], policy: Policy
) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=policy, now=now)
    _valid(found, policy, now)
    assert decide(booking, last, policy=policy, now=now) == found


@given(st.text() | st.integers() | st.binary() | st.dictionaries(st.text(), st.integers()) | st.just(object()))
def test_a_foreign_value_in_place_of_a_result_is_unreadable_evidence(value: Any) -> None:
    found = decide(BOOKING, value, policy=DEFAULTS, now=NOON)
    assert (found.action, found.evidence, found.rules) == (Action.ATTEMPT, Evidence.UNREADABLE, ("no_usable_evidence",))


def test_now_needs_a_zone() -> None:
    with pytest.raises(NaiveTime, match="now has no time zone"):
        decide(BOOKING, None, policy=DEFAULTS, now=datetime(2026, 3, 14, 12))  # noqa: DTZ001 - what must be refused
    with pytest.raises(InvalidValue, match="now is not a time"):
        decide(BOOKING, None, policy=DEFAULTS, now="noon")  # type: ignore[arg-type]  # a wrong type on purpose


@settings(deadline=None)
@given(matched(), st.integers(-14 * 60, 14 * 60))
def test_the_zone_in_which_now_is_told_means_nothing(case: tuple[Booking, LastResult, datetime], minutes: int) -> None:
    booking, last, now = case
    try:
        elsewhere = now.astimezone(timezone(timedelta(minutes=minutes)))
    except OverflowError:
        assume(False)
        raise
    assert decide(booking, last, policy=DEFAULTS, now=elsewhere) == decide(booking, last, policy=DEFAULTS, now=now)


# The table as data.


def test_every_rule_has_a_name_of_its_own_and_words_for_people() -> None:
    names = [name for rule in RULES for name in rule.names]
    assert len(names) == len(set(names))
    assert not {BUDGET_USED_UP, EMAIL_ON_RECORD} & set(names)
    assert all(part.when and part.then for rule in RULES for part in rule.parts)


def test_the_table_ends_with_a_row_that_catches_every_open_booking() -> None:
    last = RULES[-1]
    assert (last.standing, last.evidence, last.failure) == (Standing.OPEN, None, None)


# Budgets and evidence.

EVERYDAY: Final = st.just(DEFAULTS) | policies


@settings(max_examples=120, deadline=None)
@given(anything, EVERYDAY)
def test_evidence_never_raises_the_budget_but_for_news(
    case: tuple[Booking, LastResult | Unreadable | None, datetime], policy: Policy
) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=policy, now=now)
    bought = 1 if found.rules[0] == "capacity_changed" else 0
    assert found.max_attempts <= max(policy.max_attempts, found.attempts_used + bought)
    if not bought:
        assert found.max_attempts <= policy.max_attempts
    else:
        assert isinstance(last, LastResult)
        assert version_grown(last, booking)


@settings(max_examples=120, deadline=None)
@given(anything, EVERYDAY)
def test_only_fresh_and_revalidated_evidence_shrinks_a_budget(
    case: tuple[Booking, LastResult | Unreadable | None, datetime], policy: Policy
) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=policy, now=now)
    if found.max_attempts < policy.max_attempts or found.rules[0] == "permanent_failure":
        assert found.evidence in {Evidence.FRESH, Evidence.REVALIDATED}


@settings(max_examples=100, deadline=None)
@given(fresh_failures() | matched())
def test_an_attempt_is_put_off_only_by_evidence_or_by_an_unchanged_version(
    case: tuple[Booking, LastResult, datetime],
) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=DEFAULTS, now=now)
    if found.action is Action.WAIT:
        assert found.evidence in {Evidence.FRESH, Evidence.REVALIDATED} or (
            found.parked and version_holds(last, booking)
        )


@settings(max_examples=100, deadline=None)
@given(matched(), st.sampled_from((Evidence.FUTURE, Evidence.OLDER_REVISION)))
def test_evidence_that_does_not_count_says_nothing(
    case: tuple[Booking, LastResult, datetime], evidence: Evidence
) -> None:
    booking, last, now = case
    if evidence is Evidence.OLDER_REVISION:
        booking = replace(booking, revision=last.revision + 1)
        expected = decide(booking, None, policy=DEFAULTS, now=now)
    else:
        assume(now < END_OF_TIME - timedelta(days=2))
        last = replace(last, recorded_at=now + timedelta(days=1))
        # Its attempts were made all the same, and are counted.
        expected = decide(
            booking,
            LastResult(
                source=last.source,
                recorded_at=last.recorded_at,
                success=True,
                attempt=last.attempt,
                revision=last.revision,
                email_sent=last.email_sent,
                email_variant=last.email_variant,
            ),
            policy=DEFAULTS,
            now=now,
        )
    found = decide(booking, last, policy=DEFAULTS, now=now)
    assert found.evidence is evidence
    assert found[:7] == expected[:7]


# Waiting.


@pytest.mark.parametrize(("source", "budget", "wait"), [(Source.JOB, 2, 300), (Source.INLINE, 3, 5)])
def test_only_a_jobs_own_timeout_is_put_off_until_stale(source: Source, budget: int, wait: float) -> None:
    """An inline search had two seconds; that it did not end within them says nothing of the next."""
    last = LastResult(
        source=source, recorded_at=NOON, success=False, reason_code=ReasonCode.TIMEOUT, attempt=1, revision=0
    )
    found = decide(Booking(id="b"), last, policy=replace(DEFAULTS, jitter=0.0), now=NOON)
    assert found.not_before is not None
    assert (found.max_attempts, (found.not_before - NOON).total_seconds()) == (budget, wait)


@settings(max_examples=120, deadline=None)
@given(fresh_failures(), st.floats(0, 1))
def test_looking_again_early_changes_nothing(case: tuple[Booking, LastResult, datetime], part: float) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=DEFAULTS, now=now)
    if found.not_before is None:
        return
    looks_until = found.not_before
    if found.rules == ("last_chance",):
        # Hours may lie before it. Who looks in between, unasked, has evidence that counts for nothing any more.
        looks_until = last.recorded_at + DEFAULTS.freshness
    again = decide(booking, last, policy=DEFAULTS, now=now + (looks_until - now - TICK) * part)
    if found.parked:
        assert again.action is Action.WAIT
        assert again.parked
    elif again.rules != ("cutoff",):
        assert (again.action, again.not_before) == (Action.WAIT, found.not_before)


@settings(max_examples=120, deadline=None)
@given(fresh_failures(), EVERYDAY)
def test_when_the_wait_is_over_something_happens(case: tuple[Booking, LastResult, datetime], policy: Policy) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=policy, now=now)
    if found.not_before is None or found.parked:
        return
    then = decide(booking, last, policy=policy, now=found.not_before)
    assert then.action in {Action.ATTEMPT, Action.GIVE_UP}
    if then.action is Action.GIVE_UP:
        assert booking.start_at is not None
        assert found.not_before > booking.start_at - policy.cutoff


@settings(max_examples=100, deadline=None)
@given(fresh_failures(), EVERYDAY)
def test_a_put_off_attempt_is_not_later_than_the_last_chance_unless_the_delay_is(
    case: tuple[Booking, LastResult, datetime], policy: Policy
) -> None:
    booking, last, now = case
    found = decide(booking, last, policy=policy, now=now)
    if found.not_before is not None and not found.parked and booking.start_at is not None:
        delay = policy.delay_after(last.attempt)
        latest = delay * (1 + policy.jitter) - timedelta(milliseconds=last.duration_ms or 0)
        last_chance = booking.start_at - policy.cutoff - policy.dispatch_margin
        assert found.not_before <= max(last_chance, last.recorded_at + latest + TICK)


@settings(max_examples=100, deadline=None)
@given(fresh_failures(), EVERYDAY)
def test_no_delay_is_shorter_than_the_schedule_or_longer_than_it_with_all_its_jitter(
    case: tuple[Booking, LastResult, datetime], policy: Policy
) -> None:
    booking, last, now = case
    last = replace(last, success=False, reason_code=ReasonCode.DEADLOCK, retry_after=None)
    found = decide(booking, last, policy=policy, now=now)
    if found.rules != ("infrastructure",) or found.not_before is None:
        return
    begun = last.recorded_at - timedelta(milliseconds=last.duration_ms or 0)
    delay = policy.delay_after(last.attempt)
    assert begun + delay <= found.not_before <= begun + delay * (1 + policy.jitter) + TICK


def test_jitter_spreads_bookings_and_repeats_itself() -> None:
    def wait(attempt_id: str | None, booking_id: str = "b") -> datetime | None:
        last = replace(FAILED, reason="deadlock detected", attempt_id=attempt_id)
        return decide(replace(BOOKING, id=booking_id), last, policy=DEFAULTS, now=NOON).not_before

    assert len({wait(f"a{number}") for number in range(200)}) > 150
    assert len({wait(None, f"b{number}") for number in range(200)}) > 150
    assert wait("a1") == wait("a1")
    spread = sorted(found - NOON for number in range(200) if (found := wait(f"a{number}")) is not None)
    assert timedelta(seconds=5) <= spread[0] < timedelta(seconds=5.1)
    assert timedelta(seconds=5.9) < spread[-1] <= timedelta(seconds=6)


# Capacity.

FULL_HOUSE: Final = replace(FAILED, reason_code=ReasonCode.NO_CAPACITY, capacity_version=7)
AUDITING: Final = replace(DEFAULTS, revalidation_share=1.0)
SEEN_7: Final = replace(BOOKING, capacity_version=7)


@settings(deadline=None)
@given(st.timedeltas(timedelta(0), timedelta(hours=7)), st.integers(0, 12), st.sampled_from((0, 6, 7)))
def test_nothing_changed_is_no_search_until_the_revalidation_limit(age: timedelta, attempt: int, version: int) -> None:
    booking, last = replace(BOOKING, capacity_version=version), replace(FULL_HOUSE, attempt=attempt)
    found = decide(booking, last, policy=AUDITING, now=NOON + age)
    if attempt == 0 and age >= AUDITING.revalidation_limit:
        assert (found.action, found.rules) == (Action.ATTEMPT, ("revalidation_due",))
    else:
        assert (found.action, found.parked, found.rules) == (Action.WAIT, True, ("capacity_unchanged",))


def test_the_revalidation_share_of_the_bookings_is_searched_for_once_more() -> None:
    last, later = replace(FULL_HOUSE, attempt=0), NOON + DEFAULTS.revalidation_limit
    for share in (0.0, 0.1, 0.5, 1.0):
        policy = replace(DEFAULTS, revalidation_share=share)
        searched = {
            number
            for number in range(4000)
            if decide(replace(SEEN_7, id=f"b{number}"), last, policy=policy, now=later).action is Action.ATTEMPT
        }
        # Five standard deviations of a fair draw.
        assert abs(len(searched) - 4000 * share) <= 5 * (4000 * share * (1 - share)) ** 0.5


@settings(deadline=None)
@given(st.timedeltas(timedelta(0), timedelta(hours=7)), st.integers(0, 20), st.sampled_from((8, 10**9)))
def test_a_change_is_worth_one_search_at_once_up_to_the_cap(age: timedelta, attempt: int, version: int) -> None:
    booking = replace(BOOKING, capacity_version=version)
    found = decide(booking, replace(FULL_HOUSE, attempt=attempt), policy=DEFAULTS, now=NOON + age)
    if attempt < DEFAULTS.attempt_cap:
        assert (found.action, found.rules) == (Action.ATTEMPT, ("capacity_changed",))
        assert found.max_attempts == max(4, attempt + 1)
    else:
        assert (found.action, found.rules) == (Action.GIVE_UP, ("capacity_changed", BUDGET_USED_UP))
        assert found.max_attempts == DEFAULTS.attempt_cap


@pytest.mark.parametrize("window", [timedelta(0), timedelta(minutes=5), timedelta(hours=1), timedelta(hours=7)])
def test_a_change_is_searched_for_once_the_start_is_within_the_window_and_until_then_the_staff_is_told(
    window: timedelta,
) -> None:
    booking, policy = replace(BOOKING, capacity_version=8), replace(DEFAULTS, wake_window=window)
    assert booking.start_at is not None
    # A window that opens after the last useful moment would be no search at all.
    opens = booking.start_at - max(window, policy.cutoff + policy.dispatch_margin)
    waits = decide(booking, FULL_HOUSE, policy=policy, now=opens - TICK)
    assert (waits.action, waits.not_before, waits.rules) == (Action.WAIT, opens, ("capacity_changed",))
    assert waits.parked
    assert not waits.woken  # another change would say again what is known
    assert decide(booking, FULL_HOUSE, policy=policy, now=opens).action is Action.ATTEMPT


@pytest.mark.parametrize("days", [365, 366, 367, 4000])
def test_the_longest_window_is_open_however_far_away_the_start_is(days: int) -> None:
    booking = replace(BOOKING, start_at=NOON + timedelta(days=days), capacity_version=8)
    assert decide(booking, FULL_HOUSE, policy=DEFAULTS, now=NOON).action is Action.ATTEMPT
    shorter = replace(DEFAULTS, wake_window=DEFAULTS.wake_window - timedelta(days=2))
    assert decide(booking, FULL_HOUSE, policy=shorter, now=NOON).action is Action.WAIT


def test_only_a_parked_booking_whose_version_can_be_compared_is_woken_by_it() -> None:
    assert decide(SEEN_7, FULL_HOUSE, policy=DEFAULTS, now=NOON).woken
    last_chance = decide(BOOKING, replace(FULL_HOUSE, attempt=1), policy=DEFAULTS, now=NOON)
    assert (last_chance.parked, last_chance.woken) == (True, False)
    searched = decide(SEEN_7, replace(FULL_HOUSE, attempt=0), policy=AUDITING, now=NOON + AUDITING.revalidation_limit)
    assert not searched.woken


def test_a_parked_booking_looks_once_more_just_past_the_cutoff_and_gives_up() -> None:
    booking = replace(SEEN_7, start_at=NOON + timedelta(minutes=25))
    parked = decide(booking, FULL_HOUSE, policy=DEFAULTS, now=NOON)
    assert parked.not_before == NOON + timedelta(minutes=15) + TICK
    assert decide(booking, FULL_HOUSE, policy=DEFAULTS, now=parked.not_before).rules == ("cutoff",)
    assert decide(booking, FULL_HOUSE, policy=DEFAULTS, now=parked.not_before - TICK).action is Action.WAIT


def test_a_table_added_is_news_for_a_party_larger_than_the_house() -> None:
    large = replace(FULL_HOUSE, reason_code=ReasonCode.PARTY_TOO_LARGE)
    assert decide(SEEN_7, large, policy=DEFAULTS, now=NOON).rules == ("permanent_failure",)
    assert decide(BOOKING, large, policy=DEFAULTS, now=NOON).rules == ("permanent_failure",)
    assert decide(replace(BOOKING, capacity_version=8), large, policy=DEFAULTS, now=NOON).action is Action.ATTEMPT


# The cutoff.


@pytest.mark.parametrize(
    ("left", "attempted", "action"),
    [
        (timedelta(minutes=10), True, Action.ATTEMPT),
        (timedelta(minutes=10) - TICK, True, Action.GIVE_UP),
        (timedelta(minutes=10) - TICK, False, Action.ATTEMPT),
        (TICK, False, Action.ATTEMPT),
        (timedelta(0), False, Action.GIVE_UP),
        (-TICK, False, Action.GIVE_UP),
        (None, True, Action.ATTEMPT),
        (None, False, Action.ATTEMPT),
    ],
)
def test_the_cutoff_spares_the_first_attempt_and_the_start_spares_none(
    left: timedelta | None, attempted: bool, action: Action
) -> None:
    booking = replace(BOOKING, start_at=None if left is None else NOON + left, revision=1)
    last = replace(FAILED, revision=1 if attempted else 0)
    assert decide(booking, last, policy=DEFAULTS, now=NOON).action is action


# E-mail.

CONFIRMED: Final = Booking(id="b", status=BookingStatus.CONFIRMED.value)


@pytest.mark.parametrize(
    ("ledger", "suppressed"),
    [
        (None, False),
        (EmailState.CLAIMED, True),
        (EmailState.SENT, True),
        (EmailState.UNKNOWN, True),
        (EmailState.FAILED, False),
    ],
)
@pytest.mark.parametrize("status", ["confirmed", "checked_in"])
def test_the_ledger_says_whether_the_guest_was_written_to(
    status: str, ledger: EmailState | None, suppressed: bool
) -> None:
    booking = replace(CONFIRMED, status=status, email=ledger)
    for last in (None, Unreadable("x"), FAILED):
        found = decide(booking, last, policy=DEFAULTS, now=NOON)
        assert (found.action, found.suppress_email) == (Action.ENSURE_EMAIL, suppressed)
        assert found.rules == (("already_confirmed", EMAIL_ON_RECORD) if suppressed else ("already_confirmed",))


@pytest.mark.parametrize("ledger", [None, EmailState.FAILED])
@pytest.mark.parametrize(
    ("booked", "seen", "variant", "suppressed"),
    [
        (0, 0, EmailVariant.STANDARD, True),
        (0, 0, None, True),
        (0, 0, EmailVariant.MODIFIED, False),
        (1, 1, EmailVariant.MODIFIED, True),
        (1, 1, None, True),
        # A creation mail never suppresses a modification mail.
        (1, 1, EmailVariant.STANDARD, False),
        (1, 0, EmailVariant.STANDARD, False),
        (1, 0, EmailVariant.MODIFIED, False),
        (1, 0, None, False),
        (2, 1, EmailVariant.MODIFIED, False),
        (0, 1, EmailVariant.STANDARD, False),
    ],
)
def test_the_flag_speaks_for_one_revision_and_one_variant(
    ledger: EmailState | None, booked: int, seen: int, variant: EmailVariant | None, suppressed: bool
) -> None:
    booking = replace(CONFIRMED, revision=booked, email=ledger)
    for success in (False, True):
        last = replace(FAILED, success=success, revision=seen, email_sent=True, email_variant=variant)
        assert decide(booking, last, policy=DEFAULTS, now=NOON).suppress_email is suppressed
        unsent = replace(last, email_sent=False)
        assert decide(booking, unsent, policy=DEFAULTS, now=NOON).suppress_email is False


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_the_flag_does_not_go_stale(now: datetime) -> None:
    last = replace(FAILED, email_sent=True, email_variant=EmailVariant.STANDARD)
    assert decide(CONFIRMED, last, policy=DEFAULTS, now=now).suppress_email


@settings(deadline=None)
@given(anything)
def test_only_a_seated_booking_is_written_to_and_only_an_open_one_searched_for(
    case: tuple[Booking, LastResult | Unreadable | None, datetime],
) -> None:
    booking, last, now = case
    for status in (*BookingStatus, "waitlisted", "Pending", ""):
        action = decide(replace(booking, status=status), last, policy=DEFAULTS, now=now).action
        if status in {"confirmed", "checked_in"}:
            assert action is Action.ENSURE_EMAIL
        elif status in {"pending", "pending_allocation"}:
            assert action in {Action.ATTEMPT, Action.WAIT, Action.GIVE_UP}
        else:
            assert action is Action.NONE


# Strategy.


def test_the_next_attempt_keeps_the_strategy_of_evidence_that_counts() -> None:
    own, used = Strategy(require_adjacency=True, max_tables=3), Strategy(require_adjacency=False, max_tables=1)
    policy = Policy(strategy=own)
    last = replace(FAILED, reason="deadlock detected", strategy=used)
    for age, revision, expected in (
        (SECOND, 0, used),
        (timedelta(hours=1), 0, used),
        (timedelta(hours=-1), 0, own),
        (SECOND, 1, own),
    ):
        booking = replace(BOOKING, revision=revision)
        assert decide(booking, last, policy=policy, now=NOON + age).strategy == expected
    assert decide(BOOKING, replace(last, strategy=None), policy=policy, now=NOON).strategy == own
    assert decide(BOOKING, None, policy=policy, now=NOON).strategy == own


@pytest.mark.parametrize("code", ReasonCode)
@pytest.mark.parametrize("used", [None, Strategy(require_adjacency=True, max_tables=2)])
def test_only_a_timeout_relaxes_and_only_where_the_host_chose_it(code: ReasonCode, used: Strategy | None) -> None:
    own = Strategy(require_adjacency=True, max_tables=3)
    last = replace(FAILED, reason_code=code, strategy=used)
    strict = decide(BOOKING, last, policy=Policy(strategy=own), now=NOON)
    relaxed = decide(BOOKING, last, policy=Policy(strategy=own, relax_after_timeout=True), now=NOON)
    kept = own if used is None else used
    assert strict.strategy == kept
    if code is ReasonCode.TIMEOUT:
        assert relaxed.strategy == Strategy(require_adjacency=False, max_tables=kept.max_tables)
    else:
        assert relaxed == strict


def test_the_words_are_read_where_no_code_was_stored() -> None:
    found = decide(
        BOOKING, replace(FAILED, reason="Hold conflicts prevented all candidates"), policy=DEFAULTS, now=NOON
    )
    assert (found.failure_class, found.reason_code) == (FailureClass.CONTENTION, ReasonCode.HOLD_CONFLICT)
    coded = replace(FAILED, reason="Hold conflicts", reason_code=ReasonCode.DEADLOCK)
    assert decide(BOOKING, coded, policy=DEFAULTS, now=NOON).reason_code is ReasonCode.DEADLOCK
