"""What a stored result is worth later: one gate for its age, its revision and its capacity version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assign_core import Booking, Evidence, LastResult, Policy, Source, Unreadable
from assign_core.evidence import DATED, USABLE, version_grown, version_holds, weigh

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)
FRESHNESS, SKEW, LIMIT = timedelta(minutes=5), timedelta(seconds=30), timedelta(minutes=30)
BOOKING: Final = Booking(id="b", revision=3, capacity_version=7)
FOUND: Final = LastResult(source=Source.JOB, recorded_at=NOON, success=False, revision=3)


def _weigh(last: LastResult | Unreadable | None, age: timedelta, booking: Booking = BOOKING) -> Evidence:
    return weigh(last, booking, NOON + age, FRESHNESS, SKEW, LIMIT)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), Evidence.FRESH),
        (FRESHNESS - TICK, Evidence.FRESH),
        (FRESHNESS, Evidence.FRESH),
        (FRESHNESS + TICK, Evidence.STALE),
        (timedelta(days=4000), Evidence.STALE),
        (-TICK, Evidence.FRESH),
        (-SKEW, Evidence.FRESH),
        (-SKEW - TICK, Evidence.FUTURE),
        (timedelta(days=-4000), Evidence.FUTURE),
    ],
)
def test_evidence_is_fresh_up_to_and_including_its_lifetime(age: timedelta, expected: Evidence) -> None:
    assert _weigh(FOUND, age) is expected
    assert _weigh(replace(FOUND, capacity_version=6), age) is expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), Evidence.REVALIDATED),
        (FRESHNESS + TICK, Evidence.REVALIDATED),
        (LIMIT, Evidence.REVALIDATED),
        (LIMIT + TICK, Evidence.STALE),
        (-SKEW, Evidence.REVALIDATED),
        (-SKEW - TICK, Evidence.FUTURE),
    ],
)
def test_a_capacity_version_that_has_not_grown_revalidates_up_to_the_limit(age: timedelta, expected: Evidence) -> None:
    assert _weigh(replace(FOUND, capacity_version=7), age) is expected
    # What has been freed may be taken again: a version that has fallen is no news for a search that found nothing.
    assert _weigh(replace(FOUND, capacity_version=8), age) is expected


def test_past_a_short_revalidation_limit_fresh_evidence_is_still_fresh() -> None:
    found = replace(FOUND, capacity_version=7)
    assert weigh(found, BOOKING, NOON + TICK, FRESHNESS, SKEW, timedelta(0)) is Evidence.FRESH


@pytest.mark.parametrize("version", [None, 7])
@pytest.mark.parametrize("age", [timedelta(0), FRESHNESS, LIMIT, timedelta(days=-1)])
def test_a_version_on_one_side_only_revalidates_nothing(version: int | None, age: timedelta) -> None:
    other = None if version is not None else 7
    found = replace(FOUND, capacity_version=version)
    assert _weigh(found, age, replace(BOOKING, capacity_version=other)) is _weigh(FOUND, age)


@given(st.none() | st.integers(), st.none() | st.integers())
def test_versions_are_compared_only_where_both_are_known(seen: int | None, now: int | None) -> None:
    last, booking = replace(FOUND, capacity_version=seen), replace(BOOKING, capacity_version=now)
    if seen is None or now is None:
        assert not version_grown(last, booking)
        assert not version_holds(last, booking)
    else:
        assert version_grown(last, booking) is (now > seen)
        assert version_holds(last, booking) is (now <= seen)


def test_two_unknown_versions_are_not_the_same_version() -> None:
    assert _weigh(FOUND, LIMIT, replace(BOOKING, capacity_version=None)) is Evidence.STALE


@pytest.mark.parametrize("age", [timedelta(0), FRESHNESS + TICK, timedelta(days=-1)])
def test_another_revision_is_another_search(age: timedelta) -> None:
    for version in (None, 6, 7):
        assert _weigh(replace(FOUND, revision=2, capacity_version=version), age) is Evidence.OLDER_REVISION
        assert _weigh(replace(FOUND, revision=4, capacity_version=version), age) is Evidence.FUTURE


@given(st.timedeltas(timedelta(days=-1000), timedelta(days=1000)))
def test_nothing_stored_and_nothing_legible_are_worth_nothing_at_any_age(age: timedelta) -> None:
    assert _weigh(None, age) is Evidence.ABSENT
    assert _weigh(Unreadable("truncated"), age) is Evidence.UNREADABLE


@given(st.integers() | st.text() | st.dictionaries(st.text(), st.integers()) | st.just(object))
def test_a_foreign_value_is_unreadable(value: object) -> None:
    assert weigh(value, BOOKING, NOON, FRESHNESS, SKEW, LIMIT) is Evidence.UNREADABLE  # type: ignore[arg-type]  # a wrong type on purpose


def test_only_fresh_and_revalidated_evidence_is_usable() -> None:
    assert {Evidence.FRESH, Evidence.REVALIDATED} == USABLE
    assert {Evidence.FRESH, Evidence.REVALIDATED, Evidence.STALE} == DATED


@settings(max_examples=100, deadline=None)
@given(st.from_type(LastResult), st.from_type(Booking), st.from_type(Policy), st.datetimes(timezones=st.just(UTC)))
def test_every_result_has_a_worth_and_ages_one_way(
    last: LastResult, booking: Booking, policy: Policy, now: datetime
) -> None:
    order = [Evidence.FUTURE, Evidence.REVALIDATED, Evidence.FRESH, Evidence.STALE]

    def worth(moment: datetime) -> Evidence:
        return weigh(last, booking, moment, policy.freshness, policy.clock_skew, policy.revalidation_limit)

    early = worth(now)
    late = worth(max(now, last.recorded_at))
    if last.revision != booking.revision:
        assert early is late is (Evidence.FUTURE if last.revision > booking.revision else Evidence.OLDER_REVISION)
    else:
        assert order.index(early) <= order.index(late)
        assert late is not Evidence.FUTURE
