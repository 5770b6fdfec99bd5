"""A restaurant's evening on a virtual clock: the real flows and the real search, and no real time.

:func:`~assign_sim.evening.evening` makes a workload from a seed, :class:`~assign_sim.service.Service` runs it, and
:func:`~assign_sim.service.compare` runs it twice, with sharing what attempts find and without.
"""

from __future__ import annotations

from assign_sim.evening import Evening, Guest, evening
from assign_sim.house import House, Latencies, LogNormal, Mailed, Standing
from assign_sim.kernel import Simulation, World
from assign_sim.memory_house import MemoryHouse
from assign_sim.service import Comparison, Ended, OpenHouse, Service, compare, percentile
from assign_sim.story import choose, story
from assign_sim.unshared import unshared_job

__all__ = [
    "Comparison",
    "Ended",
    "Evening",
    "Guest",
    "House",
    "Latencies",
    "LogNormal",
    "Mailed",
    "MemoryHouse",
    "OpenHouse",
    "Service",
    "Simulation",
    "Standing",
    "World",
    "choose",
    "compare",
    "evening",
    "percentile",
    "story",
    "unshared_job",
]
