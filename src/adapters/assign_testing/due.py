"""When a job is due: the intention to retry is a durable row, and so is what it waits for."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

from datetime import timedelta

import pytest

from assign_core.ports import Record
from assign_core.reasons import ReasonCode
from assign_testing.house import DINNER, Contract, House, T
from assign_testing.steps import (
    acquire,
    result,
    stored,
    version,
)


class DueContract(Contract):
    """The queue of bookings to look after."""

    def test_lesson_24_the_intention_to_retry_is_durable_before_the_attempt_begins(self, house: House) -> None:
        house.book()
        acquire(house, seconds=10)
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.advance(10)
        # The attempt has died; its booking is due without anybody having said so.
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]

    def test_a_record_says_when_the_job_is_due(self, house: House) -> None:
        house.book()
        acquire(house)
        at = house.now + timedelta(seconds=30)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house), retry_at=at), timeout=T)
        assert house.store.due(at - timedelta(seconds=1), limit=9, timeout=T) == []
        assert list(house.store.due(at, limit=9, timeout=T)) == ["b"]

    def test_a_record_without_a_time_ends_the_retries(self, house: House) -> None:
        house.book()
        acquire(house)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=T)
        assert house.store.due(DINNER, limit=9, timeout=T) == []

    def test_a_result_that_comes_after_its_lease_makes_a_job_due(self, house: House) -> None:
        """The attempt was taken for dead, and what followed was decided on that."""
        house.book()
        acquire(house, "a1", seconds=5)
        house.advance(6)
        acquire(house, "a2")
        house.store.record(Record(booking_id="b", attempt_id="a2", result=result(house, "a2")), timeout=T)
        house.advance(1)
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house, "a1")), timeout=T)
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]

    def test_a_record_made_again_makes_no_job_due(self, house: House) -> None:
        """Its answer was lost. It says nothing that was not known when the job was put off."""
        house.book()
        acquire(house)
        entry = Record(
            booking_id="b", attempt_id="a1", result=result(house), retry_at=house.now + timedelta(seconds=30)
        )
        for _ in range(2):
            house.store.record(entry, timeout=T)
            assert house.store.due(house.now, limit=9, timeout=T) == []

    def test_a_late_result_makes_a_job_due_when_the_attempt_ends_that_is_running(self, house: House) -> None:
        """It has read the booking before, and decides without it; but it is left in peace."""
        house.book()
        acquire(house, "a1", seconds=5)
        house.advance(6)
        acquire(house, "a2", seconds=10)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house, "a1")), timeout=T)
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.advance(1)
        house.store.record(Record(booking_id="b", attempt_id="a2", result=result(house, "a2")), timeout=T)
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]
        acquire(house, "a3")
        house.store.record(Record(booking_id="b", attempt_id="a3", result=result(house, "a3")), timeout=T)
        assert house.store.due(house.now, limit=9, timeout=T) == []

    def test_an_attempt_that_comes_back_late_does_not_wake_what_its_successor_has_parked(self, house: House) -> None:
        """It was counted as lost, and knows of itself only that it ran out of time."""
        house.book()
        acquire(house, "a1", seconds=5)
        house.advance(6)
        acquire(house, "a2")
        parked = Record(
            booking_id="b",
            attempt_id="a2",
            result=result(house, "a2", attempt=2, code=ReasonCode.NO_CAPACITY),
            retry_at=house.now + timedelta(minutes=30),
            parked_at_version=version(house),
        )
        house.store.record(parked, timeout=T)
        house.advance(1)
        late = result(house, "a1", code=ReasonCode.TIMEOUT)
        answer = house.store.record(Record(booking_id="b", attempt_id="a1", result=late), timeout=T)
        assert answer.last == stored(house)
        assert stored(house).attempt_id == "a2"
        assert house.store.due(house.now, limit=9, timeout=T) == []
        assert list(house.store.due(house.now + timedelta(minutes=30), limit=9, timeout=T)) == ["b"]

    def test_a_late_result_is_no_news_to_the_dead(self, house: House) -> None:
        """Whoever had the lease last has died too; what it left is found all the same."""
        house.book()
        acquire(house, "a1", seconds=5)
        house.advance(6)
        acquire(house, "a2", seconds=5)
        house.advance(6)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house, "a1")), timeout=T)
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]
        found = acquire(house, "a3")
        assert found.lost is not None
        assert found.lost.attempt_id == "a2"

    def test_a_record_of_a_booking_that_was_modified_meanwhile_does_not_end_its_retries(self, house: House) -> None:
        """The old revision's search has nothing to say about when the new one is due."""
        house.book()
        acquire(house)
        house.modify("b", party=3)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=T)
        assert list(house.store.due(house.now + timedelta(minutes=5), limit=9, timeout=T)) == ["b"]

    @pytest.mark.parametrize("status", ["cancelled", "confirmed", "completed", "no_show"])
    def test_a_booking_that_is_not_open_is_never_due(self, house: House, status: str) -> None:
        house.book()
        acquire(house)
        house.set_status("b", status)
        house.store.record(
            Record(booking_id="b", attempt_id="a1", result=result(house), retry_at=house.now, parked_at_version=0),
            timeout=T,
        )
        assert house.store.due(DINNER, limit=9, timeout=T) == []

    @pytest.mark.parametrize("between", ["cancelled", "completed", "confirmed"])
    def test_a_booking_that_is_open_again_is_due_at_once(self, house: House, between: str) -> None:
        """Whatever was decided about it before, and even if no attempt was ever made."""
        for name in ("b", "c"):
            house.book(name)
        acquire(house, booking_id="c")
        house.store.record(Record(booking_id="c", attempt_id="a1", result=result(house)), timeout=T)
        for name in ("b", "c"):
            house.set_status(name, between)
        assert house.store.due(DINNER, limit=9, timeout=T) == []
        for name in ("b", "c"):
            house.set_status(name, "pending")
        assert sorted(house.store.due(house.now, limit=9, timeout=T)) == ["b", "c"]

    def test_a_booking_that_is_open_again_waits_for_the_attempt_that_runs(self, house: House) -> None:
        house.book()
        acquire(house, seconds=10)
        house.set_status("b", "cancelled")
        house.set_status("b", "pending")
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.advance(10)
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]

    @pytest.mark.parametrize("found", ["cancelled", "confirmed", "waitlisted"])
    def test_an_attempt_that_found_a_booking_not_open_does_not_end_what_opened_it_again(
        self, house: House, found: str
    ) -> None:
        """It decides that the booking is never due, and has not seen what is so when it says that."""
        house.book()
        house.set_status("b", found)
        assert acquire(house, seconds=10).booking.status == found
        house.set_status("b", "pending")
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.store.record(Record(booking_id="b", attempt_id="a1", result=None, revision=0), timeout=T)
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]
        acquire(house, "a2")
        house.store.record(Record(booking_id="b", attempt_id="a2", result=result(house, "a2")), timeout=T)
        assert house.store.due(DINNER, limit=9, timeout=T) == [], "once"

    def test_an_attempt_that_has_not_told_what_it_read_parks_all_the_same(self, house: House) -> None:
        house.book()
        house.book("c")
        house.seat("c", ["small"])
        acquire(house)
        parked = Record(
            booking_id="b",
            attempt_id="a1",
            result=None,
            retry_at=house.now + timedelta(minutes=30),
            parked_at_version=version(house),
        )
        house.store.record(parked, timeout=T)
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.set_status("c", "cancelled")
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]

    def test_a_parked_booking_is_due_as_soon_as_the_version_is_another_one(self, house: House) -> None:
        house.book()
        house.book("c")
        house.seat("c", ["small"])
        acquire(house)
        house.store.record(
            Record(
                booking_id="b",
                attempt_id="a1",
                result=result(house),
                retry_at=house.now + timedelta(minutes=30),
                parked_at_version=version(house),
            ),
            timeout=T,
        )
        assert house.store.due(house.now, limit=9, timeout=T) == []
        house.set_status("c", "cancelled")
        assert list(house.store.due(house.now, limit=9, timeout=T)) == ["b"]

    def test_a_parked_booking_is_not_woken_by_a_version_that_has_fallen(self, house: House) -> None:
        """What had become free is taken again. That is no news, and a poller would wake the booking at every poll."""
        house.book()
        acquire(house)
        house.store.record(
            Record(
                booking_id="b",
                attempt_id="a1",
                result=result(house),
                retry_at=house.now + timedelta(minutes=30),
                parked_at_version=version(house) + 5,
            ),
            timeout=T,
        )
        assert house.store.due(house.now, limit=9, timeout=T) == []

    def test_the_longest_waiting_come_first_and_no_more_than_the_limit(self, house: House) -> None:
        for name in ("late", "early", "middle"):
            house.book(name)
        for name, seconds in (("late", 3), ("early", 1), ("middle", 2)):
            acquire(house, name, name)
            at = house.now + timedelta(seconds=seconds)
            house.store.record(Record(booking_id=name, attempt_id=name, result=None, retry_at=at), timeout=T)
        now = house.now + timedelta(seconds=9)
        assert list(house.store.due(now, limit=9, timeout=T)) == ["early", "middle", "late"]
        assert list(house.store.due(now, limit=2, timeout=T)) == ["early", "middle"]
