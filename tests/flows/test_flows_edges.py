"""Edges that a review found: odd answers, rows that nobody read, hosts that are shutting down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, cast
from uuid import UUID

import pytest
from tests.flows.conftest import World
from tests.flows.test_flows_ports import Answers, engine_with

from assign_core import InvalidValue, Outcome, Policy, ReasonCode, Strategy, Verdict
from assign_core.drive import Step, Steps, walk
from assign_core.effects import (
    Acquire,
    AwaitQuote,
    CloseAttempt,
    ContinueInBackground,
    RequestQuote,
    Unfinished,
)
from assign_core.events import EventName
from assign_core.flows import inline_attempt
from assign_core.ports import Hold, NoHold, Plan
from assign_memory import Cue
from assign_runtime import ThreadRuntime


def hold(world: World, **odd: object) -> Hold:
    made: dict[str, Any] = {
        "hold_id": "h",
        "plan": Plan(("small",)),
        "expires_at": world.now,
        "strategy": Strategy(),
        **odd,
    }
    return Hold(**made)


@pytest.mark.parametrize(
    "odd", [{"plan": Plan(cast(Any, (1, 2)))}, {"plan": None}, {"plan": Plan(())}, {"hold_id": 7}], ids=str
)
def test_a_hold_that_names_no_tables_is_a_failure_with_a_result(odd: dict[str, object]) -> None:
    world = World()
    world.book()
    outcome = engine_with(world, planner=Answers(lambda _: hold(world, **odd))).inline("b")
    assert outcome.verdict is Verdict.WAIT
    assert "TypeError" in (world.last().reason or "")
    assert world.db.row("b").lease is None


@pytest.mark.parametrize(
    "odd",
    [
        {"reason_code": "HOLD_CONFLICT"},
        {"capacity_version": float("nan")},
        {"capacity_version": True},
        {"alternates": None},
        {"retry_after": 12.5},
    ],
    ids=str,
)
def test_odd_extras_do_not_cost_the_reason(odd: dict[str, Any]) -> None:
    world = World()
    world.book()
    engine_with(world, planner=Answers(lambda _: NoHold(reason="No capacity", **odd))).job("b")
    assert world.last().reason_code is ReasonCode.NO_CAPACITY
    assert world.last().retry_after is None


def test_what_a_thread_of_its_own_raises_is_never_the_hosts_exit() -> None:
    def leave() -> object:
        raise SystemExit(3)

    call = ThreadRuntime().start(leave)
    assert call.wait(10)
    with pytest.raises(RuntimeError, match="SystemExit"):
        call.result()


def test_a_row_that_nobody_could_read_is_looked_at_again() -> None:
    """Its guest may not have been written to; only a look at the ledger can tell."""
    world = World()
    world.book()
    world.db.seat_by_hand("b", ["large"])
    flow = world.flow("job")
    world.advance(200)
    flow.throw(TimeoutError())
    flow.run()
    assert flow.outcome is not None
    assert flow.outcome.verdict is Verdict.WAIT
    assert flow.outcome.decision is None
    assert flow.outcome.wait_until is not None
    assert world.job().verdict is Verdict.ALREADY_CONFIRMED
    assert world.guest_mail() == ["b:confirmation:0"]


def test_a_guest_seated_by_hand_is_written_to_once_the_dead_attempts_lease_has_ended() -> None:
    world = World()
    world.book()
    dead = world.flow("job")
    dead.run_to(RequestQuote)
    dead.stop()
    world.db.seat_by_hand("b", ["large"])
    outcome = world.job()
    assert outcome.verdict is Verdict.WAIT
    assert outcome.wait_until is not None
    world.advance((outcome.wait_until - world.now).total_seconds())
    assert world.job().verdict is Verdict.ALREADY_CONFIRMED
    assert world.guest_mail() == ["b:confirmation:0"]
    (exited,) = world.named(EventName.EXITED_ALREADY_CONFIRMED)
    assert exited.context["suppressEmail"] is False


@pytest.mark.parametrize("source", ["inline", "job"])
def test_a_planner_that_was_not_called_is_no_evidence_and_costs_no_budget(source: Literal["inline", "job"]) -> None:
    """The store has used up all the time. It says nothing of the planner, whose call has not begun."""
    world = World()
    world.book()
    for _ in range(5):
        flow = world.flow(source)
        assert flow.next is not None
        world.advance(flow.next.left)
        flow.step()
        flow.run()
        assert flow.outcome is not None
        assert not flow.outcome.attempted
        assert flow.outcome.verdict is Verdict.WAIT
        assert flow.outcome.wait_until == world.now + world.policy.delays[0]
        world.advance_to(flow.outcome.wait_until)
    assert world.planner_calls == 0
    assert world.db.last(world.db.row("b")) is None
    assert world.named(EventName.QUOTE) == ()
    assert world.job().verdict is Verdict.CONFIRMED


def handing_over(world: World, slept: timedelta = timedelta()) -> tuple[Steps[Outcome], Step, Acquire]:
    """An inline attempt whose search outlives the deadline, up to its hand-over. Before that its process sleeps."""
    policy = world.policy
    steps = walk(
        inline_attempt("b", policy=policy, trigger="creation", on_deadline="hand_over"),
        world.runtime,
        policy.grace.total_seconds(),
    )
    step = next(steps)
    acquire = step.effect
    assert isinstance(acquire, Acquire)
    while not isinstance(step.effect, RequestQuote):
        step = steps.send(world.perform(step.effect, step.left))
    world.advance((policy.inline_deadline + slept).total_seconds())
    step = steps.send(Unfinished(None))
    assert isinstance(step.effect, ContinueInBackground)
    return steps, step, acquire


def test_a_refused_hand_over_leaves_the_request_its_own_grace_only() -> None:
    world = World()
    world.book()
    steps, step, _ = handing_over(world)
    step = steps.throw(RuntimeError("can't start new thread"))
    lefts = []
    while True:
        lefts.append(step.left)
        if isinstance(step.effect, CloseAttempt | Acquire):
            break
        step = steps.send(None)
    assert max(lefts) <= world.policy.grace.total_seconds()
    steps.close()


@pytest.mark.parametrize("slept", [timedelta(), timedelta(seconds=140), timedelta(hours=1)], ids=str)
def test_an_attempt_that_is_handed_over_ends_before_its_lease_however_long_its_process_slept(slept: timedelta) -> None:
    world = World()
    world.book()
    steps, _, acquire = handing_over(world, slept)
    step = steps.send(None)
    assert isinstance(step.effect, AwaitQuote), "or nobody would give back what the search takes"
    assert step.left == 0 or world.now + timedelta(seconds=step.left) <= acquire.lease.expires_at
    steps.close()


@pytest.mark.parametrize(
    "odd",
    [
        {"freshness": 300},
        {"cutoff": 600.0},
        {"retries": 2.5},
        {"retries": True},
        {"strategy": None},
        {"relax_after_timeout": "no"},
        {"relax_after_timeout": 1},
        {"delays": (5, 15)},
        {"delays": [timedelta(seconds=5)]},
        {"jitter": "0.2"},
        {"inline_deadline": 1.8},
    ],
    ids=str,
)
def test_a_setting_of_the_wrong_kind_is_refused_by_name(odd: dict[str, Any]) -> None:
    (name,) = odd
    with pytest.raises(InvalidValue, match=rf"Policy\.{name} is"):
        Policy(**odd)


@pytest.mark.parametrize("odd", [7, None, b"b", UUID(int=1)])
def test_an_id_that_is_no_text_is_refused_and_the_remedy_named(odd: Any) -> None:
    """A store would say so much later, and in its own words: once the attempt is to be recorded."""
    world = World()
    for call in (world.inline, world.job, world.run_job):
        with pytest.raises(InvalidValue, match=r"booking_id is .* of type .*str\(booking_id\)"):
            call(odd)
    assert world.store.calls == []


def test_what_was_recorded_while_the_row_was_waited_for_does_not_come_from_the_future() -> None:
    world = World(script=[Cue(answer=NoHold(reason="fetch failed", reason_code=ReasonCode.NETWORK_FAILURE))])
    world.book()
    slow = world.flow("job")
    slow.run_to(Acquire)
    world.advance(60)
    assert world.job().verdict is Verdict.WAIT
    slow.run()
    assert slow.outcome is not None
    assert slow.outcome.decision is not None
    assert slow.outcome.decision.rules == ("infrastructure",)
    assert slow.outcome.wait_until is not None
    assert slow.outcome.wait_until > world.now
    assert world.planner_calls == 1
