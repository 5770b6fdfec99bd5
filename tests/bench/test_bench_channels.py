"""Another channel's holds, plans that the confirm refuses, and whom the poller wakes: at one or two tables."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import evolve
from tests.bench.conftest import DINNER, Rivals

from assign_bench import BASELINE, CONTENDERS, ORACLE, Ended, Workload, contender, run, workload
from assign_bench.polling import EVERY
from assign_bench.result import BookingEnd
from assign_bench.run import Run
from assign_bench.workload import Elsewhere, Guest
from assign_core.booking import SEATED
from assign_core.policy import Policy
from assign_floor import Table

UNAUDITED: Final = Policy(revalidation_share=0.0)
OURS: Final = ("ours", "ours-no-versions")
HELD_AT: Final = 600.0


@pytest.fixture
def held(rivals: Rivals) -> Workload:
    """A guest asks for the only table, a second after another channel has put its hold on it for 100 s."""
    made = rivals(first_cancels_after=None)
    party = Elsewhere(id="e", at=HELD_AT, party=1, start_at=DINNER, held_for=100.0, decides_after=None, stays=False)
    (_, guest) = made.guests
    return evolve(made, guests=(evolve(guest, books_at=HELD_AT + 1.0),), elsewhere=(party,))


def only(ended: Ended) -> BookingEnd:
    (booking,) = ended.bookings
    return booking


@pytest.mark.parametrize("policy", OURS)
def test_one_search_when_the_hold_in_the_way_has_expired(held: Workload, policy: str) -> None:
    ended = run(held, contender(policy), UNAUDITED)
    booking = only(ended)
    assert (booking.by, booking.job_calls) == ("job", 1)
    # The hold lasts 99 s longer, a second of jitter at most, the search 6 s.
    assert 99.0 + 6.0 < (booking.delay or 0.0) < 99.0 + 1.0 + 6.0 + 0.1
    assert ended.figures.rules["contention"].found == 1


@pytest.mark.parametrize("policy", list(CONTENDERS))
def test_whoever_stays_keeps_the_table_and_counts_at_the_door(held: Workload, policy: str) -> None:
    (party,) = held.elsewhere
    stays = evolve(held, elsewhere=(evolve(party, decides_after=50.0, stays=True),))
    ended = run(stays, contender(policy), UNAUDITED)
    assert only(ended).open
    assert (ended.figures.walked_in, ended.figures.turned_away) == (1, 0)
    assert ended.figures.double_booked == 0


@pytest.mark.parametrize("policy", list(CONTENDERS))
def test_a_table_let_go_is_there_for_the_guest(held: Workload, policy: str) -> None:
    (party,) = held.elsewhere
    lets_go = evolve(held, elsewhere=(evolve(party, decides_after=30.0),))
    ended = run(lets_go, contender(policy), UNAUDITED)
    # The inline search takes 20 s, as it begins with nothing to find; a cache hides the table for a minute.
    assert only(ended).seated
    assert (ended.figures.walked_in, ended.figures.turned_away) == (0, 0)


def test_who_finds_no_table_on_another_channel_is_turned_away(rivals: Rivals) -> None:
    made = rivals(first_cancels_after=None)
    party = Elsewhere(id="e", at=900.0, party=2, start_at=DINNER, held_for=60.0, decides_after=30.0, stays=True)
    figures = run(evolve(made, elsewhere=(party,)), contender("ours"), UNAUDITED).figures
    assert (figures.walked_in, figures.turned_away) == (0, 2)


def test_a_plan_that_the_confirm_refuses_is_no_seat_lost(rivals: Rivals) -> None:
    made = rivals(first_cancels_after=None)
    lone = evolve(made, guests=(evolve(made.guests[0], promised="terrace"),))
    calls = {}
    for name, each in CONTENDERS.items():
        ended = run(lone, each, UNAUDITED)
        booking = only(ended)
        assert (booking.open, booking.free_at_cutoff, booking.free_at_end) == (True, False, False), name
        calls[name] = booking.job_calls
    # The inline attempt has asked for another plan, and there was none: the engine waits for news.
    assert (calls[BASELINE], calls["ours"], calls[ORACLE]) == (4, 0, 0)
    # 6 s until the refused plan is found, and 20 s until it is clear that there is no other.
    assert run(lone, contender("ours"), UNAUDITED).figures.inline_seconds == pytest.approx(6.0 + 20.0)


def test_the_next_plan_is_confirmed_in_the_same_attempt(rivals: Rivals) -> None:
    made = rivals(first_cancels_after=None)
    floor = evolve(made.floor, tables=[*made.floor.tables, Table(id="T2", seats=3, zone="terrace")])
    two = evolve(made, floor=floor, guests=(evolve(made.guests[0], promised="terrace"),))
    ended = run(two, contender("ours"), UNAUDITED)
    assert (only(ended).by, ended.figures.inline_calls) == ("inline", 2)


def test_fixed_tables_are_not_joined(rivals: Rivals) -> None:
    made = rivals(first_cancels_after=None)
    floor = evolve(
        made.floor, tables=[*made.floor.tables, Table(id="T2", seats=2, zone="main")], adjacent=[("T", "T2")]
    )
    four = evolve(made, floor=floor, guests=(evolve(made.guests[0], party=4),))
    assert only(run(four, contender("ours"), UNAUDITED)).by == "inline"
    assert only(run(evolve(four, fixed=("T2",)), contender("ours"), UNAUDITED)).open


@pytest.mark.parametrize("policy", list(CONTENDERS))
def test_no_confirm_breaks_a_promise(policy: str) -> None:
    made = workload("rush", 2)
    evening = Run(made, CONTENDERS[policy])
    evening.run()
    database = evening.restaurant.database
    zones = {table.id: table.zone for table in (*made.floor.tables, *database.floor.tables)}
    promised = {guest.booking_id: guest.promised for guest in made.guests if guest.promised is not None}
    for booking_id, seated in database.assignments.items():
        if database.row(booking_id).status in SEATED and booking_id in promised:
            assert {zones[table] for table in seated.tables} == {promised[booking_id]}
        if len(seated.tables) > 1:
            assert seated.tables.isdisjoint(made.fixed)


def test_a_rush_meets_contention_and_refused_plans_and_both_rules_find_tables() -> None:
    found: Counter[str] = Counter()
    for seed in range(8):
        rules = run(workload("rush", seed), contender("ours")).figures.rules
        found.update({name: rule.found for name, rule in rules.items()})
    assert found["contention"] > 0
    assert found["plan_rejected"] > 0


def test_one_freed_table_costs_one_search_however_many_wait_for_it(rivals: Rivals) -> None:
    made = rivals(first_cancels_after=3600.0)
    first, second = made.guests
    late = [
        Guest(booking_id=f"late{number}", party=2, books_at=700.0 + number, start_at=DINNER + timedelta(minutes=15))
        for number in range(5)
    ]
    ended = run(evolve(made, guests=(first, second, *late)), contender("ours"), UNAUDITED)
    assert sum(each.seated for each in ended.bookings) == 1
    assert ended.figures.job_calls == 1


def test_the_poller_looks_all_day_and_nobody_else_does(rivals: Rivals) -> None:
    made = rivals(first_cancels_after=None)
    looks = {name: run(made, each, UNAUDITED).figures.capacity_looks for name, each in CONTENDERS.items()}
    assert looks == dict.fromkeys(CONTENDERS, 0) | dict.fromkeys(("ours", "ours-last-hour"), made.ends // EVERY)


def test_a_freed_table_is_found_within_a_poll(rivals: Rivals) -> None:
    after = 3601.0
    ended = run(rivals(first_cancels_after=after), contender("ours"), UNAUDITED)
    (_, second) = ended.bookings
    assert second.delay is not None
    assert after < second.delay <= after + EVERY + 6.0 + 0.1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"decides_after": 100.0}, "decides after 100 s, and its hold lasts 100 s"),
        ({"decides_after": 0.0}, "decides after 0 s"),
        ({"stays": True}, "stays and never says so"),
    ],
)
def test_a_party_that_decides_too_late_is_refused(held: Workload, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        evolve(held.elsewhere[0], **change)
