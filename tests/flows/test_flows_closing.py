"""How an attempt ends that did not confirm: what the host is answered, what the row keeps, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from tests.flows.conftest import NO_TABLES, NOON, OVERRUN, AsyncVirtualRuntime, Breakdown, Cancelled, World

from assign_core import Event, EventName, LastResult, Outcome, Policy, ReasonCode, Verdict
from assign_core.booking import EmailState
from assign_core.effects import Acquire, CloseAttempt, Deliver, RequestQuote
from assign_core.last_result import Source
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Lease,
    NoHold,
    NotConfirmed,
    Record,
    Recorded,
)
from assign_memory import Cue

Kind = Literal["blocking", "async"]


def before_record(world: World, act: Callable[[], object]) -> None:
    """Somebody acts just before the attempt is recorded."""
    record = world.store.record

    def acts(entry: Record, *, timeout: float) -> Recorded:
        act()
        return record(entry, timeout=timeout)

    world.store.record = acts  # type: ignore[method-assign]  # the same, a little later


def background(world: World) -> Outcome:
    """The end of an attempt that was handed over."""
    assert isinstance(world.runtime, AsyncVirtualRuntime)
    (rest,) = world.runtime.afterwards
    going_on: Any = rest()
    ended: Outcome = asyncio.run(going_on)
    return ended


# What the host is answered.


def test_a_row_that_was_not_read_in_time_is_to_be_looked_at_after_the_first_delay(kind: Kind) -> None:
    world = World(kind)
    world.book()
    acquire = world.store.acquire

    def slow(booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        acquire(booking_id, lease, timeout=timeout)
        world.advance(timeout)
        raise TimeoutError("the time left has passed")

    world.store.acquire = slow  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.job()
    (attempt_id,) = world.store.sources
    wait_until = world.now + world.policy.delays[0]
    assert outcome == Outcome(
        booking_id="b", verdict=Verdict.WAIT, decision=None, attempt_id=attempt_id, wait_until=wait_until
    )


def test_a_lease_that_has_ended_by_our_own_clock_is_waited_for_a_moment_longer() -> None:
    """The store's clock decides, and it is behind; at once would be too early again, and again."""
    world = World()
    world.book()
    found = NoHold(reason="fetch failed")
    holder = Lease(attempt_id="other", source=Source.JOB, taken_at=NOON, expires_at=NOON - timedelta(seconds=1))
    flow = world.flow("job")
    flow.run_to(Acquire)
    last = LastResult(source=Source.INLINE, recorded_at=NOON, success=False, reason=found.reason)
    flow.answer(Busy(booking=world.db.booking(world.db.row("b")), last=last, holder=holder))
    flow.run()
    assert flow.outcome is not None
    assert flow.outcome.wait_until == NOON + timedelta(milliseconds=1)
    assert flow.outcome.decision is not None
    assert flow.outcome.decision.rules == ("infrastructure",), "the host is told what is known all the same"


@pytest.mark.parametrize("seated", [True, False], ids=["seated, and written to", "cancelled"])
def test_who_needs_no_attempt_is_answered_so_although_another_has_the_lease(kind: Kind, seated: bool) -> None:
    world = World(kind)
    world.book()
    if seated:
        world.db.seat_by_hand("b", ["large"])
        world.job()
    else:
        world.db.cancel("b")
    other = Lease(attempt_id="other", source=Source.JOB, taken_at=NOON, expires_at=NOON + timedelta(seconds=5))
    world.store.acquire("b", other, timeout=1)
    verdict = Verdict.ALREADY_CONFIRMED if seated else Verdict.NOT_ACTIONABLE
    expected = Outcome(booking_id="b", verdict=verdict, decision=world.explain().decision)
    assert [world.inline(), world.job(), world.run_job()] == [expected] * 3
    assert world.db.row("b").lease == other


@pytest.mark.parametrize("meanwhile", ["nothing", "seated by hand", "modified", "refused"])
def test_however_a_handed_over_attempt_ends_it_says_that_it_was_one(meanwhile: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "seated by hand": lambda: world.db.seat_by_hand("b", ["large"]),
        "modified": lambda: world.db.modify("b", party=3),
    }
    cue = Cue(delay=10, answer=NO_TABLES if meanwhile == "refused" else None)
    world = World("async", on_deadline="hand_over", script=[Cue(delay=10), cue])
    world.book()
    pending = world.inline()
    assert pending == Outcome(
        booking_id="b",
        verdict=Verdict.WAIT,
        decision=pending.decision,
        attempted=True,
        attempt_id=world.planner.requests[0].attempt_id,
        wait_until=pending.wait_until,
        handed_over=True,
    )
    lease = world.db.row("b").lease
    assert lease is not None
    assert pending.wait_until is not None
    assert timedelta(0) <= pending.wait_until - lease.expires_at <= world.policy.inline_deadline
    acts.get(meanwhile, lambda: None)()
    ended = background(world)
    assert (ended.handed_over, ended.attempted, ended.attempt_id) == (True, True, pending.attempt_id)
    assert ended.result == world.last()
    verdicts = {"nothing": Verdict.CONFIRMED, "seated by hand": Verdict.ALREADY_CONFIRMED}
    assert ended.verdict is verdicts.get(meanwhile, Verdict.WAIT)


def test_a_mailer_that_fails_is_no_proof_of_a_mail(kind: Kind) -> None:
    world = World(kind)
    world.book()

    def broken(*_: object, **__: object) -> None:
        raise Breakdown("no route")

    world.post.send = broken  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.inline()
    assert outcome.email is EmailState.UNKNOWN
    assert outcome.result == world.last()
    assert not world.last().email_sent


@pytest.mark.parametrize("seated", [True, False], ids=["seated by hand", "modified"])
def test_a_row_that_changes_while_a_look_gives_up_is_as_it_is_now(kind: Kind, seated: bool) -> None:
    """What is stored cannot be read, so it is no result; and nothing was given up, so nobody is told so."""
    world = World(kind)
    world.book(start_at=NOON)
    world.db.row("b").blob = "{"
    later = NOON + timedelta(hours=7)
    before_record(
        world, lambda: world.db.seat_by_hand("b", ["large"]) if seated else world.db.modify("b", start_at=later)
    )
    outcome = world.job()
    assert (outcome.result, outcome.attempted) == (None, False)
    if seated:
        assert (outcome.verdict, outcome.email) == (Verdict.ALREADY_CONFIRMED, EmailState.SENT)
        summary = world.one(EventName.SUMMARY)
        assert (summary["result"], summary["attemptsUsed"], summary["maxAttempts"]) == ("already_confirmed", 0, 4)
    else:
        assert (outcome.verdict, outcome.wait_until) == (Verdict.WAIT, world.now)
        assert not world.named(EventName.SUMMARY)
    assert not world.named(EventName.CUTOFF_SKIPPED)
    assert not world.named(EventName.EMAIL_ERROR)


@pytest.mark.parametrize("status", ["confirmed", "cancelled", "waitlisted"])
def test_a_booking_that_is_open_again_while_it_was_looked_at_is_looked_at_again(kind: Kind, status: str) -> None:
    """Nothing was to be done for what it was, and its host would never call for it again."""
    world = World(kind)
    world.book()
    world.db.set_status("b", status)
    before_record(world, lambda: world.db.set_status("b", "pending"))
    outcome = world.job()
    assert (outcome.verdict, outcome.wait_until) == (Verdict.WAIT, world.now)
    assert world.guest_mail() == []
    assert not world.named(EventName.SUMMARY)


def test_a_booking_that_is_cancelled_while_its_e_mail_is_seen_to_is_no_confirmed_one(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.db.seat_by_hand("b", ["large"])
    before_record(world, lambda: world.db.cancel("b"))
    outcome = world.job()
    assert (outcome.verdict, outcome.email) == (Verdict.NOT_ACTIONABLE, None)
    assert world.guest_mail() == []


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_the_guest_is_written_to_about_the_revision_that_is_seated(kind: Kind, told: bool) -> None:
    """Whether the store says which that is, or keeps none and so says nothing."""
    world = World(kind)
    world.book()
    if not told:
        world.db.modify("b", party=3)
        record = world.store.record
        world.store.record = lambda entry, *, timeout: replace(record(entry, timeout=timeout), revision=None)  # type: ignore[method-assign]  # another store

    def seat() -> None:
        if told:
            world.db.modify("b", party=3)
        world.db.seat_by_hand("b", ["large"])

    before_record(world, seat)
    world.store.confirm = refuse  # type: ignore[method-assign]  # somebody else is faster
    assert world.job().verdict is Verdict.ALREADY_CONFIRMED
    assert world.guest_mail() == ["b:modification:1"]


def refuse(confirmation: Confirmation, *, timeout: float) -> NotConfirmed:
    del confirmation, timeout
    return NotConfirmed(status="pending", reason="lock timeout", reason_code=ReasonCode.LOCK_TIMEOUT)


# What the row keeps, and what is decided from it.


@pytest.mark.parametrize(
    ("second", "reason", "duration_ms"),
    [
        (Cue(delay=42), "INLINE_TIMEOUT", 1800),
        (Cue(delay=0.25, answer=NO_TABLES), NO_TABLES.reason, 750),
        (Cue(delay=0.25), "Tables are not movable", 750),
    ],
    ids=["has no end", "finds nothing", "is refused too"],
)
def test_the_planners_time_is_the_sum_of_an_attempts_searches(
    kind: Kind, second: Cue, reason: str, duration_ms: int
) -> None:
    world = World(kind, script=[Cue(delay=0.5), second], objection=lambda *_: "Tables are not movable")
    world.book()
    world.inline()
    assert (world.last().reason, world.last().duration_ms) == (reason, duration_ms)


def test_what_an_attempt_decides_at_its_end_is_what_the_row_says_then(kind: Kind) -> None:
    """The inline attempt's clock is a little ahead, so its word is the later one, in the row and in what is told."""
    world = World(kind, policy=Policy(ambiguous_budget=1), script=[Cue(answer=NO_TABLES)])
    world.book()
    ahead = LastResult(
        source=Source.INLINE,
        recorded_at=NOON + timedelta(seconds=20),
        success=False,
        reason="INLINE_TIMEOUT",
        reason_code=ReasonCode.TIMEOUT,
    )
    world.db.keep(world.db.row("b"), ahead)
    outcome = world.job()
    assert (outcome.verdict, outcome.result) == (Verdict.GAVE_UP, replace(ahead, attempt=1))
    assert outcome.decision == world.explain().decision
    failed = world.one(EventName.FAILED)
    assert (failed["reason"], failed["reasonCode"]) == ("INLINE_TIMEOUT", ReasonCode.TIMEOUT)


def test_an_attempt_that_had_no_time_to_search_leaves_what_is_known(kind: Kind) -> None:
    world = World(kind)
    world.book()
    known = LastResult(source=Source.JOB, recorded_at=NOON, success=False, reason="fetch failed", attempt=1)
    world.db.keep(world.db.row("b"), known)
    world.advance(60)
    acquire = world.store.acquire

    def slow(booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        found = acquire(booking_id, lease, timeout=timeout)
        world.advance(timeout)
        return found

    world.store.acquire = slow  # type: ignore[method-assign]  # a port that takes its time
    if kind == "async":
        world.runtime.limited = unlimited  # type: ignore[union-attr,method-assign]  # the answer arrives all the same
    outcome = world.job()
    assert (outcome.attempted, world.last()) == (False, known)
    assert outcome.decision is not None
    assert (outcome.decision.rules, outcome.decision.attempts_used) == (("infrastructure",), 1)


async def unlimited(call: Callable[[], Any], timeout: float) -> Any:
    del timeout
    return await call()


def test_the_version_that_a_search_saw_is_the_newest_that_is_known(kind: Kind) -> None:
    """What had become free was taken again while it searched, so nothing is left to search for at once."""
    world = World(kind, script=[Cue(answer=replace(NO_TABLES, capacity_version=0))])
    world.book()
    world.fill()
    world.free()
    assert (world.db.version(world.db.row("b")) or 0) > 0
    outcome = world.job()
    assert (outcome.verdict, outcome.parked, outcome.capacity_version) == (Verdict.WAIT, True, 0)


def test_what_has_been_given_back_is_not_given_back_again(kind: Kind) -> None:
    world = World(kind, script=[Cue(), Cue(answer=NO_TABLES)], objection=lambda *_: "Tables are not movable")
    world.book()
    release, released = world.floor_planner.release, []

    def counted(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        released.append(attempt_id)
        release(booking_id, attempt_id, timeout=timeout)

    world.floor_planner.release = counted  # type: ignore[method-assign]  # the same, watched
    outcome = world.inline()
    assert released == [outcome.attempt_id]


# What is told of it.


def watched(world: World) -> list[tuple[list[EventName], bool]]:
    """What telemetry is told, and whether the store has it already."""
    emit, heard = world.telemetry.emit, list[tuple[list[EventName], bool]]()

    def noted(events: Sequence[Event], *, stored: bool) -> object:
        heard.append(([event.name for event in events], stored))
        return emit(events, stored=stored)

    world.telemetry.emit = noted  # type: ignore[method-assign,assignment]  # the same, watched
    return heard


def test_of_a_confirm_that_failed_only_what_came_before_it_is_told_and_each_is_stored_or_not(kind: Kind) -> None:
    """The commit's events were to be stored with it; those of the record were."""
    world = World(kind)
    world.book()
    record, heard = world.store.record, watched(world)

    def broken(confirmation: Confirmation, *, timeout: float) -> NotConfirmed:
        del confirmation, timeout
        raise Breakdown("no database")

    world.store.confirm = broken  # type: ignore[method-assign]  # a port that misbehaves
    world.store.record = lambda entry, *, timeout: replace(record(entry, timeout=timeout), events_stored=True)  # type: ignore[method-assign]  # as a database does
    world.job()
    assert heard == [
        ([EventName.STARTED, EventName.ATTEMPT, EventName.QUOTE], False),
        ([EventName.ATTEMPT_ERROR], True),
    ]


@pytest.mark.parametrize("answer", [None, OVERRUN], ids=["committed", "given up"])
def test_an_interruption_finds_nothing_to_record_once_the_attempt_is_recorded(answer: NoHold | None) -> None:
    world = World(script=[Cue(answer=answer)])
    world.book()
    flow = world.flow("inline")
    flow.run_to(Deliver)
    calls, last = list(world.store.calls), world.last()
    cancelled = Cancelled("gone")
    flow.throw(cancelled)
    flow.run()
    assert flow.error is cancelled
    assert (world.store.calls, world.last()) == (calls, last)
    assert not world.named(EventName.INLINE_OPERATION_ABORTED)


def test_a_summary_is_in_no_store(kind: Kind) -> None:
    world = World(kind)
    heard = watched(world)
    world.job("nobody")
    assert heard == [([EventName.SUMMARY], False)]


@pytest.mark.parametrize("closing", [False, True], ids=["searching", "closing"])
def test_a_cancellation_whose_record_fails_says_why_and_is_still_the_cancellation(closing: bool) -> None:
    world = World(script=[Cue(answer=OVERRUN)])
    world.book()
    flow = world.flow("inline")
    flow.run_to(CloseAttempt if closing else RequestQuote)
    cancelled = Cancelled("gone")
    flow.throw(cancelled)
    flow.run_to(CloseAttempt)
    flow.throw(Breakdown("no database"))
    flow.run()
    assert flow.error is cancelled
    assert cancelled.__notes__ == ["the attempt's result could not be recorded: Breakdown: no database"]


def test_a_cancellation_while_the_attempt_is_recorded_is_told_after_what_it_found() -> None:
    """The very same record goes out again, and a hold that cannot be given back is told, too."""
    world = World(script=[Cue(answer=RuntimeError("fetch failed"))])
    world.book()

    def broken(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del booking_id, attempt_id, timeout
        raise Breakdown("release is out of order")

    world.floor_planner.release = broken  # type: ignore[method-assign]  # a port that misbehaves
    flow = world.flow("inline")
    flow.run_to(CloseAttempt)
    first = flow.next
    cancelled = Cancelled("gone")
    flow.throw(cancelled)
    assert first is not None
    assert flow.next is not None
    assert flow.next.effect == first.effect
    world.advance(0.25)
    flow.run()
    assert flow.error is cancelled
    assert world.last().reason == "RuntimeError: fetch failed"
    assert [(event.name, event.at) for event in world.telemetry.events] == [
        (EventName.QUOTE, NOON),
        (EventName.INLINE_QUOTE_ERROR, NOON),
        (EventName.ATTEMPT_ERROR, world.now),
        (EventName.INLINE_OPERATION_ABORTED, world.now),
    ]
    assert world.one(EventName.INLINE_OPERATION_ABORTED)["error"] == "Cancelled: gone"


def test_events_whose_confirm_is_not_known_are_told_in_order_although_nothing_could_be_recorded(kind: Kind) -> None:
    world = World(kind)
    world.book()

    def broken(*_: object, **__: object) -> Any:
        raise Breakdown("no database")

    world.store.confirm = world.store.record = broken  # type: ignore[method-assign]  # ports that misbehave
    with pytest.raises(Breakdown):
        world.job()
    assert world.names == [
        "auto_assign.started",
        "auto_assign.attempt",
        "auto_assign.quote",
        "auto_assign.succeeded",
        "auto_assign.attempt_error",
        "auto_assign.attempt_error",
    ]
    assert [event.context["stage"] for event in world.named(EventName.ATTEMPT_ERROR)] == ["confirm", "record"]
