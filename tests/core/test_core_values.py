"""Values that nobody can mean are refused where they enter, with words that say which and what to do."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_core import (
    AssignError,
    Booking,
    BookingStatus,
    Classification,
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
)
from assign_core.booking import CLOSED, OPEN, SEATED
from assign_core.errors import BookingNotFound, DeadlineExceeded, aware

NAIVE: Final = datetime(2026, 3, 14, 12)  # noqa: DTZ001 - what must be refused
NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)


class Zoneless(tzinfo):
    """A zone that does not know its offset: as good as none."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "?"

    def dst(self, _: datetime | None) -> None:
        return None


def _result(**given: Any) -> LastResult:
    return LastResult(**{"source": Source.JOB, "recorded_at": NOON, "success": False, **given})


# Times.


@pytest.mark.parametrize("moment", [NAIVE, NAIVE.replace(tzinfo=Zoneless())])
def test_a_time_without_a_zone_is_refused_by_name(moment: datetime) -> None:
    with pytest.raises(NaiveTime, match=r"start_at has no time zone.*pass an aware time"):
        Booking(id="b", start_at=moment)
    with pytest.raises(NaiveTime, match="recorded_at has no time zone"):
        _result(recorded_at=moment)
    with pytest.raises(NaiveTime, match="retry_after has no time zone"):
        _result(retry_after=moment)
    with pytest.raises(NaiveTime, match="recorded_at"):
        replace(_result(), recorded_at=moment)


@pytest.mark.parametrize("value", ["2026-03-14T12:00:00Z", 0, None, NOON.date(), 1.5])
def test_what_is_no_time_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidValue, match="recorded_at is not a time"):
        _result(recorded_at=value)


def test_a_time_outside_the_calendar_is_refused_by_name() -> None:
    last_hour = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2)))
    first_hour = datetime(1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    for edge in (last_hour, first_hour):
        with pytest.raises(InvalidValue, match="start_at is outside the calendar"):
            Booking(id="b", start_at=edge)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - hypothesis takes naive bounds
def test_a_time_of_any_zone_is_kept_in_utc(moment: datetime) -> None:
    kept = Booking(id="b", start_at=moment).start_at
    assert kept is not None
    assert kept.tzinfo is UTC
    assert kept.timestamp() == moment.timestamp()
    assert _result(recorded_at=moment).recorded_at == kept


def test_an_hour_that_happens_twice_is_two_times() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
    assert aware("t", first.replace(fold=1)) - aware("t", first) == timedelta(hours=1)


# Bookings.


def test_a_booking_needs_an_id_and_a_revision_counted_from_nought() -> None:
    with pytest.raises(InvalidValue, match="id is empty"):
        Booking(id="")
    with pytest.raises(InvalidValue, match="revision of booking 'b' is negative: -1"):
        Booking(id="b", revision=-1)


def test_every_status_is_open_seated_or_closed() -> None:
    assert sorted([*OPEN, *SEATED, *CLOSED]) == sorted(BookingStatus)
    assert {"pending", "pending_allocation"} == OPEN
    assert {"confirmed", "checked_in"} == SEATED


# Results.


@pytest.mark.parametrize("name", ["attempt", "revision", "duration_ms", "alternates"])
def test_a_negative_count_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match=f"{name}.*-3"):
        _result(**{name: -3})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Classification(ReasonCode.UNKNOWN, FailureClass.AMBIGUOUS)),
        ({"reason": "deadlock detected"}, Classification(ReasonCode.DEADLOCK, FailureClass.INFRASTRUCTURE)),
        (
            {"reason": "deadlock detected", "reason_code": ReasonCode.NO_CAPACITY},
            Classification(ReasonCode.NO_CAPACITY, FailureClass.CAPACITY),
        ),
        ({"success": True, "reason": "Assigned"}, None),
        ({"success": True, "reason_code": ReasonCode.TIMEOUT}, None),
    ],
)
def test_a_stored_code_beats_the_stored_words(given: dict[str, Any], expected: Classification | None) -> None:
    result = _result(**given)
    assert result.classification == expected
    assert result.failure_class is (None if expected is None else expected.failure_class)


def test_the_first_revision_is_confirmed_and_every_later_one_is_a_modification() -> None:
    assert EmailVariant.of(0) is EmailVariant.STANDARD
    assert {EmailVariant.of(revision) for revision in (1, 2, 10**9)} == {EmailVariant.MODIFIED}


def test_values_do_not_change() -> None:
    for value, name in (
        (_result(), "attempt"),
        (Booking(id="b"), "status"),
        (Policy(), "retries"),
        (Strategy(), "max_tables"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 1)
    assert hash(_result()) == hash(_result())
    assert hash(Policy()) == hash(Policy())


# Words.


@pytest.mark.parametrize("kind", [BookingStatus, Evidence, FailureClass, ReasonCode, Source, EmailVariant])
def test_a_word_is_its_string(
    kind: type[BookingStatus | Evidence | FailureClass | ReasonCode | Source | EmailVariant],
) -> None:
    for word in kind:
        assert word == word.value
        assert hash(word) == hash(word.value)
        assert f"{word}" == word.value
        assert {word.value: 1}[word] == 1


# Errors.


def test_errors_say_what_to_do() -> None:
    assert issubclass(InvalidValue, AssignError)
    assert issubclass(InvalidValue, ValueError)
    assert "'b7'" in str(BookingNotFound("b7"))
    assert isinstance(BookingNotFound("b7"), LookupError)


def test_a_handler_of_failures_does_not_swallow_the_deadline() -> None:
    assert not issubclass(DeadlineExceeded, Exception)


# The policy.

MINUTE: Final = timedelta(minutes=1)

FROM_NOUGHT: Final = ("cutoff", "dispatch_margin", "freshness", "clock_skew", "wake_window")
ABOVE_NOUGHT: Final = ("inline_deadline", "job_deadline", "grace", "inline_hold", "job_hold", "revalidation_limit")
TICK: Final = timedelta(microseconds=1)

BAD: Final[list[tuple[dict[str, Any], str]]] = [
    *(({name: timedelta(days=366) + TICK}, rf"Policy\.{name} is 366 days, 0:00:00\.000001") for name in FROM_NOUGHT),
    *(({name: -TICK}, rf"Policy\.{name} is -1 day, 23:59:59\.999999") for name in (*FROM_NOUGHT, *ABOVE_NOUGHT)),
    *(({name: timedelta(0)}, rf"Policy\.{name} is 0; pass a duration longer") for name in ABOVE_NOUGHT),
    ({"retries": -1}, r"Policy\.retries is -1; pass a count from 0"),
    ({"retries": 101, "attempt_cap": 500}, r"Policy\.retries is 101"),
    ({"retries": 11}, r"Policy\.attempt_cap is 11; pass at least retries \+ 1 = 12"),
    ({"attempt_cap": 3}, r"Policy\.attempt_cap is 3"),
    ({"attempt_cap": 1001}, r"Policy\.attempt_cap is 1001"),
    ({"capacity_budget": 0}, r"Policy\.capacity_budget is 0"),
    ({"rejected_budget": 0}, r"Policy\.rejected_budget is 0"),
    ({"ambiguous_budget": -7}, r"Policy\.ambiguous_budget is -7"),
    ({"revalidation_share": -0.1}, r"Policy\.revalidation_share is -0\.1; pass a share from 0 to 1"),
    ({"revalidation_share": 1.01}, r"Policy\.revalidation_share is 1\.01"),
    ({"revalidation_share": float("nan")}, r"Policy\.revalidation_share is nan"),
    ({"delays": ()}, r"Policy\.delays is \(\)"),
    ({"delays": (timedelta(0),)}, r"Policy\.delays is \(.*growing durations longer than 0"),
    ({"delays": (-MINUTE, MINUTE)}, r"Policy\.delays is"),
    ({"delays": (MINUTE, MINUTE / 2)}, r"Policy\.delays is .*growing"),
    ({"delays": (MINUTE, timedelta(days=400))}, r"Policy\.delays ends with 400 days"),
    ({"jitter": -0.1}, r"Policy\.jitter is -0\.1"),
    ({"jitter": 1.01}, r"Policy\.jitter is 1\.01"),
    ({"jitter": float("nan")}, r"Policy\.jitter is nan"),
    ({"inline_hold": timedelta(seconds=1)}, r"inline 0:00:01 and 0:00:01\.8"),
    ({"job_hold": timedelta(seconds=149)}, r"job 0:02:29 and 0:02:30"),
]


@pytest.mark.parametrize(("given", "words"), BAD)
def test_a_setting_that_nobody_can_mean_is_refused_by_name_and_value(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        Policy(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"retries": 0, "attempt_cap": 1},
        {"revalidation_share": 0},
        {"revalidation_share": 1},
        {"retries": 100, "attempt_cap": 1000},
        {"jitter": 0},
        {"jitter": 1},
        {
            "freshness": timedelta(0),
            "clock_skew": timedelta(0),
            "cutoff": timedelta(0),
            "dispatch_margin": timedelta(0),
        },
        {"cutoff": timedelta(days=366)},
        {"delays": (MINUTE, MINUTE)},
        {"inline_hold": timedelta(seconds=1.8), "job_hold": timedelta(seconds=150)},
    ],
)
def test_a_setting_at_its_bound_is_accepted(given: dict[str, Any]) -> None:
    Policy(**given)


def test_the_defaults_are_the_documented_ones() -> None:
    policy = Policy()
    assert policy.max_attempts == 4
    assert policy.attempt_cap == 11
    assert (policy.capacity_budget, policy.rejected_budget, policy.ambiguous_budget) == (2, 2, 3)
    assert policy.revalidation_share == 0.1
    assert [delay.total_seconds() for delay in policy.delays] == [5, 15, 45]
    assert policy.cutoff == timedelta(minutes=10)
    assert policy.freshness == timedelta(minutes=5)
    assert policy.clock_skew == timedelta(seconds=30)
    assert policy.revalidation_limit == timedelta(minutes=30)
    assert policy.wake_window == timedelta(days=366)
    assert policy.inline_deadline == timedelta(seconds=1.8)
    assert (policy.inline_hold, policy.job_hold) == (timedelta(seconds=120), timedelta(seconds=180))
    assert policy.relax_after_timeout is False


def test_every_setting_is_documented_with_its_default() -> None:
    attributes = (Policy.__doc__ or "").split("Raises:")[0]
    documented = dict(re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE))
    assert sorted(documented) == sorted(field.name for field in fields(Policy))
    assert not [name for name, words in documented.items() if "efault" not in words]


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 5), (1, 5), (2, 15), (3, 45), (4, 45), (10**9, 45)])
def test_the_last_delay_repeats(attempt: int, seconds: int) -> None:
    assert Policy().delay_after(attempt) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"delays": (5, 15)}, "Policy.delays is (5, 15); pass a tuple of timedelta"),
        ({"retries": True}, "Policy.retries is True; pass a int, such as 3"),
        ({"jitter": True}, "Policy.jitter is True; pass a number, such as 0.2"),
        ({"relax_after_timeout": 1}, "Policy.relax_after_timeout is 1; pass a bool, such as False"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused_with_what_to_pass(given: dict[str, Any], words: str) -> None:
    """A truth is no number although Python counts with it, nor a number a truth."""
    with pytest.raises(InvalidValue) as refused:
        Policy(**given)
    assert str(refused.value) == words
