"""The projection: searches right after a failure, with jitter 0 so that they can be reckoned by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_cli.history import RecordedAttempt
from assign_cli.projection import Repeats, policy_repeats, project, repeats_after
from assign_core import FailureClass, Policy

EXACT = Policy(jitter=0.0)


def failure(reason: str | None, duration: float = 10) -> RecordedAttempt:
    return RecordedAttempt(
        file="h.csv",
        line=2,
        booking_id="a",
        reported_at=datetime(2026, 3, 14, 12, tzinfo=UTC),
        success=False,
        reason=reason,
        duration_ms=round(duration * 1000),
    )


@pytest.mark.parametrize(
    ("reason", "duration", "starts"),
    [
        # Given up at once.
        ("Insufficient global capacity", 10, []),
        # Put off until stale, once: the budget is 2 and the recorded search was the first.
        ("No capacity", 10, [300]),
        # One more plan; 5 s from the start of a search of 10 s have long passed.
        ("Table 7 is not adjacent to the selected set", 10, [0]),
        ("Table 7 is not adjacent to the selected set", 2, [3]),
        # A job's own timeout is put off until stale, once, as a capacity failure is.
        ("INLINE_TIMEOUT", 10, [300]),
        # The full budget: at once, 15 s after that began, 45 s after that began.
        ("fetch failed", 10, [0, 15, 60]),
        ("Hold conflicts prevented all candidates", 10, [0, 15, 60]),
        ("Hold conflicts prevented all candidates", 200, [0, 200, 400]),
        ("fetch failed", 0, [5, 20, 65]),
        # Two more: at once, then 15 s after the start of that.
        (None, 10, [0, 15]),
    ],
)
def test_the_policys_next_searches(reason: str | None, duration: float, starts: list[float]) -> None:
    assert policy_repeats(failure(reason, duration), EXACT) == [timedelta(seconds=start) for start in starts]


def test_without_sharing_every_failure_costs_three_more_searches() -> None:
    assert repeats_after(failure("Insufficient global capacity", 10), EXACT) == Repeats(
        failures=1, unshared_calls=3, unshared_seconds=30.0
    )


def test_meanwhile_ends_when_the_other_job_has_finished() -> None:
    # The other job finishes 65 s + 3 * 10 s after the failure; the search at 300 s comes later.
    found = repeats_after(failure("No capacity", 10), EXACT)
    assert (found.meanwhile_calls, found.meanwhile_seconds) == (0, 0.0)
    assert (found.in_all_calls, found.in_all_seconds) == (1, 10.0)
    # It has waited for its own searches too: 65 s + 3 * 200 s, so the one at 400 s comes in time.
    assert repeats_after(failure("fetch failed", 200), EXACT).meanwhile_calls == 3
    # With 5, 20 and 65 s the last search begins just in time, with 66 s no more.
    assert repeats_after(failure("fetch failed", 0), EXACT).meanwhile_calls == 3
    later = Policy(jitter=0.0, delays=(timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=46)))
    assert repeats_after(failure("fetch failed", 0), later).meanwhile_calls == 2
    assert repeats_after(failure("fetch failed", 0), later).in_all_calls == 3


def test_failures_are_added_up_by_class_and_successes_left_out() -> None:
    success = RecordedAttempt(
        file="h.csv",
        line=3,
        booking_id="a",
        reported_at=datetime(2026, 3, 14, 13, tzinfo=UTC),
        success=True,
        reason=None,
        duration_ms=9,
    )
    rows = [failure("fetch failed", 10), success, failure("No capacity", 4), failure("fetch failed", 20)]
    found = project(rows, EXACT)
    assert list(found) == [FailureClass.CAPACITY, FailureClass.INFRASTRUCTURE]
    assert found[FailureClass.INFRASTRUCTURE] == Repeats(
        failures=2,
        unshared_calls=6,
        unshared_seconds=90.0,
        meanwhile_calls=6,
        meanwhile_seconds=90.0,
        in_all_calls=6,
        in_all_seconds=90.0,
    )


@given(
    st.sampled_from(["No capacity", "fetch failed", "x", "Insufficient global capacity", "Table 7 is not adjacent"]),
    st.integers(0, 10**6),
    st.integers(0, 100),
)
def test_p6_the_recorded_search_and_its_repeats_stay_within_the_budget(
    reason: str, duration: int, retries: int
) -> None:
    policy = Policy(retries=retries, attempt_cap=max(11, retries + 1))
    starts = policy_repeats(failure(reason, duration), policy)
    assert len(starts) <= retries
    assert starts == sorted(starts)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(gap >= timedelta(seconds=duration) for gap in gaps)
