"""A restaurant's floor, and the search for tables on it: pure, exact and quick.

``window_for`` says when a party would occupy its tables, or why the service rules it out. ``search`` says which
tables or combinations it could have then, best first, or why there are none. Neither does any I/O nor looks at a
clock: who is busy when is the caller's knowledge, so the planner in memory and the one on PostgreSQL share every
rule of seating.

>>> floor = Floor(tables=[Table(id="1", seats=2), Table(id="2", seats=4)], adjacent=[("1", "2")])
>>> search(floor, party=5, busy=()).candidates
(Candidate(tables=('1', '2'), zone='main', seats=6, waste=1),)
>>> search(floor, party=5, busy={"1"}).reason
'No tables available for requested window'
"""

from assign_floor.floor import Floor
from assign_floor.hours import DEFAULT_DURATIONS, Durations, Service
from assign_floor.sample import sample_floor
from assign_floor.seating import REASONS, Search, search
from assign_floor.tables import Candidate, Table
from assign_floor.waiting import fits_again
from assign_floor.window import Refusal, Window, window_for

__all__ = [
    "DEFAULT_DURATIONS",
    "REASONS",
    "Candidate",
    "Durations",
    "Floor",
    "Refusal",
    "Search",
    "Service",
    "Table",
    "Window",
    "fits_again",
    "sample_floor",
    "search",
    "window_for",
]
