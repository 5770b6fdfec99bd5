"""Taking turns: each contestant runs for a while, then the next, and all of it again."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Batch = Callable[[int], Callable[[], object]]
"""Prepares for doing the thing so many times, which is not timed, and gives the call that does it."""

_SHORTEST: Final = 1e-4
"""Seconds that a trial must take before its length says anything."""


@dataclass(frozen=True)
class Timing:
    """Microseconds of one contestant's call: the median of its turns, and the best, which noise can only add to."""

    median_us: float
    best_us: float
    calls: int


def repeated(call: Callable[[], object]) -> Batch:
    """A plain call as a batch, with the loop's own cost of some 20 ns in it."""

    def batch(times: int) -> Callable[[], object]:
        def run() -> None:
            for _ in range(times):
                call()

        return run

    return batch


def in_turns(contestants: Mapping[str, Batch], *, turns: int, seconds: float) -> dict[str, Timing]:
    """Time every contestant ``turns`` times, each turn about ``seconds`` long."""
    sizes = {name: _size(batch, seconds) for name, batch in contestants.items()}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    gc.collect()
    gc.disable()  # a collection would land on whoever is running
    try:
        for _ in range(turns):
            for name, batch in contestants.items():
                run = batch(sizes[name])
                started = time.perf_counter()
                run()
                found[name].append((time.perf_counter() - started) / sizes[name] * 1e6)
            gc.collect()
    finally:
        gc.enable()
    return {
        name: Timing(round(statistics.median(took), 4), round(min(took), 4), sizes[name] * turns)
        for name, took in found.items()
    }


def _size(batch: Batch, seconds: float) -> int:
    times = 1
    while True:
        run = batch(times)
        started = time.perf_counter()
        run()
        took = time.perf_counter() - started
        if took >= min(_SHORTEST, seconds):
            return max(1, round(times * seconds / took))
        times *= 4
