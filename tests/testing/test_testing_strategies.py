"""The strategies of assign_testing: what they promise about every value, and that they reach what they are for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from assign_core import Booking, Evidence, FailureClass, LastResult, Policy, Source, Strategy, Unreadable, decide
from assign_core.evidence import weigh
from assign_core.ports import NoHold
from assign_memory import Cue
from assign_testing import (
    NOON,
    bookings,
    knobs,
    last_results,
    moments,
    planner_scripts,
    policies,
    unreadables,
    wire_blobs,
)
from assign_testing.blobs import LONGEST, TrappedDict
from assign_wire import MAX_TEXT, dumps, loads

DEFAULTS = Policy()
AT = datetime(2025, 11, 15, tzinfo=UTC)


@settings(deadline=None)
@given(last_results(storable=True))
def test_a_storable_result_is_read_back_as_it_was(result: LastResult) -> None:
    assert loads(dumps(result)) == result


@settings(deadline=None)
@given(wire_blobs(malformed=False) | wire_blobs(malformed=False, jsonb=True))
def test_a_blob_that_is_not_malformed_can_be_read(blob: object) -> None:
    assert isinstance(loads(blob), LastResult)


@settings(deadline=None)
@given(wire_blobs(malformed=True) | wire_blobs(malformed=True, jsonb=True))
def test_a_malformed_blob_cannot_be_read(blob: object) -> None:
    assert isinstance(loads(blob), Unreadable)


@settings(deadline=None)
@given(bookings(), st.none() | last_results() | unreadables(), policies(), moments())
def test_everything_that_is_drawn_has_a_decision(
    booking: Booking, last: LastResult | Unreadable | None, policy: Policy, now: datetime
) -> None:
    assert decide(booking, last, policy=policy, now=now).rules


@given(st.data())
def test_what_is_given_is_kept_be_it_a_value_or_a_strategy(data: st.DataObject) -> None:
    last = data.draw(
        last_results(
            revision=3, success=False, reason=None, recorded_at=AT, attempt=st.integers(4, 5), source=Source.JOB
        )
    )
    assert (last.revision, last.success, last.reason, last.recorded_at, last.source) == (3, False, None, AT, Source.JOB)
    assert last.attempt in {4, 5}
    booking = data.draw(bookings(id="mine", status="pending", start_at=None, revision=st.just(2)))
    assert (booking.id, booking.status, booking.start_at, booking.revision) == ("mine", "pending", None, 2)
    policy = data.draw(policies(retries=2, jitter=0.0, strategy=knobs(max_tables=7)))
    assert (policy.retries, policy.jitter, policy.strategy.max_tables) == (2, 0.0, 7)


@given(planner_scripts(max_size=3, longest_delay=2.0))
def test_a_script_keeps_to_its_bounds(script: list[Cue]) -> None:
    assert len(script) <= 3
    assert all(0 <= cue.delay <= 2.0 for cue in script)


def worth(pair: tuple[LastResult, Booking]) -> Evidence:
    last, booking = pair
    policy = DEFAULTS
    return weigh(last, booking, NOON, policy.freshness, policy.clock_skew, policy.revalidation_limit)


def reached(strategy: st.SearchStrategy[Any], condition: Any) -> None:
    """Some value fulfils the condition; ``find`` raises otherwise."""
    find(
        strategy,
        condition,
        settings=settings(max_examples=5_000, database=None, derandomize=True, phases=(Phase.generate,)),
    )


@pytest.mark.parametrize("evidence", [one for one in Evidence if one not in {Evidence.ABSENT, Evidence.UNREADABLE}])
def test_results_of_every_worth_are_drawn(evidence: Evidence) -> None:
    reached(st.tuples(last_results(), bookings()), lambda pair: worth(pair) is evidence)


@pytest.mark.parametrize("failure", FailureClass)
def test_results_and_scripts_of_every_failure_class_are_drawn(failure: FailureClass) -> None:
    reached(last_results(reason_code=None), lambda last: last.failure_class is failure)
    reached(planner_scripts(), lambda script: any(isinstance(cue.answer, NoHold) for cue in script))


def read(blob: object) -> LastResult:
    found = loads(blob)
    assert isinstance(found, LastResult)
    return found


def test_blobs_of_every_kind_are_drawn() -> None:
    good = wire_blobs(malformed=False)
    reached(good, lambda blob: isinstance(blob, dict) and blob.get("v") == 1)
    reached(good, lambda blob: isinstance(blob, dict) and "v" not in blob and "reason" in blob)
    reached(good, lambda blob: isinstance(blob, dict) and blob.get("v", 1) > 1)
    reached(good, lambda blob: isinstance(blob, bytes))
    reached(good, lambda blob: read(blob).strategy == Strategy())
    bad = wire_blobs(malformed=True)
    reached(bad, lambda blob: isinstance(blob, TrappedDict))
    reached(bad, lambda blob: isinstance(blob, str) and len(blob) > MAX_TEXT == LONGEST)
    reached(bad, lambda blob: isinstance(blob, dict) and "lastAttemptAt" in blob and "source" not in blob)
    reached(wire_blobs(), lambda blob: blob is None)


def test_bookings_of_every_standing_are_drawn() -> None:
    for status in ("pending", "pending_allocation", "confirmed", "cancelled", "waitlisted"):
        reached(bookings(), lambda booking, wanted=status: booking.status == wanted)
    reached(bookings(), lambda booking: booking.start_at is None)
    reached(bookings(near=AT), lambda booking: booking.start_at == AT)
