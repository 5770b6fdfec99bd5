"""Which schedules are told: all of them up to a bound, or many by chance.

**All.** The search keeps the schedules' beginnings that are still to be told, cheapest first: without faults and
preemptions, then with one of either, and so on. (A preemption is a switch away from an actor that could have gone on;
most errors need very few: Musuvathi and Qadeer, *Iterative Context Bounding*, 2007.) Each is told to its end, always
going on with the same actor, and leaves its own alternatives behind. So the first failing schedule is among the
simplest, and a beginning that is equivalent to one already met, with no less left to spend, is pruned.

**Random.** A schedule by seed: who acts next, with few switches or with many, and at which steps something goes wrong.
The same seed is the same schedule.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from assign_testing.explorer.actors import Actor
from assign_testing.explorer.faults import Fault
from assign_testing.explorer.run import Choice, Run
from assign_testing.explorer.scenario import Scenario
from assign_testing.explorer.watch import Violation
from assign_testing.explorer.world import Backend

_Beginning: TypeAlias = "tuple[_Beginning, Choice] | None"
"""Choices, the last one first."""


@dataclass(slots=True)
class Counts:
    """What was told.

    Attributes:
        schedules: told to their end and through quiescence.
        pruned: beginnings that were not told, because an equivalent one was.
        steps: taken, in all schedules.
        by_cost: schedules by their preemptions and faults.
    """

    schedules: int = 0
    pruned: int = 0
    steps: int = 0
    by_cost: Counter[tuple[int, int]] = field(default_factory=Counter)

    def told(self, run: Run) -> None:
        self.schedules += 1
        self.steps += len(run.trace)
        self.by_cost[run.preemptions, run.faults] += 1

    def add(self, other: Counts) -> None:
        self.schedules += other.schedules
        self.pruned += other.pruned
        self.steps += other.steps
        self.by_cost.update(other.by_cost)

    def with_faults(self, least: int) -> int:
        """Schedules with at least so many faults."""
        return sum(count for (_, faults), count in self.by_cost.items() if faults >= least)


class Broken(Exception):
    """A schedule that broke a promise, as it was told."""

    def __init__(self, scenario: Scenario, trace: list[Choice], violation: Violation) -> None:
        super().__init__(str(violation))
        self.scenario = scenario
        self.trace = trace
        self.violation = violation


def all_schedules(
    scenario: Scenario,
    backend: Backend,
    *,
    preemptions: int,
    faults: int,
    told: Callable[[Run], object] = bool,
    counts: Counts | None = None,
    pruning: bool = True,
) -> Counts:
    """Tell every schedule within the bounds, up to equivalence.

    Args:
        told: called with each schedule that has come to rest.
        counts: kept up to date meanwhile.
        pruning: ``False`` tells equivalent ones as well.

    Raises:
        Broken: at the first that breaks a promise.
    """
    search = _Search(scenario, backend, preemptions, faults, told, Counts() if counts is None else counts, pruning)
    search.all()
    return search.counts


class _Search:
    def __init__(
        self,
        scenario: Scenario,
        backend: Backend,
        preemptions: int,
        faults: int,
        told: Callable[[Run], object],
        counts: Counts,
        pruning: bool,
    ) -> None:
        self.scenario = scenario
        self.backend = backend
        self.preemptions = preemptions
        self.faults = faults
        self.told = told
        self.counts = counts
        self.pruning = pruning
        self.waiting: list[list[_Beginning]] = [[] for _ in range(preemptions + faults + 1)]
        self.met: dict[int, list[tuple[int, int]]] = {}
        """For each state, up to equivalence, what had been spent on the way to it."""

    def all(self) -> None:
        self.waiting[0].append(None)
        for beginnings in self.waiting:
            while beginnings:
                self._tell(beginnings.pop())

    def _tell(self, beginning: _Beginning) -> None:
        run = Run(self.scenario, self.backend)
        try:
            for name, fault in _in_order(beginning):
                run.step(run.actors[name], fault)
            if self._go_on(run, beginning):
                run.finish()
                self.counts.told(run)
                self.told(run)
        except Violation as violation:
            raise Broken(self.scenario, run.trace, violation) from violation
        finally:
            run.abandon()

    def _go_on(self, run: Run, beginning: _Beginning) -> bool:
        """To the end; ``False`` if what comes next has been met before."""
        while enabled := run.enabled():
            chosen = run.current or enabled[0]
            for actor in enabled:
                pending = actor.pending
                for fault in (None, *(pending.faults if pending is not None else ())):
                    if actor is not chosen or fault is not None:
                        self._leave(run, beginning, actor, fault)
            if not self._new(run, chosen, None):
                self.counts.pruned += 1
                return False
            beginning = beginning, (chosen.name, None)
            run.step(chosen)
        return True

    def _leave(self, run: Run, beginning: _Beginning, actor: Actor, fault: Fault | None) -> None:
        """Keep an alternative for later."""
        spent = self._spent(run, actor, fault)
        if spent[0] > self.preemptions or spent[1] > self.faults:
            return
        if self._new(run, actor, fault):
            self.waiting[sum(spent)].append((beginning, (actor.name, fault)))
        else:
            self.counts.pruned += 1

    def _spent(self, run: Run, actor: Actor, fault: Fault | None) -> tuple[int, int]:
        preempts = run.current is not None and run.current is not actor
        return run.preemptions + preempts, run.faults + (fault is not None)

    def _new(self, run: Run, actor: Actor, fault: Fault | None) -> bool:
        """Whether a step leads to a state that was not met before with as much left to spend."""
        if not self.pruning:
            return True
        key = run.key_after(actor, fault)
        spent = self._spent(run, actor, fault)
        met = self.met.setdefault(key, [])
        if any(one[0] <= spent[0] and one[1] <= spent[1] for one in met):
            return False
        met.append(spent)
        return True


def _in_order(beginning: _Beginning) -> list[Choice]:
    choices: list[Choice] = []
    while beginning is not None:
        beginning, choice = beginning
        choices.append(choice)
    choices.reverse()
    return choices


# By chance.

_USUAL_LENGTH: Final = 7
"""Steps of a schedule within which its faults are laid."""
MOST_FAULTS: Final = 3


def random_schedule(scenarios: tuple[Scenario, ...], backend: Backend, seed: int) -> Run:
    """The schedule of a seed.

    Raises:
        Broken: it breaks a promise.
    """
    chance = random.Random(seed)  # noqa: S311 - a schedule has to be repeatable, not secret
    scenario = scenarios[chance.randrange(len(scenarios))]
    run = Run(scenario, backend)
    wanted = chance.choice((2, 2, 3))
    when = set(chance.sample(range(_USUAL_LENGTH), wanted))
    restless = chance.choice((0.05, 0.2, 0.6))
    try:
        step = 0
        while enabled := run.enabled():
            actor = run.current
            if actor is None or chance.random() < restless:
                actor = enabled[chance.randrange(len(enabled))]
            possible = actor.pending.faults if actor.pending is not None else ()
            # A fault that finds nothing to go wrong waits for the next step.
            due = run.faults < sum(moment <= step for moment in when)
            fault = possible[chance.randrange(len(possible))] if due and possible else None
            run.step(actor, fault)
            step += 1
        run.finish()
    except Violation as violation:
        raise Broken(scenario, run.trace, violation) from violation
    finally:
        run.abandon()
    return run


def random_schedules(
    scenarios: tuple[Scenario, ...], backend: Backend, seeds: Iterable[int], told: Callable[[Run], object] = bool
) -> Iterator[Counts]:
    """Tell the schedules of many seeds; the counts so far after each."""
    counts = Counts()
    for seed in seeds:
        run = random_schedule(scenarios, backend, seed)
        counts.told(run)
        told(run)
        yield counts
