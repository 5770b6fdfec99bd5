"""What an attempt remembers of itself: how long it may take, what it found, and who died before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
from tests.flows.conftest import NOON, OVERRUN, World

from assign_core import EventName, LastResult, Policy, ReasonCode, Verdict
from assign_core.effects import RequestQuote
from assign_core.flows import OnDeadline
from assign_core.last_result import EmailVariant, Source, Strategy
from assign_core.ports import Hold, Lease, NoHold, Quote, QuoteRequest
from assign_memory import Cue

Kind = Literal["blocking", "async"]
TIMES = Policy(
    inline_deadline=timedelta(seconds=7), job_deadline=timedelta(seconds=100), grace=timedelta(seconds=2), retries=5
)
KNOBS = Strategy(require_adjacency=False, max_tables=2)


@pytest.mark.parametrize(
    ("source", "on_deadline", "seconds"),
    [("inline", "cancel", 7), ("job", "cancel", 100), ("inline", "hand_over", 7 + 100)],
)
def test_a_lease_lasts_for_the_attempt_and_its_clean_up_and_no_longer(
    source: Literal["inline", "job"], on_deadline: OnDeadline, seconds: int
) -> None:
    """Shorter, and somebody else would search meanwhile; longer, and a crash would block the booking for nothing."""
    world = World(policy=TIMES, on_deadline=on_deadline)
    world.book()
    world.flow(source).run_to(RequestQuote)
    lease = world.db.row("b").lease
    assert lease is not None
    assert lease.source is Source(source)
    assert (lease.taken_at, lease.expires_at) == (NOON, NOON + timedelta(seconds=seconds) + 3 * TIMES.grace)


# What it found.


def test_the_result_of_a_success_says_all_of_its_attempt(kind: Kind) -> None:
    world = World(kind, policy=replace(Policy(), strategy=KNOBS), script=[Cue(delay=1.5)])
    world.book()
    outcome = world.inline()
    assert outcome.result == world.last()
    assert world.last() == LastResult(
        source=Source.INLINE,
        recorded_at=NOON + timedelta(seconds=1.5),
        success=True,
        strategy=KNOBS,
        trigger="creation",
        alternates=1,  # the larger table
        duration_ms=1500,
        attempt_id=outcome.attempt_id,
        held=True,
        email_sent=True,
        email_variant=EmailVariant.STANDARD,
        capacity_version=0,
    )


def test_the_result_of_a_failure_says_all_of_its_attempt(kind: Kind) -> None:
    found = NoHold(
        reason="held by others",
        reason_code=ReasonCode.HOLD_CONFLICT,
        retry_after=NOON + timedelta(minutes=2),
        capacity_version=0,
        alternates=3,
    )
    world = World(kind, policy=replace(Policy(), strategy=KNOBS), script=[Cue(delay=2, answer=found)])
    world.book()
    world.db.modify("b", party=3)
    outcome = world.job()
    assert outcome.result == world.last()
    assert world.last() == LastResult(
        source=Source.JOB,
        recorded_at=NOON + timedelta(seconds=2),
        success=False,
        reason="held by others",
        reason_code=ReasonCode.HOLD_CONFLICT,
        strategy=KNOBS,
        trigger="queue",
        alternates=3,
        duration_ms=2000,
        attempt_id=outcome.attempt_id,
        attempt=1,
        revision=1,
        capacity_version=0,
        retry_after=found.retry_after,
    )


def test_a_failure_after_the_tables_were_held_says_so(kind: Kind) -> None:
    """It is not about seats, so it must not be read as evidence of a full house."""
    world = World(kind, objection=lambda *_: "Tables are not movable")
    world.book()
    world.job()
    assert (world.last().held, world.last().reason_code) == (True, ReasonCode.TABLES_NOT_MOVABLE)


def test_a_guest_who_has_been_written_to_is_not_queued_another_mail(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.inline()
    world.db.set_status("b", "pending")
    outcome = world.job()
    assert (outcome.verdict, outcome.email) == (Verdict.CONFIRMED, None)
    assert world.one(EventName.SUCCEEDED)["email"] == "suppressed"
    assert world.guest_mail() == ["b:confirmation:0"]


def test_a_planner_that_knows_no_versions_disproves_the_hosts_all_the_same() -> None:
    """It cannot say that the seats became free while it searched, so the change was missed."""
    policy = replace(Policy(), revalidation_share=1.0)
    world = World(policy=policy, script=[Cue(answer=NoHold(reason="No suitable tables available"))])
    world.book()
    world.inline()
    world.advance(policy.revalidation_limit.total_seconds())
    world.floor_planner.quote = without_version(world.floor_planner.quote)  # type: ignore[method-assign]  # an older port
    assert world.job().verdict is Verdict.CONFIRMED
    assert world.one(EventName.CAPACITY_CHANGE_MISSED)["capacity_version"] == 0


def without_version(quote: Callable[..., Quote]) -> Callable[..., Quote]:
    def asked(request: QuoteRequest, *, timeout: float) -> Quote:
        found = quote(request, timeout=timeout)
        assert isinstance(found, Hold)
        return replace(found, capacity_version=None)

    return asked


# Who died before it.


def dies(world: World, source: Source) -> Lease:
    """An attempt takes the lease, and is never heard of again."""
    lease = Lease(
        attempt_id="dead", source=source, taken_at=world.now, expires_at=world.now + timedelta(seconds=100, minutes=1)
    )
    world.store.acquire("b", lease, timeout=1)
    return lease


@pytest.mark.parametrize("source", [Source.INLINE, Source.JOB])
def test_a_lost_attempt_is_recorded_as_a_failure_of_its_own_by_whoever_finds_it(kind: Kind, source: Source) -> None:
    """It may have called the planner, so it counts as the attempt after the last of this revision."""
    world = World(kind, policy=TIMES, script=[Cue(answer=NoHold(reason="fetch failed"))])
    world.book()
    world.db.modify("b", party=3)
    world.job()
    assert (world.last().attempt, world.last().revision) == (1, 1)
    world.advance(60)
    lease = dies(world, source)
    world.advance_to(lease.expires_at)
    outcome = world.job()
    assert (outcome.verdict, outcome.attempted) == (Verdict.WAIT, False)
    assert world.last() == LastResult(
        source=source,
        recorded_at=lease.expires_at,
        success=False,
        reason="ATTEMPT_LOST",
        reason_code=ReasonCode.ATTEMPT_LOST,
        attempt_id="dead",
        attempt=2,
        revision=1,
    )


def test_a_lost_attempt_does_not_hide_what_was_found_after_it(kind: Kind) -> None:
    """One that had outlived its own lease came back after the dead one's: its finding is the later word."""
    world = World(kind)
    world.book()
    lease = dies(world, Source.JOB)
    world.advance_to(lease.expires_at + timedelta(seconds=5))
    found = LastResult(source=Source.JOB, recorded_at=world.now, success=False, reason=OVERRUN.reason, attempt=1)
    world.db.keep(world.db.row("b"), found)
    outcome = world.job()
    assert (outcome.verdict, outcome.attempted) == (Verdict.GAVE_UP, False)
    assert world.last() == replace(found, attempt=2)
