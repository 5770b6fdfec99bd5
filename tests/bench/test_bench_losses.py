"""What counts as lost, swapped and gained: on one table, who sits in the end can be worked out on paper."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.conftest import DINNER, Rivals

from assign_bench import BASELINE, ORACLE, Ended, Measured, Summary, contender, run, summarise, versus
from assign_bench.claims import OURS, claims
from assign_bench.result import BookingEnd
from assign_bench.workload import Guest
from assign_core.policy import Policy

UNAUDITED: Final = Policy(revalidation_share=0.0)


def test_a_table_that_the_baseline_found_and_that_stays_empty_is_a_booking_lost(rivals: Rivals) -> None:
    """The table is free 40 s after the first search in vain; hard-stop has stopped by then."""
    workload = rivals(first_cancels_after=60.0)
    found = versus(run(workload, contender("hard-stop")), run(workload, contender(BASELINE)))
    assert found.lost_at_cutoff == found.lost_at_end == ("second",)
    assert (found.fewer_bookings, found.fewer_guests, found.fewer_heads) == (1, 2, 2)
    assert (found.swapped, found.gained) == (0, 0)


def test_a_table_that_somebody_else_was_given_is_swapped(rivals: Rivals) -> None:
    workload = rivals(first_cancels_after=60.0)
    third = Guest(booking_id="third", party=1, books_at=3600.0, start_at=DINNER + timedelta(minutes=30))
    workload = evolve(workload, guests=(*workload.guests, third))
    found = versus(run(workload, contender("hard-stop")), run(workload, contender(BASELINE)))
    assert found.lost_at_cutoff == found.lost_at_end == ()
    assert (found.fewer_bookings, found.fewer_guests) == (0, 1)
    assert (found.swapped, found.gained) == (1, 1)


def test_tables_left_after_the_last_useful_moment_are_free_in_the_end_alone(rivals: Rivals) -> None:
    """The first stays away; its table is given away at a quarter past seven, five minutes after the second's last
    chance."""
    workload = rivals(first_cancels_after=None)
    first, second = workload.guests
    waits = evolve(second, start_at=DINNER + timedelta(minutes=20))
    workload = evolve(workload, guests=(evolve(first, no_show=True), waits))
    (_, waited) = run(workload, contender(OURS), UNAUDITED).bookings
    assert (waited.free_at_cutoff, waited.free_at_end) == (False, True)


def seatings(booking_id: str) -> st.SearchStrategy[BookingEnd]:
    open_ends = st.builds(
        BookingEnd,
        id=st.just(booking_id),
        party=st.integers(1, 8),
        seated=st.just(False),
        open=st.just(True),
        free_at_cutoff=st.booleans(),
        free_at_end=st.booleans(),
    )
    seated = st.builds(
        BookingEnd,
        id=st.just(booking_id),
        party=st.integers(1, 8),
        seated=st.just(True),
        open=st.just(False),
        delay=st.floats(0, 9000),
    )
    return open_ends | seated


def ends(of: Ended) -> st.SearchStrategy[Ended]:
    return st.tuples(*(seatings(f"b{number}") for number in range(3))).map(
        lambda bookings: evolve(of, bookings=bookings)
    )


@pytest.fixture(scope="module")
def any_run(rivals: Rivals) -> Ended:
    return run(rivals(first_cancels_after=60.0), contender(BASELINE))


@given(st.data())
def test_whom_the_other_run_alone_seated_is_lost_or_swapped(any_run: Ended, data: st.DataObject) -> None:
    this, other = data.draw(ends(any_run)), data.draw(ends(any_run))
    found, back = versus(this, other), versus(other, this)
    seated = {each.id for each in this.bookings if each.seated}
    missing = {each.id for each in other.bookings if each.seated} - seated
    lost = {*found.lost_at_cutoff, *found.lost_at_end}
    assert lost <= missing
    assert found.swapped == len(missing - lost)
    assert back.gained == len(missing)
    for each in this.bookings:
        assert (each.id in found.lost_at_cutoff) is (each.id in missing and each.free_at_cutoff)
        assert (each.id in found.lost_at_end) is (each.id in missing and each.free_at_end)
    assert found.seated_by_both == found.delay.count == found.added_delay.count == back.seated_by_both


def _under(name: str, workload: str, measured: tuple[Measured, ...]) -> tuple[Summary, ...]:
    """The summaries, as if the policy of that name had been the engine."""
    wanted = [evolve(each, workload=workload) for each in measured if each.policy in (BASELINE, ORACLE)]
    engine = [evolve(each, workload=workload, policy=OURS) for each in measured if each.policy == name]
    return summarise([*wanted, *engine], resamples=10)


@pytest.mark.parametrize("workload", ["busy", "quiet", "a workload from a file"])
def test_a_loss_is_summed_up_and_misses_its_targets(measured: tuple[Measured, ...], workload: str) -> None:
    summaries = _under("hard-stop", workload, measured)
    ours = next(each for each in summaries if each.policy == OURS)
    assert ours.seeds_with_loss["lost_at_cutoff"] == ours.seeds_with_loss["lost_at_end"] == 1
    assert (ours.figures["lost_at_cutoff"].value, ours.figures["lost_at_end"].value) == (1.0, 1.0)
    assert (ours.figures["fewer_guests"].value, ours.worst["fewer_guests"]) == (2.0, 2)
    assert ours.figures["lost_at_cutoff_to_oracle"].value == 1.0
    assert ours.figures["fewer_bookings_than_oracle"].value == 1.0
    missed = {claim.figure for claim in claims(summaries) if not claim.met}
    assert {"lost_at_cutoff", "lost_at_end", "fewer_guests"} <= missed


def test_the_engine_itself_loses_nothing_there(measured: tuple[Measured, ...]) -> None:
    told = {claim.figure: claim.met for claim in claims(_under(OURS, "busy", measured))}
    assert told["lost_at_cutoff"]
    assert told["lost_at_end"]
    assert told["fewer_guests"]
