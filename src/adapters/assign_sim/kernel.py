"""Discrete events: many flows on one virtual clock, each effect taking as long as the world says.

The flows are the real ones. Because their effects are values, a simulation needs no threads and no fakes: it looks at
an effect, asks how long it takes, comes back at that time and performs it on real ports. Between two events nothing
happens, so an evening takes as long as its events do, and the same seed is the same evening.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeVar

from attrs import define, field

from assign_core.drive import Step, Steps, walk
from assign_core.effects import AwaitQuote, ContinueInBackground, Effect, Flow, RequestQuote, Sleep, Unfinished
from assign_core.errors import DeadlineExceeded
from assign_memory import VirtualClock

T = TypeVar("T")


class World(Protocol):
    """What is around the flows."""

    def seconds(self, effect: Effect[Any], left: float) -> float:
        """How long this effect is going to take; more than ``left`` means that it will not end in time."""
        ...

    def perform(self, effect: Effect[Any], left: float) -> object:
        """Carry it out; called when it has taken its time."""
        ...


@define
class Simulation:
    """A clock and what is going to happen on it."""

    clock: VirtualClock = field(factory=VirtualClock)
    _agenda: list[tuple[float, int, Callable[[], object]]] = field(factory=list, init=False)
    _order: count[int] = field(factory=count, init=False)
    events: int = field(default=0, init=False)
    """How many have happened."""

    def after(self, seconds: float, happening: Callable[[], object]) -> None:
        """Plan something. What is planned for the same moment happens in the order of planning."""
        moment = self.clock.monotonic() + max(0.0, seconds)
        heapq.heappush(self._agenda, (moment, next(self._order), happening))

    def step(self) -> bool:
        """Let the next thing happen; ``False`` when nothing is left."""
        if not self._agenda:
            return False
        moment, _, happening = heapq.heappop(self._agenda)
        ahead = moment - self.clock.monotonic()
        if ahead > 0.0:
            self.clock.advance(ahead)
        self.events += 1
        happening()
        return True

    def tell(
        self,
        flow: Flow[T],
        world: World,
        *,
        grace: float,
        answered: Callable[[T], object],
        ended: Callable[[T], object],
    ) -> None:
        """Start a flow. ``answered``: its caller has an answer. ``ended``: the flow has; often the same moment."""
        _Telling(self, walk(flow, self.clock, grace), world, answered, ended).start()


@define(eq=False)
class _Telling:
    """One flow, on its way."""

    simulation: Simulation
    steps: Steps[Any]
    world: World
    answered: Callable[[Any], object]
    ended: Callable[[Any], object]
    _in_background: bool = field(default=False, init=False)

    def start(self) -> None:
        self._go(partial(next, self.steps))

    def _go(self, resume: Callable[[], Step]) -> None:
        try:
            effect, left = resume()
            # What takes no time needs no event of its own.
            while not isinstance(effect, ContinueInBackground) and not (needed := self._needed(effect, left)) > 0.0:
                effect, left = self._carry_out(effect, left)
        except StopIteration as stop:
            if not self._in_background:
                self.answered(stop.value)
            self.ended(stop.value)
            return
        if isinstance(effect, ContinueInBackground):
            self._in_background = True
            self.answered(effect.answer)
            self.simulation.after(0.0, partial(self._go, partial(self.steps.send, None)))
        elif needed <= left:
            self.simulation.after(needed, partial(self._go, partial(self._carry_out, effect, left - needed)))
        elif isinstance(effect, RequestQuote) and effect.seconds is not None:
            # What is left of the search is all its handle has to know.
            unfinished = partial(self.steps.send, Unfinished(needed - left))
            self.simulation.after(left, partial(self._go, unfinished))
        else:
            too_late: BaseException = TimeoutError(str(effect)) if effect.cleanup else DeadlineExceeded(effect)
            self.simulation.after(left, partial(self._go, partial(self.steps.throw, too_late)))

    def _needed(self, effect: Effect[Any], left: float) -> float:
        if isinstance(effect, Sleep):
            return max(0.0, effect.seconds)
        if isinstance(effect, AwaitQuote) and isinstance(effect.unfinished.search, float):
            return effect.unfinished.search
        return self.world.seconds(effect, left)

    def _carry_out(self, effect: Effect[Any], left: float) -> Step:
        if isinstance(effect, Sleep):
            return self.steps.send(None)
        try:
            answer = self.world.perform(effect, max(left, 1e-9))
        except Exception as error:  # noqa: BLE001 - a port's failure is the flow's to handle
            return self.steps.throw(error)
        return self.steps.send(answer)
