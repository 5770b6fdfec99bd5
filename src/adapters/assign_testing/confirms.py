"""The booking store's confirm: all of it or nothing, and only for whoever may."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

import pytest

from assign_core.booking import EmailState
from assign_core.ports import Confirmed, NotConfirmed, Record
from assign_core.reasons import ReasonCode
from assign_testing.house import DINNER, Capability, Contract, House, T
from assign_testing.steps import (
    acquire,
    confirm,
    confirmation,
    confirmed,
    email,
    hold,
    result,
    stored,
)


class ConfirmContract(Contract):
    """Committing a hold."""

    def test_a_confirm_writes_everything_at_once(self, house: House) -> None:
        house.book()
        acquire(house)
        found = hold(house)
        answer = confirm(house, found)
        assert isinstance(answer, Confirmed)
        assert answer.email is EmailState.CLAIMED
        assert answer.last.success
        assert house.status() == "confirmed"
        assert house.tables() == set(found.plan.tables)
        assert not house.holds()
        assert stored(house) == answer.last
        assert house.ledger() == {"b:confirmation:0": EmailState.CLAIMED}
        assert house.store.due(DINNER, limit=9, timeout=T) == []

    @pytest.mark.parametrize("status", ["cancelled", "no_show", "completed", "checked_in", "confirmed", "waitlisted"])
    def test_lesson_22_a_confirm_leaves_only_an_open_status(self, house: House, status: str) -> None:
        house.book()
        acquire(house)
        found = hold(house)
        house.set_status("b", status)
        answer = confirm(house, found)
        assert isinstance(answer, NotConfirmed)
        assert answer.status == status
        assert house.status() == status
        assert not house.tables()
        assert house.ledger() == {}
        assert house.blob() is None

    @pytest.mark.parametrize("status", ["pending", "pending_allocation", "cancelled", "no_show", "completed"])
    def test_a_booking_that_is_open_again_or_closed_gives_its_tables_back(self, house: House, status: str) -> None:
        house.book()
        confirmed(house)
        house.set_status("b", status)
        assert not house.tables()

    @pytest.mark.parametrize("status", ["checked_in", "arrived", "waitlisted"])
    def test_a_booking_keeps_its_tables_in_a_status_that_is_not_ours_to_judge(self, house: House, status: str) -> None:
        """Whoever is called "arrived" by the host sits at them."""
        house.book()
        confirmed(house)
        tables = house.tables()
        house.set_status("b", status)
        assert house.tables() == tables

    def test_both_open_statuses_can_be_confirmed(self, house: House) -> None:
        house.book()
        house.set_status("b", "pending_allocation")
        assert isinstance(confirmed(house), Confirmed)

    def test_lesson_02_a_confirm_after_the_attempt_was_closed_does_not_land(self, house: House) -> None:
        house.book()
        acquire(house)
        found = hold(house)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house)), timeout=T)
        answer = confirm(house, found)
        assert isinstance(answer, NotConfirmed)
        assert house.status() == "pending"
        assert not stored(house).success

    def test_a_confirm_of_an_attempt_that_lost_its_lease_does_not_land(self, house: House) -> None:
        house.book()
        acquire(house, "a1", seconds=5)
        found = hold(house, attempt_id="a1")
        house.advance(6)
        acquire(house, "a2")
        assert isinstance(confirm(house, found, "a1"), NotConfirmed)
        assert house.status() == "pending"

    def test_a_confirm_after_the_lease_has_expired_does_not_land(self, house: House) -> None:
        """P2: it was held up on its way, the deadline is long past, and nobody expects it any more."""
        house.book()
        acquire(house, "a1", seconds=5)
        found = hold(house, attempt_id="a1")
        house.advance(5)
        assert isinstance(confirm(house, found, "a1"), NotConfirmed)
        assert house.status() == "pending"

    def test_a_confirm_without_any_lease_does_not_land(self, house: House) -> None:
        house.book()
        found = hold(house)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=None), timeout=T)
        assert list(house.holds()) == ["a1"]
        assert isinstance(confirm(house, found), NotConfirmed)
        assert house.status() == "pending"

    def test_a_confirm_of_an_older_revision_does_not_land(self, house: House) -> None:
        house.book()
        acquire(house)
        found = hold(house)
        house.modify("b", party=3)
        answer = confirm(house, found)
        assert isinstance(answer, NotConfirmed)
        assert answer.reason_code is ReasonCode.BOOKING_CHANGED
        assert house.status() == "pending"

    def test_a_confirm_needs_its_hold_alive(self, house: House) -> None:
        house.book()
        acquire(house, seconds=600)
        found = hold(house, hold_seconds=30)
        house.advance(30)
        answer = confirm(house, found)
        assert isinstance(answer, NotConfirmed)
        assert answer.reason_code is ReasonCode.HOLD_NOT_FOUND

    def test_a_released_hold_cannot_be_confirmed(self, house: House) -> None:
        house.book()
        acquire(house)
        found = hold(house)
        house.planner.release("b", "a1", timeout=T)
        assert isinstance(confirm(house, found), NotConfirmed)

    def test_a_hold_of_another_attempt_cannot_be_confirmed(self, house: House) -> None:
        house.book()
        house.book("c")
        foreign = hold(house, "c", "a9")
        acquire(house, "a1")
        assert isinstance(confirm(house, foreign, "a1"), NotConfirmed)
        assert list(house.holds()) == ["a9"]

    def test_two_bookings_never_share_a_table(self, house: House) -> None:
        house.book()
        house.book("c")
        acquire(house)
        found = hold(house)
        house.seat("c", found.plan.tables)
        answer = confirm(house, found)
        assert isinstance(answer, NotConfirmed)
        assert answer.reason_code is ReasonCode.OVERLAP
        assert house.status() == "pending"

    def test_an_objection_of_the_house_is_a_refusal_in_its_own_words(self, house: House) -> None:
        self.needs(Capability.OBJECTION)
        house.book()
        acquire(house)
        found = hold(house)
        house.refuse("Table d1f3 is not adjacent to the selected set")
        answer = confirm(house, found)
        assert isinstance(answer, NotConfirmed)
        assert answer.reason == "Table d1f3 is not adjacent to the selected set"
        assert list(house.holds()) == ["a1"]
        house.refuse(None)
        assert isinstance(confirm(house, found), Confirmed)

    def test_lesson_21_a_replayed_confirm_returns_what_is_true_now(self, house: House) -> None:
        house.book()
        acquire(house)
        found = hold(house)
        first = confirm(house, found)
        house.mailer.deliver(email(), timeout=T)
        again = confirm(house, found)
        assert isinstance(first, Confirmed)
        assert isinstance(again, Confirmed)
        assert again.last.email_sent
        assert again.email is EmailState.SENT
        assert house.post.accepted == ["b:confirmation:0"]
        # The tables were taken back: the key must not replay an assignment that is no more.
        house.set_status("b", "pending")
        gone = confirm(house, found)
        assert isinstance(gone, NotConfirmed)
        assert not house.tables()

    def test_lesson_21_the_key_is_booking_revision_and_plan_whoever_asks(self, house: House) -> None:
        house.book()
        found = hold(house)
        one, other = confirmation(house, found, "a1"), confirmation(house, found, "a2")
        assert one.key == other.key == "b:0:small"
        assert confirmation(house, found, revision=1).key != one.key
