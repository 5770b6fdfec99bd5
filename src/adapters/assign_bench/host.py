"""The host around the jobs: its restaurant, its clock and its workers.

Each way of deciding is a :class:`Jobs` of its own, which starts a booking's job when the guest's request has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from attrs import field, frozen

from assign_bench.restaurant import Restaurant
from assign_bench.seen import SeenBy
from assign_bench.workers import Workers
from assign_core.effects import Flow
from assign_core.last_result import Source
from assign_core.policy import Policy
from assign_sim.kernel import Simulation

T = TypeVar("T")


@frozen
class Host:
    """What jobs are started with: where they are, and whose turn it is."""

    restaurant: Restaurant
    simulation: Simulation
    workers: Workers
    policy: Policy
    watchers: list[Callable[[], object]] = field(factory=list)
    """Called after everything that happens."""

    def works(self, flow: Flow[T], ended: Callable[[T], object]) -> None:
        """A job's attempt, by the next free worker."""
        self.workers.tell(flow, SeenBy(self.restaurant, Source.JOB), answered=ignore, ended=ended)


class Jobs(Protocol):
    """The jobs of one run."""

    def start(self, booking_id: str) -> None:
        """The host's queue calls for a booking, once for each request of its guest, when that has ended."""
        ...


def ignore(_: object) -> None:
    """Nobody waits for a job's answer."""
