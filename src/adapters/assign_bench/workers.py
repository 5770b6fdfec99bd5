"""Workers: a limited number of flows at work, and a queue for the others.

:func:`in_turns` puts a flow into the queue without the flow knowing: the flow's effects pass through, and before it
starts its clock (``Within`` some seconds) it waits for a worker. It gives the worker back when it has no deadline any
more (it sleeps until its next attempt), when its caller has been answered, or at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from attrs import define, field

from assign_core.effects import ContinueInBackground, Effect, Flow, Within
from assign_sim.kernel import Simulation, Until

T = TypeVar("T")


@define(eq=False)
class Workers:
    """So many at once, first come, first served."""

    simulation: Simulation
    free: int
    _queue: deque[Callable[[], object]] = field(factory=deque, init=False)

    def take(self, go: Callable[[], object]) -> None:
        """``go`` is called as soon as a worker is free."""
        if self.free:
            self.free -= 1
            self.simulation.after(0.0, go)
        else:
            self._queue.append(go)

    def give_back(self) -> None:
        if self._queue:
            self.simulation.after(0.0, self._queue.popleft())
        else:
            self.free += 1


async def in_turns(flow: Flow[T], workers: Workers) -> T:
    """The same flow, with a worker from the queue whenever it works against a deadline."""
    return await _InTurns(flow, workers)


@define(eq=False)
class _InTurns(Generic[T]):
    flow: Flow[T]
    workers: Workers
    _working: bool = field(default=False, init=False)

    def __await__(self) -> Generator[Effect[Any], Any, T]:
        answer: Any = None
        failure: BaseException | None = None
        try:
            while True:
                try:
                    effect = self.flow.send(answer) if failure is None else self.flow.throw(failure)
                except StopIteration as stop:
                    ended: T = stop.value
                    return ended
                if isinstance(effect, Within):
                    yield from self._turn(effect)
                answer, failure = None, None
                try:
                    answer = yield effect
                except GeneratorExit:
                    self.flow.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever the driver throws is the flow's to handle
                    failure = error
                if isinstance(effect, ContinueInBackground) and failure is None:
                    self._rest()
        finally:
            self._rest()

    def _turn(self, effect: Within) -> Generator[Effect[Any], Any, None]:
        if effect.seconds is None:
            self._rest()
        elif not self._working:
            yield Until(self.workers.take)
            self._working = True

    def _rest(self) -> None:
        if self._working:
            self._working = False
            self.workers.give_back()
