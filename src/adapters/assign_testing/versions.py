"""Capacity versions: unchanged means that the search which failed would fail again."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from assign_core.last_result import Strategy
from assign_core.ports import Hold, NoHold, Record
from assign_core.reasons import FailureClass, classify_reason
from assign_floor import Floor, Table
from assign_testing.house import DINNER, LUNCH, Contract, House, MakeHouse, T
from assign_testing.steps import hold, quote, version


def _failure_class(found: object) -> FailureClass:
    assert isinstance(found, NoHold)
    return classify_reason(found.reason).failure_class


class VersionContract(Contract):
    """What makes a version grow, and what does not."""

    def test_freed_lunch_says_nothing_of_dinner(self, house: House) -> None:
        house.book("lunch", start_at=LUNCH)
        house.book()
        house.seat("lunch", ["small"])
        before, lunch = version(house), version(house, "lunch")
        house.set_status("lunch", "cancelled")
        assert version(house) == before
        assert version(house, "lunch") > lunch

    def test_windows_that_only_touch_do_not_tell_each_other_anything(self, house: House) -> None:
        house.book("early", start_at=DINNER)  # two guests stay 90 minutes
        house.book(start_at=DINNER + timedelta(minutes=90))
        house.book("overlapping", start_at=DINNER + timedelta(minutes=89))
        house.seat("early", ["small"])
        before, overlapping = version(house), version(house, "overlapping")
        house.set_status("early", "cancelled")
        assert version(house) == before
        assert version(house, "overlapping") > overlapping

    def test_everything_that_may_free_seats_makes_the_version_grow(self, house: House) -> None:
        house.book()
        seen = [version(house)]

        def grew(what: str) -> None:
            seen.append(version(house))
            assert seen[-1] > seen[-2], what

        house.book("x")
        house.seat("x", ["small"])
        assert version(house) <= seen[-1], "taking seats frees none"
        seen.append(version(house))
        house.modify("x", party=1)
        grew("a seated booking was modified")
        house.seat("x", ["small"])
        seen.append(version(house))
        house.seat("x", ["large"])
        grew("the staff moved a party to another table")
        house.set_status("x", "completed")
        grew("a party left")
        house.book("y")
        hold(house, "y", "a9")
        assert version(house) <= seen[-1], "holding seats frees none"
        seen.append(version(house))
        house.planner.release("y", "a9", timeout=T)
        grew("a hold was released")
        hold(house, "y", "a9", hold_seconds=5)
        seen.append(version(house))
        house.advance(5)
        grew("a hold expired")

    def test_a_party_that_the_staff_moves_frees_its_tables(self, house: House) -> None:
        """P5: a parked booking has to hear of the large table."""
        house.book("x", party=2)
        house.seat("x", ["large"])
        house.book(party=4)
        found = quote(house)
        assert isinstance(found, NoHold)
        assert found.capacity_version is not None
        house.seat("x", ["small"])
        assert version(house) > found.capacity_version
        assert isinstance(quote(house), Hold)

    def test_a_table_that_completes_a_combination_of_any_size_makes_the_version_grow(
        self, make_house: MakeHouse
    ) -> None:
        """P5: a host may let its planner put more than four tables together."""
        names = [str(number) for number in range(6)]
        floor = Floor(tables=[Table(id=name, seats=2) for name in names], adjacent=list(pairwise(names)))
        house = make_house(floor)
        house.book("x")
        house.seat("x", ["3"])
        house.book("y")
        house.seat("y", ["0"])
        house.book(party=10)
        strategy = Strategy(max_tables=5)
        found = quote(house, strategy=strategy)
        assert isinstance(found, NoHold)
        assert _failure_class(found) is FailureClass.CAPACITY
        assert found.capacity_version is not None
        house.set_status("x", "cancelled")
        assert isinstance(quote(house, strategy=strategy), Hold)
        house.planner.release("b", "a1", timeout=T)
        assert version(house) > found.capacity_version

    def test_a_search_that_failed_fails_again_until_the_version_has_grown(self, make_house: MakeHouse) -> None:
        """P5, the version as a validator: whatever happens in the house, unchanged means nothing is to be found."""

        @settings(max_examples=self.examples, deadline=None)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            _Story(data, make_house).told()

        check()

    def test_a_search_that_finds_nothing_changes_no_version(self, house: House) -> None:
        """Else two parked bookings would wake each other for ever."""
        for name, table, party in (("x", "small", 2), ("y", "large", 4)):
            house.book(name, party=party)
            house.seat(name, [table])
        house.book()
        before = version(house)
        quote(house)
        house.planner.release("b", "a1", timeout=T)
        assert version(house) == before


class _Story:
    """A random evening of a random house, and for each guest the version at which the last search failed."""

    def __init__(self, data: st.DataObject, make_house: MakeHouse) -> None:
        self.data = data
        self.names = [str(number) for number in range(data.draw(st.integers(2, 6), label="tables"))]
        tables = [
            Table(
                id=name,
                seats=data.draw(st.integers(1, 4)),
                movable=data.draw(st.booleans()),
                zone=data.draw(st.sampled_from(("main", "bar"))),
            )
            for name in self.names
        ]
        adjacent = [pair for pair in pairwise(self.names) if data.draw(st.booleans())]
        self.house = make_house(Floor(tables=tables, adjacent=adjacent))
        self.guests = [f"g{number}" for number in range(4)]
        for guest in self.guests:
            later = timedelta(minutes=data.draw(st.sampled_from((0, 30, 90, 110))))
            self.house.book(guest, party=data.draw(st.integers(1, 10)), start_at=DINNER + later)
        self.held: list[tuple[str, str]] = []
        self.failed: dict[str, int] = {}
        self.attempts: dict[str, str] = {}

    def told(self) -> None:
        for number in range(self.data.draw(st.integers(4, 25), label="steps")):
            guest = self.data.draw(st.sampled_from(self.guests))
            match self.data.draw(st.sampled_from(("quote", "quote", "quote", "seat", "leave", "release", "advance"))):
                case "quote":
                    self.quote(guest, f"a{number}")
                case "seat":
                    with suppress(ValueError):
                        self.house.seat(guest, self.data.draw(st.sets(st.sampled_from(self.names), min_size=1)))
                case "leave":
                    self.house.set_status(guest, "pending")
                case "release" if self.held:
                    self.house.planner.release(*self.held.pop(0), timeout=T)
                case _:
                    self.house.advance(self.data.draw(st.sampled_from((1, 30, 61))))

    def quote(self, guest: str, attempt: str) -> None:
        before = self.house.store.capacity_version(guest, timeout=T)
        if guest in self.attempts:
            closed = Record(booking_id=guest, attempt_id=self.attempts[guest], result=None)
            self.house.store.record(closed, timeout=T)
        self.attempts[guest] = attempt
        found = quote(self.house, guest, attempt, hold_seconds=60)
        if isinstance(found, Hold):
            assert before is not None
            assert guest not in self.failed or before > self.failed[guest], f"{guest} could be seated, nobody said so"
            self.failed.pop(guest, None)
            self.held.append((guest, attempt))
        elif found.retry_after is None and found.capacity_version is not None:
            self.failed[guest] = found.capacity_version
