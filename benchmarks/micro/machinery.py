"""What stands around one call to the outside: an effect of a flow, beside a retry library that has nothing to retry.

The call itself does nothing, so all that is measured is the machinery. For a flow that is the way of one effect through
its driver: the flow asks, the deadline is checked, the call is made, the answer goes back. For a retry library it is a
call that succeeds at the first try, set up as its manual shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import time, timedelta
from functools import partial
from typing import Any, Final

from benchmarks.micro.library import library
from benchmarks.micro.timing import Batch

from assign_core import AutoAssign, Verdict
from assign_core.drive import drive, drive_async, walk
from assign_core.effects import Effect, LookAtCapacity
from assign_floor import Floor, Service, Table
from assign_memory import MemoryDatabase, VirtualRuntime, memory_ports
from assign_runtime import AsyncioRuntime, ThreadRuntime

_OPENS: Final = time(12)
_CLOSES: Final = time(23)


def _nothing() -> int:
    return 1


async def _nothing_async() -> int:
    return 1


def effects() -> Batch:
    """Effects through the driver of plain calls."""
    runtime = ThreadRuntime()

    def perform(_effect: Effect[Any], _left: float) -> object:
        return _nothing()

    return lambda times: partial(_driven, times, perform, runtime)


def _driven(times: int, perform: Callable[[Effect[Any], float], object], runtime: ThreadRuntime) -> int:
    return drive(walk(_looks(times), runtime, 1.0), perform, runtime)


def effects_async() -> Batch:
    """Effects through the driver that awaits."""

    async def perform(_effect: Effect[Any], _left: float) -> object:
        return await _nothing_async()

    def run(times: int) -> int:
        async def all_of_them() -> int:
            runtime = AsyncioRuntime()
            return await drive_async(walk(_looks(times), runtime, 1.0), perform, runtime)

        return asyncio.run(all_of_them())

    return lambda times: partial(run, times)


async def _looks(times: int) -> int:
    look = LookAtCapacity("b")
    for _ in range(times):
        await look
    return times


def tenacity() -> Callable[[], object]:
    module = library("tenacity")
    retrying = module.Retrying(
        stop=module.stop_after_attempt(4), wait=module.wait_exponential_jitter(multiplier=5, max=45), reraise=True
    )
    wrapped: Callable[[], object] = retrying.wraps(_nothing)
    return wrapped


def stamina() -> Callable[[], object]:
    decorate = library("stamina").retry(on=OSError, attempts=4, wait_initial=5.0, wait_max=45.0)
    wrapped: Callable[[], object] = decorate(_nothing)
    return wrapped


def _async_batch(wrapped: Callable[[], Awaitable[object]]) -> Batch:
    def run(times: int) -> None:
        async def all_of_them() -> None:
            for _ in range(times):
                await wrapped()

        asyncio.run(all_of_them())

    return lambda times: partial(run, times)


def tenacity_async() -> Batch:
    module = library("tenacity")
    retrying = module.AsyncRetrying(
        stop=module.stop_after_attempt(4), wait=module.wait_exponential_jitter(multiplier=5, max=45), reraise=True
    )
    return _async_batch(retrying.wraps(_nothing_async))


def stamina_async() -> Batch:
    decorate = library("stamina").retry(on=OSError, attempts=4, wait_initial=5.0, wait_max=45.0)
    return _async_batch(decorate(_nothing_async))


def attempts() -> Batch:
    """Whole inline attempts in memory, each of which seats a booking: read, decide, search, confirm, mail, record.

    The house has one table and the bookings have a day each, so that nearly nothing of it is the search.
    """
    floor = Floor(tables=[Table(id="t", seats=2)], services=[Service(name="all day", opens=_OPENS, closes=_CLOSES)])

    def batch(times: int) -> Callable[[], object]:
        runtime = VirtualRuntime()
        database = MemoryDatabase(floor, runtime)
        app = AutoAssign(runtime=runtime, planner_keeps_time=True, **memory_ports(database))
        names = [f"b{number}" for number in range(times)]
        first = runtime.now().replace(hour=19)
        for number, name in enumerate(names):
            database.add_booking(name, party=2, start_at=first + timedelta(days=number))

        def run() -> None:
            for name in names:
                assert app.inline(name).verdict is Verdict.CONFIRMED

        return run

    return batch
