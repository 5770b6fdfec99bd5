"""Hosts in trouble, on either engine: a bad row among those due, a process that slept, a request that goes while its
search may outlive it, a background that takes no more work."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from tests.flows import test_flows_asyncio as on_a_loop
from tests.flows import test_flows_threads as in_threads
from tests.flows.conftest import Breakdown, World

from assign_core import (
    AsyncAutoAssign,
    AutoAssign,
    EventName,
    InvalidValue,
    LastResult,
    Policy,
    ReasonCode,
    Verdict,
)
from assign_core.drive import walk
from assign_core.effects import CloseAttempt, Effect, Emit
from assign_core.errors import DeadlineExceeded
from assign_core.flows import inline_attempt
from assign_core.performing import PortCalls
from assign_core.ports import Acquired, Busy, Lease, NoHold
from assign_memory import Cue

Kind = Literal["blocking", "async"]
KINDS: list[Kind] = ["blocking", "async"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_row_does_not_stop_the_queue_and_is_told_after_it(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NoHold(reason="fetch failed"))] * 3)
    for booking_id in ("a", "bad", "c"):
        world.book(booking_id)
        world.job(booking_id)
    world.advance(3600)
    acquire = world.store.acquire

    def breaks(booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        if booking_id == "bad":
            raise Breakdown("the row cannot be read")
        return acquire(booking_id, lease, timeout=timeout)

    world.store.acquire = breaks  # type: ignore[method-assign]  # a port that misbehaves
    with pytest.raises(ExceptionGroup, match="1 of 3 due bookings failed") as caught:
        world.run_due()
    assert [str(error) for error in caught.value.exceptions] == ["the row cannot be read"]
    assert [world.last(each).attempt for each in ("a", "bad", "c")] == [2, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_slept_through_its_grace_says_so_and_its_attempt_is_found_lost(kind: Kind) -> None:
    """A laptop's lid, a paused container: the deadline passed and so did the time in which to record that."""
    world = World(kind, script=[Cue(delay=42)])
    world.book()
    now, limit = world.runtime.now, world.policy.inline_deadline.total_seconds()
    asleep = timedelta(hours=1)

    def sleeps() -> datetime:
        nonlocal asleep
        if world.runtime.monotonic() >= limit:
            world.runtime.advance(asleep.total_seconds())
            asleep = timedelta(0)
        return now()

    world.runtime.now = sleeps  # type: ignore[method-assign]  # a machine that stops
    with pytest.raises(TimeoutError, match=r"did not answer within the grace for clean-up: CloseAttempt\(.*'b'"):
        world.inline()
    assert (world.status(), world.db.row("b").blob) == ("pending", None)
    assert world.job().verdict is Verdict.CONFIRMED
    assert len(world.named(EventName.ATTEMPT_LOST)) == 1


def test_a_request_cancelled_while_its_search_could_be_handed_over_leaves_no_hold() -> None:
    async def test() -> None:
        house = on_a_loop.House(on_deadline="hand_over")
        task = asyncio.create_task(house.engine.inline("b"))
        await on_a_loop.reached(house.planner.gate)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        house.planner.gate.open.set()
        await house.planner.ended.wait()
        await house.runtime.drain()
        house.check_cancelled_tidily()
        assert house.planner.releases == 2, "the attempt's own, and that of what the search took late"

    on_a_loop.run(test)


def test_a_request_interrupted_while_its_search_could_be_handed_over_leaves_no_hold() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        house = in_threads.House(policy=Policy(), on_deadline="hand_over", runtime=in_threads.InterruptedRuntime)
        with pytest.raises(KeyboardInterrupt):
            house.engine.inline("b")
    finally:
        signal.signal(signal.SIGINT, before)
    last = house.db.last(house.db.row("b"))
    assert isinstance(last, LastResult)
    assert last.reason_code is ReasonCode.ABORTED
    assert in_threads.releases(house) == 1
    house.planner.let_go.set()
    for thread in in_threads.background_threads():
        thread.join(in_threads.PATIENCE)
    assert house.planner.found.is_set()
    assert in_threads.releases(house) == 1
    assert not house.db.holds


def test_a_loop_that_takes_no_more_work_keeps_the_attempt() -> None:
    """The same as where no thread starts any more: the attempt is recorded, and a hold taken late is given back."""

    async def test() -> None:
        house = on_a_loop.House(policy=on_a_loop.SHORT, on_deadline="hand_over")

        def refuse(call: Callable[[], Awaitable[object]]) -> None:
            del call
            raise RuntimeError("the loop is closing")

        house.runtime.background = refuse  # type: ignore[method-assign]  # a port that misbehaves
        outcome = await house.engine.inline("b")
        assert outcome.verdict is Verdict.WAIT
        assert not outcome.handed_over
        house.planner.gate.open.set()
        await house.planner.ended.wait()
        await house.runtime.drain()
        assert house.last.reason == "RuntimeError: the loop is closing"
        assert house.db.row("b").lease is None
        assert house.planner.releases == 2, "the attempt's own, and that of what the search took late"
        assert not house.db.holds

    on_a_loop.run(test)


def test_a_grace_that_ends_while_the_attempt_closes_ends_the_attempt() -> None:
    """Closing once more would take what time there is not; the lease expires by itself, and telemetry is told."""
    world = World()
    world.book()
    world.fill()
    steps = walk(inline_attempt("b", policy=world.policy, trigger="creation", on_deadline="cancel"), world.runtime, 5.0)
    step = next(steps)
    while not isinstance(step.effect, CloseAttempt):
        step = steps.send(world.perform(step.effect, step.left))
    ended = DeadlineExceeded(step.effect)
    told = steps.throw(ended).effect
    assert isinstance(told, Emit)
    assert (told.stored, [event.name for event in told.events][:1]) == (False, [EventName.QUOTE])
    with pytest.raises(DeadlineExceeded) as caught:
        steps.send(None)
    assert caught.value is ended
    assert world.db.row("b").lease is not None


@pytest.mark.parametrize("engine", [AutoAssign, AsyncAutoAssign])
def test_a_mode_that_nobody_can_mean_is_refused_by_name(engine: Callable[..., object]) -> None:
    world = World()
    ports = dict.fromkeys(("store", "planner", "mailer", "telemetry"), object())
    with pytest.raises(InvalidValue, match="on_deadline is 'later'; pass 'cancel' or 'hand_over'"):
        engine(**ports, runtime=world.runtime, on_deadline="later")


def test_an_effect_that_no_port_performs_is_refused_by_name() -> None:
    class Teleport(Effect[None]):
        def __repr__(self) -> str:
            return "Teleport()"

    world = World()
    calls = PortCalls(world.store, world.floor_planner, world.mailer)
    odd: Effect[Any] = Teleport()
    with pytest.raises(TypeError, match=r"no driver performs Teleport\(\)"):
        calls.call(odd, 1.0)
