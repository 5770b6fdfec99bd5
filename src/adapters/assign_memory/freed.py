"""The capacity version: what has become free, in the order in which it did.

Every freed table gets the next number. A booking's version is the highest number among the tables that could help it:
free *throughout* its window now, and, alone or with all other free tables of their zone, large enough for its party.
So a table freed for lunch says nothing about dinner, half a window says nothing about the whole, and a freed two says
nothing to a party of six.

Why a search that failed at version *v* fails again while the version is at most *v*: suppose it succeeds now, with a
set of tables. Not all of them were free then, or it would have succeeded then. The one that was not has been freed
since, so its number is above *v*; and it helps now, since it is part of a set that does. So the version is above *v*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from attrs import define, field

from assign_floor import Floor, Table, Window


@define
class FreedTables:
    """What has been freed, by table."""

    _last: int = field(default=0, init=False)
    _freed: dict[str, list[tuple[int, Window]]] = field(factory=lambda: defaultdict(list), init=False)

    def add(self, tables: Collection[str], window: Window, now: datetime) -> None:
        """These tables have become free for this time. What is over is forgotten: nobody books the past."""
        self._last += 1
        for table in tables:
            kept = [(number, freed) for number, freed in self._freed[table] if freed.end > now]
            self._freed[table] = [*kept, (self._last, window)]

    def version(self, floor: Floor, window: Window, party: int, taken: Collection[str]) -> int:
        """The highest number among the tables that could help a party in a window; 0 if there is none."""
        return max((self._number(table.id, window) for table in _helpful(floor, party, taken)), default=0)

    def _number(self, table: str, window: Window) -> int:
        for number, freed in reversed(self._freed.get(table, ())):
            if freed.overlaps(window):
                return number
        return 0


def _helpful(floor: Floor, party: int, taken: Collection[str]) -> Iterable[Table]:
    """Free tables that seat the party, alone or with the largest free ones beside them in their zone."""
    free = [table for table in floor.tables if table.id not in taken]
    together: dict[str, int] = defaultdict(int)
    for table in free:
        if table.movable:
            together[table.zone] += table.seats
    for table in free:
        if table.seats >= party or (table.movable and together[table.zone] >= party):
            yield table
