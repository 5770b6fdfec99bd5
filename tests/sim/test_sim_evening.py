"""An evening with and without sharing: what is saved, and that nothing is lost for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from attrs import evolve

from assign_core import EventName, Policy
from assign_core.booking import EmailState
from assign_core.last_result import Source
from assign_floor import Floor, Table, sample_floor
from assign_sim import Comparison, Evening, Guest, Service, choose, compare, evening, story
from assign_sim.evening import NOON
from assign_sim.service import percentile

FLOOR: Final = sample_floor()
DINNER: Final = NOON.replace(hour=19)


@pytest.fixture(scope="module", params=[(1, 30), (2, 60), (3, 90)], ids=lambda which: f"seed{which[0]}-{which[1]}")
def comparison(request: pytest.FixtureRequest) -> Comparison:
    seed, bookings = request.param
    return compare(evening(seed, bookings), FLOOR, Policy())


def test_no_seating_is_lost(comparison: Comparison) -> None:
    assert comparison.lost == ()


def test_the_job_calls_the_planner_less(comparison: Comparison) -> None:
    shared, unshared = comparison.shared.planner_calls, comparison.unshared.planner_calls
    assert unshared[Source.JOB] > 0
    assert shared[Source.JOB] < unshared[Source.JOB] / 2
    assert comparison.job_calls_saved == pytest.approx(1 - shared[Source.JOB] / unshared[Source.JOB])


def test_nobody_is_written_to_twice_or_seated_on_somebody(comparison: Comparison) -> None:
    for ended in (comparison.shared, comparison.unshared):
        assert ended.emails_duplicate == 0
        assert ended.emails_unknown == 0
        assert ended.double_booked == 0


def test_no_guest_waits_longer_than_the_deadline(comparison: Comparison) -> None:
    assert comparison.shared.inline_percentile(95) <= 2.0


def test_every_guest_who_is_seated_was_written_to_about_this_revision(comparison: Comparison) -> None:
    sent = {mail.email.key for mail in comparison.shared.emails if mail.state is EmailState.SENT}
    for booking_id in comparison.shared.seated:
        revision = comparison.shared.bookings[booking_id].revision
        kind = "confirmation" if revision == 0 else "modification"
        assert f"{booking_id}:{kind}:{revision}" in sent


def test_the_same_seed_is_the_same_evening() -> None:
    one, other = (Service(evening(5, 25), FLOOR, True, Policy()).run() for _ in range(2))
    assert one.seated == other.seated
    assert one.planner_calls == other.planner_calls
    assert one.planner_seconds == other.planner_seconds
    assert evening(5, 25) != evening(6, 25)


def test_a_search_takes_the_same_time_in_both_runs() -> None:
    """Else the difference between the runs would be the dice's doing."""
    first = [
        {
            event.booking_id: event.context["planner_duration_ms"]
            for event in Service(evening(4, 20), FLOOR, sharing, Policy()).run().told
            if event.name is EventName.QUOTE and event.context["trigger"] == "creation"
        }
        for sharing in (True, False)
    ]
    assert first[0]
    assert first[0] == first[1]


def test_with_trusted_versions_only_what_is_news_is_searched_for() -> None:
    workload = evening(3, 90)
    trusted = Service(workload, FLOOR, True, replace(Policy(), revalidation_share=0.0)).run()
    careful = Service(workload, FLOOR, True, replace(Policy(), revalidation_share=1.0)).run()
    assert trusted.planner_calls[Source.JOB] < careful.planner_calls[Source.JOB]
    rules = {event.context["rules"] for event in trusted.told if event.name is EventName.ATTEMPT}
    assert "revalidation_due" not in rules


def test_three_bookings_are_told_from_request_to_end() -> None:
    workload = evening(7, 100)
    ended = Service(workload, FLOOR, True, Policy()).run()
    chosen = choose(workload, ended)
    assert len(chosen) == 3
    for guest in chosen:
        lines = story(workload, ended, guest)
        assert f"asks for {guest.party}" in lines[0]
        seated = guest.booking_id in ended.seated
        assert lines[-1].startswith("In the end: seated" if seated else "In the end: pending")


def test_a_booking_without_a_table_is_left_empty_only_while_its_tables_stand_free() -> None:
    """What a lost seating is counted by must be able to see one."""
    lone = Floor(tables=[Table(id="only", seats=2)])
    workload = Evening(
        seed=1,
        begins=NOON,
        guests=(
            Guest(booking_id="first", party=2, books_at=0.0, start_at=DINNER, cancels_at=3_600.0),
            Guest(booking_id="second", party=2, books_at=600.0, start_at=DINNER),
        ),
    )
    deaf = replace(Policy(), retries=0)
    given_up = Service(workload, lone, False, deaf).run()
    assert not given_up.seated
    assert given_up.left_empty == {"second"}
    stays = evolve(workload, guests=(evolve(workload.guests[0], cancels_at=None), workload.guests[1]))
    taken = Service(stays, lone, False, deaf).run()
    assert taken.seated == {"first"}
    assert not taken.left_empty


def test_what_becomes_free_after_the_cutoff_is_no_table_left_empty() -> None:
    lone = Floor(tables=[Table(id="only", seats=2)])
    at_the_door = (DINNER - NOON).total_seconds() - 60.0
    guests = (
        Guest(booking_id="first", party=2, books_at=0.0, start_at=DINNER, cancels_at=at_the_door),
        Guest(booking_id="second", party=2, books_at=600.0, start_at=DINNER),
    )
    ended = Service(Evening(seed=1, begins=NOON, guests=guests), lone, True, Policy()).run()
    assert not ended.seated
    assert not ended.left_empty
    # The first guest was written to before cancelling.
    assert (ended.emails_handed_over, ended.emails_outlived) == (1, 1)


def test_who_changes_a_booking_waits_from_the_change_on() -> None:
    guest = Guest(booking_id="b", party=2, books_at=0.0, start_at=DINNER, changes_at=3_600.0, changed_party=3)
    workload = Evening(seed=1, begins=NOON, guests=(guest,))
    ended = Service(workload, FLOOR, True, Policy()).run()
    assert 0 < ended.seated_after["b"] < 600
    assert (ended.emails_handed_over, ended.emails_outlived) == (2, 1)
    lines = story(workload, ended, guest)
    assert lines[-1].endswith(" after the change.")
    assert "13:00:00  the guest changes the party to 3" in lines
    assert [line[:8] for line in lines[:-1]] == sorted(line[:8] for line in lines[:-1])


@pytest.mark.parametrize("bookings", [1, 2, 3, 5])
def test_a_small_evening_tells_as_many_bookings_as_it_can(bookings: int) -> None:
    workload = evening(7, bookings)
    ended = Service(workload, FLOOR, True, Policy()).run()
    chosen = choose(workload, ended)
    assert len(chosen) == len({guest.booking_id for guest in chosen}) == min(3, bookings)


def test_durations_are_told_without_the_noise_of_the_clock() -> None:
    assert percentile((0.1 + 0.2,), 50) == 0.3
    assert percentile((1.8000000000029104, 1.7999999999992724), 50) == 1.8
    assert percentile((), 95) == 0.0


def test_a_workload_without_guests_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        evening(1, 0)
