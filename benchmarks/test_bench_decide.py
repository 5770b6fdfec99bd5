"""How long a decision takes. The aim is 5 µs, median, with its explanation.

Run with ``pytest benchmarks/test_bench_decide.py``. Look at *min* and *median*: other programs on the machine only ever
add to them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from assign_core import (
    Action,
    Booking,
    BookingStatus,
    LastResult,
    Policy,
    ReasonCode,
    Source,
    Strategy,
    classify_reason,
    decide,
    merge,
)

NOON: Final = datetime(2026, 3, 14, 12, tzinfo=UTC)
POLICY: Final = Policy()
BOOKING: Final = Booking(id="9a40c1de-6a0c-4e2b-9f0e-2f1f1b7f3c55", start_at=NOON + timedelta(hours=7), revision=1)
FAILED: Final = LastResult(
    source=Source.INLINE,
    recorded_at=NOON - timedelta(seconds=3),
    success=False,
    reason="No suitable tables available",
    reason_code=ReasonCode.NO_TABLES_AVAILABLE,
    strategy=Strategy(require_adjacency=True, max_tables=3),
    trigger="creation",
    alternates=0,
    duration_ms=1_200,
    attempt_id="00ada6f5-b46b-4f67-9e6d-48b589b24d59",
    revision=1,
)

CASES: Final[dict[str, tuple[Booking, LastResult | None, Action]]] = {
    "capacity, parked": (
        replace(BOOKING, capacity_version=4711),
        replace(FAILED, capacity_version=4711),
        Action.WAIT,
    ),
    "capacity, changed": (
        replace(BOOKING, capacity_version=4712),
        replace(FAILED, capacity_version=4711),
        Action.ATTEMPT,
    ),
    "capacity, fresh": (BOOKING, FAILED, Action.WAIT),
    "infrastructure": (BOOKING, replace(FAILED, reason_code=ReasonCode.DEADLOCK, attempt=1), Action.WAIT),
    "contention with a hint": (
        BOOKING,
        replace(FAILED, reason_code=ReasonCode.HOLD_CONFLICT, retry_after=NOON + timedelta(seconds=40)),
        Action.WAIT,
    ),
    "timeout": (BOOKING, replace(FAILED, reason="INLINE_TIMEOUT", reason_code=ReasonCode.TIMEOUT), Action.ATTEMPT),
    "words only": (BOOKING, replace(FAILED, reason_code=None), Action.WAIT),
    "absent evidence": (BOOKING, None, Action.ATTEMPT),
    "cancelled": (replace(BOOKING, status=BookingStatus.CANCELLED.value), FAILED, Action.NONE),
    "confirmed": (
        replace(BOOKING, status=BookingStatus.CONFIRMED.value),
        replace(FAILED, success=True, email_sent=True),
        Action.ENSURE_EMAIL,
    ),
}

REASONS: Final = {
    "code": "INLINE_TIMEOUT",
    "constraint": 'conflicting key value violates exclusion constraint "no_overlapping_table_assignments"',
    "no tables": "No suitable tables available",
    "wrapper only": "AssignTablesRpcError",
    "stored code": "hold_conflict",
    "ten megabytes": "at frame of a stack trace\n" * 400_000,
}


@pytest.mark.parametrize("case", CASES)
def test_decide(benchmark: BenchmarkFixture, case: str) -> None:
    booking, last, action = CASES[case]
    found = benchmark(decide, booking, last, policy=POLICY, now=NOON)
    assert found.action is action
    assert found.rules


def test_merge_of_two_failures(benchmark: BenchmarkFixture) -> None:
    later = replace(FAILED, source=Source.JOB, recorded_at=NOON, attempt=1, reason_code=ReasonCode.DEADLOCK)
    assert benchmark(merge, FAILED, later).attempt == 1


def test_merge_that_carries_the_flag_over(benchmark: BenchmarkFixture) -> None:
    confirmed = replace(FAILED, success=True, email_sent=True)
    later = replace(FAILED, source=Source.JOB, recorded_at=NOON, attempt=1)
    assert benchmark(merge, confirmed, later).email_sent


@pytest.mark.parametrize("text", REASONS)
def test_classify_reason(benchmark: BenchmarkFixture, text: str) -> None:
    assert benchmark(classify_reason, REASONS[text]).code in ReasonCode
