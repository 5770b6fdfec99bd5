"""Clocks that are wrong, and clocks that are moved: between two attempts, and in the middle of one.

Leases, holds and evidence are dated by whoever made them, and judged by the clock of whoever meets them. So a clock
that is minutes or hours off must cost time at most: a table is never given away twice, an e-mail never sent twice, and
everybody has an answer in the end. What time a deadline has left is not asked of these clocks at all.

The house's own clock is right throughout, and so are those who tidy up in the end.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest
from tests.faults.boundaries import gated
from tests.faults.journal import asked
from tests.faults.restaurant import NOON, Restaurant, runtime_at
from tests.faults.worker import Errand, Worker

from assign_core import EventName, Verdict
from assign_memory import VirtualRuntime
from assign_postgres import PostgresMailer, PostgresOutbox

JUMPS: Final = tuple(timedelta(minutes=minutes) for minutes in (-180, -10, 10, 180))
PAST_THE_START: Final = timedelta(minutes=180)
STRIDE: Final = 8
EVENINGS: Final = 3
EVENINGS_IN_SOAK: Final = 50
STEPS: Final = 30
SKEWS: Final = (0, 20, -20, 90, -90, 600, -600, 3600, -3600)
"""Of a host's clock, in seconds."""


class MovedClock(VirtualRuntime):
    """A clock that is set anew while its stopwatch goes on."""

    def __init__(self) -> None:
        super().__init__(NOON, seed=random.SystemRandom().getrandbits(64))
        self.moved = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.moved


def prepared(house: Restaurant, *, full: bool) -> None:
    house.reopen()
    house.book("b")
    if full:
        house.book("big", party=6)
        house.seat("big", ["small1", "large1"])


def attempt(house: Restaurant, kind: str, reached: Callable[[MovedClock], None]) -> None:
    """What a host process does for a booking; its clock may be moved at every boundary."""
    clock = MovedClock()
    with house.app(source=kind, runtime=clock, wrap=lambda app: gated(app, lambda _: reached(clock))) as engine:
        engine.inline("b") if kind == "inline" else engine.job("b")


@pytest.mark.parametrize("jump", JUMPS, ids=lambda jump: f"{jump // timedelta(minutes=1)} min")
@pytest.mark.parametrize("full", [False, True], ids=["seated", "full"])
@pytest.mark.parametrize("kind", ["inline", "job"])
def test_a_clock_moved_in_an_attempt_costs_time_at_most(
    house: Restaurant, kind: str, full: bool, jump: timedelta, soak: bool, counted: Counter[str]
) -> None:
    """At every boundary in a soak; otherwise at every eighth, beginning with another one in each variation."""
    boundaries = 0

    def count(_: MovedClock) -> None:
        nonlocal boundaries
        boundaries += 1

    prepared(house, full=full)
    attempt(house, kind, count)
    first = (JUMPS.index(jump) + 4 * full + 2 * (kind == "job")) % STRIDE
    for number in range(boundaries) if soak else range(first, boundaries, STRIDE):
        prepared(house, full=full)
        left = number

        def move(clock: MovedClock) -> None:
            nonlocal left
            clock.moved = clock.moved if left else jump
            left -= 1

        attempt(house, kind, move)
        assert left < 0, f"boundary {number} of {boundaries} was not reached"
        counted["clocks moved in an attempt"] += 1
        house.check(at_rest=False)
        house.settle()
        house.check()
        if jump < PAST_THE_START:
            assert house.status("b") == ("pending" if full else "confirmed")


def test_hosts_whose_clocks_disagree_seat_nobody_twice_and_forget_nobody(
    house: Restaurant, soak: bool, counted: Counter[str]
) -> None:
    chance = random.Random(3)  # noqa: S311 - repeatable, not secret
    for number in range(EVENINGS_IN_SOAK if soak else EVENINGS):
        house.reopen(pairs=2)
        house.deduplicates = number % 2 == 1
        ids = [f"b{guest}" for guest in range(7)]
        for booking_id in ids:
            house.book(booking_id, party=chance.choice((2, 4, 4, 6)))
        for _ in range(STEPS):
            clock = runtime_at(house.now + timedelta(seconds=chance.choice(SKEWS)))
            source = chance.choice(("inline", "job"))
            with house.app(source=source, runtime=clock, sends=chance.random() < 0.5) as engine:
                match chance.randrange(5):
                    case 0:
                        engine.run_due()
                    case 1:
                        PostgresMailer(PostgresOutbox(house.database, clock), house.post).relay()
                    case 2 if chance.random() < 0.2:
                        house.cancel(chance.choice(ids))
                    case _ if source == "inline":
                        engine.inline(chance.choice(ids))
                    case _:
                        engine.job(chance.choice(ids))
            house.clock.advance(chance.choice((0.0, 1.0, 10.0, 60.0)))
            counted["steps by a clock that may be wrong"] += 1
            house.check(at_rest=False)
        house.settle()
        house.check()


@pytest.mark.parametrize(("ahead", "searches"), [(0, 1), (20, 1), (60, 2), (3600, 2)])
def test_evidence_from_the_future_spares_no_search(house: Restaurant, ahead: int, searches: int) -> None:
    """Seen in time, or within the skew that clocks may have, the same evidence parks the booking."""
    prepared(house, full=True)
    with house.app(source="inline", runtime=runtime_at(NOON + timedelta(seconds=ahead))) as engine:
        engine.inline("b")
    with house.app() as engine:
        assert engine.job("b").verdict is Verdict.WAIT
    assert len([call for call in asked(house.folder / "asked") if call.booking_id == "b"]) == searches
    house.settle()
    house.check()


def test_a_lease_from_the_future_keeps_others_out_and_ends(house: Restaurant) -> None:
    """Its worker has died. Nobody can tell it from one that is at work, until its time has come."""
    house.book("b")
    with Worker(replace(Errand.of(house, "job"), now=NOON + timedelta(hours=1)), "before quote") as worker:
        worker.stops()
        worker.kill()
    with house.app() as engine:
        outcome = engine.job("b")
    assert (outcome.attempt_id, outcome.verdict) == (None, Verdict.WAIT)
    house.settle()
    house.check()
    assert NOON + timedelta(hours=1) < house.now
    assert (house.status(), house.events(EventName.ATTEMPT_LOST)) == ("confirmed", 1)


@pytest.mark.parametrize("behind", [timedelta(minutes=10), timedelta(hours=3)])
def test_a_hold_that_others_see_expired_confirms_nothing_that_they_have_taken(
    house: Restaurant, behind: timedelta
) -> None:
    house.book("b", party=4)
    house.book("other", party=4)
    with Worker(replace(Errand.of(house, "job"), now=NOON - behind), "before confirm") as worker:
        worker.stops()
        with house.app() as engine:
            assert engine.job("other").verdict is Verdict.CONFIRMED
        worker.go_on()
        worker.ends()
    house.check(at_rest=False)
    house.settle()
    house.check()
    assert (house.status("b"), house.status("other")) == ("pending", "confirmed")
