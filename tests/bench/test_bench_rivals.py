"""Each rival does what its description says; on one table, every call can be counted on paper."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.conftest import Rivals

from assign_bench import CONTENDERS, contender, run
from assign_bench.policies import ORACLE
from assign_bench.retries import (
    ExponentialJitter,
    FixedDelays,
    HalvedBudget,
    HardStop,
    NegativeCache,
    Retry,
    Seen,
    TokenBucket,
)
from assign_bench.services import MORNING
from assign_core.last_result import LastResult, Source
from assign_core.policy import Policy
from assign_core.ports import Hold, NoHold
from assign_core.reasons import FailureClass, ReasonCode

CAPACITY: Final = FailureClass.CAPACITY
NOTHING: Final = NoHold(reason="no tables", reason_code=ReasonCode.NO_CAPACITY)
UNAUDITED: Final = Policy(revalidation_share=0.0)


def seen(*failures: FailureClass, inline: LastResult | None = None, booking_id: str = "b") -> Seen:
    return Seen(booking_id=booking_id, now=MORNING, inline=inline, failures=failures)


def found_nothing(age: timedelta = timedelta(), code: ReasonCode = ReasonCode.NO_CAPACITY) -> LastResult:
    return LastResult(source=Source.INLINE, recorded_at=MORNING - age, success=False, reason_code=code)


@pytest.mark.parametrize(
    ("policy", "calls"),
    [
        ("no-sharing", 4),
        ("seed", 2),
        ("hard-stop", 1),
        ("exception-retry", 4),
        # The inline search's answer is in the cache when the job begins, and 60 s later it is not.
        ("ttl-cache", 1),
        ("token-bucket", 4),
        ("ours", 0),
        ("ours-last-hour", 0),
        ("ours-no-versions", 2),
        ("oracle", 0),
    ],
)
def test_a_booking_for_which_there_is_no_table_costs_so_many_calls(rivals: Rivals, policy: str, calls: int) -> None:
    ended = run(rivals(first_cancels_after=None), contender(policy), UNAUDITED)
    first, second = ended.bookings
    assert (first.by, second.seated) == ("inline", False)
    assert second.job_calls == calls
    assert ended.figures.staff_notices == 1


@pytest.mark.parametrize("policy", ["no-sharing", "ours", "ours-no-versions", ORACLE])
def test_a_table_freed_while_a_job_still_tries_is_found(rivals: Rivals, policy: str) -> None:
    ended = run(rivals(first_cancels_after=60.0), contender(policy), UNAUDITED)
    assert [each.by for each in ended.bookings if each.seated] == ["job"]
    assert ended.figures.job_seated == 1


def test_a_table_freed_an_hour_later_is_found_by_who_knows_of_it_or_keeps_a_search_for_the_end(rivals: Rivals) -> None:
    workload = rivals(first_cancels_after=3600.0)
    seated = {name for name, each in CONTENDERS.items() if run(workload, each, UNAUDITED).figures.confirmed}
    calls = {name: run(workload, CONTENDERS[name], UNAUDITED).figures.job_calls for name in seated}
    assert calls == {"ours": 1, "ours-last-hour": 1, "ours-no-versions": 2, ORACLE: 1}


@pytest.mark.parametrize("policy", list(CONTENDERS))
def test_only_a_job_that_does_not_ask_the_ledger_writes_twice(rivals: Rivals, policy: str) -> None:
    figures = run(rivals(first_cancels_after=None), contender(policy), UNAUDITED).figures
    forgetful = policy in {"no-sharing", "hard-stop", "exception-retry", "ttl-cache", "token-bucket"}
    assert (figures.emails_sent, figures.emails_duplicate) == ((2, 1) if forgetful else (1, 0))
    assert figures.emails_suppressed == (0 if forgetful else 1)


def test_the_baseline_pauses_5_15_and_45_seconds() -> None:
    fixed = FixedDelays()
    assert fixed.budget(seen(inline=found_nothing())) == 4
    assert [fixed.pause(seen(*[CAPACITY] * number)) for number in (1, 2, 3)] == [5.0, 15.0, 45.0]


def test_in_the_last_hour_means_then_and_not_before(rivals: Rivals) -> None:
    workload = rivals(first_cancels_after=3600.0)
    (second,) = [guest for guest in workload.guests if guest.booking_id == "second"]
    at_once, late = (
        next(each for each in run(workload, contender(policy), UNAUDITED).bookings if each.seated)
        for policy in ("ours", "ours-last-hour")
    )
    an_hour_before = (second.start_at - workload.begins).total_seconds() - 3600.0 - second.books_at
    assert at_once.delay is not None
    assert late.delay is not None
    assert at_once.delay < 3600.0 + 60.0
    assert an_hour_before <= late.delay < an_hour_before + 60.0


def test_the_seed_halves_the_budget_after_fresh_failures_for_want_of_seats() -> None:
    seed = HalvedBudget()
    assert seed.budget(seen(inline=found_nothing())) == 2
    assert seed.budget(seen(inline=found_nothing(timedelta(minutes=5)))) == 2
    assert seed.budget(seen(inline=found_nothing(timedelta(minutes=5, seconds=1)))) == 4
    assert seed.budget(seen(inline=found_nothing(code=ReasonCode.TIMEOUT))) == 4
    assert seed.budget(seen()) == 4


@pytest.mark.parametrize("failure", list(FailureClass))
def test_hard_stop_stops_at_what_the_same_search_would_repeat(failure: FailureClass) -> None:
    stops = failure in {FailureClass.CAPACITY, FailureClass.PERMANENT, FailureClass.REJECTED}
    assert (HardStop().pause(seen(failure)) is None) is stops
    assert HardStop().budget(seen(inline=found_nothing())) == 3


@given(st.integers(1, 12), st.text(min_size=1, max_size=8))
def test_exception_retry_doubles_from_a_second_and_adds_one_at_most(number: int, booking_id: str) -> None:
    pause = ExponentialJitter().pause(seen(*[CAPACITY] * number, booking_id=booking_id))
    assert pause is not None
    assert min(2.0 ** (number - 1), 60.0) <= pause <= min(2.0 ** (number - 1) + 1.0, 60.0)


def test_the_cache_answers_for_its_slot_and_its_time() -> None:
    now = 0.0
    cache = NegativeCache(slot=lambda booking_id: booking_id[0], clock=lambda: now)
    cache.heard("a1", NOTHING, 0.0)
    assert not cache.searches(seen(booking_id="a2"))
    assert cache.searches(seen(booking_id="b1"))
    now = 59.9
    assert not cache.searches(seen(booking_id="a1"))
    now = 60.0
    assert cache.searches(seen(booking_id="a1"))
    cache.heard("b1", None, now)
    assert cache.searches(seen(booking_id="b1")), "a failure of the planner says nothing about seats"


def test_the_bucket_is_emptied_by_retries_and_filled_by_success() -> None:
    bucket = TokenBucket()
    assert all(bucket.pause(seen(CAPACITY, booking_id=f"b{number}")) is not None for number in range(100))
    assert bucket.pause(seen(CAPACITY)) is None
    bucket.heard("b7", NOTHING, 0.0)
    assert bucket.pause(seen(CAPACITY)) is None
    bucket.heard("b8", cast(Hold, object()), 0.0)
    assert bucket.pause(seen(CAPACITY)) is not None, "a retry that succeeds gives its 5 back"
    bucket.heard("new", cast(Hold, object()), 0.0)
    assert bucket.pause(seen(CAPACITY)) is None, "a success without a retry gives 1 back"


@pytest.mark.parametrize("retry", [FixedDelays(), HalvedBudget(), HardStop(), ExponentialJitter(), TokenBucket()])
def test_all_but_the_cache_search_whenever_they_may(retry: Retry) -> None:
    assert retry.searches(seen(CAPACITY, inline=found_nothing()))


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no policy 'our'; pass one of no-sharing, seed"):
        contender("our")
