"""The machine tells a store from the one in memory when there is something to tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from assign_core.last_result import LastResult
from assign_core.ports import Acquired, Busy, Confirmation, Confirmed, Lease, NotConfirmed, Record, Recorded
from assign_floor import Floor
from assign_memory import MemoryDatabase, MemoryStore
from assign_testing import MakeHouse, MemoryHouse, memory_house, store_machine

# No example is kept and none is made smaller: that one is found is all that counts here.
QUICK = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
)


class Wrong(MemoryStore):
    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.db = database


class ConfirmsWhateverTheStatus(Wrong):
    """Lesson 22."""

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        row = self.db.row(confirmation.booking_id)
        if row.status in {"cancelled", "waitlisted"}:
            row.status = "pending"
        return super().confirm(confirmation, timeout=timeout)


class OverwritesInsteadOfMerging(Wrong):
    def record(self, entry: Record, *, timeout: float) -> Recorded:
        if entry.result is not None and isinstance(self.db.last(self.db.row(entry.booking_id)), LastResult):
            self.db.row(entry.booking_id).blob = None
        return super().record(entry, timeout=timeout)


class ForgetsWhoDied(Wrong):
    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        found = super().acquire(booking_id, lease, timeout=timeout)
        return Acquired(booking=found.booking, last=found.last) if isinstance(found, Acquired) else found


def house_of(store: Callable[[MemoryDatabase], MemoryStore]) -> MakeHouse:
    def make(floor: Floor | None = None, *, deduplicates: bool = False) -> MemoryHouse:
        house = memory_house(floor, deduplicates=deduplicates)
        house.store = store(house.db)
        return house

    return make


@pytest.mark.parametrize("store", [ConfirmsWhateverTheStatus, OverwritesInsteadOfMerging, ForgetsWhoDied])
def test_a_store_that_is_wrong_is_found_out(store: type[Wrong]) -> None:
    with pytest.raises(AssertionError, match="the one in memory"):
        run_state_machine_as_test(store_machine(house_of(store)), settings=QUICK)


def test_a_store_that_is_right_is_not() -> None:
    run_state_machine_as_test(store_machine(house_of(MemoryStore)), settings=QUICK)
