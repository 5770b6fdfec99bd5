"""Bounds and ties that a wrong comparison would move by one, each pinned by the smallest case that shows it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from math import nextafter
from typing import Any, Final
from zlib import crc32

import pytest

from assign_core import (
    Action,
    Booking,
    EmailVariant,
    InvalidValue,
    LastResult,
    NaiveTime,
    Policy,
    ReasonCode,
    Source,
    Strategy,
    decide,
    merge,
)
from assign_core.case import spread
from assign_core.reasons import reason_of

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
DAWN: Final = datetime.min.replace(tzinfo=UTC)
STEADY: Final = Policy(jitter=0.0)
HELD: Final = LastResult(
    source=Source.JOB,
    recorded_at=NOON,
    success=False,
    reason_code=ReasonCode.HOLD_CONFLICT,
    attempt_id="a1",
    attempt=1,
)


def waits_until(last: LastResult, policy: Policy, **booking: Any) -> datetime:
    found = decide(Booking(id="b", **booking), last, policy=policy, now=last.recorded_at)
    assert found.action is Action.WAIT
    assert found.not_before is not None
    return found.not_before


def test_a_hint_that_passes_with_the_search_is_none() -> None:
    assert waits_until(replace(HELD, retry_after=NOON), STEADY) == NOON + timedelta(seconds=5)


def test_a_hint_is_spread_so_that_those_who_wait_for_one_hold_do_not_arrive_together() -> None:
    hint = NOON + timedelta(seconds=60)
    until = {waits_until(replace(HELD, retry_after=hint, attempt_id=f"a{n}"), Policy(jitter=1.0)) for n in range(20)}
    assert len(until) == 20
    assert all(hint < moment < hint + timedelta(seconds=5) for moment in until)


def test_a_wait_beyond_the_end_of_the_calendar_is_to_its_end() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    assert waits_until(replace(HELD, recorded_at=end - timedelta(seconds=1)), STEADY) == end
    assert waits_until(replace(HELD, recorded_at=end - timedelta(seconds=9)), STEADY) == end - timedelta(seconds=4)


# The check value of CRC-32, which every catalogue of checksums gives for these nine digits.
NINE_DIGITS: Final = "123456789"
CHECKED: Final = 0xCBF43926 / 2**32


def test_what_is_drawn_is_the_same_in_any_language() -> None:
    assert spread(NINE_DIGITS) == CHECKED
    assert spread("\ud800") == crc32(b"\xed\xa0\x80") / 2**32


@pytest.mark.parametrize(("share", "searched"), [(CHECKED, False), (nextafter(CHECKED, 1), True)])
def test_the_revalidation_share_is_of_those_below_it(share: float, searched: bool) -> None:
    full = replace(HELD, reason_code=ReasonCode.NO_CAPACITY, capacity_version=5, attempt=0)
    booking = Booking(id=NINE_DIGITS, capacity_version=5)
    later = NOON + STEADY.revalidation_limit
    found = decide(booking, full, policy=replace(STEADY, revalidation_share=share), now=later)
    assert (found.action is Action.ATTEMPT) == searched


def test_a_last_chance_before_the_calendar_begins_has_passed() -> None:
    policy = Policy(jitter=0.0, cutoff=timedelta(0), dispatch_margin=timedelta(hours=1))
    last = replace(HELD, recorded_at=DAWN, retry_after=DAWN + timedelta(seconds=50))
    assert waits_until(last, policy, start_at=DAWN + timedelta(seconds=60)) == DAWN + timedelta(seconds=5)


DIFFERENCES: Final[dict[str, tuple[Any, ...]]] = {
    "source": (Source.INLINE, Source.JOB),
    "recorded_at": (NOON, NOON + timedelta(microseconds=1)),
    "success": (False, True),
    "reason": (None, "", "None", "a"),
    "reason_code": (None, ReasonCode.TIMEOUT, ReasonCode.ABORTED),
    "strategy": (
        None,
        Strategy(),
        Strategy(require_adjacency=False),
        Strategy(require_adjacency=True),
        Strategy(max_tables=1),
        Strategy(max_tables=2),
    ),
    "trigger": (None, "", "None", "a"),
    "alternates": (None, 0, 1),
    "duration_ms": (None, 0, 1),
    "attempt_id": (None, "", "None", "a"),
    "attempt": (0, 1),
    "revision": (0, 1),
    "email_sent": (False, True),
    "email_variant": (None, EmailVariant.STANDARD, EmailVariant.MODIFIED),
    "held": (False, True),
    "capacity_version": (None, 0, 1),
    "retry_after": (None, NOON, NOON + timedelta(seconds=1)),
}


def test_every_attribute_has_values_that_differ() -> None:
    assert {field.name for field in fields(LastResult)} == DIFFERENCES.keys()


@pytest.mark.parametrize("name", DIFFERENCES)
def test_results_that_differ_in_one_attribute_merge_alike_from_both_sides(name: str) -> None:
    for one, other in combinations(DIFFERENCES[name], 2):
        first, second = replace(HELD, **{name: one}), replace(HELD, **{name: other})
        assert merge(first, second) == merge(second, first), (one, other)


def chain(length: int) -> Exception:
    error = Exception("the innermost")
    for number in range(length - 1):
        outer = Exception(f"wrapper {number}")
        outer.__cause__ = error
        error = outer
    return error


def test_a_chain_of_causes_is_read_sixteen_links_deep() -> None:
    assert reason_of(chain(16)).endswith("the innermost")
    assert reason_of(chain(17)).count(" <- ") == 15


def test_a_cause_that_comes_up_twice_does_not_hide_the_next() -> None:
    shared = ValueError("shared")
    text = reason_of(ExceptionGroup("both", [shared, shared, ValueError("deadlock detected")]))
    assert text.count("shared") == 1
    assert "deadlock detected" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"jitter": "x"}, r"^Policy\.jitter is 'x'; pass a number, such as 0\.2$"),
        ({"retries": "3"}, r"^Policy\.retries is '3'; pass a int, such as 3$"),
        ({"relax_after_timeout": 1}, r"^Policy\.relax_after_timeout is 1; pass a bool, such as False$"),
        (
            {"delays": (timedelta(1), timedelta(2), timedelta(367))},
            r"^Policy\.delays ends with 367 days, 0:00:00; pass at most 366 days$",
        ),
        ({"inline_hold": timedelta(seconds=1)}, r"^a hold must outlive its attempt's deadline: inline 0:00:01 and "),
    ],
)
def test_a_setting_that_is_refused_says_what_to_pass(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        Policy(**given)


def test_a_value_that_is_refused_is_named_in_whole_sentences() -> None:
    with pytest.raises(InvalidValue, match=r"^a booking's id is empty; pass the host's identifier$"):
        Booking(id="")
    with pytest.raises(InvalidValue, match=r"^attempt, revision, duration_ms and alternates count from 0 upwards: -1"):
        replace(HELD, attempt=-1)
    with pytest.raises(NaiveTime, match=r"^start_at has no time zone: 2026-03-14 12:00:00; pass an aware time"):
        Booking(id="b", start_at=NOON.replace(tzinfo=None))


def test_the_longest_delay_is_a_leap_year() -> None:
    assert Policy(delays=(timedelta(days=366),)).delay_after(1) == timedelta(days=366)
