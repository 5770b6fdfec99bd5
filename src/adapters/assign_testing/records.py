"""The booking store's record: merging what an attempt found, and queueing what the row calls for."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from assign_core.booking import EmailState
from assign_core.events import EventName, event
from assign_core.last_result import LastResult, Unreadable
from assign_core.ports import EmailKind, Record
from assign_testing.house import Capability, Contract, House, T
from assign_testing.steps import (
    acquire,
    confirmed,
    email,
    result,
    stored,
)


def _staff_notice(house: House, attempt_id: str = "a1", revision: int = 0) -> Record:
    return Record(
        booking_id="b",
        attempt_id=attempt_id,
        result=result(house, attempt_id),
        email=email(kind=EmailKind.STAFF_NOTICE, revision=revision),
    )


class RecordContract(Contract):
    """Closing an attempt that did not confirm."""

    def test_lesson_25_a_record_is_stored_and_merged_in_any_order(self, house: House) -> None:
        house.book()
        early = result(house, "a1", attempt=1)
        house.advance(5)
        late = result(house, "a2", attempt=2)
        for order in ((early, late), (late, early)):
            house.plant_blob(None)
            for each in order:
                house.store.record(Record(booking_id="b", attempt_id="?", result=each), timeout=T)
            assert (stored(house).attempt_id, stored(house).attempt) == ("a2", 2)

    @pytest.mark.parametrize("found", [True, False])
    def test_a_record_made_again_stores_its_events_once(self, house: House, found: bool) -> None:
        """Its answer was lost. An event of the same name that says something else, or comes later, is another one."""
        house.book()
        acquire(house, "a0", seconds=5)
        house.advance(6)
        acquire(house)
        said = [event(EventName.QUOTE, house.now, "b", "a1", planner_reason=each) for each in ("one", "two")]
        entry = Record(
            booking_id="b",
            attempt_id="a1",
            result=result(house) if found else None,
            revision=0,
            retry_at=house.now + timedelta(hours=1),
            events=tuple(said),
        )
        answers = [house.store.record(entry, timeout=T) for _ in range(2)]
        later = event(EventName.QUOTE, house.now + timedelta(seconds=1), "b", "a1", planner_reason="two")
        house.store.record(replace(entry, events=(*said, later)), timeout=T)
        kept = [*said, later] if answers[0].events_stored else []
        assert [(each.at, each.context) for each in house.events()] == [(each.at, each.context) for each in kept]

    def test_a_late_failure_does_not_overwrite_a_success(self, house: House) -> None:
        house.book()
        confirmed(house)
        house.advance(5)
        answer = house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house, "a1")), timeout=T)
        assert answer.status == "confirmed"
        assert isinstance(answer.last, LastResult)
        assert answer.last.success
        assert stored(house).success

    @pytest.mark.parametrize(
        "damage", ["{", [], 7, {"v": 1}, {"source": "martian"}, {"success": "yes"}, {"strategy": []}]
    )
    def test_a_damaged_blob_is_unreadable_and_replaced_only_by_a_real_attempt(
        self, house: House, damage: object
    ) -> None:
        house.book()
        house.plant_blob(damage)
        assert isinstance(acquire(house).last, Unreadable)
        answer = house.store.record(Record(booking_id="b", attempt_id="a1", result=None), timeout=T)
        assert isinstance(answer.last, Unreadable)
        assert house.blob() == damage
        acquire(house, "a2")
        house.store.record(Record(booking_id="b", attempt_id="a2", result=result(house, "a2")), timeout=T)
        assert stored(house).attempt_id == "a2"

    def test_a_blob_that_nobody_can_have_meant_is_unreadable(self, house: House) -> None:
        self.needs(Capability.LARGE_BLOBS)
        house.book()
        house.plant_blob("x" * 100_000)
        assert isinstance(acquire(house).last, Unreadable)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=T)
        assert stored(house).attempt_id == "a1"

    def test_lesson_02_a_record_says_whose_confirm_seated_the_booking(self, house: House) -> None:
        """The answer to a confirm was lost: its attempt, closing, learns that it landed."""
        house.book()
        confirmed(house, attempt_id="a1")
        answer = house.store.record(Record(booking_id="b", attempt_id="a1", result=None), timeout=T)
        assert (answer.status, answer.confirmed_by) == ("confirmed", "a1")

    def test_what_the_staff_seated_is_no_attempts_confirm(self, house: House) -> None:
        house.book()
        confirmed(house, attempt_id="a1")
        house.set_status("b", "cancelled")
        house.set_status("b", "pending")
        acquire(house, "a2")
        house.seat("b", ["large"])
        answer = house.store.record(Record(booking_id="b", attempt_id="a2", result=None), timeout=T)
        assert (answer.status, answer.confirmed_by) == ("confirmed", None)

    def test_an_older_revisions_result_does_not_replace_a_newer_ones(self, house: House) -> None:
        house.book()
        house.modify()
        house.store.record(Record(booking_id="b", attempt_id="n", result=result(house, "n", revision=1)), timeout=T)
        house.advance(5)
        house.store.record(Record(booking_id="b", attempt_id="o", result=result(house, "o", revision=0)), timeout=T)
        assert stored(house).attempt_id == "n"

    def test_lesson_28_the_staff_is_told_only_while_the_booking_is_open(self, house: House) -> None:
        house.book()
        acquire(house)
        house.seat("b", ["large"])
        assert house.store.record(_staff_notice(house), timeout=T).email is None
        house.set_status("b", "cancelled")
        assert house.store.record(_staff_notice(house), timeout=T).email is None
        assert house.ledger() == {}

    def test_the_staff_is_told_once(self, house: House) -> None:
        house.book()
        acquire(house)
        assert house.store.record(_staff_notice(house), timeout=T).email is EmailState.CLAIMED
        house.mailer.deliver(email(kind=EmailKind.STAFF_NOTICE), timeout=T)
        acquire(house, "a2")
        assert house.store.record(_staff_notice(house, "a2"), timeout=T).email is EmailState.SENT
        house.mailer.deliver(email(kind=EmailKind.STAFF_NOTICE), timeout=T)
        assert house.post.accepted == ["b:staff_notice:0"]

    def test_lesson_28_an_attempt_that_lost_its_lease_does_not_write_to_the_staff(self, house: House) -> None:
        """Another attempt is at it, and may be about to seat the guests."""
        house.book()
        acquire(house, "a1", seconds=5)
        house.advance(6)
        acquire(house, "a2")
        assert house.store.record(_staff_notice(house, "a1"), timeout=T).email is None
        assert house.ledger() == {}

    def test_a_notice_of_an_older_revision_is_not_sent(self, house: House) -> None:
        house.book()
        acquire(house)
        house.modify()
        assert house.store.record(_staff_notice(house, revision=0), timeout=T).email is None

    def test_a_guests_mail_is_queued_by_a_record_only_once_the_guest_is_seated(self, house: House) -> None:
        house.book()
        acquire(house)
        entry = Record(booking_id="b", attempt_id="a1", result=None, email=email())
        assert house.store.record(entry, timeout=T).email is None
        house.seat("b", ["small"])
        assert house.store.record(entry, timeout=T).email is EmailState.CLAIMED
