"""Workers: a limited number of flows at work, and a queue for the others.

A flow waits for its worker before its clock starts, and gives it back when its caller has an answer: at its end, or
when it goes on in the background.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from attrs import define, field

from assign_core.effects import Flow
from assign_sim.kernel import Simulation, World

T = TypeVar("T")


@define(eq=False)
class Workers:
    """So many at once, first come, first served."""

    simulation: Simulation
    free: int
    grace: float
    """Seconds that a flow has for its clean-up."""
    _queue: deque[Callable[[], object]] = field(factory=deque, init=False)

    def tell(
        self, flow: Flow[T], world: World, *, answered: Callable[[T], object], ended: Callable[[T], object]
    ) -> None:
        """Start a flow as soon as a worker is free. The callbacks are those of :meth:`Simulation.tell`."""

        def begin() -> None:
            self.simulation.tell(flow, world, grace=self.grace, answered=give_back, ended=ended)

        def give_back(answer: T) -> None:
            if self._queue:
                self.simulation.after(0.0, self._queue.popleft())
            else:
                self.free += 1
            answered(answer)

        if self.free:
            self.free -= 1
            begin()
        else:
            self._queue.append(begin)
