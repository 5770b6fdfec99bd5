"""The planner's holds: the least wasteful fit, on a short clock, and in nobody's way for longer."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

from datetime import time, timedelta

import pytest

from assign_core.last_result import Strategy
from assign_core.ports import Hold, NoHold, Plan, Record
from assign_core.reasons import FailureClass, ReasonCode, classify_reason
from assign_floor import Floor, Service, Table
from assign_testing.house import DINNER, LUNCH, NOON, Capability, Contract, House, MakeHouse, T
from assign_testing.steps import acquire, confirm, confirmed, hold, quote, request, version


def _failure_class(found: object) -> FailureClass:
    assert isinstance(found, NoHold)
    return classify_reason(found.reason).failure_class


class HoldContract(Contract):
    """Quoting and releasing."""

    def test_the_least_wasteful_fit_is_held(self, house: House) -> None:
        house.book(party=2)
        found = hold(house)
        assert found.plan.tables == ("small",)
        assert found.expires_at == NOON + timedelta(seconds=120)
        assert found.alternates == 1
        assert list(house.holds()) == ["a1"]

    def test_lesson_09_a_booking_is_never_in_its_own_way(self, house: House) -> None:
        house.book(party=6)
        first = hold(house, attempt_id="a1")
        house.advance(11)  # its attempt died: the lease is over, the hold is not
        second = hold(house, attempt_id="a2")
        assert first.plan == second.plan
        confirm(house, second, "a2")
        assert house.status() == "confirmed"

    @pytest.mark.parametrize("end", ["recorded", "expired", "succeeded", "confirmed", "cancelled"])
    def test_a_search_that_comes_back_late_takes_nothing(self, house: House, end: str) -> None:
        """P3: nobody is left who would release it."""
        house.book()
        match end:
            case "recorded":
                acquire(house)
                house.store.record(Record(booking_id="b", attempt_id="a1", result=None), timeout=T)
            case "expired":
                acquire(house, seconds=1)
                house.advance(1)
            case "succeeded":
                acquire(house, seconds=1)
                house.advance(2)
                acquire(house, "a2")
            case "confirmed":
                confirmed(house)
            case _:
                acquire(house)
                house.set_status("b", "cancelled")
        late = house.planner.quote(request(), timeout=T)
        assert isinstance(late, NoHold)
        assert late.reason_code is ReasonCode.BOOKING_CHANGED
        assert not house.holds()

    def test_lesson_10_an_expired_hold_blocks_nobody(self, house: House) -> None:
        house.book(party=6)
        house.book("c", party=6)
        hold(house, hold_seconds=30)
        assert isinstance(quote(house, "c", "a2"), NoHold)
        house.advance(30)
        taken = hold(house, "c", "a2")
        acquire(house, "a2", "c")
        confirm(house, taken, "a2", "c")
        assert house.status("c") == "confirmed"

    def test_lesson_08_a_hold_lives_on_its_own_short_clock(self, house: House) -> None:
        house.book()
        assert hold(house, hold_seconds=7).expires_at == NOON + timedelta(seconds=7)
        house.advance(7)
        assert not house.holds()

    def test_lesson_19_a_release_touches_only_its_own_attempts_hold(self, house: House) -> None:
        house.book()
        house.book("c")
        hold(house, "b", "a1")
        hold(house, "c", "a2")
        house.planner.release("b", "a2", timeout=T)
        house.planner.release("c", "a1", timeout=T)
        house.planner.release("b", "never", timeout=T)
        assert sorted(house.holds()) == ["a1", "a2"]
        house.planner.release("b", "a1", timeout=T)
        house.planner.release("b", "a1", timeout=T)
        assert list(house.holds()) == ["a2"]

    def test_lesson_19_a_release_leaves_what_was_confirmed(self, house: House) -> None:
        house.book()
        acquire(house)
        confirm(house, hold(house))
        house.planner.release("b", "a1", timeout=T)
        assert house.tables() == {"small"}
        assert house.status() == "confirmed"

    def test_seats_that_are_held_are_contention_with_a_time_to_come_back(self, house: House) -> None:
        house.book(party=6)
        house.book("c", party=6)
        first = hold(house, hold_seconds=90)
        found = quote(house, "c", "a2")
        assert isinstance(found, NoHold)
        assert found.reason_code is ReasonCode.HOLD_CONFLICT
        assert found.retry_after == first.expires_at

    @pytest.mark.parametrize(("party", "seconds"), [(2, 30), (4, 90), (6, 90)])
    def test_the_time_to_come_back_is_when_the_party_fits_and_not_when_any_hold_expires(
        self, house: House, party: int, seconds: int
    ) -> None:
        house.book("x", party=2)
        hold(house, "x", "a8", hold_seconds=30)
        house.book("y", party=4)
        hold(house, "y", "a9", hold_seconds=90)
        house.book(party=party)
        found = quote(house)
        assert isinstance(found, NoHold)
        assert found.retry_after == NOON + timedelta(seconds=seconds)
        house.advance(seconds - 1)
        assert isinstance(quote(house), NoHold)
        house.advance(1)
        assert isinstance(quote(house), Hold)

    def test_what_an_attempt_gives_back_is_no_news_to_its_own_next_search(self, house: House) -> None:
        """A plan was refused, and there is no other. Else the booking would wake itself, and search for nothing."""
        house.book("x", party=4)
        house.seat("x", ["large"])
        house.book("z", party=2)
        house.book()
        before = version(house, "z")
        refused = hold(house).plan
        found = quote(house, excluded=[refused])
        assert isinstance(found, NoHold)
        house.planner.release("b", "a1", timeout=T)
        assert version(house) == found.capacity_version
        assert version(house, "z") > before, "to others it is"

    def test_seats_that_are_taken_are_capacity_with_the_version_that_was_seen(self, house: House) -> None:
        for name, table, party in (("x", "small", 2), ("y", "large", 4)):
            house.book(name, party=party)
            house.seat(name, [table])
        house.book()
        found = quote(house)
        assert isinstance(found, NoHold)
        assert _failure_class(found) is FailureClass.CAPACITY
        assert found.retry_after is None
        assert found.capacity_version == version(house)

    def test_seats_that_would_be_taken_even_without_the_holds_are_capacity(self, house: House) -> None:
        house.book("x", party=4)
        house.seat("x", ["large"])
        house.book("y", party=2)
        hold(house, "y", "a9")
        house.book(party=4)
        assert _failure_class(quote(house)) is FailureClass.CAPACITY

    def test_a_party_larger_than_the_house_is_permanent(self, house: House) -> None:
        house.book(party=7)
        assert _failure_class(quote(house)) is FailureClass.PERMANENT

    def test_a_stay_beyond_the_service_is_permanent(self, make_house: MakeHouse) -> None:
        floor = Floor(
            tables=[Table(id="1", seats=2)], services=[Service(name="lunch", opens=time(12), closes=time(13, 30))]
        )
        house = make_house(floor)
        house.book(start_at=LUNCH)
        house.book("closed", start_at=DINNER)
        for name in ("b", "closed"):
            assert _failure_class(quote(house, name)) is FailureClass.PERMANENT

    def test_a_booking_that_does_not_exist_is_permanent(self, house: House) -> None:
        found = quote(house, "nobody")
        assert isinstance(found, NoHold)
        assert found.reason_code is ReasonCode.BOOKING_NOT_FOUND

    def test_an_excluded_plan_is_not_proposed_again(self, house: House) -> None:
        house.book(party=2)
        found = quote(house, excluded=[Plan(("small",))])
        assert isinstance(found, Hold)
        assert found.plan.tables == ("large",)
        nothing = quote(house, excluded=[Plan(("small",)), Plan(("large",))])
        assert isinstance(nothing, NoHold)

    def test_lesson_29_the_hold_remembers_the_strategy_it_was_made_under(self, house: House) -> None:
        house.book(party=2)
        strategy = Strategy(require_adjacency=False, max_tables=2)
        found = quote(house, strategy=strategy)
        assert isinstance(found, Hold)
        assert found.strategy == strategy

    def test_the_knobs_are_the_requests_where_it_turns_them(self, make_house: MakeHouse) -> None:
        house = make_house(Floor(tables=[Table(id=str(number), seats=2) for number in range(3)]))
        house.book(party=4)
        assert isinstance(quote(house), NoHold)
        apart = quote(house, strategy=Strategy(require_adjacency=False))
        assert isinstance(apart, Hold)
        single = Strategy(require_adjacency=False, max_tables=1)
        assert isinstance(quote(house, strategy=single), NoHold)

    def test_without_time_left_nothing_is_held(self, house: House) -> None:
        self.needs(Capability.KEEPS_TIME)
        house.book()
        with pytest.raises(TimeoutError):
            house.planner.quote(request(), timeout=0)
        assert not house.holds()
