"""A restaurant of one table, so that what has to happen can be worked out on paper."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Final, Protocol

import pytest
from attrs import evolve

from assign_bench import Measured, Workload, measure
from assign_bench.services import MORNING
from assign_bench.workload import Guest, Latencies
from assign_floor import Floor, Service, Table
from assign_sim import LogNormal

DINNER: Final = MORNING.replace(hour=19)
LONE: Final = Floor(
    tables=[Table(id="T", seats=2, zone="main")], services=[Service(name="dinner", opens=time(18), closes=time(23))]
)
EXACT: Final = Latencies(found=LogNormal(6.0, 6.0), nothing=LogNormal(20.0, 20.0), refused=LogNormal(0.5, 0.5))
"""A search takes 6 s, or 20 s when it finds nothing."""
_SECOND_ASKS: Final = 600.0


class Rivals(Protocol):
    def __call__(self, *, first_cancels_after: float | None) -> Workload: ...


@pytest.fixture(scope="session")
def rivals() -> Rivals:
    """Two bookings want the only table. The second asks at 600 s; the first may cancel so many seconds later."""

    def make(*, first_cancels_after: float | None) -> Workload:
        first = Guest(booking_id="first", party=2, books_at=0.0, start_at=DINNER)
        if first_cancels_after is not None:
            first = evolve(first, cancels_at=_SECOND_ASKS + first_cancels_after)
        second = Guest(booking_id="second", party=2, books_at=_SECOND_ASKS, start_at=DINNER + timedelta(minutes=30))
        return Workload(
            name="lone",
            seed=1,
            begins=MORNING,
            ends=14 * 3600.0,
            floor=LONE,
            guests=(first, second),
            latencies=EXACT,
        )

    return make


@pytest.fixture(scope="session")
def measured(rivals: Rivals) -> tuple[Measured, ...]:
    """Every policy on an evening on which the table is freed while a job still tries."""
    return measure([rivals(first_cancels_after=60.0)], processes=1)
