"""What the planner is asked: which revision to seat, how long to hold the tables, and how long the search may take."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, Literal

import pytest
from tests.flows.conftest import World

from assign_core import Policy
from assign_core.flows import OnDeadline
from assign_core.last_result import Strategy
from assign_core.ports import Acquired, Busy, Lease, QuoteRequest

Kind = Literal["blocking", "async"]
POLICY: Final = Policy(
    inline_deadline=timedelta(seconds=2),
    job_deadline=timedelta(seconds=30),
    inline_hold=timedelta(seconds=7),
    job_hold=timedelta(seconds=50),
    strategy=Strategy(max_tables=2),
)
TAKEN: Final = 0.5
"""Seconds of the deadline that the store has used up when the planner is called."""


def asked(world: World) -> list[tuple[QuoteRequest, float]]:
    """What the planner is asked for, and the seconds that it is given, while the store takes its time."""
    quote: Any = world.planner.quote
    acquire, heard = world.store.acquire, list[tuple[QuoteRequest, float]]()

    def noted(request: QuoteRequest, *, timeout: float) -> Any:
        heard.append((request, timeout))
        return quote(request, timeout=timeout)

    def slow(booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        world.advance(TAKEN)
        return acquire(booking_id, lease, timeout=timeout)

    world.planner.quote = noted  # type: ignore[method-assign]  # the same, watched
    world.store.acquire = slow  # type: ignore[method-assign]  # the same, a little later
    return heard


@pytest.mark.parametrize("keeps_time", [False, True], ids=["keeps no time", "keeps time"])
@pytest.mark.parametrize(
    ("source", "mode", "hold", "seconds"),
    [
        ("inline", "cancel", 7.0, 2 - TAKEN),
        ("inline", "hand_over", 50.0, 30.0),
        ("job", "cancel", 50.0, 30 - TAKEN),
        ("job", "hand_over", 50.0, 30 - TAKEN),
    ],
)
def test_a_search_has_what_is_left_and_a_short_hold_and_one_that_may_be_handed_over_has_what_a_job_has(
    kind: Kind, source: str, mode: OnDeadline, hold: float, seconds: float, keeps_time: bool
) -> None:
    world = World(kind, policy=POLICY, on_deadline=mode, planner_keeps_time=keeps_time)
    world.book()
    world.db.modify("b", party=3)
    heard = asked(world)
    outcome = world.inline() if source == "inline" else world.job()
    assert outcome.attempt_id is not None
    request = QuoteRequest(
        booking_id="b", revision=1, attempt_id=outcome.attempt_id, strategy=POLICY.strategy, hold_seconds=hold
    )
    assert heard == [(request, seconds)]
