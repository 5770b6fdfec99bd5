"""Every promise holds in every schedule that is told here. ``make soak`` tells a million by chance.

How many were told is printed at the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assign_testing.explorer import EXHAUSTIVE, RANDOM, Scenario, explore
from assign_testing.explorer.scenario import KINDS, kind_of

BY_CHANCE = 11_600
"""Drawn; some of them end before their second fault."""
PARTS = 8
"""So that several processors can share them."""
Say = Callable[[str], None]


LONGEST_FIRST = tuple(reversed(EXHAUSTIVE))
"""So that no processor is left with it at the end."""


@pytest.mark.parametrize("where", LONGEST_FIRST, ids=[each.name for each in LONGEST_FIRST])
def test_no_schedule_with_two_preemptions_and_a_fault_breaks_a_promise(where: Scenario, explored: Say) -> None:
    report = explore([where], preemptions=2, faults=1)
    (counts,) = report.exhaustive.values()
    assert counts.by_cost[2, 1] > counts.by_cost[1, 1] > counts.by_cost[0, 1] > 0
    explored(f"up to 2 preemptions and 1 fault: {report.lines()[0]}")


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_by_chance_breaks_a_promise(part: int, explored: Say) -> None:
    each = BY_CHANCE // PARTS
    told = explore([], random=each, seed=part * each).by_chance
    assert told.schedules == each
    assert told.with_faults(2) >= 10_000 / PARTS
    explored(f"by chance: {told.with_faults(2)} schedules with two faults or more, seeds from {part * each}")


def test_every_kind_of_actor_takes_part() -> None:
    assert {kind_of(actor) for each in RANDOM for actor in each.cast} == set(KINDS)
