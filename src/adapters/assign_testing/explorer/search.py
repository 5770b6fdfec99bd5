"""Which schedules are told: all of them up to a bound, or many by chance.

**All.** The search keeps the schedules' beginnings that are still to be told, cheapest first: without faults and
preemptions, then with one of either, and so on. (A preemption is a switch away from an actor that could have gone on;
most errors need very few: Musuvathi and Qadeer, *Iterative Context Bounding*, 2007.) Each is told to its end, always
going on with the same actor, and leaves its own alternatives behind. So the first failing schedule is among the
simplest, and a beginning that is equivalent to one already met, with no less left to spend, is pruned.

**Random.** A schedule by seed: who acts next, with few switches or with many, at which steps something goes wrong, and
what. The same seed is the same schedule.
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

    def __reduce__(self) -> tuple[type[Broken], tuple[Scenario, list[Choice], Violation]]:
        return Broken, (self.scenario, self.trace, self.violation)


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

_TO_COME: Final = {"acquire": 2, "quote": 5, "confirm": 4, "deliver": 3, "settle": 1, "close": 1, "release": 1}
"""Steps that an actor usually still takes, from this one on; others take two."""
_SEARCH: Final = 4
"""How many more the first attempt takes than one that finds the booking seated."""
_PATIENCE: Final = 3
"""Steps that a kind of fault waits for an effect at which it can happen, before another kind takes its place."""
_SWITCHED: Final = 0.9
"""Share of the schedules in which somebody is interrupted, if there is anybody else."""
_KINDS_OF_FAULT: Final = tuple(Fault)


class _Dice:
    """What a seed draws: where things go wrong and how, and who goes on.

    Left to themselves most faults would fall early and be of the kinds that most effects know, and most schedules would
    have no switch that was not forced. So each fault falls anywhere in what is still to come, its kind is drawn evenly
    and waits for a step at which it can happen, and nearly every schedule has a switch.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._wanted = chance.choice((2, 2, 3))
        self._due: Fault | None = None
        self._waited = 0
        self._restless = chance.choice((0.05, 0.2, 0.6))
        self._must_switch = chance.random() < _SWITCHED

    def actor(self, run: Run, enabled: list[Actor]) -> Actor:
        """Whose step is next."""
        chance = self._chance
        if run.current is None:
            return enabled[chance.randrange(len(enabled))]
        others = [actor for actor in enabled if actor is not run.current]
        if not others:
            return run.current
        switch = chance.random()
        must = self._must_switch and run.preemptions == 0 and switch < 1 / (1 + _to_come([run.current]))
        return others[chance.randrange(len(others))] if must or switch < self._restless else run.current

    def fault(self, run: Run, actor: Actor, enabled: list[Actor]) -> Fault | None:
        """What goes wrong with it."""
        chance, wanted = self._chance, self._wanted - run.faults
        possible = actor.pending.faults if actor.pending is not None else ()
        to_come = _to_come(enabled)
        if wanted <= 0 or not possible:
            return None
        if self._due is None:
            if chance.random() * (to_come - wanted) >= wanted:
                return None
            self._due, self._waited = chance.choice(_KINDS_OF_FAULT), 0
        kind = self._due
        if kind not in possible:
            self._waited += 1
            if self._waited <= _PATIENCE and to_come > wanted + 3:
                return None
            kind = possible[chance.randrange(len(possible))]
        self._due = None
        return kind


def _to_come(actors: list[Actor]) -> int:
    names = [actor.pending.name for actor in actors if actor.pending is not None]
    begins = "acquire" in names and "quote" not in names and "confirm" not in names
    return sum(_TO_COME.get(name, 2) for name in names) + _SEARCH * begins


def random_schedule(scenarios: tuple[Scenario, ...], backend: Backend, seed: int) -> Run:
    """The schedule of a seed.

    Raises:
        Broken: it breaks a promise.
    """
    chance = random.Random(seed)  # noqa: S311 - a schedule has to be repeatable, not secret
    scenario = scenarios[chance.randrange(len(scenarios))]
    run = Run(scenario, backend)
    dice = _Dice(chance)
    try:
        while enabled := run.enabled():
            actor = dice.actor(run, enabled)
            run.step(actor, dice.fault(run, actor, enabled))
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
