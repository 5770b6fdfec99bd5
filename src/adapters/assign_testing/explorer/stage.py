"""What the actors of a schedule do to its world, and who sees it.

An effect of a flow goes to the world's ports, and the watch is told of it together with the answer. A search that
outlives the deadline is a call that waits to be made: by the flow that awaits it, or at some later moment by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from assign_core.effects import (
    AbandonQuote,
    Acquire,
    AwaitQuote,
    Confirm,
    ContinueInBackground,
    Effect,
    Emit,
    Flow,
    RequestQuote,
    Sleep,
)
from assign_core.flows import inline_attempt, job_attempt, run_job
from assign_core.last_result import Source
from assign_core.performing import PortCalls, handle
from assign_core.ports import Email, QuoteRequest
from assign_testing.explorer import actors
from assign_testing.explorer.actors import Actor, Desk, Operation, Program, ScheduledTransport
from assign_testing.explorer.scenario import BOOKING, RIVAL, Scenario, kind_of, seat_walk_in
from assign_testing.explorer.watch import Watch
from assign_testing.explorer.world import World, WrongClock

SOURCES = {"inline": Source.INLINE, "rival": Source.INLINE, "job": Source.JOB, "worker": Source.JOB}
"""Kinds of actors that attempt."""


class Stage:
    """A world, its ports, and what its actors can do there.

    Args:
        fly: called with a search that nobody waits for any more, to be made at some later moment.

    Attributes:
        speaking: who acts at the moment.
    """

    def __init__(self, scenario: Scenario, world: World, watch: Watch, fly: Callable[[Operation], object]) -> None:
        self.scenario = scenario
        self.world = world
        self.watch = watch
        self.post = world.post(ScheduledTransport(scenario.house.deduplicates))
        self.ports = PortCalls(world.store, world.planner, self.post)
        self.desk = Desk(watch.claimed, watch.hand_over, [])
        self.speaking: Actor | None = None
        self._fly = fly
        self._grace = scenario.policy.grace.total_seconds()

    def speak(self, actor: Actor) -> None:
        self.speaking = actor
        self.world.clock.speaker = actor.name

    # What each kind of actor does.

    def program(self, name: str) -> Program[Any]:
        scenario, world, policy = self.scenario, self.world, self.scenario.policy
        match kind_of(name):
            case "inline" | "rival" as kind:
                booking = BOOKING if kind == "inline" else RIVAL
                flow = inline_attempt(booking, policy=policy, trigger="creation", on_deadline=scenario.on_deadline)
                return self._told(flow, Source.INLINE)
            case "job":
                return self.job(BOOKING, "queue")
            case "worker":
                return self._told(run_job(BOOKING, policy=policy, trigger="queue"), Source.JOB)
            case "relay":
                return self.relay()
            case "modify":
                return actors.once(name, partial(world.modify, BOOKING, party=2))
            case "cancel":
                return actors.once(name, partial(world.cancel, BOOKING))
            case "free":
                return actors.once(name, partial(world.cancel, "other-large"))
            case "seat_other":
                return actors.once(name, partial(seat_walk_in, world))
            case _:
                return actors.once(name, self._by_hand)

    def job(self, booking_id: str, trigger: str) -> Program[Any]:
        return self._told(job_attempt(booking_id, policy=self.scenario.policy, trigger=trigger), Source.JOB)

    def relay(self) -> Program[Any]:
        return actors.sending("relay", self.post.relay, self.desk)

    def flight(self, operation: Operation) -> Program[None]:
        """What nobody waits for is performed at some time. The engine gives back what a late search takes."""
        effect = operation.effect
        try:
            yield Operation(f"{operation.name} lands", operation.run, effect=effect)
        except Exception:  # noqa: BLE001 - nobody waits for the answer, whatever it is
            return
        if isinstance(effect, RequestQuote | AwaitQuote | AbandonQuote):
            yield Operation("late release", partial(self._release_late, effect.request))

    def _told(self, flow: Flow[Any], source: Source) -> Program[Any]:
        ahead = self.scenario.house.jobs_ahead if source is Source.JOB else 0.0
        clock = WrongClock(self.world.clock, ahead) if ahead else self.world.clock
        return actors.tell(flow, clock, self._grace, self._perform, self._emit, self._delivering)

    def _by_hand(self) -> None:
        if self.world.seat_by_hand(BOOKING, ["large"]):
            self.watch.seated_by_hand(BOOKING)

    def _release_late(self, request: QuoteRequest) -> None:
        self.world.planner.release(request.booking_id, request.attempt_id, timeout=1.0)

    # Effects.

    def _perform(self, effect: Effect[Any], left: float) -> object:
        match effect:
            case RequestQuote():
                return self._quote(effect.request, left)
            case AwaitQuote():
                if left <= 0:
                    self._abandon(effect, effect.unfinished)
                    raise TimeoutError("no time is left to wait for the search")
                return handle(effect.unfinished)()
            case AbandonQuote():
                self._abandon(effect, effect.unfinished)
            case ContinueInBackground():
                if self.speaking is not None:
                    self.speaking.deadline += effect.seconds
            case Sleep():
                self.world.clock.advance(effect.seconds)
            case _:
                return self._call(effect, left)
        return None

    def _call(self, effect: Effect[Any], left: float) -> object:
        if isinstance(effect, Acquire) and self.speaking is not None:
            self.speaking.attempt_id = effect.lease.attempt_id
        if isinstance(effect, Confirm):
            self.watch.confirming(effect.confirmation)
        answer = self.ports.call(effect, left)
        self.watch.performed(effect, answer)
        return answer

    def _quote(self, request: QuoteRequest, left: float) -> object:
        self.watch.called(request)
        answer: object = self.scenario.house.planner_says
        if answer is None:
            answer = self.world.planner.quote(request, timeout=left)
        self.watch.quoted(request, answer)
        return answer

    def _abandon(self, effect: AwaitQuote | AbandonQuote, unfinished: Any) -> None:
        self._fly(Operation("quote", handle(unfinished), effect=effect))

    def _emit(self, effect: Emit) -> None:
        self.world.telemetry.emit(effect.events, stored=effect.stored)
        if self.speaking is not None:
            self.watch.heard(self.speaking.name, effect)

    def _delivering(self, email: Email, left: float) -> Program[object]:
        return actors.sending("deliver", partial(self.post.deliver, email, timeout=left), self.desk)
