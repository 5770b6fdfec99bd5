"""The door: explore scenarios, and say what was told, or the shortest schedule that breaks a promise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, islice
from time import monotonic
from typing import Final

from assign_testing.explorer.memory import MemoryBackend
from assign_testing.explorer.minimal import minimal, snippet
from assign_testing.explorer.run import Run
from assign_testing.explorer.scenario import EXHAUSTIVE, RANDOM, Scenario
from assign_testing.explorer.search import Broken, Counts, all_schedules, random_schedules
from assign_testing.explorer.world import Backend

Progress = Callable[[str, int], object]
"""Called now and then with what is being told, and how many schedules of it have been."""
_NOW_AND_THEN: Final = 50
"""Schedules between two calls of ``progress``."""
BY_CHANCE: Final = "by chance"


class PromiseBroken(AssertionError):
    """A schedule broke a promise. The message holds the shortest that was found, as Python that tells it again.

    Attributes:
        promise: its name, such as ``P3 holds``.
        schedule: the shortest one, with its scenario.
        code: the Python.
    """

    def __init__(self, schedule: Broken) -> None:
        self.promise = schedule.violation.promise
        self.schedule = schedule
        self.code = snippet(schedule)
        super().__init__(f"{schedule.violation}\nin {schedule.scenario.name}. It is told again by:\n\n{self.code}\n")

    def __reduce__(self) -> tuple[type[PromiseBroken], tuple[Broken]]:
        return PromiseBroken, (self.schedule,)


class OutOfBudget(Exception):
    """The time is used up. ``report`` says how far it went."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"the time was used up after {report.schedules} schedules; allow more, or lower the bounds")
        self.report = report

    def __reduce__(self) -> tuple[type[OutOfBudget], tuple[Report]]:
        return OutOfBudget, (self.report,)


@dataclass(slots=True)
class Report:
    """What was told, by scenario (all schedules of it, up to the bounds) and by chance."""

    exhaustive: dict[str, Counts] = field(default_factory=dict)
    by_chance: Counts = field(default_factory=Counts)

    @property
    def schedules(self) -> int:
        return self.by_chance.schedules + sum(counts.schedules for counts in self.exhaustive.values())

    def add(self, other: Report) -> None:
        """Take in what another process has told."""
        for name, counts in other.exhaustive.items():
            self.exhaustive.setdefault(name, Counts()).add(counts)
        self.by_chance.add(other.by_chance)

    def lines(self) -> list[str]:
        """In words, a line each."""
        said = [
            f"{counts.schedules} schedules of {name} ({counts.pruned} beginnings were equivalent to others)"
            for name, counts in self.exhaustive.items()
        ]
        if self.by_chance.schedules:
            faulty = self.by_chance.with_faults(2)
            said.append(f"{self.by_chance.schedules} schedules by chance, {faulty} of them with two faults or more")
        return said


def explore(
    scenarios: Iterable[Scenario] = EXHAUSTIVE,
    *,
    preemptions: int = 2,
    faults: int = 1,
    random: int = 0,
    drawn_from: tuple[Scenario, ...] = RANDOM,
    seed: int = 0,
    budget: float | None = None,
    backend: Backend | None = None,
    progress: Progress | None = None,
) -> Report:
    """Tell every schedule of some scenarios, then many by chance, and hold the promises to each.

    >>> from assign_testing.explorer import explore, scenario
    >>> explore([scenario("inline", "job")], preemptions=1, faults=0).schedules
    10

    Args:
        scenarios: of which all schedules are told, up to the order of steps that commute.
        preemptions, faults: the bounds of these.
        random: how many more are drawn, each with two or three faults.
        drawn_from: the scenarios of those.
        seed: of the first one drawn; the next has the next. The same seed is the same schedule.
        budget: seconds; ``None``: as long as it takes.
        backend: makes the worlds; ``None``: in memory.

    Raises:
        PromiseBroken: by a schedule.
        OutOfBudget: not all could be told in time. No promise was broken so far.
        ValueError: a bound below 0.
    """
    if min(preemptions, faults, random) < 0:
        raise ValueError(
            f"the bounds are {preemptions} preemptions, {faults} faults, {random} by chance; pass 0 or more"
        )
    world = MemoryBackend() if backend is None else backend
    watch = _Stopwatch(budget, progress)
    report = Report()
    try:
        for each in scenarios:
            watch.starts(each.name)
            all_schedules(
                each,
                world,
                preemptions=preemptions,
                faults=faults,
                told=watch.told,
                counts=report.exhaustive.setdefault(each.name, Counts()),
            )
        watch.starts(BY_CHANCE)
        seeds = islice(count(seed), random)
        for counts in random_schedules(drawn_from, world, seeds, told=watch.told):
            report.by_chance = counts
    except Broken as broken:
        raise PromiseBroken(minimal(broken, world)) from broken.violation
    except _TimeIsUp:
        raise OutOfBudget(report) from None
    return report


class _TimeIsUp(Exception):
    pass


class _Stopwatch:
    def __init__(self, budget: float | None, progress: Progress | None) -> None:
        self._end = None if budget is None else monotonic() + budget
        self._progress = progress
        self._name = ""
        self._told = 0

    def starts(self, name: str) -> None:
        self._name, self._told = name, 0

    def told(self, _: Run) -> None:
        self._told += 1
        if self._told % _NOW_AND_THEN:
            return
        if self._progress is not None:
            self._progress(self._name, self._told)
        if self._end is not None and monotonic() > self._end:
            raise _TimeIsUp
