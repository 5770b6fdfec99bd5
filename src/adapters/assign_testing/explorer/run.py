"""One schedule: a new world, its actors, and one step after another as the scheduler chooses.

A run is deterministic: the same scenario and the same choices are the same run. So a schedule needs no snapshots; it is
told again from the start, and a failing one is replayed from its text.

**Equivalent schedules.** Beside the world the run keeps its *happens-before relation* as hashes: a step's hash is made
of its actor's last step and of the last steps that touched what it touches. Two schedules with the same relation are
the same but for the order of steps that commute, so they lead to the same state, and what may come after one may come
after the other. (Musuvathi and Qadeer, *Partial-Order Reduction for Context-Bounded State Exploration*, 2007.) The
relation of a step is known before the step is taken. The hashes are added up, since actors have no order; so they are
those of bytes: those of tuples carry a difference through nearly unchanged, and two of them cancelled each other out.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from struct import Struct
from typing import Final, cast

from assign_core.effects import Acquire, RequestQuote, Unfinished
from assign_core.errors import DeadlineExceeded
from assign_core.last_result import Source
from assign_core.outbox import EmailNotSent, EmailRefused, MailSystemAway
from assign_core.outcome import Outcome
from assign_testing.explorer.actors import MASK, NOBODY, Actor, Operation, mixed
from assign_testing.explorer.faults import (
    HEARD,
    LONG,
    MOVES_CLOCK,
    NOT_PERFORMED,
    NOTHING,
    WORK,
    Cancelled,
    Fault,
    Unreachable,
)
from assign_testing.explorer.memory import MemoryBackend
from assign_testing.explorer.scenario import Scenario, kind_of
from assign_testing.explorer.settle import settle
from assign_testing.explorer.stage import SOURCES, Stage
from assign_testing.explorer.watch import Violation, Watch
from assign_testing.explorer.world import Backend

Choice = tuple[str, Fault | None]
"""Whose step, and what goes wrong with it."""

LIVES: Final = 3
"""How often an actor is started again within a schedule; what dies after that is left to quiescence."""
_NUMBER: Final[dict[Fault | None, int]] = {None: 0} | {fault: number for number, fault in enumerate(Fault, 1)}
_PACK: Final = Struct("5Q").pack
_EXPECTED: Final = (Unreachable, TimeoutError, DeadlineExceeded, Cancelled, ConnectionError)
_MAIL: Final = {Fault.REFUSED: EmailRefused, Fault.NOT_SENT: EmailNotSent, Fault.AWAY: MailSystemAway}
"""What the mail system says when a schedule says that it does."""


class Run:
    """A schedule on its way.

    Attributes:
        trace: the steps so far.
        current: the actor of the last step, if it can go on.
        preemptions, faults: so far.
    """

    def __init__(self, scenario: Scenario, backend: Backend) -> None:
        self.scenario = scenario
        self.world = backend.reset()
        self.clock = self.world.clock
        scenario.house.furnish(self.world)
        house = scenario.house
        skew = timedelta(seconds=abs(house.jobs_ahead))
        self.watch = Watch(self.world, scenario.policy, house.deduplicates, skew)
        self.stage = Stage(scenario, self.world, self.watch, self._fly)
        self.actors: dict[str, Actor] = {}
        self.trace: list[Choice] = []
        self.current: Actor | None = None
        self.last: Actor | None = None
        self.preemptions = 0
        self.faults = 0
        self._dead: list[Actor] = []
        self._clock_moved = 0
        self._clock_read = 0
        self._touched: dict[str, int] = {}
        for name in scenario.cast:
            self._start(name, 1)

    # What a scheduler asks.

    def enabled(self) -> list[Actor]:
        return [actor for actor in self.actors.values() if actor.pending is not None]

    def key_after(self, actor: Actor, fault: Fault | None) -> int:
        """The schedule so far and this step, but for the order of steps that commute."""
        happened = sum(one.happened for one in self.actors.values()) - actor.happened
        return hash((happened + self._next(actor, fault), actor.name))

    # What it does.

    def step(self, actor: Actor, fault: Fault | None = None) -> None:
        """Take an actor's next step.

        Raises:
            Violation: a promise is broken.
        """
        if actor.pending is None:
            raise ValueError(f"{actor.name} has ended; choose one of {[one.name for one in self.enabled()]}")
        if fault is not None and fault not in actor.pending.faults:
            raise ValueError(f"{fault} cannot happen at {actor.pending.name}; choose one of {actor.pending.faults}")
        self.preemptions += self.current is not None and self.current is not actor
        if fault is not None:
            self.faults += 1
            self.watch.in_doubt |= fault not in HEARD
        self.trace.append((actor.name, fault))
        self._happen(actor, fault)
        operation = self._ready(actor)
        if fault is None:
            self._answer(actor, operation)
        else:
            self._fail(actor, operation, fault)
        self.last = actor
        self.current = _unless_ended(actor)

    def finish(self) -> None:
        """Everybody to the end, in order, and then to quiescence."""
        while (actor := self.current or next(iter(self.enabled()), None)) is not None:
            self.step(actor)
        self.watch.at_rest()
        settle(self.watch, self._whole_job, self._whole_relay)

    def abandon(self) -> None:
        """Nothing more will happen here. What actors still do as they are closed is done to this world, now."""
        for actor in (*self.actors.values(), *self._dead):
            if actor.program is not None:
                actor.program.close()
        for sender in self.stage.desk.begun:
            with suppress(Exception):  # its world is thrown away, and with it whatever it has to say
                sender.close()

    # Actors.

    def _start(self, name: str, life: int) -> None:
        self._enter(Actor(name, partial(self.stage.program, name), SOURCES.get(kind_of(name)), life))

    def _enter(self, actor: Actor) -> None:
        self.actors[actor.name] = actor
        if actor.source is None:
            self._begin(actor)
        else:
            # A flow reads the clock as it begins, so it begins with its first step: an attempt always acquires.
            actor.pending = Operation("acquire", _not_begun, faults=WORK)

    def _ready(self, actor: Actor) -> Operation:
        """What the actor is about to do; a flow begins only now."""
        if actor.program is None:
            self._begin(actor)
        self.stage.speak(actor)
        return cast(Operation, actor.pending)  # whoever is asked to take a step has one to take

    def _begin(self, actor: Actor) -> None:
        actor.program = actor.tell()
        self.stage.speak(actor)
        self._go_on(actor, None, None)

    def _fly(self, operation: Operation) -> None:
        """Somebody's operation is on its way, and nobody waits for it any more."""
        owner = "" if self.stage.speaking is None else self.stage.speaking.name
        number = sum(name.startswith(f"{owner}^") for name in self.actors) + 1
        self._enter(Actor(f"{owner}^{number}", partial(self.stage.flight, operation), None, 1))

    # Steps.

    def _answer(self, actor: Actor, operation: Operation) -> None:
        effect = operation.effect
        if effect is not None and effect.cleanup and self.clock.monotonic() - operation.began > operation.left:
            actor.clean = False  # somebody else's fault has used up its grace
        try:
            answer = operation.run()
        except Violation:
            raise
        except (Exception, Cancelled) as error:  # noqa: BLE001 - a port's failure is the actor's to handle
            self._go_on(actor, None, error)
        else:
            self._go_on(actor, answer, None)

    def _fail(self, actor: Actor, operation: Operation, fault: Fault) -> None:
        effect = operation.effect
        if effect is not None and effect.cleanup:
            actor.clean = False
        left = min(LONG, operation.left)
        moves_clock = fault in MOVES_CLOCK
        thrown: BaseException = Unreachable(f"{operation.name} {fault}")
        if fault is Fault.STOPPED:
            return self._stop(actor)
        if fault in {Fault.ASLEEP, Fault.IN_FLIGHT} and isinstance(effect, RequestQuote):
            self.watch.asked_for(effect.request)  # whenever it is performed, it was now that the planner was called
        if fault is Fault.ASLEEP:
            self.clock.advance(LONG)
            operation.faults = NOTHING
            return None
        if operation.outlives and fault in {Fault.LATE, Fault.LATE_LOST}:
            return self._leave_unfinished(actor, operation, left, searched=fault is Fault.LATE_LOST)
        if fault in _MAIL:
            thrown = _MAIL[fault](f"{operation.name}: {fault}")
            if fault is Fault.REFUSED:
                self.watch.refused.add(operation.touches)
        elif fault in {Fault.CANCELLED, Fault.CANCELLED_AFTER}:
            thrown = Cancelled(f"at {operation.name}")
        elif fault in MOVES_CLOCK:
            thrown = TimeoutError(f"{operation.name} took longer than {left:.3f} s")
        answer: object = None
        if fault not in NOT_PERFORMED:
            try:
                answer = operation.run()
                if actor.attempt_id is not None:
                    self.watch.must_search.pop(actor.attempt_id, None)  # what it has read it will not hear
            except Violation:
                raise
            except (Exception, Cancelled) as error:  # noqa: BLE001 - the port itself failed; then that is the failure
                thrown = error if fault is not Fault.CANCELLED_AFTER else thrown
                fault = Fault.LOST if fault is Fault.LATE_ANSWER else fault
        if moves_clock:
            self.clock.advance(left + 0.001)
        if fault is Fault.IN_FLIGHT:
            actor.clean = False
            self._fly(operation)
            self.stage.speak(actor)
        if fault is Fault.LATE_ANSWER:
            return self._go_on(actor, answer, None)
        return self._go_on(actor, None, thrown)

    def _stop(self, actor: Actor) -> None:
        """What has died runs nothing more. It is kept, since closing its program would run its clean-up."""
        actor.pending = None
        self._dead.append(actor)
        if actor.life < LIVES:
            name = actor.name.partition("~")[0]
            self._start(f"{name}~{actor.life + 1}", actor.life + 1)

    def _leave_unfinished(self, actor: Actor, operation: Operation, left: float, *, searched: bool) -> None:
        """The deadline passes during a search that may outlive it, and that has taken its hold by then, or has not."""
        search = operation.run
        if searched:
            answer = search()
            search = lambda: answer  # noqa: E731 - what is known is given back at once
        elif isinstance(operation.effect, RequestQuote):
            self.watch.asked_for(operation.effect.request)
        self.clock.advance(left + 0.001)
        self._go_on(actor, Unfinished(search), None)

    def _go_on(self, actor: Actor, answer: object, thrown: BaseException | None) -> None:
        """Let an actor have its answer, up to its next operation or its end."""
        actor.pending = None
        if actor.program is None:
            raise RuntimeError(f"{actor.name} has not begun")
        try:
            pending = actor.program.send(answer) if thrown is None else actor.program.throw(thrown)
        except StopIteration as stop:
            self._ended(actor, stop.value if isinstance(stop.value, Outcome) else None)
        except _EXPECTED:
            self._ended(actor, None)
        except Violation:
            raise
        except Exception as error:
            raise Violation("errors", f"{actor.name} ended with {type(error).__name__}: {error}") from error
        else:
            pending.began = self.clock.monotonic()
            actor.pending = pending
            if actor.source is not None:
                if isinstance(pending.effect, Acquire):
                    self._starts_clock(actor)
                late = self.clock.monotonic() > actor.deadline
                self.watch.asks(actor.attempt_id, pending.effect, late=late)

    def _starts_clock(self, actor: Actor) -> None:
        """An attempt begins. More time is given to it only where its guest has been answered."""
        policy = self.scenario.policy
        span = policy.job_deadline if actor.source is Source.JOB else policy.inline_deadline
        actor.deadline = self.clock.monotonic() + span.total_seconds()

    def _ended(self, actor: Actor, outcome: Outcome | None) -> None:
        actor.outcome = outcome
        if actor.source is not None:
            self.watch.ended(actor.name, actor.source, actor.attempt_id, outcome, actor.clean)

    # Quiescence.

    def _whole_job(self, booking_id: str) -> Outcome | None:
        name = f"due{len(self.actors)}"
        return self._whole(Actor(name, partial(self.stage.job, booking_id, "due"), Source.JOB, 1))

    def _whole_relay(self) -> None:
        self._whole(Actor(f"sweep{len(self.actors)}", self.stage.relay, None, 1))

    def _whole(self, actor: Actor) -> Outcome | None:
        self._enter(actor)
        if actor.program is None:
            self._begin(actor)
        self.stage.speak(actor)
        while actor.pending is not None:
            self._answer(actor, actor.pending)
        return actor.outcome

    # What happened before what.

    def _next(self, actor: Actor, fault: Fault | None) -> int:
        operation = actor.pending
        before = 0
        if operation is not None and operation.touches is not NOBODY and fault not in NOT_PERFORMED:
            before = self._touched.get(operation.touches, 0)
        read = self._clock_read if _moves_clock(operation, fault) else 0
        return mixed(_PACK(actor.happened, _NUMBER[fault], before, self._clock_moved, read))

    def _happen(self, actor: Actor, fault: Fault | None) -> None:
        operation = actor.pending
        actor.happened = self._next(actor, fault)
        if operation is not None and operation.touches is not NOBODY and fault not in NOT_PERFORMED:
            self._touched[operation.touches] = actor.happened
        if _moves_clock(operation, fault):
            self._clock_moved, self._clock_read = actor.happened, 0
        else:
            self._clock_read = (self._clock_read + actor.happened) & MASK


def _moves_clock(operation: Operation | None, fault: Fault | None) -> bool:
    return fault in MOVES_CLOCK or (fault is None and operation is not None and operation.sleeps)


def replay(scenario: Scenario, choices: Iterable[Choice], backend: Backend | None = None) -> Run:
    """Tell a schedule again, in memory unless told otherwise.

    A choice that is not possible any more is passed over, so that a part of a schedule is one too; then everybody goes
    on to the end.

    Raises:
        Violation: a promise is broken.
    """
    run = Run(scenario, MemoryBackend() if backend is None else backend)
    try:
        for name, fault in choices:
            actor = run.actors.get(name)
            if actor is not None and actor.pending is not None:
                run.step(actor, fault if fault in actor.pending.faults else None)
        run.finish()
    finally:
        run.abandon()
    return run


def _unless_ended(actor: Actor) -> Actor | None:
    return None if actor.pending is None else actor


def _not_begun() -> object:
    raise RuntimeError("a flow's first operation is performed before the flow has begun")
