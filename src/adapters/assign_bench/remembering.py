"""A restaurant's bookings that remember what they have worked out, until something changes.

Policies ask the same again and again (who has which tables, what the version is, would a search succeed) while nothing
happens; a simulated evening is mostly such questions. The answers are :class:`~assign_memory.MemoryDatabase`'s own.
They are forgotten when a hold or an assignment has come or gone, a hold has expired, or the floor is another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from attrs import define, field

from assign_core.last_result import LastResult, Unreadable
from assign_core.ports import Plan
from assign_floor import Floor, Refusal, Window, search
from assign_memory import Assignment, HoldRow, MemoryDatabase, Row

R = TypeVar("R")
ADJACENT: Final = True
MAX_TABLES: Final = 3
"""What the planner joins: tables beside each other, so many at most."""
PLANS: Final = 2
"""An attempt asks for another plan once, if the confirm refuses the first."""
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@define(eq=False)
class RememberingDatabase(MemoryDatabase):
    """:class:`MemoryDatabase`, quicker.

    Args:
        versions: whether the host keeps capacity versions; without, every booking's is ``None``.
    """

    versions: bool = field(default=True, kw_only=True)
    times_freed: int = field(default=0, init=False)
    """How often tables have become free."""
    _known: dict[Hashable, Any] = field(factory=dict, init=False)
    """Answers by question, for holds, assignments and floor as they were."""
    _holds: Mapping[str, HoldRow] = field(factory=dict, init=False)
    _assignments: Mapping[str, Assignment] = field(factory=dict, init=False)
    _expires: datetime = field(default=_NEVER, init=False)
    _windows: dict[tuple[int, datetime], Window | Refusal] = field(factory=dict, init=False)
    _read: dict[str, tuple[object, LastResult | Unreadable | None]] = field(factory=dict, init=False)

    # What is remembered whatever happens.

    def window(self, row: Row) -> Window | Refusal:
        key = row.party, row.start_at
        known = self._windows.get(key)
        if known is None:
            known = self._windows[key] = MemoryDatabase.window(self, row)
        return known

    def last(self, row: Row) -> LastResult | Unreadable | None:
        """A blob is never changed, only replaced."""
        known = self._read.get(row.id)
        if known is None or known[0] is not row.blob:
            known = self._read[row.id] = row.blob, MemoryDatabase.last(self, row)
        return known[1]

    # What is remembered until something changes.

    def taken(self, window: Window, *, but_for: str, holds: bool = True) -> set[str]:
        work_out = MemoryDatabase.taken
        return self._once(
            ("taken", window, self._own(but_for), holds), lambda: work_out(self, window, but_for=but_for, holds=holds)
        )

    def version(self, row: Row) -> int | None:
        if not self.versions:
            return None
        self.sweep()
        key = "version", row.party, row.start_at, self._own(row.id)
        return self._once(key, lambda: MemoryDatabase.version(self, row))

    def plans(self, row: Row) -> tuple[Plan, ...]:
        """The plans that a search now would propose, one after the other."""
        key = "plans", row.party, row.start_at, row.zone, self._own(row.id)
        return self._once(key, lambda: self._search(row))

    def _search(self, row: Row) -> tuple[Plan, ...]:
        window = self.window(row)
        if isinstance(window, Refusal):
            return ()
        found = search(
            self.floor,
            party=row.party,
            busy=self.taken(window, but_for=row.id),
            require_adjacency=ADJACENT,
            max_tables=MAX_TABLES,
            zone=row.zone,
            limit=PLANS,
        )
        return tuple(Plan(candidate.tables) for candidate in found.candidates)

    def _own(self, booking_id: str) -> str | None:
        """Bookings that have no tables themselves all see the same."""
        has = booking_id in self.assignments or any(hold.booking_id == booking_id for hold in self.holds.values())
        return booking_id if has else None

    def _once(self, question: Hashable, work_out: Callable[[], R]) -> R:
        if self.holds != self._holds or self.assignments != self._assignments or self.clock.now() >= self._expires:
            self._forget()
        if question in self._known:
            known: R = self._known[question]
            return known
        found = self._known[question] = work_out()
        return found

    def _forget(self) -> None:
        self._known = {}
        self._holds, self._assignments = dict(self.holds), dict(self.assignments)
        now = self.clock.now()
        self._expires = min((hold.expires_at for hold in self.holds.values() if hold.expires_at > now), default=_NEVER)

    # What changes.

    def freed(self, tables: Collection[str], window: Window) -> None:
        self.times_freed += 1
        self._known = {}
        MemoryDatabase.freed(self, tables, window)

    def change_floor(self, floor: Floor, window: Window) -> None:
        self._windows = {}
        MemoryDatabase.change_floor(self, floor, window)
