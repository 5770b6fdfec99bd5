"""How long reading and writing a blob takes. The aim is 8 µs for a typical blob, median, either way.

Run with ``pytest benchmarks/test_bench_wire.py``. Look at *min* and *median*: other programs on the machine only ever
add to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from benchmarks.micro.readers import TYPICAL
from pytest_benchmark.fixture import BenchmarkFixture

from assign_core.last_result import LastResult, Unreadable
from assign_wire import dumps, loads

OLDER: Final[dict[str, object]] = {
    "source": "inline",
    "lastAttemptAt": "2025-11-15T00:40:13.242Z",
    "success": False,
    "reason": "INLINE_TIMEOUT",
    "strategy": {"requireAdjacency": None, "maxTables": None},
    "trigger": "creation",
    "alternates": None,
    "durationMs": 12005,
    "attemptId": "00ada6f5-b46b-4f67-9e6d-48b589b24d59",
    "emailSent": False,
    "emailVariant": None,
}
CONSTRAINT: Final = 'conflicting key value violates exclusion constraint "no_overlapping_table_assignments"'


def result_of(blob: Mapping[str, object]) -> LastResult:
    result = loads(blob)
    assert isinstance(result, LastResult)
    return result


def test_loads_a_typical_blob(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(loads, TYPICAL), LastResult)


def test_loads_a_blob_of_the_older_shape(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(loads, OLDER), LastResult)


def test_loads_a_typical_blob_from_text(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(loads, json.dumps(TYPICAL)), LastResult)


def test_loads_an_unreadable_blob(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(loads, {**TYPICAL, "durationMs": "12005"}), Unreadable)


def test_dumps_a_typical_result(benchmark: BenchmarkFixture) -> None:
    assert benchmark(dumps, result_of(TYPICAL)) == TYPICAL


def test_dumps_a_result_with_a_longer_reason(benchmark: BenchmarkFixture) -> None:
    """Longer than fits by its number of characters alone, so that it is measured."""
    longer = {**TYPICAL, "reason": CONSTRAINT}
    assert benchmark(dumps, result_of(longer)) == longer


def test_dumps_a_result_whose_reason_is_cut(benchmark: BenchmarkFixture) -> None:
    blob = benchmark(dumps, result_of({**TYPICAL, "reason": CONSTRAINT * 50}))
    assert blob["reason"].endswith("…")
