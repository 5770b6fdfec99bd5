"""What the machinery costs: one effect through either driver, and a whole attempt in memory.

Run with ``pytest benchmarks/test_bench_flow.py``; each round has many of them, so divide by the number in the name.
Beside other libraries, and per call: ``python -m benchmarks.micro``.
"""

from __future__ import annotations

from benchmarks.micro import machinery
from pytest_benchmark.fixture import BenchmarkFixture

MANY = 1000


def test_a_thousand_effects(benchmark: BenchmarkFixture) -> None:
    assert benchmark(machinery.effects()(MANY)) == MANY


def test_a_thousand_awaited_effects(benchmark: BenchmarkFixture) -> None:
    assert benchmark(machinery.effects_async()(MANY)) == MANY


def test_fifty_attempts_in_memory(benchmark: BenchmarkFixture) -> None:
    """Each seats a booking, so every round has a house of its own."""
    # The fixture's method has no types.
    benchmark.pedantic(lambda run: run(), setup=lambda: ((machinery.attempts()(50),), {}), rounds=20)  # type: ignore[no-untyped-call]
