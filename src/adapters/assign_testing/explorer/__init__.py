"""The explorer: a stateless model checker over the real flows.

A flow asks for effects, which are values; so a scheduler can decide, at every effect of every actor, who goes on and
what goes wrong: it is performed, or fails, or is performed and its answer lost, or the world stops there and is
restarted, or the clock moves past the deadline. After each schedule, and again when everything has come to rest, the
promises of the design are checked against the backend's own tables.

>>> from assign_testing.explorer import explore, scenario
>>> report = explore([scenario("inline", "job", "relay")], preemptions=0, faults=1, random=20)
>>> report.by_chance.schedules
20

A schedule that breaks a promise is shortened, and raised as :class:`PromiseBroken`, whose message is a snippet that
tells it again. ``python -m assign_testing.explorer --help`` does the same from a shell, on several processors.

Your own backend takes part by implementing :class:`~assign_testing.explorer.world.Backend`; if its mailer blocks,
:class:`Awaited` makes it one that is awaited.

Where to read on: :mod:`.scenario` who acts, and where; :mod:`.faults` what goes wrong; :mod:`.run` one schedule, on
its :mod:`.stage`; :mod:`.search` which schedules; :mod:`.watch` and :mod:`.settle` what must hold, at once and at rest.
"""

from __future__ import annotations

from assign_testing.explorer.blocking import Awaited
from assign_testing.explorer.exploring import OutOfBudget, PromiseBroken, Report, explore
from assign_testing.explorer.faults import Fault
from assign_testing.explorer.memory import MemoryBackend
from assign_testing.explorer.run import Choice, replay
from assign_testing.explorer.scenario import EXHAUSTIVE, HOUSES, RANDOM, House, Scenario, scenario
from assign_testing.explorer.search import Broken, Counts, random_schedule
from assign_testing.explorer.watch import Violation
from assign_testing.explorer.world import Backend, PostOffice, ScheduleClock, Seen, World

__all__ = [
    "EXHAUSTIVE",
    "HOUSES",
    "RANDOM",
    "Awaited",
    "Backend",
    "Broken",
    "Choice",
    "Counts",
    "Fault",
    "House",
    "MemoryBackend",
    "OutOfBudget",
    "PostOffice",
    "PromiseBroken",
    "Report",
    "Scenario",
    "ScheduleClock",
    "Seen",
    "Violation",
    "World",
    "explore",
    "random_schedule",
    "replay",
    "scenario",
]
