"""The booking store's leases: one attempt at a time, and none that died goes unnoticed."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

from datetime import timedelta

import pytest

from assign_core.booking import EmailState
from assign_core.last_result import Source
from assign_core.ports import Acquired, Busy, Record
from assign_testing.house import DINNER, NOON, Contract, House, T
from assign_testing.steps import (
    acquire,
    confirmation,
    confirmed,
    hold,
    last_of,
    lease,
    result,
)


class LeaseContract(Contract):
    """Reading a booking and taking its lease."""

    def test_a_booking_that_does_not_exist_is_none_everywhere(self, house: House) -> None:
        assert house.store.acquire("nobody", lease(house), timeout=T) is None
        assert house.store.read("nobody", timeout=T) is None
        assert house.store.capacity_version("nobody", timeout=T) is None
        recorded = house.store.record(Record(booking_id="nobody", attempt_id="a1", result=None), timeout=T)
        assert recorded.last is None

    def test_one_attempt_at_a_time_has_the_lease(self, house: House) -> None:
        house.book()
        found = acquire(house, "a1")
        assert found.lost is None
        assert found.booking.id == "b"
        busy = house.store.acquire("b", lease(house, "a2"), timeout=T)
        assert isinstance(busy, Busy)
        assert busy.holder.attempt_id == "a1"
        assert busy.holder.expires_at == NOON + timedelta(seconds=10)

    def test_taking_the_same_lease_twice_is_taking_it_once(self, house: House) -> None:
        """The answer to the first call may have been lost."""
        house.book()
        acquire(house, "a1")
        assert acquire(house, "a1").lost is None

    def test_an_expired_lease_passes_to_the_next_attempt_who_learns_of_the_lost_one(self, house: House) -> None:
        house.book()
        acquire(house, "a1", seconds=10)
        house.advance(9.999)
        assert isinstance(house.store.acquire("b", lease(house, "a2"), timeout=T), Busy)
        house.advance(0.001)
        found = acquire(house, "a2")
        assert found.lost is not None
        assert (found.lost.attempt_id, found.lost.source) == ("a1", Source.JOB)

    def test_a_recorded_attempt_is_not_lost(self, house: House) -> None:
        house.book()
        acquire(house, "a1")
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=T)
        assert acquire(house, "a2").lost is None

    def test_a_confirmed_attempt_is_not_lost(self, house: House) -> None:
        house.book()
        confirmed(house)
        assert acquire(house, "a2").lost is None

    def test_a_record_gives_back_only_its_own_lease(self, house: House) -> None:
        house.book()
        acquire(house, "a1", seconds=10)
        house.advance(11)
        acquire(house, "a2")
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=T)
        busy = house.store.acquire("b", lease(house, "a3"), timeout=T)
        assert isinstance(busy, Busy)
        assert busy.holder.attempt_id == "a2"

    def test_reading_takes_no_lease(self, house: House) -> None:
        house.book()
        assert house.store.read("b", timeout=T) is not None
        assert acquire(house, "a1").lost is None

    @pytest.mark.parametrize("timeout", [0.0, -1.0])
    def test_without_time_left_nothing_is_done(self, house: House, timeout: float) -> None:
        house.book()
        acquire(house, "a1")
        found = hold(house)
        for call in (
            lambda: house.store.acquire("b", lease(house, "a2"), timeout=timeout),
            lambda: house.store.confirm(confirmation(house, found), timeout=timeout),
            lambda: house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=timeout),
            lambda: house.store.read("b", timeout=timeout),
            lambda: house.store.due(house.now, limit=1, timeout=timeout),
        ):
            with pytest.raises(TimeoutError):
                call()
        assert house.status() == "pending"
        assert house.blob() is None

    def test_what_is_read_is_the_row_and_the_ledger(self, house: House) -> None:
        house.book()
        confirmed(house)
        found = house.store.read("b", timeout=T)
        assert isinstance(found, Acquired)
        assert (found.booking.status, found.booking.email) == ("confirmed", EmailState.CLAIMED)
        assert found.booking.start_at == DINNER
        house.modify("b")
        after = house.store.read("b", timeout=T)
        assert after is not None
        assert (after.booking.revision, after.booking.email) == (1, None)
        assert last_of(house) is not None
